"""C{async for} and C{async with} on a stream."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred

from tests.streams.memory import Recorded
from txnodetls.errors import NodeError


def run(coroutine: Awaitable[Any]) -> tuple[Deferred[Any], list[Any]]:
    """Start a coroutine; the list gets its result or Failure."""
    results: list[Any] = []
    running = Deferred.fromCoroutine(coroutine)  # type: ignore[arg-type]
    running.addBoth(results.append)
    return running, results


async def collect(stream: Recorded, into: list[Any], limit: int = 100) -> str:
    async for chunk in stream:
        into.append(chunk)
        if len(into) == limit:
            return "left"
    return "ended"


def test_chunksComeUntilTheEnd() -> None:
    stream, got = Recorded(), []  # type: ignore[var-annotated]
    _, result = run(collect(stream, got))
    stream.turn()
    stream.turn(stream.push, b"one")
    stream.turn(stream.push, b"two")
    assert got == [b"one", b"two"]
    assert not result
    stream.turn(stream.push, None)
    assert result == ["ended"]
    assert stream.listenerCount("readable") == 0
    assert stream.listenerCount("error") == 1


def test_textComesIfAnEncodingIsSet() -> None:
    stream, got = Recorded(), []  # type: ignore[var-annotated]
    stream.setEncoding("utf8")
    run(collect(stream, got))
    stream.turn(stream.push, b"one")
    assert got == ["one"]


def test_whatCameBeforeIsThere() -> None:
    stream, got = Recorded(), []  # type: ignore[var-annotated]
    stream.turn(lambda: (stream.push(b"early"), stream.push(None)))
    _, result = run(collect(stream, got))
    stream.turn()
    assert got == [b"early"]
    assert result == ["ended"]


def test_aLoopThatIsLeftCanBeGoneOnWith() -> None:
    stream, got = Recorded(), []  # type: ignore[var-annotated]
    _, result = run(collect(stream, got, 1))
    stream.turn(stream.push, b"one")
    assert result == ["left"]
    assert not stream.destroyed
    stream.turn(stream.push, b"two")
    assert got == [b"one"]
    run(collect(stream, got))
    stream.turn()
    assert got == [b"one", b"two"]


def test_aSlowLoopStopsTheSource() -> None:
    stream = Recorded(highWaterMark=4)
    waiting: Deferred[None] = Deferred()

    async def slow() -> None:
        async for _ in stream:
            await waiting

    run(slow())
    stream.turn(stream.push, b"one")
    assert stream.push(b"two!") is False
    stream.turn()
    assert stream.readableLength == 4
    stream.turn(waiting.callback, None)
    assert stream.readableLength == 0


def test_anErrorIsRaisedInTheLoop() -> None:
    stream, got = Recorded(), []  # type: ignore[var-annotated]
    stream.removeAllListeners("error")
    _, result = run(collect(stream, got))
    stream.turn(stream.push, b"one")
    stream.turn(stream.destroy, ValueError("broken"))
    assert result[0].value.args == ("broken",)
    _, again = run(collect(stream, got))
    assert again[0].value.args == ("broken",)


@pytest.mark.parametrize("emitClose", [True, False])
def test_aDestroyedStreamEndsTooEarly(emitClose: bool) -> None:
    stream, got = Recorded(emitClose=emitClose), []  # type: ignore[var-annotated]
    _, result = run(collect(stream, got))
    stream.turn(stream.destroy)
    assert isinstance(result[0].value, NodeError)
    assert result[0].value.code == "ERR_STREAM_PREMATURE_CLOSE"


def test_aCancelledLoopLetsGo() -> None:
    stream, got = Recorded(), []  # type: ignore[var-annotated]
    running, result = run(collect(stream, got))
    stream.turn()
    running.cancel()
    assert result[0].check(CancelledError)
    assert stream.listenerCount("readable") == 0
    stream.turn(stream.push, b"x")
    assert stream.readableLength == 1


async def within(stream: Recorded, body: Callable[[], Any]) -> str:
    async with stream as same:
        assert same is stream
        result = body()
        if result is not None:
            await result
    return "left"


def test_leavingFlushesAndCloses() -> None:
    stream = Recorded(sink="later")
    _, result = run(within(stream, lambda: stream.write(b"x") and None))
    assert not result
    stream.turn(stream.held.pop())
    assert result == ["left"]
    assert stream.take() == ["final", "finish", "destroy", "close"]


def test_leavingByAnErrorDestroysAtOnce() -> None:
    stream = Recorded(sink="later")
    stream.write(b"x")
    _, result = run(within(stream, lambda: 1 / 0))
    stream.turn()
    assert result[0].check(ZeroDivisionError)
    assert stream.take() == ["destroy", "close"]


def test_leavingAClosedStream() -> None:
    stream = Recorded()
    stream.turn(stream.destroy)
    _, result = run(within(stream, lambda: None))
    assert result == ["left"]


def test_anErrorOfTheFlushIsRaised() -> None:
    stream = Recorded(sink="later")
    stream.removeAllListeners("error")
    _, result = run(within(stream, lambda: stream.write(b"x") and None))
    stream.turn(stream.held.pop(), ValueError("broken"))
    assert result[0].value.args == ("broken",)


def test_cancelledWhileItFlushesItDestroys() -> None:
    stream = Recorded(sink="later")
    running, result = run(within(stream, lambda: stream.write(b"x") and None))
    running.cancel()
    assert result[0].check(CancelledError)
    assert stream.destroyed
    stream.turn()
    assert stream.take() == ["destroy", "close"]
