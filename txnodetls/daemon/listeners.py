"""
One listener at work: what it accepts, lets in, serves, counts and logs.

    port (L{bound}) → L{FrontServer} or a plain port → L{Record} → Echo, Front, files

A L{Listener} lives as long as its place in the configuration; a reload gives it something else
to serve (L{Listener.serve}).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from twisted.internet.endpoints import clientFromString
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from txnodetls.daemon.arriving import Arrival
from txnodetls.daemon.bound import Bound
from txnodetls.daemon.echo import Echo
from txnodetls.daemon.front import FrontServer
from txnodetls.daemon.limits import Gate, Times
from txnodetls.daemon.logs import agreed
from txnodetls.daemon.plan import ListenerConfig, RouteConfig, Serving
from txnodetls.daemon.proxy import Backend, Front, plainEndpoint
from txnodetls.daemon.proxyprotocol import (
    Header,
    HeaderError,
    Networks,
    TLSFields,
    version1,
    version2,
)
from txnodetls.daemon.records import Phase, Reason, Record
from txnodetls.daemon.settings import Mode
from txnodetls.errors import OpenSSLError
from txnodetls.ocsp import FetchingOCSPResponder, FileOCSPResponder
from txnodetls.options import Options, encodeALPN
from txnodetls.twisted.adapter import ProtocolAdapter
from txnodetls.twisted.endpoints import ClientEndpoint, wrapClient

__all__ = ["Listener"]

log = Logger(namespace="nodetls")

_NAME_REFUSED: Final = "ERR_SSL_CALLBACK_FAILED", 112
"""Code and alert of a ClientHello that the context of C{strictSNI} has refused."""

_Build = Callable[[Record], Protocol]


@dataclass(slots=True)
class _Served:
    """
    What a listener serves under one configuration.

    @ivar build: makes the protocol of a connection that no route takes.
    @ivar networks: who has to send a PROXY header first; None: nobody.
    @ivar routes: each with what makes the protocol of its connections.
    @ivar site: the web server behind it, or None.
    """

    config: ListenerConfig
    build: _Build
    times: Times
    site: Any
    routes: list[tuple[RouteConfig, _Build]]
    networks: Networks | None

    def route(self, record: Record) -> tuple[RouteConfig | None, _Build]:
        """Where a connection goes."""
        socket = record.socket
        for route, build in self.routes:
            if route.takes(socket.servername or None, socket.alpnProtocol or None):
                return route, build
        return None, self.build


class Listener:
    """
    A listener.

    @param bound: its port; the listener's from now on.
    @param began: told of each connection that was accepted.
    @param ended: told of each that has ended.
    @param keylog: called with each line of secrets, and the socket whose they are.
    """

    def __init__(
        self,
        reactor: Any,
        bound: Bound,
        began: Callable[[Record], object],
        ended: Callable[[Record], object],
        keylog: Callable[..., object] | None = None,
    ) -> None:
        self._keylog = keylog
        # Who fetches staples, with whether private addresses may be asked.
        self._fetching: tuple[bool, FetchingOCSPResponder] | None = None
        self.bound = bound
        self.gate = Gate()
        self._reactor = reactor
        self._began = began
        self._ended = ended
        self._server: FrontServer | None = None
        self._port: Any = None

    def serve(self, config: ListenerConfig) -> None:
        """Serve this from now on.  Connections that have begun go on as they are."""
        own = config.own
        self.gate.most, self.gate.mostEach = own.maxConnections, own.maxConnectionsPerAddress
        build, site = self._builder(config.serving)
        times = Times(own.idleTimeout / 1000, own.closeTimeout / 1000)
        routes = [(route, self._builder(route.serving)[0]) for route in config.routes]
        networks = None if own.acceptProxyFrom is None else Networks(own.acceptProxyFrom)
        served = _Served(config, build, times, site, routes, networks)
        before = self._server, self._port
        if config.serving.mode is Mode.ORIGINATE:
            self._server = None
            self._port = self._listenPlain(served)
        else:
            self._port = None
            self._server = self._listenTLS(served)
        self._stopped(*before)

    def stop(self) -> None:
        """Accept no more; connections go on."""
        before = self._server, self._port
        self._server = self._port = None
        self._stopped(*before)
        self.bound.close()
        if self._fetching is not None:
            self._fetching[1].close()

    @property
    def server(self) -> FrontServer | None:
        """The TLS server at work, or None."""
        return self._server

    @property
    def hasTicketKeys(self) -> bool:
        """Whether its options say what tickets are made with, or that sessions are kept instead."""
        server = self._server
        said = {"ticketKeys", "ticketKeyRing", "sessionStore"}
        return server is not None and not said.isdisjoint(server.served.config.options)

    def _stopped(self, server: FrontServer | None, port: Any) -> None:
        if server is not None:
            server.close()
        if port is not None:
            port.stopListening()

    # -- listening

    def _listenTLS(self, served: _Served) -> FrontServer:
        options = dict(served.config.options)
        site = served.site
        if site is not None and options.get("ALPNProtocols") is None:
            options["ALPNProtocols"] = encodeALPN(list(site.acceptableProtocols()))
        responder = self._responder(served.config.own)
        if responder is not None:
            options["ocspResponder"] = responder
        if len(served.config.contexts):
            options["SNICallback"] = partial(_byName, served.config)
        server = FrontServer(self, served, options, self._reactor)
        if self._keylog is not None:
            server.on("keylog", self._keylog)
        server.on("error", lambda error: log.error("{error}", error=error))
        server.listen({"fd": self.bound.duplicate()})
        return server

    def _responder(self, own: Options) -> Any:
        """Who is asked for staples, or None."""
        staples = own.get("staples")
        wanted = None if staples != ["fetch"] else bool(own.staplesPrivate)
        if self._fetching is not None and self._fetching[0] is not wanted:
            self._fetching[1].close()
            self._fetching = None
        if wanted is None:
            return FileOCSPResponder(staples) if staples else None
        if self._fetching is None:
            # One for as long as that is said: what it has fetched outlives a reload.
            self._fetching = (
                wanted,
                FetchingOCSPResponder(self._reactor, refusePrivate=not wanted),
            )
        return self._fetching[1]

    def _listenPlain(self, served: _Served) -> Any:
        factory = _PlainFactory(self, served)
        return self._reactor.adoptStreamPort(
            self.bound.socket.fileno(), self.bound.socket.family, factory
        )

    def _builder(self, serving: Serving) -> tuple[_Build, Any]:
        if serving.mode is Mode.ECHO:
            return Echo, None
        if serving.mode is Mode.STATIC:
            # Twisted's web server is not small, and most daemons have no use for it.
            from txnodetls.daemon.static import staticSite

            site = staticSite(serving.target)
            return lambda record: site.buildProtocol(None), site
        timeout = serving.own.backendTimeout / 1000
        header = _HEADERS.get(serving.own.sendProxy)
        backend = Backend(self._endpoint(serving), timeout, header)
        kind: Callable[..., Front] = Front
        if serving.mode is Mode.ORIGINATE:
            kind = partial(_PlainFront, self.ended)
        return partial(kind, backend=backend, reactor=self._reactor), None

    def _endpoint(self, serving: Serving) -> Any:
        if serving.mode is Mode.TERMINATE:
            return plainEndpoint(self._reactor, serving.target)
        place, options = serving.place, serving.options
        # The time is this daemon's own business.
        if isinstance(place, str):
            below = clientFromString(self._reactor, place)
            return wrapClient(
                below, options, reactor=self._reactor, connectTimeout=0, socketMade=self._logged
            )
        return ClientEndpoint(
            self._reactor, *place, options, connectTimeout=0, socketMade=self._logged
        )

    def _logged(self, socket: Any) -> None:
        """A connection to a backend begins: its secrets go where those of clients go."""
        if self._keylog is not None:
            socket.on("keylog", partial(self._keylog, socket=socket))

    # -- what FrontServer tells (see Host)

    def arrived(self, server: FrontServer, carrier: Any) -> None:
        peer, local = _pair(carrier.remoteAddress), _pair(carrier.localAddress)
        served: _Served = server.served
        record = self._record(served, peer, local)
        if served.networks is not None:
            self._expectHeader(served, carrier, record)
        elif self._admitted(record):
            record.phase = Phase.HANDSHAKE
            server.enter(carrier, record)
        else:
            carrier.abort()

    def _expectHeader(self, served: _Served, carrier: Any, record: Record) -> None:
        """Who is in front has to say first whom it speaks for."""
        networks = served.networks
        assert networks is not None
        if record.peer is not None and record.peer[0] not in networks:
            record.ends(Reason.PROXY, HeaderError("not from a network in acceptProxyFrom"))
            carrier.abort()
            self._ended(record)
            return
        if not self._admitted(record, None):
            carrier.abort()
            return

        def arrived(header: Header, early: bytes) -> None:
            self._headerCame(carrier, record, header, early)

        def failed(error: BaseException) -> None:
            record.ends(Reason.PROXY, error)
            self.ended(record)

        seconds = served.config.options["handshakeTimeout"] / 1000
        record.protocol = Arrival(self._reactor, carrier, seconds, arrived, failed)

    def _headerCame(self, carrier: Any, record: Record, header: Header, early: bytes) -> None:
        record.protocol = None
        record.peer = header.source or record.peer
        record.local = header.destination or record.local
        server = self._server
        if server is None:
            record.ends(Reason.DRAINED)
            carrier.abort()
            self.ended(record)
            return
        self.gate.left(record.address)
        if not self._admitted(record):
            carrier.abort()
            return
        record.phase = Phase.HANDSHAKE
        server.enter(carrier, record, early)

    def secured(self, server: FrontServer, record: Record) -> None:
        record.secured = record.active = self._reactor.seconds()
        record.agreed = agreed(record.socket)
        record.phase = Phase.OPEN
        record.socket.on("error", partial(_broken, record))
        served: _Served = server.served
        route, build = served.route(record)
        if route is not None:
            record.route = route.name
        if not self._admits(served.config, route, record):
            record.socket.destroy()
            return
        record.protocol = build(record)
        ProtocolAdapter(record.socket, record.protocol).start()

    def _admits(self, config: ListenerConfig, route: RouteConfig | None, record: Record) -> bool:
        """Whether a client may come in, as far as certificates go."""
        rules = config.rules if route is None else route.rules
        if not rules:
            return True
        socket = record.socket
        certificate = socket.getPeerCertificate() if socket.authorized else None
        if rules.admit(certificate["raw"] if certificate else None):
            return True
        record.ends(Reason.FORBIDDEN)
        return False

    def failed(self, record: Record, error: BaseException) -> None:
        if (getattr(error, "code", None), getattr(error, "alert", None)) == _NAME_REFUSED:
            record.ends(Reason.NAME)
        record.ends(Reason.HANDSHAKE, error)
        # Of a client that was refused for its certificate, Node's error says no more than that
        # it is gone.
        refused = record.socket.authorizationError
        if refused:
            record.code = refused

    def ended(self, record: Record) -> None:
        if record.phase is not Phase.ENDED:
            record.phase = Phase.ENDED
            self.gate.left(record.address)
            self._ended(record)

    def plainMade(self, served: _Served, address: Any) -> Protocol | None:
        """A plain connection was accepted: its protocol, or None to refuse it."""
        record = self._record(served, _address(address), self.bound.address)
        if not self._admitted(record):
            return None
        record.phase = Phase.OPEN
        record.protocol = served.build(record)
        protocol: Protocol = record.protocol
        return protocol

    def _record(self, served: _Served, peer: Any, local: Any) -> Record:
        record = Record(served.config.name, peer, local, self._reactor.seconds())
        record.times = served.times
        return record

    def _admitted(self, record: Record, address: str | None = "") -> bool:
        """Whether a connection may come in; by default it is counted for its peer's address."""
        if address == "":
            address = None if record.peer is None else record.peer[0]
        if self.gate.admits(address):
            record.address = address
            self._began(record)
            return True
        record.ends(Reason.LIMIT)
        self._ended(record)
        return False


def _tlsFields(record: Record) -> TLSFields | None:
    socket = record.socket
    if socket is None:
        return None
    certificate = socket.getPeerCertificate() or {}
    name = certificate.get("subject", {}).get("CN")
    return TLSFields(
        version=socket.getProtocol() or "",
        cipher=(socket.getCipher() or {}).get("name", ""),
        servername=socket.servername or None,
        protocol=socket.alpnProtocol or None,
        commonName=name if isinstance(name, str) else None,
        presented=bool(certificate),
        resumed=bool(socket.isSessionReused()),
        verified=socket.authorized,
    )


_HEADERS: dict[str | None, Callable[[Record], bytes]] = {
    "v1": lambda record: version1(record.peer, record.local),
    "v2": lambda record: version2(record.peer, record.local, _tlsFields(record)),
}


def _byName(config: ListenerConfig, servername: str, callback: Callable[..., None]) -> None:
    """
    The context of a name; the default one where there is none.

    With C{strictSNI} that one refuses whoever comes to it.
    """
    callback(None, config.contexts.find(servername))


class _PlainFront(Front):
    """The front where there is no TLS: nobody else tells of its end."""

    def __init__(self, ended: Callable[[Record], object], *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._told = ended

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self._told(self.record)


class _PlainFactory(Factory):
    noisy = False

    def __init__(self, listener: Listener, served: _Served) -> None:
        self._listener = listener
        self._served = served

    def buildProtocol(self, addr: Any) -> Protocol | None:
        return self._listener.plainMade(self._served, addr)


def _pair(address: Any) -> tuple[str, int] | None:
    """Host and port, out of an address in Node's form."""
    return (address["address"], address["port"]) if address else None


def _address(address: Any) -> tuple[str, int] | None:
    """The same, out of one in Twisted's."""
    host = getattr(address, "host", None)
    return None if host is None else (host, address.port)


def _broken(record: Record, error: BaseException) -> None:
    record.ends(Reason.FAILED if isinstance(error, OpenSSLError) else Reason.RESET, error)
