"""
The parts of a certificate as Node's texts.

The text of alternative names is what C{checkServerIdentity} reads, and what
programs split at commas.  Its makers were once fooled by certificates whose
names contained C{, DNS:} (CVE-2021-44532), so a value with a comma, a quote,
an apostrophe, a backslash or a character beyond printable ASCII is written as
a JSON string, in which a comma stands as C{\\u002c}.  A name that needs no
quotes is written bare.

Source: Node's documentation, C{x509.subjectAltName}, C{--security-revert};
RFC 5280, 4.2.1.6 and 4.2.2.1; OpenSSL, C{ASN1_TIME_print(3)}.
"""

from __future__ import annotations

import datetime
import json
import re
from typing import NamedTuple

from txnodetls.errors import NodeError
from txnodetls.pki import der
from txnodetls.pki.names import Name, oneLine, readName
from txnodetls.pki.objects import ACCESS_METHODS, dotted
from txnodetls.pki.values import checkValue

__all__ = [
    "GeneralName",
    "accessText",
    "accessTextToObject",
    "altNamesText",
    "hexadecimal",
    "moment",
    "readGeneralName",
    "readGeneralNames",
    "timeText",
    "usageList",
]

_OTHER, _EMAIL, _DNS, _X400, _DIRECTORY, _EDI, _URI, _IP, _REGISTERED = (
    0xA0,
    0x81,
    0x82,
    0xA3,
    0xA4,
    0xA5,
    0x86,
    0x87,
    0x88,
)
_STRINGS = {_EMAIL: "email", _DNS: "DNS", _URI: "URI"}
_UNSUPPORTED = {_X400: "X400Name:<unsupported>", _EDI: "EdiPartyName:<unsupported>"}

_UTF8 = 0x0C
_DIRECTORY_STRINGS = (_UTF8, 0x13, 0x14, 0x1C, 0x1E)
_IA5 = 0x16
#: The other names that Node shows: label, and the only string type that it takes.
_OTHER_NAMES = {
    "1.3.6.1.5.5.7.8.9": ("SmtpUTF8Mailbox", _UTF8),
    "1.3.6.1.5.5.7.8.5": ("XmppAddr", _UTF8),
    "1.3.6.1.5.5.7.8.7": ("SRVName", _IA5),
    "1.3.6.1.4.1.311.20.2.3": ("UPN", _UTF8),
    "1.3.6.1.5.5.7.8.8": ("NAIRealm", _UTF8),
}

_OBJECT_LENGTH = 255  # where OpenSSL's buffers cut what is longer
_METHOD_LENGTH = 79

_UNSAFE = re.compile(r"[^ !#-&(-+\--\[\]-~]")
_UNSAFE_UNICODE = re.compile(r"[\x00-\x1f\x7f\"'\\,]")
_ESCAPED = re.compile(r"[^ -+\--\[\]-~]|\"")
_ESCAPED_UNICODE = re.compile(r"[\x00-\x1f\x7f\"\\,]")


class GeneralName(NamedTuple):
    """
    One of the names a certificate is also good for.

    @ivar kind: the tag: 0x82 for a DNS name, 0x87 for an address, and so on.
    @ivar value: the octets of a string or an address; of others, their content.
    @ivar otherType: of an "other name", its type in dotted numbers.
    @ivar otherValue: of an "other name", its value.
    @ivar directory: of a directory name, that name.
    """

    kind: int
    value: bytes
    otherType: str = ""
    otherValue: der.Element | None = None
    directory: Name = ()


def readGeneralNames(extension: bytes) -> list[GeneralName]:
    """
    The names in the value of a "subject alternative name" extension.

    @raise NodeError: it is broken, in any of its parts.
    """
    return [readGeneralName(each) for each in der.children(der.only(extension, *der.SEQUENCE_OF))]


def readGeneralName(found: der.Element) -> GeneralName:
    """
    One name.

    @raise NodeError: it is broken, or of no known kind.
    """
    kind = found.tag
    if kind & ~0x20 in (_EMAIL, _DNS, _URI, _IP):
        return GeneralName(kind & ~0x20, der.content(found))
    if kind == _DIRECTORY:
        return GeneralName(kind, b"", directory=readName(_single(found)))
    if kind == _REGISTERED:
        return GeneralName(kind, dotted(found.value).encode())
    if kind == _OTHER:
        identifier, wrapped, *rest = (*der.children(found), None, None)
        if wrapped is None or rest[0] is not None or wrapped.tag != 0xA0:
            raise der.malformed("sequence length mismatch")
        numbers = dotted(der.expect(identifier, der.OBJECT).value)
        value = _single(wrapped)
        checkValue(value)
        return GeneralName(kind, b"", otherType=numbers, otherValue=value)
    if kind == _EDI:
        _checkParty(found)
    if kind in _UNSUPPORTED:
        return GeneralName(kind, b"")
    raise der.malformed("no matching choice type")


def altNamesText(names: list[GeneralName]) -> str:
    """C{DNS:example.com, IP Address:127.0.0.1}."""
    return ", ".join(map(_generalNameText, names))


def accessText(extension: bytes) -> str:
    """
    The text of an "authority information access" extension: a line for each entry.

    @raise NodeError: it is broken, in any of its parts.
    """
    found: list[str] = []
    for entry in der.children(der.only(extension, *der.SEQUENCE_OF)):
        method, location, *rest = (*der.children(der.expect(entry, der.SEQUENCE)), None, None)
        if location is None or rest[0] is not None:
            raise der.malformed("sequence length mismatch")
        numbers = dotted(der.expect(method, der.OBJECT).value)
        label = ACCESS_METHODS.get(numbers) or numbers[:_METHOD_LENGTH]
        found.append(f"{label} - {_generalNameText(readGeneralName(location))}")
    return "\n".join(found)


def accessTextToObject(text: str) -> dict[str, list[str]]:
    """What the certificate object makes of L{accessText}: label to values, quotes undone."""
    found: dict[str, list[str]] = {}
    for line in text.split("\n"):
        label, colon, value = line.partition(":")
        if colon:
            if value.startswith('"'):
                value = json.loads(value)
            found.setdefault(label, []).append(value)
    return found


def usageList(extension: bytes) -> list[str]:
    """
    The purposes in an "extended key usage" extension, in dotted numbers.

    @raise NodeError: it is broken.
    """
    return [
        dotted(der.expect(each, der.OBJECT).value)[:_OBJECT_LENGTH]
        for each in der.children(der.only(extension, *der.SEQUENCE_OF))
    ]


def hexadecimal(number: int) -> str:
    """A number as OpenSSL writes it: capitals, whole octets, a sign before it."""
    if not number:
        return "0"
    digits = f"{abs(number):X}"
    sign = "-" if number < 0 else ""
    return f"{sign}{'0' * (len(digits) % 2)}{digits}"


def _checkParty(found: der.Element) -> None:
    """An EDI party name is never shown, but OpenSSL reads it, and so decides on the rest."""
    parts = list(der.children(found))
    if [part.tag for part in parts] not in ([0xA1], [0xA0, 0xA1]):
        raise der.malformed("sequence length mismatch")
    for part in parts:
        der.expect(_single(part), *_DIRECTORY_STRINGS)


def _single(wrapper: der.Element) -> der.Element:
    inside = list(der.children(wrapper))
    if len(inside) != 1:
        raise der.malformed("explicit length mismatch")
    return inside[0]


def _generalNameText(name: GeneralName) -> str:
    if name.kind in _STRINGS:
        return f"{_STRINGS[name.kind]}:{_quoted(name.value.decode('latin-1'))}"
    if name.kind == _IP:
        return "IP Address:" + _addressText(name.value)
    if name.kind == _DIRECTORY:
        return "DirName:" + _quotedUnicode(oneLine(name.directory))
    if name.kind == _REGISTERED:
        return "Registered ID:" + name.value.decode()[:_OBJECT_LENGTH]
    if name.kind == _OTHER:
        return "othername:" + _otherNameText(name)
    return _UNSUPPORTED[name.kind]


def _otherNameText(name: GeneralName) -> str:
    label, tag = _OTHER_NAMES.get(name.otherType, ("", 0))
    value = name.otherValue
    if value is None or value.tag & ~0x20 != tag:
        return "<unsupported>"
    octets = der.content(value)
    if tag == _IA5:
        return _quoted(octets.decode("latin-1"), f"{label}:")
    return _quotedUnicode(octets.decode(errors="replace"), f"{label}:")


def _addressText(octets: bytes) -> str:
    if len(octets) == 4:
        return ".".join(map(str, octets))
    if len(octets) == 16:
        return ":".join(f"{octets[i] << 8 | octets[i + 1]:X}" for i in range(0, 16, 2))
    return f"<invalid length={len(octets)}>"


def _quoted(text: str, prefix: str = "") -> str:
    if _UNSAFE.search(text) is None:
        return prefix + text
    return f'"{prefix}{_ESCAPED.sub(_escape, text)}"'


def _quotedUnicode(text: str, prefix: str = "") -> str:
    if _UNSAFE_UNICODE.search(text) is None:
        return prefix + text
    return f'"{prefix}{_ESCAPED_UNICODE.sub(_escape, text)}"'


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    return "\\" + character if character in '"\\' else f"\\u{ord(character):04x}"


# ---- times

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ZONE = r"(?:Z|(?P<sign>[+-])(?P<zoneHour>0\d|1[0-2])(?P<zoneMinute>[0-5]\d))\Z"
_REST = r"(?P<month>\d\d)(?P<day>\d\d)(?P<hour>\d\d)(?P<minute>\d\d)(?:(?P<second>\d\d)"
_TIMES = {
    der.UTC_TIME: re.compile(r"(?P<year>\d\d)" + _REST + ")?" + _ZONE, re.ASCII),
    der.GENERALIZED_TIME: re.compile(
        r"(?P<year>\d{4})" + _REST + r"(?P<fraction>\.\d+)?)?" + _ZONE, re.ASCII
    ),
}


class _Time(NamedTuple):
    moment: datetime.datetime
    year: int
    fraction: str


def timeText(time: der.Element) -> str:
    """C{Jan  1 00:00:00 2020 GMT}; a time that makes no sense is C{Bad time value}."""
    read = _readTime(time)
    if read is None:
        return "Bad time value"
    at = read.moment
    return (
        f"{_MONTHS[at.month - 1]} {at.day:2d} {at.hour:02d}:{at.minute:02d}:{at.second:02d}"
        f"{read.fraction} {read.year} GMT"
    )


def moment(time: der.Element) -> datetime.datetime | None:
    """The time in UTC, to the second; None where it makes no sense, or is of the year 0."""
    read = _readTime(time)
    return read.moment if read is not None and read.year > 0 else None


def _readTime(time: der.Element) -> _Time | None:
    try:
        text = der.content(time).decode("latin-1")
    except NodeError:
        return None
    match = _TIMES[time.tag & ~0x20].match(text)
    if match is None:
        return None
    year = int(match["year"])
    if time.tag & ~0x20 == der.UTC_TIME:
        year += 2000 if year < 50 else 1900
    # datetime knows no year 0; the days of the year 400 fall alike.
    known = year or 400
    try:
        at = datetime.datetime(
            known,
            int(match["month"]),
            int(match["day"]),
            int(match["hour"]),
            int(match["minute"]),
            int(match["second"] or 0),
            tzinfo=datetime.UTC,
        )
        if match["sign"]:
            offset = datetime.timedelta(
                hours=int(match["zoneHour"]), minutes=int(match["zoneMinute"])
            )
            at = at - offset if match["sign"] == "+" else at + offset
    except (ValueError, OverflowError):
        return None
    shown = at.year - (known - year)
    if shown < 0:
        return None
    fraction = match.groupdict().get("fraction") or ""
    return _Time(at, shown, fraction)
