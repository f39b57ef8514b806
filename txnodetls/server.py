"""
C{Server}: Node's C{tls.Server}.

A connection is accepted as a carrier and becomes a L{TLSSocket} at once, one
stream object per connection; its engine is made when its first bytes come, with
the context that the server has then.  What all connections share (settings,
handler) is made once and remade when it changes.

Source: https://nodejs.org/api/tls.html#class-tlsserver
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from types import CoroutineType
from typing import Any, Final, Self

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txnodetls import pki
from txnodetls.answers import askListeners
from txnodetls.constants import DEFAULT_HANDSHAKE_TIMEOUT
from txnodetls.context import SecureContext, defaultSessionIdContext, makeContext
from txnodetls.deadlines import Deadlines
from txnodetls.errors import Blame, NodeError, Phase, handshakeTimedOut, invalidArgType
from txnodetls.inspection import verdictOnClient
from txnodetls.interfaces import ISecureContext
from txnodetls.javascript import utf8
from txnodetls.net.server import Server as NetServer
from txnodetls.openssl import npn
from txnodetls.openssl.sessions import requireStore
from txnodetls.options import CONTEXT, SERVER, readOptions
from txnodetls.protocol import events
from txnodetls.protocol.clienthello import ClientHello
from txnodetls.protocol.engine import EngineSettings, TLSEngine, verifyMode
from txnodetls.protocol.states import Sending
from txnodetls.psk import serverPsk
from txnodetls.questions import HelloQuestions, Policy, sessionsBoundTo
from txnodetls.resumption import ServerSessions
from txnodetls.sessions.tickets import ticketKeys
from txnodetls.socket import Handler, TLSSocket
from txnodetls.stapling import Stapler
from txnodetls.streams.duplex import markOf
from txnodetls.streams.emitter import Listener
from txnodetls.tracing import toStandardError

__all__ = ["Server", "createServer"]

_log = Logger()

# The events whose listeners are asked, or told, in a handshake.
_ASKED: Final = frozenset(("keylog", "newSession", "resumeSession", "OCSPRequest"))
# Where one of these is listened to, the ticket keys of the moment are among the settings.
_OF_SESSIONS: Final = frozenset(("newSession", "resumeSession"))
# Milliseconds; as in Node.
_LONGEST_TIMER: Final = 2147483647


class ServerHandler(Handler):
    """
    The role of a server's sockets, one for all of them.

    Until a socket is secure the server answers for it: its errors are
    'tlsClientError' events of the server, and it has none of its own.

    @param alpn: protocols for these sockets, in place of the server's.
    """

    startsAtOnce = False

    def __init__(self, server: Server, alpn: bytes | None = None) -> None:
        self.server = server
        self.alpn = alpn

    def newSocket(self, below: Any) -> TLSSocket:
        """A socket over a connection that has come; the time of its handshake is bound."""
        server = self.server
        if below is None:
            mark = markOf("highWaterMark", server.highWaterMark, None)
            socket = TLSSocket._accepted(self, server._ticks, server.allowHalfOpen, mark)
            if server._socketOptions["enableTrace"]:
                socket._trace = toStandardError
            if server.pauseOnConnect:
                socket.pause()
        else:
            socket = TLSSocket(below, server._socketOptions, handler=self, reactor=server._reactor)
        socket.server = server
        server._deadlines.begin(socket)
        return socket

    def begin(self, socket: TLSSocket) -> TLSEngine:
        server = self.server
        context = server._context
        socket._context = context
        verification = socket._verification = server.requestCert, server.rejectUnauthorized
        settings = server._settingsNow(verification)
        if self.alpn is not None:
            settings = attrs.evolve(settings, alpn=self.alpn)
        if socket._trace is not None:
            settings = attrs.evolve(settings, trace=socket._trace)
        if server._pskCallback is not None:
            settings = attrs.evolve(
                settings,
                pskServer=partial(serverPsk, server._pskCallback, socket),
                pskHint=server._pskHint,
            )
        if not context.sessionIdContext:
            bound = sessionsBoundTo(context, *verification)
            settings = attrs.evolve(settings, sessionIdContext=bound)
        return TLSEngine(context.native, settings)

    def helloReceived(self, socket: TLSSocket, event: events.ClientHelloReceived) -> None:
        server = self.server
        sessions = server._sessions
        policy = Policy(
            sniCallback=server._chooseContext,
            resumeSession=sessions.resume if sessions.listens else None,
            fetchSession=partial(self._fetchSession, socket) if sessions.stores else None,
            alpnCallback=server._alpnCallback,
            askStaple=server._stapleAsker(),
            requestCert=server.requestCert,
            rejectUnauthorized=server.rejectUnauthorized,
        )
        HelloQuestions(socket, policy).start(event.hello)

    def judge(self, socket: TLSSocket) -> bool:
        requestCert, rejectUnauthorized = socket._verification
        if not requestCert:
            return True
        engine = socket._engine
        assert engine is not None
        verdict = verdictOnClient(engine)
        socket.authorized = verdict is None
        socket.authorizationError = verdict
        if verdict is not None and rejectUnauthorized:
            socket.destroy()
            return False
        return True

    def announce(self, socket: TLSSocket) -> None:
        # From here on the socket answers for itself.
        self.server._deadlines.done(socket)
        socket._fire("secure")
        self.server._tellOf(socket)

    def handshakeTimeout(self) -> float:
        return self.server._handshakeTimeout

    def truncated(self, socket: TLSSocket) -> None:
        socket.destroy()

    def closed(self, socket: TLSSocket, error: BaseException | None) -> None:
        self.server._keeping.done(socket)
        if not self.server._deadlines.done(socket):
            return
        if error is None:
            error = NodeError(
                "socket hang up", "ECONNRESET", blame=Blame.PEER, phase=Phase.HANDSHAKING
            )
        server = self.server
        server._fire("tlsClientError", error, socket)
        if server.listenerCount("clientError"):
            server._fire("clientError", error, socket)

    def sessionMade(
        self, socket: TLSSocket, event: events.SessionMade, kept: Callable[[], None]
    ) -> None:
        engine, server = socket._engine, self.server
        assert engine is not None
        born = socket._sessionBorn
        if socket._secure and server.listenerCount("newSession"):
            # TLS 1.3: the handshake's time is over, but nothing goes on before it is kept.
            server._keeping.begin(socket)
            kept = partial(self._kept, socket, kept)
        server._sessions.keep(event, engine.driver, _bindingOf(socket), kept, born)

    def _kept(self, socket: TLSSocket, kept: Callable[[], None]) -> None:
        kept()
        engine = socket._engine
        if engine is not None and engine.sending is not Sending.WITHHELD:
            self.server._keeping.done(socket)

    def _fetchSession(
        self, socket: TLSSocket, hello: ClientHello, found: Callable[[bytes | None], None]
    ) -> None:
        def fetched(session: bytes | None, born: float) -> None:
            socket._sessionBorn = None if session is None else born
            found(session)

        self.server._sessions.fetch(hello, _bindingOf(socket), fetched)

    def keyLogged(self, socket: TLSSocket, line: bytes) -> None:
        socket._fire("keylog", line)
        self.server._fire("keylog", line, socket)

    def answersFor(self, socket: TLSSocket) -> bool:
        return not socket._secure


def _timedOut(socket: TLSSocket) -> None:
    """The time of a handshake is over."""
    engine = socket._engine
    # The peer is not late while the application has not answered.
    asking = engine is not None and (engine.asking or engine.sending is Sending.WITHHELD)
    error = handshakeTimedOut(Blame.LOCAL if asking else Blame.PEER)
    socket._ticks.turn(socket.destroy, error)


def _timer(milliseconds: float) -> float:
    """Node's timers: what is no time that they can wait is the shortest, 1 ms."""
    return milliseconds if 1 <= milliseconds <= _LONGEST_TIMER else 1


class Server(NetServer):
    """
    A TLS server.

    @ivar requestCert: whether clients are asked for a certificate.
    @ivar rejectUnauthorized: whether those without a verified one are refused.
    """

    def __init__(
        self,
        options: Mapping[str, Any] | Callable[..., Any] | None = None,
        secureConnectionListener: Callable[..., Any] | None = None,
        *,
        reactor: Any = None,
        **more: Any,
    ) -> None:
        if callable(options):
            options, secureConnectionListener = None, options
        given = readOptions(SERVER, options, more)
        self.requestCert = bool(given.requestCert)
        if self.requestCert:
            pki.importReaders()
        self.rejectUnauthorized = given.rejectUnauthorized is not False
        self._contexts: list[tuple[re.Pattern[str], Any, str]] = []
        self._sniCallback: Callable[..., Any] | None = given.SNICallback
        self._alpnCallback: Callable[..., Any] | None = given.ALPNCallback
        self._alpn: bytes = given.ALPNProtocols or b""
        self._npn: bytes = given.NPNProtocols or b""
        if self._npn:
            npn.requireNPN()
        self._pskCallback: Callable[..., Any] | None = given.pskCallback
        hint = given.pskIdentityHint
        self._pskHint: bytes | None = None if hint is None else utf8(hint)
        self._handshakeTimeout = _timer(given.handshakeTimeout or DEFAULT_HANDSHAKE_TIMEOUT)
        # The settings that were made last, each with what they were made for.
        self._settings: tuple[Any, EngineSettings] | None = None
        self._lastSettings: tuple[Any, EngineSettings] | None = None
        context = self._context = self._makeContext(given)
        self._handler = ServerHandler(self)
        super().__init__(given, reactor=reactor)
        self._deadlines: Deadlines[TLSSocket] = Deadlines(
            self._reactor, self._handshakeTimeout / 1000, _timedOut, self._mayListen
        )
        self._keeping: Deadlines[TLSSocket] = Deadlines(
            self._reactor, self._handshakeTimeout / 1000, _timedOut, self._mayListen
        )
        self._sessions = ServerSessions(
            self, self._reactor, given.sessionStore, given.ticketKeyRing
        )
        responder = given.ocspResponder
        self._stapler = None if responder is None else Stapler(responder, self._reactor)
        self._sessions.contextChanged(context)
        self._socketOptions = {
            "allowHalfOpen": self.allowHalfOpen,
            "highWaterMark": self.highWaterMark,
            "pauseOnConnect": self.pauseOnConnect,
            "enableTrace": given.enableTrace,
        }
        self.on("connection", self._onConnection)
        if secureConnectionListener is not None:
            self.on("secureConnection", secureConnectionListener)

    # -- contexts

    def addContext(self, hostname: str, context: Any) -> None:
        """
        Serve C{hostname}, which may have wildcards, with a context of its own.

        Of several that match, the one added last serves.

        @param context: an ISecureContext, or the options of one.
        @raise NodeError: C{ERR_TLS_REQUIRED_SERVER_NAME}.
        """
        if not hostname:
            raise NodeError(
                '"servername" is required parameter for Server.addContext',
                "ERR_TLS_REQUIRED_SERVER_NAME",
                blame=Blame.CONFIGURATION,
            )
        if not isinstance(hostname, str):
            raise invalidArgType("hostname", "of type string", hostname)
        # A star stands for part of one label; everything else for itself.
        pattern = re.compile(
            "[^.]*".join(re.escape(part) for part in hostname.split("*")), re.IGNORECASE
        )
        self._contexts.append((pattern, self._makeContext(context), hostname))

    def removeContext(self, hostname: str) -> bool:
        """Forget what was added for C{hostname}; whether there was anything."""
        kept = [entry for entry in self._contexts if entry[2] != hostname]
        found = len(kept) < len(self._contexts)
        self._contexts = kept
        return found

    def setSecureContext(self, options: Mapping[str, Any]) -> None:
        """
        Replace the context.  Connections whose handshake has begun keep theirs.

        @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE}, and whatever
            C{createSecureContext} raises; then the old context stays.
        """
        if not isinstance(options, Mapping):
            raise invalidArgType("options", "of type object", options)
        context = self._makeContext(options)
        self._sessions.contextChanged(context)
        self._context = context

    # -- sessions

    def getTicketKeys(self) -> bytes:
        """
        The 48 bytes that this server makes its session tickets with.

        They are as good as the keys of all connections that resume with them.

        @raise NodeTypeError: C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM}.
        """
        return self._sessions.current()

    def setTicketKeys(self, keys: bytes) -> None:
        """
        Make session tickets with these 48 bytes; those of other keys are refused.

        This is for connections that begin from now on.

        @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE}, C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM}.
        @raise NodeError: C{ERR_INTERNAL_ASSERTION}, as in Node: these are not 48.
        """
        keys = ticketKeys(keys)
        self._sessions.replaceKeys(keys)

    def rotateTicketKeys(self, keys: bytes | None = None) -> None:
        """
        Make session tickets with these 48 bytes, or random ones, from now on.

        Tickets of the keys before are taken, and renewed, for another C{sessionTimeout}.
        An addition to Node.

        @raise NodeTypeError: as C{setTicketKeys}.
        @raise NodeError: as C{setTicketKeys}.
        """
        keys = None if keys is None else ticketKeys(keys)
        self._sessions.rotateKeys(keys)

    def _add(self, eventName: Hashable, listener: Listener, first: bool) -> None:
        if eventName == "resumeSession":
            # Who relies on it is to know at once that it cannot be had here.
            requireStore()
        super()._add(eventName, listener, first)

    def _makeContext(self, given: Any) -> Any:
        """An ISecureContext as it is, or one made of options."""
        if ISecureContext.providedBy(given):
            return given
        options = readOptions(SERVER, given)
        if options.secureContext is not None:
            return options.secureContext
        return makeContext(options.only(CONTEXT), self._sessionIdContext)

    def _sessionIdContext(self, context: SecureContext) -> bytes:
        """What this server's sessions are bound to, where the options do not say."""
        return defaultSessionIdContext(context, self.requestCert, self.rejectUnauthorized)

    def _chooseContext(self, servername: str, callback: Callable[..., None]) -> Any:
        if self._sniCallback is not None:
            return self._sniCallback(servername, callback)
        for pattern, context, _name in reversed(self._contexts):
            if pattern.fullmatch(servername):
                callback(None, context)
                return None
        callback(None, None)
        return None

    def _stapleAsker(self) -> Callable[..., None] | None:
        """Who is asked for staples: who listens, else the responder, if there is one."""
        if self.listenerCount("OCSPRequest"):
            return self._askStaple
        return None if self._stapler is None else self._stapler.ask

    def _askStaple(
        self, certificate: bytes, issuer: bytes | None, callback: Callable[..., None]
    ) -> None:
        askListeners(self.rawListeners("OCSPRequest"), (certificate, issuer), callback)

    # -- what all connections share

    def _settingsNow(self, verification: tuple[bool, bool]) -> EngineSettings:
        """
        The settings, remade when listeners or contexts have come or gone.

        @param verification: C{requestCert} and C{rejectUnauthorized}.
        """
        heard = _ASKED.intersection(self._events)
        if self._sessions.involved or not heard.isdisjoint(_OF_SESSIONS):
            return self._makeSettings()
        # So it is for most servers: nothing else has a say in them that can change.
        now = verification, bool(self._contexts), heard
        last = self._lastSettings
        if last is None or last[0] != now:
            last = self._lastSettings = now, self._makeSettings()
        return last[1]

    def _makeSettings(self) -> EngineSettings:
        sessions = self._sessions
        keylog = bool(self.listenerCount("keylog"))
        keys, reports = sessions.ticketKeys(), sessions.reports
        asks = bool(
            sessions.listens
            or sessions.stores
            or self._contexts
            or self._sniCallback is not None
            or self._alpnCallback is not None
            or self._stapleAsker() is not None
        )
        mode = verifyMode(self.requestCert, self.rejectUnauthorized)
        now = (keylog, asks, keys, reports, sessions.options, mode)
        if self._settings is None or self._settings[0] != now:
            self._settings = (
                now,
                EngineSettings(
                    isServer=True,
                    verifyMode=mode,
                    askAboutHello=asks,
                    alpn=self._alpn,
                    npn=self._npn,
                    keylog=keylog,
                    ticketKeys=keys,
                    reportSessions=reports,
                    options=sessions.options,
                ),
            )
        return self._settings[1]

    # -- connections

    def close(self, callback: Callable[..., Any] | None = None) -> Self:
        super().close(callback)
        self._deadlines.settle()
        self._keeping.settle()
        return self

    def _mayListen(self) -> bool:
        return self._port is not None

    def _accepted(self, carrier: Any) -> None:
        if len(self._events.get("connection", ())) > 1:
            # Somebody else wants to see the plain connection.
            super()._accepted(carrier)
            return
        socket = self._handler.newSocket(None)
        self._count(socket)
        socket._adopt(carrier)
        carrier.resume()

    def _tellOf(self, socket: TLSSocket) -> None:
        """Emit 'secureConnection'; a listener that fails ends this connection, and no other."""
        for listener in self._events.get("secureConnection", ()):
            try:
                result = listener(socket)
            except Exception:
                self._notTold(Failure(), socket)
            else:
                if result.__class__ is CoroutineType:
                    Deferred.fromCoroutine(result).addErrback(self._notTold, socket)

    def _notTold(self, failure: Failure, socket: TLSSocket) -> None:
        _log.failure("A listener of 'secureConnection' of {server!r} failed", failure, server=self)
        socket.destroy()

    def _onConnection(self, socket: Any) -> None:
        """A plain connection, accepted by ourselves or handed in with emit('connection')."""
        self._newSocket(socket)

    def _newSocket(self, below: Any) -> TLSSocket:
        return self._handler.newSocket(below)


def createServer(
    options: Mapping[str, Any] | Callable[..., Any] | None = None,
    secureConnectionListener: Callable[..., Any] | None = None,
    *,
    reactor: Any = None,
    **more: Any,
) -> Server:
    """
    Make a L{Server}.

    @param options: Node's options, as a mapping, or keyword arguments of the
        same names, or both; keywords win.
    @param secureConnectionListener: listens to 'secureConnection'.
    """
    return Server(options, secureConnectionListener, reactor=reactor, **more)


def _bindingOf(socket: TLSSocket) -> bytes:
    """What a stored session of a connection must not be taken away from, unambiguously."""
    context, wanted = socket._context, socket._verification
    bound = sessionsBoundTo(context, *wanted) or context.sessionIdContext
    parts = (bound, context.trustDigest, bytes(wanted))
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
