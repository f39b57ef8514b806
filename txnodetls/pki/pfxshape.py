"""
What is wrong with the outside of a PFX, in OpenSSL's words.

The reader of L{cryptography} says only that it is no PKCS#12; Node passes on
what OpenSSL's parser met first.  So the outermost elements are looked at here.

    PFX ::= SEQUENCE { version INTEGER, authSafe ContentInfo, macData OPTIONAL }
    ContentInfo ::= SEQUENCE { contentType OBJECT IDENTIFIER, content [0] EXPLICIT ANY }

Source: RFC 7292 section 4; d2i_PKCS12_bio(3)
"""

from __future__ import annotations

from typing import Final

from txnodetls.errors import NodeError
from txnodetls.pki import der

__all__ = ["fault"]

_CUT_SHORT: Final = "not enough data"
_MISSING: Final = "field missing"
_WRONG: Final = "wrong tag"

# pkcs7-data (1.2.840.113549.1.7.1): what a PFX with a password is made of.
_DATA: Final = bytes.fromhex("2a864886f70d010701")

# The identifier of [0] EXPLICIT.
_CONTENT: Final = 0xA0

# A length of this many octets and more is one that OpenSSL does not read.
_LENGTH_TOO_LONG: Final = 0x80 | 9


def fault(data: bytes) -> str | None:
    """The reason why this is no PFX; None if its outside looks like one."""
    if len(data) > 1 and data[1] >= _LENGTH_TOO_LONG:
        return "too long"
    try:
        whole = der.element(data, 0, len(data))
    except NodeError:
        # OpenSSL reads on for as many bytes as the length promises.
        return _CUT_SHORT
    return _ofParts(whole)


def _ofParts(whole: der.Element) -> str | None:
    try:
        parts = _parts(whole, der.INTEGER, der.SEQUENCE)
        kind, _content = _parts(parts[1], der.OBJECT, _CONTENT)
    except NodeError as error:
        return str(getattr(error, "reason", None) or _WRONG)
    return None if kind.value == _DATA else "content type not data"


def _parts(parent: der.Element, *tags: int) -> list[der.Element]:
    """The first parts of a SEQUENCE, which are to have these tags."""
    der.expect(parent, der.SEQUENCE)
    found, at = [], parent.start
    for tag in tags:
        if at >= parent.stop:
            raise der.malformed(_MISSING)
        if at + 1 < parent.stop and parent.data[at + 1] >= _LENGTH_TOO_LONG:
            raise der.malformed("header too long")
        part = der.element(parent.data, at, parent.stop)
        found.append(der.expect(part, tag))
        at = part.end
    return found
