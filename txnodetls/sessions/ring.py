"""
The ring: ticket keys that make, change and share themselves.

    TicketKeyRing()                    in memory, for one process
    TicketKeyRing(TicketKeyFile(path))      for the processes of one host
    TicketKeyRing(RedisTicketKeys(address))  for many hosts

A ring looks at its home every now and then: it takes over the keys that are
there, adds the one that comes after the current one as soon as there is none,
and drops those that have had their time.  Where several do so at once, one
wins, and all take what it made.  A key is at home a whole interval before its
time, at least; so every process that can reach the home knows it before
anybody makes a ticket with it.

Whatever becomes of the home, a ring goes on with the keys it has.  As long as
it has none, its servers make tickets with keys of their own, which costs
clients a full handshake elsewhere, and no failure anywhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from txnodetls.constants import DEFAULT_SESSION_TIMEOUT, TICKET_KEYS_SIZE
from txnodetls.errors import Blame, NodeError, Phase, invalidArgType, invalidArgValue
from txnodetls.sessions.keyfiles import KeyFileError, exclusively, readSecret, replaceSecret
from txnodetls.sessions.places import keyFrom, number
from txnodetls.sessions.redis import TIMEOUT, redisLine, redisPlace
from txnodetls.sessions.sealing import SessionSealer
from txnodetls.sessions.tickets import KeySchedule, randomKey
from txnodetls.sessions.wire import StoreError

__all__ = ["INTERVAL", "TicketKeyFile", "MemoryHome", "RedisTicketKeys", "TicketKeyRing"]

#: Seconds for which a key makes tickets.
INTERVAL: Final = 3600

# Seconds between two looks at home, at most: usually, and if the last one was in vain.
_LOOK: Final = 30.0
_LOOK_AGAIN: Final = 1.0
# For how many seconds one warning stands for all.
_QUIET: Final = 60.0

_DAY: Final = 24 * 3600
# Of a time in seconds, at most.
_DIGITS: Final = 15

#: Keys by the time at which each begins.
Entries = Mapping[int, bytes]
#: What is to be added to the keys that are there, and which of them are to go.
Revise = Callable[[Entries], tuple[Entries, Sequence[int]]]


class Home(Protocol):
    """Where the keys of a ring live."""

    def exchange(self, revise: Revise) -> Entries | Deferred[Entries]:
        """Change the keys as they are to be changed, and give all of them."""


class TicketKeyRing:
    """
    Ticket keys that change by themselves, for any number of servers.

    @ivar lifetime: for how many seconds a key that is replaced still opens tickets: as
        long as the last of its tickets lives.  A server raises it to its C{sessionTimeout}.
    @param home: where the keys live; None: in memory.
    @param interval: seconds for which each key makes tickets.
    @param clock: seconds since 1970: processes that share a ring have to agree on the time,
        to within half an interval.
    @param reactor: by default the global one.
    @raise NodeError: C{ERR_INVALID_ARG_VALUE}: the home cannot be used.
    """

    _log = Logger()

    def __init__(
        self,
        home: Home | None = None,
        interval: float = INTERVAL,
        lifetime: float = DEFAULT_SESSION_TIMEOUT,
        clock: Callable[[], float] = time.time,
        reactor: Any = None,
    ) -> None:
        if home is not None and not callable(getattr(home, "exchange", None)):
            raise invalidArgType("home", "a TicketKeyFile or a RedisTicketKeys", home)
        self._home = MemoryHome() if home is None else home
        self._schedule = KeySchedule(interval, lifetime)
        self._clock = clock
        self._reactor = reactor
        self._nextLook = 0.0
        self._looking = False
        self._quietUntil = 0.0
        self._users = 0
        self._timer: Any = None
        if isinstance(self._home, TicketKeyFile):
            # What is wrong with a file is said now.
            try:
                self._took(self._home.exchange(self._revise))
            except (OSError, KeyFileError) as error:
                raise invalidArgValue("home", self._home.path, _why(error)) from error

    @property
    def lifetime(self) -> float:
        return self._schedule.lifetime

    @lifetime.setter
    def lifetime(self, seconds: float) -> None:
        self._schedule.lifetime = seconds

    @property
    def interval(self) -> float:
        """Seconds for which each key makes tickets."""
        return self._schedule.interval

    @property
    def current(self) -> bytes | None:
        """The 48 bytes that tickets are made with; None as long as none are known."""
        keys = self.keys()
        return keys[0] if keys else None

    def keys(self) -> tuple[bytes, ...]:
        """The key that makes tickets, and then all others that open them."""
        now = self._clock()
        if now >= self._nextLook:
            self.look()
        return self._schedule.keys(now)

    def entries(self) -> dict[int, bytes]:
        """All keys, by the time (in whole seconds since 1970) at which each begins."""
        return self._schedule.entries()

    def start(self) -> None:
        """
        Look after the keys also while nobody asks for them: old ones are to go on time.

        Each call needs a L{stop}; servers do both, while they listen.
        """
        self._users += 1
        if self._users == 1:
            self._tick()

    def stop(self) -> None:
        """The opposite of L{start}."""
        self._users -= 1
        if self._users == 0 and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        self._timer = None
        self.look().addCallback(lambda _: self._wait())

    def _wait(self) -> None:
        if self._users and self._timer is None:
            delay = max(0.0, self._nextLook - self._clock())
            self._timer = self._reactor.callLater(min(delay, _LOOK), self._tick)

    def look(self) -> Deferred[None]:
        """Look at home now; fires when that is done, be it in vain."""
        # Until it is known when to look again.
        self._nextLook = self._clock() + _LOOK_AGAIN
        if self._looking:
            return succeed(None)
        self._looking = True
        result: Deferred[Entries]
        try:
            answer = self._home.exchange(self._revise)
            result = answer if isinstance(answer, Deferred) else succeed(answer)
        except Exception:
            result = Deferred()
            result.errback(Failure())
        return result.addCallbacks(self._took, self._failed)

    def _revise(self, entries: Entries) -> tuple[Entries, Sequence[int]]:
        now = self._clock()
        plan = KeySchedule(self.interval, self.lifetime)
        plan.adopt(self._schedule.entries())
        plan.adopt(entries)
        plan.prune(now)
        plan.adopt({begins: randomKey() for begins in plan.missing(now, 2 * self._every())})
        all_ = plan.entries()
        # A home that has lost keys gets them back.
        added = {begins: key for begins, key in all_.items() if begins not in entries}
        return added, [begins for begins in entries if begins not in all_]

    def _every(self) -> float:
        return min(self.interval / 4, _LOOK)

    def _took(self, entries: Entries) -> None:
        now = self._clock()
        self._looking = False
        self._schedule.adopt(entries)
        self._schedule.prune(now)
        again = self._every()
        if not self._schedule.keys(now):
            again = min(again, _LOOK_AGAIN)
        # When the next key's time comes, there is to be one behind it.
        waiting = [begins for begins in self._schedule.entries() if begins > now]
        self._nextLook = min([now + again, *waiting])

    def _failed(self, failure: Failure) -> None:
        now = self._clock()
        self._looking = False
        self._nextLook = now + min(self._every(), _LOOK_AGAIN)
        if now >= self._quietUntil:
            self._quietUntil = now + _QUIET
            self._log.warn(
                "{ring!r} goes on with the ticket keys it has: {error}",
                ring=self,
                error=_why(failure.value),
            )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} in {self._home!r}>"


def _why(error: BaseException | None) -> str:
    """What is wrong, without secrets."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error) or type(error).__name__


class MemoryHome:
    """There is no home: the keys are those that the ring has."""

    def exchange(self, revise: Revise) -> Entries:
        return revise({})[0]

    def __repr__(self) -> str:
        return "memory"


class TicketKeyFile:
    """
    Keys in a file that processes of one host share.

    Node's documents advise against keys on a disk, where they outlive their use: in copies,
    backups, blocks given free.  So take a directory in memory, as C{/run} is.

    The file is made if there is none, with rights for its owner only; one that others can
    reach, that belongs to somebody else, or that is a link, is refused.  Beside it lies
    C{path.lock}.

    @ivar path: the file.
    """

    _HEADER: Final = b"nodetls ticket keys, version 1"

    def __init__(self, path: str) -> None:
        if not isinstance(path, str) or not path or "\0" in path:
            raise invalidArgValue("path", path, "is not the path of a file")
        self.path = path

    def exchange(self, revise: Revise) -> Entries:
        """
        @raise KeyFileError: the file cannot be trusted.
        @raise OSError: it cannot be written.
        """
        entries = self._read()
        if not any(revise(entries)):
            return entries
        with exclusively(self.path) as alone:
            # Somebody else is at it, or was.
            entries = self._read()
            if not alone:
                return entries
            added, gone = revise(entries)
            entries = {**entries, **added}
            for begins in gone:
                del entries[begins]
            if added or gone:
                lines = [b"%d %s" % (begins, entries[begins].hex().encode()) for begins in entries]
                replaceSecret(self.path, b"\n".join([self._HEADER, *lines, b""]))
        return entries

    def _read(self) -> dict[int, bytes]:
        try:
            data = readSecret(self.path)
        except FileNotFoundError:
            return {}
        header, *lines = data.split(b"\n")
        entries = {}
        try:
            if header != self._HEADER or lines.pop() != b"":
                raise ValueError
            for line in lines:
                begins, key = line.split(b" ")
                entries[int(begins)] = _whole(bytes.fromhex(key.decode("ascii")))
        except (ValueError, IndexError):
            raise KeyFileError(f"{self.path} is not a file of a ring of ticket keys") from None
        return entries

    def __repr__(self) -> str:
        return self.path


class RedisTicketKeys:
    """
    Keys in Redis, wrapped with a key of their own that Redis does not know.

    @ivar more: what stood behind the question mark of the address.
    @param address: as C{RedisSessionStore}'s; C{keyFile} is for C{wrappingKeys}.
    @param wrappingKeys: at least 32 bytes each, known to every process that shares the ring
        and to nobody else: the first one wraps, all of them open.
    @param prefix: what the name of the hash that holds the keys begins with.
    @param endpoint: another way there than the address says.
    @param timeout: seconds for an answer.
    @param reactor: by default the global one.
    @raise NodeError: C{ERR_INVALID_ARG_VALUE}, C{ERR_INVALID_ARG_TYPE},
        C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM} without txredisapi.
    """

    _SETTINGS: Final = ("keyFile", "passwordFile", "ca", "prefix", "timeout", "interval")
    _PURPOSE: Final = b"txnodetls ticket key"

    def __init__(
        self,
        address: str,
        *,
        wrappingKeys: Sequence[bytes] | None = None,
        prefix: str | None = None,
        timeout: float | None = None,
        endpoint: IStreamClientEndpoint | None = None,
        reactor: Any = None,
    ) -> None:
        place = redisPlace("address", address, self._SETTINGS)
        self.more = place.more
        if wrappingKeys is None:
            key = keyFrom("address", place.more)
            if key is None:
                raise NodeError(
                    "Ticket keys in Redis have to be wrapped: wrappingKeys, or keyFile=PATH in the"
                    " address",
                    "ERR_MISSING_ARGS",
                    blame=Blame.CONFIGURATION,
                    phase=Phase.CONFIGURING,
                )
            wrappingKeys = (key,)
        self._sealer = SessionSealer(wrappingKeys, self._PURPOSE)
        name = place.more.get("prefix", "nodetls:") if prefix is None else prefix
        self._name = name.encode() + b"ticket-keys"
        if timeout is None:
            timeout = number("address", place.more, "timeout", TIMEOUT)
        self._line = redisLine(place, timeout, endpoint, reactor)
        # Times whose keys are there, and were not wrapped with any key of ours.
        self._unreadable: set[bytes] = set()

    async def _exchange(self, revise: Revise) -> Entries:
        entries = await self._read()
        added, gone = revise(entries)
        if not added and not gone:
            return entries
        for begins, key in added.items():
            field = b"%d" % begins
            if field in self._unreadable:
                await self._ask(b"HDEL", self._name, field)
            # Whoever is first has made it.
            await self._ask(b"HSETNX", self._name, field, self._sealer.seal(b"", field, key))
        if gone:
            await self._ask(b"HDEL", self._name, *(b"%d" % begins for begins in gone))
        entries = await self._read()
        await self._expire(entries)
        return entries

    def exchange(self, revise: Revise) -> Deferred[Entries]:
        """Fails with C{StoreError}."""
        return Deferred.fromCoroutine(self._exchange(revise))

    def close(self) -> None:
        """End the connection, for good."""
        self._line.close()

    async def _read(self) -> dict[int, bytes]:
        answer = await self._ask(b"HGETALL", self._name)
        if not isinstance(answer, list):
            raise StoreError("Redis did not answer with a hash")
        entries = {}
        self._unreadable.clear()
        for field, wrapped in zip(answer[::2], answer[1::2], strict=False):
            if not isinstance(field, bytes) or not field.isdigit() or len(field) > _DIGITS:
                continue
            key = self._sealer.open(b"", field, wrapped) if isinstance(wrapped, bytes) else None
            if key is not None and len(key) == TICKET_KEYS_SIZE:
                entries[int(field)] = key
            else:
                self._unreadable.add(field)
        return entries

    async def _expire(self, entries: Entries) -> None:
        """When the last process is gone, the keys are not to stay for ever."""
        times = sorted(entries)
        if len(times) > 1:
            life = 3 * (times[-1] - times[-2]) + _DAY
            await self._ask(b"EXPIRE", self._name, b"%d" % life)

    def _ask(self, *command: bytes) -> Deferred[Any]:
        return self._line.ask(lambda redis: redis.execute_command(*command))

    def __repr__(self) -> str:
        return self._line.name


def _whole(key: bytes) -> bytes:
    if len(key) != TICKET_KEYS_SIZE:
        raise ValueError
    return key
