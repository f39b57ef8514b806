"""
A session store in Redis, for many processes on many hosts.

What Redis gets is sealed, see C{sealing.py}: who can read it learns nothing, who
can write to it can make nobody's session, and who can delete costs clients a full
handshake.  Keep it on a network of its own, or use C{rediss} and a password.

Redis lets entries expire by itself.

The protocol is txredisapi's (the extra C{redis}); how it is connected is
C{wire.py}'s, because a client library waits for its server, and a handshake
does not.  txredisapi imports the global reactor, so it is itself imported when
the first connection is made.

Sources: https://redis.io/docs/latest/commands/, https://github.com/IlyaSkriblovsky/txredisapi
"""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

from txnodetls.errors import Blame, NodeError, Phase
from txnodetls.interfaces import ISessionStore
from txnodetls.sessions.places import Place, number, parsePlace
from txnodetls.sessions.wire import Line, StoreError, Wired, WiredStore

__all__ = ["TIMEOUT", "RedisSessionStore", "redisLine", "redisPlace"]

#: Seconds that an answer may take.
TIMEOUT: Final = 0.5

_SETTINGS: Final = ("keyFile", "passwordFile", "ca", "prefix", "timeout")


@implementer(ISessionStore)
class RedisSessionStore(WiredStore):
    """
    Keeps sessions in Redis.

    Nothing is connected before a session is to be stored or found.

    @param address: C{redis://[[user]:password@]host[:port][/database]}, or C{rediss://…};
        behind a C{?} may stand C{keyFile=PATH} (for C{sealingKeys}), C{passwordFile=PATH},
        C{ca=PATH} (for C{rediss}; else whom the platform trusts), C{prefix=TEXT},
        C{timeout=SECONDS}.
    @param sealingKeys: at least 32 bytes each: the first one seals, all of them open.
    @param endpoint: another way there than the address says; that still has user, password
        and database.
    @param timeout: seconds for an answer.
    @param reactor: by default the global one.
    @raise NodeError: C{ERR_INVALID_ARG_VALUE}, C{ERR_INVALID_ARG_TYPE},
        C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM} without txredisapi.
    """

    def __init__(
        self,
        address: str = "redis://127.0.0.1",
        *,
        sealingKeys: Sequence[bytes] | None = None,
        prefix: str | None = None,
        timeout: float | None = None,
        endpoint: IStreamClientEndpoint | None = None,
        reactor: Any = None,
    ) -> None:
        place = redisPlace("address", address, _SETTINGS)
        super().__init__(place, sealingKeys, prefix)
        if timeout is None:
            timeout = number("address", place.more, "timeout", TIMEOUT)
        self._line = redisLine(place, timeout, endpoint, reactor)

    def store(self, sessionId: bytes, data: bytes, lifetime: float) -> Deferred[None] | None:
        """Keep data under sessionId for at most lifetime seconds."""
        if lifetime <= 0:
            return None
        life = b"%d" % math.ceil(lifetime * 1000)
        return self._line.ask(
            lambda redis: redis.execute_command(b"SET", self._key(sessionId), data, b"PX", life)
        ).addCallback(_nothing)

    def fetch(self, sessionId: bytes) -> Deferred[bytes | None]:
        """The data kept under sessionId, or None."""
        return self._line.ask(
            lambda redis: redis.execute_command(b"GET", self._key(sessionId)).addCallback(_bytes)
        )

    def discard(self, sessionId: bytes) -> Deferred[None]:
        """Forget sessionId."""
        return self._line.ask(
            lambda redis: redis.execute_command(b"DEL", self._key(sessionId))
        ).addCallback(_nothing)


def _nothing(_answer: Any) -> None:
    """What is said when something was done is of no interest."""


def _bytes(answer: Any) -> bytes | None:
    if answer is not None and not isinstance(answer, bytes):
        raise TypeError("these are no bytes")
    return answer


def redisPlace(option: str, address: str, known: Sequence[str]) -> Place:
    """
    Where a Redis is.

    @raise NodeError: C{ERR_INVALID_ARG_VALUE}; C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM}:
        there is no txredisapi.
    """
    place = parsePlace(option, address, ("redis", "rediss"), known)
    if importlib.util.find_spec("txredisapi") is None:
        raise NodeError(
            "Redis needs the package txredisapi (the extra redis: pip install txnodetls[redis])",
            "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM",
            blame=Blame.CONFIGURATION,
            phase=Phase.CONFIGURING,
        )
    return place


def redisLine(
    place: Place, timeout: float, endpoint: IStreamClientEndpoint | None = None, reactor: Any = None
) -> Line:
    """A connection to Redis, logged in and with its database chosen."""

    def prepare(redis: Any) -> Deferred[Any]:
        done: Deferred[Any]
        if place.password is None:
            done = redis.execute_command(b"PING")
        else:
            user = () if place.username is None else (place.username.encode(),)
            done = redis.execute_command(b"AUTH", *user, place.password.encode())
        if place.database:
            number = b"%d" % place.database
            done.addCallback(lambda _: redis.execute_command(b"SELECT", number))
        return done

    way = place.endpoint if endpoint is None else (lambda _reactor: endpoint)
    return Line(place.name, way, lambda: _protocol()(), prepare, timeout, reactor)


@functools.cache
def _protocol() -> Any:
    """The class of the protocol; this imports txredisapi."""
    import txredisapi

    class Redis(Wired, txredisapi.RedisProtocol):
        """txredisapi's protocol, without the pool that it usually belongs to."""

        def __init__(self) -> None:
            super().__init__(charset=None, convertNumbers=False)

        def connectionMade(self) -> None:
            self.connected = 1

        def replyReceived(self, value: Any) -> None:
            if isinstance(value, Exception):
                value = _withoutText(value)
            if self.replyQueue.waiting:
                super().replyReceived(value)
            else:
                # An answer to nothing: all that follow would be off by one.
                self.giveUp()

    return Redis


def _withoutText(error: Exception) -> StoreError:
    """An error of Redis's, by its code alone: what follows may repeat the command, and secrets."""
    if type(error).__name__ != "ResponseError":
        return StoreError("the connection was lost")
    code = str(error).split(" ", 1)[0]
    return StoreError(f"Redis refused: {code if code.isupper() and code.isalpha() else 'ERR'}")
