"""
A client's memory of sessions.

Node's C{tls.connect} has none; whoever connects keeps C{'session'} events and
knows what each is good for.  Here a cache does, which any number of connections
and endpoints can share.

- What a session is good for is a key that the caller makes (see
  C{clientsessions.py}); a session is given for the very same key only.
- A ticket of TLS 1.3 is given once: whoever sees the same ticket twice knows
  that the same client came twice (RFC 8446 appendix C.4).  Servers send several.
- A session is spared the certificate, so it is not kept longer than
  C{lifetime}, whatever the server says.
- Servers decide how many sessions there are and how big they are, so there are
  bounds to both.  The key that was not asked for longest goes first.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, NamedTuple

__all__ = ["ClientSessionCache", "processCache"]

# How many tickets of one key are kept; the newest ones.
_TICKETS: Final = 4


class _Kept(NamedTuple):
    session: bytes
    end: float
    once: bool


class ClientSessionCache:
    """
    Keeps sessions of clients, for the option C{sessionCache} of C{connect}.

    @param maxSessions: how many at most.
    @param maxBytes: how many bytes of them at most.
    @param lifetime: seconds for which one is kept at most.
    @param reuseTickets: give a ticket of TLS 1.3 more than once: for servers that
        send no new one to who resumes, as Node's and this package's do not, where it
        does not matter that connections can be told to be the same client's.
    @param clock: gives seconds; need not start anywhere in particular.
    """

    def __init__(
        self,
        maxSessions: int = 500,
        maxBytes: int = 8 * 1024 * 1024,
        lifetime: float = 7200.0,
        reuseTickets: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._maxSessions = maxSessions
        self._maxBytes = maxBytes
        self._lifetime = lifetime
        self._reuseTickets = reuseTickets
        self._clock = clock
        # The one used last is last, and so is the newest session of each.
        self._kept: OrderedDict[Hashable, list[_Kept]] = OrderedDict()
        self._count = 0
        self._bytes = 0

    def __len__(self) -> int:
        """How many sessions there are, those included that have ended."""
        return self._count

    def take(self, key: Hashable) -> bytes | None:
        """The newest session of a key, or None."""
        kept = self._kept.get(key)
        while kept:
            latest = kept[-1]
            ended = latest.end <= self._clock()
            if ended or (latest.once and not self._reuseTickets):
                self._drop(key, len(kept) - 1)
            if not ended:
                if key in self._kept:
                    self._kept.move_to_end(key)
                return latest.session
        return None

    def keep(
        self, key: Hashable, session: bytes, lifetime: float | None = None, once: bool = True
    ) -> None:
        """
        Keep a session.

        @param lifetime: seconds for which the server says that it is good; None: it does not say.
        @param once: it is a ticket of TLS 1.3; else it takes the place of all others of the key.
        """
        if not once:
            self.forget(key)
        life = self._lifetime if lifetime is None else min(lifetime, self._lifetime)
        if life <= 0 or len(session) > self._maxBytes or self._maxSessions < 1:
            return
        kept = self._kept.setdefault(key, [])
        kept.append(_Kept(session, self._clock() + life, once))
        self._count += 1
        self._bytes += len(session)
        self._kept.move_to_end(key)
        if len(kept) > _TICKETS:
            self._drop(key, 0)
        while self._count > self._maxSessions or self._bytes > self._maxBytes:
            self._drop(next(iter(self._kept)), 0)

    def forget(self, key: Hashable) -> None:
        """Keep no session of a key any more."""
        while key in self._kept:
            self._drop(key, 0)

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._count = self._bytes = 0

    def _drop(self, key: Hashable, index: int) -> None:
        kept = self._kept[key]
        self._bytes -= len(kept.pop(index).session)
        self._count -= 1
        if not kept:
            del self._kept[key]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._count} sessions>"


#: What C{sessionCache=True} means: one for the whole process.
processCache: Final = ClientSessionCache()
