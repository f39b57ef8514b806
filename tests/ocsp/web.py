"""An OCSP responder of the tests' own on the loopback, as good or bad as a test wants it."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from twisted.internet import protocol, reactor

from tests.loopback import until

__all__ = ["Connection", "Web", "ok"]


def ok(body: bytes, *headers: bytes) -> bytes:
    """A whole answer."""
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers, b"", body]
    return b"\r\n".join(lines)


class Connection(protocol.Protocol):
    """One connection; C{head} and C{body} are those of the request once it is complete."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.data = b""
        self.head = b""
        self.body = b""

    def connectionMade(self) -> None:
        self.web.open.add(self)
        self.web.connections += 1

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        head, separator, body = self.data.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line[:15] == b"Content-Length:"), 0
        )
        if separator and len(body) >= length:
            self.head, self.body, self.data = head, body, b""
            self.web.requests.append(self)
            if self.web.behave is not None:
                self.web.behave(self)

    def send(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def lose(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()

    def connectionLost(self, reason: Any = None) -> None:
        self.web.open.discard(self)


class Web:
    """
    Listens; use it in an C{async with}.

    @param behave: called with each complete request.
    @ivar url: where.
    @ivar requests: the connections with a complete request, in their order.
    @ivar connections: how many there were.
    """

    def __init__(self, behave: Callable[[Connection], object] | None = None) -> None:
        self.behave = behave
        self.open: set[Connection] = set()
        self.requests: list[Connection] = []
        self.connections = 0
        self.url = ""

    def answer(self, body: bytes) -> None:
        """To the last request."""
        self.requests[-1].send(ok(body))

    async def quiet(self) -> None:
        """No connection is open any more."""
        await until(lambda: not self.open)

    async def __aenter__(self) -> Self:
        factory = protocol.Factory.forProtocol(lambda: Connection(self))  # type: ignore[arg-type]
        factory.noisy = False
        self._port: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._port.getHost().port}/ocsp"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._port.stopListening()
        for each in list(self.open):
            assert each.transport is not None
            each.transport.abortConnection()  # type: ignore[attr-defined]
        await self.quiet()
