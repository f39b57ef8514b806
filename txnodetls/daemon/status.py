"""
Health and metrics by HTTP, on a loopback address of their own.

    /health    200 while it serves, 503 while it does not (any more)
    /metrics   for Prometheus
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure
from twisted.web import resource, server

from txnodetls.daemon.metrics import Snapshot, exposition

__all__ = ["statusSite"]


class _Health(resource.Resource):
    isLeaf = True

    def __init__(self, healthy: Callable[[], bool]) -> None:
        super().__init__()
        self._healthy = healthy

    def render_GET(self, request: Any) -> bytes:
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        if self._healthy():
            return b"ok\n"
        request.setResponseCode(503)
        return b"not serving\n"


class _Metrics(resource.Resource):
    isLeaf = True

    def __init__(self, snapshot: Callable[[], Deferred[Snapshot] | Snapshot]) -> None:
        super().__init__()
        self._snapshot = snapshot

    def render_GET(self, request: Any) -> int:
        gone: list[object] = []
        request.notifyFinish().addBoth(gone.append)

        def came(snapshot: Snapshot) -> None:
            if not gone:
                request.setHeader(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
                request.write(exposition(snapshot))
                request.finish()

        def failed(failure: Failure) -> None:
            if not gone:
                request.processingFailed(failure)

        asked: Deferred[Any] = maybeDeferred(self._snapshot)
        asked.addCallback(came).addErrback(failed)
        return server.NOT_DONE_YET


def statusSite(
    healthy: Callable[[], bool], snapshot: Callable[[], Deferred[Snapshot] | Snapshot]
) -> server.Site:
    """What serves health and metrics."""
    root = resource.Resource()
    root.putChild(b"health", _Health(healthy))
    root.putChild(b"metrics", _Metrics(snapshot))
    site = server.Site(root, timeout=30)
    site.displayTracebacks = False
    site.noisy = False
    return site
