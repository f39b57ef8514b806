"""Sessions between the names of one server: what is made under one is of no use under another."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_twisted import ensureDeferred

import txnodetls as tls
from tests.loopback import Loopback, Received
from tests.support import Pki, makePki
from tests.test_resumption import Sessions, happened, until, versions
from txnodetls.openssl import sessions, symbols
from txnodetls.sessions.memory import MemorySessionStore
from txnodetls.sessions.named import nameSession, sessionFor

pytestmark = pytest.mark.skipif(
    not symbols.available("SSL_CTX_add_session") or not sessions.ticketKeysAvailable(),
    reason="this OpenSSL hides its functions",
)


@pytest.fixture(scope="module")
def stranger() -> Pki:
    return makePki()


@versions
@pytest.mark.parametrize("kept", ["ticket", "store"])
@pytest.mark.parametrize("identified", [True, False])
@ensureDeferred
async def test_a_session_of_one_name_opens_no_other_name_with_other_trust(
    pki: Pki, stranger: Pki, version: str, kept: str, identified: bool
) -> None:
    """CVE-2025-23419: two names on one port, of which each asks for certificates of its own CA."""
    ways: dict[str, dict[str, Any]] = {
        "ticket": {"ticketKeys": bytes(48)},
        "store": {"sessionStore": MemorySessionStore()},
    }
    credentials = pki.issue("a.test", "b.test")
    own = {"key": credentials.key, "cert": credentials.cert, "maxVersion": version}
    identity = {"key": pki.client.key, "cert": pki.client.cert} if identified else {}
    async with Loopback(pki) as loopback:
        server = await loopback.serve(**own, requestCert=False, **ways[kept])
        first = {"ca": pki.ca, "requestCert": identified, "rejectUnauthorized": True}
        server.addContext("a.test", tls.createSecureContext({**own, **first}))
        second = {"ca": stranger.ca, "requestCert": True, "rejectUnauthorized": True}
        server.addContext("b.test", tls.createSecureContext({**own, **second}))
        client = loopback.dial(server, servername="a.test", **identity)
        told = Sessions(client)
        await happened(client, "secureConnect")
        client.write(b"hello")
        await happened(client, "data")
        await until(lambda: told)
        done = Received(client)
        client.end()
        await done
        assert server.seen[-1]["authorized"] is identified
        # The client pretends that its session was made with the other name.
        native = sessionFor("a.test", told[-1])
        assert native is not None
        session = nameSession("b.test", native)
        intruder = loopback.dial(server, servername="b.test", session=session, **identity)
        received = Received(intruder)
        intruder.write(b"let me in")
        await received
        assert received.data == b""
        assert len(server.secured) == 1
        # At its own name it is good.
        again = loopback.dial(server, servername="a.test", session=told[-1], **identity)
        await happened(again, "secureConnect")
        assert again.isSessionReused()
