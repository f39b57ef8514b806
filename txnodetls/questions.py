"""
What a server asks the application about a ClientHello.

The bytes are held while this goes on (see C{protocol/engine.py}).  The order
is that of what depends on what: as in Node first the session that the client
wants to resume (C{'resumeSession'}); then which context serves this name
(C{SNICallback}, or the list of C{addContext}); then, of what that context
says, the session of a store and which protocol (C{ALPNCallback}).  Then the handshake goes on, and
if it comes to a certificate (where a session is resumed it does not), it waits for the OCSP staple
of that certificate.

A context that was chosen by its name replaces the server's certificates,
trust, revocation lists, ciphers, signature algorithms and DH parameters, and,
where its options have them, C{requestCert}, C{rejectUnauthorized} and the
protocols.  Versions, groups, other C{secureOptions}, ticket keys and the
session timeout stay the server's.

An answer that comes when the socket is gone does nothing.  A second answer is
an error, as in Node.

Source: https://nodejs.org/api/tls.html#tlscreateserveroptions-secureconnectionlistener
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from txnodetls import pki
from txnodetls.alpn import encodeALPN
from txnodetls.answers import ask, follow
from txnodetls.context import defaultSessionIdContext
from txnodetls.errors import Blame, NodeError, NodeTypeError, Phase
from txnodetls.interfaces import ISecureContext
from txnodetls.protocol.clienthello import ClientHello
from txnodetls.protocol.engine import NO_ANSWER, Answer, verifyMode

__all__ = ["Asked", "HelloQuestions", "Policy", "sessionsBoundTo"]

SNICallback = Callable[..., Any]
ALPNCallback = Callable[[dict[str, Any]], Any]
SessionHook = Callable[[bytes, Callable[["BaseException | None", Any], None]], None]
FetchHook = Callable[[ClientHello, Callable[["bytes | None"], None]], None]
StapleHook = Callable[[bytes, "bytes | None", Callable[..., None]], Any]


class Policy(NamedTuple):
    """
    Whom a server asks, and what it wants of its clients.

    @ivar sniCallback: chooses the context for a name, or None.
    @ivar alpnCallback: chooses the protocol, or None.
    @ivar askStaple: asked for the staple of (certificate, issuer), or None.
    @ivar requestCert: whether clients are asked for a certificate.
    @ivar rejectUnauthorized: whether those without a verified one are refused.
    @ivar resumeSession: asked for the session of an id, or None.
    @ivar fetchSession: asked for the session of a ClientHello once the context
        is known, or None.
    """

    sniCallback: SNICallback | None = None
    alpnCallback: ALPNCallback | None = None
    askStaple: StapleHook | None = None
    requestCert: bool = False
    rejectUnauthorized: bool = True
    resumeSession: SessionHook | None = None
    fetchSession: FetchHook | None = None


class Asked(Protocol):
    """Whose ClientHello it is: a TLSSocket."""

    _context: Any
    _keyCert: Any
    _verification: tuple[bool, bool]

    @property
    def destroyed(self) -> bool:
        """Whether it is gone."""

    def destroy(self, error: BaseException | None = None) -> Any:
        """Close it at once."""

    def _resume(self, answer: Answer) -> None:
        """Go on with the handshake."""

    def _supplyStaple(self, staple: bytes | None) -> None:
        """Go on with the handshake, which has come to the certificate."""


class HelloQuestions:
    """
    The questions about one ClientHello.

    @param socket: whose ClientHello it is; its context and what it wants of its client
        become those of the context that is chosen.
    @param policy: what holds if the context says nothing else.
    """

    __slots__ = ("_answer", "_hello", "_policy", "_socket", "_waitsFor")

    def __init__(self, socket: Asked, policy: Policy) -> None:
        self._socket = socket
        self._policy = policy
        self._answer = NO_ANSWER
        self._waitsFor: str | None = None

    def start(self, hello: ClientHello) -> None:
        """Ask; the socket's engine goes on when all is answered."""
        self._hello = hello
        hook = self._policy.resumeSession
        if hook is not None and hello.sessionId and not hello.ticket:
            self._waitsFor = "resumeSession"
            hook(hello.sessionId, self._sessionAnswered)
        else:
            self._askContext()

    def _sessionAnswered(self, error: BaseException | None, session: Any) -> None:
        if not self._expected("resumeSession"):
            return
        if error is not None:
            self._socket.destroy(error)
            return
        # As in Node, whatever else is answered is no session.
        if isinstance(session, (bytes, bytearray, memoryview)):
            self._answer = self._answer._replace(session=bytes(session))
        self._askContext()

    def _askContext(self) -> None:
        hello = self._hello
        callback = self._policy.sniCallback
        if hello.servername and callback is not None:
            self._waitsFor = "SNICallback"
            ask(callback, (hello.servername,), self._contextAnswered)
        else:
            self._fetchSession()

    def _contextAnswered(self, error: BaseException | None, context: Any) -> None:
        if not self._expected("SNICallback"):
            return
        if error is not None:
            self._socket.destroy(error)
        elif context is None:
            self._fetchSession()
        elif not ISecureContext.providedBy(context):
            self._socket.destroy(_refusal("Invalid SNI context"))
        else:
            self._take(context)
            self._fetchSession()

    def _take(self, context: Any) -> None:
        """Go by a context that was chosen."""
        policy = self._policy
        get = (context.options or {}).get
        request = _either(get("requestCert"), policy.requestCert)
        reject = _either(get("rejectUnauthorized"), policy.rejectUnauthorized)
        protocols, callback = get("ALPNProtocols"), get("ALPNCallback")
        alpn = None if protocols is None else encodeALPN(protocols, "ALPNProtocols")
        if alpn is not None or callback is not None:
            self._policy = policy._replace(alpnCallback=callback)
        if self._socket._keyCert is None:
            self._socket._context = context
        self._socket._verification = (request, reject)
        self._answer = Answer(
            native=context.native,
            sessionIdContext=sessionsBoundTo(context, request, reject),
            verifyMode=verifyMode(request, reject),
            alpn=alpn,
            session=self._answer.session,  # nothing else is known before the context
        )

    def _fetchSession(self) -> None:
        hook = self._policy.fetchSession
        if hook is None or self._answer.session is not None:
            self._askProtocol()
        else:
            hook(self._hello, self._sessionFetched)

    def _sessionFetched(self, session: bytes | None) -> None:
        if self._socket.destroyed:
            return
        if session is not None:
            self._answer = self._answer._replace(session=session)
        self._askProtocol()

    def _askProtocol(self) -> None:
        callback, hello = self._policy.alpnCallback, self._hello
        if callback is None or not hello.alpn:
            self._askStaple()
            return
        self._waitsFor = "ALPNCallback"
        offered = [name.decode("latin-1") for name in hello.alpn]
        try:
            result = callback({"servername": hello.servername or "", "protocols": offered})
        except Exception as error:
            self._protocolAnswered(error, None)
        else:
            follow(result, self._protocolAnswered)

    def _protocolAnswered(self, error: BaseException | None, chosen: Any) -> None:
        if not self._expected("ALPNCallback"):
            return
        offered = [name.decode("latin-1") for name in self._hello.alpn]
        if error is not None:
            self._socket.destroy(error)
        elif chosen is not None and chosen not in offered:
            self._socket.destroy(
                _refusal(
                    f"ALPN callback returned a value ({chosen}) that did not match any of the "
                    f"client's offered protocols ({', '.join(offered)})",
                    "ERR_TLS_ALPN_CALLBACK_INVALID_RESULT",
                )
            )
        else:
            protocol = b"" if chosen is None else chosen.encode("latin-1")
            self._answer = self._answer._replace(protocol=protocol)
            self._askStaple()

    def _askStaple(self) -> None:
        hook = self._policy.askStaple
        pair = None
        if hook is not None and self._hello.statusRequest:
            pair = _certificateAndIssuer(self._socket._context)
        if hook is not None and pair is not None:

            def wanted() -> None:
                self._waitsFor = "OCSPRequest"
                ask(hook, pair, self._stapleAnswered)

            self._answer = self._answer._replace(askStaple=wanted)
        self._finish()

    def _stapleAnswered(self, error: BaseException | None, staple: Any) -> None:
        if not self._expected("OCSPRequest"):
            return
        if error is not None:
            self._socket.destroy(error)
        elif staple is None or isinstance(staple, (bytes, bytearray, memoryview)):
            self._waitsFor = None
            self._socket._supplyStaple(None if staple is None else bytes(staple))
        else:
            self._socket.destroy(
                _refusal("OCSP response must be a string or a buffer", "ERR_INVALID_ARG_TYPE")
            )

    def _finish(self) -> None:
        self._waitsFor = None
        self._socket._resume(self._answer)

    def _expected(self, question: str) -> bool:
        """Whether this answer is waited for; one too many destroys the socket."""
        if self._socket.destroyed:
            return False
        if self._waitsFor == question:
            return True
        self._socket.destroy(
            NodeError(
                "Callback called multiple times",
                "ERR_MULTIPLE_CALLBACK",
                blame=Blame.CONFIGURATION,
                phase=Phase.HANDSHAKING,
            )
        )
        return False


def sessionsBoundTo(context: Any, requestCert: bool, rejectUnauthorized: bool) -> bytes:
    """What sessions are bound to under a context that does not say so; empty if it does."""
    if context.sessionIdContext:
        return b""
    return defaultSessionIdContext(context, requestCert, rejectUnauthorized)


def _either(own: Any, otherwise: bool) -> bool:
    return otherwise if own is None else bool(own)


def _refusal(message: str, code: str | None = None) -> NodeTypeError:
    """The error of an answer that cannot be used."""
    return NodeTypeError(message, code, blame=Blame.CONFIGURATION, phase=Phase.HANDSHAKING)


def _certificateAndIssuer(context: Any) -> tuple[bytes, bytes | None] | None:
    own = context.ownCertificates
    if not own:
        return None
    leaf, chain = own[0]
    find = pki.issuers.findIssuer
    issuer = find(leaf, chain) or find(leaf, context.trustedCertificates())
    return leaf, None if issuer == leaf else issuer
