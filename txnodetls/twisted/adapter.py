"""
Drives a Twisted protocol from a socket, with TLS or without.

What a protocol sees, in this order:

    the handshake is done, the peer accepted   makeConnection, handshakeCompleted
    'data'                                     dataReceived
    'end'        (IHalfCloseableProtocol)      readConnectionLost
    'finish'     (IHalfCloseableProtocol)      writeConnectionLost
    'secure'     again, after a renegotiation  handshakeCompleted
    'close'                                    connectionLost(reason), always last

Twisted's own TLS calls makeConnection when TCP is connected and
handshakeCompleted later; what a protocol asks its transport for in
connectionMade is then not known yet.  Here both come when the handshake is
done and the peer's certificate was accepted.  So connectionMade may rely on
getPeerCertificate and negotiatedProtocol, a protocol never speaks to a peer
that is refused, and a handshake that fails costs no protocol at all.

The reasons for connectionLost:

    ConnectionDone      both sides ended, or loseConnection was called
    ConnectionLost      reset, truncated (the peer's TCP ended without a
                        close_notify), or any other error; the NodeError that
                        tells more is its __cause__
    ConnectionAborted   abortConnection was called
    any other           the exception that the protocol itself raised

A peer's end closes the connection, after what is queued was sent, unless the
protocol is an IHalfCloseableProtocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
)
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IHandshakeListener,
    IProtocol,
    IProtocolFactory,
    IProtocolNegotiationFactory,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from txnodetls.errors import NodeError
from txnodetls.protocol.states import Receiving
from txnodetls.socket import TLSSocket
from txnodetls.streams.emitter import Listeners
from txnodetls.twisted.upgrade import upgrade

if TYPE_CHECKING:
    from txnodetls.net.socket import Socket
    from txnodetls.twisted.transport import SocketTransport, TLSTransport

__all__ = ["ProtocolAdapter", "connectionLostReason", "protocolsOf"]

log = Logger()

# One for all, as Twisted's own reactors have it.
_DONE = Failure(ConnectionDone())


def protocolsOf(factory: IProtocolFactory, options: Mapping[str, Any]) -> list[bytes] | None:
    """
    The ALPN protocols that a factory asks for (IProtocolNegotiationFactory).

    @return: None where the options settle the matter themselves, or the factory does not care.
    """
    for name in ("ALPNProtocols", "ALPNCallback"):
        if options.get(name) is not None:
            return None
    negotiating = IProtocolNegotiationFactory(factory, None)
    if negotiating is None:
        return None
    return list(negotiating.acceptableProtocols()) or None


def connectionLostReason(error: BaseException | None) -> Failure:
    """Twisted's reason for a connection that ended with this error of Node's, or None."""
    if error is None:
        return _DONE
    if not isinstance(error, NodeError):
        return Failure(error)
    lost = ConnectionLost(str(error))
    lost.__cause__ = error
    return Failure(lost)


class ProtocolAdapter:
    """
    Connects a protocol to a TLSSocket whose handshake is done, or to a plain socket.

    @param transport: what the protocol gets; by default the TLSSocket's.
    @ivar protocol: the protocol; assignable, as C{transport.protocol} is.
    """

    __slots__ = ("_error", "_halfClosing", "_listening", "_protocol", "socket", "transport")

    def __init__(
        self, socket: Socket, protocol: IProtocol, transport: SocketTransport | None = None
    ) -> None:
        if transport is None:
            transport = socket.transport  # type: ignore[attr-defined]
        self.socket = socket
        self.transport: SocketTransport = transport
        transport._owner = self
        self._error: BaseException | None = None
        self._take(protocol)

    @property
    def protocol(self) -> IProtocol:
        return self._protocol

    @protocol.setter
    def protocol(self, protocol: IProtocol) -> None:
        socket = self.socket
        socket.off("finish", self._finished).off("secure", self._secured)
        self._take(protocol)
        if self._halfClosing:
            socket.on("finish", self._finished)
        if self._listening:
            socket.on("secure", self._secured)

    def _take(self, protocol: IProtocol) -> None:
        self._protocol = protocol
        self._halfClosing = IHalfCloseableProtocol.providedBy(protocol)
        self._listening = IHandshakeListener.providedBy(protocol)
        self.socket.allowHalfOpen = self._halfClosing

    def start(self) -> None:
        """
        Connect the protocol.

        @raise Exception: what the protocol's C{makeConnection} or C{handshakeCompleted}
            raised; the connection is being destroyed then, and C{connectionLost} follows.
        """
        self._listen()
        try:
            self._protocol.makeConnection(self.transport)
            if self._listening and isinstance(self.socket, TLSSocket):
                self._protocol.handshakeCompleted()  # type: ignore[attr-defined]
        except Exception as error:
            self._error = error
            self.socket.destroy()
            raise

    # -- what the transport asks

    def aborting(self) -> None:
        """The protocol called abortConnection."""
        if self._error is None:
            self._error = ConnectionAborted()

    def startTLS(self, contextFactory: Any, normal: bool) -> None:
        """Put a TLSSocket on top and listen to that instead."""
        inner = upgrade(self.socket, contextFactory, normal)
        self._unlisten()
        self.socket = self.transport._socket = inner
        inner._transport = cast("TLSTransport", self.transport)
        inner.allowHalfOpen = self._halfClosing
        self._listen()

    # -- the socket's events

    def _listen(self) -> None:
        self.socket._addEach(self._listeners())
        self.socket._flowForListener()

    def _unlisten(self) -> None:
        self.socket._removeEach(self._listeners())

    def _listeners(self) -> Listeners:
        """Who hears of what; some events only where the protocol wants to know."""
        listeners: Listeners = {
            "data": (self._received,),
            "end": (self._ended,),
            "error": (self._failed,),
            "close": (self._closed,),
        }
        if self._halfClosing:
            listeners["finish"] = (self._finished,)
        if self._listening:
            listeners["secure"] = (self._secured,)
        return listeners

    def _received(self, data: bytes) -> None:
        # Looked up anew each time: protocols do replace their own dataReceived.
        try:
            self._protocol.dataReceived(data)
        except Exception as error:
            self._raised(error)

    def _ended(self) -> None:
        engine = self.socket._engine if isinstance(self.socket, TLSSocket) else None
        if engine is not None and engine.receiving is not Receiving.ENDED:
            self._failed(ConnectionLost("TCP ended without a close_notify: TLS was truncated"))
            if self._halfClosing:
                self.socket.destroy()
            return
        if self._halfClosing:
            try:
                self._protocol.readConnectionLost()  # type: ignore[attr-defined]
            except Exception as error:
                self._raised(error)

    def _finished(self) -> None:
        if not self.transport.disconnecting:
            try:
                self._protocol.writeConnectionLost()  # type: ignore[attr-defined]
            except Exception as error:
                self._raised(error)

    def _secured(self) -> None:
        try:
            self._protocol.handshakeCompleted()  # type: ignore[attr-defined]
        except Exception as error:
            self._raised(error)

    def _failed(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error

    def _raised(self, error: BaseException) -> None:
        log.failure(
            "{protocol} raised; its connection is closed", protocol=type(self._protocol).__name__
        )
        if self._error is None:
            self._error = error
        self.socket.destroy()

    def _closed(self, hadError: bool) -> None:
        self._unlisten()
        self.transport._gone()
        try:
            self._protocol.connectionLost(connectionLostReason(self._error))
        except Exception:
            log.failure(
                "{protocol} raised in connectionLost", protocol=type(self._protocol).__name__
            )
