"""Carriers over Twisted transports: real ones, wrapped ones, and ones that lack nearly all."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import defer, protocol, reactor, ssl, task
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ITransport
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.support import Pki
from tests.transports.owners import Owner, fill
from txnodetls.errors import NodeError
from txnodetls.transports.listening import CarrierFactory
from txnodetls.transports.plain import TransportCarrier, takeOver

net: Any = reactor


class Connection:
    """A carrier over a TCP transport of Twisted's, and the plain socket at its other end."""

    def __init__(self) -> None:
        self.owner = Owner(reactor)
        self.carrier: Any = None
        self.peer: Any = None

    async def make(self) -> Connection:
        accepted: defer.Deferred[Any] = defer.Deferred()
        port = net.listenTCP(0, CarrierFactory(reactor, accepted.callback), interface="127.0.0.1")
        self.peer = socket.create_connection(("127.0.0.1", port.getHost().port), 20)
        self.carrier = await accepted
        self.carrier.attach(self.owner)
        await port.stopListening()
        return self

    async def close(self) -> None:
        self.carrier.abort(reset=True)
        self.peer.close()
        await self.owner.happens("closed")


def readAll(peer: socket.socket) -> bytes:
    got = bytearray()
    while data := peer.recv(1 << 16):
        got += data
    return bytes(got)


async def inThread(function: Any, *arguments: Any) -> Any:
    from twisted.internet.threads import deferToThread

    return await deferToThread(function, *arguments)


@ensureDeferred
async def test_bytes_go_both_ways_over_tcp() -> None:
    made = await Connection().make()
    made.peer.sendall(b"in")
    made.carrier.write(bytearray(b"out"))
    memory = bytearray(b"area")
    made.carrier.write(memoryview(memory))
    memory[:] = b"gone"
    made.carrier.resume()
    await made.owner.gets(2)
    assert made.owner.received == b"in"
    assert await inThread(made.peer.recv, 7, socket.MSG_WAITALL) == b"outarea"
    assert (made.carrier.bytesRead, made.carrier.bytesWritten) == (2, 7)
    await made.close()


@ensureDeferred
async def test_it_is_born_paused() -> None:
    made = await Connection().make()
    made.peer.sendall(b"x")
    await task.deferLater(net, 0, int)
    await task.deferLater(net, 0, int)
    assert made.owner.events == []
    made.carrier.resume()
    await made.owner.gets(1)
    await made.close()


@ensureDeferred
async def test_a_full_transport_is_seen_in_queued_and_drains() -> None:
    made = await Connection().make()
    total = fill(made.carrier)
    assert made.carrier.queued
    made.carrier.end()
    assert len(await inThread(readAll, made.peer)) == total
    await made.owner.happens("drained")
    assert made.carrier.queued == 0
    await made.close()


@ensureDeferred
async def test_each_side_ends_alone() -> None:
    made = await Connection().make()
    made.carrier.resume()
    made.peer.shutdown(socket.SHUT_WR)
    await made.owner.happens("end")
    made.carrier.write(b"answer")
    made.carrier.end()
    made.carrier.write(b"dropped")
    assert await inThread(readAll, made.peer) == b"answer"
    assert made.owner.events == ["end"]
    made.carrier.close()
    await made.owner.happens("closed")
    assert made.owner.events == ["end", "closed"]
    made.peer.close()


@ensureDeferred
async def test_a_reset_is_told_with_twisteds_reason_as_its_cause() -> None:
    made = await Connection().make()
    made.carrier.resume()
    made.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    made.peer.close()
    await made.owner.happens("ECONNRESET")
    error: Any = made.owner.error
    assert error.syscall == "read"
    assert isinstance(error.__cause__, ConnectionLost)
    assert made.owner.events == ["ECONNRESET"]


@ensureDeferred
async def test_what_was_written_last_arrives_though_one_aborts() -> None:
    made = await Connection().make()
    made.carrier.write(b"the alert")
    made.carrier.abort()
    assert made.carrier.closed
    assert made.owner.events == []
    assert await inThread(readAll, made.peer) == b"the alert"
    await made.owner.happens("closed")
    made.peer.close()


@ensureDeferred
async def test_abort_with_reset_is_a_reset() -> None:
    made = await Connection().make()
    made.carrier.abort(reset=True)
    with pytest.raises(ConnectionResetError):
        await inThread(made.peer.recv, 1)
    made.peer.close()


@ensureDeferred
async def test_addresses_and_options_are_the_transports() -> None:
    made = await Connection().make()
    host, port = made.peer.getsockname()
    assert made.carrier.remoteAddress == {"address": host, "family": "IPv4", "port": port}
    assert made.carrier.localAddress["port"] == made.peer.getpeername()[1]
    made.carrier.setNoDelay(True)
    assert made.carrier.transport.getTcpNoDelay()
    made.carrier.setKeepAlive(True, 5)
    assert made.carrier.transport.getTcpKeepAlive()
    await made.close()
    assert made.carrier.remoteAddress["port"] == port
    assert made.carrier.localAddress == {}


class Former(protocol.Protocol):
    """A protocol that says hello and is then replaced."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.ready: defer.Deferred[Former] = defer.Deferred()

    def connectionMade(self) -> None:
        self.ready.callback(self)

    def dataReceived(self, data: bytes) -> None:
        self.told.append("data")

    def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]
        self.told.append("lost")

    def pauseProducing(self) -> None:
        self.told.append("paused")

    def resumeProducing(self) -> None:
        self.told.append("resumed")

    def stopProducing(self) -> None:
        self.told.append("stopped")


class _Wrapped(WrappingFactory):
    protocol = ProtocolWrapper
    noisy = False


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")  # by Twisted itself
@pytest.mark.parametrize("kind", ["plain", "wrapped", "startTLS"])
@ensureDeferred
async def test_takeOver_replaces_the_protocol_wherever_it_stands(kind: str, pki: Pki) -> None:
    client, server = Former(), Former()
    factories: list[Any] = []
    for one in (client, server):
        factory = protocol.Factory.forProtocol(lambda one=one: one)
        factory.noisy = False
        factories.append(_Wrapped(factory) if kind == "wrapped" else factory)
    port = net.listenTCP(0, factories[1], interface="127.0.0.1")
    from twisted.internet.endpoints import TCP4ClientEndpoint

    await TCP4ClientEndpoint(net, "127.0.0.1", port.getHost().port).connect(factories[0])
    await client.ready
    await server.ready
    if kind == "startTLS":
        mine = ssl.PrivateCertificate.loadPEM(pki.server.key + pki.server.cert)
        trust = ssl.Certificate.loadPEM(pki.ca)
        near, far = client.transport, server.transport
        assert near is not None
        assert far is not None
        far.startTLS(mine.options())  # type: ignore[attr-defined]
        near.startTLS(ssl.optionsForClientTLS("localhost", trust))  # type: ignore[attr-defined]
    owners = []
    carriers = []
    for one in (client, server):
        transport: Any = one.transport
        transport.registerProducer(one, True)
        carrier = takeOver(transport)
        owner = Owner(reactor)
        carrier.attach(owner)
        carrier.resume()
        carriers.append(carrier)
        owners.append(owner)
    carriers[0].write(b"ping")
    await owners[1].gets(4)
    carriers[1].write(b"pong!")
    await owners[0].gets(5)
    carriers[0].close()
    await owners[1].until(lambda: "end" in owners[1].events)
    carriers[1].close()
    for owner in owners:
        await owner.happens("closed")
    assert client.told == server.told == []
    await port.stopListening()


@implementer(ITransport)
class Bare:
    """A transport that can only write and close."""

    def __init__(self) -> None:
        self.did: list[Any] = []

    def write(self, data: bytes) -> None:
        self.did.append(data)

    def writeSequence(self, data: Any) -> None:
        self.did.append(b"".join(data))

    def loseConnection(self) -> None:
        self.did.append("lose")

    def getPeer(self) -> object:
        return object()

    def getHost(self) -> object:
        return object()


def over(transport: Any, clock: task.Clock) -> tuple[TransportCarrier, Owner]:
    carrier = TransportCarrier(clock)
    owner = Owner(clock)
    carrier.attach(owner)
    carrier.makeConnection(transport)
    return carrier, owner


def test_a_transport_that_cannot_end_one_side_is_closed_by_end() -> None:
    clock, transport = task.Clock(), Bare()
    carrier, owner = over(transport, clock)
    carrier.write(b"x")
    carrier.end()
    carrier.write(b"y")
    carrier.dataReceived(b"dropped")
    assert transport.did == [b"x", "lose"]
    carrier.connectionLost(Failure(ConnectionDone()))
    assert owner.events == ["closed"]


def test_a_transport_without_anything_is_carried_all_the_same() -> None:
    clock, transport = task.Clock(), Bare()
    carrier, owner = over(transport, clock)
    carrier.resume()
    carrier.pause()
    carrier.setNoDelay(True)
    carrier.setKeepAlive(True, 1)
    assert carrier.localAddress == carrier.remoteAddress == {}
    assert carrier.handle is None
    assert carrier.transport is transport
    carrier.abort(reset=True)
    clock.advance(0)
    assert transport.did == ["lose"]
    assert owner.events == ["closed"]


def test_the_end_of_a_transport_without_half_close_is_an_end_and_then_a_close() -> None:
    clock = task.Clock()
    carrier, owner = over(Bare(), clock)
    carrier.connectionLost(Failure(ConnectionDone()))
    assert owner.events == ["end", "closed"]
    carrier.dataReceived(b"late")
    carrier.readConnectionLost()
    assert owner.events == ["end", "closed"]


def test_an_abort_by_others_is_no_error() -> None:
    clock = task.Clock()
    carrier, owner = over(Bare(), clock)
    carrier.connectionLost(Failure(ConnectionAborted()))
    assert owner.events[-1] == "closed"


def test_an_error_of_ours_is_told_as_it_is() -> None:
    clock = task.Clock()
    carrier, owner = over(Bare(), clock)
    reason = NodeError("no", "ERR_SOMETHING")
    carrier.connectionLost(Failure(reason))
    assert owner.error is reason


def test_a_transport_that_does_not_get_rid_of_its_bytes_is_cut_off() -> None:
    clock = task.Clock()
    transport = StringTransport()
    carrier, owner = over(transport, clock)
    carrier.write(b"last")
    carrier.abort()
    clock.advance(0)
    assert owner.events == ["closed"]
    assert transport.disconnecting
    assert not transport.disconnected
    clock.advance(60)
    assert transport.disconnected
    assert transport.value() == b"last"


@pytest.mark.parametrize("how", ["the connection ends", "its time is over"])
def test_who_waits_for_the_last_bytes_is_called_when_they_have_gone(how: str) -> None:
    clock = task.Clock()
    carrier, _ = over(StringTransport(), clock)
    called: list[str] = []
    carrier.write(b"last")
    carrier.abort()
    carrier.afterParting(lambda: called.append("first"))
    carrier.afterParting(lambda: called.append("second"))
    clock.advance(1)
    assert called == []
    if how == "the connection ends":
        carrier.connectionLost(Failure(ConnectionDone()))
    else:
        clock.advance(60)
    assert called == ["first", "second"]
    carrier.afterParting(lambda: called.append("late"))
    assert called[2:] == ["late"]


def test_a_transport_that_is_lost_at_once_when_it_is_cut_off_is_lost_once() -> None:
    clock = task.Clock()
    transport = StringTransport()
    carrier, owner = over(transport, clock)
    transport.abortConnection = lambda: carrier.connectionLost(Failure(ConnectionDone()))  # type: ignore[method-assign]
    called: list[bool] = []
    carrier.write(b"last")
    carrier.abort()
    carrier.afterParting(lambda: called.append(True))
    clock.advance(60)
    assert called == [True]
    assert owner.events == ["closed"]


def test_the_limit_ends_with_the_connection() -> None:
    clock = task.Clock()
    carrier, _ = over(StringTransport(), clock)
    carrier.abort()
    carrier.connectionLost(Failure(ConnectionDone()))
    assert [call for call in clock.getDelayedCalls() if call.getTime() > 0] == []


def test_a_full_transport_is_cut_off_at_once() -> None:
    clock = task.Clock()
    transport = StringTransport()
    carrier, _ = over(transport, clock)
    carrier.pauseProducing()
    carrier.abort()
    assert transport.disconnected


def test_pausing_and_resuming_reach_the_transport() -> None:
    clock = task.Clock()
    transport = StringTransport()
    carrier, _ = over(transport, clock)
    assert transport.producerState == "paused"
    assert transport.producer is carrier
    carrier.resume()
    assert transport.producerState == "producing"
    carrier.pause()
    assert transport.producerState == "paused"


def test_an_error_of_the_owner_is_logged_and_closes_the_transport(loggedErrors: Any) -> None:
    clock = task.Clock()
    transport = StringTransport()
    carrier, owner = over(transport, clock)

    def fail(data: bytes) -> None:
        raise ZeroDivisionError

    owner.onData = fail
    carrier.dataReceived(b"x")
    assert [type(error) for error in loggedErrors.flush()] == [ZeroDivisionError]
    assert transport.disconnecting
    assert owner.events == ["data", "closed"]
