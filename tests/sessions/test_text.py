"""Session stores and key rings out of text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from txnodetls.errors import NodeError, NodeTypeError
from txnodetls.sessions.memcached import MemcachedSessionStore
from txnodetls.sessions.memory import MemorySessionStore
from txnodetls.sessions.redis import RedisSessionStore
from txnodetls.sessions.ring import MemoryHome, RedisTicketKeys, TicketKeyFile, TicketKeyRing
from txnodetls.sessions.text import sessionStoreFrom, ticketKeyRingFrom


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_bytes(bytes(32))
    path.chmod(0o600)
    return path


def test_a_store_in_memory_has_bounds_and_a_clock() -> None:
    clock = Clock()
    store: Any = sessionStoreFrom("store", "memory:?maxEntries=2&maxBytes=50", clock)
    assert isinstance(store, MemorySessionStore)
    for name in (b"a", b"b", b"c"):
        store.store(name, bytes(10), 5)
    assert len(store) == 2
    clock.advance(5)
    assert len(store) == 0
    assert isinstance(sessionStoreFrom("store", "memory"), MemorySessionStore)


def test_stores_of_others_say_where_they_are(key: Path) -> None:
    pytest.importorskip("txredisapi")
    redis = sessionStoreFrom("store", f"redis://user:geheim@[::1]:7000/2?keyFile={key}")
    assert isinstance(redis, RedisSessionStore)
    assert repr(redis) == "<RedisSessionStore at redis://[::1]:7000>"
    assert redis.sealingKeys == (bytes(32),)
    cache = sessionStoreFrom("store", "memcached://localhost")
    assert isinstance(cache, MemcachedSessionStore)
    assert repr(cache) == "<MemcachedSessionStore at memcached://localhost:11211>"
    assert cache.sealingKeys is None


def test_rings_say_where_they_live(key: Path, tmp_path: Path) -> None:
    assert isinstance(ticketKeyRingFrom("ring", "memory")._home, MemoryHome)
    assert ticketKeyRingFrom("ring", "memory:?interval=60").interval == 60
    filed = ticketKeyRingFrom("ring", f"file:{tmp_path}/ring?interval=60")
    assert isinstance(filed._home, TicketKeyFile)
    assert filed.interval == 60
    assert (tmp_path / "ring").exists()
    pytest.importorskip("txredisapi")
    shared = ticketKeyRingFrom("ring", f"redis://localhost?keyFile={key}&interval=60")
    assert isinstance(shared._home, RedisTicketKeys)
    assert shared.interval == 60


def test_what_is_one_already_stays_what_it_is() -> None:
    store, ring = MemorySessionStore(), TicketKeyRing()
    assert sessionStoreFrom("store", store) is store
    assert ticketKeyRingFrom("ring", ring) is ring


@pytest.mark.parametrize(
    "text",
    [
        "",
        "memry:",
        "memory:x",
        "memory:?entries=5",
        "memory:?maxEntries=many",
        "file:/x",
        "redis:localhost",
        "memcached://localhost/1",
        "redis://:geheim@localhost/x",
    ],
)
def test_another_text_is_no_store_and_the_option_is_named(text: str) -> None:
    with pytest.raises(NodeTypeError, match="theOption") as caught:
        sessionStoreFrom("theOption", text)
    assert caught.value.code == "ERR_INVALID_ARG_VALUE"
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "memory:x",
        "file:",
        "file:/no/such/directory/x",
        "file:/x?interval=never",
        "file:/x?keyFile=y",
        "memcached://localhost",
        "redis://localhost?keyFile=/does/not/exist",
    ],
)
def test_another_text_is_no_ring_and_the_option_is_named(text: str) -> None:
    with pytest.raises(NodeTypeError, match="theOption") as caught:
        ticketKeyRingFrom("theOption", text)
    assert caught.value.code == "ERR_INVALID_ARG_VALUE"


def test_a_ring_in_redis_needs_a_key() -> None:
    pytest.importorskip("txredisapi")
    with pytest.raises(NodeError, match="theOption") as caught:
        ticketKeyRingFrom("theOption", "redis://localhost")
    assert caught.value.code == "ERR_MISSING_ARGS"


@pytest.mark.parametrize("given", [5, object(), MemorySessionStore, b"memory:"])
def test_other_things_are_neither(given: object) -> None:
    for make in (sessionStoreFrom, ticketKeyRingFrom):
        with pytest.raises(NodeTypeError) as caught:
            make("theOption", given)
        assert caught.value.code == "ERR_INVALID_ARG_TYPE"
