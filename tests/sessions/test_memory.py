"""The store in memory: its bounds, its clock, its order."""

from __future__ import annotations

from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from txnodetls.interfaces import ISessionStore
from txnodetls.sessions.memory import MemorySessionStore


@pytest.fixture
def clock() -> Clock:
    return Clock()


def made(clock: Clock, entries: int = 3, size: int = 1000) -> MemorySessionStore:
    return MemorySessionStore(entries, size, clock.seconds)


def test_it_is_a_session_store() -> None:
    assert verifyObject(ISessionStore, MemorySessionStore())


def test_what_is_stored_can_be_fetched_until_it_is_discarded(clock: Clock) -> None:
    store = made(clock)
    store.store(b"id", b"data", 10)
    assert store.fetch(b"id") == store.fetch(b"id") == b"data"
    assert store.fetch(b"other") is None
    store.discard(b"other")
    store.discard(b"id")
    assert store.fetch(b"id") is None
    assert (len(store), store.size) == (0, 0)


def test_an_entry_expires(clock: Clock) -> None:
    store = made(clock)
    store.store(b"id", b"data", 10)
    clock.advance(9.9)
    assert store.fetch(b"id") == b"data"
    clock.advance(0.1)
    assert store.fetch(b"id") is None
    assert (len(store), store.size) == (0, 0)


def test_what_is_stored_again_lives_anew(clock: Clock) -> None:
    store = made(clock)
    store.store(b"id", b"old", 10)
    clock.advance(5)
    store.store(b"id", b"newer", 10)
    assert (len(store), store.size) == (1, 7)
    clock.advance(9)
    assert store.fetch(b"id") == b"newer"
    clock.advance(1)
    assert store.fetch(b"id") is None


def test_a_shorter_life_counts_too(clock: Clock) -> None:
    store = made(clock)
    store.store(b"id", b"old", 10)
    store.store(b"id", b"new", 1)
    clock.advance(1)
    assert store.fetch(b"id") is None


def test_when_there_are_too_many_the_one_not_asked_for_longest_goes(clock: Clock) -> None:
    store = made(clock)
    for name in (b"1", b"2", b"3"):
        store.store(name, b"data", 10)
    store.fetch(b"1")
    store.store(b"4", b"data", 10)
    assert [store.fetch(name) is not None for name in (b"1", b"2", b"3", b"4")] == [
        True,
        False,
        True,
        True,
    ]


def test_when_there_are_too_many_bytes_as_many_go_as_have_to(clock: Clock) -> None:
    store = made(clock, size=100)
    store.store(b"1", b"x" * 39, 10)
    store.store(b"2", b"x" * 39, 10)
    store.store(b"3", b"x" * 99, 10)
    assert (len(store), store.size) == (1, 100)
    assert store.fetch(b"3") is not None


def test_what_is_larger_than_the_store_is_not_kept_and_drives_nothing_out(clock: Clock) -> None:
    store = made(clock, size=100)
    store.store(b"1", b"data", 10)
    store.store(b"2", b"x" * 100, 10)
    assert store.fetch(b"2") is None
    assert store.fetch(b"1") == b"data"
    # But what it was to replace is gone: it would be out of date.
    store.store(b"1", b"x" * 100, 10)
    assert store.fetch(b"1") is None


@pytest.mark.parametrize("lifetime", [0, -1])
def test_what_has_no_life_is_not_kept(clock: Clock, lifetime: float) -> None:
    store = made(clock)
    store.store(b"id", b"data", 10)
    store.store(b"id", b"data", lifetime)
    assert store.fetch(b"id") is None


def test_a_store_without_room_keeps_nothing(clock: Clock) -> None:
    store = made(clock, entries=0)
    store.store(b"id", b"data", 10)
    assert store.fetch(b"id") is None


def test_storing_the_same_again_and_again_takes_no_more_memory(clock: Clock) -> None:
    store = made(clock)
    for _ in range(10_000):
        store.store(b"id", b"data", 10)
    assert len(store._ends) < 100
    clock.advance(10)
    assert store.fetch(b"id") is None


def test_what_is_in_it_is_not_shown(clock: Clock) -> None:
    store = made(clock)
    store.store(b"id", b"secret", 10)
    assert "secret" not in repr(store)


NAMES = st.sampled_from([b"a", b"b", b"c", b"d", b"ee"])
STEPS = st.one_of(
    st.tuples(st.just("store"), NAMES, st.integers(0, 12), st.integers(0, 5)),
    st.tuples(st.just("fetch"), NAMES),
    st.tuples(st.just("discard"), NAMES),
    st.tuples(st.just("wait"), st.integers(1, 3)),
)


@given(st.lists(STEPS, max_size=60))
def test_it_does_what_a_plain_model_does(steps: list[tuple[object, ...]]) -> None:
    clock = Clock()
    store = made(clock, 3, 20)
    model: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()
    for step in steps:
        now = clock.seconds()
        for name in [name for name, (end, _) in model.items() if end <= now]:
            del model[name]
        match step:
            case ("store", bytes(name), int(size), int(lifetime)):
                store.store(name, bytes(size), lifetime)
                model.pop(name, None)
                if lifetime and len(name) + size <= 20:
                    while len(model) >= 3 or _size(model) + len(name) + size > 20:
                        model.popitem(last=False)
                    model[name] = (now + lifetime, bytes(size))
            case ("fetch", bytes(name)):
                if name in model:
                    model.move_to_end(name)
                assert store.fetch(name) == model.get(name, (0, None))[1]
            case ("discard", bytes(name)):
                store.discard(name)
                model.pop(name, None)
            case ("wait", int(seconds)):
                clock.advance(seconds)
                continue
        assert (len(store), store.size) == (len(model), _size(model))


def _size(model: OrderedDict[bytes, tuple[float, bytes]]) -> int:
    return sum(len(name) + len(data) for name, (_, data) in model.items())
