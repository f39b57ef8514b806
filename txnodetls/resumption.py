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
- A session store (C{sessionStore}) does the same without listeners.  Where it has
  to serve, no tickets are made, unless the server was given ticket keys: a
  ticket with keys that no other process has is worth less than an entry in a
  store that all of them share.
- Keys may come from a ring (C{ticketKeyRing}), which several servers and
  processes share.  As long as it knows none, a server goes by its own.
- Listeners get Node's callback as their last argument; or they return a Deferred
  or an awaitable, or (C{'resumeSession'}) the session itself.

Source: https://nodejs.org/api/tls.html#session-resumption
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from txnodetls.answers import askListeners
from txnodetls.constants import DEFAULT_SESSION_TIMEOUT, SSL_OP_NO_TICKET, TLS1_3_VERSION
from txnodetls.errors import Blame, NodeError, invalidArgValue
from txnodetls.openssl import queries, sessions
from txnodetls.openssl.calls import Driver
from txnodetls.protocol import events
from txnodetls.protocol.clienthello import ClientHello
from txnodetls.sessions.sealing import SessionSealer
from txnodetls.sessions.tickets import TicketKeys
from txnodetls.storing import SessionKeeper
from txnodetls.streams.emitter import EventEmitter

if TYPE_CHECKING:
    from txnodetls.sessions.ring import TicketKeyRing

__all__ = ["Answered", "ServerSessions"]

Answered = Callable[[BaseException | None, Any], None]

# How long an id is; a ticket of TLS 1.3 of this length is nothing else.
_ID: Final = 32
_STORE: Final = "options.sessionStore"


class ServerSessions:
    """
    The sessions of one server.

    @param server: whose events are listened to.
    @param reactor: for the time.
    @param store: an ISessionStore, or the text of one, or None.
    @param ring: a TicketKeyRing, or the text of one, or None.
    @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE}, C{ERR_INVALID_ARG_VALUE}: it is no store,
        or no ring; C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM}.
    """

    __slots__ = (
        "_given",
        "_keeper",
        "_lifetime",
        "_looksAfter",
        "_reactor",
        "_ring",
        "_sealer",
        "_server",
        "_shared",
        "_speaksTLS13",
    )

    def __init__(
        self, server: EventEmitter, reactor: Any, store: Any = None, ring: Any = None
    ) -> None:
        self._server = server
        self._reactor = reactor
        self._ring: TicketKeys | None = None
        self._shared: TicketKeyRing | None = None
        # Whether the shared ring was told to start.
        self._looksAfter = False
        # Whether the keys in it came from somebody: others may have the same.
        self._given = False
        self._lifetime: float = DEFAULT_SESSION_TIMEOUT
        self._speaksTLS13 = False
        self._keeper: SessionKeeper | None = None
        self._sealer: tuple[tuple[bytes, ...], SessionSealer] | None = None
        # The homes of sessions and keys are imported by those who have one.
        if store is not None:
            from txnodetls.sessions.text import sessionStoreFrom

            store = sessionStoreFrom(_STORE, store, reactor)
            sessions.requireStore()
            self._keeper = SessionKeeper(store, reactor)
        if ring is not None:
            from txnodetls.sessions.text import ticketKeyRingFrom

            self._shared = ticketKeyRingFrom("options.ticketKeyRing", ring, reactor)
            sessions.requireTicketKeys()
            server.on("listening", self.lookAfterKeys)
            server.on("close", self._closed)

    # -- ticket keys

    def contextChanged(self, context: Any) -> None:
        """
        Go by the session timeout of a context, and by its ticket keys if it has any.

        @raise NodeTypeError: C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM}.
        """
        self._lifetime = getattr(context, "sessionTimeout", DEFAULT_SESSION_TIMEOUT)
        self._speaksTLS13 = getattr(context, "speaksTLS13", False)
        if self._ring is not None:
            self._ring.lifetime = self._lifetime
        if self._shared is not None:
            self._shared.lifetime = max(self._shared.lifetime, self._lifetime)
        keys = getattr(context, "ticketKeys", None)
        if keys is not None:
            self.replaceKeys(keys)
        self._requireSealing()

    def _requireSealing(self) -> None:
        """
        A store that others share is of no use, and no secret, without keys that they share.

        @raise NodeTypeError: C{ERR_INVALID_ARG_VALUE}.
        """
        keeper = self._keeper
        if keeper is not None and keeper.needsKeys and not self._given and self._shared is None:
            raise invalidArgValue(
                _STORE,
                keeper.store,
                "needs keys to seal sessions with: its own (sealingKeys, keyFile=PATH in a text),"
                " or the server's (ticketKeys, ticketKeyRing)",
            )

    def ring(self) -> TicketKeys:
        """
        The keys of this server's own; random ones are made at first need.

        @raise NodeTypeError: C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM}.
        """
        if self._ring is None:
            sessions.requireTicketKeys()
            self._ring = TicketKeys(None, self._lifetime, self._reactor.seconds)
        return self._ring

    def current(self) -> bytes:
        """The key that tickets are made with."""
        shared = None if self._shared is None else self._shared.current
        return self.ring().current if shared is None else shared

    def replaceKeys(self, keys: object) -> None:
        """Use these 48 bytes, and forget all others."""
        self._requireOwn()
        self.ring().replace(keys)
        self._given = True

    def rotateKeys(self, keys: object) -> None:
        """Use these 48 bytes, or random ones if None; those before still open tickets."""
        self._requireOwn()
        self.ring().rotate(keys)
        self._given = self._given or keys is not None

    def _requireOwn(self) -> None:
        if self._shared is not None:
            raise NodeError(
                "This server's ticket keys are those of its ticketKeyRing",
                "ERR_INVALID_STATE",
                blame=Blame.CONFIGURATION,
            )

    def _closed(self, *_arguments: object) -> None:
        if self._shared is not None and self._looksAfter:
            self._looksAfter = False
            self._shared.stop()

    def ticketKeys(self) -> tuple[bytes, ...]:
        """What a connection that begins now makes and opens tickets with; () for OpenSSL's own."""
        if self._shared is not None:
            return self._shared.keys() or self.ring().keys()
        if self._ring is None and self._heard() and sessions.ticketKeysAvailable():
            # With Node's tickets, so that there are new sessions when Node has any.
            return self.ring().keys()
        return () if self._ring is None else self._ring.keys()

    @property
    def involved(self) -> bool:
        """Whether there are ticket keys, or a store, that OpenSSL does not look after itself."""
        return self._ring is not None or self._shared is not None or self._keeper is not None

    @property
    def options(self) -> int:
        """C{SSL_OP_*} bits for connections that begin now."""
        shares = self._given or self._shared is not None
        return SSL_OP_NO_TICKET if self._keeper is not None and not shares else 0

    def lookAfterKeys(self) -> None:
        """Have the ring, if there is one, look after its keys until the server is closed."""
        if self._shared is not None and not self._looksAfter:
            self._looksAfter = True
            self._shared.start()

    # -- who is asked

    @property
    def listens(self) -> bool:
        """Whether somebody listens to 'resumeSession'."""
        return "resumeSession" in self._server._events

    @property
    def stores(self) -> bool:
        """Whether there is a store."""
        return self._keeper is not None

    @property
    def reports(self) -> bool:
        """Whether somebody wants to hear of new sessions."""
        return self._keeper is not None or "newSession" in self._server._events

    def _heard(self) -> bool:
        return self.listens or "newSession" in self._server._events

    def resume(self, sessionId: bytes, answered: Answered) -> None:
        """Ask for the session of an id; C{answered} gets an error, or the bytes or None."""
        listeners = self._server.rawListeners("resumeSession")
        if not askListeners(listeners, (sessionId,), answered):
            answered(None, None)

    def fetch(
        self, hello: ClientHello, binding: bytes, found: Callable[[bytes | None, float], None]
    ) -> None:
        """
        Look for the session of a ClientHello in the store.

        @param found: called with it or None, and with the time when it was born.
        """
        sessionId = _sessionWanted(hello, self._speaksTLS13)
        if self._keeper is None or sessionId is None:
            found(None, 0.0)
        else:
            self._keeper.fetch(sessionId, binding, self._sealing(), found)

    def keep(
        self,
        made: events.SessionMade,
        driver: Driver,
        binding: bytes,
        kept: Callable[[], None],
        born: float | None,
    ) -> None:
        """
        Hand a new session over; C{kept} is called when the connection may go on.

        @param driver: of the connection that it was made by.
        @param binding: what a stored session must not be taken away from.
        @param born: of a session that the store gave for this connection; None if it gave none.
        """
        # One with a ticket needs no store.
        if self._keeper is None or sessions.hasTicket(driver):
            self._tell(made, kept)
            return
        keeper, sealer, lifetime = self._keeper, self._sealing(), self._lifetime
        since = born if queries.sessionReused(driver) else None

        def told() -> None:
            keeper.keep(made.sessionId, made.session, binding, sealer, lifetime, kept, since)

        self._tell(made, told)

    def _sealing(self) -> SessionSealer | None:
        """What seals entries of a store without keys: the ticket keys, if others can have them."""
        if self._shared is not None:
            keys = self._shared.keys()
        else:
            keys = self.ring().keys() if self._given else ()
        if not keys:
            return None
        if self._sealer is None or self._sealer[0] != keys:
            self._sealer = keys, SessionSealer(keys)
        return self._sealer[1]

    def _tell(self, made: events.SessionMade, kept: Callable[[], None]) -> None:
        """
        Emit 'newSession'.

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
        if not askListeners(listeners, arguments, answered):
            kept()


def _sessionWanted(hello: ClientHello, speaksTLS13: bool) -> bytes | None:
    """
    The id of the session that a client wants to resume, if it can be in a store.

    @param speaksTLS13: whether the server does.
    """
    if hello.pskIdentities:
        # Clients offer the one they want first.
        first = hello.pskIdentities[0]
        return first if len(first) == _ID else None
    if hello.ticket or (speaksTLS13 and TLS1_3_VERSION in hello.versions):
        # The client has a ticket, or an id that is there for appearance only
        # (RFC 8446 appendix D.4).
        return None
    return hello.sessionId or None
