"""
What OpenSSL 4 makes of staples, shown without this library.

Node 24, with OpenSSL 3.5, sends whatever bytes 'OCSPRequest' is answered with and hands on
whatever bytes come.  Since OpenSSL 3.6 staples are parsed on both sides.  A server keeps what it
could parse, and looks in there for an answer about the certificate that it is about to show: the
same serial number, the same hash of the issuer's name.  Without one there is no staple, by whatever
call the bytes came in.  A client ends the handshake at what is no OCSP response.  pyOpenSSL's own
calls, and nothing of ours, are used here; see docs/node-parity.md.
"""

from __future__ import annotations

import contextlib
import socket

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from OpenSSL._util import lib
from twisted.internet.threads import deferToThread

from tests.interop.peers import NodePeer
from tests.stapling import Authority, derOf
from tests.support import Pki, makePki
from txnodetls.pki.throwaway import throwawayCertificate

VERSIONS = pytest.mark.parametrize(
    "version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION], ids=["TLSv1.2", "TLSv1.3"]
)
PARSES = lib.OPENSSL_VERSION_NUMBER >= 0x30600000
pytestmark = pytest.mark.skipif(not PARSES, reason="OpenSSL before 3.6 sends any bytes")


def serverContext(version: int, cert: bytes, key: bytes, staple: bytes) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    context.use_certificate(x509.load_pem_x509_certificate(cert))
    context.use_privatekey(load_pem_private_key(key, None))
    context.set_ocsp_server_callback(lambda _connection, _data: staple)
    return context


def shown(
    version: int,
    cert: bytes,
    key: bytes,
    staple: bytes,
    chosen: tuple[bytes, bytes] | None = None,
) -> bytes | None:
    """
    What a client is shown of a staple, None for nothing.

    @param chosen: certificate and key of the context that the client's name chooses.
    """
    serving = serverContext(version, cert, key, staple)
    if chosen is not None:
        named = serverContext(version, *chosen, staple)
        serving.set_tlsext_servername_callback(lambda connection: connection.set_context(named))
    asking = SSL.Context(SSL.TLS_CLIENT_METHOD)
    asking.set_min_proto_version(version)
    asking.set_max_proto_version(version)
    told: list[bytes] = []
    asking.set_ocsp_client_callback(lambda _connection, data, _more: told.append(data) or True)
    server = SSL.Connection(serving, None)
    client = SSL.Connection(asking, None)
    server.set_accept_state()
    client.set_connect_state()
    client.request_ocsp()
    if chosen is not None:
        client.set_tlsext_host_name(b"a.example.test")
    for _ in range(4):
        for one, other in ((client, server), (server, client)):
            with contextlib.suppress(SSL.WantReadError):
                one.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                other.bio_write(one.bio_read(65536))
    assert told
    return told[0] or None


@VERSIONS
def test_a_staple_about_the_certificate_is_sent(pki: Pki, version: int) -> None:
    staple = Authority(pki).response(derOf(pki.server.cert))
    assert shown(version, pki.server.cert, pki.server.key, staple) == staple


@VERSIONS
def test_bytes_that_are_no_response_are_not(pki: Pki, version: int) -> None:
    assert shown(version, pki.server.cert, pki.server.key, b"whatever") is None


@VERSIONS
def test_nor_is_a_staple_about_another_certificate(pki: Pki, version: int) -> None:
    staple = Authority(pki).response(derOf(pki.client.cert))
    assert shown(version, pki.server.cert, pki.server.key, staple) is None


@VERSIONS
def test_serial_number_and_issuers_name_are_what_it_goes_by(pki: Pki, version: str) -> None:
    """The issuer's key and the signature, which prove something, are the client's to look at."""
    authority, stranger = Authority(pki), Authority(makePki())
    name = authority.certificate.subject
    namesake = (
        x509.CertificateBuilder(name, name, stranger.certificate.public_key(), 1)
        .not_valid_before(authority.certificate.not_valid_before_utc)
        .not_valid_after(authority.certificate.not_valid_after_utc)
        .sign(stranger.key, hashes.SHA256())
    )
    staple = stranger.response(derOf(pki.server.cert), issuer=namesake)
    assert shown(version, pki.server.cert, pki.server.key, staple) == staple


@VERSIONS
def test_with_a_name_it_is_the_certificate_of_the_chosen_context(pki: Pki, version: str) -> None:
    cert, key = Authority(pki).issue()
    about = {pem: Authority(pki).response(derOf(pem)) for pem in (cert, pki.server.cert)}

    def with_(staple: bytes) -> bytes | None:
        return shown(version, pki.server.cert, pki.server.key, staple, chosen=(cert, key))

    assert with_(about[cert]) == about[cert]
    assert with_(about[pki.server.cert]) is None


@VERSIONS
def test_nor_is_one_about_a_certificate_that_signed_itself(pki: Pki, version: int) -> None:
    cert, key = throwawayCertificate(["localhost"])
    staple = Authority(pki).response(derOf(cert))
    assert shown(version, cert, key, staple) is None


@VERSIONS
def test_what_stands_behind_a_response_is_cut_off(pki: Pki, version: int) -> None:
    staple = Authority(pki).response(derOf(pki.server.cert))
    assert shown(version, pki.server.cert, pki.server.key, staple + b"more") == staple


@VERSIONS
def test_a_responders_refusal_is_sent_as_it_is(pki: Pki, version: int) -> None:
    """TRY_LATER: it is about no certificate at all."""
    refusal = bytes.fromhex("30030a0103")
    assert shown(version, pki.server.cert, pki.server.key, refusal) == refusal


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest_twisted.ensureDeferred
async def test_a_client_ends_the_handshake_at_bytes_that_are_no_response(
    pki: Pki, version: str
) -> None:
    """Node is the server that sends them."""
    options = {"key": pki.server.key, "cert": pki.server.cert, "maxVersion": version}
    async with NodePeer("server", options, ocsp=b"whatever".hex()) as node:
        port = await node.event("listening")

        def ask() -> list[tuple[str, str, str]]:
            context = SSL.Context(SSL.TLS_CLIENT_METHOD)
            context.set_ocsp_client_callback(lambda _connection, _data, _more: True)
            with socket.create_connection(("127.0.0.1", port), 20) as carrier:
                carrier.setblocking(True)
                client = SSL.Connection(context, carrier)
                client.request_ocsp()
                client.set_connect_state()
                with pytest.raises(SSL.Error) as raised:
                    client.do_handshake()
                return raised.value.args[0]

        reasons = await deferToThread(ask)
        assert reasons[-1][2] == "tlsv1 bad certificate status response"
