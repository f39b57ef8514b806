"""
The states of a duplex stream.

A stream has one life and two halves; each moves by itself through one of these lists, only ever
downwards where the members are ordered.  Node keeps the same facts in some thirty booleans; the
names of those that a state stands for are given behind it.

    life     ALIVE -> (ERRORED ->) DESTROYED -> CLOSED -> OVER
    reading  OPEN -> ENDED -> END_EMITTED, or ABANDONED
    writing  OPEN -> ENDING -> FINALIZING -> PREFINISHED -> FINISHED

The names are also there as constants of the module: these are looked up for each chunk, and an
attribute of an enumeration costs several times as much as a global name.
"""

from __future__ import annotations

from enum import Enum, IntEnum

__all__ = ["Activity", "Flow", "Life", "Reading", "Request", "Source", "Writing"]


class Life(IntEnum):
    """The whole stream."""

    ALIVE = 0
    ERRORED = 1
    """An error came, and C{autoDestroy} is off: nothing goes on, nothing is released."""
    DESTROYED = 2
    """C{destroy()} was called; C{_destroy} has not answered yet."""
    CLOSED = 3
    """C{_destroy} has answered; 'error' and 'close' come in the next tick."""
    OVER = 4
    """'close' was emitted, or would have been.  Nothing follows it."""


class Reading(IntEnum):
    """How far the data from the source has come."""

    OPEN = 0
    ENDED = 1
    """The source has ended; there may still be data in the buffer."""
    END_EMITTED = 2
    ABANDONED = 3
    """Destroyed with data in the buffer: there will be no 'end'."""


class Source(IntEnum):
    """What the source, from which C{push()} gets its data, is doing."""

    NEW = 0
    """Never asked for anything."""
    STARTING = 1
    """C{_read()} is on the stack: what it pushes is not emitted under its feet."""
    RUNNING = 2
    """It pushes when it has something.  Only in this state can data bypass the buffer."""
    STOPPED = 3
    """C{push()} returned False.  C{_read()} starts it again."""
    DRY = 4
    """It has ended, or the stream is destroyed: nothing more is taken."""


class Flow(Enum):
    """C{readableFlowing}."""

    UNDECIDED = None
    """Nobody has shown interest yet."""
    STOPPED = False
    """Paused, or a 'readable' listener reads for itself."""
    FLOWING = True


class Request(Enum):
    """What the application asked for last, which may differ from how it flows."""

    NONE = 0
    PAUSE = 1
    RESUME = 2


class Writing(IntEnum):
    """How far the writable side is."""

    OPEN = 0
    ENDING = 1
    """C{end()} was called; there may still be chunks waiting."""
    FINALIZING = 2
    """All is written; C{_final} was called."""
    PREFINISHED = 3
    """C{_final} has answered; 'finish' comes in the next tick."""
    FINISHED = 4


class Activity(IntEnum):
    """What the sink, C{_write}, is doing."""

    IDLE = 0
    HANDING = 1
    """C{_write} or C{_writev} is on the stack."""
    WRITING = 2
    """It has returned False, and will call back."""


ALIVE, ERRORED, DESTROYED, CLOSED, OVER = Life
READ_OPEN, ENDED, END_EMITTED, ABANDONED = Reading
NEW, STARTING, RUNNING, STOPPED, DRY = Source
UNDECIDED, HELD, FLOWING = Flow
UNASKED, PAUSE, RESUME = Request
WRITE_OPEN, ENDING, FINALIZING, PREFINISHED, FINISHED = Writing
IDLE, HANDING, WRITING = Activity
