"""
Node's C{EventEmitter}.

Listeners are kept as one tuple per event name.  A tuple cannot change, so an emission goes on
with the listeners that were there when it began, as in Node, without copying anything: adding
and removing make a new tuple.

There are two ways to emit:

C{emit}
    Node's, for everyone: what a listener raises goes to the caller, and so does an C{'error'}
    that nobody listens to.

C{_fire}
    this package's own.  Behind it stand a reactor and OpenSSL's callbacks, which no exception
    may reach.  A listener that raises is logged once as critical, the other listeners still
    hear of the event, and the emitter's C{_listenerFailed} decides what comes of it (a stream
    is destroyed).  An C{'error'} without listeners is logged once as critical.

A listener may by mistake be an C{async def}: its coroutine would never run.  Both ways run it
as a Deferred, and treat its failure like an exception in C{_fire}.

Source: https://nodejs.org/api/events.html
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from types import CoroutineType
from typing import Any, Self
from weakref import ref

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txnodetls.errors import NodeError, invalidArgType

__all__ = ["EventEmitter", "Listener", "Listeners"]

Listener = Callable[..., Any]
# One for each of several events, as the emitter itself keeps them.
Listeners = dict[str, tuple[Listener]]

_log = Logger()


class EventEmitter:
    """
    Something with events.

    Listeners are called with the event's positional arguments and no others, in the order in
    which they were added.  Events are named by C{str}, or by any other hashable object where a
    JavaScript program would use a C{Symbol}.
    """

    __slots__ = ("__weakref__", "_events")

    def __init__(self) -> None:
        self._events: dict[Hashable, tuple[Listener, ...]] = {}

    def on(self, eventName: Hashable, listener: Listener) -> Self:
        """
        Call C{listener} at each C{eventName} from now on.  The same one can be added again.

        @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE}: not callable.
        """
        self._add(eventName, listener, False)
        return self

    def addListener(self, eventName: Hashable, listener: Listener) -> Self:
        """The same as L{on}."""
        return self.on(eventName, listener)

    def once(self, eventName: Hashable, listener: Listener) -> Self:
        """Call C{listener} at the next C{eventName} only."""
        _checkListener(listener)
        return self.on(eventName, _Once(self, eventName, listener))

    def prependListener(self, eventName: Hashable, listener: Listener) -> Self:
        """Like L{on}, before all others."""
        self._add(eventName, listener, True)
        return self

    def prependOnceListener(self, eventName: Hashable, listener: Listener) -> Self:
        """Like L{once}, before all others."""
        _checkListener(listener)
        return self.prependListener(eventName, _Once(self, eventName, listener))

    def off(self, eventName: Hashable, listener: Listener) -> Self:
        """The same as L{removeListener}."""
        return self.removeListener(eventName, listener)

    def removeListener(self, eventName: Hashable, listener: Listener) -> Self:
        """
        Take C{listener} away again; the one added last, if it is there more than once.

        An emission under way still calls it.
        """
        _checkListener(listener)
        listeners = self._events.get(eventName, ())
        for place in range(len(listeners) - 1, -1, -1):
            if _same(listeners[place], listener):
                self._removeAt(eventName, listeners, place)
                break
        return self

    def removeAllListeners(self, *eventNames: Hashable) -> Self:
        """Take away all listeners of one event; without an argument, of every event."""
        events = self._events
        if "removeListener" not in events:
            if eventNames:
                events.pop(eventNames[0], None)
            else:
                events.clear()
            return self
        if not eventNames:
            for name in [name for name in events if name != "removeListener"]:
                self.removeAllListeners(name)
            self.removeAllListeners("removeListener")
            return self
        for listener in reversed(events.get(eventNames[0], ())):
            self.removeListener(eventNames[0], listener)
        return self

    def emit(self, eventName: Hashable, *args: Any) -> bool:
        """
        Call the listeners of C{eventName} with C{args}, one after the other.

        @return: whether there were any.
        @raise Exception: what a listener raised; the later ones are not called then.  For
            C{'error'} without listeners: C{args[0]} itself, or C{ERR_UNHANDLED_ERROR} if that
            is no exception.
        """
        listeners = self._events.get(eventName)
        if listeners is None:
            if eventName == "error":
                raise _asError(args)
            return False
        for listener in listeners:
            result = listener(*args)
            if result is not None:
                self._returned(eventName, result)
        return True

    def listeners(self, eventName: Hashable) -> list[Listener]:
        """The listeners of an event, as they were given."""
        return [_given(listener) for listener in self._events.get(eventName, ())]

    def rawListeners(self, eventName: Hashable) -> list[Listener]:
        """
        The listeners of an event; those of L{once} in their wrapper, whose C{listener} is the
        one given and which, when called, takes itself away.
        """
        return list(self._events.get(eventName, ()))

    def listenerCount(self, eventName: Hashable, listener: Listener | None = None) -> int:
        """How many listeners an event has; or how often it has this C{listener}."""
        listeners = self._events.get(eventName, ())
        if listener is None:
            return len(listeners)
        return sum(_same(other, listener) for other in listeners)

    def eventNames(self) -> list[Hashable]:
        """The events that have listeners, in the order in which they got their first."""
        return list(self._events)

    # What follows is for the package itself.

    def _fire(self, eventName: Hashable, *args: Any) -> bool:
        """
        Emit from within the package: like L{emit}, but nothing is raised.

        @return: whether anyone listened.
        """
        listeners = self._events.get(eventName)
        if listeners is None:
            if eventName == "error":
                self._unheard(_asError(args))
            return False
        for listener in listeners:
            try:
                result = listener(*args)
            except Exception:
                self._failed(f"A listener of {eventName!r}", Failure())
            else:
                if result is not None:
                    self._returned(eventName, result)
        return True

    def _fireOne(self, listeners: tuple[Listener, ...], eventName: str, argument: Any) -> None:
        """
        L{_fire} for what comes most often: an event with one argument.

        @param listeners: those of the event; the caller has looked whether there are any.
        """
        for listener in listeners:
            try:
                result = listener(argument)
            except Exception:
                self._failed(f"A listener of {eventName!r}", Failure())
            else:
                if result is not None:
                    self._returned(eventName, result)

    def _call(self, function: Callable[..., object], *args: Any) -> None:
        """Call a callback that the application gave: under the rules of L{_fire}."""
        try:
            result = function(*args)
        except Exception:
            self._failed("A callback", Failure())
        else:
            if result is not None:
                self._returned("callback", result)

    def _listenerFailed(self) -> None:
        """What comes of a listener that raised (it is logged already): here, nothing."""

    def _unheard(self, error: BaseException) -> None:
        _log.failure(
            "Unhandled 'error' event of {emitter!r}: {error}",
            failure=Failure(error, type(error), error.__traceback__),
            emitter=self,
            error=error,
        )
        self._listenerFailed()

    def _failed(self, what: str, failure: Failure) -> None:
        _log.failure("{what} of {emitter!r} failed", failure=failure, what=what, emitter=self)
        self._listenerFailed()

    def _returned(self, eventName: Hashable, result: object) -> None:
        """A listener returned something: of interest only if it is a coroutine."""
        if result.__class__ is CoroutineType:
            running: Deferred[Any] = Deferred.fromCoroutine(result)
            what = f"An asynchronous listener of {eventName!r}"
            running.addErrback(lambda failure: self._failed(what, failure))

    def _add(self, eventName: Hashable, listener: Listener, first: bool) -> None:
        if not callable(listener):
            raise invalidArgType("listener", "of type function", listener)
        events = self._events
        if "newListener" in events:
            self.emit("newListener", eventName, _given(listener))
        present = events.get(eventName)
        if present is None:
            events[eventName] = (listener,)
        elif first:
            events[eventName] = (listener, *present)
        else:
            events[eventName] = (*present, listener)

    def _addEach(self, listeners: Listeners) -> None:
        """L{on} for each of several, which no subclass has a meaning of its own for."""
        if not self._events:
            self._events.update(listeners)
            return
        for eventName, (listener,) in listeners.items():
            self._add(eventName, listener, False)

    def _removeEach(self, listeners: Listeners) -> None:
        """C{removeListener} for each of those that L{_addEach} added; mostly they are all."""
        events = self._events
        if events == listeners:
            events.clear()
            return
        watched = "removeListener" in events
        for eventName, added in listeners.items():
            if not watched and events.get(eventName) == added:
                del events[eventName]
            else:
                self.removeListener(eventName, added[0])

    def _removeAt(self, eventName: Hashable, listeners: tuple[Listener, ...], place: int) -> None:
        events = self._events
        if len(listeners) == 1:
            del events[eventName]
        else:
            events[eventName] = listeners[:place] + listeners[place + 1 :]
        if "removeListener" in events:
            self.emit("removeListener", eventName, _given(listeners[place]))


class _Once:
    """
    A listener that takes itself away before its one call.

    It knows its emitter weakly: an emitter must not keep itself alive through a listener for an
    event that never came.
    """

    __slots__ = ("_emitter", "_eventName", "_fired", "listener")

    def __init__(self, emitter: EventEmitter, eventName: Hashable, listener: Listener) -> None:
        self._emitter = ref(emitter)
        self._eventName = eventName
        self._fired = False
        self.listener = listener

    def __call__(self, *args: Any) -> Any:
        if self._fired:
            return None
        emitter = self._emitter()
        if emitter is not None:
            emitter.removeListener(self._eventName, self)
        self._fired = True
        return self.listener(*args)

    def __repr__(self) -> str:
        return f"<once {self.listener!r}>"


def _given(listener: Listener) -> Listener:
    return listener.listener if listener.__class__ is _Once else listener


def _same(present: Listener, listener: Listener) -> bool:
    """Equality, not identity: C{x.method} is a new object each time it is looked up."""
    return present is listener or present == listener or _given(present) == listener


def _checkListener(listener: object) -> None:
    if not callable(listener):
        raise invalidArgType("listener", "of type function", listener)


def _asError(args: tuple[Any, ...]) -> BaseException:
    if args and isinstance(args[0], BaseException):
        return args[0]
    return NodeError(
        f"Unhandled error. ({args[0] if args else 'undefined'!r})",
        "ERR_UNHANDLED_ERROR",
        context=args[0] if args else None,
    )
