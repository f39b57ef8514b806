"""The two halves together: construction, half-open, the end of both."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from twisted.internet.task import Clock

from tests.streams.memory import Pair, Recorded
from txnodetls.errors import NodeTypeError
from txnodetls.streams import DEFAULT_HIGH_WATER_MARK, Duplex, ticksFor


def test_theMarksAreNodes() -> None:
    stream = Recorded()
    assert stream.readableHighWaterMark == stream.writableHighWaterMark == 65536
    assert DEFAULT_HIGH_WATER_MARK == 65536


def test_marksCanBeSetTogetherOrApart() -> None:
    assert Recorded(highWaterMark=5, readableHighWaterMark=9).readableHighWaterMark == 5
    stream = Recorded(readableHighWaterMark=1, writableHighWaterMark=0)
    assert (stream.readableHighWaterMark, stream.writableHighWaterMark) == (1, 0)
    assert Recorded(highWaterMark=3.0).readableHighWaterMark == 3


@pytest.mark.parametrize("mark", [-1, 1.5, "16", True, float("inf"), float("nan")])
@pytest.mark.parametrize(
    "name", ["highWaterMark", "readableHighWaterMark", "writableHighWaterMark"]
)
def test_anInvalidMarkIsRefused(name: str, mark: Any) -> None:
    with pytest.raises(NodeTypeError) as raised:
        Recorded(**{name: mark})
    assert raised.value.code == "ERR_INVALID_ARG_VALUE"
    shown = name.replace("highWater", "readableHighWater")
    assert raised.value.message == f"The property 'options.{shown}' is invalid. Received {mark!r}"


def test_theGlobalReactorIsTheDefault() -> None:
    from twisted.internet import reactor

    assert Duplex()._ticks is ticksFor(reactor)  # type: ignore[arg-type]


def test_aStreamTakesAttributesOfTheApplication() -> None:
    class Slotted(Duplex):
        __slots__ = ()

    stream = Recorded()
    stream.user = "me"  # type: ignore[attr-defined]
    assert not hasattr(Slotted(reactor=Clock()), "__dict__")


def test_aStreamDiesWithoutTheCollector() -> None:
    class Idle(Duplex):
        def _read(self) -> None:
            pass

    gc.disable()
    try:
        clock = Clock()
        stream = Idle(reactor=clock)
        stream.on("data", print).once("end", print)
        stream.pause()
        gone = weakref.ref(stream)
        clock.advance(0)
        del stream
        assert gone() is None
    finally:
        gc.enable()


def test_bothEndsDestroyIt() -> None:
    stream = Recorded()
    stream.resume()
    stream.turn(stream.push, None)
    stream.turn(stream.end)
    assert stream.take() == ["resume", "end", "final", "finish", "destroy", "close"]
    other = Recorded()
    other.resume()
    other.turn(other.end)
    other.turn(other.push, None)
    assert other.take() == ["resume", "final", "finish", "end", "destroy", "close"]


def test_halfOpenTheWritableSideGoesOn() -> None:
    stream = Recorded(allowHalfOpen=True)
    stream.resume()
    stream.turn(stream.push, None)
    assert stream.writable
    assert stream.write(b"still") is True
    assert stream.allowHalfOpen is True


def test_notHalfOpenTheEndEndsTheWritableSide() -> None:
    stream = Recorded(allowHalfOpen=False)
    stream.on("end", lambda: stream.seen.append(("writable", stream.writable)))
    stream.resume()
    stream.turn(stream.push, None)
    assert stream.take() == [
        "resume",
        "end",
        ("writable", True),
        "final",
        "finish",
        "destroy",
        "close",
    ]


def test_notHalfOpenWhatIsWrittenInTheEndListenerStillGoes() -> None:
    stream = Recorded(allowHalfOpen=False)
    stream.on("end", lambda: stream.end(b"goodbye"))
    stream.resume()
    stream.turn(stream.push, None)
    assert stream.taken == [b"goodbye"]


def test_destroySoonFlushesAndDoesNotWaitForThePeer() -> None:
    stream = Recorded(sink="later")
    stream.write(b"x")
    stream.turn(stream.destroySoon)
    assert stream.take() == []
    stream.turn(stream.held.pop())
    assert stream.take() == ["final", "finish", "destroy", "close"]
    finished = Recorded()
    finished.turn(finished.end)
    finished.turn(finished.destroySoon)
    assert finished.take() == ["final", "finish", "destroy", "close"]


def test_whatIsWrittenAtOneEndComesOutOfTheOther() -> None:
    pair = Pair(allowHalfOpen=False)
    got: dict[str, list[Any]] = {"a": [], "b": []}
    for name, end in (("a", pair.a), ("b", pair.b)):
        for event in ("data", "end", "close"):
            end.on(event, lambda *args, e=event, n=name: got[n].append((e, *args)))
    pair.b.on("data", lambda chunk: pair.b.write(chunk.upper()))
    pair.a.write("one ")
    pair.a.end("two")
    pair.pump()
    assert got == {
        "a": [("data", b"ONE "), ("data", b"TWO"), ("end",), ("close",)],
        "b": [("data", b"one "), ("data", b"two"), ("end",), ("close",)],
    }


def test_aReaderThatPausesStopsTheWriter() -> None:
    pair = Pair(highWaterMark=4)
    got: list[bytes] = []
    pair.b.on("data", got.append)
    pair.b.pause()
    drained: list[bool] = []
    pair.a.on("drain", lambda: drained.append(True))
    written = 0
    while pair.a.write(b"xy"):
        written += 2
        pair.pump()
    pair.pump()
    while pair.a.write(b"xy") or drained:
        drained.clear()
        pair.pump()
    pair.pump()
    assert not drained
    assert pair.b.readableLength <= 6
    pair.b.resume()
    pair.pump()
    assert drained
    assert b"".join(got).strip(b"xy") == b""
    assert pair.a.writableLength == pair.b.readableLength == 0
