"""
Session stores and key rings out of one line of text.

The same text does in Python, in endpoint strings, and in the daemon's switches
and its file:

    sessionStore     memory:  redis://…  rediss://…  memcached://…
    ticketKeyRing    memory:  file:PATH  redis://…  rediss://…

Behind a C{?} may stand more: C{memory:?maxEntries=1000&maxBytes=1000000},
C{file:/run/keys?interval=600}; for the others see L{RedisSessionStore},
L{MemcachedSessionStore} and L{RedisTicketKeys}.  A ring takes C{interval}, the seconds for
which each key makes tickets, wherever it lives.
"""

from __future__ import annotations

import time
from typing import Any, Final

from txnodetls.errors import NodeError, NodeTypeError, invalidArgType, invalidArgValue
from txnodetls.interfaces import ISessionStore
from txnodetls.sessions.memcached import MemcachedSessionStore
from txnodetls.sessions.memory import MemorySessionStore
from txnodetls.sessions.places import number, settings
from txnodetls.sessions.redis import RedisSessionStore
from txnodetls.sessions.ring import INTERVAL, RedisTicketKeys, TicketKeyFile, TicketKeyRing

__all__ = ["sessionStoreFrom", "ticketKeyRingFrom"]

_STORES: Final = "memory:, redis://…, rediss://… or memcached://…"
_RINGS: Final = "memory:, file:PATH, redis://… or rediss://…"


def sessionStoreFrom(option: str, given: Any, reactor: Any = None) -> ISessionStore:
    """
    A session store: the one that was given, or the one that a text describes.

    @param option: what errors call it.
    @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE}, C{ERR_INVALID_ARG_VALUE}.
    @raise NodeError: C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM}: for want of txredisapi.
    """
    if not isinstance(given, str):
        if not ISessionStore.providedBy(given):
            raise invalidArgType(option, "an ISessionStore", given)
        store: ISessionStore = given
        return store
    scheme, rest, query = _divided(given)
    if scheme == "memory" and not rest:
        more = settings(option, query, ("maxEntries", "maxBytes"))
        limits = {name: int(number(option, more, name, 0)) for name in more}
        clock = time.monotonic if reactor is None else reactor.seconds
        return MemorySessionStore(**limits, clock=clock)
    if scheme in ("redis", "rediss"):
        return _named(option, lambda: RedisSessionStore(given, reactor=reactor))
    if scheme == "memcached":
        return _named(option, lambda: MemcachedSessionStore(given, reactor=reactor))
    raise invalidArgValue(option, scheme, f"has to be one of {_STORES}")


def ticketKeyRingFrom(option: str, given: Any, reactor: Any = None) -> TicketKeyRing:
    """
    A ring of ticket keys: the one that was given, or the one that a text describes.

    @param option: what errors call it.
    @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE}, C{ERR_INVALID_ARG_VALUE}.
    @raise NodeError: C{ERR_MISSING_ARGS}: Redis without C{keyFile};
        C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM}: for want of txredisapi.
    """
    if isinstance(given, TicketKeyRing):
        return given
    if not isinstance(given, str):
        raise invalidArgType(option, "a TicketKeyRing", given)
    scheme, rest, query = _divided(given)
    if scheme in ("redis", "rediss"):
        home = _named(option, lambda: RedisTicketKeys(given, reactor=reactor))
        more = {name: value for name, value in home.more.items() if name == "interval"}
    elif scheme == "file" or (scheme == "memory" and not rest):
        home = None if scheme == "memory" else _named(option, lambda: TicketKeyFile(rest))
        more = settings(option, query, ("interval",))
    else:
        raise invalidArgValue(option, scheme, f"has to be one of {_RINGS}")
    interval = number(option, more, "interval", INTERVAL)
    return _named(option, lambda: TicketKeyRing(home, interval, reactor=reactor))


def _divided(text: str) -> tuple[str, str, str]:
    """Scheme, the rest, and what stands behind the question mark."""
    front, _, query = text.partition("?")
    scheme, _, rest = front.partition(":")
    return scheme, rest, query


def _named(option: str, make: Any) -> Any:
    """What is wrong with the text is wrong with the option."""
    try:
        return make()
    except NodeError as error:
        kind = NodeTypeError if isinstance(error, NodeTypeError) else NodeError
        raise kind(f"{option}: {error.message}", error.code, blame=error.blame) from error
