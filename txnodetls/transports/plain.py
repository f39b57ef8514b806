"""
A carrier over any Twisted transport: the way that fits everywhere.

L{TransportCarrier} is a protocol.  It serves reactors without descriptors of their own
(C{IReactorTCP} of IOCP, of tests), connections that an endpoint made, and STARTTLS on a
transport whose protocol it takes the place of.

What Twisted's transports do not tell, and what is made of it:

- How much waits in them.  They only ask a producer to pause when there is too much, and to
  resume when there is none.  So C{queued} is 0 until we are asked to pause, and then counts
  what is written until we are asked to resume.
- Whether one side can be ended alone.  C{loseWriteConnection} is there or it is not; where it
  is not, C{end()} is C{close()}.  And while its producer is paused, a TCP transport of Twisted's
  forgets that it was asked for; so it is asked when the producer has been resumed.
- What was written last is not sent yet when C{write} returns, and C{abortConnection} throws
  it away (and sends RST).  But what a socket writes last before it is destroyed, a TLS alert
  above all, is to arrive.  So C{abort()} lets the transport close in its own way, and aborts it
  only when that takes too long or when the transport was full already.
- The number of an error.  C{ConnectionLost} is told as C{ECONNRESET}, with Twisted's exception
  as its C{__cause__}.
"""

from __future__ import annotations

import socket
import struct
from enum import Enum
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionAborted, ConnectionClosed, ConnectionDone
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    ILoggingContext,
    IProcessTransport,
    IProtocol,
    IPushProducer,
)
from twisted.protocols.policies import ProtocolWrapper
from zope.interface import implementer

from txnodetls.errors import NodeError
from txnodetls.streams.ticks import ticksFor
from txnodetls.transports.carrier import Address, Carrier, Data, brokenConnection

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

__all__ = ["TransportCarrier", "addressOf", "takeOver"]

_PATIENCE = 5.0  # seconds that a transport has to send its last bytes after abort()
_RESET = struct.pack("ii", 1, 0)


class _Sending(Enum):
    OPEN = "open"
    ENDING = "ending"  # half closed as soon as the transport has room
    ENDED = "ended"  # half closed
    LEAVING = "leaving"  # closing: the last bytes are to go, nothing is delivered
    GONE = "gone"  # nothing goes any more, or nobody waits for it


_CLOSING = (_Sending.LEAVING, _Sending.GONE)


@implementer(IProtocol, IHalfCloseableProtocol, IPushProducer, ILoggingContext)
class TransportCarrier(Carrier):
    """
    A carrier that is a protocol.

    @param reactor: whose ticks the owner is called in.
    @param connected: called once with this carrier, inside a turn, when it has its transport.
        It has to C{attach} an owner, or what comes is lost.
    """

    __slots__ = (
        "__weakref__",
        "_connected",
        "_ended",
        "_flowing",
        "_parted",
        "_peer",
        "_pushedBack",
        "_reactor",
        "_registered",
        "_sending",
        "_timer",
        "_transport",
    )

    def __init__(
        self, reactor: Any, connected: Callable[[TransportCarrier], object] | None = None
    ) -> None:
        super().__init__(ticksFor(reactor))
        self._reactor = reactor
        self._connected = connected
        self._transport: Any = None
        self._peer: Address | None = None
        self._timer: Any = None  # runs while the last bytes are to go
        self._parted: list[Callable[[], object]] = []  # who is told when it is gone
        self._sending = _Sending.OPEN
        self._flowing = False
        self._ended = False  # the peer's side
        self._registered = False  # as the transport's producer
        self._pushedBack = False  # the transport asked us to stop writing

    # IProtocol, IHalfCloseableProtocol, ILoggingContext

    def logPrefix(self) -> str:
        """For the reactor's log."""
        return "txnodetls"

    def makeConnection(self, transport: Any) -> None:
        """The transport is there."""
        self._transport = transport
        self._call("pauseProducing")
        self._register()
        self.ticks.turn(self._ready)

    def _register(self) -> None:
        if not hasattr(self._transport, "registerProducer"):
            return
        try:
            self._transport.registerProducer(self, True)
        except RuntimeError:  # the former protocol's is still there
            self._transport.unregisterProducer()
            self._transport.registerProducer(self, True)
        self._registered = True

    def _unregister(self) -> None:
        if self._registered:
            self._registered = False
            self._transport.unregisterProducer()

    def connectionMade(self) -> None:
        """Part of IProtocol; all is done in L{makeConnection}."""

    def _ready(self) -> None:
        connected, self._connected = self._connected, None
        if connected is not None:
            connected(self)

    def dataReceived(self, data: bytes) -> None:
        """Bytes came."""
        self.ticks.turn(self._deliver, data)

    def _deliver(self, data: bytes) -> None:
        if self.closed or self._sending in _CLOSING:
            return
        self.bytesRead += len(data)
        try:
            self.owner.carrierData(data)
        except BaseException:
            self.abort()  # the bytes are lost, so nothing that follows could be understood
            raise

    def readConnectionLost(self) -> None:
        """The peer ended its side."""
        self.ticks.turn(self._end)

    def writeConnectionLost(self) -> None:
        """Our own half-close is done; the owner does not wait for it."""

    def _end(self) -> None:
        if not (self._ended or self.closed or self._sending in _CLOSING):
            self._ended = True
            self.owner.carrierEnd()

    def connectionLost(self, reason: Failure) -> None:
        """The transport is gone."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self.ticks.turn(self._lost, reason)
        self.ticks.turn(self._part)

    def _lost(self, reason: Failure) -> None:
        leaving = self._sending in _CLOSING
        error = None if leaving else _errorOf(reason)
        endIsNews = error is None and not (leaving or self._ended or self.closed)
        self.closed = True  # for what the owner calls from here on
        if endIsNews:
            # A transport without half-close tells of the peer's end only so.
            self.owner.carrierEnd()
        self._gone(error, self.ticks.turn)

    # IPushProducer: the transport tells how full it is

    def pauseProducing(self) -> None:
        """The transport has too much to send."""
        self._pushedBack = True

    def resumeProducing(self) -> None:
        """The transport has sent what it had."""
        self._pushedBack = False
        if self._sending is _Sending.ENDING:
            self._halfClose()
        if self.queued:
            self.queued = 0
            self.ticks.turn(self._drained)

    def stopProducing(self) -> None:
        """The transport will send nothing more; C{connectionLost} follows."""
        self._pushedBack = False

    def _drained(self) -> None:
        if not self.closed:
            self.owner.carrierDrained()

    # what the owner asks

    def write(self, data: Data) -> None:
        """Give C{data} to the transport."""
        if self._sending is not _Sending.OPEN or self.closed:
            return
        length = len(data)
        self.bytesWritten += length
        self._transport.write(data if type(data) is bytes else bytes(data))
        if self._pushedBack:
            self.queued += length

    def end(self) -> None:
        """End our side, or close where the transport cannot do that."""
        if self._sending is not _Sending.OPEN or self.closed:
            return
        if self._endOfWriting() is None:
            self.close()
        elif self._pushedBack:
            self._sending = _Sending.ENDING
        else:
            self._halfClose()

    def _halfClose(self) -> None:
        self._sending = _Sending.ENDED
        ending = self._endOfWriting()
        if ending is not None:
            ending()

    def _endOfWriting(self) -> Callable[[], object] | None:
        """What ends our side alone; of a process, its standard input."""
        ending: Callable[[], object] | None
        ending = getattr(self._transport, "loseWriteConnection", None)
        return getattr(self._transport, "closeStdin", None) if ending is None else ending

    def close(self) -> None:
        """Close after what is queued."""
        if not self.closed:
            self._leave()

    def abort(self, reset: bool = False) -> None:
        """Close now; the transport may take a moment longer to send its last bytes."""
        if self.closed:
            return
        if reset or self._pushedBack:
            self._cut(reset)
        else:
            self._leave()
            if not self.closed:
                self._timer = self._reactor.callLater(_PATIENCE, self._partingEnds)
        self._gone(None, self.ticks.nextTick)

    def _leave(self) -> None:
        if self._sending in _CLOSING:
            return
        self._sending = _Sending.LEAVING
        self._unregister()
        self._call("resumeProducing")  # a TLS layer waits for the peer's close_notify
        self._transport.loseConnection()

    def afterParting(self, function: Callable[[], object]) -> None:
        """Call C{function} when the transport has sent its last bytes, or its time is over."""
        if self._sending is _Sending.LEAVING:
            self._parted.append(function)
        else:
            function()

    def _partingEnds(self) -> None:
        self._cut(False)
        self.ticks.turn(self._part)

    def _part(self) -> None:
        self._timer = None
        self._sending = _Sending.GONE
        parted, self._parted = self._parted, []
        for function in parted:
            function()

    def _cut(self, reset: bool) -> None:
        self._sending = _Sending.GONE
        self._unregister()
        if reset and isinstance(self.handle, socket.socket):
            self.handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        if not self._call("abortConnection"):
            self._transport.loseConnection()

    def pause(self) -> None:
        """Ask the transport to stop reading; what it has read already may still come."""
        if self._flowing:
            self._flowing = False
            self._call("pauseProducing")

    def resume(self) -> None:
        """Start, or restart, reading."""
        if not self._flowing and not self.closed and self._sending not in _CLOSING:
            self._flowing = True
            self._call("resumeProducing")

    def setNoDelay(self, enabled: bool) -> None:
        """Switch TCP_NODELAY, if the transport is one of TCP."""
        if not self.closed:
            self._call("setTcpNoDelay", enabled)

    def setKeepAlive(self, enabled: bool, delay: int) -> None:
        """Switch SO_KEEPALIVE, if the transport is one of TCP; the delay is the system's."""
        if not self.closed:
            self._call("setTcpKeepAlive", enabled)

    @property
    def localAddress(self) -> Address:
        """The own address, where the transport has one of IP."""
        return {} if self.closed else self._address("getHost")

    @property
    def remoteAddress(self) -> Address:
        """The peer's address, where the transport has one of IP."""
        if self._peer is None:
            if self.closed:
                return {}
            self._peer = self._address("getPeer")
        return self._peer

    @property
    def handle(self) -> Any:
        """What the transport gives as its handle."""
        getHandle = getattr(self._transport, "getHandle", None)
        return None if getHandle is None or self.closed else getHandle()

    @property
    def transport(self) -> Any:
        """The transport."""
        return self._transport

    def _address(self, name: str) -> Address:
        try:
            return addressOf(self._call(name))
        except NotImplementedError:  # that of a process
            return {}

    def _call(self, name: str, *arguments: object) -> Any:
        """
        Call a method of the transport that not every transport has.

        @return: what it returned, or True for None; None if there is no such method.
        """
        method = getattr(self._transport, name, None)
        if method is None:
            return None
        result = method(*arguments)
        return True if result is None else result


def takeOver(transport: Any, reactor: Any = None) -> TransportCarrier:
    """
    A carrier in the place of the protocol that C{transport} has now (STARTTLS).

    It is paused and has no owner.  The former protocol hears nothing more, the end of the
    connection included, and a producer that it registered is let go.  Works for Twisted's own
    transports, those under C{startTLS} too, for those of a C{ProcessEndpoint}, and for the wrappers
    of C{twisted.protocols}.

    @param reactor: by default the transport's own, or else the global one.
    """
    if reactor is None:
        reactor = getattr(transport, "reactor", None)
    if reactor is None:
        from twisted.internet import reactor
    carrier = TransportCarrier(reactor)
    layer = transport
    if getattr(transport, "TLS", False) and isinstance(transport.protocol, ProtocolWrapper):
        layer = transport.protocol
    # What stands between a process and an IProtocol.
    process: Any = getattr(getattr(layer, "_process", layer), "proto", None)
    if isinstance(layer, ProtocolWrapper):
        layer.wrappedProtocol = carrier
    elif IProcessTransport.providedBy(layer) and hasattr(process, "protocol"):
        process.protocol = carrier
    else:
        layer.protocol = carrier
    carrier.makeConnection(transport)
    return carrier


def addressOf(address: Any) -> Address:
    """Node's form of an address of Twisted's; empty for what is not TCP."""
    kind = getattr(address, "type", None)
    if kind != "TCP" or not hasattr(address, "port"):
        return {}
    family = "IPv6" if ":" in address.host else "IPv4"
    return {"address": address.host, "family": family, "port": address.port}


def _errorOf(reason: Failure) -> Exception | None:
    if reason.check(ConnectionDone, ConnectionAborted):
        return None
    cause = reason.value
    if not reason.check(ConnectionClosed) and isinstance(cause, NodeError):
        return cause
    error = brokenConnection(getattr(cause, "osError", None), "read")
    error.__cause__ = cause
    return error
