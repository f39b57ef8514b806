"""
Protocols on connections that begin without TLS, and go over to it (STARTTLS).

    PlainServerEndpoint(reactor, port=25)             IStreamServerEndpoint
    PlainClientEndpoint(reactor, "localhost", 25)     IStreamClientEndpoint
    transport.startTLS(ServerCreator({...}))          what a protocol does then

The bytes are moved by our own carriers from the start, so after C{startTLS} they go the same way as
those of a C{nodetls:} endpoint, and C{transport.tlsSocket} leads to Node's side.  Under a transport
of Twisted's own the same creators do; then Twisted moves the bytes (L{txnodetls.twisted.creators}).
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txnodetls.net.server import Server
from txnodetls.net.socket import Socket
from txnodetls.twisted.adapter import ProtocolAdapter
from txnodetls.twisted.endpoints import CONNECT_TIMEOUT, NoProtocol, _Port, connectFailure
from txnodetls.twisted.transport import SocketTransport

__all__ = ["PlainClientEndpoint", "PlainServerEndpoint", "adapt"]

log = Logger()


def adapt(socket: Socket, factory: IProtocolFactory) -> IProtocol:
    """
    One of the factory's protocols for a connected socket.

    @raise NoProtocol: the factory has none for it.
    """
    transport = SocketTransport(socket)
    try:
        protocol = factory.buildProtocol(transport.getPeer())
        if protocol is None:
            raise NoProtocol(f"{factory!r} has no protocol for {transport.getPeer()}")
    except Exception:
        socket.destroy()
        raise
    ProtocolAdapter(socket, protocol, transport).start()
    return protocol


@implementer(IStreamServerEndpoint)
class PlainServerEndpoint:
    """
    Listens for connections without TLS whose transport has C{startTLS}.

    @param where: what C{net.Server.listen} takes: C{port}, C{host}, C{path}, C{endpoint} …
    """

    def __init__(self, reactor: Any, **where: Any) -> None:
        self._reactor = reactor
        self._where = where

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        Listen.

        @return: the port, or a C{CannotListenError} whose C{__cause__} is Node's error.
        """

        def accepted(socket: Socket) -> None:
            try:
                adapt(socket, protocolFactory)
            except NoProtocol:
                pass
            except Exception:
                log.failure("{factory} failed; its connection is closed", factory=protocolFactory)

        server: Any = Server(reactor=self._reactor)
        server.on("connection", accepted)
        return _Port(self._reactor, server, self._where, protocolFactory).start()


@implementer(IStreamClientEndpoint)
class PlainClientEndpoint:
    """
    Connects without TLS; the transport has C{startTLS}.

    @param host: name or address of the peer; whom C{startTLS} expects, unless its options say
        otherwise.
    @param options: those of C{net.connect}: C{path}, C{family}, C{localAddress} …
    @param connectTimeout: seconds; 0: no limit.
    """

    def __init__(
        self,
        reactor: Any,
        host: str | None = None,
        port: int | None = None,
        *,
        connectTimeout: float = CONNECT_TIMEOUT,
        **options: Any,
    ) -> None:
        where = {"host": host, "port": port}
        given = {name: value for name, value in where.items() if value is not None}
        self._reactor = reactor
        self._options = {**options, **given}
        self._timeout = connectTimeout

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Connect.

        @return: the protocol, or one of Twisted's C{ConnectError}s whose C{__cause__} is Node's.
        """
        socket = Socket(self._options, reactor=self._reactor)
        result: Deferred[IProtocol] = Deferred(lambda _: giveUp())
        timer: Any = None

        def settle() -> None:
            socket.off("error", failed).off("connect", connected)
            if timer is not None and timer.active():
                timer.cancel()

        def giveUp() -> None:
            settle()
            socket.destroy()
            protocolFactory.doStop()

        def failed(error: BaseException) -> None:
            giveUp()
            result.errback(connectFailure(error))

        def connected() -> None:
            settle()
            socket.once("close", lambda hadError: protocolFactory.doStop())
            try:
                protocol = adapt(socket, protocolFactory)
            except Exception:
                result.errback(Failure())
            else:
                result.callback(protocol)

        def timedOut() -> None:
            giveUp()
            result.errback(Failure(ConnectTimeout()))

        protocolFactory.doStart()
        socket.on("error", failed)
        socket.once("connect", connected)
        if self._timeout:
            timer = self._reactor.callLater(self._timeout, timedOut)
        try:
            socket.connect(self._options)
        except Exception as error:
            failed(error)
        return result
