"""
What a staple has to be before it is shown to a client.

A staple is the certificate authority's signed word, good for some days, that a
certificate is not revoked; the server shows it with the certificate.  Whoever
shows a wrong one does harm: a client that looks takes an outdated, a foreign
or a badly signed staple for an attack, where it takes none for nothing.  So a
staple is looked at before it is sent, and one that would not do is not sent.

What is looked at (L{checkStaple}):

- that it is an answer, and about this certificate of this issuer;
- that it is signed by the issuer, or by one whom the issuer has named for this
  (the extended key usage C{OCSPSigning}), whose certificate comes with it;
- that it is of now: not from the future, and not lapsed;
- that it answers this very question, where a nonce was asked for and came back;
- that the certificate is good; that it is revoked is for the client to find
  out from others, and for the operator to read in the log.

Sources: RFC 6960, RFC 6961, RFC 5019, RFC 8954.
"""

from __future__ import annotations

import datetime
from typing import Final

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

__all__ = [
    "MAX_SIZE",
    "ForeignStaple",
    "RevokedCertificate",
    "Staple",
    "UnusableStaple",
    "checkStaple",
]

# What a response may weigh; those of public authorities have some 500 bytes to 2 KiB.
MAX_SIZE: Final = 65536
# How far clocks may be apart.
SKEW: Final = datetime.timedelta(minutes=5)

_HASHES: Final[tuple[type[hashes.HashAlgorithm], ...]] = (
    hashes.SHA1,
    hashes.SHA224,
    hashes.SHA256,
    hashes.SHA384,
    hashes.SHA512,
)


class UnusableStaple(Exception):
    """A response that is not to be sent; the text says why."""


class ForeignStaple(UnusableStaple):
    """A response about another certificate."""


class RevokedCertificate(UnusableStaple):
    """The authority's word that the certificate is revoked."""


@attrs.frozen
class Staple:
    """
    A response that was checked.

    @ivar der: the response.
    @ivar thisUpdate: since when it is true, in seconds since 1970.
    @ivar nextUpdate: when it lapses, or None if it does not say.
    """

    der: bytes
    thisUpdate: float
    nextUpdate: float | None

    def checkTime(self, now: float) -> None:
        """
        Is it of now?

        @raise UnusableStaple: it is not.
        """
        if self.thisUpdate > now + SKEW.total_seconds():
            raise UnusableStaple("it is from the future")
        if self.nextUpdate is not None and self.nextUpdate <= now:
            raise UnusableStaple("it has lapsed")


def checkStaple(
    data: bytes, certificate: bytes, issuer: bytes | None, now: float, nonce: bytes | None = None
) -> Staple:
    """
    Look at a response.

    @param data: DER of the response.
    @param certificate: DER of the certificate that it is to be about.
    @param issuer: DER of the certificate's issuer.  Where that is not known, neither is whether
        the signature is good.
    @param now: seconds since 1970.
    @param nonce: what was asked with.  A responder may pass over it, as those do that sign their
        responses beforehand, but it must not answer to another.
    @raise UnusableStaple: it is not to be sent.
    """
    try:
        return _check(data, certificate, issuer, now, nonce)
    except UnsupportedAlgorithm as error:
        raise UnusableStaple(f"it uses an algorithm that is not known here: {error}") from error
    except (ValueError, x509.DuplicateExtension) as error:
        raise UnusableStaple(f"it cannot be read: {error}") from error


def _check(
    data: bytes, certificate: bytes, issuer: bytes | None, now: float, nonce: bytes | None
) -> Staple:
    response = ocsp.load_der_ocsp_response(data)
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise UnusableStaple(f"the responder gave no answer: {response.response_status.name}")
    subject = x509.load_der_x509_certificate(certificate)
    authority = None if issuer is None else x509.load_der_x509_certificate(issuer)
    single = _about(response, subject, authority)
    if authority is not None:
        _checkSignature(response, authority, now)
    if nonce is not None:
        _checkNonce(response, nonce)
    until = single.next_update_utc
    staple = Staple(
        data, single.this_update_utc.timestamp(), None if until is None else until.timestamp()
    )
    staple.checkTime(now)
    status = single.certificate_status
    if status is ocsp.OCSPCertStatus.REVOKED:
        raise RevokedCertificate("the certificate is revoked")
    if status is not ocsp.OCSPCertStatus.GOOD:
        raise UnusableStaple(f"the certificate is {status.name.lower()}")
    return staple


def _checkNonce(response: ocsp.OCSPResponse, nonce: bytes) -> None:
    try:
        answered = response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    except x509.ExtensionNotFound:
        return
    if answered != nonce:
        raise UnusableStaple("it is the answer to another question")


def _about(
    response: ocsp.OCSPResponse, subject: x509.Certificate, authority: x509.Certificate | None
) -> ocsp.OCSPSingleResponse:
    """What the response says of this certificate."""
    for single in response.responses:
        if single.serial_number != subject.serial_number:
            continue
        if authority is None or _isOf(single, subject, authority):
            return single
    raise ForeignStaple("it is about another certificate")


def _isOf(
    single: ocsp.OCSPSingleResponse, subject: x509.Certificate, authority: x509.Certificate
) -> bool:
    algorithm = single.hash_algorithm
    if not isinstance(algorithm, _HASHES):
        return False
    builder = ocsp.OCSPRequestBuilder().add_certificate(subject, authority, algorithm)
    wanted = builder.build()
    return (
        single.issuer_name_hash == wanted.issuer_name_hash
        and single.issuer_key_hash == wanted.issuer_key_hash
    )


def _checkSignature(response: ocsp.OCSPResponse, authority: x509.Certificate, now: float) -> None:
    """
    Is the response signed by the issuer, or by one whom the issuer has named?

    @raise UnusableStaple: it is not.
    """
    signers = [authority]
    signers += [c for c in response.certificates if _mayAnswerFor(c, authority, now)]
    for signer in signers:
        try:
            _verify(response, signer)
        except InvalidSignature:
            continue
        return
    raise UnusableStaple("it is not signed by the certificate's issuer, nor on its behalf")


def _mayAnswerFor(candidate: x509.Certificate, authority: x509.Certificate, now: float) -> bool:
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    if not candidate.not_valid_before_utc - SKEW <= moment <= candidate.not_valid_after_utc:
        return False
    try:
        usages = candidate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        candidate.verify_directly_issued_by(authority)
    except (x509.ExtensionNotFound, InvalidSignature, ValueError, TypeError):
        return False
    return ExtendedKeyUsageOID.OCSP_SIGNING in usages


def _verify(response: ocsp.OCSPResponse, signer: x509.Certificate) -> None:
    """
    @raise InvalidSignature: the signature is not this key's.
    """
    key = signer.public_key()
    signature, signed = response.signature, response.tbs_response_bytes
    if isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
        key.verify(signature, signed)
        return
    algorithm = response.signature_hash_algorithm
    if algorithm is None:
        raise InvalidSignature("a key of another kind")
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, signed, padding.PKCS1v15(), algorithm)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, signed, ec.ECDSA(algorithm))
    else:
        raise InvalidSignature("a key of another kind")
