"""What the sessions of a client's cache are good for, and what they are not."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, clientFromString

import txnodetls as tls
from tests.loopback import Loopback, Received, until
from tests.support import Pki, eventually, happened, makePki, unusedPort
from tests.twisted_face.pairs import Making
from txnodetls.errors import NodeTypeError
from txnodetls.sessions.clientcache import ClientSessionCache, processCache
from txnodetls.twisted.endpoints import ClientEndpoint, wrapClient

versions = pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])


@pytest.fixture
def cache() -> ClientSessionCache:
    return ClientSessionCache()


@pytest.fixture(scope="module")
def stranger() -> Pki:
    return makePki()


async def visit(loopback: Loopback, to: Any, cache: Any, **options: Any) -> bool:
    """Connect, exchange a word, close; whether it resumed."""
    client = loopback.dial(to, sessionCache=cache, **options)
    told: list[bytes] = []
    client.on("session", told.append)
    await happened(client, "secureConnect")
    reused = bool(client.isSessionReused())
    client.write(b"hello")
    assert await happened(client, "data") == (b"hello",)
    await until(lambda: reused or told)
    done = Received(client)
    client.end()
    await done
    return reused


@versions
@ensureDeferred
async def test_a_client_that_comes_back_resumes(
    pki: Pki, cache: ClientSessionCache, version: str
) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(maxVersion=version)
        reused = [await visit(loopback, server, cache) for _ in range(4)]
        # Two tickets of TLS 1.3, each for once; a session of TLS 1.2 for good.
        last = version == "TLSv1.2"
        assert reused == [False, True, True, last]
        assert [seen["reused"] for seen in server.seen] == reused


@versions
@ensureDeferred
async def test_tickets_are_used_again_where_that_is_wanted(pki: Pki, version: str) -> None:
    cache = ClientSessionCache(reuseTickets=True)
    async with Loopback(pki) as loopback:
        server = await loopback.serve(maxVersion=version)
        assert [await visit(loopback, server, cache) for _ in range(4)] == [False, True, True, True]


@ensureDeferred
async def test_two_connections_at_once_have_different_tickets(
    pki: Pki, cache: ClientSessionCache
) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve()
        await visit(loopback, server, cache)
        clients = [loopback.dial(server, sessionCache=cache) for _ in range(3)]
        for client in clients:
            await happened(client, "secureConnect")
        assert sorted(client.isSessionReused() for client in clients) == [False, True, True]


@ensureDeferred
async def test_without_the_option_nothing_is_kept(pki: Pki) -> None:
    before = len(processCache)
    async with Loopback(pki) as loopback:
        server = await loopback.serve()
        for nothing in (None, False):
            for _ in range(2):
                assert not await visit(loopback, server, nothing)
    assert len(processCache) == before


@ensureDeferred
async def test_true_is_one_cache_for_the_whole_process(pki: Pki) -> None:
    processCache.clear()
    async with Loopback(pki) as loopback:
        server = await loopback.serve()
        assert not await visit(loopback, server, True)
        assert await visit(loopback, server, processCache)
    processCache.clear()


@pytest.mark.parametrize("given", [1, "yes", object(), {}, ClientSessionCache])
def test_what_is_no_cache_is_refused(given: Any) -> None:
    with pytest.raises(NodeTypeError, match=r"options\.sessionCache") as caught:
        tls.connect(port=1, sessionCache=given)
    assert caught.value.code == "ERR_INVALID_ARG_TYPE"


def check(host: str, certificate: Any) -> None:
    return None


def otherCheck(host: str, certificate: Any) -> None:
    return None


LINES: dict[str, Any] = {
    "servername": lambda pki, other: {"servername": "127.0.0.1"},
    "no servername": lambda pki, other: {"servername": None},
    "more trust": lambda pki, other: {"ca": [pki.ca, other.ca]},
    "client certificate": lambda pki, other: {"key": pki.client.key, "cert": pki.client.cert},
    "another client certificate": lambda pki, other: {
        "key": other.client.key,
        "cert": other.client.cert,
    },
    "ALPN": lambda pki, other: {"ALPNProtocols": ["h2"]},
    "minVersion": lambda pki, other: {"minVersion": "TLSv1.1"},
    "secureOptions": lambda pki, other: {"secureOptions": tls.constants.SSL_OP_NO_COMPRESSION},
    "ciphers": lambda pki, other: {"ciphers": "HIGH:!aNULL"},
    "sigalgs": lambda pki, other: {"sigalgs": "ECDSA+SHA256:RSA-PSS+SHA256"},
    "minDHSize": lambda pki, other: {"minDHSize": 3072},
    "rejectUnauthorized": lambda pki, other: {"rejectUnauthorized": False},
    "checkServerIdentity": lambda pki, other: {"checkServerIdentity": check},
    "staple": lambda pki, other: {"requestOCSP": True},
    "certificate for later": lambda pki, other: {"postHandshakeAuth": True},
    "host": lambda pki, other: {"host": "localhost"},
}


@versions
@pytest.mark.parametrize("line", LINES)
@pytest.mark.filterwarnings("ignore:Setting the TLS ServerName to an IP address")
@ensureDeferred
async def test_a_session_is_not_offered_across_a_line(
    pki: Pki, stranger: Pki, cache: ClientSessionCache, version: str, line: str
) -> None:
    changed = LINES[line](pki, stranger)
    async with Loopback(pki) as loopback:
        server = await loopback.serve(maxVersion=version)
        assert not await visit(loopback, server, cache)
        assert not await visit(loopback, server, cache, **changed)
        # Either is good on its side of it.
        assert await visit(loopback, server, cache)
        assert await visit(loopback, server, cache, **changed)


@versions
@ensureDeferred
async def test_a_session_is_not_offered_to_another_port(
    pki: Pki, cache: ClientSessionCache, version: str
) -> None:
    async with Loopback(pki) as loopback:
        common = {"ticketKeys": bytes(48), "maxVersion": version}
        first, second = [await loopback.serve(**common) for _ in range(2)]
        assert not await visit(loopback, first, cache)
        assert not await visit(loopback, second, cache)
        assert await visit(loopback, first, cache)


@versions
@ensureDeferred
async def test_what_was_not_authorized_is_not_kept(
    pki: Pki, stranger: Pki, cache: ClientSessionCache, version: str
) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(maxVersion=version)
        for options in (
            {"ca": stranger.ca},
            {"checkServerIdentity": lambda host, certificate: ValueError("no")},
        ):
            for _ in range(2):
                reused = await visit(loopback, server, cache, rejectUnauthorized=False, **options)
                assert not reused
        assert len(cache) == 0


@ensureDeferred
async def test_a_checker_that_cannot_be_compared_costs_the_session(
    pki: Pki, cache: ClientSessionCache
) -> None:
    class Checker:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, host: str, certificate: Any) -> None:
            return None

    async with Loopback(pki) as loopback:
        server = await loopback.serve()
        for _ in range(2):
            assert not await visit(loopback, server, cache, checkServerIdentity=Checker())
        assert len(cache) == 0


@ensureDeferred
async def test_sessions_with_a_key_of_pskcallback_are_not_kept(
    pki: Pki, cache: ClientSessionCache
) -> None:
    key = bytes(16)
    async with Loopback(pki) as loopback:
        server = await loopback.serve(
            pskCallback=lambda socket, identity: key, ciphers="PSK+HIGH:TLS_AES_128_GCM_SHA256"
        )
        client = loopback.dial(
            server,
            sessionCache=cache,
            ciphers="PSK+HIGH:TLS_AES_128_GCM_SHA256",
            pskCallback=lambda hint: {"psk": key, "identity": "me"},
            checkServerIdentity=check,
        )
        await happened(client, "secureConnect")
        client.write(b"hello")
        await happened(client, "data")
        assert len(cache) == 0


@versions
@ensureDeferred
async def test_a_session_that_was_given_goes_before_the_cache(
    pki: Pki, cache: ClientSessionCache, version: str
) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(maxVersion=version)
        await visit(loopback, server, cache)
        before = len(cache)
        # Another server's, so it is of no use.
        other = await loopback.serve(maxVersion=version)
        client = loopback.dial(other)
        (session,) = await happened(client, "session")
        assert not await visit(loopback, server, cache, session=session)
        assert len(cache) >= before


@versions
@ensureDeferred
async def test_what_fails_with_a_session_is_tried_without(
    pki: Pki, cache: ClientSessionCache, version: str
) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(maxVersion=version)
        await visit(loopback, server, cache)
        assert len(cache) > 0
        server.once("connection", lambda socket: socket.destroy())
        client = loopback.dial(server, sessionCache=cache)
        (error,) = await happened(client, "error")
        assert error.code == "ECONNRESET"
        await until(lambda: len(cache) == 0)
        assert not await visit(loopback, server, cache)


@ensureDeferred
async def test_where_nobody_listens_no_ticket_is_lost(pki: Pki, cache: ClientSessionCache) -> None:
    async with Loopback(pki) as loopback:
        port = unusedPort()
        server = await loopback.serve(port=port)
        await visit(loopback, port, cache)
        before = len(cache)
        server.close()
        await until(lambda: not server.connections)
        client = loopback.dial(port, sessionCache=cache)
        (error,) = await happened(client, "error")
        assert error.code == "ECONNREFUSED"
        assert len(cache) == before


@ensureDeferred
async def test_a_session_of_a_renegotiation_is_not_kept(
    pki: Pki, cache: ClientSessionCache
) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(maxVersion="TLSv1.2")
        client = loopback.dial(server, sessionCache=cache)
        told: list[bytes] = []
        client.on("session", told.append)
        await happened(client, "secureConnect")
        await until(lambda: told)
        kept = [each.session for entries in cache._kept.values() for each in entries]
        done: list[Any] = []
        client.renegotiate({}, done.append)
        await until(lambda: done)
        assert done == [None]
        now = [each.session for entries in cache._kept.values() for each in entries]
        assert now == kept == told[:1]


@versions
@ensureDeferred
async def test_endpoints_share_a_cache(pki: Pki, version: str) -> None:
    cache = ClientSessionCache()
    options = {"ca": pki.ca, "sessionCache": cache}
    async with Loopback(pki) as loopback:
        server = await loopback.serve(maxVersion=version)
        port = server.address()["port"]
        below = TCP4ClientEndpoint(reactor, "127.0.0.1", port)  # type: ignore[arg-type]
        ways: list[Any] = [
            ClientEndpoint(reactor, "localhost", port, options),
            ClientEndpoint(reactor, "localhost", port, options),
            wrapClient(below, {**options, "servername": "localhost"}, reactor=reactor),
            wrapClient(below, {**options, "servername": "localhost"}, reactor=reactor),
        ]
        reused = []
        for way in ways:
            client = await way.connect(Making())
            reused.append(client.transport.tlsSocket.isSessionReused())
            client.transport.write(b"hello")
            await eventually(lambda client=client: client.received == b"hello")
            client.transport.loseConnection()
            await eventually(lambda client=client: client.reason)
        assert reused == [False, True, False, True]


@ensureDeferred
async def test_a_string_can_ask_for_it(pki: Pki, tmp_path: Any) -> None:
    processCache.clear()
    (tmp_path / "ca.pem").write_bytes(pki.ca)
    async with Loopback(pki) as loopback:
        server = await loopback.serve()
        where = f"nodetls:localhost:{server.address()['port']}:ca={tmp_path}/ca.pem"
        reused = []
        for _ in range(2):
            endpoint = clientFromString(reactor, f"{where}:sessionCache=yes")
            client = await endpoint.connect(Making())
            reused.append(client.transport.tlsSocket.isSessionReused())
            client.transport.write(b"hello")
            await eventually(lambda client=client: client.received == b"hello")
            client.transport.loseConnection()
            await eventually(lambda client=client: client.reason)
        assert reused == [False, True]
    processCache.clear()
