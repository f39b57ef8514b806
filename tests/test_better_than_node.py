"""
What Node's users complain of, and what happens here instead.

Each test names what it holds; what is to differ from Node on purpose, down to the recorded traces,
has its tests in conformance/test_decided.py besides.
"""

from __future__ import annotations

import datetime
import gc
import socket
import ssl
import sys
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from OpenSSL import SSL
from twisted.internet import defer, reactor, task
from twisted.internet.threads import deferToThread

import txnodetls as tls
from tests.conftest import LoggedErrors
from tests.loopback import Loopback, Received, describe, echo, until
from tests.misbehaving import Memory, atEnd, reset
from tests.support import Pki, happened, makePki
from txnodetls.errors import Blame, NodeError, Phase
from txnodetls.options.reading import UnknownOptionWarning

VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
both = pytest.mark.parametrize("version", VERSIONS)


@pytest_twisted.async_yield_fixture
async def loopback(pki: Pki) -> Any:
    async with Loopback(pki) as opened:
        yield opened


def only(version: str) -> dict[str, str]:
    return {"minVersion": version, "maxVersion": version}


# -- a handshake that takes too long


@pytest_twisted.ensureDeferred
async def test_a_handshake_that_times_out_closes_tcp_too_and_a_late_answer_does_nothing(
    loopback: Loopback, pki: Pki
) -> None:
    answers: list[Any] = []
    server = await loopback.serve(
        handshakeTimeout=500, SNICallback=lambda name, answer: answers.append(answer)
    )
    waiting = loopback.plain(server)
    waiting.sendall(Memory().step())
    await until(lambda: atEnd(waiting))
    (failure,) = server.failures
    # It was our own callback that took too long.
    assert (failure.code, failure.blame) == ("ERR_TLS_HANDSHAKE_TIMEOUT", Blame.LOCAL)
    await until(lambda: not server.connections)
    for late in (
        (None, None),
        (None, tls.createSecureContext(key=pki.server.key, cert=pki.server.cert)),
        (RuntimeError("too late"),),
        (None, "nonsense"),
    ):
        answers[0](*late)
    await task.deferLater(reactor, 0.01)  # type: ignore[arg-type]
    assert len(server.failures) == 1
    assert server.secured == []


# -- what peers do does not escape


@both
@pytest_twisted.ensureDeferred
async def test_without_any_listener_bad_peers_of_a_handshake_are_no_unhandled_error(
    version: str, pki: Pki, loopback: Loopback, loggedErrors: LoggedErrors
) -> None:
    server: Any = tls.createServer(key=pki.server.key, cert=pki.server.cert, handshakeTimeout=60)
    listening = happened(server, "listening")
    server.listen(0, "127.0.0.1")
    await listening
    hello = Memory(version).step()
    hanging = loopback.plain(server)
    for said in (b"", b"GET / HTTP/1.1\r\n\r\n", hello[:20], hello, hello + bytes(100)):
        rude = loopback.plain(server)
        rude.sendall(said)
        await until(lambda rude=rude: server.connections == 2 or atEnd(rude))
        reset(rude)
        bad = loopback.plain(server)
        bad.sendall(said)
        bad.shutdown(socket.SHUT_WR)
        await until(lambda bad=bad: atEnd(bad))
    await until(lambda: atEnd(hanging))
    await until(lambda: not server.connections)
    assert loggedErrors.events == []
    server.close()


@both
@pytest.mark.parametrize("halfOpen", [False, True])
@pytest_twisted.ensureDeferred
async def test_data_behind_a_close_notify_is_ignored(
    halfOpen: bool, version: str, loopback: Loopback
) -> None:
    server = await loopback.serve(None, allowHalfOpen=halfOpen, **only(version))
    memory, peer = Memory(version), loopback.plain(server)
    await memory.shakeHands(peer)
    await until(lambda: server.secured)
    received = Received(server.secured[0])
    end = memory.closeNotify()
    peer.send(end)
    await until(lambda: received.ended)
    for _ in range(3):
        try:
            peer.send(end + b"\x17\x03\x03\x00\x05later, and something that is no record")
        except (BrokenPipeError, ConnectionResetError):
            break
        await task.deferLater(reactor, 0.005)  # type: ignore[arg-type]
    if halfOpen:
        server.secured[0].end(b"the rest")
    await received
    assert (received.data, received.errors) == (b"", [])
    assert server.failures == []


@both
@pytest_twisted.ensureDeferred
async def test_a_reset_of_an_open_connection_is_an_error_of_its_socket_only(
    version: str, pki: Pki, loopback: Loopback, loggedErrors: LoggedErrors
) -> None:
    server: Any = tls.createServer({"key": pki.server.key, "cert": pki.server.cert}, echo)
    listening = happened(server, "listening")
    server.listen(0, "127.0.0.1")
    await listening
    for number in range(1, 3):
        memory, peer = Memory(version), loopback.plain(server)
        await memory.shakeHands(peer)
        peer.send(memory.encrypt(b"hello"))
        await until(lambda: server.connections == 1)
        reset(peer)
        await until(lambda: not server.connections)
        # Nobody listens to 'error' there: logged once, and that is all.
        await until(lambda number=number: len(loggedErrors.events) == number)
    codes = [getattr(error, "code", None) for error in loggedErrors.flush(NodeError)]
    assert codes == ["ECONNRESET", "ECONNRESET"]
    assert server.listening
    server.close()


# -- contexts


@both
@pytest_twisted.ensureDeferred
async def test_of_two_contexts_for_a_name_the_last_one_wins(
    version: str, loopback: Loopback, pki: Pki
) -> None:
    server = await loopback.serve(**only(version))
    names = ("a.example.test", "*.example.test", "a.example.test")
    added = [pki.issue("a.example.test") for _ in names]
    for name, credentials in zip(names, added, strict=True):
        server.addContext(name, {"key": credentials.key, "cert": credentials.cert})
        client = await loopback.secure(server, servername="a.example.test")
        expected = tls.X509Certificate(credentials.cert).fingerprint256
        assert client.getPeerCertificate()["fingerprint256"] == expected


@both
@pytest_twisted.ensureDeferred
async def test_a_new_context_is_for_clients_without_a_name_too_and_for_connections_not_yet_begun(
    version: str, loopback: Loopback, pki: Pki
) -> None:
    server = await loopback.serve(**only(version))
    new = pki.issue("localhost", "127.0.0.1")
    accepted, begun = loopback.plain(server), loopback.plain(server)
    memory, late = Memory(version), Memory(version)
    hello = late.step()
    begun.sendall(hello[:30])
    await until(lambda: server.connections == 2 and _hasRead(server, 1))
    server.setSecureContext({"key": new.key, "cert": new.cert})
    # Nothing had been said on this one, and it gets the new certificate.
    await memory.shakeHands(accepted)
    assert _fingerprint(memory) == tls.X509Certificate(new.cert).fingerprint256
    # This one was begun with the old.
    begun.sendall(hello[30:])
    await late.shakeHands(begun)
    assert _fingerprint(late) == tls.X509Certificate(pki.server.cert).fingerprint256
    nameless = await loopback.secure(server, servername=None, host="127.0.0.1")
    expected = tls.X509Certificate(new.cert).fingerprint256
    await until(lambda: server.seen[-1]["servername"] is False)
    assert nameless.getPeerCertificate()["fingerprint256"] == expected


def _hasRead(server: Any, count: int) -> bool:
    """Whether so many of the connections, all of them plain so far, have begun."""
    sockets = [each for each in gc.get_objects() if type(each) is tls.TLSSocket]
    return sum(each.server is server and each._engine is not None for each in sockets) == count


def _fingerprint(memory: Memory) -> str:
    der = memory.tls.getpeercert(True)
    assert der is not None
    return tls.X509Certificate(der).fingerprint256


@both
@pytest_twisted.ensureDeferred
async def test_a_context_chosen_by_name_brings_its_own_authorities(
    version: str, loopback: Loopback, pki: Pki
) -> None:
    other = makePki()
    server = await loopback.serve(
        requestCert=True, rejectUnauthorized=False, ca=pki.ca, **only(version)
    )
    mine = pki.issue("other.test")
    server.addContext("other.test", {"key": mine.key, "cert": mine.cert, "ca": other.ca})
    for name, certificate, authorized in (
        ("localhost", pki.client, True),
        ("localhost", other.client, False),
        ("other.test", pki.client, False),
        ("other.test", other.client, True),
    ):
        seen = len(server.seen)
        client = loopback.dial(server, servername=name, key=certificate.key, cert=certificate.cert)
        client.on("error", lambda error: None)
        await until(lambda seen=seen: len(server.seen) > seen)
        assert server.seen[-1]["authorized"] is authorized, (name, authorized)


@both
@pytest_twisted.ensureDeferred
async def test_a_context_chosen_by_name_brings_its_own_revocation_list(
    version: str, loopback: Loopback, pki: Pki
) -> None:
    server = await loopback.serve(
        requestCert=True, rejectUnauthorized=False, ca=pki.ca, **only(version)
    )
    mine = pki.issue("strict.test")
    strict = {"key": mine.key, "cert": mine.cert, "ca": pki.ca, "crl": revoking(pki)}
    server.addContext("strict.test", strict)
    for name, error in (("localhost", None), ("strict.test", "CERT_REVOKED")):
        await loopback.secure(server, servername=name, key=pki.client.key, cert=pki.client.cert)
        await until(lambda: server.seen)
        seen = server.seen.pop()
        assert (seen["authorized"], seen["authorizationError"]) == (error is None, error)


def revoking(pki: Pki) -> bytes:
    """The authority's list, with the client on it."""
    issuer = x509.load_pem_x509_certificate(pki.ca)
    client = x509.load_pem_x509_certificate(pki.client.cert)
    key: Any = serialization.load_pem_private_key(pki.authority.private_key_pem.bytes(), None)
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    revoked = x509.RevokedCertificateBuilder(client.serial_number, now - day).build()
    crl = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(now - day)
        .next_update(now + day)
        .add_revoked_certificate(revoked)
        .sign(key, hashes.SHA256())
    )
    return crl.public_bytes(serialization.Encoding.PEM)


@both
@pytest_twisted.ensureDeferred
async def test_a_context_chosen_by_name_brings_its_own_ciphers(
    version: str, loopback: Loopback, pki: Pki
) -> None:
    choices = {
        "TLSv1.2": ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"),
        "TLSv1.3": ("TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
    }
    default, special = choices[version]
    server = await loopback.serve(ciphers=default, **only(version))
    mine = pki.issue("special.test")
    server.addContext("special.test", {"key": mine.key, "cert": mine.cert, "ciphers": special})
    for name, cipher in (("localhost", default), ("special.test", special)):
        client = await loopback.secure(server, servername=name)
        assert client.getCipher()["name"] == cipher
        incapable = default if cipher == special else special
        received = Received(loopback.dial(server, servername=name, ciphers=incapable))
        await received
        assert received.error.alert == 40


@both
@pytest_twisted.ensureDeferred
async def test_a_context_chosen_by_name_brings_its_own_demand_for_certificates(
    version: str, loopback: Loopback, pki: Pki
) -> None:
    server = await loopback.serve(**only(version))
    mine = pki.issue("members.test")
    members = {"key": mine.key, "cert": mine.cert, "ca": pki.ca, "requestCert": True}
    server.addContext("members.test", members)
    known = {"key": pki.client.key, "cert": pki.client.cert}
    await loopback.secure(server, servername="members.test", **known)
    await until(lambda: server.seen)
    assert server.seen[0]["authorized"] is True
    await loopback.proveServing(server)
    assert len(server.seen) == 2
    refused = Received(loopback.dial(server, servername="members.test"))
    await refused
    assert refused.errors[0] is not None
    assert len(server.seen) == 2


@pytest_twisted.ensureDeferred
async def test_contexts_are_shared_and_none_is_made_per_connection(
    loopback: Loopback, pki: Pki
) -> None:
    server = await loopback.serve()
    server.addContext("other", {"key": pki.server.key, "cert": pki.server.cert})
    await loopback.proveServing(server)

    def contexts() -> int:
        gc.collect()
        return sum(type(each) is SSL.Context for each in gc.get_objects())

    before = contexts()
    open_ = await defer.gatherResults(
        [defer.ensureDeferred(loopback.secure(server)) for _ in range(20)]
    )
    await until(lambda: len(server.secured) == 21)
    assert contexts() == before
    assert len({id(each._context) for each in (*server.secured, *open_)}) == 2


# -- writes before the handshake


@pytest_twisted.ensureDeferred
async def test_writes_before_the_handshake_are_held_within_bounds_and_let_go_of(
    loopback: Loopback,
) -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    client = loopback.dial(silent.getsockname()[1])
    received = Received(client)
    chunk = bytes(bytearray(100_000))
    before = sys.getrefcount(chunk)
    told: list[Any] = []
    taken = 0
    while client.write(chunk, told.append):
        taken += 1
        assert taken < 100
    client.write(chunk, told.append)
    # The application is told to stop; what it writes nevertheless is counted.
    assert client.writableNeedDrain
    assert client.writableLength == (taken + 2) * len(chunk)
    accepted, _ = await deferToThread(silent.accept)
    assert sys.getrefcount(chunk) > before
    accepted.close()
    await received
    assert received.errors == ["ECONNRESET"]
    assert len(told) == taken + 2
    assert all(isinstance(error, NodeError) for error in told)
    await until(lambda: sys.getrefcount(chunk) == before)
    silent.close()


# -- errors


@both
@pytest_twisted.ensureDeferred
async def test_an_error_says_whose_fault_it_is_and_when_and_which_alert_there_was(
    version: str, loopback: Loopback, pki: Pki
) -> None:
    server = await loopback.serve(**only(version))
    # A certificate that does not do.
    stranger = Received(loopback.dial(server, ca=makePki().ca))
    await stranger
    error = stranger.error
    assert (error.code, error.blame, error.phase) == (
        "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
        Blame.PEER,
        Phase.HANDSHAKING,
    )
    if version == "TLSv1.3":
        # The client is gone before its Finished.
        await until(lambda: server.failures)
        failure = server.failures.pop()
        assert (failure.blame, failure.phase) == (Blame.PEER, Phase.HANDSHAKING)
    # An alert that came.
    picky = await loopback.serve(ALPNProtocols=["h2"], **only(version))
    refused = Received(loopback.dial(picky, ALPNProtocols=["x"]))
    await refused
    error = refused.error
    assert (error.alert, error.blame, error.phase) == (120, Blame.PEER, Phase.HANDSHAKING)
    # What we were told to do and cannot.
    with pytest.raises(NodeError) as caught:
        tls.createServer(key=pki.server.key, cert=pki.client.cert)
    assert (caught.value.blame, caught.value.phase) == (Blame.CONFIGURATION, Phase.CONFIGURING)
    # What our own callback did.
    faulty = await loopback.serve(ALPNCallback=lambda offer: "unoffered", **only(version))
    await Received(loopback.dial(faulty, ALPNProtocols=["x"]))
    await until(lambda: faulty.failures)
    failure = faulty.failures[0]
    assert failure.code == "ERR_TLS_ALPN_CALLBACK_INVALID_RESULT"
    assert (failure.blame, failure.phase) == (Blame.CONFIGURATION, Phase.HANDSHAKING)


@both
@pytest_twisted.ensureDeferred
async def test_a_reset_says_when_it_came(version: str, loopback: Loopback) -> None:
    server = await loopback.serve(**only(version))
    early = loopback.plain(server)
    early.sendall(Memory(version).step())
    await until(lambda: _hasRead(server, 1))
    reset(early)
    await until(lambda: server.failures)
    failure = server.failures[0]
    assert (failure.code, failure.blame) == ("ECONNRESET", Blame.PEER)
    assert failure.phase is Phase.HANDSHAKING
    memory, late = Memory(version), loopback.plain(server)
    await memory.shakeHands(late)
    await until(lambda: server.secured)
    reset(late)
    await until(lambda: server.errors)
    error = server.errors[0]
    assert (error.code, error.blame, error.phase) == ("ECONNRESET", Blame.PEER, Phase.OPEN)
    nobody = socket.create_server(("127.0.0.1", 0))
    port = nobody.getsockname()[1]
    nobody.close()
    received = Received(loopback.dial(port))
    await received
    assert (received.errors, received.error.phase) == (["ECONNREFUSED"], Phase.CONNECTING)


@pytest.mark.parametrize(
    ("make", "given", "nearest"),
    [
        (tls.createServer, "requestcert", "requestCert"),
        (tls.createServer, "handshakeTimout", "handshakeTimeout"),
        (tls.createSecureContext, "passphrse", "passphrase"),
        (tls.createSecureContext, "ciphres", "ciphers"),
    ],
)
def test_an_unknown_option_is_reported_with_the_nearest_one(
    make: Any, given: str, nearest: str
) -> None:
    with pytest.warns(UnknownOptionWarning, match=f"{given!r}; did you mean {nearest!r}") as caught:
        make({given: "x"})
    # The line that is shown is the caller's.
    assert caught[0].filename == __file__


# -- sessions


@both
@pytest.mark.parametrize("who", ["nobody", "a client with a certificate"])
@pytest_twisted.ensureDeferred
async def test_a_session_is_taken_up_by_the_same_client(
    who: str, version: str, loopback: Loopback, pki: Pki
) -> None:
    known = who != "nobody"
    identity = {"key": pki.client.key, "cert": pki.client.cert} if known else {}
    server = await loopback.serve(requestCert=known, ca=pki.ca, **only(version))
    session = await sessionOf(loopback, server, **identity)
    again = await loopback.secure(server, session=session, **identity)
    assert again.isSessionReused() is True
    await until(lambda: len(server.seen) == 2)
    assert server.seen[1]["reused"] is True
    assert server.seen[1]["authorized"] is known
    assert server.seen[1]["peer"] == server.seen[0]["peer"]


async def sessionOf(loopback: Loopback, server: Any, **options: Any) -> bytes:
    client = loopback.dial(server, **options)
    sessions: list[bytes] = []
    client.on("session", sessions.append)
    received = Received(client)
    client.write(b"hello")
    await until(lambda: sessions and received.data)
    assert describe(client)["reused"] is False
    client.end()
    await received
    return sessions[0]


@both
@pytest_twisted.ensureDeferred
async def test_a_session_made_without_trust_does_not_pass_for_a_trusted_one(
    version: str, loopback: Loopback, pki: Pki
) -> None:
    stranger = makePki()
    server = await loopback.serve(
        key=stranger.server.key, cert=stranger.server.cert, **only(version)
    )
    session = await sessionOf(loopback, server, rejectUnauthorized=False)
    received = Received(loopback.dial(server, session=session))
    await received
    assert received.errors == ["UNABLE_TO_VERIFY_LEAF_SIGNATURE"]
    assert received.data == b""


def rejoin(port: int, version: str, first: str, second: str) -> tuple[bool, bool]:
    """
    Python's client, which takes a session anywhere: got for one name, offered for another.

    @return: whether it was taken up, and whether data came through.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = VERSIONS[version]
    session = None
    for name in (first, second):
        with socket.create_connection(("127.0.0.1", port), 10) as carrier:
            try:
                with context.wrap_socket(carrier, server_hostname=name, session=session) as client:
                    client.sendall(b"hello")
                    answered = client.recv(100) == b"hello"
                    session, reused = client.session, client.session_reused
            except OSError:
                return False, False
    return bool(reused), answered


@both
@pytest_twisted.ensureDeferred
async def test_a_session_of_an_open_name_does_not_open_one_that_asks_for_a_certificate(
    version: str, loopback: Loopback, pki: Pki
) -> None:
    server = await loopback.serve(**only(version))
    mine = pki.issue("members.test")
    members = {"key": mine.key, "cert": mine.cert, "ca": pki.ca, "requestCert": True}
    server.addContext("members.test", members)
    port = server.address()["port"]
    outcome = await deferToThread(rejoin, port, version, "localhost", "members.test")
    assert outcome == (False, False)
    assert len(server.secured) == 1
    # It would have been taken up where it was made.
    outcome = await deferToThread(rejoin, port, version, "localhost", "localhost")
    assert outcome == (True, True)


@both
@pytest_twisted.ensureDeferred
async def test_a_session_of_a_server_that_asks_nobody_is_worth_nothing_at_one_that_does(
    version: str, loopback: Loopback, pki: Pki
) -> None:
    keys = bytes(range(48))
    open_ = await loopback.serve(ticketKeys=keys, sessionIdContext="shared", **only(version))
    closed = await loopback.serve(
        ticketKeys=keys,
        sessionIdContext="shared",
        requestCert=True,
        ca=pki.ca,
        **only(version),
    )
    session = await sessionOf(loopback, open_)
    received = Received(loopback.dial(closed, session=session))
    await received
    assert closed.secured == []
    assert len(closed.failures) == 1
