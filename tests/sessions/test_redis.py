"""What only the session store in Redis has, with a real one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred

from tests.sessions.services import Service, redis
from tests.support import Pki
from txnodetls.errors import NodeError, NodeTypeError
from txnodetls.sessions import redis as module
from txnodetls.sessions.redis import RedisSessionStore
from txnodetls.sessions.wire import StoreError

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
    place = f"redis://127.0.0.1:{server.port}/3"
    made = RedisSessionStore(place, sealingKeys=[KEY], timeout=10)
    opened.append(made)
    return made


@ensureDeferred
async def test_entries_end_with_their_lifetime(store: Any) -> None:
    await store.store(ID, b"data", 100.5)
    left = await store._line.ask(lambda redis: redis.execute_command(b"PTTL", store._key(ID)))
    assert 0 < left <= 100_500
    await store.store(ID, b"data", 0.001)
    while await store.fetch(ID) is not None:
        pass


@ensureDeferred
async def test_databases_keep_stores_apart(server: Service, store: Any, opened: list[Any]) -> None:
    place = f"redis://127.0.0.1:{server.port}"
    other: Any = RedisSessionStore(place, sealingKeys=[KEY], timeout=10)
    opened.append(other)
    await store.store(ID, b"data", 300)
    assert await other.fetch(ID) is None


@ensureDeferred
async def test_user_and_password_are_shown_to_it(tmp_path: Path, opened: list[Any]) -> None:
    (tmp_path / "password").write_text("s3 cret/@\n")
    (tmp_path / "password").chmod(0o600)
    with redis(tmp_path, "--requirepass", "s3 cret/@") as server:
        where = f"127.0.0.1:{server.port}"
        stores: list[Any] = [
            RedisSessionStore(f"redis://{address}", sealingKeys=[KEY], timeout=10)
            for address in (
                f":s3%20cret%2F%40@{where}",
                f"default:s3%20cret%2F%40@{where}",
                f"{where}?passwordFile={tmp_path}/password",
            )
        ]
        opened += stores
        for store in stores:
            await store.store(ID, b"data", 300)
            assert await store.fetch(ID) == b"data"
            assert "cret" not in repr(store)
        for user in ("", ":wrong@"):
            address = f"redis://{user}{where}"
            refused: Any = RedisSessionStore(address, sealingKeys=[KEY], timeout=10)
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
            f"rediss://localhost:{server.port}?ca={tmp_path}/ca&timeout=10", sealingKeys=[KEY]
        )
        bad: Any = RedisSessionStore(
            f"rediss://localhost:{server.port}?timeout=10", sealingKeys=[KEY]
        )
        opened += [good, bad]
        await good.store(ID, b"data", 300)
        assert await good.fetch(ID) == b"data"
        with pytest.raises(StoreError):
            await bad.fetch(ID)


def test_a_password_is_in_no_error() -> None:
    with pytest.raises(NodeTypeError) as caught:
        RedisSessionStore("redis://user:geheim@localhost/name")
    assert "geheim" not in str(caught.value)


def test_without_txredisapi_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NodeError, match="extra redis") as caught:
        RedisSessionStore(sealingKeys=[KEY])
    assert caught.value.code == "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM"
