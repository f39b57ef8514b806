"""PEM blocks."""

from __future__ import annotations

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


def test_a_block_keeps_its_own_text() -> None:
    pem = toPEM(SMALL, "THING")
    [block] = pemBlocks(b"before\n" + pem + b"after", LABELS)
    assert (block.label, block.pem) == ("THING", pem)


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


# Where this reader differs from OpenSSL's, 3.5 and 4 alike; behind each line what that one says.
ELEMENT = b"\x30\x04\x02\x02\x01\x05"
WHOLE = toPEM(ELEMENT, "THING")


@pytest.mark.parametrize(
    ("damaged", "found"),
    [
        (b"MAQC:AgEF", "ERR_OSSL_PEM_BAD_BASE64_DECODE"),  # an error without a reason
        (b"MAQC\0AgEF", "ERR_OSSL_PEM_BAD_BASE64_DECODE"),  # asn1: too long
        (b"MAQC\n\nAgEF", [ELEMENT]),  # PEM: not proc type, or bad end line
        (b"MAQCAgEF\n \n", [ELEMENT]),  # an error without a reason
        (b"MAQCAgEF\n=", [ELEMENT]),  # PEM: bad base64 decode
    ],
)
def test_what_is_damaged_is_not_always_what_it_is_to_openssl(damaged: bytes, found: Any) -> None:
    def read() -> Any:
        try:
            return blocks(WHOLE.replace(b"MAQCAgEF", damaged))
        except NodeError as error:
            return error.code

    assert WHOLE.count(b"MAQCAgEF") == 1
    assert read() == found


def test_a_block_of_another_label_at_its_begin_is_none() -> None:
    """To OpenSSL it is one with a wrong end."""
    assert blocks(WHOLE.replace(b"BEGIN THING", b"BEGIN THONG")) == []


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
