"""
C{net.Socket}: a TCP or UNIX connection, with Node's stream in front.

A socket has no carrier until it is connected.  What is written, ended or read before that is
kept and done then.  The moments of its life, in the order of Node's events:

    connect() -> 'lookup' 'connectionAttempt' ... -> _connected(carrier)
              -> _carrierReady(): 'connect', what was kept, 'ready', reading begins
              -> destroy() or the end of both sides -> _destroy() -> 'close'

C{TLSSocket} is made from this class: it has its own C{_carrierReady} and C{carrier...} methods,
and takes the carrier of another socket over with C{_takeCarrier}.

Source: https://nodejs.org/api/net.html#class-netsocket
"""

from __future__ import annotations

import errno
import math
import socket as _socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Self

from txnodetls.errors import Blame, NodeError, NodeTypeError, invalidArgType, socketError
from txnodetls.javascript import isNumber
from txnodetls.net.abort import onAbort
from txnodetls.net.carried import CarriedStream, socketClosed
from txnodetls.net.connecting import Connecting, Route, connectArguments
from txnodetls.net.idle import IdleTimer, duration
from txnodetls.net.lookup import isIP
from txnodetls.streams.duplex import Duplex
from txnodetls.streams.states import OVER, WRITE_OPEN
from txnodetls.streams.ticks import TickQueue
from txnodetls.transports.carrier import Address, Carrier, Data
from txnodetls.transports.tcp import SocketCarrier

__all__ = ["Socket", "connect", "keepAliveSeconds"]

_Callback = Callable[[BaseException | None], object]

# The most seconds that Linux takes for TCP_KEEPIDLE.
_LONGEST_KEEPIDLE: Final = 32767


def keepAliveSeconds(msecs: object) -> int:
    """
    The option C{keepAliveInitialDelay}, in whole seconds.

    @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE}.
    """
    if msecs is None:
        return 0
    if isinstance(msecs, bool) or not isinstance(msecs, (int, float)):
        raise invalidArgType("options.keepAliveInitialDelay", "of type number", msecs)
    if msecs != msecs or msecs == math.inf:
        return 0  # As in Node's arithmetic.
    return int(min(max(0, msecs // 1000), _LONGEST_KEEPIDLE))


class Socket(CarriedStream):
    """
    A connection.

    Options: C{allowHalfOpen}, C{highWaterMark} (also C{readableHighWaterMark} and
    C{writableHighWaterMark}), C{noDelay}, C{keepAlive}, C{keepAliveInitialDelay}, C{onread},
    C{signal}, C{fd}; others are left to whoever knows them.

    @param options: Node's options as a mapping; keyword arguments of the same names win.
    @param reactor: by default the global one.
    @ivar connecting: C{connect()} was called and is not done.
    @ivar timeout: the idle time set with L{setTimeout}, in milliseconds, or None.
    @ivar server: the L{Server} that accepted it, or None.
    """

    __slots__ = (
        "_connecting",
        "_countedBy",
        "_early",
        "_earlyEnd",
        "_forgetSignal",
        "_hadError",
        "_held",
        "_host",
        "_idle",
        "_lastQueued",
        "_onread",
        "_readEarly",
        "_resetting",
        "_tuning",
        "connecting",
        "server",
        "timeout",
    )

    _onread: tuple[Any, Callable[..., Any]] | None
    _forgetSignal: Callable[[], object] | None
    # (noDelay, keepAlive, its delay in seconds): what is done to the carrier, once there is one.
    _tuning: tuple[bool, bool, int] | None

    def __init__(
        self, options: Mapping[str, Any] | None = None, *, reactor: Any = None, **more: Any
    ) -> None:
        given = more if options is None else {**options, **more}
        get = given.get
        super().__init__(
            reactor=reactor,
            allowHalfOpen=bool(get("allowHalfOpen")),
            highWaterMark=get("highWaterMark"),
            readableHighWaterMark=get("readableHighWaterMark"),
            writableHighWaterMark=get("writableHighWaterMark"),
        )
        self._initSocket()
        if get("noDelay") or get("keepAlive") or get("keepAliveInitialDelay") is not None:
            delay = keepAliveSeconds(get("keepAliveInitialDelay"))
            self._tuning = (bool(get("noDelay")), bool(get("keepAlive")), delay)
        if get("onread") is not None:
            self._onread = _checkedOnread(get("onread"))
        if get("fd") is not None:
            self._adopt(SocketCarrier(_socket.socket(fileno=get("fd")), self._ticks.reactor))
        if get("signal") is not None:
            self._forgetSignal = onAbort(get("signal"), self.destroy)

    def _initAccepted(self, ticks: TickQueue, allowHalfOpen: bool, mark: int) -> None:
        """
        What C{__init__} does, for a connection that a server has accepted.

        Servers have many connections, whose options are the same: they are read once.

        @param mark: the high water mark of both sides, in bytes.
        """
        self._initLife(ticks, True, True)
        self._initReading(mark)
        self._initWriting(mark)
        self.allowHalfOpen = allowHalfOpen
        self._initCarried()
        self._initSocket()

    def _initSocket(self) -> None:
        self._start()
        self.timeout: float | None = None
        self.server: Any = None
        self._countedBy: Any = None  # the server that counts it among its connections
        self._tuning = None
        self._onread = None
        self._forgetSignal = None

    def _start(self) -> None:
        self.connecting = False
        self._connecting: Connecting | None = None
        self._early: tuple[Data, _Callback] | None = None  # written before there is a carrier
        self._earlyEnd: _Callback | None = None
        self._readEarly = False
        self._hadError = False
        self._host: str | None = None  # the name, not the address, that was connected to
        self._held = b""  # what onread does not want yet
        self._resetting = False
        self._idle: IdleTimer | None = None
        self._lastQueued = 0

    # connecting

    def connect(self, *arguments: Any, **options: Any) -> Self:
        """
        Connect: C{connect(options[, cb])}, C{connect(port[, host][, cb])}, C{connect(path[, cb])}.

        C{cb} listens to 'connect'.  A socket can be connected anew behind its 'close'; one that
        was destroyed, but has not told so yet, stays so.

        @raise NodeError: C{ERR_MISSING_ARGS}, C{ERR_SOCKET_BAD_PORT}, C{ERR_INVALID_IP_ADDRESS},
            C{ERR_INVALID_ARG_TYPE}, C{ERR_INVALID_ARG_VALUE}, C{ERR_OUT_OF_RANGE}.  What goes
            wrong later is an 'error' event.
        """
        given, callback = connectArguments(arguments, options)
        route = Route(given)
        if self._life is OVER:
            self._revive()
        elif self.destroyed:
            return self
        if callback is not None:
            self.once("connect", callback)
        if self.connecting or self._carrier is not None:
            number = errno.EALREADY if self.connecting else errno.EISCONN
            self._ticks.nextTick(self.destroy, socketError(number, "connect"))
            return self
        self.connecting = True
        if route.path is None and not isIP(route.host):
            self._host = route.host
        self._active()
        self._connecting = Connecting(self, route, self._ticks.reactor)
        try:
            self._connecting.start()
        except Exception:
            self._connecting = None
            self.connecting = False
            raise
        return self

    def _revive(self) -> None:
        """Begin a new life, with the listeners and settings of the former one."""
        events, reactor = self._events, self._ticks.reactor
        Duplex.__init__(
            self,
            reactor=reactor,
            allowHalfOpen=self.allowHalfOpen,
            readableHighWaterMark=self._readMark,
            writableHighWaterMark=self._writeMark,
        )
        self._events = events
        self._former = None
        self._start()

    def _connected(self, carrier: Carrier) -> None:
        """The way to the peer was found."""
        self._connecting = None
        self.connecting = False
        self._adopt(carrier)
        self._active()
        self._carrierReady()

    def _adopt(self, carrier: Carrier) -> None:
        """Stand on a connected carrier, with what was set on the socket before."""
        self._stand(carrier)
        if self._tuning is not None:
            noDelay, keepAlive, delay = self._tuning
            if noDelay:
                carrier.setNoDelay(True)
            if keepAlive:
                carrier.setKeepAlive(True, delay)

    def _carrierReady(self) -> None:
        """There is a connection: tell, do what was kept until now, and begin to read."""
        self._fire("connect")
        self._sendEarly()
        self._fire("ready")
        if self._carrier is None or self._carrier.owner is not self:
            return  # destroyed, or taken over, by a listener
        if self._readEarly:
            self._carrier.resume()
        elif not self.isPaused():
            self.read(0)

    def _sendEarly(self) -> None:
        early, self._early = self._early, None
        if early is not None and self._carrier is not None:
            chunk, callback = early
            if self._write(chunk, callback):
                callback(None)
        final, self._earlyEnd = self._earlyEnd, None
        if final is not None and self._carrier is not None:
            self._final(final)

    @property
    def pending(self) -> bool:
        """Not connected: not yet, or not any more."""
        return self._carrier is None or self.connecting

    @property
    def readyState(self) -> str:
        """C{'opening' 'open' 'readOnly' 'writeOnly' 'closed'}"""
        if self.connecting:
            return "opening"
        if self.readable:
            return "open" if self.writable else "readOnly"
        return "writeOnly" if self.writable else "closed"

    @property
    def bufferSize(self) -> int | None:
        """Deprecated: C{writableLength}, or None without a connection."""
        return None if self._carrier is None else self.writableLength

    # addresses

    @property
    def _local(self) -> Address:
        return {} if self._carrier is None else self._carrier.localAddress

    @property
    def _remote(self) -> Address:
        carrier = self._carrier or self._former
        return {} if carrier is None else carrier.remoteAddress

    def address(self) -> Address:
        """C{{'address', 'family', 'port'}} of the own side; empty where there is none."""
        return self._local

    @property
    def localAddress(self) -> str | None:
        """The own IP address; None when not connected, or where there is none."""
        return self._local.get("address")

    @property
    def localPort(self) -> int | None:
        """The own port; None when not connected, or where there is none."""
        return self._local.get("port")

    @property
    def localFamily(self) -> str | None:
        """C{'IPv4'} or C{'IPv6'}; None when not connected, or where there is none."""
        return self._local.get("family")

    @property
    def remoteAddress(self) -> str | None:
        """The peer's IP address, also after the end; None where there is none."""
        return self._remote.get("address")

    @property
    def remotePort(self) -> int | None:
        """The peer's port, also after the end; None where there is none."""
        return self._remote.get("port")

    @property
    def remoteFamily(self) -> str | None:
        """C{'IPv4'} or C{'IPv6'}, also after the end; None where there is none."""
        return self._remote.get("family")

    # the end

    def resetAndDestroy(self) -> Self:
        """
        Destroy with RST instead of FIN; if not connected yet, as soon as it is.

        @raise NodeTypeError: C{ERR_INVALID_HANDLE_TYPE}: not TCP.
        """
        if self.connecting:
            self.once("connect", self._reset)
        elif self._carrier is None:
            self.destroy(socketClosed())
        else:
            handle = self._carrier.handle
            if isinstance(handle, _socket.socket) and handle.family == _socket.AF_UNIX:
                raise NodeTypeError("This handle type cannot be sent", "ERR_INVALID_HANDLE_TYPE")
            self._reset()
        return self

    def _reset(self) -> None:
        self._resetting = True
        self.destroy()

    def _destroy(self, error: BaseException | None, callback: _Callback) -> None:
        self._hadError = error is not None and (self.connecting or self._carrier is not None)
        self.connecting = False
        if self._connecting is not None:
            way, self._connecting = self._connecting, None
            way.cancel()
        if self._idle is not None:
            self._stopIdle()
        self._earlyEnd = None
        if self._early is not None:
            early, self._early = self._early, None
            self._ticks.nextTick(early[1], _closedBeforeConnection())
        self._release(self._resetting)
        if self._forgetSignal is not None:
            forget, self._forgetSignal = self._forgetSignal, None
            forget()
        if self._countedBy is not None:
            self._countedBy._released()
        self._whenGone(partial(callback, error))

    def _closeArguments(self) -> tuple[Any, ...]:
        return (self._hadError,)

    # the carrier's owner

    def carrierData(self, data: bytes) -> None:
        """Bytes came."""
        if self._idle is not None:
            self._idle.touch()
        if self._onread is None:
            super().carrierData(data)
        elif not self._readInto(data) and self._carrier is not None:
            self._carrier.pause()

    # the option onread: data goes to a buffer of the application's, and there is no 'data'

    def _readInto(self, data: bytes) -> bool:
        """
        Fill the application's buffer and call it, until all is taken or it wants no more.

        @return: whether it wants more.
        """
        assert self._onread is not None
        buffer, callback = self._onread
        rest = memoryview(self._held + data)
        while rest and not self.destroyed and not self.isPaused():
            try:
                target = buffer() if callable(buffer) else buffer
                room = memoryview(target).cast("B")
                count = min(len(rest), len(room))
                if not count:
                    raise socketError(errno.ENOBUFS, "read")
                room[:count] = rest[:count]
                rest = rest[count:]
                wanted = callback(count, target)
            except Exception as error:
                self.destroy(error)
                break
            if wanted is False:
                self.pause()
        self._held = bytes(rest)
        return not self.isPaused()

    def _readHeld(self) -> None:
        if not self.destroyed and self._readInto(b""):
            self._read()

    def pause(self) -> Self:
        """Stop the 'data' events.  Data still comes into the buffer, up to its mark."""
        super().pause()
        if self._onread is not None and self._carrier is not None:
            self._carrier.pause()
        return self

    def resume(self) -> Self:
        """Let data flow: to the 'data' listeners, or if there are none, away."""
        super().resume()
        if self._onread is not None:
            self._ticks.nextTick(self._readHeld)
        return self

    # Duplex

    def _read(self) -> None:
        if self._carrier is None:
            self._readEarly = True
        else:
            super()._read()

    def _writeChecked(
        self, chunk: object, encoding: str | _Callback | None, cb: _Callback | None
    ) -> bool | NodeError:
        # A socket that may not stay half open was ended for the application, not by it.
        if self._writeState is WRITE_OPEN or self.allowHalfOpen or not self.readableEnded:
            return super()._writeChecked(chunk, encoding, cb)
        if callable(encoding):
            encoding, cb = None, encoding
        error = NodeError(
            "This socket has been ended by the other party", "EPIPE", blame=Blame.PEER
        )
        if cb is not None:
            self._ticks.nextTick(self._call, cb, error)
        self.destroy(error)
        return error

    def _write(self, chunk: Data, callback: _Callback) -> bool:
        if self._idle is not None:
            self._idle.touch()
        if self.connecting:
            kept = chunk if type(chunk) is bytes else bytes(chunk)
            self._early = (kept, callback)
            return False
        return super()._write(chunk, callback)

    def _final(self, callback: _Callback) -> None:
        if self.connecting:
            self._earlyEnd = callback
        else:
            super()._final(callback)

    # settings

    def setTimeout(self, msecs: float, callback: Callable[..., Any] | None = None) -> Self:
        """
        Emit 'timeout' when nothing was read or written for so long; that is all that happens.

        It comes once, and again after the next activity.

        @param msecs: milliseconds; 0: never.
        @param callback: listens to one 'timeout'; with 0, does not any more.
        @raise NodeError: C{ERR_INVALID_ARG_TYPE}, C{ERR_OUT_OF_RANGE}.
        """
        if self.destroyed:
            return self
        limit = duration(msecs)
        if callback is not None and not callable(callback):
            raise invalidArgType("callback", "of type function", callback)
        self.timeout = msecs
        self._stopIdle()
        if limit:
            reactor = self._ticks.reactor
            self._idle = IdleTimer(reactor, limit, self._idleTooLong)
        if callback is not None:
            if limit:
                self.once("timeout", callback)
            else:
                self.removeListener("timeout", callback)
        return self

    def _active(self) -> None:
        """Something was read or written, or the like: the idle time begins anew."""
        if self._idle is not None:
            self._idle.touch()

    def _idleTooLong(self) -> None:
        self._ticks.turn(self._emitTimeout)

    def _emitTimeout(self) -> None:
        queued = 0 if self._carrier is None else self._carrier.queued
        if queued != self._lastQueued and queued:  # the kernel takes it, if slowly
            self._lastQueued = queued
            self._active()
        else:
            self._fire("timeout")

    def _stopIdle(self) -> None:
        idle, self._idle = self._idle, None
        if idle is not None:
            idle.stop()

    def setNoDelay(self, noDelay: bool = True) -> Self:
        """Send small writes at once (TCP_NODELAY); before the connection, it is kept for then."""
        _, keepAlive, delay = self._tuning or (False, False, 0)
        self._tuning = (bool(noDelay), keepAlive, delay)
        if self._carrier is not None:
            self._carrier.setNoDelay(bool(noDelay))
        return self

    def setKeepAlive(self, enable: bool = False, initialDelay: float = 0) -> Self:
        """
        Switch TCP keep-alive; before the connection, it is kept for then.

        @param initialDelay: milliseconds of silence before the first probe; 0, and what is no
            number: as it is.
        """
        noDelay, _, _ = self._tuning or (False, False, 0)
        delay = keepAliveSeconds(initialDelay) if isNumber(initialDelay) else 0
        self._tuning = (noDelay, bool(enable), delay)
        if self._carrier is not None:
            self._carrier.setKeepAlive(*self._tuning[1:])
        return self

    def ref(self) -> Self:
        """Does nothing: a Twisted reactor runs until it is stopped."""
        return self

    def unref(self) -> Self:
        """Does nothing: a Twisted reactor runs until it is stopped."""
        return self


def connect(*arguments: Any, reactor: Any = None, **options: Any) -> Socket:
    """
    A new L{Socket}, connecting: the forms of C{Socket.connect}, with the options of both.

    Among them C{timeout}, which is C{setTimeout}.

    @raise NodeError: as C{Socket} and C{Socket.connect}.
    """
    given, callback = connectArguments(arguments, options)
    socket = Socket(given, reactor=reactor)
    if given.get("timeout"):
        socket.setTimeout(given["timeout"])
    return socket.connect(given) if callback is None else socket.connect(given, callback)


def _closedBeforeConnection() -> NodeError:
    return NodeError(
        "Socket closed before the connection was established",
        "ERR_SOCKET_CLOSED_BEFORE_CONNECTION",
        blame=Blame.LOCAL,
    )


def _checkedOnread(onread: Any) -> tuple[Any, Callable[..., Any]]:
    if not isinstance(onread, Mapping):
        raise invalidArgType("options.onread", "of type object", onread)
    buffer, callback = onread.get("buffer"), onread.get("callback")
    if not callable(callback):
        raise invalidArgType("options.onread.callback", "of type function", callback)
    if not callable(buffer) and not isinstance(buffer, (bytearray, memoryview)):
        raise invalidArgType("options.onread.buffer", "an instance of Buffer", buffer)
    return buffer, callback
