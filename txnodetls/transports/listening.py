"""
Ports of our own: where the carriers of incoming connections come from.

A L{SocketPort} stands on C{IReactorFDSet} only, as the carriers in C{tcp} do, and hands each
accepted connection on as a L{SocketCarrier}: nothing is built per connection but that.
L{CarrierFactory} serves everything else that accepts connections: C{listenTCP} of reactors that
sockets of our own do not fit, and any C{IStreamServerEndpoint}.

When the process has no descriptor left, C{accept} fails and the connection stays in the backlog;
the reactor would call again at once, for ever.  One descriptor is therefore kept in reserve: it
is given up for a moment, what waits is accepted and closed, and the reserve is taken back.  The
peers then know at once.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IReadDescriptor
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from zope.interface import implementer

from txnodetls.transports.carrier import Address, Carrier
from txnodetls.transports.plain import TransportCarrier
from txnodetls.transports.polling import pollerFor
from txnodetls.transports.tcp import SocketCarrier, addressOf, checkedPath

__all__ = ["CarrierFactory", "SocketPort", "adopt", "bindTCP", "bindUNIX"]

_log = Logger()

_AT_ONCE = 32  # connections accepted per event: fair to those that are open already
_AGAIN = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR)
_FULL = (errno.EMFILE, errno.ENFILE)
# What accept(2) reports of a connection that failed before it was accepted.
_PASSING = (
    errno.ECONNABORTED,
    errno.EPERM,
    errno.EPROTO,
    errno.ENOBUFS,
    errno.ENOMEM,
    errno.ENETDOWN,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
)


def bindTCP(host: str, port: int, backlog: int, ipv6Only: bool, reusePort: bool) -> socket.socket:
    """
    A listening TCP socket.

    @param host: an IP address; C{::} takes IPv4 too, unless C{ipv6Only}.
    @raise OSError: it cannot be had.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reusePort:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(ipv6Only))
        flags = socket.AI_NUMERICHOST | socket.AI_PASSIVE
        # As bytes: a text would have Python import all that it knows of names in other scripts.
        found = socket.getaddrinfo(host.encode(), port, sock.family, sock.type, 0, flags)
        sock.bind(found[0][4])
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    return sock


def bindUNIX(path: str, backlog: int, mode: int) -> socket.socket:
    """
    A listening UNIX socket.

    A socket file that nobody listens on any more is not replaced: as in Node that is
    C{EADDRINUSE}, and its removal is the caller's decision.

    @param mode: permissions to add to the file's, e.g. 0o666.
    @raise OSError: it cannot be had; C{EACCES}, as in Node, where the directory is missing.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            sock.bind(checkedPath(path))
        except FileNotFoundError as error:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from error
        if mode and not path.startswith("\0"):
            os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) | mode)
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    return sock


def adopt(descriptor: int) -> socket.socket:
    """
    A listening socket that someone else bound (systemd, a supervisor).

    @param descriptor: its number, which is the result's from now on.
    @raise OSError: it is not a listening stream socket.
    """
    sock = socket.socket(fileno=descriptor)
    listens = sock.type == socket.SOCK_STREAM and (
        not hasattr(socket, "SO_ACCEPTCONN")
        or sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    )
    if not listens:
        sock.detach()
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    sock.set_inheritable(False)
    return sock


@implementer(IListeningPort, IReadDescriptor)
class SocketPort:
    """
    A listening socket.

    @param sock: it; it is the port's from now on.
    @param reactor: one that L{txnodetls.transports.tcp.fits}.
    @param accepted: called with the carrier of each connection, in a turn of its own.
    @param path: the UNIX socket's file, to be removed when the port closes; else None.
    @cvar atOnce: connections accepted per event.  A process that shares its ports with others
        sets it to 1, or the first to wake takes them all.
    """

    atOnce = _AT_ONCE

    def __init__(
        self,
        sock: socket.socket,
        reactor: Any,
        accepted: Callable[[Carrier], object],
        path: str | None = None,
    ) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._kind = int(sock.family), int(sock.type), sock.proto
        self._reactor = reactor
        self._accepted = accepted
        self._path = path
        self._poller = pollerFor(reactor)
        self._ticks = self._poller.ticks
        self._listening = False
        self._reserve = _spareDescriptor()

    # IListeningPort

    def startListening(self) -> None:
        """Begin to accept."""
        self._listening = True
        self._reactor.addReader(self)

    def stopListening(self) -> Deferred[None]:
        """Close the port; the result has fired already."""
        self._close()
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

    def getHost(self) -> Any:
        """The address, in Twisted's form."""
        from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

        name = self._socket.getsockname()
        if self._socket.family == socket.AF_UNIX:
            return UNIXAddress(name)
        if self._socket.family == socket.AF_INET6:
            return IPv6Address("TCP", *name)
        return IPv4Address("TCP", *name)

    @property
    def address(self) -> Address | str:
        """The address, in Node's form: a dictionary, or the path of a UNIX socket."""
        name = self._socket.getsockname()
        if self._socket.family == socket.AF_UNIX:
            return os.fsdecode(name)
        return addressOf(name)

    # what the reactor asks and tells

    def fileno(self) -> int:
        """The descriptor's number; -1 once it is closed."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """For the reactor's log."""
        return "txnodetls"

    def connectionLost(self, reason: object) -> None:
        """The reactor is being stopped."""
        self._close()

    def doRead(self) -> None:
        """Somebody wants to connect."""
        for _ in range(self.atOnce):
            if not self._listening:
                return
            try:
                sock, peer = self._accept()
            except OSError as error:
                if error.errno in _FULL:
                    self._refuseSome(error)
                elif error.errno not in _AGAIN:
                    self._acceptFailed(error)
                    if error.errno == errno.ECONNABORTED:
                        continue
                return
            self._ticks.turn(self._accepted, SocketCarrier(sock, self._reactor, peer, self._poller))

    def _accept(self) -> tuple[socket.socket, Any]:
        """
        C{socket.accept()}, which works out the family and the type anew for each connection.

        That half of it costs more than the other; they are those of the listening socket.
        """
        accept = getattr(self._socket, "_accept", None)  # not in every Python
        if accept is None:
            return self._socket.accept()
        descriptor, peer = accept()
        return socket.socket(*self._kind, fileno=descriptor), peer

    def _acceptFailed(self, error: OSError) -> None:
        if error.errno not in _PASSING:
            self._close()
            raise error  # the listening socket itself is broken: the reactor logs it
        _log.info("could not accept a connection: {error}", error=error)

    def _refuseSome(self, error: OSError) -> None:
        _log.warn("no descriptor is left, connections are refused: {error}", error=error)
        if self._reserve is None:
            self._reserve = _spareDescriptor()
            return
        os.close(self._reserve)
        try:
            for _ in range(_AT_ONCE):
                self._socket.accept()[0].close()
        except OSError as stopped:
            if stopped.errno not in _AGAIN:
                _log.warn("refusing connections failed: {error}", error=stopped)
        finally:
            self._reserve = _spareDescriptor()

    def _close(self) -> None:
        if self._socket.fileno() == -1:
            return
        self._listening = False
        self._reactor.removeReader(self)
        if self._path is not None:  # first, or it might be a successor's already
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
        self._socket.close()
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None


def _spareDescriptor() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # there is none left at all
        return None


class CarrierFactory(Factory):
    """
    Carriers for connections that others accept.

    @param accepted: called with the carrier of each connection, in a turn.
    """

    noisy = False

    def __init__(self, reactor: Any, accepted: Callable[[Carrier], object]) -> None:
        self._reactor = reactor
        self._accepted = accepted

    def buildProtocol(self, addr: object) -> Any:
        """A carrier for a new connection."""
        return TransportCarrier(self._reactor, self._accepted)
