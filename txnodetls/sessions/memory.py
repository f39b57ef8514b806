"""
A session store in memory, for one process.

Anyone who can connect can have sessions stored, so the store is bounded, in
entries and in bytes: when it is full, the session that was not asked for
longest goes.  What has expired is gone, whether its place was needed or not.
"""

from __future__ import annotations

import heapq
import time
from collections import OrderedDict
from collections.abc import Callable

from zope.interface import implementer

from txnodetls.interfaces import ISessionStore

__all__ = ["MemorySessionStore"]


@implementer(ISessionStore)
class MemorySessionStore:
    """
    Keeps sessions in memory.

    @param maxEntries: how many sessions at most.
    @param maxBytes: how many bytes at most, of ids and data together.
    @param clock: gives seconds; need not start anywhere in particular.
    """

    def __init__(
        self,
        maxEntries: int = 20_000,
        maxBytes: int = 64 * 1024 * 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._maxEntries = maxEntries
        self._maxBytes = maxBytes
        self._clock = clock
        # The one used last is last.
        self._entries: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()
        # When what ends, soonest first.  An entry that was replaced or
        # discarded leaves its line here behind.
        self._ends: list[tuple[float, bytes]] = []
        self._bytes = 0

    def __len__(self) -> int:
        """How many sessions there are."""
        self._expire()
        return len(self._entries)

    @property
    def size(self) -> int:
        """How many bytes of ids and data there are."""
        self._expire()
        return self._bytes

    def store(self, sessionId: bytes, data: bytes, lifetime: float) -> None:
        """
        Keep data under sessionId for at most lifetime seconds.

        What is longer than the whole store is not kept.
        """
        self._expire()
        self._remove(sessionId)
        size = len(sessionId) + len(data)
        if lifetime <= 0 or size > self._maxBytes or self._maxEntries < 1:
            return
        while len(self._entries) >= self._maxEntries or self._bytes + size > self._maxBytes:
            self._remove(next(iter(self._entries)))
        end = self._clock() + lifetime
        self._entries[sessionId] = (end, data)
        self._bytes += size
        heapq.heappush(self._ends, (end, sessionId))
        if len(self._ends) > 2 * len(self._entries) + 64:
            self._ends = [(end, sessionId) for sessionId, (end, _) in self._entries.items()]
            heapq.heapify(self._ends)

    def fetch(self, sessionId: bytes) -> bytes | None:
        """The data kept under sessionId, or None."""
        self._expire()
        entry = self._entries.get(sessionId)
        if entry is None:
            return None
        self._entries.move_to_end(sessionId)
        return entry[1]

    def discard(self, sessionId: bytes) -> None:
        """Forget sessionId."""
        self._remove(sessionId)

    def _remove(self, sessionId: bytes) -> None:
        entry = self._entries.pop(sessionId, None)
        if entry is not None:
            self._bytes -= len(sessionId) + len(entry[1])

    def _expire(self) -> None:
        now = self._clock()
        while self._ends and self._ends[0][0] <= now:
            end, sessionId = heapq.heappop(self._ends)
            entry = self._entries.get(sessionId)
            if entry is not None and entry[0] == end:
                self._remove(sessionId)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._entries)} sessions>"
