"""
C{TLSSocket}: one engine on one carrier, with Node's stream in front.

    carrier → engine → stream → listeners          carrierArea, _pump, push
    write   → engine → outbox → carrier            _write, gather, write

This is the only object above the engine that has state.  What belongs to a
role (a server's handshake timeout, a client's check of the certificate) is
done by the role's L{Handler}, of which there is one per server, or per client
connection; it has no part in the flow of bytes.

Rules of this file:

- Before the handshake is done, bytes are always read; afterwards only while
  the stream has room.
- What the application writes before the handshake is done, and the peer judged,
  waits in the stream, one chunk of it here; no more than L{MAX_EARLY_WRITES}.
- At L{events.HandshakeCompleted} the handler gives its verdict before anything
  else is sent or delivered: a rejected peer gets nothing and delivers nothing.
- When the engine fails, its alert is sent, and then the socket is destroyed
  with the error.
- After C{_destroy} there is no engine, and answers that come late find nobody.

Source: https://nodejs.org/api/tls.html#class-tlstlssocket
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Final, Self

from twisted.internet.interfaces import ITransport
from zope.interface import implementer

from txnodetls import pki
from txnodetls.errors import (
    Blame,
    NodeError,
    NodeTypeError,
    OpenSSLError,
    Phase,
    SystemCallError,
)
from txnodetls.inspection import Inspection
from txnodetls.interfaces import ITLSSocket
from txnodetls.net.socket import Socket
from txnodetls.net.wrapper import takeCarrier
from txnodetls.openssl import queries
from txnodetls.options import SOCKET, readOptions
from txnodetls.outbox import OUTBOX
from txnodetls.posthandshake import PostHandshakeAuth
from txnodetls.protocol import events
from txnodetls.protocol.engine import SLICE, Answer, TLSEngine
from txnodetls.protocol.states import Sending
from txnodetls.renegotiation import Renegotiating, Renegotiations
from txnodetls.sessions.named import nameSession
from txnodetls.socket.roles import ConnectingAlone, Handler, ServingAlone
from txnodetls.socket.settings import Settings
from txnodetls.socket.waiting import Waiting
from txnodetls.streams.ticks import TickQueue
from txnodetls.tracing import Tracing, toStandardError

__all__ = ["MAX_EARLY_WRITES", "TLSSocket"]

Callback = Callable[[BaseException | None], object]

# What could not be sent in one of these states can be sent in a while.
_OPEN: Final = Sending.OPEN
_WITHHELD: Final = Sending.WITHHELD
_LATER: Final = (Sending.OPEN, Sending.RENEGOTIATING, Sending.WITHHELD)
# What one connection may send in one turn of the reactor before the others
# are given theirs.
_TURN_SHARE: Final = 4 * 1024 * 1024
# A flight of a handshake that is longer has a certificate or a large key in it: it waits for a
# few others at most.
_SHORT_FLIGHT: Final = 512

#: How many bytes may wait for the handshake.  C{write()} has long returned
#: False by then; a socket that is written more to is destroyed: C{ENOBUFS}.
MAX_EARLY_WRITES: Final = 64 * 1024 * 1024


@implementer(ITLSSocket)
class TLSSocket(Inspection, Renegotiating, PostHandshakeAuth, Tracing, Settings, Waiting, Socket):
    """
    A TLS connection, as Node's duplex stream.

    @ivar authorized: whether the peer's certificate was verified.
    @ivar authorizationError: the code of the reason why it was not, or None.
    @ivar alpnProtocol: the protocol agreed on; False if there is none; None
        before the handshake is done.
    @ivar npnProtocol: the same, of Next Protocol Negotiation (TLS 1.2 and older).
    @ivar servername: the server name that was sent; False if there is none;
        None before the handshake is done.
    @ivar encrypted: True.
    @ivar truncated: the bytes of the connection below ended without the peer's close_notify, so
        that 'end' does not mean that all has come.  An addition to Node, which does not tell.
    """

    __slots__ = (
        "_asked",
        "_context",
        "_engine",
        "_handler",
        "_isServer",
        "_keyCert",
        "_parent",
        "_pumping",
        "_reading",
        "_received",
        "_renegotiations",
        "_secure",
        "_sent",
        "_servernameToSend",
        "_sessionBorn",
        "_sessionToOffer",
        "_slice",
        "_trace",
        "_transport",
        "_verification",
        "_waiting",
        "_waitingFinal",
        "alpnProtocol",
        "authorizationError",
        "authorized",
        "npnProtocol",
        "servername",
        "truncated",
    )

    # What makes the Twisted transport of a socket; set by the face of the
    # package, because what makes it stands on a higher floor.
    transportFactory: ClassVar[Callable[[TLSSocket], ITransport] | None] = None

    encrypted: Final = True

    def __init__(
        self,
        socket: Any = None,
        options: Mapping[str, Any] | None = None,
        *,
        handler: Handler | None = None,
        reactor: Any = None,
        **more: Any,
    ) -> None:
        if handler is None:
            given = readOptions(SOCKET, options, more)
            handler = ServingAlone(given) if given.isServer else ConnectingAlone(given)
            options = given
        get = (options or {}).get
        super().__init__(
            {
                "allowHalfOpen": get("allowHalfOpen")
                if socket is None
                else getattr(socket, "allowHalfOpen", False),
                "highWaterMark": get("highWaterMark"),
                "noDelay": get("noDelay"),
                "keepAlive": get("keepAlive"),
                "keepAliveInitialDelay": get("keepAliveInitialDelay"),
                "onread": get("onread"),
                "signal": get("signal"),
            },
            reactor=_reactorOf(socket) if reactor is None else reactor,
        )
        self._initTLS(handler)
        if get("enableTrace"):
            self._trace = toStandardError
        if get("server") is not None:
            self.server = get("server")
        if get("pauseOnConnect"):
            self.pause()
        if socket is not None:
            self._wrap(socket)

    @classmethod
    def _accepted(
        cls, handler: Handler, ticks: TickQueue, allowHalfOpen: bool, mark: int
    ) -> TLSSocket:
        """
        A socket for a connection that a server has accepted, and that C{_adopt()} tells it of.

        @param mark: the high water mark of both sides, in bytes.
        """
        socket = cls.__new__(cls)
        socket._initAccepted(ticks, allowHalfOpen, mark)
        socket._initTLS(handler)
        return socket

    def _initTLS(self, handler: Handler) -> None:
        self.authorized = False
        self.authorizationError: str | None = None
        self.alpnProtocol: str | bool | None = None
        self.npnProtocol: str | bool | None = None
        self.servername: str | bool | None = None
        self.truncated = False
        self._handler = handler
        self._isServer = not handler.startsAtOnce
        self._engine: TLSEngine | None = None
        self._context: Any = None
        self._verification = (False, True)
        self._parent: Any = None
        self._secure = False
        self._reading = True
        self._pumping = False
        self._slice = SLICE
        self._received = self._sent = 0
        self._servernameToSend: bytes | None = None
        self._sessionToOffer: bytes | None = None
        self._sessionBorn: float | None = None
        self._waiting: tuple[Any, Callback] | None = None
        self._waitingFinal: Callback | None = None
        self._renegotiations: Renegotiations | None = None
        self._asked: Any = None
        self._keyCert: Any = None
        self._trace: Callable[[str], object] | None = None
        self._transport: ITransport | None = None

    def _wrap(self, below: Any) -> None:
        """Stand on another socket, stream or transport; it is closed with this one."""
        if not ITransport.providedBy(below):
            self._parent = below
        if isinstance(below, Socket) and below.connecting and not isinstance(below, TLSSocket):
            # It gives its carrier as soon as it has one.
            self.connecting = True
            below.once("connect", partial(self._ticks.nextTick, self._belowConnected, below))
            below.once("error", self.destroy)
            below.once("close", lambda hadError: self.destroy())
        else:
            self._takeFrom(below)

    def _belowConnected(self, below: Socket) -> None:
        if self.destroyed:
            return
        self.connecting = False
        if below._carrier is not None:
            self._takeFrom(below)
            self._fire("connect")

    def _takeFrom(self, below: Any) -> None:
        # Another TLSSocket is a stream to stand on, and not a source of its carrier.
        carrier, early = takeCarrier(below, self._ticks.reactor, whole=isinstance(below, TLSSocket))
        self._adopt(carrier)
        # In a tick, so that whoever wraps can listen and set options first.
        self._ticks.nextTick(self._wrapped, early)

    def _wrapped(self, early: bytes) -> None:
        if self.destroyed:
            return
        self._startEngine()
        if early:
            self.carrierData(early)
        if self._carrier is not None:
            self._carrier.resume()

    def resetAndDestroy(self) -> Self:
        """
        Not for TLS connections, as in Node.

        @raise NodeTypeError: C{ERR_INVALID_HANDLE_TYPE}.
        """
        if self._carrier is None:
            return super().resetAndDestroy()
        raise NodeTypeError("This handle type cannot be sent", "ERR_INVALID_HANDLE_TYPE")

    @property
    def transport(self) -> ITransport:
        """The Twisted transport of this connection; its C{tlsSocket} leads back."""
        transport = self._transport
        if transport is None:
            factory = TLSSocket.transportFactory
            assert factory is not None
            transport = self._transport = factory(self)
        return transport

    @property
    def secureConnecting(self) -> bool:
        """Whether the handshake is not done."""
        return not self._secure

    @property
    def reactor(self) -> Any:
        """The reactor that the connection lives on."""
        return self._ticks.reactor

    @property
    def bytesRead(self) -> int:
        """Bytes of application data received."""
        return self._received

    @property
    def bytesWritten(self) -> int:
        """Bytes of application data written, those that still wait included."""
        waiting = 0 if self._waiting is None else len(self._waiting[0])
        return self._sent + waiting + self._writeLength - self._writeHanded

    def _issuerFinder(self) -> Callable[[bytes], bytes | None] | None:
        context = self._context
        if context is None:
            return None
        return lambda certificate: pki.issuers.findIssuer(
            certificate, context.trustedCertificates()
        )

    # -- the carrier's calls (see txnodetls.transports.carrier)

    def _carrierReady(self) -> None:
        """There is a connection: tell, and begin."""
        self._fire("connect")
        if not self.destroyed:
            self._startEngine()
        self._fire("ready")
        if self._carrier is not None:
            self._carrier.resume()

    def _startEngine(self) -> None:
        """Whoever speaks first begins; the others wait for the first bytes."""
        if self._handler.startsAtOnce:
            engine = self._begin()
            if engine is not None:
                engine.start()
                self._pump()

    def _begin(self) -> TLSEngine | None:
        """Make the engine; without one, the socket is destroyed."""
        if self.destroyed:
            return None
        try:
            engine = self._engine = self._handler.begin(self)
            if self._keyCert is not None:
                self._showKeyCert(engine, self._keyCert)
        except Exception as error:
            self.destroy(error)
            return None
        return engine

    def carrierArea(self, length: int) -> None:
        """Ciphertext came, in the shared input area."""
        engine = self._engine or self._begin()
        if engine is not None:
            engine.receiveArea(length)
            self._pump()

    def carrierData(self, data: bytes) -> None:
        """Ciphertext came."""
        engine = self._engine or self._begin()
        if engine is not None:
            engine.receive(data)
            self._pump()

    def carrierEnd(self) -> None:
        """The peer ended the connection below."""
        engine = self._engine
        if engine is not None:
            engine.receiveEnd()
            self._pump()
        elif not self.destroyed:
            self._truncated(False)

    def carrierClosed(self, error: Exception | None) -> None:
        """The connection below is gone."""
        if isinstance(error, SystemCallError) and not self._secure:
            error.phase = Phase.HANDSHAKING
        super().carrierClosed(error)

    # -- events of the engine

    def _pump(self) -> None:
        """Deliver what the engine has, and take what it wants to send."""
        if self._pumping:
            return
        self._pumping = True
        try:
            if self._idle is not None:
                self._idle.touch()
            engine = self._engine
            while (
                engine is not None
                and (engine.unread or engine.queue)
                and (self._reading or not self._secure)
            ):
                event = engine.nextEvent()
                if event is None:
                    break
                kind = type(event)
                if kind is bytes:
                    self._received += len(event)
                    room = self.push(event) if self._onread is None else self._readInto(event)
                    if not room:
                        self._stopReading()
                else:
                    _ON_EVENT[kind](self, event)
                engine = self._engine
            if engine is not None:
                if OUTBOX.noted is not self and (length := engine.driver.pendingOutput()):
                    OUTBOX.note(self)
                    if length > _SHORT_FLIGHT and not self._secure:
                        OUTBOX.hasten()
                if self._secure and (self._waiting is not None or self._waitingFinal is not None):
                    self._catchUp(engine)
        finally:
            self._pumping = False

    def _onHello(self, event: events.ClientHelloReceived) -> None:
        self._handler.helloReceived(self, event)

    def _onStapleWanted(self, event: events.StapleWanted) -> None:
        event.ask()

    def _onCompleted(self, event: events.HandshakeCompleted) -> None:
        engine = self._engine
        assert engine is not None
        if event.again:
            self._renegotiated()
            return
        selected = queries.alpnSelected(engine.driver)
        self.alpnProtocol = selected.decode("latin-1") if selected else False
        named = engine.npnProtocol()
        self.npnProtocol = named.decode("latin-1") if named else False
        if self.servername is None:
            name = queries.servername(engine.driver)
            self.servername = name.decode("latin-1") if name else False
        if not self._handler.judge(self):
            return
        self._secure = True
        if self._isServer and self.timeout is None:
            self.timeout = 0  # in Node the handshake's timeout has been this one until here
        self._handler.announce(self)
        if self._waiting is not None or self._waitingFinal is not None:
            self._catchUp(engine)

    def _catchUp(self, engine: TLSEngine) -> None:
        """Do what had to wait for a handshake."""
        if self._waiting is not None:
            self._writeWaiting()
        if self._waitingFinal is not None and not engine.stalled:
            callback, self._waitingFinal = self._waitingFinal, None
            self._final(callback)

    def _onSession(self, event: events.SessionIssued) -> None:
        self._handler.sessionIssued(self, event)
        self._fire("session", self._named(event.session))

    def _named(self, session: bytes) -> bytes:
        name = self._handler.sessionName(self)
        return session if name is None else nameSession(name, session)

    def _onSessionMade(self, event: events.SessionMade) -> None:
        if self._carrier is not None:
            self._carrier.pause()
        waiting = [self._engine]

        def kept() -> None:
            # The first answer counts, if it does not come too late.
            if waiting and waiting.pop() is self._engine:
                self._ticks.turn(self._sessionKept)

        self._handler.sessionMade(self, event, kept)

    def _sessionKept(self) -> None:
        engine = self._engine
        if engine is None:
            return
        engine.sessionKept()
        if engine.sending is not Sending.WITHHELD:
            if self._carrier is not None and (self._reading or not self._secure):
                self._carrier.resume()
            self._pump()

    def _onKeyLogged(self, event: events.KeyLogged) -> None:
        self._handler.keyLogged(self, event.line)

    def _onStaple(self, event: events.StapleReceived) -> None:
        self._fire("OCSPResponse", event.staple)

    def _onEnd(self, _event: events.EndReceived) -> None:
        if self._carrier is not None:
            self._carrier.heardAll = True
        self._endOfData()

    def _endOfData(self) -> None:
        """The peer has ended: if nothing waits to be read this is told, be the stream paused."""
        if self._asked is not None:
            self._clientEnded()
            if self.destroyed:
                return
        self.push(None)
        if not self._readEnding:
            self.read(0)

    def _onTruncated(self, event: events.Truncated) -> None:
        self._truncated(event.secured)

    def _onFailed(self, event: events.Failed) -> None:
        error = event.error
        self._settle(error)
        if not isinstance(error, OpenSSLError):
            # An answer of the application's: the connection just ends.
            self.destroy(error)
            return
        OUTBOX.note(self)
        OUTBOX.flushFor(self)
        if not self._secure:
            self.destroy(error)
            return
        # As in Node: an error of TLS behind the handshake is told, and then
        # the connection comes to its end.  The peer's alert is such an end;
        # where it is we that gave up there is nothing to wait for.
        self._fire("error", error)
        if self.destroyed:
            return
        if event.told:
            self._endOfData()
            self._ticks.immediate(self._endFailed)
        else:
            self.destroy()

    def _endFailed(self) -> None:
        """A reader that has nothing left to read, and may never look, keeps nothing open."""
        if not self.readableLength:
            self.destroy()

    def _truncated(self, secured: bool) -> None:
        self.truncated = True
        if secured:
            self._endOfData()
        else:
            self._handler.truncated(self)

    def _resume(self, answer: Answer) -> None:
        """The questions about the ClientHello are answered."""
        engine = self._engine
        if engine is not None:
            self._ticks.turn(self._resumed, engine, answer)

    def _resumed(self, engine: TLSEngine, answer: Answer) -> None:
        engine.resume(answer)
        self._pump()

    def _supplyStaple(self, staple: bytes | None) -> None:
        """The question for a staple is answered."""
        engine = self._engine
        if engine is not None:
            self._ticks.turn(self._stapleSupplied, engine, staple)

    def _stapleSupplied(self, engine: TLSEngine, staple: bytes | None) -> None:
        engine.supplyStaple(staple)
        self._pump()

    # -- the stream's hooks (see txnodetls.streams.duplex)

    def _read(self) -> None:
        self._reading = True
        engine = self._engine
        if engine is not None:
            if (engine.unread or engine.queue) and self._secure and not self._pumping:
                # What is left inside the engine comes first, but never on the
                # stack of whoever asked for it.
                self._ticks.nextTick(self._pump)
            if engine.sending is _WITHHELD:
                return  # a new session has to be kept first
        if self._carrier is not None:
            self._carrier.resume()

    def _stopReading(self) -> None:
        self._reading = False
        if self._carrier is not None:
            self._carrier.pause()

    def _write(self, chunk: Any, callback: Callback) -> bool:
        engine = self._engine
        if engine is None or not self._secure:
            # The stream hands over one chunk at a time, so this is the only one.
            if len(chunk) > MAX_EARLY_WRITES:
                self.destroy(tooEarly())
            else:
                self._waiting = (bytes(chunk), callback)
            return False
        if self._idle is not None:
            self._idle.touch()
        length = len(chunk)
        if length > self._slice:
            sent = self._encryptSlices(engine, chunk)
        else:
            sent = length if not length or engine.send(chunk) else 0
            OUTBOX.note(self, sent)
        self._sent += sent
        if sent < length:
            OUTBOX.note(self)  # maybe there is an alert
            if engine.sending in _LATER:
                self._waiting = (bytes(memoryview(chunk)[sent:]), callback)
            else:
                self._ticks.nextTick(callback, brokenPipe())
            return False
        carrier = self._carrier
        if carrier is None or carrier.queued:
            self._onDrained = callback
            return False
        if OUTBOX.spent > _TURN_SHARE:
            self._ticks.immediate(self._goOn, callback)
            return False
        return True

    def _accept(self, data: Any, cb: Callback | None) -> bool:
        if self._secure or self._writeLength + len(data) <= MAX_EARLY_WRITES:
            return super()._accept(data, cb)
        error = tooEarly()
        if cb is not None:
            self._ticks.nextTick(self._call, cb, error)
        self.destroy(error)
        return False

    def _goOn(self, callback: Callback) -> None:
        """It is this connection's turn again, if it has not been destroyed."""
        if self._engine is not None:
            callback(None)

    def _unheard(self, error: BaseException) -> None:
        if not self._handler.answersFor(self):
            super()._unheard(error)

    def _interrupted(self) -> BaseException:
        if self._former is None:  # there has not been a connection
            return super()._interrupted()
        return NodeError(
            "write ECANCELED Canceled because of SSL destruction",
            "ECANCELED",
            blame=Blame.LOCAL,
            phase=Phase.CLOSING if self._secure else Phase.HANDSHAKING,
            syscall="write",
        )

    def _encryptSlices(self, engine: TLSEngine, chunk: Any) -> int:
        view = memoryview(chunk)
        size = self._slice
        for start in range(0, len(view), size):
            if not engine.send(view[start : start + size]):
                return start
            OUTBOX.note(self, size)
        return len(view)

    def _writeWaiting(self) -> None:
        if self._engine is None or self._waiting is None:
            return
        chunk, callback = self._waiting
        self._waiting = None
        if self._write(chunk, callback):
            callback(None)

    def _final(self, callback: Callback) -> None:
        engine = self._engine
        if self._carrier is None or engine is None or not self._secure or engine.stalled:
            self._waitingFinal = callback
            return
        engine.shutdown()
        OUTBOX.note(self)
        if self._ticks.gathering:
            self._ticks.atEnd(self._endCarrier)
        else:
            OUTBOX.flushFor(self)
            self._carrier.end()
        callback(None)

    def _endCarrier(self) -> None:
        """What there was to send is sent."""
        if self._carrier is not None:
            self._carrier.end()

    def _destroy(self, error: BaseException | None, callback: Callback) -> None:
        engine, self._engine = self._engine, None
        waits = OUTBOX.forget(self)
        if engine is not None:
            # A peer that is refused gets nothing more, not even our Finished.
            if waits and self._secure and self._carrier is not None:
                engine.drain(self._carrier.writeLast)
                OUTBOX.hasten()
            engine.close()
        self._waiting = self._waitingFinal = None
        if self._renegotiations is not None:
            self._endRenegotiations()
        if self._asked is not None:
            self._giveUpAsking(error)
        if not self._secure:
            self._ticks.nextTick(self._handler.closed, self, error)
        # As in Node the close of the connection below is told in a later turn,
        # behind whatever this one still has to tell.
        later = self._carrier is not None
        super()._destroy(error, partial(self._ticks.soon, callback) if later else callback)
        parent, self._parent = self._parent, None
        if parent is not None:
            parent.destroy()

    def _release(self, reset: bool) -> None:
        """Close the carrier: after what is queued, if that was the end of all we had to say."""
        carrier = self._carrier
        if carrier is not None and carrier.queued and not reset and self._saidAll():
            self._carrier = None
            self._former = carrier
            carrier.attach(None)
            carrier.close()
        else:
            super()._release(reset)

    def _saidAll(self) -> bool:
        """Whether what is still queued is the end of the stream, or an alert."""
        return self.writableFinished or isinstance(self.errored, OpenSSLError)

    def _ship(self, much: bool) -> int:
        """Send the ciphertext that there is; how many bytes (called by the outbox)."""
        engine, carrier = self._engine, self._carrier
        if engine is None or carrier is None or (not self._secure and engine.sending is _OPEN):
            # Whoever is to be judged gets nothing before the verdict, even if
            # others write while it is given.
            return 0
        return engine.drain(carrier.write, much)


def brokenPipe() -> NodeError:
    """The error of a write that the connection cannot take any more."""
    return NodeError("write EPIPE", "EPIPE", blame=Blame.PEER, phase=Phase.OPEN, syscall="write")


def tooEarly() -> NodeError:
    """The error of who writes and writes before the handshake is done."""
    return NodeError(
        f"more than {MAX_EARLY_WRITES} bytes were written before the handshake was done",
        "ENOBUFS",
        blame=Blame.LOCAL,
        phase=Phase.HANDSHAKING,
        syscall="write",
    )


def _reactorOf(below: Any) -> Any:
    ticks = getattr(below, "_ticks", None)
    return getattr(below, "reactor", None) if ticks is None else ticks.reactor


_ON_EVENT: Final[dict[type[events.Event], Callable[[TLSSocket, Any], None]]] = {
    events.ClientHelloReceived: TLSSocket._onHello,
    events.StapleWanted: TLSSocket._onStapleWanted,
    events.HandshakeCompleted: TLSSocket._onCompleted,
    events.HandshakeBegun: TLSSocket._onBegunAnew,
    events.CertificateAnswered: TLSSocket._onCertificateAnswered,
    events.SessionIssued: TLSSocket._onSession,
    events.SessionMade: TLSSocket._onSessionMade,
    events.KeyLogged: TLSSocket._onKeyLogged,
    events.StapleReceived: TLSSocket._onStaple,
    events.EndReceived: TLSSocket._onEnd,
    events.Truncated: TLSSocket._onTruncated,
    events.Failed: TLSSocket._onFailed,
}
