"""
A server's session store, and what is not left to it.

A store is somebody else's code, as a rule somebody else's computer.  It may be
slow, down, full or lying; none of that may cost a client more than a full
handshake, or a moment:

- It is given sealed entries only (see C{sessions/sealing.py}), and what it gives
  back is opened before anyone believes it.
- With a session goes the time of the handshake that it goes back to.  In TLS 1.3
  each resumption makes new ones; they end when the first would have ended, or a
  certificate that was looked at once would be good for ever.
- It is waited for no longer than C{PATIENCE}.  After a wait in vain it is left
  alone for a while, so that a store which hangs does not hold up every client.
- Whatever it raises is a warning in the log, one in a while.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from txnodetls.answers import follow
from txnodetls.interfaces import ISessionStore
from txnodetls.sessions.sealing import SessionSealer

__all__ = ["PATIENCE", "SessionKeeper"]

# Seconds: how long a store is waited for, how long it is then left alone, and
# for how long one warning stands for all of its kind.
PATIENCE: Final = 1.0
REST: Final = 2.0
QUIET: Final = 10.0

# The time in front of a session.
_BORN: Final = struct.Struct(">d")

# For stores that come without keys of their own: they serve one process then.
_processSealer: Final = SessionSealer([os.urandom(32)])


class SessionKeeper:
    """
    Keeps sessions in a store.

    @param store: an ISessionStore; its C{sealingKeys}, if it has any, seal what goes in.
    @param reactor: for the time.
    """

    __slots__ = ("_quietUntil", "_reactor", "_restUntil", "_sealer", "_store", "_unsaid")

    _log = Logger()

    def __init__(self, store: ISessionStore, reactor: Any) -> None:
        self._store = store
        self._reactor = reactor
        keys = getattr(store, "sealingKeys", None)
        self._sealer = None if keys is None else SessionSealer(keys)
        self._restUntil = 0.0
        self._quietUntil = 0.0
        self._unsaid = 0

    @property
    def store(self) -> ISessionStore:
        """The store."""
        return self._store

    @property
    def needsKeys(self) -> bool:
        """Whether others share the store, and it has no keys to seal with."""
        return self._sealer is None and bool(getattr(self._store, "shared", False))

    def keep(
        self,
        sessionId: bytes,
        session: bytes,
        binding: bytes,
        sealer: SessionSealer | None,
        lifetime: float,
        kept: Callable[[], None],
        born: float | None = None,
    ) -> None:
        """
        Put a session into the store; C{kept} is called, once, whatever comes of it.

        @param binding: what the session must not be taken away from.
        @param sealer: seals it if the store has no keys of its own; None for this process's.
        @param lifetime: seconds from when it was born.
        @param born: when the handshake was that it goes back to, in the reactor's
            seconds; None for now.
        """
        now = self._reactor.seconds()
        since = now if born is None else min(born, now)
        left = since + lifetime - now
        if left <= 0:
            kept()
            return
        content = _BORN.pack(since) + session
        entry = (self._sealer or sealer or _processSealer).seal(sessionId, binding, content)
        self._ask("keep", lambda: self._store.store(sessionId, entry, left), lambda _: kept())

    def fetch(
        self,
        sessionId: bytes,
        binding: bytes,
        sealer: SessionSealer | None,
        found: Callable[[bytes | None, float], None],
    ) -> None:
        """
        Get a session from the store.

        @param found: called, once, with the session or None, and with the time
            when it was born.
        """

        def answered(entry: Any) -> None:
            content = None
            if isinstance(entry, (bytes, bytearray, memoryview)):
                opener = self._sealer or sealer or _processSealer
                content = opener.open(sessionId, binding, bytes(entry))
            if content is None:
                found(None, 0.0)
            else:
                found(content[_BORN.size :], _BORN.unpack_from(content)[0])

        self._ask("find", lambda: self._store.fetch(sessionId), answered)

    def discard(self, sessionId: bytes) -> None:
        """Have a session forgotten."""
        self._ask("forget", lambda: self._store.discard(sessionId), lambda _: None)

    def _ask(self, what: str, call: Callable[[], Any], done: Callable[[Any], None]) -> None:
        if self._reactor.seconds() < self._restUntil:
            done(None)
            return
        waiting = [done]

        def answered(error: BaseException | None, value: Any) -> None:
            if timer is not None and timer.active():
                timer.cancel()
            if waiting:
                if error is not None:
                    self._complain(what, error)
                waiting.pop()(value)

        def late() -> None:
            self._restUntil = self._reactor.seconds() + REST
            answered(TimeoutError(f"no answer within {PATIENCE} s"), None)
            if isinstance(result, Deferred):
                result.cancel()

        timer = None
        try:
            result = call()
        except Exception as error:
            answered(error, None)
            return
        follow(result, answered)
        if waiting:
            timer = self._reactor.callLater(PATIENCE, late)

    def _complain(self, what: str, error: BaseException) -> None:
        now = self._reactor.seconds()
        if now < self._quietUntil:
            self._unsaid += 1
            return
        self._log.warn(
            "{store!r} could not {what} a session, which costs a full handshake: {error!r}"
            " (and {unsaid} times before, unsaid)",
            store=self._store,
            what=what,
            error=error,
            unsaid=self._unsaid,
        )
        self._quietUntil = now + QUIET
        self._unsaid = 0
