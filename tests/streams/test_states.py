"""The states that are compared by order are in the order of the stream's life."""

from __future__ import annotations

from txnodetls.streams import states
from txnodetls.streams.states import Flow, Life, Reading, Writing


def test_livesAndHalvesOnlyGoDown() -> None:
    assert list(Life) == sorted(Life)
    assert [life.name for life in Life] == ["ALIVE", "ERRORED", "DESTROYED", "CLOSED", "OVER"]
    assert Reading.OPEN < Reading.ENDED < Reading.END_EMITTED < Reading.ABANDONED
    assert list(Writing) == sorted(Writing)


def test_theFirstStatesAreFalse() -> None:
    """The test for the quick way of C{write()} rests on it."""
    assert not any((Life.ALIVE, Writing.OPEN, states.Activity.IDLE))


def test_flowHasNodesValues() -> None:
    assert [flow.value for flow in (Flow.UNDECIDED, Flow.STOPPED, Flow.FLOWING)] == [
        None,
        False,
        True,
    ]


def test_theConstantsAreTheMembers() -> None:
    assert (states.ALIVE, states.OVER) == (Life.ALIVE, Life.OVER)
    assert (states.READ_OPEN, states.ABANDONED) == (Reading.OPEN, Reading.ABANDONED)
    assert (states.NEW, states.DRY) == (states.Source.NEW, states.Source.DRY)
    assert (states.UNDECIDED, states.HELD) == (Flow.UNDECIDED, Flow.STOPPED)
    assert (states.UNASKED, states.RESUME) == (states.Request.NONE, states.Request.RESUME)
    assert (states.WRITE_OPEN, states.FINISHED) == (Writing.OPEN, Writing.FINISHED)
    assert (states.IDLE, states.WRITING) == (states.Activity.IDLE, states.Activity.WRITING)
