"""
What C{twistd nodetls} runs, in one process.

C{twistd} takes C{Options} and C{makeService} from here (see
C{twisted/plugins/txnodetls_daemon.py}).  The service binds its ports before C{twistd} gives up
root's rights, and serves once the reactor runs; SIGHUP and changed files have it read its
configuration again; SIGTERM has it drain.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from txnodetls.daemon.bound import Bound, placeOf
from txnodetls.daemon.command import Options
from txnodetls.daemon.config import readConfig
from txnodetls.daemon.metrics import STARTED, Metrics, Snapshot, added, certificates
from txnodetls.daemon.plan import Config, ListenerConfig
from txnodetls.daemon.reload import Watcher
from txnodetls.daemon.runtime import Runtime, bindAll
from txnodetls.daemon.systemd import Notifier
from txnodetls.daemon.validity import troubles
from txnodetls.daemon.workers import WorkerFailure, Workers
from txnodetls.daemon.written import ConfigError
from txnodetls.keylog import KeyLogFile
from txnodetls.openssl.sessions import ticketKeysAvailable
from txnodetls.twisted.reporting import joined

__all__ = ["DaemonService", "Options", "StartFailure", "makeService"]

log = Logger(namespace="nodetls")

_DAY: Final = 86400.0


class StartFailure(SystemExit, Exception):
    """
    The daemon cannot start, for a reason that one line tells.

    As a SystemExit it ends the program with that line and status 1.  As an Exception it is
    passed on by a C{twistd} in the background to the one in front, and the pid file is removed.
    """

    def __str__(self) -> str:
        return str(self.code)


class DaemonService(Service):
    """
    Ports, connections, signals.

    @param switches: what was given on the command line, to be read again.
    @param config: what it amounts to.
    """

    name = "nodetls"

    def __init__(self, reactor: Any, switches: Mapping[str, str], config: Config) -> None:
        self._reactor = reactor
        self._switches = switches
        self._config = config
        self._ports: dict[str, Bound] = {}
        self._keylog: KeyLogFile | None = None
        logs = config.own.get("tls-keylog") is not None
        self._workers: Workers | None = None
        if config.own.workers:
            # They have the file each for itself, with the rights that they will have.
            self._workers = Workers(reactor, config.own.workers, switches)
        self._runtime = self._workers or Runtime(reactor, self._logKeys if logs else None)
        self._watcher = Watcher(reactor, lambda: self.reload("files have changed"))
        self._signals: dict[int, Any] = {}
        self._daily: Any = None
        self._status: Any = None
        self._notifier = Notifier(reactor, os.environ)
        self._metrics = Metrics()

    def privilegedStartService(self) -> None:
        """
        Listen: before C{twistd} gives up root's rights, so that port 443 is possible.

        And look up what OpenSSL hides, which may need files that can be read only until then.

        @raise StartFailure: an address cannot be had.
        """
        self._bind()
        ticketKeysAvailable()
        super().privilegedStartService()

    def startService(self) -> None:
        """
        Serve; what comes is served once the reactor runs.

        @raise StartFailure: an address, a key log or the workers cannot be had.
        """
        self._bind()
        super().startService()
        # First, because unhandled it ends the process.
        self._handle(signal.SIGHUP, lambda: self.reload("SIGHUP"))
        with self._starting():
            self._take(self._config, self._ports)
            if self._workers:
                # Each opens it with the rights that this process has by now, too.
                if (keylog := self._openKeyLog()) is not None:
                    keylog.close()
                self._workers.awaitFirst()
        self._runtime.tickets.start()
        self._notifier.ready()

    def stopService(self) -> Deferred[None]:
        """
        Drain.

        @return: fires when no connection is open any more.
        """
        super().stopService()
        self._notifier.stopping()
        self._watcher.stop()
        if self._daily is not None and self._daily.active():
            self._daily.cancel()
        self._handle(signal.SIGHUP, lambda: None)
        count = self._runtime.open
        seconds = self._config.own.drainTimeout / 1000
        drained = self._runtime.drain(seconds)
        if not drained.called:
            for number in (signal.SIGTERM, signal.SIGINT):
                self._handle(number, self._runtime.end)
            log.info(
                "draining: {count} open, for at most {seconds} s; the next signal ends them",
                count=count,
                seconds=seconds,
            )
        return drained.addCallback(self._left)

    def reload(self, why: str) -> None:
        """
        Read the configuration again, and go by it if it is good.

        Connections go on in any case.
        """
        log.info("reading the configuration again: {why}", why=why)
        self._notifier.reloading()
        result = "failed"
        try:
            config = readConfig(self._switches, self._config.files.afresh())
            self._takeNew(config, bindAll(config, self._ports))
            result = "done"
        except (ConfigError, WorkerFailure) as error:
            log.error("not reloaded, everything stays as it was: {error}", error=error)
        except Exception:
            log.failure("not reloaded, for a reason that should not be")
        else:
            log.info("reloaded")
        self._metrics.add("reloads", result)
        self._notifier.ready()

    def _bind(self) -> None:
        if self._ports:
            return
        with self._starting():
            self._ports = bindAll(self._config, {})
            self._listenForStatus()
            if not self._workers:
                self._keylog = self._openKeyLog()

    @contextlib.contextmanager
    def _starting(self) -> Iterator[None]:
        """What fails within is said in one line, and leaves nothing behind."""
        try:
            yield
        except (ConfigError, WorkerFailure) as error:
            for port in self._ports.values():
                port.close()
            raise StartFailure(f"twistd nodetls: {error}") from error

    def _openKeyLog(self) -> KeyLogFile | None:
        path = self._config.own.get("tls-keylog")
        try:
            return None if path is None else KeyLogFile(path)
        except OSError as error:
            problem = f"{path}: {error.strerror or error}"
            raise ConfigError("--tls-keylog", problem, "tls-keylog") from error

    def _listenForStatus(self) -> None:
        place = self._config.own.get("metrics")
        if place is None:
            return
        # Twisted's web server is not small, and is loaded only where it is used.
        from txnodetls.daemon.status import statusSite

        host, _, port = place.rpartition(":")
        site = statusSite(lambda: self._runtime.serves, self._snapshot)
        try:
            self._status = self._reactor.listenTCP(int(port), site, interface=host.strip("[]"))
        except CannotListenError as error:
            raise ConfigError("--metrics", str(error), "metrics") from error
        address = self._status.getHost()
        log.info("metrics at http://{host}/metrics", host=joined(address.host, address.port))

    def _snapshot(self) -> Deferred[Snapshot]:
        validities = [each for listener in self._config.listeners for each in listener.validities]
        own = self._metrics.snapshot() | certificates(validities)
        own["start_time_seconds", ()] = STARTED

        def gathered(found: Snapshot) -> Snapshot:
            return added([own, found])

        asked: Deferred[Any] = maybeDeferred(self._runtime.snapshot)
        return asked.addCallback(gathered)

    def _logKeys(self, line: bytes, socket: Any) -> None:
        if self._keylog is not None:
            self._keylog(line)

    def _takeNew(self, config: Config, ports: dict[str, Bound]) -> None:
        """Go by another configuration, or by the one there is."""
        before = self._ports
        try:
            self._take(config, ports)
        except WorkerFailure:
            for place in ports.keys() - before.keys():
                ports[place].close()
            raise

    def _take(self, config: Config, ports: dict[str, Bound]) -> None:
        before = self._runtime.ports
        self._runtime.apply(config, ports)
        for name in ("workers", "metrics"):
            if config.own.get(name) != self._config.own.get(name):
                log.warn("{name} has changed: it is taken at the start only", name=name)
        self._config, self._ports = config, ports
        for warning in config.warnings:
            log.warn("{warning}", warning=warning)
        self._checkValidity()
        for listener in config.listeners:
            place = placeOf(listener.name, listener.where)
            if place not in before:
                announce(listener, ports[place])
        leaving = frozenset(filter(None, [self._switches.get("config")]))
        self._watcher.watch(config.files, leaving, config.own.watch)

    def _checkValidity(self) -> None:
        """Warn of certificates that are not good, or not for long; and again in a day."""
        if self._daily is not None and self._daily.active():
            self._daily.cancel()
        self._daily = self._reactor.callLater(_DAY, self._checkValidity)
        validities = [each for listener in self._config.listeners for each in listener.validities]
        for trouble in troubles(validities, time.time(), self._config.own.certWarning):
            log.warn("{trouble}", trouble=trouble)

    def _left(self, result: None) -> None:
        for number, before in self._signals.items():
            signal.signal(number, before)
        self._signals.clear()

    def _handle(self, number: int, act: Any) -> None:
        """From now on, a signal does this, in a turn of the reactor's."""

        def handler(signum: int, frame: object) -> None:
            self._reactor.callFromThread(act)

        before = signal.signal(number, handler)
        self._signals.setdefault(number, before)


def announce(config: ListenerConfig, port: Bound) -> None:
    """Log where something is served, and how to try it with a throwaway certificate."""
    log.info("listening on {address}: {serving}", address=str(port), serving=str(config.serving))
    if config.throwaway is not None:
        log.info(
            "throwaway certificate, SHA-256 fingerprint {fingerprint}; "
            "to try it: openssl s_client -connect {address}",
            fingerprint=_fingerprint(config.throwaway),
            address=str(port),
        )


def makeService(options: Options) -> DaemonService:
    """The service of these switches."""
    from twisted.internet import reactor

    return DaemonService(reactor, options.switches, options.config)


def _fingerprint(certificate: bytes) -> str:
    der = x509.load_pem_x509_certificate(certificate).public_bytes(Encoding.DER)
    return hashlib.sha256(der).digest().hex(":").upper()
