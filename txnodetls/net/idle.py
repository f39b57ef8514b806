"""
The idle time of a socket.

Every read and write counts as activity, so activity has to be cheap: it only notes the time.
One timer is under way at most; when it runs out early, it is set anew for the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from txnodetls.errors import invalidArgType, outOfRange

__all__ = ["IdleTimer", "duration"]

_LONGEST = 2147483647  # milliseconds, as JavaScript's timers


def duration(msecs: object, name: str = "msecs") -> float:
    """
    A time in milliseconds, checked.

    @raise NodeError: C{ERR_INVALID_ARG_TYPE}, C{ERR_OUT_OF_RANGE}.
    """
    if isinstance(msecs, bool) or not isinstance(msecs, (int, float)):
        raise invalidArgType(name, "of type number", msecs)
    if not 0 <= msecs < math.inf:
        raise outOfRange(name, "a non-negative finite number", msecs)
    return min(msecs, _LONGEST)


class IdleTimer:
    """
    Calls C{expired()} when nobody has called L{touch} for a while; once, until the next L{touch}.

    @param reactor: whose clock it is.
    @param msecs: how long a while is.
    """

    __slots__ = ("_call", "_expired", "_last", "_reactor", "_seconds")

    def __init__(self, reactor: Any, msecs: float, expired: Callable[[], object]) -> None:
        self._reactor = reactor
        self._seconds = msecs / 1000
        self._expired = expired
        self._last: float = reactor.seconds()
        self._call: Any = reactor.callLater(self._seconds, self._ran)

    def touch(self) -> None:
        """There was activity."""
        self._last = self._reactor.seconds()
        if self._call is None:
            self._call = self._reactor.callLater(self._seconds, self._ran)

    def stop(self) -> None:
        """Nobody waits any more."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _ran(self) -> None:
        rest = self._last + self._seconds - self._reactor.seconds()
        if rest > 0:
            self._call = self._reactor.callLater(rest, self._ran)
        else:
            self._call = None
            self._expired()
