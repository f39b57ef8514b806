"""The idle time: exact, and cheap while there is activity."""

from __future__ import annotations

from twisted.internet.task import Clock

from txnodetls.net.idle import IdleTimer, duration


def test_it_runs_out_exactly_so_long_after_the_last_activity() -> None:
    clock = Clock()
    ran: list[float] = []
    timer = IdleTimer(clock, 1000, lambda: ran.append(clock.seconds()))
    for _ in range(5):
        clock.advance(0.7)
        timer.touch()
    clock.pump([0.1] * 9)
    assert ran == []
    clock.pump([0.1] * 2)
    assert len(ran) == 1
    assert 4.5 <= ran[0] < 4.7


def test_it_runs_out_once_until_it_is_touched() -> None:
    clock = Clock()
    ran: list[int] = []
    timer = IdleTimer(clock, 10, lambda: ran.append(1))
    clock.pump([0.01] * 10)
    assert ran == [1]
    assert clock.getDelayedCalls() == []
    timer.touch()
    clock.pump([0.01] * 10)
    assert ran == [1, 1]


def test_activity_sets_no_timers() -> None:
    clock = Clock()
    timer = IdleTimer(clock, 1000, lambda: None)
    for _ in range(100):
        clock.advance(0.001)
        timer.touch()
    assert len(clock.getDelayedCalls()) == 1


def test_a_stopped_timer_is_quiet() -> None:
    clock = Clock()
    ran: list[int] = []
    timer = IdleTimer(clock, 10, lambda: ran.append(1))
    timer.stop()
    timer.stop()
    clock.advance(1)
    assert ran == []
    assert clock.getDelayedCalls() == []


def test_durations_are_bounded_as_in_javascript() -> None:
    assert duration(0) == 0
    assert duration(1.5) == 1.5
    assert duration(2**40) == 2147483647
