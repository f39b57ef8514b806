"""
A small reader of BER, the encoding of certificates.

A certificate comes from the peer, so every byte is the peer's choice.  This
reader never recurses, never allocates by what a length says, looks at each
octet a bounded number of times, and fails in one way only: with a
L{NodeError} whose code is C{ERR_OSSL_ASN1_...}.

OpenSSL, which has accepted the certificate before it gets here, takes BER and
not only DER: indefinite lengths, lengths with needless zeros, strings cut
into parts.  What it takes must be readable here as well.  (cryptography's own
parser is strict, and refuses certificates that a handshake accepts.)

Source: X.690; OpenSSL, C{crypto/asn1/asn1_lib.c} and C{tasn_dec.c}.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from txnodetls.errors import Blame, NodeError, OpenSSLError

__all__ = [
    "BOOLEAN",
    "BIT_STRING",
    "Element",
    "GENERALIZED_TIME",
    "INTEGER",
    "OBJECT",
    "OCTET_STRING",
    "SEQUENCE",
    "SEQUENCE_OF",
    "SET",
    "SET_OF",
    "UTC_TIME",
    "bits",
    "boolean",
    "children",
    "content",
    "element",
    "encode",
    "expect",
    "malformed",
    "number",
    "only",
]

BOOLEAN = 0x01
INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OBJECT = 0x06
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18
SEQUENCE = 0x30
SET = 0x31
#: A sequence or a set of any number of the same; of these OpenSSL takes the primitive form, too.
SEQUENCE_OF = (SEQUENCE, 0x10)
SET_OF = (SET, 0x11)

_CONSTRUCTED = 0x20
_LONG_TAG = 0x1F
_NESTING = 6  # of strings in strings; OpenSSL's limit


def malformed(reason: str) -> NodeError:
    """The one error of this file; C{reason} in OpenSSL's words."""
    return OpenSSLError(
        f"error::asn1 encoding routines::{reason}",
        "ERR_OSSL_ASN1_" + reason.upper().replace(" ", "_"),
        library="asn1 encoding routines",
        reason=reason,
        blame=Blame.PEER,
    )


class Element(NamedTuple):
    """
    Where one element lies.

    @ivar tag: its identifier octet; 0 to 255.  Tags beyond 30 all read as
        number 31, as no certificate has a meaning for them.
    @ivar data: the whole of what is being read.
    @ivar begin: where the identifier is.
    @ivar start: where the content starts.
    @ivar stop: where the content ends.
    @ivar end: where the next element begins.
    """

    tag: int
    data: bytes
    begin: int
    start: int
    stop: int
    end: int

    @property
    def value(self) -> bytes:
        """The content octets, as they are."""
        return self.data[self.start : self.stop]

    @property
    def encoding(self) -> bytes:
        """The whole element, as it is."""
        return self.data[self.begin : self.end]


def element(data: bytes, at: int, limit: int) -> Element:
    """
    The element at C{at}.

    @param limit: where it must have ended.

    @raise NodeError: there is none, or it is cut short.
    """
    tag, start, length = _header(data, at, limit)
    if length is None:
        stop = _endOfContents(data, start, limit)
        return Element(tag, data, at, start, stop, stop + 2)
    stop = start + length
    return Element(tag, data, at, start, stop, stop)


def _header(data: bytes, at: int, limit: int) -> tuple[int, int, int | None]:
    """Tag, where the content starts, and its length or None for an indefinite one."""
    begin = at
    if at + 2 > limit:
        raise malformed("header too long")
    tag = data[at]
    at += 1
    if data[at] <= limit - at - 1 and data[at] < 0x80 and tag & _LONG_TAG != _LONG_TAG:
        return tag, at + 1, data[at]  # Nearly every element is like this.
    if tag & _LONG_TAG == _LONG_TAG:
        while at < limit and data[at] & 0x80:
            at += 1
        at += 1
        if at >= limit or at - begin > 6:
            raise malformed("header too long")
    length = data[at]
    at += 1
    if length == 0x80:
        if not tag & _CONSTRUCTED:
            raise malformed("header too long")
        return tag, at, None
    if length > 0x80:
        octets = length & 0x7F
        if at + octets > limit:
            raise malformed("header too long")
        length = int.from_bytes(data[at : at + octets], "big")
        at += octets
    if length > limit - at:
        raise malformed("too long")
    return tag, at, length


def _endOfContents(data: bytes, at: int, limit: int) -> int:
    """Where the two zero octets are that end an indefinite length."""
    unfinished = 1
    while at + 2 <= limit:
        if data[at] == 0 and data[at + 1] == 0:
            unfinished -= 1
            if not unfinished:
                return at
            at += 2
            continue
        _, start, length = _header(data, at, limit)
        if length is None:
            unfinished += 1
            at = start
        else:
            at = start + length
    raise malformed("missing eoc")


def children(parent: Element) -> Iterator[Element]:
    """The elements inside of a constructed one."""
    _, data, _, at, stop, _ = parent
    found = []
    while at < stop:
        child = element(data, at, stop)
        found.append(child)
        at = child.end
    return iter(found)


def expect(found: Element | None, *tags: int) -> Element:
    """
    The element, which must be there and have one of these tags.

    @raise NodeError: it is not, or has not.
    """
    if found is None or found.tag not in tags:
        raise malformed("wrong tag")
    return found


def only(data: bytes, *tags: int) -> Element:
    """
    The element that C{data} begins with; what follows it does not count, as in OpenSSL.

    @param tags: those it may have; without any, every one.
    """
    found = element(data, 0, len(data))
    return expect(found, *tags) if tags else found


def content(string: Element) -> bytes:
    """
    The octets of a string, which may be cut into parts.

    @raise NodeError: parts within parts too deep.
    """
    if not string.tag & _CONSTRUCTED:
        return string.value
    found: list[bytes] = []
    waiting = [children(string)]
    while waiting:
        for part in waiting[-1]:
            if not part.tag & _CONSTRUCTED:
                found.append(part.value)
                continue
            if len(waiting) == _NESTING:
                raise malformed("nested asn1 string")
            waiting.append(children(part))
            break
        else:
            waiting.pop()
    return b"".join(found)


def number(found: Element) -> int:
    """
    A whole number, of any size and sign.

    @raise NodeError: it has no octets, or needless ones.
    """
    octets = found.value
    if not octets:
        raise malformed("illegal zero content")
    if len(octets) > 1 and octets[0] in (0, 0xFF) and (octets[0] ^ octets[1]) < 0x80:
        raise malformed("illegal padding")
    return int.from_bytes(octets, "big", signed=True)


def boolean(found: Element) -> bool:
    """
    True or false; every octet but zero is true.

    @raise NodeError: it has not one octet.
    """
    if found.stop - found.start != 1:
        raise malformed("boolean is wrong length")
    return found.data[found.start] != 0


def bits(string: Element) -> bytes:
    """
    The octets of a bit string, with those bits zero that do not belong to it.

    @raise NodeError: it says that more than seven do not.
    """
    octets = content(string)
    if not octets:
        raise malformed("string too short")
    unused = octets[0]
    if unused > 7:
        raise malformed("invalid bit string bits left")
    if len(octets) == 1:
        return b""
    return octets[1:-1] + bytes((octets[-1] & 0xFF << unused & 0xFF,))


def encode(tag: int, value: bytes) -> bytes:
    """One element in DER."""
    length = len(value)
    if length < 0x80:
        return bytes((tag, length)) + value
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + value
