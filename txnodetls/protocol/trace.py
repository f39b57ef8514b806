"""
A trace of the handshake that people can read: C{enableTrace}.

OpenSSL shows every message that a connection sends or receives, decrypted:
first the header of the record, in TLS 1.3 the type inside of it, then the
message.  This file writes them as C{openssl s_client -trace} does, with the
same names of the fields, one block for each message:

    Received TLS Record
    Header:
      Version = TLS 1.2 (0x303)
      Content Type = Handshake (22)
      Length = 74
        ServerHello, Length=70
          server_version=0x303 (TLS 1.2)
          ...

What is here reads what a peer made up.  It takes any bytes at all, never
raises for them, and shows no control characters of theirs.

Application data is counted, not shown.  Tickets are shown, as OpenSSL shows
them; who can read a trace should be someone who may.

Sources: RFC 5246 section 7.4, RFC 8446 section 4, SSL_CTX_set_msg_callback(3).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from typing import Final

from OpenSSL import crypto

from txnodetls.constants import ALERTS
from txnodetls.errors import NodeError
from txnodetls.pki import names as distinguishedName
from txnodetls.pki.der import only
from txnodetls.protocol import tracenames as names
from txnodetls.protocol.tracenames import nameOf

__all__ = ["Tracer"]

# Content types of OpenSSL's own: the header of a record, and the type within.
RECORD_HEADER: Final = 256
INNER_TYPE: Final = 257
_TLS13: Final = 0x0304

_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]")
_WIDTH: Final = 16


class _Short(Exception):
    """The message ends before its fields do."""


class _Fields:
    """The fields of a message, one after the other."""

    __slots__ = ("_data", "_position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def more(self) -> bool:
        return self._position < len(self._data)

    def take(self, size: int) -> bytes:
        taken = self._data[self._position : self._position + size]
        if len(taken) < size:
            raise _Short
        self._position += size
        return taken

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._position)

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        """What has its length in front of it, in so many bytes."""
        return self.take(self.number(size))

    def numbers(self, size: int) -> Iterator[int]:
        """What is left, as numbers of so many bytes."""
        while self.more():
            yield self.number(size)


class Tracer:
    """
    The trace of one connection.

    @param write: takes text, whole lines of it.
    @param suiteName: the IETF's name of a cipher suite by its number, or None.
    """

    __slots__ = (
        "_fields",
        "_headed",
        "_lines",
        "_open",
        "_suite",
        "_suiteName",
        "_version",
        "_write",
    )

    def __init__(
        self, write: Callable[[str], object], suiteName: Callable[[int], str | None]
    ) -> None:
        self._write = write
        self._suiteName = suiteName
        self._lines: list[str] = []
        self._open = False
        # The directions whose headers are told: one that is traced from the
        # middle of a connection on has none until its keys change.
        self._headed: set[bool] = set()
        self._suite = ""
        self._version = 0
        self._fields = _Fields(b"")

    def message(self, sent: bool, version: int, contentType: int, data: bytes) -> None:
        """
        What OpenSSL's message callback was called with.

        @param version: the version of the connection.
        @param contentType: the record's, or one of OpenSSL's own.
        """
        self._fields = _Fields(data)
        self._version = version
        try:
            if contentType == RECORD_HEADER:
                self._header(sent)
            elif contentType == INNER_TYPE:
                inner = self._fields.number(1)
                self._line(2, f"Inner Content Type = {_content(inner)}")
            else:
                if sent not in self._headed:
                    self._begin(sent)
                    self._line(2, f"Content Type = {_content(contentType)}")
                self._body(contentType, data)
                self._line(0, "")
                self._open = False
        except _Short:
            self._line(4, "Message length parse error!")
        text = "".join(self._lines)
        self._lines.clear()
        self._write(text)

    def _line(self, indent: int, text: str) -> None:
        self._lines.append(f"{'':{indent}}{_UNPRINTABLE.sub('.', text)}\n")

    def _begin(self, sent: bool) -> None:
        if self._open:
            self._line(0, "")
        self._open = True
        self._line(0, f"{'Sent' if sent else 'Received'} TLS Record")

    def _header(self, sent: bool) -> None:
        self._headed.add(sent)
        self._begin(sent)
        fields = self._fields
        contentType, version, length = fields.number(1), fields.number(2), fields.number(2)
        self._line(0, "Header:")
        self._line(2, f"Version = {nameOf(names.VERSIONS, version)} ({version:#x})")
        self._line(2, f"Content Type = {_content(contentType)}")
        self._line(2, f"Length = {length}")

    def _body(self, contentType: int, data: bytes) -> None:
        if contentType == 22:
            self._handshake(data)
        elif contentType == 21:
            level, description = self._fields.number(1), self._fields.number(1)
            word = {1: "warning", 2: "fatal"}.get(level, "unknown")
            name = ALERTS.get(description, "unknown").replace("_", " ")
            self._line(4, f"Level={word}({level}), description={name}({description})")
        elif contentType == 20:
            self._line(4, "change_cipher_spec (1)" if data == b"\1" else "unknown value")
        else:
            self._dump(4, data)

    def _handshake(self, data: bytes) -> None:
        kind = self._fields.number(1)
        length = self._fields.number(3)
        self._line(4, f"{nameOf(names.HANDSHAKES, kind)}, Length={length}")
        show = _MESSAGES.get(kind)
        if show is None:
            self._dump(6, self._fields.rest())
            return
        show(self)
        left = self._fields.rest()
        if left:
            self._dump(6, left)

    # -- pieces that several messages have

    def _hex(self, indent: int, name: str, data: bytes) -> None:
        self._line(indent, f"{name} (len={len(data)}): {data.hex().upper()}")

    def _dump(self, indent: int, data: bytes) -> None:
        for start in range(0, len(data), _WIDTH):
            row = data[start : start + _WIDTH]
            left, right = row[:8].hex(" "), row[8:].hex(" ")
            pairs = f"{left}{'-' if right else ' '}{right}"
            self._line(indent, f"{start:04x} - {pairs:<48} {row.decode('latin-1')}".rstrip())

    def _named(self, indent: int, table: dict[int, str], numbers: Iterator[int]) -> None:
        for number in numbers:
            self._line(indent, f"{nameOf(table, number)} ({number})")

    def _signatures(self, indent: int, data: bytes) -> None:
        for number in _Fields(data).numbers(2):
            self._line(indent, f"{nameOf(names.SIGNATURES, number)} ({number:#06x})")

    def _cipher(self, number: int) -> str:
        name = self._suiteName(number) or nameOf(names.SIGNALS, number)
        return f"{{0x{number >> 8:02X}, 0x{number & 0xFF:02X}}} {name}"

    def _random(self) -> None:
        self._line(6, "Random:")
        self._line(8, f"gmt_unix_time=0x{self._fields.number(4):08X}")
        self._hex(8, "random_bytes", self._fields.take(28))

    def _extensions(self, indent: int, client: bool = False) -> None:
        if not self._fields.more():
            self._line(indent, "No extensions")
            return
        data = self._fields.vector(2)
        if not data:
            self._line(indent, "No extensions")
            return
        self._line(indent, f"extensions, length = {len(data)}")
        fields = _Fields(data)
        while fields.more():
            kind, value = fields.number(2), fields.vector(2)
            name = nameOf(names.EXTENSIONS, kind)
            self._line(indent + 2, f"extension_type={name}({kind}), length={len(value)}")
            try:
                self._extension(indent + 4, kind, value, client)
            except _Short:
                self._dump(indent + 4, value)

    def _extension(self, indent: int, kind: int, value: bytes, client: bool) -> None:
        show = _EXTENSIONS.get(kind)
        if show is None or not value:
            self._dump(indent, value)
        else:
            show(self, indent, _Fields(value), client)

    # -- extensions: of a client, or of a server

    def _supportedGroups(self, indent: int, fields: _Fields, _client: bool) -> None:
        self._named(indent, names.GROUPS, _Fields(fields.vector(2)).numbers(2))

    def _pointFormats(self, indent: int, fields: _Fields, _client: bool) -> None:
        self._named(indent, names.POINT_FORMATS, _Fields(fields.vector(1)).numbers(1))

    def _signatureAlgorithms(self, indent: int, fields: _Fields, _client: bool) -> None:
        self._signatures(indent, fields.vector(2))

    def _protocols(self, indent: int, fields: _Fields, _client: bool) -> None:
        listed = _Fields(fields.vector(2))
        while listed.more():
            self._line(indent, listed.vector(1).decode("latin-1"))

    def _versions(self, indent: int, fields: _Fields, client: bool) -> None:
        numbers = _Fields(fields.vector(1)).numbers(2) if client else fields.numbers(2)
        self._named(indent, names.VERSIONS, numbers)

    def _pskModes(self, indent: int, fields: _Fields, _client: bool) -> None:
        self._named(indent, names.PSK_MODES, _Fields(fields.vector(1)).numbers(1))

    def _keyShare(self, indent: int, fields: _Fields, client: bool) -> None:
        shares = _Fields(fields.vector(2)) if client else fields
        while shares.more():
            group = shares.number(2)
            self._line(indent + 2, f"NamedGroup: {nameOf(names.GROUPS, group)} ({group})")
            # A server that asks for another group sends the group alone.
            if shares.more():
                self._hex(indent + 2, "key_exchange: ", shares.vector(2))

    def _renegotiate(self, indent: int, fields: _Fields, client: bool) -> None:
        verify = fields.vector(1)
        if not verify:
            self._line(indent + 2, "<EMPTY>")
            return
        half = len(verify) if client else len(verify) // 2
        self._hex(indent + 2, "client_verify_data", verify[:half])
        if verify[half:]:
            self._hex(indent + 2, "server_verify_data", verify[half:])

    # -- messages

    def _clientHello(self) -> None:
        fields = self._fields
        self._hello("client_version")
        suites = fields.vector(2)
        self._line(6, f"cipher_suites (len={len(suites)})")
        for number in _Fields(suites).numbers(2):
            self._line(8, self._cipher(number))
        methods = fields.vector(1)
        self._line(6, f"compression_methods (len={len(methods)})")
        for method in methods:
            self._line(8, _compression(method))
        self._extensions(6, client=True)

    def _serverHello(self) -> None:
        self._hello("server_version")
        number = self._fields.number(2)
        self._suite = self._suiteName(number) or ""
        self._line(6, f"cipher_suite {self._cipher(number)}")
        self._line(6, f"compression_method: {_compression(self._fields.number(1))}")
        self._extensions(6)

    def _hello(self, name: str) -> None:
        version = self._fields.number(2)
        self._line(6, f"{name}={version:#x} ({nameOf(names.VERSIONS, version)})")
        self._random()
        self._hex(6, "session_id", self._fields.vector(1))

    def _encryptedExtensions(self) -> None:
        self._extensions(6)

    def _newSessionTicket(self) -> None:
        fields = self._fields
        self._line(8, f"ticket_lifetime_hint={fields.number(4)}")
        if self._version == _TLS13:
            self._line(8, f"ticket_age_add={fields.number(4)}")
            self._hex(8, "ticket_nonce", fields.vector(1))
        self._hex(8, "ticket", fields.vector(2))
        if self._version == _TLS13:
            self._extensions(8)

    def _certificate(self) -> None:
        fields = self._fields
        if self._version == _TLS13:
            self._hex(6, "context", fields.vector(1))
        chain = fields.vector(3)
        self._line(6, f"certificate_list, length={len(chain)}")
        listed = self._fields = _Fields(chain)
        while listed.more():
            der = listed.vector(3)
            self._line(8, f"ASN.1Cert, length={len(der)}")
            self._details(der)
            if self._version == _TLS13:
                self._extensions(8)

    def _details(self, der: bytes) -> None:
        self._line(0, "------details-----")
        for line in _certificateLines(der):
            self._line(0, line)
        self._line(0, "-----BEGIN CERTIFICATE-----")
        text = base64.b64encode(der).decode("ascii")
        for start in range(0, len(text), 64):
            self._line(0, text[start : start + 64])
        self._line(0, "-----END CERTIFICATE-----")
        self._line(0, "------------------")

    def _certificateRequest(self) -> None:
        fields = self._fields
        if self._version == _TLS13:
            self._hex(6, "request_context", fields.vector(1))
            self._extensions(6)
            return
        types = fields.vector(1)
        self._line(6, f"certificate_types (len={len(types)})")
        self._named(8, names.CERTIFICATE_TYPES, iter(types))
        if self._version >= 0x0303:
            algorithms = fields.vector(2)
            self._line(6, f"signature_algorithms (len={len(algorithms)})")
            self._signatures(8, algorithms)
        authorities = fields.vector(2)
        self._line(6, f"certificate_authorities (len={len(authorities)})")
        listed = _Fields(authorities)
        while listed.more():
            name = listed.vector(2)
            self._line(8, f"DistinguishedName (len={len(name)}): {_distinguishedName(name)}")

    def _serverKeyExchange(self) -> None:
        fields = self._fields
        algorithm = _keyExchange(self._suite)
        self._line(6, f"KeyExchangeAlgorithm={algorithm or 'unknown'}")
        if "PSK" in algorithm:
            self._hex(8, "psk_identity_hint", fields.vector(2))
        if algorithm.startswith("DHE"):
            for name in ("dh_p", "dh_g", "dh_Ys"):
                self._hex(8, name, fields.vector(2))
        elif algorithm.startswith("ECDHE"):
            if fields.number(1) != 3:
                return
            group = fields.number(2)
            self._line(8, f"named_curve: {nameOf(names.GROUPS, group)} ({group})")
            self._hex(8, "point", fields.vector(1))
        if algorithm in ("DHE", "ECDHE") and fields.more():
            self._signature()

    def _clientKeyExchange(self) -> None:
        fields = self._fields
        algorithm = _keyExchange(self._suite)
        self._line(6, f"KeyExchangeAlgorithm={algorithm or 'unknown'}")
        if "PSK" in algorithm:
            self._hex(8, "psk_identity", fields.vector(2))
        if algorithm.startswith("DHE"):
            self._hex(8, "dh_Yc", fields.vector(2))
        elif algorithm.startswith("ECDHE"):
            self._hex(8, "ecdh_Yc", fields.vector(1))
        elif algorithm.startswith("RSA"):
            self._hex(8, "EncryptedPreMasterSecret", fields.vector(2))

    def _signature(self) -> None:
        if self._version >= 0x0303:
            number = self._fields.number(2)
            name = nameOf(names.SIGNATURES, number)
            self._line(6, f"Signature Algorithm: {name} ({number:#06x})")
        self._hex(6, "Signature", self._fields.vector(2))

    def _serverHelloDone(self) -> None:
        """It is empty."""

    def _finished(self) -> None:
        self._hex(6, "verify_data", self._fields.rest())

    def _keyUpdate(self) -> None:
        asked = self._fields.number(1)
        word = {0: "update_not_requested", 1: "update_requested"}.get(asked, "UNKNOWN")
        self._line(6, f"{word} ({asked})")

    def _nextProto(self) -> None:
        self._line(6, f"selected_protocol: {self._fields.vector(1).decode('latin-1')}")
        self._hex(6, "padding", self._fields.vector(1))


_MESSAGES: Final = {
    0: Tracer._serverHelloDone,
    1: Tracer._clientHello,
    2: Tracer._serverHello,
    4: Tracer._newSessionTicket,
    8: Tracer._encryptedExtensions,
    11: Tracer._certificate,
    12: Tracer._serverKeyExchange,
    13: Tracer._certificateRequest,
    14: Tracer._serverHelloDone,
    15: Tracer._signature,
    16: Tracer._clientKeyExchange,
    20: Tracer._finished,
    24: Tracer._keyUpdate,
    67: Tracer._nextProto,
}

_EXTENSIONS: Final = {
    10: Tracer._supportedGroups,
    11: Tracer._pointFormats,
    13: Tracer._signatureAlgorithms,
    16: Tracer._protocols,
    43: Tracer._versions,
    45: Tracer._pskModes,
    50: Tracer._signatureAlgorithms,
    51: Tracer._keyShare,
    65281: Tracer._renegotiate,
}


def _content(number: int) -> str:
    return f"{nameOf(names.CONTENT_TYPES, number)} ({number})"


def _compression(number: int) -> str:
    name = {0: "No Compression", 1: "Zlib Compression"}.get(number, "UNKNOWN")
    return f"{name} (0x{number:02X})"


def _keyExchange(suite: str) -> str:
    """DHE, ECDHE, RSA, PSK, DHEPSK ... by the IETF's name of a suite; empty if it is not known."""
    kind = suite.removeprefix("TLS_").partition("_WITH_")[0]
    for begin, name in (("ECDH", "ECDHE"), ("DH", "DHE"), ("RSA", "RSA"), ("PSK", "")):
        if kind.startswith(begin):
            return name + ("PSK" if "PSK" in kind else "")
    return ""


def _distinguishedName(der: bytes) -> str:
    try:
        return distinguishedName.lines(distinguishedName.readName(only(der))).replace("\n", ", ")
    except NodeError:
        return der.hex().upper()


def _certificateLines(der: bytes) -> list[str]:
    """A certificate in words, as C{openssl x509 -text} has it."""
    try:
        certificate = crypto.load_certificate(crypto.FILETYPE_ASN1, der)
        text = crypto.dump_certificate(crypto.FILETYPE_TEXT, certificate)
    except crypto.Error:
        return ["UNABLE TO PARSE"]
    return text.decode("latin-1").splitlines()
