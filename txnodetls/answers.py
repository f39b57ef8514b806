"""
Asking the application, which may answer in four ways.

Node's hooks take a callback as their last argument.  Here a hook may call it,
or return the value, a Deferred, or an awaitable; a hook that returns None will
call back later.  However it answers, C{answered} is called with an error or a
value; what it makes of a second answer is its own affair.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

__all__ = ["ask", "askListeners", "follow", "refuseAsynchronous"]

Answered = Callable[[BaseException | None, Any], None]
_BYTES: Final = (bytes, bytearray, memoryview)
# What is nothing to wait for, as it is mostly seen.
_VALUES: Final = frozenset((type(None), bytes, str, bool))


def ask(hook: Callable[..., Any], arguments: tuple[Any, ...], answered: Answered) -> None:
    """Call C{hook(*arguments, callback)} and pass its answer to C{answered(error, value)}."""
    called = False

    def callback(error: BaseException | None = None, value: Any = None) -> None:
        nonlocal called
        called = True
        answered(error, value)

    def returned(error: BaseException | None, value: Any) -> None:
        # A coroutine that has called back returns None at its end, which is no answer.
        if error is not None or value is not None or not called:
            answered(error, value)

    try:
        result = hook(*arguments, callback)
    except Exception as error:
        answered(error, None)
        return
    if result is None:
        return
    follow(result, returned)


def askListeners(
    listeners: Sequence[Callable[..., Any]], arguments: tuple[Any, ...], answered: Answered
) -> bool:
    """Ask each of the listeners of an event that wants an answer; whether there were any."""
    for listener in listeners:
        ask(_answersOf(listener), arguments, answered)
    return bool(listeners)


def _answersOf(listener: Callable[..., Any]) -> Callable[..., Any]:
    """A listener without what it returns by the way: a C{callLater}'s handle is no answer."""

    def listen(*arguments: Any) -> Any:
        result = listener(*arguments)
        if isinstance(result, (*_BYTES, Deferred)) or inspect.isawaitable(result):
            return result
        return None

    return listen


def follow(result: Any, answered: Answered) -> None:
    """Pass what a hook returned to C{answered}: a Deferred's or an awaitable's result, or it."""
    if result.__class__ in _VALUES:
        answered(None, result)
        return
    if inspect.iscoroutine(result):
        result = Deferred.fromCoroutine(result)
    elif asyncio.isfuture(result):
        result = Deferred.fromFuture(result)
    elif not isinstance(result, Deferred) and inspect.isawaitable(result):
        result = Deferred.fromCoroutine(_await(result))
    if not isinstance(result, Deferred):
        answered(None, result)
        return

    def failed(failure: Failure) -> None:
        answered(failure.value, None)

    def succeeded(value: Any) -> None:
        answered(None, value)

    result.addCallbacks(succeeded, failed)


async def _await(awaitable: Any) -> Any:
    return await awaitable


def refuseAsynchronous(name: str, result: Any) -> Any:
    """
    The result of a hook that has to answer at once.

    @raise TypeError: it answered with a Deferred or an awaitable, which would
        otherwise count as a truthy "yes".  A coroutine is closed.
    """
    if inspect.iscoroutine(result):
        result.close()
    elif isinstance(result, Deferred):
        result.addErrback(lambda _failure: None)
    elif not inspect.isawaitable(result):
        return result
    raise TypeError(f"{name} has to answer at once, not with {type(result).__name__}")
