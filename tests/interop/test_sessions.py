"""Sessions of ours taken up elsewhere, and those of others here: Node 24, openssl, curl."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

import txnodetls as tls
from tests.interop.peers import NodePeer, Peer, opensslPeer
from tests.loopback import Loopback, Received, until
from tests.support import Pki, happened, requireTool
from txnodetls.openssl import queries, sessions, symbols
from txnodetls.sessions.named import sessionFor

pytestmark = pytest.mark.skipif(
    not symbols.available("SSL_CTX_add_session") or not sessions.ticketKeysAvailable(),
    reason="this OpenSSL hides its functions",
)
both = pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
KEYS = bytes(range(60, 108))
NO_TICKET = tls.constants.SSL_OP_NO_TICKET


@pytest_twisted.async_yield_fixture
async def loopback(pki: Pki) -> Any:
    async with Loopback(pki) as opened:
        yield opened


def alike(version: str) -> dict[str, Any]:
    """What servers have to have in common."""
    return {"maxVersion": version, "sessionIdContext": "shared"}


def nodesServer(pki: Pki, version: str) -> NodePeer:
    options = {
        "key": pki.server.key,
        "cert": pki.server.cert,
        "ticketKeys": {"$hex": KEYS.hex()},
        **alike(version),
    }
    return NodePeer("server", options, does="echo")


async def ourClient(
    loopback: Loopback, port: int, session: bytes | None = None
) -> tuple[bytes | None, bool]:
    """Visit a port with a client of ours: the latest session, and whether it resumed."""
    client = loopback.dial(port, session=session)
    told: list[bytes] = []
    client.on("session", told.append)
    await happened(client, "secureConnect")
    reused = bool(client.isSessionReused())
    client.write(b"hello")
    assert await happened(client, "data") == (b"hello",)
    await until(lambda: told or reused)
    done = Received(client)
    client.end()
    await done
    return (told[-1] if told else None), reused


async def nodesClient(pki: Pki, port: int, session: str | None = None) -> tuple[str | None, bool]:
    """The same with Node's client; sessions in hexadecimal."""
    options: dict[str, Any] = {"port": port, "ca": pki.ca, "servername": "localhost"}
    if session is not None:
        options["session"] = {"$hex": session}
    async with NodePeer("client", options, send="hello", ends="echoed") as node:
        seen = await node.event("secure")
        await node.finished()
        told = [value for name, value in node.happenings if name == "session"]
        return (told[-1] if told else None), seen["reused"]


def keepSessions(server: Any) -> dict[bytes, bytes]:
    """Let a server's sessions be kept, and found again."""
    store: dict[bytes, bytes] = {}

    def keep(sessionId: bytes, data: bytes, done: Any) -> None:
        store[sessionId] = data
        done()

    server.on("newSession", keep)
    server.on("resumeSession", lambda sessionId, done: done(None, store.get(sessionId)))
    return store


@both
@pytest.mark.parametrize("client", ["our client", "Node's client"])
@pytest.mark.parametrize("maker", ["ours", "Node's"])
@pytest_twisted.ensureDeferred
async def test_with_the_same_keys_tickets_are_good_at_nodes_servers_and_at_ours(
    loopback: Loopback, pki: Pki, version: str, client: str, maker: str
) -> None:
    server = await loopback.serve(ticketKeys=KEYS, **alike(version))
    async with nodesServer(pki, version) as node:
        ports = [server.address()["port"], await node.event("listening")]
        if maker == "Node's":
            ports.reverse()
        session: Any = None
        for port, expected in ((ports[0], False), (ports[1], True)):
            if client == "our client":
                told, reused = await ourClient(loopback, port, session)
            else:
                told, reused = await nodesClient(pki, port, session)
            assert reused is expected
            session = told or session
        if client == "our client":
            ticket = queries.ticketOf(sessionFor("localhost", session) or b"")
            assert ticket is not None
            assert ticket[:16] == KEYS[:16]


@pytest.mark.parametrize("tickets", [True, False])
@pytest_twisted.ensureDeferred
async def test_s_client_reconnects(
    loopback: Loopback, pki: Pki, tmp_path: Path, tickets: bool
) -> None:
    """Five times in a row, with a ticket and with a session that the application keeps."""
    options = {"maxVersion": "TLSv1.2"} | ({} if tickets else {"secureOptions": NO_TICKET})
    server = await loopback.serve(**options)
    store = {} if tickets else keepSessions(server)
    ca = tmp_path / "ca.pem"
    ca.write_bytes(pki.ca)
    where = f"127.0.0.1:{server.address()['port']}"
    async with opensslPeer(
        "s_client", "-connect", where, "-servername", "localhost", "-CAfile", str(ca), "-reconnect"
    ) as peer:
        await until(lambda: len(server.seen) == 6)
        await until(lambda: peer.output.count(b"Reused, ") == 5)
        peer.closeInput()
        assert await peer.ended() == 0
    assert [seen["reused"] for seen in server.seen] == [False] + 5 * [True]
    assert len(store) == (0 if tickets else 1)


@both
@pytest_twisted.ensureDeferred
async def test_curl_resumes_for_its_second_url(
    loopback: Loopback, pki: Pki, tmp_path: Path, version: str
) -> None:
    """Of TLS 1.2 it wants no tickets, so there it takes an application that keeps sessions."""

    def answer(socket: Any) -> None:
        text = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nyes"
        socket.once("data", lambda data: socket.end(text))

    server = await loopback.serve(answer, maxVersion=version)
    if version == "TLSv1.2":
        keepSessions(server)
    ca = tmp_path / "ca.pem"
    ca.write_bytes(pki.ca)
    port = server.address()["port"]
    command = [requireTool("curl"), "--silent", "--show-error", "--noproxy", "*"]
    command += ["--cacert", str(ca), "--resolve", f"localhost:{port}:127.0.0.1"]
    command += ["--header", "Connection: close"]
    command += [f"https://localhost:{port}/{page}" for page in ("one", "two")]
    async with Peer(command) as curl:
        assert await curl.ended() == 0
        assert curl.data == b"yesyes"
    assert [seen["reused"] for seen in server.seen] == [False, True]
