"""
A forwarder between a client and a server that cuts the connection at any byte.

    cutter = await Cutter.start(port)
    cutter.arm("up", 100, reset=True)     # after 100 bytes of the client's
    ... connect to cutter.port ...
"""

from __future__ import annotations

from typing import Any, Self

from twisted.internet import protocol, reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol

__all__ = ["Cutter"]


class _Side(protocol.Protocol):
    """One of the two connections; C{other} is the other."""

    transport: Any

    def __init__(self, cutter: Cutter, direction: str) -> None:
        self.cutter = cutter
        self.direction = direction
        self.other: _Side | None = None
        self.early = b""
        self.over = False

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        if self.direction == "up":
            self.cutter.accepted(self)

    def dataReceived(self, data: bytes) -> None:
        if self.other is None:
            self.early += data
        elif not self.over:
            self.cutter.passOn(self, data)

    def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
        self.over = True
        if self.other is not None and not self.other.over:
            self.other.transport.loseConnection()


class Cutter:
    """
    Forwards to a port of the loopback.

    @ivar port: its own.
    @ivar passed: bytes passed on so far on the latest connection: C{up} the client's, C{down}
        the server's.
    @ivar isCut: whether the latest connection was cut.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listening: Any = None
        self._limits: dict[str, int] = {}
        self._reset = False
        self.passed = {"up": 0, "down": 0}
        self.isCut = False

    @classmethod
    async def start(cls, target: int) -> Self:
        """A forwarder that listens."""
        cutter = cls(target)
        factory = protocol.Factory.forProtocol(lambda: _Side(cutter, "up"))
        factory.noisy = False
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        cutter._listening = await endpoint.listen(factory)
        return cutter

    @property
    def port(self) -> int:
        return int(self._listening.getHost().port)

    def arm(self, direction: str, after: int, *, reset: bool) -> None:
        """Cut the next connection after so many bytes, with RST or, below the TLS, with FIN."""
        self._limits = {direction: after}
        self._reset = reset

    def disarm(self) -> None:
        """Cut no more."""
        self._limits = {}

    async def stop(self) -> None:
        """Accept no more."""
        await self._listening.stopListening()

    def accepted(self, client: _Side) -> None:
        self.passed = {"up": 0, "down": 0}
        self.isCut = False
        server = _Side(self, "down")
        below = TCP4ClientEndpoint(reactor, "127.0.0.1", self._target)

        def connected(_: object) -> None:
            client.other, server.other = server, client
            if 0 in self._limits.values():
                self._cut(client, server)
            elif client.over:
                server.transport.loseConnection()
            elif client.early:
                self.passOn(client, client.early)

        connectProtocol(below, server).addCallback(connected)

    def passOn(self, side: _Side, data: bytes) -> None:
        limit = self._limits.get(side.direction)
        other = side.other
        assert other is not None
        if limit is not None:
            data = data[: limit - self.passed[side.direction]]
        self.passed[side.direction] += len(data)
        # Not by way of the transport, which writes in the next turn: a RST would come first.
        sent = other.transport.getHandle().send(data) if data else 0
        assert sent == len(data), "what a conversation says fits into the kernel's buffers"
        if limit == self.passed[side.direction]:
            self._cut(side, other)

    def _cut(self, *sides: _Side) -> None:
        self.isCut = True
        for side in sides:
            side.over = True
            if self._reset:
                side.transport.abortConnection()
            else:
                side.transport.loseConnection()
