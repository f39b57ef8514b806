"""
Certificates to throw away: for tests, and for a first try of the daemon.

They are made in memory, with P-256 keys, and are good for a few days.  Nobody but who holds
the authority's certificate trusts them; that is their purpose.

Source: RFC 5280.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["ThrowawayCA", "throwawayCertificate"]

_LIFETIME = datetime.timedelta(days=30)
_BACKDATING = datetime.timedelta(hours=1)  # for peers whose clock is a little slow
_COMMON_NAME_MAX = 64  # RFC 5280, upper bound of a common name


class ThrowawayCA:
    """
    An authority that issues certificates at once.

    @param name: its common name.

    @ivar certPEM: its certificate: the C{ca} of whoever shall trust what it issues.
    """

    def __init__(self, name: str = "txnodetls throwaway authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self._certificate = (
            _builder(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signing=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        self.certPEM = _pem(self._certificate)

    def issue(self, hosts: Iterable[str], *, client: bool = False) -> tuple[bytes, bytes]:
        """
        A certificate of this authority.

        @param hosts: the names and addresses it is for; a C{*.} in front is a wildcard.  The
            first is its common name too.
        @param client: for a client's side instead of a server's.

        @return: certificate and key, both PEM.

        @raise ValueError: no hosts, or one that cannot stand in a certificate.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _leaf(list(hosts), self._name, key, client)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return _pem(certificate), _keyPem(key)


def throwawayCertificate(hosts: Iterable[str]) -> tuple[bytes, bytes]:
    """
    A self-signed certificate of a server, and its key, both PEM.

    Whoever shall trust it takes it as C{ca}.

    @param hosts: the names and addresses it is for; the first is its common name too.

    @raise ValueError: no hosts, or one that cannot stand in a certificate.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _leaf(list(hosts), None, key, False).sign(key, hashes.SHA256())
    return _pem(certificate), _keyPem(key)


def _leaf(
    hosts: list[str],
    issuer: x509.Name | None,
    key: ec.EllipticCurvePrivateKey,
    client: bool,
) -> x509.CertificateBuilder:
    if not hosts:
        raise ValueError("a certificate needs at least one host")
    subject = _name(hosts[0])
    purpose = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
    return (
        _builder(subject, issuer or subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signing=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([_alternative(host) for host in hosts]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATING)
        .not_valid_after(now + _LIFETIME)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:_COMMON_NAME_MAX])])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, signing: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signing,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signing,
        crl_sign=signing,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _keyPem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
