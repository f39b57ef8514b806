"""ALPN lists."""

from __future__ import annotations

import types
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txnodetls.alpn import convertALPNProtocols, decodeALPN, encodeALPN
from txnodetls.errors import NodeError


def test_str_and_bytes_can_be_mixed() -> None:
    assert encodeALPN(["h2", b"\xff", "é", bytearray(b"x")]) == b"\2h2\1\xff\2\xc3\xa9\1x"


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview])
def test_the_wire_form_is_copied(form: Any) -> None:
    assert encodeALPN(form(b"\2h2\1x")) == b"\2h2\1x"


def test_an_empty_list_is_an_empty_offer_and_not_none() -> None:
    assert encodeALPN([]) == b""
    assert encodeALPN(b"") == b""


@pytest.mark.parametrize("other", [None, "h2", 1, {}])
def test_anything_else_is_passed_over(other: object) -> None:
    assert encodeALPN(other) is None


def test_255_bytes_are_the_limit() -> None:
    assert encodeALPN(["x" * 255]) == b"\xff" + b"x" * 255
    with pytest.raises(NodeError, match=r"protocol at index 1 exceeds.*<= 255. Received 256") as c:
        encodeALPN(["a", "é" * 128])
    assert c.value.code == "ERR_OUT_OF_RANGE"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (["a", 1], "ERR_INVALID_ARG_TYPE"),
        ([None], "ERR_INVALID_ARG_TYPE"),
        ([""], "ERR_INVALID_ARG_VALUE"),
        (b"\5h2", "ERR_INVALID_ARG_VALUE"),
        (b"\2h2\0", "ERR_INVALID_ARG_VALUE"),
    ],
)
def test_what_tls_cannot_carry_is_refused(wrong: object, code: str) -> None:
    with pytest.raises(NodeError) as caught:
        encodeALPN(wrong)
    assert caught.value.code == code


@given(st.lists(st.binary(min_size=1, max_size=255)))
def test_what_was_encoded_can_be_decoded(protocols: list[bytes]) -> None:
    encoded = encodeALPN(protocols)
    assert encoded is not None
    assert decodeALPN(encoded) == protocols


@given(st.binary(max_size=600))
def test_any_bytes_are_a_list_or_an_error(data: bytes) -> None:
    try:
        protocols = decodeALPN(data)
    except ValueError:
        return
    assert encodeALPN(protocols) == data


class TestConverting:
    def test_sets_a_mappings_key_or_an_objects_attribute(self) -> None:
        mapping: dict[str, bytes] = {}
        thing = types.SimpleNamespace()
        convertALPNProtocols(["h2"], mapping)
        convertALPNProtocols(b"\2h2", thing)
        assert mapping == {"ALPNProtocols": b"\2h2"}
        assert thing.ALPNProtocols == b"\2h2"

    def test_leaves_what_it_does_not_know(self) -> None:
        mapping = {"ALPNProtocols": b"before"}
        convertALPNProtocols("h2", mapping)
        convertALPNProtocols(None, mapping)
        assert mapping == {"ALPNProtocols": b"before"}
