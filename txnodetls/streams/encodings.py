"""
Text in Node's encodings.

Node never fails on text: what cannot be encoded or decoded is replaced or left out.  And it
thinks in UTF-16 units where Python thinks in characters.  So do the functions here:

========= ================================= =============================================
encoding  text to bytes                     bytes to text
========= ================================= =============================================
utf8      a lone surrogate becomes U+FFFD   what is malformed becomes U+FFFD
utf16le   as it is                          an odd byte at the end is dropped
latin1    the low byte of each UTF-16 unit  as it is
ascii     the same                          the low seven bits
hex       up to the first bad pair          as it is
base64    both alphabets, anything else is  with padding at the very end
          skipped, up to the first C{=}
base64url the same                          without padding
========= ================================= =============================================

Source: https://nodejs.org/api/buffer.html#buffers-and-character-encodings
"""

from __future__ import annotations

import binascii
import codecs
import re
from base64 import b64decode, urlsafe_b64encode
from typing import Protocol

from txnodetls.errors import Blame, NodeTypeError

__all__ = ["Decoder", "decoderFor", "encodeText", "encodingName"]

_NAMES = {
    "utf8": "utf8",
    "utf-8": "utf8",
    "ucs2": "utf16le",
    "ucs-2": "utf16le",
    "utf16le": "utf16le",
    "utf-16le": "utf16le",
    "latin1": "latin1",
    "binary": "latin1",
    "ascii": "ascii",
    "hex": "hex",
    "base64": "base64",
    "base64url": "base64url",
}

_HEX_PAIRS = re.compile("(?:[0-9a-fA-F]{2})*")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
_SEVEN_BITS = bytes(number & 0x7F for number in range(256))


def encodingName(encoding: object) -> str:
    """
    Node's normal name of an encoding, whatever its case.

    @raise NodeTypeError: C{ERR_UNKNOWN_ENCODING}.
    """
    name = _NAMES.get(encoding.lower()) if isinstance(encoding, str) else None
    if name is None:
        raise NodeTypeError(
            f"Unknown encoding: {encoding}", "ERR_UNKNOWN_ENCODING", blame=Blame.CONFIGURATION
        )
    return name


def encodeText(text: str, encoding: str) -> bytes:
    """
    Node's C{Buffer.from(text, encoding)}.

    @param encoding: any of Node's names.
    @raise NodeTypeError: C{ERR_UNKNOWN_ENCODING}.
    """
    name = encodingName(encoding)
    if name == "utf8":
        return _encodeUtf8(text)
    if name == "utf16le":
        return text.encode("utf-16-le", "surrogatepass")
    if name == "hex":
        return _encodeHex(text)
    if name in ("base64", "base64url"):
        return _encodeBase64(text)
    return _lowBytes(text)


def _encodeUtf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        # By way of UTF-16, which joins what is a pair of surrogates after all.
        units = text.encode("utf-16-le", "surrogatepass")
        return units.decode("utf-16-le", "replace").encode()


def _lowBytes(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass")[::2]


def _encodeHex(text: str) -> bytes:
    try:
        return binascii.unhexlify(text)
    except ValueError:
        pairs = _HEX_PAIRS.match(text)
        return binascii.unhexlify(pairs.group()) if pairs else b""


def _encodeBase64(text: str) -> bytes:
    data = _lowBytes(text).translate(bytes.maketrans(b"-_", b"+/")).partition(b"=")[0]
    data = _NOT_BASE64.sub(b"", data)
    if len(data) % 4 == 1:  # six bits are no byte
        data = data[:-1]
    return b64decode(data + b"=" * (-len(data) % 4))


class Decoder(Protocol):
    """Turns bytes into text piece by piece; a character may be spread over pieces."""

    encoding: str

    def decode(self, data: bytes) -> str:
        """The text that is complete with C{data}."""

    def end(self) -> str:
        """What is left when nothing more comes."""


def decoderFor(encoding: str | None) -> Decoder:
    """
    Node's C{StringDecoder}.

    @param encoding: any of Node's names; None is utf8.
    @raise NodeTypeError: C{ERR_UNKNOWN_ENCODING}.
    """
    name = "utf8" if encoding is None else encodingName(encoding)
    if name == "utf8":
        return _Utf8Decoder()
    if name == "utf16le":
        return _Utf16Decoder()
    if name in ("base64", "base64url"):
        return _Base64Decoder(name)
    return _ByteDecoder(name)


class _Utf8Decoder:
    __slots__ = ("_decoder",)

    encoding = "utf8"

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def decode(self, data: bytes) -> str:
        return self._decoder.decode(data)

    def end(self) -> str:
        return self._decoder.decode(b"", True)


class _Utf16Decoder:
    __slots__ = ("_rest",)

    encoding = "utf16le"

    def __init__(self) -> None:
        self._rest = b""

    def decode(self, data: bytes) -> str:
        data = self._rest + data
        complete = len(data) & ~1
        if complete and 0xD8 <= data[complete - 1] <= 0xDB:  # the first half of a pair
            complete -= 2
        self._rest = data[complete:]
        return data[:complete].decode("utf-16-le", "surrogatepass")

    def end(self) -> str:
        rest, self._rest = self._rest, b""
        return rest[: len(rest) & ~1].decode("utf-16-le", "surrogatepass")


class _Base64Decoder:
    __slots__ = ("_rest", "encoding")

    def __init__(self, encoding: str) -> None:
        self._rest = b""
        self.encoding = encoding

    def decode(self, data: bytes) -> str:
        data = self._rest + data
        complete = len(data) - len(data) % 3
        self._rest = data[complete:]
        return self._text(data[:complete])

    def end(self) -> str:
        rest, self._rest = self._rest, b""
        return self._text(rest)

    def _text(self, data: bytes) -> str:
        if self.encoding == "base64url":
            return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
        return binascii.b2a_base64(data, newline=False).decode("ascii")


class _ByteDecoder:
    """The encodings in which every byte stands for itself."""

    __slots__ = ("encoding",)

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding

    def decode(self, data: bytes) -> str:
        if self.encoding == "hex":
            return data.hex()
        if self.encoding == "ascii":
            data = data.translate(_SEVEN_BITS)
        return data.decode("latin-1")

    def end(self) -> str:
        return ""
