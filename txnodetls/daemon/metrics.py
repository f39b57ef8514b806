"""
Metrics: what has happened, in numbers, in the form that Prometheus reads.

Everything is counted out of the records of connections: those that have ended once, those that
are open each time somebody asks.  Labels are the configured names of listeners and routes, and
words out of short lists of our own; nothing that a peer has sent ever becomes one.

A L{Snapshot} is plain data, so that workers can hand theirs to the supervisor, which adds them.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from txnodetls.daemon.records import Phase, Reason, Record
from txnodetls.daemon.validity import Validity

__all__ = ["Metrics", "Snapshot", "added", "exposition"]

Snapshot = dict[tuple[str, tuple[str, ...]], float]
"""Values by name and labels."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a metric is."""

    type: str
    help: str
    labels: tuple[str, ...] = ()


KINDS: Final[dict[str, _Kind]] = {
    "connections": _Kind("counter", "Connections that came.", ("listener",)),
    "connections_open": _Kind("gauge", "Connections that there are.", ("listener",)),
    "connections_ended": _Kind(
        "counter", "Connections that have ended, by reason.", ("listener", "reason")
    ),
    "handshakes": _Kind(
        "counter", "Handshakes that were done.", ("listener", "version", "resumed")
    ),
    "handshake_failures": _Kind("counter", "Handshakes that were not.", ("listener", "kind")),
    "handshake_seconds": _Kind("sum", "Seconds from accept to the handshake's end.", ("listener",)),
    "received_bytes": _Kind("counter", "Bytes from clients, inside TLS.", ("listener", "route")),
    "sent_bytes": _Kind("counter", "Bytes to clients, inside TLS.", ("listener", "route")),
    "reloads": _Kind("counter", "Times that the configuration was read again.", ("result",)),
    "worker_deaths": _Kind("counter", "Workers that have died."),
    "worker_hangs": _Kind("counter", "Workers that were killed because they did not answer."),
    "workers": _Kind("gauge", "Workers that serve, and answer."),
    "certificate_not_after_seconds": _Kind(
        "gauge", "When certificates expire, in seconds since 1970.", ("listener", "certificate")
    ),
    "start_time_seconds": _Kind("gauge", "When the daemon was started, since 1970."),
}


def failureKind(code: str | None) -> str:
    """A word for the error of a handshake."""
    if code is None:
        return "other"
    if "TIMEOUT" in code:
        return "timeout"
    if "CERT" in code or code.startswith("UNABLE_TO"):
        return "certificate"
    if code in ("ECONNRESET", "EPIPE"):
        return "gone"
    return "protocol" if code.startswith("ERR_SSL") else "other"


class Metrics:
    """Counts what happens in one process."""

    def __init__(self) -> None:
        self._counts: Snapshot = {}

    def add(self, name: str, *labels: str, amount: float = 1) -> None:
        """Count something."""
        _add(self._counts, name, labels, amount)

    def ended(self, record: Record) -> None:
        """Count a connection that has ended."""
        _observe(self._counts, record)

    def snapshot(self, records: Iterable[Record] = ()) -> Snapshot:
        """
        All values now.

        @param records: the connections that are open.
        """
        counts = dict(self._counts)
        for record in records:
            _observe(counts, record)
        return counts


def _observe(counts: Snapshot, record: Record) -> None:
    listener, route = record.listener, record.route or ""
    _add(counts, "connections", (listener,))
    if record.phase is not Phase.ENDED:
        _add(counts, "connections_open", (listener,))
    else:
        reason = record.reason or Reason.DONE
        _add(counts, "connections_ended", (listener, str(reason)))
        _add(counts, "connections_open", (listener,), 0)
        if reason is Reason.HANDSHAKE:
            _add(counts, "handshake_failures", (listener, failureKind(record.code)))
    if record.secured is not None:
        resumed = "yes" if record.agreed.get("resumed") else "no"
        version = record.agreed.get("version", "")
        _add(counts, "handshakes", (listener, version, resumed))
        _add(counts, "handshake_seconds", (listener,), record.secured - record.began)
    received, sent = record.count()
    _add(counts, "received_bytes", (listener, route), received)
    _add(counts, "sent_bytes", (listener, route), sent)


def _add(counts: Snapshot, name: str, labels: tuple[str, ...], amount: float = 1) -> None:
    key = name, labels
    counts[key] = counts.get(key, 0) + amount


def added(snapshots: Iterable[Snapshot], ended: bool = False) -> Snapshot:
    """
    The sum of several.

    @param ended: of processes that are gone: of what they had open nothing is.
    """
    total: Snapshot = {}
    for snapshot in snapshots:
        for (name, labels), value in snapshot.items():
            if not (ended and KINDS[name].type == "gauge"):
                _add(total, name, labels, value)
    return total


def certificates(validities: Iterable[Validity]) -> Snapshot:
    """When they expire; of several of one name, the first to do so."""
    found: Snapshot = {}
    for each in validities:
        key = "certificate_not_after_seconds", (each.listener, each.name)
        found[key] = min(each.notAfter, found.get(key, each.notAfter))
    return found


STARTED: Final = time.time()


def exposition(snapshot: Snapshot) -> bytes:
    """The text that Prometheus reads."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    class Collector:
        def collect(self) -> Iterable[Any]:
            for name, kind in KINDS.items():
                values = {labels: v for (each, labels), v in snapshot.items() if each == name}
                if not values:
                    continue
                family = GaugeMetricFamily if kind.type == "gauge" else CounterMetricFamily
                metric = family(f"nodetls_{name}", kind.help, labels=kind.labels)
                for labels, value in sorted(values.items()):
                    metric.add_metric(labels, value)
                yield metric

    registry = CollectorRegistry()
    registry.register(Collector())
    return generate_latest(registry)
