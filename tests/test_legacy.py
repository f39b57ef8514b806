"""Secure pairs: both roles, piped over plain sockets, and what happens when one side goes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted

import txnodetls as tls
from tests.loopback import Loopback, Received, until
from tests.support import Pki, happened
from txnodetls.errors import NodeError, NodeTypeError
from txnodetls.legacy import CryptoStream, SecurePair, createSecurePair

VERSIONS = ["TLSv1.2", "TLSv1.3"]


@pytest.fixture(autouse=True)
def noted() -> Iterator[list[warnings.WarningMessage]]:
    """The warnings of the test: making a pair is one."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def join(pair: SecurePair, socket: Any) -> SecurePair:
    """Pipe a pair's encrypted side to a plain socket, and back."""
    pair.encrypted.pipe(socket)
    socket.pipe(pair.encrypted)
    return pair


class Pairs:
    """A plain server whose connections become secure pairs."""

    def __init__(self, loopback: Loopback, *arguments: Any, **context: Any) -> None:
        pki = loopback.pki
        given = {"key": pki.server.key, "cert": pki.server.cert, **context}
        self.context = tls.createSecureContext(given)
        self.arguments = arguments
        self.loopback = loopback
        self.pairs: list[SecurePair] = []
        self.plain: list[Any] = []
        self.secured = 0

    async def listen(self) -> Pairs:
        server = self.server = tls.net.createServer()
        self.loopback.servers.append(server)
        server.on("connection", self._accepted)
        listening = happened(server, "listening")
        server.listen(0, "127.0.0.1")
        await listening
        return self

    def _accepted(self, socket: Any) -> None:
        pair = createSecurePair(self.context, True, *self.arguments)
        self.pairs.append(pair)
        self.plain.append(socket)
        self.loopback.sockets += [socket, pair.cleartext, pair.encrypted]
        pair.on("secure", self._secured)
        pair.cleartext.on("error", lambda raised: None)
        pair.cleartext.on("data", pair.cleartext.write)
        # As in Node both sides may be half open.
        pair.cleartext.on("end", pair.cleartext.end)
        join(pair, socket)

    def _secured(self) -> None:
        self.secured += 1


def pairTo(loopback: Loopback, port: int, *arguments: Any, **context: Any) -> SecurePair:
    """A client's pair over a new plain connection."""
    made = tls.createSecureContext({"ca": loopback.pki.ca, **context})
    socket = tls.net.connect(port, "127.0.0.1")
    pair = createSecurePair(made, False, None, False, *arguments)
    loopback.sockets += [socket, pair.cleartext, pair.encrypted]
    return join(pair, socket)


@pytest.mark.parametrize("version", VERSIONS)
@pytest_twisted.ensureDeferred
async def test_a_server_pair_serves_a_client(pki: Pki, version: str) -> None:
    async with Loopback(pki) as loopback:
        pairs = await Pairs(loopback, maxVersion=version).listen()
        client = await loopback.secure(pairs.server)
        received = Received(client)
        client.write(b"hello")
        await until(lambda: received.data == b"hello")
        assert pairs.secured == 1
        assert pairs.pairs[0].cleartext.getProtocol() == version
        client.end()
        await received
        assert received.errors == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest_twisted.ensureDeferred
async def test_a_client_pair_talks_to_a_server(pki: Pki, version: str) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(maxVersion=version)
        pair = pairTo(loopback, server.address()["port"])
        received = Received(pair.cleartext)
        pair.cleartext.write(b"hello")
        await happened(pair, "secure")
        await until(lambda: received.data == b"hello")
        pair.cleartext.end()
        await received
        assert received.ended
        assert received.errors == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest_twisted.ensureDeferred
async def test_two_pairs_talk_to_each_other_in_bulk(pki: Pki, version: str) -> None:
    data = bytes(range(256)) * 4000
    async with Loopback(pki) as loopback:
        pairs = await Pairs(loopback, maxVersion=version).listen()
        pair = pairTo(loopback, pairs.server.address()["port"])
        received = Received(pair.cleartext)
        pair.cleartext.end(data)
        await received
        assert received.data == data
        assert pair.cleartext.bytesWritten == pair.cleartext.bytesRead == len(data)


@pytest_twisted.ensureDeferred
async def test_the_bytes_of_the_encrypted_side_count_what_tls_adds(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve()
        pair = pairTo(loopback, server.address()["port"])
        sent = bytearray()
        pair.encrypted.on("data", sent.extend)
        assert pair.encrypted.bytesWritten == 0
        await happened(pair, "secure")
        handshake = pair.encrypted.bytesWritten
        assert handshake > 300
        pair.cleartext.write(b"x" * 1000)
        await until(lambda: pair.cleartext.bytesRead == 1000)
        assert pair.encrypted.bytesWritten == len(sent)
        assert 1000 < pair.encrypted.bytesWritten - handshake < 1200
        assert pair.cleartext.bytesWritten == 1000


@pytest_twisted.ensureDeferred
async def test_secure_comes_once_and_before_that_of_the_cleartext_side(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(maxVersion="TLSv1.2")
        pair = pairTo(loopback, server.address()["port"])
        seen: list[str] = []
        pair.on("secure", lambda: seen.append("pair"))
        pair.cleartext.on("secure", lambda: seen.append("cleartext"))
        told: list[Any] = []
        await until(lambda: len(seen) == 2)
        pair.cleartext.renegotiate({}, told.append)
        await until(lambda: told)
        assert seen == ["pair", "cleartext", "cleartext"]


# -- who is authorized


@pytest_twisted.ensureDeferred
async def test_a_client_with_a_verified_certificate_is_authorized(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        pairs = await Pairs(loopback, True, True, ca=pki.ca).listen()
        await loopback.secure(pairs.server, key=pki.client.key, cert=pki.client.cert)
        await until(lambda: pairs.secured)
        cleartext = pairs.pairs[0].cleartext
        assert cleartext.authorized
        assert "client@example.test" in cleartext.getPeerCertificate()["subjectaltname"]


@pytest_twisted.ensureDeferred
async def test_a_client_without_a_certificate_is_not(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        pairs = await Pairs(loopback, True, False, ca=pki.ca).listen()
        await loopback.secure(pairs.server)
        await until(lambda: pairs.secured)
        assert not pairs.pairs[0].cleartext.authorized
        assert pairs.pairs[0].cleartext.authorizationError is not None


@pytest.mark.parametrize("certificate", [False, True], ids=["none", "untrusted"])
@pytest_twisted.ensureDeferred
async def test_and_is_refused_where_that_is_asked_for(pki: Pki, certificate: bool) -> None:
    async with Loopback(pki) as loopback:
        # The server does not trust the authority of the client's certificate.
        pairs = await Pairs(loopback, True, True).listen()
        own = {"key": pki.client.key, "cert": pki.client.cert} if certificate else {}
        client = loopback.dial(pairs.server, **own)
        received = Received(client)
        await received
        assert pairs.secured == 0
        assert pairs.pairs[0].cleartext.destroyed


@pytest.mark.parametrize(
    ("name", "authorized"),
    [("localhost", True), ("other.test", False), (None, False)],
    ids=["right", "wrong", "none"],
)
@pytest_twisted.ensureDeferred
async def test_a_server_is_authorized_for_the_name_that_was_asked_for(
    pki: Pki, name: str | None, authorized: bool
) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve()
        pair = pairTo(
            loopback, server.address()["port"], {} if name is None else {"servername": name}
        )
        await happened(pair, "secure")
        assert pair.cleartext.authorized is authorized
        expected = "ERR_TLS_CERT_ALTNAME_INVALID" if name == "other.test" else None
        assert pair.cleartext.authorizationError == expected


@pytest_twisted.ensureDeferred
async def test_a_server_whose_certificate_cannot_be_verified_is_not(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve()
        pair = pairTo(loopback, server.address()["port"], {"servername": "localhost"}, ca=[])
        await happened(pair, "secure")
        assert not pair.cleartext.authorized
        assert pair.cleartext.authorizationError is not None


# -- when one side goes


@pytest_twisted.ensureDeferred
async def test_what_is_no_tls_is_an_error_of_the_cleartext_side(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        pairs = await Pairs(loopback).listen()
        plain = tls.net.connect(pairs.server.address()["port"], "127.0.0.1")
        loopback.sockets.append(plain)
        received = Received(plain)
        await happened(plain, "connect")
        failing: list[Any] = []
        await until(lambda: pairs.pairs)
        pairs.pairs[0].cleartext.on("error", failing.append)
        # A ClientHello without anything in it.
        plain.write(b"\x16\3\1\0\4\1\0\0\0")
        await until(lambda: received.ended)
        assert [raised.code for raised in failing] == ["ERR_SSL_LENGTH_TOO_SHORT"]
        # The alert came before the end.
        assert received.data[:1] == b"\x15"


@pytest_twisted.ensureDeferred
async def test_an_error_of_the_encrypted_side_is_its_own_and_closes_the_other(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve()
        pair = pairTo(loopback, server.address()["port"])
        await happened(pair, "secure")
        cleartext, errors = Received(pair.cleartext), []
        pair.encrypted.on("error", errors.append)
        error = ValueError("broken")
        pair.encrypted.destroy(error)
        await cleartext
        assert errors == [error]
        assert pair.encrypted.closed
        assert cleartext.errors == []
        assert cleartext.closed is False


@pytest_twisted.ensureDeferred
async def test_the_encrypted_side_ends_when_the_cleartext_side_is_destroyed(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve()
        pair = pairTo(loopback, server.address()["port"])
        await happened(pair, "secure")
        ended: list[bool] = []
        pair.encrypted.on("end", lambda: ended.append(True))
        pair.encrypted.unpipe()
        pair.cleartext.destroy()
        # What comes from the peer now is dropped, and is no error.
        written: list[Any] = []
        pair.encrypted.write(b"late", written.append)
        pair.encrypted.resume()
        await until(lambda: ended and written)
        assert written == [None]


@pytest_twisted.ensureDeferred
async def test_destroying_the_pair_destroys_both_sides(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve()
        pair = pairTo(loopback, server.address()["port"])
        await happened(pair, "secure")
        cleartext = Received(pair.cleartext)
        pair.destroy()
        await cleartext
        assert cleartext.errors == []
        assert pair.encrypted.closed


@pytest_twisted.ensureDeferred
async def test_nobody_who_reads_stops_who_writes(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(None)
        pair = pairTo(loopback, server.address()["port"])
        await happened(pair, "secure")
        pair.encrypted.unpipe()
        pair.encrypted.pause()
        while pair.cleartext.write(b"w" * 65536):
            pass
        waiting = pair.cleartext.writableLength
        assert waiting <= 2 * 65536
        assert pair.encrypted.readableLength <= 4 * 65536


# -- how it is made


def test_it_is_deprecated_and_says_so(noted: list[warnings.WarningMessage]) -> None:
    pair = createSecurePair()
    pair.destroy()
    (warning,) = [each for each in noted if each.category is not ResourceWarning]
    assert issubclass(warning.category, DeprecationWarning)
    assert warning.message.code == "DEP0064"  # type: ignore[union-attr]
    assert warning.filename == __file__


@pytest_twisted.ensureDeferred
async def test_a_context_of_its_own_is_made_where_none_is_given(pki: Pki) -> None:
    pair = SecurePair({"ca": pki.ca})
    assert isinstance(pair.credentials, tls.SecureContext)
    assert isinstance(pair.encrypted, CryptoStream)
    assert isinstance(pair.cleartext, tls.TLSSocket)
    pair.destroy()
    await until(lambda: pair.cleartext.closed)


@pytest_twisted.ensureDeferred
async def test_options_win_over_positions(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        marker = tls.createServer()
        options = {"isServer": True, "ALPNProtocols": ["h2"], "server": marker}
        context = tls.createSecureContext({"key": pki.server.key, "cert": pki.server.cert})
        pair = createSecurePair(context, False, False, False, options)
        assert pair.server is marker
        client = pairTo(loopback, 1, {"ALPNProtocols": ["h2"]})
        client.encrypted.unpipe()
        client.encrypted.pipe(pair.encrypted)
        pair.encrypted.pipe(client.encrypted)
        loopback.sockets[0].on("error", lambda raised: None)
        await happened(client, "secure")
        assert client.cleartext.alpnProtocol == "h2"
        loopback.sockets += [pair.cleartext, pair.encrypted]


@pytest_twisted.ensureDeferred
async def test_wrong_options_are_refused_at_once(pki: Pki) -> None:
    with pytest.raises(NodeTypeError):
        createSecurePair(3)
    with pytest.raises(NodeError):
        createSecurePair({"key": "garbage"})
