"""A client's memory of sessions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from txnodetls.sessions.clientcache import ClientSessionCache


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> ClientSessionCache:
    return ClientSessionCache(clock=clock.seconds)


def test_a_ticket_is_given_once_and_the_newest_first(cache: ClientSessionCache) -> None:
    cache.keep("key", b"one")
    cache.keep("key", b"two")
    assert [cache.take("key") for _ in range(3)] == [b"two", b"one", None]
    assert len(cache) == 0


def test_what_is_no_ticket_is_given_again_and_again_until_there_is_another(
    cache: ClientSessionCache,
) -> None:
    cache.keep("key", b"ticket")
    cache.keep("key", b"one", once=False)
    assert [cache.take("key") for _ in range(3)] == [b"one"] * 3
    cache.keep("key", b"two", once=False)
    assert cache.take("key") == b"two"
    assert len(cache) == 1


def test_tickets_can_be_used_again_where_that_is_wanted() -> None:
    cache = ClientSessionCache(reuseTickets=True)
    cache.keep("key", b"one")
    assert [cache.take("key") for _ in range(3)] == [b"one"] * 3


def test_keys_do_not_share(cache: ClientSessionCache) -> None:
    cache.keep(("a", 1), b"one")
    assert cache.take(("a", 2)) is None
    assert cache.take("a") is None
    assert cache.take(("a", 1)) == b"one"


def test_sessions_end(cache: ClientSessionCache, clock: Clock) -> None:
    cache.keep("short", b"one", 10)
    cache.keep("long", b"two", 1e9)
    cache.keep("unsaid", b"three")
    cache.keep("none", b"four", 0)
    assert cache.take("none") is None
    clock.advance(10)
    assert cache.take("short") is None
    clock.advance(7190)
    assert cache.take("long") is None
    assert cache.take("unsaid") is None
    assert len(cache) == 0


def test_an_older_ticket_may_outlive_a_newer_one(cache: ClientSessionCache, clock: Clock) -> None:
    cache.keep("key", b"one", 100)
    cache.keep("key", b"two", 10)
    clock.advance(10)
    assert cache.take("key") == b"one"


def test_the_newest_tickets_of_a_key_are_kept(cache: ClientSessionCache) -> None:
    for number in range(10):
        cache.keep("key", b"%d" % number)
    assert len(cache) == 4
    assert [cache.take("key") for _ in range(5)] == [b"9", b"8", b"7", b"6", None]


def test_what_was_not_asked_for_longest_makes_room() -> None:
    cache = ClientSessionCache(maxSessions=2, reuseTickets=True)
    for key in ("a", "b"):
        cache.keep(key, b"x")
    cache.take("a")
    cache.keep("c", b"x")
    assert [cache.take(key) for key in ("a", "b", "c")] == [b"x", None, b"x"]


def test_forgetting_is_of_one_key_or_of_all(cache: ClientSessionCache) -> None:
    for key in ("a", "a", "b", "c"):
        cache.keep(key, b"x")
    cache.forget("a")
    cache.forget("none")
    assert cache.take("a") is None
    assert cache.take("b") == b"x"
    cache.clear()
    assert len(cache) == 0
    assert cache.take("c") is None


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 40), st.booleans(), st.booleans()), max_size=60
    )
)
def test_bounds_hold_whatever_comes(steps: list[tuple[int, int, bool, bool]]) -> None:
    cache = ClientSessionCache(maxSessions=5, maxBytes=60)
    for key, size, once, take in steps:
        if take:
            cache.take(key)
        else:
            cache.keep(key, bytes(size), once=once)
        kept = [each for entries in cache._kept.values() for each in entries]
        assert len(cache) == cache._count == len(kept) <= 5
        assert cache._bytes == sum(len(each.session) for each in kept) <= 60
        assert all(cache._kept.values())


def test_sessions_are_not_shown(cache: ClientSessionCache) -> None:
    cache.keep("key", b"secret")
    assert repr(cache) == "<ClientSessionCache of 1 sessions>"
