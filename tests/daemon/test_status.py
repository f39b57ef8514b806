"""Health and metrics by HTTP, whatever becomes of who asks and who answers."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.test.requesthelper import DummyRequest

from txnodetls.daemon.metrics import Snapshot
from txnodetls.daemon.status import statusSite

ONE: Snapshot = {("workers", ()): 1.0}


def ask(path: bytes, snapshot: Any = lambda: ONE, healthy: bool = True) -> Any:
    site = statusSite(lambda: healthy, snapshot)
    request: Any = DummyRequest([path])
    request.method = b"GET"
    resource = site.resource.getChildWithDefault(path, request)
    result = resource.render(request)
    if isinstance(result, bytes):
        request.write(result)
    return request


def test_health_is_a_status() -> None:
    for healthy, code, text in ((True, None, b"ok\n"), (False, 503, b"not serving\n")):
        request = ask(b"health", healthy=healthy)
        assert (request.responseCode, b"".join(request.written)) == (code, text)


def test_metrics_come_when_they_are_there() -> None:
    waiting: Deferred[Snapshot] = Deferred()
    for request, answer in ((ask(b"metrics"), None), (ask(b"metrics", lambda: waiting), waiting)):
        if answer is not None:
            assert request.written == []
            answer.callback(ONE)
        assert b"nodetls_workers 1.0\n" in b"".join(request.written)
        assert request.finished == 1


def test_who_has_gone_meanwhile_is_not_answered() -> None:
    waiting: Deferred[Snapshot] = Deferred()
    request = ask(b"metrics", lambda: waiting)
    request.processingFailed(Failure(ConnectionError()))
    waiting.callback(ONE)
    assert (request.written, request.finished) == ([], 0)


def test_what_fails_is_told_to_who_asks() -> None:
    told: list[Failure] = []
    waiting: Deferred[Snapshot] = Deferred()
    request = ask(b"metrics", lambda: waiting)
    request.processingFailed = told.append
    waiting.errback(ZeroDivisionError())
    assert [failure.type for failure in told] == [ZeroDivisionError]


def test_nothing_else_is_there() -> None:
    assert ask(b"elsewhere").responseCode == 404
