"""
Two ends of a TLS connection in memory, each with the face of Node or of Twisted, that do whatever
they are told in whatever order; and what must be true of it.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from twisted.internet import protocol
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer

import txnodetls as tls
from tests.support import Pki
from txnodetls.testing import MemoryPair
from txnodetls.twisted.adapter import ProtocolAdapter

__all__ = ["ACTS", "FACES", "GENTLE", "Driven", "endOf", "judge"]

ACTS = (
    "write",
    "write with callback",
    "end",
    "end with data",
    "pause",
    "resume",
    "cork",
    "uncork",
    "close",
    "destroy",
    "fail",
    "await",
)
#: Those that a connection lives through.
GENTLE = ("write", "write with callback", "pause", "resume", "cork", "uncork", "await")
#: How an end is driven and read; of Twisted's, whether the protocol may be half open.
FACES = ("data", "readable", "async for", "protocol", "half-closeable protocol")


class Oops(Exception):
    """An error of the application's."""

    code = "OOPS"


@functools.cache
def contexts(pki: Pki, version: str) -> tuple[Any, Any]:
    """A server's and a client's, made once."""
    versions = {"minVersion": version, "maxVersion": version}
    return (
        tls.createSecureContext({"key": pki.server.key, "cert": pki.server.cert, **versions}),
        tls.createSecureContext({"ca": pki.ca, **versions}),
    )


def pattern(start: int, size: int) -> bytes:
    """Bytes that tell where in the stream they belong."""
    return bytes((start + i) % 251 for i in range(size))


class End:
    """
    One end.

    @ivar events: what was heard, in its order; data that adjoin are one `data`.
    @ivar sent: all that was written, while that was allowed.
    @ivar came: all that was received.
    @ivar killed: destroyed, with an error or without, by its own application.
    @ivar left: closed without waiting for the peer's end.
    """

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.events: list[str] = []
        self.sent = bytearray()
        self.came = bytearray()
        self.killed = self.left = self.failed = False
        self.owed = 0
        self.called: list[int] = []
        self.waiting: list[Deferred[Any]] = []
        for name in ("end", "finish", "error", "close"):
            socket.on(name, lambda *_, name=name: self.hear(name))

    @property
    def over(self) -> bool:
        """'close' was emitted."""
        return "close" in self.events

    def hear(self, name: str) -> None:
        assert "close" not in self.events, (name, self.events)
        assert name == "finish" or name not in self.events, (name, self.events)
        self.events.append(name)

    def take(self, data: bytes) -> None:
        assert not {"end", "close"}.intersection(self.events), self.events
        self.came += data

    def piece(self, size: int) -> bytes:
        data = pattern(len(self.sent), size)
        self.sent += data
        return data

    def callback(self) -> Any:
        number, self.owed = self.owed, self.owed + 1

        def call(_error: object = None) -> None:
            assert "close" not in self.events
            self.called.append(number)

        return call

    def secured(self) -> None:
        """The handshake is done."""

    def do(self, act: str, size: int) -> None:
        raise NotImplementedError

    def letGo(self) -> None:
        """Hold nothing back any more, and end."""
        raise NotImplementedError

    def settled(self) -> None:
        """All is over."""
        assert self.events.count("close") == 1, self.events
        assert self.events[-1] == "close"
        assert self.events.count("error") <= 1
        assert sorted(self.called) == list(range(self.owed))
        assert all(each.called for each in self.waiting)


class NodeEnd(End):
    """Node's face, read in one of three ways."""

    def __init__(self, socket: Any, way: str) -> None:
        super().__init__(socket)
        self.reading: Deferred[None] | None = None
        if way == "data":
            socket.on("data", self.take)
        elif way == "readable":
            socket.on("readable", self.readAll)
        else:
            self.reading = Deferred.fromCoroutine(self.loop())
            self.reading.addErrback(lambda failure: None)  # the connection's own error
        self.flows = way == "data"

    def readAll(self) -> None:
        while (chunk := self.socket.read()) is not None:
            self.take(chunk)

    async def loop(self) -> None:
        async for chunk in self.socket:
            self.take(chunk)

    def do(self, act: str, size: int) -> None:
        socket = self.socket
        if act.startswith("write") and socket.writable:
            if act == "write":
                socket.write(self.piece(size))
            else:
                memory = bytearray(self.piece(size))
                socket.write(memory, self.callback())
                memory[:] = b"\xff" * size
        elif act.startswith("end") and not socket.destroyed:
            if act == "end":
                socket.end(self.callback())
            elif socket.writable:
                socket.end(self.piece(size), self.callback())
        elif (act in ("pause", "resume") and self.flows) or act in ("cork", "uncork"):
            getattr(socket, act)()
        elif act == "close":
            self.left = self.left or not socket.destroyed
            socket.destroySoon()
        elif act in ("destroy", "fail") and not socket.destroyed:
            self.killed = True
            self.failed = act == "fail"
            socket.destroy(Oops() if self.failed else None)
        elif act == "await":
            secured = socket.whenSecure()
            secured.addErrback(lambda failure: None)
            self.waiting.append(secured)

    def letGo(self) -> None:
        while self.socket.writableCorked:
            self.socket.uncork()
        if self.flows:
            self.socket.resume()
        self.socket.end()

    def settled(self) -> None:
        super().settled()
        assert self.called == sorted(self.called)
        assert self.reading is None or self.reading.called
        assert self.failed <= ("error" in self.events)


@implementer(IPushProducer)
class Producer:
    """Notes that it is paused, resumed and stopped, as often as each makes sense."""

    def __init__(self) -> None:
        self.paused = self.stopped = False

    def pauseProducing(self) -> None:
        assert not self.paused
        self.paused = True

    def resumeProducing(self) -> None:
        assert self.paused
        self.paused = False

    def stopProducing(self) -> None:
        assert not self.stopped
        self.stopped = True


class TwistedEnd(End):
    """Twisted's face: a protocol, from when the handshake is done on."""

    def __init__(self, socket: Any, half: bool) -> None:
        super().__init__(socket)
        self.protocol = Speaking(self)
        if half:
            alsoProvides(self.protocol, IHalfCloseableProtocol)
        self.producer: Producer | None = None
        self.lost: list[Failure] = []

    def secured(self) -> None:
        ProtocolAdapter(self.socket, self.protocol).start()

    def do(self, act: str, size: int) -> None:
        transport: Any = self.protocol.transport
        if transport is None:
            return
        if act == "write":
            if self.open():
                self.sent += (data := pattern(len(self.sent), size))
                transport.write(data)
        elif act == "write with callback":
            if self.open():
                data = self.piece(size)
                transport.writeSequence([data[:1], data[1:]])
        elif act.startswith("end"):
            transport.loseWriteConnection()
        elif act in ("pause", "resume"):
            getattr(transport, f"{act}Producing")()
        elif act == "cork" and self.producer is None and not self.socket.destroyed:
            self.producer = Producer()
            transport.registerProducer(self.producer, True)
        elif act == "uncork":
            self.unregister()
        elif act == "close":
            self.left = self.left or not self.socket.destroyed
            transport.loseConnection()
        elif act in ("destroy", "fail") and not self.socket.destroyed:
            self.killed = True
            transport.abortConnection()

    def open(self) -> bool:
        return bool(self.socket.writable) and not self.protocol.transport._sending  # type: ignore[attr-defined]

    def unregister(self) -> None:
        if self.producer is not None:
            self.producer = None
            self.protocol.transport.unregisterProducer()  # type: ignore[attr-defined]

    def letGo(self) -> None:
        if self.protocol.transport is None:
            # Its handshake cannot be done any more: the peer has gone.
            self.socket.destroy()
            return
        self.unregister()
        self.protocol.transport.resumeProducing()
        self.protocol.transport.loseWriteConnection()

    def settled(self) -> None:
        super().settled()
        assert len(self.lost) == (self.protocol.transport is not None)
        if self.lost and self.killed:
            assert self.lost[0].check(ConnectionAborted)


class Speaking(protocol.Protocol):
    """Passes on what it is told, and sees to it that nothing comes behind connectionLost."""

    def __init__(self, end: TwistedEnd) -> None:
        self.end = end
        self.half: list[str] = []

    def dataReceived(self, data: bytes) -> None:
        assert not self.end.lost
        assert "read" not in self.half
        self.end.take(data)

    def readConnectionLost(self) -> None:
        assert not self.end.lost
        self.half.append("read")

    def writeConnectionLost(self) -> None:
        assert not self.end.lost
        self.half.append("write")

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self.end.lost.append(reason)


def endOf(socket: Any, face: str) -> NodeEnd | TwistedEnd:
    """An end with one of C{FACES}; of Twisted's, call C{secured()} when it is."""
    if face in ("data", "readable", "async for"):
        return NodeEnd(socket, face)
    return TwistedEnd(socket, face.startswith("half"))


def judge(*ends: Any) -> None:
    """What must be true of both ends of a connection that is over."""
    for end in ends:
        assert end.over, end.events
        end.settled()
    for giver, taker in (ends, ends[::-1]):
        assert giver.sent.startswith(taker.came)
        clean = "finish" in giver.events and not (giver.killed or taker.killed or taker.left)
        if clean and "error" not in giver.events + taker.events:
            assert taker.came == giver.sent
            assert "end" in taker.events


class Driven:
    """
    A client and a server that can be told what to do.

    @param faces: of C{FACES}, the client's and the server's.
    @param half: C{allowHalfOpen}, of each of them.
    @param mark: the high water mark of both.
    @param sizes: how many bytes are delivered at a time, over and over.
    """

    def __init__(
        self,
        pki: Pki,
        version: str,
        faces: tuple[str, str],
        half: tuple[bool, bool] = (False, False),
        mark: int = 65536,
        sizes: Iterable[int] = (65536,),
    ) -> None:
        serving, connecting = contexts(pki, version)
        self.pair = MemoryPair(
            {"secureContext": serving},
            {"secureContext": connecting, "servername": "localhost"},
        )
        for socket, allowed in ((self.pair.client, half[0]), (self.pair.server, half[1])):
            socket.allowHalfOpen = allowed
            socket._readMark = socket._writeMark = mark
        self._sizes: Iterator[int] = itertools.cycle(sizes)
        self.refused: list[Any] = []
        self.pair.listener.on("tlsClientError", lambda error, socket: self.refused.append(error))
        self.client = endOf(self.pair.client, faces[0])
        self.server = endOf(self.pair.server, faces[1])
        self.pair.client.once("secureConnect", self.client.secured)
        self.pair.listener.once("secureConnection", lambda socket: self.server.secured())

    @property
    def ends(self) -> tuple[Any, Any]:
        return self.client, self.server

    def step(self) -> bool:
        """Deliver a piece in each direction; whether there was one."""
        for wire in self.pair._wires:
            wire._limit = next(self._sizes)
        return self.pair.step()

    def pump(self) -> None:
        """Deliver until nothing moves."""
        idle = 0
        for _ in range(100_000):
            idle = 0 if self.step() else idle + 1
            if idle > 2:
                return
        raise AssertionError("the two ends still talk")

    def do(self, who: int, act: str, size: int) -> None:
        """Let one end act, or (`step`) deliver so many pieces."""
        if act == "step":
            for _ in range(size):
                self.step()
        else:
            self.ends[who].do(act, size)

    def finish(self) -> None:
        """Let go of all that is held, let both ends end, and look at what came of it."""
        self.pump()
        for end in self.ends:
            end.letGo()
        self.pump()
        for end in self.ends:
            end.letGo()
        self.pump()
        judge(*self.ends)
        self.pair.listener.close()
        self.pair.clock.advance(0)
        assert self.pair.clock.getDelayedCalls() == []
