"""
Endpoints: TLS as Node's options describe it, for anything in Twisted that takes an endpoint.

    ServerEndpoint(reactor, options, port=8443)           a TLS server
    ClientEndpoint(reactor, "example.com", 443, options)  a TLS client
    wrapServer(endpoint, options)                         the same over any other
    wrapClient(endpoint, options)                         endpoint

As strings they are C{nodetls:…}, see L{txnodetls.twisted.strings}.

Options are checked, and the one secure context of all connections is made,
when the endpoint is made: what is wrong with a key is said there, before
anything listens or connects.

A client endpoint sends the host's name as C{servername}, and an IP address
never: like Node's C{https}, and unlike its C{tls.connect}.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import (
    CannotListenError,
    ConnectError,
    ConnectingCancelledError,
    DNSLookupError,
    errnoMapping,
)
from twisted.internet.error import TimeoutError as ConnectTimeoutError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    ILoggingContext,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txnodetls import pki
from txnodetls.client import connectAs
from txnodetls.context import contextFrom
from txnodetls.errors import NodeError, missingArgs
from txnodetls.net.lookup import isIP
from txnodetls.net.socket import Socket
from txnodetls.options import CONNECT, SERVER, Options, encodeALPN, readOptions
from txnodetls.server import Server
from txnodetls.socket import TLSSocket
from txnodetls.streams.emitter import Listeners
from txnodetls.streams.ticks import ticksFor
from txnodetls.transports.carrier import Carrier
from txnodetls.transports.listening import CarrierFactory
from txnodetls.twisted.adapter import ProtocolAdapter, protocolsOf
from txnodetls.twisted.reporting import escaped, handshakeFailed, joined
from txnodetls.twisted.transport import SocketTransport, addressOf
from txnodetls.twisted.upgrade import nameless

__all__ = [
    "ClientEndpoint",
    "NoProtocol",
    "ServerEndpoint",
    "connectFailure",
    "reactorOr",
    "wrapClient",
    "wrapServer",
]

log = Logger()

_NUMBERS = {name: number for number, name in errno.errorcode.items()}

SocketMade = Callable[[TLSSocket], object]

CONNECT_TIMEOUT = 30.0
"""Seconds that a client endpoint waits for connection and handshake together."""


class NoProtocol(Exception):
    """The factory gave no protocol for a connection."""


@implementer(IStreamServerEndpoint)
class ServerEndpoint:
    """
    Listens for TLS connections.

    @param reactor: the reactor.
    @param options: those of C{createServer}.
    @param where: those of C{server.listen}: C{port}, C{host}, C{path}, C{backlog},
        C{endpoint} …; as in Node, all addresses of the machine without a C{host}.

    @raise NodeError: an option is wrong: as C{createServer} raises it.
    """

    def __init__(
        self, reactor: Any, options: Mapping[str, Any] | None = None, **where: Any
    ) -> None:
        self._reactor = reactor
        self._where = where
        read = readOptions(SERVER, options or {})
        self._options = read | {"secureContext": contextFrom(read, isServer=True)}
        Server(self._options, reactor=reactor)  # what else is wrong is said now, too

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        Listen; C{protocolFactory} is asked for a protocol when a handshake is done.

        Where the options say nothing of ALPN, a factory that is an
        IProtocolNegotiationFactory does.

        @return: the port, whose C{tlsServer} is the C{Server}; or a C{CannotListenError}
            whose C{__cause__} is Node's error.
        """
        port = _Port(self._reactor, self._server(protocolFactory), self._where, protocolFactory)
        return port.start()

    def _server(self, factory: IProtocolFactory) -> Server:
        def secured(socket: TLSSocket) -> None:
            try:
                _adapt(socket, factory)
            except NoProtocol:
                socket.destroy()
            except Exception:
                log.failure("{factory} failed; its connection is closed", factory=factory)

        options = _negotiating(self._options, factory)
        server = Server(options, secured, reactor=self._reactor)
        server.on("tlsClientError", handshakeFailed)
        return server


def _negotiating(options: Options, factory: IProtocolFactory) -> Options:
    """The options with the protocols that the factory asks for, where they name none."""
    protocols = protocolsOf(factory, options)
    return options if protocols is None else options | {"ALPNProtocols": encodeALPN(protocols)}


def _adapt(socket: TLSSocket, factory: IProtocolFactory) -> IProtocol:
    """
    Connect one of the factory's protocols to a socket whose handshake is done.

    @raise NoProtocol: the factory has none for it.
    @raise Exception: what the factory or the protocol raised; the socket is destroyed.
    """
    transport: SocketTransport = socket.transport  # type: ignore[assignment]
    peer = transport.getPeer()
    try:
        protocol = factory.buildProtocol(peer)
    except Exception:
        socket.destroy()
        raise
    if protocol is None:
        raise NoProtocol(f"{factory!r} has no protocol for {peer}")
    ProtocolAdapter(socket, protocol, transport).start()
    return protocol


@implementer(IListeningPort)
class _Port:
    """
    A listening C{Server}, as Twisted knows ports.

    @ivar tlsServer: the server.
    """

    def __init__(
        self,
        reactor: Any,
        server: Server,
        where: Mapping[str, Any],
        factory: IProtocolFactory,
    ) -> None:
        self.tlsServer = server
        self._reactor = reactor
        self._where = where
        self._factory = factory
        self._address: IAddress | None = None

    def __repr__(self) -> str:
        return f"<nodetls port of {self._factory!r} on {self._address}>"

    def start(self) -> Deferred[IListeningPort]:
        """Listen; for an address there is no waiting, for a host's name there may be."""
        server = self.tlsServer
        started: Deferred[IListeningPort] = Deferred(self._abandoned)

        def listening() -> None:
            server.removeListener("error", failed)
            self._address = addressOf(server.address())
            log.info("{what} starting on {where}", what=self._what(), where=_shown(self._address))
            self._factory.doStart()
            started.callback(self)

        def failed(error: BaseException) -> None:
            server.removeListener("listening", listening)
            started.errback(self._cannotListen(error))

        server.once("listening", listening)
        server.once("error", failed)
        try:
            ticksFor(self._reactor).turn(server.listen, self._where)
        except NodeError:
            return fail()
        return started

    def _abandoned(self, started: Deferred[IListeningPort]) -> None:
        self.tlsServer.close()

    def _cannotListen(self, error: BaseException) -> Failure:
        where = self._where
        cannot = CannotListenError(
            where.get("host") or "any", where.get("port", where.get("path")), error
        )
        cannot.__cause__ = error
        return Failure(cannot)

    def _what(self) -> str:
        """The factory's name in the log, as Twisted's ports have it."""
        factory = self._factory
        prefix = factory.logPrefix() if ILoggingContext.providedBy(factory) else ""
        kind = "nodetls" if isinstance(self.tlsServer, Server) else "plain"
        return f"{prefix or type(factory).__name__} ({kind})"

    def startListening(self) -> None:
        """Nothing to do: a port listens from the start."""

    def stopListening(self) -> Deferred[None]:
        """
        Accept no more; connections that are open go on.

        @return: fires when the port is closed.
        """
        stopped: Deferred[None] = Deferred()
        server = self.tlsServer
        if server.listening:
            server.close()
            log.info("{what} on {where} closed", what=self._what(), where=_shown(self._address))
            self._factory.doStop()
        server._portClosed.addBoth(lambda _: stopped.callback(None))
        return stopped

    def getHost(self) -> Any:
        """The address it listens on, or did."""
        return self._address


def _shown(address: Any) -> str:
    """An address in a line of the log."""
    if isinstance(address, UNIXAddress):
        return escaped(os.fsdecode(address.name or b""))
    return joined(address.host, address.port)


def connectFailure(error: BaseException) -> Failure:
    """
    The Failure of an attempt to connect.

    What kept TCP from being connected, or cut it off in the handshake, is one of Twisted's
    ConnectErrors, as programs expect, with Node's error as its C{__cause__}.  What TLS itself
    objected to (a certificate, a version …) is Node's error as it is.
    """
    code = getattr(error, "code", None)
    if not isinstance(error, NodeError) or code is None:
        return Failure(error)
    if getattr(error, "syscall", None) == "getaddrinfo":
        told: Exception = DNSLookupError(str(error))
    elif code in _NUMBERS:
        told = errnoMapping.get(_NUMBERS[code], ConnectError)(string=str(error))
    else:
        return Failure(error)
    told.__cause__ = error
    return Failure(told)


class _Client:
    """What both client endpoints have in common: options, checked, and one context for all."""

    def __init__(
        self,
        reactor: Any,
        options: Mapping[str, Any],
        host: str | None,
        timeout: float,
        socketMade: SocketMade | None,
    ) -> None:
        pki.importReaders()
        named = {"servername": host} if host and not isIP(host) else {}
        read = readOptions(CONNECT, {**named, **options})
        self._reactor = reactor
        self._options = read | {"secureContext": contextFrom(read)}
        self._timeout = timeout
        self._socketMade = socketMade

    def _attempt(self, protocolFactory: IProtocolFactory) -> _Attempt:
        return _Attempt(self._reactor, protocolFactory, self._timeout, self._socketMade)


@implementer(IStreamClientEndpoint)
class ClientEndpoint(_Client):
    """
    Connects by TLS over TCP, or over a UNIX socket (the option C{path}).

    @param reactor: the reactor.
    @param host: name or address of the peer; its certificate is checked against it, and a
        name is sent as C{servername} unless the options have one.  Over a UNIX socket there is
        no name, so the options have to have one.
    @param port: the peer's port.
    @param options: those of C{connect}.
    @param connectTimeout: seconds for connection and handshake together; 0: no limit.
    @param socketMade: called with the TLSSocket of each connection before its handshake: to
        listen to its C{'keylog'} events, for example.

    @raise NodeError: an option is wrong: as C{connect} raises it; C{ERR_MISSING_ARGS} where
        there is nothing to check the server's certificate against.
    """

    def __init__(
        self,
        reactor: Any,
        host: str | None = None,
        port: int | None = None,
        options: Mapping[str, Any] | None = None,
        connectTimeout: float = CONNECT_TIMEOUT,
        socketMade: SocketMade | None = None,
    ) -> None:
        where = {"host": host, "port": port}
        given = {name: value for name, value in where.items() if value is not None}
        super().__init__(reactor, {**(options or {}), **given}, host, connectTimeout, socketMade)
        if nameless(self._options):
            raise missingArgs("options.servername", "options.host")

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Connect; the protocol comes when the handshake is done and the server accepted.

        @return: the protocol, or what L{connectFailure} makes of Node's error.
        """
        attempt = self._attempt(protocolFactory)
        try:
            options = _negotiating(self._options, protocolFactory)
            attempt.watch(connectAs(options, reactor=self._reactor))
        except Exception:
            attempt.fail(Failure())
        return attempt.result


def wrapServer(
    endpoint: IStreamServerEndpoint, options: Mapping[str, Any], *, reactor: Any = None
) -> ServerEndpoint:
    """
    A TLS server over any other server endpoint.

    @param options: those of C{createServer}.
    @param reactor: by default the global one.

    @raise NodeError: an option is wrong.
    """
    return ServerEndpoint(reactorOr(reactor), options, endpoint=endpoint)


def wrapClient(
    endpoint: IStreamClientEndpoint,
    options: Mapping[str, Any],
    *,
    reactor: Any = None,
    connectTimeout: float = CONNECT_TIMEOUT,
    socketMade: SocketMade | None = None,
) -> IStreamClientEndpoint:
    """
    A TLS client over any other client endpoint.

    @param options: those of C{connect}.  The endpoint does not tell whom it connects to, so
        the options do: C{host}, or C{servername}.
    @param reactor: by default the global one.
    @param connectTimeout: seconds for connection and handshake together; 0: no limit.
    @param socketMade: as of L{ClientEndpoint}.

    @raise NodeError: an option is wrong; C{ERR_MISSING_ARGS} where there is nothing to check
        the server's certificate against.
    """
    return _WrappedClient(reactorOr(reactor), endpoint, options, connectTimeout, socketMade)


@implementer(IStreamClientEndpoint)
class _WrappedClient(_Client):
    def __init__(
        self,
        reactor: Any,
        endpoint: IStreamClientEndpoint,
        options: Mapping[str, Any],
        timeout: float,
        socketMade: SocketMade | None,
    ) -> None:
        super().__init__(reactor, options, options.get("host"), timeout, socketMade)
        if nameless(self._options):
            raise missingArgs("options.servername", "options.host")
        self._endpoint = endpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect the endpoint below, then TLS over it; results as L{ClientEndpoint.connect}'s."""
        attempt = self._attempt(protocolFactory)

        def connected(carrier: Carrier) -> None:
            try:
                below = Socket(reactor=self._reactor)
                below._adopt(carrier)
                options = _negotiating(self._options, protocolFactory) | {"socket": below}
                attempt.watch(connectAs(options, reactor=self._reactor))
            except Exception:
                carrier.abort()
                attempt.fail(Failure())

        try:
            attempt.waitFor(self._endpoint.connect(CarrierFactory(self._reactor, connected)))
        except Exception:
            attempt.fail(Failure())
        return attempt.result


def reactorOr(reactor: Any) -> Any:
    """That one, or else the global one."""
    if reactor is None:
        from twisted.internet import reactor
    return reactor


class _Attempt:
    """
    One attempt of a client endpoint, up to the protocol or a failure.

    @ivar result: fires with the protocol.
    """

    def __init__(
        self,
        reactor: Any,
        factory: IProtocolFactory,
        timeout: float,
        socketMade: SocketMade | None = None,
    ) -> None:
        self._factory = factory
        self._socketMade = socketMade
        self._socket: TLSSocket | None = None
        self._lower: Deferred[Any] | None = None
        self._timer = reactor.callLater(timeout, self._timedOut) if timeout else None
        self.result: Deferred[IProtocol] = Deferred(self._cancelled)
        factory.doStart()

    def waitFor(self, lower: Deferred[Any]) -> None:
        """The connection below is being made."""
        self._lower = lower
        lower.addErrback(self._lowerFailed)

    def watch(self, socket: TLSSocket) -> None:
        """The handshake is under way on this socket, or will be."""
        self._socket = socket
        self._lower = None
        socket._addEach(self._listeners())
        if self._socketMade is not None:
            self._socketMade(socket)

    def fail(self, failure: Failure) -> None:
        """It did not work."""
        if self._over():
            self._factory.doStop()
            self.result.errback(failure)

    def _over(self) -> bool:
        """The attempt is over, in one way or another; False if it was before."""
        if self.result.called:
            return False
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        return True

    def _listeners(self) -> Listeners:
        return {
            "error": (self._failed,),
            "close": (self._closed,),
            # 'secureConnect' comes just before it, and the adapter takes the next 'secure' for
            # a renegotiation.
            "secure": (self._secured,),
        }

    def _secured(self) -> None:
        socket = self._socket
        assert socket is not None
        socket._removeEach(self._listeners())
        if self.result.called:
            return
        try:
            protocol = _adapt(socket, self._factory)
        except Exception:
            self.fail(Failure())
            socket.destroy()
            return
        factory = self._factory  # and not the attempt, which knows the socket
        socket.on("close", lambda hadError: factory.doStop())
        if self._over():
            self.result.callback(protocol)

    def _failed(self, error: BaseException) -> None:
        self.fail(connectFailure(error))

    def _closed(self, hadError: bool) -> None:
        self.fail(Failure(ConnectError(string="the connection was closed in the handshake")))

    def _lowerFailed(self, failure: Failure) -> None:
        self._lower = None
        self.fail(failure)

    def _timedOut(self) -> None:
        self.fail(Failure(ConnectTimeoutError(string="connection and handshake took too long")))
        self._abandon()

    def _cancelled(self, result: object) -> None:
        address = None if self._socket is None else self._socket.remoteAddress
        self.fail(Failure(ConnectingCancelledError(address)))
        self._abandon()

    def _abandon(self) -> None:
        if self._lower is not None:
            self._lower.cancel()
        if self._socket is not None:
            self._socket.destroy()
