"""
The Twisted transport of a TLS connection.

A connection has two faces and one state.  The state is the TLSSocket's; the
transport here holds none of it and translates verbs:

    write, writeSequence            write(): queued, sent with the rest of this turn
    loseWriteConnection             end(): close_notify after what is queued
    loseConnection, stopProducing   destroySoon(): flush, close_notify, close
    abortConnection                 destroy()
    pauseProducing, resumeProducing pause(), resume()
    the producer's pauseProducing   write() that returned False
    the producer's resumeProducing  'drain'

Three rules of Twisted's that Node does not know are kept here:

 - what is written after loseConnection or loseWriteConnection is dropped
   without a word (Node makes it an error event);
 - both of them wait while a producer is registered, and meanwhile what the
   producer writes still goes out;
 - a producer is told stopProducing when the connection is gone.

Addresses are read once, when the transport is made, because Twisted programs
ask for them after the connection was lost, and Node's socket has forgotten
them by then; they are put in Twisted's form when somebody asks.

Source: twisted.internet.interfaces; https://nodejs.org/api/tls.html
"""

from __future__ import annotations

import enum
import os
import socket
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from OpenSSL import crypto
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    INegotiated,
    IProtocol,
    IPullProducer,
    IPushProducer,
    ITLSTransport,
)
from twisted.logger import Logger
from zope.interface import implementer

from txnodetls.net.socket import Socket
from txnodetls.socket import TLSSocket
from txnodetls.streams.ticks import ticksFor

__all__ = ["SocketTransport", "TLSTransport", "addressOf"]

log = Logger()


class Owner(Protocol):
    """Who drives a protocol from a transport: the adapter."""

    protocol: IProtocol

    def aborting(self) -> None:
        """The transport's abortConnection was called."""

    def startTLS(self, contextFactory: Any, normal: bool) -> None:
        """Put a TLS connection on top of the present one."""


class Sending(enum.IntEnum):
    """How far the sending half is, as Twisted's caller has asked for it."""

    OPEN = 0
    ENDING = 1  # loseWriteConnection was called; a producer is still at work
    CLOSING = 2  # loseConnection was called; a producer is still at work
    ENDED = 3  # close_notify is on its way; the peer may go on
    CLOSED = 4  # closing or closed in both directions


# In these states a registered producer's writes, and only these, go out.
_WAITING = frozenset({Sending.ENDING, Sending.CLOSING})


def addressOf(address: Mapping[str, Any] | str | None) -> IAddress:
    """
    Twisted's form of an address in Node's.

    @param address: C{{'address', 'family', 'port'}}; the path of a UNIX socket; nothing for a
        UNIX socket without a name.
    """
    if not address:
        return UNIXAddress(None)
    if isinstance(address, str):
        return UNIXAddress(os.fsencode(address))
    kind = IPv6Address if address["family"] == "IPv6" else IPv4Address
    return kind("TCP", address["address"], address["port"])


class _Pull:
    """
    Drives a pull producer: asks for one piece per reactor turn until the queue
    is full, and goes on when it has drained.
    """

    __slots__ = ("_asked", "_producer", "_transport")

    def __init__(self, producer: IPullProducer, transport: SocketTransport) -> None:
        self._producer = producer
        self._transport = transport
        self._asked = False

    def resumeProducing(self) -> None:
        if not self._asked:
            self._asked = True
            ticksFor(self._transport.reactor).immediate(self._ask)

    def pauseProducing(self) -> None:
        """Nothing to do: whoever is asked once answers once."""

    def stopProducing(self) -> None:
        self._producer.stopProducing()

    def _ask(self) -> None:
        self._asked = False
        transport = self._transport
        if transport._producer is not self or transport._paused:
            return
        try:
            self._producer.resumeProducing()
        except Exception:
            log.failure("a pull producer failed: {producer}", producer=self._producer)
            transport.abortConnection()
            return
        if transport._producer is self and not transport._paused:
            self.resumeProducing()


@implementer(ITLSTransport, IConsumer, IPushProducer)
class SocketTransport:
    """
    ITCPTransport, IConsumer and IPushProducer of one socket, and what leads on to TLS.

    By itself it is the transport of a connection without TLS.  After C{startTLS} it is a
    L{TLSTransport}: the same object, with more interfaces.
    """

    __slots__ = (
        "__weakref__",
        "_host",
        "_owner",
        "_paused",
        "_peer",
        "_producer",
        "_sending",
        "_socket",
    )

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._sending = Sending.OPEN
        self._producer: IPushProducer | _Pull | None = None
        self._paused = False
        self._owner: Owner | None = None
        self._peer = socket._remote
        self._host = socket._local

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._sending.name.lower()} on {self._socket!r}>"

    @property
    def reactor(self) -> Any:
        """The reactor that the connection lives on."""
        return self._socket._ticks.reactor

    # -- ITransport

    def write(self, data: bytes) -> None:
        """
        Send data; nothing once the sending half is closed.

        A streaming producer is paused when more is queued than the socket's
        C{writableHighWaterMark}.

        @raise TypeError: data is not bytes-like.
        """
        if self._sending and (self._producer is None or self._sending not in _WAITING):
            return
        if isinstance(data, str):
            raise TypeError("data must be bytes, not str")
        stream = self._socket
        if stream._life or stream._writeState:  # it is not writable
            return
        # What has gone at once is not queued, however much it was.
        if (
            not stream.write(data)
            and self._producer is not None
            and not self._paused
            and stream._writeLength
        ):
            self._paused = True
            self._producer.pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """The same as one write of all of them."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """
        Flush, send close_notify, close; without waiting long for the peer's.

        With a producer registered all this happens once it is unregistered.
        """
        if self._sending in (Sending.CLOSING, Sending.CLOSED):
            return
        if self._producer is not None and self._sending is not Sending.ENDED:
            self._sending = Sending.CLOSING
            return
        self._sending = Sending.CLOSED
        self._socket.destroySoon()

    def getPeer(self) -> Any:
        """The peer's address, also after the connection is gone."""
        return addressOf(self._peer)

    def getHost(self) -> Any:
        """The own address, also after the connection is gone."""
        return addressOf(self._host)

    # -- ITCPTransport

    def loseWriteConnection(self) -> None:
        """
        Send close_notify after what is queued and go on receiving.

        With a producer registered it happens once that is unregistered.  The
        protocol's C{writeConnectionLost} follows, if it is an
        IHalfCloseableProtocol; if not, the connection closes when the peer
        has ended its side too.
        """
        if self._sending is not Sending.OPEN:
            return
        if self._producer is not None:
            self._sending = Sending.ENDING
            return
        self._sending = Sending.ENDED
        self._socket.end()

    def abortConnection(self) -> None:
        """
        Close at once; what is queued is lost.

        The peer can tell that from an end: without TLS there is a RST (not over a UNIX socket,
        which has none), with TLS no close_notify.
        """
        self._sending = Sending.CLOSED
        if self._owner is not None:
            self._owner.aborting()
        self._cut()

    def _cut(self) -> None:
        self._socket._reset()

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Switch Nagle's algorithm off (True) or on."""
        self._socket.setNoDelay(bool(enabled))

    def getTcpNoDelay(self) -> bool:
        """Whether Nagle's algorithm is off."""
        return self._isSet(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Switch TCP's keep-alive probes on or off."""
        self._socket.setKeepAlive(bool(enabled))

    def getTcpKeepAlive(self) -> bool:
        """Whether TCP's keep-alive probes are on."""
        return self._isSet(socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    def _isSet(self, level: int, name: int) -> bool:
        carrier = self._socket._carrier
        handle = None if carrier is None else carrier.handle
        return isinstance(handle, socket.socket) and bool(handle.getsockopt(level, name))

    # -- ITLSTransport

    def startTLS(self, contextFactory: Any, normal: bool = True) -> None:
        """
        Go over to TLS on this connection (STARTTLS), or start one more TLS connection inside of
        it, in this protocol's place.

        The protocol stays connected to this transport, which has a C{tlsSocket} then.  A
        protocol that is an IHandshakeListener hears of the handshake; what is written
        meanwhile is kept.

        @param contextFactory: a L{ServerCreator} or L{ClientCreator}, which serve any number of
            connections; an ISecureContext; or a mapping of Node's options.  A client's has to
            say whom to expect, unless the connection was made to a host's name.
        @param normal: False makes the connection's client the server.

        @raise TypeError: contextFactory is none of these, e.g. one of Twisted's own.
        @raise RuntimeError: no protocol is connected to this transport, or a producer is.
        @raise NodeError: an option is wrong; C{ERR_MISSING_ARGS} where a client has nothing to
            check the server's certificate against.
        """
        if self._owner is None:
            raise RuntimeError("startTLS needs a protocol that is connected to this transport")
        if self._producer is not None:
            raise RuntimeError("startTLS cannot be called while a producer is registered")
        self._owner.startTLS(contextFactory, normal)
        self.__class__ = TLSTransport

    # -- IConsumer

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Let a producer feed this connection.

        @param streaming: True: an IPushProducer, paused and resumed; False: an IPullProducer,
            asked for one piece at a time.

        @raise RuntimeError: one is registered already.
        """
        if self._producer is not None:
            raise RuntimeError(
                f"Cannot register producer {producer!r}: {self._producer!r} is still registered"
            )
        stream = self._socket
        if stream.destroyed:
            producer.stopProducing()
            return
        self._producer = producer if streaming else _Pull(producer, self)
        self._paused = False
        stream.on("drain", self._drained)
        stream.on("close", self._closed)
        if stream.writableNeedDrain:
            self._paused = True
            self._producer.pauseProducing()
        elif not streaming:
            self._producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """The producer has no more; what was asked for meanwhile (see loseConnection) begins."""
        if self._producer is None:
            return
        self._forgetProducer()
        if self._sending is Sending.ENDING:
            self._sending = Sending.OPEN
            self.loseWriteConnection()
        elif self._sending is Sending.CLOSING:
            self._sending = Sending.OPEN
            self.loseConnection()

    # -- IPushProducer

    def pauseProducing(self) -> None:
        """Deliver nothing until C{resumeProducing}; the peer is slowed by TCP."""
        self._socket.pause()

    def resumeProducing(self) -> None:
        """Deliver again."""
        self._socket.resume()

    def stopProducing(self) -> None:
        """Whoever consumed what is received here wants no more: C{loseConnection}."""
        self.loseConnection()

    # -- what Twisted's own transports have besides

    @property
    def connected(self) -> bool:
        """Whether the connection is open."""
        return not self._socket.destroyed

    @property
    def disconnecting(self) -> bool:
        """Whether C{loseConnection} or C{abortConnection} was called."""
        return self._sending in (Sending.CLOSING, Sending.CLOSED)

    @property
    def protocol(self) -> IProtocol | None:
        """
        The protocol that hears of this connection; None without one.

        Assign another one to hand the connection over; it is not connected by that:
        call its C{makeConnection}.
        """
        return None if self._owner is None else self._owner.protocol

    @protocol.setter
    def protocol(self, protocol: IProtocol) -> None:
        if self._owner is None:
            raise RuntimeError("no protocol is connected to this transport")
        self._owner.protocol = protocol

    # -- the connection's events

    def _gone(self) -> None:
        """The connection is gone, and whoever drove a protocol from here is done."""
        self._owner = None

    def _drained(self) -> None:
        if self._paused and self._producer is not None:
            self._paused = False
            self._producer.resumeProducing()

    def _closed(self, hadError: bool) -> None:
        producer = self._producer
        if producer is not None:
            self._forgetProducer()
            producer.stopProducing()

    def _forgetProducer(self) -> None:
        self._producer = None
        self._paused = False
        self._socket.removeListener("drain", self._drained)
        self._socket.removeListener("close", self._closed)


@implementer(INegotiated)
class TLSTransport(SocketTransport):
    """
    The transport of one TLSSocket: besides the above, ISSLTransport and INegotiated.

    There is one per connection: C{socket.transport}, made when it is first asked
    for.  Both faces of a connection may be used side by side.
    """

    __slots__ = ()

    _socket: TLSSocket

    def _gone(self) -> None:
        super()._gone()
        # Each knows the other: else only the garbage collector would free them.
        self._socket._transport = None

    def _cut(self) -> None:
        self._socket.destroy()

    @property
    def tlsSocket(self) -> TLSSocket:
        """The TLSSocket: the way back to Node's API."""
        return self._socket

    def getPeerCertificate(self) -> crypto.X509 | None:
        """The peer's certificate as pyOpenSSL's X509, or None if it sent none."""
        certificate = self.tlsSocket.getPeerCertificate()
        if not certificate:
            return None
        return crypto.load_certificate(crypto.FILETYPE_ASN1, certificate["raw"])

    def getHandle(self) -> Any:
        """
        pyOpenSSL's Connection, for C{twisted.internet.ssl.Certificate.peerFromTransport}.

        It is for looking only: to read, write or shut down by it breaks the connection.
        """
        engine = self.tlsSocket._engine
        return None if engine is None else engine.driver.connection

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """The protocol that ALPN settled, or None."""
        protocol = self.tlsSocket.alpnProtocol
        return protocol.encode("latin-1") if isinstance(protocol, str) else None


# What there is to import for it is imported.
TLSSocket.transportFactory = TLSTransport
