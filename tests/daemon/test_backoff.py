"""How soon a process that has died is replaced."""

from __future__ import annotations

from txnodetls.daemon.backoff import Backoff


def test_the_first_is_replaced_at_once_and_then_the_wait_doubles_up_to_a_limit() -> None:
    backoff = Backoff()
    waits = [backoff.after(0.1) for _ in range(50)]
    assert waits[:7] == [0, 1, 2, 4, 8, 16, 30]
    assert set(waits[7:]) == {30}


def test_those_that_were_of_use_are_replaced_at_once_and_end_the_row() -> None:
    backoff = Backoff()
    assert [backoff.after(0), backoff.after(0)] == [0, 1]
    assert [backoff.after(3600), backoff.after(5)] == [0, 0]
    assert [backoff.after(0), backoff.after(0)] == [0, 1]
