"""
Distinguished names: who a certificate is for, and who issued it.

A name is a sequence of sets of attributes, and each attribute's value is a
string in one of seven encodings, or something that is no string at all.
Whatever stands there was chosen by whoever made the certificate: separators,
quotes, NUL, line ends.  So a name is never taken apart as text.  It is read
from its encoding, once, and shown in three ways:

 - as a dictionary, the C{subject} and C{issuer} of Node's certificate object,
   with plain values (an attribute that repeats has a list);
 - as lines, the C{subject} and C{issuer} of Node's X509Certificate, where
   what could be mistaken for structure is escaped;
 - on one line after RFC 2253, inside of the text of alternative names.

Source: RFC 5280, 4.1.2.4 and 7.1; RFC 2253; OpenSSL, C{X509_NAME_print_ex(3)},
C{ASN1_STRING_print_ex(3)}, C{crypto/x509/x_name.c}.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from txnodetls.pki import der
from txnodetls.pki.objects import SHORT_NAMES, dotted
from txnodetls.pki.values import checkValue

__all__ = ["Attribute", "Name", "canonicalName", "lines", "oneLine", "readName", "toObject"]

_UTF8 = 0x0C
_BMP = 0x1E
_UNIVERSAL = 0x1C
#: Octets for each character, by tag; 0 is UTF-8.  Numeric, printable, T61, IA5 strings, times
#: and visible strings have one: OpenSSL reads all of these as Latin-1.
_WIDTHS = {_UTF8: 0, 0x12: 1, 0x13: 1, 0x14: 1, 0x16: 1, 0x17: 1, 0x18: 1, 0x1A: 1}
_WIDTHS[_UNIVERSAL] = 4
_WIDTHS[_BMP] = 2
#: The strings that two names may spell differently and yet be equal.
_CANONICAL = frozenset({_UTF8, _BMP, _UNIVERSAL, 0x13, 0x14, 0x16, 0x1A})
#: What OpenSSL takes for a value: these strings, a bit string, a sequence, and types without use.
_VALUES = (
    0x30,
    *(
        number | form
        for number in (3, 7, 8, 9, 11, 12, 13, 14, 15, 18, 19, 20, 22, 28, 29, 30)
        for form in (0, 0x20)
    ),
)

_TYPE_LENGTH = 79  # OpenSSL cuts the dotted numbers of an unknown type here

_SPECIAL = re.compile(r'[,+"\\<>;]|\A[ #]| \Z')
_SPECIAL_OR_CONTROL = re.compile(r'[,+"\\<>;\x00-\x1f\x7f]|\A[ #]| \Z')
_BLANKS = re.compile("[ \t\n\v\f\r]+")
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


class Attribute(NamedTuple):
    """
    One attribute of a name.

    @ivar group: the number of the set that it is in.
    @ivar type: its type, in dotted numbers.
    @ivar value: the encoded value.
    """

    group: int
    type: str
    value: der.Element

    @property
    def label(self) -> str:
        """OpenSSL's short name of the type, or its numbers."""
        return SHORT_NAMES.get(self.type) or self.type[:_TYPE_LENGTH]

    @property
    def octets(self) -> bytes:
        """What OpenSSL keeps of the value: the whole of a sequence, of others the content."""
        if self.value.tag == der.SEQUENCE:
            return self.value.encoding
        if self.value.tag & ~0x20 == der.BIT_STRING:
            return der.bits(self.value)
        return der.content(self.value)

    def text(self) -> str | None:
        """The value as text; None where it is not a string, or not a well-formed one."""
        width = _WIDTHS.get(self.value.tag & ~0x20)
        if width is None:
            return None
        return _decode(der.content(self.value), width)


Name = tuple[Attribute, ...]


def readName(encoded: der.Element) -> Name:
    """
    The attributes of a name, in their order.

    @raise NodeError: the encoding is broken, or a string in it.
    """
    der.expect(encoded, *der.SEQUENCE_OF)
    attributes: list[Attribute] = []
    for group, members in enumerate(der.children(encoded)):
        for member in der.children(der.expect(members, *der.SET_OF)):
            kind, value, *rest = (*der.children(der.expect(member, der.SEQUENCE)), None, None)
            if value is None or rest[0] is not None:
                raise der.malformed("sequence length mismatch")
            attribute = Attribute(group, dotted(der.expect(kind, der.OBJECT).value), value)
            checkValue(der.expect(value, *_VALUES))
            if value.tag & ~0x20 in _CANONICAL and attribute.text() is None:
                raise der.malformed("invalid string")
            attributes.append(attribute)
    return tuple(attributes)


def toObject(name: Name) -> dict[str, str | list[str]] | None:
    """
    The name as Node's certificate object has it; None where a value is no string.

    A key that comes once has a string, one that comes again a list.
    """
    found: dict[str, str | list[str]] = {}
    for attribute in name:
        text = attribute.text()
        if text is None:
            return None
        label = attribute.label
        there = found.get(label)
        if there is None:
            found[label] = text
        elif isinstance(there, list):
            there.append(text)
        else:
            found[label] = [there, text]
    return found


def lines(name: Name) -> str:
    """The name as Node's X509Certificate has it: a line for each set."""
    parts: list[str] = []
    group = None
    for attribute in name:
        if group is not None:
            parts.append(" + " if attribute.group == group else "\n")
        group = attribute.group
        escaped = _SPECIAL_OR_CONTROL.sub(_escape, _shown(attribute))
        parts.append(f"{attribute.label}={escaped}")
    return "".join(parts)


def oneLine(name: Name) -> str:
    """The name after RFC 2253, last set first; control characters are left as they are."""
    parts: list[str] = []
    group = None
    for attribute in reversed(name):
        if group is not None:
            parts.append("+" if attribute.group == group else ",")
        group = attribute.group
        unprintable = attribute.value.tag & ~0x20 not in _WIDTHS
        if unprintable or attribute.type not in SHORT_NAMES:
            value = "#" + attribute.value.encoding.hex().upper()
        else:
            value = _SPECIAL.sub(_escape, _shown(attribute))
        parts.append(f"{attribute.label}={value}")
    return "".join(parts)


def canonicalName(name: Name) -> tuple[tuple[int, str, bytes], ...]:
    """
    What two names are compared by: the same for equal names, whatever their encoding.

    Case of ASCII letters, blanks at the ends and runs of blanks do not count.
    """
    found: list[tuple[int, str, bytes]] = []
    for attribute in name:
        tag = attribute.value.tag & ~0x20
        text = attribute.text() if tag in _CANONICAL else None
        if text is None:
            value = bytes((tag,)) + attribute.value.value
        else:
            folded = _BLANKS.sub(" ", text).strip(" ").translate(_LOWER)
            value = bytes((_UTF8,)) + folded.encode()
        found.append((attribute.group, attribute.type, value))
    return tuple(sorted(found))


def _decode(octets: bytes, width: int) -> str | None:
    if width == 1:
        return octets.decode("latin-1")
    try:
        if width == 0:
            return octets.decode()
        if width == 4:
            return octets.decode("utf-32-be")
        text = octets.decode("utf-16-be")
    except UnicodeDecodeError:
        return None
    # A BMP string has no surrogates, paired or not.
    return text if len(text) * 2 == len(octets) else None


def _shown(attribute: Attribute) -> str:
    """The value as text, whatever it is: what is no string reads as Latin-1."""
    text = attribute.text()
    return attribute.octets.decode("latin-1") if text is None else text


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    return f"\\{ord(character):02X}" if character < " " or character == "\x7f" else "\\" + character
