"""
A carrier over another stream: TLS in TLS, TLS over a C{net.Socket} that does not connect by
itself, over any object with the API of Node's Duplex.

Nothing is asked of the stream but Node's names: C{on}, C{removeListener}, C{write}, C{end},
C{destroy}, C{pause}, C{resume} and the events C{data end error close drain finish}.

Bytes that wait in the stream's own buffer come first, because the stream delivers them when it
is resumed.  A stream that an C{'encoding'} was set on gives text, which no ciphertext survives:
that ends the carrier with C{ERR_STREAM_WRAP}, as in Node.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from txnodetls.errors import Blame, NodeError
from txnodetls.streams.ticks import ticksFor
from txnodetls.transports.carrier import Address, Carrier, Data

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["StreamCarrier"]


class _Sending(Enum):
    OPEN = "open"
    ENDED = "ended"
    LEAVING = "leaving"  # closing: nothing is sent, nothing is delivered


class StreamCarrier(Carrier):
    """
    A carrier over a stream.

    The stream is the carrier's from now on: it is paused, and it is ended and destroyed with it.

    @param stream: the stream.
    @param reactor: whose ticks the owner is called in.
    """

    __slots__ = ("__weakref__", "_ended", "_flowing", "_listeners", "_sending", "_stream")

    def __init__(self, stream: Any, reactor: Any) -> None:
        super().__init__(ticksFor(reactor))
        self._stream = stream
        self._sending = _Sending.OPEN
        self._flowing = False
        self._ended = False
        self._listeners: list[tuple[str, Callable[..., object]]] = [
            ("data", self._onData),
            ("end", self._onEnd),
            ("error", self._onError),
            ("drain", self._onDrain),
            ("close", self._onClose),
        ]
        stream.pause()
        for name, listener in self._listeners:
            stream.on(name, listener)
        if getattr(stream, "destroyed", False):
            self.ticks.nextTick(self._onClose)

    # what the stream tells

    def _onData(self, chunk: Any) -> None:
        self.ticks.turn(self._deliver, chunk)

    def _deliver(self, chunk: Any) -> None:
        if self.closed or self._sending is _Sending.LEAVING:
            return
        if isinstance(chunk, str):
            self._fail(
                NodeError(
                    "Stream has StringDecoder set or is in objectMode",
                    "ERR_STREAM_WRAP",
                    blame=Blame.CONFIGURATION,
                )
            )
            return
        self.bytesRead += len(chunk)
        try:
            self.owner.carrierData(chunk if type(chunk) is bytes else bytes(chunk))
        except BaseException:
            self.abort()  # the bytes are lost, so nothing that follows could be understood
            raise

    def _onEnd(self) -> None:
        self.ticks.turn(self._end)

    def _end(self) -> None:
        if not (self._ended or self.closed or self._sending is _Sending.LEAVING):
            self._ended = True
            self.owner.carrierEnd()

    def _onError(self, error: Exception) -> None:
        if not self.closed:
            self.ticks.turn(self._fail, error)

    def _fail(self, error: Exception) -> None:
        if not self.closed:
            self._gone(None if self._sending is _Sending.LEAVING else error, self.ticks.turn)
            self._stream.destroy()

    def _onDrain(self) -> None:
        if self.queued and not self.closed:
            self.queued = 0
            self.ticks.turn(self._drained)

    def _drained(self) -> None:
        if not self.closed:
            self.owner.carrierDrained()

    def _onClose(self, *_: object) -> None:
        # The listener for 'error' stays: an error that comes late would have nobody else.
        for name, listener in self._listeners:
            if name != "error":
                self._stream.removeListener(name, listener)
        if not self.closed:
            self._gone(None, self.ticks.turn)

    # what the owner asks

    def write(self, data: Data) -> None:
        """Write C{data} to the stream."""
        if self._sending is not _Sending.OPEN or self.closed:
            return
        length = len(data)
        self.bytesWritten += length
        if not self._stream.write(data if type(data) is bytes else bytes(data)):
            self.queued += length

    def end(self) -> None:
        """End the stream's writable side."""
        if self._sending is _Sending.OPEN and not self.closed:
            self._sending = _Sending.ENDED
            self._stream.end()

    def close(self) -> None:
        """Destroy the stream after what is queued."""
        if self.closed or self._sending is _Sending.LEAVING:
            return
        sending, self._sending = self._sending, _Sending.LEAVING
        if getattr(self._stream, "writableFinished", False):
            self._stream.destroy()
            return
        self._stream.once("finish", self._stream.destroy)
        if sending is _Sending.OPEN:
            self._stream.end()
        self._stream.resume()  # what still comes is dropped

    def abort(self, reset: bool = False) -> None:
        """Destroy the stream."""
        if self.closed:
            return
        self._gone(None, self.ticks.nextTick)
        resetAndDestroy = getattr(self._stream, "resetAndDestroy", None)
        if reset and resetAndDestroy is not None:
            resetAndDestroy()
        else:
            self._stream.destroy()

    def pause(self) -> None:
        """Pause the stream."""
        if self._flowing:
            self._flowing = False
            self._stream.pause()

    def resume(self) -> None:
        """Let the stream flow."""
        if not self._flowing and not self.closed:
            self._flowing = True
            self._stream.resume()

    def setNoDelay(self, enabled: bool) -> None:
        """Hand on to the stream, if it knows of this."""
        self._call("setNoDelay", enabled)

    def setKeepAlive(self, enabled: bool, delay: int) -> None:
        """Hand on to the stream, if it knows of this."""
        self._call("setKeepAlive", enabled, delay * 1000)

    def _call(self, name: str, *arguments: object) -> None:
        method = getattr(self._stream, name, None)
        if method is not None and not self.closed:
            method(*arguments)

    @property
    def localAddress(self) -> Address:
        """The stream's own, if it has one."""
        return _address(self._stream, "local")

    @property
    def remoteAddress(self) -> Address:
        """The stream's, if it has one."""
        return _address(self._stream, "remote")

    @property
    def stream(self) -> Any:
        """The stream."""
        return self._stream


def _address(stream: Any, side: str) -> Address:
    host = getattr(stream, f"{side}Address", None)
    if host is None:
        return {}
    family = getattr(stream, f"{side}Family", None)
    return {"address": host, "family": family, "port": getattr(stream, f"{side}Port", None)}
