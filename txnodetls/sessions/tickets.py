"""
Ticket keys: what a server seals its session tickets with.

Who knows them can read every connection that was resumed with their tickets
(TLS 1.2: the first one too), and can make tickets that say anything.  So they
live in memory, are changed now and then, and are never shown: not in a C{repr},
not in a log.

A key is Node's: 48 bytes, 16 of a name that is sent in the clear, 16 for
HMAC-SHA256, 16 for AES-128-CBC.

Sources: https://nodejs.org/api/tls.html#session-resumption, RFC 5077 section 4.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

from txnodetls.constants import DEFAULT_SESSION_TIMEOUT, TICKET_KEYS_SIZE
from txnodetls.errors import Blame, NodeError, Phase, invalidArgType

__all__ = ["TicketKeyRing", "ticketKeys"]

_BUFFER: Final = "an instance of Buffer, TypedArray, or DataView"


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


class TicketKeyRing:
    """
    The key that tickets are made with, and those before it, which still open theirs.

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
        self._current = _random() if current is None else ticketKeys(current)
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
        new = _random() if keys is None else ticketKeys(keys)
        if new != self._current:
            former = (self._clock() + self.lifetime, self._current)
            self._older = [former, *((end, key) for end, key in self._older if key != new)]
            self._current = new

    def __repr__(self) -> str:
        return f"<{type(self).__name__} with {len(self._older)} older keys>"


def _random() -> bytes:
    return os.urandom(TICKET_KEYS_SIZE)
