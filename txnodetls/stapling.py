"""
What is not left to a responder: that it answers in time, and what becomes of its mistakes.

A server asks its C{ocspResponder} while a handshake waits.  A staple is good to have, and no
more: one that is late, fails or answers with something else costs the staple and a line in the
log, and never the handshake.  (A listener of 'OCSPRequest' is another matter: as in Node, what
it answers counts.  Where there is one, the responder is not asked.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from txnodetls.answers import follow
from txnodetls.errors import invalidArgType
from txnodetls.interfaces import IOCSPResponder

__all__ = ["PATIENCE", "Stapler"]

_FAILED: Final = "The OCSP responder failed; the certificate goes without a staple"

PATIENCE: Final = 1.0
"""For how many seconds a handshake waits for a staple."""


class Stapler:
    """
    A server's responder, asked with patience.

    @param responder: an IOCSPResponder.
    @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE}: it is none.
    """

    _log = Logger()

    def __init__(self, responder: Any, reactor: Any) -> None:
        if not IOCSPResponder.providedBy(responder):
            raise invalidArgType("options.ocspResponder", "an IOCSPResponder", responder)
        self._responder = responder
        self._reactor = reactor

    def ask(
        self, certificate: bytes, issuer: bytes | None, callback: Callable[[None, Any], object]
    ) -> None:
        """
        Ask for the staple of a certificate.

        @param callback: called with None and the staple, or with None and None, once and no
            later than L{PATIENCE} says; maybe at once.
        """
        waiting = _Waiting(self, callback)
        try:
            result = self._responder.respond(certificate, issuer)
        except Exception:
            self._log.failure(_FAILED)
            waiting.answer(None)
            return
        follow(result, waiting.answered)
        waiting.begin(self._reactor)


class _Waiting:
    """One question."""

    __slots__ = ("_callback", "_stapler", "_timer")

    def __init__(self, stapler: Stapler, callback: Callable[[None, Any], object]) -> None:
        self._stapler = stapler
        self._callback: Callable[[None, Any], object] | None = callback
        self._timer: IDelayedCall | None = None

    def begin(self, reactor: Any) -> None:
        """Unless the answer is there, wait, but not for ever."""
        if self._callback is not None:
            self._timer = reactor.callLater(PATIENCE, self._late)

    def answered(self, error: BaseException | None, staple: Any) -> None:
        """The responder has answered, be it too late."""
        log = self._stapler._log
        if error is not None:
            log.failure(_FAILED, Failure(error))
            staple = None
        elif staple is not None and not isinstance(staple, (bytes, bytearray, memoryview)):
            log.error(
                "The OCSP responder answered with {kind} and not with bytes",
                kind=type(staple).__name__,
            )
            staple = None
        self.answer(staple)

    def answer(self, staple: Any) -> None:
        """Let the handshake go on, if it still waits."""
        callback, self._callback = self._callback, None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if callback is not None:
            callback(None, staple)

    def _late(self) -> None:
        self._stapler._log.warn(
            "The OCSP responder has not answered within {patience} s; "
            "the certificate goes without a staple",
            patience=PATIENCE,
        )
        self.answer(None)
