"""Sealed entries: what opens them, and that nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txnodetls.errors import NodeError
from txnodetls.sessions.sealing import SessionSealer

KEY, OTHER = b"k" * 32, b"o" * 32
ID, BINDING, DATA = b"i" * 32, b"context and trust", b"a session" * 20
sealer = SessionSealer([KEY])


def test_what_was_sealed_opens() -> None:
    entry = sealer.seal(ID, BINDING, DATA)
    assert sealer.open(ID, BINDING, entry) == DATA
    assert SessionSealer([KEY, OTHER]).open(ID, BINDING, entry) == DATA


def test_nothing_of_it_can_be_read_and_no_two_entries_are_alike() -> None:
    one, other = (sealer.seal(ID, BINDING, DATA) for _ in range(2))
    assert DATA[:9] not in one
    assert ID not in one
    assert one[1:33] != other[1:33]
    assert one[33:] != other[33:]


def test_an_entry_opens_only_under_its_id_and_where_it_belongs() -> None:
    entry = sealer.seal(ID, BINDING, DATA)
    assert sealer.open(b"x" * 32, BINDING, entry) is None
    assert sealer.open(ID, b"another context", entry) is None
    # The line between the two cannot be moved.
    assert sealer.open(ID + BINDING[:1], BINDING[1:], entry) is None
    assert sealer.open(ID[:-1], ID[-1:] + BINDING, entry) is None


def test_another_key_does_not_open_it() -> None:
    assert SessionSealer([OTHER]).open(ID, BINDING, sealer.seal(ID, BINDING, DATA)) is None


def test_every_key_opens_and_the_first_one_seals() -> None:
    both = SessionSealer([OTHER, KEY])
    assert both.open(ID, BINDING, sealer.seal(ID, BINDING, DATA)) == DATA
    entry = both.seal(ID, BINDING, DATA)
    assert SessionSealer([OTHER]).open(ID, BINDING, entry) == DATA
    assert sealer.open(ID, BINDING, entry) is None


ENTRY = sealer.seal(ID, BINDING, DATA)


@given(st.integers(0, len(ENTRY) - 1), st.integers(1, 255))
def test_an_entry_with_a_changed_byte_does_not_open(place: int, change: int) -> None:
    changed = bytearray(ENTRY)
    changed[place] ^= change
    assert sealer.open(ID, BINDING, bytes(changed)) is None


@given(st.integers(0, len(ENTRY) - 1))
def test_an_entry_that_was_cut_does_not_open(length: int) -> None:
    assert sealer.open(ID, BINDING, ENTRY[:length]) is None
    assert sealer.open(ID, BINDING, ENTRY[len(ENTRY) - length :]) is None
    assert sealer.open(ID, BINDING, ENTRY + ENTRY[:length] + b"\0") is None


@given(st.binary(max_size=200))
def test_what_was_never_sealed_does_not_open(data: bytes) -> None:
    assert sealer.open(ID, BINDING, data) is None
    assert sealer.open(ID, BINDING, b"\x01" + data) is None


@pytest.mark.parametrize("keys", [[], KEY, "key", [KEY[1:]], [KEY, b""], [None], ["k" * 32]])
def test_keys_have_to_be_keys(keys: object) -> None:
    with pytest.raises(NodeError) as caught:
        SessionSealer(keys)  # type: ignore[arg-type]
    assert caught.value.code in ("ERR_INVALID_ARG_TYPE", "ERR_INVALID_ARG_VALUE")


def test_keys_are_not_shown() -> None:
    assert "kkk" not in repr(sealer)
