"""A certificate asked for later in TLS 1.3: sockets on the loopback, both faces, and others."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from twisted.internet import reactor
from twisted.internet.endpoints import clientFromString
from twisted.internet.error import ConnectionLost
from twisted.internet.task import deferLater

import txnodetls as tls
from tests.interop.peers import NodePeer, opensslPeer
from tests.loopback import Census, Loopback, Received, sessionFor, until
from tests.support import Credentials, Pki, happened, makePki
from tests.tlspairs import Told, memoryPair
from tests.twisted_face.pairs import Making, Pair
from txnodetls.errors import Blame, NodeError, NodeTypeError, Phase
from txnodetls.openssl import queries
from txnodetls.options import UnknownOptionWarning
from txnodetls.testing import MemoryPair
from txnodetls.twisted.endpoints import ServerEndpoint

KEY = bytes(range(32))


@pytest.fixture(scope="module")
def stranger() -> Pki:
    """An authority that nobody trusts."""
    return makePki()


@pytest_twisted.async_yield_fixture
async def loopback(pki: Pki) -> Any:
    async with Loopback(pki) as opened:
        yield opened


def holder(credentials: Credentials) -> dict[str, Any]:
    """The options of a client that has this certificate and can be asked for it."""
    return {"key": credentials.key, "cert": credentials.cert, "postHandshakeAuth": True}


async def connection(
    loopback: Loopback, listener: Any = None, *, client: dict[str, Any], **options: Any
) -> tuple[Any, Any]:
    """A client, and the server's socket, both secure, and nothing under way."""
    server = await loopback.serve(listener, **{"ca": loopback.pki.ca, **options})
    socket = await loopback.secure(server, **client)
    await until(lambda: server.secured)
    await deferLater(reactor, 0)  # type: ignore[arg-type]
    return socket, server.secured[-1]


async def asked(socket: Any, **options: Any) -> Any:
    """Ask; what the callback gets."""
    told: list[Any] = []
    assert socket.requestPostHandshakeAuth(options, told.append) is True
    assert told == []
    await until(lambda: told)
    await deferLater(reactor, 0)  # type: ignore[arg-type]
    assert len(told) == 1
    return told[0]


async def refused(socket: Any, **options: Any) -> Any:
    """Ask in vain; what the callback gets."""
    told: list[Any] = []
    assert socket.requestPostHandshakeAuth(options, told.append) is False
    assert told == []
    await until(lambda: told)
    return told[0]


async def goesOn(client: Any, accepted: Any) -> None:
    """Data still goes both ways."""
    there, back = Received(accepted), Received(client)
    client.write(b"there")
    accepted.write(b"back")
    await until(lambda: there.data.endswith(b"there") and back.data.endswith(b"back"))
    assert there.errors == back.errors == []


def name(socket: Any) -> str | None:
    found: str | None = (socket.getPeerCertificate() or {}).get("subjectaltname")
    return found


# -- a good answer, and none, and a bad one


@pytest_twisted.ensureDeferred
async def test_a_server_asks_for_a_certificate_after_all(loopback: Loopback, pki: Pki) -> None:
    client, accepted = await connection(loopback, client=holder(pki.client))
    assert (accepted.authorized, accepted.getPeerCertificate()) == (False, {})
    assert await asked(accepted) is None
    assert (accepted.authorized, accepted.authorizationError) == (True, None)
    assert "client@example.test" in (name(accepted) or "")
    assert accepted.getPeerX509Certificate().subjectAltName
    assert accepted.getPeerCertificate(True)["issuerCertificate"]
    await goesOn(client, accepted)


@pytest_twisted.ensureDeferred
async def test_data_goes_both_ways_while_it_asks(loopback: Loopback, pki: Pki) -> None:
    client, accepted = await connection(loopback, client=holder(pki.client))
    there, back = Received(accepted), Received(client)
    blocks = [bytes([number]) * 70_000 for number in range(1, 9)]
    told: list[Any] = []
    for position, block in enumerate(blocks):
        client.write(block)
        accepted.write(block)
        if position == 2:
            accepted.requestPostHandshakeAuth({}, told.append)
    await until(lambda: told)
    client.end()
    accepted.end()
    await there
    await back
    assert told == [None]
    assert there.data == back.data == b"".join(blocks)
    assert there.errors == back.errors == []


@pytest_twisted.ensureDeferred
async def test_what_the_client_sends_behind_its_answer_is_delivered_behind_the_verdict(
    loopback: Loopback, pki: Pki
) -> None:
    client, accepted = await connection(loopback, client=holder(pki.client))
    seen: list[tuple[Any, bool]] = []
    accepted.on("data", lambda data: seen.append((bytes(data), accepted.authorized)))
    client.on("data", lambda data: client.write(b"behind"))
    accepted.requestPostHandshakeAuth(None, lambda error: seen.append((error, accepted.authorized)))
    accepted.write(b"the request comes before this")
    await until(lambda: len(seen) == 2)
    assert seen == [(None, True), (b"behind", True)]


@pytest_twisted.ensureDeferred
async def test_a_client_without_one_is_let_on_where_none_is_insisted_on(
    loopback: Loopback, pki: Pki
) -> None:
    client, accepted = await connection(loopback, client={"postHandshakeAuth": True})
    assert await asked(accepted, rejectUnauthorized=False) is None
    assert accepted.authorized is False
    assert accepted.authorizationError == "UNABLE_TO_GET_ISSUER_CERT"
    assert accepted.getPeerCertificate() == {}
    await goesOn(client, accepted)


@pytest_twisted.ensureDeferred
async def test_a_client_without_one_is_cut_off_where_it_is(loopback: Loopback, pki: Pki) -> None:
    client, accepted = await connection(loopback, client={"postHandshakeAuth": True})
    there, back = Received(accepted), Received(client)
    error = await asked(accepted, rejectUnauthorized=True)
    await there
    await back
    assert error.code == "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE"
    assert there.errors == [error.code]
    assert there.error is error
    assert back.errors == ["ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED"]
    assert accepted.authorized is False


@pytest.mark.parametrize("given", [{}, {"rejectUnauthorized": True}], ids=["default", "said"])
@pytest_twisted.ensureDeferred
async def test_one_that_nobody_vouches_for_ends_the_connection(
    given: dict[str, Any], loopback: Loopback, stranger: Pki
) -> None:
    client, accepted = await connection(loopback, client=holder(stranger.client))
    there, back = Received(accepted), Received(client)
    accepted.requestPostHandshakeAuth(given)
    client.once("data", lambda data: client.write(b"never to be seen"))
    accepted.write(b"x")
    await there
    await back
    assert there.errors == [accepted.authorizationError]
    assert there.errors[0] not in (None, "OK", "UNSPECIFIED")
    assert (there.error.blame, there.error.phase) == (Blame.PEER, Phase.HANDSHAKING)
    assert there.data == b""
    assert accepted.authorized is False


@pytest_twisted.ensureDeferred
async def test_the_server_says_what_is_insisted_on_where_the_call_does_not(
    loopback: Loopback, stranger: Pki
) -> None:
    client, accepted = await connection(
        loopback, client=holder(stranger.client), rejectUnauthorized=False
    )
    assert await asked(accepted) is None
    assert accepted.authorized is False
    assert accepted.authorizationError is not None
    assert "client@example.test" in (name(accepted) or "")
    await goesOn(client, accepted)


@pytest_twisted.ensureDeferred
async def test_of_two_authorities_that_of_the_context_counts_that_the_name_chose(
    loopback: Loopback, pki: Pki, stranger: Pki
) -> None:
    own = {"key": pki.server.key, "cert": pki.server.cert}
    server = await loopback.serve(None, ca=pki.ca)
    server.addContext("other.test", {**own, "ca": stranger.ca})
    verdicts = {}
    for servername, authority in itertools.product(("localhost", "other.test"), (pki, stranger)):
        await loopback.secure(
            server,
            servername=servername,
            checkServerIdentity=lambda host, certificate: None,
            **holder(authority.client),
        )
        await until(lambda: server.secured)
        accepted = server.secured.pop()
        assert await asked(accepted, rejectUnauthorized=False) is None
        verdicts[servername, authority is pki] = accepted.authorized
    assert verdicts == {
        ("localhost", True): True,
        ("localhost", False): False,
        ("other.test", True): False,
        ("other.test", False): True,
    }


@pytest_twisted.ensureDeferred
async def test_it_may_ask_again_and_the_last_answer_counts(loopback: Loopback, pki: Pki) -> None:
    client, accepted = await connection(
        loopback, client=holder(pki.client), requestCert=True, rejectUnauthorized=True
    )
    assert accepted.authorized is True
    for _ in range(3):
        assert await asked(accepted) is None
        assert accepted.authorized is True
    await goesOn(client, accepted)


# -- what does not answer for the certificate


@pytest_twisted.ensureDeferred
async def test_a_resumed_session_with_a_certificate_in_it_does_not(
    loopback: Loopback, pki: Pki
) -> None:
    server = await loopback.serve(None, ca=pki.ca)
    sessions: list[bytes] = []
    client = await loopback.secure(server, **holder(pki.client))
    client.on("session", sessions.append)
    await until(lambda: server.secured)
    assert await asked(server.secured[-1]) is None
    # The tickets that follow an answer have the certificate in them.
    await until(lambda: len(sessions) == 4)

    # It comes back, with that session, and without the certificate.
    again = await loopback.secure(server, session=sessions[-1], postHandshakeAuth=True)
    assert again.isSessionReused()
    await until(lambda: len(server.secured) == 2)
    accepted = server.secured[-1]
    assert "client@example.test" in (name(accepted) or "")
    assert accepted.authorized is False
    assert await asked(accepted, rejectUnauthorized=False) is None
    assert accepted.authorized is False
    assert accepted.getPeerCertificate() == {}


@pytest_twisted.ensureDeferred
async def test_a_session_from_before_it_proves_nothing(loopback: Loopback, pki: Pki) -> None:
    options = {"sessionIdContext": "shared", "ticketKeys": bytes(48), "ca": pki.ca}
    asking = await loopback.serve(None, **options)
    insisting = await loopback.serve(None, **options, requestCert=True)
    session = await sessionFor(loopback, asking, **holder(pki.client))
    client = loopback.dial(insisting, session=session, postHandshakeAuth=True)
    received = Received(client)
    await received
    assert insisting.secured == []


@pytest_twisted.ensureDeferred
async def test_a_session_from_behind_it_is_worth_what_the_answer_was(
    loopback: Loopback, pki: Pki, stranger: Pki
) -> None:
    options = {"sessionIdContext": "shared", "ticketKeys": bytes(48), "ca": pki.ca}
    asking = await loopback.serve(None, **options, rejectUnauthorized=False)
    wishing = await loopback.serve(None, **options, requestCert=True, rejectUnauthorized=False)
    verdicts = []
    for given in (holder(pki.client), holder(stranger.client), {"postHandshakeAuth": True}):
        sessions: list[bytes] = []
        client = await loopback.secure(asking, **given)
        client.on("session", sessions.append)
        await until(lambda: asking.secured)
        assert await asked(asking.secured.pop()) is None
        await until(lambda sessions=sessions: len(sessions) == 4)
        again = await loopback.secure(wishing, session=sessions[-1])
        assert again.isSessionReused()
        await until(lambda: wishing.secured)
        verdicts.append(wishing.secured.pop().authorized)
    assert verdicts == [True, False, False]


@pytest_twisted.ensureDeferred
async def test_a_pre_shared_key_does_not(loopback: Loopback, pki: Pki, stranger: Pki) -> None:
    ciphers = "TLS_AES_128_GCM_SHA256"
    server = {"pskCallback": lambda socket, identity: KEY, "ciphers": ciphers}
    client = {
        "pskCallback": lambda hint: {"psk": KEY, "identity": "me"},
        "ciphers": ciphers,
        **holder(stranger.client),
    }
    client, accepted = await connection(
        loopback, client=client, requestCert=True, rejectUnauthorized=False, **server
    )
    assert accepted.authorized is True  # by the key
    assert await asked(accepted, rejectUnauthorized=False) is None
    assert accepted.authorized is False
    there = Received(accepted)
    assert (await asked(accepted, rejectUnauthorized=True)).code == accepted.authorizationError
    await there


@pytest.mark.parametrize("kind", ["tickets", "store"])
@pytest_twisted.ensureDeferred
async def test_sessions_made_behind_it_can_be_resumed(
    kind: str, loopback: Loopback, pki: Pki
) -> None:
    options = {"sessionStore": "memory:"} if kind == "store" else {}
    client, accepted = await connection(loopback, client=holder(pki.client), **options)
    sessions: list[bytes] = []
    client.on("session", sessions.append)
    assert await asked(accepted) is None
    await until(lambda: len(sessions) >= 2)
    await goesOn(client, accepted)
    again = await loopback.secure(accepted.server, session=sessions[-1])
    assert again.isSessionReused()


@pytest_twisted.ensureDeferred
async def test_a_listener_may_ask_though_the_session_is_not_kept_yet(
    loopback: Loopback, pki: Pki
) -> None:
    told: list[Any] = []
    server = await loopback.serve(None, ca=pki.ca, sessionStore="memory:")
    server.on("secureConnection", lambda s: s.requestPostHandshakeAuth({}, told.append))
    await loopback.secure(server, **holder(pki.client))
    await until(lambda: told)
    assert told == [None]
    assert server.secured[0].authorized is True


# -- who cannot be asked


@pytest_twisted.ensureDeferred
async def test_a_client_that_has_not_offered_it_goes_on_unasked(
    loopback: Loopback, pki: Pki
) -> None:
    given = {"key": pki.client.key, "cert": pki.client.cert}
    client, accepted = await connection(loopback, client=given)
    error = await refused(accepted)
    assert error.code == "ERR_SSL_EXTENSION_NOT_RECEIVED"
    assert "postHandshakeAuth" in error.message
    assert accepted.requestPostHandshakeAuth() is False
    assert (accepted.authorized, accepted.authorizationError) == (False, None)
    await goesOn(client, accepted)


@pytest_twisted.ensureDeferred
async def test_in_tls_1_2_renegotiate_is_named(loopback: Loopback, pki: Pki) -> None:
    client, accepted = await connection(loopback, client=holder(pki.client), maxVersion="TLSv1.2")
    error = await refused(accepted)
    assert error.code == "ERR_SSL_WRONG_SSL_VERSION"
    assert "renegotiate" in error.message
    await goesOn(client, accepted)


@pytest_twisted.ensureDeferred
async def test_one_that_is_being_asked_is_not_asked_again(loopback: Loopback, pki: Pki) -> None:
    client, accepted = await connection(loopback, client=holder(pki.client))
    first: list[Any] = []
    assert accepted.requestPostHandshakeAuth({}, first.append) is True
    assert (await refused(accepted, rejectUnauthorized=False)).code == "ERR_SSL_REQUEST_SENT"
    await until(lambda: first)
    assert first == [None]
    assert accepted.authorized is True
    await goesOn(client, accepted)


@pytest_twisted.ensureDeferred
async def test_a_client_asks_nobody(loopback: Loopback, pki: Pki) -> None:
    client, accepted = await connection(loopback, client=holder(pki.client))
    with pytest.raises(NodeError) as raised:
        client.requestPostHandshakeAuth()
    assert raised.value.code == "ERR_SSL_NOT_SERVER"
    await goesOn(client, accepted)


def test_before_the_handshake_it_cannot_be(pki: Pki) -> None:
    pair = memoryPair(pki, {"ca": pki.ca}, holder(pki.client), pump=False)
    told: list[Any] = []
    assert pair.server.requestPostHandshakeAuth({}, told.append) is False
    pair.pump()
    assert [error.code for error in told] == ["ERR_TLS_INVALID_STATE"]
    assert pair.server.getProtocol() == "TLSv1.3"


@pytest_twisted.ensureDeferred
async def test_behind_an_end_it_cannot_be(loopback: Loopback, pki: Pki) -> None:
    given = {"allowHalfOpen": True, **holder(pki.client)}
    client, accepted = await connection(loopback, client=given, allowHalfOpen=True)
    accepted.resume()
    client.end()
    await happened(accepted, "end")
    assert (await refused(accepted)).code == "ERR_TLS_INVALID_STATE"
    accepted.end()
    assert (await refused(accepted)).code == "ERR_STREAM_WRITE_AFTER_END"
    accepted.destroy()
    assert (await refused(accepted)).code == "ERR_STREAM_DESTROYED"


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("x",), "ERR_INVALID_ARG_TYPE", "options"),
        ((7,), "ERR_INVALID_ARG_TYPE", "options"),
        (({}, "x"), "ERR_INVALID_ARG_TYPE", "callback"),
        (({"rejectUnauthorized": "no"},), "ERR_INVALID_ARG_TYPE", "options.rejectUnauthorized"),
        (({"rejectUnauthorized": 0},), "ERR_INVALID_ARG_TYPE", "options.rejectUnauthorized"),
        (({"requestCert": 1},), "ERR_INVALID_ARG_TYPE", "options.requestCert"),
        (({"requestCert": False},), "ERR_INVALID_ARG_VALUE", "options.requestCert"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_wrong_arguments_are_refused(
    arguments: tuple[Any, ...], code: str, named: str, loopback: Loopback, pki: Pki
) -> None:
    _, accepted = await connection(loopback, client=holder(pki.client))
    with pytest.raises(NodeTypeError) as raised:
        accepted.requestPostHandshakeAuth(*arguments)
    assert raised.value.code == code
    assert named in raised.value.message
    assert await asked(accepted, requestCert=True, rejectUnauthorized=None) is None


@pytest_twisted.ensureDeferred
async def test_an_option_that_it_does_not_know_is_warned_about(
    loopback: Loopback, pki: Pki
) -> None:
    _, accepted = await connection(loopback, client=holder(pki.client))
    with pytest.warns(UnknownOptionWarning, match="rejectUnauthorized"):
        accepted.requestPostHandshakeAuth({"rejectUnauthorised": False})


@pytest.mark.parametrize("value", ["yes", 1, b"x"])
def test_the_clients_option_is_a_boolean(value: Any) -> None:
    with pytest.raises(NodeTypeError) as raised:
        tls.connect(1, postHandshakeAuth=value)
    assert raised.value.code == "ERR_INVALID_ARG_TYPE"
    assert "options.postHandshakeAuth" in raised.value.message


# -- bad luck


def deaf(client: Any) -> None:
    """It reads nothing more."""
    client.pause()
    client._carrier.pause()


@pytest.mark.parametrize("insists", [True, False])
def test_a_client_that_does_not_answer_is_given_the_time_of_a_handshake(
    insists: bool, pki: Pki
) -> None:
    pair = memoryPair(pki, {"ca": pki.ca, "handshakeTimeout": 5000}, holder(pki.client))
    server, told = Told(pair.server), []
    pair.server.requestPostHandshakeAuth({"rejectUnauthorized": insists}, told.append)
    # Nothing is delivered to the client.
    pair.clock.advance(4.9)
    assert (server.errors, told) == ([], [])
    pair.clock.advance(0.2)
    assert server.codes == ["ERR_TLS_HANDSHAKE_TIMEOUT"]
    assert told == server.errors
    pair.pump()
    assert pair.client.destroyed
    assert pair.clock.getDelayedCalls() == []


@pytest_twisted.ensureDeferred
async def test_the_time_ends_with_the_answer_or_the_connection(
    loopback: Loopback, pki: Pki
) -> None:
    _, accepted = await connection(loopback, client=holder(pki.client), handshakeTimeout=123_000)

    def running() -> int:
        calls = reactor.getDelayedCalls()  # type: ignore[attr-defined]
        times = [call.getTime() - reactor.seconds() for call in calls]  # type: ignore[attr-defined]
        return sum(100 < seconds < 124 for seconds in times)

    before = running()  # the server's own timer of handshakes may stay
    told: list[Any] = []
    accepted.requestPostHandshakeAuth({}, told.append)
    assert running() == before + 1
    await until(lambda: told)
    assert running() == before
    accepted.requestPostHandshakeAuth({}, told.append)
    assert running() == before + 1
    accepted.destroy()
    assert running() == before
    await until(lambda: len(told) == 2)
    assert told[1].code == "ERR_STREAM_PREMATURE_CLOSE"


@pytest.mark.parametrize("insists", [True, False])
@pytest.mark.parametrize("how", ["reset", "cut", "end", "garbage"])
@pytest_twisted.ensureDeferred
async def test_the_client_goes_while_it_is_asked(
    how: str, insists: bool, loopback: Loopback, pki: Pki
) -> None:
    client, accepted = await connection(loopback, client=holder(pki.client))
    there = Received(accepted)
    told: list[Any] = []
    deaf(client)
    accepted.requestPostHandshakeAuth({"rejectUnauthorized": insists}, told.append)
    await deferLater(reactor, 0)  # type: ignore[arg-type]
    if how == "reset":
        client._carrier.abort(reset=True)
    elif how == "cut":
        client._carrier.end()
    elif how == "garbage":
        client._carrier.write(b"\x17\x03\x03\0\x20" + bytes(32))
    else:
        client.end()
    await there
    await until(lambda: told)
    garbled = "ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC"
    code = garbled if how == "garbage" else "ECONNRESET"
    assert [error.code for error in told] == [code]
    assert accepted.authorized is False
    ends = how in ("cut", "end") and not insists
    assert there.errors == ([] if ends else [code])
    client.destroy()


@pytest_twisted.ensureDeferred
async def test_where_none_is_insisted_on_the_client_may_end_its_side_alone(
    loopback: Loopback, pki: Pki
) -> None:
    client, accepted = await connection(loopback, client=holder(pki.client), allowHalfOpen=True)
    back = Received(client)
    told: list[Any] = []
    accepted.resume()
    deaf(client)
    client.allowHalfOpen = True
    accepted.requestPostHandshakeAuth({"rejectUnauthorized": False}, told.append)
    client.end()
    await until(lambda: told)
    assert not accepted.destroyed
    accepted.end(b"last words")
    client.resume()
    client._carrier.resume()
    await back
    assert back.data == b"last words"


@pytest_twisted.ensureDeferred
async def test_a_callback_that_raises_ends_this_connection_and_no_other(
    loopback: Loopback, pki: Pki, loggedErrors: Any
) -> None:
    _, accepted = await connection(loopback, client=holder(pki.client))
    there = Received(accepted)

    def oops(error: Any) -> None:
        raise RuntimeError("oops")

    accepted.requestPostHandshakeAuth({}, oops)
    await there
    assert len(loggedErrors.flush(RuntimeError)) == 1
    accepted.server.on("secureConnection", lambda socket: socket.pipe(socket))
    await loopback.proveServing(accepted.server)


@pytest_twisted.ensureDeferred
async def test_the_answer_of_one_connection_is_not_anothers(
    loopback: Loopback, pki: Pki, stranger: Pki
) -> None:
    server = await loopback.serve(None, ca=pki.ca, rejectUnauthorized=False)
    for credentials in (pki.client, stranger.client) * 3:
        await loopback.secure(server, **holder(credentials))
    await until(lambda: len(server.secured) == 6)
    told: list[Any] = []
    for accepted in server.secured:
        accepted.requestPostHandshakeAuth({}, told.append)
    await until(lambda: len(told) == 6)
    assert [accepted.authorized for accepted in server.secured] == [True, False] * 3


def halfAnswered(pki: Pki, **server: Any) -> MemoryPair:
    """A pair whose client's answer has begun and is not there as a whole."""
    pair = memoryPair(pki, {"ca": pki.ca, **server}, holder(pki.client), limit=16)
    pair.server.resume()
    assert pair.server.requestPostHandshakeAuth() is True
    engine: Any = pair.server._engine
    while not (engine.peerUnproven and queries.peerCertificate(engine.driver)):
        assert pair.step()
    return pair


def test_a_certificate_that_is_not_proved_yet_is_not_shown(pki: Pki) -> None:
    pair = halfAnswered(pki)
    server = pair.server
    assert server.getPeerCertificate() == server.getPeerCertificate(True) == {}
    assert server.getPeerX509Certificate() is None
    assert server.transport.getPeerCertificate() is None  # type: ignore[attr-defined]
    assert server.getSession() is None
    assert server.authorized is False
    pair.pump()
    assert server.authorized is True
    assert "client@example.test" in (name(server) or "")
    assert server.getSession()


@pytest.mark.parametrize("size", [5, 70_000, 700_000])
def test_what_is_written_or_ended_in_the_middle_of_an_answer_waits_for_it(
    size: int, pki: Pki
) -> None:
    """OpenSSL can send neither data nor close_notify then."""
    pair = halfAnswered(pki)
    told = Told(pair.client)
    pair.server.write(b"x" * size)
    pair.server.end(b"last words")
    pair.pump(1_000_000)
    assert told.data == b"x" * size + b"last words"
    assert "end" in told.events
    assert pair.client.truncated is False
    assert told.errors == []


def test_an_end_alone_waits_for_it_too(pki: Pki) -> None:
    pair = halfAnswered(pki)
    told = Told(pair.client)
    pair.server.end()
    assert not pair.server.writableFinished
    pair.pump()
    assert "end" in told.events
    assert pair.client.truncated is False
    assert pair.server.authorized is True


def test_an_answer_that_does_not_go_on_is_too_late(pki: Pki) -> None:
    pair = halfAnswered(pki, handshakeTimeout=5000)
    server = Told(pair.server)
    pair.clock.advance(4.9)
    assert server.errors == []
    pair.clock.advance(0.2)
    assert server.codes == ["ERR_TLS_HANDSHAKE_TIMEOUT"]
    # The rest comes, and finds nobody.
    pair.pump()
    assert server.codes == ["ERR_TLS_HANDSHAKE_TIMEOUT"]
    assert pair.server.authorized is False


@pytest.mark.parametrize("insists", [True, False])
def test_an_answer_that_is_cut_off_ends_the_connection(insists: bool, pki: Pki) -> None:
    """Nothing could be sent any more, not even an end."""
    pair = halfAnswered(pki, rejectUnauthorized=insists)
    server = Told(pair.server)
    pair.cut()
    assert server.codes == ["ECONNRESET"]
    assert pair.server.destroyed
    assert pair.clock.getDelayedCalls() == []


def test_a_paused_socket_reads_the_answer_when_it_goes_on(pki: Pki) -> None:
    pair = memoryPair(pki, {"ca": pki.ca}, holder(pki.client))
    told: list[Any] = []
    pair.server.resume()
    pair.server.requestPostHandshakeAuth({}, told.append)
    # Its buffer is full.
    pair.server.pause()
    pair.client.write(bytes(200_000))
    pair.pump()
    assert told == []
    pair.server.resume()
    pair.pump()
    assert told == [None]


@pytest_twisted.ensureDeferred
async def test_nothing_stays_of_connections_that_were_asked(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        await connection(loopback, client=holder(pki.client))
    census = Census()
    async with Loopback(pki) as loopback:
        for client in (holder(pki.client), {"postHandshakeAuth": True}):
            _, accepted = await connection(loopback, client=client)
            await asked(accepted, rejectUnauthorized=False)
        _, accepted = await connection(loopback, client=holder(pki.client))
        accepted.requestPostHandshakeAuth({}, lambda error: None)
        accepted.destroy()
        del accepted, _
    await census.restored()


# -- the other face, and sockets of no server


@pytest_twisted.ensureDeferred
async def test_a_protocol_asks_by_its_transport(pki: Pki) -> None:
    pair = Pair(pki)
    await pair.connect(serverOptions={"ca": pki.ca}, clientOptions=holder(pki.client))
    try:
        transport = pair.server.transport
        assert transport.getPeerCertificate() is None
        assert await asked(transport.tlsSocket) is None
        assert transport.tlsSocket.authorized is True
        shown = transport.getPeerCertificate().to_cryptography()
        assert shown == x509.load_pem_x509_certificate(pki.client.cert)
        # It is no new handshake.
        assert pair.server.calls == ["connectionMade", "handshakeCompleted"]
        transport.write(b"on")
        await until(lambda: pair.client.received == b"on")
    finally:
        await pair.close()


@pytest_twisted.ensureDeferred
async def test_a_protocol_whose_client_is_refused_is_told_why(pki: Pki, stranger: Pki) -> None:
    pair = Pair(pki)
    await pair.connect(serverOptions={"ca": pki.ca}, clientOptions=holder(stranger.client))
    try:
        socket = pair.server.transport.tlsSocket
        error = await asked(socket)
        await until(lambda: pair.server.reason)
        assert error.code == socket.authorizationError
        assert isinstance(pair.server.lost, ConnectionLost)
        assert pair.server.lost.__cause__ is error
    finally:
        await pair.close()


@pytest.mark.parametrize("text", ["yes", "no"])
@pytest_twisted.ensureDeferred
async def test_an_endpoint_string_offers_it(text: str, pki: Pki, tmp_path: Path) -> None:
    for given, data in (("ca", pki.ca), ("crt", pki.client.cert), ("key", pki.client.key)):
        (tmp_path / given).write_bytes(data)
    own = {"key": pki.server.key, "cert": pki.server.cert, "ca": pki.ca}
    endpoint = ServerEndpoint(reactor, own, port=0, host="127.0.0.1")
    serving, calling = Making(), Making()
    port = await endpoint.listen(serving)
    client = clientFromString(
        reactor,
        f"nodetls:localhost:{port.getHost().port}:family=4:ca={tmp_path}/ca:cert={tmp_path}/crt"
        f":key={tmp_path}/key:postHandshakeAuth={text}",
    )
    await client.connect(calling)
    await until(lambda: serving.made and serving.made[0].calls)
    socket = serving.made[0].transport.tlsSocket
    told: list[Any] = []
    assert socket.requestPostHandshakeAuth({}, told.append) is (text == "yes")
    await until(lambda: told)
    assert socket.authorized is (text == "yes")
    for side in (*serving.made, *calling.made):
        side.transport.abortConnection()
        await until(lambda side=side: side.reason)
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_bare_socket_asks_too(loopback: Loopback, pki: Pki, stranger: Pki) -> None:
    own = {"key": pki.server.key, "cert": pki.server.cert, "ca": pki.ca}
    for credentials, good in ((pki.client, True), (stranger.client, False)):
        made: list[Any] = []
        plain = tls.net.createServer(
            lambda carrier, made=made: made.append(tls.TLSSocket(carrier, isServer=True, **own))
        )
        loopback.servers.append(plain)
        listening = happened(plain, "listening")
        plain.listen(0, "127.0.0.1")
        await listening
        await loopback.secure(plain.address()["port"], **holder(credentials))
        (accepted,) = made
        there = Received(accepted)
        loopback.sockets.append(accepted)
        await accepted.whenSecure()
        error = await asked(accepted)
        assert accepted.authorized is good
        assert (error is None) is good
        if not good:
            await there
            assert there.errors == [error.code]


# -- others


@pytest.mark.parametrize("certificate", [True, False])
@pytest_twisted.ensureDeferred
async def test_openssl_s_client_is_asked(
    certificate: bool, loopback: Loopback, pki: Pki, tmp_path: Path
) -> None:
    (tmp_path / "ca.crt").write_bytes(pki.ca)
    (tmp_path / "client.crt").write_bytes(pki.client.cert)
    (tmp_path / "client.key").write_bytes(pki.client.key)
    server = await loopback.serve(ca=pki.ca)
    own = ("-cert", "client.crt", "-key", "client.key") if certificate else ()
    where = ("-connect", f"127.0.0.1:{server.address()['port']}", "-CAfile", "ca.crt")
    async with opensslPeer("s_client", *where, *own, "-enable_pha", cwd=tmp_path) as peer:
        await until(lambda: server.secured)
        accepted = server.secured[0]
        assert await asked(accepted, rejectUnauthorized=False) is None
        assert accepted.authorized is certificate
        assert (accepted.getPeerCertificate() != {}) is certificate
        peer.write(b"a line\n")
        await peer.said(rb"(?m)a line$")
        if not certificate:
            assert (await asked(accepted)).code == "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE"
            await peer.said(rb"certificate required")
            await peer.ended()


@pytest_twisted.ensureDeferred
async def test_openssl_s_server_asks_our_client(
    loopback: Loopback, pki: Pki, tmp_path: Path
) -> None:
    for given, data in (("ca.crt", pki.ca), ("crt", pki.server.cert), ("key", pki.server.key)):
        (tmp_path / given).write_bytes(data)
    own = ("-accept", "127.0.0.1:0", "-cert", "crt", "-key", "key", "-CAfile", "ca.crt")
    async with opensslPeer("s_server", *own, cwd=tmp_path) as peer:
        port = int((await peer.said(rb"ACCEPT 127\.0\.0\.1:(\d+)"))[1])
        client = await loopback.secure(port, **holder(pki.client))
        received = Received(client)
        await peer.said(rb"CIPHER is ")
        # Its command for it.
        peer.write(b"c\n")
        await peer.said(rb"SSL_verify_client_post_handshake|SSL_do_handshake -> 1")
        await peer.said(rb"depth=0")
        await peer.said(rb"verify return:1")
        peer.write(b"hello\n")
        await until(lambda: b"hello\n" in received.data)
        assert received.errors == []


@pytest_twisted.ensureDeferred
async def test_nodes_client_cannot_be_asked_and_goes_on(loopback: Loopback, pki: Pki) -> None:
    told: list[Any] = []

    def ask(socket: Any) -> None:
        assert socket.requestPostHandshakeAuth({}, told.append) is False
        socket.pipe(socket)

    server = await loopback.serve(ask, ca=pki.ca)
    options = {"port": server.address()["port"], "ca": pki.ca, "servername": "localhost"}
    own = {"key": pki.client.key, "cert": pki.client.cert}
    async with NodePeer("client", {**options, **own}, send=5, ends="echoed") as node:
        await node.finished()
        assert (await node.event("close"))["length"] == 5
        assert "error" not in node.names
    assert [error.code for error in told] == ["ERR_SSL_EXTENSION_NOT_RECEIVED"]
    assert server.failures == server.errors == []
