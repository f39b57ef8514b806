"""
The writable half of a duplex stream.

A chunk is handed to the sink, C{_write}, at once if the sink is idle and the stream not corked;
else it waits.  The sink says right away whether it is done with the chunk (True), or that it will
call back (False).  The first is the usual case of a socket whose kernel has room, and costs
nothing more than the call: no tick, no callback, no copy.  What waits when the sink becomes idle
is handed over together (C{_writev}).

A chunk counts in C{writableLength} until the sink is done with it, and a C{write()} whose chunk
brings that to the high water mark returns False even if the sink took it at once; 'drain' then
follows in the next tick.  This is what Node's sockets with an asynchronous sink do, and TLS
sockets are such.

Callbacks come in the order of their writes, never from inside C{write()}; an error reaches the
callbacks before it is emitted.

Source: https://nodejs.org/api/stream.html#writable-streams
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self

from txnodetls.errors import Blame, NodeError, NodeTypeError, invalidArgType
from txnodetls.streams.encodings import encodeText, encodingName
from txnodetls.streams.intake import CHUNK_TYPES
from txnodetls.streams.life import streamError
from txnodetls.streams.readable import ReadHalf
from txnodetls.streams.states import (
    ALIVE,
    DESTROYED,
    ENDING,
    FINALIZING,
    FINISHED,
    HANDING,
    IDLE,
    PREFINISHED,
    WRITE_OPEN,
    WRITING,
    Activity,
    Writing,
)

__all__ = ["Callback", "Chunk", "WriteHalf"]

Chunk = bytes | bytearray | memoryview
Callback = Callable[[BaseException | None], object]

_MISSING: Any = object()


class WriteHalf(ReadHalf):
    """Node's C{Writable}, as the other half of L{txnodetls.streams.Duplex}."""

    __slots__ = (
        "_writeActivity",
        "_writeCallbacks",
        "_writeCorked",
        "_writeDrainOwed",
        "_writeEncoding",
        "_writeFinishCallbacks",
        "_writeHanded",
        "_writeLength",
        "_writeMark",
        "_writeQueue",
        "_writeState",
        "_writeTickOwed",
    )

    def _initWriting(self, mark: int) -> None:
        self._writeState: Writing = WRITE_OPEN
        self._writeActivity: Activity = IDLE
        self._writeMark = mark
        self._writeLength = 0
        self._writeHanded = 0  # how much of that the sink has
        self._writeCallbacks: Iterable[Callback] | None = None  # of what the sink has
        self._writeQueue: list[tuple[bytes, Callback | None]] | None = None
        self._writeFinishCallbacks: list[Callback] | None = None  # those of end()
        self._writeCorked = 0
        self._writeDrainOwed = False
        self._writeTickOwed = False  # a tick that looks after 'drain' is scheduled
        self._writeEncoding = "utf8"

    @property
    def writable(self) -> bool:
        """C{write()} may be called: neither ended nor destroyed nor broken."""
        return self._writeState is WRITE_OPEN and self._life is ALIVE

    @property
    def writableEnded(self) -> bool:
        """C{end()} was called."""
        return self._writeState is not WRITE_OPEN

    @property
    def writableFinished(self) -> bool:
        """All was written; set right before 'finish'."""
        return self._writeState is FINISHED

    @property
    def writableLength(self) -> int:
        """The bytes that wait or are being written."""
        return self._writeLength

    @property
    def writableHighWaterMark(self) -> int:
        """From which C{writableLength} on C{write()} returns False."""
        return self._writeMark

    @property
    def writableNeedDrain(self) -> bool:
        """C{write()} has returned False, and 'drain' is still to come."""
        return self._writeDrainOwed and self._writeState is WRITE_OPEN and self._life < DESTROYED

    @property
    def writableCorked(self) -> int:
        """How often C{uncork()} must be called."""
        return self._writeCorked

    @property
    def writableObjectMode(self) -> bool:
        """Always False: this is a stream of bytes."""
        return False

    # For the application

    def write(
        self,
        chunk: Chunk | str = _MISSING,
        encoding: str | Callback | None = None,
        cb: Callback | None = None,
    ) -> bool:
        """
        Write C{chunk}.

        The memory of a bytearray or memoryview is the caller's again when this returns.

        @param encoding: of a C{str}; by default the one of C{setDefaultEncoding}.
        @param cb: called with None when the chunk is written, or with the error.  May stand in
            place of C{encoding}.
        @return: False: there is enough for now; go on at 'drain'.
        @raise NodeTypeError: C{ERR_STREAM_NULL_VALUES}, C{ERR_INVALID_ARG_TYPE},
            C{ERR_UNKNOWN_ENCODING}.  C{ERR_STREAM_WRITE_AFTER_END} is an 'error' event and
            goes to the callback; C{ERR_STREAM_DESTROYED} goes to the callback alone.
        """
        if (
            chunk.__class__ is not bytes
            or encoding is not None
            or cb is not None
            or self._life
            or self._writeState
            or self._writeActivity
            or self._writeQueue
            or self._writeCorked
        ):
            return self._writeChecked(chunk, encoding, cb) is True
        # The straight way, as far as it goes: _accept, _hand and _onWritten are what it stands for.
        self._writeLength = self._writeHanded = size = len(chunk)
        more = size < self._writeMark or not size
        if not more:
            self._writeDrainOwed = True
        self._writeActivity = HANDING
        try:
            done = self._write(chunk, self._onWritten)
        except Exception as error:
            self._sinkRaised(error)
            return more and self._life is ALIVE
        if done and self._writeActivity is HANDING and not (self._writeQueue or self._writeState):
            self._writeActivity = IDLE
            self._writeLength = self._writeHanded = 0
            if self._writeDrainOwed and not self._writeTickOwed:
                self._writeTickOwed = True
                self._ticks.nextTick(self._afterWrite)
        else:
            self._handed(done)
        return more and self._life is ALIVE

    def end(
        self,
        chunk: Chunk | str | Callback | None = None,
        encoding: str | Callback | None = None,
        cb: Callback | None = None,
    ) -> Self:
        """
        Write C{chunk}, if there is one, and end the writable side when all is written.

        @param cb: called with None right before 'finish', or with the error that prevents it.
            May stand in place of C{chunk} or C{encoding}.
        """
        if callable(chunk):
            chunk, encoding, cb = None, None, chunk
        elif callable(encoding):
            encoding, cb = None, encoding
        refused = None
        if chunk is not None:
            result = self._writeChecked(chunk, encoding, None)
            refused = result if isinstance(result, NodeError) else None
        if self._writeCorked:
            self._writeCorked = 1
            self.uncork()
        error = refused or self._beginEnding()
        if cb is not None:
            self._whenFinished(cb, error)
        return self

    def cork(self) -> None:
        """Keep back what is written, until as many C{uncork()}, or C{end()}."""
        self._writeCorked += 1

    def uncork(self) -> None:
        """Undo one C{cork()}; behind the last one, write all that was kept back."""
        if self._writeCorked:
            self._writeCorked -= 1
            self._handQueue()

    def setDefaultEncoding(self, encoding: str) -> Self:
        """
        The encoding of C{str} chunks that come without one.

        @raise NodeTypeError: C{ERR_UNKNOWN_ENCODING}.
        """
        self._writeEncoding = encodingName(encoding)
        return self

    # For the subclass

    def _write(self, chunk: Chunk, callback: Callback) -> bool:
        """
        Write C{chunk}.

        @return: True: it is done with, and C{callback} will not be called.  False: C{callback}
            follows, with None or an error; nothing else is handed over before.  C{chunk} may
            change as soon as this returns: what is still needed of it must have been copied,
            if it is not C{bytes}.
        """
        raise streamError("ERR_METHOD_NOT_IMPLEMENTED", "_write()")

    def _writev(self, chunks: list[bytes], callback: Callback) -> bool:
        """Write several chunks that had to wait, by the rule of L{_write}; here, as one."""
        return self._write(b"".join(chunks), callback)

    def _final(self, callback: Callback) -> None:
        """All is written and C{end()} was called: end the writable side; C{callback(error)}."""
        callback(None)

    # Taking a chunk in

    def _writeChecked(
        self, chunk: object, encoding: str | Callback | None, cb: Callback | None
    ) -> bool | NodeError:
        """What C{write} returns; or the error that was emitted."""
        if callable(encoding):
            encoding, cb = None, encoding
        data = self._dataOf(chunk, encoding)
        if self._writeState is not WRITE_OPEN:
            error = streamError("ERR_STREAM_WRITE_AFTER_END")
        elif self._life >= DESTROYED:
            error = streamError("ERR_STREAM_DESTROYED", "write")
        else:
            return self._accept(data, cb)
        if cb is not None:
            self._ticks.nextTick(self._call, cb, error)
        self._errorOrDestroy(error, True)
        return error

    def _dataOf(self, chunk: object, encoding: str | None) -> Chunk:
        if chunk is None:
            raise NodeTypeError(
                "May not write null values to stream",
                "ERR_STREAM_NULL_VALUES",
                blame=Blame.LOCAL,
            )
        if encoding and encoding != "buffer":
            encodingName(encoding)
        if isinstance(chunk, str):
            return encodeText(chunk, encoding or self._writeEncoding)
        if isinstance(chunk, (bytes, bytearray)):
            return chunk
        if isinstance(chunk, memoryview):
            # So that its length is its bytes, whatever its items are.
            return chunk.cast("B") if chunk.c_contiguous else chunk.tobytes()
        if chunk is _MISSING:
            raise NodeTypeError(
                f'The "chunk" argument must be {CHUNK_TYPES}. Received undefined',
                "ERR_INVALID_ARG_TYPE",
                blame=Blame.CONFIGURATION,
            )
        raise invalidArgType("chunk", CHUNK_TYPES, chunk)

    def _accept(self, data: Chunk, cb: Callback | None) -> bool:
        """Hand C{data} over, or let it wait."""
        size = len(data)
        self._writeLength += size
        more = self._writeLength < self._writeMark or not self._writeLength
        if not more:
            self._writeDrainOwed = True
        if self._life or self._writeActivity or self._writeQueue or self._writeCorked:
            if self._writeQueue is None:
                self._writeQueue = []
            self._writeQueue.append((bytes(data), cb))
            self._handQueue()
        else:
            self._writeHanded = size
            if cb is not None:
                self._writeCallbacks = (cb,)
            self._hand(data, False)
        return more and self._life is ALIVE

    # Handing it over

    def _hand(self, data: Any, several: bool) -> None:
        self._writeActivity = HANDING
        try:
            if several:
                done = self._writev(data, self._onWritten)
            else:
                done = self._write(data, self._onWritten)
        except Exception as error:
            self._sinkRaised(error)
        else:
            self._handed(done)

    def _sinkRaised(self, error: Exception) -> None:
        if self._writeActivity is HANDING:
            self._onWritten(error)
        else:  # it had called back before it raised
            self._errorOrDestroy(error, True)

    def _handed(self, done: bool) -> None:
        if done:
            self._onWritten(None)
        elif self._writeActivity is HANDING:
            self._writeActivity = WRITING
        if self._writeQueue:  # written from inside the sink
            self._handQueue()

    def _handQueue(self) -> None:
        """Hand over what waits, if it need not wait any longer."""
        queue = self._writeQueue
        if not queue or self._life or self._writeActivity or self._writeCorked:
            return
        self._writeQueue = None
        # Less than writableLength, if the chunks of a failed write are still to be settled.
        self._writeHanded = sum(len(data) for data, _ in queue)
        self._writeCallbacks = [cb for _, cb in queue if cb is not None] or None
        if len(queue) == 1:
            self._hand(queue[0][0], False)
        else:
            self._hand([data for data, _ in queue], True)

    def _onWritten(self, error: BaseException | None = None) -> None:
        """The sink is done with what it was handed: the C{callback} of L{_write}."""
        activity = self._writeActivity
        if activity is IDLE:
            self._errorOrDestroy(streamError("ERR_MULTIPLE_CALLBACK"))
            return
        callbacks, self._writeCallbacks = self._writeCallbacks, None
        self._writeActivity = IDLE
        self._writeLength -= self._writeHanded
        self._writeHanded = 0
        if error is not None:
            self._setErrored(error)
            if activity is HANDING:
                self._ticks.nextTick(self._writeFailed, error, callbacks)
            else:
                self._writeFailed(error, callbacks)
        elif activity is WRITING:
            self._handQueue()
            self._afterWrite(callbacks)
        elif callbacks is not None or (
            self._writeDrainOwed and not self._writeLength and not self._writeTickOwed
        ):
            self._writeTickOwed = True
            self._ticks.nextTick(self._afterWrite, callbacks)
        elif self._writeState is ENDING:
            self._finishMaybe()

    def _afterWrite(self, callbacks: Iterable[Callback] | None = None) -> None:
        self._writeTickOwed = False
        if (
            self._writeDrainOwed
            and not self._writeLength
            and self._writeState is WRITE_OPEN
            and self._life < DESTROYED
        ):
            self._writeDrainOwed = False
            self._fire("drain")
        if callbacks is not None:
            self._callAll(callbacks, None)
        if self._life >= DESTROYED:
            self._settleWaiting()
        if self._writeState is ENDING:
            self._finishMaybe()

    def _writeFailed(self, error: BaseException, callbacks: Iterable[Callback] | None) -> None:
        self._callAll(callbacks, error)
        self._settleWaiting()
        self._errorOrDestroy(error)

    def _callAll(self, callbacks: Iterable[Callback] | None, error: BaseException | None) -> None:
        if callbacks is not None:
            for callback in callbacks:
                self._call(callback, error)

    # The end

    def _beginEnding(self) -> NodeError | None:
        """
        @return: why C{end()} comes too late.
        """
        if self._writeState is WRITE_OPEN and self._errored is None:
            self._writeState = ENDING
            if self._life is ALIVE:
                self._finishMaybe()
                return None
        elif self._writeState is FINISHED:
            return streamError("ERR_STREAM_ALREADY_FINISHED", "end")
        return streamError("ERR_STREAM_DESTROYED", "end") if self._life >= DESTROYED else None

    def _whenFinished(self, cb: Callback, error: BaseException | None) -> None:
        error = error or self._errored
        if error is not None:
            self._ticks.nextTick(self._call, cb, error)
        elif self._writeFinishCallbacks is None:
            self._writeFinishCallbacks = [cb]
        else:
            self._writeFinishCallbacks.append(cb)

    def _finishMaybe(self) -> None:
        if (
            self._writeState is ENDING
            and self._life is ALIVE
            and self._writeActivity is IDLE
            and not self._writeQueue
        ):
            self._writeState = FINALIZING
            try:
                self._final(self._onFinal)
            except Exception as error:
                self._onFinal(error)

    def _onFinal(self, error: BaseException | None = None) -> None:
        if self._writeState is not FINALIZING:
            self._errorOrDestroy(error or streamError("ERR_MULTIPLE_CALLBACK"))
        elif error is not None:
            self._callFinished(error)
            self._errorOrDestroy(error, True)
        elif self._life is ALIVE:
            self._writeState = PREFINISHED
            self._ticks.nextTick(self._finish)

    def _finish(self) -> None:
        self._writeState = FINISHED
        self._callFinished(None)
        self._fire("finish")
        self._afterFinish()

    def _afterFinish(self) -> None:
        raise NotImplementedError

    def _callFinished(self, error: BaseException | None) -> None:
        if self._writeFinishCallbacks is not None:
            callbacks, self._writeFinishCallbacks = self._writeFinishCallbacks, None
            self._callAll(callbacks, error)

    # The way out

    def _abandonWriting(self) -> None:
        """The chunks go at once; their callbacks hear of it in the next tick."""
        queue = self._writeQueue
        if queue:
            self._writeQueue = [(b"", cb) for _, cb in queue if cb is not None]
            self._writeLength = self._writeHanded
        if self._writeQueue or self._writeFinishCallbacks:
            self._ticks.nextTick(self._settleWaiting)

    def _settleWaiting(self) -> None:
        """Tell the callbacks of what waits, and of C{end()}, that it came to nothing."""
        if self._writeActivity is not IDLE:  # in its turn, behind the one being written
            return
        if self._writeQueue:
            queue, self._writeQueue = self._writeQueue, None
            for data, cb in queue:
                self._writeLength -= len(data)
                if cb is not None:
                    self._call(cb, self._errored or streamError("ERR_STREAM_DESTROYED", "write"))
        if self._writeFinishCallbacks:
            self._callFinished(self._errored or streamError("ERR_STREAM_DESTROYED", "end"))

    def _settleWriting(self) -> None:
        """Before 'close': whoever still waits for the sink has waited in vain."""
        if self._writeActivity is not IDLE:
            self._writeActivity = IDLE
            self._writeLength -= self._writeHanded
            self._writeHanded = 0
            callbacks, self._writeCallbacks = self._writeCallbacks, None
            self._callAll(callbacks, self._interrupted())
        self._settleWaiting()

    def _interrupted(self) -> BaseException:
        """The error of a write that was under way when the stream was destroyed."""
        return self._errored or streamError("ERR_STREAM_DESTROYED", "write")
