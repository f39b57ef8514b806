"""
Handshakes behind the first one: C{renegotiate}, and a limit for clients that ask too often.

TLS 1.2 and older can shake hands again on a connection that is open: a server
that wants a client certificate after all, or either side that wants new keys.
TLS 1.3 has done away with it.  What follows from it here:

- A handshake makes a server work far more than a client, so a client that
  asks for it again and again is attacking.  After C{CLIENT_RENEG_LIMIT} times
  within C{CLIENT_RENEG_WINDOW} seconds the connection is destroyed.  What the
  server has asked for itself is not counted.
- While one is under way nothing can be sent.  What the application writes is
  kept, so one that never ends would hold it for ever; a server gives it the
  time of the first handshake.
- The peer may show another certificate than before.  It is judged anew, and
  what comes behind the new handshake is delivered after the verdict.
- A client answers a server's request by resuming its session, and a resumed
  session asks for no certificate.  A server that insists on one
  (C{requestCert} with C{rejectUnauthorized}) therefore resumes none.

Sources: RFC 5246 section 7.4.1.1, RFC 5746,
https://nodejs.org/api/tls.html#client-initiated-renegotiation-attack-mitigation
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from txnodetls.constants import defaults
from txnodetls.errors import Blame, NodeError, Phase, handshakeTimedOut, invalidArgType
from txnodetls.openssl import queries
from txnodetls.protocol import events
from txnodetls.protocol.engine import TLSEngine, verifyMode
from txnodetls.protocol.states import Sending
from txnodetls.streams.duplex import Duplex

__all__ = ["Renegotiating", "Renegotiations"]

Callback = Callable[[BaseException | None], object]


class Renegotiations:
    """
    What one connection remembers of its renegotiations; made when there is a first one.

    @ivar asked: this side has asked for one that has not begun.
    @ivar disabled: C{disableRenegotiation()} was called.
    """

    __slots__ = ("_count", "_latest", "_timer", "asked", "disabled")

    def __init__(self) -> None:
        self.asked = False
        self.disabled = False
        self._count = 0
        self._latest = 0.0
        self._timer: IDelayedCall | None = None

    def begun(self, now: float) -> NodeError | None:
        """
        One has begun, asked for or not; the error if it is one too many.

        The window is Node's: it begins anew after a pause of its length.
        """
        if self.asked:
            self.asked = False
            return None
        if now - self._latest >= defaults.CLIENT_RENEG_WINDOW:
            self._count = 0
        self._latest = now
        self._count += 1
        if self._count <= defaults.CLIENT_RENEG_LIMIT:
            return None
        return NodeError(
            "TLS session renegotiation attack detected",
            "ERR_TLS_SESSION_ATTACK",
            blame=Blame.PEER,
            phase=Phase.OPEN,
        )

    def bound(self, reactor: Any, milliseconds: float, late: Callable[[], object]) -> None:
        """Call C{late} unless the handshake is done by then; one that runs already counts on."""
        if self._timer is None:
            self._timer = reactor.callLater(milliseconds / 1000, late)

    def over(self) -> None:
        """The handshake is done, or the connection is closed."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()


class Renegotiating(Duplex):
    """The part of a TLSSocket that deals with renegotiations."""

    _engine: TLSEngine | None
    _handler: Any
    _isServer: bool
    _renegotiations: Renegotiations | None
    _secure: bool
    _verification: tuple[bool, bool]

    def _pump(self) -> None:
        """Deliver what the engine has, and take what it wants to send."""
        raise NotImplementedError

    def renegotiate(
        self, options: Mapping[str, Any] | None = None, callback: Callback | None = None
    ) -> bool | None:
        """
        Shake hands again (TLS 1.2 and older); a server asks the client to.

        What is written meanwhile is kept and sent afterwards.  A server waits
        no longer than its C{handshakeTimeout}.

        @param options: of a server: C{requestCert} and C{rejectUnauthorized},
            from now on; what is not there stays as it was.
        @param callback: called with None on the next 'secure'; or, in a later
            turn, with the error where the answer is False.
        @return: whether it was begun: False in TLS 1.3, before the first
            handshake is done, after C{end()}, and where
            C{SSL_OP_NO_RENEGOTIATION} forbids it.  None once destroyed.
        @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE}.
        """
        if not isinstance(options, Mapping):
            raise invalidArgType("options", "of type object", options)
        if callback is not None and not callable(callback):
            raise invalidArgType("callback", "of type function", callback)
        if self.destroyed:
            return None
        try:
            self._beginRenegotiation(options)
        except NodeError as error:
            if callback is not None:
                self._ticks.nextTick(self._refused, callback, error)
            return False
        if callback is not None:
            told = callback
            self.once("secure", lambda: told(None))
        # Sends what there is to send; never on the stack of whoever asked.
        self._ticks.nextTick(self._pump)
        return True

    def disableRenegotiation(self) -> None:
        """From now on it is an 'error' (servers): C{ERR_TLS_RENEGOTIATION_DISABLED}."""
        self._remember().disabled = True

    def _remember(self) -> Renegotiations:
        if self._renegotiations is None:
            self._renegotiations = Renegotiations()
        return self._renegotiations

    def _beginRenegotiation(self, options: Mapping[str, Any]) -> None:
        engine = self._engine
        if engine is None or not self._secure:
            raise _impossible("before the handshake is done", "ERR_TLS_INVALID_STATE")
        if engine.sending is Sending.RENEGOTIATING:
            return
        if engine.sending is Sending.CLOSED or engine.sending is Sending.DEAD:
            raise _impossible("after end", "ERR_STREAM_WRITE_AFTER_END")
        if engine.sending is not Sending.OPEN:
            raise _impossible("before the session is kept", "ERR_TLS_INVALID_STATE")
        if not self._isServer:
            engine.renegotiate()
            return
        memory = self._remember()
        if memory.asked:
            return
        requestCert, rejectUnauthorized = self._verification
        if options.get("requestCert") is not None:
            requestCert = bool(options["requestCert"])
        if options.get("rejectUnauthorized") is not None:
            rejectUnauthorized = bool(options["rejectUnauthorized"])
        insist = requestCert and rejectUnauthorized
        engine.renegotiate(
            verifyMode(requestCert, rejectUnauthorized),
            whole=insist and queries.peerCertificate(engine.driver) is None,
        )
        self._verification = (requestCert, rejectUnauthorized)
        memory.asked = True
        self._boundRenegotiation(memory)

    def _boundRenegotiation(self, memory: Renegotiations) -> None:
        ticks = self._ticks
        memory.bound(
            ticks.reactor,
            self._handler.handshakeTimeout(),
            lambda: ticks.turn(self.destroy, handshakeTimedOut()),
        )

    def _refused(self, callback: Callback, error: NodeError) -> None:
        if not self.destroyed:
            self._call(callback, error)

    # -- events of the engine

    def _onBegunAnew(self, _event: events.HandshakeBegun) -> None:
        if not self._isServer:
            return
        memory = self._remember()
        attack = memory.begun(self._ticks.reactor.seconds())
        if attack is not None:
            self.destroy(attack)
            return
        self._boundRenegotiation(memory)
        if memory.disabled:
            self._fire(
                "error",
                NodeError(
                    "TLS session renegotiation disabled for this socket",
                    "ERR_TLS_RENEGOTIATION_DISABLED",
                    blame=Blame.PEER,
                    phase=Phase.OPEN,
                ),
            )

    def _renegotiated(self) -> None:
        """The new handshake is done: judge the peer anew, and tell."""
        self._endRenegotiations()
        if self._handler.judge(self):
            self._handler.announceAgain(self)

    def _endRenegotiations(self) -> None:
        if self._renegotiations is not None:
            self._renegotiations.over()


def _impossible(when: str, code: str) -> NodeError:
    return NodeError(f"cannot renegotiate {when}", code, blame=Blame.LOCAL)
