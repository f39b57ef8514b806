"""
What Node's own tests look at and no other test here does (`docs/node-parity.md`, Node's own tests).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted

import txnodetls as tls
from tests.interop.peers import opensslPeer
from tests.loopback import Loopback, Received, echo, until
from tests.support import PROJECT, Pki, happened, makePki, runPython

pytestmark = pytest.mark.usefixtures("defaults")

KEY = "d731ef57be09e5204f0b205b60627028"


@pytest_twisted.async_yield_fixture
async def loopback(pki: Pki) -> Any:
    async with Loopback(pki) as opened:
        yield opened


@pytest.fixture
def defaults() -> Iterator[None]:
    """The default authorities are what they were, whatever the test sets."""
    before = tls.getCACertificates()
    yield
    if tls.getCACertificates() != before:
        tls.setDefaultCACertificates(list(before))


def der(certificate: bytes) -> bytes:
    return tls.X509Certificate(certificate).raw


@pytest.mark.parametrize("text", [True, False])
@pytest_twisted.ensureDeferred
async def test_several_authorities_in_one_text_are_all_trusted(
    loopback: Loopback, pki: Pki, text: bool
) -> None:
    server = await loopback.serve()
    for several in (pki.ca + makePki().ca, makePki().ca + b"\n" + pki.ca):
        client = await loopback.secure(server, ca=several.decode() if text else several)
        assert client.authorized


@pytest_twisted.ensureDeferred
async def test_a_key_and_certificate_may_lack_the_last_line_end(
    loopback: Loopback, pki: Pki
) -> None:
    key, cert = pki.server.key.rstrip(b"\n"), pki.server.cert.rstrip(b"\n")
    for options in ({"key": key, "cert": cert}, {"key": key.decode(), "cert": cert.decode()}):
        client = await loopback.secure(await loopback.serve(**options))
        assert client.authorized


def test_extra_certificates_are_trusted_only_where_no_ca_is_given(tmp_path: Any) -> None:
    extra, other = makePki(), makePki()
    (tmp_path / "extra").write_bytes(extra.ca)
    (tmp_path / "other").write_bytes(other.ca)
    code = """
import sys, txnodetls as tls
extra, other = (tls.X509Certificate(open(name, "rb").read()).raw for name in sys.argv[1:])
plain = tls.createSecureContext().trustedCertificates()
given = tls.createSecureContext(ca=open(sys.argv[2], "rb").read()).trustedCertificates()
print(extra in plain, other in plain, given == (other,))
"""
    os.environ["NODE_EXTRA_CA_CERTS"] = str(tmp_path / "extra")
    try:
        run = runPython(code, str(tmp_path / "extra"), str(tmp_path / "other"), cwd=PROJECT)
    finally:
        del os.environ["NODE_EXTRA_CA_CERTS"]
    assert run.stdout.split() == [b"True", b"False", b"True"], run.stderr


@pytest_twisted.ensureDeferred
async def test_default_authorities_may_be_given_as_text_and_as_any_bytes(
    loopback: Loopback, pki: Pki
) -> None:
    server = await loopback.serve()
    for form in (pki.ca.decode(), pki.ca, bytearray(pki.ca), memoryview(pki.ca)):
        tls.setDefaultCACertificates([form, makePki().ca])
        assert len(tls.getCACertificates("default")) == 2
        client = await loopback.secure(server, ca=None)
        assert client.authorized


@pytest_twisted.ensureDeferred
async def test_default_authorities_can_be_put_back(loopback: Loopback, pki: Pki) -> None:
    server = await loopback.serve()
    before = tls.getCACertificates()
    tls.setDefaultCACertificates([pki.ca])
    assert (await loopback.secure(server, ca=None)).authorized
    with pytest.raises(tls.NodeError):
        tls.setDefaultCACertificates(["no certificate"])
    assert (await loopback.secure(server, ca=None)).authorized
    tls.setDefaultCACertificates(list(before))
    # Each once, whatever the environment has added to what was there.
    assert set(tls.getCACertificates()) == set(before)
    client = loopback.dial(server, ca=None)
    (error,) = await happened(client, "error")
    assert error.code == "UNABLE_TO_VERIFY_LEAF_SIGNATURE"


def test_default_authorities_that_were_set_replace_the_extra_ones(tmp_path: Any) -> None:
    (tmp_path / "extra").write_bytes(makePki().ca)
    (tmp_path / "other").write_bytes(makePki().ca)
    code = """
import sys, txnodetls as tls
print(len(tls.getCACertificates("extra")), len(tls.getCACertificates("bundled")) > 100)
tls.setDefaultCACertificates([open(sys.argv[1]).read()])
print(len(tls.getCACertificates("default")), len(tls.getCACertificates("extra")))
tls.setDefaultCACertificates(tls.getCACertificates("bundled"))
print(tls.getCACertificates("default") == tls.getCACertificates("bundled"))
tls.setDefaultCACertificates([])
print(len(tls.getCACertificates("default")))
"""
    os.environ["NODE_EXTRA_CA_CERTS"] = str(tmp_path / "extra")
    try:
        run = runPython(code, str(tmp_path / "other"), cwd=PROJECT)
    finally:
        del os.environ["NODE_EXTRA_CA_CERTS"]
    assert run.stdout.split() == [b"1", b"True", b"1", b"1", b"True", b"0"], run.stderr


@pytest_twisted.ensureDeferred
async def test_a_bare_socket_goes_on_with_whom_it_does_not_know_unless_it_is_told_not_to(
    loopback: Loopback,
) -> None:
    """As in Node: who makes a TLSSocket by hand has to ask it; connect() does so by itself."""
    server = await loopback.serve()
    client: Any = tls.TLSSocket(None, {})
    loopback.sockets.append(client)
    client.connect(server.address()["port"], "127.0.0.1")
    await happened(client, "secure")
    received = Received(client)
    client.write(b"hello")
    await until(lambda: received.data == b"hello")
    assert client.authorized is False
    assert server.failures == []


@pytest_twisted.ensureDeferred
async def test_a_server_honours_partial_chains_too(loopback: Loopback, pki: Pki) -> None:
    """Node's createServer() does not hand the option on to its context."""
    child = pki.authority.create_child_ca()
    leaf = child.issue_cert("guest@example.test")
    guest = {"key": leaf.private_key_pem.bytes(), "cert": leaf.cert_chain_pems[0].bytes()}
    given = {"ca": child.cert_pem.bytes(), "requestCert": True, "rejectUnauthorized": False}
    for partial, error in ((False, "UNABLE_TO_GET_ISSUER_CERT"), (True, None)):
        server = await loopback.serve(**given, allowPartialTrustChain=partial)
        await loopback.secure(server, **guest)
        await until(lambda: server.seen)  # noqa: B023
        assert server.seen[0]["authorizationError"] == error


@pytest_twisted.ensureDeferred
async def test_a_bare_socket_of_a_server_asks_its_own_snicallback(
    loopback: Loopback, pki: Pki
) -> None:
    asked: list[str] = []
    other = pki.issue("localhost", "other.example")
    context = tls.createSecureContext(key=other.key, cert=other.cert)

    def choose(name: str, callback: Any) -> None:
        asked.append(name)
        callback(None, context)

    def accepted(plain: Any) -> None:
        options = {"key": pki.server.key, "cert": pki.server.cert, "SNICallback": choose}
        made: Any = tls.TLSSocket(plain, {"isServer": True, **options})
        made.on("error", lambda error: None)
        loopback.sockets.append(made)
        echo(made)

    server: Any = tls.net.createServer(accepted)
    loopback.servers.append(server)
    listening = happened(server, "listening")
    server.listen(0, "127.0.0.1")
    await listening
    client = await loopback.secure(server)
    assert asked == ["localhost"]
    assert client.getPeerX509Certificate().raw == der(other.cert)


@pytest_twisted.ensureDeferred
async def test_a_socket_knows_its_server_before_the_handshake_is_done(loopback: Loopback) -> None:
    server = await loopback.serve()
    told: list[Any] = []
    server.on("connection", lambda plain: told.append(plain.server))
    await loopback.secure(server)
    assert told == [server]
    await until(lambda: server.secured)
    assert server.secured[0].server is server


@pytest.mark.parametrize("version", ["1_2", "1_3"])
@pytest_twisted.ensureDeferred
async def test_s_client_and_our_server_share_a_key(loopback: Loopback, version: str) -> None:
    server = await loopback.serve(
        pskCallback=lambda socket, identity: bytes.fromhex(KEY) if identity == "TestUser" else None,
        pskIdentityHint="TestUser",
        ciphers="PSK+HIGH:TLS_AES_128_GCM_SHA256",
    )
    where = ("-connect", f"127.0.0.1:{server.address()['port']}", f"-tls{version}")
    given = ("-psk_identity", "TestUser", "-cipher", "PSK+HIGH", "-quiet", "-psk")
    async with opensslPeer("s_client", *where, *given, KEY) as client:
        client.write(b"hello\n")
        await client.said(rb"hello")
    async with opensslPeer("s_client", *where, *given, "00" * 16) as client:
        await until(lambda: server.failures)
        assert await client.ended() != 0
    assert server.seen[0]["authorized"] is False
    assert len(server.secured) == 1


@pytest.mark.parametrize("version", ["1_2", "1_3"])
@pytest_twisted.ensureDeferred
async def test_our_client_and_s_server_share_a_key(loopback: Loopback, version: str) -> None:
    serve = ("s_server", "-accept", "127.0.0.1:0", "-nocert", f"-tls{version}", "-rev")
    async with opensslPeer(*serve, "-cipher", "PSK+HIGH", "-psk", KEY) as server:
        port = int((await server.said(rb"ACCEPT 127\.0\.0\.1:(\d+)"))[1])
        client = await loopback.secure(
            port,
            pskCallback=lambda hint: {"psk": bytes.fromhex(KEY), "identity": "Client_identity"},
            checkServerIdentity=lambda host, certificate: None,
            ciphers="PSK+HIGH:TLS_AES_128_GCM_SHA256",
        )
        received = Received(client)
        client.write(b"hello\n")
        await until(lambda: received.data == b"olleh\n")
        client.end()


@pytest_twisted.ensureDeferred
async def test_what_waits_over_a_stream_is_counted(loopback: Loopback) -> None:
    server = await loopback.serve()
    below: Any = tls.net.connect(server.address()["port"], "127.0.0.1")
    loopback.sockets.append(below)
    await happened(below, "connect")
    client: Any = tls.connect(
        {"socket": tls.Duplex(below), "ca": loopback.pki.ca, "servername": "localhost"}
    )
    loopback.sockets.append(client)
    assert client.bufferSize == 0
    for count in range(1, 10):
        client.write(b"a")
        assert client.bufferSize == client.writableLength == count
    received = Received(client)
    await until(lambda: received.data == b"a" * 9)
    assert client.bufferSize == 0
