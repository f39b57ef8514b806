"""
Options out of text: endpoint strings, switches of the daemon, its TOML file.

A text names files where Node's option holds their contents, separates the
members of a list by commas, and says yes or no in words.  Secrets can be kept
out of the text altogether: C{passphraseFile}, C{pskFile}, C{ticketKeysFile}.
"""

from __future__ import annotations

import binascii
import hmac
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

from txnodetls import constants
from txnodetls.errors import NodeError

__all__ = [
    "OptionTextError",
    "SEPARATOR",
    "Parser",
    "boolean",
    "clientPsk",
    "fileContents",
    "fileList",
    "fileOrWord",
    "integer",
    "number",
    "port",
    "readFile",
    "secretLine",
    "secureOptions",
    "serverPsk",
    "ticketKeysContents",
    "word",
    "words",
]

Parser = Callable[[str], Any]

# The members of a list, where it was written as one (in TOML) and not as a
# text: a character that no text contains keeps them apart.
SEPARATOR: Final = "\0"

_YES: Final = frozenset({"true", "yes", "on", "1"})
_NO: Final = frozenset({"false", "no", "off", "0"})

# Longer keys are refused by OpenSSL's handshake.
_PSK_MAX: Final = 256


class OptionTextError(NodeError, ValueError):
    """A text that does not make an option's value."""

    code = "ERR_INVALID_ARG_VALUE"


def word(text: str) -> str:
    """The text as it is."""
    return text


def words(text: str) -> list[str]:
    """A list, separated by commas; blanks around its members do not count."""
    if SEPARATOR in text:
        return [item for item in text.split(SEPARATOR) if item]
    return [item.strip() for item in text.split(",") if item.strip()]


def boolean(text: str) -> bool:
    """true, yes, on, 1; false, no, off, 0."""
    lowered = text.strip().lower()
    if lowered in _YES:
        return True
    if lowered in _NO:
        return False
    raise ValueError(f"{text!r} is neither true (yes, on, 1) nor false (no, off, 0)")


def integer(text: str) -> int:
    """A whole number, decimal or 0x..."""
    try:
        return int(text.strip(), 0)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number") from None


def number(text: str) -> float:
    """A number."""
    try:
        value = float(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None
    return int(value) if value.is_integer() else value


def port(text: str) -> int:
    """A port."""
    value = integer(text)
    if not 0 <= value <= 65535:
        raise ValueError(f"{text!r} is not a port (0 to 65535)")
    return value


def _fromDisk(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


# How files are read: the daemon keeps what it has read, and hands it to its workers.
readFile: Final[ContextVar[Callable[[str], bytes]]] = ContextVar("readFile", default=_fromDisk)


def fileContents(path: str) -> bytes:
    """The contents of a file."""
    try:
        return readFile.get()(path)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from error


def fileList(text: str) -> list[bytes]:
    """The contents of several files, separated by commas."""
    return [fileContents(path) for path in words(text)]


def fileOrWord(special: str) -> Parser:
    """The contents of a file, unless the text is this one word."""

    def parse(text: str) -> str | bytes:
        return special if text == special else fileContents(text)

    return parse


def secretLine(path: str) -> str:
    """The first line of a file, without its end."""
    line = fileContents(path).split(b"\n", 1)[0].rstrip(b"\r")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8") from None


def ticketKeysContents(path: str) -> bytes:
    """The 48 bytes of a file."""
    data = fileContents(path)
    if len(data) != constants.TICKET_KEYS_SIZE:
        raise ValueError(f"{path} holds {len(data)} bytes, not exactly 48")
    return data


def secureOptions(text: str) -> int:
    """A number, or names of SSL_OP_* separated by commas or bars."""
    known = constants.secureOptionNames()
    mask = 0
    for name in words(text.replace("|", ",").replace(SEPARATOR, ",")):
        full = name if name.startswith("SSL_OP_") else f"SSL_OP_{name}"
        if full in known:
            mask |= known[full]
        else:
            try:
                mask |= int(name, 0)
            except ValueError:
                raise ValueError(f"{name!r} is neither a number nor an SSL_OP_*") from None
    return mask


def _psks(path: str) -> list[tuple[str, bytes]]:
    """Lines C{identity:hexadecimal key}; blank ones and those with # in front do not count."""
    found = []
    try:
        text = fileContents(path).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8") from None
    for index, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        identity, separator, key = line.strip().rpartition(":")
        try:
            secret = binascii.unhexlify(key.strip())
        except (binascii.Error, ValueError):
            secret = b""
        if not separator or not identity or not 0 < len(secret) <= _PSK_MAX:
            # The line is not shown: it may hold a key.
            raise ValueError(f"line {index} of {path} is not identity:hexadecimal-key")
        found.append((identity, secret))
    if not found:
        raise ValueError(f"{path} holds no key")
    return found


def clientPsk(path: str) -> Callable[[object], dict[str, Any]]:
    """A C{pskCallback} for a client: the first key of the file."""
    identity, key = _psks(path)[0]

    def pskCallback(hint: object) -> dict[str, Any]:
        return {"identity": identity, "psk": key}

    return pskCallback


def serverPsk(path: str) -> Callable[[object, str], bytes | None]:
    """A C{pskCallback} for a server: the keys of the file by their identities."""
    table = [(identity.encode("utf-8"), key) for identity, key in _psks(path)]

    def pskCallback(socket: object, identity: str) -> bytes | None:
        asked = identity.encode("utf-8", "surrogateescape")
        found = None
        for known, key in table:
            # Every entry is looked at: the time does not tell which exist.
            if hmac.compare_digest(known, asked):
                found = key
        return found

    return pskCallback
