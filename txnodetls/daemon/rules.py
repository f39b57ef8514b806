"""
Who may come in: rules about the subject and the names of a client's certificate.

    clientSubject = ["CN=backup+O=Example", "OU=operations"]
    clientSAN = ["DNS:*.hosts.example", "URI:spiffe://example/web", "email:a@example"]

A client comes in that fits one entry, of either list.  An entry about the subject is fitted by a
subject that has each of its parts; one about names, by a certificate that has this name, where a
star in a DNS name stands for one label, and one at the end of a URI for whatever follows.

Rules look at certificates that were verified, and at no others: who has none, or one that nobody
vouches for, fits no rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from txnodetls.daemon.names import matches, wrongName

__all__ = ["Rules", "readRules"]

_ATTRIBUTES: Final = {
    "CN": NameOID.COMMON_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "C": NameOID.COUNTRY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "L": NameOID.LOCALITY_NAME,
    "DC": NameOID.DOMAIN_COMPONENT,
    "UID": NameOID.USER_ID,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "emailAddress": NameOID.EMAIL_ADDRESS,
}
_NAMES: Final = ("DNS", "URI", "email", "IP")


@dataclass(frozen=True, slots=True)
class Rules:
    """
    Rules, of which one has to fit.

    @ivar subjects: each a set of attributes with their values.
    @ivar names: kinds of names with patterns.
    """

    subjects: tuple[tuple[tuple[str, str], ...], ...] = ()
    names: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.subjects or self.names)

    def admit(self, certificate: bytes | None) -> bool:
        """
        Whether who has this certificate may come in.

        @param certificate: DER of a certificate that was verified; None if there is none.
        """
        if not self:
            return True
        if certificate is None:
            return False
        try:
            leaf = x509.load_der_x509_certificate(certificate)
            return self._subjectFits(leaf) or self._nameFits(leaf)
        except ValueError:
            return False  # OpenSSL could read it; what we cannot read fits nothing

    def _subjectFits(self, leaf: x509.Certificate) -> bool:
        if not self.subjects:
            return False
        there = {
            (short, str(attribute.value))
            for short, oid in _ATTRIBUTES.items()
            for attribute in leaf.subject.get_attributes_for_oid(oid)
        }
        return any(there.issuperset(subject) for subject in self.subjects)

    def _nameFits(self, leaf: x509.Certificate) -> bool:
        if not self.names:
            return False
        try:
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return False
        there = {
            "DNS": names.get_values_for_type(x509.DNSName),
            "URI": names.get_values_for_type(x509.UniformResourceIdentifier),
            "email": names.get_values_for_type(x509.RFC822Name),
            "IP": [str(address) for address in names.get_values_for_type(x509.IPAddress)],
        }
        return any(_fits(kind, pattern, there[kind]) for kind, pattern in self.names)


def _fits(kind: str, pattern: str, names: list[str]) -> bool:
    if kind == "DNS":
        # A wildcard of the client's own is a name like any other, and fits only itself.
        return any(
            name.lower() == pattern.lower() if "*" in name else matches([pattern], name)
            for name in names
        )
    if kind == "URI" and pattern.endswith("*"):
        return any(name.startswith(pattern[:-1]) for name in names)
    return pattern in names


def readRules(subjects: list[str], names: list[str]) -> Rules:
    """
    Rules out of text.

    @raise ValueError: an entry is wrong.
    """
    return Rules(
        tuple(_subject(entry) for entry in subjects), tuple(_name(entry) for entry in names)
    )


def _subject(entry: str) -> tuple[tuple[str, str], ...]:
    parts = []
    # A plus sign within a value is written \+
    for part in entry.replace("\\+", "\0").split("+"):
        short, equals, value = part.strip().replace("\0", "+").partition("=")
        if not equals or not value or short not in _ATTRIBUTES:
            known = ", ".join(_ATTRIBUTES)
            raise ValueError(f"{entry!r} is not NAME=VALUE, with a NAME of {known}")
        parts.append((short, value))
    return tuple(parts)


def _name(entry: str) -> tuple[str, str]:
    kind, colon, pattern = entry.partition(":")
    if not colon or not pattern or kind not in _NAMES:
        raise ValueError(f"{entry!r} is not KIND:NAME, with a KIND of {', '.join(_NAMES)}")
    if kind == "DNS" and (wrong := wrongName(pattern)) is not None:
        raise ValueError(wrong)
    if kind == "URI" and "*" in pattern[:-1]:
        raise ValueError(f"{entry!r} has a star elsewhere than at its end")
    return kind, pattern
