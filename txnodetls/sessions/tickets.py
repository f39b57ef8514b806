"""
Ticket keys: what a server seals its session tickets with.

Who knows them can read every connection that was resumed with their tickets
(TLS 1.2: the first one too), and can make tickets that say anything.  So they
live in memory, are changed now and then, and are never shown: not in a C{repr},
not in a log.

A key is Node's: 48 bytes, 16 of a name that is sent in the clear, 16 for
HMAC-SHA256, 16 for AES-128-CBC.

There are three kinds in a ring:

    next      waits; tickets of other processes, whose clocks are ahead, are taken
    current   makes tickets
    old       takes tickets, and renews them, until the last of them has expired

Which key is which is a matter of the time alone: with each goes the time from
which it is the current one.  So processes that share a ring (see
C{ring.py}) need not talk to change keys; they have long known the next one
when its time comes.

Sources: https://nodejs.org/api/tls.html#session-resumption, RFC 5077 section 4.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Mapping
from typing import Final

from txnodetls.constants import DEFAULT_SESSION_TIMEOUT, TICKET_KEYS_SIZE
from txnodetls.errors import Blame, NodeError, Phase, invalidArgType, invalidArgValue

__all__ = ["KeySchedule", "TicketKeys", "randomKey", "ticketKeys"]

_BUFFER: Final = "an instance of Buffer, TypedArray, or DataView"
_FOREVER: Final = float("inf")


def ticketKeys(given: object) -> bytes:
    """
    48 bytes, as C{setTicketKeys} takes them.

    @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE}: these are no bytes.
    @raise NodeError: C{ERR_INTERNAL_ASSERTION}, as in Node: they are not 48.
    """
    if not isinstance(given, (bytes, bytearray, memoryview)):
        raise invalidArgType("buffer", _BUFFER, given)
    keys = bytes(given)
    if len(keys) != TICKET_KEYS_SIZE:
        raise NodeError(
            "Session ticket keys must be a 48-byte buffer",
            "ERR_INTERNAL_ASSERTION",
            blame=Blame.CONFIGURATION,
            phase=Phase.CONFIGURING,
        )
    return keys


class KeySchedule:
    """
    Ticket keys, and the time from which each of them makes the tickets.

    @ivar interval: whole seconds for which each key does.  Keys begin at whole multiples of it
        since 1970, so that processes that know nothing of each other agree.
    @ivar lifetime: for how many seconds a key that is replaced will still open
        tickets: as long as the last of its tickets lives.
    """

    __slots__ = ("_keys", "_told", "_until", "interval", "lifetime")

    def __init__(self, interval: float, lifetime: float = DEFAULT_SESSION_TIMEOUT) -> None:
        if not 1 <= interval < _FOREVER:
            raise invalidArgValue("interval", interval, "is not a time of at least one second")
        self.interval = int(interval)
        self.lifetime = lifetime
        self._keys: dict[int, bytes] = {}
        # What keys() says, and until when it is right.
        self._told: tuple[bytes, ...] = ()
        self._until = 0.0

    def entries(self) -> dict[int, bytes]:
        """All keys, by the time (in whole seconds since 1970) at which each begins."""
        return dict(self._keys)

    def adopt(self, entries: Mapping[int, bytes]) -> None:
        """Take over keys; for a time that has one already, the given one."""
        self._keys = dict(sorted((self._keys | dict(entries)).items()))
        self._until = 0.0

    def missing(self, now: float, notice: float) -> list[int]:
        """
        The times for which there should be keys and are none.

        @param notice: for how many seconds a key has to be known before it begins.
        """
        wanted = []
        if not any(begins <= now for begins in self._keys):
            # The very first one: there is nobody yet who could know another.
            wanted.append(int(now // self.interval) * self.interval)
        if not any(begins > now for begins in self._keys):
            # Whoever has not heard of it by then would make nothing of its tickets.
            wanted.append((int((now + notice) // self.interval) + 1) * self.interval)
        return wanted

    def prune(self, now: float) -> list[int]:
        """Forget the keys whose last tickets have expired; when those began."""
        times = list(self._keys)
        gone = [
            begins
            for begins, successor in itertools.pairwise(times)
            if successor + self.lifetime <= now
        ]
        for begins in gone:
            del self._keys[begins]
        if gone:
            self._until = 0.0
        return gone

    def keys(self, now: float) -> tuple[bytes, ...]:
        """The current key, the next ones, and then the old ones, newest first."""
        if now >= self._until or not self._told:
            self.prune(now)
            times = list(self._keys)
            # If the clock was set back to before them all, the first one has to do.
            count = max(1, sum(begins <= now for begins in times))
            begun, waiting = times[:count], times[count:]
            order = [*begun[-1:], *waiting, *reversed(begun[:-1])]
            self._told = tuple(self._keys[begins] for begins in order)
            ends = [begins + self.lifetime for begins in begun[1:]]
            self._until = min([*waiting, *ends, now + self.interval])
        return self._told


class TicketKeys:
    """
    The keys of one server that shares none: the current one, and those before it.

    @ivar lifetime: for how many seconds a key that is replaced will still open
        tickets: as long as the last of its tickets lives.
    @param current: 48 bytes; random ones if None.
    @param clock: gives seconds; need not start anywhere in particular.
    """

    __slots__ = ("_clock", "_current", "_older", "lifetime")

    def __init__(
        self,
        current: bytes | None = None,
        lifetime: float = DEFAULT_SESSION_TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._current = randomKey() if current is None else ticketKeys(current)
        self.lifetime = lifetime
        self._clock = clock
        self._older: list[tuple[float, bytes]] = []

    @property
    def current(self) -> bytes:
        """The 48 bytes that tickets are made with."""
        return self._current

    def keys(self) -> tuple[bytes, ...]:
        """The current key, then those that still open tickets, newest first."""
        now = self._clock()
        self._older = [(end, key) for end, key in self._older if end > now]
        return (self._current, *(key for _, key in self._older))

    def replace(self, keys: object) -> None:
        """
        Use these 48 bytes, and forget all others.

        @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE}.
        @raise NodeError: C{ERR_INTERNAL_ASSERTION}.
        """
        self._current = ticketKeys(keys)
        self._older = []

    def rotate(self, keys: object = None) -> None:
        """
        Make tickets with these 48 bytes, or random ones, from now on.

        Tickets of the key before are still taken, and are renewed, for L{lifetime} seconds.

        @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE}.
        @raise NodeError: C{ERR_INTERNAL_ASSERTION}.
        """
        new = randomKey() if keys is None else ticketKeys(keys)
        if new != self._current:
            former = (self._clock() + self.lifetime, self._current)
            self._older = [former, *((end, key) for end, key in self._older if key != new)]
            self._current = new

    def __repr__(self) -> str:
        return f"<{type(self).__name__} with {len(self._older)} older keys>"


def randomKey() -> bytes:
    """48 bytes that nobody knows."""
    return os.urandom(TICKET_KEYS_SIZE)
