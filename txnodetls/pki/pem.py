"""
PEM: blocks of base64 between lines that say what they are.

A text may hold any number of blocks and anything between them; a reader takes
the blocks with its labels and passes over the others, as OpenSSL's does.
C{TRUSTED CERTIFICATE} is a certificate with OpenSSL's own data behind it,
which says what it is trusted for.

Sources: RFC 7468, PEM_read_bio(3), openssl-x509(1).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from txnodetls.errors import Blame, NodeError, OpenSSLError, Phase
from txnodetls.pki import der

__all__ = [
    "CERTIFICATE_LABELS",
    "CRL_LABELS",
    "DH_LABELS",
    "TRUSTED_LABEL",
    "PEMBlock",
    "noStartLine",
    "pemBlocks",
    "toPEM",
]

CERTIFICATE_LABELS: Final = frozenset({"CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"})
CRL_LABELS: Final = frozenset({"X509 CRL"})
DH_LABELS: Final = frozenset({"DH PARAMETERS", "X9.42 DH PARAMETERS"})
TRUSTED_LABEL: Final = "TRUSTED CERTIFICATE"

_BEGIN: Final = re.compile(rb"^-----BEGIN ([^\r\n]*?)-----[ \t]*\r?$", re.MULTILINE)
_END: Final = re.compile(rb"^-----END ([^\r\n]*?)-----[ \t]*\r?$", re.MULTILINE)


class PEMBlock(NamedTuple):
    """One block: its label, its bytes, and its text as it stood."""

    label: str
    der: bytes
    pem: bytes


def pemBlocks(text: bytes, labels: frozenset[str]) -> Iterator[PEMBlock]:
    """
    The blocks of a PEM text that carry one of these labels.

    @raise NodeError: C{ERR_OSSL_PEM_BAD_END_LINE} for one that does not end,
        C{ERR_OSSL_PEM_BAD_BASE64_DECODE} for one whose contents are damaged.
    """
    for begin in _BEGIN.finditer(text):
        label = begin[1].decode("latin-1")
        if label not in labels:
            continue
        end = _END.search(text, begin.end())
        if end is None or end[1] != begin[1]:
            raise _error(_BAD_END_LINE)
        try:
            data = binascii.a2b_base64(
                b"".join(text[begin.end() : end.start()].split()), strict_mode=True
            )
        except binascii.Error:
            raise _error(_BAD_BASE64) from None
        yield PEMBlock(label, _firstElement(data), text[begin.start() : end.end()] + b"\n")


def toPEM(data: bytes, label: str = "CERTIFICATE") -> bytes:
    """DER as PEM, in lines of 64."""
    text = base64.b64encode(data)
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    name = label.encode("ascii")
    return b"\n".join([b"-----BEGIN %s-----" % name, *lines, b"-----END %s-----" % name, b""])


def noStartLine() -> NodeError:
    """C{ERR_OSSL_PEM_NO_START_LINE}: nothing of the kind that was looked for is there."""
    return _error(_NO_START_LINE)


# Reasons of OpenSSL's PEM library (include/openssl/pemerr.h).
_BAD_BASE64: Final = (100, "bad base64 decode")
_BAD_END_LINE: Final = (102, "bad end line")
_NO_START_LINE: Final = (108, "no start line")
_LIBRARY: Final = 9


def _error(reason: tuple[int, str]) -> NodeError:
    number, text = reason
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
