"""One timer for many deadlines."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from txnodetls.deadlines import Deadlines


class Waiting:
    """Deadlines of ten seconds on a clock of their own, and who came late."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.late: list[str] = []
        self.stays = False
        self.deadlines: Deadlines[str] = Deadlines(self.clock, 10, self.tooLate, lambda: self.stays)

    def tooLate(self, one: str) -> None:
        assert self.deadlines.done(one)
        self.late.append(one)


@pytest.fixture
def waiting() -> Waiting:
    return Waiting()


def test_each_has_its_whole_time(waiting: Waiting) -> None:
    for one in "abc":
        waiting.deadlines.begin(one)
        waiting.clock.advance(3)
    waiting.clock.advance(0.9)
    assert waiting.late == []
    waiting.clock.advance(0.2)
    assert waiting.late == ["a"]
    waiting.clock.advance(3)
    assert waiting.late == ["a", "b"]
    waiting.clock.advance(3)
    assert waiting.late == ["a", "b", "c"]
    assert waiting.clock.getDelayedCalls() == []


def test_who_begins_again_has_the_whole_time_again(waiting: Waiting) -> None:
    for one in "aba":
        waiting.deadlines.begin(one)
        waiting.clock.advance(3)
    waiting.clock.advance(4.1)
    assert waiting.late == ["b"]
    waiting.clock.advance(3)
    assert waiting.late == ["b", "a"]
    assert waiting.clock.getDelayedCalls() == []


def test_there_is_one_timer_for_all(waiting: Waiting) -> None:
    for number in range(100):
        waiting.deadlines.begin(str(number))
    assert len(waiting.clock.getDelayedCalls()) == 1
    assert len(waiting.deadlines) == 100


def test_who_is_done_is_not_late_and_is_told_once_that_it_was_waited_for(waiting: Waiting) -> None:
    waiting.deadlines.begin("a")
    waiting.deadlines.begin("b")
    assert waiting.deadlines.done("a")
    assert not waiting.deadlines.done("a")
    waiting.clock.advance(11)
    assert waiting.late == ["b"]


def test_no_timer_is_left_when_nobody_waits(waiting: Waiting) -> None:
    waiting.deadlines.begin("a")
    waiting.deadlines.done("a")
    assert waiting.clock.getDelayedCalls() == []


def test_a_timer_that_may_stay_serves_the_next_one(waiting: Waiting) -> None:
    waiting.stays = True
    waiting.deadlines.begin("a")
    (timer,) = waiting.clock.getDelayedCalls()
    waiting.clock.advance(4)
    waiting.deadlines.done("a")
    waiting.deadlines.begin("b")
    assert waiting.clock.getDelayedCalls() == [timer]
    waiting.clock.advance(9.9)
    assert waiting.late == []
    waiting.clock.advance(0.2)
    assert waiting.late == ["b"]


def test_a_timer_that_may_stay_no_longer_goes_with_settle(waiting: Waiting) -> None:
    waiting.stays = True
    waiting.deadlines.begin("a")
    waiting.deadlines.settle()
    waiting.deadlines.done("a")
    assert len(waiting.clock.getDelayedCalls()) == 1
    waiting.stays = False
    waiting.deadlines.settle()
    assert waiting.clock.getDelayedCalls() == []


def test_a_timer_that_stayed_comes_to_nothing(waiting: Waiting) -> None:
    waiting.stays = True
    waiting.deadlines.begin("a")
    waiting.deadlines.done("a")
    waiting.clock.advance(100)
    assert waiting.late == []
    assert waiting.clock.getDelayedCalls() == []


def test_a_shorter_time_holds_from_the_next_one_on(waiting: Waiting) -> None:
    waiting.stays = True
    waiting.deadlines.begin("a")
    waiting.deadlines.done("a")
    waiting.deadlines.seconds = 1
    waiting.deadlines.begin("b")
    waiting.clock.advance(1.1)
    assert waiting.late == ["b"]


def test_who_is_done_by_another_that_is_late_is_not_late(waiting: Waiting) -> None:
    deadlines = waiting.deadlines

    def endBoth(one: str) -> None:
        waiting.late.append(one)
        deadlines.done("a")
        deadlines.done("b")
        deadlines.begin("c")

    waiting.deadlines._late = endBoth
    deadlines.begin("a")
    deadlines.begin("b")
    waiting.clock.advance(10)
    assert waiting.late == ["a"]
    deadlines.done("c")
    assert waiting.clock.getDelayedCalls() == []
