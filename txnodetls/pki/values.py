"""
What OpenSSL takes where a value of any type may stand.

In the attributes of a name and in "other names" the type of a value is up to
whoever made the certificate.  OpenSSL looks at every such value while it
reads, used or not, and one that is not what its tag says breaks the whole
around it.

Source: X.690, section 8; OpenSSL, C{crypto/asn1/tasn_dec.c}, C{asn1_ex_c2i}.
"""

from __future__ import annotations

from typing import Final

from txnodetls.pki import der
from txnodetls.pki.objects import dotted

__all__ = ["checkValue"]

_NULL: Final = 0x05
_ENUMERATED: Final = 0x0A
_WHOLE: Final = (der.SEQUENCE & ~0x20, der.SET & ~0x20)
_PRIMITIVE: Final = (der.BOOLEAN, der.INTEGER, _NULL, der.OBJECT, _ENUMERATED)
#: Octets for each character of strings with wide ones.
_WIDTHS: Final = {0x1C: (4, "universalstring"), 0x1E: (2, "bmpstring")}
_SHORTEST: Final = {der.UTC_TIME: (13, "utctime"), der.GENERALIZED_TIME: (15, "generalizedtime")}


def checkValue(found: der.Element) -> None:
    """
    Return if the value is one of its type, as far as OpenSSL looks at it.

    @raise NodeError: it is not.
    """
    if found.tag >= 0x40:
        return  # Not one of the types that everybody knows.
    kind, constructed = found.tag & ~0x20, bool(found.tag & 0x20)
    if kind in _WHOLE:
        if not constructed:
            raise der.malformed("type not constructed")
        return
    if kind in _PRIMITIVE:
        if constructed:
            raise der.malformed("type not primitive")
        _checkPrimitive(kind, found)
        return
    octets = der.content(found)
    width, label = _WIDTHS.get(kind, (1, ""))
    if len(octets) % width:
        raise der.malformed(f"{label} is wrong length")
    shortest, label = _SHORTEST.get(kind, (0, ""))
    if len(octets) < shortest:
        raise der.malformed(f"{label} is too short")
    if kind == der.BIT_STRING:
        der.bits(found)


def _checkPrimitive(kind: int, found: der.Element) -> None:
    if kind == der.BOOLEAN:
        der.boolean(found)
    elif kind == _NULL:
        if found.start != found.stop:
            raise der.malformed("null is wrong length")
    elif kind == der.OBJECT:
        dotted(found.value)
    else:
        der.number(found)
