"""A server's new sessions in the engine: told in time, and nothing goes on before they are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.protocol.engines import Pair, serverContext
from tests.support import Pki
from txnodetls import createSecureContext
from txnodetls.constants import SSL_OP_NO_TICKET
from txnodetls.openssl import queries, sessions, symbols
from txnodetls.protocol import events
from txnodetls.protocol.engine import Answer, TLSEngine
from txnodetls.protocol.states import Sending

hidden = pytest.mark.skipif(
    not symbols.available("SSL_CTX_add_session"), reason="this OpenSSL hides its functions"
)
BOUND = {"sessionIdContext": b"of the tests"}


def reporting(pki: Pki, version: str, **server: Any) -> Pair:
    """A pair whose server makes no tickets and reports its sessions."""
    settings = {"reportSessions": True, "options": SSL_OP_NO_TICKET, **BOUND, **server}
    return Pair(pki, version, server=settings)


def made(pair: Pair) -> list[events.SessionMade]:
    """The sessions that the server has reported."""
    return [e for e in pair.server.events if isinstance(e, events.SessionMade)]


def keepAll(pair: Pair) -> None:
    """Say of each that it is kept, and go on."""
    for _ in made(pair):
        pair.server.engine.sessionKept()
    pair.exchange()


def issued(pair: Pair) -> list[bytes]:
    """The sessions that the client was told of."""
    return [e.session for e in pair.client.events if isinstance(e, events.SessionIssued)]


def test_a_session_of_tls_12_comes_before_the_end_of_the_handshake(pki: Pki) -> None:
    pair = reporting(pki, "TLSv1.2").shake()
    assert pair.server.names == ["SessionMade"]
    assert not pair.client.secured
    assert pair.server.engine.sending is Sending.WITHHELD
    keepAll(pair)
    assert pair.server.names == ["SessionMade", "HandshakeCompleted"]
    assert pair.client.secured


def test_the_sessions_of_tls_13_come_behind_the_end_of_the_handshake(pki: Pki) -> None:
    pair = reporting(pki, "TLSv1.3").shake()
    assert pair.server.names == ["HandshakeCompleted", "SessionMade", "SessionMade"]
    assert pair.client.secured
    assert issued(pair) == []
    pair.server.engine.sessionKept()
    pair.exchange()
    assert issued(pair) == []
    pair.server.engine.sessionKept()
    pair.exchange()
    assert len(issued(pair)) == 2
    assert pair.server.engine.sending is Sending.OPEN


def test_what_is_told_is_what_the_client_has(pki: Pki, version: str) -> None:
    pair = reporting(pki, version).shake()
    keepAll(pair)
    told = made(pair)
    assert len({each.sessionId for each in told}) == len(told)
    for each, client in zip(told, issued(pair), strict=True):
        assert queries.sessionIdOf(each.session) == each.sessionId
        if version == "TLSv1.2":
            assert queries.sessionIdOf(client) == each.sessionId
        else:
            # The ticket is but the id.
            assert queries.ticketOf(client) == each.sessionId


def test_nothing_is_taken_or_given_before_a_session_is_kept(pki: Pki, version: str) -> None:
    pair = reporting(pki, version).shake()
    server, client = pair.server, pair.client
    before = len(server.events)
    assert not server.engine.send(b"from the server")
    if client.engine.send(b"from the client"):
        pair.exchange()
    assert (server.data, client.data) == (b"", b"")
    assert server.engine.dataToSend() == b""
    shipped: list[memoryview] = []
    for much in (False, True):
        assert server.engine.drain(shipped.append, much) == 0
    assert shipped == []
    assert len(server.events) == before
    keepAll(pair)
    assert server.engine.send(b"from the server")
    pair.exchange()
    assert client.data == b"from the server"
    if version == "TLSv1.3":
        assert server.data == b"from the client"


def test_what_the_client_said_last_is_told_after_all(pki: Pki) -> None:
    pair = reporting(pki, "TLSv1.3").shake()
    assert pair.client.engine.send(b"and so good-bye")
    pair.client.engine.shutdown()
    pair.exchange()
    pair.server.engine.receiveEnd()
    pair.server.pull()
    assert pair.server.data == b""
    keepAll(pair)
    assert pair.server.data == b"and so good-bye"
    assert pair.server.names[-1] == "EndReceived"


def test_after_a_close_nothing_is_waited_for(pki: Pki, version: str) -> None:
    pair = reporting(pki, version).shake()
    pair.server.engine.close()
    pair.server.engine.sessionKept()
    assert pair.server.engine.sending is Sending.DEAD
    assert pair.server.engine.nextEvent() is None


def test_one_answer_too_many_does_nothing(pki: Pki, version: str) -> None:
    pair = reporting(pki, version).shake()
    for _ in range(5):
        pair.server.engine.sessionKept()
    assert pair.server.engine.sending is Sending.OPEN


def test_nobody_is_told_who_did_not_ask(pki: Pki, version: str) -> None:
    pair = Pair(pki, version, server={"options": SSL_OP_NO_TICKET}).shake()
    assert pair.server.names == ["HandshakeCompleted"]
    pair = Pair(pki, "TLSv1.2", server={"reportSessions": True}).shake()
    # A ticket of TLS 1.2 is the client's affair.
    assert pair.server.names == ["HandshakeCompleted"]


@hidden
def test_a_session_that_is_handed_in_is_resumed(pki: Pki, version: str) -> None:
    first = reporting(pki, version).shake()
    keepAll(first)
    for kept, offered in zip(made(first), issued(first), strict=True):
        pair = asking(pki, version, offered)
        assert pair.server.names == ["ClientHelloReceived"]
        pair.server.engine.resume(Answer(session=kept.session))
        pair.exchange()
        keepAll(pair)
        assert queries.sessionReused(pair.server.engine.driver)
        assert queries.sessionReused(pair.client.engine.driver)
        # Tickets of TLS 1.3 that are but ids are renewed each time.
        assert len(made(pair)) == (1 if version == "TLSv1.3" else 0)


def asking(pki: Pki, version: str, session: bytes, **more: Any) -> Pair:
    """A pair whose client offers a session, and whose server waits for an answer."""
    return Pair(
        pki,
        version,
        client={"session": session, **more.pop("client", {})},
        server={
            "askAboutHello": True,
            "reportSessions": True,
            "options": SSL_OP_NO_TICKET,
            **BOUND,
            **more,
        },
    ).shake()


@hidden
@pytest.mark.parametrize(
    "spoil", [lambda session: b"", lambda session: session[:-1], lambda session: b"garbage" * 9]
)
def test_what_is_no_session_costs_a_full_handshake(
    pki: Pki, version: str, spoil: Callable[[bytes], bytes]
) -> None:
    first = reporting(pki, version).shake()
    keepAll(first)
    pair = asking(pki, version, issued(first)[-1])
    pair.server.engine.resume(Answer(session=spoil(made(first)[-1].session)))
    pair.exchange()
    keepAll(pair)
    assert pair.client.secured
    assert not queries.sessionReused(pair.server.engine.driver)


@hidden
def test_a_session_is_handed_in_to_one_connection_only(pki: Pki, version: str) -> None:
    context = serverContext(pki, version)
    first = reporting(pki, version, context=context).shake()
    keepAll(first)
    offered, kept = issued(first)[-1], made(first)[-1].session
    one, other = (asking(pki, version, offered, context=context) for _ in range(2))
    one.server.engine.resume(Answer(session=kept))
    other.server.engine.resume(Answer())
    for pair, resumed in ((other, False), (one, True)):
        pair.exchange()
        keepAll(pair)
        assert queries.sessionReused(pair.server.engine.driver) is resumed


@hidden
def test_a_session_is_there_for_a_second_clienthello_too(pki: Pki) -> None:
    """The server asks for another group first (HelloRetryRequest)."""
    first = reporting(pki, "TLSv1.3").shake()
    keepAll(first)
    context = serverContext(pki, "TLSv1.3", ecdhCurve="P-384")
    client = createSecureContext(ca=pki.ca, ecdhCurve="X25519:P-384", minVersion="TLSv1.3")
    pair = asking(pki, "TLSv1.3", issued(first)[-1], context=context, client={"context": client})
    pair.server.engine.resume(Answer(session=made(first)[-1].session))
    pair.exchange()
    keepAll(pair)
    assert queries.groupName(pair.server.engine.driver) == "secp384r1"
    assert queries.sessionReused(pair.server.engine.driver)


@pytest.mark.parametrize("piece", [None, 1])
def test_openssl_is_followed_only_where_sessions_come_with_tickets(
    pki: Pki, version: str, piece: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step of it is a call, and in TLS 1.2 the session is there at the end."""
    steps: list[bool] = []
    real = TLSEngine.hookProgress

    def counted(engine: TLSEngine, done: bool) -> None:
        steps.append(done)
        real(engine, done)

    monkeypatch.setattr(TLSEngine, "hookProgress", counted)
    pair = reporting(pki, version)
    pair.shake(piece)
    keepAll(pair)
    assert made(pair)
    if piece is None:
        assert bool(steps) is (version == "TLSv1.3")
    assert steps.count(True) <= 1


def test_a_renegotiation_makes_a_session_to_keep(pki: Pki) -> None:
    pair = reporting(pki, "TLSv1.2").shake()
    keepAll(pair)
    pair.server.engine.renegotiate(whole=True)
    pair.exchange()
    assert [type(e).__name__ for e in pair.server.events][-2:] == ["HandshakeBegun", "SessionMade"]
    assert pair.server.engine.sending is Sending.WITHHELD
    pair.server.engine.sessionKept()
    pair.exchange()
    assert pair.server.names[-1] == "HandshakeCompleted"
    assert len({each.sessionId for each in made(pair)}) == 2
    assert pair.server.engine.send(b"on we go")
    pair.exchange()
    assert pair.client.data == b"on we go"


@hidden
@pytest.mark.skipif(not sessions.ticketKeysAvailable(), reason="this OpenSSL hides its functions")
def test_with_ticket_keys_a_resumed_session_of_tls_13_brings_none(pki: Pki) -> None:
    settings = {"reportSessions": True, "ticketKeys": (b"k" * 48,), **BOUND}
    context = serverContext(pki, "TLSv1.3")
    first = Pair(pki, "TLSv1.3", server={"context": context, **settings}).shake()
    keepAll(first)
    assert len(made(first)) == 2
    pair = Pair(
        pki,
        "TLSv1.3",
        client={"session": issued(first)[-1]},
        server={"context": context, **settings},
    ).shake()
    assert queries.sessionReused(pair.server.engine.driver)
    assert pair.server.names == ["HandshakeCompleted"]
    # With an older key it is renewed.
    settings["ticketKeys"] = (b"n" * 48, b"k" * 48)
    pair = Pair(
        pki,
        "TLSv1.3",
        client={"session": issued(first)[-1]},
        server={"context": context, **settings},
    ).shake()
    assert queries.sessionReused(pair.server.engine.driver)
    assert len(made(pair)) == 1
