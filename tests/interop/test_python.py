"""Python's ssl module as the peer, on a blocking socket in a thread."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from tests.interop.peers import digest, payload
from tests.loopback import Loopback, Received, describe, until
from tests.support import Credentials, Pki

LARGE = 1024 * 1024 + 17
VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
both = pytest.mark.parametrize("version", VERSIONS)
Result = TypeVar("Result")


@pytest_twisted.async_yield_fixture
async def loopback(pki: Pki) -> Any:
    async with Loopback(pki) as opened:
        yield opened


@pytest.fixture
def clientContext(pki: Pki, version: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=pki.ca.decode())
    context.minimum_version = context.maximum_version = VERSIONS[version]
    return context


@pytest.fixture
def serverContext(pki: Pki, version: str, tmp_path: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=pki.ca.decode())
    load(context, pki.server, tmp_path)
    context.minimum_version = context.maximum_version = VERSIONS[version]
    return context


def load(context: ssl.SSLContext, credentials: Credentials, directory: Path) -> None:
    """This module takes keys from files only."""
    (directory / "both.pem").write_bytes(credentials.key + credentials.cert)
    context.load_cert_chain(directory / "both.pem")


def talk(
    server: Any,
    context: ssl.SSLContext,
    use: Callable[[ssl.SSLSocket], Result],
    session: ssl.SSLSession | None = None,
) -> Any:
    """A Deferred of what a function, in a thread, does with a client of our server."""
    port = server.address()["port"]

    def run() -> Result:
        with socket.create_connection(("127.0.0.1", port), 20) as plain:
            with context.wrap_socket(
                plain,
                server_hostname="localhost",
                suppress_ragged_eofs=False,  # so that a connection cut off is an error
                session=session,
            ) as client:
                return use(client)

    return deferToThread(run)


class Listener:
    """A server of Python's for one connection; C{done} is what the function made of it."""

    def __init__(self, context: ssl.SSLContext, use: Callable[[ssl.SSLSocket], Any]) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(20)
        self.port: int = listener.getsockname()[1]

        def run() -> Any:
            with listener:
                plain, _ = listener.accept()
            with plain:
                plain.settimeout(20)
                with context.wrap_socket(
                    plain, server_side=True, suppress_ragged_eofs=False
                ) as connection:
                    return use(connection)

        self.done = deferToThread(run)


def readAll(connection: ssl.SSLSocket) -> bytes:
    """All up to the peer's close_notify; an SSLEOFError if there is none."""
    pieces = []
    while piece := connection.recv(1 << 18):
        pieces.append(piece)
    return b"".join(pieces)


@both
@pytest_twisted.ensureDeferred
async def test_our_echo_gives_python_back_what_it_sent(
    version: str, clientContext: ssl.SSLContext, loopback: Loopback
) -> None:
    server = await loopback.serve()

    def exchange(client: ssl.SSLSocket) -> tuple[Any, ...]:
        received = bytearray()
        data = payload(LARGE)
        for start in range(0, LARGE, 1 << 16):
            piece = data[start : start + (1 << 16)]
            client.sendall(piece)
            while len(received) < start + len(piece):
                received += client.recv(1 << 16)
        told = (client.version(), client.get_channel_binding("tls-unique"), digest(received))
        client.unwrap()  # waits for our close_notify
        return told

    protocol, binding, received = await talk(server, clientContext, exchange)
    assert protocol == version
    assert received == digest(payload(LARGE))
    # The client's Finished comes first in a full handshake (RFC 5929).
    assert binding.hex() == server.seen[0]["peerFinished"]
    await until(lambda: server.secured[0].closed)
    assert server.failures == []


@both
@pytest_twisted.ensureDeferred
async def test_python_reads_our_large_answer_to_a_clean_end(
    version: str, clientContext: ssl.SSLContext, loopback: Loopback
) -> None:
    server = await loopback.serve(lambda socket: socket.end(payload(LARGE)))
    assert digest(await talk(server, clientContext, readAll)) == digest(payload(LARGE))


@both
@pytest_twisted.ensureDeferred
async def test_python_takes_up_its_session(
    version: str, clientContext: ssl.SSLContext, loopback: Loopback
) -> None:
    server = await loopback.serve()

    def hello(client: ssl.SSLSocket) -> tuple[Any, Any]:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"
        return client.session, client.session_reused

    session, reused = await talk(server, clientContext, hello)
    assert reused is False
    _, reused = await talk(server, clientContext, hello, session=session)
    assert reused is True
    assert [seen["reused"] for seen in server.seen] == [False, True]


@both
@pytest_twisted.ensureDeferred
async def test_our_client_and_pythons_server(
    version: str, serverContext: ssl.SSLContext, loopback: Loopback, pki: Pki
) -> None:
    serverContext.verify_mode = ssl.CERT_REQUIRED
    serverContext.set_alpn_protocols(["h2", "http/1.1"])
    names: list[str] = []
    serverContext.sni_callback = lambda connection, name, context: names.append(name)

    def answer(connection: ssl.SSLSocket) -> tuple[Any, ...]:
        # Both at the same time, each more than fits on the way.
        connection.sendall(payload(LARGE))
        received = readAll(connection)
        told = (connection.version(), connection.cipher(), connection.selected_alpn_protocol())
        subject = connection.getpeercert()
        connection.unwrap()
        return *told, subject, digest(received)

    listener = Listener(serverContext, answer)
    client = loopback.dial(
        listener.port,
        key=pki.client.key,
        cert=pki.client.cert,
        ALPNProtocols=["http/1.1"],
        allowHalfOpen=True,
    )
    seen: list[dict[str, Any]] = []
    client.once("secureConnect", lambda: seen.append(describe(client)))
    received = Received(client)
    client.end(payload(LARGE))
    protocol, cipher, alpn, certificate, heard = await listener.done
    await received
    assert (received.ended, received.closed, received.errors) == (True, False, [])
    assert digest(received.data) == heard == digest(payload(LARGE))
    assert (protocol, alpn, names) == (version, "http/1.1", ["localhost"])
    assert seen[0]["protocol"] == version
    assert seen[0]["alpn"] == alpn
    assert cipher[2] in (128, 256)
    assert ("email", "client@example.test") in certificate["subjectAltName"]
