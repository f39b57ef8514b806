"""The writable half: handing over, waiting, 'drain', callbacks, the end."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.conftest import LoggedErrors
from tests.streams.memory import Recorded
from txnodetls.errors import NodeTypeError


@pytest.fixture
def stream() -> Recorded:
    return Recorded(highWaterMark=8)


@pytest.fixture
def slow() -> Recorded:
    return Recorded(sink="later", highWaterMark=8)


def test_aSmallWriteThatIsTakenAtOnceSchedulesNothing(stream: Recorded) -> None:
    assert stream.write(b"abc") is True
    assert stream.taken == [b"abc"]
    assert stream.writableLength == 0
    assert stream.clock.getDelayedCalls() == []


def test_aWriteUpToTheMarkIsFalseAndDrainFollowsInATick(stream: Recorded) -> None:
    assert stream.write(b"12345678") is False
    assert stream.writableNeedDrain
    assert stream.take() == []
    stream.turn()
    assert stream.take() == ["drain"]
    assert not stream.writableNeedDrain


def test_drainComesOnceWhenAllIsWritten(slow: Recorded) -> None:
    assert slow.write(b"12345") is True
    assert slow.write(b"678") is False
    assert slow.write(b"9") is False
    assert slow.taken == [b"12345"]
    assert slow.writableLength == 9
    slow.turn(slow.held.pop())
    assert slow.take() == []
    assert slow.taken == [b"12345", b"6789"]
    slow.turn(slow.held.pop())
    assert slow.take() == ["drain"]


def test_noDrainIsOwedBelowTheMark(slow: Recorded) -> None:
    slow.write(b"1")
    slow.turn(slow.held.pop())
    assert slow.take() == []


def test_anEmptyWriteIsHandedOver(stream: Recorded) -> None:
    assert stream.write(b"") is True
    assert stream.taken == [b""]


def test_aMarkOfZero() -> None:
    stream = Recorded(highWaterMark=0)
    assert stream.write(b"") is True
    assert stream.write(b"x") is False
    stream.turn()
    assert stream.take() == ["drain"]


def test_callbacksComeInOrderInALaterTick(stream: Recorded) -> None:
    def write() -> None:
        stream.write(b"a", stream.callback("a"))
        stream.write(b"b", None, stream.callback("b"))
        stream.write("c", "utf8", stream.callback("c"))
        stream.seen.append("written")

    stream.turn(write)
    assert stream.take() == ["written", ("a", None), ("b", None), ("c", None)]


def test_drainComesBeforeTheCallbackOfTheSameWrite(slow: Recorded) -> None:
    """As in Node."""
    slow.write(b"12345678", slow.callback("written"))
    slow.turn(slow.held.pop())
    assert slow.take() == ["drain", ("written", None)]


def test_whatWaitsIsHandedOverTogether(slow: Recorded) -> None:
    slow.write(b"a", slow.callback("a"))
    slow.write(b"b", slow.callback("b"))
    slow.write(b"c", slow.callback("c"))
    slow.turn(slow.held.pop())
    assert slow.taken == [b"a", b"bc"]
    assert slow.take() == [("a", None)]
    slow.turn(slow.held.pop())
    assert slow.take() == [("b", None), ("c", None)]


def test_aSubclassCanTakeSeveralChunksApart(stream: Recorded) -> None:
    got: list[list[bytes]] = []
    stream._writev = lambda chunks, callback: not got.append(chunks)  # type: ignore[method-assign]
    stream.cork()
    stream.write(b"a")
    stream.write(b"b")
    stream.uncork()
    assert got == [[b"a", b"b"]]


def test_corkKeepsBackUntilTheLastUncork(stream: Recorded) -> None:
    stream.cork()
    stream.cork()
    stream.write(b"a")
    stream.write(b"b", stream.callback("b"))
    stream.uncork()
    assert stream.taken == []
    assert stream.writableCorked == 1
    assert stream.writableLength == 2
    stream.uncork()
    stream.uncork()
    assert stream.taken == [b"ab"]
    assert stream.writableCorked == 0
    stream.turn()
    assert stream.take() == [("b", None)]


def test_endUncorks(stream: Recorded) -> None:
    stream.cork()
    stream.cork()
    stream.write(b"a")
    stream.turn(stream.end, b"b")
    assert stream.taken == [b"ab"]
    assert stream.take() == ["final", "finish"]


def test_writingFromInsideTheSinkComesBehind(stream: Recorded) -> None:
    class Echoing(Recorded):
        def _write(self, chunk: Any, callback: Any) -> bool:
            if chunk == b"first":
                self.write(b"second", self.callback("second"))
            return super()._write(chunk, callback)

    echoing = Echoing()
    echoing.turn(echoing.write, b"first", echoing.callback("first"))
    assert echoing.taken == [b"first", b"second"]
    assert echoing.take() == [("first", None), ("second", None)]


def test_aSinkThatCallsBackAtOnce() -> None:
    class Immediate(Recorded):
        def _write(self, chunk: Any, callback: Any) -> bool:
            self.taken.append(chunk)
            callback(None)
            return False

    stream = Immediate()
    stream.turn(lambda: (stream.write(b"a", stream.callback("a")), stream.seen.append("written")))
    stream.write(b"b")
    assert stream.taken == [b"a", b"b"]
    assert stream.take() == ["written", ("a", None)]


@pytest.mark.parametrize(
    ("chunk", "encoding", "expected"),
    [
        ("é", None, b"\xc3\xa9"),
        ("é", "latin1", b"\xe9"),
        ("é", "binary", b"\xe9"),
        ("0aff", "hex", b"\x0a\xff"),
        ("YWI=", "base64", b"ab"),
        ("-_8", "base64url", b"\xfb\xff"),
        ("a", "utf16le", b"a\x00"),
        ("a", "ucs2", b"a\x00"),
        ("a", "ascii", b"a"),
        ("a", "UTF-8", b"a"),
        (b"a", "hex", b"a"),
        (b"a", "buffer", b"a"),
        (bytearray(b"ab"), None, b"ab"),
        (memoryview(b"ab"), None, b"ab"),
        (memoryview(b"abcd").cast("H"), None, b"abcd"),
        (memoryview(b"abcd")[::2], None, b"ac"),
    ],
)
def test_whatCanBeWritten(stream: Recorded, chunk: Any, encoding: Any, expected: bytes) -> None:
    stream.write(chunk, encoding)
    assert stream.taken == [expected]
    assert stream.writableLength == 0


def test_theDefaultEncodingCanBeSet(stream: Recorded) -> None:
    assert stream.setDefaultEncoding("LATIN1") is stream
    stream.write("é")
    assert stream.taken == [b"\xe9"]


def test_memoryIsTheCallersAgainBehindTheWrite(slow: Recorded) -> None:
    memory = bytearray(b"abc")
    slow.write(b"first")
    slow.write(memory)
    slow.write(memoryview(memory))
    memory[:] = b"xyz"
    slow.turn(slow.held.pop())
    assert slow.taken == [b"first", b"abcabc"]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ((None,), "ERR_STREAM_NULL_VALUES", "May not write null values to stream"),
        ((5,), "ERR_INVALID_ARG_TYPE", "Received type number (5)"),
        (([],), "ERR_INVALID_ARG_TYPE", 'The "chunk" argument must be of type string or an'),
        ((), "ERR_INVALID_ARG_TYPE", "DataView. Received undefined"),
        (("a", "utf7"), "ERR_UNKNOWN_ENCODING", "Unknown encoding: utf7"),
        ((b"a", "utf7"), "ERR_UNKNOWN_ENCODING", "Unknown encoding: utf7"),
    ],
)
def test_whatCannotBeWrittenIsRaised(
    stream: Recorded, arguments: tuple[Any, ...], code: str, text: str
) -> None:
    with pytest.raises(NodeTypeError) as raised:
        stream.write(*arguments)
    assert raised.value.code == code
    assert text in raised.value.message
    assert stream.writable
    assert stream.write(b"goes on") is True


def test_anUnknownDefaultEncodingIsRaised(stream: Recorded) -> None:
    with pytest.raises(NodeTypeError, match="Unknown encoding: utf7"):
        stream.setDefaultEncoding("utf7")


def test_endWritesFinalizesAndFinishes(stream: Recorded) -> None:
    assert stream.end("last", "latin1", stream.callback("ended")) is stream
    assert stream.writableEnded
    assert not stream.writableFinished
    assert not stream.writable
    stream.turn()
    assert stream.taken == [b"last"]
    assert stream.take() == ["final", ("ended", None), "finish"]
    assert stream.writableFinished


@pytest.mark.parametrize("arguments", [(), (b"x",), ("78", "hex")])
def test_theCallbackOfEndMayStandAnywhere(stream: Recorded, arguments: tuple[Any, ...]) -> None:
    stream.turn(stream.end, *arguments, stream.callback("ended"))
    assert stream.take() == ["final", ("ended", None), "finish"]
    assert stream.taken == [b"x"] * bool(arguments)


def test_endWaitsForWhatIsBeingWritten(slow: Recorded) -> None:
    slow.write(b"a", slow.callback("a"))
    slow.write(b"b", slow.callback("b"))
    slow.turn(slow.end)
    assert slow.take() == []
    slow.turn(slow.held.pop())
    assert slow.take() == [("a", None)]
    slow.turn(slow.held.pop())
    assert slow.take() == [("b", None), "final", "finish"]


def test_writeCallbacksComeBeforeFinish(stream: Recorded) -> None:
    stream.turn(lambda: (stream.write(b"a", stream.callback("a")), stream.end()))
    assert stream.take() == ["final", ("a", None), "finish"]


def test_noDrainComesBehindTheEnd(slow: Recorded) -> None:
    slow.write(b"123456789")
    slow.end()
    assert not slow.writableNeedDrain
    slow.turn(slow.held.pop())
    assert slow.take() == ["final", "finish"]


def test_finishWaitsForFinal(stream: Recorded) -> None:
    stream.finalLater = True
    stream.turn(stream.end, stream.callback("one"))
    stream.turn(stream.end, stream.callback("two"))
    assert stream.take() == ["final"]
    assert stream.heldFinal is not None
    stream.turn(stream.heldFinal, None)
    assert stream.take() == [("one", None), ("two", None), "finish"]


def test_anErrorOfFinalDestroys(stream: Recorded) -> None:
    stream.finalLater = True
    stream.turn(stream.end, stream.callback("ended"))
    assert stream.heldFinal is not None
    stream.turn(stream.heldFinal, ValueError("final"))
    assert stream.take() == [
        "final",
        ("ended", "final"),
        "destroy",
        ("error", "final"),
        "close",
    ]


def test_aFinalThatRaisesDestroys(stream: Recorded) -> None:
    def fail(callback: object) -> None:
        raise ValueError("final")

    stream._final = fail  # type: ignore[method-assign]
    stream.turn(stream.end)
    assert stream.take() == ["destroy", ("error", "final"), "close"]


def test_writingBehindTheEndIsAnErrorEventAndGoesToTheCallback(stream: Recorded) -> None:
    stream.end()
    assert stream.write(b"x", stream.callback("written")) is False
    stream.turn()
    code = "ERR_STREAM_WRITE_AFTER_END"
    assert stream.take() == [
        "final",
        "destroy",
        "finish",
        ("written", code),
        ("error", code),
        "close",
    ]
    assert stream.taken == []


def test_endingWithDataBehindTheEndIsTheSame(stream: Recorded) -> None:
    stream.turn(stream.end)
    stream.turn(stream.end, b"x", stream.callback("ended"))
    code = "ERR_STREAM_WRITE_AFTER_END"
    assert stream.take()[2:] == ["destroy", ("error", code), "close", ("ended", code)]


def test_endingBehindFinishGoesToTheCallback(stream: Recorded) -> None:
    stream.turn(stream.end)
    stream.turn(stream.end, stream.callback("ended"))
    assert stream.take() == ["final", "finish", ("ended", "ERR_STREAM_ALREADY_FINISHED")]


def test_writingBehindDestroyGoesToTheCallbackAlone(stream: Recorded) -> None:
    stream.destroy()
    assert stream.write(b"x", stream.callback("written")) is False
    stream.turn()
    assert stream.take() == ["destroy", "close", ("written", "ERR_STREAM_DESTROYED")]


@pytest.mark.parametrize("error", [None, ValueError("why")])
def test_endingBehindDestroyGoesToTheCallback(
    stream: Recorded, error: BaseException | None
) -> None:
    stream.turn(stream.destroy, error)
    stream.take()
    stream.turn(stream.end, stream.callback("ended"))
    assert stream.take() == [("ended", "ERR_STREAM_DESTROYED")]
    assert stream.writableEnded is (error is None)


def test_anErrorOfTheSinkReachesCallbacksFirst(slow: Recorded) -> None:
    slow.write(b"a", slow.callback("a"))
    slow.write(b"b", slow.callback("b"))
    slow.end(slow.callback("ended"))
    slow.turn(slow.held.pop(), ValueError("sink"))
    assert slow.take() == [
        ("a", "sink"),
        ("b", "sink"),
        ("ended", "sink"),
        "destroy",
        ("error", "sink"),
        "close",
    ]


def test_aSinkThatRaisesIsAnError(stream: Recorded) -> None:
    def fail(chunk: object, callback: object) -> bool:
        raise ValueError("sink")

    stream._write = fail  # type: ignore[method-assign]
    assert stream.write(b"x") is False
    stream.turn()
    assert stream.take() == ["destroy", ("error", "sink"), "close"]
    other = Recorded()
    other._write = fail  # type: ignore[method-assign]
    other.turn(other.write, b"x", other.callback("x"))
    assert other.take() == [("x", "sink"), "destroy", ("error", "sink"), "close"]


def test_aSinkThatRaisesBehindItsCallback() -> None:
    class Confused(Recorded):
        def _write(self, chunk: Any, callback: Any) -> bool:
            callback(None)
            raise ValueError("too late")

    stream = Confused()
    stream.turn(stream.write, b"x")
    assert stream.take() == ["destroy", ("error", "too late"), "close"]


def test_callingBackTwiceIsAnError(slow: Recorded) -> None:
    slow.write(b"x")
    callback = slow.held.pop()
    slow.turn(lambda: (callback(None), callback(None)))
    assert slow.take() == ["destroy", ("error", "ERR_MULTIPLE_CALLBACK"), "close"]


def test_finalCallingBackTwiceIsAnError(stream: Recorded) -> None:
    stream.finalLater = True
    stream.end()
    assert stream.heldFinal is not None
    stream.turn(lambda: (stream.heldFinal(None), stream.heldFinal(None)))  # type: ignore[misc]
    assert ("error", "ERR_MULTIPLE_CALLBACK") in stream.take()


def test_withoutAWriteHookItIsAnError() -> None:
    from txnodetls.streams import Duplex

    stream = Recorded()
    stream._write = Duplex._write.__get__(stream)  # type: ignore[method-assign]
    stream.turn(stream.write, b"x")
    assert stream.take() == ["destroy", ("error", "ERR_METHOD_NOT_IMPLEMENTED"), "close"]


def test_destroyReleasesTheQueueAtOnce(slow: Recorded) -> None:
    slow.write(b"first")
    chunk = b"x" * 1000
    before = sys.getrefcount(chunk)
    slow.write(chunk, slow.callback("waiting"))
    assert sys.getrefcount(chunk) > before
    slow.destroy()
    assert sys.getrefcount(chunk) == before
    assert slow.writableLength == 5
    slow.turn()
    assert slow.take() == ["destroy", ("waiting", "ERR_STREAM_DESTROYED"), "close"]
    assert slow.writableLength == 0


@pytest.mark.parametrize(
    ("error", "code"), [(None, "ERR_STREAM_DESTROYED"), (ValueError("why"), "why")]
)
def test_everyCallbackHearsOfDestroyBeforeClose(
    slow: Recorded, error: BaseException | None, code: str
) -> None:
    """Even if the sink never calls back; then behind 'error', as with Node's sockets."""
    slow.write(b"a", slow.callback("a"))
    slow.write(b"b", slow.callback("b"))
    slow.end(slow.callback("ended"))
    slow.turn(slow.destroy, error)
    expected = ["destroy", *([("error", code)] if error else [])]
    assert slow.take() == [*expected, ("a", code), ("b", code), ("ended", code), "close"]
    slow.turn(slow.held.pop(), None)
    assert slow.take() == []


def test_corkedWritesHearOfDestroyBeforeError(stream: Recorded) -> None:
    stream.cork()
    stream.write(b"a", stream.callback("a"))
    stream.turn(stream.destroy, ValueError("why"))
    assert stream.take() == ["destroy", ("a", "why"), ("error", "why"), "close"]


def test_aSinkThatEndsInDestroy(slow: Recorded) -> None:
    """As a socket does whose handle is closed: the write fails while it is destroyed."""
    slow.write(b"a", slow.callback("a"))
    slow.write(b"b", slow.callback("b"))
    slow.turn(lambda: (slow.destroy(), slow.held.pop()(ValueError("cut"))))
    assert slow.take() == ["destroy", ("a", "cut"), ("b", "cut"), "close"]


def test_aCallbackThatRaisesDestroysTheStream(stream: Recorded, loggedErrors: LoggedErrors) -> None:
    stream.turn(stream.write, b"x", lambda error: 1 / 0)
    assert stream.take() == ["destroy", "close"]
    assert [type(error) for error in loggedErrors.flush()] == [ZeroDivisionError]


def test_theProperties(slow: Recorded) -> None:
    assert slow.writable
    assert not slow.writableEnded
    assert not slow.writableFinished
    assert not slow.writableNeedDrain
    assert slow.writableObjectMode is False
    assert slow.writableHighWaterMark == 8
    assert slow.writableLength == slow.writableCorked == 0


def test_endingFromInsideTheSink() -> None:
    class Last(Recorded):
        def _write(self, chunk: Any, callback: Any) -> bool:
            self.end()
            return super()._write(chunk, callback)

    stream = Last()
    assert stream.write(b"last") is True
    stream.turn()
    assert stream.take() == ["final", "finish"]


def test_destroyingFromInsideTheSink() -> None:
    class Broken(Recorded):
        def _write(self, chunk: Any, callback: Any) -> bool:
            self.destroy()
            return super()._write(chunk, callback)

    stream = Broken()
    assert stream.write(b"x") is False
    stream.turn()
    assert stream.take() == ["destroy", "close"]


def test_anAsynchronousCallbackThatFailsDestroysTheStream(
    stream: Recorded, loggedErrors: LoggedErrors
) -> None:
    async def callback(error: object) -> None:
        raise ValueError("callback")

    stream.turn(stream.write, b"x", callback)
    assert stream.take() == ["destroy", "close"]
    assert [str(error) for error in loggedErrors.flush()] == ["callback"]
