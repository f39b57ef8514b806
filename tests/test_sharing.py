"""Servers that share ticket keys and sessions: a ring, and stores that are real."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred

import txnodetls as tls
from tests.loopback import Loopback, Received, until
from tests.sessions.services import Service, memcached, redis
from tests.sessions.test_ring import Time
from tests.support import Pki, eventually
from tests.test_resumption import NO_TICKET, Sessions, ticketOf, versions, visit
from txnodetls.errors import NodeError, NodeTypeError
from txnodetls.openssl import sessions, symbols
from txnodetls.sessions.memcached import MemcachedSessionStore
from txnodetls.sessions.redis import RedisSessionStore
from txnodetls.sessions.ring import RedisTicketKeys, TicketKeyFile, TicketKeyRing

pytestmark = pytest.mark.skipif(
    not symbols.available("SSL_CTX_add_session") or not sessions.ticketKeysAvailable(),
    reason="this OpenSSL hides its functions",
)
A = bytes(range(48))
KEY = bytes(range(32))


# -- a ring of ticket keys


@versions
@ensureDeferred
async def test_servers_with_one_ring_take_each_others_tickets(pki: Pki, version: str) -> None:
    ring = TicketKeyRing()
    async with Loopback(pki) as loopback:
        first, second = [
            await loopback.serve(maxVersion=version, ticketKeyRing=ring) for _ in range(2)
        ]
        assert first.getTicketKeys() == second.getTicketKeys() == ring.current
        told, _ = await visit(loopback, first)
        assert ticketOf(told[-1])[:16] == first.getTicketKeys()[:16]
        _, reused = await visit(loopback, second, session=told[-1])
        assert reused
        assert ring._users == 2
    await eventually(lambda: ring._users == 0)
    assert ring._timer is None


@versions
@ensureDeferred
async def test_with_the_keys_of_a_ring_tickets_are_renewed_and_come_to_an_end(
    pki: Pki, version: str
) -> None:
    clock = Time()
    ring = TicketKeyRing(interval=100, lifetime=30, clock=clock)
    async with Loopback(pki) as loopback:
        # The ring's keys open tickets for as long as the server says that they are good.
        server = await loopback.serve(maxVersion=version, ticketKeyRing=ring, sessionTimeout=50)
        assert ring.lifetime == 50
        told, _ = await visit(loopback, server)
        clock.now += 100
        count = 1 if version == "TLSv1.3" else 0
        renewed, reused = await visit(loopback, server, count, session=told[-1])
        assert reused
        assert [ticketOf(each)[:16] for each in renewed] == [server.getTicketKeys()[:16]] * count
        clock.now += 50
        _, reused = await visit(loopback, server, session=told[-1])
        assert not reused


@ensureDeferred
async def test_without_keys_in_the_ring_a_server_has_its_own(pki: Pki) -> None:
    class Nowhere:
        def exchange(self, revise: Callable[..., Any]) -> Any:
            raise OSError(5, "gone")

    ring = TicketKeyRing(Nowhere())
    async with Loopback(pki) as loopback:
        server = await loopback.serve(ticketKeyRing=ring)
        told, _ = await visit(loopback, server)
        _, reused = await visit(loopback, server, session=told[-1])
        assert reused
        assert len(server.getTicketKeys()) == 48


def test_the_keys_of_a_ring_are_not_the_servers_to_change(pki: Pki) -> None:
    server = tls.createServer(ticketKeyRing=TicketKeyRing())
    before = server.getTicketKeys()
    changes: list[Callable[[], object]] = [
        lambda: server.setTicketKeys(A),
        server.rotateTicketKeys,
        lambda: server.setSecureContext({"ticketKeys": A}),
        lambda: tls.createServer(ticketKeyRing=TicketKeyRing(), ticketKeys=A),
    ]
    for change in changes:
        with pytest.raises(NodeError, match="ticketKeyRing") as caught:
            change()
        assert caught.value.code == "ERR_INVALID_STATE"
    assert server.getTicketKeys() == before


@pytest.mark.parametrize("given", ["nowhere:", "file:", "memory:?x=1"])
def test_a_text_that_is_no_ring_is_refused_by_its_name(given: str) -> None:
    with pytest.raises(NodeTypeError, match=r"options\.ticketKeyRing") as caught:
        tls.createServer(ticketKeyRing=given)
    assert caught.value.code == "ERR_INVALID_ARG_VALUE"


@pytest.mark.parametrize(
    ("count", "every"), [(100, 10), pytest.param(2000, 50, marks=pytest.mark.soak)]
)
@versions
@ensureDeferred
async def test_clients_resume_at_servers_that_share_a_file_while_keys_rotate(
    pki: Pki, tmp_path: Path, version: str, count: int, every: int
) -> None:
    """Each client comes back to the other server, with a ticket of the first."""
    clock = Time()
    interval = 100
    async with Loopback(pki) as loopback:
        servers = [
            await loopback.serve(
                maxVersion=version,
                ticketKeyRing=TicketKeyRing(
                    TicketKeyFile(str(tmp_path / "keys")), interval, clock=clock
                ),
            )
            for _ in range(2)
        ]
        told, _ = await visit(loopback, servers[0])
        latest, resumed, keys = told[-1], 0, {servers[0].getTicketKeys()}
        for turn, start in enumerate(range(0, count, every)):
            clock.now += interval
            server = servers[turn % 2]
            keys.add(server.getTicketKeys())
            clients = []
            for _ in range(min(every, count - start)):
                client = loopback.dial(server, session=latest)
                clients.append((client, Sessions(client), Received(client)))
                client.end(b"hello")
            for _client, told, received in clients:
                await received
                assert (received.data, received.errors) == (b"hello", [])
                latest = told[-1] if told else latest
            resumed += sum(seen["reused"] for seen in server.seen[-len(clients) :])
            if version == "TLSv1.2":
                # A renewed ticket of TLS 1.2 is not told, as in Node: so have a new one.
                told, _ = await visit(loopback, server)
                latest = told[-1]
            loopback.sockets.clear()
        assert len(keys) == count // every + 1
        assert [server.failures for server in servers] == [[], []]
        print(f"{version}: {resumed} of {count} resumed, {len(keys)} keys")
        assert resumed == count


# -- stores that are real


def inRedis(directory: Path) -> tuple[Service, Callable[[int], Any]]:
    pytest.importorskip("txredisapi")
    return redis(directory), lambda port: RedisSessionStore(
        f"redis://127.0.0.1:{port}", sealingKeys=[KEY]
    )


def inMemcached(directory: Path) -> tuple[Service, Callable[[int], Any]]:
    return memcached(), lambda port: MemcachedSessionStore(
        f"memcached://127.0.0.1:{port}", sealingKeys=[KEY]
    )


stores = pytest.mark.parametrize("kind", [inRedis, inMemcached])


@stores
@versions
@ensureDeferred
async def test_a_session_of_one_server_resumes_at_another_out_of_the_store(
    pki: Pki, tmp_path: Path, version: str, kind: Callable[..., Any]
) -> None:
    service, make = kind(tmp_path)
    with service:
        kept = [make(service.port) for _ in range(2)]
        async with Loopback(pki) as loopback:
            first, second = [
                await loopback.serve(maxVersion=version, sessionStore=each) for each in kept
            ]
            told, _ = await visit(loopback, first)
            count = 1 if version == "TLSv1.3" else 0
            for server in (second, first):
                later, reused = await visit(loopback, server, count, session=told[-1])
                assert reused
                told = later or told
        for each in kept:
            each.close()


@stores
@pytest.mark.parametrize("end", ["killed", "frozen"])
@ensureDeferred
async def test_a_store_that_ends_amid_200_handshakes_loses_none_of_them(
    pki: Pki, tmp_path: Path, kind: Callable[..., Any], end: str
) -> None:
    service, make = kind(tmp_path)
    with service:
        store = make(service.port)
        async with Loopback(pki) as loopback:
            server = await loopback.serve(sessionStore=store)
            told, _ = await visit(loopback, server)
            clients = []

            def come(count: int) -> None:
                for _ in range(count):
                    client = loopback.dial(server, session=told[-1])
                    client.end(b"hello")
                    clients.append(Received(client))

            come(100)
            await until(lambda: len(server.seen) > 30)
            if end == "killed":
                service.kill()
            else:
                service.freeze()
            come(100)
            for received in clients:
                await received
                assert (received.data, received.errors) == (b"hello", [])
            assert server.failures == []
            resumed = sum(seen["reused"] for seen in server.seen[1:])
            print(f"{resumed} of {len(clients)} resumed")
            assert 0 < resumed < 200
            if end == "frozen":
                service.thaw()
        store.close()


@pytest.mark.parametrize("store", ["redis://localhost", "memcached://localhost"])
def test_a_store_of_others_without_a_key_is_refused_at_once(pki: Pki, store: str) -> None:
    if store.startswith("redis"):
        pytest.importorskip("txredisapi")
    for extra in ({}, {"ticketKeys": None}):
        with pytest.raises(NodeTypeError, match="keys to seal") as caught:
            tls.createServer(sessionStore=store, **extra)
        assert caught.value.code == "ERR_INVALID_ARG_VALUE"
        assert "options.sessionStore" in str(caught.value)
    # Keys that others can have will do.
    tls.createServer(sessionStore=store, ticketKeys=A)
    tls.createServer(sessionStore=store, ticketKeyRing=TicketKeyRing())
    tls.createServer(sessionStore="memory:")


@ensureDeferred
async def test_the_keys_of_a_ring_seal_the_store(pki: Pki) -> None:
    store = tls.MemorySessionStore()
    clock = Time()
    ring = TicketKeyRing(interval=100, clock=clock)
    async with Loopback(pki) as loopback:
        first = await loopback.serve(
            sessionStore=store, ticketKeyRing=ring, secureOptions=NO_TICKET, maxVersion="TLSv1.2"
        )
        second = await loopback.serve(
            sessionStore=store, ticketKeyRing=ring, secureOptions=NO_TICKET, maxVersion="TLSv1.2"
        )
        stranger = await loopback.serve(
            sessionStore=store, secureOptions=NO_TICKET, maxVersion="TLSv1.2"
        )
        told, _ = await visit(loopback, first)
        assert len(store) == 1
        clock.now += 100
        for server, expected in ((second, True), (stranger, False)):
            _, reused = await visit(loopback, server, session=told[-1])
            assert reused is expected


@ensureDeferred
async def test_a_ring_and_a_store_in_one_redis_serve_two_servers(pki: Pki, tmp_path: Path) -> None:
    """With one key file for both; and none of the ring's keys is in Redis as it is."""
    pytest.importorskip("txredisapi")
    key = tmp_path / "key"
    key.write_bytes(KEY)
    key.chmod(0o600)
    with redis(tmp_path) as service:
        address = f"redis://127.0.0.1:{service.port}?keyFile={key}"
        homes = [RedisTicketKeys(address) for _ in range(2)]
        rings = [TicketKeyRing(home) for home in homes]
        async with Loopback(pki) as loopback:
            first, second = [
                await loopback.serve(ticketKeyRing=ring, sessionStore=address) for ring in rings
            ]
            await eventually(lambda: all(ring.current for ring in rings))
            told, _ = await visit(loopback, first)
            _, reused = await visit(loopback, second, session=told[-1])
            assert reused
            for server in (first, second):
                server._sessions._keeper.store.close()
        for home in homes:
            home.close()
