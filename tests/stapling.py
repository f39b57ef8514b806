"""OCSP responses of every kind, for tests."""

from __future__ import annotations

import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from tests.support import Pki

__all__ = ["NOW", "Authority", "derOf"]

NOW = 1_750_000_000.0
"""The time of these tests, in seconds since 1970."""


def derOf(pem: bytes) -> bytes:
    """DER of the first certificate in a PEM text."""
    return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)


def moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


class Authority:
    """An authority that answers for its certificates."""

    def __init__(self, pki: Pki) -> None:
        self.certificate = x509.load_pem_x509_certificate(pki.ca)
        self.der = derOf(pki.ca)
        self.key: Any = serialization.load_pem_private_key(
            pki.authority.private_key_pem.bytes(), None
        )

    def issue(self, *responders: str) -> tuple[bytes, bytes]:
        """A certificate for localhost that names these responders, and its key; both PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        named = [
            x509.AccessDescription(
                AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(url)
            )
            for url in responders
        ]
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stapled")]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(moment(NOW - 100 * 86400))
            .not_valid_after(moment(NOW + 3650 * 86400))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False
            )
        )
        if named:
            builder = builder.add_extension(x509.AuthorityInformationAccess(named), False)
        certificate = builder.sign(self.key, hashes.SHA256())
        return (
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )

    def response(
        self,
        certificate: bytes,
        *,
        now: float = NOW,
        since: float = -3600,
        until: float | None = 86400,
        status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
        signer: tuple[x509.Certificate, Any] | None = None,
        attach: bool = True,
        algorithm: hashes.HashAlgorithm | None = None,
        issuer: x509.Certificate | None = None,
        nonce: bytes | None = None,
    ) -> bytes:
        """
        A response, DER.

        certificate: DER of whom it is about.
        since, until: when it is true, in seconds from now.
        signer: certificate and key; the authority's own if not given.
        attach: whether the signer's certificate comes with it.
        nonce: what it answers to.
        """
        revoked = status is ocsp.OCSPCertStatus.REVOKED
        responder, key = signer or (self.certificate, self.key)
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=x509.load_der_x509_certificate(certificate),
            issuer=issuer or self.certificate,
            algorithm=algorithm or hashes.SHA1(),
            cert_status=status,
            this_update=moment(now + since),
            next_update=None if until is None else moment(now + until),
            revocation_time=moment(now - 7200) if revoked else None,
            revocation_reason=None,
        )
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, responder)
        if signer is not None and attach:
            builder = builder.certificates([responder])
        if nonce is not None:
            builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def delegate(
        self,
        *,
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.OCSP_SIGNING,
        now: float = NOW,
        days: int = 30,
    ) -> tuple[x509.Certificate, Any]:
        """A certificate for a responder of its own, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "responder")]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(moment(now - 100 * 86400))
            .not_valid_after(moment(now + days * 86400))
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return certificate, key
