"""
The daemon at work: listeners and connections, under a configuration that may change.

    L{Runtime.prepare}   bind what is new; nothing else happens, and it may fail
    L{Runtime.apply}     serve it, close what is gone
    L{Runtime.drain}     accept no more, wait for what is open, end it at the deadline

It knows neither C{twistd} nor signals; a process of its own or one of several workers is driven
by the same calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from txnodetls import pki
from txnodetls.daemon.bound import Bound, bind, placeOf
from txnodetls.daemon.limits import Sweeper
from txnodetls.daemon.listeners import Listener
from txnodetls.daemon.logs import logConnection
from txnodetls.daemon.metrics import Metrics, Snapshot
from txnodetls.daemon.plan import Config
from txnodetls.daemon.records import Phase, Reason, Record
from txnodetls.daemon.tickets import TicketKeys

__all__ = ["Runtime", "bindAll"]

log = Logger(namespace="nodetls")

# Not when the first certificate comes, and the rights to read files may be gone.
pki.importReaders()

_GOODBYE: Final = 1.0
"""Seconds, of those that draining may take, for close_notify and what is queued."""
_QUIET: Final = 10.0
"""Seconds between two lines about connections that are refused for a limit."""


def bindAll(config: Config, existing: Mapping[str, Bound]) -> dict[str, Bound]:
    """
    The ports of a configuration by their places: those there are, and new ones.

    @raise ConfigError: an address cannot be had; nothing is left open then.
    """
    ports: dict[str, Bound] = {}
    new: list[Bound] = []
    for listener in config.listeners:
        place = placeOf(listener.name, listener.where)
        found = existing.get(place)
        if found is None:
            try:
                found = bind(listener.where)
            except Exception as error:
                for port in new:
                    port.close()
                code = getattr(error, "code", None)
                name = next(
                    (each for each in ("path", "systemd") if each in listener.where), "port"
                )
                if code == "EADDRNOTAVAIL":
                    name = "interface"
                raise listener.level.error(name, str(error)) from error
            new.append(found)
        ports[place] = found
    return ports


class Runtime:
    """
    Listeners and connections.

    @ivar records: the connections that there are.
    @ivar metrics: what has happened.
    @ivar tickets: the ticket keys of all its servers.
    """

    def __init__(self, reactor: Any, keylog: Callable[..., object] | None = None) -> None:
        self._keylog = keylog
        self._reactor = reactor
        self._listeners: dict[str, Listener] = {}
        self._format = "text"
        self._drained: Deferred[None] | None = None
        self._hurry: list[Any] = []
        self._refused = 0
        self._told = -_QUIET
        self.records: set[Record] = set()
        self._sweeper = Sweeper(reactor, self.records)
        self.tickets = TicketKeys(reactor)
        self.metrics = Metrics()

    @property
    def ports(self) -> dict[str, Bound]:
        """The ports there are, by their places."""
        return {place: listener.bound for place, listener in self._listeners.items()}

    def apply(self, config: Config, ports: Mapping[str, Bound]) -> None:
        """
        Serve a configuration.

        @param ports: its ports, from L{bindAll}.
        """
        self._format = config.own.connectionLog
        former, self._listeners = self._listeners, {}
        for each in config.listeners:
            place = placeOf(each.name, each.where)
            listener = former.pop(place, None)
            if listener is None:
                listener = Listener(
                    self._reactor, ports[place], self.records.add, self._ended, self._keylog
                )
            listener.serve(each)
            self._listeners[place] = listener
        for listener in former.values():
            listener.stop()
        self.tickets.serve(
            listener.server
            for listener in self._listeners.values()
            if listener.server is not None and not listener.hasTicketKeys
        )
        self._sweeper.start()

    def drain(self, seconds: float | None) -> Deferred[None]:
        """
        Accept no more, and wait for what is open.

        @param seconds: after which it is ended; None: never, unless a later call says so.
        @return: fires when nothing is open any more.
        """
        for listener in self._listeners.values():
            listener.stop()
        first = self._drained is None
        if self._drained is None:
            self._drained = Deferred()
        if seconds is not None and not self._hurry:
            goodbye = max(0.0, seconds - min(_GOODBYE, seconds / 2))
            cut = max(seconds, goodbye + _GOODBYE / 2) if seconds else _GOODBYE
            call = self._reactor.callLater
            over = cut + _GOODBYE
            self._hurry = [call(goodbye, self.end), call(cut, self.cut), call(over, self._over)]
        if first:
            self._checkDrained()
        return self._drained

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self.records)

    @property
    def serves(self) -> bool:
        """Whether it takes connections."""
        return bool(self._listeners) and self._drained is None

    def snapshot(self) -> Snapshot:
        """All metrics now."""
        return self.metrics.snapshot(self.records)

    def end(self) -> None:
        """End every connection, after what is queued."""
        for record in list(self.records):
            record.ends(Reason.DRAINED)
            record.close()

    def cut(self) -> None:
        """End every connection at once."""
        for record in list(self.records):
            record.ends(Reason.DRAINED)
            record.abort()

    def _ended(self, record: Record) -> None:
        self.records.discard(record)
        record.phase = Phase.ENDED
        self.metrics.ended(record)
        if record.reason is Reason.LIMIT:
            self._limited(record)
        else:
            logConnection(record, self._reactor.seconds(), self._format)
        record.socket = record.protocol = None
        self._checkDrained()

    def _limited(self, record: Record) -> None:
        """Whoever floods a limit shall not flood the log as well."""
        self._refused += 1
        now = self._reactor.seconds()
        if now - self._told >= _QUIET:
            log.warn(
                "{listener}: at its limit; {count} connections refused since the last time",
                listener=record.listener,
                count=self._refused,
            )
            self._told, self._refused = now, 0

    def _checkDrained(self) -> None:
        drained = self._drained
        if drained is not None and not self.records:
            self._over()

    def _over(self) -> None:
        """Nothing is open any more, or has had its time."""
        drained = self._drained
        if drained is None or drained.called:
            return
        self._sweeper.stop()
        self.tickets.stop()
        for call in self._hurry:
            if call.active():
                call.cancel()
        drained.callback(None)
