"""
What a server does about resumption: its ticket keys, and who is asked about sessions.

There are two ways to resume.  With a ticket the client keeps the session, sealed
with the server's ticket keys.  Without, the server's side has to: C{'newSession'}
hands each new one over, C{'resumeSession'} asks for it back.

- Ticket keys are a server's own from when somebody asks for them: by the option,
  by C{getTicketKeys} or C{setTicketKeys}, or by listening to either event.  Until
  then OpenSSL makes the tickets with keys that it makes for itself.
- A connection takes the keys when its first bytes come.
- Nothing is sent and nothing is delivered until a new session is kept, or a
  client might come back with it before it can be found.
- Listeners get Node's callback as their last argument; or they return a Deferred
  or an awaitable, or (C{'resumeSession'}) the session itself.

Source: https://nodejs.org/api/tls.html#session-resumption
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred

from txnodetls.answers import ask
from txnodetls.constants import DEFAULT_SESSION_TIMEOUT
from txnodetls.openssl import sessions
from txnodetls.protocol import events
from txnodetls.sessions.tickets import TicketKeyRing
from txnodetls.streams.emitter import EventEmitter

__all__ = ["Answered", "ServerSessions"]

Answered = Callable[[BaseException | None, Any], None]

_BYTES: Final = (bytes, bytearray, memoryview)


class ServerSessions:
    """
    The sessions of one server.

    @param server: whose events are listened to.
    @param seconds: the clock.
    """

    __slots__ = ("_lifetime", "_ring", "_seconds", "_server")

    def __init__(self, server: EventEmitter, seconds: Callable[[], float]) -> None:
        self._server = server
        self._seconds = seconds
        self._ring: TicketKeyRing | None = None
        self._lifetime: float = DEFAULT_SESSION_TIMEOUT

    # -- ticket keys

    def contextChanged(self, context: Any) -> None:
        """
        Go by the session timeout of a context, and by its ticket keys if it has any.

        @raise NodeTypeError: C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM}.
        """
        self._lifetime = getattr(context, "sessionTimeout", DEFAULT_SESSION_TIMEOUT)
        if self._ring is not None:
            self._ring.lifetime = self._lifetime
        keys = getattr(context, "ticketKeys", None)
        if keys is not None:
            self.ring().replace(keys)

    def ring(self) -> TicketKeyRing:
        """
        The keys of this server's own; random ones are made at first need.

        @raise NodeTypeError: C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM}.
        """
        if self._ring is None:
            sessions.requireTicketKeys()
            self._ring = TicketKeyRing(None, self._lifetime, self._seconds)
        return self._ring

    def ticketKeys(self) -> tuple[bytes, ...]:
        """What a connection that begins now makes and opens tickets with; () for OpenSSL's own."""
        if self._ring is None and (self.asks or self.reports) and sessions.ticketKeysAvailable():
            # With Node's tickets, so that there are new sessions when Node has any.
            return self.ring().keys()
        return () if self._ring is None else self._ring.keys()

    # -- events

    @property
    def asks(self) -> bool:
        """Whether somebody wants to be asked for sessions."""
        return self._server.listenerCount("resumeSession") > 0

    @property
    def reports(self) -> bool:
        """Whether somebody wants to hear of new sessions."""
        return self._server.listenerCount("newSession") > 0

    def resume(self, sessionId: bytes, answered: Answered) -> None:
        """Ask for the session of an id; C{answered} gets an error, or the bytes or None."""
        listeners = self._server.rawListeners("resumeSession")
        if not _askAll(listeners, (sessionId,), answered):
            answered(None, None)

    def keep(self, made: events.SessionMade, kept: Callable[[], None]) -> None:
        """
        Hand a new session over; C{kept} is called when the connection may go on.

        As in Node the callback takes nothing, and a listener that fails is an
        'error' of the server, and not of the connection.
        """

        def answered(error: BaseException | None, _value: Any) -> None:
            if error is not None:
                self._server._fire("error", error)
            kept()

        def listening(listener: Callable[..., Any]) -> Callable[..., Any]:
            return lambda sessionId, data, callback: listener(
                sessionId, data, lambda *_ignored: callback()
            )

        arguments = (made.sessionId, made.session)
        listeners = [listening(each) for each in self._server.rawListeners("newSession")]
        if not _askAll(listeners, arguments, answered):
            kept()


def _askAll(
    listeners: list[Callable[..., Any]], arguments: tuple[Any, ...], answered: Answered
) -> bool:
    """Call the listeners of an event that is to be answered; whether there were any."""
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
