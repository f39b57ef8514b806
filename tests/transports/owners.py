"""What stands in for a socket on top of a carrier, and pairs of connected sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from txnodetls.openssl.areas import INPUT
from txnodetls.streams.ticks import ticksFor
from txnodetls.transports.polling import pollerFor


def readers() -> list[Any]:
    """Whom the reactor itself, or the loop that it runs on, asks to read."""
    return _watchedAlone("getReaders")


def writers() -> list[Any]:
    """The same for writing."""
    return _watchedAlone("getWriters")


def _watchedAlone(method: str) -> list[Any]:
    # Not before the reactor of these tests is installed.
    from twisted.internet import reactor

    found = [each for each in (reactor, pollerFor(reactor).loop) if each is not None]
    return [descriptor for each in found for descriptor in getattr(each, method)()]


class End:
    """One end of a pair of sockets as a descriptor, which writes down how it is called."""

    def __init__(self, watcher: Any) -> None:
        self.socket, self.peer = socket.socketpair()
        self.socket.setblocking(False)
        self.watcher = watcher
        self.calls: list[str] = []
        self.onRead: Callable[[], object] = lambda: None
        self.onWrite: Callable[[], object] = lambda: None

    def fileno(self) -> int:
        return self.socket.fileno()

    def doRead(self) -> None:
        try:
            self.calls.append(f"read {self.socket.recv(100)!r}")
        except BlockingIOError:
            self.calls.append("nothing to read")
        except ConnectionResetError:
            self.calls.append("reset")
        self.onRead()

    def doWrite(self) -> None:
        self.calls.append("write")
        self.onWrite()

    def connectionLost(self, reason: Any) -> None:
        self.calls.append(f"lost: {reason.type.__name__}")

    def close(self) -> None:
        self.watcher.removeReader(self)
        self.watcher.removeWriter(self)
        self.socket.close()


class Owner:
    """
    Writes down what a carrier tells it, and whether it was told inside a turn.

    @ivar events: C{'data'} (once for any number in a row), C{'end'}, C{'drained'}, and
        C{'closed'} or the code of the error that it was closed with.
    """

    def __init__(self, reactor: Any) -> None:
        self.events: list[str] = []
        self.received = bytearray()
        self.error: Exception | None = None
        self.onData: Callable[[bytes], object] = lambda data: None
        self._ticks = ticksFor(reactor)
        self._waiting: list[tuple[Callable[[], object], Deferred[None]]] = []

    def carrierData(self, data: bytes) -> None:
        assert type(data) is bytes
        self.received += data
        if self.events[-1:] != ["data"]:
            self.events.append("data")
        self.onData(data)
        self._changed()

    def carrierArea(self, length: int) -> None:
        self.carrierData(bytes(INPUT.view[:length]))

    def carrierEnd(self) -> None:
        self._note("end")

    def carrierDrained(self) -> None:
        self._note("drained")

    def carrierClosed(self, error: Exception | None) -> None:
        self.error = error
        self._note("closed" if error is None else str(getattr(error, "code", error)))

    def _note(self, event: str) -> None:
        self.events.append(event)
        self._changed()

    def _changed(self) -> None:
        assert self._ticks.active, "told outside of a turn"
        waiting, self._waiting = self._waiting, []
        for condition, deferred in waiting:
            if condition():
                deferred.callback(None)
            else:
                self._waiting.append((condition, deferred))

    def until(self, condition: Callable[[], object]) -> Deferred[None]:
        """Fires when the condition holds, asked at each thing that it is told."""
        deferred: Deferred[None] = Deferred()
        if condition():
            deferred.callback(None)
        else:
            self._waiting.append((condition, deferred))
        return deferred

    def happens(self, event: str) -> Deferred[None]:
        """Fires when it has been told so."""
        return self.until(lambda: event in self.events)

    def gets(self, length: int) -> Deferred[None]:
        """Fires when it has received so many bytes."""
        return self.until(lambda: len(self.received) >= length)


def tcpPair() -> tuple[socket.socket, socket.socket]:
    """Two connected TCP sockets of the loopback; the second one is blocking."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        first = socket.create_connection(listener.getsockname())
        second, _ = listener.accept()
    second.settimeout(20)
    return first, second


def unixPair() -> tuple[socket.socket, socket.socket]:
    """Two connected UNIX sockets; the second one is blocking."""
    first, second = socket.socketpair()
    second.settimeout(20)
    return first, second


def fill(carrier: Any) -> int:
    """Write until something is queued; how much was written."""
    total = 0
    while not carrier.queued:
        carrier.write(bytes(65536))
        total += 65536
    return total
