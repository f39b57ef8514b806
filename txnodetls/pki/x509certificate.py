"""
Node's C{X509Certificate}.

A certificate as an object: its fields, what it may be used for, and the
checks of OpenSSL against a host, an address, an issuer, a key.  None of them
says that the certificate is trusted: that takes a chain, a store and a clock,
and is the handshake's matter.

The certificate is accepted by OpenSSL (through pyOpenSSL) and read by
L{Fields}; a key becomes one of cryptography's.

Source: https://nodejs.org/api/crypto.html#class-x509certificate
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import sha1, sha256, sha512
from typing import Any, get_args

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from OpenSSL import crypto

from txnodetls.errors import (
    NodeError,
    OpenSSLError,
    invalidArgType,
    invalidArgValue,
)
from txnodetls.openssl import contexts
from txnodetls.pki.certificates import fieldsToObject, fingerprint
from txnodetls.pki.credentials import firstCertificate
from txnodetls.pki.fields import Fields
from txnodetls.pki.issuance import isIssuedBy
from txnodetls.pki.matching import Match, matchEmail, matchHost, matchIP
from txnodetls.pki.names import lines
from txnodetls.pki.objects import SIGNATURES
from txnodetls.pki.publickeys import algorithmParts, loadKey
from txnodetls.pki.signatures import verifySignature
from txnodetls.pki.x509text import accessText, altNamesText, hexadecimal, moment, timeText

__all__ = ["X509Certificate"]

#: The classes of keys that this version of cryptography has.
_PRIVATE_KEYS = get_args(PrivateKeyTypes)
_PUBLIC_KEYS = get_args(PublicKeyTypes)


class X509Certificate:
    """
    A certificate.

    @param buffer: it in DER, or a text in PEM of which it is the first.

    @raise NodeTypeError: C{buffer} is neither str nor bytes-like: C{ERR_INVALID_ARG_TYPE}.
    @raise NodeError: it is no certificate; the code is OpenSSL's,
        C{ERR_OSSL_PEM_NO_START_LINE} or another C{ERR_OSSL_...}.
    """

    def __init__(self, buffer: bytes | bytearray | memoryview | str) -> None:
        if isinstance(buffer, str):
            buffer = buffer.encode(errors="surrogatepass")
        if not isinstance(buffer, (bytes, bytearray, memoryview)):
            raise invalidArgType(
                "buffer",
                "of type string or an instance of Buffer, TypedArray, or DataView",
                buffer,
            )
        self._fields = Fields(_load(bytes(buffer)))
        self._issuer: X509Certificate | None = None

    @classmethod
    def fromChain(cls, encoded: Sequence[bytes]) -> X509Certificate:
        """
        The first of several certificates in DER, each with the next as its C{issuerCertificate}.

        This is how a peer presents itself.  Whether the next one really is the issuer is not
        looked at, as in Node; C{checkIssued} tells.

        @raise NodeError: one of them is no certificate.
        """
        above: X509Certificate | None = None
        for each in reversed(encoded):
            certificate = cls(each)
            certificate._issuer = above
            above = certificate
        if above is None:
            raise invalidArgValue("encoded", encoded)
        return above

    @cached_property
    def subject(self) -> str | None:
        """Who it is for: a line for each part, C{CN=example.com}; None if it names nobody."""
        return lines(self._fields.subject) or None

    @cached_property
    def issuer(self) -> str | None:
        """Who issued it, as C{subject}."""
        return lines(self._fields.issuer) or None

    @cached_property
    def subjectAltName(self) -> str | None:
        """The names it is also good for: C{DNS:example.com, IP Address:127.0.0.1}, or None."""
        try:
            names = self._fields.altNames
            return None if names is None else altNamesText(names)
        except NodeError:
            return None

    @cached_property
    def infoAccess(self) -> str | None:
        """Where to learn more of it: C{OCSP - URI:http://...}, a line for each, or None."""
        value = self._fields.access
        try:
            return None if value is None else accessText(value)
        except NodeError:
            return None

    @property
    def issuerCertificate(self) -> X509Certificate | None:
        """The certificate that the peer presented next, or None."""
        return self._issuer

    @property
    def validFrom(self) -> str:
        """C{Jan  1 00:00:00 2020 GMT}."""
        return timeText(self._fields.notBefore)

    @property
    def validTo(self) -> str:
        """As C{validFrom}."""
        return timeText(self._fields.notAfter)

    @property
    def validFromDate(self) -> datetime.datetime | None:
        """From when on it is good, in UTC; None where the certificate has no proper time."""
        return moment(self._fields.notBefore)

    @property
    def validToDate(self) -> datetime.datetime | None:
        """Until when it is good, in UTC; None where the certificate has no proper time."""
        return moment(self._fields.notAfter)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-1 of it.  Not to be used for security; C{fingerprint256} is."""
        return fingerprint(sha1(self.raw, usedforsecurity=False).digest())

    @cached_property
    def fingerprint256(self) -> str:
        """SHA-256 of it: C{AB:CD:...}."""
        return fingerprint(sha256(self.raw).digest())

    @cached_property
    def fingerprint512(self) -> str:
        """SHA-512 of it."""
        return fingerprint(sha512(self.raw).digest())

    @cached_property
    def keyUsage(self) -> list[str] | None:
        """The purposes of "extended key usage", in dotted numbers, or None."""
        try:
            return self._fields.extendedUsages
        except NodeError:
            return None

    @property
    def serialNumber(self) -> str:
        """The serial number in hexadecimal digits, capitals."""
        return hexadecimal(self._fields.serial)

    @cached_property
    def signatureAlgorithm(self) -> str | None:
        """OpenSSL's name of how it was signed, or None where that is not known."""
        found = SIGNATURES.get(self.signatureAlgorithmOid)
        return None if found is None else found.name

    @cached_property
    def signatureAlgorithmOid(self) -> str:
        """How it was signed, in dotted numbers."""
        return algorithmParts(self._fields.algorithm)[0]

    @property
    def ca(self) -> bool:
        """Whether it is an authority's."""
        return self._fields.isCA

    @property
    def raw(self) -> bytes:
        """It in DER."""
        return self._fields.raw

    @cached_property
    def publicKey(self) -> PublicKeyTypes:
        """
        Its key, as one of cryptography's.

        @raise NodeError: the key is of a kind that cannot be used, or broken.
        """
        try:
            return loadKey(self._fields.key)
        except (NodeError, ValueError, UnsupportedAlgorithm) as error:
            raise OpenSSLError(
                "error:03000072:digital envelope routines::decode error",
                "ERR_OSSL_EVP_DECODE_ERROR",
                library="digital envelope routines",
                reason="decode error",
            ) from error

    def checkHost(
        self, name: str, options: Mapping[str, Any] | None = None, **more: Any
    ) -> str | None:
        """
        The name in the certificate that fits a host, or None.

        @param options: C{subject} (C{'default'}: the subject's common name counts if there are
            no DNS names; C{'always'}, C{'never'}), C{wildcards}, C{partialWildcards} (both
            True), C{multiLabelWildcards}, C{singleLabelSubdomains} (both False).

        @raise NodeTypeError: a value of the wrong type, or a NUL in the name.
        @raise NodeError: the subject counts, and what it has is no string:
            C{ERR_CRYPTO_OPERATION_FAILED}.
        """
        _needString("name", name)
        found = matchHost(self._fields, name, _flags(options, more))
        return None if found is None else found.decode("latin-1")

    def checkEmail(
        self, email: str, options: Mapping[str, Any] | None = None, **more: Any
    ) -> str | None:
        """
        The address if the certificate is good for it, else None.

        @param options: C{subject}, as for C{checkHost}.

        @raise NodeTypeError: a value of the wrong type, or a NUL in the address.
        @raise NodeError: as for C{checkHost}.
        """
        _needString("email", email)
        return email if matchEmail(self._fields, email, _flags(options, more)) else None

    def checkIP(self, ip: str, options: Mapping[str, Any] | None = None, **more: Any) -> str | None:
        """
        The IP address if the certificate is good for it, else None.

        @raise NodeTypeError: not a string, or no address: C{ERR_INVALID_ARG_VALUE}.
        """
        _needString("ip", ip)
        _flags(options, more)
        return ip if matchIP(self._fields, ip) else None

    def checkIssued(self, otherCert: X509Certificate) -> bool:
        """
        Whether this one says it was issued by that one.  No signature is looked at.

        @raise NodeTypeError: not a certificate.
        """
        if not isinstance(otherCert, X509Certificate):
            raise invalidArgType("otherCert", "an instance of X509Certificate", otherCert)
        return isIssuedBy(self._fields, otherCert._fields)

    def checkPrivateKey(self, pkey: PrivateKeyTypes | crypto.PKey) -> bool:
        """
        Whether a private key belongs to this certificate.

        @param pkey: one of cryptography's private keys, or pyOpenSSL's.

        @raise NodeTypeError: not a key, or not a private one.
        """
        key = _key(pkey)
        if not isinstance(key, _PRIVATE_KEYS):
            raise invalidArgValue("pkey", pkey)
        try:
            return _encoded(key.public_key()) == _encoded(self.publicKey)
        except NodeError:
            return False

    def verify(self, pkey: PublicKeyTypes | crypto.PKey) -> bool:
        """
        Whether this certificate was signed with a key.  Nothing else is looked at.

        @param pkey: one of cryptography's public keys, or pyOpenSSL's.

        @raise NodeTypeError: not a key, or not a public one.
        """
        key = _key(pkey)
        if not isinstance(key, _PUBLIC_KEYS):
            raise invalidArgValue("pkey", pkey)
        try:
            verifySignature(self._fields, key)
        except (NodeError, InvalidSignature):
            return False
        return True

    def toString(self) -> str:
        """It in PEM."""
        text = base64.b64encode(self.raw).decode("ascii")
        rows = (text[at : at + 64] for at in range(0, len(text), 64))
        return "\n".join(("-----BEGIN CERTIFICATE-----", *rows, "-----END CERTIFICATE-----", ""))

    def toJSON(self) -> str:
        """It in PEM."""
        return self.toString()

    def toLegacyObject(self) -> dict[str, Any]:
        """It as the certificate object of C{getPeerCertificate()}."""
        return fieldsToObject(self._fields)

    def __str__(self) -> str:
        return self.toString()

    def __repr__(self) -> str:
        return f"<X509Certificate {self.subject!r} {self.fingerprint256}>"


def _load(buffer: bytes) -> bytes:
    """The certificate in DER, once OpenSSL has accepted it; PEM is tried first, as in Node."""
    try:
        return _normalized(firstCertificate(buffer))
    except NodeError as error:
        pem = error
    try:
        return _normalized(buffer)
    except NodeError as error:
        # Where OpenSSL does not say what is wrong with the PEM, this is the first that it says.
        unexplained = pem.code == "ERR_CRYPTO_OPERATION_FAILED"
        raise (error if unexplained else pem) from None


def _normalized(encoded: bytes) -> bytes:
    contexts.requireCertificate(encoded)
    certificate = crypto.load_certificate(crypto.FILETYPE_ASN1, encoded)
    return crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)


def _needString(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise invalidArgType(name, "of type string", value)


_BOOLEANS = {
    "wildcards": (True, Match.NO_WILDCARDS),
    "partialWildcards": (True, Match.NO_PARTIAL_WILDCARDS),
    "multiLabelWildcards": (False, Match.MULTI_LABEL_WILDCARDS),
    "singleLabelSubdomains": (False, Match.SINGLE_LABEL_SUBDOMAINS),
}
_SUBJECTS = {
    "default": Match.NORMAL,
    "always": Match.ALWAYS_SUBJECT,
    "never": Match.NEVER_SUBJECT,
}


def _flags(options: Mapping[str, Any] | None, more: Mapping[str, Any]) -> Match:
    if options is not None and not isinstance(options, Mapping):
        raise invalidArgType("options", "of type object", options)
    given = {**(options or {}), **more}
    subject = given.pop("subject", "default")
    _needString("options.subject", subject)
    values = {name: given.pop(name, usual) for name, (usual, _) in _BOOLEANS.items()}
    for name, value in values.items():
        if not isinstance(value, bool):
            raise invalidArgType(f"options.{name}", "of type boolean", value)
    if subject not in _SUBJECTS:
        raise invalidArgValue("options.subject", subject)
    if given:
        raise invalidArgValue(f"options.{next(iter(given))}", given, "is unknown")
    flags = _SUBJECTS[subject]
    for name, (usual, flag) in _BOOLEANS.items():
        if values[name] is not usual:
            flags |= flag
    return flags


def _key(pkey: object) -> object:
    if isinstance(pkey, crypto.PKey):
        return pkey.to_cryptography_key()
    if not isinstance(pkey, _PRIVATE_KEYS + _PUBLIC_KEYS):
        raise invalidArgType("pkey", "an instance of KeyObject", pkey)
    return pkey


def _encoded(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
