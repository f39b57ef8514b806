"""
The ClientHello, read before OpenSSL sees it.

Questions that take time (which context, which stored session) are asked while
the ClientHello is held back; so it has to be understood without OpenSSL.  The
bytes come from anyone: every length is checked against what is there, nothing
is allocated on a peer's word, and what is not a ClientHello is handed on to
OpenSSL, which has the right alert for it.

A ClientHello is one handshake message.  It may be spread over many records,
and a record over many reads (RFC 8446 section 5.1).

Sources: RFC 8446 section 4.1.2, RFC 6066 section 3, RFC 7301, RFC 5077.
"""

from __future__ import annotations

import enum
from struct import Struct
from struct import error as StructError
from typing import Final, NamedTuple

__all__ = ["ClientHello", "ClientHelloParser", "Reading"]

# A longer ClientHello is none to us.  OpenSSL would take twice as much; but
# the engine completes no handshake whose ClientHello was not understood here.
MAX_CLIENT_HELLO: Final = 65536

_HANDSHAKE_RECORD: Final = 22
_CLIENT_HELLO: Final = 1
_MAX_RECORD: Final = 16384 + 256

_SERVER_NAME: Final = 0
_HOST_NAME: Final = 0  # the kind of a name
_STATUS_REQUEST: Final = 5
_ALPN: Final = 16
_SESSION_TICKET: Final = 35
_PRE_SHARED_KEY: Final = 41
_SUPPORTED_VERSIONS: Final = 43
_OF_INTEREST: Final = frozenset(
    (_SERVER_NAME, _STATUS_REQUEST, _ALPN, _SESSION_TICKET, _PRE_SHARED_KEY, _SUPPORTED_VERSIONS)
)

_number: Final = Struct(">H").unpack_from
_head: Final = Struct(">HH").unpack_from
# The length of the list of names; the kind of the first, and its length.
_nameHead: Final = Struct(">HBH").unpack_from


class Reading(enum.Enum):
    """How far the parser is."""

    MORE = "more bytes are needed"
    DONE = "the ClientHello is complete"
    NOT_TLS = "this is no ClientHello"


class ClientHello(NamedTuple):
    """
    What a ClientHello says, as far as anyone asks.

    @ivar servername: the host name, or None.
    @ivar sessionId: the session id, possibly empty.
    @ivar alpn: the protocols offered, in order.
    @ivar ticket: the session ticket (TLS 1.2); None if the extension is absent.
    @ivar statusRequest: whether an OCSP staple is asked for.
    @ivar versions: the versions of TLS offered, as numbers (0x0304 is 1.3).
    @ivar pskIdentities: the identities of the pre-shared keys offered (1.3).
    """

    servername: str | None = None
    sessionId: bytes = b""
    alpn: tuple[bytes, ...] = ()
    ticket: bytes | None = None
    statusRequest: bool = False
    versions: tuple[int, ...] = ()
    pskIdentities: tuple[bytes, ...] = ()


class _Malformed(Exception):
    """A length that does not fit."""


class _Reader:
    """A cursor over bytes that never reads beyond them."""

    __slots__ = ("data", "end", "position")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.end = len(data)

    def more(self) -> bool:
        return self.position < self.end

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def take(self, size: int) -> bytes:
        start = self.position
        if size > self.end - start:
            raise _Malformed
        self.position = start + size
        return self.data[start : start + size]

    def vector(self, size: int) -> bytes:
        """A vector whose length stands in front of it in C{size} bytes."""
        return self.take(self.number(size))


class ClientHelloParser:
    """
    Collects bytes until they make a ClientHello.

    @ivar held: everything received so far, to be given to OpenSSL.
    @ivar hello: the L{ClientHello} once C{feed} said DONE.
    """

    __slots__ = ("_message", "_position", "held", "hello")

    def __init__(self) -> None:
        self.held = bytearray()
        self.hello: ClientHello | None = None
        self._message = bytearray()
        self._position = 0

    def feed(self, data: bytes | memoryview) -> Reading:
        """Take more bytes; say what is known now."""
        self.held += data
        held = self.held
        while True:
            available = len(held) - self._position
            if available >= 1 and held[self._position] != _HANDSHAKE_RECORD:
                return Reading.NOT_TLS
            if available >= 2 and held[self._position + 1] != 3:
                return Reading.NOT_TLS
            if available < 5:
                return Reading.MORE
            start = self._position + 5
            length = int.from_bytes(held[start - 2 : start], "big")
            if length > _MAX_RECORD:
                return Reading.NOT_TLS
            if available < 5 + length:
                return Reading.MORE
            self._message += held[start : start + length]
            self._position = start + length
            # An empty record is no good manners, but OpenSSL passes over it.
            reading = self._check() if length else Reading.MORE
            if reading is not Reading.MORE:
                return reading

    def _check(self) -> Reading:
        message = self._message
        if message[0] != _CLIENT_HELLO:
            return Reading.NOT_TLS
        if len(message) < 4:
            return Reading.MORE
        length = int.from_bytes(message[1:4], "big")
        if length > MAX_CLIENT_HELLO:
            return Reading.NOT_TLS
        if len(message) < 4 + length:
            return Reading.MORE
        try:
            self.hello = _parse(bytes(message[4 : 4 + length]))
        except _Malformed:
            return Reading.NOT_TLS
        self._message = bytearray()
        return Reading.DONE


def _parse(body: bytes) -> ClientHello:
    """
    Read the message's body.

    There are a dozen extensions and more, for each connection that anything is asked about: so
    the way over them is written out, and L{_Reader} reads what is in those of interest.
    """
    try:
        # Version, random, session id, cipher suites, compression methods.
        idEnd = 35 + body[34]
        position = idEnd + 2 + _number(body, idEnd)[0]
        position += 1 + body[position]
        end = len(body)
        found: dict[int, bytes] = {}
        if position < end:
            position += 2
            limit = position + _number(body, position - 2)[0]
            while position < limit:
                kind, length = _head(body, position)
                start = position + 4
                position = start + length
                if kind in _OF_INTEREST:
                    found[kind] = body[start:position]
            end = min(end, limit)
    except (IndexError, StructError):  # it ends in the middle of a number
        raise _Malformed from None
    if position > end:
        raise _Malformed
    versions = found.get(_SUPPORTED_VERSIONS)
    return ClientHello(
        servername=_servername(found[_SERVER_NAME]) if _SERVER_NAME in found else None,
        sessionId=body[35:idEnd],
        alpn=_vectors(found[_ALPN]) if _ALPN in found else (),
        ticket=found.get(_SESSION_TICKET),
        statusRequest=_STATUS_REQUEST in found,
        versions=_number(body, 0) if versions is None else _versions(versions),
        pskIdentities=_identities(found[_PRE_SHARED_KEY]) if _PRE_SHARED_KEY in found else (),
    )


def _servername(extension: bytes) -> str | None:
    length = len(extension)
    if length > 5 and _nameHead(extension) == (length - 2, _HOST_NAME, length - 5):
        name = extension[5:]  # and nothing else, as always
    else:
        names = _Reader(_Reader(extension).vector(2))
        while True:
            if not names.more():
                return None
            kind, name = names.number(1), names.vector(2)
            if kind == _HOST_NAME:
                break
    # A host name is ASCII (RFC 6066); OpenSSL refuses one with a NUL.
    return name.decode("latin-1") if b"\0" not in name else None


def _vectors(extension: bytes) -> tuple[bytes, ...]:
    reader = _Reader(_Reader(extension).vector(2))
    items = []
    while reader.more():
        items.append(reader.vector(1))
    return tuple(items)


def _versions(extension: bytes) -> tuple[int, ...]:
    reader = _Reader(_Reader(extension).vector(1))
    items = []
    while reader.more():
        items.append(reader.number(2))
    return tuple(items)


def _identities(extension: bytes) -> tuple[bytes, ...]:
    reader = _Reader(_Reader(extension).vector(2))
    items = []
    while reader.more():
        items.append(reader.vector(2))
        reader.take(4)
    return tuple(items)
