"""When ciphertext leaves, and whose."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from txnodetls.openssl.calls import GROWN
from txnodetls.outbox import BATCH, Outbox
from txnodetls.protocol.engine import SLICE
from txnodetls.streams.ticks import ticksFor


class Sender:
    """A socket as the outbox sees it; below: another one that it stands on."""

    def __init__(self, clock: Clock, outbox: Outbox, below: Sender | None = None) -> None:
        self._ticks = ticksFor(clock)
        self.held = b""
        self.outbox = outbox
        self.below = below
        self.sent: list[bytes] = []
        self.much: list[bool] = []

    def write(self, data: bytes) -> None:
        self.held += data
        self.outbox.note(self, len(data))

    def _ship(self, much: bool) -> int:
        data, self.held = self.held, b""
        self.sent.append(data)
        self.much.append(much)
        if self.below is not None:
            self.below.write(data)
        return len(data)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


def test_all_that_is_written_in_a_turn_leaves_at_its_end(clock: Clock, outbox: Outbox) -> None:
    one = Sender(clock, outbox)

    def turn() -> None:
        for number in range(100):
            one.write(b"%02d" % number)
        assert one.sent == []

    ticksFor(clock).turn(turn)
    assert one.sent == [b"".join(b"%02d" % number for number in range(100))]


def test_outside_of_a_turn_it_leaves_in_the_next(clock: Clock, outbox: Outbox) -> None:
    one = Sender(clock, outbox)
    one.write(b"a")
    one.write(b"b")
    assert one.sent == []
    clock.advance(0)
    assert one.sent == [b"ab"]
    one.write(b"c")
    clock.advance(0)
    assert one.sent == [b"ab", b"c"]


def test_what_ticks_write_leaves_too(clock: Clock, outbox: Outbox) -> None:
    one = Sender(clock, outbox)

    def turn() -> None:
        one.write(b"a")
        one._ticks.nextTick(one.write, b"b")

    ticksFor(clock).turn(turn)
    assert one.sent == [b"ab"]


def test_little_waits_for_what_others_have_and_much_does_not(clock: Clock, outbox: Outbox) -> None:
    one, other, third = (Sender(clock, outbox) for _ in range(3))
    much = bytes(GROWN + 1)

    def turn() -> None:
        one.write(b"a")
        other.write(much)
        third.write(b"x")
        assert other.sent == [much]
        one.write(b"b")
        assert one.sent == third.sent == []

    ticksFor(clock).turn(turn)
    assert [b"".join(each.sent) for each in (one, other, third)] == [b"ab", much, b"x"]


def test_what_turns_that_follow_at_once_write_leaves_behind_the_last(
    clock: Clock, outbox: Outbox
) -> None:
    ticks = ticksFor(clock)
    one, other = Sender(clock, outbox), Sender(clock, outbox)
    ticks.gathering = True
    ticks.turn(one.write, b"a")
    ticks.turn(other.write, b"x")
    ticks.turn(one.write, b"b")
    assert one.sent == other.sent == []
    outbox.flushFor(other)
    assert other.sent == [b"x"]
    assert one.sent == []
    ticks.settle()
    assert b"".join(one.sent) == b"ab"
    assert other.sent == [b"x"]


def test_a_few_long_flights_wait_for_each_other_and_take_along_what_waits(
    clock: Clock, outbox: Outbox
) -> None:
    ticks = ticksFor(clock)
    little, *flights = (Sender(clock, outbox) for _ in range(7))

    def fly(sender: Sender) -> None:
        sender.write(b"flight")
        outbox.hasten()
        assert sender.sent == []

    ticks.gathering = True
    ticks.turn(little.write, b"x")
    sent: list[int] = []
    for sender in flights:
        ticks.gathering = True
        ticks.turn(fly, sender)
        sent.append(sum(bool(each.sent) for each in (little, *flights)))
    assert sent == [0, 0, 4, 4, 4, 7]


def test_who_waits_can_be_forgotten(clock: Clock, outbox: Outbox) -> None:
    one, other = Sender(clock, outbox), Sender(clock, outbox)

    def turn() -> None:
        one.write(b"secret")
        other.write(b"x")
        assert outbox.forget(one)
        assert not outbox.forget(one)

    ticksFor(clock).turn(turn)
    assert one.sent == []
    assert other.sent == [b"x"]


def test_a_batch_does_not_wait(clock: Clock, outbox: Outbox) -> None:
    one = Sender(clock, outbox)
    piece = bytes(SLICE)

    def turn() -> None:
        for _ in range(BATCH // SLICE):
            assert one.sent == []
            one.write(piece)
        assert [len(each) for each in one.sent] == [BATCH]
        assert outbox.spent == BATCH

    ticksFor(clock).turn(turn)
    assert outbox.spent == 0


def test_it_says_whether_there_is_much(clock: Clock, outbox: Outbox) -> None:
    one, other = Sender(clock, outbox), Sender(clock, outbox)

    def turn() -> None:
        one.write(bytes(GROWN))
        outbox.flushFor(one)
        one.write(bytes(GROWN + 1))
        outbox.flushFor(one)
        one.write(b"the rest of much")
        other.write(b"little")

    ticksFor(clock).turn(turn)
    assert one.much == [False, True, True]
    assert other.much == [False]
    ticksFor(clock).turn(lambda: one.write(b"little"))
    assert one.much[-1] is False


def test_what_is_spent_is_counted_anew_for_everyone_and_each_turn(
    clock: Clock, outbox: Outbox
) -> None:
    one, other = Sender(clock, outbox), Sender(clock, outbox)

    def turn() -> None:
        one.write(b"abc")
        outbox.flushFor(one)
        assert outbox.spent == 3
        other.write(b"x")
        assert outbox.spent == 0

    ticksFor(clock).turn(turn)
    assert outbox.spent == 0


def test_flushing_is_for_the_owner_only(clock: Clock, outbox: Outbox) -> None:
    one, other = Sender(clock, outbox), Sender(clock, outbox)
    one.write(b"a")
    outbox.flushFor(other)
    assert one.sent == []
    outbox.flushFor(one)
    assert one.sent == [b"a"]
    clock.advance(0)
    assert one.sent == [b"a"]


def test_what_is_forgotten_is_not_sent(clock: Clock, outbox: Outbox) -> None:
    one, other = Sender(clock, outbox), Sender(clock, outbox)
    one.write(b"secret")
    outbox.forget(other)
    outbox.forget(one)
    clock.advance(0)
    assert one.sent == []
    other.write(b"x")
    clock.advance(0)
    assert other.sent == [b"x"]
    assert one.sent == []


@pytest.mark.parametrize("size", [1, SLICE, BATCH, 3 * BATCH])
def test_connections_that_stand_on_each_other_keep_their_order(
    size: int, clock: Clock, outbox: Outbox
) -> None:
    """What the innermost sends is output of the next one, and so on to the outermost."""
    outer = Sender(clock, outbox)
    middle = Sender(clock, outbox, outer)
    inner = Sender(clock, outbox, middle)
    data = (bytes(range(251)) * (size // 251 + 1))[:size]

    def turn() -> None:
        for start in range(0, size, SLICE):
            inner.write(data[start : start + SLICE])
        inner.write(b"end")

    ticksFor(clock).turn(turn)
    for each in (inner, middle, outer):
        assert b"".join(each.sent) == data + b"end"


def test_each_reactor_sends_at_the_end_of_its_own_turns(outbox: Outbox) -> None:
    """A clock that stands still in one test holds nothing back in another."""
    still, running = Clock(), Clock()
    one, other = Sender(still, outbox), Sender(running, outbox)
    one.write(b"a")
    other.write(b"b")
    running.advance(0)
    assert other.sent == [b"b"]
    assert one.sent == [b"a"]
    still.advance(0)
    one.write(b"c")
    still.advance(0)
    assert one.sent == [b"a", b"c"]
