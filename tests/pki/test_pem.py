"""PEM blocks."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txnodetls.errors import NodeError, OpenSSLError
from txnodetls.pki.pem import CERTIFICATE_LABELS, noStartLine, pemBlocks, toPEM

SMALL = b"\x30\x03\x02\x01\x05"
LABELS = frozenset({"THING"})


def blocks(text: bytes, labels: frozenset[str] = LABELS) -> list[bytes]:
    return [block.der for block in pemBlocks(text, labels)]


def test_finds_every_block_and_passes_over_what_is_between() -> None:
    text = b"a comment\n" + toPEM(SMALL, "THING") + b"more\n" + toPEM(SMALL, "THING") + b"end"
    assert blocks(text) == [SMALL, SMALL]


def test_passes_over_other_labels() -> None:
    assert blocks(toPEM(SMALL, "PRIVATE KEY") + toPEM(SMALL, "THING")) == [SMALL]


def test_takes_the_line_ends_of_every_system() -> None:
    assert blocks(toPEM(SMALL, "THING").replace(b"\n", b"\r\n")) == [SMALL]


def test_a_block_has_all_that_is_in_it() -> None:
    pem = toPEM(SMALL + b"more", "THING")
    [block] = pemBlocks(b"before\n" + pem + b"after", LABELS)
    assert (block.label, block.der, block.auxiliary) == ("THING", SMALL, b"more")
    assert block.pem == pem


def test_a_trusted_certificate_ends_with_its_first_element() -> None:
    text = toPEM(SMALL + b"\x30\x00", "TRUSTED CERTIFICATE")
    assert blocks(text, CERTIFICATE_LABELS) == [SMALL]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (toPEM(SMALL, "THING")[:-20], "ERR_OSSL_PEM_BAD_END_LINE"),
        (toPEM(SMALL, "THING").replace(b"END THING", b"END OTHER"), "ERR_OSSL_PEM_BAD_END_LINE"),
        (b"-----BEGIN THING-----\n!!!!\n-----END THING-----\n", "ERR_OSSL_PEM_BAD_BASE64_DECODE"),
        (b"-----BEGIN THING-----\nAAA\n-----END THING-----\n", "ERR_OSSL_PEM_BAD_BASE64_DECODE"),
    ],
)
def test_what_is_damaged_is_refused_with_openssls_error(text: bytes, code: str) -> None:
    with pytest.raises(OpenSSLError) as caught:
        blocks(text)
    assert caught.value.code == code


ELEMENT = b"\x30\x04\x02\x02\x01\x05"
WHOLE = toPEM(ELEMENT, "THING")
UNEXPLAINED = "ERR_CRYPTO_OPERATION_FAILED"
BASE64 = "ERR_OSSL_PEM_BAD_BASE64_DECODE"
END = "ERR_OSSL_PEM_BAD_END_LINE"
HEADER = "ERR_OSSL_PEM_NOT_PROC_TYPE"


def read(text: bytes) -> Any:
    """The blocks of a text, or the code of the error."""
    try:
        return blocks(text)
    except NodeError as error:
        return error.code


@pytest.mark.parametrize(
    ("body", "found"),
    [
        # Blanks and control characters count nowhere at a line's end, blanks nowhere at all.
        (b"MAQC AgEF", [ELEMENT]),
        (b" MAQC\tAgEF \x01\x0b\xa0", [ELEMENT]),
        (b"MAQC\rAgEF", [ELEMENT]),
        (b"MAQC\x0bAgEF", BASE64),
        # A hyphen ends the data, whatever else comes.
        (b"MAQCAgEF-!!", [ELEMENT]),
        (b"MAQCAgEF\n-", [ELEMENT]),
        (b"MAQCAgE-", BASE64),
        # Padding is to be right.
        (b"MAQCAgEF\n=", BASE64),
        (b"MAQCAgEF====", BASE64),
        (b"MAQCAgEFAA==", [ELEMENT]),
        (b"MAQCAgEFAA=\n=", [ELEMENT]),
        (b"MAQC=AgEF", BASE64),
        # A NUL ends a line, its end included.
        (b"MAQC\0!!!!\nAgEF", [ELEMENT]),
        # A colon, or an empty line, makes a header of what comes before.
        (b"MAQC:AgEF", UNEXPLAINED),
        (b"name: value\n\nMAQCAgEF", HEADER),
        (b"MAQC\n\nAgEF", HEADER),
        (b"MAQCAgEF\n ", UNEXPLAINED),
        (b"", UNEXPLAINED),
        (b"\nMAQCAgEF", [ELEMENT]),
        (b"\nMAQC\nAgEF", END),
        (b"\n\nMAQCAgEF", END),
        (b"\n" + b"A" * 65, UNEXPLAINED),
        (b"Proc-Type: 3,ENCRYPTED\n\nMAQCAgEF", UNEXPLAINED),
        (b"Proc-Type: 4,MIC-CLEAR\n\nMAQCAgEF", "ERR_OSSL_PEM_NOT_ENCRYPTED"),
        (b"Proc-Type: 4,ENCRYPTED x\n\nMAQCAgEF", "ERR_OSSL_PEM_SHORT_HEADER"),
        (b"Proc-Type: 4,ENCRYPTED\n\nMAQCAgEF", "ERR_OSSL_PEM_NOT_DEK_INFO"),
        (
            b"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMAQCAgEF",
            "ERR_OSSL_PEM_BAD_DECRYPT",
        ),
    ],
)
def test_what_is_damaged_is_what_it_is_to_openssl(body: bytes, found: Any) -> None:
    assert WHOLE.count(b"MAQCAgEF") == 1
    assert read(WHOLE.replace(b"MAQCAgEF", body)) == found


def test_long_lines_are_several() -> None:
    """What is left of one may not be a line's beginning."""
    octets = b"\x04\x82\x01\x2c" + bytes(300)
    body = base64.b64encode(octets)
    text = b"-----BEGIN THING-----\n%s\n-----END THING-----\n"
    assert read(text % body) == [octets]
    # Of 254 characters, so that their end is a line of its own; it ends no header.
    assert read(text % b"\n".join((body[:254], body[254:]))) == [octets]
    # The name is in the second part of its line.
    assert read(b"-" * 254 + WHOLE) == [ELEMENT]
    assert read(b"-" * 255 + WHOLE) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (WHOLE.replace(b"BEGIN THING", b"BEGIN THONG"), END),
        (toPEM(ELEMENT, "OTHER").replace(b"MAQC", b"!!!!") + WHOLE, BASE64),
        (WHOLE.replace(b"-----\n", b"---\n", 1), []),
        (WHOLE.replace(b"-----\n", b"-----x\n", 1), []),
        (b"  " + WHOLE, []),
        (b"\xef\xbb\xbf" + WHOLE, [ELEMENT]),
        (b"\n\xef\xbb\xbf" + WHOLE, []),
        (WHOLE.replace(b"-----\n", b"-----\xa0 \r\n"), [ELEMENT]),
        (WHOLE.replace(b"-----\n", b"-----x\n").replace(b"x", b"", 1), END),
        (WHOLE.replace(b"END THING-----", b"END THING"), END),
    ],
)
def test_lines_that_begin_and_end_blocks_are_those_of_openssl(text: bytes, found: Any) -> None:
    assert read(text) == found


def test_nothing_found_has_openssls_error() -> None:
    assert noStartLine().code == "ERR_OSSL_PEM_NO_START_LINE"
    assert str(noStartLine()) == "error:0480006C:PEM routines::no start line"


@given(st.binary(max_size=300))
def test_any_bytes_are_blocks_or_a_node_error(text: bytes) -> None:
    try:
        blocks(b"-----BEGIN THING-----\n" + text)
    except NodeError:
        pass


@given(st.binary(min_size=1, max_size=300))
def test_what_was_written_can_be_read(octets: bytes) -> None:
    # In one element, as everything in PEM is.
    element = b"\x04\x82" + len(octets).to_bytes(2, "big") + octets
    assert blocks(toPEM(element, "THING")) == [element]
