"""Throwaway certificates: what another TLS implementation makes of them."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from txnodetls.pki.throwaway import ThrowawayCA, throwawayCertificate


def handshake(trusted: bytes, cert: bytes, key: bytes, name: str, directory: Path) -> None:
    """A handshake in memory between the two sides of the standard library's ssl."""
    chain = directory / "server.pem"
    chain.write_bytes(cert + key)
    serverContext = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serverContext.load_cert_chain(chain)
    clientContext = ssl.create_default_context(cadata=trusted.decode())
    # As strict as OpenSSL can be: RFC 5280 to the letter.
    clientContext.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    toServer, toClient = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = serverContext.wrap_bio(toServer, toClient, server_side=True)
    client = clientContext.wrap_bio(toClient, toServer, server_hostname=name)
    waiting = [client, server]
    for _ in range(10):
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass
    assert waiting == []


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "a.b.test"])
def test_what_the_authority_issues_is_good_for_each_of_its_hosts(name: str, tmp_path: Path) -> None:
    authority = ThrowawayCA()
    cert, key = authority.issue(["localhost", "127.0.0.1", "::1", "*.b.test"])
    handshake(authority.certPEM, cert, key, name, tmp_path)


def test_another_name_is_refused(tmp_path: Path) -> None:
    authority = ThrowawayCA()
    cert, key = authority.issue(["localhost"])
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(authority.certPEM, cert, key, "example.test", tmp_path)


def test_another_authority_is_refused(tmp_path: Path) -> None:
    cert, key = ThrowawayCA().issue(["localhost"])
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        handshake(ThrowawayCA("other").certPEM, cert, key, "localhost", tmp_path)


def test_a_self_signed_one_is_trusted_by_itself(tmp_path: Path) -> None:
    cert, key = throwawayCertificate(["localhost"])
    context = ssl.create_default_context(cadata=cert.decode())
    assert context.cert_store_stats()["x509"] == 1
    leaf = x509.load_pem_x509_certificate(cert)
    assert leaf.issuer == leaf.subject
    leaf.verify_directly_issued_by(leaf)
    assert key.startswith(b"-----BEGIN PRIVATE KEY-----")


def test_each_certificate_is_for_one_side_only() -> None:
    authority = ThrowawayCA()

    def purposes(client: bool) -> list[x509.ObjectIdentifier]:
        cert, _ = authority.issue(["someone"], client=client)
        leaf = x509.load_pem_x509_certificate(cert)
        return list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)

    assert purposes(client=False) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert purposes(client=True) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_a_long_name_is_cut_in_the_common_name_only() -> None:
    host = "a" * 60 + ".example.test"
    leaf = x509.load_pem_x509_certificate(ThrowawayCA().issue([host])[0])
    alternatives = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert alternatives.get_values_for_type(x509.DNSName) == [host]


def test_no_host_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one host"):
        throwawayCertificate([])
