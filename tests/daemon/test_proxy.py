"""
The proxy's pairing of two connections, over plain TCP.

It knows nothing of TLS: what it needs of its front is what any TCP transport of Twisted's has.
That makes its ends, cuts and limits visible without a TLS layer between.  Only a TLS front sees
its client's end while it is paused, so what comes of that is asked with one.
"""

from __future__ import annotations

import hashlib
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import defer, error, interfaces, protocol, reactor
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
)
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.support import Pki, eventually
from txnodetls.daemon.proxy import Backend, Front, PlainBackend, plainEndpoint
from txnodetls.daemon.records import Reason, Record
from txnodetls.transports.connecting import Target
from txnodetls.twisted.endpoints import ClientEndpoint, ServerEndpoint


@implementer(interfaces.IHalfCloseableProtocol)
class Recorder(protocol.Protocol):
    """A peer that notes what happens to it."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.readEnded = False
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def readConnectionLost(self) -> None:
        self.readEnded = True

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self.lost = reason

    def reset(self) -> None:
        """Leave with RST."""
        self.transport.getHandle().setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        self.transport.abortConnection()


class Behind(protocol.Factory):
    noisy = False

    def __init__(self) -> None:
        self.made: list[Recorder] = []

    def buildProtocol(self, addr: object) -> Recorder:
        self.made.append(Recorder())
        return self.made[-1]


class Watched(protocol.Factory):
    """The proxy, which lets one look at the fronts it made."""

    noisy = False

    def __init__(self, endpoint: Any, timeout: float = 0, header: Any = None) -> None:
        self.backend = Backend(endpoint, timeout, header)
        self.made: list[Front] = []

    def buildProtocol(self, addr: Any) -> protocol.Protocol:
        record = Record("test", (addr.host, addr.port), None, 0.0)
        self.made.append(Front(record, self.backend, reactor))
        return self.made[-1]


async def listen(factory: protocol.Factory) -> Any:
    return await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)


async def dial(port: Any, peer: protocol.Protocol) -> Any:
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
    factory = protocol.Factory.forProtocol(lambda: peer)
    factory.noisy = False
    return await endpoint.connect(factory)


class Pair:
    """A client and a backend with the proxy between them."""

    client: Recorder
    backend: Recorder
    ports: list[Any]
    factory: Watched

    @classmethod
    async def make(cls, toBackend: Callable[[int], Any]) -> Pair:
        pair = cls()
        backend = Behind()
        backendPort = await listen(backend)
        pair.factory = Watched(toBackend(backendPort.getHost().port))
        frontPort = await listen(pair.factory)
        pair.ports = [frontPort, backendPort]
        pair.client = await dial(frontPort, Recorder())
        await eventually(lambda: backend.made and backend.made[0].transport)
        pair.backend = backend.made[0]
        return pair

    async def close(self) -> None:
        for side in (self.client, self.backend):
            if side.lost is None:
                side.transport.abortConnection()
                await eventually(lambda side=side: side.lost)
        for port in self.ports:
            await port.stopListening()


def theirs(port: int) -> Any:
    """Twisted's own way to a backend, as any endpoint of Twisted's may be."""
    return TCP4ClientEndpoint(reactor, "127.0.0.1", port)


def ours(port: int) -> Any:
    """Our own way to a backend over plain TCP."""
    return plainEndpoint(reactor, f"tcp:127.0.0.1:{port}")


def withPair(test: Callable[[Pair], Any]) -> Callable[..., Any]:
    async def run(toBackend: Callable[[int], Any]) -> None:
        pair = await Pair.make(toBackend)
        try:
            await test(pair)
        finally:
            await pair.close()

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    everyWay = pytest.mark.parametrize("toBackend", [theirs, ours])
    return everyWay(pytest_twisted.ensureDeferred(run))


@withPair
async def test_bytes_pass_both_ways(pair: Pair) -> None:
    pair.client.transport.write(b"question")
    await eventually(lambda: pair.backend.received == b"question")
    pair.backend.transport.write(b"answer")
    await eventually(lambda: pair.client.received == b"answer")


@withPair
async def test_the_clients_end_reaches_the_backend_which_can_still_answer(pair: Pair) -> None:
    pair.client.transport.write(b"all of it")
    pair.client.transport.loseWriteConnection()
    await eventually(lambda: pair.backend.readEnded)
    assert pair.backend.received == b"all of it"
    assert not pair.client.readEnded
    pair.backend.transport.write(b"late answer")
    pair.backend.transport.loseConnection()
    await eventually(lambda: pair.client.readEnded)
    assert pair.client.received == b"late answer"


@withPair
async def test_the_backends_end_reaches_the_client_which_can_still_send(pair: Pair) -> None:
    pair.backend.transport.write(b"enough")
    pair.backend.transport.loseWriteConnection()
    await eventually(lambda: pair.client.readEnded)
    assert pair.client.received == b"enough"
    pair.client.transport.write(b"one thing more")
    await eventually(lambda: pair.backend.received == b"one thing more")
    pair.client.transport.loseConnection()
    await eventually(lambda: pair.backend.readEnded)


@withPair
async def test_when_both_directions_have_ended_the_proxy_closes(pair: Pair) -> None:
    pair.client.transport.loseWriteConnection()
    pair.backend.transport.loseWriteConnection()
    await eventually(lambda: pair.client.readEnded and pair.backend.readEnded)
    front = pair.factory.made[0]
    await eventually(lambda: not front.transport.connected)
    assert front.other is None


@withPair
async def test_a_reset_by_the_client_is_no_clean_end_for_the_backend(pair: Pair) -> None:
    pair.client.transport.write(b"half a requ")
    await eventually(lambda: pair.backend.received)
    pair.client.reset()
    await eventually(lambda: pair.backend.lost)
    assert not pair.backend.readEnded
    assert pair.backend.lost is not None
    assert pair.backend.lost.check(error.ConnectionLost)


@withPair
async def test_a_reset_by_the_backend_is_no_clean_end_for_the_client(pair: Pair) -> None:
    pair.backend.transport.write(b"half an ans")
    await eventually(lambda: pair.client.received)
    pair.backend.reset()
    await eventually(lambda: pair.client.lost)
    assert not pair.client.readEnded
    assert pair.client.lost is not None
    assert pair.client.lost.check(error.ConnectionLost)


@pytest.mark.parametrize("toBackend", [theirs, ours])
@pytest_twisted.ensureDeferred
async def test_without_a_backend_the_client_is_cut_off(toBackend: Callable[[int], Any]) -> None:
    unreachable = await listen(Behind())
    number = unreachable.getHost().port
    await unreachable.stopListening()
    front = await listen(Watched(toBackend(number)))
    client = await dial(front, Recorder())
    await eventually(lambda: client.lost)
    assert not client.readEnded
    record = front.factory.made[0].record
    assert record.reason is Reason.BACKEND
    assert "refused" in record.error
    await front.stopListening()


@implementer(interfaces.IStreamClientEndpoint)
class Never:
    """An endpoint that never connects, and says whether that was cancelled."""

    def __init__(self) -> None:
        self.asked = 0
        self.cancelled = 0

    def connect(self, factory: object) -> defer.Deferred[Any]:
        self.asked += 1
        return defer.Deferred(self._cancel)

    def _cancel(self, deferred: object) -> None:
        self.cancelled += 1


@pytest_twisted.ensureDeferred
async def test_a_client_that_is_cut_off_while_connecting_cancels_the_connecting() -> None:
    endpoint = Never()
    factory = Watched(endpoint)
    port = await listen(factory)
    client = await dial(port, Recorder())
    await eventually(lambda: endpoint.asked)
    factory.made[0].transport.abortConnection()
    await eventually(lambda: client.lost)
    assert endpoint.cancelled == 1
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_backend_that_takes_too_long_is_given_up() -> None:
    endpoint = Never()
    factory = Watched(endpoint, timeout=0.05)
    port = await listen(factory)
    client = await dial(port, Recorder())
    await eventually(lambda: client.lost)
    record = factory.made[0].record
    assert (record.reason, record.code) == (Reason.BACKEND, "TimeoutError")
    assert endpoint.cancelled == 1
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_header_goes_to_the_backend_first() -> None:
    behind = Behind()
    port = await listen(behind)
    target = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
    factory = Watched(target, header=lambda record: f"from {record.peer[1]};".encode())
    front = await listen(factory)
    client = await dial(front, Recorder())
    client.transport.write(b"question")
    number = client.transport.getHost().port
    await eventually(lambda: behind.made and b"question" in behind.made[0].received)
    assert behind.made[0].received == b"from %d;question" % number
    client.transport.loseConnection()
    await eventually(lambda: behind.made[0].readEnded)
    behind.made[0].transport.loseConnection()
    await eventually(lambda: client.lost)
    await front.stopListening()
    await port.stopListening()


@implementer(interfaces.IStreamClientEndpoint)
class Late:
    """An endpoint that connects when it is told to."""

    def __init__(self, endpoint: Any) -> None:
        self._endpoint = endpoint
        self.go: defer.Deferred[None] = defer.Deferred()

    def connect(self, factory: Any) -> defer.Deferred[Any]:
        return self.go.addCallback(lambda _: self._endpoint.connect(factory))


def held(front: Front) -> int:
    """Bytes that have come and wait until the front is resumed."""
    return int(front.transport.tlsSocket.readableLength)


class Asking(Recorder):
    """A client that asks, and ends what it sends, as soon as it is connected."""

    def __init__(self, question: bytes) -> None:
        super().__init__()
        self._question = question

    def connectionMade(self) -> None:
        self.transport.write(self._question)
        self.transport.loseWriteConnection()


@pytest.mark.parametrize("toBackend", [theirs, ours])
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("question", [b"", b"question"], ids=["nothing", "question"])
@pytest_twisted.ensureDeferred
async def test_a_clients_end_before_there_is_a_backend_reaches_it_nevertheless(
    question: bytes, version: str, toBackend: Callable[[int], Any], pki: Pki
) -> None:
    behind = Behind()
    port = await listen(behind)
    late = Late(toBackend(port.getHost().port))
    factory = Watched(late, header=lambda record: b"header;")
    options = {"key": pki.server.key, "cert": pki.server.cert}
    front = await ServerEndpoint(reactor, options, port=0, host="127.0.0.1").listen(factory)
    trusting = {"ca": pki.ca, "minVersion": version, "maxVersion": version}
    asking = ClientEndpoint(reactor, "localhost", front.getHost().port, trusting)
    client = await asking.connect(protocol.Factory.forProtocol(lambda: Asking(question)))
    # The bytes of the question keep the end behind them; without any it is there already.
    await eventually(lambda: factory.made and (factory.made[0].halfClosed or held(factory.made[0])))
    late.go.callback(None)
    await eventually(lambda: behind.made and behind.made[0].readEnded)
    assert behind.made[0].received == b"header;" + question
    behind.made[0].transport.write(b"answer")
    behind.made[0].transport.loseConnection()
    await eventually(lambda: client.lost and behind.made[0].lost)
    assert client.received == b"answer"
    assert client.lost.check(error.ConnectionDone)
    assert factory.made[0].record.reason is Reason.DONE
    await front.stopListening()
    await port.stopListening()


@withPair
async def test_what_was_passed_and_why_it_ended_is_known(pair: Pair) -> None:
    front = pair.factory.made[0]
    pair.client.transport.write(b"question")
    pair.backend.transport.write(b"an answer")
    await eventually(lambda: front.count() == (8, 9))
    pair.client.transport.loseWriteConnection()
    await eventually(lambda: front.halfClosed)
    pair.backend.transport.loseConnection()
    await eventually(lambda: pair.client.readEnded and not front.transport.connected)
    assert front.record.reason is Reason.DONE


@withPair
async def test_a_reset_is_told_as_the_reason(pair: Pair) -> None:
    pair.client.reset()
    front = pair.factory.made[0]
    await eventually(lambda: front.record.reason)
    assert front.record.reason is Reason.RESET


@withPair
async def test_it_can_be_closed_from_here(pair: Pair) -> None:
    pair.backend.transport.write(b"so far")
    await eventually(lambda: pair.client.received == b"so far")
    pair.factory.made[0].close()
    await eventually(lambda: pair.client.readEnded and pair.backend.readEnded)


async def heldBack(reader: Any, writer: Any) -> None:
    """Who does not read stops who writes, and then all comes."""
    total = 24 * 1024 * 1024
    reader.transport.pauseProducing()
    digest = hashlib.sha256()
    source = Source(writer.transport, total, digest)
    writer.transport.registerProducer(source, True)
    source.resumeProducing()
    # Both kernels' buffers and ours fill up, far below the whole.
    await eventually(lambda: source.paused)
    settled: defer.Deferred[None] = defer.Deferred()
    reactor.callLater(0.2, settled.callback, None)
    await settled
    assert source.left > total // 2
    reader.transport.resumeProducing()
    await eventually(lambda: len(reader.received) == total)
    assert hashlib.sha256(reader.received).digest() == digest.digest()


@withPair
async def test_a_client_that_does_not_read_stops_the_backend(pair: Pair) -> None:
    await heldBack(pair.client, pair.backend)


@withPair
async def test_a_backend_that_does_not_read_stops_the_client(pair: Pair) -> None:
    await heldBack(pair.backend, pair.client)


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("tcp:127.0.0.1:80", PlainBackend),
        ("TCP:host=localhost:port=80", PlainBackend),
        ("unix:/run/backend", PlainBackend),
        ("unix:path=/run/backend", PlainBackend),
        ("tcp:backend.example:80", TCP4ClientEndpoint),
        ("tcp:127.0.0.1:80:timeout=5", TCP4ClientEndpoint),
        ("tcp:127.0.0.1:80:bindAddress=127.0.0.2", TCP4ClientEndpoint),
        (r"tcp:\:\:1:80", TCP4ClientEndpoint),
        ("unix:/run/backend:lockfile=1", UNIXClientEndpoint),
    ],
)
def test_the_ways_to_a_backend_that_need_nothing_of_twisteds_are_our_own(
    target: str, kind: type
) -> None:
    assert type(plainEndpoint(reactor, target)) is kind


def test_what_is_no_endpoint_is_refused() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        plainEndpoint(reactor, "nonsense:80")


def test_an_address_that_does_not_answer_has_its_time() -> None:
    clock: Any = MemoryReactorClock()
    failed: list[Failure] = []
    PlainBackend(clock, Target("192.0.2.1", 80)).connect(Behind()).addErrback(failed.append)
    clock.advance(29)
    assert failed == []
    clock.advance(1)
    assert failed[0].check(error.TimeoutError)


@pytest_twisted.ensureDeferred
async def test_a_backend_on_a_unix_socket_is_reached(tmp_path: Path) -> None:
    behind = Behind()
    path = str(tmp_path / "backend")
    port = await UNIXServerEndpoint(reactor, path).listen(behind)
    front = await listen(Watched(plainEndpoint(reactor, f"unix:{path}")))
    client = await dial(front, Recorder())
    client.transport.write(b"question")
    client.transport.loseWriteConnection()
    await eventually(lambda: behind.made and behind.made[0].readEnded)
    assert behind.made[0].received == b"question"
    behind.made[0].transport.write(b"answer")
    behind.made[0].transport.loseConnection()
    await eventually(lambda: client.readEnded)
    assert client.received == b"answer"
    client.transport.loseConnection()
    await eventually(lambda: client.lost)
    await front.stopListening()
    await port.stopListening()


@implementer(interfaces.IPushProducer)
class Source:
    """Writes pieces to a transport as long as it is not paused."""

    def __init__(self, transport: Any, total: int, digest: Any) -> None:
        self.transport = transport
        self.left = total
        self.digest = digest
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False
        while self.left and not self.paused:
            piece = bytes([self.left // 65536 % 251]) * min(65536, self.left)
            self.left -= len(piece)
            self.digest.update(piece)
            self.transport.write(piece)
        if not self.left:
            self.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        self.paused = True

    def stopProducing(self) -> None:
        self.left = 0
