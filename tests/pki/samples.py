"""A revocation list, a PFX, DH parameters and a staple, all of them good; DER."""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID

from tests.pki.building import sequence
from txnodetls.pki import der
from txnodetls.pki.dhgroups import prime

__all__ = ["bundle", "parameters", "revocations", "staple"]

_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority")])
_BEGUN = datetime.datetime(2020, 1, 1)
_ENDED = datetime.datetime(2049, 1, 1)
_KEY = ec.derive_private_key(2**200 + 1, ec.SECP256R1())


def _certificate() -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(_NAME)
        .issuer_name(_NAME)
        .public_key(_KEY.public_key())
        .serial_number(5)
        .not_valid_before(_BEGUN)
        .not_valid_after(_ENDED)
        .sign(_KEY, hashes.SHA256())
    )


def revocations() -> bytes:
    """A list of one revoked certificate."""
    revoked = (
        x509.RevokedCertificateBuilder()
        .serial_number(5)
        .revocation_date(_BEGUN)
        .add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), critical=False)
        .build()
    )
    return (
        x509.CertificateRevocationListBuilder()
        .issuer_name(_NAME)
        .last_update(_BEGUN)
        .next_update(_ENDED)
        .add_revoked_certificate(revoked)
        .add_extension(x509.CRLNumber(7), critical=False)
        .sign(_KEY, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )


def bundle() -> bytes:
    """A PFX without a passphrase."""
    certificate = _certificate()
    return pkcs12.serialize_key_and_certificates(
        b"name", _KEY, certificate, [certificate], serialization.NoEncryption()
    )


def parameters() -> bytes:
    """DH parameters of 2048 bits."""
    number = prime(2048)
    octets = number.to_bytes(number.bit_length() // 8 + 1, "big")
    return sequence(der.encode(der.INTEGER, octets), der.encode(der.INTEGER, b"\x02"))


def staple() -> bytes:
    """An OCSP response."""
    certificate = _certificate()
    return (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=certificate,
            issuer=certificate,
            algorithm=hashes.SHA1(),
            cert_status=ocsp.OCSPCertStatus.GOOD,
            this_update=_BEGUN,
            next_update=_ENDED,
            revocation_time=None,
            revocation_reason=None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, certificate)
        .sign(_KEY, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )
