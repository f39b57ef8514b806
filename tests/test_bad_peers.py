"""
What is not TLS on the TLS port, and who hangs in the handshake: one clear error each, with Node's
code; what was opened is closed; and the server goes on serving.
"""

from __future__ import annotations

import socket
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import defer, protocol, reactor, task
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.threads import deferToThread

from tests.interop.peers import NodePeer
from tests.loopback import Census, Loopback, Received, until
from tests.misbehaving import HELLO, readToEnd, reset
from tests.support import Pki, happened
from txnodetls.errors import Blame, Phase


@pytest_twisted.async_yield_fixture
async def loopback(pki: Pki) -> Any:
    async with Loopback(pki) as opened:
        yield opened


UNEXPECTED = "ERR_SSL_UNEXPECTED_MESSAGE"
VERSION = "ERR_SSL_WRONG_VERSION_NUMBER"

# What comes in: the bytes, Node's code, and the alert that it is answered with, if any.
GARBAGE: dict[str, tuple[bytes, str, int | None]] = {
    "every byte": (bytes(range(256)), VERSION, None),
    "zeros": (bytes(100), VERSION, None),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "ERR_SSL_HTTP_REQUEST", None),
    "HTTP for a proxy": (b"CONNECT a:1 HTTP/1.1\r\n\r\n", "ERR_SSL_HTTPS_PROXY_REQUEST", None),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", VERSION, None),
    "PROXY protocol": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", VERSION, None),
    "a record too long": (b"\x16\x03\x01\xff\xff" + bytes(99), "ERR_SSL_DATA_LENGTH_TOO_LONG", 22),
    "data at once": (b"\x17\x03\x03\x00\x05hello", UNEXPECTED, 10),
    "an alert at once": (b"\x15\x03\x03\x00\x02\x02\x28", UNEXPECTED, 10),
    "close_notify at once": (b"\x15\x03\x03\x00\x02\x01\x00", UNEXPECTED, 10),
    "a ServerHello": (b"\x16\x03\x03\x00\x04\x02\x00\x00\x00", UNEXPECTED, 10),
    "no handshake message": (b"\x16\x03\x01\x00\x05hello", UNEXPECTED, 10),
    "a hello that is too large": (
        b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes(16380),
        "ERR_SSL_EXCESSIVE_MESSAGE_SIZE",
        47,
    ),
    "a hello that is too short": (
        b"\x16\x03\x01\x00\x2a\x01\x00\x00\x26" + HELLO[9 : 9 + 0x26],
        "ERR_SSL_LENGTH_MISMATCH",
        50,
    ),
    "a hello of version 0": (
        HELLO[:9] + b"\x00\x00" + HELLO[11:],
        "ERR_SSL_BAD_LEGACY_VERSION",
        70,
    ),
    "a hello, then garbage": (HELLO + bytes(range(1, 200)), "ERR_SSL_BAD_RECORD_TYPE", 10),
    "a hello, then another": (HELLO + HELLO, "ERR_SSL_BAD_RECORD_TYPE", 10),
    "a hello, then an alert": (
        HELLO + b"\x15\x03\x03\x00\x02\x02\x28",
        "ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE",
        None,
    ),
}
garbage = pytest.mark.parametrize(("sent", "code", "alert"), GARBAGE.values(), ids=GARBAGE.keys())


def say(port: int, data: bytes, *, byByte: bool = False) -> Any:
    """A Deferred of what a server answers to these bytes, up to its end."""

    def run() -> bytes:
        with socket.create_connection(("127.0.0.1", port), 10) as plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            answer = b""
            try:
                for piece in (data[n : n + 1] for n in range(len(data))) if byByte else [data]:
                    plain.sendall(piece)
                while received := plain.recv(65536):
                    answer += received
            except (ConnectionResetError, BrokenPipeError):
                pass  # it did not read all of it
            return answer

    return deferToThread(run)


@garbage
@pytest.mark.parametrize("asks", [False, True], ids=["plain", "with SNI contexts"])
@pytest_twisted.ensureDeferred
async def test_what_is_not_tls_is_one_tlsClientError(
    asks: bool, sent: bytes, code: str, alert: int | None, loopback: Loopback, pki: Pki
) -> None:
    server = await loopback.serve()
    if asks:
        # The ClientHello is then read by ourselves before OpenSSL sees it.
        server.addContext("other", {"key": pki.server.key, "cert": pki.server.cert})
    census = Census()
    answer = await say(server.address()["port"], sent)
    await until(lambda: server.failures)
    (failure,) = server.failures
    assert failure.code == code
    assert (failure.blame, failure.phase) == (Blame.PEER, Phase.HANDSHAKING)
    if alert is None:
        assert answer[:1] in (b"", b"\x16")
    elif answer[:1] == b"\x15":
        assert (answer[5:7], len(answer)) == (bytes((2, alert)), 7)
    else:
        # A TLS 1.3 server that has sent its hello has encrypted the alert.
        assert answer[:1] == b"\x16"
    assert server.secured == []
    server.failures.clear()
    del failure
    await census.restored()
    await loopback.proveServing(server)


@pytest_twisted.ensureDeferred
async def test_the_codes_for_what_is_not_tls_are_nodes(pki: Pki) -> None:
    options = {"key": pki.server.key, "cert": pki.server.cert}
    async with NodePeer("server", options) as node:
        port = await node.event("listening")
        for number, name in enumerate(GARBAGE, 1):
            await say(port, GARBAGE[name][0])
            await until(lambda number=number: node.names.count("clientError") == number)
        codes = [value for event, value in node.happenings if event == "clientError"]
    assert dict(zip(GARBAGE, codes, strict=True)) == {
        name: code for name, (_, code, _) in GARBAGE.items()
    }


@pytest.mark.parametrize("asks", [False, True], ids=["plain", "with SNI contexts"])
@pytest_twisted.ensureDeferred
async def test_byte_by_byte_it_is_the_same(asks: bool, loopback: Loopback, pki: Pki) -> None:
    server = await loopback.serve()
    if asks:
        server.addContext("other", {"key": pki.server.key, "cert": pki.server.cert})
    for number, name in enumerate(("HTTP", "a hello that is too short", "a hello, then an alert")):
        sent, code, _ = GARBAGE[name]
        await say(server.address()["port"], sent, byByte=True)
        await until(lambda number=number: len(server.failures) == number + 1)
        assert server.failures[number].code == code
    await loopback.proveServing(server)


# What a client is told by something that is no TLS server, and Node's code.
ANSWERS: dict[str, tuple[bytes, str]] = {
    "every byte": (bytes(range(256)), "ERR_SSL_WRONG_VERSION_NUMBER"),
    "HTTP": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "ERR_SSL_WRONG_VERSION_NUMBER"),
    "SMTP": (b"220 mail.example.test ESMTP\r\n", "ERR_SSL_WRONG_VERSION_NUMBER"),
    "data": (b"\x17\x03\x03\x00\x05hello", "ERR_SSL_UNEXPECTED_MESSAGE"),
    "its own hello": (HELLO, "ERR_SSL_UNEXPECTED_MESSAGE"),
    "an alert": (b"\x15\x03\x03\x00\x02\x02\x28", "ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE"),
    "half a record": (b"\x16\x03\x03\x00\x7a\x02", "ECONNRESET"),
    "nothing": (b"", "ECONNRESET"),
}


class Pretender(protocol.Protocol):
    """Answers the first bytes with something, and ends."""

    answer = b""
    transport: Any

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(self.answer)
        self.transport.loseConnection()


@pytest.mark.parametrize(("answer", "code"), ANSWERS.values(), ids=ANSWERS.keys())
@pytest_twisted.ensureDeferred
async def test_what_is_no_tls_server_is_one_error_of_the_client(
    answer: bytes, code: str, loopback: Loopback, pki: Pki
) -> None:
    factory = protocol.Factory.forProtocol(Pretender)
    factory.noisy = False
    listening = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
    Pretender.answer = answer
    port = listening.getHost().port
    census = Census()
    client = loopback.dial(port)
    client.write(b"a secret")
    received = Received(client)
    await received
    assert (received.errors, received.closed) == ([code], True)
    assert (received.error.blame, received.error.phase) == (Blame.PEER, Phase.HANDSHAKING)
    assert received.data == b""
    loopback.sockets.clear()
    del client, received
    await census.restored()
    async with NodePeer("client", {"port": port, "ca": pki.ca}) as node:
        assert await node.event("error") == code
    await listening.stopListening()


# -- a peer that hangs in the handshake


@pytest.mark.parametrize("said", [b"", HELLO[:3], HELLO[:100], HELLO], ids=len)
@pytest.mark.parametrize("asks", [False, True], ids=["plain", "with SNI contexts"])
@pytest_twisted.ensureDeferred
async def test_a_peer_that_hangs_in_the_handshake_is_dropped(
    asks: bool, said: bytes, loopback: Loopback, pki: Pki
) -> None:
    # Long enough for the one that is served in the end.
    server = await loopback.serve(handshakeTimeout=400)
    if asks:
        server.addContext("other", {"key": pki.server.key, "cert": pki.server.cert})
    census = Census()
    hanging = loopback.plain(server)
    hanging.sendall(said)
    end = await deferToThread(readToEnd, hanging)
    assert end == b"" or said == HELLO
    (failure,) = server.failures
    assert failure.code == "ERR_TLS_HANDSHAKE_TIMEOUT"
    assert (failure.blame, failure.phase) == (Blame.PEER, Phase.HANDSHAKING)
    hanging.close()
    server.failures.clear()
    del failure
    await census.restored()
    await loopback.proveServing(server)


@pytest_twisted.ensureDeferred
async def test_a_peer_that_drips_gets_no_more_time_than_one_that_hangs(loopback: Loopback) -> None:
    server = await loopback.serve(handshakeTimeout=400)
    dripping = loopback.plain(server)
    dripped = 0
    while not server.failures:
        assert dripped < len(HELLO)
        try:
            dripping.sendall(HELLO[dripped : dripped + 1])
        except OSError:
            break
        dripped += 1
        await task.deferLater(reactor, 0.01)  # type: ignore[arg-type]
    await until(lambda: server.failures)
    assert [failure.code for failure in server.failures] == ["ERR_TLS_HANDSHAKE_TIMEOUT"]
    await loopback.proveServing(server)


@pytest_twisted.ensureDeferred
async def test_a_client_is_told_that_its_server_hangs_and_can_leave(loopback: Loopback) -> None:
    factory = protocol.Factory.forProtocol(protocol.Protocol)
    factory.noisy = False
    listening = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
    census = Census()
    client = loopback.dial(listening.getHost().port, timeout=50)
    received = Received(client)
    await happened(client, "timeout")
    assert client.secureConnecting
    client.destroy()
    await received
    assert (received.errors, received.closed) == ([], False)
    loopback.sockets.clear()
    del client, received
    await census.restored()
    await listening.stopListening()


@pytest_twisted.ensureDeferred
async def test_many_bad_clients_at_once_do_not_keep_a_good_one_out(loopback: Loopback) -> None:
    server = await loopback.serve(handshakeTimeout=60_000)
    bad = [loopback.plain(server) for _ in range(60)]
    for number, each in enumerate(bad):
        each.sendall([b"", HELLO[:50], HELLO, bytes(range(256))][number % 4])
    await defer.gatherResults(
        [defer.ensureDeferred(loopback.proveServing(server)) for _ in range(10)]
    )
    for each in bad:
        reset(each)
    await until(lambda: len(server.failures) == len(bad))
    assert {failure.code for failure in server.failures} == {
        "ECONNRESET",
        "ERR_SSL_WRONG_VERSION_NUMBER",
    }
    await until(lambda: not server.connections)


@pytest_twisted.ensureDeferred
async def test_connections_beyond_the_limit_are_dropped_and_told(loopback: Loopback) -> None:
    """Before a byte of TLS; those that are there go on, and who goes makes room."""
    server = await loopback.serve()
    server.maxConnections = 2
    dropped: list[dict[str, Any]] = []
    server.on("drop", dropped.append)
    kept = [await loopback.secure(server) for _ in range(2)]
    refused = Received(loopback.dial(server))
    await refused
    assert refused.errors == ["ECONNRESET"]
    assert len(dropped) == 1
    assert dropped[0]["localPort"] == server.address()["port"]
    assert (len(server.secured), server.failures) == (2, [])
    received = Received(kept[0])
    kept[0].write(b"still here")
    await until(lambda: received.data == b"still here")
    kept[1].destroy()
    await until(lambda: server.connections == 1)
    await loopback.proveServing(server)
    # One whose handshake is not done counts as well.
    hanging = loopback.plain(server)
    await until(lambda: server.connections == 2)
    another = Received(loopback.dial(server))
    await another
    assert len(dropped) == 2
    hanging.close()
