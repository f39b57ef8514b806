"""
Servers and clients of this package on the loopback, and what is left of them afterwards.

    async with Loopback(pki) as loopback:
        server = await loopback.serve(ALPNProtocols=["h2"])
        client = await loopback.secure(server)

All that was opened is closed at the end, and waited for.
"""

from __future__ import annotations

import gc
import os
import socket
from collections import Counter
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Self

from OpenSSL import SSL
from twisted.internet import defer, reactor

import txnodetls as tls
from tests.support import Pki, eventually, happened
from tests.transports.owners import readers, writers
from txnodetls.openssl.calls import Driver
from txnodetls.protocol.engine import TLSEngine
from txnodetls.transports.polling import pollerFor
from txnodetls.transports.tcp import SocketCarrier

__all__ = [
    "Census",
    "Loopback",
    "Received",
    "describe",
    "echo",
    "sessionFor",
    "toLoopback",
    "until",
]

PATIENCE = 30.0
"""Seconds for things that take milliseconds."""


async def until(condition: Callable[[], object]) -> None:
    """Wait until the condition is true; not for ever."""
    waiting = eventually(condition)
    waiting.addTimeout(PATIENCE, reactor)  # type: ignore[arg-type]
    await waiting


def describe(socket: Any) -> dict[str, Any]:
    """What a socket knows of its connection, as long as that is open."""
    return {
        "protocol": socket.getProtocol(),
        "cipher": socket.getCipher()["standardName"],
        "alpn": socket.alpnProtocol,
        "servername": socket.servername,
        "authorized": socket.authorized,
        "authorizationError": socket.authorizationError,
        "reused": socket.isSessionReused(),
        "finished": socket.getFinished().hex(),
        "peerFinished": socket.getPeerFinished().hex(),
        "own": (socket.getCertificate() or {}).get("fingerprint256"),
        "peer": (socket.getPeerCertificate() or {}).get("fingerprint256"),
    }


def echo(socket: Any) -> None:
    """Sends everything back."""
    socket.pipe(socket)


class Received:
    """
    What comes out of a socket.

    @ivar data: the bytes so far.
    @ivar ended: the peer ended its side.
    @ivar closed: None; then the argument of 'close'.
    @ivar errors: the codes of the errors.
    """

    def __init__(self, socket: Any) -> None:
        self.data = bytearray()
        self.ended = False
        self.closed: bool | None = None
        self.errors: list[str | None] = []
        self.error: Any = None
        socket.on("data", self.data.extend)
        socket.on("end", self._end)
        socket.on("error", self._error)
        socket.on("close", self._close)

    def _end(self) -> None:
        self.ended = True

    def _error(self, raised: Any) -> None:
        self.error = raised
        self.errors.append(raised.code)

    def _close(self, hadError: bool) -> None:
        self.closed = hadError

    def __await__(self) -> Any:
        """Waits for 'close'."""
        return until(lambda: self.closed is not None).__await__()


class Loopback:
    """Use it in an C{async with}: what it opened ends with the block."""

    def __init__(self, pki: Pki) -> None:
        self.pki = pki
        self.servers: list[Any] = []
        self.sockets: list[Any] = []
        self._plain: list[socket.socket] = []

    async def serve(
        self, listener: Callable[..., Any] | None = echo, *, port: int = 0, **options: Any
    ) -> Any:
        """
        A server that listens; with the authority's certificate for localhost.

        Its C{secured} are the sockets of its 'secureConnection' events, C{seen} what these
        were like then, C{failures} the errors of 'tlsClientError', C{errors} those of open sockets.
        """
        if not options.keys() & {"key", "pfx", "secureContext", "pskCallback"}:
            options = {"key": self.pki.server.key, "cert": self.pki.server.cert, **options}
        server: Any = tls.createServer(options)
        self.servers.append(server)
        server.secured, server.seen = [], []
        server.failures, server.errors = [], []
        server.on("secureConnection", partial(self._accepted, server))
        server.on("tlsClientError", lambda raised, socket: server.failures.append(raised))
        if listener is not None:
            server.on("secureConnection", listener)
        listening = happened(server, "listening")
        server.listen(port, "127.0.0.1")
        await listening
        return server

    def _accepted(self, server: Any, socket: Any) -> None:
        self.sockets.append(socket)
        server.secured.append(socket)
        server.seen.append(describe(socket))
        socket.on("error", server.errors.append)

    def dial(self, to: Any, **options: Any) -> Any:
        """A client that trusts the authority and asks for localhost; to: a server or a port."""
        port = to if isinstance(to, int) else to.address()["port"]
        wanted = {"ca": self.pki.ca, "servername": "localhost", **options}
        socket = tls.connect({"port": port, "host": "127.0.0.1", **wanted})
        self.sockets.append(socket)
        return socket

    def plain(self, server: Any) -> socket.socket:
        """A plain connection to a server, for bytes of the test's own."""
        where = ("127.0.0.1", server.address()["port"])
        self._plain.append(socket.create_connection(where, 10))
        return self._plain[-1]

    async def secure(self, to: Any, **options: Any) -> Any:
        """The same, when its handshake is done."""
        socket = self.dial(to, **options)
        await happened(socket, "secureConnect")
        return socket

    async def proveServing(self, server: Any, **options: Any) -> None:
        """The server still does its work, for a client that behaves."""
        client = await self.secure(server, **options)
        received = Received(client)
        client.write(b"are you there?")
        await until(lambda: received.data == b"are you there?")
        client.end()
        await received
        assert received.errors == []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for carrier in self._plain:
            carrier.close()
        for server in self.servers:
            server.close()
        for each in self.sockets:
            each.destroy()
        await until(lambda: all(each.closed for each in self.sockets))
        self.servers.clear()
        self.sockets.clear()


def toLoopback(host: str, options: Any, callback: Callable[..., Any]) -> None:
    """A `lookup` that finds every name here."""
    if options["all"]:
        callback(None, [{"address": "127.0.0.1", "family": 4}])
    else:
        callback(None, "127.0.0.1", 4)


async def sessionFor(loopback: Loopback, server: Any, **options: Any) -> bytes:
    """A session of the server's that can be resumed, made by a client with these options."""
    sessions: list[bytes] = []
    client = loopback.dial(server, **options)
    client.on("session", sessions.append)
    received = Received(client)
    await until(lambda: sessions)
    client.end()
    await received
    return sessions[-1]


class Census:
    """
    What a process holds: descriptors, what the reactor watches and waits for, live objects.

    Taken when it is made; L{restored} waits until all is as it was.
    """

    KINDS = (tls.TLSSocket, TLSEngine, Driver, SSL.Connection, SocketCarrier)

    def __init__(self) -> None:
        self.before = self.take()

    def take(self) -> dict[str, Any]:
        """The figures now."""
        gc.collect()
        live = (type(each) for each in gc.get_objects())
        kinds = Counter(kind.__name__ for kind in live if kind in self.KINDS)
        # Connections of another test's may keep the poller, or not.
        pollers = pollerFor(reactor).fileno() != -1
        return {
            "descriptors": len(os.listdir("/proc/self/fd")) - pollers,
            "readers": len(readers()),
            "writers": len(writers()),
            **{kind.__name__: kinds[kind.__name__] for kind in self.KINDS},
        }

    def more(self) -> dict[str, tuple[int, int]]:
        """
        What is held more of: before, and now.

        Less is no matter: Twisted remembers its last log events, and those their sockets.
        """
        now = self.take()
        return {
            name: (count, now[name]) for name, count in self.before.items() if now[name] > count
        }

    async def restored(self) -> None:
        """Wait until nothing more is held than before."""
        try:
            await until(lambda: not self.more())
        except defer.TimeoutError:
            more = self.more()
            assert not more, f"held before and now: {more}"
