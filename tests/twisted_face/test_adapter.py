"""What a protocol is told of its TLS connection, and in what order."""

from __future__ import annotations

import gc
import socket
import ssl
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from twisted.internet import error, protocol, reactor
from twisted.internet.interfaces import IProtocolNegotiationFactory
from zope.interface import implementer

from tests.conftest import LoggedErrors
from tests.support import Pki, eventually
from tests.twisted_face.pairs import HalfCloser, Making, Pair, Recorder, paired
from txnodetls.errors import NodeError, OpenSSLError
from txnodetls.twisted.adapter import connectionLostReason, protocolsOf
from txnodetls.twisted.endpoints import ServerEndpoint


@paired()
async def test_both_sides_are_made_then_secure_then_get_data_then_lost(pair: Pair) -> None:
    pair.client.transport.write(b"ping")
    await eventually(lambda: pair.server.received == b"ping")
    pair.server.transport.write(b"pong")
    await eventually(lambda: pair.client.received == b"pong")
    pair.client.transport.loseConnection()
    await eventually(lambda: pair.client.reason and pair.server.reason)
    expected = ["connectionMade", "handshakeCompleted", "dataReceived", "connectionLost"]
    assert pair.client.calls == expected
    assert pair.server.calls == expected
    assert isinstance(pair.client.lost, error.ConnectionDone)
    assert isinstance(pair.server.lost, error.ConnectionDone)


class AsksAtOnce(Recorder):
    def connectionMade(self) -> None:
        super().connectionMade()
        self.seen = (self.transport.negotiatedProtocol, self.transport.getPeerCertificate())
        self.transport.write(b"first words")


@paired(
    client=AsksAtOnce,
    clientOptions={"ALPNProtocols": ["b", "a"]},
    serverOptions={"ALPNProtocols": ["a"]},
)
async def test_in_connectionMade_the_handshake_is_done(pair: Pair) -> None:
    negotiated, certificate = pair.client.seen
    assert negotiated == b"a"
    assert certificate.to_cryptography() == x509.load_pem_x509_certificate(pair.pki.server.cert)
    await eventually(lambda: pair.server.received == b"first words")


@paired(client=HalfCloser, server=HalfCloser)
async def test_half_closers_hear_of_each_direction(pair: Pair) -> None:
    pair.client.transport.write(b"question")
    pair.client.transport.loseWriteConnection()
    await eventually(lambda: "readConnectionLost" in pair.server.calls)
    assert pair.server.received == b"question"
    assert "writeConnectionLost" in pair.client.calls
    pair.server.transport.write(b"answer")
    pair.server.transport.loseWriteConnection()
    await eventually(lambda: pair.client.reason and pair.server.reason)
    assert pair.client.received == b"answer"
    assert pair.client.calls[2:] == [
        "writeConnectionLost",
        "dataReceived",
        "readConnectionLost",
        "connectionLost",
    ]
    assert pair.server.calls[2:] == [
        "dataReceived",
        "readConnectionLost",
        "writeConnectionLost",
        "connectionLost",
    ]
    assert isinstance(pair.client.lost, error.ConnectionDone)
    assert isinstance(pair.server.lost, error.ConnectionDone)


@paired(client=HalfCloser)
async def test_others_are_closed_by_the_peers_end_after_what_is_queued(pair: Pair) -> None:
    pair.server.transport.write(b"x" * 300_000)
    pair.client.transport.loseWriteConnection()
    await eventually(lambda: pair.client.reason and pair.server.reason)
    assert len(pair.client.received) == 300_000
    assert isinstance(pair.server.lost, error.ConnectionDone)


@paired()
async def test_abortConnection_is_ConnectionAborted_here_and_lost_there(pair: Pair) -> None:
    pair.client.transport.abortConnection()
    await eventually(lambda: pair.client.reason and pair.server.reason)
    assert isinstance(pair.client.lost, error.ConnectionAborted)
    # No close_notify was sent: to the peer the end is no clean one.
    assert isinstance(pair.server.lost, error.ConnectionLost)


@pytest.mark.parametrize("kind", [Recorder, HalfCloser])
@pytest_twisted.ensureDeferred
async def test_a_truncated_connection_is_no_clean_end(kind: Any, pki: Pki) -> None:
    factory = Making(kind)
    endpoint = ServerEndpoint(
        reactor, {"key": pki.server.key, "cert": pki.server.cert}, port=0, host="127.0.0.1"
    )
    port = await endpoint.listen(factory)

    def leaveWithoutGoodbye() -> None:
        context = ssl.create_default_context(cadata=pki.ca.decode())
        with socket.create_connection(("127.0.0.1", port.getHost().port), 10) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as client:
                client.sendall(b"half a requ")
                client.recv(1)
                client.shutdown(socket.SHUT_RDWR)

    peer = threading.Thread(target=leaveWithoutGoodbye)
    peer.start()
    await eventually(lambda: factory.made and factory.made[0].received == b"half a requ")
    factory.made[0].transport.write(b".")
    await eventually(lambda: factory.made[0].reason)
    assert isinstance(factory.made[0].lost, error.ConnectionLost)
    assert "readConnectionLost" not in factory.made[0].calls
    peer.join(10)
    await port.stopListening()


class Raises(Recorder):
    def dataReceived(self, data: bytes) -> None:
        raise RuntimeError("no such command")


@paired(server=Raises)
async def test_what_a_protocol_raises_is_logged_and_ends_its_connection(pair: Pair) -> None:
    pair.client.transport.write(b"x")
    await eventually(lambda: pair.client.reason and pair.server.reason)
    assert isinstance(pair.server.lost, RuntimeError)


# The check of the log needs the fixture, so this stands in for it by name.
@pytest.fixture(autouse=True)
def protocolsMayRaise(request: pytest.FixtureRequest, loggedErrors: LoggedErrors) -> Any:
    yield
    if "raises" in request.node.name:
        assert [str(each) for each in loggedErrors.flush(RuntimeError)] == ["no such command"]


class Replaced(Recorder):
    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.dataReceived = self.later  # type: ignore[method-assign]

    def later(self, data: bytes) -> None:
        self.received += data.upper()


@paired(server=Replaced)
async def test_a_protocol_may_replace_its_own_dataReceived(pair: Pair) -> None:
    pair.client.transport.write(b"one ")
    await eventually(lambda: pair.server.received == b"one ")
    pair.client.transport.write(b"two")
    await eventually(lambda: pair.server.received == b"one TWO")


@paired()
async def test_a_connection_can_be_handed_to_another_protocol(pair: Pair) -> None:
    other = HalfCloser()
    pair.server.transport.protocol = other
    other.makeConnection(pair.server.transport)
    pair.client.transport.write(b"for you")
    await eventually(lambda: other.received == b"for you")
    pair.client.transport.loseConnection()
    await eventually(lambda: "readConnectionLost" in other.calls)
    other.transport.loseConnection()
    await eventually(lambda: other.reason)
    assert pair.server.reason is None
    pair.server.reason = other.reason


@contextmanager
def noCollector() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@paired()
async def test_a_connection_that_is_over_is_freed_without_the_collector(pair: Pair) -> None:
    with noCollector():
        sides = [pair.client, pair.server]
        alive = [weakref.ref(side.transport.tlsSocket) for side in sides]
        pair.client.transport.loseConnection()
        await eventually(lambda: pair.client.reason and pair.server.reason)
        for side in sides:
            del side.transport
        await eventually(lambda: not any(each() for each in alive))


@paired(server=HalfCloser)
async def test_listeners_of_others_stay_when_the_protocol_has_left(pair: Pair) -> None:
    def other(*_arguments: object) -> None: ...

    tls = pair.server.transport.tlsSocket
    for name in ("data", "close", "timeout"):
        tls.on(name, other)
    pair.client.transport.loseConnection()
    await eventually(lambda: pair.client.reason)
    pair.server.transport.loseConnection()
    await eventually(lambda: pair.server.reason)
    left = {name: tls.listeners(name) for name in tls.eventNames()}
    assert left == {"data": [other], "close": [other], "timeout": [other]}


def test_reasons() -> None:
    assert isinstance(connectionLostReason(None).value, error.ConnectionDone)
    reset = NodeError("read ECONNRESET", "ECONNRESET")
    lost = connectionLostReason(reset).value
    assert isinstance(lost, error.ConnectionLost)
    assert lost.__cause__ is reset
    assert "read ECONNRESET" in str(lost)
    tls = OpenSSLError("decryption failed", "ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC")
    assert connectionLostReason(tls).value.__cause__ is tls
    own = ValueError("mine")
    assert connectionLostReason(own).value is own


@implementer(IProtocolNegotiationFactory)
class Negotiating(protocol.Factory):
    def acceptableProtocols(self) -> list[bytes]:
        return [b"h2", b"http/1.1"]


def test_a_factory_says_which_protocols_it_speaks_unless_the_options_do() -> None:
    assert protocolsOf(Negotiating(), {}) == [b"h2", b"http/1.1"]
    assert protocolsOf(Negotiating(), {"ALPNProtocols": ["a"]}) is None
    assert protocolsOf(Negotiating(), {"ALPNCallback": print}) is None
    assert protocolsOf(protocol.Factory(), {}) is None
