"""Handshakes behind the first one: in memory, over the loopback, and too many of them."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import Clock, deferLater

import txnodetls as tls
from tests.loopback import Loopback, Received, until
from tests.protocol.engines import Pair
from tests.support import Pki, happened, requireTool
from tests.tlspairs import Told, identity, memoryPair
from txnodetls import constants
from txnodetls.errors import NodeError, NodeTypeError
from txnodetls.openssl import queries
from txnodetls.protocol import events
from txnodetls.protocol.engine import verifyMode
from txnodetls.protocol.states import Sending
from txnodetls.renegotiation import Renegotiations

OLD = {"maxVersion": "TLSv1.2"}
ASK = verifyMode(True, True)


def shaken(pki: Pki, **sides: dict[str, Any]) -> Pair:
    """Two engines on TLS 1.2 whose first handshake is done and forgotten."""
    pair = Pair(pki, "TLSv1.2", **sides).shake()
    pair.client.events.clear()
    pair.server.events.clear()
    return pair


def settle(pair: Pair, limit: int | None = None) -> None:
    pair.client.pull()
    pair.server.pull()
    pair.exchange(limit)


# -- engines


@pytest.mark.parametrize("limit", [None, 1, 7], ids=["whole", "bytes", "sevens"])
def test_a_client_shakes_hands_again(pki: Pki, limit: int | None) -> None:
    pair = shaken(pki)
    pair.client.engine.renegotiate()
    settle(pair, limit)
    assert pair.client.names == ["HandshakeBegun", "SessionIssued", "HandshakeCompleted"]
    assert pair.server.names == ["HandshakeBegun", "HandshakeCompleted"]
    for side in (pair.client, pair.server):
        assert side.one(events.HandshakeCompleted).again
        assert side.engine.sending is Sending.OPEN


@pytest.mark.parametrize("limit", [None, 1], ids=["whole", "bytes"])
def test_a_server_lets_the_client_shake_hands_again(pki: Pki, limit: int | None) -> None:
    pair = shaken(pki)
    pair.server.engine.renegotiate()
    settle(pair, limit)
    # The client resumes, so there is no new session.
    assert pair.client.names == ["HandshakeBegun", "HandshakeCompleted"]
    assert pair.server.names == ["HandshakeBegun", "HandshakeCompleted"]


def test_both_may_ask_at_once(pki: Pki) -> None:
    pair = shaken(pki)
    pair.client.engine.renegotiate()
    pair.server.engine.renegotiate()
    settle(pair)
    assert pair.client.count(events.HandshakeCompleted) == 1
    assert pair.server.count(events.HandshakeCompleted) == 1
    assert pair.client.engine.send(b"there")
    assert pair.server.engine.send(b"back")
    pair.exchange()
    assert (pair.server.data, pair.client.data) == (b"there", b"back")


def test_nothing_is_sent_from_when_it_has_begun_until_it_is_done(pki: Pki) -> None:
    pair = shaken(pki)
    client, server = pair.client.engine, pair.server.engine
    client.renegotiate()
    assert not client.send(b"x")
    hello = pair.client.output()
    assert server.send(b"y")
    pair.server.receive(hello)
    assert not server.send(b"z")
    settle(pair)
    assert client.send(b"x")
    assert server.send(b"z")
    pair.exchange()
    assert (pair.server.data, pair.client.data) == (b"x", b"yz")


def test_data_that_was_not_read_yet_is_no_error(pki: Pki) -> None:
    pair = shaken(pki)
    pair.server.engine.send(b"unread")
    pair.client.engine.receive(pair.server.output())
    pair.client.engine.renegotiate()
    settle(pair)
    assert pair.client.data == b"unread"
    assert pair.client.count(events.HandshakeCompleted) == 1


@pytest.mark.parametrize("who", ["client", "server"])
def test_in_the_middle_of_a_record_it_waits_for_the_rest(pki: Pki, who: str) -> None:
    pair = shaken(pki)
    asking, other = (pair.client, pair.server) if who == "client" else (pair.server, pair.client)
    other.engine.send(b"n" * 1000)
    record = other.output()
    asking.receive(record[:500])
    asking.engine.renegotiate()
    assert asking.output() == b""
    asking.receive(record[500:])
    settle(pair)
    assert asking.data == b"n" * 1000
    assert pair.client.count(events.HandshakeCompleted) == 1
    assert pair.server.count(events.HandshakeCompleted) == 1


def test_what_comes_behind_the_new_handshake_is_reported_behind_it(pki: Pki) -> None:
    pair = shaken(pki)
    pair.server.engine.send(b"before")
    pair.server.engine.renegotiate()
    pair.client.receive(pair.server.output())
    pair.server.receive(pair.client.output())
    # The server's last flight is the client's turn to finish and to go on.
    pair.client.receive(pair.server.output())
    assert pair.client.engine.send(b"behind")
    pair.server.receive(pair.client.output())
    assert pair.server.names == ["HandshakeBegun", "HandshakeCompleted", "data"]
    assert pair.client.names == ["data", "HandshakeBegun", "HandshakeCompleted"]


def test_a_client_without_the_certificate_that_is_asked_for_is_refused(pki: Pki) -> None:
    pair = shaken(pki)
    pair.server.engine.renegotiate(ASK, whole=True)
    settle(pair)
    failed = pair.server.one(events.Failed)
    assert failed.error.code == "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE"
    assert not failed.told
    assert pair.client.one(events.Failed).told


@pytest.mark.parametrize("who", ["client", "server"])
def test_where_options_forbid_it_the_side_itself_cannot_ask(pki: Pki, who: str) -> None:
    pair = shaken(pki, **{who: {"options": constants.SSL_OP_NO_RENEGOTIATION}})
    with pytest.raises(NodeError) as raised:
        getattr(pair, who).engine.renegotiate()
    assert raised.value.code == "ERR_SSL_NO_RENEGOTIATION"
    assert getattr(pair, who).engine.sending is Sending.OPEN


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_refusal_is_no_handshake_to_the_side_that_refuses(pki: Pki, who: str) -> None:
    refusing = "server" if who == "client" else "client"
    pair = shaken(pki, **{refusing: {"options": constants.SSL_OP_NO_RENEGOTIATION}})
    getattr(pair, who).engine.renegotiate()
    settle(pair)
    assert getattr(pair, who).one(events.Failed).error.code == "ERR_SSL_NO_RENEGOTIATION"
    assert getattr(pair, refusing).names == ["Failed"]


def test_a_supplied_key_counts_only_for_the_handshake_that_it_was_supplied_in(pki: Pki) -> None:
    key = b"k" * 32
    context = tls.createSecureContext({"ciphers": "PSK+AES128", **OLD})
    pair = shaken(
        pki,
        client={"context": context, "pskClient": lambda hint: (b"me", key)},
        server={"context": context, "pskServer": lambda identity: key},
    )
    assert pair.server.engine.pskSupplied
    # The client resumes its session, and the callback is not asked.
    pair.server.engine.renegotiate()
    settle(pair)
    assert pair.server.one(events.HandshakeCompleted).again
    assert not pair.server.engine.pskSupplied
    pair.client.engine.renegotiate()
    settle(pair)
    assert pair.server.count(events.HandshakeCompleted) == 2
    assert pair.server.engine.pskSupplied


def test_a_peer_that_ends_instead_leaves_nothing_waiting(pki: Pki) -> None:
    pair = shaken(pki)
    pair.server.engine.shutdown()
    ending = pair.server.output()
    pair.client.engine.renegotiate()
    pair.client.receive(ending)
    assert pair.client.engine.sending is Sending.CLOSED
    assert pair.client.names[-1] == "EndReceived"


def test_tls_1_3_has_none(pki: Pki) -> None:
    pair = Pair(pki, "TLSv1.3").shake()
    with pytest.raises(NodeError) as raised:
        pair.client.engine.renegotiate()
    assert raised.value.code == "ERR_SSL_WRONG_SSL_VERSION"


# -- how many are too many


@pytest.fixture
def limits() -> Any:
    """The module's limits, which may be changed."""
    defaults = constants.defaults
    before = defaults.CLIENT_RENEG_LIMIT, defaults.CLIENT_RENEG_WINDOW
    yield defaults
    defaults.CLIENT_RENEG_LIMIT, defaults.CLIENT_RENEG_WINDOW = before


def test_one_more_than_the_limit_is_an_attack() -> None:
    memory = Renegotiations()
    assert [memory.begun(10.0 + i) for i in range(3)] == [None] * 3
    error = memory.begun(13.0)
    assert error is not None
    assert error.code == "ERR_TLS_SESSION_ATTACK"


def test_a_pause_as_long_as_the_window_forgives() -> None:
    memory = Renegotiations()
    for start in (1000.0, 1602.0, 2204.0):
        assert [memory.begun(start + i) for i in range(3)] == [None] * 3
    assert memory.begun(2206.5) is not None


def test_the_limits_are_read_when_they_are_needed(limits: Any) -> None:
    limits.CLIENT_RENEG_LIMIT = 0
    assert Renegotiations().begun(1.0) is not None
    limits.CLIENT_RENEG_LIMIT, limits.CLIENT_RENEG_WINDOW = 1, 5
    memory = Renegotiations()
    assert memory.begun(10.0) is None
    assert memory.begun(15.0) is None
    assert memory.begun(19.0) is not None


def test_what_the_server_asked_for_is_not_counted(limits: Any) -> None:
    limits.CLIENT_RENEG_LIMIT = 1
    memory = Renegotiations()
    for _ in range(5):
        memory.asked = True
        assert memory.begun(1.0) is None
    assert memory.begun(1.0) is None
    assert memory.begun(1.0) is not None


def test_the_time_of_a_handshake_is_not_prolonged_and_ends_with_it() -> None:
    clock, late = Clock(), []
    memory = Renegotiations()
    memory.bound(clock, 1000, lambda: late.append("late"))
    clock.advance(0.6)
    memory.bound(clock, 1000, lambda: late.append("later"))
    clock.advance(0.5)
    assert late == ["late"]
    memory.over()
    memory.bound(clock, 1000, lambda: late.append("never"))
    memory.over()
    clock.advance(5)
    assert late == ["late"]
    assert not clock.getDelayedCalls()


# -- sockets


async def renegotiated(socket: Any, **options: Any) -> Any:
    """Renegotiate; what the callback gets."""
    told: list[Any] = []
    assert socket.renegotiate(options, told.append) is True
    await until(lambda: told)
    return told[0]


async def secured(loopback: Loopback, server: Any, **options: Any) -> tuple[Any, Any]:
    """A client and the server's socket, both secure."""
    client = await loopback.secure(server, **options)
    await until(lambda: server.secured)
    # Behind the events of the first handshake.
    await deferLater(reactor, 0)  # type: ignore[arg-type]
    return client, server.secured[-1]


@pytest_twisted.ensureDeferred
async def test_the_callback_comes_with_secure_and_data_goes_on(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(**OLD)
        client, accepted = await secured(loopback, server)
        seen: list[str] = []
        for name in ("secureConnect", "secure", "session"):
            client.on(name, lambda *_, name=name: seen.append(name))
        accepted.on("secure", lambda: seen.append("server"))
        before = client.getFinished()
        assert await renegotiated(client) is None
        assert client.getFinished() != before
        assert seen.index("session") < seen.index("secureConnect") < seen.index("secure")
        assert "server" in seen
        assert client.authorized
        assert len(server.secured) == 1
        received = Received(client)
        client.write(b"hello")
        await until(lambda: received.data == b"hello")


@pytest_twisted.ensureDeferred
async def test_writes_of_both_sides_during_it_arrive_whole(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(None, **OLD)
        client, accepted = await secured(loopback, server)
        there, back = Received(accepted), Received(client)
        blocks = [bytes([number]) * 70_000 for number in range(1, 9)]
        client.write(blocks[0])
        accepted.write(blocks[0])
        assert client.renegotiate({}) is True
        for block in blocks[1:]:
            client.write(block)
            accepted.write(block)
        client.end()
        await there
        await back
        assert there.data == back.data == b"".join(blocks)
        assert there.errors == back.errors == []


@pytest_twisted.ensureDeferred
async def test_a_server_asks_for_a_certificate_after_all(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(ca=pki.ca, **OLD)
        _, accepted = await secured(loopback, server, key=pki.client.key, cert=pki.client.cert)
        assert not accepted.authorized
        assert accepted.getPeerCertificate() == {}
        assert await renegotiated(accepted, requestCert=True) is None
        assert accepted.authorized
        assert accepted.authorizationError is None
        assert "client@example.test" in accepted.getPeerCertificate()["subjectaltname"]


def test_a_certificate_that_is_not_proved_yet_is_not_shown(pki: Pki) -> None:
    """OpenSSL shows it as soon as it is there, before the CertificateVerify."""
    pair = memoryPair(pki, {"ca": pki.ca, **OLD}, identity(pki.client), limit=16)
    server = pair.server
    server.resume()
    assert server.renegotiate({"requestCert": True}) is True
    engine: Any = server._engine
    while not queries.peerCertificate(engine.driver):
        assert pair.step()
    assert engine.sending is Sending.RENEGOTIATING
    assert server.getPeerCertificate() == server.getPeerCertificate(True) == {}
    assert server.getPeerX509Certificate() is None
    assert server.getSession() is None
    assert server.authorized is False
    pair.pump()
    assert server.authorized is True
    assert server.getPeerCertificate()
    assert server.getSession()


@pytest_twisted.ensureDeferred
async def test_a_certificate_that_cannot_be_verified_ends_the_connection(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        # The server's trust is not the authority that the client's is from.
        server = await loopback.serve(**OLD)
        client, accepted = await secured(loopback, server, key=pki.client.key, cert=pki.client.cert)
        received, told = Received(accepted), []
        accepted.renegotiate({"requestCert": True}, told.append)
        client.write(b"never to be seen behind the new handshake")
        await received
        assert not accepted.authorized
        assert told == []


@pytest_twisted.ensureDeferred
async def test_a_client_that_resumes_is_not_asked_where_it_need_not_answer(pki: Pki) -> None:
    """As in Node: who only would like to see a certificate does not forbid to resume."""
    async with Loopback(pki) as loopback:
        server = await loopback.serve(ca=pki.ca, **OLD)
        client, accepted = await secured(loopback, server, key=pki.client.key, cert=pki.client.cert)
        assert await renegotiated(accepted, requestCert=True, rejectUnauthorized=False) is None
        assert not accepted.authorized
        assert accepted.getPeerCertificate() == {}
        assert client.isSessionReused()


@pytest_twisted.ensureDeferred
async def test_a_client_that_asks_too_often_is_cut_off_once(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(**OLD)
        client, accepted = await secured(loopback, server)
        received, own = Received(accepted), Received(client)
        for _ in range(tls.CLIENT_RENEG_LIMIT):
            assert await renegotiated(client) is None
        client.renegotiate({})
        await received
        await own
        assert received.errors == ["ERR_TLS_SESSION_ATTACK"]
        assert received.closed is True
        await loopback.proveServing(server)


@pytest_twisted.ensureDeferred
async def test_a_server_may_ask_as_often_as_it_likes(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(**OLD)
        _, accepted = await secured(loopback, server)
        received = Received(accepted)
        for _ in range(2 * tls.CLIENT_RENEG_LIMIT):
            assert await renegotiated(accepted) is None
        assert received.errors == []


@pytest_twisted.ensureDeferred
async def test_disabled_it_is_an_error_of_the_server_and_goes_on(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(**OLD)
        client, accepted = await secured(loopback, server)
        received = Received(accepted)
        accepted.disableRenegotiation()
        assert await renegotiated(client) is None
        assert received.errors == ["ERR_TLS_RENEGOTIATION_DISABLED"]
        assert not accepted.destroyed


def test_a_client_that_does_not_answer_is_given_the_time_of_a_handshake(pki: Pki) -> None:
    pair = memoryPair(pki, {**OLD, "handshakeTimeout": 5000})
    server, told = Told(pair.server), []
    pair.server.renegotiate({}, told.append)
    # Nothing is delivered to the client.
    pair.clock.advance(4.9)
    assert server.errors == []
    pair.clock.advance(0.2)
    assert server.codes == ["ERR_TLS_HANDSHAKE_TIMEOUT"]
    pair.pump()
    assert told == []


def test_so_is_one_that_begins_and_does_not_go_on(pki: Pki) -> None:
    pair = memoryPair(pki, {**OLD, "handshakeTimeout": 5000})
    server = Told(pair.server)
    pair.server.resume()
    pair.client.renegotiate({})
    engine: Any = pair.server._engine
    while engine.sending is not Sending.RENEGOTIATING:
        assert pair.step()
    pair.clock.advance(4.9)
    assert server.errors == []
    pair.clock.advance(0.2)
    assert server.codes == ["ERR_TLS_HANDSHAKE_TIMEOUT"]


@pytest_twisted.ensureDeferred
async def test_the_time_ends_with_the_handshake(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(**OLD, handshakeTimeout=123_000)
        _, accepted = await secured(loopback, server)

        def running() -> int:
            calls = reactor.getDelayedCalls()  # type: ignore[attr-defined]
            times = [call.getTime() - reactor.seconds() for call in calls]  # type: ignore[attr-defined]
            return sum(100 < seconds < 124 for seconds in times)

        before = running()  # the server's own timer of handshakes may stay
        accepted.renegotiate({})
        assert running() == before + 1
        await happened(accepted, "secure")
        assert running() == before
        accepted.renegotiate({})
        accepted.destroy()
        assert running() == before


@pytest_twisted.ensureDeferred
async def test_the_end_waits_for_the_handshake(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(None, **OLD)
        client, accepted = await secured(loopback, server)
        received, own = Received(accepted), Received(client)
        client.renegotiate({})
        client.end(b"last words")
        await received
        await own
        assert received.data == b"last words"
        assert received.ended
        assert received.errors == own.errors == []


@pytest_twisted.ensureDeferred
async def test_tls_1_3_answers_false_and_tells_the_callback_later(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        client, accepted = await secured(loopback, await loopback.serve())
        for socket in (client, accepted):
            told: list[Any] = []
            assert socket.renegotiate({}, told.append) is False
            assert told == []
            await until(lambda told=told: told)
            assert told[0].code == "ERR_SSL_WRONG_SSL_VERSION"
        told = []
        assert client.renegotiate({}, told.append) is False
        client.destroy()
        await until(lambda: client.closed)
        assert told == []


@pytest_twisted.ensureDeferred
async def test_before_the_handshake_and_after_the_end_it_cannot_be(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(**OLD)
        client = loopback.dial(server)
        early: list[Any] = []
        assert client.renegotiate({}, early.append) is False
        await happened(client, "secureConnect")
        assert early[0].code == "ERR_TLS_INVALID_STATE"
        received, late = Received(client), []
        client.end()
        await until(lambda: client.writableFinished)
        assert client.renegotiate({}, late.append) in (False, None)
        await received
        assert client.renegotiate({}) is None


@pytest_twisted.ensureDeferred
async def test_wrong_arguments_are_refused(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        client = await loopback.secure(await loopback.serve(**OLD))
        for arguments in ((), (None,), ("x",), (1,), ({}, "x"), ({}, 1)):
            with pytest.raises(NodeTypeError) as raised:
                client.renegotiate(*arguments)
            assert raised.value.code == "ERR_INVALID_ARG_TYPE"


@pytest_twisted.ensureDeferred
async def test_both_sides_of_a_refusal_are_closed_though_nobody_reads(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(secureOptions=constants.SSL_OP_NO_RENEGOTIATION, **OLD)
        client, accepted = await secured(loopback, server)
        received, own = Received(accepted), Received(client)
        assert client.renegotiate({}) is True
        await own
        await received
        assert own.errors == ["ERR_SSL_NO_RENEGOTIATION"]
        assert not own.ended
        assert received.errors == ["ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE"]


@pytest_twisted.ensureDeferred
async def test_openssl_s_client_renegotiates_and_is_served(pki: Pki) -> None:
    openssl = requireTool("openssl")
    async with Loopback(pki) as loopback:
        server = await loopback.serve(**OLD)
        process = subprocess.Popen(
            [openssl, "s_client", "-connect", f"127.0.0.1:{server.address()['port']}", "-tls1_2"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert process.stdin is not None
            await until(lambda: server.secured)
            again: list[bool] = []
            server.secured[0].on("secure", lambda: again.append(True))
            # A line with an R alone is s_client's command for it.
            process.stdin.write(b"R\n")
            process.stdin.flush()
            await until(lambda: again)
            received = Received(server.secured[0])
            process.stdin.write(b"hello\n")
            process.stdin.flush()
            await until(lambda: received.data == b"hello\n")
        finally:
            process.kill()
            process.communicate()
