"""
The engine: TLS as a machine that takes bytes and gives bytes and events.

It knows no socket, no clock and no reactor, and everything in it can be tested
in memory, a byte at a time.

    engine.receive(ciphertext)      in, from the network
    engine.nextEvent()              out, to the application: pull until None
    engine.send(plaintext)          in, from the application
    engine.drain(write)             out, to the network
    engine.dataToSend()             the same as a bytes object

What OpenSSL may do here, and what follows:

- Application data can come with the last flight of the handshake, so what
  input is there behind the handshake is read, asked for or not.  OpenSSL itself
  holds none: TLS 1.3 wants the record to end with Finished.  In older versions
  a peer might begin its next handshake in that record; it is heard with the
  next one.
- Events are pulled.  Whoever rejects a certificate at L{HandshakeCompleted}
  stops pulling, and never sees a byte that came behind it.
- A server that has questions about the ClientHello (which context, which
  session, which protocol) holds all bytes back until they are answered; OpenSSL
  has seen nothing until then, so an answer may change everything.  Without
  questions nothing is held and nothing is parsed.  Whether there will be a
  certificate, and so a staple to ask for, only OpenSSL can tell: then the
  handshake itself stands still, at its callback for certificates.
- When a call fails, OpenSSL has put the alert into the output.  The order is:
  events from before, then L{Failed} once, and then nothing.
- The callbacks that OpenSSL makes in the middle of a call (ALPN, PSK, key log,
  staple) only note things down, or answer from what was known before; they
  never emit.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import attrs
from OpenSSL import SSL

from txnodetls.alpn import decodeALPN
from txnodetls.constants import SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION
from txnodetls.errors import Blame, NodeError, Phase
from txnodetls.openssl import calls, contexts, hooks, npn, queries, sessions
from txnodetls.openssl.areas import INPUT
from txnodetls.openssl.failures import (
    LIB_SSL,
    connectionError,
    drainErrors,
    makeEntry,
    opensslError,
)
from txnodetls.protocol import events
from txnodetls.protocol.authentication import CertificateRequest
from txnodetls.protocol.clienthello import ClientHelloParser, Reading
from txnodetls.protocol.states import RECEIVING, SENDING, Happening, Receiving, Sending

if TYPE_CHECKING:
    from txnodetls.protocol.trace import Tracer

__all__ = ["NO_ANSWER", "SLICE", "Answer", "EngineSettings", "TLSEngine", "verifyMode"]

_GROWN: Final = calls.GROWN
_DONE: Final = calls.DONE
_WANT_READ: Final = calls.WANT_READ
_CLOSED: Final = calls.CLOSED
_FAILED: Final = calls.FAILED

# How much plaintext is encrypted per call: bounds the output BIO, and is large
# enough that the call itself costs nothing.
SLICE: Final = 256 * 1024
# What may be held back until a ClientHello is complete and answered.
MAX_HELD: Final = 131072

# Reasons of OpenSSL's (include/openssl/sslerr.h) that no peer can be blamed
# for: no certificate, cipher, protocol or session id context of ours ...
_OURS: Final = frozenset((177, 179, 181, 191, 277))
# ... and these bits (err.h): no memory, an error within OpenSSL.
_FATAL: Final = 0xC0000


@attrs.frozen
class EngineSettings:
    """
    What a connection is to do.  One object serves all connections of a server.

    @ivar isServer: the role.
    @ivar verifyMode: C{SSL_VERIFY_*} bits.
    @ivar askAboutHello: hold the ClientHello and report it (servers).
    @ivar servername: the name to send (clients).
    @ivar alpn: what to offer or to support, length-prefixed; empty for none.
    @ivar session: a serialised session to resume (clients).
    @ivar requestStaple: ask for an OCSP staple (clients).
    @ivar postHandshakeAuth: offer to show a certificate behind the handshake (clients).
    @ivar pskClient: takes the hint; gives identity and key, or None.
    @ivar pskServer: takes the identity; gives the key, or None.
    @ivar pskHint: the hint to send with it (TLS 1.2 and older).
    @ivar keylog: report secrets.
    @ivar ticketKeys: 48 bytes each: the first seals tickets, all of them open
        them; empty for OpenSSL's own (servers).
    @ivar reportSessions: report the sessions that are made (servers).
    @ivar options: further C{SSL_OP_*} bits.
    @ivar npn: what to list (servers) or to know (clients), length-prefixed, where there is no
        ALPN (TLS 1.2 and older).
    @ivar trace: takes a trace of all messages, as text to read.
    @ivar hooks: the names of the trampolines that these settings need; it follows from them.
    @ivar follows: the handshake is followed step by step (TLS 1.3); it follows from them.
    @ivar plain: a server's connection needs no preparation; it follows from them.
    @ivar sessionIdContext: what sessions are bound to.  A server's, if the
        context does not say it; without any, OpenSSL refuses to resume where
        client certificates are asked for.  A client offers no session that is
        bound to anything else.
    """

    isServer: bool
    verifyMode: int = 0
    askAboutHello: bool = False
    servername: bytes | None = None
    alpn: bytes = b""
    session: bytes | None = None
    requestStaple: bool = False
    postHandshakeAuth: bool = False
    pskClient: Callable[[str | None], tuple[bytes, bytes] | None] | None = None
    pskServer: Callable[[bytes], bytes | None] | None = None
    pskHint: bytes | None = None
    keylog: bool = False
    ticketKeys: tuple[bytes, ...] = ()
    reportSessions: bool = False
    options: int = 0
    npn: bytes = b""
    trace: Callable[[str], object] | None = None
    sessionIdContext: bytes = b""
    hooks: tuple[str, ...] = attrs.field(init=False)
    follows: bool = attrs.field(init=False)
    plain: bool = attrs.field(init=False)

    @hooks.default
    def _wantedHooks(self) -> tuple[str, ...]:
        return _hooksFor(self)

    @follows.default
    def _whetherFollowed(self) -> bool:
        return self.reportSessions or self.pskServer is not None

    @plain.default
    def _whetherPlain(self) -> bool:
        return self.isServer and not (
            self.hooks
            or self.follows
            or self.verifyMode
            or self.askAboutHello
            or self.ticketKeys
            or self.options
            or self.npn
            or self.trace
            or self.sessionIdContext
        )


class Answer(NamedTuple):
    """
    What the application says to a ClientHello; None leaves things as they are.

    @ivar native: the context to go on with.
    @ivar sessionIdContext: as in L{EngineSettings}, for that context.
    @ivar verifyMode: C{SSL_VERIFY_*} bits to go on with.
    @ivar alpn: the protocols to support, length-prefixed; empty for none.
    @ivar protocol: the one protocol to agree on, whatever C{alpn} says; empty
        to refuse all that are offered.
    @ivar staple: the OCSP staple to send.
    @ivar askStaple: what L{events.StapleWanted} is to carry, if a certificate is sent (and no
        session resumed); then the handshake waits for C{supplyStaple()}.
    @ivar session: a serialised session that may be resumed; it has to be of
        one's own making.
    """

    native: SSL.Context | None = None
    sessionIdContext: bytes = b""
    verifyMode: int | None = None
    alpn: bytes | None = None
    protocol: bytes | None = None
    staple: bytes | None = None
    askStaple: Callable[[], object] | None = None
    session: bytes | None = None


#: The application has said nothing.
NO_ANSWER: Final = Answer()
# Looked up for each read, write or connection, which costs more in an enumeration: see
# streams.states.
_DECRYPTED: Final = Receiving.OPEN
_ENCRYPTED: Final = Sending.OPEN
_WITHHELD: Final = Sending.WITHHELD
_RENEGOTIATING: Final = Sending.RENEGOTIATING
_WAITING: Final = Sending.WAITING
_HANDSHAKE: Final = Receiving.HANDSHAKE
_SECURED: Final = Happening.SECURED
_END_SENT: Final = Happening.END_SENT
_END_RECEIVED: Final = Happening.END_RECEIVED
_DIED: Final = Happening.DIED
# Events without anything of their own.
_COMPLETED: Final = events.HandshakeCompleted()
_ENDED: Final = events.EndReceived()
_BEFORE_OPEN: Final = (Receiving.HELLO, Receiving.ASKING, Receiving.HANDSHAKE)


class _Staple(enum.Enum):
    """How far the question for a staple is."""

    NOT_ASKED = "nobody has asked for one"
    WANTED = "it will be asked for if a certificate is sent"
    ASKED = "the handshake stands still until it is there"
    SUPPLIED = "it is there, or there is none"


_NOT_ASKED: Final = _Staple.NOT_ASKED
_ASKED_FOR: Final = _Staple.ASKED


class TLSEngine:
    """
    One side of a TLS connection.

    @ivar receiving: the state of the receiving half.
    @ivar sending: the state of the sending half.
    @ivar unread: OpenSSL may hold something that has not been read yet.
    @ivar queue: events that have not been pulled yet.  Without these and nothing unread,
        C{nextEvent()} has nothing to give.
    @ivar driver: the OpenSSL connection, for L{txnodetls.openssl.queries}.
    @ivar pskSupplied: the handshake was made with a key that our own callback
        supplied; known when it is done.
    """

    __slots__ = (
        "__weakref__",
        "_answer",
        "_asked",
        "_hookError",
        "_made",
        "_npn",
        "_parser",
        "_psk",
        "_request",
        "_settings",
        "_shown",
        "_staple",
        "_stored",
        "_tracer",
        "_unkept",
        "driver",
        "pskSupplied",
        "queue",
        "receiving",
        "sending",
        "unread",
    )

    def __init__(self, native: SSL.Context, settings: EngineSettings) -> None:
        self._settings = settings
        self.queue: list[Any] = []  # never many, and mostly none
        self._hookError: BaseException | None = None
        self._answer = NO_ANSWER
        self._asked = True
        self.unread = False
        self._parser: ClientHelloParser | None = None
        self._staple = _NOT_ASKED
        self._stored: sessions.StoredSession | None = None
        self._made: dict[bytes, bytes] | None = None
        self._unkept = 0
        self._psk: bytes | None = None
        self._request: CertificateRequest | None = None
        self._tracer: Tracer | None = None
        self._npn: bytes | None = None
        self._shown: tuple[SSL.Context, bytes] | None = None
        self.pskSupplied = False
        self.sending = _WAITING
        self.receiving = _HANDSHAKE
        if settings.plain and not sessions.ticketKeysEnabled(native):
            self.driver = calls.Driver(native, True)
        else:
            self.driver = self._prepare(native, settings)

    def _prepare(self, native: SSL.Context, settings: EngineSettings) -> calls.Driver:
        """Make the driver, with all that the settings want of it and of its context."""
        if settings.pskServer is not None and not calls.setPskHint(native, settings.pskHint):
            raise NodeError(
                "Failed to set PSK identity hint",
                "ERR_TLS_PSK_SET_IDENTITY_HINT_FAILED",
                blame=Blame.CONFIGURATION,
                phase=Phase.HANDSHAKING,
            )
        if settings.sessionIdContext:
            contexts.setSessionIdContext(native, settings.sessionIdContext)
        names = settings.hooks
        # Before the connection is made: it takes some of them over from the context.
        for name in names:
            hooks.enable(native, name)
        if settings.npn and settings.isServer:
            npn.advertise(native)
        if settings.ticketKeys:
            sessions.enableTicketKeys(native)
        make = calls.Driver if settings.trace is None else hooks.tracedDriver
        self.driver = driver = make(native, settings.isServer)
        if settings.trace is not None:
            self._tracer = self._makeTracer(settings.trace)
        asked = names or settings.npn or settings.trace
        if asked or sessions.ticketKeysEnabled(native):
            hooks.register(driver, self)
        if settings.askAboutHello:
            self.receiving = Receiving.HELLO
            self._asked = False
            self._parser = ClientHelloParser()
        if settings.verifyMode or not settings.isServer:
            driver.setVerify(settings.verifyMode)
        if settings.options:
            driver.setOptions(settings.options)
        if not settings.isServer:
            self._prepareClient(driver, settings)
        return driver

    def _prepareClient(self, driver: calls.Driver, settings: EngineSettings) -> None:
        if settings.servername:
            driver.setServername(settings.servername)
        if settings.alpn:
            driver.setALPN(settings.alpn)
        if settings.requestStaple:
            driver.requestStaple()
        if settings.postHandshakeAuth:
            driver.offerPostHandshakeAuth()
        session = settings.session
        if session and queries.sessionIdContextOf(session) == settings.sessionIdContext:
            driver.setSession(session)

    def trace(self, write: Callable[[str], object]) -> None:
        """
        Trace all messages from now on.

        @param write: takes the text.
        @raise NodeTypeError: C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM}.
        """
        if self._tracer is None:
            hooks.trace(self.driver, self)
            self._tracer = self._makeTracer(write)

    def _makeTracer(self, write: Callable[[str], object]) -> Tracer:
        from txnodetls.protocol.trace import Tracer

        # The driver alone: the tracer must not keep the engine alive.
        return Tracer(write, partial(queries.suiteName, self.driver))

    # -- bytes of the network

    def start(self) -> None:
        """A client says hello."""
        self._handshake()

    def receive(self, data: bytes) -> None:
        """Take ciphertext."""
        if not data:
            return
        if self.receiving is _DECRYPTED:
            self.driver.feed(data)
            self.unread = True
        elif self.receiving is _HANDSHAKE:
            self.driver.feed(data)
            self._handshake()
        else:
            self._hold(data)

    def receiveArea(self, length: int) -> None:
        """Take the first C{length} bytes of the shared input area."""
        if self.receiving is _DECRYPTED:
            if length > _GROWN and self._idle():
                # Read at once, while it is where it is, though nobody has pulled yet.
                self.unread = True
                self._queue(*self.driver.readArea(length))
                return
            self.driver.feedArea(length)
            self.unread = True
        elif self.receiving is _HANDSHAKE:
            self.driver.feedArea(length)
            self._handshake()
        else:
            self._hold(INPUT.view[:length])

    def _idle(self) -> bool:
        """Whether all that came before has been pulled, and nothing but data is expected."""
        return not self.unread and not self.queue and self.sending is _ENCRYPTED

    def _hold(self, data: bytes | memoryview) -> None:
        if self.receiving is not Receiving.HELLO and self.receiving is not Receiving.ASKING:
            return  # nothing is taken any more
        parser = self._parser
        assert parser is not None
        if self.receiving is Receiving.ASKING:
            parser.held += data
        else:
            reading = parser.feed(data)
            if reading is Reading.DONE:
                assert parser.hello is not None
                self._asked = True
                self._happen(Happening.HELLO_READ)
                self.queue.append(events.ClientHelloReceived(parser.hello))
                return
            if reading is Reading.NOT_TLS:
                self._release()
                return
        self._boundHeld(len(parser.held))

    def _boundHeld(self, size: int) -> None:
        if size > MAX_HELD:
            self._die(
                NodeError(
                    "the peer sent too much before its ClientHello was answered",
                    "ERR_SSL_EXCESSIVE_MESSAGE_SIZE",
                    blame=Blame.PEER,
                    phase=Phase.HANDSHAKING,
                )
            )

    def receiveEnd(self) -> None:
        """The network has nothing more to say."""
        # What was received before has to be read before.
        while self.unread:
            self._queue(*self.driver.read())
        if self.receiving is _DECRYPTED:
            # The peer can say no more, but it may still listen.
            self.queue.append(events.Truncated(True))
            self._happen(Happening.CUT_OFF)
        elif self.receiving in _BEFORE_OPEN:
            self.queue.append(events.Truncated(False))
            self._happen(_DIED)

    def drain(self, write: Callable[[memoryview], object], much: bool = False) -> int:
        """
        Give the ciphertext that waits to C{write}.

        @param write: what it is given has to be copied, or sent, before it does anything else.
        @param much: there is much, and maybe more will follow.
        @return: how many bytes there were.
        """
        if self.sending is _WITHHELD:
            return 0
        return self.driver.drainMuch(write) if much else self.driver.drain(write)

    def dataToSend(self) -> bytes:
        """All the ciphertext that waits."""
        if self.sending is _WITHHELD:
            return b""
        return self.driver.take()

    # -- the application

    def nextEvent(self) -> Any:
        """The next event; C{bytes} for application data; None if there is none."""
        if self.sending is _WITHHELD:
            return self._nextWithheld()
        queue = self.queue
        while not queue:
            if not self.unread:
                return None
            data, outcome, hasSession = self.driver.read()
            if outcome == _WANT_READ and data and not queue:
                self.unread = False
                return data
            self._queue(data, outcome, hasSession)
        return queue.pop(0)

    def _nextWithheld(self) -> Any:
        """What there is up to the last of the sessions."""
        queue = self.queue
        if any(type(event) is events.SessionMade for event in queue):
            return queue.pop(0)
        return None

    def sessionKept(self) -> None:
        """
        One of the sessions that were reported is kept, or not wanted.

        After the last one of them the connection goes on.
        """
        if self.sending is _WITHHELD:
            self._unkept -= 1
            if not self._unkept:
                self._happen(Happening.SESSIONS_KEPT)

    def send(self, data: Any) -> bool:
        """
        Encrypt a bytes-like object, not empty and no longer than L{SLICE}.

        @return: whether it was taken.  If not, offer it again later: the
            handshake (or a renegotiation) is not done.
        """
        if self.sending is not _ENCRYPTED:
            return False
        outcome = self.driver.write(data)
        if outcome == _DONE:
            return True
        if outcome == _FAILED:
            self._fail()
        return False

    @property
    def stalled(self) -> bool:
        """Whether what cannot be sent at the moment, data or the end of it, can be in a while."""
        return self.sending is _WITHHELD or self.peerUnproven

    @property
    def peerUnproven(self) -> bool:
        """Whether OpenSSL shows a certificate that the peer has not proved yet to be its own."""
        request = self._request
        return self.sending is _RENEGOTIATING or (request is not None and request.begun)

    def shutdown(self) -> None:
        """Send close_notify, if the handshake is done; send nothing more."""
        if self.sending is _ENCRYPTED or self.sending is _WITHHELD:
            self.driver.shutdown()
        self._happen(_END_SENT)

    def renegotiate(self, verifyMode: int | None = None, whole: bool = False) -> None:
        """
        Begin a new handshake (TLS 1.2 and older); a server asks the client to.

        From when it has begun until it is done nothing can be sent.

        @param verifyMode: C{SSL_VERIFY_*} bits for this handshake and later ones.
        @param whole: resume no session, so that a client certificate is asked for.
        @raise NodeError: it cannot be; nothing has changed.
        """
        driver = self.driver
        if not driver.renegotiate():
            raise opensslError(blame=Blame.LOCAL, phase=Phase.OPEN)
        if verifyMode is not None:
            driver.setVerify(verifyMode)
        if whole:
            driver.setOptions(SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION)
        if not self._settings.isServer:
            self._happen(Happening.BEGUN_ANEW)
        elif driver.handshake() == _FAILED:
            self._fail()
            return
        # Of a client it is a read that begins: to the handshake call itself,
        # application data that was not read yet is an error.
        self._queue(*driver.read())

    def askForCertificate(self, verifyMode: int) -> None:
        """
        Ask the client of an open connection for its certificate (TLS 1.3).

        L{events.CertificateAnswered} follows, in its place among what the client sends.

        @param verifyMode: C{SSL_VERIFY_*} bits for the answer.
        @raise NodeError: it cannot be; nothing has changed.
        """
        driver = self.driver
        if not driver.askForCertificate(verifyMode):
            raise opensslError(blame=Blame.LOCAL, phase=Phase.OPEN)
        self._request = CertificateRequest(driver)
        if self._settings.reportSessions:
            self._made = {}
        if driver.handshake() == _FAILED:
            self._fail()
        else:
            hooks.watchAnswer(driver, self)

    def showContext(self, native: SSL.Context, sessionIdContext: bytes = b"") -> None:
        """
        From now on go by another context: its certificate, trust and ciphers.

        It stays so, whatever context C{resume()} names.

        @param sessionIdContext: as in L{EngineSettings}, for that context.
        """
        self._shown = native, sessionIdContext
        self._switch(native, sessionIdContext)
        for name in _hooksFor(self._settings, self._answer):
            hooks.enable(native, name)

    def _switch(self, native: SSL.Context, sessionIdContext: bytes) -> None:
        if sessionIdContext:
            contexts.setSessionIdContext(native, sessionIdContext)
        if self._settings.npn:
            npn.advertise(native)
        self.driver.switchContext(native)

    def resume(self, answer: Answer) -> None:
        """
        Go on with a held ClientHello.

        Does nothing if none is held: an answer may come late.
        """
        if self.receiving is not Receiving.ASKING:
            return
        self._answer = answer
        driver = self.driver
        if self._shown is not None:
            # Whatever was chosen meanwhile, this was said about the connection itself.
            self.showContext(*self._shown)
        elif answer.native is not None:
            self._switch(answer.native, answer.sessionIdContext)
        if answer.verifyMode is not None:
            driver.setVerify(answer.verifyMode)
        if answer.session is not None:
            self._stored = sessions.StoredSession.parse(answer.session)
        names = _hooksFor(self._settings, answer)
        if names:
            serving = driver.connection.get_context()
            for name in names:
                hooks.enable(serving, name)
            hooks.register(driver, self)
        if answer.askStaple is not None:
            self._staple = _Staple.WANTED
            hooks.suspendForCertificate(driver, self)
        self._release()

    def supplyStaple(self, staple: bytes | None) -> None:
        """
        Go on behind L{events.StapleWanted}, with the staple to send or without one.

        Does nothing if none is waited for: it may come late.
        """
        if self._staple is _ASKED_FOR and self.receiving is _HANDSHAKE:
            self._staple = _Staple.SUPPLIED
            self._answer = self._answer._replace(staple=staple)
            self._handshake()

    @property
    def asking(self) -> bool:
        """Whether the handshake waits for an answer of the application."""
        return self.receiving is Receiving.ASKING or (
            self._staple is _ASKED_FOR and self.receiving is _HANDSHAKE
        )

    def fail(self, error: NodeError) -> None:
        """Give up while a ClientHello is held.  Too late, it does nothing."""
        if self.receiving is Receiving.ASKING:
            self._die(error)

    def close(self) -> None:
        """Forget everything.  Nothing happens afterwards."""
        self._happen(_DIED)
        self.queue.clear()
        self.unread = False
        self._parser = None
        hooks.unregister(self.driver)

    # -- the handshake

    def _release(self) -> None:
        parser = self._parser
        assert parser is not None
        self._parser = None
        self._happen(Happening.ANSWERED)
        self.driver.feed(parser.held)
        self._handshake()

    def _handshake(self) -> None:
        if self._staple is _ASKED_FOR:
            self._boundHeld(self.driver.pendingInput())
            return
        outcome = self.driver.handshake() if self._settings.plain else self._shake()
        if self._hookError is not None:
            # OpenSSL may go on after a callback's "no"; we do not after an error.
            self._fail()
        elif outcome == _DONE:
            self._complete()
        elif outcome == _FAILED:
            self._fail()
        elif outcome == _CLOSED:
            # close_notify in the middle of a handshake: the peer gave up.
            self.queue.append(events.Truncated(False))
            self._happen(_DIED)

    def _shake(self) -> int:
        driver, settings = self.driver, self._settings
        if self._stored is not None:
            outcome = self._stored.offer(driver.native, driver.handshake)
        elif settings.npn and not settings.isServer:
            with npn.selecting(driver.native):
                return driver.handshake()
        else:
            outcome = driver.handshake()
        if outcome == _WANT_READ and settings.isServer:
            self._flightSent()
        return outcome

    def _flightSent(self) -> None:
        """A server waits for the client's answer: what has been done with its ClientHello?"""
        if queries.speaksTLS13(self.driver):
            if self._settings.follows:
                sessions.watchProgress(self.driver, self)
        else:
            # In TLS 1.3 there may be a second ClientHello, which is to find it too.
            self._stored = None

    def _complete(self) -> None:
        if not self._asked:
            # OpenSSL understood a ClientHello that the parser did not, so nobody
            # was asked which context serves the name in it.
            self._die(
                NodeError(
                    "the ClientHello could not be read",
                    "ERR_SSL_UNEXPECTED_MESSAGE",
                    blame=Blame.PEER,
                    phase=Phase.HANDSHAKING,
                )
            )
            return
        driver, settings = self.driver, self._settings
        speaksTLS13 = queries.speaksTLS13(driver)
        followed = speaksTLS13 and settings.follows
        if self.pskSupplied and not followed:
            self._checkPsk()
        self._happen(_SECURED)
        self.unread = driver.pendingInput() > 0
        driver.handshakeDone()
        if not speaksTLS13:
            hooks.watchHandshakes(driver, self)
        if followed:
            sessions.unwatchProgress(driver)
        if settings.plain:
            self.queue.append(_COMPLETED)
        elif settings.isServer:
            self._completeServer()
        else:
            self._completeClient()

    def _checkPsk(self) -> None:
        """
        A key that was supplied need not have been used: the peer may have chosen
        a cipher that the key is not for, or a session that it offered as well.
        """
        if self.pskSupplied:
            self.pskSupplied = queries.madeWithPsk(self.driver, self._psk or b"")
        self._psk = None

    def _completeServer(self) -> None:
        self._stored = None
        queue = self.queue
        made, self._made = self._made, None
        if not self._settings.reportSessions:
            queue.append(_COMPLETED)
        elif made:
            # Those of TLS 1.3 come with tickets, behind the handshake.
            queue.append(events.HandshakeCompleted())
            self._report(made.items())
        else:
            # As in Node: told before the handshake's end.
            self._report(self._sessionMade())
            queue.append(events.HandshakeCompleted())

    def _report(self, made: Iterable[tuple[bytes, bytes]]) -> None:
        """Report new sessions of a server, and wait until they are kept."""
        for sessionId, session in made:
            self.queue.append(events.SessionMade(sessionId, session))
            self._unkept += 1
        if self._unkept:
            self._happen(Happening.SESSION_MADE)

    def _sessionMade(self) -> list[tuple[bytes, bytes]]:
        """The session of a handshake of TLS 1.2 or older, if it is new and has an id."""
        driver = self.driver
        session = None if queries.sessionReused(driver) else queries.session(driver)
        sessionId = None if session is None else queries.sessionIdOf(session)
        return [(sessionId, session)] if session and sessionId else []

    def _completeClient(self) -> None:
        self.queue.append(events.HandshakeCompleted())
        self._issueSession()

    def _issueSession(self, again: bool = False) -> None:
        """A client's handshake is done: report its session, if it is complete and new."""
        driver = self.driver
        # From here on a new session means a ticket.
        driver.sessionChanged()
        if queries.sessionReused(driver) or queries.speaksTLS13(driver):
            return
        # TLS 1.2 and older: the session is complete with the handshake.
        session = queries.session(driver)
        if session is not None and queries.sessionIdOf(session):
            self.queue.append(events.SessionIssued(session, again))

    # -- later handshakes (TLS 1.2 and older)

    def _followHandshakes(self) -> None:
        """
        Look at what was noted of handshakes during the last call.

        Only one that outlives the call is one: a request that is refused, and
        a server's own request, begin and end at once.
        """
        noted = self.driver.noted
        begun = False
        for done in noted:
            if begun or not done:
                begun = not done
            elif self.sending is _RENEGOTIATING or self.sending is Sending.CLOSED:
                self._completeAgain()
        noted.clear()
        if begun:
            self._beginAnew()

    def _beginAnew(self) -> None:
        self.pskSupplied = False
        self._psk = None
        self._happen(Happening.BEGUN_ANEW)
        self.queue.append(events.HandshakeBegun())

    def _completeAgain(self) -> None:
        self._checkPsk()
        self._happen(_SECURED)
        if not self._settings.isServer:
            self._issueSession(again=True)
        elif self._settings.reportSessions:
            self._report(self._sessionMade())
        self.queue.append(events.HandshakeCompleted(again=True))

    def _followRequest(self, outcome: int) -> None:
        """Look whether the client's answer is there, behind a read."""
        driver, request = self.driver, self._request
        assert request is not None
        # What is noted has only made the read stop there.
        driver.noted.clear()
        if outcome == _FAILED or self._hookError is not None or not request.answered:
            return
        self._request = None
        driver.unwatchHandshakes()
        self.queue.append(events.CertificateAnswered())
        made, self._made = self._made, None
        if made:
            made.pop(request.known or b"", None)
            self._report(made.items())

    def _fail(self) -> None:
        if self.receiving is _HANDSHAKE or self.sending is _RENEGOTIATING:
            phase = Phase.HANDSHAKING
        else:
            phase = Phase.OPEN if self.sending is _ENCRYPTED else Phase.CLOSING
        entries = drainErrors()
        first = entries[0] if entries else makeEntry(LIB_SSL, _FATAL)
        ours = first.library == LIB_SSL and (
            first.reason in _OURS or first.reason & _FATAL == _FATAL
        )
        error = connectionError(entries, blame=Blame.LOCAL if ours else Blame.PEER, phase=phase)
        if error.alert is None:
            error.alert = self.driver.alertSent()
        # What a callback raised is the cause, whatever OpenSSL made of it.
        told = bool(entries) and entries[0].alert is not None
        self._die(self._hookError or error, told and self._hookError is None)

    def _die(self, error: BaseException, told: bool = False) -> None:
        self.queue.append(events.Failed(error, told))
        self.unread = False
        self._happen(_DIED)

    def _happen(self, happening: Happening) -> None:
        self.receiving = RECEIVING[self.receiving][happening]
        self.sending = SENDING[self.sending][happening]

    # -- reading

    def _queue(self, data: bytes, outcome: int, hasSession: bool) -> None:
        """What a read has brought, as events."""
        if data:
            self.queue.append(data)
        if self._request is not None:
            self._followRequest(outcome)
        elif self.driver.noted:
            self._followHandshakes()
        if hasSession:
            # In the middle of a handshake it is not complete yet.
            if self.sending is not _RENEGOTIATING:
                session = queries.session(self.driver)
                if session is not None:
                    self.queue.append(events.SessionIssued(session))
        elif outcome != _DONE:
            self.unread = False
        if outcome == _FAILED or self._hookError is not None:
            self._fail()
        elif outcome == _CLOSED:
            self._happen(_END_RECEIVED)
            self.queue.append(_ENDED)

    # -- what the trampolines ask (see txnodetls.openssl.hooks)

    def hookALPN(self, offered: bytes) -> bytes | bool | None:
        answer = self._answer
        if answer.protocol is not None:
            return answer.protocol or False
        supported = self._settings.alpn if answer.alpn is None else answer.alpn
        if not supported:
            return None
        names = decodeALPN(offered)
        # The server's order decides.
        return next((name for name in decodeALPN(supported) if name in names), False)

    def hookNPN(self, listed: bytes | None) -> bytes | None:
        own = self._settings.npn
        if listed is None:
            return own
        known = decodeALPN(own)
        self._npn = next((name for name in decodeALPN(listed) if name in known), None)
        # A client has to name one, be it that the server does not know it.
        return known[0] if self._npn is None else self._npn

    def npnProtocol(self) -> bytes | None:
        """The protocol agreed on by NPN, or None."""
        if self._settings.npn and self._settings.isServer:
            return npn.negotiated(self.driver)
        return self._npn

    def hookKeylog(self, line: bytes) -> None:
        if self._settings.keylog:
            self.queue.append(events.KeyLogged(line + b"\n"))

    def hookStatus(self) -> bytes | bool | None:
        if self._settings.isServer:
            return self._answer.staple
        self.queue.append(events.StapleReceived(queries.staple(self.driver)))
        return True

    def hookCertificate(self) -> bool:
        ask = self._answer.askStaple
        if self._staple is _Staple.WANTED and ask is not None:
            self._staple = _ASKED_FOR
            self.queue.append(events.StapleWanted(ask))
        return self._staple is not _ASKED_FOR

    def hookPskClient(self, hint: str | None) -> tuple[bytes, bytes] | None:
        answer = self._settings.pskClient(hint) if self._settings.pskClient else None
        self.pskSupplied = answer is not None
        self._psk = None if answer is None else answer[1]
        return answer

    def hookPskServer(self, identity: bytes) -> bytes | None:
        key = self._settings.pskServer(identity) if self._settings.pskServer else None
        # Asked once per identity until one fits: the last answer counts.
        self.pskSupplied = bool(key)
        self._psk = key
        return key

    def hookTicketKeys(self) -> Sequence[bytes]:
        return self._settings.ticketKeys or sessions.contextsTicketKeys(self.driver.native)

    def hookRenewsTickets(self) -> bool:
        # To OpenSSL a pre-shared key is a session resumed, but no ticket was shown.
        return bool(self._settings.ticketKeys) or (
            self.pskSupplied and queries.madeWithPsk(self.driver, self._psk or b"")
        )

    def hookProgress(self, done: bool) -> None:
        if done:
            if self._settings.reportSessions:
                self._made = {}
            if self._settings.follows and queries.speaksTLS13(self.driver):
                # Later the session is that of the first ticket.
                self._checkPsk()
        elif self._made is not None:
            session = queries.session(self.driver)
            sessionId = None if session is None else queries.sessionIdOf(session)
            if session and sessionId:
                self._made.setdefault(sessionId, session)

    def hookHandshake(self, done: bool) -> None:
        self.driver.noted.append(done)

    def hookAnswer(self, whole: bool) -> None:
        if self._request is not None:
            self._request.begun = not whole
        if whole:
            self.driver.noted.append(True)

    def hookMessage(self, sent: bool, version: int, contentType: int, data: bytes) -> None:
        if self._tracer is not None:
            self._tracer.message(sent, version, contentType, data)

    def hookFailed(self, error: BaseException) -> None:
        if self._hookError is None:
            self._hookError = error


def _hooksFor(settings: EngineSettings, answer: Answer | None = None) -> tuple[str, ...]:
    """The names of the trampolines that a connection needs."""
    if answer is None:
        answer = NO_ANSWER
    elif (
        answer.alpn is None
        and answer.protocol is None
        and answer.staple is None
        and answer.askStaple is None
    ):
        return settings.hooks  # what it says makes no difference here
    supported = settings.alpn if answer.alpn is None else answer.alpn
    wanted = {
        "alpn": settings.isServer and bool(supported or answer.protocol is not None),
        "keylog": settings.keylog,
        "status": settings.requestStaple
        or answer.staple is not None
        or answer.askStaple is not None,
        "pskClient": settings.pskClient is not None,
        "pskServer": settings.pskServer is not None,
    }
    return tuple(name for name, needed in wanted.items() if needed)


def verifyMode(requestCert: bool, rejectUnauthorized: bool) -> int:
    """The C{SSL_VERIFY_*} bits of a server's two options."""
    if not requestCert:
        return int(SSL.VERIFY_NONE)
    mode = SSL.VERIFY_PEER
    if rejectUnauthorized:
        mode |= SSL.VERIFY_FAIL_IF_NO_PEER_CERT
    return int(mode)
