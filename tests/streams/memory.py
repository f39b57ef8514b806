"""Duplex streams in memory, and a record of what they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

from txnodetls.streams import Duplex, ticksFor

EVENTS = ("end", "finish", "drain", "pause", "resume", "close")


class Recorded(Duplex):
    """
    A stream whose sink and source are the test's.

    @ivar seen: the events and hooks, in their order: a name, or a tuple with what came with it.
    @ivar sink: "now": chunks are taken at once; "later": each waits in C{held} for its callback.
    @ivar asked: how often C{_read} was called.
    """

    def __init__(self, clock: Clock | None = None, *, sink: str = "now", **options: Any) -> None:
        self.clock = Clock() if clock is None else clock
        super().__init__(reactor=self.clock, **options)
        self.seen: list[Any] = []
        self.sink = sink
        self.taken: list[bytes] = []
        self.held: list[Callable[..., object]] = []
        self.heldFinal: Callable[..., object] | None = None
        self.heldDestroy: Callable[..., object] | None = None
        self.finalLater = self.destroyLater = False
        self.asked = 0
        for name in EVENTS:
            self.on(
                name, lambda *args, name=name: self.seen.append((name, *args) if args else name)
            )
        self.on("error", lambda error: self.seen.append(("error", codeOf(error))))

    def _read(self) -> None:
        self.asked += 1

    def _write(self, chunk: Any, callback: Callable[..., object]) -> bool:
        self.taken.append(bytes(chunk))
        if self.sink == "now":
            return True
        self.held.append(callback)
        return False

    def _final(self, callback: Callable[..., object]) -> None:
        self.seen.append("final")
        if self.finalLater:
            self.heldFinal = callback
        else:
            callback(None)

    def _destroy(self, error: BaseException | None, callback: Callable[..., object]) -> None:
        self.seen.append("destroy")
        if self.destroyLater:
            self.heldDestroy = callback
        else:
            callback(error)

    def record(self, name: str) -> Recorded:
        """Record an event with its arguments, too."""
        self.on(name, lambda *args: self.seen.append((name, *args) if args else name))
        return self

    def callback(self, name: str) -> Callable[..., None]:
        """A callback whose call is recorded."""
        return lambda error=None: self.seen.append((name, codeOf(error)))

    def turn(self, function: Callable[..., object] = lambda: None, *args: Any) -> None:
        """Run something in a turn; without one, the ticks that are owed."""
        ticksFor(self.clock).turn(function, *args)

    def take(self) -> list[Any]:
        """What was seen since the last C{take()}."""
        seen, self.seen = self.seen, []
        return seen


class End(Duplex):
    """One end of a pair: what is written to it comes out of the other after C{Pair.deliver}."""

    other: End

    def __init__(self, clock: Clock, **options: Any) -> None:
        super().__init__(reactor=clock, **options)
        self.line: list[bytes | None] = []  # on the way to the other end
        self.wanted = False
        self.waiting: tuple[int, Callable[..., object]] | None = None

    def _read(self) -> None:
        self.wanted = True

    def _write(self, chunk: Any, callback: Callable[..., object]) -> bool:
        self.line.append(bytes(chunk))
        self.waiting = (len(self.line), callback)
        return False

    def _final(self, callback: Callable[..., object]) -> None:
        self.line.append(None)
        callback(None)

    def _destroy(self, error: BaseException | None, callback: Callable[..., object]) -> None:
        self.line.append(None)
        callback(error)

    def deliver(self) -> bool:
        """Move one chunk to the other end, if that wants it; whether anything moved."""
        if not self.line or not (self.other.wanted or self.other.destroyed):
            return False
        chunk = self.line.pop(0)
        if not self.other.push(chunk):
            self.other.wanted = False
        if chunk is None:
            self.other.read(0)
        if self.waiting is not None and not self.line:
            _, callback = self.waiting
            self.waiting = None
            callback(None)
        return True


class Pair:
    """Two ends, and the wire between them."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.a = End(self.clock, **options)
        self.b = End(self.clock, **options)
        self.a.other, self.b.other = self.b, self.a
        self.ticks = ticksFor(self.clock)

    def pump(self) -> None:
        """Deliver until nothing moves."""
        moved = [True]

        def step() -> None:
            moved[0] = self.a.deliver() | self.b.deliver()

        while moved[0]:
            self.ticks.turn(step)


def codeOf(error: BaseException | None) -> str | None:
    """What an error is recorded as."""
    return None if error is None else getattr(error, "code", None) or str(error)
