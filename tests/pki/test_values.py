"""
Values of any type.

What is refused was refused by OpenSSL, 3.5 and 4.0, in the names of a certificate or in an
"other name".
"""

from __future__ import annotations

import pytest

from tests.pki.building import IA5, UTF8, oid, text
from txnodetls.errors import NodeError
from txnodetls.pki import der
from txnodetls.pki.values import checkValue

BMP, UNIVERSAL, NULL = 0x1E, 0x1C, 0x05


@pytest.mark.parametrize(
    "encoded",
    [
        text("x"),
        text(b"\xff", UTF8),  # that it is no UTF-8 is not looked at here
        text("", IA5),
        text("ab", BMP),
        text("abcd", UNIVERSAL),
        der.encode(BMP | 0x20, text("a", 4) + text("b", 4)),
        text("200101000000Z", der.UTC_TIME),
        text("20200101000000Z", der.GENERALIZED_TIME),
        text(b"\x01\x02", der.BIT_STRING),
        der.encode(NULL, b""),
        der.encode(der.BOOLEAN, b"\x05"),
        der.encode(der.INTEGER, b"\x05"),
        oid("1.2.3"),
        der.encode(der.SEQUENCE, b"whatever"),
        der.encode(0x80, b""),
        der.encode(0xA5, b"whatever"),
    ],
)
def test_a_value_that_is_what_it_says(encoded: bytes) -> None:
    checkValue(der.only(encoded))


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        (text("abc", BMP), "bmpstring is wrong length"),
        (text("abcde", UNIVERSAL), "universalstring is wrong length"),
        (text("20010100000Z", der.UTC_TIME), "utctime is too short"),
        (text("202001010000Z", der.GENERALIZED_TIME), "generalizedtime is too short"),
        (text(b"\x08\x01", der.BIT_STRING), "invalid bit string bits left"),
        (text("", der.BIT_STRING), "string too short"),
        (text("x", NULL), "null is wrong length"),
        (text("xy", der.BOOLEAN), "boolean is wrong length"),
        (text(b"\0\1", der.INTEGER), "illegal padding"),
        (text(b"\x80", der.OBJECT), "invalid object encoding"),
        (text("", 0x10), "type not constructed"),
        (text("", der.INTEGER | 0x20), "type not primitive"),
    ],
)
def test_a_value_that_is_not_what_it_says(encoded: bytes, reason: str) -> None:
    with pytest.raises(NodeError) as caught:
        checkValue(der.only(encoded))
    assert caught.value.code == "ERR_OSSL_ASN1_" + reason.upper().replace(" ", "_")
