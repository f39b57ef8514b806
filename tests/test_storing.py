"""What a server does about a store: seals, waits so long and no longer, complains now and then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, globalLogPublisher
from zope.interface import implementer

from txnodetls.interfaces import ISessionStore
from txnodetls.sessions.memory import MemorySessionStore
from txnodetls.sessions.sealing import SessionSealer
from txnodetls.storing import PATIENCE, QUIET, REST, SessionKeeper

ID, SESSION, BINDING = b"i" * 32, b"MASTER-KEY", b"a trust"


@implementer(ISessionStore)
class Told:
    """A store that answers as it is told to; it counts how often it was asked."""

    def __init__(self, answer: Callable[[], Any] = lambda: None) -> None:
        self.answer = answer
        self.asked: list[tuple[Any, ...]] = []

    def _asked(self, *what: Any) -> Any:
        self.asked.append(what)
        return self.answer()

    def store(self, sessionId: bytes, data: bytes, lifetime: float) -> Any:
        return self._asked("store", sessionId, data, lifetime)

    def fetch(self, sessionId: bytes) -> Any:
        return self._asked("fetch", sessionId)

    def discard(self, sessionId: bytes) -> Any:
        return self._asked("discard", sessionId)


class Kept:
    """A keeper on a clock, and what it has called back with."""

    def __init__(self, store: Any) -> None:
        self.clock = Clock()
        self.keeper = SessionKeeper(store, self.clock)
        self.answers: list[Any] = []
        self.born: float | None = None

    def fetch(self, sealer: SessionSealer | None = None, binding: bytes = BINDING) -> list[Any]:
        """Ask; all the answers until now."""
        self.keeper.fetch(ID, binding, sealer, self._found)
        return self.answers

    def _found(self, session: bytes | None, born: float) -> None:
        self.answers.append(session)
        self.born = born

    def keep(self, sealer: SessionSealer | None = None, born: float | None = None) -> list[Any]:
        """Have it kept; all the answers until now."""
        self.keeper.keep(
            ID, SESSION, BINDING, sealer, 300, lambda: self.answers.append("kept"), born
        )
        return self.answers


@pytest.fixture
def warnings() -> Any:
    """What was logged as a warning."""
    heard: list[LogEvent] = []

    def hear(event: LogEvent) -> None:
        if event["log_level"] is LogLevel.warn:
            heard.append(event)

    globalLogPublisher.addObserver(hear)
    yield heard
    globalLogPublisher.removeObserver(hear)


def test_what_is_kept_is_sealed_and_comes_back() -> None:
    store = MemorySessionStore()
    kept = Kept(store)
    assert kept.keep() == ["kept"]
    entry = store.fetch(ID)
    assert entry is not None
    assert SESSION not in entry
    assert kept.fetch() == ["kept", SESSION]
    assert kept.fetch(binding=b"another trust")[-1] is None
    # All of a process can read it who give no keys of their own.
    assert Kept(store).fetch() == [SESSION]
    assert Kept(store).fetch(SessionSealer([b"k" * 32])) == [None]


def test_the_lifetime_is_handed_on() -> None:
    store = Told()
    Kept(store).keep()
    assert store.asked[0][0] == "store"
    assert store.asked[0][3] == 300


def test_a_session_tells_when_it_was_born() -> None:
    kept = Kept(MemorySessionStore())
    kept.clock.advance(1000)
    kept.keep()
    kept.clock.advance(10)
    kept.fetch()
    assert kept.born == 1000


def test_one_that_goes_back_to_another_ends_when_that_would_have_ended() -> None:
    store = Told()
    kept = Kept(store)
    kept.clock.advance(1000)
    kept.keep(born=800)
    assert store.asked[-1][3] == 100
    # A clock of another host may be ahead.
    kept.keep(born=2000)
    assert store.asked[-1][3] == 300
    assert kept.keep(born=700) == ["kept"] * 3
    assert len(store.asked) == 2


def test_the_keys_of_a_store_go_before_those_of_the_server() -> None:
    class Keyed(MemorySessionStore):
        sealingKeys = (b"a" * 32, b"b" * 32)

    store = Keyed()
    Kept(store).keep(SessionSealer([b"k" * 32]))
    entry = store.fetch(ID)
    assert entry is not None
    assert SessionSealer([b"a" * 32]).open(ID, BINDING, entry) is not None
    plain = MemorySessionStore()
    Kept(plain).keep(SessionSealer([b"k" * 32]))
    entry = plain.fetch(ID)
    assert entry is not None
    assert SessionSealer([b"k" * 32]).open(ID, BINDING, entry) is not None


@pytest.mark.parametrize(
    "entry", [None, b"", SESSION, b"\x01" + bytes(100), "text", 7, [], bytearray(200)]
)
def test_what_was_not_sealed_here_is_no_session(entry: Any) -> None:
    assert Kept(Told(lambda: entry)).fetch() == [None]


async def coroutine(value: Any) -> Any:
    if isinstance(value, Exception):
        raise value
    return value


@pytest.mark.parametrize("form", ["value", "Deferred", "coroutine"])
def test_a_store_may_answer_as_it_likes(form: str) -> None:
    memory = MemorySessionStore()
    Kept(memory).keep()
    entry = memory.fetch(ID)
    waiting: Deferred[Any] = Deferred()
    answers = {
        "value": lambda: entry,
        "Deferred": lambda: waiting,
        "coroutine": lambda: coroutine(entry),
    }
    kept = Kept(Told(answers[form]))
    kept.fetch()
    waiting.callback(entry)
    assert kept.answers == [SESSION]
    assert kept.clock.getDelayedCalls() == []


def fails(form: str) -> Callable[[], Any]:
    error = RuntimeError("down")

    def answer() -> Any:
        if form == "Deferred":
            waiting: Deferred[Any] = Deferred()
            waiting.errback(error)
            return waiting
        if form == "coroutine":
            return coroutine(error)
        raise error

    return answer


@pytest.mark.parametrize("form", ["raises", "Deferred", "coroutine"])
def test_a_store_that_fails_costs_the_session_and_a_warning(
    form: str, warnings: list[LogEvent]
) -> None:
    kept = Kept(Told(fails(form)))
    assert kept.fetch() == [None]
    assert kept.keep() == [None, "kept"]
    assert len(warnings) == 1
    assert "down" in warnings[0]["log_format"].format(**warnings[0])
    assert kept.clock.getDelayedCalls() == []


def test_one_warning_stands_for_all_in_a_while(warnings: list[LogEvent]) -> None:
    kept = Kept(Told(fails("raises")))
    for _ in range(5):
        kept.fetch()
    kept.clock.advance(QUIET)
    kept.fetch()
    assert [warning["unsaid"] for warning in warnings] == [0, 4]
    kept.clock.advance(QUIET)
    kept.fetch()
    assert warnings[-1]["unsaid"] == 0


def test_no_secret_is_in_a_warning(warnings: list[LogEvent]) -> None:
    Kept(Told(fails("raises"))).keep()
    shown = warnings[0]["log_format"].format(**warnings[0])
    assert SESSION.decode() not in shown
    assert "iii" not in shown


@pytest.mark.parametrize("operation", ["fetch", "keep"])
def test_a_store_is_not_waited_for_longer_than_its_time(
    operation: str, warnings: list[LogEvent]
) -> None:
    cancelled: list[Any] = []
    waiting: Deferred[Any] = Deferred(cancelled.append)
    kept = Kept(Told(lambda: waiting))
    getattr(kept, operation)()
    kept.clock.advance(PATIENCE - 0.01)
    assert kept.answers == []
    kept.clock.advance(0.01)
    assert kept.answers == [None if operation == "fetch" else "kept"]
    assert cancelled == [waiting]
    assert len(warnings) == 1
    assert kept.clock.getDelayedCalls() == []


def test_an_answer_that_comes_too_late_does_nothing() -> None:
    waiting: Deferred[Any] = Deferred()
    kept = Kept(Told(lambda: waiting))
    kept.fetch()
    kept.clock.advance(PATIENCE)
    waiting.callback(b"late")
    assert kept.answers == [None]


def test_after_a_wait_in_vain_a_store_has_a_rest() -> None:
    store = Told(lambda: Deferred(lambda _: None))
    kept = Kept(store)
    kept.fetch()
    kept.clock.advance(PATIENCE)
    assert kept.keep() == [None, "kept"]
    assert kept.fetch() == [None, "kept", None]
    assert len(store.asked) == 1
    kept.clock.advance(REST)
    store.answer = lambda: None
    kept.fetch()
    assert len(store.asked) == 2


def test_a_store_that_fails_at_once_is_asked_again() -> None:
    store = Told(fails("raises"))
    kept = Kept(store)
    for _ in range(3):
        kept.fetch()
    assert len(store.asked) == 3


def test_a_session_can_be_forgotten() -> None:
    store = MemorySessionStore()
    kept = Kept(store)
    kept.keep()
    kept.keeper.discard(ID)
    assert kept.fetch()[-1] is None


@pytest.mark.parametrize("keys", [[], [b"short"], b"k" * 32])
def test_a_store_with_bad_keys_is_refused_at_once(keys: Any) -> None:
    store = MemorySessionStore()
    store.sealingKeys = keys  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        SessionKeeper(store, Clock())
