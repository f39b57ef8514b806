"""
A certificate taken apart.

What is read at once is only the frame: where the serial number, the names,
the times, the key and the extensions lie.  Each of them is read when it is
asked for, so that one broken extension costs that extension and no more;
OpenSSL, too, accepts a certificate without having looked into its extensions.

Source: RFC 5280, 4.1 and 4.2; OpenSSL, C{crypto/x509/v3_purp.c}.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

from txnodetls.errors import NodeError
from txnodetls.pki import der
from txnodetls.pki.names import Name, canonicalName, readName
from txnodetls.pki.objects import dotted
from txnodetls.pki.soundness import SHAPES
from txnodetls.pki.x509text import GeneralName, readGeneralNames, usageList

__all__ = ["Extension", "Fields", "KEY_CERT_SIGN", "DIGITAL_SIGNATURE"]

_VERSION = 0xA0
_EXTENSIONS = 0xA3
_TIMES = (der.UTC_TIME, der.GENERALIZED_TIME, der.UTC_TIME | 0x20, der.GENERALIZED_TIME | 0x20)

_SUBJECT_KEY_ID = "2.5.29.14"
_KEY_USAGE = "2.5.29.15"
_ALT_NAME = "2.5.29.17"
_BASIC_CONSTRAINTS = "2.5.29.19"
_AUTHORITY_KEY_ID = "2.5.29.35"
_EXTENDED_KEY_USAGE = "2.5.29.37"
_ACCESS = "1.3.6.1.5.5.7.1.1"
_PROXY = "1.3.6.1.5.5.7.1.14"
_NOT_IN_PROXIES = (_ALT_NAME, "2.5.29.18")

KEY_CERT_SIGN = 0x04
DIGITAL_SIGNATURE = 0x80


class Extension(NamedTuple):
    """
    An extension.

    @ivar critical: whether it must be understood.
    @ivar value: its encoded value.
    @ivar repeated: whether the certificate has more than one of the kind; this is the first.
    """

    critical: bool
    value: bytes
    repeated: bool


class AuthorityKey(NamedTuple):
    """Which key signed: its identifier, or its certificate's issuer and serial number."""

    identifier: bytes | None
    issuer: Name | None
    serial: int | None


class Fields:
    """
    The fields of one certificate.

    @param encoded: the certificate in DER.

    @raise NodeError: its frame is broken.
    """

    def __init__(self, encoded: bytes) -> None:
        whole = der.only(encoded, der.SEQUENCE)
        body, algorithm, signature, *_ = (*der.children(whole), None, None, None)
        self.raw = encoded
        self.signed = der.expect(body, der.SEQUENCE).encoding
        self.algorithm = der.expect(algorithm, der.SEQUENCE)
        self._signature = der.expect(signature, der.BIT_STRING)
        parts = list(der.children(der.expect(body, der.SEQUENCE)))
        self.version = 1
        if parts and parts[0].tag == _VERSION:
            self.version = 1 + der.number(der.only(parts.pop(0).value, der.INTEGER))
        if len(parts) < 6:
            raise der.malformed("field missing")
        self._serial = der.expect(parts[0], der.INTEGER)
        self.innerAlgorithm = der.expect(parts[1], der.SEQUENCE)
        self._issuer = der.expect(parts[2], *der.SEQUENCE_OF)
        self._subject = der.expect(parts[4], *der.SEQUENCE_OF)
        self.key = der.expect(parts[5], der.SEQUENCE)
        times = [*der.children(der.expect(parts[3], der.SEQUENCE)), None, None]
        self.notBefore = der.expect(times[0], *_TIMES)
        self.notAfter = der.expect(times[1], *_TIMES)
        self.extensions = _readExtensions([each for each in parts[6:] if each.tag == _EXTENSIONS])

    @cached_property
    def serial(self) -> int:
        """The serial number, which may be negative and may be huge."""
        return der.number(self._serial)

    @cached_property
    def subject(self) -> Name:
        """Who it is for."""
        return readName(self._subject)

    @cached_property
    def issuer(self) -> Name:
        """Who issued it."""
        return readName(self._issuer)

    @cached_property
    def canonicalSubject(self) -> object:
        """The subject, as names are compared."""
        return canonicalName(self.subject)

    @cached_property
    def canonicalIssuer(self) -> object:
        """The issuer, as names are compared."""
        return canonicalName(self.issuer)

    @property
    def signature(self) -> bytes:
        """The octets of the signature."""
        return self._signature.value[1:]

    @property
    def access(self) -> bytes | None:
        """The value of "authority information access", or None."""
        found = self.extensions.get(_ACCESS)
        return None if found is None else found.value

    @cached_property
    def altNames(self) -> list[GeneralName] | None:
        """
        The alternative names; None without the extension.

        @raise NodeError: the extension is broken.
        """
        found = self.extensions.get(_ALT_NAME)
        return None if found is None else readGeneralNames(found.value)

    @property
    def soleAltNames(self) -> list[GeneralName] | None:
        """
        The same, where only one extension says so: with two, neither counts for OpenSSL.

        @raise NodeError: the extension is broken, or there are two.
        """
        return None if self._sole(_ALT_NAME) is None else self.altNames

    @cached_property
    def extendedUsages(self) -> list[str] | None:
        """
        The purposes it is good for, in dotted numbers; None without the extension.

        @raise NodeError: the extension is broken, or there are two.
        """
        found = self._sole(_EXTENDED_KEY_USAGE)
        return None if found is None else usageList(found)

    @cached_property
    def usage(self) -> int | None:
        """
        The bits of "key usage", the first octet of them; None without the extension.

        @raise NodeError: the extension is broken, empty, or there are two.
        """
        found = self._sole(_KEY_USAGE)
        if found is None:
            return None
        bits = der.bits(der.only(found, der.BIT_STRING, der.BIT_STRING | 0x20))
        if not any(bits[:2]):
            raise der.malformed("no key usage")
        return bits[0]

    @cached_property
    def isCA(self) -> bool:
        """Whether "basic constraints" says so, "key usage" allows it, and all else is sound."""
        if not self.isSound or self._constraints is not True:
            return False
        return self.usage is None or bool(self.usage & KEY_CERT_SIGN)

    @cached_property
    def isProxy(self) -> bool:
        """Whether it is a proxy certificate (RFC 3820)."""
        return _PROXY in self.extensions

    @cached_property
    def isSound(self) -> bool:
        """Whether the extensions that OpenSSL judges a certificate by can be read."""
        try:
            _ = self.usage, self.extendedUsages, self._constraints, self.authorityKey
            _ = self.subjectKey
            for each, check in SHAPES.items():
                value = self._sole(each)
                if value is not None:
                    check(value)
        except NodeError:
            return False
        if not self.isProxy:
            return True
        return not self._constraints and self.extensions.keys().isdisjoint(_NOT_IN_PROXIES)

    @cached_property
    def subjectKey(self) -> bytes | None:
        """The identifier of its key, or None."""
        found = self._sole(_SUBJECT_KEY_ID)
        return None if found is None else der.content(_string(found))

    @cached_property
    def authorityKey(self) -> AuthorityKey:
        """Which key signed it, as far as it says so."""
        found = self._sole(_AUTHORITY_KEY_ID)
        identifier = issuer = serial = None
        if found is not None:
            for part in der.children(der.only(found, der.SEQUENCE)):
                if part.tag & ~0x20 == 0x80:
                    identifier = der.content(part)
                elif part.tag in (0xA1, 0x81):
                    wrapped = der.encode(der.SEQUENCE, part.value)
                    names = [n.directory for n in readGeneralNames(wrapped) if n.kind == 0xA4]
                    issuer = names[0] if names else None
                elif part.tag == 0x82:
                    serial = der.number(part)
                else:
                    raise der.malformed("wrong tag")
        return AuthorityKey(identifier, issuer, serial)

    @cached_property
    def _constraints(self) -> bool | None:
        """Whether "basic constraints" says that it is an authority; None if it says nothing."""
        found = self._sole(_BASIC_CONSTRAINTS)
        if found is None:
            return None
        parts = list(der.children(der.only(found, der.SEQUENCE)))
        authority = False
        if parts and parts[0].tag == der.BOOLEAN:
            authority = der.boolean(parts.pop(0))
        if parts and der.number(der.expect(parts.pop(0), der.INTEGER)) < 0:
            raise der.malformed("illegal negative value")
        if parts:
            raise der.malformed("sequence length mismatch")
        return authority

    def _sole(self, identifier: str) -> bytes | None:
        found = self.extensions.get(identifier)
        if found is None:
            return None
        if found.repeated:
            raise der.malformed("duplicate extension")
        return found.value


def _string(value: bytes) -> der.Element:
    return der.only(value, der.OCTET_STRING, der.OCTET_STRING | 0x20)


def _readExtensions(wrapped: list[der.Element]) -> dict[str, Extension]:
    found: dict[str, Extension] = {}
    for wrapper in wrapped:
        for each in der.children(der.only(wrapper.value, *der.SEQUENCE_OF)):
            parts = list(der.children(der.expect(each, der.SEQUENCE)))
            critical = len(parts) == 3 and der.boolean(der.expect(parts.pop(1), der.BOOLEAN))
            if len(parts) != 2:
                raise der.malformed("sequence length mismatch")
            identifier = dotted(der.expect(parts[0], der.OBJECT).value)
            value = der.content(der.expect(parts[1], der.OCTET_STRING, der.OCTET_STRING | 0x20))
            if identifier in found:
                found[identifier] = found[identifier]._replace(repeated=True)
            else:
                found[identifier] = Extension(critical, value, False)
    return found
