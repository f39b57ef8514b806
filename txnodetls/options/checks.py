"""
Checks of single options: C{check(path, value)} gives the value to keep, or raises.

Node looks at some options closely, at others not at all, and what it does with
None, False, 0 and an empty text differs from one to the next.  Each check says
in its docstring what it takes; the errors are Node's.

Source: https://nodejs.org/api/tls.html, https://nodejs.org/api/net.html and what
Node 24 does.
"""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final

from txnodetls.alpn import encodeALPN
from txnodetls.errors import (
    Blame,
    NodeTypeError,
    Phase,
    argumentValue,
    inspected,
    invalidArgType,
    invalidArgValue,
    outOfRange,
)
from txnodetls.interfaces import ISecureContext
from txnodetls.javascript import isInteger, isNumber, isTrue

__all__ = ["Check"]

Check = Callable[[str, Any], Any]

_PACKAGE: Final = os.path.dirname(os.path.dirname(__file__)) + os.sep


def callersLevel() -> int:
    """The C{stacklevel} for a warning about what was passed into this package from outside."""
    level = 1
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        if frame.f_back is None:
            break
        frame = frame.f_back
        level += 1
    return level


def anything(path: str, value: Any) -> Any:
    """Keep it as it is; whoever uses it checks it."""
    return value


def frozen(path: str, value: Any) -> Any:
    """Keep a copy that a change of the original does not reach."""
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (list, tuple)):
        return tuple(frozen(path, item) for item in value)
    if isinstance(value, Mapping):
        return {key: frozen(path, item) for key, item in value.items()}
    return value


def truth(path: str, value: Any) -> Any:
    """Whether it is true, in Python's sense; None stays None."""
    if value is None:
        return None
    try:
        return bool(value)
    except Exception as error:
        raise invalidArgType(path, "of type boolean", value) from error


def ifTrue(check: Check) -> Check:
    """Nothing for what is false, which a server takes for not given; else as the other check."""

    def checked(path: str, value: Any) -> Any:
        return check(path, value) if isTrue(value) else None

    return checked


def unlessFalse(path: str, value: Any) -> bool:
    """True for everything but False itself: a slip does not switch a protection off."""
    return value is not False


def strictBoolean(path: str, value: Any) -> Any:
    """A bool or None."""
    if value is not None and not isinstance(value, bool):
        raise invalidArgType(path, "of type boolean", value)
    return value


def number(path: str, value: Any) -> Any:
    """A number or None."""
    if value is not None and not isNumber(value):
        raise invalidArgType(path, "of type number", value)
    return value


def numberOrNothing(path: str, value: Any) -> Any:
    """A number; what is false in JavaScript (0, NaN, an empty text) counts as not given."""
    return number(path, value) if isTrue(value) else None


def numberOrZero(path: str, value: Any) -> Any:
    """A number; nothing for what else is false."""
    return 0 if isNumber(value) and value == 0 else numberOrNothing(path, value)


def numberAtLeast(minimum: int) -> Check:
    """A number from here on."""

    def check(path: str, value: Any) -> Any:
        if not isNumber(value):
            raise invalidArgType(path, "of type number", value)
        if not value >= minimum:
            raise outOfRange(path, f">= {minimum}", value)
        return value

    return check


def int32AtLeast(minimum: int) -> Check:
    """A whole number from here to 2**31 - 1, or None."""

    def check(path: str, value: Any) -> Any:
        if value is None:
            return None
        if not isNumber(value):
            raise invalidArgType(path, "of type number", value)
        if not isInteger(value):
            raise outOfRange(path, "an integer", "NaN" if value != value else value)
        if not minimum <= value <= 2**31 - 1:
            raise outOfRange(path, f">= {minimum} && <= 2147483647", value)
        return int(value)

    return check


def timeout(path: str, value: Any) -> Any:
    """Milliseconds: a number that is not negative; nothing for what is false."""
    if not isTrue(value):
        return None
    if not isNumber(value):
        raise invalidArgType("msecs", "of type number", value)
    if not 0 <= value < math.inf:
        raise outOfRange("msecs", "a non-negative finite number", value)
    return value


def function(path: str, value: Any) -> Any:
    """Something that can be called; None is not."""
    if not callable(value):
        raise invalidArgType(path, "of type function", value)
    return value


def functionOrNothing(path: str, value: Any) -> Any:
    """Something that can be called, or anything that is false."""
    return function(path, value) if isTrue(value) else None


def stringOrNothing(path: str, value: Any) -> Any:
    """A str, or anything that is false."""
    if not isTrue(value):
        return None
    if not isinstance(value, str):
        raise invalidArgType(path, "of type string", value)
    return value


def string(path: str, value: Any) -> Any:
    """A str or None."""
    if value is not None and not isinstance(value, str):
        raise invalidArgType(path, "of type string", value)
    return value


def servername(path: str, value: Any) -> Any:
    """A str, or anything that is false; Node's error speaks of the function behind it."""
    return stringOrNothing("name", value)


def clientPskCallback(path: str, value: Any) -> Any:
    """Something that can be called, or anything that is false."""
    return functionOrNothing("pskCallback", value)


def listenerMark(path: str, value: Any) -> Any:
    """A number; a negative one stands for the default."""
    if not isNumber(value):
        raise invalidArgType(path, "of type number", value)
    return int(value) if 0 <= value < math.inf else None


def streamMark(path: str, value: Any) -> Any:
    """A whole number of bytes that is not negative, or None."""
    if value is None:
        return None
    if not isNumber(value) or not isInteger(value) or value < 0:
        raise invalidArgValue("options.readableHighWaterMark", value)
    return int(value)


def blockList(path: str, value: Any) -> Any:
    """What has a C{check(address, family)}, as C{net.BlockList}, or anything that is false."""
    if not isTrue(value):
        return None
    if not callable(getattr(value, "check", None)):
        raise invalidArgType(path, "an net.BlockList", value)
    return value


def abortSignal(path: str, value: Any) -> Any:
    """A signal (see L{txnodetls.net.abort}), or anything that is false; Node names no path."""
    if not isTrue(value):
        return None
    listens = any(callable(getattr(value, name, None)) for name in ("on", "addEventListener"))
    if not listens or not hasattr(value, "aborted"):
        raise invalidArgType("signal", "an instance of AbortSignal", value)
    return value


def localAddress(path: str, value: Any) -> Any:
    """An IP address, or anything that is false; whether it is one shows when it is used."""
    if not isTrue(value):
        return None
    if not isinstance(value, str):
        raise NodeTypeError(
            f"Invalid IP address: {inspected(value)}",
            "ERR_INVALID_IP_ADDRESS",
            blame=Blame.CONFIGURATION,
            phase=Phase.CONNECTING,
        )
    return value


def ifGiven(path: str, value: Any) -> Any:
    """As it is, or nothing for what is false; whoever uses it checks it."""
    return value if isTrue(value) else None


def attemptTimeout(path: str, value: Any) -> Any:
    """Milliseconds, 10 at least: what is less is taken for 10."""
    checked = int32AtLeast(1)(path, value)
    return None if checked is None else max(checked, 10)


def secureContext(path: str, value: Any) -> Any:
    """An ISecureContext, or anything that is false."""
    if not isTrue(value):
        return None
    if not ISecureContext.providedBy(value):
        raise NodeTypeError(
            "context must be a SecureContext",
            "ERR_TLS_INVALID_CONTEXT",
            blame=Blame.CONFIGURATION,
        )
    return value


def sessionData(path: str, value: Any) -> Any:
    """Bytes, or anything that is false."""
    if not isTrue(value):
        return None
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise NodeTypeError(
            f"Session must be a buffer.{argumentValue(value)}",
            "ERR_INVALID_ARG_TYPE",
            blame=Blame.CONFIGURATION,
        )
    return bytes(value)


def sessionCache(path: str, value: Any) -> Any:
    """True, or a ClientSessionCache or what does its work; nothing for what is false."""
    if value is None or value is False:
        return None
    methods = (getattr(value, name, None) for name in ("take", "keep", "forget"))
    if value is True or (not isinstance(value, type) and all(map(callable, methods))):
        return value
    raise invalidArgType(path, "a ClientSessionCache or of type boolean", value)


def alpn(path: str, value: Any) -> Any:
    """The wire form; nothing for what is false."""
    encoded = encodeALPN(value, path)
    if encoded is None and isTrue(value):
        raise invalidArgType(path, "an instance of Array or Buffer", value)
    return encoded


def servingALPN(path: str, value: Any) -> Any:
    """The wire form; with a warning, nothing for what is neither list nor bytes, as in Node."""
    encoded = encodeALPN(value, path)
    if encoded is None and isTrue(value):
        warnings.warn(
            f"{path} is neither a list nor bytes and is not used",
            UserWarning,
            stacklevel=callersLevel(),
        )
    return encoded
