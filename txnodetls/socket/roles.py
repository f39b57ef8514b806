"""
What a role adds to a TLSSocket: which engine it gets, who judges the peer, what is announced.

L{Handler} says what there is to add.  Here are the two roles of a bare
C{TLSSocket(socket, options)}; those of C{connect()} and of a C{Server}, who judge their peers
themselves, stand with them.

Source: https://nodejs.org/api/tls.html#new-tlstlssocketsocket-options
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from txnodetls.answers import askListeners
from txnodetls.constants import DEFAULT_HANDSHAKE_TIMEOUT
from txnodetls.context import clientsBinding, makeContext
from txnodetls.errors import Blame, NodeError, Phase, invalidArgType
from txnodetls.javascript import utf8
from txnodetls.openssl import npn, sessions
from txnodetls.options import CONTEXT, Options
from txnodetls.protocol import events
from txnodetls.protocol.engine import Answer, EngineSettings, TLSEngine, verifyMode
from txnodetls.psk import clientPsk, serverPsk
from txnodetls.questions import HelloQuestions, Policy, sessionsBoundTo
from txnodetls.resumption import ServerSessions
from txnodetls.sessions.named import namelessSession, sessionFor
from txnodetls.streams.emitter import EventEmitter

if TYPE_CHECKING:
    from txnodetls.socket.tlssocket import TLSSocket

__all__ = ["ConnectingAlone", "Handler", "ServingAlone", "clientsEngine", "serverName"]


class Handler(ABC):
    """
    What a role adds to a socket.

    @ivar startsAtOnce: it is this side that speaks first.
    """

    startsAtOnce: bool

    @abstractmethod
    def begin(self, socket: TLSSocket) -> TLSEngine:
        """The first bytes have come, or the connection is made: make the engine."""

    def judge(self, socket: TLSSocket) -> bool:
        """
        The handshake is done: may it go on?

        @return: False if not; the socket has been destroyed then.
        """
        return True

    @abstractmethod
    def announce(self, socket: TLSSocket) -> None:
        """The connection is secure: emit what is to be emitted."""

    def announceAgain(self, socket: TLSSocket) -> None:
        """A handshake behind the first is done: emit what is to be emitted."""
        socket._fire("secure")

    def handshakeTimeout(self) -> float:
        """Within how many milliseconds a handshake has to be done (servers)."""
        return DEFAULT_HANDSHAKE_TIMEOUT

    @abstractmethod
    def truncated(self, socket: TLSSocket) -> None:
        """The bytes ended before the handshake was done."""

    def sessionName(self, socket: TLSSocket) -> str | None:
        """The name of the server that this side's sessions are good for (clients)."""
        return None

    def sessionIssued(self, socket: TLSSocket, event: events.SessionIssued) -> None:
        """The server gave a session (clients)."""

    def helloReceived(self, socket: TLSSocket, event: events.ClientHelloReceived) -> None:
        """A ClientHello waits for C{socket._resume()}."""
        socket._resume(Answer())

    def sessionMade(
        self, socket: TLSSocket, event: events.SessionMade, kept: Callable[[], None]
    ) -> None:
        """There is a new session; the connection goes on when C{kept} is called."""
        kept()

    def keyLogged(self, socket: TLSSocket, line: bytes) -> None:
        """A line for the key log."""
        socket._fire("keylog", line)

    def closed(self, socket: TLSSocket, error: BaseException | None) -> None:
        """The socket is destroyed before it was secure, with an error or without."""

    def answersFor(self, socket: TLSSocket) -> bool:
        """Whether the socket's errors are told elsewhere, and need no listener of its own."""
        return False


class _Alone(Handler):
    """
    The role of a bare C{TLSSocket(socket, options)}: whoever made it listens to
    'secure', and judges the peer's certificate.
    """

    def __init__(self, options: Options) -> None:
        if options.NPNProtocols:
            npn.requireNPN()
        self._options = options
        context = options.secureContext
        self._context = makeContext(options.only(CONTEXT)) if context is None else context

    def announce(self, socket: TLSSocket) -> None:
        socket._fire("secure")

    def truncated(self, socket: TLSSocket) -> None:
        socket.destroy(
            NodeError("socket hang up", "ECONNRESET", blame=Blame.PEER, phase=Phase.HANDSHAKING)
        )


class ServingAlone(_Alone):
    """
    The server's side.

    The listeners of the option C{server} are asked for sessions and staples, as in Node; its
    contexts and callbacks, its store and its responder are its own connections' only.

    @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE}: C{server} has no listeners.
    """

    startsAtOnce = False

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        server = options.server
        if server and not isinstance(server, EventEmitter):
            raise invalidArgType("options.server", "an instance of EventEmitter", server)
        self._server: EventEmitter | None = server or None
        self._sessions: ServerSessions | None = None

    def handshakeTimeout(self) -> float:
        return self._options.handshakeTimeout or super().handshakeTimeout()

    def begin(self, socket: TLSSocket) -> TLSEngine:
        options = self._options
        socket._context = self._context
        callback, hint = options.pskCallback, options.pskIdentityHint
        requestCert, rejectUnauthorized = socket._verification = self._wanted()
        heard = self._listen(socket)
        resumes = heard is not None and heard.listens
        return TLSEngine(
            self._context.native,
            EngineSettings(
                isServer=True,
                verifyMode=verifyMode(requestCert, rejectUnauthorized),
                sessionIdContext=sessionsBoundTo(self._context, requestCert, rejectUnauthorized),
                askAboutHello=bool(
                    options.SNICallback or options.ALPNCallback or resumes or self._staples()
                ),
                alpn=options.ALPNProtocols or b"",
                pskServer=None if callback is None else partial(serverPsk, callback, socket),
                pskHint=None if hint is None else utf8(hint),
                keylog=bool(socket.listenerCount("keylog")),
                npn=options.NPNProtocols or b"",
                trace=socket._trace,
                ticketKeys=ticketKeysOf(self._context),
                reportSessions=heard is not None and heard.reports,
            ),
        )

    def helloReceived(self, socket: TLSSocket, event: events.ClientHelloReceived) -> None:
        options = self._options
        heard = self._sessions
        policy = Policy(
            options.SNICallback,
            options.ALPNCallback,
            self._askStaple if self._staples() else None,
            *self._wanted(),
            resumeSession=heard.resume if heard is not None and heard.listens else None,
        )
        HelloQuestions(socket, policy).start(event.hello)

    def sessionMade(
        self, socket: TLSSocket, event: events.SessionMade, kept: Callable[[], None]
    ) -> None:
        engine, heard = socket._engine, self._sessions
        assert engine is not None
        assert heard is not None
        heard.keep(event, engine.driver, b"", kept, None)

    def _listen(self, socket: TLSSocket) -> ServerSessions | None:
        """Who is asked for sessions: whoever listens when the connection begins."""
        if self._server is not None:
            self._sessions = ServerSessions(self._server, socket.reactor)
            if self._sessions.listens:
                sessions.requireStore()
        return self._sessions

    def _staples(self) -> bool:
        """Whether somebody listens to 'OCSPRequest'."""
        return self._server is not None and self._server.listenerCount("OCSPRequest") > 0

    def _askStaple(
        self, certificate: bytes, issuer: bytes | None, callback: Callable[..., None]
    ) -> None:
        assert self._server is not None
        askListeners(self._server.rawListeners("OCSPRequest"), (certificate, issuer), callback)

    def _wanted(self) -> tuple[bool, bool]:
        options = self._options
        return bool(options.requestCert), options.rejectUnauthorized is not False


class ConnectingAlone(_Alone):
    """The client's side."""

    startsAtOnce = True

    def begin(self, socket: TLSSocket) -> TLSEngine:
        return clientsEngine(socket, self._options, self._context, self._session(socket))

    def sessionName(self, socket: TLSSocket) -> str:
        return serverName(self._options, socket._parent)

    def _session(self, socket: TLSSocket) -> bytes | None:
        given = socket._sessionToOffer or self._options.session
        # The peer is not verified here, so a session without a name may serve, as in Node.
        if given is None or namelessSession(given):
            return given
        return sessionFor(self.sessionName(socket), given)


def clientsEngine(
    socket: TLSSocket, options: Options, context: Any, session: bytes | None
) -> TLSEngine:
    """The engine of a client, which is to offer C{session}."""
    socket._context = context
    callback = options.pskCallback
    return TLSEngine(
        context.native,
        EngineSettings(
            isServer=False,
            servername=socket._servernameToSend,
            alpn=options.ALPNProtocols or b"",
            session=session,
            sessionIdContext=clientsBinding(context, callback is not None),
            requestStaple=bool(options.requestOCSP),
            postHandshakeAuth=bool(options.postHandshakeAuth),
            pskClient=None if callback is None else partial(clientPsk, callback),
            keylog=bool(socket.listenerCount("keylog")),
            npn=options.NPNProtocols or b"",
            trace=socket._trace,
        ),
    )


def serverName(options: Options, below: Any) -> str:
    """The name that a client's server has to have, and that its sessions are good for."""
    name: str = options.servername or options.host or getattr(below, "_host", None) or "localhost"
    return name


def ticketKeysOf(context: Any) -> tuple[bytes, ...]:
    """The ticket keys that a context was given."""
    keys = getattr(context, "ticketKeys", None)
    return () if keys is None else (keys,)
