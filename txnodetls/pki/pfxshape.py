"""
What is wrong with the outside of a PFX, in OpenSSL's words.

The reader of L{cryptography} says only that it is no PKCS#12; Node passes on
what OpenSSL's parser met first.  So what that parser reads before it needs the
password is read here, in its order:

    PFX         ::= SEQUENCE { version INTEGER, authSafe ContentInfo, macData MacData OPTIONAL }
    ContentInfo ::= SEQUENCE { contentType OBJECT IDENTIFIER, content [0] EXPLICIT ANY OPTIONAL }
    MacData     ::= SEQUENCE { mac DigestInfo, macSalt OCTET STRING, iterations INTEGER OPTIONAL }
    DigestInfo  ::= SEQUENCE { digestAlgorithm AlgorithmIdentifier, digest OCTET STRING }

Its rules, as far as they are not DER's: the last part of a SEQUENCE has to be of its type even
where it is optional, and lengths have at most eight octets.

Source: RFC 7292 section 4; d2i_PKCS12_bio(3); C{crypto/asn1/tasn_dec.c} of OpenSSL 3.5
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from txnodetls.errors import NodeError
from txnodetls.pki import der

__all__ = ["UNSUPPORTED", "fault"]

#: Node's words for a digest that OpenSSL does not know.
UNSUPPORTED: Final = "Unsupported PKCS12 PFX data"

_CUT_SHORT: Final = "not enough data"
_HEADER: Final = "header too long"

# pkcs7-data (1.2.840.113549.1.7.1): what a PFX with a password is made of.
_DATA: Final = bytes.fromhex("2a864886f70d010701")
# The other kinds, whose contents OpenSSL knows (1.2.840.113549.1.7.2 to 6).
_KINDS: Final = frozenset(_DATA[:-1] + bytes([number]) for number in range(2, 7))

# MD5, RIPEMD-160, SHA-1, SM3, BLAKE2 and PBMAC1; the others are NIST's.
_DIGESTS: Final = frozenset(
    bytes.fromhex(each)
    for each in (
        "2a864886f70d0205",
        "2b24030201",
        "2b0e03021a",
        "2a811ccf55018311",
        "2b060104018d3a0c020110",
        "2b060104018d3a0c020208",
        "2a864886f70d01050e",
    )
) | {bytes.fromhex("6086480165030402") + bytes([number]) for number in range(1, 13)}

_NULL: Final = 5
_CONSTRUCTED: Final = 0x20
# The identifier of [0], without the bit that says that it is constructed.
_CONTEXT_0: Final = 0x80

# A length of this many octets and more is one that OpenSSL does not read.
_LENGTH_TOO_LONG: Final = 0x80 | 9
_LONGEST: Final = 8
# More than this it does not read.
_LARGEST: Final = (1 << 31) - 1


class _Head(NamedTuple):
    """
    The head of an element.

    @ivar tag: its identifier octet, without L{_CONSTRUCTED}; 31 for all beyond 30.
    @ivar stop: where its contents end; None where that is not said.
    """

    tag: int
    constructed: bool
    start: int
    stop: int | None


class _Indefinite(Exception):
    """A length is not said, which no PFX needs: whoever reads it further has the word."""


class _Reader:
    """Reads what is in C{data}; what is wrong is C{der.malformed}."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        #: The contents of what was read, by name.
        self.found: dict[str, bytes] = {}

    def head(self, at: int, limit: int) -> _Head:
        """The head of the element at C{at}, which has to end at C{limit} or before."""
        data = self.data
        if at >= limit:
            raise der.malformed("too small")
        first = data[at]
        at += 1
        if first & 0x1F == 0x1F:
            while at < limit and data[at] & 0x80:
                at += 1
            at += 1
        if at >= limit:
            raise der.malformed(_HEADER)
        size = data[at]
        at += 1
        constructed = bool(first & _CONSTRUCTED)
        stop: int | None
        if size == 0x80:
            if not constructed:
                raise der.malformed(_HEADER)
            stop = None
        else:
            length = size
            if size & 0x80:
                octets = data[at : min(at + (size & 0x7F), limit)]
                length = int.from_bytes(octets, "big")
                if len(octets) < size & 0x7F or length >> (8 * _LONGEST - 1):
                    raise der.malformed(_HEADER)
                at += len(octets)
            stop = at + length
            if stop > limit:
                raise der.malformed("too long")
        return _Head(first & ~_CONSTRUCTED, constructed, at, stop)

    def contents(self, head: _Head) -> bytes:
        """What is in an element."""
        return self.data[head.start : head.stop]


# Reads one element, and says where it ends; None where an optional one is of another type.
_Part = Callable[[_Reader, int, int, bool], "int | None"]


def _typed(reader: _Reader, at: int, limit: int, tag: int, optional: bool) -> _Head | None:
    """The head of an element of this type; None if an optional one is of another."""
    head = reader.head(at, limit)
    if head.tag != tag & ~_CONSTRUCTED:
        if optional:
            return None
        raise der.malformed("wrong tag")
    if head.stop is None:
        raise _Indefinite
    return head


def _primitive(tag: int, name: str) -> _Part:
    """A number, an identifier or octets."""

    def read(reader: _Reader, at: int, limit: int, optional: bool) -> int | None:
        head = _typed(reader, at, limit, tag, optional)
        if head is None:
            return None
        if head.constructed and tag != der.OCTET_STRING:
            raise der.malformed("type not primitive")
        _requireSound(tag, reader.contents(head))
        reader.found[name] = reader.contents(head)
        return head.stop

    return read


def _any(reader: _Reader, at: int, limit: int, _optional: bool) -> int | None:
    """Whatever it may be."""
    head = reader.head(at, limit)
    if head.stop is None:
        raise _Indefinite
    _requireSound(head.tag, reader.contents(head))
    return head.stop


def _structure(reader: _Reader, at: int, limit: int, optional: bool) -> int | None:
    """A SEQUENCE of whatever it may be."""
    head = _typed(reader, at, limit, der.SEQUENCE, optional)
    return None if head is None else head.stop


def _explicit(inner: _Part) -> _Part:
    """[0] EXPLICIT."""

    def read(reader: _Reader, at: int, limit: int, optional: bool) -> int | None:
        head = _typed(reader, at, limit, _CONTEXT_0, optional)
        if head is None:
            return None
        if not head.constructed:
            raise der.malformed("explicit tag not constructed")
        assert head.stop is not None
        if inner(reader, head.start, head.stop, False) != head.stop:
            raise der.malformed("explicit length mismatch")
        return head.stop

    return read


def _sequence(*parts: _Part, needed: int) -> _Part:
    """A SEQUENCE of these, of which the first C{needed} are not optional."""

    def read(reader: _Reader, at: int, limit: int, optional: bool) -> int | None:
        head = _typed(reader, at, limit, der.SEQUENCE, optional)
        if head is None:
            return None
        if not head.constructed:
            raise der.malformed("sequence not constructed")
        assert head.stop is not None
        at, seen = head.start, 0
        for index, part in enumerate(parts):
            if at >= head.stop:
                break
            if reader.data[at : at + 2] == b"\0\0":
                raise der.malformed("unexpected eoc")
            end = part(reader, at, head.stop, needed <= index < len(parts) - 1)
            at, seen = at if end is None else end, index + 1
        if at < head.stop:
            raise der.malformed("sequence length mismatch")
        if seen < needed:
            raise der.malformed("field missing")
        return at

    return read


def _content(reader: _Reader, at: int, limit: int, optional: bool) -> int | None:
    """What the type before it says."""
    kind = reader.found["type"]
    inner = _OCTETS if kind == _DATA else _structure if kind in _KINDS else _any
    return _explicit(inner)(reader, at, limit, optional)


_OCTETS: Final = _primitive(der.OCTET_STRING, "content")
_ALGORITHM: Final = _sequence(_primitive(der.OBJECT, "digest"), _any, needed=1)
_DIGEST: Final = _sequence(_ALGORITHM, _primitive(der.OCTET_STRING, "mac"), needed=2)
_MAC: Final = _sequence(
    _DIGEST,
    _primitive(der.OCTET_STRING, "salt"),
    _primitive(der.INTEGER, "iterations"),
    needed=2,
)
_PFX: Final = _sequence(
    _primitive(der.INTEGER, "version"),
    _sequence(_primitive(der.OBJECT, "type"), _content, needed=1),
    _MAC,
    needed=2,
)


def fault(data: bytes) -> str | None:
    """The reason why this is no PFX; None if its outside looks like one."""
    if _promised(data) > _LARGEST:
        return "too long"
    try:
        end = der.element(data, 0, len(data)).end
    except NodeError:
        # OpenSSL reads on for as many bytes as the length promises.
        return _CUT_SHORT
    reader = _Reader(data)
    try:
        _PFX(reader, 0, end, False)
    except NodeError as error:
        return str(getattr(error, "reason", None))
    except _Indefinite:
        return None
    return _meaning(reader.found)


def _promised(data: bytes) -> int:
    """How long the first element says that it is."""
    size = data[1] if len(data) > 1 else 0
    if size <= 0x80:
        return size & 0x7F
    # (A length that OpenSSL does not read is as good as one that is too large.)
    if size >= _LENGTH_TOO_LONG:
        return _LARGEST + 1
    return int.from_bytes(data[2 : 2 + (size & 0x7F)], "big")


def _meaning(found: dict[str, bytes]) -> str | None:
    """What is of the right form, and yet of no use."""
    if found["type"] != _DATA:
        return "content type not data"
    if found.get("iterations", b"\0")[0] & 0x80:
        return "param unsigned integer negative value unsupported"
    if "digest" in found and found["digest"] not in _DIGESTS:
        return UNSUPPORTED
    return None


def _requireSound(tag: int, octets: bytes) -> None:
    """What OpenSSL looks at in the contents of an element."""
    if tag == der.OBJECT:
        # No part of an identifier begins with nothing, and the last one has an end.
        begins = [0, *(before for before, octet in enumerate(octets, 1) if not octet & 0x80)]
        if not octets or octets[-1] & 0x80 or any(octets[at : at + 1] == b"\x80" for at in begins):
            raise der.malformed("invalid object encoding")
    elif tag == der.INTEGER:
        if not octets:
            raise der.malformed("illegal zero content")
        if len(octets) > 1 and octets[0] in (0, 0xFF) and octets[0] >> 7 == octets[1] >> 7:
            raise der.malformed("illegal padding")
    elif tag == _NULL and octets:
        raise der.malformed("null is wrong length")
    elif tag == der.BOOLEAN and len(octets) != 1:
        raise der.malformed("boolean is wrong length")
