"""A session made under one name proves nothing under another."""

from __future__ import annotations

from typing import Any

import pytest
import trustme

import txnodetls as tls
from tests.loopback import Loopback, Received, sessionFor, toLoopback, until
from tests.support import Pki, happened
from txnodetls import NodeError

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


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_session_is_not_offered_by_whoever_trusts_others_than_when_it_was_made(
    pki: Pki, version: str
) -> None:
    other = trustme.CA().cert_pem.bytes()
    async with Loopback(pki) as loopback:
        server = await loopback.serve(maxVersion=version)

        async def visit(**options: Any) -> tuple[bool, bool, list[str | None], list[bytes]]:
            sessions: list[bytes] = []
            socket = loopback.dial(server, **options)
            socket.on("session", sessions.append)
            closed = Received(socket)
            secure = happened(socket, "secureConnect")
            try:
                await secure
            except NodeError:
                await closed
                return False, socket.authorized, closed.errors, sessions
            reused, authorized = bool(socket.isSessionReused()), socket.authorized
            await until(lambda: reused or sessions)
            socket.end()
            await closed
            return reused, authorized, closed.errors, sessions

        session = (await visit())[3][-1]
        assert (await visit(session=session))[:3] == (True, True, [])
        assert (await visit(session=session, ca=other))[2] == ["UNABLE_TO_VERIFY_LEAF_SIGNATURE"]
        seen = await visit(session=session, ca=other, rejectUnauthorized=False)
        assert seen[:3] == (False, False, [])
        # Nor is what was made without trust offered by those who have some.
        seen = await visit(session=seen[3][-1])
        assert seen[:3] == (False, True, [])


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_session_id_context_of_a_clients_own_says_where_its_sessions_may_go(
    pki: Pki, version: str
) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(maxVersion=version)
        sessions: list[bytes] = []
        first = loopback.dial(server, sessionIdContext="mine")
        first.on("session", sessions.append)
        closed = Received(first)
        await until(lambda: sessions)
        first.end()
        await closed
        for context, reused in (("mine", True), ("yours", False)):
            again = loopback.dial(server, session=sessions[-1], sessionIdContext=context)
            closed = Received(again)
            await until(lambda socket=again: socket.authorized)
            assert again.isSessionReused() is reused
            again.end()
            await closed
