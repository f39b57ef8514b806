"""The session store in memcached, with a real one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import defer
from twisted.internet.protocol import Factory, Protocol
from zope.interface.verify import verifyObject

from tests.sessions.services import Service, memcached
from tests.support import eventually
from txnodetls.errors import NodeTypeError
from txnodetls.interfaces import ISessionStore
from txnodetls.sessions.memcached import MemcachedSessionStore
from txnodetls.sessions.wire import LIMIT, StoreError

KEY = bytes(range(32))
ID = b"i" * 32


@pytest.fixture
def server() -> Iterator[Service]:
    with memcached() as running:
        yield running


@pytest.fixture
def store(server: Service) -> Iterator[MemcachedSessionStore]:
    made = MemcachedSessionStore(f"memcached://127.0.0.1:{server.port}", sealingKeys=[KEY])
    yield made
    made.close()


def test_it_is_a_store_that_others_share() -> None:
    store = MemcachedSessionStore(sealingKeys=[KEY])
    assert verifyObject(ISessionStore, store)
    assert store.shared
    assert store.sealingKeys == [KEY]


@ensureDeferred
async def test_what_was_stored_is_found_until_it_is_discarded(store: Any) -> None:
    data = bytes(range(256)) * 20 + b"\r\nEND\r\n"
    assert await store.fetch(ID) is None
    assert await store.store(ID, data, 300) is None
    assert await store.fetch(ID) == data
    await store.discard(ID)
    assert await store.fetch(ID) is None
    await store.discard(ID)


@ensureDeferred
async def test_many_questions_at_once_have_their_own_answers(store: Any) -> None:
    ids = [b"%032d" % number for number in range(50)]
    await defer.gatherResults([store.store(each, each * 40, 300) for each in ids])
    assert await defer.gatherResults([store.fetch(each) for each in ids]) == [
        each * 40 for each in ids
    ]


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


@ensureDeferred
async def test_after_a_restart_it_is_connected_again(server: Service, store: Any) -> None:
    await store.store(ID, b"data", 300)
    server.kill()
    for _ in range(3):
        with pytest.raises(StoreError):
            await store.fetch(ID)
    server.start()
    answers: list[Any] = []

    def ask() -> bool:
        store.fetch(ID).addCallbacks(answers.append, lambda failure: failure.trap(StoreError))
        return bool(answers)

    await eventually(ask)
    assert answers[0] is None
    await store.store(ID, b"new", 300)
    assert await store.fetch(ID) == b"new"


class Nonsense(Protocol):
    """Says something else than it should."""

    said = b""

    def dataReceived(self, data: bytes) -> None:
        if data.startswith(b"version"):
            self.transport.write(b"VERSION 1\r\n")
        else:
            self.transport.write(self.said)


@pytest.mark.parametrize(
    "said",
    [
        b"\xff\xfe\r\n",
        b"ERROR\r\n",
        b"SERVER_ERROR out of memory\r\n",
        b"CLIENT_ERROR secret\r\n",
        b"VALUE other 0 4\r\ndata\r\nEND\r\n",
        b"VALUE x\r\n",
        b"END\r\nEND\r\n",
        b"STORED\r\nSTORED\r\n",
        b"VALUE nodetls:session:" + ID.hex().encode() + b" 0 99999999999\r\n" + b"x" * LIMIT * 2,
        b"",
    ],
)
@ensureDeferred
async def test_one_that_talks_nonsense_fails_the_question_only(said: bytes) -> None:
    from twisted.internet import reactor

    factory = Factory.forProtocol(type("Talks", (Nonsense,), {"said": said}))
    factory.noisy = False  # type: ignore[attr-defined]
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
    store: Any = MemcachedSessionStore(
        f"memcached://127.0.0.1:{port.getHost().port}", sealingKeys=[KEY], timeout=0.2
    )
    try:
        (result,) = await defer.DeferredList([store.fetch(ID)], consumeErrors=True)
        if not result[0]:
            assert result[1].check(StoreError)  # type: ignore[union-attr]
            assert "secret" not in str(result[1])
        else:
            assert result[1] is None
    finally:
        store.close()
        await port.stopListening()


@pytest.mark.parametrize(
    "address",
    [
        "memcached://",
        "redis://localhost",
        "memcached://user@localhost",
        "memcached://localhost/3",
        "memcached://localhost?ca=x",
        "memcached://localhost?prefix=a%20b",
        "memcached://localhost?prefix=" + "x" * 101,
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(NodeTypeError) as caught:
        MemcachedSessionStore(address)
    assert caught.value.code == "ERR_INVALID_ARG_VALUE"
