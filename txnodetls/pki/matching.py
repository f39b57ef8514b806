"""
OpenSSL's rules for whether a certificate is good for a name.

These are the rules of C{X509Certificate.checkHost}, C{checkEmail} and
C{checkIP}, which Node hands to OpenSSL.  (C{checkServerIdentity} has rules of
its own; see L{txnodetls.pki.identity}.)  They look at the alternative names
as octets, never at their text, so nothing needs escaping.

Where a certificate has an alternative name of the wanted kind, its subject
does not count, unless asked for.  In one place these rules are stricter than
OpenSSL's: alternative names that cannot be read, or that stand there twice,
are no match and never send the search to the subject.

Source: RFC 6125; OpenSSL, C{X509_check_host(3)}.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from enum import Flag, auto

from txnodetls.errors import Blame, NodeError, NodeTypeError
from txnodetls.pki import der
from txnodetls.pki.fields import Fields

__all__ = ["Match", "matchEmail", "matchHost", "matchIP"]

_EMAIL, _DNS, _IP = 0x81, 0x82, 0x87
_COMMON_NAME = "2.5.4.3"
_EMAIL_ADDRESS = "1.2.840.113549.1.9.1"
_UTF8_MAILBOX = "1.3.6.1.5.5.7.8.9"
_UTF8 = 0x0C
_ALPHANUMERIC = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_WILD = _ALPHANUMERIC | frozenset(b"-")


class Match(Flag):
    """How to look."""

    NORMAL = 0
    ALWAYS_SUBJECT = auto()
    NEVER_SUBJECT = auto()
    NO_WILDCARDS = auto()
    NO_PARTIAL_WILDCARDS = auto()
    MULTI_LABEL_WILDCARDS = auto()
    SINGLE_LABEL_SUBDOMAINS = auto()


#: (what the certificate has, what is looked for) -> whether they fit
_Equal = Callable[[bytes, bytes], bool]


def matchHost(fields: Fields, host: str, how: Match = Match.NORMAL) -> bytes | None:
    """
    The name in the certificate that fits a host; None if there is none.

    A host that begins with a dot stands for every host below it.

    @raise NodeTypeError: there is a NUL in the host: C{ERR_INVALID_ARG_VALUE}.
    @raise NodeError: a common name that counts is no string: C{ERR_CRYPTO_OPERATION_FAILED}.
    """
    wanted = _octets(host)

    def equal(pattern: bytes, subject: bytes) -> bool:
        return _equalHost(pattern, subject, how)

    return _search(fields, _DNS, wanted, equal, how, _COMMON_NAME)


def matchEmail(fields: Fields, email: str, how: Match = Match.NORMAL) -> bool:
    """
    Whether the certificate is good for a mail address.

    @raise NodeTypeError: there is a NUL in it: C{ERR_INVALID_ARG_VALUE}.
    @raise NodeError: an address that counts is no string: C{ERR_CRYPTO_OPERATION_FAILED}.
    """
    wanted = _octets(email)
    return _search(fields, _EMAIL, wanted, _equalEmail, how, _EMAIL_ADDRESS) is not None


def matchIP(fields: Fields, address: str) -> bool:
    """
    Whether the certificate is good for an IP address; the subject never counts.

    @raise NodeTypeError: it is none: C{ERR_INVALID_ARG_VALUE}.
    """
    try:
        wanted = ipaddress.ip_address(address)
    except ValueError:
        raise _invalidName() from None
    if getattr(wanted, "scope_id", None) is not None:
        raise _invalidName()
    return wanted.packed in _alternatives(fields, _IP)


def _octets(name: str) -> bytes:
    octets = name.encode(errors="replace")
    # One NUL at the end is a C program's, and tolerated.
    if octets.endswith(b"\0") and len(octets) > 1:
        octets = octets[:-1]
    if b"\0" in octets:
        raise _invalidName()
    return octets


def _failed() -> NodeError:
    """The error of a certificate whose names OpenSSL cannot convert."""
    return NodeError("Operation failed", "ERR_CRYPTO_OPERATION_FAILED", blame=Blame.PEER)


def _invalidName() -> NodeTypeError:
    return NodeTypeError("Invalid name", "ERR_INVALID_ARG_VALUE")


def _alternatives(fields: Fields, kind: int) -> Iterator[bytes]:
    """
    The alternative names of a kind; a mailbox may also come as an "other name".

    Behind such a one, OpenSSL takes the octets of addresses for Latin-1, and before it as they
    are.  An address should be of ASCII, and it is all the same.

    @raise NodeError: such a mailbox is not in UTF-8: C{ERR_CRYPTO_OPERATION_FAILED}.
    """
    try:
        names = fields.soleAltNames or ()
    except NodeError:
        yield b""  # Unreadable: something is there, and fits nothing.
        return
    latin = False
    for name in names:
        if name.kind == kind:
            yield name.value.decode("latin-1").encode() if latin else name.value
        elif kind == _EMAIL and name.otherType == _UTF8_MAILBOX:
            mailbox = name.otherValue
            if mailbox is not None and mailbox.tag & ~0x20 == _UTF8:
                latin = True
                octets = der.content(mailbox)
                try:
                    octets.decode()
                except UnicodeDecodeError:
                    raise _failed() from None
                yield octets


def _search(
    fields: Fields,
    kind: int,
    wanted: bytes,
    equal: _Equal,
    how: Match,
    subjectType: str,
) -> bytes | None:
    named = False
    for name in _alternatives(fields, kind):
        if name and equal(name, wanted):
            return name
        named = True
    if (named and Match.ALWAYS_SUBJECT not in how) or Match.NEVER_SUBJECT in how:
        return None
    for attribute in fields.subject:
        if attribute.type == subjectType:
            text = attribute.text()
            if text is None and attribute.octets:
                raise _failed()
            if text and equal(text.encode(), wanted):
                return text.encode()
    return None


def _equalHost(pattern: bytes, subject: bytes, how: Match) -> bool:
    below = len(subject) > 1 and subject.startswith(b".")
    if Match.NO_WILDCARDS not in how and not below:
        star = _star(pattern, how)
        if star is not None:
            return _wildcardFits(pattern[:star], pattern[star + 1 :], subject, how)
    if below:
        pattern = _tail(pattern, len(subject), how)
    return _equalNoCase(pattern, subject)


def _equalNoCase(pattern: bytes, subject: bytes) -> bool:
    return pattern.lower() == subject.lower() and b"\0" not in pattern


def _equalEmail(pattern: bytes, subject: bytes) -> bool:
    """The part before the last @ as it is, the host behind it in any case."""
    if len(pattern) != len(subject):
        return False
    at = max(pattern.rfind(b"@"), subject.rfind(b"@"))
    if at <= 0:
        return pattern == subject
    return _equalNoCase(pattern[at:], subject[at:]) and pattern[:at] == subject[:at]


def _tail(pattern: bytes, length: int, how: Match) -> bytes:
    """The last C{length} octets of the pattern, if what is before them may be left out."""
    before = pattern[:-length]
    if b"\0" in before or (Match.SINGLE_LABEL_SUBDOMAINS in how and b"." in before):
        return pattern
    return pattern[-length:]


def _star(pattern: bytes, how: Match) -> int | None:
    """
    Where the one wildcard of a well-formed pattern is; None if it has none.

    It must be in the first of three labels or more, at the label's beginning or end, and in
    no internationalized label.
    """
    if not _ALPHANUMERIC.issuperset(pattern.translate(None, b"*-.")) or pattern.count(b"*") != 1:
        return None
    labels = pattern.split(b".")
    first = labels[0]
    if len(labels) < 3 or b"*" not in first:
        return None
    star = first.index(b"*")
    if Match.NO_PARTIAL_WILDCARDS in how and first != b"*":
        return None
    if 0 < star < len(first) - 1 or first[:4].lower() == b"xn--":
        return None
    if any(not label or label.startswith(b"-") or label.endswith(b"-") for label in labels):
        return None
    return star


def _wildcardFits(prefix: bytes, suffix: bytes, subject: bytes, how: Match) -> bool:
    if len(subject) < len(prefix) + len(suffix):
        return False
    end = len(subject) - len(suffix)
    middle = subject[len(prefix) : end]
    if not _equalNoCase(prefix, subject[: len(prefix)]) or not _equalNoCase(suffix, subject[end:]):
        return False
    allowed = _WILD
    if not prefix and suffix.startswith(b"."):
        if not middle:
            return False
        if Match.MULTI_LABEL_WILDCARDS in how:
            allowed |= frozenset(b".")
    elif subject[:4].lower() == b"xn--":
        return False
    return middle == b"*" or allowed.issuperset(middle)
