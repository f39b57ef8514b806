"""
One timer for many deadlines of the same length.

A server bounds the time of each handshake.  With a timer of the reactor's for each of them, all
but a few are cancelled again a moment later, and what was cancelled stays in the reactor's heap,
which every timer that follows has to be sorted into.  Deadlines of one length come due in the
order in which they were set, so a dictionary holds them in order, and one timer waits for the
first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall

__all__ = ["Deadlines"]

Kept = TypeVar("Kept")


class Deadlines(Generic[Kept]):
    """
    The deadlines of those that are not done yet.

    @ivar seconds: how long each of them has; change it only while nobody waits.
    @param reactor: an C{IReactorTime}.
    @param late: called with each that was not done in time.
    @param mayStay: whether the timer may stay when nobody waits: it is not to be cancelled for
        the moment between two connections, but must not outlive a server.  Whoever says so calls
        L{settle} when that is over.
    """

    __slots__ = ("_due", "_late", "_mayStay", "_next", "_reactor", "_timer", "seconds")

    def __init__(
        self,
        reactor: Any,
        seconds: float,
        late: Callable[[Kept], object],
        mayStay: Callable[[], bool],
    ) -> None:
        self._reactor = reactor
        self.seconds = seconds
        self._late = late
        self._mayStay = mayStay
        self._due: dict[Kept, float] = {}
        self._timer: IDelayedCall | None = None
        self._next = 0.0  # when it comes

    def __len__(self) -> int:
        return len(self._due)

    def begin(self, one: Kept) -> None:
        """C{one} has to be done within the time, from now."""
        self._due.pop(one, None)  # the last to be begun is the last in order
        due = self._due[one] = self._reactor.seconds() + self.seconds
        if self._timer is None:
            self._wait(self.seconds, due)
        elif due < self._next:  # the time is shorter than it was
            self._timer.reset(self.seconds)
            self._next = due

    def done(self, one: Kept) -> bool:
        """C{one} is done; whether it was still waited for."""
        if self._due.pop(one, None) is None:
            return False
        if not self._due:
            self.settle()
        return True

    def settle(self) -> None:
        """Leave no timer behind where nobody waits, unless it may stay."""
        timer = self._timer
        if timer is not None and not self._due and not self._mayStay():
            self._timer = None
            timer.cancel()

    def _wait(self, seconds: float, until: float) -> None:
        self._timer = self._reactor.callLater(seconds, self._look)
        self._next = until

    def _look(self) -> None:
        self._timer = None
        due, now = self._due, self._reactor.seconds()
        late = []
        for one, time in due.items():
            if time > now:
                self._wait(time - now, time)
                break
            late.append(one)
        for one in late:
            if one in due:
                # Still among them, so that whoever ends it sees that it was waited for.
                self._late(one)
