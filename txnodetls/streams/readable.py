"""
The readable half of a duplex stream.

Data comes in by C{push()} and goes out in one of two ways.  It I{flows}: each chunk goes to the
'data' listeners as it comes.  Or it is I{read}: a 'readable' event says that there is something,
and the application calls C{read()}.  What nobody takes is kept in a buffer, and when the buffer
is past the high water mark the source is stopped.

The 'readable' event is owed in three small steps, which are Node's: it is I{needed} when a reader
found the buffer empty; it is I{announced} from the push that has something until its tick; a
C{read()} in between takes the announcement back, so that a later push announces anew.

A stream that was destroyed gives no more data, although Node's goes on with what its buffer
holds: whoever destroys a connection because of what came first must not be given the rest.

Source: https://nodejs.org/api/stream.html#readable-streams
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, Final, Self, cast

from txnodetls.errors import outOfRange
from txnodetls.javascript import isNumber
from txnodetls.streams.encodings import decoderFor
from txnodetls.streams.intake import Intake
from txnodetls.streams.pipe import Pipe
from txnodetls.streams.states import (
    ALIVE,
    DESTROYED,
    DRY,
    END_EMITTED,
    ENDED,
    FLOWING,
    HELD,
    OVER,
    PAUSE,
    READ_OPEN,
    RESUME,
    RUNNING,
    STARTING,
    UNDECIDED,
)

if TYPE_CHECKING:
    from txnodetls.streams.emitter import Listener

__all__ = ["ReadHalf"]

_LARGEST_MARK = 1 << 30


class ReadHalf(Intake):
    """Node's C{Readable}, as one half of L{txnodetls.streams.Duplex}."""

    __slots__ = ()

    @property
    def readable(self) -> bool:
        """Neither ended nor destroyed."""
        return self._life < DESTROYED and not self._errorEmitted and self._readState < END_EMITTED

    @property
    def readableFlowing(self) -> bool | None:
        """True: data flows; False: paused, or read by a 'readable' listener; None: undecided."""
        return cast("bool | None", self._readFlow.value)

    @property
    def readableEnded(self) -> bool:
        """'end' was emitted."""
        return self._readState is END_EMITTED

    @property
    def readableAborted(self) -> bool:
        """Destroyed, or broken, before 'end'."""
        return self._life is not ALIVE and self._readState is not END_EMITTED

    @property
    def readableLength(self) -> int:
        """How much is in the buffer: bytes, or characters if an encoding is set."""
        return self._readLength

    @property
    def readableHighWaterMark(self) -> int:
        """From how much in the buffer on the source is stopped."""
        return self._readMark

    @property
    def readableEncoding(self) -> str | None:
        """The encoding that was set, by Node's normal name, or None."""
        return None if self._readDecoder is None else self._readDecoder.encoding

    @property
    def readableObjectMode(self) -> bool:
        """Always False: this is a stream of bytes."""
        return False

    # For the application

    def read(self, n: float | None = None) -> bytes | str | None:
        """
        Take from the buffer.

        What is taken is emitted as 'data', too.

        @param n: how much; without it, or where it is no number, all there is (or, while data
            flows, one chunk).
        @return: exactly C{n}, or at the end what is left; None if there is less than that.
        @raise NodeRangeError: C{ERR_OUT_OF_RANGE}: C{n} is more than 1 GiB.
        """
        if n is not None and type(n) is not int:
            n = _amount(n)
        if n == 0:
            self._look()
            return None
        if n is not None and n > self._readMark:
            self._readMark = _raisedMark(n)
        self._readAnnounced = False
        if not self._readLength:
            if self._readState is not READ_OPEN:
                self._endReading()
                return None
            if self._readSource is RUNNING:
                self._readNeeded = True  # it will push
                return None
        count = self._howMuch(n)
        if count == 0 and self._readState is not READ_OPEN:
            return None
        if self._startIfWanted(count):
            count = self._howMuch(n)
        return self._takeAndEmit(n, count)

    def _look(self) -> None:
        """C{read(0)}: take nothing, but see that the source runs, or that what is there is told."""
        if not self._readLength and self._readState is not READ_OPEN:
            self._endReading()
        elif self._readNeeded and self._hasNews():
            self._announce()
        elif self._readState is READ_OPEN:
            self._startIfWanted(0)
            if self._readLength <= self._readMark:
                self._readNeeded = True

    def pause(self) -> Self:
        """Stop the 'data' events.  Data still comes into the buffer, up to its mark."""
        if self._readFlow is not HELD:
            self._readFlow = HELD
            if self._life is not OVER:
                self._fire("pause")
        self._readRequest = PAUSE
        return self

    def resume(self) -> Self:
        """Let data flow: to the 'data' listeners, or if there are none, away."""
        if self._readFlow is not FLOWING:
            self._readFlow = HELD if self._readByListener else FLOWING
            if not self._readResuming:
                self._readResuming = True
                self._ticks.nextTick(self._resumeNow)
        self._readRequest = RESUME
        return self

    def isPaused(self) -> bool:
        """C{pause()} was called last, or a 'readable' listener holds the flow."""
        return self._readRequest is PAUSE or self._readFlow is HELD

    def setEncoding(self, encoding: str | None = None) -> Self:
        """
        Give C{str} from now on, decoded across the borders of chunks.

        @param encoding: any of Node's; None is utf8.
        @raise NodeTypeError: C{ERR_UNKNOWN_ENCODING}.
        """
        decoder = self._readDecoder = decoderFor(encoding)
        waiting = b"" if self._readLength == 0 else self._take(self._readLength)
        text = waiting if isinstance(waiting, str) else decoder.decode(waiting)
        self._readLength = len(text)
        if text:
            self._readChunks = deque([text])
        return self

    def pipe(self, destination: Any, options: Mapping[str, Any] | None = None, **more: Any) -> Any:
        """
        Write all data to C{destination}, no faster than it takes it.

        @param destination: any stream with Node's methods.
        @param options: C{end}: end it when this stream ends; True unless given.
        @return: C{destination}, so that pipes can be strung together.
        """
        ends = {**(options or {}), **more}.get("end", True) is not False
        pipe = Pipe(self, destination, ends)
        self._readPipes = (*self._readPipes, pipe)
        pipe.open()
        return destination

    def unpipe(self, destination: Any = None) -> Self:
        """Undo C{pipe(destination)}; without an argument, all of them."""
        if destination is None:
            undone, self._readPipes = self._readPipes, ()
        else:
            undone = tuple(p for p in self._readPipes if p.destination is destination)[:1]
            self._readPipes = tuple(p for p in self._readPipes if p not in undone)
        if undone and not self._readPipes:
            self.pause()
        for pipe in undone:
            pipe.close()
        return self

    # Listening changes how data flows.

    def on(self, eventName: Hashable, listener: Listener) -> Self:
        """
        Call C{listener} at each C{eventName} from now on.

        The first for 'data' lets data flow, unless it was paused; one for 'readable' stops the
        flow and is called when there is something to C{read()}, or the end.
        """
        self._add(eventName, listener, False)
        if eventName == "data":
            self._flowForListener()
        elif eventName == "readable":
            self._holdForListener()
        return self

    def removeListener(self, eventName: Hashable, listener: Listener) -> Self:
        """Take C{listener} away again; without one for 'readable', data can flow again."""
        super().removeListener(eventName, listener)
        if eventName == "readable":
            # Not at once, or once('readable') would let data flow between two events.
            self._ticks.nextTick(self._listenersChanged)
        return self

    def removeAllListeners(self, *eventNames: Hashable) -> Self:
        """Take away all listeners of one event; without an argument, of every event."""
        super().removeAllListeners(*eventNames)
        if not eventNames or eventNames[0] == "readable":
            self._ticks.nextTick(self._listenersChanged)
        return self

    def _flowForListener(self) -> None:
        if "readable" in self._events:
            self._readByListener = True
        if self._readFlow is not HELD:
            self.resume()

    def _holdForListener(self) -> None:
        if self._readState is END_EMITTED or self._readByListener:
            return
        self._readByListener = True
        self._readNeeded = True
        self._readFlow = HELD
        self._readAnnounced = False
        if self._readLength:
            self._announce()
        elif self._readSource not in (STARTING, RUNNING):
            self._ticks.nextTick(self._look)

    def _listenersChanged(self) -> None:
        self._readByListener = "readable" in self._events
        if self._readResuming and self._readRequest is RESUME:
            self._readFlow = FLOWING  # or the resume under way would not flow
        elif "data" in self._events:
            self.resume()
        elif not self._readByListener:
            self._readFlow = UNDECIDED

    # How data gets out of the buffer

    def _hasNews(self) -> bool:
        if self._readState is not READ_OPEN:
            return True
        if self._readMark:
            return self._readLength >= self._readMark
        return self._readLength > 0

    def _howMuch(self, n: int | None) -> int:
        length = self._readLength
        if n is None:
            if length and self._readFlow is FLOWING and self._readChunks:
                return len(self._readChunks[0]) - self._readOffset
            return length
        if n <= 0 or (length == 0 and self._readState is not READ_OPEN):
            return 0
        if n <= length:
            return n
        return length if self._readState is not READ_OPEN else 0

    def _takeAndEmit(self, asked: int | None, count: int) -> bytes | str | None:
        chunk = None
        if count > 0:
            chunk = self._take(count)
            self._readLength -= count
            self._readAwaited = None
        else:
            count = 0
            if self._readLength <= self._readMark:
                self._readNeeded = True
        if self._readLength == 0:
            if self._readState is READ_OPEN:
                self._readNeeded = True
            elif asked != count:
                self._endReading()
        if chunk is not None and not self._errorEmitted and self._life < DESTROYED:
            self._fire("data", chunk)
        return chunk

    # The events

    def _announce(self) -> None:
        self._readNeeded = False
        if not self._readAnnounced:
            self._readAnnounced = True
            self._ticks.nextTick(self._emitReadable)

    def _emitReadable(self) -> None:
        if self._life is ALIVE and (self._readLength or self._readState is not READ_OPEN):
            self._fire("readable")
            self._readAnnounced = False
        if (
            self._readFlow is not FLOWING
            and self._readState is READ_OPEN
            and self._readLength <= self._readMark
        ):
            self._readNeeded = True
        self._flow()

    def _resumeNow(self) -> None:
        if self._life is OVER:
            return
        if self._readSource is not RUNNING and self._readSource is not STARTING:
            self._look()
        self._readResuming = False
        self._fire("resume")
        self._flow()
        if (
            self._readFlow is FLOWING
            and self._readSource is not RUNNING
            and self._readSource is not STARTING
        ):
            self._look()

    def _flow(self) -> None:
        while self._readFlow is FLOWING and self.read() is not None:
            pass

    def _endReading(self) -> None:
        if self._readState < END_EMITTED:
            self._readState = ENDED
            self._readSource = DRY
            if not self._readEnding:
                self._readEnding = True
                self._ticks.nextTick(self._emitEnd)

    def _emitEnd(self) -> None:
        self._readEnding = False
        if (
            self._readState is ENDED  # and nothing was put back since
            and not self._readLength
            and self._errored is None
            and self._life is not OVER
        ):
            self._readState = END_EMITTED
            self._fire("end")
            self._afterEnd()

    def _afterEnd(self) -> None:
        raise NotImplementedError


# JavaScript's parseInt.
_NUMBER: Final = re.compile(r"\s*[+-]?[0-9]+")


def _amount(n: object) -> int | None:
    """What Node takes from what is no whole number: the whole part, of a text too, or nothing."""
    if isNumber(n):
        return int(n) if math.isfinite(n) else None
    found = _NUMBER.match(n) if isinstance(n, str) else None
    return None if found is None else int(found[0])


def _raisedMark(n: int) -> int:
    """The next power of two, so that the mark does not creep up in small steps."""
    if n > _LARGEST_MARK:
        raise outOfRange("size", "<= 1GiB", n)
    return 1 << (n - 1).bit_length()
