"""Destroying: once, in Node's order, from every state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.conftest import LoggedErrors
from tests.streams.memory import Recorded
from txnodetls.errors import Blame, NodeTypeError
from txnodetls.streams import Duplex
from txnodetls.streams.life import streamError


def test_destroyIsToldByCloseInALaterTick() -> None:
    stream = Recorded()
    assert stream.destroy() is stream
    assert stream.destroyed
    assert stream.closed
    assert stream.take() == ["destroy"]
    stream.turn()
    assert stream.take() == ["close"]
    assert stream.errored is None


def test_anErrorIsEmittedRightBeforeClose() -> None:
    stream = Recorded()
    error = ValueError("why")
    stream.turn(stream.destroy, error)
    assert stream.take() == ["destroy", ("error", "why"), "close"]
    assert stream.errored is error


def test_onlyTheFirstDestroyCounts() -> None:
    stream = Recorded()
    stream.turn(lambda: (stream.destroy(), stream.destroy(ValueError("late"))))
    stream.turn(stream.destroy, ValueError("later still"))
    assert stream.take() == ["destroy", "close"]
    assert stream.errored is None


def test_aFailureStandsForItsException() -> None:
    stream = Recorded()
    error = ValueError("why")
    stream.turn(stream.destroy, Failure(error))
    assert stream.errored is error
    assert stream.take() == ["destroy", ("error", "why"), "close"]


def test_somethingElseIsRefused() -> None:
    stream = Recorded()
    with pytest.raises(NodeTypeError) as raised:
        stream.destroy("why")  # type: ignore[arg-type]
    assert raised.value.code == "ERR_INVALID_ARG_TYPE"
    assert not stream.destroyed


def test_closeWaitsForTheHook() -> None:
    stream = Recorded()
    stream.destroyLater = True
    stream.turn(stream.destroy)
    assert stream.destroyed
    assert not stream.closed
    assert stream.take() == ["destroy"]
    assert stream.heldDestroy is not None
    stream.turn(stream.heldDestroy, ValueError("of the hook"))
    assert stream.take() == [("error", "of the hook"), "close"]
    assert str(stream.errored) == "of the hook"
    stream.turn(stream.heldDestroy, None)
    assert stream.take() == []


def test_aHookThatRaisesIsAnError() -> None:
    def fail(error: object, callback: object) -> None:
        raise ValueError("hook")

    stream = Recorded()
    stream._destroy = fail  # type: ignore[method-assign, assignment]
    stream.turn(stream.destroy)
    assert stream.take() == [("error", "hook"), "close"]


def test_aHookThatRaisesBehindItsAnswerIsNotHeardTwice() -> None:
    def answerAndFail(error: object, callback: Callable[..., None]) -> None:
        callback(None)
        raise ValueError("too late")

    stream = Recorded()
    stream._destroy = answerAndFail  # type: ignore[method-assign, assignment]
    stream.turn(stream.destroy)
    assert stream.take() == ["close"]


def test_closeHasTheArgumentsOfTheSubclass() -> None:
    stream = Recorded()
    stream._closeArguments = lambda: (True,)  # type: ignore[method-assign]
    stream.turn(stream.destroy)
    assert stream.take() == ["destroy", ("close", True)]


def test_withoutEmitCloseThereIsNone() -> None:
    stream = Recorded(emitClose=False)
    stream.turn(stream.destroy, ValueError("why"))
    assert stream.take() == ["destroy", ("error", "why")]
    assert stream.closed


def test_anErrorNobodyListensToIsLoggedOnce(loggedErrors: LoggedErrors) -> None:
    stream = Recorded()
    stream.removeAllListeners("error")
    stream.turn(stream.destroy, ValueError("unheard"))
    assert stream.take() == ["destroy", "close"]
    assert [str(error) for error in loggedErrors.flush()] == ["unheard"]


def test_listenersThatRaiseDoNotStopTheWayOut(loggedErrors: LoggedErrors) -> None:
    stream = Recorded()
    stream.prependListener("error", lambda error: 1 / 0)
    stream.prependListener("close", lambda: 1 / 0)
    stream.turn(stream.destroy, ValueError("why"))
    assert stream.take() == ["destroy", ("error", "why"), "close"]
    assert len(loggedErrors.flush(ZeroDivisionError)) == 2


def test_aCoroutineListenerThatFailsDestroys(loggedErrors: LoggedErrors) -> None:
    stream = Recorded()

    async def listener(chunk: bytes) -> None:
        raise ValueError(chunk.decode())

    stream.on("data", listener)
    stream.turn()
    stream.turn(stream.push, b"chunk")
    assert stream.take() == ["resume", "destroy", "close"]
    assert [str(error) for error in loggedErrors.flush(ValueError)] == ["chunk"]


def reading(stream: Recorded) -> None:
    stream.record("data")


def paused(stream: Recorded) -> None:
    stream.pause()
    stream.push(b"waiting")


def announced(stream: Recorded) -> None:
    stream.record("readable")
    stream.push(b"waiting")


def ended(stream: Recorded) -> None:
    stream.resume()
    stream.push(None)


def writing(stream: Recorded) -> None:
    stream.sink = "later"
    stream.write(b"x" * 100000)
    stream.write(b"x")


def corked(stream: Recorded) -> None:
    stream.cork()
    stream.write(b"x")


def ending(stream: Recorded) -> None:
    writing(stream)
    stream.end()


def finalizing(stream: Recorded) -> None:
    stream.finalLater = True
    stream.end()


def finished(stream: Recorded) -> None:
    stream.end()


STATES = [reading, paused, announced, ended, writing, corked, ending, finalizing, finished]


@pytest.mark.parametrize("settled", [False, True], ids=["in the same turn", "later"])
@pytest.mark.parametrize("error", [None, ValueError("why")], ids=["plain", "error"])
@pytest.mark.parametrize("state", STATES)
def test_destroyedInAnyState(
    state: Callable[[Recorded], None], error: BaseException | None, settled: bool
) -> None:
    stream = Recorded()
    if settled:
        stream.turn(state, stream)
        stream.turn(stream.destroy, error)
    else:
        stream.turn(lambda: (state(stream), stream.destroy(error)))
    seen = stream.take()
    assert seen.count("close") == 1
    assert seen[-1] == "close"
    assert seen.count(("error", "why")) == (error is not None)
    assert stream.readableLength == stream.writableLength == 0
    assert not stream.readable
    assert not stream.writable
    late: list[Any] = [*stream.held, stream.heldFinal or (lambda _: None)]
    for callback in late:
        stream.turn(callback, None)
    stream.turn(lambda: (stream.push(b"x"), stream.push(None), stream.resume(), stream.uncork()))
    assert stream.take() == []


def test_withoutAutoDestroyAnErrorIsEmittedAndNothingIsReleased() -> None:
    stream = Recorded(sink="later", autoDestroy=False)
    stream.write(b"x", stream.callback("x"))
    stream.write(b"y", stream.callback("y"))
    stream.turn(stream.held.pop(), ValueError("sink"))
    assert stream.take() == [("x", "sink"), ("y", "sink"), ("error", "sink")]
    assert not stream.destroyed
    assert not stream.writable
    assert str(stream.errored) == "sink"
    assert stream.push(b"x") is False
    stream.turn(stream.destroy)
    assert stream.take() == ["destroy", "close"]


def test_withoutAutoDestroyTheEndsLeaveItOpen() -> None:
    stream = Recorded(autoDestroy=False)
    stream.resume()
    stream.turn(lambda: (stream.push(None), stream.end()))
    stream.turn()
    assert "close" not in stream.take()
    assert not stream.destroyed


def test_streamErrorsHaveNodesTexts() -> None:
    error = streamError("ERR_STREAM_DESTROYED", "write")
    assert error.message == "Cannot call write after a stream was destroyed"
    assert error.code == "ERR_STREAM_DESTROYED"
    assert error.blame is Blame.LOCAL


def test_withoutAutoDestroyWritingBehindTheEndIsOnlyEmitted() -> None:
    stream = Recorded(autoDestroy=False)
    stream.turn(stream.end)
    stream.turn(lambda: (stream.write(b"x"), stream.seen.append("written")))
    assert stream.take()[2:] == ["written", ("error", "ERR_STREAM_WRITE_AFTER_END")]
    assert not stream.destroyed


def test_theHooksThatMayBeLeftOut() -> None:
    class Minimal(Duplex):
        def _read(self) -> None:
            pass

        def _write(self, chunk: object, callback: object) -> bool:
            return True

    clock = Clock()
    stream = Minimal(reactor=clock)
    seen: list[str] = []
    for name in ("end", "finish", "close"):
        stream.on(name, lambda name=name: seen.append(name))
    stream.resume()
    stream.end(b"x")
    stream.push(None)
    clock.advance(0)
    assert seen == ["finish", "end", "close"]


def test_theFirstErrorStaysAndTheHooksIsEmitted() -> None:
    stream = Recorded()
    stream.destroyLater = True
    stream.destroy(ValueError("first"))
    assert stream.heldDestroy is not None
    stream.turn(stream.heldDestroy, ValueError("of the hook"))
    assert str(stream.errored) == "first"
    assert stream.take() == ["destroy", ("error", "of the hook"), "close"]


def test_whileItIsBeingDestroyedMisuseIsNoError() -> None:
    stream = Recorded(autoDestroy=False)
    stream.destroyLater = True
    stream.resume()
    stream.turn(stream.push, None)
    stream.destroy()
    stream.turn(stream.push, b"behind the end")
    assert stream.errored is None
    assert stream.take() == ["resume", "end", "destroy"]
