"""
Limits: how many connections there may be, and how long one may be silent.

Nothing is done per read: once in a while all connections are looked at (L{Sweeper}), and whose
counts have not changed has been silent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from txnodetls.daemon.records import Phase, Reason, Record
from txnodetls.daemon.repeating import Repeating

__all__ = ["Gate", "Sweeper", "Times"]

_EVERY = 1.0


@dataclass(frozen=True, slots=True)
class Times:
    """
    How long a connection may be silent, in seconds; 0: for ever.

    @ivar idle: while it is open.
    @ivar close: once one side has ended, or it is being closed.
    """

    idle: float
    close: float


class Gate:
    """
    Counts connections, and says when there are enough.

    @ivar most: how many there may be; 0: any number.
    @ivar mostEach: how many from one address.
    """

    def __init__(self, most: int = 0, mostEach: int = 0) -> None:
        self.most = most
        self.mostEach = mostEach
        self._open = 0
        self._each: dict[str, int] = {}

    @property
    def open(self) -> int:
        """How many there are."""
        return self._open

    def admits(self, address: str | None) -> bool:
        """Whether one more may come from this address; it is counted then."""
        if self.most and self._open >= self.most:
            return False
        if address is not None:
            already = self._each.get(address, 0)
            if self.mostEach and already >= self.mostEach:
                return False
            self._each[address] = already + 1
        self._open += 1
        return True

    def left(self, address: str | None) -> None:
        """One that was admitted is gone."""
        self._open -= 1
        if address is not None:
            count = self._each.get(address, 0) - 1
            if count > 0:
                self._each[address] = count
            else:
                self._each.pop(address, None)


class Sweeper:
    """
    Ends connections that are silent for too long.

    @param records: those to look at.
    @param reactor: for the time.
    """

    def __init__(self, reactor: Any, records: Iterable[Record]) -> None:
        self._reactor = reactor
        self._records = records
        self._sweeping = Repeating(reactor, self.sweep)

    def start(self) -> None:
        """Begin, unless it has begun."""
        self._sweeping.start(_EVERY)

    def stop(self) -> None:
        """Look no more."""
        self._sweeping.stop()

    def sweep(self) -> None:
        """Look at all of them once."""
        now = self._reactor.seconds()
        for record in list(self._records):
            if record.phase is Phase.OPEN:
                self._look(record, now)

    def _look(self, record: Record, now: float) -> None:
        seen = sum(record.count())
        closing = record.closing
        if seen != record.seen or closing is not record.wasClosing:
            record.seen, record.wasClosing, record.active = seen, closing, now
            return
        times = record.times
        limit = times.close if closing else times.idle
        if not limit or now - record.active < limit:
            return
        record.active = now
        if closing:
            record.ends(Reason.CLOSING)
            record.abort()
        else:
            record.ends(Reason.IDLE)
            record.close()
