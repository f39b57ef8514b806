"""
Post-handshake authentication: a server asks for a client's certificate later (TLS 1.3).

An addition to Node, which has C{renegotiate} for it in TLS 1.2 and nothing in
TLS 1.3.  What follows from how the protocol does it:

- A client has to offer it in its ClientHello (C{postHandshakeAuth}); one that
  has not cannot be asked, and Node's never do.
- Data goes on both ways meanwhile.  The client's answer has its place among
  what it sends, and what comes behind it is delivered behind the verdict.
- The verdict is on the certificate that this answer brings, and on nothing
  else: that a session was resumed, with a certificate in it or without, or
  that C{pskCallback} supplied the key, does not answer for it.
- From when the answer has begun until it is whole OpenSSL shows a certificate
  that is not proved yet; then this side shows none.
- Nobody has to answer, so the time for it is that of a handshake.

Sources: RFC 8446 section 4.6.2; RFC 8740 (not with HTTP/2)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall

from txnodetls.errors import (
    Blame,
    NodeError,
    Phase,
    handshakeTimedOut,
    invalidArgType,
    invalidArgValue,
)
from txnodetls.openssl import queries
from txnodetls.openssl.failures import verifyErrorCode, verifyErrorText
from txnodetls.options import POST_HANDSHAKE_AUTH, readOptions
from txnodetls.protocol import events
from txnodetls.protocol.engine import TLSEngine, verifyMode
from txnodetls.protocol.states import Receiving, Sending
from txnodetls.streams.duplex import Duplex
from txnodetls.streams.life import streamError

__all__ = ["PostHandshakeAuth"]

Callback = Callable[[BaseException | None], object]

# What OpenSSL says to a request that it refuses, and what that means.
_REFUSALS: Final = {
    "ERR_SSL_EXTENSION_NOT_RECEIVED": "has not offered it (postHandshakeAuth)",
    "ERR_SSL_REQUEST_SENT": "is being asked already",
}


class _Asked:
    """
    One request that waits for its answer.

    @ivar callback: who is told, once.
    @ivar insists: the connection does not go on without a verified certificate.
    @ivar timer: ends the connection.
    """

    __slots__ = ("callback", "insists", "timer")

    def __init__(self, callback: Callback | None, insists: bool, timer: IDelayedCall) -> None:
        self.callback = callback
        self.insists = insists
        self.timer = timer


class PostHandshakeAuth(Duplex):
    """The part of a TLSSocket that asks for a certificate behind the handshake."""

    authorizationError: str | None
    authorized: bool
    _asked: _Asked | None
    _engine: TLSEngine | None
    _handler: Any
    _isServer: bool
    _secure: bool
    _verification: tuple[bool, bool]

    def _pump(self) -> None:
        """Deliver what the engine has, and take what it wants to send."""
        raise NotImplementedError

    def requestPostHandshakeAuth(
        self, options: Mapping[str, Any] | None = None, callback: Callback | None = None
    ) -> bool:
        """
        Ask the client for its certificate now (TLS 1.3, servers).  An addition to Node.

        Data goes on both ways meanwhile.  With the client's answer C{authorized},
        C{authorizationError} and C{getPeerCertificate()} speak of the certificate that it
        shows; with C{rejectUnauthorized} one that is not verified ends the connection.  The
        answer is read in its place among what the client sends: not while this socket is
        paused.  After C{handshakeTimeout} without it the connection is destroyed.

        @param options: C{requestCert}, which can only be True; C{rejectUnauthorized}, by
            default as the server has it.
        @param callback: called once, later: with None when the client has answered and the
            connection goes on (see C{authorized} then), before anything is delivered that the
            client has sent behind its answer; else with the error.
        @return: whether the client is asked.  If not, the connection goes on, and C{callback}
            gets the reason: C{ERR_SSL_EXTENSION_NOT_RECEIVED}, the client has not offered it
            (C{postHandshakeAuth}); C{ERR_SSL_WRONG_SSL_VERSION}, this is TLS 1.2 or older,
            which has C{renegotiate}; C{ERR_SSL_REQUEST_SENT}, it is being asked already;
            C{ERR_TLS_INVALID_STATE}, before the handshake is done or when the client has
            ended; C{ERR_STREAM_WRITE_AFTER_END}; C{ERR_STREAM_DESTROYED}.
        @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE}, C{ERR_INVALID_ARG_VALUE}.
        @raise NodeError: C{ERR_SSL_NOT_SERVER}: this side is the client.
        """
        if options is not None and not isinstance(options, Mapping):
            raise invalidArgType("options", "of type object", options)
        if callback is not None and not callable(callback):
            raise invalidArgType("callback", "of type function", callback)
        wanted = readOptions(POST_HANDSHAKE_AUTH, options)
        if wanted.requestCert is False:
            raise invalidArgValue("options.requestCert", False, "can only be true here")
        if not self._isServer:
            raise _refused("only a server asks for one later", "ERR_SSL_NOT_SERVER")
        insists = wanted.rejectUnauthorized
        if insists is None:
            insists = self._verification[1]
        try:
            self._ask(verifyMode(True, insists))
        except NodeError as error:
            if callback is not None:
                self._ticks.nextTick(self._call, callback, error)
            return False
        ticks = self._ticks
        timer = ticks.reactor.callLater(
            self._handler.handshakeTimeout() / 1000, ticks.turn, self._notAnswered
        )
        self._asked = _Asked(callback, insists, timer)
        # Sends the request; never on the stack of whoever asked.
        ticks.nextTick(self._pump)
        return True

    def _ask(self, mode: int) -> None:
        engine = self._engine
        if engine is None or not self._secure:
            if self.destroyed:
                raise _refused("the connection is closed", "ERR_STREAM_DESTROYED")
            raise _refused("the handshake is not done", "ERR_TLS_INVALID_STATE")
        if queries.protocol(engine.driver) != "TLSv1.3":
            raise _refused(
                "TLS 1.2 and older have renegotiate({'requestCert': True}) for it",
                "ERR_SSL_WRONG_SSL_VERSION",
            )
        if engine.sending not in (Sending.OPEN, Sending.WITHHELD) or self.writableEnded:
            raise _refused("this side has ended", "ERR_STREAM_WRITE_AFTER_END")
        if engine.receiving is not Receiving.OPEN:
            raise _refused("the client has ended", "ERR_TLS_INVALID_STATE")
        try:
            engine.askForCertificate(mode)
        except NodeError as error:
            if error.code in _REFUSALS:
                raise _refused(f"the client {_REFUSALS[error.code]}", error.code) from error
            raise

    def _notAnswered(self) -> None:
        self.destroy(handshakeTimedOut())

    # -- what becomes of it

    def _onCertificateAnswered(self, _event: events.CertificateAnswered) -> None:
        """The client has answered: judge what it has shown."""
        engine, asked = self._engine, self._asked
        assert engine is not None
        assert asked is not None
        number = queries.certificateVerdict(engine.driver)
        self.authorized = number == 0
        self.authorizationError = verifyErrorCode(number) if number else None
        if number and asked.insists:
            error = NodeError(
                verifyErrorText(number),
                verifyErrorCode(number),
                blame=Blame.PEER,
                phase=Phase.HANDSHAKING,
            )
            self._settle(error)
            self.destroy(error)
        else:
            self._settle(None)

    def _settle(self, error: BaseException | None) -> None:
        """What was asked is answered, or never will be: tell."""
        callback = self._forgetAsked()
        if callback is not None:
            self._call(callback, error)

    def _forgetAsked(self) -> Callback | None:
        """Nothing is asked any more; who is to be told."""
        asked, self._asked = self._asked, None
        if asked is None:
            return None
        if asked.timer.active():
            asked.timer.cancel()
        return asked.callback

    def _clientEnded(self) -> None:
        """The client says nothing more, so no answer will come."""
        asked, engine = self._asked, self._engine
        if asked is None or engine is None:
            return
        error = NodeError("socket hang up", "ECONNRESET", blame=Blame.PEER, phase=Phase.HANDSHAKING)
        self._settle(error)
        # In the middle of an answer that never goes on nothing can be sent any more.
        if asked.insists or engine.peerUnproven:
            self.destroy(error)

    def _giveUpAsking(self, error: BaseException | None) -> None:
        """The connection is being destroyed."""
        callback = self._forgetAsked()
        if callback is not None:
            reason = error or streamError("ERR_STREAM_PREMATURE_CLOSE")
            self._ticks.nextTick(self._call, callback, reason)


def _refused(why: str, code: str) -> NodeError:
    return NodeError(
        f"cannot ask for a certificate: {why}", code, blame=Blame.LOCAL, phase=Phase.OPEN
    )
