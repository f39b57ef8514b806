"""What is done again and again."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from txnodetls.daemon.repeating import Repeating


def test_it_begins_once_whatever_distance_it_is_given_later() -> None:
    clock, calls = Clock(), []
    repeating = Repeating(clock, lambda: calls.append(clock.seconds()))
    repeating.stop()
    repeating.start(2)
    clock.advance(1)
    repeating.start(2)
    assert calls == []
    clock.advance(1)
    assert calls == [2]
    repeating.start(3)
    clock.pump([1] * 6)
    assert calls == [2, 5, 8]
    repeating.stop()
    repeating.stop()
    assert clock.getDelayedCalls() == []


def test_one_failure_is_logged_and_ends_nothing(loggedErrors: Any) -> None:
    clock, calls = Clock(), []

    def act() -> None:
        calls.append(clock.seconds())
        if len(calls) == 1:
            raise ZeroDivisionError

    Repeating(clock, act).start(1)
    clock.pump([1, 1])
    assert calls == [1, 2]
    assert [type(error) for error in loggedErrors.flush()] == [ZeroDivisionError]
