"""Pipes carry everything, no faster than the slowest takes it, and come apart cleanly."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from tests.conftest import LoggedErrors
from tests.streams.memory import Recorded
from txnodetls.streams import EventEmitter


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source(clock: Clock) -> Recorded:
    return Recorded(clock)


@pytest.fixture
def destination(clock: Clock) -> Recorded:
    return Recorded(clock)


def listeners(stream: EventEmitter) -> dict[Any, int]:
    return {name: stream.listenerCount(name) for name in stream.eventNames()}


def test_everythingIsWrittenAndTheEndIsPassedOn(source: Recorded, destination: Recorded) -> None:
    destination.on("pipe", lambda stream: destination.seen.append(("pipe", stream is source)))
    destination.on("unpipe", lambda stream: destination.seen.append(("unpipe", stream is source)))
    assert source.pipe(destination) is destination
    source.turn()
    source.turn(source.push, b"one")
    source.turn(source.push, b"two")
    source.turn(source.push, None)
    assert destination.taken == [b"one", b"two"]
    assert destination.take() == [("pipe", True), "final", "finish", ("unpipe", True)]
    assert source.take() == ["resume", "end", "pause"]


@pytest.mark.parametrize("how", [{"options": {"end": False}}, {"end": False}])
def test_theEndCanBeKept(source: Recorded, destination: Recorded, how: dict[str, Any]) -> None:
    source.pipe(destination, **how)
    source.turn(source.push, None)
    source.turn()
    assert source.readableEnded
    assert destination.writable
    assert "pipe" not in listeners(destination)


def test_aPipeOfAnEndedSourceEndsTheDestination(source: Recorded, destination: Recorded) -> None:
    source.resume()
    source.turn(source.push, None)
    source.pipe(destination)
    source.turn()
    assert destination.writableFinished


def test_aFullDestinationPausesTheSourceUntilItDrains(clock: Clock, source: Recorded) -> None:
    slow = Recorded(clock, sink="later", highWaterMark=4)
    source.pipe(slow)
    source.turn()
    source.turn(lambda: (source.push(b"12345"), source.push(b"6")))
    assert source.isPaused()
    assert slow.taken == [b"12345"]
    assert source.readableLength == 1
    source.turn(slow.held.pop())
    assert slow.taken == [b"12345", b"6"]
    assert not source.isPaused()


def test_aDestinationThatIsFullAlreadyIsAwaited(clock: Clock, source: Recorded) -> None:
    slow = Recorded(clock, sink="later", highWaterMark=4)
    slow.write(b"12345")
    source.push(b"x")
    source.pipe(slow)
    source.turn()
    assert source.isPaused()
    source.turn(slow.held.pop())
    assert slow.taken == [b"12345", b"x"]


def test_theSlowestOfSeveralSetsThePace(clock: Clock, source: Recorded) -> None:
    slow, slower, fast = (
        Recorded(clock, sink="later", highWaterMark=1),
        Recorded(clock, sink="later", highWaterMark=1),
        Recorded(clock),
    )
    for destination in (slow, slower, fast):
        source.pipe(destination)
    source.turn()
    source.turn(lambda: (source.push(b"a"), source.push(b"b")))
    source.turn(slow.held.pop())
    assert source.isPaused()
    source.turn(slower.held.pop())
    assert slow.taken == slower.taken == fast.taken == [b"a", b"b"]


def test_unpipeLeavesNothingBehind(source: Recorded, destination: Recorded) -> None:
    before = listeners(source), listeners(destination)
    source.pipe(destination)
    source.turn()
    assert source.unpipe(destination) is source
    assert (listeners(source), listeners(destination)) == before
    source.turn(source.push, b"x")
    assert destination.taken == []
    assert source.isPaused()
    source.unpipe(destination)
    source.unpipe()


def test_unpipeWithoutAnArgumentUndoesAll(clock: Clock, source: Recorded) -> None:
    destinations = [Recorded(clock), Recorded(clock)]
    for destination in destinations:
        source.pipe(destination)
    source.turn(source.unpipe)
    source.turn(source.push, b"x")
    assert [destination.taken for destination in destinations] == [[], []]


def test_undoingOnePipeLeavesTheOther(clock: Clock, source: Recorded) -> None:
    left, right = Recorded(clock), Recorded(clock)
    source.pipe(left)
    source.pipe(right)
    source.turn()
    source.unpipe(left)
    source.turn(source.push, b"x")
    assert (left.taken, right.taken) == ([], [b"x"])
    assert not source.isPaused()


def test_undoingThePipeThatIsFullLetsTheOthersGoOn(clock: Clock, source: Recorded) -> None:
    slow, fast = Recorded(clock, sink="later", highWaterMark=1), Recorded(clock)
    source.pipe(slow)
    source.pipe(fast)
    source.turn()
    source.turn(lambda: (source.push(b"a"), source.push(b"b")))
    source.turn(source.unpipe, slow)
    assert fast.taken == [b"a", b"b"]


def test_undoingThePipeWhileItWrites(clock: Clock, source: Recorded) -> None:
    class Once(Recorded):
        def _write(self, chunk: Any, callback: Any) -> bool:
            source.unpipe(self)
            return super()._write(chunk, callback)

    once = Once(clock, sink="later", highWaterMark=1)
    source.pipe(once)
    source.turn()
    source.turn(lambda: (source.push(b"a"), source.push(b"b")))
    assert once.taken == [b"a"]
    assert once.listenerCount("drain") == 1  # the recorder's own


def test_aDestinationThatClosesIsUnpiped(source: Recorded, destination: Recorded) -> None:
    source.pipe(destination)
    source.turn()
    source.turn(destination.destroy)
    assert source.isPaused()
    assert source.listenerCount("data") == 0
    assert source.readable


def test_aDestinationThatIsEndedElsewhereIsUnpiped(source: Recorded, destination: Recorded) -> None:
    source.pipe(destination)
    source.turn()
    source.turn(destination.end)
    assert source.listenerCount("data") == 0


def test_anErrorOfTheDestinationIsItsListeners(source: Recorded, destination: Recorded) -> None:
    source.pipe(destination)
    source.turn()
    source.turn(destination.destroy, ValueError("broken"))
    assert ("error", "broken") in destination.take()
    assert source.listenerCount("data") == 0
    assert not source.destroyed


def test_anErrorOfTheDestinationNobodyListensToIsLogged(
    source: Recorded, destination: Recorded, loggedErrors: LoggedErrors
) -> None:
    destination.removeAllListeners("error")
    source.pipe(destination)
    source.turn()
    source.turn(destination.destroy, ValueError("broken"))
    assert [str(error) for error in loggedErrors.flush()] == ["broken"]
    assert "close" in destination.take()


def test_anErrorEmittedByHandDestroysTheDestination(
    source: Recorded, destination: Recorded, loggedErrors: LoggedErrors
) -> None:
    destination.removeAllListeners("error")
    source.pipe(destination)
    source.turn()
    source.turn(destination.emit, "error", ValueError("by hand"))
    assert destination.destroyed
    assert [str(error) for error in loggedErrors.flush()] == ["by hand"]


class Foreign(EventEmitter):
    """A writable stream that is not ours."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[Any] = []
        self.more: Any = True
        self.destroyedWith: Any = None

    def write(self, chunk: Any) -> Any:
        self.written.append(chunk)
        if isinstance(self.more, Exception):
            raise self.more
        return self.more

    def end(self) -> None:
        self.written.append(None)

    def destroy(self, error: Any = None) -> None:
        self.destroyedWith = error


def test_aForeignStreamCanBeTheDestination(source: Recorded) -> None:
    foreign = Foreign()
    source.pipe(foreign)
    source.turn()
    foreign.more = False
    source.turn(lambda: (source.push(b"a"), source.push(b"b")))
    assert foreign.written == [b"a"]
    foreign.more = None
    source.turn(foreign.emit, "drain")
    source.turn(source.push, None)
    assert foreign.written == [b"a", b"b", None]


def test_aDestinationThatRaisesIsDestroyed(source: Recorded) -> None:
    foreign = Foreign()
    source.pipe(foreign)
    source.turn()
    foreign.more = ValueError("no")
    source.turn(source.push, b"a")
    assert foreign.destroyedWith is foreign.more


def test_anErrorOfAForeignStreamNobodyListensToIsLogged(
    source: Recorded, loggedErrors: LoggedErrors
) -> None:
    foreign = Foreign()
    source.pipe(foreign)
    source.turn()
    foreign.emit("error", ValueError("foreign"))
    assert [str(error) for error in loggedErrors.flush()] == ["foreign"]
    assert source.listenerCount("data") == 0


def test_aStreamCanBePipedToItself() -> None:
    echo = Recorded()
    echo.pipe(echo)
    echo.turn()
    echo.turn(echo.push, b"x")
    echo.turn(echo.push, None)
    assert echo.taken == [b"x"]
    assert echo.take()[-1] == "close"


def test_aPausedSourceIsResumed(source: Recorded, destination: Recorded) -> None:
    source.pause()
    source.push(b"waiting")
    source.pipe(destination)
    source.turn()
    assert destination.taken == [b"waiting"]


def test_drainIsListenedToOnce(clock: Clock, source: Recorded) -> None:
    slow = Recorded(clock, sink="later", highWaterMark=1)
    recording = slow.listenerCount("drain")
    source.pipe(slow)
    source.turn()
    for chunk in (b"a", b"b", b"c"):
        source.turn(source.push, chunk)
        source.turn(slow.held.pop())
    assert slow.listenerCount("drain") == recording + 1
