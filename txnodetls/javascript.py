"""
What JavaScript would say of a value: whether it is true, a number, a whole one; its bytes.

Node decides by it whether an option was given, and Python says otherwise in
places: an empty list, mapping or buffer is true there, and NaN is false.

Source: ECMA-262, ToBoolean and Number.isInteger.
"""

from __future__ import annotations

import math
from typing import TypeGuard

__all__ = ["isInteger", "isNumber", "isTrue", "utf8"]


def isTrue(value: object) -> bool:
    """Whether it is true: everything but None, False, 0, NaN and an empty text."""
    if value is None or value is False:
        return False
    if isinstance(value, str):
        return value != ""
    return not isNumber(value) or not (value == 0 or _isNaN(value))


def isNumber(value: object) -> TypeGuard[int | float]:
    """Whether it is a number; a bool is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def isInteger(value: float) -> bool:
    """Whether a number is a whole one; infinity is not."""
    return isinstance(value, int) or value.is_integer()


def utf8(text: str) -> bytes:
    """
    The bytes of a text; what Python took from a name of a file that is no UTF-8 as it was.

    Half a surrogate pair is U+FFFD, as where JavaScript's strings leave it.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode("utf-8")


def _isNaN(value: float) -> bool:
    return isinstance(value, float) and math.isnan(value)
