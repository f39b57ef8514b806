"""
Damaged texts out of a seed: what editors, mails, scripts and bad luck make of PEM, or of a PFX.

The good ones are in `texts.json`, so that a seed always gives the same.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["GOOD", "TEXTS", "damaged", "damagedBytes"]

TEXTS: dict[str, bytes] = {
    name: base64.b64decode(text) if name.endswith(".pfx") else text.encode("ascii")
    for name, text in json.loads(Path(__file__).with_name("texts.json").read_text()).items()
}
#: For each option of a context the texts that are good for it.
GOOD: dict[str, tuple[str, ...]] = {
    "cert": ("leaf.crt", "chain.crt", "annotated.crt", "trusted.crt"),
    "x509": ("leaf.crt", "chain.crt", "annotated.crt", "trusted.crt"),
    "ca": ("root.crt", "authorities.crt", "trusted.crt"),
    "key": ("plain.key", "sec1.key", "locked.key"),
    "crl": ("list.crl",),
    "dhparam": ("dh.pem",),
    "pfx": ("bundle.pfx",),
}

_LINES = (
    b"",
    b" ",
    b"\t",
    b"=",
    b"==",
    b"-",
    b"AAAA",
    b"A",
    b"AA==",
    b"A" * 64,
    b"A" * 76,
    b"A" * 300,
    b"a comment",
    b"name: value",
    b"Proc-Type: 4,ENCRYPTED",
    b"Proc-Type: 4,MIC-CLEAR",
    b"Proc-Type: 3,ENCRYPTED",
    b"DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF",
    b"-----BEGIN CERTIFICATE-----",
    b"-----END CERTIFICATE-----",
    b"-----BEGIN OTHER-----",
    b"-----END OTHER-----",
    b"-----BEGIN TRUSTED CERTIFICATE-----",
    b"-----",
    b"\xef\xbb\xbf",
)
_PIECES = (
    b"=", b"-", b":", b" ", b"\t", b"\0", b"\r", b"\n", b"\n\n", b"\r\n", b"A", b"+", b"/", b"\x80",
    b"\xff", b"!", b"\x0b", b"-----", b"====", b"  ", b"\xef\xbb\xbf",
)  # fmt: skip
_LABELS = (b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE", b"X509 CRL", b"OTHER")


def damaged(pick: random.Random, text: bytes) -> bytes:
    """A text with one to three things done to it."""
    others = [other for name, other in TEXTS.items() if not name.endswith(".pfx")]
    for _ in range(pick.choice((1, 1, 1, 2, 3))):
        text = pick.choice(_WAYS)(pick, text, others)
    return text


def damagedBytes(pick: random.Random, octets: bytes) -> bytes:
    """The same for what is no text."""
    at = _at(pick, octets)
    end = at + pick.choice((1, 1, 4, 16))
    return pick.choice(
        (
            _flipped(pick, octets, at),
            octets[:at] + octets[end:],
            octets[:at] + pick.randbytes(end - at) + octets[at:],
            octets[:at],
        )
    )


Way = Callable[[random.Random, bytes, Sequence[bytes]], bytes]
_WAYS: list[Way] = []


def _way(often: int) -> Callable[[Way], Way]:
    def note(way: Way) -> Way:
        _WAYS.extend([way] * often)
        return way

    return note


def _at(pick: random.Random, text: bytes) -> int:
    return pick.randrange(len(text) + 1)


def _flipped(pick: random.Random, text: bytes, at: int) -> bytes:
    one = bytes(octet ^ 1 << pick.randrange(8) for octet in text[at : at + 1])
    return text[:at] + one + text[at + 1 :]


@_way(4)
def _flip(pick: random.Random, text: bytes, _others: Sequence[bytes]) -> bytes:
    at = pick.randrange(len(text) or 1)
    return (
        text[:at]
        + bytes(octet ^ 1 << pick.randrange(8) for octet in text[at : at + 1])
        + text[at + 1 :]
    )


@_way(2)
def _putIn(pick: random.Random, text: bytes, _others: Sequence[bytes]) -> bytes:
    at = _at(pick, text)
    return text[:at] + pick.choice(_PIECES) + text[at:]


@_way(2)
def _takeOut(pick: random.Random, text: bytes, _others: Sequence[bytes]) -> bytes:
    at = _at(pick, text)
    return text[:at] + text[at + pick.choice((1, 1, 2, 4, 64, 65)) :]


@_way(1)
def _truncate(pick: random.Random, text: bytes, _others: Sequence[bytes]) -> bytes:
    return text[: _at(pick, text)] if pick.random() < 0.7 else text[_at(pick, text) :]


@_way(1)
def _atTheEnd(pick: random.Random, text: bytes, _others: Sequence[bytes]) -> bytes:
    """Something at the end of the base64, where the padding is."""
    at = text.find(b"\n-----END")
    return text[:at] + pick.choice(_PIECES) + text[at:]


@_way(4)
def _putInLine(pick: random.Random, text: bytes, _others: Sequence[bytes]) -> bytes:
    lines = text.split(b"\n")
    lines.insert(pick.randrange(len(lines) + 1), pick.choice(_LINES))
    return b"\n".join(lines)


@_way(1)
def _takeOutLine(pick: random.Random, text: bytes, _others: Sequence[bytes]) -> bytes:
    lines = text.split(b"\n")
    del lines[pick.randrange(len(lines))]
    return b"\n".join(lines)


@_way(1)
def _repeatLine(pick: random.Random, text: bytes, _others: Sequence[bytes]) -> bytes:
    lines = text.split(b"\n")
    at = pick.randrange(len(lines))
    return b"\n".join([*lines[: at + 1], *lines[at:]])


@_way(1)
def _swapLines(pick: random.Random, text: bytes, _others: Sequence[bytes]) -> bytes:
    lines = text.split(b"\n")
    one, other = pick.randrange(len(lines)), pick.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


@_way(2)
def _joinLines(pick: random.Random, text: bytes, _others: Sequence[bytes]) -> bytes:
    """Two lines as one, or the whole body as one line."""
    if pick.random() < 0.3:
        head, line, rest = text.partition(b"-----\n")
        body, end, tail = rest.partition(b"-----END")
        return head + line + body.replace(b"\n", b"") + b"\n" + end + tail
    lines = text.split(b"\n")
    at = pick.randrange(len(lines))
    return b"\n".join(
        [*lines[:at], b"".join(lines[at : at + pick.choice((2, 2, 4, 5))]), *lines[at + 5 :]]
    )


@_way(1)
def _splitLines(pick: random.Random, text: bytes, _others: Sequence[bytes]) -> bytes:
    """The body in lines of another length."""
    head, line, rest = text.partition(b"-----\n")
    body, end, tail = rest.partition(b"-----END")
    octets, size = (
        body.replace(b"\n", b""),
        pick.choice((1, 4, 10, 63, 65, 76, 250, 253, 254, 255, 300)),
    )
    body = b"\n".join(octets[at : at + size] for at in range(0, len(octets), size))
    return head + line + body + b"\n" + end + tail


@_way(1)
def _endLines(pick: random.Random, text: bytes, _others: Sequence[bytes]) -> bytes:
    """Other ends of lines: of other systems, or with blanks before them."""
    return text.replace(b"\n", pick.choice((b"\r\n", b"\r", b" \n", b"\t\r\n", b"\n\n", b"\xa0\n")))


@_way(1)
def _beginLines(pick: random.Random, text: bytes, _others: Sequence[bytes]) -> bytes:
    """Blanks, or the bars of a mail, before the lines."""
    return text.replace(b"\n", b"\n" + pick.choice((b" ", b"\t", b"> ", b"    ")))


@_way(1)
def _relabel(pick: random.Random, text: bytes, _others: Sequence[bytes]) -> bytes:
    label = text.partition(b"-----BEGIN ")[2].partition(b"-----")[0] or b"CERTIFICATE"
    times = pick.choice((1, 2, 2, 2))
    return text.replace(label, pick.choice(_LABELS), times)


@_way(1)
def _join(pick: random.Random, text: bytes, others: Sequence[bytes]) -> bytes:
    """With another text before or behind."""
    other = pick.choice(others)
    return pick.choice((text + other, other + text, text + b"\n" + other, text[:-1] + other))
