"""
What C{twistd nodetls} runs: TLS ports, and an echo or the proxy behind each.

C{twistd} takes C{Options} and C{makeService} from here (see
C{twisted/plugins/txnodetls_daemon.py}).
"""

from __future__ import annotations

import hashlib
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.application.service import Service
from twisted.internet.endpoints import clientFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocolFactory
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txnodetls.daemon.command import Options
from txnodetls.daemon.config import Config, ListenerConfig, Mode
from txnodetls.daemon.proxy import ProxyFactory
from txnodetls.twisted.endpoints import ServerEndpoint
from txnodetls.twisted.reporting import joined

__all__ = ["DaemonService", "Echo", "Options", "StartFailure", "makeService"]

log = Logger()


class StartFailure(SystemExit, Exception):
    """
    The daemon cannot start, for a reason that one line tells.

    As a SystemExit it ends the program with that line and status 1.  As an Exception it is
    passed on by a C{twistd} in the background to the one in front, and the pid file is removed.
    """

    def __str__(self) -> str:
        return str(self.code)


@implementer(IHalfCloseableProtocol)
class Echo(Protocol):
    """Sends back what it receives, as fast as that is taken; ends when the peer has ended."""

    transport: Any

    def connectionMade(self) -> None:
        self.transport.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)

    def readConnectionLost(self) -> None:
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """All has been said."""


class DaemonService(Service):
    """
    The ports, the protocols behind them, and the connections, as one service.

    @param reactor: the reactor.
    @param config: what to do.
    """

    name = "nodetls"

    def __init__(self, reactor: Any, config: Config) -> None:
        self._listeners = [Listener(reactor, each) for each in config.listeners]

    def privilegedStartService(self) -> None:
        """
        Listen: before C{twistd} gives up root's rights, so that port 443 is possible.

        @raise StartFailure: an address cannot be had.
        """
        self._listen()
        super().privilegedStartService()

    def startService(self) -> None:
        """Listen, unless that is done; what comes is served once the reactor runs."""
        self._listen()
        super().startService()

    def stopService(self) -> None:
        """Accept no more, and close what is open: flush, close_notify."""
        super().stopService()
        for listener in self._listeners:
            listener.stop()

    def _listen(self) -> None:
        for listener in self._listeners:
            listener.start()


class Listener:
    """
    One port.

    @param config: what to serve there.
    """

    def __init__(self, reactor: Any, config: ListenerConfig) -> None:
        self._config = config
        self._factory = _factory(reactor, config)
        self._endpoint = ServerEndpoint(reactor, config.options, **config.where)
        self._port: Any = None
        self._sockets: set[Any] = set()

    def start(self) -> None:
        """
        Listen, unless that is done.

        @raise StartFailure: the address cannot be had.
        """
        if self._port is not None:
            return
        results: list[Any] = []
        self._endpoint.listen(self._factory).addBoth(results.append)
        # The host is an address, so there is nothing to wait for.
        (result,) = results
        if isinstance(result, Failure):
            raise _startFailure(result, self._config)
        self._port = result
        result.tlsServer.on("secureConnection", self._opened)
        self._announce()

    def stop(self) -> None:
        """Accept no more, and close what is open."""
        port, self._port = self._port, None
        if port is not None:
            port.stopListening()
        for socket in list(self._sockets):
            socket.destroySoon()

    def _opened(self, socket: Any) -> None:
        self._sockets.add(socket)
        socket.once("close", lambda hadError: self._sockets.discard(socket))

    def _announce(self) -> None:
        config = self._config
        address = self._port.getHost()
        where = config.where.get("path") or joined(address.host, address.port)
        log.info("listening on {address}: {serving}", address=where, serving=config.serving)
        if config.throwaway is not None:
            log.info(
                "throwaway certificate, SHA-256 fingerprint {fingerprint}; "
                "to try it: openssl s_client -connect {address}",
                fingerprint=_fingerprint(config.throwaway),
                address=where,
            )


def _factory(reactor: Any, config: ListenerConfig) -> IProtocolFactory:
    factory: Factory
    if config.serving.mode is Mode.ECHO:
        factory = Factory.forProtocol(Echo)
    else:
        factory = ProxyFactory(clientFromString(reactor, config.serving.target))
    factory.noisy = False
    return factory


def makeService(options: Options) -> DaemonService:
    """The service of these switches."""
    from twisted.internet import reactor

    return DaemonService(reactor, options.config)


def _startFailure(failure: Failure, config: ListenerConfig) -> StartFailure:
    error = failure.value
    cause = error.__cause__ if isinstance(error, CannotListenError) else error
    code = getattr(cause, "code", None)
    name = "interface" if code == "EADDRNOTAVAIL" else "port"
    return StartFailure(f"twistd nodetls: {config.level.error(name, str(cause))}")


def _fingerprint(certificate: bytes) -> str:
    der = x509.load_pem_x509_certificate(certificate).public_bytes(Encoding.DER)
    return hashlib.sha256(der).digest().hex(":").upper()
