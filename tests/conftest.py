"""
Rules for all tests.

No test hangs: each of its three phases ends after a limit, 60 seconds unless
`@pytest.mark.timeLimit(seconds)` says otherwise.  A test waits in one of two
places: in its own code (a subprocess, a socket), where an alarm can simply
raise; or, under pytest-twisted, for a Deferred, while the reactor runs in a
greenlet of its own.  There an exception would end the reactor and with it
every later test, so the Deferred is cancelled from the reactor's next turn.
If there is no next turn (pytest-twisted runs plain functions inside of one),
a second alarm raises where the code stands.  Where nothing helps (stuck in
C), the process is ended with a traceback.

No test passes over an error: what reaches Twisted's log as a failure or as
critical fails the test, unless the test took it from the fixture
`loggedErrors`.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import signal
import sys
from collections.abc import Generator, Iterator
from typing import Any

import greenlet
import pytest
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher

from tests.support import Pki, makePki

TIME_LIMIT = 60.0


def _awaited(waiting: greenlet.greenlet) -> Any:
    """The Deferred that pytest-twisted waits for in a greenlet that is not running, or None."""
    frame = waiting.gr_frame
    while frame is not None:
        if frame.f_code.co_name == "blockon_default":
            return frame.f_locals["d"]
        frame = frame.f_back
    return None


@contextlib.contextmanager
def timeLimit(seconds: float, what: str) -> Iterator[None]:
    """Within, what is under way is ended after so many seconds, and has then failed."""
    testing = greenlet.getcurrent()
    late = pytest.fail.Exception(f"{what} took longer than its time limit, {seconds:g} s")
    expirations = 0
    over = False

    def end() -> None:
        if over:
            return
        deferred = _awaited(testing)
        if deferred is None:
            testing.throw(late)
        else:
            deferred.cancel()

    def expired(signum: int, frame: object) -> None:
        nonlocal expirations
        expirations += 1
        if greenlet.getcurrent() is testing or expirations > 1:
            raise late
        from twisted.internet import reactor

        reactor.callFromThread(end)  # type: ignore[attr-defined]

    before = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
    faulthandler.dump_traceback_later(seconds + 20, exit=True, file=sys.__stderr__)
    try:
        yield
    except BaseException as error:
        if expirations and error is not late:
            raise late from error
        raise
    finally:
        over = True
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    if expirations:
        raise late


def _limited(item: pytest.Item, phase: str) -> contextlib.AbstractContextManager[None]:
    mark = item.get_closest_marker("timeLimit")
    return timeLimit(mark.args[0] if mark else TIME_LIMIT, f"{phase} of {item.name}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    with _limited(item, "setup"):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    with _limited(item, "run"):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    with _limited(item, "teardown"):
        return (yield)


class LoggedErrors:
    """The errors that a test has sent to Twisted's log so far."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        if "log_failure" in event or event.get("log_level") is LogLevel.critical:
            self.events.append(event)

    def flush(self, *types: type[BaseException]) -> list[BaseException]:
        """
        Take the errors of these types (all, without types) from the list.

        What is not taken fails the test.
        """
        taken: list[BaseException] = []
        kept: list[LogEvent] = []
        for event in self.events:
            failure = event.get("log_failure")
            error = failure.value if failure is not None else RuntimeError(formatEvent(event))
            if not types or isinstance(error, types):
                taken.append(error)
            else:
                kept.append(event)
        self.events = kept
        return taken

    def describe(self) -> str:
        texts = []
        for event in self.events:
            failure = event.get("log_failure")
            trace = failure.getTraceback() if failure is not None else ""
            texts.append(f"{formatEvent(event)}\n{trace}")
        return "\n".join(texts)


@pytest.fixture(autouse=True)
def loggedErrors() -> Iterator[LoggedErrors]:
    """The errors in Twisted's log; those that the test does not `flush()` fail it."""
    errors = LoggedErrors()
    globalLogPublisher.addObserver(errors)
    try:
        yield errors
    finally:
        globalLogPublisher.removeObserver(errors)
    if errors.events:
        pytest.fail(f"logged during the test:\n{errors.describe()}", pytrace=False)


@pytest.fixture(scope="module", autouse=True)
def settled() -> None:
    """
    Thousands of test items and reports stay to the end: tests that look for leaks need not
    look at them, again and again. What is left of one module is no matter of the next.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def pki() -> Pki:
    """A throwaway authority with a server's and a client's credentials."""
    return makePki()
