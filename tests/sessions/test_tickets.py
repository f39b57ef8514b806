"""Ticket keys: what is taken for one, and the ring they are kept in."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from txnodetls.errors import NodeError, NodeTypeError
from txnodetls.sessions.tickets import TicketKeys, ticketKeys

A, B, C = (letter * 48 for letter in (b"a", b"b", b"c"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ring(clock: Clock) -> TicketKeys:
    return TicketKeys(A, 300, clock.seconds)


@pytest.mark.parametrize("given", [A, bytearray(A), memoryview(A)])
def test_48_bytes_are_keys(given: object) -> None:
    assert ticketKeys(given) == A
    assert type(ticketKeys(given)) is bytes


@pytest.mark.parametrize("given", [b"", A[1:], A + b"a"])
def test_another_length_is_refused_as_in_node(given: bytes) -> None:
    with pytest.raises(NodeError, match="must be a 48-byte buffer") as caught:
        ticketKeys(given)
    assert caught.value.code == "ERR_INTERNAL_ASSERTION"


@pytest.mark.parametrize("given", ["a" * 48, None, 48, [97] * 48])
def test_what_is_no_bytes_is_refused(given: object) -> None:
    with pytest.raises(NodeTypeError) as caught:
        ticketKeys(given)
    assert caught.value.code == "ERR_INVALID_ARG_TYPE"
    assert caught.value.message.startswith('The "buffer" argument must be an instance of Buffer')


def test_random_keys_differ() -> None:
    one, other = TicketKeys(), TicketKeys()
    assert len(one.current) == 48
    assert one.current != other.current
    assert one.keys() == (one.current,)


def test_a_ring_refuses_what_is_no_key_and_stays_as_it_was(ring: TicketKeys) -> None:
    for change in (ring.replace, ring.rotate):
        with pytest.raises(NodeError):
            change(b"short")
    assert ring.keys() == (A,)
    with pytest.raises(NodeError):
        TicketKeys(b"short")


def test_replacing_forgets_all_others(ring: TicketKeys) -> None:
    ring.rotate(B)
    ring.replace(C)
    assert ring.keys() == (C,)


def test_after_a_rotation_the_former_key_still_opens_tickets(ring: TicketKeys) -> None:
    ring.rotate(B)
    assert ring.current == B
    assert ring.keys() == (B, A)
    ring.rotate()
    assert ring.keys() == (ring.current, B, A)
    assert len(set(ring.keys())) == 3


def test_a_former_key_goes_when_its_last_ticket_has_expired(ring: TicketKeys, clock: Clock) -> None:
    clock.advance(1000)
    ring.rotate(B)
    clock.advance(200)
    ring.rotate(C)
    assert ring.keys() == (C, B, A)
    clock.advance(100)
    assert ring.keys() == (C, B)
    clock.advance(199)
    assert ring.keys() == (C, B)
    clock.advance(1)
    assert ring.keys() == (C,)


def test_a_key_that_comes_back_is_there_once(ring: TicketKeys, clock: Clock) -> None:
    ring.rotate(B)
    ring.rotate(A)
    assert ring.keys() == (A, B)
    ring.rotate(A)
    assert ring.keys() == (A, B)
    clock.advance(300)
    assert ring.keys() == (A,)


def test_keys_are_not_shown(ring: TicketKeys) -> None:
    ring.rotate(B)
    shown = repr(ring) + str(ring)
    assert "aaa" not in shown
    assert "bbb" not in shown
    assert A.hex() not in shown
