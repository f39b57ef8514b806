"""
Whether the extensions that OpenSSL judges a certificate by can be read.

OpenSSL reads a dozen of a certificate's extensions before it says anything
about it, and calls the certificate invalid if one of them is broken or comes
twice: it is then no authority, and issued by nobody.  Here are the shapes of
those extensions of which nothing else is needed.

Source: RFC 5280, 4.2; RFC 3820; OpenSSL, C{crypto/x509/v3_purp.c}.
"""

from __future__ import annotations

from collections.abc import Callable

from txnodetls.pki import der
from txnodetls.pki.names import readName
from txnodetls.pki.x509text import readGeneralName

__all__ = ["SHAPES"]

#: Raises L{NodeError} for an element that has not the shape.
_Shape = Callable[[der.Element], object]


# Of sequences of the same, and of strings, OpenSSL takes both forms.
_FIRST, _SECOND, _THIRD = (0xA0, 0x80), (0xA1, 0x81), (0xA2, 0x82)
_OCTETS = (der.OCTET_STRING, der.OCTET_STRING | 0x20)


def _each(shape: _Shape) -> _Shape:
    """A sequence of what has this shape, whatever its own tag."""

    def check(found: der.Element) -> None:
        for child in der.children(found):
            shape(child)

    return check


def _parts(*known: tuple[tuple[int, ...], _Shape], needed: int = 0) -> _Shape:
    """
    A sequence of parts told by their tags, in this order, of which any may be left out.

    @param known: tags, and the shape of the part that has one of them.
    @param needed: the tag of the one that may not.
    """

    def check(found: der.Element) -> None:
        waiting = list(known)
        for child in der.children(found):
            while waiting and child.tag not in waiting[0][0]:
                _mayMiss(waiting.pop(0)[0])
            if not waiting:
                raise der.malformed("sequence length mismatch")
            waiting.pop(0)[1](child)
        for tags, _ in waiting:
            _mayMiss(tags)

    def _mayMiss(tags: tuple[int, ...]) -> None:
        if needed in tags:
            raise der.malformed("field missing")

    return check


def _anything(found: der.Element) -> None:
    pass


def _subtree(found: der.Element) -> None:
    """A name, then perhaps a minimum and a maximum."""
    parts = [*der.children(der.expect(found, der.SEQUENCE))]
    if not parts:
        raise der.malformed("field missing")
    base, *limits = parts
    readGeneralName(base)
    if [each.tag for each in limits] not in ([], [0x80], [0x81], [0x80, 0x81]):
        raise der.malformed("sequence length mismatch")
    for limit in limits:
        der.number(limit)


def _pointName(found: der.Element) -> None:
    """Where revocations are: full names, or one relative to the issuer's."""
    wrapped = der.expect(der.only(found.value), *_FIRST, *_SECOND)
    if wrapped.tag in _FIRST:
        _generalNames(wrapped)
    else:
        relative = der.encode(der.SEQUENCE, der.encode(der.SET, wrapped.value))
        readName(der.only(relative))


_generalNames = _each(readGeneralName)
_constraints = _parts((_FIRST, _each(_subtree)), (_SECOND, _each(_subtree)))
_point = _parts(((0xA0,), _pointName), (_SECOND, der.bits), (_THIRD, _generalNames))
_policy = _parts(((der.OBJECT,), _anything), (_OCTETS, _anything), needed=der.OBJECT)
_proxy = _parts(((der.INTEGER,), der.number), ((der.SEQUENCE,), _policy), needed=der.SEQUENCE)


def _points(found: der.Element) -> None:
    for child in der.children(found):
        _point(der.expect(child, der.SEQUENCE))


def _whole(shape: _Shape, *tags: int) -> Callable[[bytes], object]:
    return lambda value: shape(der.only(value, *tags))


#: Extension to what raises L{NodeError} if its value has not the right shape.
SHAPES: dict[str, Callable[[bytes], object]] = {
    "2.5.29.17": _whole(_generalNames, *der.SEQUENCE_OF),
    "2.5.29.30": _whole(_constraints, der.SEQUENCE),
    "2.5.29.31": _whole(_points, *der.SEQUENCE_OF),
    "1.3.6.1.5.5.7.1.14": _whole(_proxy, der.SEQUENCE),
    "2.16.840.1.113730.1.1": _whole(der.bits, der.BIT_STRING, der.BIT_STRING | 0x20),
}
