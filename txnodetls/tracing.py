"""
C{enableTrace}: a readable trace of the handshake on standard error.

What it says is made by C{protocol/trace.py}; here is who asks for it, and
where it goes.  Until somebody asks nothing is paid: OpenSSL calls nobody.

A trace is for looking at a handshake that goes wrong.  It contains what the
peers send each other, decrypted, but for the application's data: server names,
certificates, tickets.

Source: https://nodejs.org/api/tls.html#tlssocketenabletrace
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from twisted.logger import Logger

from txnodetls.protocol.engine import TLSEngine
from txnodetls.streams.duplex import Duplex

__all__ = ["Tracing", "toStandardError"]

_log: Final = Logger()


def toStandardError(text: str) -> None:
    """Write a piece of a trace; where that cannot be done, the connection is not to suffer."""
    stream = sys.stderr
    if stream is None:
        return
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError):
        _log.failure("A trace could not be written to standard error")


class Tracing(Duplex):
    """The part of a TLSSocket that can be traced."""

    _engine: TLSEngine | None
    _trace: Callable[[str], object] | None

    def enableTrace(self) -> None:
        """
        Write a trace of all messages from now on to standard error.

        It cannot be ended but with the connection.

        @raise NodeTypeError: C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM}: the handshake has begun, and
            this build of OpenSSL can only be asked before.  The option C{enableTrace} always works.
        """
        if self._engine is not None:
            self._engine.trace(toStandardError)
        self._trace = toStandardError
