"""
C{await socket.whenSecure()}: what Node's callbacks are for, for Python programmers.

An addition to Node, like C{async for} and C{async with} (see
L{txnodetls.streams.conveniences}).
"""

from __future__ import annotations

from typing import Self

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txnodetls.streams.duplex import Duplex
from txnodetls.streams.life import streamError

__all__ = ["Waiting"]


class Waiting(Duplex):
    """The part of a TLSSocket that can be awaited."""

    _secure: bool

    def whenSecure(self) -> Deferred[Self]:
        """
        Wait until the handshake is done and the peer accepted.

        Whoever waits is told of an error, so it needs no other listener.  To cancel the Deferred
        is to wait no longer; the connection goes on.

        @return: fires with this socket; at once, if it is secure already.  Fails with the error
            that the connection ended with before, or with C{ERR_STREAM_PREMATURE_CLOSE} if it
            was closed without one.
        """
        if self.destroyed:
            failed: Deferred[Self] = Deferred()
            failed.errback(Failure(self.errored or streamError("ERR_STREAM_PREMATURE_CLOSE")))
            return failed
        waiting: Deferred[Self] = Deferred(lambda _: forget())

        def forget() -> None:
            self.off("secure", secured).off("error", failedWith).off("close", closed)

        def secured() -> None:
            forget()
            waiting.callback(self)

        def failedWith(error: BaseException) -> None:
            forget()
            waiting.errback(Failure(error))

        def closed(_hadError: bool) -> None:
            failedWith(streamError("ERR_STREAM_PREMATURE_CLOSE"))

        if self._secure:
            waiting.callback(self)
        else:
            self.on("secure", secured).on("error", failedWith).on("close", closed)
        return waiting
