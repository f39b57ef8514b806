"""
C{source.pipe(destination)}: all data of the one is written to the other.

When the destination is full the source is paused, until it has drained; with several
destinations the slowest sets the pace.  The pipe is undone by C{unpipe}, and when the
destination finishes, closes or breaks; then the source is left paused, and alone.  Errors do not
travel through a pipe in either direction.

Source: https://nodejs.org/api/stream.html#readablepipedestination-options
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from txnodetls.streams.states import END_EMITTED, FLOWING

if TYPE_CHECKING:
    from txnodetls.streams.readable import ReadHalf

__all__ = ["Pipe"]


class Pipe:
    """
    One pipe between two streams.

    @ivar destination: any stream with Node's methods, also one that is not ours.
    """

    __slots__ = ("_closed", "_ends", "_onEnd", "_source", "_waits", "destination")

    def __init__(self, source: ReadHalf, destination: Any, ends: bool) -> None:
        self._source = source
        self.destination = destination
        self._onEnd = self._end if ends else self._unpipe
        self._waits = False  # listens for 'drain'
        self._closed = False

    def open(self) -> None:
        """Listen on both sides, and let the source flow."""
        source, destination = self._source, self.destination
        if source._readState is END_EMITTED:
            source._ticks.nextTick(self._onEnd)
        else:
            source.once("end", self._onEnd)
        source.on("data", self._data)
        # First of all, so that it can tell whether anyone else listens.
        destination.prependListener("error", self._error)
        destination.once("close", self._unpipe)
        destination.once("finish", self._unpipe)
        destination.emit("pipe", source)
        if getattr(destination, "writableNeedDrain", False) is True:
            self._pause()
        elif source._readFlow is not FLOWING:
            source.resume()

    def close(self) -> None:
        """Stop listening; tell the destination.  The source forgets this pipe by itself."""
        source, destination = self._source, self.destination
        destination.removeListener("close", self._unpipe)
        destination.removeListener("finish", self._unpipe)
        destination.removeListener("error", self._error)
        if self._waits:
            destination.removeListener("drain", self._drain)
        source.removeListener("end", self._onEnd)
        source.removeListener("data", self._data)
        self._closed = True
        # The source may have waited for this pipe alone; but a destination that refused the
        # chunk, and owes no 'drain', has not asked for anything.
        awaited = source._readAwaited is not None and self in source._readAwaited
        if awaited and getattr(destination, "_writeDrainOwed", True):
            self._drain()
        destination.emit("unpipe", source)

    def _data(self, chunk: bytes | str) -> None:
        try:
            more = self.destination.write(chunk)
        except Exception as error:
            self.destination.destroy(error)
        else:
            if more is False:
                self._pause()

    def _pause(self) -> None:
        source = self._source
        if not self._closed:  # the application may have undone the pipe while it was written to
            if source._readAwaited is None:
                source._readAwaited = set()
            source._readAwaited.add(self)
            source.pause()
        if not self._waits and not self._closed:
            self._waits = True
            self.destination.on("drain", self._drain)

    def _drain(self) -> None:
        source = self._source
        if source._readAwaited is not None:
            source._readAwaited.discard(self)
        if not source._readAwaited and "data" in source._events:
            source.resume()

    def _end(self) -> None:
        self.destination.end()

    def _unpipe(self, *_: object) -> None:
        self._source.unpipe(self.destination)

    def _error(self, error: BaseException) -> None:
        destination = self.destination
        self._unpipe()
        if destination.listenerCount("error"):
            return
        # Nobody else listens: it is as unhandled as it would be without us.
        if getattr(destination, "_errorEmitted", True):
            getattr(destination, "_fire", destination.emit)("error", error)
        else:
            destination.destroy(error)
