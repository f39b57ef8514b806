"""What the stores on other machines have in common, each with a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import defer
from twisted.internet.protocol import Factory, Protocol
from zope.interface.verify import verifyObject

from tests.sessions.services import Service, memcached, redis
from tests.support import eventually, runPython, unusedPort
from txnodetls.errors import NodeTypeError
from txnodetls.interfaces import ISessionStore
from txnodetls.sessions.memcached import MemcachedSessionStore
from txnodetls.sessions.redis import RedisSessionStore
from txnodetls.sessions.wire import LIMIT, StoreError

KEY = bytes(range(32))
ID = b"i" * 32


@dataclass(frozen=True)
class Kind:
    """
    A kind of store.

    @ivar make: makes one, of an address.
    @ivar serve: a server for it, which may use a directory.
    @ivar greeting: what it asks before all else, and the answer.
    """

    scheme: str
    make: Callable[..., Any]
    serve: Callable[[Path], Service]
    greeting: tuple[bytes, bytes]

    def at(self, port: int, **options: Any) -> Any:
        """A store whose server is at this port, and may take its time."""
        place = f"{self.scheme}://127.0.0.1:{port}"
        return self.make(place, sealingKeys=[KEY], **{"timeout": 10, **options})


REDIS = Kind("redis", RedisSessionStore, redis, (b"PING", b"+PONG\r\n"))
MEMCACHED = Kind(
    "memcached", MemcachedSessionStore, lambda _: memcached(), (b"version", b"VERSION 1\r\n")
)
NEEDS = {
    REDIS: pytest.mark.skipif(find_spec("txredisapi") is None, reason="there is no txredisapi"),
    MEMCACHED: (),
}


def withEach(inputs: dict[Kind, list[Any]]) -> list[Any]:
    """Parameters: each kind with each of its inputs."""
    return [
        pytest.param(kind, each, id=f"{kind.scheme} {each[:40]!r}", marks=NEEDS[kind])
        for kind, ofKind in inputs.items()
        for each in ofKind
    ]


@pytest.fixture(
    params=[pytest.param(kind, id=kind.scheme, marks=marks) for kind, marks in NEEDS.items()]
)
def kind(request: pytest.FixtureRequest) -> Any:
    """Each test that names it is made for both."""
    return request.param


@pytest.fixture
def server(kind: Kind, tmp_path: Path) -> Iterator[Service]:
    with kind.serve(tmp_path) as running:
        yield running


@pytest.fixture
def store(kind: Kind, server: Service) -> Iterator[Any]:
    made = kind.at(server.port)
    yield made
    made.close()


def test_it_is_a_store_that_others_share(kind: Kind) -> None:
    store = kind.make(sealingKeys=[KEY])
    assert verifyObject(ISessionStore, store)
    assert store.shared
    assert store.sealingKeys == [KEY]


@ensureDeferred
async def test_what_was_stored_is_found_until_it_is_discarded(store: Any) -> None:
    assert await store.fetch(ID) is None
    # What looks like the protocols themselves, too.
    for data in (bytes(range(256)) * 20, b"\r\nEND\r\n", b"\r\n$5\r\n", b"STORED\r\n", b"x"):
        assert await store.store(ID, data, 300) is None
        assert await store.fetch(ID) == data
    await store.discard(ID)
    assert await store.fetch(ID) is None
    await store.discard(ID)


@ensureDeferred
async def test_what_has_no_lifetime_is_not_stored(store: Any) -> None:
    await store.store(ID, b"data", 300)
    assert store.store(ID, b"other", 0) is None
    assert await store.fetch(ID) == b"data"


@ensureDeferred
async def test_many_questions_at_once_have_their_own_answers(store: Any) -> None:
    ids = [b"%032d" % number for number in range(50)]
    await defer.gatherResults([store.store(each, each * 40, 300) for each in ids])
    assert await defer.gatherResults([store.fetch(each) for each in ids]) == [
        each * 40 for each in ids
    ]


@ensureDeferred
async def test_a_prefix_keeps_stores_apart(kind: Kind, server: Service, store: Any) -> None:
    address = f"{kind.scheme}://127.0.0.1:{server.port}?prefix=other:&timeout=10"
    others = [kind.make(address, sealingKeys=[KEY]), kind.at(server.port, prefix="third:")]
    await store.store(ID, b"data", 300)
    for other in others:
        assert await other.fetch(ID) is None
        other.close()


@ensureDeferred
async def test_after_a_restart_it_is_connected_again(server: Service, store: Any) -> None:
    await store.store(ID, b"data", 300)
    server.kill()
    # A question may find a connection, or try to make one; but then nobody waits.
    problem = ""
    while not problem.endswith("no connection"):
        with pytest.raises(StoreError) as caught:
            await store.fetch(ID)
        problem = str(caught.value)
    server.start()
    # A server that has begun anew has forgotten all.
    assert await _back(store) is None
    await store.store(ID, b"new", 300)
    assert await store.fetch(ID) == b"new"


@ensureDeferred
async def test_one_that_hangs_is_waited_for_once(kind: Kind, server: Service, store: Any) -> None:
    await store.store(ID, b"data", 300)
    store = kind.at(server.port, timeout=0.1)
    assert await _back(store) == b"data"
    server.freeze()
    try:
        results = await defer.DeferredList([store.fetch(ID) for _ in range(5)], consumeErrors=True)
        assert [succeeded for succeeded, _ in results] == [False] * 5
        with pytest.raises(StoreError, match="no connection"):
            await store.fetch(ID)
    finally:
        server.thaw()
    assert await _back(store) == b"data"
    store.close()


async def _back(store: Any) -> Any:
    """Wait until it answers again; its answer."""
    answers: list[Any] = []

    def ask() -> bool:
        store.fetch(ID).addCallbacks(answers.append, lambda failure: failure.trap(StoreError))
        return bool(answers)

    await eventually(ask)
    return answers[0]


@ensureDeferred
async def test_where_nobody_listens_it_fails_at_once(kind: Kind) -> None:
    store = kind.at(unusedPort())
    with pytest.raises(StoreError, match="ConnectionRefusedError"):
        await store.fetch(ID)
    store.close()


@ensureDeferred
async def test_a_closed_one_is_not_opened_again(store: Any) -> None:
    await store.store(ID, b"data", 300)
    store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.fetch(ID)


# -- servers that are none


class Nonsense(Protocol):
    """Says something else than it should."""

    kind: Kind
    said = b""

    def dataReceived(self, data: bytes) -> None:
        question, answer = self.kind.greeting
        self.transport.write(answer if question in data else self.said)


NONSENSE = {
    REDIS: [
        b"\xff\xfe\r\n",
        b"-\xff\r\n",
        b"-ERR unknown command, with args beginning with: secret\r\n",
        b"$notanumber\r\n",
        b"*x\r\n",
        b"+" + b"x" * 20_000,
        b"$99999999999\r\n" + b"x" * (LIMIT + 1),
        b":1\r\n:2\r\n:3\r\n",
        b"",
    ],
    MEMCACHED: [
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
}


@pytest.mark.parametrize(("kind", "said"), withEach(NONSENSE))
@ensureDeferred
async def test_one_that_talks_nonsense_fails_the_question_only(kind: Kind, said: bytes) -> None:
    from twisted.internet import reactor

    factory = Factory.forProtocol(type("Talks", (Nonsense,), {"kind": kind, "said": said}))
    factory.noisy = False  # type: ignore[attr-defined]
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
    store = kind.at(port.getHost().port, timeout=0.2)
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


# -- how they are made


ADDRESSES = {
    REDIS: [
        "redis://",
        "http://localhost",
        "localhost:6379",
        "redis://localhost:port",
        "redis://localhost/name",
        "redis://localhost?keyfile=x",
        "redis://localhost?timeout=soon",
        "redis://localhost?timeout=-1",
        "redis://localhost?prefix=a&prefix=b",
        "redis://localhost?keyFile=/does/not/exist",
        "redis://localhost#part",
        "rediss://localhost?ca=/does/not/exist",
    ],
    MEMCACHED: [
        "memcached://",
        "redis://localhost",
        "memcached://user@localhost",
        "memcached://localhost/3",
        "memcached://localhost?ca=x",
        "memcached://localhost?keyFile=/does/not/exist",
        "memcached://localhost?prefix=a%20b",
        "memcached://localhost?prefix=" + "x" * 101,
    ],
}


@pytest.mark.parametrize(("kind", "address"), withEach(ADDRESSES))
def test_what_is_no_address_is_refused(kind: Kind, address: str) -> None:
    with pytest.raises(NodeTypeError) as caught:
        kind.make(address)
    assert caught.value.code == "ERR_INVALID_ARG_VALUE"


def test_a_key_file_has_to_be_ours_and_long_enough(kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(KEY)
    path.chmod(0o644)
    address = f"{kind.scheme}://localhost?keyFile={path}"
    with pytest.raises(NodeTypeError, match="can be reached by others"):
        kind.make(address)
    path.chmod(0o600)
    assert kind.make(address).sealingKeys == (KEY,)
    path.write_bytes(KEY[1:])
    with pytest.raises(NodeTypeError, match="fewer than 32 bytes"):
        kind.make(address)


@pytest.mark.parametrize("keys", [KEY, [], [KEY[1:]], ["x" * 32]])
def test_keys_that_cannot_seal_are_refused(keys: Any, kind: Kind) -> None:
    with pytest.raises(NodeTypeError):
        kind.make(sealingKeys=keys)


def test_neither_import_nor_construction_brings_a_reactor() -> None:
    pytest.importorskip("txredisapi")
    done = runPython(
        """
import sys
from txnodetls.sessions.memcached import MemcachedSessionStore
from txnodetls.sessions.redis import RedisSessionStore
for store in RedisSessionStore, MemcachedSessionStore:
    store(sealingKeys=[bytes(32)])
assert "twisted.internet.reactor" not in sys.modules
assert "txredisapi" not in sys.modules
"""
    )
    assert done.returncode == 0, done.stderr
