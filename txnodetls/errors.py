"""
Node's errors: one exception class per JavaScript error class, and Node's codes.

Every error that this package raises or emits is a L{NodeError}.  Its C{code}
is Node's (C{ERR_TLS_CERT_ALTNAME_INVALID}, C{ECONNRESET}, C{EPIPE} ...), its
C{message} is Node's text where Node has one.  Beside them stand what Node
does not tell: C{blame} (which side caused it), C{phase} (when it happened)
and C{alert} (the TLS alert received or sent, if there was one).

Never match on the text; match on C{code}.

Source: https://nodejs.org/api/errors.html
"""

from __future__ import annotations

import enum
import errno as _errno
import json
import math
import os
from typing import Any, Final

__all__ = [
    "Blame",
    "CertificateError",
    "NodeDeprecationWarning",
    "NodeError",
    "NodeRangeError",
    "NodeTypeError",
    "OpenSSLError",
    "Phase",
    "SystemCallError",
    "argumentValue",
    "asJSON",
    "featureUnavailable",
    "handshakeTimedOut",
    "inspected",
    "invalidArgType",
    "invalidArgValue",
    "missingArgs",
    "outOfRange",
    "plural",
    "socketError",
]


class Blame(enum.Enum):
    """Which side an error is to be laid to."""

    PEER = "peer"
    LOCAL = "local"
    CONFIGURATION = "configuration"


class Phase(enum.Enum):
    """When an error happened."""

    CONFIGURING = "configuring"
    CONNECTING = "connecting"
    HANDSHAKING = "handshaking"
    OPEN = "open"
    CLOSING = "closing"


class NodeError(Exception):
    """
    An error with Node's C{code} and C{message}.

    @ivar code: Node's code, or None for the few errors to which Node gives none.
    @ivar message: the text.
    @ivar name: the name of JavaScript's class: Error, TypeError, RangeError.
    @ivar blame: a L{Blame}, or None where neither side is at fault.
    @ivar phase: a L{Phase}, or None outside of any connection.
    @ivar alert: the number of the TLS alert that came with it, or None.
    """

    name = "Error"
    code: str | None = None
    blame: Blame | None = None
    phase: Phase | None = None
    alert: int | None = None

    def __init__(self, message: str, code: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        for key, value in details.items():
            setattr(self, key, value)

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        code = f" [{self.code}]" if self.code else ""
        return f"<{type(self).__name__}{code}: {self.message}>"


class NodeTypeError(NodeError, TypeError):
    """JavaScript's TypeError: a value of the wrong type."""

    name = "TypeError"


class NodeRangeError(NodeError, ValueError):
    """JavaScript's RangeError: a number out of range."""

    name = "RangeError"


class OpenSSLError(NodeError):
    """
    What OpenSSL reported.

    @ivar library: OpenSSL's name of its part, e.g. C{SSL routines}.
    @ivar reason: OpenSSL's reason text.
    @ivar function: the function's name, where this OpenSSL still tells it.
    @ivar opensslErrorStack: the further entries of the error queue, as texts.
    """

    library: str | None = None
    reason: str | None = None
    function: str | None = None
    opensslErrorStack: tuple[str, ...] = ()


class CertificateError(NodeError):
    """
    The peer's certificate is not valid for the name that was asked for.

    @ivar reason: why, in words.
    @ivar host: the name or address that was looked for.
    @ivar cert: the certificate, as C{getPeerCertificate()} gives it.
    """

    code = "ERR_TLS_CERT_ALTNAME_INVALID"
    blame = Blame.PEER

    def __init__(self, reason: str, host: str, cert: dict[str, Any]) -> None:
        super().__init__(f"Hostname/IP does not match certificate's altnames: {reason}")
        self.reason = reason
        self.host = host
        self.cert = cert


class SystemCallError(NodeError):
    """
    A system call failed.

    @ivar syscall: its name: connect, read, write, listen, getaddrinfo ...
    @ivar errno: the negative number of the error, as in Node.
    @ivar address: the address concerned, or None.
    @ivar port: the port concerned, or None.
    """

    syscall: str | None = None
    errno: int | None = None
    address: str | None = None
    port: int | None = None


# What libuv, and so Node, says otherwise than the C library.
_LIBUV_TEXTS = {
    "EADDRINUSE": "address already in use",
    "EADDRNOTAVAIL": "address not available",
    "EAFNOSUPPORT": "address family not supported",
    "EMFILE": "too many open files",
    "ENFILE": "file table overflow",
    "ENOTSOCK": "socket operation on non-socket",
}


class NodeDeprecationWarning(DeprecationWarning):
    """
    A warning about what Node has deprecated.

    @ivar code: Node's code, e.g. C{DEP0123}.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


def socketError(
    number: int,
    syscall: str,
    address: str | None = None,
    port: int | None = None,
    **details: Any,
) -> SystemCallError:
    """
    A L{SystemCallError} with Node's text: C{connect ECONNREFUSED 127.0.0.1:80}.

    @param number: the positive C{errno}.
    """
    code = _errno.errorcode.get(number, f"Unknown system error {number}")
    where = ""
    if address is not None:
        where = f" {address}" if port is None else f" {address}:{port}"
    text = f"{syscall} {code}{where}"
    if syscall == "listen" or syscall == "bind":
        words = _LIBUV_TEXTS.get(code) or os.strerror(number).lower()
        text = f"{syscall} {code}: {words}{where}"
    error = SystemCallError(text, code, syscall=syscall, errno=-number, **details)
    if address is not None:
        error.address = address
    if port is not None:
        error.port = port
    return error


def plural(names: list[str], last: str = "or") -> str:
    """C{a, b or c}."""
    if len(names) == 1:
        return names[0]
    if len(names) == 2:
        return f"{names[0]} {last} {names[1]}"
    return f"{', '.join(names[:-1])}, {last} {names[-1]}"


def argumentValue(value: object) -> str:
    """How Node describes a value it did not like, in Python's terms."""
    if value is None:
        return " Received null"
    if callable(value):
        return f" Received function {getattr(value, '__name__', '')}".rstrip()
    if isinstance(value, bool):
        return f" Received type boolean ({str(value).lower()})"
    if isinstance(value, (int, float)):
        return f" Received type number ({_numeral(value)})"
    if isinstance(value, str):
        shown = value if len(value) <= 28 else value[:25] + "..."
        return f" Received type string ({shown!r})"
    if isinstance(value, (list, tuple)):
        return " Received an instance of Array"
    if isinstance(value, dict):
        return " Received an instance of Object"
    return f" Received an instance of {type(value).__name__}"


def _numeral(value: float) -> str:
    """A number, unless it has more digits than anybody reads."""
    if isinstance(value, int) and value.bit_length() > 1024:
        return "-Infinity" if value < 0 else "Infinity"
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(str(value), str(value))


def inspected(value: object) -> str:
    """A value as Node's C{util.inspect} shows it, in Python's terms, cut where Node cuts it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return _numeral(value)
    try:
        text = repr(value)
    except Exception:
        # Not everything can say what it is.
        text = f"an instance of {type(value).__name__}"
    return text if len(text) <= 128 else text[:128] + "..."


def asJSON(value: object) -> str:
    """A value as JavaScript's C{JSON.stringify} writes it, as far as there is one."""
    if isinstance(value, str):
        # Node puts the quotes around it and escapes nothing.
        return f'"{value}"'
    if isinstance(value, float) and not math.isfinite(value):
        return "null"
    try:
        return "undefined" if callable(value) else json.dumps(value, **_JSON)
    except Exception:
        return "undefined"


def _buffer(value: object) -> dict[str, Any] | None:
    """What JavaScript makes of what JSON has not."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"type": "Buffer", "data": list(bytes(value))}
    return None


_JSON: Final[dict[str, Any]] = {"separators": (",", ":"), "default": _buffer}


def _subject(name: str) -> str:
    if name.endswith(" argument"):
        return f"The {name}"
    return f'The "{name}" {"property" if "." in name else "argument"}'


def invalidArgType(name: str, expected: str, value: object) -> NodeTypeError:
    """
    C{ERR_INVALID_ARG_TYPE}.

    @param name: the argument's name, or the option's whole path
        (C{options.key}), which makes the text speak of a property.
    @param expected: what was expected, in words that follow "must be".
    """
    return NodeTypeError(
        f"{_subject(name)} must be {expected}.{argumentValue(value)}",
        "ERR_INVALID_ARG_TYPE",
        blame=Blame.CONFIGURATION,
    )


def invalidArgValue(name: str, value: object, reason: str = "is invalid") -> NodeTypeError:
    """C{ERR_INVALID_ARG_VALUE}."""
    kind = "property" if "." in name else "argument"
    return NodeTypeError(
        f"The {kind} '{name}' {reason}. Received {inspected(value)}",
        "ERR_INVALID_ARG_VALUE",
        blame=Blame.CONFIGURATION,
    )


def outOfRange(name: str, bounds: str, value: object) -> NodeRangeError:
    """C{ERR_OUT_OF_RANGE}; C{bounds} follows "It must be"."""
    received = value if isinstance(value, str) else inspected(value)
    return NodeRangeError(
        f'The value of "{name}" is out of range. It must be {bounds}. Received {received}',
        "ERR_OUT_OF_RANGE",
        blame=Blame.CONFIGURATION,
    )


def missingArgs(*names: str) -> NodeTypeError:
    """C{ERR_MISSING_ARGS}."""
    quoted = [f'"{name}"' for name in names]
    noun = "argument" if len(quoted) == 1 else "arguments"
    return NodeTypeError(
        f"The {plural(quoted, 'and')} {noun} must be specified",
        "ERR_MISSING_ARGS",
        blame=Blame.CONFIGURATION,
    )


def featureUnavailable(feature: str, function: str) -> NodeTypeError:
    """
    C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM}: what this build of OpenSSL cannot do.

    @param feature: Node's name of what was asked for, e.g. C{ticketKeys}.
    @param function: the OpenSSL function that could not be had.
    """
    return NodeTypeError(
        f"The feature {feature} is unavailable on the current platform: "
        f"{function} cannot be reached in this build of OpenSSL",
        "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM",
        blame=Blame.CONFIGURATION,
    )


def handshakeTimedOut(blame: Blame = Blame.PEER) -> NodeError:
    """C{ERR_TLS_HANDSHAKE_TIMEOUT}."""
    return NodeError(
        "TLS handshake timeout",
        "ERR_TLS_HANDSHAKE_TIMEOUT",
        blame=blame,
        phase=Phase.HANDSHAKING,
    )
