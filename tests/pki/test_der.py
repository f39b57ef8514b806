"""The reader of BER: what it reads, and that nothing makes it do otherwise than refuse."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pki.building import oid, sequence
from txnodetls.errors import Blame, NodeError
from txnodetls.pki import der
from txnodetls.pki.objects import dotted


def refused(data: bytes) -> str:
    with pytest.raises(NodeError) as caught:
        list(der.children(der.only(data)))
    assert caught.value.blame is Blame.PEER
    return caught.value.code or ""


def test_an_element_knows_where_it_lies() -> None:
    found = der.element(b"xx\x04\x03abcyy", 2, 9)
    assert (found.tag, found.value, found.encoding) == (der.OCTET_STRING, b"abc", b"\x04\x03abc")
    assert (found.begin, found.start, found.stop, found.end) == (2, 4, 7, 7)


@pytest.mark.parametrize(
    "data",
    [
        b"\x30\x03\x02\x01\x05",
        b"\x30\x81\x03\x02\x01\x05",
        b"\x30\x84\x00\x00\x00\x03\x02\x01\x05",
        b"\x30\x80\x02\x01\x05\x00\x00",
    ],
    ids=["short", "long", "needless zeros", "indefinite"],
)
def test_every_form_of_a_length(data: bytes) -> None:
    (child,) = der.children(der.only(data + b"rest", der.SEQUENCE))
    assert der.number(child) == 5


def test_an_indefinite_length_ends_with_its_own_end() -> None:
    inner = b"\x30\x80\x04\x01a\x00\x00"
    outer = der.only(b"\x30\x80" + inner + inner + b"\x00\x00" + b"\x00\x00")
    assert [child.encoding for child in der.children(outer)] == [inner, inner]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x30\x01",
        b"\x30\x82\x01",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\xff" + b"\xff" * 127,
        b"\x30\x80",
        b"\x30\x80\x02\x01\x05",
        b"\x04\x80\x00\x00",
        b"\x1f",
        b"\x1f\xff\xff\xff\xff\xff\xff\x01\x00",
        b"\x30\x02\x02\x01",
        b"\x30\x02\x30\x80",
    ],
)
def test_what_is_cut_short_or_too_long_is_refused(data: bytes) -> None:
    assert refused(data).startswith("ERR_OSSL_ASN1_")


@given(st.binary(max_size=200))
def test_any_octets_are_read_or_refused(data: bytes) -> None:
    waiting = [data]
    for _ in range(50):
        try:
            found = der.only(waiting.pop())
            children = list(der.children(found))
        except (NodeError, IndexError):
            break
        assert 0 <= found.begin < found.start <= found.stop <= found.end <= len(data)
        assert all(found.start <= child.begin < child.end <= found.stop for child in children)
        waiting += [child.encoding for child in children]


def test_a_string_in_parts_is_put_together() -> None:
    part = der.encode(0x24, der.encode(4, b"b") + der.encode(4, b"c"))
    string = der.encode(0x24, der.encode(4, b"a") + part + der.encode(4, b"d"))
    assert der.content(der.only(string)) == b"abcd"


def test_parts_within_parts_have_an_end() -> None:
    string = der.encode(4, b"x")
    for _ in range(6):
        string = der.encode(0x24, string)
    assert der.content(der.only(string)) == b"x"
    with pytest.raises(NodeError):
        der.content(der.only(der.encode(0x24, string)))


def test_deep_nesting_costs_no_more_than_its_length() -> None:
    data = b"\x30\x80" * 50_000 + b"\x00\x00" * 50_000
    started = time.monotonic()
    assert der.only(data).end == len(data)
    assert refused(b"\x30\x80" * 100_000) == "ERR_OSSL_ASN1_MISSING_EOC"
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("octets", "value"),
    [(b"\x00", 0), (b"\x7f", 127), (b"\x80", -128), (b"\x00\x80", 128), (b"\xff\x7f", -129)],
)
def test_numbers(octets: bytes, value: int) -> None:
    assert der.number(der.only(der.encode(der.INTEGER, octets))) == value


@pytest.mark.parametrize("octets", [b"", b"\x00\x01", b"\xff\xff", b"\x00\x00"])
def test_numbers_with_needless_octets_are_refused(octets: bytes) -> None:
    with pytest.raises(NodeError):
        der.number(der.only(der.encode(der.INTEGER, octets)))


@pytest.mark.parametrize(
    ("octets", "value"), [(b"\x00\xff", b"\xff"), (b"\x03\xff", b"\xf8"), (b"\x00", b"")]
)
def test_bits_that_do_not_belong_are_zero(octets: bytes, value: bytes) -> None:
    assert der.bits(der.only(der.encode(der.BIT_STRING, octets))) == value


@pytest.mark.parametrize("octets", [b"", b"\x08\x00"])
def test_a_bit_string_without_sense_is_refused(octets: bytes) -> None:
    with pytest.raises(NodeError):
        der.bits(der.only(der.encode(der.BIT_STRING, octets)))


@pytest.mark.parametrize("length", [0, 1, 127, 128, 255, 256, 70_000])
def test_what_is_written_is_read(length: int) -> None:
    encoded = der.encode(der.OCTET_STRING, bytes(length))
    assert der.only(encoded).value == bytes(length)
    assert der.only(encoded).end == len(encoded)


@pytest.mark.parametrize(
    "numbers", ["0.0", "0.39", "1.39.5", "2.0", "2.999.1", "2.5.4.3", "1.3.6.1.4.1.99999999999999"]
)
def test_object_identifiers(numbers: str) -> None:
    assert dotted(der.only(oid(numbers)).value) == numbers


@pytest.mark.parametrize("content", [b"", b"\x55\x83", b"\x55\x80\x03", b"\x80\x01", bytes(2000)])
def test_broken_object_identifiers_are_refused(content: bytes) -> None:
    with pytest.raises(NodeError):
        dotted(content)


def test_only_the_wanted_tag_is_taken() -> None:
    with pytest.raises(NodeError) as caught:
        der.only(sequence(), der.SET, der.INTEGER)
    assert caught.value.code == "ERR_OSSL_ASN1_WRONG_TAG"
    with pytest.raises(NodeError):
        der.expect(None, der.SET)
