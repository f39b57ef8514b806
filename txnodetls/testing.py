"""
Helpers for tests of programs that use this package: no network, no disk, no waiting.

    authority = ThrowawayCA()
    cert, key = authority.issue(["localhost"])
    pair = MemoryPair(
        {"cert": cert, "key": key},
        {"ca": authority.certPEM, "servername": "localhost"},
    )
    pair.pump()
    pair.client.write(b"hello")
    pair.pump()

Both ends of a L{MemoryPair} are whole TLSSockets.  What the one sends is
delivered to the other by C{pump()}, and time passes when C{advance()} says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from twisted.internet.task import Clock

from txnodetls.client import connect
from txnodetls.net.socket import Socket
from txnodetls.pki.throwaway import ThrowawayCA, throwawayCertificate
from txnodetls.server import Server
from txnodetls.socket import TLSSocket
from txnodetls.streams.ticks import ticksFor
from txnodetls.transports.carrier import Carrier, Data

__all__ = ["MemoryPair", "ThrowawayCA", "throwawayCertificate"]


class MemoryPair:
    """
    A TLS client and a TLS server, joined in memory.

    @param serverOptions: those of C{createServer}.
    @param clientOptions: those of C{connect}; with a C{servername}, or C{rejectUnauthorized}
        False, because there is no host here.
    @param limit: how many bytes one delivery holds at most; 1 delivers byte by byte.
    @param clock: what stands for the reactor, if other pairs are to share it.

    @ivar client: the client's TLSSocket.
    @ivar server: the server's TLSSocket, from the very start; what is emitted before its
        handshake is done comes as C{'tlsClientError'} from C{listener}.
    @ivar listener: the Server, which listens nowhere.
    @ivar clock: what stands for the reactor.
    """

    def __init__(
        self,
        serverOptions: Mapping[str, Any],
        clientOptions: Mapping[str, Any],
        *,
        limit: int = 65536,
        clock: Clock | None = None,
    ) -> None:
        self.clock = Clock() if clock is None else clock
        near, far = _Wire(self.clock, limit), _Wire(self.clock, limit)
        near.peer, far.peer = far, near
        self._wires = (near, far)
        self.listener = Server(serverOptions, reactor=self.clock)
        self.server: TLSSocket = self.listener._newSocket(_plainSocket(far, self.clock))
        options = {**clientOptions, "socket": _plainSocket(near, self.clock)}
        self.client = connect(options, reactor=self.clock)

    def step(self) -> bool:
        """
        Deliver one piece in each direction, and let due calls run.

        @return: whether anything was there to deliver.
        """
        self.clock.advance(0)
        moved = [wire.deliver() for wire in self._wires]
        self.clock.advance(0)
        return any(moved)

    def pump(self, rounds: int = 100_000) -> None:
        """
        Deliver until nothing moves any more.

        @raise RuntimeError: it still moves after so many rounds.
        """
        for _ in range(rounds):
            if not self.step() and not self.step():
                return
        raise RuntimeError(f"the two sides still talk after {rounds} rounds")

    def advance(self, seconds: float) -> None:
        """Let time pass, and deliver what comes of it."""
        self.clock.advance(seconds)
        self.pump()

    def cut(self) -> None:
        """Break the connection below: each side finds it ended, without a close_notify."""
        for wire in self._wires:
            wire.queue.clear()
            wire.queue.append(None)
        self.pump()


def _plainSocket(wire: _Wire, clock: Clock) -> Socket:
    socket = Socket(reactor=clock)
    socket._adopt(wire)
    return socket


class _Wire(Carrier):
    """
    A carrier to another one of its kind.

    @ivar queue: what the other one has sent and has not been delivered here; None: its end.
    """

    __slots__ = ("_ending", "_flowing", "_limit", "peer", "queue")

    peer: _Wire

    def __init__(self, clock: Any, limit: int) -> None:
        super().__init__(ticksFor(clock))
        self.queue: deque[bytes | None] = deque()
        self._limit = limit
        self._flowing = False
        self._ending = False

    def deliver(self) -> bool:
        """Give the owner the next piece; whether there was one."""
        if self.closed or not self._flowing or not self.queue:
            return False
        piece = self.queue.popleft()
        if piece is None:
            self._flowing = False
            self.ticks.turn(self.owner.carrierEnd)
            return True
        if len(piece) > self._limit:
            self.queue.appendleft(piece[self._limit :])
            piece = piece[: self._limit]
        self.bytesRead += len(piece)
        self.ticks.turn(self.owner.carrierData, piece)
        if self.peer.queued and not self.queue:
            self.ticks.turn(self.peer.drained)
        return True

    def drained(self) -> None:
        """All that was written has been taken."""
        if self.queued:
            self.queued = 0
            self.owner.carrierDrained()

    def write(self, data: Data) -> None:
        """Queue it at the other end, which takes it when it is delivered."""
        if self._ending or self.closed or self.peer.closed:
            return
        self.bytesWritten += len(data)
        self.queued += len(data)
        self.peer.queue.append(bytes(data))

    def end(self) -> None:
        """End this side."""
        if not self._ending and not self.closed:
            self._ending = True
            self.peer.queue.append(None)

    def close(self) -> None:
        """End this side, and hear nothing more."""
        self.abort()

    def abort(self, reset: bool = False) -> None:
        """Go; what was sent is still delivered."""
        if not self.closed:
            self.end()
            self._gone(None, self.ticks.nextTick)
            # What would have come is lost, and nobody waits until it has been read.
            self.queue.clear()
            if self.peer.queued:
                self.ticks.nextTick(self.peer.drained)

    def pause(self) -> None:
        """Deliver nothing for now."""
        self._flowing = False

    def resume(self) -> None:
        """Deliver."""
        self._flowing = True
