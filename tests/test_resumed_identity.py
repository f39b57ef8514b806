"""A session made under one name proves nothing under another."""

from __future__ import annotations

from typing import Any

import pytest
import trustme

import txnodetls as tls
from tests.loopback import Loopback, Received, sessionFor, toLoopback, until
from tests.support import Pki

VERSIONS = ("TLSv1.2", "TLSv1.3")


def named(*names: str) -> tuple[bytes, bytes, bytes]:
    """An authority, and a key and a certificate of these names."""
    ca = trustme.CA()
    leaf = ca.issue_cert(*names)
    return ca.cert_pem.bytes(), leaf.private_key_pem.bytes(), leaf.cert_chain_pems[0].bytes()


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_resumed_session_is_refused_under_a_name_that_its_certificate_lacks(
    pki: Pki, version: str
) -> None:
    ca, key, cert = named("one.test")
    async with Loopback(pki) as loopback:
        server = await loopback.serve(key=key, cert=cert, maxVersion=version)
        # No server name is sent, so the server sees no difference between the two.
        common = {"ca": ca, "servername": None}
        port = server.address()["port"]

        def dial(host: str, **options: Any) -> Any:
            socket = tls.connect(
                {**common, "port": port, "host": host, "lookup": toLoopback, **options}
            )
            loopback.sockets.append(socket)
            return socket

        sessions: list[bytes] = []
        first = dial("one.test")
        first.on("session", sessions.append)
        closed = Received(first)
        await until(lambda: sessions)
        first.end()
        await closed

        again = dial("one.test", session=sessions[-1])
        resumed = Received(again)
        await until(lambda: again.authorized)
        assert again.isSessionReused()
        again.end()
        await resumed

        other = Received(dial("two.test", session=sessions[-1]))
        await other
        assert other.errors == ["ERR_TLS_CERT_ALTNAME_INVALID"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_applications_own_check_is_not_asked_about_a_resumed_session(
    pki: Pki, version: str
) -> None:
    asked: list[str] = []

    def check(host: str, certificate: dict[str, Any]) -> None:
        asked.append(host)

    async with Loopback(pki) as loopback:
        server = await loopback.serve(maxVersion=version)
        session = await sessionFor(loopback, server, checkServerIdentity=check)
        assert asked == ["localhost"]

        client = await loopback.secure(server, session=session, checkServerIdentity=check)

        assert client.isSessionReused()
        assert client.authorized
        assert asked == ["localhost"]
