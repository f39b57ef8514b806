"""
What a server asks the application about a ClientHello.

The bytes are held while this goes on (see C{protocol/engine.py}).  The order
is that of what depends on what: first which context serves this name
(C{SNICallback}, or the list of C{addContext}), then, for the certificate of
that context, which OCSP staple.  When all is answered the handshake goes on.

An answer that comes when the socket is gone does nothing.  A second answer is
an error, as in Node.

Source: https://nodejs.org/api/tls.html#tlscreateserveroptions-secureconnectionlistener
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from txnodetls.answers import ask
from txnodetls.errors import Blame, NodeError, NodeTypeError, Phase
from txnodetls.interfaces import ISecureContext
from txnodetls.pki.issuers import findIssuer
from txnodetls.protocol.clienthello import ClientHello
from txnodetls.protocol.engine import Answer

__all__ = ["Asked", "HelloQuestions"]

SNICallback = Callable[..., Any]
StapleHook = Callable[[bytes, "bytes | None", Callable[..., None]], Any]


class Asked(Protocol):
    """Whose ClientHello it is: a TLSSocket."""

    @property
    def destroyed(self) -> bool:
        """Whether it is gone."""

    def destroy(self, error: BaseException | None = None) -> Any:
        """Close it at once."""

    def _resume(self, answer: Answer) -> None:
        """Go on with the handshake."""


class HelloQuestions:
    """
    The questions about one ClientHello.

    @param socket: whose ClientHello it is.
    @param context: the context that serves if nobody says otherwise.
    @param sniCallback: chooses the context for a name, or None.
    @param askStaple: asked for the staple of (certificate, issuer), or None.
    """

    __slots__ = ("_askStaple", "_context", "_name", "_sniCallback", "_socket", "_waitsFor")

    def __init__(
        self,
        socket: Asked,
        context: Any,
        sniCallback: SNICallback | None,
        askStaple: StapleHook | None,
    ) -> None:
        self._socket = socket
        self._context = context
        self._sniCallback = sniCallback
        self._askStaple = askStaple
        self._waitsFor: str | None = None

    def start(self, hello: ClientHello) -> None:
        """Ask; the socket's engine goes on when all is answered."""
        if not hello.statusRequest:
            self._askStaple = None
        if hello.servername and self._sniCallback is not None:
            self._waitsFor = "SNICallback"
            ask(self._sniCallback, (hello.servername,), self._contextAnswered)
        else:
            self._contextKnown(None)

    def _contextAnswered(self, error: BaseException | None, context: Any) -> None:
        if not self._expected("SNICallback"):
            return
        if error is not None:
            self._socket.destroy(error)
        elif context is None:
            self._contextKnown(None)
        elif not ISecureContext.providedBy(context):
            self._socket.destroy(
                NodeTypeError(
                    "Invalid SNI context", blame=Blame.CONFIGURATION, phase=Phase.HANDSHAKING
                )
            )
        else:
            self._contextKnown(context)

    def _contextKnown(self, chosen: Any) -> None:
        context = self._context if chosen is None else chosen
        native = None if chosen is None else chosen.native
        hook = self._askStaple
        pair = _certificateAndIssuer(context) if hook is not None else None
        if hook is None or pair is None:
            self._waitsFor = None
            self._socket._resume(Answer(native=native))
            return
        self._waitsFor = "OCSPRequest"

        def answered(error: BaseException | None, staple: Any) -> None:
            self._stapleAnswered(native, error, staple)

        ask(hook, pair, answered)

    def _stapleAnswered(self, native: Any, error: BaseException | None, staple: Any) -> None:
        if not self._expected("OCSPRequest"):
            return
        self._waitsFor = None
        if error is not None:
            self._socket.destroy(error)
        elif staple is None or isinstance(staple, (bytes, bytearray, memoryview)):
            self._socket._resume(
                Answer(native=native, staple=None if staple is None else bytes(staple))
            )
        else:
            self._socket.destroy(
                NodeTypeError(
                    "OCSP response must be a string or a buffer",
                    "ERR_INVALID_ARG_TYPE",
                    blame=Blame.CONFIGURATION,
                    phase=Phase.HANDSHAKING,
                )
            )

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


def _certificateAndIssuer(context: Any) -> tuple[bytes, bytes | None] | None:
    own = context.ownCertificates
    if not own:
        return None
    leaf, chain = own[0]
    issuer = findIssuer(leaf, chain) or findIssuer(leaf, context.trustedCertificates())
    return leaf, None if issuer == leaf else issuer
