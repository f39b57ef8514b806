"""
A session store in memcached, for many processes on many hosts.

What memcached gets is sealed, see C{sealing.py}.  It knows neither passwords nor
TLS, so whoever reaches it can delete, which costs clients a full handshake; more
cannot be done.  When it is full it drops what it likes: what a cache is for.

The protocol is Twisted's; how it is connected is C{wire.py}'s.

Source: https://github.com/memcached/memcached/blob/master/doc/protocol.txt
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.protocols.memcache import MemCacheProtocol
from zope.interface import implementer

from txnodetls.errors import invalidArgValue
from txnodetls.interfaces import ISessionStore
from txnodetls.sessions.places import number, parsePlace
from txnodetls.sessions.wire import Line, StoreError, Wired, WiredStore

__all__ = ["TIMEOUT", "MemcachedSessionStore"]

#: Seconds that an answer may take.
TIMEOUT: Final = 0.5

# From here on a time is not how long, but until when.
_RELATIVE: Final = 30 * 24 * 3600
# With an id in hexadecimal digits this stays below memcached's own limit for keys.
_LONGEST_PREFIX: Final = 100

_SETTINGS: Final = ("keyFile", "prefix", "timeout")


@implementer(ISessionStore)
class MemcachedSessionStore(WiredStore):
    """
    Keeps sessions in memcached.

    Nothing is connected before a session is to be stored or found.

    @param address: C{memcached://host[:port]}; behind a C{?} may stand C{keyFile=PATH} (for
        C{sealingKeys}), C{prefix=TEXT}, C{timeout=SECONDS}.
    @param sealingKeys: at least 32 bytes each: the first one seals, all of them open.
    @param prefix: what all keys in memcached begin with.
    @param endpoint: another way there than the address says.
    @param timeout: seconds for an answer.
    @param clock: seconds since 1970, for what is to be kept longer than a month.
    @param reactor: by default the global one.
    @raise NodeTypeError: C{ERR_INVALID_ARG_VALUE}, C{ERR_INVALID_ARG_TYPE}.
    """

    def __init__(
        self,
        address: str = "memcached://127.0.0.1",
        *,
        sealingKeys: Sequence[bytes] | None = None,
        prefix: str | None = None,
        timeout: float | None = None,
        endpoint: IStreamClientEndpoint | None = None,
        clock: Callable[[], float] = time.time,
        reactor: Any = None,
    ) -> None:
        place = parsePlace("address", address, ("memcached",), _SETTINGS)
        super().__init__(place, sealingKeys, prefix)
        if timeout is None:
            timeout = number("address", place.more, "timeout", TIMEOUT)
        self._clock = clock
        way = place.endpoint if endpoint is None else (lambda _reactor: endpoint)
        self._line = Line(
            place.name, way, _Memcached, lambda cache: cache.version(), timeout, reactor
        )

    def _checkPrefix(self, name: str) -> None:
        if (
            len(name) > _LONGEST_PREFIX
            or not name.isascii()
            or not name.isprintable()
            or " " in name
        ):
            raise invalidArgValue("prefix", name, f"has to be at most {_LONGEST_PREFIX} of ASCII")

    def store(self, sessionId: bytes, data: bytes, lifetime: float) -> Deferred[None] | None:
        """Keep data under sessionId for at most lifetime seconds."""
        if lifetime <= 0:
            return None
        # 0 would be for ever.
        life = max(1, math.floor(lifetime))
        if life > _RELATIVE:
            life = int(self._clock()) + life
        key = self._key(sessionId)
        return self._line.ask(
            lambda cache: cache.set(key, data, expireTime=life).addCallback(_stored)
        )

    def fetch(self, sessionId: bytes) -> Deferred[bytes | None]:
        """The data kept under sessionId, or None."""
        key = self._key(sessionId)
        return self._line.ask(lambda cache: cache.get(key).addCallback(lambda found: found[1]))

    def discard(self, sessionId: bytes) -> Deferred[None]:
        """Forget sessionId."""
        key = self._key(sessionId)
        return self._line.ask(lambda cache: cache.delete(key)).addCallback(lambda _: None)


def _stored(done: Any) -> None:
    if not done:
        raise StoreError("memcached did not store it")


class _Memcached(Wired, MemCacheProtocol):
    """Twisted's protocol; what goes wrong is the asker's to tell, and not logged here."""

    def __init__(self) -> None:
        super().__init__(timeOut=None)

    def _refused(self, _text: object = None) -> None:
        self._current.popleft().fail(StoreError("memcached refused"))

    cmd_ERROR = _refused
    cmd_CLIENT_ERROR = _refused
    cmd_SERVER_ERROR = _refused
