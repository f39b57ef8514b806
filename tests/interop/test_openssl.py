"""The openssl command as the peer: s_client at our server, s_server for our client."""

from __future__ import annotations

import base64
import datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

import txnodetls as tls
from tests.interop.peers import Peer, digest, opensslPeer, payload
from tests.loopback import Loopback, Received, describe, until
from tests.support import Pki, makePki

LARGE = 1024 * 1024 + 17
both = pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
GOT_CLOSE_NOTIFY = rb"<<< TLS 1\.[23], Alert \[length 0002\], warning close_notify"
# s_client may put the data behind something that it is just printing.
ECHOED = rb"(?m)a line$"


@pytest_twisted.async_yield_fixture
async def loopback(pki: Pki) -> Any:
    async with Loopback(pki) as opened:
        yield opened


@pytest.fixture(scope="module")
def files(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("openssl")
    for name, credentials in (("server", pki.server), ("client", pki.client)):
        (directory / f"{name}.key").write_bytes(credentials.key)
        (directory / f"{name}.crt").write_bytes(credentials.cert)
    (directory / "ca.crt").write_bytes(pki.ca)
    stranger = makePki().client
    (directory / "stranger.key").write_bytes(stranger.key)
    (directory / "stranger.crt").write_bytes(stranger.cert)
    (directory / "staple.der").write_bytes(stapleFor(pki))
    (directory / "large.bin").write_bytes(payload(LARGE))
    return directory


def stapleFor(pki: Pki) -> bytes:
    """The authority's word that the server's certificate is good."""
    leaf = x509.load_pem_x509_certificate(pki.server.cert)
    issuer = x509.load_pem_x509_certificate(pki.ca)
    key: Any = serialization.load_pem_private_key(pki.authority.private_key_pem.bytes(), None)
    now = datetime.datetime.now(datetime.UTC)
    built = ocsp.OCSPResponseBuilder().add_response(
        leaf,
        issuer,
        hashes.SHA1(),  # what OpenSSL looks a certificate up by
        ocsp.OCSPCertStatus.GOOD,
        now - datetime.timedelta(hours=1),
        now + datetime.timedelta(hours=1),
        None,
        None,
    )
    signed = built.responder_id(ocsp.OCSPResponderEncoding.HASH, issuer).sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


def only(version: str) -> dict[str, str]:
    return {"minVersion": version, "maxVersion": version}


def switch(version: str) -> str:
    return {"TLSv1.2": "-tls1_2", "TLSv1.3": "-tls1_3"}[version]


def clientOf(server: Any, files: Path, *more: str) -> Peer:
    """C{s_client} at our server; it goes no further if the certificate is not for localhost."""
    return opensslPeer(
        *("s_client", "-connect", f"127.0.0.1:{server.address()['port']}"),
        *("-servername", "localhost", "-CAfile", str(files / "ca.crt")),
        *("-verify_return_error", "-verify_hostname", "localhost"),
        *more,
    )


def serverOf(files: Path, *more: str) -> Peer:
    """C{s_server} for our client: sends each line back, reversed."""
    return opensslPeer(
        *("s_server", "-accept", "127.0.0.1:0"),
        *("-key", str(files / "server.key"), "-cert", str(files / "server.crt")),
        *more,
        cwd=files,
    )


async def portOf(peer: Peer) -> int:
    return int((await peer.said(rb"ACCEPT 127\.0\.0\.1:(\d+)"))[1])


def exactly(text: str) -> bytes:
    return b"(?m)^ *%s *$" % text.encode()


# -- s_client at our server


@both
@pytest_twisted.ensureDeferred
async def test_our_echo_answers_s_client(version: str, loopback: Loopback, files: Path) -> None:
    server = await loopback.serve()
    async with clientOf(server, files, switch(version), "-msg") as client:
        client.write(b"a line\n")
        await client.said(ECHOED)
        await client.said(rb"Verify return code: 0 \(ok\)")
        ours = server.seen[0]
        assert (ours["protocol"], ours["servername"]) == (version, "localhost")
        cipher = server.secured[0].getCipher()["name"]
        await client.said(b"New, (TLSv1.2|TLSv1.3), Cipher is " + cipher.encode())
        received = Received(server.secured[0])
        client.closeInput()
        await received
        assert await client.ended() == 0
        assert client.output.count(b"DONE") == 1
        assert (received.ended, received.closed, received.errors) == (True, False, [])


@both
@pytest_twisted.ensureDeferred
async def test_our_end_is_a_clean_one_for_s_client(
    version: str, loopback: Loopback, files: Path
) -> None:
    server = await loopback.serve(lambda socket: socket.end(b"goodbye\n"))
    async with clientOf(server, files, switch(version), "-msg") as client:
        await client.said(GOT_CLOSE_NOTIFY)
        assert await client.ended() == 0
        assert b"goodbye\n" in client.data
        # Without close_notify: "unexpected eof while reading".
        assert b"error" not in client.output
        assert b"\nclosed\n" in client.output


@both
@pytest_twisted.ensureDeferred
async def test_s_client_gets_much_from_our_server(
    version: str, loopback: Loopback, files: Path
) -> None:
    server = await loopback.serve(lambda socket: socket.end(payload(LARGE)))
    async with clientOf(server, files, switch(version), "-quiet") as client:
        assert await client.ended() == 0
        assert digest(client.data) == digest(payload(LARGE))


@both
@pytest_twisted.ensureDeferred
async def test_our_server_gets_much_from_s_client(
    version: str, loopback: Loopback, files: Path
) -> None:
    heard = bytearray()

    def collect(socket: Any) -> None:
        def data(piece: bytes) -> None:
            heard.extend(piece)
            if len(heard) == LARGE:
                socket.end(digest(heard))

        socket.on("data", data)

    server = await loopback.serve(collect)
    async with clientOf(server, files, switch(version), "-quiet") as client:
        client.write(payload(LARGE))
        assert await client.ended() == 0
        assert client.data == digest(payload(LARGE)).encode()


@both
@pytest_twisted.ensureDeferred
async def test_s_client_takes_up_its_session(
    version: str, loopback: Loopback, files: Path, tmp_path: Path
) -> None:
    server = await loopback.serve()
    stored = str(tmp_path / "session")
    for option, word in (("-sess_out", b"New"), ("-sess_in", b"Reused")):
        async with clientOf(server, files, switch(version), option, stored) as client:
            client.write(b"a line\n")
            await client.said(ECHOED)
            await client.said(word + b", " + version.encode().replace(b".", rb"\."))
            client.closeInput()
            assert await client.ended() == 0
    assert [seen["reused"] for seen in server.seen] == [False, True]


@both
@pytest_twisted.ensureDeferred
async def test_s_client_gets_the_protocol_and_the_certificate_of_its_choice(
    version: str, loopback: Loopback, files: Path, pki: Pki
) -> None:
    other = pki.issue("other.example.test")
    server = await loopback.serve(ALPNProtocols=["h2", "http/1.1"])
    server.addContext("other.example.test", {"key": other.key, "cert": other.cert})
    more = ("-alpn", "http/1.1,x", "-servername", "other.example.test")
    named = ("-verify_hostname", "other.example.test")
    async with clientOf(server, files, switch(version), *more, *named) as client:
        client.write(b"a line\n")
        await client.said(ECHOED)
        assert b"ALPN protocol: http/1.1" in client.output
        assert b"Verify return code: 0 (ok)" in client.output
    assert server.seen[0]["alpn"] == "http/1.1"
    assert server.seen[0]["own"] == tls.X509Certificate(other.cert).fingerprint256


@both
@pytest_twisted.ensureDeferred
async def test_s_client_gets_the_staple(
    version: str, loopback: Loopback, files: Path, pki: Pki
) -> None:
    server = await loopback.serve()
    answers: list[bytes | None] = [None, (files / "staple.der").read_bytes()]
    server.on("OCSPRequest", lambda leaf, issuer, answer: answer(None, answers.pop()))
    for status in (b"OCSP Response Status: successful", b"OCSP response: no response sent"):
        async with clientOf(server, files, switch(version), "-status") as client:
            await client.said(status)
            client.write(b"a line\n")
            await client.said(ECHOED)


@both
@pytest_twisted.ensureDeferred
async def test_our_server_knows_s_client_by_its_certificate(
    version: str, loopback: Loopback, files: Path, pki: Pki
) -> None:
    server = await loopback.serve(requestCert=True, ca=pki.ca)
    known = ("-key", str(files / "client.key"), "-cert", str(files / "client.crt"))
    async with clientOf(server, files, switch(version), *known) as client:
        client.write(b"a line\n")
        await client.said(ECHOED)
        assert server.seen[0]["authorized"] is True
        assert server.seen[0]["peer"] == tls.X509Certificate(pki.client.cert).fingerprint256
    stranger = ("-key", str(files / "stranger.key"), "-cert", str(files / "stranger.crt"))
    for refused in (stranger, ()):
        async with clientOf(server, files, switch(version), *refused) as client:
            client.write(b"a line\n")
            await client.ended()
            assert b"a line\n" not in client.output
    await until(lambda: len(server.failures) == 2)
    assert len(server.secured) == 1


@pytest_twisted.ensureDeferred
async def test_our_server_answers_behind_a_change_of_keys(loopback: Loopback, files: Path) -> None:
    server = await loopback.serve()
    async with clientOf(server, files, "-tls1_3") as client:
        client.write(b"a line\n")
        await client.said(ECHOED)
        # A command of s_client: new keys for both directions.
        client.write(b"K\n")
        await client.said(b"KEYUPDATE")
        client.write(b"another one\n")
        await client.said(rb"(?m)another one$")
        assert b"error" not in client.output


@pytest_twisted.ensureDeferred
async def test_our_server_answers_behind_a_renegotiation(loopback: Loopback, files: Path) -> None:
    server = await loopback.serve()
    async with clientOf(server, files, "-tls1_2") as client:
        client.write(b"a line\n")
        await client.said(ECHOED)
        client.write(b"R\n")
        await client.said(b"RENEGOTIATING")
        client.write(b"another one\n")
        await client.said(rb"(?m)another one$")
        assert b"error" not in client.output


# -- s_server for our client


@both
@pytest_twisted.ensureDeferred
async def test_our_client_talks_to_s_server(
    version: str, loopback: Loopback, files: Path, pki: Pki
) -> None:
    async with serverOf(files, switch(version), "-rev", "-msg") as server:
        client = await loopback.secure(await portOf(server))
        seen = describe(client)
        assert (seen["protocol"], seen["authorized"]) == (version, True)
        assert seen["peer"] == tls.X509Certificate(pki.server.cert).fingerprint256
        assert client.transport.tlsSocket is client
        await server.said(exactly(f"Ciphersuite: {client.getCipher()['name']}"))
        received = Received(client)
        client.write(b"a line\n")
        await until(lambda: received.data == b"enil a\n")
        client.end()
        await received
        assert (received.ended, received.closed, received.errors) == (True, False, [])
        await server.said(GOT_CLOSE_NOTIFY)


@both
@pytest_twisted.ensureDeferred
async def test_our_client_gets_much_from_s_server(
    version: str, loopback: Loopback, files: Path
) -> None:
    async with serverOf(files, switch(version), "-WWW") as server:
        client = loopback.dial(await portOf(server))
        received = Received(client)
        client.write("GET /large.bin HTTP/1.0\r\n\r\n")
        await received
        assert (received.ended, received.errors) == (True, [])
        head, _, body = bytes(received.data).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.0 200 ok")
        assert digest(body) == digest(payload(LARGE))


@both
@pytest_twisted.ensureDeferred
async def test_s_server_gets_much_from_our_client(
    version: str, loopback: Loopback, files: Path
) -> None:
    text = base64.b64encode(payload(LARGE))
    async with serverOf(files, switch(version), "-naccept", "1") as server:
        client = loopback.dial(await portOf(server))
        client.write(text)
        client.end()
        assert await server.ended() == 0
        # Among what it says of the connection.
        assert text in server.data


@both
@pytest_twisted.ensureDeferred
async def test_our_client_takes_up_a_session_of_s_server(
    version: str, loopback: Loopback, files: Path
) -> None:
    async with serverOf(files, switch(version), "-rev") as server:
        port = await portOf(server)
        session = None
        for reused in (False, True):
            client = loopback.dial(port, session=session)
            received = Received(client)
            sessions: list[bytes] = []
            client.on("session", sessions.append)
            client.write(b"a line\n")
            await until(lambda received=received: received.data == b"enil a\n")
            assert client.isSessionReused() is reused
            assert client.authorized is True
            if not reused:
                await until(lambda sessions=sessions: sessions)
                session = sessions[0]
            client.end()
            await received


@both
@pytest_twisted.ensureDeferred
async def test_our_client_gets_the_protocol_and_the_staple_of_s_server(
    version: str, loopback: Loopback, files: Path
) -> None:
    more = ("-rev", "-alpn", "h2,http/1.1", "-status_file", str(files / "staple.der"))
    async with serverOf(files, switch(version), *more) as server:
        port = await portOf(server)
        client = loopback.dial(port, requestOCSP=True, ALPNProtocols=["http/1.1"])
        staples: list[bytes | None] = []
        client.on("OCSPResponse", staples.append)
        received = Received(client)
        client.write(b"a line\n")
        await until(lambda: received.data == b"enil a\n")
        assert client.alpnProtocol == "http/1.1"
        assert staples == [(files / "staple.der").read_bytes()]
        client.end()
        await received


@both
@pytest_twisted.ensureDeferred
async def test_s_server_knows_our_client_by_its_certificate(
    version: str, loopback: Loopback, files: Path, pki: Pki
) -> None:
    asking = ("-rev", "-Verify", "1", "-verify_return_error", "-CAfile", str(files / "ca.crt"))
    async with serverOf(files, switch(version), *asking) as server:
        port = await portOf(server)
        client = loopback.dial(port, key=pki.client.key, cert=pki.client.cert)
        received = Received(client)
        client.write(b"a line\n")
        await until(lambda: received.data == b"enil a\n")
        client.end()
        await received
        stranger = makePki().client
        refused = Received(loopback.dial(port, key=stranger.key, cert=stranger.cert))
        await refused
        assert refused.errors == ["ERR_SSL_TLSV1_ALERT_UNKNOWN_CA"]
        assert refused.error.alert == 48


@both
@pytest_twisted.ensureDeferred
async def test_our_client_refuses_s_server_for_whom_nobody_vouches(
    version: str, loopback: Loopback, files: Path
) -> None:
    own = ("-key", str(files / "stranger.key"), "-cert", str(files / "stranger.crt"))
    async with opensslPeer(
        "s_server", "-accept", "127.0.0.1:0", *own, switch(version), "-rev"
    ) as server:
        client = loopback.dial(await portOf(server))
        received = Received(client)
        client.write(b"a secret\n")
        await received
        assert received.errors == ["UNABLE_TO_VERIFY_LEAF_SIGNATURE"]
        assert (client.authorized, received.data) == (False, b"")
        assert b"secret" not in server.output


@pytest_twisted.ensureDeferred
async def test_no_version_in_common_is_a_protocol_version_alert(
    loopback: Loopback, files: Path
) -> None:
    async with serverOf(files, "-tls1_2", "-rev") as server:
        received = Received(loopback.dial(await portOf(server), minVersion="TLSv1.3"))
        await received
        assert received.errors == ["ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION"]
        assert received.error.alert == 70
    ours = await loopback.serve(minVersion="TLSv1.3")
    async with clientOf(ours, files, "-tls1_2") as client:
        await client.said(b"alert protocol version")
    await until(lambda: ours.failures)
    assert ours.failures[0].code == "ERR_SSL_UNSUPPORTED_PROTOCOL"
