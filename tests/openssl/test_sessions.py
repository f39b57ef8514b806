"""Ticket keys, stored sessions, sessions made: on bare OpenSSL connections in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from OpenSSL import SSL
from OpenSSL._util import ffi, lib

from tests.memory import derOf
from tests.support import Pki
from txnodetls.errors import NodeTypeError, featureUnavailable
from txnodetls.openssl import contexts, hooks, queries, sessions, symbols
from txnodetls.openssl.calls import Driver

hidden = pytest.mark.skipif(
    not symbols.available("SSL_CTX_add_session"), reason="this OpenSSL hides its functions"
)
versions = pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
NO_TICKET = 0x4000


class Answering:
    """A server's connection, as far as its sessions go."""

    def __init__(self, keys: Sequence[bytes] = ()) -> None:
        self.keys = keys
        self.steps: list[bool] = []
        self.made: dict[bytes, bytes] = {}
        self.failures: list[BaseException] = []
        self.driver: Any = None

    def hookTicketKeys(self) -> Sequence[bytes]:
        return self.keys

    def hookRenewsTickets(self) -> bool:
        return bool(self.keys)

    def hookProgress(self, done: bool) -> None:
        self.steps.append(done)
        session = queries.session(self.driver)
        if True in self.steps and session is not None:
            sessionId = queries.sessionIdOf(session)
            if sessionId:
                self.made.setdefault(sessionId, session)

    def hookFailed(self, error: BaseException) -> None:
        self.failures.append(error)


class Peers:
    """Handshakes of a client with servers that answer for their own ticket keys."""

    def __init__(self, pki: Pki, version: int, options: int = 0) -> None:
        self.server = contexts.newContext()
        contexts.useCertificate(self.server, _leaf(pki))
        contexts.usePrivateKey(self.server, pki.server.key, None)
        contexts.setSessionIdContext(self.server, b"test")
        contexts.setOptions(self.server, options)
        self.client = contexts.newContext("client")
        contexts.setVersions(self.client, version, version)

    def meet(
        self,
        answering: Answering | None = None,
        session: bytes | None = None,
        stored: sessions.StoredSession | None = None,
        watched: bool = False,
    ) -> tuple[Driver, Driver]:
        """One handshake and what comes behind it; the server's side and the client's."""
        server, client = Driver(self.server, True), Driver(self.client, False)
        client.setServername(b"localhost")
        if session is not None:
            assert client.setSession(session)
        if answering is not None:
            answering.driver = server
            hooks.register(server, answering)  # type: ignore[arg-type]
            if watched:
                sessions.watchProgress(server, answering)  # type: ignore[arg-type]
        for _ in range(3):
            client.handshake()
            _pass(client, server)
            if stored is None:
                server.handshake()
            else:
                stored.offer(self.server, server.handshake)
            _pass(server, client)
        self.issued: list[bytes] = []
        client.sessionChanged()
        self._note(client)
        while True:
            _, _, hasSession = client.read()
            if not hasSession:
                break
            self._note(client)
        # An orderly end, or OpenSSL takes the session for spoilt.
        for side in (server, client):
            side.shutdown()
        return server, client

    def _note(self, client: Driver) -> None:
        session = queries.session(client)
        if session is not None and (queries.ticketOf(session) or queries.sessionIdOf(session)):
            self.issued.append(session)


def _leaf(pki: Pki) -> bytes:
    return derOf(pki.server.cert)


def _pass(side: Driver, other: Driver) -> None:
    data = side.take()
    if data:
        other.feed(data)


def keysOf(letter: str) -> bytes:
    return (letter.upper() * 16 + "m" * 16 + letter * 16).encode()


A, B = keysOf("a"), keysOf("b")


@hidden
@versions
def test_a_ticket_carries_the_name_of_the_key_and_resumes_under_it(pki: Pki, version: int) -> None:
    first, second = Peers(pki, version), Peers(pki, version)
    for peers in (first, second):
        sessions.enableTicketKeys(peers.server)
    _, client = first.meet(Answering([A]))
    assert not queries.sessionReused(client)
    ticket = queries.ticketOf(first.issued[-1])
    assert ticket is not None
    assert ticket.startswith(A[:16])
    server, client = second.meet(Answering([A]), first.issued[-1])
    assert queries.sessionReused(server)
    assert queries.sessionReused(client)


@hidden
@versions
def test_a_ticket_of_an_unknown_key_makes_a_full_handshake(pki: Pki, version: int) -> None:
    peers = Peers(pki, version)
    sessions.enableTicketKeys(peers.server)
    peers.meet(Answering([A]))
    answering = Answering([B])
    server, _ = peers.meet(answering, peers.issued[-1])
    assert not queries.sessionReused(server)
    assert answering.failures == []


@hidden
@versions
def test_a_key_of_the_same_name_with_other_secrets_makes_a_full_handshake(
    pki: Pki, version: int
) -> None:
    peers = Peers(pki, version)
    sessions.enableTicketKeys(peers.server)
    peers.meet(Answering([A]))
    ticket = peers.issued[-1]
    for other in (A[:16] + b"x" * 16 + A[32:], A[:32] + b"x" * 16):
        server, _ = peers.meet(Answering([other]), ticket)
        assert not queries.sessionReused(server)


@hidden
@versions
def test_an_older_key_opens_its_tickets_and_they_are_renewed(pki: Pki, version: int) -> None:
    peers = Peers(pki, version)
    sessions.enableTicketKeys(peers.server)
    peers.meet(Answering([A]))
    server, _ = peers.meet(Answering([B, A]), peers.issued[-1])
    assert queries.sessionReused(server)
    ticket = queries.ticketOf(peers.issued[-1])
    assert ticket is not None
    assert ticket.startswith(B[:16])


@hidden
@versions
def test_a_ticket_of_the_current_key_is_not_renewed(pki: Pki, version: int) -> None:
    peers = Peers(pki, version)
    sessions.enableTicketKeys(peers.server)
    peers.meet(Answering([A]))
    before = queries.ticketOf(peers.issued[-1])
    server, _ = peers.meet(Answering([A]), peers.issued[-1])
    assert queries.sessionReused(server)
    assert {queries.ticketOf(each) for each in peers.issued} == {before}


@hidden
def test_a_connection_that_answers_for_no_keys_gets_no_ticket(pki: Pki) -> None:
    peers = Peers(pki, SSL.TLS1_2_VERSION)
    sessions.enableTicketKeys(peers.server)
    _, client = peers.meet(Answering([]))
    assert queries.protocol(client) == "TLSv1.2"
    assert all(not queries.ticketOf(each) for each in peers.issued)


@hidden
@versions
def test_an_answer_that_raises_costs_the_ticket_and_is_told_to_the_connection(
    pki: Pki, version: int
) -> None:
    peers = Peers(pki, version)
    sessions.enableTicketKeys(peers.server)
    peers.meet(Answering([A]))
    answering = Answering()
    error = RuntimeError("no keys today")

    def fail() -> Sequence[bytes]:
        raise error

    answering.hookTicketKeys = fail  # type: ignore[method-assign]
    server, _ = peers.meet(answering, peers.issued[-1])
    assert not queries.sessionReused(server)
    assert answering.failures
    assert set(answering.failures) == {error}


def test_without_ticket_keys_tickets_of_tls_13_are_renewed_unless_told_otherwise(pki: Pki) -> None:
    for told, renewed in ((False, 1), (True, 0)):
        peers = Peers(pki, SSL.TLS1_3_VERSION)
        if told:
            sessions.renewNoTickets(peers.server)
        peers.meet()
        session, given = peers.issued[-1], len(peers.issued)
        assert given == 2
        for _ in range(2):
            server, client = peers.meet(session=session)
            assert queries.sessionReused(server)
            assert queries.sessionReused(client)
            assert len([each for each in peers.issued if each != session]) == renewed


@versions
def test_who_renews_no_tickets_gives_the_first_ones_all_the_same(pki: Pki, version: str) -> None:
    peers = Peers(pki, version)
    sessions.renewNoTickets(peers.server)
    server, _ = peers.meet()
    assert not queries.sessionReused(server)
    assert all(queries.ticketOf(each) for each in peers.issued)
    assert peers.issued
    server, _ = peers.meet(session=peers.issued[-1])
    assert queries.sessionReused(server)


@hidden
def test_a_connection_with_ticket_keys_renews_what_it_wants(pki: Pki) -> None:
    peers = Peers(pki, SSL.TLS1_3_VERSION)
    sessions.renewNoTickets(peers.server)
    sessions.enableTicketKeys(peers.server)
    peers.meet(Answering([A]))
    server, _ = peers.meet(Answering([B, A]), peers.issued[-1])
    assert queries.sessionReused(server)
    ticket = queries.ticketOf(peers.issued[-1])
    assert ticket is not None
    assert ticket.startswith(B[:16])


@hidden
def test_enabling_is_per_context_and_can_be_repeated(pki: Pki) -> None:
    peers, other = Peers(pki, SSL.TLS1_3_VERSION), Peers(pki, SSL.TLS1_3_VERSION)
    assert not sessions.ticketKeysEnabled(peers.server)
    sessions.enableTicketKeys(peers.server)
    sessions.enableTicketKeys(peers.server)
    assert sessions.ticketKeysEnabled(peers.server)
    assert not sessions.ticketKeysEnabled(other.server)


# -- where functions are missing

CALLBACKS: list[Any] = []


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """Functions whose names are put here cannot be had."""
    missing: set[str] = set()
    # Contexts go on pointing to it.
    CALLBACKS.append(sessions._tickets())
    real = symbols.require

    def require(feature: str, *names: str) -> symbols.Functions:
        for name in names:
            if name in missing:
                raise featureUnavailable(feature, name)
        return real(feature, *names)

    monkeypatch.setattr(symbols, "require", require)
    for cached in (sessions._tickets, sessions._cache):
        cached.cache_clear()
    yield missing
    for cached in (sessions._tickets, sessions._cache):
        cached.cache_clear()


@hidden
@versions
def test_without_the_newer_form_the_portable_one_makes_the_same_tickets(
    pki: Pki, version: int, lacking: set[str]
) -> None:
    newer = Peers(pki, version)
    sessions.enableTicketKeys(newer.server)
    newer.meet(Answering([A]))
    CALLBACKS.append(sessions._tickets())
    lacking.add("EVP_MAC_init")
    sessions._tickets.cache_clear()
    portable = Peers(pki, version)
    sessions.enableTicketKeys(portable.server)
    server, _ = portable.meet(Answering([A]), newer.issued[-1])
    assert queries.sessionReused(server)
    portable.meet(Answering([A]))
    server, _ = newer.meet(Answering([A]), portable.issued[-1])
    assert queries.sessionReused(server)
    CALLBACKS.append(sessions._tickets())


@hidden
def test_without_either_form_the_newer_one_is_named(lacking: set[str]) -> None:
    lacking.update(("EVP_MAC_init", "HMAC_Init_ex"))
    for _ in range(2):
        with pytest.raises(NodeTypeError, match="EVP_MAC_init") as caught:
            sessions.requireTicketKeys()
        assert caught.value.code == "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM"


@hidden
def test_without_the_cache_no_session_can_be_handed_in(lacking: set[str]) -> None:
    lacking.add("SSL_CTX_add_session")
    with pytest.raises(NodeTypeError, match="SSL_CTX_add_session") as caught:
        sessions.requireStore()
    assert caught.value.code == "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM"


# -- stored sessions


def madeBy(peers: Peers) -> tuple[list[bytes], list[bytes]]:
    """What a full handshake left with the server and with the client."""
    answering = Answering()
    server, client = peers.meet(answering, watched=True)
    assert not queries.sessionReused(client)
    if queries.protocol(server) != "TLSv1.3":
        session = queries.session(server)
        assert session is not None
        return [session], peers.issued
    return list(answering.made.values()), peers.issued


def aged(session: bytes, seconds: int) -> bytes:
    """A serialised session as if it had been made so long ago."""
    tag = b"\xa1\x06\x02\x04"
    place = session.index(tag) + len(tag)
    made = int.from_bytes(session[place : place + 4], "big") - seconds
    return session[:place] + made.to_bytes(4, "big") + session[place + 4 :]


@hidden
@versions
def test_a_stored_session_resumes_at_another_context(pki: Pki, version: int) -> None:
    first, second = Peers(pki, version, NO_TICKET), Peers(pki, version, NO_TICKET)
    made, issued = madeBy(first)
    assert len(made) == (2 if version == SSL.TLS1_3_VERSION else 1)
    for kept, offered in zip(made, issued[-len(made) :], strict=True):
        stored = sessions.StoredSession.parse(kept)
        server, _ = second.meet(Answering(), offered, stored)
        assert queries.sessionReused(server)
        # And is gone again.
        server, _ = second.meet(Answering(), offered)
        assert not queries.sessionReused(server)


@hidden
@versions
def test_a_stored_session_of_another_context_id_makes_a_full_handshake(
    pki: Pki, version: int
) -> None:
    first, second = Peers(pki, version, NO_TICKET), Peers(pki, version, NO_TICKET)
    contexts.setSessionIdContext(second.server, b"other")
    made, issued = madeBy(first)
    stored = sessions.StoredSession.parse(made[-1])
    server, _ = second.meet(Answering(), issued[-1], stored)
    assert not queries.sessionReused(server)


@hidden
@versions
def test_an_expired_session_makes_a_full_handshake(pki: Pki, version: int) -> None:
    peers = Peers(pki, version, NO_TICKET)
    contexts.setSessionTimeout(peers.server, 100)
    made, issued = madeBy(peers)
    for age, resumed in ((90, True), (110, False)):
        stored = sessions.StoredSession.parse(aged(made[-1], age))
        server, _ = peers.meet(Answering(), issued[-1], stored)
        assert queries.sessionReused(server) is resumed


@hidden
def test_what_is_no_session_is_not_parsed(pki: Pki) -> None:
    made, _ = madeBy(Peers(pki, SSL.TLS1_2_VERSION, NO_TICKET))
    session = made[0]
    assert sessions.StoredSession.parse(session) is not None
    for data in (b"", b"\x30", b"garbage", session[:-1], session + b"\0", session * 2):
        assert sessions.StoredSession.parse(data) is None
        assert lib.ERR_peek_error() == 0


# -- sessions made


def test_each_ticket_of_tls_13_is_a_session_of_its_own(pki: Pki) -> None:
    made, issued = madeBy(Peers(pki, SSL.TLS1_3_VERSION))
    assert len(made) == len(issued) == 2
    ids = {queries.sessionIdOf(each) for each in made}
    assert len(ids) == 2
    assert all(ids)
    keys = [each[each.index(b"\x04\x30") :][:50] for each in made]
    assert keys == [each[each.index(b"\x04\x30") :][:50] for each in issued]


def test_a_connection_that_is_gone_is_not_asked(pki: Pki) -> None:
    peers = Peers(pki, SSL.TLS1_3_VERSION)
    answering = Answering()
    server = Driver(peers.server, True)
    sessions.watchProgress(server, answering)  # type: ignore[arg-type]
    hooks.unregister(server)
    client = Driver(peers.client, False)
    client.handshake()
    _pass(client, server)
    server.handshake()
    assert answering.steps == []
    assert server.ssl != ffi.NULL


def test_importing_looks_nothing_up() -> None:
    from tests.support import runPython

    done = runPython(
        "from txnodetls.openssl import sessions, symbols\n"
        "import txnodetls\n"
        "assert not symbols._lookup._origins, symbols._lookup._origins\n"
    )
    assert done.returncode == 0, done.stderr
