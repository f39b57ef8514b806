"""
PEM: blocks of base64 between lines that say what they are.

A text may hold any number of blocks and anything between them; a reader takes
the blocks with its labels and passes over the others, as OpenSSL's does.
C{TRUSTED CERTIFICATE} is a certificate with OpenSSL's own data behind it,
which says what it is trusted for.

OpenSSL's reader is not to be had for all labels, so it is done here what it
does, for what is damaged too (C{crypto/pem/pem_lib.c} and
C{crypto/evp/encode.c} of OpenSSL 3.5):

- A line is at most 254 characters; a longer one is several.  Whatever is no
  printable ASCII at its end does not count.
- Blocks that are not wanted have to be whole as well, down to their base64.
- A line with a colon makes what comes before the first empty line a header, and
  so does an empty line.  Only an encrypted block may have one.  Behind it lines
  are of 64 characters, and the last may be shorter.
- In base64 a hyphen ends the data, and blanks mean nothing.

Sources: RFC 7468, PEM_read_bio(3), EVP_DecodeUpdate(3), openssl-x509(1).
"""

from __future__ import annotations

import base64
import binascii
import enum
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from txnodetls.errors import Blame, NodeError, OpenSSLError, Phase
from txnodetls.pki import der

__all__ = [
    "CERTIFICATE_LABELS",
    "CRL_LABELS",
    "DH_LABELS",
    "PLAIN_LABELS",
    "TRUSTED_LABEL",
    "PEMBlock",
    "PEMReader",
    "noStartLine",
    "pemBlocks",
    "toPEM",
]

TRUSTED_LABEL: Final = "TRUSTED CERTIFICATE"
PLAIN_LABELS: Final = frozenset({"CERTIFICATE", "X509 CERTIFICATE"})
CERTIFICATE_LABELS: Final = PLAIN_LABELS | {TRUSTED_LABEL}
CRL_LABELS: Final = frozenset({"X509 CRL"})
DH_LABELS: Final = frozenset({"DH PARAMETERS", "X9.42 DH PARAMETERS"})

_BEGIN: Final = b"-----BEGIN "
_END: Final = b"-----END "
_TAIL: Final = b"-----\n"
# How much of a line is read at once.
_LINE: Final = 254
# How long a line behind a header may be, its end included.
_FULL: Final = 65
_BOM: Final = b"\xef\xbb\xbf"
# What nearly all blocks are: lines of base64 and nothing else.
_SOUND: Final = re.compile(rb"(?:[A-Za-z0-9+/]{1,76}\n)*[A-Za-z0-9+/]{1,76}={0,2}\n")
# What does not count at the end of a line: to OpenSSL's signed characters this is "up to a blank".
_BLANK: Final = bytes((*range(0x21), *range(0x80, 0x100)))


class PEMBlock(NamedTuple):
    """
    One block.

    @ivar label: what it says that it is.
    @ivar der: its first element.
    @ivar auxiliary: what is behind that: of a C{TRUSTED CERTIFICATE} what it is trusted for.
    """

    label: str
    der: bytes
    auxiliary: bytes = b""

    @property
    def pem(self) -> bytes:
        """The block as a text."""
        return toPEM(self.der + self.auxiliary, self.label)


class _Part(enum.Enum):
    """Of what a line of a block may be."""

    HEADER_OR_DATA = enum.auto()
    HEADER = enum.auto()
    DATA = enum.auto()


class PEMReader:
    """
    Takes the blocks of a PEM text, one after the other.

    @param text: the text.
    """

    __slots__ = ("_at", "_text")

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._at = 0

    def take(self, labels: frozenset[str]) -> PEMBlock | None:
        """
        The next block with one of these labels; None if there is no more.

        @raise NodeError: C{ERR_OSSL_PEM_...} for a damaged block, whatever its label;
            C{ERR_CRYPTO_OPERATION_FAILED} where OpenSSL does not say what is wrong.
        """
        while (name := self._name()) is not None:
            header, body = self._contents(name)
            data = _decode(body)
            if not data:
                raise _error(_UNEXPLAINED)
            # A name is a text of C's.
            label = name.partition(b"\0")[0].decode("latin-1")
            if label in labels:
                _requirePlain(header)
                first = _firstElement(data)
                return PEMBlock(label, first, data[len(first) :])
        return None

    def _line(self) -> bytes:
        """Some more of the text, up to the end of a line; nothing at the text's end."""
        at = self._at
        end = self._text.find(b"\n", at, at + _LINE)
        line = self._text[at : at + _LINE if end < 0 else end + 1]
        self._at = at + len(line)
        return line

    def _name(self) -> bytes | None:
        """What the next block says that it is; None if there is none."""
        begins = self._at == 0
        while line := self._line():
            if begins and len(line) > len(_BOM):
                line = line.removeprefix(_BOM)
            begins = False
            if line.startswith(_BEGIN):
                line = _trimmed(line)
                if line.endswith(_TAIL) and line.startswith(_BEGIN):
                    return line[len(_BEGIN) : -len(_TAIL)]
        return None

    def _contents(self, name: bytes) -> tuple[bytes, bytes]:
        """The header and the base64 of a block."""
        # A name with a NUL in it is a shorter one.
        end = _END + name.partition(b"\0")[0] + _TAIL
        sound = _SOUND.match(self._text, self._at)
        if sound is not None and self._text.startswith(end, sound.end()):
            self._at = sound.end() + len(end)
            return b"", sound[0]
        part = _Part.HEADER_OR_DATA
        header: list[bytes] = []
        lines: list[bytes] = []
        goesOn = last = False
        while line := self._line():
            continued, goesOn = goesOn, len(line) == _LINE and line[-1:] != b"\n"
            if part is _Part.HEADER_OR_DATA and b":" in line:
                part = _Part.HEADER
            line = _trimmed(line)
            if line == b"\n":
                # Behind a part of a line it is no line, only the other part's end.
                if not continued:
                    if part is _Part.DATA:
                        break
                    part, header, lines = _Part.DATA, lines, []
            elif line.startswith(_END):
                if not line.startswith(end):
                    break
                if part is _Part.HEADER:
                    header, lines = lines, []
                return b"".join(header), b"".join(lines)
            elif last:
                break
            else:
                lines.append(line.partition(b"\0")[0])
                if part is _Part.DATA:
                    if len(line) > _FULL:
                        raise _error(_UNEXPLAINED)
                    last = len(line) < _FULL
        raise _error(_BAD_END_LINE)


def pemBlocks(text: bytes, labels: frozenset[str]) -> Iterator[PEMBlock]:
    """
    The blocks of a PEM text that carry one of these labels.

    @raise NodeError: as L{PEMReader.take}.
    """
    reader = PEMReader(text)
    while (block := reader.take(labels)) is not None:
        yield block


def toPEM(data: bytes, label: str = "CERTIFICATE") -> bytes:
    """DER as PEM, in lines of 64."""
    text = base64.b64encode(data)
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    name = label.encode("ascii")
    return b"\n".join([b"-----BEGIN %s-----" % name, *lines, b"-----END %s-----" % name, b""])


def noStartLine() -> NodeError:
    """C{ERR_OSSL_PEM_NO_START_LINE}: nothing of the kind that was looked for is there."""
    return _error(_NO_START_LINE)


def _trimmed(line: bytes) -> bytes:
    return line.rstrip(_BLANK) + b"\n"


def _decode(body: bytes) -> bytes:
    """The octets of base64."""
    octets = body.partition(b"-")[0].translate(None, b" \t\r\n")
    padding = len(octets) - len(octets.rstrip(b"="))
    try:
        # Python is content with less than OpenSSL: "AAAA====", "AAA==".
        if len(octets) % 4 or padding > 2:
            raise binascii.Error
        return binascii.a2b_base64(octets, strict_mode=True)
    except binascii.Error:
        raise _error(_BAD_BASE64) from None


def _requirePlain(header: bytes) -> None:
    """Refuse an encrypted block, for which there is no passphrase here, and a wrong header."""
    if not header or header.startswith(b"\n"):
        return
    if not header.startswith(b"Proc-Type:"):
        raise _error(_NOT_PROC_TYPE)
    rest = header.removeprefix(b"Proc-Type:").lstrip(b" \t")
    if not rest.startswith(b"4,"):
        raise _error(_UNEXPLAINED)
    rest = rest[2:].lstrip(b" \t")
    kind = rest.removeprefix(b"ENCRYPTED")
    if kind == rest or not kind.startswith((b" ", b"\t", b"\r", b"\n")):
        raise _error(_NOT_ENCRYPTED)
    kind = kind.lstrip(b" \t\r")
    if not kind.startswith(b"\n"):
        raise _error(_SHORT_HEADER)
    if not kind.startswith(b"\nDEK-Info:"):
        raise _error(_NOT_DEK_INFO)
    raise _error(_BAD_DECRYPT)


# Reasons of OpenSSL's PEM library (include/openssl/pemerr.h).
_BAD_BASE64: Final = (100, "bad base64 decode")
_BAD_DECRYPT: Final = (101, "bad decrypt")
_BAD_END_LINE: Final = (102, "bad end line")
_NOT_DEK_INFO: Final = (105, "not dek info")
_NOT_ENCRYPTED: Final = (106, "not encrypted")
_NOT_PROC_TYPE: Final = (107, "not proc type")
_NO_START_LINE: Final = (108, "no start line")
_SHORT_HEADER: Final = (112, "short header")
# For some, it gives no reason.
_UNEXPLAINED: Final = (0, "")
_LIBRARY: Final = 9


def _error(reason: tuple[int, str]) -> NodeError:
    number, text = reason
    if not number:
        return OpenSSLError(
            "The PEM text cannot be read",
            "ERR_CRYPTO_OPERATION_FAILED",
            blame=Blame.CONFIGURATION,
            phase=Phase.CONFIGURING,
        )
    return OpenSSLError(
        f"error:{_LIBRARY << 23 | number:08X}:PEM routines::{text}",
        f"ERR_OSSL_PEM_{text.upper().replace(' ', '_')}",
        library="PEM routines",
        reason=text,
        blame=Blame.CONFIGURATION,
        phase=Phase.CONFIGURING,
    )


def _firstElement(data: bytes) -> bytes:
    """The first element: a TRUSTED CERTIFICATE has another one behind it."""
    try:
        return der.element(data, 0, len(data)).encoding
    except NodeError:
        # Whoever reads it as what its label says has the better error.
        return data
