"""
C{net.Server}: what listens, and what makes sockets of the connections that come.

    carrier accepted -> _admit(): limits, socket options -> _accepted(): the socket, 'connection'

C{tls.Server} is made from this class; it has its own C{_accepted}, so that a TLS connection costs
one stream object and not two.

Source: https://nodejs.org/api/net.html#class-netserver
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from typing import Any, Self

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from txnodetls.errors import (
    Blame,
    NodeError,
    NodeTypeError,
    Phase,
    argumentValue,
    invalidArgType,
    socketError,
)
from txnodetls.net.abort import onAbort
from txnodetls.net.lookup import ADDRCONFIG, isIP, isPipeName, lookup, portNumber
from txnodetls.net.socket import Socket, keepAliveSeconds
from txnodetls.streams.duplex import markOf
from txnodetls.streams.emitter import EventEmitter
from txnodetls.streams.ticks import ticksFor
from txnodetls.transports.carrier import Address, Carrier
from txnodetls.transports.listening import CarrierFactory, SocketPort, adopt, bindTCP, bindUNIX
from txnodetls.transports.tcp import fits, numberOf

__all__ = ["Server", "createServer"]

_log = Logger()

_BACKLOG = 511
_ANYONE6, _ANYONE4 = "::", "0.0.0.0"  # noqa: S104


class Server(EventEmitter):
    """
    A server of TCP or UNIX connections.

    Options: C{allowHalfOpen}, C{pauseOnConnect}, C{noDelay}, C{keepAlive},
    C{keepAliveInitialDelay}, C{highWaterMark}, C{blockList}.

    @param options: Node's options as a mapping; keyword arguments of the same names win.
    @param connectionListener: listens to 'connection'; may stand in place of C{options}.
    @param reactor: by default the global one.
    @ivar maxConnections: from so many connections on, further ones are closed and told in a
        'drop' event; None: no limit.
    @ivar dropMaxConnection: accepted, as in Node, where it concerns clusters only.
    """

    def __init__(
        self,
        options: Mapping[str, Any] | Callable[..., Any] | None = None,
        connectionListener: Callable[..., Any] | None = None,
        *,
        reactor: Any = None,
        **more: Any,
    ) -> None:
        super().__init__()
        if callable(options):
            options, connectionListener = None, options
        if options is not None and not isinstance(options, Mapping):
            raise invalidArgType("options", "of type object", options)
        get = {**(options or {}), **more}.get
        if reactor is None:
            from twisted.internet import reactor as globalReactor

            reactor = globalReactor
        self._reactor = reactor
        self._ticks = ticksFor(reactor)
        self.allowHalfOpen = bool(get("allowHalfOpen"))
        self.pauseOnConnect = bool(get("pauseOnConnect"))
        self.noDelay = bool(get("noDelay"))
        self.keepAlive = bool(get("keepAlive"))
        self.keepAliveInitialDelay = keepAliveSeconds(get("keepAliveInitialDelay"))
        self.highWaterMark: int | None = _checkedMark(get("highWaterMark"))
        self.blockList: Any = get("blockList")
        self.maxConnections: int | None = None
        self.dropMaxConnection = False
        self._connections = 0
        self._port: Any = None  # an IListeningPort
        self._portClosed: Deferred[Any] = succeed(None)  # fires when the last one is closed
        self._opening = False  # it is coming, but not yet there
        self._stopListeningTo: Callable[[], object] | None = None  # an abort signal
        if connectionListener is not None:
            self.on("connection", connectionListener)

    # listening

    def listen(self, *arguments: Any, **named: Any) -> Self:
        """
        Listen: C{listen([port[, host[, backlog]]][, cb])}, C{listen(path[, backlog][, cb])},
        C{listen(options[, cb])}, C{listen(endpoint[, cb])}.

        Options: C{port host path backlog ipv6Only reusePort readableAll writableAll fd signal}
        (C{exclusive} is accepted: there are no clusters here).  An endpoint is an
        C{IStreamServerEndpoint} of Twisted's.  Without a host, all addresses of both families.

        C{cb} listens to 'listening'.  A failure, C{EADDRINUSE} for example, is an 'error' event.

        @raise NodeError: C{ERR_SERVER_ALREADY_LISTEN}, C{ERR_SOCKET_BAD_PORT},
            C{ERR_INVALID_ARG_VALUE}.
        """
        options, callback = _listenArguments(arguments, named)
        if self.listening:
            raise NodeError(
                "Listen method has been called more than once without closing.",
                "ERR_SERVER_ALREADY_LISTEN",
                blame=Blame.LOCAL,
            )
        opener = self._opener(options)
        if callback is not None:
            self.once("listening", callback)
        if options.get("signal") is not None:
            self._stopListeningTo = onAbort(options["signal"], lambda error: self.close())
            if options["signal"].aborted:
                return self
        self._opening = True
        opener()
        return self

    def _opener(self, options: Mapping[str, Any]) -> Callable[[], None]:
        """What opens the port that the options describe."""
        endpoint, descriptor = options.get("endpoint"), options.get("fd")
        if endpoint is not None:
            return lambda: self._listenOn(endpoint)
        if isinstance(descriptor, int) and descriptor >= 0:
            return lambda: self._listenDescriptor(descriptor)
        port, path, backlog = options.get("port"), options.get("path"), options.get("backlog")
        if isinstance(port, (int, float, str)) and not isinstance(port, bool):
            number = portNumber(port, "options.port")
            return lambda: self._listenPort(options, number, backlog or _BACKLOG)
        if isinstance(path, str) and isPipeName(path):
            mode = (0o444 if options.get("readableAll") else 0) | (
                0o222 if options.get("writableAll") else 0
            )
            return lambda: self._listenPath(path, backlog or _BACKLOG, mode)
        reason = "is invalid."
        if "port" not in options and "path" not in options:
            reason = 'must have the property "port" or "path".'
        raise NodeTypeError(
            f"The argument 'options' {reason}{argumentValue(dict(options))}",
            "ERR_INVALID_ARG_VALUE",
            blame=Blame.CONFIGURATION,
        )

    def _listenPort(self, options: Mapping[str, Any], port: int, backlog: int) -> None:
        host = options.get("host")
        if not host or isIP(host):
            self._listenTCP(host, port, backlog, options)
            return

        def answered(error: Exception | None, addresses: list[dict[str, Any]] | None) -> None:
            if not self._opening:
                return
            if error is not None:
                self._ticks.turn(self._listenFailed, error)
            elif addresses:
                address = addresses[0]["address"]
                self._ticks.turn(self._listenTCP, address, port, backlog, options)

        lookup(self._reactor, host, 0, ADDRCONFIG, answered)

    def _listenTCP(
        self, host: str | None, port: int, backlog: int, options: Mapping[str, Any]
    ) -> None:
        where = host or _ANYONE6
        try:
            if not fits(self._reactor):
                factory = CarrierFactory(self._reactor, self._admit)
                self._opened(self._reactor.listenTCP(port, factory, backlog, host or ""))
                return
            only, shared = bool(options.get("ipv6Only")), bool(options.get("reusePort"))
            try:
                sock = bindTCP(where, port, backlog, only, shared)
            except OSError as error:
                if host or error.errno in (errno.EADDRINUSE, errno.EACCES):
                    raise
                where = _ANYONE4  # there is no IPv6 here
                sock = bindTCP(where, port, backlog, only, shared)
            self._opened(SocketPort(sock, self._reactor, self._admit))
        except (OSError, CannotListenError) as error:
            self._failLater(error, where, port)

    def _listenPath(self, path: str, backlog: int, mode: int) -> None:
        try:
            if fits(self._reactor):
                sock = bindUNIX(path, backlog, mode)
                file = None if path.startswith("\0") else os.path.abspath(path)
                self._opened(SocketPort(sock, self._reactor, self._admit, file))
            else:
                factory = CarrierFactory(self._reactor, self._admit)
                self._opened(self._reactor.listenUNIX(path, factory, backlog, mode or 0o666))
        except (OSError, CannotListenError) as error:
            self._failLater(error, path, None)

    def _listenDescriptor(self, descriptor: int) -> None:
        try:
            self._opened(SocketPort(adopt(descriptor), self._reactor, self._admit))
        except OSError as error:
            self._failLater(error, None, None)

    def _listenOn(self, endpoint: Any) -> None:
        opened: Deferred[Any] = endpoint.listen(CarrierFactory(self._reactor, self._admit))

        def failed(failure: Failure) -> None:
            self._failLater(failure.value, None, None)

        opened.addCallbacks(self._opened, failed)

    def _opened(self, port: Any) -> None:
        if not self._opening:  # closed in the meantime
            _close(port)
            return
        self._port = port
        if isinstance(port, SocketPort):
            port.startListening()
        self._ticks.nextTick(self._emitListening)

    def _emitListening(self) -> None:
        self._opening = False
        if self._port is not None:
            self._fire("listening")

    def _failLater(self, error: Any, host: str | None, port: int | None) -> None:
        cause = error.socketError if isinstance(error, CannotListenError) else error
        if not isinstance(error, NodeError):
            told = socketError(
                numberOf(cause) if isinstance(cause, OSError) else errno.EINVAL,
                "listen",
                host,
                port or None,
                blame=Blame.CONFIGURATION,
                phase=Phase.CONFIGURING,
            )
            told.__cause__ = error
            error = told
        self._ticks.nextTick(self._listenFailed, error)

    def _listenFailed(self, error: BaseException) -> None:
        if self._opening:
            self._opening = False
            self._fire("error", error)

    @property
    def listening(self) -> bool:
        """It listens, or is about to."""
        return self._port is not None or self._opening

    def address(self) -> Address | str | None:
        """C{{'address', 'family', 'port'}}, or the path of a UNIX socket; None: not listening."""
        port = self._port
        if port is None:
            return None
        if isinstance(port, SocketPort):
            return port.address
        host = port.getHost()
        if hasattr(host, "host"):
            family = "IPv6" if ":" in host.host else "IPv4"
            return {"address": host.host, "family": family, "port": host.port}
        name = getattr(host, "name", None)
        return os.fsdecode(name) if isinstance(name, bytes) else name

    # closing

    def close(self, callback: Callable[..., Any] | None = None) -> Self:
        """
        Stop listening.  'close' comes when the last connection has ended.

        @param callback: called at 'close', with C{ERR_SERVER_NOT_RUNNING} if it did not listen.
        """
        running = self.listening
        if callback is not None:
            if running:
                self.once("close", callback)
            else:
                self.once("close", lambda *_: callback(_notRunning()))
        port, self._port = self._port, None
        self._opening = False
        forget, self._stopListeningTo = self._stopListeningTo, None
        if forget is not None:
            forget()
        if port is not None:
            self._portClosed = _close(port)
        self._closeIfDone()
        return self

    def _closeIfDone(self) -> None:
        if not self.listening and not self._connections:
            self._ticks.nextTick(self._fire, "close")

    # connections

    def getConnections(self, callback: Callable[..., Any]) -> Self:
        """Tell C{callback(None, count)} how many connections there are."""
        self._ticks.nextTick(self._call, callback, None, self._connections)
        return self

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return self._connections

    def _admit(self, carrier: Carrier) -> None:
        """A connection was accepted."""
        try:
            if (
                self._port is None or self.maxConnections is not None or self.blockList is not None
            ) and self._refuses(carrier):
                carrier.abort()
                return
            if self.noDelay:
                carrier.setNoDelay(True)
            if self.keepAlive:
                carrier.setKeepAlive(True, self.keepAliveInitialDelay)
            self._accepted(carrier)
        except BaseException:
            carrier.abort()
            raise

    def _refuses(self, carrier: Carrier) -> bool:
        """Whether there is to be no socket for this connection."""
        if not self.listening:
            return True
        if self.maxConnections is not None and self._connections >= self.maxConnections:
            self._fire("drop", _ends(carrier))
            return True
        if self.blockList is None:
            return False
        peer = carrier.remoteAddress
        return bool(peer) and self.blockList.check(peer["address"], peer["family"].lower())

    def _accepted(self, carrier: Carrier) -> None:
        """Make a socket of it, and tell."""
        socket = self._makeSocket(carrier)
        try:
            self.emit("connection", socket)
        except Exception:
            _log.failure("A listener of 'connection' of {server!r} failed", server=self)
            socket.destroy()

    def _makeSocket(self, carrier: Carrier) -> Socket:
        """A plain socket on the carrier, which counts as a connection until it is closed."""
        socket = Socket.__new__(Socket)
        mark = markOf("highWaterMark", self.highWaterMark, None)
        socket._initAccepted(self._ticks, self.allowHalfOpen, mark)
        self._count(socket)
        socket._adopt(carrier)
        if self.pauseOnConnect:
            socket.pause()
        else:
            socket.read(0)
        return socket

    def _count(self, socket: Socket) -> None:
        """One connection more, until the socket is destroyed."""
        socket.server = socket._countedBy = self
        self._connections += 1

    def _released(self) -> None:
        """One connection less."""
        self._connections -= 1
        if self._port is None:
            self._closeIfDone()

    def ref(self) -> Self:
        """Does nothing: a Twisted reactor runs until it is stopped."""
        return self

    def unref(self) -> Self:
        """Does nothing: a Twisted reactor runs until it is stopped."""
        return self


def createServer(
    options: Mapping[str, Any] | Callable[..., Any] | None = None,
    connectionListener: Callable[..., Any] | None = None,
    *,
    reactor: Any = None,
    **more: Any,
) -> Server:
    """A new L{Server}, which does not listen yet."""
    return Server(options, connectionListener, reactor=reactor, **more)


def _listenArguments(
    arguments: tuple[Any, ...], named: Mapping[str, Any]
) -> tuple[dict[str, Any], Callable[..., Any] | None]:
    rest = list(arguments)
    callback = rest.pop() if rest and callable(rest[-1]) else None
    options: dict[str, Any] = {}
    if rest:
        first, *others = rest
        if isinstance(first, Mapping):
            options.update(first)
        elif IStreamServerEndpoint.providedBy(first):
            options["endpoint"] = first
        elif isPipeName(first):
            options["path"] = first
        else:
            options["port"] = first
            if others and isinstance(others[0], str):
                options["host"] = others[0]
        backlog = next((one for one in others if isinstance(one, int) and one), None)
        if backlog is not None:
            options.setdefault("backlog", backlog)
    options.update(named)
    if not (rest or named) or ("port" in options and options["port"] is None):
        options["port"] = 0
    return options, callback


def _close(port: Any) -> Deferred[Any]:
    stopped: Deferred[Any] = maybeDeferred(port.stopListening)
    stopped.addErrback(lambda failure: _log.failure("closing a port failed", failure))
    return stopped


def _ends(carrier: Carrier) -> dict[str, Any]:
    """What a 'drop' event tells of the connection."""
    local, remote = carrier.localAddress, carrier.remoteAddress
    return {
        "localAddress": local.get("address"),
        "localPort": local.get("port"),
        "localFamily": local.get("family"),
        "remoteAddress": remote.get("address"),
        "remotePort": remote.get("port"),
        "remoteFamily": remote.get("family"),
    }


def _notRunning() -> NodeError:
    return NodeError("Server is not running.", "ERR_SERVER_NOT_RUNNING", blame=Blame.LOCAL)


def _checkedMark(mark: object) -> int | None:
    if mark is not None and (isinstance(mark, bool) or not isinstance(mark, (int, float))):
        raise invalidArgType("options.highWaterMark", "of type number", mark)
    return None if mark is None else int(mark)
