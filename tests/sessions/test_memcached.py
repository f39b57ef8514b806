"""What only the session store in memcached has, with a real one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import defer

from tests.sessions.services import Service, memcached
from txnodetls.sessions.memcached import MemcachedSessionStore
from txnodetls.sessions.wire import StoreError

KEY = bytes(range(32))
ID = b"i" * 32


@pytest.fixture
def server() -> Iterator[Service]:
    with memcached() as running:
        yield running


@pytest.fixture
def store(server: Service) -> Iterator[MemcachedSessionStore]:
    place = f"memcached://127.0.0.1:{server.port}"
    made = MemcachedSessionStore(place, sealingKeys=[KEY], timeout=10)
    yield made
    made.close()


class Noting:
    """Stands for the protocol; notes how long things are to be kept."""

    def __init__(self) -> None:
        self.times: list[int] = []

    def ask(self, question: Any) -> Any:
        return question(self)

    def set(self, key: bytes, data: bytes, expireTime: int) -> Any:
        self.times.append(expireTime)
        return defer.succeed(True)


def test_no_lifetime_is_for_ever_and_long_ones_are_said_as_a_date() -> None:
    store: Any = MemcachedSessionStore(sealingKeys=[KEY], clock=lambda: 1e9)
    noting = store._line = Noting()
    month = 30 * 24 * 3600
    for lifetime in (0.1, 1, 299.9, month, month + 1):
        store.store(ID, b"data", lifetime)
    assert store.store(ID, b"data", 0) is None
    assert noting.times == [1, 1, 299, month, 1_000_000_000 + month + 1]


@ensureDeferred
async def test_what_is_too_big_is_not_stored_and_the_connection_goes_on(store: Any) -> None:
    await store.store(ID, b"data", 300)
    with pytest.raises(StoreError):
        await store.store(b"big", bytes(1024 * 1024 + 1), 300)
    assert await store.fetch(ID) == b"data"
