"""A server's ticket keys, and the events by which an application keeps sessions itself."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

import txnodetls as tls
from tests.loopback import Loopback, Received, until
from tests.memory import crlOf
from tests.support import Pki, happened, runPython
from txnodetls.errors import NodeError, NodeTypeError, featureUnavailable
from txnodetls.openssl import queries, sessions, symbols
from txnodetls.sessions.memory import MemorySessionStore
from txnodetls.sessions.named import sessionFor

pytestmark = pytest.mark.skipif(
    not symbols.available("SSL_CTX_add_session") or not sessions.ticketKeysAvailable(),
    reason="this OpenSSL hides its functions",
)
versions = pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
NO_TICKET = tls.constants.SSL_OP_NO_TICKET
A, B = (bytes(range(start, start + 48)) for start in (0, 100))


class Sessions(list[bytes]):
    """The sessions that a client is told of."""

    def __init__(self, client: Any) -> None:
        super().__init__()
        client.on("session", self.append)


async def visit(loopback: Loopback, server: Any, count: int | None = None, **options: Any) -> Any:
    """
    Connect, exchange a word, close; the client's sessions, and whether it resumed.

    count: how many sessions to wait for; else for one, if it did not resume.
    """
    client = loopback.dial(server, **options)
    told = Sessions(client)
    await happened(client, "secureConnect")
    reused = client.isSessionReused()
    client.write(b"hello")
    assert (await happened(client, "data")) == (b"hello",)
    wanted = (not reused) if count is None else count
    await until(lambda: len(told) >= wanted)
    done = Received(client)
    client.end()
    await done
    assert server.seen[-1]["reused"] is reused
    return told, reused


def unnamed(session: bytes) -> bytes:
    """A client's session in OpenSSL's own form."""
    native = sessionFor("localhost", session)
    assert native is not None
    return native


def ticketOf(session: bytes) -> bytes:
    """The ticket in a client's session."""
    ticket = queries.ticketOf(unnamed(session))
    assert ticket is not None
    return ticket


# -- ticket keys


def test_a_plain_server_never_looks_for_hidden_functions() -> None:
    done = runPython(
        """
import os
os.environ["CI"] = ""
from twisted.internet import reactor
import txnodetls as tls
from tests.support import makePki
from txnodetls.openssl import symbols

pki = makePki()
visits = []

def visit(session=None):
    client = tls.connect({"port": server.address()["port"], "host": "127.0.0.1",
        "ca": pki.ca, "servername": "localhost", "session": session})
    client.on("session", visits.append)
    client.on("data", lambda data: client.end())
    client.on("close", lambda hadError: reactor.stop() if session else visit(visits[-1]))
    client.on("secureConnect", lambda: client.write(b"hello"))

server = tls.createServer({"key": pki.server.key, "cert": pki.server.cert},
    lambda socket: socket.pipe(socket))
server.on("keylog", lambda line, socket: None)
server.listen(0, "127.0.0.1", visit)
reactor.callLater(20, reactor.stop)
reactor.run()
assert len(visits) >= 2, visits
assert symbols._lookup._origins == {}, symbols._lookup._origins
print("done")
"""
    )
    assert done.stdout == b"done\n", done.stderr


@ensureDeferred
@versions
async def test_no_ticket_is_renewed_so_that_sessions_come_to_an_end(pki: Pki, version: str) -> None:
    """As in Node, and where OpenSSL does otherwise: at a server without ticket keys."""
    async with Loopback(pki) as loopback:
        server = await loopback.serve(maxVersion=version)
        told, _ = await visit(loopback, server)
        for _ in range(3):
            again, reused = await visit(loopback, server, session=told[-1])
            assert reused
            assert again == []


def test_a_server_has_keys_of_its_own_when_asked_for_them() -> None:
    one, other = tls.createServer(), tls.createServer()
    keys = one.getTicketKeys()
    assert type(keys) is bytes
    assert len(keys) == 48
    assert one.getTicketKeys() == keys
    assert other.getTicketKeys() != keys


def test_given_keys_are_the_servers_and_can_be_replaced() -> None:
    server = tls.createServer(ticketKeys=bytearray(A))
    assert server.getTicketKeys() == A
    assert server.setTicketKeys(memoryview(B)) is None  # type: ignore[arg-type, func-returns-value]
    assert server.getTicketKeys() == B


@pytest.mark.parametrize("keys", [A[1:], A + b"x", b""])
def test_keys_of_another_length_are_refused_and_the_old_ones_stay(keys: bytes) -> None:
    server = tls.createServer(ticketKeys=A)
    for change in (server.setTicketKeys, server.rotateTicketKeys):
        with pytest.raises(NodeError) as caught:
            change(keys)
        assert caught.value.code == "ERR_INTERNAL_ASSERTION"
    with pytest.raises(NodeTypeError) as refused:
        tls.createServer(ticketKeys=keys)
    assert refused.value.code == "ERR_INVALID_ARG_VALUE"
    assert server.getTicketKeys() == A


@pytest.mark.parametrize("keys", [None, "x" * 48, 48, [1] * 48])
def test_what_is_no_bytes_is_no_key(keys: Any) -> None:
    with pytest.raises(NodeTypeError) as caught:
        tls.createServer().setTicketKeys(keys)
    assert caught.value.code == "ERR_INVALID_ARG_TYPE"


def test_where_keys_cannot_be_set_the_feature_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise featureUnavailable("ticketKeys", "EVP_MAC_init")

    monkeypatch.setattr(sessions, "requireTicketKeys", missing)
    server = tls.createServer()
    calls: list[Callable[[], object]] = [
        server.getTicketKeys,
        lambda: server.setTicketKeys(A),
        server.rotateTicketKeys,
        lambda: tls.createServer(ticketKeys=A),
        lambda: server.setSecureContext({"ticketKeys": A}),
    ]
    for call in calls:
        with pytest.raises(NodeTypeError, match="EVP_MAC_init") as caught:
            call()
        assert caught.value.code == "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM"
    # Listening to 'newSession' needs none.
    server.on("newSession", lambda sessionId, data, callback: callback())
    assert server._settingsNow((False, True)).ticketKeys == ()


@versions
@ensureDeferred
async def test_a_ticket_of_one_server_resumes_at_another_of_the_same_keys(
    pki: Pki, version: str
) -> None:
    async with Loopback(pki) as loopback:
        first = await loopback.serve(ticketKeys=A, maxVersion=version)
        second = await loopback.serve(maxVersion=version)
        third = await loopback.serve(ticketKeys=B, maxVersion=version)
        told, reused = await visit(loopback, first)
        assert not reused
        assert ticketOf(told[-1])[:16] == A[:16]
        second.setTicketKeys(first.getTicketKeys())
        told, reused = await visit(loopback, second, session=told[-1])
        assert reused
        # Node's own servers renew no ticket either.
        assert told == []
        told, _ = await visit(loopback, first)
        _, reused = await visit(loopback, third, session=told[-1])
        assert not reused


@versions
@ensureDeferred
async def test_replaced_keys_open_no_tickets_any_more(pki: Pki, version: str) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(ticketKeys=A, maxVersion=version)
        told, _ = await visit(loopback, server)
        server.setTicketKeys(B)
        renewed, reused = await visit(loopback, server, session=told[-1])
        assert not reused
        assert ticketOf(renewed[-1])[:16] == B[:16]


@versions
@ensureDeferred
async def test_keys_that_were_rotated_open_their_tickets_and_renew_them(
    pki: Pki, version: str
) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(ticketKeys=A, maxVersion=version)
        told, _ = await visit(loopback, server)
        server.rotateTicketKeys(B)
        # A renewed ticket of TLS 1.2 emits nothing, as in Node.
        count = 1 if version == "TLSv1.3" else 0
        renewed, reused = await visit(loopback, server, count, session=told[-1])
        assert reused
        assert [ticketOf(each)[:16] for each in renewed] == [B[:16]] * count
        server.rotateTicketKeys()
        _, reused = await visit(loopback, server, session=told[-1])
        assert reused


@versions
@ensureDeferred
async def test_a_connection_takes_the_keys_when_it_begins(pki: Pki, version: str) -> None:
    asked: list[Callable[..., None]] = []
    async with Loopback(pki) as loopback:
        server = await loopback.serve(
            ticketKeys=A,
            maxVersion=version,
            SNICallback=lambda name, callback: asked.append(callback),
        )
        client = loopback.dial(server)
        told = Sessions(client)
        await until(lambda: asked)
        server.setTicketKeys(B)
        asked[0](None, None)
        await until(lambda: told)
        assert ticketOf(told[0])[:16] == A[:16]


@ensureDeferred
async def test_a_new_context_keeps_the_keys_unless_it_brings_some(pki: Pki) -> None:
    server = tls.createServer(key=pki.server.key, cert=pki.server.cert, ticketKeys=A)
    server.setSecureContext({"key": pki.server.key, "cert": pki.server.cert})
    assert server.getTicketKeys() == A
    server.setSecureContext({"ticketKeys": B})
    assert server.getTicketKeys() == B


@versions
@ensureDeferred
async def test_a_context_with_keys_serves_a_bare_socket(pki: Pki, version: str) -> None:
    context = tls.createSecureContext(
        key=pki.server.key, cert=pki.server.cert, ticketKeys=A, maxVersion=version
    )
    plain = tls.net.createServer(
        lambda socket: tls.TLSSocket(socket, {"isServer": True, "secureContext": context})
    )
    listening = happened(plain, "listening")
    plain.listen(0, "127.0.0.1")
    await listening
    async with Loopback(pki) as loopback:
        client = loopback.dial(plain.address()["port"])  # type: ignore[index]
        told = Sessions(client)
        await until(lambda: told)
        assert ticketOf(told[-1])[:16] == A[:16]
    plain.close()


@versions
@ensureDeferred
async def test_a_shared_context_has_tickets_also_for_a_server_without_keys(
    pki: Pki, version: str
) -> None:
    """The callback is the context's; a server that never asked has to have keys as well."""
    context = tls.createSecureContext(
        key=pki.server.key, cert=pki.server.cert, maxVersion=version, sessionIdContext="shared"
    )
    async with Loopback(pki) as loopback:
        asking = await loopback.serve(secureContext=context)
        plain = await loopback.serve(secureContext=context)
        asking.setTicketKeys(A)
        await visit(loopback, asking)
        told, _ = await visit(loopback, plain)
        _, reused = await visit(loopback, plain, session=told[-1])
        assert reused
        assert ticketOf(told[-1])[:16] != A[:16]
        told, _ = await visit(loopback, plain)
        _, reused = await visit(loopback, asking, session=told[-1])
        assert not reused


def aged(session: bytes, seconds: int, keys: bytes) -> bytes:
    """A client's session whose ticket says that it was made so long ago."""
    ticket = ticketOf(session)
    name, vector, sealed = ticket[:16], ticket[16:32], ticket[32:-32]
    cipher = Cipher(algorithms.AES128(keys[32:]), modes.CBC(vector))
    opener, sealer = cipher.decryptor(), cipher.encryptor()
    inner = opener.update(sealed) + opener.finalize()
    tag = b"\xa1\x06\x02\x04"
    place = inner.index(tag) + len(tag)
    made = int.from_bytes(inner[place : place + 4], "big") - seconds
    inner = inner[:place] + made.to_bytes(4, "big") + inner[place + 4 :]
    content = name + vector + sealer.update(inner) + sealer.finalize()
    forged = content + hmac.digest(keys[16:32], content, hashlib.sha256)
    assert len(forged) == len(ticket)
    return session.replace(ticket, forged)


@versions
@pytest.mark.parametrize("given", [None, 1000])
@ensureDeferred
async def test_the_session_timeout_governs_tickets(
    pki: Pki, version: str, given: int | None
) -> None:
    timeout = given or 300
    options = {} if given is None else {"sessionTimeout": given}
    async with Loopback(pki) as loopback:
        server = await loopback.serve(ticketKeys=A, maxVersion=version, **options)
        told, _ = await visit(loopback, server)
        young, old = (aged(told[-1], timeout + by, A) for by in (-30, 2))
        _, reused = await visit(loopback, server, session=young)
        assert reused
        _, reused = await visit(loopback, server, session=old)
        assert not reused


# -- sessions that the application keeps


class Store(dict[bytes, bytes]):
    """An application's store: what it was asked, and the answers it owes."""

    def __init__(self, server: Any, later: bool = False) -> None:
        super().__init__()
        self.asked: list[bytes] = []
        self.owed: list[Callable[[], None]] = []
        self.later = later
        server.on("newSession", self.keep)
        server.on("resumeSession", self.find)

    def keep(self, sessionId: bytes, data: bytes, callback: Callable[..., None]) -> None:
        self[sessionId] = data
        self._answer(callback)

    def find(self, sessionId: bytes, callback: Callable[..., None]) -> None:
        self.asked.append(sessionId)
        self._answer(lambda: callback(None, self.get(sessionId)))

    def _answer(self, answer: Callable[[], None]) -> None:
        if self.later:
            self.owed.append(answer)
        else:
            answer()

    def pay(self) -> None:
        """Give all the answers owed."""
        owed, self.owed = self.owed, []
        for answer in owed:
            answer()


def storing(**options: Any) -> dict[str, Any]:
    """Options of a server that makes no tickets."""
    return {"maxVersion": "TLSv1.2", "secureOptions": NO_TICKET, **options}


@pytest.mark.parametrize("other", [False, True])
@ensureDeferred
async def test_a_session_that_was_kept_is_resumed(pki: Pki, other: bool) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(**storing())
        store = Store(server)
        told, _ = await visit(loopback, server)
        assert len(store) == 1
        (sessionId,) = store
        assert len(sessionId) == 32
        assert queries.sessionIdOf(unnamed(told[0])) == sessionId
        if other:
            # As in another process: nothing but the store is shared.
            server = await loopback.serve(**storing())
            second = Store(server)
            second.update(store)
            store = second
        store.asked.clear()
        told, reused = await visit(loopback, server, session=told[0])
        assert reused
        assert store.asked == [sessionId]
        assert len(store) == 1
        assert told == []


@ensureDeferred
async def test_a_session_that_is_not_found_makes_a_new_one(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(**storing())
        store = Store(server)
        told, _ = await visit(loopback, server)
        store.clear()
        again, reused = await visit(loopback, server, session=told[0])
        assert not reused
        assert list(store) == [queries.sessionIdOf(unnamed(again[0]))]


@pytest.mark.parametrize("answer", [b"", b"garbage", b"\x30\x00", "text", 7])
@ensureDeferred
async def test_what_is_no_session_makes_a_full_handshake(pki: Pki, answer: Any) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(**storing())
        server.on("resumeSession", lambda sessionId, callback: callback(None, answer))
        told, _ = await visit(loopback, server)
        _, reused = await visit(loopback, server, session=told[0])
        assert not reused


@ensureDeferred
async def test_the_session_of_another_id_makes_a_full_handshake(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(**storing())
        store = Store(server)
        first, _ = await visit(loopback, server)
        second, _ = await visit(loopback, server)
        one, other = store
        store[one], store[other] = store[other], store[one]
        for told in (first, second):
            _, reused = await visit(loopback, server, session=told[0])
            assert not reused


@ensureDeferred
async def test_tls_12_with_tickets_has_no_session_to_keep(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(maxVersion="TLSv1.2")
        store = Store(server)
        told, _ = await visit(loopback, server)
        asked = list(store.asked)
        _, reused = await visit(loopback, server, session=told[-1])
        assert reused
        assert store == {}
        # Its ticket is enough.
        assert store.asked == asked


@ensureDeferred
async def test_each_ticket_of_tls_13_is_a_session_to_keep(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve()
        store = Store(server)
        told, _ = await visit(loopback, server, 2)
        assert len(told) == len(store) == 2
        # As in Node: the client's random id, for a store that has nothing under it.
        assert len(store.asked) == 1
        assert store.asked[0] not in store
        again, reused = await visit(loopback, server, session=told[-1])
        assert reused
        assert again == []
        assert len(store) == 2


@ensureDeferred
async def test_a_session_of_tls_13_can_be_parsed_and_offered(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(secureOptions=NO_TICKET)
        store = Store(server)
        await visit(loopback, server, 2)
        for sessionId, data in store.items():
            assert queries.sessionIdOf(data) == sessionId
            assert sessions.StoredSession.parse(data) is not None


@ensureDeferred
async def test_the_client_is_not_secure_before_its_session_of_tls_12_is_kept(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(**storing())
        store = Store(server, later=True)
        server.removeListener("resumeSession", store.find)
        client = loopback.dial(server)
        secure: list[bool] = []
        client.on("secureConnect", lambda: secure.append(True))
        client.write(b"hello")
        await until(lambda: store)
        await _while()
        assert secure == []
        assert server.secured == []
        store.pay()
        await until(lambda: secure)
        assert (await happened(client, "data")) == (b"hello",)
        assert len(server.secured) == 1


@ensureDeferred
async def test_no_data_flows_before_the_sessions_of_tls_13_are_kept(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(lambda socket: socket.write(b"welcome"))
        store = Store(server, later=True)
        server.removeListener("resumeSession", store.find)
        client = await loopback.secure(server)
        told, here = Sessions(client), Received(client)
        await until(lambda: server.secured and len(store) == 2)
        there = Received(server.secured[0])
        client.write(b"hello")
        await _while()
        assert (told, here.data, there.data) == ([], b"", b"")
        first, second = store.owed
        first()
        await _while()
        assert (told, here.data, there.data) == ([], b"", b"")
        second()
        await until(lambda: len(told) == 2 and here.data and there.data)
        assert (here.data, there.data) == (b"welcome", b"hello")


async def _while() -> None:
    """Some turns of the reactor."""
    for _ in range(20):
        turn: Deferred[None] = Deferred()
        reactor.callLater(0.001, turn.callback, None)  # type: ignore[attr-defined]
        await turn


@versions
@ensureDeferred
async def test_what_was_written_and_ended_meanwhile_arrives_whole(pki: Pki, version: str) -> None:
    data = os.urandom(300_000)
    async with Loopback(pki) as loopback:
        server = await loopback.serve(
            lambda socket: socket.end(data), maxVersion=version, secureOptions=NO_TICKET
        )
        store = Store(server, later=True)
        client = loopback.dial(server)
        received = Received(client)
        sent = happened(server, "secureConnection")
        while not received.closed and received.closed is None:
            await until(lambda: store.owed or received.closed is not None)
            store.pay()
        await sent
        assert received.data == data
        assert received.errors == []


@versions
@ensureDeferred
async def test_the_first_answer_counts(pki: Pki, version: str) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(maxVersion=version, secureOptions=NO_TICKET)
        calls: list[Callable[..., None]] = []

        def keep(sessionId: bytes, data: bytes, callback: Callable[..., None]) -> None:
            calls.append(callback)
            callback()
            callback()

        server.on("newSession", keep)
        await visit(loopback, server)
        for callback in calls:
            callback()
        await loopback.proveServing(server)


def later(value: Any) -> Deferred[Any]:
    """A Deferred that fires with a value in a while, or fails with it."""
    result: Deferred[Any] = Deferred()
    fire = result.errback if isinstance(value, BaseException) else result.callback
    reactor.callLater(0.01, fire, value)  # type: ignore[attr-defined]
    return result


def calledBack(value: Any, callback: Callable[..., None]) -> None:
    if isinstance(value, BaseException):
        callback(value)
    else:
        callback(None, value)


def calledBackLater(value: Any, callback: Callable[..., None]) -> Any:
    # What callLater returns is no answer.
    return reactor.callLater(0.01, calledBack, value, callback)  # type: ignore[attr-defined]


def returned(value: Any, _callback: Callable[..., None]) -> Any:
    if isinstance(value, BaseException):
        raise value
    return value


def returnedLater(value: Any, _callback: Callable[..., None]) -> Any:
    return later(value)


async def awaited(value: Any, _callback: Callable[..., None]) -> Any:
    return await later(value)


async def calledBackInCoroutine(value: Any, callback: Callable[..., None]) -> None:
    try:
        found = await later(value)
    except Exception as error:
        callback(error)
    else:
        callback(None, found)


answers = pytest.mark.parametrize(
    "answer",
    [calledBack, calledBackLater, returned, returnedLater, awaited, calledBackInCoroutine],
)


@answers
@ensureDeferred
async def test_every_kind_of_answer_will_do(pki: Pki, answer: Callable[..., Any]) -> None:
    store: dict[bytes, bytes] = {}
    seen: list[bytes] = []

    def keep(sessionId: bytes, data: bytes, callback: Callable[..., None]) -> Any:
        store[sessionId] = data
        if answer is returned:
            # A plain value says nothing to 'newSession'.
            reactor.callLater(0.01, callback)  # type: ignore[attr-defined]
        return answer(None, lambda *_arguments: callback())

    def find(sessionId: bytes, callback: Callable[..., None]) -> Any:
        seen.append(sessionId)
        return answer(store[sessionId], callback)

    async with Loopback(pki) as loopback:
        server = await loopback.serve(**storing())
        server.on("newSession", keep)
        told, _ = await visit(loopback, server)
        server.on("resumeSession", find)
        _, reused = await visit(loopback, server, session=told[0])
        assert reused
        assert seen == list(store)


@answers
@ensureDeferred
async def test_an_error_ends_the_connection_and_is_the_servers_to_tell(
    pki: Pki, answer: Callable[..., Any]
) -> None:
    broken = RuntimeError("the store is on fire")
    async with Loopback(pki) as loopback:
        server = await loopback.serve(**storing())
        told, _ = await visit(loopback, server)
        server.on("resumeSession", lambda sessionId, callback: answer(broken, callback))
        client = Received(loopback.dial(server, session=told[0]))
        await client
        assert client.errors == ["ECONNRESET"]
        assert server.failures == [broken]
        server.removeAllListeners("resumeSession")
        await loopback.proveServing(server)


@pytest.mark.parametrize("answer", [returned, returnedLater, awaited])
@versions
@ensureDeferred
async def test_a_session_that_cannot_be_kept_is_an_error_of_the_server_only(
    pki: Pki, version: str, answer: Callable[..., Any]
) -> None:
    broken = RuntimeError("the store is full")
    errors: list[BaseException] = []
    async with Loopback(pki) as loopback:
        server = await loopback.serve(maxVersion=version, secureOptions=NO_TICKET)
        server.on("error", errors.append)
        server.on("newSession", lambda sessionId, data, callback: answer(broken, callback))
        await visit(loopback, server)
        assert set(errors) == {broken}
        assert server.failures == []


@ensureDeferred
async def test_a_second_answer_to_resumesession_is_an_error(pki: Pki) -> None:
    def twice(sessionId: bytes, callback: Callable[..., None]) -> None:
        callback(None, None)
        callback(None, None)

    async with Loopback(pki) as loopback:
        server = await loopback.serve(**storing())
        told, _ = await visit(loopback, server)
        server.on("resumeSession", twice)
        client = Received(loopback.dial(server, session=told[0]))
        await client
        assert [failure.code for failure in server.failures] == ["ERR_MULTIPLE_CALLBACK"]


@pytest.mark.parametrize("event", ["newSession", "resumeSession"])
@ensureDeferred
async def test_an_answer_behind_the_handshakes_time_does_nothing(pki: Pki, event: str) -> None:
    owed: list[Callable[..., None]] = []
    async with Loopback(pki) as loopback:
        server = await loopback.serve(**storing())
        told, _ = await visit(loopback, server)
        server._deadlines.seconds = 0.05
        server.on(event, lambda *arguments: owed.append(arguments[-1]))
        session = {"session": told[0]} if event == "resumeSession" else {}
        client = Received(loopback.dial(server, **session))
        await client
        assert len(owed) == 1
        assert [failure.code for failure in server.failures] == ["ERR_TLS_HANDSHAKE_TIMEOUT"]
        owed[0]()
        owed[0](RuntimeError("too late"))
        owed[0](None, b"far too late")
        await _while()
        assert len(server.failures) == 1
        server.removeAllListeners(event)
        server._deadlines.seconds = 10
        await loopback.proveServing(server)


@ensureDeferred
async def test_listeners_that_left_meanwhile_are_not_waited_for(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(**storing())
        told, _ = await visit(loopback, server)
        server.once("resumeSession", lambda sessionId, callback: callback(None, None))
        server.once("newSession", lambda sessionId, data, callback: callback())
        _, reused = await visit(loopback, server, session=told[0])
        assert not reused
        assert server.listenerCount("resumeSession") == server.listenerCount("newSession") == 0
        await visit(loopback, server)


def test_where_sessions_cannot_be_handed_in_listening_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing() -> None:
        raise featureUnavailable("resumeSession", "SSL_CTX_add_session")

    monkeypatch.setattr("txnodetls.server.requireStore", missing)
    server = tls.createServer()
    for listen in (server.on, server.once, server.prependListener):
        with pytest.raises(NodeTypeError, match="SSL_CTX_add_session") as caught:
            listen("resumeSession", lambda sessionId, callback: None)
        assert caught.value.code == "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM"
    assert server.listenerCount("resumeSession") == 0


# -- keys that change


@pytest.mark.parametrize(
    ("count", "every"), [(120, 10), pytest.param(2000, 50, marks=pytest.mark.soak)]
)
@versions
@ensureDeferred
async def test_clients_resume_while_keys_rotate(
    pki: Pki, version: str, count: int, every: int
) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(maxVersion=version, ticketKeys=A)
        told, _ = await visit(loopback, server)
        latest = told[-1]
        resumed = 0
        for start in range(0, count, every):
            server.rotateTicketKeys()
            clients = []
            for _ in range(min(every, count - start)):
                client = loopback.dial(server, session=latest)
                clients.append((Sessions(client), Received(client)))
                client.end(b"hello")
            for told, received in clients:
                await received
                assert (received.data, received.errors) == (b"hello", [])
                latest = told[-1] if told else latest
            resumed += sum(seen["reused"] for seen in server.seen[-len(clients) :])
            loopback.sockets.clear()
        assert server.failures == []
        assert resumed == count


# -- what a resumed session proves


@versions
@ensureDeferred
async def test_a_session_from_a_server_that_asks_nobody_proves_nothing_to_one_that_does(
    pki: Pki, version: str
) -> None:
    """The same keys and, worse, the same session id context."""
    shared = {"ticketKeys": A, "maxVersion": version, "sessionIdContext": "shared"}
    async with Loopback(pki) as loopback:
        asking = await loopback.serve(
            **shared, ca=pki.ca, requestCert=True, rejectUnauthorized=True
        )
        lenient = await loopback.serve(
            **shared, ca=pki.ca, requestCert=True, rejectUnauthorized=False
        )
        careless = await loopback.serve(**shared)
        told, _ = await visit(loopback, careless)
        seen: list[Any] = []
        lenient.on(
            "secureConnection",
            lambda socket: seen.append(
                (socket.isSessionReused(), socket.authorized, socket.authorizationError)
            ),
        )
        await visit(loopback, lenient, 0, session=told[-1])
        assert seen == [(True, False, "UNABLE_TO_GET_ISSUER_CERT")]
        client = loopback.dial(asking, session=told[-1])
        received = Received(client)
        client.write(b"let me in")
        await received
        assert received.data == b""
        assert asking.secured == []
        assert len(asking.failures) == 1
        # Whoever shows a certificate gets in, and so does the session made then.
        identity = {"key": pki.client.key, "cert": pki.client.cert}
        told, _ = await visit(loopback, asking, **identity)
        _, reused = await visit(loopback, asking, session=told[-1])
        assert reused
        assert asking.seen[-1]["authorized"] is True
        assert asking.seen[-1]["peer"] is not None


CHANGES: dict[str, Callable[[Pki, Pki], dict[str, Any]]] = {
    "requestCert": lambda pki, other: {"requestCert": False},
    "rejectUnauthorized": lambda pki, other: {"rejectUnauthorized": False},
    "other CA": lambda pki, other: {"ca": other.ca},
    "more CAs": lambda pki, other: {"ca": [pki.ca, other.ca]},
    "CRL": lambda pki, other: {"crl": crlOf(pki.authority)},
    "session id context": lambda pki, other: {"sessionIdContext": "other"},
}


@pytest.fixture(scope="module")
def stranger() -> Pki:
    from tests.support import makePki

    return makePki()


@pytest.mark.parametrize(
    ("version", "kept"),
    [
        (version, kept)
        for version in ("TLSv1.2", "TLSv1.3")
        for kept in ("ticket", "store", "listeners")
        # 'resumeSession' knows sessions of TLS 1.2 only, as in Node.
        if (version, kept) != ("TLSv1.3", "listeners")
    ],
)
@pytest.mark.parametrize("change", [None, *CHANGES])
@ensureDeferred
async def test_a_session_never_crosses_a_line_of_trust(
    pki: Pki, stranger: Pki, version: str, kept: str, change: str | None
) -> None:
    ways: dict[str, dict[str, Any]] = {
        "ticket": {"ticketKeys": A},
        "store": {"sessionStore": MemorySessionStore()},
        "listeners": {"secureOptions": NO_TICKET},
    }
    options: dict[str, Any] = {
        "maxVersion": version,
        "ca": pki.ca,
        "requestCert": True,
        "rejectUnauthorized": True,
        **ways[kept],
    }
    changed = {**options, **(CHANGES[change](pki, stranger) if change else {})}
    identity = {"key": pki.client.key, "cert": pki.client.cert}
    async with Loopback(pki) as loopback:
        first, second = await loopback.serve(**options), await loopback.serve(**changed)
        if kept == "listeners":
            stores = Store(first), Store(second)
        told, reused = await visit(loopback, first, **identity)
        assert not reused
        if kept == "listeners":
            stores[1].update(stores[0])
        client = loopback.dial(second, session=told[-1], **identity)
        received = Received(client)
        client.end(b"hello")
        await received
        if change == "other CA":
            assert second.secured == []
        else:
            assert second.seen[-1]["reused"] is (change is None)


# -- a store


def storedAt(store: Any, version: str, **options: Any) -> dict[str, Any]:
    """Options of a server with that store."""
    return {"sessionStore": store, "maxVersion": version, **options}


@versions
@ensureDeferred
async def test_servers_that_share_a_store_resume_each_others_sessions(
    pki: Pki, version: str
) -> None:
    store = MemorySessionStore()
    async with Loopback(pki) as loopback:
        first = await loopback.serve(**storedAt(store, version))
        second = await loopback.serve(**storedAt(store, version))
        told, reused = await visit(loopback, first)
        assert not reused
        assert len(store) == (2 if version == "TLSv1.3" else 1)
        for server in (second, first, second):
            # A ticket that is only an id brings a new one each time (TLS 1.3).
            count = 1 if version == "TLSv1.3" else 0
            later, reused = await visit(loopback, server, count, session=told[-1])
            assert reused
            told = later or told


@ensureDeferred
async def test_a_store_is_not_asked_for_what_it_cannot_have(pki: Pki) -> None:
    asked: list[bytes] = []

    class Noting(MemorySessionStore):
        def fetch(self, sessionId: bytes) -> bytes | None:
            asked.append(sessionId)
            return super().fetch(sessionId)

    async with Loopback(pki) as loopback:
        store = Noting()
        server = await loopback.serve(**storedAt(store, "TLSv1.3"))
        # The id of a client of TLS 1.3 that has no session is there for appearance.
        told, _ = await visit(loopback, server)
        assert asked == []
        await visit(loopback, server, 1, session=told[-1])
        assert asked == [ticketOf(told[-1])]
        # A ticket of another server is of no use to a store.
        other = await loopback.serve()
        told, _ = await visit(loopback, other)
        await visit(loopback, server, session=told[-1])
        assert len(asked) == 1
        # But an id may be that of a session where TLS 1.3 is not spoken.
        for options in ({"maxVersion": "TLSv1.2"}, {"secureOptions": 1 << 29}):
            asked.clear()
            server = await loopback.serve(sessionStore=store, **options)
            told, _ = await visit(loopback, server)
            _, reused = await visit(loopback, server, session=told[-1])
            assert reused
            assert asked[-1] == queries.sessionIdOf(unnamed(told[-1]))


@versions
@ensureDeferred
async def test_a_store_and_ticket_keys_go_together(pki: Pki, version: str) -> None:
    """Tickets for clients that take them, the store for the others."""
    store = MemorySessionStore()
    async with Loopback(pki) as loopback:
        server = await loopback.serve(**storedAt(store, version, ticketKeys=A))
        told, _ = await visit(loopback, server)
        assert ticketOf(told[-1])[:16] == A[:16]
        assert len(store) == 0
        _, reused = await visit(loopback, server, session=told[-1])
        assert reused
        if version == "TLSv1.2":
            told, _ = await visit(loopback, server, secureOptions=NO_TICKET)
            assert len(store) == 1
            _, reused = await visit(loopback, server, secureOptions=NO_TICKET, session=told[-1])
            assert reused


@ensureDeferred
async def test_ticket_keys_that_were_given_seal_the_store(pki: Pki) -> None:
    store = MemorySessionStore()
    async with Loopback(pki) as loopback:
        first = await loopback.serve(**storedAt(store, "TLSv1.2", ticketKeys=A))
        second = await loopback.serve(**storedAt(store, "TLSv1.2"))
        told, _ = await visit(loopback, first, secureOptions=NO_TICKET)
        again = {"secureOptions": NO_TICKET, "session": told[-1]}
        _, reused = await visit(loopback, second, **again)
        assert not reused
        second.rotateTicketKeys(A)
        _, reused = await visit(loopback, second, **again)
        assert reused
        second.rotateTicketKeys()
        _, reused = await visit(loopback, second, **again)
        assert reused
        second.setTicketKeys(B)
        _, reused = await visit(loopback, second, **again)
        assert not reused


@versions
@ensureDeferred
async def test_both_the_listeners_and_the_store_are_told(pki: Pki, version: str) -> None:
    store = MemorySessionStore()
    async with Loopback(pki) as loopback:
        server = await loopback.serve(**storedAt(store, version))
        heard = Store(server)
        told, _ = await visit(loopback, server)
        assert len(heard) == len(store) == (2 if version == "TLSv1.3" else 1)
        for sessionId, data in heard.items():
            assert data not in (store.fetch(sessionId) or b"")
        # Listeners are asked first; who finds nothing there looks in the store.
        heard.clear()
        _, reused = await visit(loopback, server, session=told[-1])
        assert reused


@versions
@ensureDeferred
async def test_a_store_keeps_sessions_for_the_session_timeout(pki: Pki, version: str) -> None:
    lifetimes: list[float] = []

    class Noting(MemorySessionStore):
        def store(self, sessionId: bytes, data: bytes, lifetime: float) -> None:
            lifetimes.append(lifetime)
            super().store(sessionId, data, lifetime)

    async with Loopback(pki) as loopback:
        server = await loopback.serve(**storedAt(Noting(), version, sessionTimeout=77))
        await visit(loopback, server)
        assert set(lifetimes) == {77}


@ensureDeferred
async def test_to_resume_again_and_again_does_not_prolong_a_stored_session(pki: Pki) -> None:
    lifetimes: list[float] = []

    class Noting(MemorySessionStore):
        def store(self, sessionId: bytes, data: bytes, lifetime: float) -> None:
            lifetimes.append(lifetime)
            super().store(sessionId, data, lifetime)

    async with Loopback(pki) as loopback:
        server = await loopback.serve(**storedAt(Noting(), "TLSv1.3"))
        keeper: Any = server._sessions._keeper
        keeper._reactor = clock = Clock()
        told, _ = await visit(loopback, server)
        for age in (100, 200, 299):
            clock.advance(age - clock.seconds())
            told, reused = await visit(loopback, server, 1, session=told[-1])
            assert reused
        clock.advance(1)
        told, reused = await visit(loopback, server, 1, session=told[-1])
        assert reused
        assert lifetimes == [300, 300, 200, 100, 1]
        # The last one was not stored any more.
        _, reused = await visit(loopback, server, session=told[-1])
        assert not reused


class Tampering(MemorySessionStore):
    """A store that gives something else than it was given."""

    def __init__(self, tamper: Callable[[MemorySessionStore, bytes, bytes], bytes | None]) -> None:
        super().__init__()
        self.tamper = tamper
        self.plain: dict[bytes, bytes] = {}

    def fetch(self, sessionId: bytes) -> bytes | None:
        entry = super().fetch(sessionId)
        return None if entry is None else self.tamper(self, sessionId, entry)


def flipped(store: MemorySessionStore, sessionId: bytes, entry: bytes) -> bytes:
    return entry[:-1] + bytes((entry[-1] ^ 1,))


def swapped(store: MemorySessionStore, sessionId: bytes, entry: bytes) -> bytes | None:
    others = [other for other in store._entries if other != sessionId]
    return store._entries[others[0]][1]


def forged(store: Any, sessionId: bytes, entry: bytes) -> bytes | None:
    """The plain session, as 'newSession' told it."""
    plain: bytes = store.plain[sessionId]
    return plain


@versions
@pytest.mark.parametrize("tamper", [flipped, swapped, forged])
@ensureDeferred
async def test_a_store_that_lies_costs_a_full_handshake(
    pki: Pki, version: str, tamper: Callable[..., Any]
) -> None:
    store = Tampering(tamper)
    async with Loopback(pki) as loopback:
        server = await loopback.serve(**storedAt(store, version))

        def note(sessionId: bytes, data: bytes, callback: Callable[[], None]) -> None:
            store.plain[sessionId] = data
            callback()

        server.on("newSession", note)
        told, _ = await visit(loopback, server)
        await visit(loopback, server)
        _, reused = await visit(loopback, server, session=told[-1])
        assert not reused
        assert server.failures == []


@versions
@ensureDeferred
async def test_what_was_discarded_is_not_resumed(pki: Pki, version: str) -> None:
    store = MemorySessionStore()
    async with Loopback(pki) as loopback:
        server = await loopback.serve(**storedAt(store, version))
        told, _ = await visit(loopback, server)
        for sessionId in list(store._entries):
            store.discard(sessionId)
        _, reused = await visit(loopback, server, session=told[-1])
        assert not reused


@versions
@ensureDeferred
async def test_an_entry_is_good_only_where_it_was_made(pki: Pki, version: str) -> None:
    """The same session id context, explicitly, and yet another trust."""
    store = MemorySessionStore()
    named = {"sessionIdContext": "shared"}
    async with Loopback(pki) as loopback:
        careless = await loopback.serve(**storedAt(store, version, **named))
        asking = await loopback.serve(
            **storedAt(store, version, **named, ca=pki.ca, requestCert=True)
        )
        told, _ = await visit(loopback, careless)
        received = Received(loopback.dial(asking, session=told[-1]))
        await received
        assert asking.secured == []
        identity = {"key": pki.client.key, "cert": pki.client.cert}
        _, reused = await visit(loopback, asking, session=told[-1], **identity)
        assert not reused


class Failing(MemorySessionStore):
    """A store that is down, or that never answers."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        super().__init__()
        self.answer = answer

    def store(self, sessionId: bytes, data: bytes, lifetime: float) -> Any:
        return self.answer()

    def fetch(self, sessionId: bytes) -> Any:
        return self.answer()


def raising() -> Any:
    raise ConnectionError("the store is down")


@versions
@pytest.mark.parametrize("answer", [raising, Deferred])
@ensureDeferred
async def test_a_store_that_is_down_or_hangs_fails_no_handshake(
    pki: Pki, version: str, answer: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("txnodetls.storing.PATIENCE", 0.02)
    async with Loopback(pki) as loopback:
        server = await loopback.serve(**storedAt(Failing(answer), version))
        told, reused = await visit(loopback, server)
        assert not reused
        for _ in range(3):
            _, reused = await visit(loopback, server, session=told[-1])
            assert not reused
        assert server.failures == []


@ensureDeferred
async def test_a_store_that_dies_amid_handshakes_loses_none_of_them(pki: Pki) -> None:
    memory = MemorySessionStore()
    left = 60

    class Dying(MemorySessionStore):
        def fetch(self, sessionId: bytes) -> bytes | None:
            nonlocal left
            left -= 1
            if left < 0:
                raising()
            return memory.fetch(sessionId)

        def store(self, sessionId: bytes, data: bytes, lifetime: float) -> None:
            if left < 0:
                raising()
            memory.store(sessionId, data, lifetime)

    async with Loopback(pki) as loopback:
        server = await loopback.serve(**storedAt(Dying(), "TLSv1.3"))
        told, _ = await visit(loopback, server)
        clients = []
        for _ in range(120):
            client = loopback.dial(server, session=told[-1])
            client.end(b"hello")
            clients.append(Received(client))
        for received in clients:
            await received
            assert (received.data, received.errors) == (b"hello", [])
        resumed = sum(seen["reused"] for seen in server.seen[1:])
        assert 0 < resumed < 120


@pytest.mark.parametrize("store", [{}, object(), MemorySessionStore])
def test_what_is_no_store_is_refused(store: Any) -> None:
    with pytest.raises(NodeTypeError) as caught:
        tls.createServer(sessionStore=store)
    assert caught.value.code == "ERR_INVALID_ARG_TYPE"


def test_where_sessions_cannot_be_handed_in_a_store_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing() -> None:
        raise featureUnavailable("resumeSession", "SSL_CTX_add_session")

    monkeypatch.setattr(sessions, "requireStore", missing)
    with pytest.raises(NodeTypeError) as caught:
        tls.createServer(sessionStore=MemorySessionStore())
    assert caught.value.code == "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM"
