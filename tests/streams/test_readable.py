"""The readable half: flow, buffer, 'readable', encodings."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.streams.memory import Recorded
from txnodetls.errors import NodeError, NodeRangeError, NodeTypeError


@pytest.fixture
def stream() -> Recorded:
    return Recorded(highWaterMark=8)


def flowing(**options: Any) -> Recorded:
    stream = Recorded(**options).record("data")
    stream.clock.advance(0)
    stream.take()
    return stream


def test_listeningToDataStartsTheFlowInTheNextTick(stream: Recorded) -> None:
    stream.push(b"early")
    stream.record("data")
    assert stream.readableFlowing is True
    assert stream.take() == []
    stream.turn()
    assert stream.take() == ["resume", ("data", b"early")]


def test_aFlowingStreamEmitsAtOnceAndSchedulesNothing() -> None:
    stream = flowing()
    assert stream.push(b"one") is True
    assert stream.push(b"two") is True
    assert stream.take() == [("data", b"one"), ("data", b"two")]
    assert stream.clock.getDelayedCalls() == []
    assert stream.readableLength == 0


def test_pauseKeepsDataAndResumeGivesItInTheNextTick() -> None:
    stream = flowing()
    assert stream.pause() is stream
    stream.turn(lambda: (stream.push(b"one"), stream.push(b"two")))
    assert stream.take() == ["pause"]
    assert stream.isPaused()
    assert stream.readableLength == 6
    assert stream.resume() is stream
    assert not stream.isPaused()
    assert stream.take() == []
    stream.turn()
    assert stream.take() == ["resume", ("data", b"one"), ("data", b"two")]


def test_anExplicitPauseOutlivesADataListener(stream: Recorded) -> None:
    stream.pause()
    stream.record("data")
    stream.turn(stream.push, b"x")
    assert stream.take() == ["pause"]
    assert stream.readableFlowing is False


def test_pausingInAListenerHoldsTheNextChunk() -> None:
    stream = flowing()
    stream.on("data", lambda chunk: stream.pause())
    stream.push(b"one")
    stream.push(b"two")
    assert stream.take() == [("data", b"one"), "pause"]
    stream.turn(stream.resume)
    assert stream.take() == ["resume", ("data", b"two"), "pause"]


def test_pushTellsWhenThereIsEnough(stream: Recorded) -> None:
    assert stream.push(b"1234567") is True
    assert stream.push(b"8") is False
    assert stream.push(b"9") is False
    assert stream.readableLength == 9


def test_theSourceIsStartedWhenAskedForAndAgainWhenThereIsRoom(stream: Recorded) -> None:
    assert stream.asked == 0
    stream.turn(stream.resume)
    assert stream.asked == 1
    stream.pause()
    stream.push(b"1234")
    assert stream.push(b"5678") is False
    stream.turn()
    assert stream.asked == 1
    stream.turn(stream.resume)
    assert stream.asked == 2
    stream.push(b"x")
    stream.turn()
    assert stream.asked == 2


def test_aSourceThatPushesInReadIsNotEmittedUnderItsFeet() -> None:
    class Eager(Recorded):
        def _read(self) -> None:
            super()._read()
            if self.asked < 3:
                self.seen.append("read")
                self.push(b"x" * 100)

    stream = Eager(highWaterMark=8).record("data")
    stream.turn()
    data = ("data", b"x" * 100)
    assert stream.take() == ["read", "resume", "read", data, data]


def test_anErrorOfReadDestroys(stream: Recorded) -> None:
    def fail() -> None:
        raise ValueError("source")

    stream._read = fail  # type: ignore[method-assign]
    stream.turn(stream.resume)
    assert stream.take() == ["destroy", "resume", ("error", "source"), "close"]


def test_endComesBehindTheDataInATick() -> None:
    stream = flowing()
    stream.turn(lambda: (stream.push(b"last"), stream.push(None), stream.seen.append("pushed")))
    assert stream.take() == [("data", b"last"), "pushed", "end"]
    assert stream.readableEnded
    assert not stream.readable


def test_endWaitsUntilTheDataIsTaken(stream: Recorded) -> None:
    stream.push(b"x")
    stream.push(None)
    stream.turn()
    assert stream.take() == []
    stream.record("data")
    stream.turn()
    assert stream.take() == ["resume", ("data", b"x"), "end"]


def test_pushBehindTheEndIsAnError() -> None:
    stream = flowing()
    stream.push(None)
    stream.turn()
    assert stream.push(b"x") is False
    stream.turn()
    assert stream.take() == ["end", "destroy", ("error", "ERR_STREAM_PUSH_AFTER_EOF"), "close"]


@pytest.mark.parametrize("way", ["push", "unshift"])
def test_somethingElseThanBytesIsAnError(way: str) -> None:
    stream = flowing()
    assert getattr(stream, way)(5) is False
    stream.turn()
    assert stream.take() == ["destroy", ("error", "ERR_INVALID_ARG_TYPE"), "close"]


@pytest.mark.parametrize("chunk", [bytearray(b"abc"), memoryview(b"abc"), "abc"])
def test_everyChunkComesOutAsBytes(chunk: Any) -> None:
    stream = flowing()
    stream.push(chunk)
    ((_, data),) = stream.take()
    assert data == b"abc"
    assert type(data) is bytes


def test_anEmptyChunkIsNothing() -> None:
    stream = flowing()
    assert stream.push(b"") is True
    stream.turn()
    assert stream.take() == []


def test_readWithoutALengthTakesAllThatThereIs(stream: Recorded) -> None:
    stream.push(b"one")
    stream.push(b"two")
    assert stream.read() == b"onetwo"
    assert stream.read() is None


def test_readEmitsWhatItReturns(stream: Recorded) -> None:
    stream.pause()
    stream.record("data")
    stream.push(b"x")
    stream.take()
    assert stream.read() == b"x"
    assert stream.take() == [("data", b"x")]


@pytest.mark.parametrize(
    ("amount", "taken"),
    [
        (2.7, b"ab"),
        ("3", b"abc"),
        (" 2.7x", b"ab"),
        *((each, b"abcdefgh") for each in (None, "x", True, [], {}, math.nan, math.inf)),
        (-1, None),
    ],
)
def test_readTakesWhatNodeMakesOfAnAmount(amount: Any, taken: Any, stream: Recorded) -> None:
    stream.push(b"abcdefgh")
    assert stream.read(amount) == taken


def test_readTakesPiecesAcrossChunks(stream: Recorded) -> None:
    for chunk in (b"abc", b"de", b"fghi"):
        stream.push(chunk)
    assert [stream.read(1), stream.read(4), stream.read(0), stream.read(9)] == [
        b"a",
        b"bcde",
        None,
        None,
    ]
    assert stream.readableLength == 4
    assert [stream.read(3), stream.read(2)] == [b"fgh", None]
    stream.push(None)
    assert stream.read(2) == b"i"


def test_readingSmallPiecesOfABigChunkIsNotQuadratic() -> None:
    stream = Recorded(highWaterMark=8)
    stream.push(bytes(1 << 20))
    taken = 0
    while (piece := stream.read(64)) is not None:
        taken += len(piece)
    assert taken == 1 << 20
    assert stream.readableLength == 0


def test_readingMoreThanTheMarkRaisesTheMark(stream: Recorded) -> None:
    assert stream.read(100) is None
    assert stream.readableHighWaterMark == 128
    with pytest.raises(NodeRangeError) as raised:
        stream.read((1 << 30) + 1)
    assert raised.value.code == "ERR_OUT_OF_RANGE"


def test_readableComesOnceForSeveralChunks(stream: Recorded) -> None:
    stream.record("readable")
    stream.turn()
    assert stream.asked == 1
    stream.turn(lambda: (stream.push(b"a"), stream.push(b"b"), stream.seen.append("pushed")))
    assert stream.take() == ["pushed", "readable"]
    assert stream.read() == b"ab"
    stream.turn(stream.push, b"c")
    assert stream.take() == ["readable"]


def test_readableComesForWhatWasThereBefore(stream: Recorded) -> None:
    stream.push(b"x")
    stream.record("readable")
    assert stream.take() == []
    stream.turn()
    assert stream.take() == ["readable"]


def test_readableComesForTheEnd(stream: Recorded) -> None:
    stream.on("readable", lambda: stream.seen.append(("read", stream.read())))
    stream.turn()
    stream.turn(stream.push, None)
    assert stream.take() == [("read", None), "end"]


def test_aReadableListenerHoldsTheFlow(stream: Recorded) -> None:
    stream.record("data").record("readable")
    assert stream.readableFlowing is False
    stream.turn()
    stream.turn(stream.push, b"x")
    assert stream.take() == ["resume", "readable"]
    assert stream.read() == b"x"
    assert stream.take() == [("data", b"x")]


def test_withoutItTheFlowGoesOn(stream: Recorded) -> None:
    def reader() -> None:
        raise AssertionError("it was taken away")

    stream.record("data").on("readable", reader)
    stream.turn()
    stream.off("readable", reader)
    stream.turn()
    assert stream.readableFlowing is True
    stream.push(b"x")
    assert stream.take() == ["resume", "resume", ("data", b"x")]


def test_withoutAnyListenerTheFlowIsUndecidedAgain(stream: Recorded) -> None:
    stream.record("readable")
    stream.removeAllListeners("readable")
    stream.turn()
    assert stream.readableFlowing is None


def test_onceReadableDoesNotLetDataFlowBetween(stream: Recorded) -> None:
    def reader() -> None:
        stream.seen.append(stream.read())
        stream.once("readable", reader)

    stream.once("readable", reader)
    stream.turn()
    stream.turn(stream.push, b"a")
    stream.turn(stream.push, b"b")
    assert stream.take() == [b"a", b"b"]
    assert stream.readableFlowing is False


def test_unshiftedDataComesFirst(stream: Recorded) -> None:
    stream.push(b"abc")
    assert stream.read(1) == b"a"
    assert stream.unshift(b"X") is True
    assert stream.unshift("Y") is True
    assert stream.read() == b"YXbc"


def test_unshiftOnAFlowingStreamIsEmitted() -> None:
    stream = flowing()
    stream.unshift(b"x")
    assert stream.take() == [("data", b"x")]


def test_unshiftHoldsTheEndBack() -> None:
    stream = flowing()

    def putBack() -> None:
        stream.push(None)
        stream.pause()
        stream.unshift(b"one more")

    stream.turn(putBack)
    assert stream.take() == ["pause"]
    stream.turn(stream.resume)
    assert stream.take() == ["resume", ("data", b"one more"), "end"]


def test_unshiftBehindTheEndIsAnError() -> None:
    stream = flowing()
    stream.turn(stream.push, None)
    stream.unshift(b"x")
    stream.turn()
    assert stream.take()[1:] == [
        "destroy",
        ("error", "ERR_STREAM_UNSHIFT_AFTER_END_EVENT"),
        "close",
    ]


def test_unshiftOfNoneEnds() -> None:
    stream = flowing()
    stream.turn(stream.unshift, None)
    assert stream.take() == ["end"]


def test_setEncodingGivesTextAcrossChunks() -> None:
    stream = flowing()
    assert stream.setEncoding("utf8") is stream
    euro = "€".encode()
    stream.push(b"a" + euro[:1])
    stream.push(euro[1:2])
    stream.push(euro[2:])
    assert stream.take() == [("data", "a"), ("data", "€")]
    stream.push(euro[:2])
    stream.turn(stream.push, None)
    assert stream.take() == [("data", "\ufffd"), "end"]


def test_setEncodingConvertsWhatWaits(stream: Recorded) -> None:
    stream.push("€".encode()[:2])
    stream.push("€".encode()[2:] + b"a")
    stream.read(0)
    stream.setEncoding("UTF-8")
    assert stream.readableLength == 2
    assert stream.readableEncoding == "utf8"
    stream.unshift(b"<")
    assert stream.read(2) == "<€"
    stream.setEncoding("latin1")
    assert stream.read() == "a"


def test_setEncodingOfAnUnknownOne(stream: Recorded) -> None:
    with pytest.raises(NodeTypeError) as raised:
        stream.setEncoding("utf7")
    assert raised.value.code == "ERR_UNKNOWN_ENCODING"
    assert stream.readableEncoding is None


def test_resumeWithoutAListenerThrowsDataAway(stream: Recorded) -> None:
    stream.turn(stream.resume)
    stream.turn(lambda: (stream.push(b"x"), stream.push(None)))
    assert stream.take() == ["resume", "end"]


def test_aDestroyedStreamGivesNoMoreData() -> None:
    stream = flowing()
    stream.pause()
    stream.push(b"one")
    stream.push(b"two")
    stream.on("data", lambda chunk: stream.destroy())
    stream.turn(stream.resume)
    assert stream.take() == ["pause", "resume", ("data", b"one"), "destroy", "close"]
    assert stream.readableLength == 0
    assert stream.readableAborted
    assert stream.push(b"three") is False
    assert stream.read() is None
    stream.turn()
    assert stream.take() == []


def test_nothingIsEmittedBehindClose() -> None:
    stream = flowing()
    stream.turn(stream.destroy)
    stream.take()
    stream.turn(lambda: (stream.pause(), stream.resume(), stream.push(b"x"), stream.push(None)))
    assert stream.take() == []


def test_aListenerThatRaisesDestroysTheStream(loggedErrors: Any) -> None:
    stream = flowing()
    stream.on("data", lambda chunk: 1 / 0)
    assert stream.push(b"x") is False
    stream.turn()
    assert stream.take() == [("data", b"x"), "destroy", "close"]
    assert [type(error) for error in loggedErrors.flush()] == [ZeroDivisionError]


def test_withoutAReadHookItIsAnError() -> None:
    from txnodetls.streams import Duplex

    stream = Recorded()
    stream._read = Duplex._read.__get__(stream)  # type: ignore[method-assign]
    stream.turn(stream.resume)
    assert ("error", "ERR_METHOD_NOT_IMPLEMENTED") in stream.take()
    assert isinstance(stream.errored, NodeError)


def test_theProperties(stream: Recorded) -> None:
    assert stream.readable
    assert stream.readableFlowing is None
    assert stream.readableHighWaterMark == 8
    assert stream.readableEncoding is None
    assert stream.readableObjectMode is False
    assert not stream.readableAborted
    assert not stream.isPaused()


def test_aSourceThatEndsInReadIsNotEmittedUnderItsFeet() -> None:
    class Short(Recorded):
        def _read(self) -> None:
            self.push(b"all")
            self.push(None)
            self.seen.append("read")

    stream = Short().record("data")
    stream.turn()
    assert stream.take() == ["read", "resume", ("data", b"all"), "end"]


def test_theFirstHalfOfACharacterStartsTheSource(stream: Recorded) -> None:
    stream.setEncoding("utf8")
    assert stream.push("€".encode()[:1]) is True
    assert stream.asked == 0
    stream.turn()
    assert stream.asked == 1
    assert stream.readableLength == 0


def test_aPrependedReadableListenerHoldsTheFlowFromTheNextDataListenerOn(
    stream: Recorded,
) -> None:
    stream.prependListener("readable", lambda: stream.seen.append("readable"))
    stream.record("data")
    assert stream.readableFlowing is False


def test_unshiftOnADestroyedStreamIsNothing(stream: Recorded) -> None:
    stream.turn(stream.destroy)
    assert stream.unshift(b"x") is False
    assert stream.readableLength == 0


@pytest.mark.parametrize("n", [0, -1])
def test_readingNothing(stream: Recorded, n: int) -> None:
    stream.push(b"abc")
    assert stream.read(n) is None
    assert stream.readableLength == 3
