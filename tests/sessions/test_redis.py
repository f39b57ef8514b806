"""The session store in Redis, with a real one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred, inlineCallbacks
from twisted.internet import defer
from twisted.internet.protocol import Factory, Protocol
from zope.interface.verify import verifyObject

from tests.sessions.services import Service, redis
from tests.support import Pki, eventually, runPython, unusedPort
from txnodetls.errors import NodeError, NodeTypeError
from txnodetls.interfaces import ISessionStore
from txnodetls.sessions import redis as module
from txnodetls.sessions.redis import RedisSessionStore
from txnodetls.sessions.wire import LIMIT, StoreError

pytest.importorskip("txredisapi")
KEY = bytes(range(32))
ID = b"i" * 32


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Service]:
    with redis(tmp_path) as running:
        yield running


@pytest.fixture
def opened() -> Iterator[list[RedisSessionStore]]:
    stores: list[RedisSessionStore] = []
    yield stores
    for store in stores:
        store.close()


@pytest.fixture
def store(server: Service, opened: list[RedisSessionStore]) -> RedisSessionStore:
    made = RedisSessionStore(f"redis://127.0.0.1:{server.port}/3", sealingKeys=[KEY])
    opened.append(made)
    return made


def test_it_is_a_store_that_others_share() -> None:
    store = RedisSessionStore(sealingKeys=[KEY])
    assert verifyObject(ISessionStore, store)
    assert store.shared
    assert store.sealingKeys == [KEY]


@ensureDeferred
async def test_what_was_stored_is_found_until_it_is_discarded(store: Any) -> None:
    data = bytes(range(256)) * 20
    assert await store.fetch(ID) is None
    assert await store.store(ID, data, 300) is None
    assert await store.fetch(ID) == data
    await store.store(ID, b"\r\n$5\r\n", 300)
    assert await store.fetch(ID) == b"\r\n$5\r\n"
    await store.discard(ID)
    assert await store.fetch(ID) is None


@ensureDeferred
async def test_many_questions_at_once_have_their_own_answers(store: Any) -> None:
    ids = [b"%032d" % number for number in range(50)]
    await defer.gatherResults([store.store(each, each * 40, 300) for each in ids])
    assert await defer.gatherResults([store.fetch(each) for each in ids]) == [
        each * 40 for each in ids
    ]


@ensureDeferred
async def test_entries_end_with_their_lifetime(store: Any) -> None:
    await store.store(ID, b"data", 1.5)
    left = await store._line.ask(lambda redis: redis.execute_command(b"PTTL", store._key(ID)))
    assert 0 < left <= 1500
    assert store.store(ID, b"other", 0) is None
    assert await store.fetch(ID) == b"data"
    await store.store(ID, b"data", 0.001)
    while await store.fetch(ID) is not None:
        pass


@ensureDeferred
async def test_database_and_prefix_keep_stores_apart(
    server: Service, store: Any, opened: list[Any]
) -> None:
    address = f"redis://127.0.0.1:{server.port}"
    others: list[Any] = [
        RedisSessionStore(address, sealingKeys=[KEY]),
        RedisSessionStore(f"{address}/3?prefix=other:", sealingKeys=[KEY]),
    ]
    opened += others
    await store.store(ID, b"data", 300)
    for other in others:
        assert await other.fetch(ID) is None


@ensureDeferred
async def test_user_and_password_are_shown_to_it(tmp_path: Path, opened: list[Any]) -> None:
    (tmp_path / "password").write_text("s3 cret/@\n")
    (tmp_path / "password").chmod(0o600)
    with redis(tmp_path, "--requirepass", "s3 cret/@") as server:
        where = f"127.0.0.1:{server.port}"
        stores: list[Any] = [
            RedisSessionStore(f"redis://:s3%20cret%2F%40@{where}", sealingKeys=[KEY]),
            RedisSessionStore(f"redis://default:s3%20cret%2F%40@{where}", sealingKeys=[KEY]),
            RedisSessionStore(
                f"redis://{where}?passwordFile={tmp_path}/password", sealingKeys=[KEY]
            ),
        ]
        opened += stores
        for store in stores:
            await store.store(ID, b"data", 300)
            assert await store.fetch(ID) == b"data"
            assert "cret" not in repr(store)
        for user in ("", ":wrong@"):
            refused: Any = RedisSessionStore(f"redis://{user}{where}", sealingKeys=[KEY])
            opened.append(refused)
            with pytest.raises(StoreError, match=r"NOAUTH|WRONGPASS") as caught:
                await refused.fetch(ID)
            assert "wrong" not in str(caught.value)


@ensureDeferred
async def test_over_tls_its_certificate_is_checked(
    tmp_path: Path, pki: Pki, opened: list[Any]
) -> None:
    files = {"cert": pki.server.cert, "key": pki.server.key, "ca": pki.ca}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    settings = [
        *("--tls-cert-file", str(tmp_path / "cert")),
        *("--tls-key-file", str(tmp_path / "key")),
        *("--tls-ca-cert-file", str(tmp_path / "ca")),
        *("--tls-auth-clients", "no"),
    ]
    with ExitStack() as running:
        try:
            server = running.enter_context(redis(tmp_path, *settings, tlsAlone=True))
        except AssertionError:
            pytest.skip("this redis-server has no TLS")
        good: Any = RedisSessionStore(
            f"rediss://localhost:{server.port}?ca={tmp_path}/ca&timeout=5", sealingKeys=[KEY]
        )
        bad: Any = RedisSessionStore(
            f"rediss://localhost:{server.port}?timeout=5", sealingKeys=[KEY]
        )
        opened += [good, bad]
        await good.store(ID, b"data", 300)
        assert await good.fetch(ID) == b"data"
        with pytest.raises(StoreError):
            await bad.fetch(ID)


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
    await _back(store)
    await store.store(ID, b"new", 300)
    assert await store.fetch(ID) == b"new"


async def _back(store: Any) -> None:
    """Wait until it answers again."""
    answers: list[Any] = []

    def ask() -> bool:
        store.fetch(ID).addCallbacks(answers.append, lambda failure: failure.trap(StoreError))
        return bool(answers)

    await eventually(ask)


@ensureDeferred
async def test_one_that_hangs_is_waited_for_once(server: Service, opened: list[Any]) -> None:
    store: Any = RedisSessionStore(
        f"redis://127.0.0.1:{server.port}", sealingKeys=[KEY], timeout=0.1
    )
    opened.append(store)
    await store.store(ID, b"data", 300)
    server.freeze()
    try:
        results = await defer.DeferredList([store.fetch(ID) for _ in range(5)], consumeErrors=True)
        assert [succeeded for succeeded, _ in results] == [False] * 5
        with pytest.raises(StoreError, match="no connection"):
            await store.fetch(ID)
    finally:
        server.thaw()
    await _back(store)
    assert await store.fetch(ID) == b"data"


class Nonsense(Protocol):
    """Says something else than it should."""

    said = b""

    def dataReceived(self, data: bytes) -> None:
        if b"PING" in data:
            self.transport.write(b"+PONG\r\n")
        else:
            self.transport.write(self.said)


@pytest.mark.parametrize(
    "said",
    [
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
)
@ensureDeferred
async def test_one_that_talks_nonsense_fails_the_question_only(said: bytes) -> None:
    from twisted.internet import reactor

    factory = Factory.forProtocol(type("Talks", (Nonsense,), {"said": said}))
    factory.noisy = False  # type: ignore[attr-defined]
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
    store: Any = RedisSessionStore(
        f"redis://127.0.0.1:{port.getHost().port}", sealingKeys=[KEY], timeout=0.2
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


@inlineCallbacks
def test_a_closed_one_is_not_opened_again(store: Any) -> Iterator[Any]:
    yield store.store(ID, b"data", 300)
    store.close()
    with pytest.raises(StoreError, match="closed"):
        yield store.fetch(ID)


@pytest.mark.parametrize(
    "address",
    [
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
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(NodeTypeError) as caught:
        RedisSessionStore(address, sealingKeys=None)
    assert caught.value.code == "ERR_INVALID_ARG_VALUE"


def test_a_password_is_in_no_error() -> None:
    with pytest.raises(NodeTypeError) as caught:
        RedisSessionStore("redis://user:geheim@localhost/name")
    assert "geheim" not in str(caught.value)


def test_a_key_file_has_to_be_ours_and_long_enough(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(KEY)
    path.chmod(0o644)
    address = f"redis://localhost?keyFile={path}"
    with pytest.raises(NodeTypeError, match="can be reached by others"):
        RedisSessionStore(address)
    path.chmod(0o600)
    assert RedisSessionStore(address).sealingKeys == (KEY,)
    path.write_bytes(KEY[1:])
    with pytest.raises(NodeTypeError, match="fewer than 32 bytes"):
        RedisSessionStore(address)


@pytest.mark.parametrize("keys", [KEY, [], [KEY[1:]], ["x" * 32]])
def test_keys_that_cannot_seal_are_refused(keys: Any) -> None:
    with pytest.raises(NodeTypeError):
        RedisSessionStore(sealingKeys=keys)


def test_without_txredisapi_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NodeError, match="extra redis") as caught:
        RedisSessionStore(sealingKeys=[KEY])
    assert caught.value.code == "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM"


def test_neither_import_nor_construction_brings_a_reactor() -> None:
    done = runPython(
        """
import sys
from txnodetls.sessions.redis import RedisSessionStore
RedisSessionStore(sealingKeys=[bytes(32)])
assert "twisted.internet.reactor" not in sys.modules
assert "txredisapi" not in sys.modules
"""
    )
    assert done.returncode == 0, done.stderr


@ensureDeferred
async def test_where_nobody_listens_it_fails_at_once() -> None:
    store: Any = RedisSessionStore(f"redis://127.0.0.1:{unusedPort()}", sealingKeys=[KEY])
    with pytest.raises(StoreError, match="ConnectionRefusedError"):
        await store.fetch(ID)
    store.close()
