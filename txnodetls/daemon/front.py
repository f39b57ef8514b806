"""
What accepts: a TLS server that knows its clients from their first moment.

There is one L{FrontServer} per listener and configuration.  A reload makes a new one, which
takes over the port; the old one keeps the connections that it has begun, and decides about them
by the configuration that it was made with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

from txnodetls.daemon.records import Record
from txnodetls.protocol import events
from txnodetls.server import Server, ServerHandler
from txnodetls.socket import TLSSocket

__all__ = ["FrontServer", "Host"]


class Host(Protocol):
    """Who is told what happens to a server's connections."""

    def arrived(self, server: FrontServer, carrier: Any) -> None:
        """A connection was accepted; C{server.enter} lets it in."""

    def secured(self, server: FrontServer, record: Record) -> None:
        """A handshake is done."""

    def failed(self, record: Record, error: BaseException) -> None:
        """A handshake has failed."""

    def ended(self, record: Record) -> None:
        """A connection is gone."""


class _FrontHandler(ServerHandler):
    """Joins sockets and records; notes which name was asked for, also where it comes to nothing."""

    def newSocket(self, below: Any) -> TLSSocket:
        socket = super().newSocket(below)
        cast(FrontServer, self.server).joined(socket)
        return socket

    def helloReceived(self, socket: TLSSocket, event: events.ClientHelloReceived) -> None:
        server = cast(FrontServer, self.server)
        record = server._records.get(socket)
        if record is not None and event.hello.servername:
            record.agreed["name"] = event.hello.servername
        super().helloReceived(socket, event)


class FrontServer(Server):
    """
    A TLS server of the daemon's.

    @param host: who is told.
    @param served: what it serves: kept for the host.
    """

    def __init__(
        self, host: Host, served: Any, options: Mapping[str, Any], reactor: Any = None
    ) -> None:
        super().__init__(options, reactor=reactor)
        self._handler = _FrontHandler(self)
        self.served = served
        self._host = host
        self._records: dict[Any, Record] = {}
        self._entering: Record | None = None
        self.on("secureConnection", self._handshakeDone)
        self.on("tlsClientError", self._handshakeFailed)

    def enter(self, carrier: Any, record: Record, early: bytes = b"") -> None:
        """
        Let a connection in: begin with its handshake.

        @param early: what was read of it already.
        """
        self._entering = record
        try:
            super()._admit(carrier)
        finally:
            self._entering = None
        if record.socket is None:
            self._host.ended(record)
        elif early:
            record.socket.carrierData(early)

    def _admit(self, carrier: Any) -> None:
        try:
            self._host.arrived(self, carrier)
        except BaseException:
            carrier.abort()
            raise

    def joined(self, socket: TLSSocket) -> None:
        """This is the socket of the connection that is entering."""
        record = self._entering
        if record is None:
            return
        self._records[socket] = record
        record.socket = socket

        def closed(hadError: bool) -> None:
            self._records.pop(socket, None)
            self._host.ended(record)

        socket.once("close", closed)

    def _handshakeDone(self, socket: TLSSocket) -> None:
        record = self._records.get(socket)
        if record is not None:
            self._host.secured(self, record)

    def _handshakeFailed(self, error: BaseException, socket: TLSSocket) -> None:
        record = self._records.get(socket)
        if record is not None:
            self._host.failed(record, error)
