"""Ticks run behind what is running, before any other I/O, and never raise."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from twisted.internet.task import Clock

from tests.conftest import LoggedErrors
from txnodetls.streams.ticks import TickQueue, ticksFor


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ticks(clock: Clock) -> TickQueue:
    return ticksFor(clock)


def test_aReactorHasOneQueue(clock: Clock) -> None:
    assert ticksFor(clock) is ticksFor(clock)
    assert ticksFor(clock) is not ticksFor(Clock())
    assert ticksFor(clock).reactor is clock


def test_aQueueDoesNotKeepItsReactor() -> None:
    clock = Clock()
    queue, gone = ticksFor(clock), weakref.ref(clock)
    del clock
    gc.collect()
    assert gone() is None
    with pytest.raises(ReferenceError):
        queue.reactor
    queue.nextTick(print)  # nothing can ever run it; it is no error


def test_ticksRunBehindTheTurnInTheirOrder(ticks: TickQueue) -> None:
    seen: list[Any] = []

    def callback() -> None:
        ticks.nextTick(first)
        ticks.nextTick(seen.append, "second")
        seen.append("callback")

    def first() -> None:
        seen.append("first")
        ticks.nextTick(seen.append, "third")

    ticks.turn(callback)
    assert seen == ["callback", "first", "second", "third"]


def test_aTurnRunsWhatWasOwedBeforeIt(ticks: TickQueue, clock: Clock) -> None:
    seen: list[Any] = []
    ticks.nextTick(seen.append, "owed")
    ticks.turn(seen.append, "turn")
    assert seen == ["owed", "turn"]
    clock.advance(0)
    assert seen == ["owed", "turn"]


def test_outsideOfATurnTheReactorIsAskedOnce(ticks: TickQueue, clock: Clock) -> None:
    seen: list[Any] = []
    ticks.nextTick(seen.append, 1)
    ticks.nextTick(seen.append, 2)
    ticks.atEnd(lambda: seen.append(ticks.active))
    assert len(clock.getDelayedCalls()) == 1
    assert not seen
    clock.advance(0)
    assert seen == [1, 2, True]
    assert not clock.getDelayedCalls()
    ticks.nextTick(seen.append, 3)
    clock.advance(0)
    assert seen[-1] == 3


def test_endingsRunOnceBehindTheTicksAndMayLeaveTicks(ticks: TickQueue) -> None:
    seen: list[Any] = []

    def ending() -> None:
        seen.append("ending")
        ticks.nextTick(lambda: (seen.append("tick"), ticks.endings.append(lambda: seen.append(2))))

    def callback() -> None:
        ticks.endings.append(ending)
        ticks.nextTick(seen.append, "before")

    ticks.turn(callback)
    assert seen == ["before", "ending", "tick", 2]
    ticks.turn(seen.append, "next")
    assert seen[4:] == ["next"]


def test_endingsOfTurnsThatFollowAtOnceRunBehindTheLast(ticks: TickQueue) -> None:
    ran: list[str] = []

    def turn(name: str) -> None:
        ran.append(name)
        ticks.nextTick(ran.append, f"{name}'s tick")
        ticks.atEnd(lambda: ran.append(f"{name}'s ending"))

    ticks.gathering = True
    ticks.turn(turn, "first")
    ticks.turn(turn, "second")
    ticks.gathering = False
    ticks.turn(turn, "third")
    assert ran == [
        *("first", "first's tick", "second", "second's tick", "third", "third's tick"),
        *("first's ending", "second's ending", "third's ending"),
    ]


def test_settlingRunsTheEndingsThatWereLeftAndWhatTheyLeave(ticks: TickQueue) -> None:
    ran: list[str] = []
    ticks.gathering = True
    ticks.turn(ticks.atEnd, lambda: ticks.nextTick(ran.append, "a tick of the ending"))
    assert ran == []
    ticks.settle()
    assert ran == ["a tick of the ending"]
    assert not ticks.gathering
    ticks.settle()
    ticks.turn(ticks.atEnd, lambda: ran.append("as ever"))
    assert ran[1:] == ["as ever"]


def test_aTurnWithinATurnIsAPlainCall(ticks: TickQueue) -> None:
    seen: list[Any] = []

    def outer() -> None:
        ticks.nextTick(seen.append, "tick")
        ticks.turn(seen.append, "inner")
        seen.append("outer")

    ticks.turn(outer)
    assert seen == ["inner", "outer", "tick"]


def test_activeIsTrueInsideOnly(ticks: TickQueue) -> None:
    seen: list[bool] = [ticks.active]
    ticks.turn(
        lambda: (seen.append(ticks.active), ticks.nextTick(lambda: seen.append(ticks.active)))
    )
    assert [*seen, ticks.active] == [False, True, True, False]


def test_anImmediateHasATurnOfItsOwn(ticks: TickQueue, clock: Clock) -> None:
    seen: list[Any] = []
    ticks.immediate(lambda: (ticks.nextTick(seen.append, "tick"), seen.append(ticks.active)))
    ticks.immediate(seen.append, "second")
    ticks.immediate(seen.append, "never").cancel()
    clock.advance(0)
    assert seen == [True, "tick", "second"]


@pytest.mark.parametrize("where", ["callback", "tick", "ending", "nested"])
def test_whatRaisesIsLoggedOnceAndTheRestGoesOn(
    ticks: TickQueue, where: str, loggedErrors: LoggedErrors
) -> None:
    seen: list[Any] = []

    def fail() -> None:
        raise ValueError(where)

    def callback() -> None:
        ticks.nextTick(seen.append, "tick")
        if where == "tick":
            ticks.nextTick(fail)
        if where == "ending":
            ticks.endings.append(fail)
        if where == "nested":
            ticks.turn(fail)
        ticks.nextTick(seen.append, "last tick")
        ticks.endings.append(lambda: seen.append("ending"))
        if where == "callback":
            fail()

    ticks.turn(callback)
    assert seen == ["tick", "last tick", "ending"]
    assert [str(error) for error in loggedErrors.flush(ValueError)] == [where]
    assert not ticks.active


def test_anInterruptGoesThroughAndTheRestIsRunLater(ticks: TickQueue, clock: Clock) -> None:
    seen: list[Any] = []

    def callback() -> None:
        ticks.nextTick(interrupt)
        ticks.nextTick(seen.append, "later")

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ticks.turn(callback)
    assert not ticks.active
    clock.advance(0)
    assert seen == ["later"]


def test_anEndingAloneAsksForATurn(ticks: TickQueue, clock: Clock) -> None:
    seen: list[Any] = []
    ticks.atEnd(lambda: seen.append("ending"))
    clock.advance(0)
    assert seen == ["ending"]
    clock.advance(0)
    assert seen == ["ending"]
