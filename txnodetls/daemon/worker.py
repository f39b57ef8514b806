"""
A worker: a process of its own that serves what its supervisor tells it to.

Its standard input and its descriptor 3 are the pipes of L{channel}; what it logs it prints, a
line at a time, for the supervisor to log.  It reads no files, and ends, after draining, when the
supervisor says so or is gone.  On SIGTERM it takes no more connections, has itself replaced, and
ends with its last one: C{kill} for an operator.  (It is also what systemd sends to all processes
of a service unless it is told to send it to one; the supervisor then sees to the deadline.)
"""

from __future__ import annotations

import fcntl
import importlib
import os
import signal
import sys
from typing import Any, Final, cast

from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogBeginner

from txnodetls.daemon.channel import Lines, filesFrom, said, snapshotTold
from txnodetls.transports.listening import SocketPort
from txnodetls.twisted.reporting import escaped

__all__ = ["Worker", "main"]

REPORTS: Final = 3
"""The descriptor of the pipe to the supervisor."""


class Worker:
    """
    Does what it is told.

    @param report: sends a message to the supervisor.
    """

    def __init__(self, reactor: Any, report: Any) -> None:
        self._reactor = reactor
        self._report = report
        self._runtime: Any = None
        self._keylog: Any = None
        self._lines = Lines()
        self._draining = False
        self._prepared: Any = None

    def receive(self, data: bytes) -> None:
        """The supervisor has said something."""
        for message in self._lines.receive(data):
            getattr(self, f"_on_{message['say']}")(message)

    def gone(self) -> None:
        """The supervisor is gone."""
        self._drain(0)

    def leave(self) -> None:
        """End with the last connection."""
        if not self._draining:
            self._report(said("leaving"))
            self._drain(None)

    def _on_prepare(self, message: dict[str, Any]) -> None:
        from txnodetls.daemon.config import readConfig
        from txnodetls.openssl.sessions import ticketKeysAvailable

        # Functions that are looked up once: now, and not when clients wait for this worker.
        ticketKeysAvailable()
        try:
            config = readConfig(message["switches"], filesFrom(message["files"]))
        except Exception as error:
            self._report(said("failed", error=str(error)))
        else:
            self._prepared = config, message

    def _on_serve(self, message: dict[str, Any]) -> None:
        self._on_prepare(message)
        self._on_go(message)

    def _on_go(self, keys: dict[str, Any]) -> None:
        """Serve what was prepared."""
        from txnodetls.daemon.bound import bind
        from txnodetls.daemon.runtime import Runtime

        prepared, self._prepared = self._prepared, None
        if prepared is None:
            return  # that it could not be prepared is said already
        config, message = prepared
        try:
            if self._runtime is None:
                self._runtime = Runtime(self._reactor, self._keylogOf(message["switches"]))
            ports = {
                place: self._runtime.ports.get(place) or bind({"descriptor": number})
                for place, number in message["ports"].items()
            }
            self._runtime.apply(config, ports)
        except Exception as error:
            self._report(said("failed", error=str(error)))
            return
        self._on_tickets(keys)
        self._report(said("serving"))

    def _keylogOf(self, switches: dict[str, str]) -> Any:
        path = switches.get("tls-keylog")
        if path is None:
            return None
        from txnodetls.keylog import KeyLogFile

        keylog = KeyLogFile(path)
        return lambda line, socket: keylog(line)

    def _on_tickets(self, message: dict[str, Any]) -> None:
        if self._runtime is not None:
            self._runtime.tickets.take(bytes.fromhex(key) for key in message["keys"])

    def _on_stats(self, message: dict[str, Any]) -> None:
        runtime = self._runtime
        values = [] if runtime is None else snapshotTold(runtime.snapshot())
        self._report(said("stats", values=values, open=0 if runtime is None else runtime.open))

    def _on_drain(self, message: dict[str, Any]) -> None:
        self._drain(message["seconds"])

    def _on_end(self, message: dict[str, Any]) -> None:
        if self._runtime is not None:
            self._runtime.end()

    def _drain(self, seconds: float | None) -> None:
        """End; None: when the last connection does, whenever that is."""
        before, self._draining = self._draining, True
        if before:
            # It was to end by itself, and is in a hurry now.
            if self._runtime is not None:
                self._runtime.drain(seconds)
            return
        if self._runtime is None:
            self._reactor.stop()
            return

        def drained(result: object) -> None:
            self._on_stats({})
            # In a later turn, so that the pipe takes what was said last.
            self._reactor.callLater(0, self._reactor.stop)

        self._runtime.drain(seconds).addCallback(drained)


def _printed(event: LogEvent) -> None:
    """The log of a worker: lines for the supervisor."""
    level = event.get("log_level", LogLevel.info)
    text = formatEvent(event)
    failure = event.get("log_failure")
    if failure is not None:
        text += "\n" + failure.getTraceback()
    for line in text.splitlines():
        if line:
            os.write(1, f"{level.name} {escaped(line)}\n".encode())


def main() -> None:
    """What a worker's process runs: C{python -m txnodetls.daemon.worker MODULE_OF_REACTOR}."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    installer: Any = importlib.import_module(sys.argv[1])
    if "twisted.internet.reactor" not in sys.modules:
        installer.install()
    from twisted.internet import process, reactor

    # The others are to have their part of a burst, as with nginx and its multi_accept off.
    SocketPort.atOnce = 1
    # Imported now and not with the first configuration, for which clients may wait.
    importlib.import_module("txnodetls.daemon.runtime")
    importlib.import_module("txnodetls.daemon.config")
    globalLogBeginner.beginLoggingTo([cast(Any, _printed)], redirectStandardIO=False)

    class Pipe:
        """The pipe from the supervisor, and the one to it."""

        def childDataReceived(self, name: int, data: bytes) -> None:
            worker.receive(data)

        def childConnectionLost(self, name: int, reason: Any) -> None:
            worker.gone()

    fcntl.fcntl(REPORTS, fcntl.F_SETFD, fcntl.FD_CLOEXEC)

    real: Any = reactor
    writer = process.ProcessWriter(real, cast(Any, Pipe()), REPORTS, REPORTS)
    worker = Worker(real, writer.write)
    process.ProcessReader(real, cast(Any, Pipe()), 0, 0)
    signal.signal(signal.SIGTERM, lambda number, frame: real.callFromThread(worker.leave))
    real.callWhenRunning(lambda: writer.write(said("idle")))
    real.run(installSignalHandlers=False)


if __name__ == "__main__":
    main()
