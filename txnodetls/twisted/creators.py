"""
Our TLS where Twisted takes what it calls a context factory.

    ClientCreator(options)      wrapClientTLS(creator, endpoint), transport.startTLS(creator) …
    ServerCreator(options)      SMTP's, IMAP's and AMP's STARTTLS, SSL4ServerEndpoint …

Twisted asks such an object for one C{OpenSSL.SSL.Connection} per TLS
connection, and moves the bytes itself (C{twisted.protocols.tls}).  What it is
given here is a L{SecuredConnection}: pyOpenSSL's methods, and behind them a
TLSSocket.  So the handshake, its checks, sessions and errors are those of
C{connect} and C{createServer}, while the transport stays Twisted's: that is
what makes this fit under any program that can be given a context factory.
C{transport.getHandle().tlsSocket} leads to Node's side of it.

An endpoint of ours (L{txnodetls.twisted.endpoints}) is the shorter way for
the bytes, and gives a transport of ours: it is to be preferred where there is
a choice.

Twisted calls in, and takes what there is; it does not wait to be called.  So
what happens outside of its calls (a context that C{SNICallback} looked up, an
answer of a session store) is told to it by C{dataReceived(b"")}, which makes it
look again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Self, cast

from OpenSSL import SSL
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
)
from zope.interface import implementer

from txnodetls.client import connect
from txnodetls.context import contextFrom
from txnodetls.errors import NodeError, missingArgs
from txnodetls.net.lookup import isIP
from txnodetls.net.socket import Socket
from txnodetls.openssl.views import ConnectionView
from txnodetls.options import CONNECT, SERVER, Options, encodeALPN, readOptions
from txnodetls.protocol.states import Receiving
from txnodetls.server import Server, ServerHandler
from txnodetls.streams.ticks import ticksFor
from txnodetls.transports.carrier import Address, Carrier, Data
from txnodetls.transports.plain import addressOf
from txnodetls.twisted.adapter import protocolsOf
from txnodetls.twisted.endpoints import reactorOr
from txnodetls.twisted.reporting import handshakeFailed
from txnodetls.twisted.upgrade import nameless

if TYPE_CHECKING:
    from twisted.protocols.tls import TLSMemoryBIOProtocol

    from txnodetls.socket import TLSSocket

__all__ = ["ClientCreator", "SecuredConnection", "ServerCreator", "TLSFailure"]

Begin = Callable[[Socket], "TLSSocket"]


class TLSFailure(SSL.Error):
    """
    The error of a connection as Twisted takes it: a kind of C{OpenSSL.SSL.Error}.

    @ivar code: Node's code, e.g. C{ERR_TLS_CERT_ALTNAME_INVALID}.
    @ivar __cause__: Node's error.
    """

    def __init__(self, cause: BaseException) -> None:
        # The form of OpenSSL's queue of errors, which Twisted looks into.
        super().__init__([("txnodetls", "", str(cause))])
        self.code: str | None = getattr(cause, "code", None)
        self.__cause__ = cause

    def __str__(self) -> str:
        return f"{self.code}: {self.__cause__}" if self.code else str(self.__cause__)


class _Creator:
    """What both have in common: a certificate, as AMP's C{StartTLS} takes it, they are, too."""

    _options: Options

    @property
    def tlsOptions(self) -> Options:
        """The options, with one context for all connections."""
        return self._options

    def options(self, *authorities: object) -> Self:
        """
        Part of what AMP asks of a certificate.

        @raise TypeError: there are authorities; the option C{ca} is where they belong.
        """
        if authorities:
            raise TypeError("name the authorities in the option ca, not in tls_verifyAuthorities")
        return self


@implementer(IOpenSSLClientConnectionCreator)
class ClientCreator(_Creator):
    """
    What C{wrapClientTLS}, and the C{startTLS} of a client's transport, take.

    @param options: those of C{connect}; C{host} or C{servername} says whom to expect, and
        a name in C{host} is sent as C{servername}.
    @param reactor: by default the global one.

    @raise NodeError: an option is wrong; C{ERR_MISSING_ARGS} where there is nothing to check
        the server's certificate against.
    """

    def __init__(self, options: Mapping[str, Any], *, reactor: Any = None) -> None:
        host = options.get("host")
        named = {"servername": host} if host and not isIP(host) else {}
        read = readOptions(CONNECT, {**named, **options})
        if nameless(read):
            raise missingArgs("options.servername", "options.host")
        self._options = read | {"secureContext": contextFrom(read)}
        self._reactor = reactor

    def clientConnectionForTLS(self, tlsProtocol: Any) -> Any:
        """One connection's TLS."""
        reactor = reactorOr(self._reactor)
        alpn = _asked(self._options, tlsProtocol)
        options = self._options if alpn is None else self._options | {"ALPNProtocols": alpn}

        def begin(below: Socket) -> TLSSocket:
            return connect(options | {"socket": below}, reactor=reactor)

        return SecuredConnection(tlsProtocol, reactor, begin)


@implementer(IOpenSSLServerConnectionCreator)
class ServerCreator(_Creator):
    """
    What a server's C{startTLS}, and all that takes a C{CertificateOptions} for a server, take.

    @param options: those of C{createServer}.
    @param reactor: by default the global one.
    @ivar tlsServer: the C{Server}: C{addContext}, C{setSecureContext}, events.

    @raise NodeError: an option is wrong: as C{createServer} raises it.
    """

    def __init__(self, options: Mapping[str, Any], *, reactor: Any = None) -> None:
        read = readOptions(SERVER, options)
        self._options = read | {"secureContext": contextFrom(read, isServer=True)}
        self._reactor = reactorOr(reactor)
        self.tlsServer = Server(self._options, reactor=self._reactor)
        self.tlsServer.on("tlsClientError", handshakeFailed)
        # One for each list of protocols that a factory has asked for.
        self._handlers: dict[bytes, ServerHandler] = {}

    def serverConnectionForTLS(self, tlsProtocol: Any) -> Any:
        """One connection's TLS."""
        alpn = _asked(self._options, tlsProtocol)
        if alpn is None:
            return SecuredConnection(tlsProtocol, self._reactor, self.tlsServer._newSocket)
        if alpn not in self._handlers:
            self._handlers[alpn] = ServerHandler(self.tlsServer, alpn)
        return SecuredConnection(tlsProtocol, self._reactor, self._handlers[alpn].newSocket)


def _asked(options: Options, tlsProtocol: Any) -> bytes | None:
    """The ALPN protocols of the application's factory; None where the options name some."""
    factory: IProtocolFactory | None = tlsProtocol.factory.wrappedFactory
    protocols = None if factory is None else protocolsOf(factory, options)
    return None if protocols is None else encodeALPN(protocols)


class _Below(Carrier):
    """The carrier of a connection whose bytes Twisted's TLS protocol moves."""

    __slots__ = ("_tlsProtocol",)

    def __init__(self, tlsProtocol: TLSMemoryBIOProtocol, reactor: Any) -> None:
        super().__init__(ticksFor(reactor))
        self._tlsProtocol = tlsProtocol

    def write(self, data: Data) -> None:
        """Give the bytes to the transport below."""
        if not self.closed:
            self.bytesWritten += len(data)
            self.transport.write(bytes(data))

    def end(self) -> None:
        """Nothing: when the transport below is to be closed, Twisted knows."""

    def close(self) -> None:
        """No more; Twisted closes the transport below."""
        if not self.closed:
            self._gone(None, self.ticks.nextTick)

    def abort(self, reset: bool = False) -> None:
        """No more; Twisted closes the transport below."""
        self.close()

    def pause(self) -> None:
        """Nothing: the protocol above pauses the transport below by itself."""

    def resume(self) -> None:
        """Nothing."""

    @property
    def transport(self) -> Any:
        """The transport below."""
        return cast(Any, self._tlsProtocol).transport

    @property
    def localAddress(self) -> Address:
        """The own address."""
        return addressOf(self.transport.getHost())

    @property
    def remoteAddress(self) -> Address:
        """The peer's address."""
        return addressOf(self.transport.getPeer())


class _State(Enum):
    NEW = "new"
    HANDSHAKE = "handshake"
    OPEN = "open"
    ENDED = "ended"  # the peer sent a close_notify
    LOST = "lost"  # the bytes ended without one, or the socket was destroyed here
    FAILED = "failed"


_ALIVE = frozenset({_State.HANDSHAKE, _State.OPEN})


class SecuredConnection(ConnectionView):
    """
    What Twisted's TLS protocol takes for a C{OpenSSL.SSL.Connection}.

    @param tlsProtocol: Twisted's C{TLSMemoryBIOProtocol}.
    @param begin: makes the TLSSocket over a plain socket.
    @ivar tlsSocket: the TLSSocket, once the handshake has begun.
    """

    def __init__(self, tlsProtocol: TLSMemoryBIOProtocol, reactor: Any, begin: Begin) -> None:
        super().__init__(self._engineConnection)
        self.tlsSocket: TLSSocket | None = None
        self._tlsProtocol = tlsProtocol
        self._reactor = reactor
        self._begin = begin
        self._ticks = ticksFor(reactor)
        self._carrier: _Below | None = None
        self._state = _State.NEW
        self._error: SSL.Error | None = None
        self._secure = False  # the handshake is done, whatever came after
        self._received = bytearray()
        self._called = False  # Twisted is calling, and looks for itself afterwards

    # -- what Twisted calls, by pyOpenSSL's names

    def set_connect_state(self) -> None:
        """Part of the interface: the role is known."""

    def set_accept_state(self) -> None:
        """Part of the interface: the role is known."""

    def set_app_data(self, data: object) -> None:
        """Part of the interface: nobody asks for it."""

    def do_handshake(self) -> None:
        """
        Go on with the handshake.

        @raise SSL.WantReadError: it is not done.
        @raise TLSFailure: it failed.
        """
        if self._state is _State.NEW:
            self._call(self._start)
        if not self._secure:
            self._raise()

    def bio_write(self, buf: bytes | bytearray | memoryview) -> int:
        """Ciphertext came."""
        if buf:
            self._call(self._feed, bytes(buf))
        return len(buf)

    def bio_read(self, bufsiz: int) -> bytes:
        """
        Ciphertext to be sent: none, as it goes to the transport at once.

        @raise SSL.WantReadError: always.
        """
        raise SSL.WantReadError

    def bio_shutdown(self) -> None:
        """No more ciphertext will come."""
        self._call(self._hangUp)

    def recv(self, bufsiz: int, flags: int | None = None) -> bytes:
        """
        Data of the peer.

        @raise SSL.WantReadError: there is none now.
        @raise SSL.ZeroReturnError: the peer has ended.
        @raise SSL.SysCallError: the bytes ended without the peer's goodbye.
        @raise TLSFailure: the connection has failed.
        """
        if not self._received:
            self._raise()
        data = bytes(self._received[:bufsiz])
        del self._received[:bufsiz]
        return data

    def send(self, buf: bytes | bytearray | memoryview, flags: int = 0) -> int:
        """
        Send data.

        @raise SSL.WantReadError: the handshake is not done.
        """
        if self._state in (_State.NEW, _State.HANDSHAKE):
            raise SSL.WantReadError
        socket = self.tlsSocket
        if socket is None or not socket.writable:
            self._raise()
        else:
            self._call(socket.write, bytes(buf))
        return len(buf)

    def shutdown(self) -> bool:
        """End our side; whether the peer's has ended, too."""
        socket = self.tlsSocket
        if socket is not None and not socket.destroyed:
            early = self._state is _State.HANDSHAKE
            self._call(socket.destroy if early else socket.end)
        return self._state is _State.ENDED

    def _engineConnection(self) -> SSL.Connection | None:
        """What answers the rest of pyOpenSSL's questions."""
        engine = None if self.tlsSocket is None else self.tlsSocket._engine
        return None if engine is None else engine.driver.connection

    # -- within a turn

    def _call(self, function: Callable[..., object], *arguments: Any) -> None:
        before, self._called = self._called, True
        try:
            self._ticks.turn(function, *arguments)
        finally:
            self._called = before

    def _start(self) -> None:
        self._state = _State.HANDSHAKE
        self._carrier = _Below(self._tlsProtocol, self._reactor)
        below = Socket(reactor=self._reactor)
        below._adopt(self._carrier)
        try:
            socket = self.tlsSocket = self._begin(below)
        except Exception as error:
            self._fail(error)
            return
        socket.on("error", self._fail)
        socket.on("data", self._data)
        socket.on("end", self._ended)
        socket.on("close", self._closed)
        # Before 'secure' is told, 'data' cannot come.
        socket.once("secure", self._secured)

    def _feed(self, data: bytes) -> None:
        carrier = self._carrier
        if carrier is not None and not carrier.closed:
            carrier.bytesRead += len(data)
            carrier.owner.carrierData(data)

    def _hangUp(self) -> None:
        carrier = self._carrier
        if carrier is not None and not carrier.closed:
            carrier.owner.carrierEnd()
            carrier.abort()
            self._lookAhead()
            if self._state in _ALIVE:
                self._state = _State.LOST

    # -- the socket's events

    def _secured(self) -> None:
        self._secure = True
        self._become(_State.OPEN)

    def _data(self, data: bytes) -> None:
        self._received += data
        self._tell()

    def _ended(self) -> None:
        engine = None if self.tlsSocket is None else self.tlsSocket._engine
        clean = engine is not None and engine.receiving is Receiving.ENDED
        if self._state is _State.OPEN:
            self._become(_State.ENDED if clean else _State.LOST)

    def _fail(self, error: BaseException) -> None:
        if self._state in _ALIVE:
            self._error = TLSFailure(error)
            self._become(_State.FAILED)

    def _lookAhead(self) -> None:
        """Take note of an error that the socket has, but has not told yet: that takes a turn."""
        error = None if self.tlsSocket is None else self.tlsSocket.errored
        if error is not None and self._state in _ALIVE:
            self._error = TLSFailure(error)
            self._state = _State.FAILED

    def _closed(self, hadError: bool) -> None:
        refused = None if self.tlsSocket is None else self.tlsSocket.authorizationError
        if self._state is _State.HANDSHAKE and refused is not None:
            # A server's socket does not say why it refused the client's certificate.
            self._fail(NodeError("the peer's certificate is not authorized", refused))
        elif self._state in _ALIVE:
            self._become(_State.LOST)

    def _become(self, state: _State) -> None:
        self._state = state
        self._tell()

    def _tell(self) -> None:
        """Make Twisted look, unless it is about to."""
        if not self._called and self._tlsProtocol.connected:
            self._tlsProtocol.dataReceived(b"")

    def _raise(self) -> None:
        """
        Why there is nothing to be had.

        @raise SSL.Error: always.
        """
        self._lookAhead()
        if self._error is not None:
            raise self._error
        if self._state is _State.ENDED:
            raise SSL.ZeroReturnError
        if self._state is _State.LOST:
            raise SSL.SysCallError(-1, "Unexpected EOF")
        raise SSL.WantReadError
