"""
The options: which there are, what they take, and where they can be written down.

There is one table per set of options.  It serves the Python calls
(L{readOptions}), and it serves text (L{fromText}): endpoint strings, the
switches of the daemon and its TOML file, so that a name means the same
everywhere.  Options are read once, before any I/O, into an L{Options}, which
does not change afterwards.

The checks made here are Node's, with Node's errors.  What makes a secure
context (keys, certificates, ciphers ...) is checked where the context is built,
in the order in which Node does it.

Sources: https://nodejs.org/api/tls.html, https://nodejs.org/api/net.html
"""

from __future__ import annotations

import difflib
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from txnodetls import constants, optiontext
from txnodetls.alpn import convertALPNProtocols, encodeALPN
from txnodetls.errors import (
    Blame,
    NodeRangeError,
    NodeTypeError,
    invalidArgType,
    outOfRange,
)
from txnodetls.optiontext import OptionTextError, Parser

__all__ = [
    "CONNECT",
    "CONTEXT",
    "LISTEN",
    "NET_CONNECT",
    "NET_SERVER",
    "SERVER",
    "SOCKET",
    "Option",
    "OptionTable",
    "OptionTextError",
    "Options",
    "UnknownOptionWarning",
    "convertALPNProtocols",
    "encodeALPN",
    "fromText",
    "readOptions",
]

Check = Callable[[str, Any], Any]

_PACKAGE: Final = os.path.dirname(__file__) + os.sep


class UnknownOptionWarning(UserWarning):
    """An option has a name that nothing knows."""


@dataclass(frozen=True, slots=True)
class Option:
    """
    One option.

    @ivar name: Node's name.
    @ivar kind: what it takes, in a word or two.
    @ivar check: C{check(path, value)} gives the value to keep, or raises.
    @ivar parse: its value out of a text, or None if it has no text form.
    @ivar refusal: why there is no text form, and what to do in Python instead.
    """

    name: str
    kind: str
    check: Check
    parse: Parser | None = None
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class FromFile:
    """A name that exists in text only: an option out of a file."""

    name: str
    option: str
    parse: Parser


class OptionTable(Mapping[str, Option]):
    """
    A set of options by their names.

    @ivar name: under which it can be found in this module.
    @ivar files: the names that exist in text only.
    """

    __slots__ = ("_options", "files", "name")

    def __init__(self, name: str, *parts: OptionTable | Option | FromFile) -> None:
        self.name = name
        self._options: dict[str, Option] = {}
        self.files: dict[str, FromFile] = {}
        for part in parts:
            if isinstance(part, OptionTable):
                self._options |= part._options
                self.files |= part.files
            elif isinstance(part, FromFile):
                self.files[part.name] = part
            else:
                self._options[part.name] = part

    def __getitem__(self, name: str) -> Option:
        return self._options[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._options)

    def __len__(self) -> int:
        return len(self._options)

    def textNames(self) -> list[str]:
        """The names that can be written in text."""
        return sorted([n for n, o in self.items() if o.parse is not None] + list(self.files))

    def nearest(self, name: str, among: list[str] | None = None) -> str | None:
        """The known name most like this one."""
        known = list(self) if among is None else among
        lowered = {candidate.lower(): candidate for candidate in known}
        close = difflib.get_close_matches(name.lower(), lowered, 1, 0.6)
        return lowered[close[0]] if close else None


class Options(Mapping[str, Any]):
    """
    Options that were checked; read only.

    An option is a key if it was given, were it as None, and always an
    attribute: None if it was not given.
    """

    __slots__ = ("_values", "table")

    def __init__(self, table: OptionTable, values: Mapping[str, Any] | None = None) -> None:
        self.table = table
        self._values = dict(values or ())

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self.table:
            raise AttributeError(f"{self.table.name} has no option {name}")
        return self._values.get(name)

    def __or__(self, other: Mapping[str, Any]) -> Options:
        """These options, with others in place of those of the same name."""
        return Options(self.table, self._values | dict(other))

    def only(self, table: OptionTable) -> Options:
        """Those that this table has."""
        return Options(table, {n: v for n, v in self._values.items() if n in table})

    def __repr__(self) -> str:
        # Names only: keys and passphrases belong in no log.
        return f"<Options {self.table.name}: {', '.join(self._values) or 'none'}>"


def readOptions(
    table: OptionTable,
    options: object = None,
    keywords: Mapping[str, Any] | None = None,
    name: str = "options",
) -> Options:
    """
    Options out of a mapping and of keyword arguments, of which the latter win.

    A name that nothing knows is warned about (L{UnknownOptionWarning}) and
    dropped.  L{Options} of the same table are taken as they are.

    @param name: what errors call the mapping.
    @raise NodeError: C{ERR_INVALID_ARG_TYPE} and others, as Node throws them.
    """
    if isinstance(options, Options) and options.table is table and not keywords:
        return options
    given: dict[str, Any] = {}
    if isinstance(options, Mapping):
        given.update(options)
    elif options:
        raise invalidArgType(name, "of type object", options)
    elif isinstance(options, (list, tuple)):
        # An empty one: an object to JavaScript, but not the kind that Node takes.
        raise invalidArgType(name, "of type object", options)
    if keywords:
        given.update(keywords)
    checked = {}
    for key, value in given.items():
        option = table.get(key) if isinstance(key, str) else None
        if option is None:
            _warnUnknown(table, key)
        else:
            checked[key] = option.check(f"{name}.{key}", value)
    _checkTogether(checked)
    return Options(table, checked)


def _checkTogether(options: Mapping[str, Any]) -> None:
    if options.get("ALPNCallback") and options.get("ALPNProtocols") is not None:
        raise NodeTypeError(
            "The ALPNCallback and ALPNProtocols TLS options are mutually exclusive",
            "ERR_TLS_ALPN_CALLBACK_WITH_PROTOCOLS",
            blame=Blame.CONFIGURATION,
        )


def _warnUnknown(table: OptionTable, name: object) -> None:
    nearest = table.nearest(str(name))
    hint = f"; did you mean {nearest!r}?" if nearest else ""
    warnings.warn(
        f"unknown option {name!r}{hint} (all of them: txnodetls.options.{table.name})",
        UnknownOptionWarning,
        stacklevel=_callersLevel(),
    )


def _callersLevel() -> int:
    """The stack level of the first caller outside of this package."""
    level = 1
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        if frame.f_back is None:
            break
        frame = frame.f_back
        level += 1
    return level


def fromText(table: OptionTable, texts: Mapping[str, str]) -> dict[str, Any]:
    """
    Options out of texts by their names, to be given to Python's calls.

    @raise OptionTextError: an unknown name, one without a text form, or a
        text that does not make a value; it names the option and what is near.
    """
    found: dict[str, Any] = {}
    for name, text in texts.items():
        target, value = _fromOne(table, name, text)
        if target in found:
            raise OptionTextError(f"option {name}: {target} is given twice")
        found[target] = value
    return found


def _fromOne(table: OptionTable, name: str, text: str) -> tuple[str, Any]:
    option = table.files.get(name) or table.get(name)
    if option is None:
        nearest = table.nearest(name, table.textNames())
        hint = f"; did you mean {nearest}?" if nearest else ""
        raise OptionTextError(
            f"unknown option {name}{hint} (all of them: txnodetls.options.{table.name}.textNames())"
        )
    if option.parse is None:
        assert isinstance(option, Option)
        raise OptionTextError(f"{name} {option.refusal}")
    try:
        value = option.parse(text)
    except ValueError as error:
        raise OptionTextError(f"option {name}: {error}") from error
    return (option.option if isinstance(option, FromFile) else option.name), value


# -- checks: check(path, value) -> the value to keep


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
    """Whether it is true; None stays None."""
    return None if value is None else bool(value)


def unlessFalse(path: str, value: Any) -> bool:
    """True for everything but False itself: a slip does not switch a protection off."""
    return value is not False


def strictBoolean(path: str, value: Any) -> Any:
    """A bool or None."""
    if value is not None and not isinstance(value, bool):
        raise invalidArgType(path, "of type boolean", value)
    return value


def isNumber(value: Any) -> bool:
    """Whether JavaScript would call it a number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def number(path: str, value: Any) -> Any:
    """A number or None."""
    if value is not None and not isNumber(value):
        raise invalidArgType(path, "of type number", value)
    return value


def numberOrNothing(path: str, value: Any) -> Any:
    """A number; what is false in JavaScript (0, NaN, an empty text) counts as not given."""
    if value is None or value is False or value == "" or value == 0 or value != value:
        return None
    return number(path, value)


def numberAtLeast(minimum: int) -> Check:
    """A number from here on."""

    def check(path: str, value: Any) -> Any:
        if not isNumber(value):
            raise invalidArgType(path, "of type number", value)
        if value < minimum or math.isnan(value):
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
        if value != value or value in (math.inf, -math.inf) or value != int(value):
            raise outOfRange(path, "an integer", value)
        if not minimum <= value <= 2**31 - 1:
            raise outOfRange(path, f">= {minimum} && <= 2147483647", value)
        return int(value)

    return check


def timeout(path: str, value: Any) -> Any:
    """Milliseconds: a number that is not negative; nothing for what is false."""
    if not value:
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
    return function(path, value) if value else None


def functionOrIgnored(path: str, value: Any) -> Any:
    """Something that can be called; Node passes over whatever cannot."""
    return value if callable(value) else None


def stringOrNothing(path: str, value: Any) -> Any:
    """A str, or anything that is false."""
    if not value:
        return None
    if not isinstance(value, str):
        raise invalidArgType(path, "of type string", value)
    return value


def sessionData(path: str, value: Any) -> Any:
    """Bytes, or nothing."""
    if value is None:
        return None
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise invalidArgType(path, "an instance of Buffer, TypedArray, or DataView", value)
    return bytes(value)


def alpn(path: str, value: Any) -> Any:
    """The wire form; a str is taken for a slip, with a warning, and not used (as in Node)."""
    encoded = encodeALPN(value, path)
    if encoded is None and value is not None:
        warnings.warn(
            f"{path} is neither a list nor bytes and is not used",
            UserWarning,
            stacklevel=_callersLevel(),
        )
    return encoded


# -- the tables

_CALLBACK = "is a callback and has no text form; use {} in Python"
_OBJECT = "is an object and has no text form; use {} in Python"
_ON_SERVER = "createServer(...) or wrapServer(...)"
_ON_CLIENT = "connect(...) or wrapClient(...)"
_ON_BOTH = "connect(...) or createServer(...)"


def _callback(name: str, check: Check, where: str) -> Option:
    return Option(name, "callback", check, refusal=_CALLBACK.format(where))


def _object(name: str, where: str, check: Check = anything) -> Option:
    return Option(name, "object", check, refusal=_OBJECT.format(where))


CONTEXT: Final = OptionTable(
    "CONTEXT",
    Option("key", "PEM", frozen, optiontext.fileList),
    Option("cert", "PEM", frozen, optiontext.fileList),
    Option("ca", "PEM", frozen, optiontext.fileList),
    Option("passphrase", "text", anything, optiontext.word),
    FromFile("passphraseFile", "passphrase", optiontext.secretLine),
    Option("pfx", "PFX", frozen, optiontext.fileList),
    Option("crl", "PEM", frozen, optiontext.fileList),
    Option("ciphers", "text", anything, optiontext.word),
    Option("minVersion", "version", anything, optiontext.word),
    Option("maxVersion", "version", anything, optiontext.word),
    Option("secureProtocol", "text", anything, optiontext.word),
    Option("secureOptions", "bits", anything, optiontext.secureOptions),
    Option("ecdhCurve", "text", anything, optiontext.word),
    Option("sigalgs", "text", anything, optiontext.word),
    Option("dhparam", "PEM", frozen, optiontext.fileOrWord("auto")),
    Option("honorCipherOrder", "boolean", truth, optiontext.boolean),
    Option("sessionIdContext", "text", frozen, optiontext.word),
    Option("sessionTimeout", "seconds", anything, optiontext.integer),
    Option("ticketKeys", "48 bytes", frozen, optiontext.ticketKeysContents),
    FromFile("ticketKeysFile", "ticketKeys", optiontext.ticketKeysContents),
    Option("allowPartialTrustChain", "boolean", truth, optiontext.boolean),
    Option("certificateCompression", "list", frozen, optiontext.words),
    Option("clientCertEngine", "text", anything, optiontext.word),
    Option("privateKeyEngine", "text", anything, optiontext.word),
    Option("privateKeyIdentifier", "text", anything, optiontext.word),
)

_STREAM: Final = OptionTable(
    "STREAM",
    Option("allowHalfOpen", "boolean", truth, optiontext.boolean),
    Option("highWaterMark", "bytes", number, optiontext.integer),
    Option("noDelay", "boolean", truth, optiontext.boolean),
    Option("keepAlive", "boolean", truth, optiontext.boolean),
    Option("keepAliveInitialDelay", "milliseconds", anything, optiontext.number),
    _object("blockList", _ON_BOTH),
    _object("reactor", _ON_BOTH),
    _object("signal", _ON_BOTH),
)

NET_SERVER: Final = OptionTable(
    "NET_SERVER",
    _STREAM,
    Option("pauseOnConnect", "boolean", truth, optiontext.boolean),
)

NET_CONNECT: Final = OptionTable(
    "NET_CONNECT",
    _STREAM,
    Option("host", "text", anything, optiontext.word),
    Option("port", "port", anything, optiontext.port),
    Option("path", "text", anything, optiontext.word),
    Option("family", "4, 6 or 0", anything, optiontext.integer),
    Option("hints", "bits", anything, optiontext.integer),
    Option("localAddress", "text", anything, optiontext.word),
    Option("localPort", "port", anything, optiontext.port),
    Option("autoSelectFamily", "boolean", strictBoolean, optiontext.boolean),
    Option(
        "autoSelectFamilyAttemptTimeout",
        "milliseconds",
        int32AtLeast(1),
        optiontext.integer,
    ),
    Option("timeout", "milliseconds", timeout, optiontext.number),
    Option("fd", "number", anything, optiontext.integer),
    _callback("lookup", anything, _ON_CLIENT),
    _object("onread", _ON_CLIENT),
)

LISTEN: Final = OptionTable(
    "LISTEN",
    Option("host", "text", anything, optiontext.word),
    Option("port", "port", anything, optiontext.port),
    Option("path", "text", anything, optiontext.word),
    Option("backlog", "number", anything, optiontext.integer),
    Option("exclusive", "boolean", truth, optiontext.boolean),
    Option("ipv6Only", "boolean", truth, optiontext.boolean),
    Option("reusePort", "boolean", truth, optiontext.boolean),
    Option("readableAll", "boolean", truth, optiontext.boolean),
    Option("writableAll", "boolean", truth, optiontext.boolean),
    Option("fd", "number", anything, optiontext.integer),
    _object("endpoint", "listen(...)"),
    _object("handle", "listen(...)"),
    _object("signal", "listen(...)"),
)

# What both sides of a connection have.
_TLS: Final = OptionTable(
    "TLS",
    CONTEXT,
    Option("ALPNProtocols", "list", alpn, optiontext.words),
    Option("NPNProtocols", "list", anything, optiontext.words),
    Option("rejectUnauthorized", "boolean", unlessFalse, optiontext.boolean),
    _object("secureContext", _ON_BOTH),
)

_SERVING: Final = OptionTable(
    "SERVING",
    Option("requestCert", "boolean", truth, optiontext.boolean),
    Option("handshakeTimeout", "milliseconds", numberOrNothing, optiontext.number),
    Option("pskIdentityHint", "text", stringOrNothing, optiontext.word),
    Option("checkServerIdentity", "callback", anything, None, _CALLBACK.format(_ON_CLIENT)),
    _callback("ALPNCallback", anything, _ON_SERVER),
    _callback("SNICallback", functionOrNothing, _ON_SERVER),
    _callback("pskCallback", functionOrNothing, _ON_SERVER),
    FromFile("pskFile", "pskCallback", optiontext.serverPsk),
    _object("sessionStore", _ON_SERVER),
    _object("ocspResponder", _ON_SERVER),
)

SERVER: Final = OptionTable(
    "SERVER",
    NET_SERVER,
    _TLS,
    _SERVING,
    Option("enableTrace", "boolean", truth, optiontext.boolean),
)

CONNECT: Final = OptionTable(
    "CONNECT",
    NET_CONNECT,
    _TLS,
    Option("servername", "text", anything, optiontext.word),
    Option("minDHSize", "bits", numberAtLeast(1), optiontext.integer),
    Option("requestOCSP", "boolean", truth, optiontext.boolean),
    Option("enableTrace", "boolean", strictBoolean, optiontext.boolean),
    Option("session", "bytes", sessionData, None, _OBJECT.format(_ON_CLIENT)),
    _callback("checkServerIdentity", function, _ON_CLIENT),
    _callback("pskCallback", functionOrNothing, _ON_CLIENT),
    FromFile("pskFile", "pskCallback", optiontext.clientPsk),
    _object("socket", _ON_CLIENT),
)

SOCKET: Final = OptionTable(
    "SOCKET",
    CONNECT,
    _SERVING,
    NET_SERVER,
    Option("isServer", "boolean", truth, optiontext.boolean),
    Option("checkServerIdentity", "callback", anything, None, _CALLBACK.format(_ON_CLIENT)),
    _object("server", "TLSSocket(...)"),
)
