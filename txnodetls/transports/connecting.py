"""
One attempt at an outgoing connection, to one address.

L{SocketAttempt} makes the socket itself, and so knows the number of an error and can bind to
a local address; L{ReactorAttempt} asks the reactor for it, for reactors that sockets of our own
do not fit.  L{attempt} chooses.

The one who asks is called back exactly once, in a turn and never from inside L{attempt}:
C{done(error, carrier)}, one of the two None.  After C{cancel()} not at all.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.internet.protocol import ClientFactory
from zope.interface import implementer

from txnodetls.errors import Blame, Phase, SystemCallError, socketError
from txnodetls.streams.ticks import ticksFor
from txnodetls.transports.carrier import Carrier
from txnodetls.transports.plain import TransportCarrier
from txnodetls.transports.tcp import SocketCarrier, checkedPath, fits, numberOf

if TYPE_CHECKING:
    from twisted.python.failure import Failure

__all__ = ["Done", "ReactorAttempt", "SocketAttempt", "Target", "attempt"]

Done = Callable[[SystemCallError | None, Carrier | None], object]

_GIVE_UP = 150.0  # seconds: later than the kernel, which is to decide
_NUMERIC = int(socket.AI_NUMERICHOST | socket.AI_NUMERICSERV)


class Target:
    """
    Where to, and from where.

    @ivar host: an IP address (with %scope, if need be), or the path of a UNIX socket.
    @ivar port: the port; None for a UNIX socket.
    @ivar localAddress: the address to bind to, or None.
    @ivar localPort: the port to bind to; 0 for any.
    """

    __slots__ = ("host", "localAddress", "localPort", "port")

    def __init__(
        self,
        host: str,
        port: int | None = None,
        localAddress: str | None = None,
        localPort: int = 0,
    ) -> None:
        self.host = host
        self.port = port
        self.localAddress = localAddress
        self.localPort = localPort

    @property
    def family(self) -> socket.AddressFamily:
        """AF_INET, AF_INET6 or AF_UNIX."""
        if self.port is None:
            return socket.AF_UNIX
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    @property
    def bound(self) -> bool:
        """Whether a local address or port was asked for."""
        return self.port is not None and bool(self.localAddress or self.localPort)

    @property
    def binding(self) -> tuple[str, int]:
        """The local address and port to bind to, when L{bound}."""
        anyone = "::" if self.family == socket.AF_INET6 else "0.0.0.0"  # noqa: S104
        return self.localAddress or anyone, self.localPort

    def error(self, number: int, syscall: str = "connect") -> SystemCallError:
        """The error of a failed C{connect} or C{bind} here, in Node's words."""
        host, port = self.binding if syscall == "bind" else (self.host, self.port)
        error = socketError(number, syscall, host, port, blame=Blame.PEER, phase=Phase.CONNECTING)
        if syscall == "connect" and self.localAddress and self.localPort:
            error.message += f" - Local ({self.localAddress}:{self.localPort})"
        return error


@implementer(IReadWriteDescriptor)
class SocketAttempt:
    """An attempt with a socket of our own."""

    def __init__(self, target: Target, reactor: Any, done: Done) -> None:
        self._target = target
        self._reactor = reactor
        self._done: Done | None = done
        self._socket: socket.socket | None = None
        self._peer: Any = None
        self._ticks = ticksFor(reactor)
        error = self._begin()
        if error is not None:
            self._ticks.nextTick(self._finish, error)

    def _begin(self) -> SystemCallError | None:
        target = self._target
        try:
            self._socket = socket.socket(target.family, socket.SOCK_STREAM)
            self._socket.setblocking(False)
            self._peer = self._bind(self._socket)
            number = self._socket.connect_ex(self._peer)
        except _BindFailed as failed:
            return target.error(failed.number, "bind")
        except OSError as error:
            return target.error(numberOf(error))
        if number not in (0, errno.EINPROGRESS, errno.EINTR):
            return target.error(number)
        self._reactor.addWriter(self)
        return None

    def _bind(self, sock: socket.socket) -> Any:
        """Bind if that is asked for; the address to connect to."""
        target = self._target
        if target.port is None:
            return checkedPath(target.host)
        if target.bound:
            try:
                sock.bind(_resolved(*target.binding))
            except OSError as error:
                raise _BindFailed(numberOf(error)) from None
        return _resolved(target.host, target.port)

    def cancel(self) -> None:
        """Give up; nobody is called back."""
        self._done = None
        self._release(close=True)

    # what the reactor asks and tells

    def fileno(self) -> int:
        """The descriptor's number; -1 when there is none any more."""
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        """For the reactor's log."""
        return "txnodetls"

    def doRead(self) -> None:
        """Never asked for; the interface has it."""

    def doWrite(self) -> None:
        """It is decided."""
        if self._socket is not None:
            number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self._ticks.turn(self._finish, self._target.error(number) if number else None)

    def connectionLost(self, reason: object) -> None:
        """The reactor saw an error, or it is being stopped."""
        if self._socket is not None:
            number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self._ticks.turn(self._finish, self._target.error(number or errno.ECONNABORTED))

    def _finish(self, error: SystemCallError | None) -> None:
        done, self._done = self._done, None
        if done is None:
            return
        sock = self._release(close=error is not None)
        if error is not None:
            done(error, None)
        elif sock is not None:
            done(None, SocketCarrier(sock, self._reactor, self._peer))

    def _release(self, close: bool) -> socket.socket | None:
        sock = self._socket
        if sock is not None:
            self._reactor.removeWriter(self)
            self._socket = None
            if close:
                sock.close()
        return sock


class _BindFailed(Exception):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def _resolved(host: str, port: int) -> Any:
    """The socket address of an IP address, its %scope included."""
    return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, _NUMERIC)[0][4]


class ReactorAttempt:
    """An attempt through C{reactor.connectTCP} or C{connectUNIX}."""

    def __init__(self, target: Target, reactor: Any, done: Done) -> None:
        self._target = target
        self._done: Done | None = done
        self._ticks = ticksFor(reactor)
        factory = _Factory(self, reactor)
        if target.port is None:
            self._connector = reactor.connectUNIX(target.host, factory, timeout=_GIVE_UP)
        else:
            self._connector = reactor.connectTCP(
                target.host,
                target.port,
                factory,
                timeout=_GIVE_UP,
                bindAddress=target.binding if target.bound else None,
            )

    def cancel(self) -> None:
        """Give up; nobody is called back."""
        if self._done is not None:
            self._done = None
            self._connector.stopConnecting()

    def connected(self, carrier: Carrier) -> None:
        """There is a connection."""
        done, self._done = self._done, None
        if done is None:
            carrier.abort()
        else:
            done(None, carrier)

    def failed(self, reason: Failure) -> None:
        """There is none."""
        done, self._done = self._done, None
        if done is not None:
            number = getattr(reason.value, "osError", None)
            fallback = errno.ECONNREFUSED if reason.check(ConnectError) else errno.ECONNABORTED
            error = self._target.error(number or fallback)
            error.__cause__ = reason.value
            self._ticks.nextTick(done, error, None)


class _Factory(ClientFactory):
    noisy = False

    def __init__(self, attempt: ReactorAttempt, reactor: Any) -> None:
        self._attempt = attempt
        self._reactor = reactor

    def buildProtocol(self, addr: object) -> Any:
        return TransportCarrier(self._reactor, self._attempt.connected)

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        self._attempt.failed(reason)


def attempt(target: Target, reactor: Any, done: Done) -> SocketAttempt | ReactorAttempt:
    """Begin to connect; C{done(error, carrier)} follows unless it is cancelled."""
    kind = SocketAttempt if fits(reactor) else ReactorAttempt
    return kind(target, reactor, done)
