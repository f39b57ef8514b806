"""Counting connections, and ending those that are silent for too long."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from txnodetls.daemon.limits import Gate, Sweeper, Times
from txnodetls.daemon.records import Phase, Reason, Record


def test_there_are_so_many_and_no_more() -> None:
    gate = Gate(most=2)
    assert [gate.admits("a"), gate.admits("b"), gate.admits("c")] == [True, True, False]
    gate.left("a")
    assert gate.open == 1
    assert gate.admits("c")


def test_there_are_so_many_from_one_address() -> None:
    gate = Gate(mostEach=1)
    assert [gate.admits("a"), gate.admits("a"), gate.admits("b")] == [True, False, True]
    gate.left("a")
    assert gate.admits("a")
    assert [gate.admits(None), gate.admits(None)] == [True, True]  # of UNIX sockets


def test_what_is_not_limited_leaves_nothing_behind() -> None:
    gate = Gate()
    for _ in range(3):
        assert gate.admits("a")
    for _ in range(3):
        gate.left("a")
    assert (gate.open, gate._each) == (0, {})


class Connection:
    """Stands in for a TLSSocket."""

    def __init__(self) -> None:
        self.bytesRead = self.bytesWritten = 0
        self.writable = True
        self.ends: list[str] = []

    def destroySoon(self) -> None:
        self.ends.append("soon")
        self.writable = False

    def destroy(self) -> None:
        self.ends.append("now")


def sweeping(idle: float, close: float) -> tuple[Clock, Connection, Record]:
    clock = Clock()
    record = Record("test", None, None, clock.seconds())
    record.times = Times(idle, close)
    record.phase = Phase.OPEN
    connection: Any = Connection()
    record.socket = connection
    Sweeper(clock, [record]).start()
    return clock, connection, record


def test_who_is_silent_is_ended() -> None:
    clock, connection, record = sweeping(10, 3)
    clock.pump([1] * 8)
    assert connection.ends == []
    clock.pump([1] * 3)
    assert connection.ends == ["soon"]
    assert record.reason is Reason.IDLE


def test_bytes_either_way_count() -> None:
    clock, connection, _ = sweeping(5, 3)
    for step in range(20):
        clock.advance(1)
        if step % 2:
            connection.bytesRead += 1
        elif step % 3:
            connection.bytesWritten += 1
    assert connection.ends == []


def test_what_does_not_come_to_its_end_is_cut_off() -> None:
    clock, connection, record = sweeping(100, 3)
    clock.advance(1)
    connection.writable = False
    clock.pump([1] * 3)
    assert connection.ends == []
    clock.pump([1] * 2)
    assert connection.ends == ["now"]
    assert record.reason is Reason.CLOSING


def test_zero_is_for_ever() -> None:
    clock, connection, _ = sweeping(0, 0)
    clock.pump([1000] * 5)
    assert connection.ends == []


def test_a_handshake_has_its_own_time() -> None:
    clock, connection, record = sweeping(1, 1)
    record.phase = Phase.HANDSHAKE
    clock.pump([1] * 5)
    assert connection.ends == []
