"""
Where the data of a stream comes in.

The source is one that pushes by itself, a socket: C{_read()} starts it, C{push()} returning
False stops it, and then C{_read()} is called again when there is room.  (Node calls C{_read()}
after every push, which costs a tick per chunk and is of use only to sources that give one chunk
for each call.  The events are the same.)

A chunk goes straight to the 'data' listeners if data flows and nothing is before it; else into
the buffer.  What is taken out of the buffer in part stays one object, with an offset.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, cast

from txnodetls.errors import invalidArgType
from txnodetls.streams.encodings import Decoder, decoderFor, encodeText
from txnodetls.streams.life import StreamLife, streamError
from txnodetls.streams.states import (
    ABANDONED,
    ALIVE,
    DESTROYED,
    DRY,
    END_EMITTED,
    ENDED,
    FLOWING,
    NEW,
    READ_OPEN,
    RUNNING,
    STARTING,
    STOPPED,
    UNASKED,
    UNDECIDED,
    Flow,
    Reading,
    Request,
    Source,
)

if TYPE_CHECKING:
    from typing import Any

    from txnodetls.streams.pipe import Pipe

__all__ = ["CHUNK_TYPES", "Intake"]

CHUNK_TYPES = "of type string or an instance of Buffer, TypedArray, or DataView"


class Intake(StreamLife):
    """The part of the readable half that its source has to do with."""

    __slots__ = (
        "_readAnnounced",
        "_readAwaited",
        "_readByListener",
        "_readChunks",
        "_readDecoder",
        "_readEnding",
        "_readFlow",
        "_readLength",
        "_readMark",
        "_readNeeded",
        "_readOffset",
        "_readPipes",
        "_readRequest",
        "_readResuming",
        "_readSource",
        "_readState",
    )

    def _initReading(self, mark: int) -> None:
        self._readState: Reading = READ_OPEN
        self._readSource: Source = NEW
        self._readFlow: Flow = UNDECIDED
        self._readRequest: Request = UNASKED
        self._readMark = mark
        self._readLength = 0
        # Made with the first chunk that has to wait: most streams never need it.
        self._readChunks: deque[bytes | str] | None = None
        self._readOffset = 0  # how much of the first chunk is gone
        self._readDecoder: Decoder | None = None
        self._readNeeded = False
        self._readAnnounced = False
        self._readEnding = False  # the tick that emits 'end' is on its way
        self._readByListener = False  # a 'readable' listener is there, or was a tick ago
        self._readResuming = False
        self._readPipes: tuple[Pipe, ...] = ()
        # Those whose destination was full; forgotten as soon as data flows all the same.
        self._readAwaited: set[Pipe] | None = None

    # For the subclass

    def _read(self) -> None:
        """
        There is room: (re)start the source, which then calls L{push} until that returns False.
        """
        raise streamError("ERR_METHOD_NOT_IMPLEMENTED", "_read()")

    def push(
        self, chunk: bytes | bytearray | memoryview | str | None, encoding: str | None = None
    ) -> bool:
        """
        Data has come from the source; None is its end.

        @return: False: there is enough for now; stop the source until C{_read()} is called.
        """
        if (
            self._readSource is RUNNING
            and self._readFlow is FLOWING
            and chunk.__class__ is bytes
            and not self._readLength
            and self._readDecoder is None
            and not self._readAwaited
            and "data" in self._events
            and chunk
        ):
            # The straight way: nothing is kept, nothing is scheduled.
            self._fireOne(self._events["data"], "data", chunk)
            return self._readSource is RUNNING
        if chunk is None:
            self._endOfSource()
            return False
        return self._pushByBuffer(chunk, encoding)

    def _pushByBuffer(
        self, chunk: bytes | bytearray | memoryview | str, encoding: str | None
    ) -> bool:
        data = self._asChunk(chunk, encoding)
        if data is None:
            return False
        if data:
            if self._readState is not READ_OPEN:
                if self._readState is not ABANDONED:
                    self._errorOrDestroy(streamError("ERR_STREAM_PUSH_AFTER_EOF"))
                return False
            if self._life is not ALIVE:
                return False
            decoder = self._readDecoder
            decoded = data if decoder is None else decoder.decode(data)
            if decoded:
                self._addChunk(decoded, False)
            elif self._readSource is NEW:
                self._ticks.nextTick(self._startUnasked)
        if self._hasRoom():
            return True
        if self._readSource is RUNNING or self._readSource is STARTING:
            self._readSource = STOPPED
        return False

    def _startUnasked(self) -> None:
        """The source has pushed before it was asked to: from now on it counts as running."""
        if self._readState is READ_OPEN and self._readSource is NEW and self._hasRoom():
            self.read(0)

    def _asChunk(self, chunk: object, encoding: str | None) -> bytes | None:
        """The bytes of a chunk; None, and an error, if it is nothing of the kind."""
        if chunk.__class__ is bytes:
            return chunk
        if isinstance(chunk, str):
            return encodeText(chunk, encoding or "utf8")
        if isinstance(chunk, (bytes, bytearray, memoryview)):
            return bytes(chunk)
        self._errorOrDestroy(invalidArgType("chunk", CHUNK_TYPES, chunk))
        return None

    def _addChunk(self, chunk: bytes | str, first: bool) -> None:
        if (
            self._readFlow is FLOWING
            and not self._readLength
            and self._readSource is not NEW
            and self._readSource is not STARTING
            and "data" in self._events
        ):
            self._readAwaited = None
            self._fire("data", chunk)
            return
        self._readLength += len(chunk)
        chunks = self._readChunks
        if chunks is None:
            chunks = self._readChunks = deque()
        if first:
            if self._readOffset:
                chunks[0] = chunks[0][self._readOffset :]
                self._readOffset = 0
            chunks.appendleft(chunk)
        else:
            chunks.append(chunk)
        if self._readNeeded:
            self._announce()
        if self._readSource is NEW:
            self._ticks.nextTick(self._startUnasked)

    def _hasRoom(self) -> bool:
        return (
            self._readState is READ_OPEN
            and self._life is ALIVE
            and (self._readLength < self._readMark or not self._readLength)
        )

    def _endOfSource(self) -> None:
        if self._readState is not READ_OPEN or self._life >= DESTROYED:
            return
        if self._readDecoder is not None:
            rest = self._readDecoder.end()
            if rest:
                if self._readChunks is None:
                    self._readChunks = deque()
                self._readChunks.append(rest)
                self._readLength += len(rest)
        self._readState = ENDED
        if self._readSource is NEW:
            self._announce()
        elif self._readSource is STARTING:
            self._readSource = DRY
            self._announce()
        else:
            self._readSource = DRY
            self._readNeeded = False
            self._readAnnounced = True
            self._emitReadable()

    # For the application

    def unshift(
        self, chunk: bytes | bytearray | memoryview | str | None, encoding: str | None = None
    ) -> bool:
        """
        Put back at the front what was read too much.

        @param chunk: None ends the stream, as in C{push}.
        @return: whether the buffer is below its mark.
        """
        if chunk is None:
            self._endOfSource()
            return False
        data = self._asChunk(chunk, encoding)
        if data is None:
            return False
        if data:
            text = None
            if self._readDecoder is not None:
                fresh = decoderFor(self._readDecoder.encoding)
                text = fresh.decode(data) + fresh.end()
            if self._readState is END_EMITTED:
                self._errorOrDestroy(streamError("ERR_STREAM_UNSHIFT_AFTER_END_EVENT"))
            elif self._life is not ALIVE:
                return False
            else:
                self._addChunk(data if text is None else text, True)
        return self._hasRoom()

    # For the half above

    def _startIfWanted(self, count: int) -> bool:
        """Start the source if, with C{count} taken, there is room; whether it was started."""
        if self._readSource is not NEW and self._readSource is not STOPPED:
            return False
        wanted = (
            self._readNeeded or self._readLength == 0 or self._readLength - count < self._readMark
        )
        if not wanted or self._life is not ALIVE or self._readState is not READ_OPEN:
            return False
        self._readSource = STARTING
        if self._readLength == 0:
            self._readNeeded = True
        try:
            self._read()
        except Exception as error:
            self._errorOrDestroy(error)
        if self._readSource is STARTING:
            self._readSource = RUNNING
        return True

    def _take(self, count: int) -> bytes | str:
        chunks = cast("deque[bytes | str]", self._readChunks)
        first, offset = chunks[0], self._readOffset
        available = len(first) - offset
        if count < available:
            # By an offset: to cut the rest anew each time would cost its square in time.
            self._readOffset = offset + count
            return first[offset : offset + count]
        self._readOffset = 0
        chunks.popleft()
        if not chunks:
            self._readChunks = None
        if offset:
            first = first[offset:]
        if count == available:
            return first
        pieces: list[Any] = [first]
        count -= available
        while chunks and count >= len(chunks[0]):
            piece = chunks.popleft()
            pieces.append(piece)
            count -= len(piece)
        if count:
            pieces.append(chunks[0][:count])
            self._readOffset = count
        return first[:0].join(pieces)

    def _setErrored(self, error: BaseException) -> None:
        super()._setErrored(error)
        self._readSource = DRY

    def _abandonReading(self) -> None:
        self._readSource = DRY
        if self._readLength:
            self._readState = ABANDONED
            self._readLength = self._readOffset = 0
        self._readChunks = None

    # Of the half above

    def read(self, n: int | None = None) -> bytes | str | None:
        raise NotImplementedError

    def _announce(self) -> None:
        raise NotImplementedError

    def _emitReadable(self) -> None:
        raise NotImplementedError
