"""
Abort signals: Node's option C{signal}.

Anything with an C{aborted} attribute and a way to listen for C{'abort'} (C{on} or
C{addEventListener}) serves as an C{AbortSignal}; Python has none of its own.

Source: https://nodejs.org/api/globals.html#class-abortsignal
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from txnodetls.errors import Blame, NodeError, invalidArgType

__all__ = ["AbortError", "onAbort"]


class AbortError(NodeError):
    """Node's AbortError: a signal said to stop.  Its C{__cause__} is the signal's reason."""

    name = "AbortError"
    code = "ABORT_ERR"

    def __init__(self, reason: object = None) -> None:
        super().__init__("The operation was aborted", blame=Blame.LOCAL)
        if isinstance(reason, BaseException):
            self.__cause__ = reason


def onAbort(signal: Any, stop: Callable[[AbortError], object]) -> Callable[[], object] | None:
    """
    Call C{stop} when the signal says so, at once if it has said so already.

    @return: what ends the listening; None if there is nothing to end.
    @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE}: it is no signal.
    """
    listen = getattr(signal, "on", None) or getattr(signal, "addEventListener", None)
    if listen is None or not hasattr(signal, "aborted"):
        raise invalidArgType("options.signal", "an instance of AbortSignal", signal)

    def aborted(*_: object) -> None:
        stop(AbortError(getattr(signal, "reason", None)))

    if signal.aborted:
        aborted()
        return None
    listen("abort", aborted)
    forget = getattr(signal, "removeListener", None) or getattr(signal, "removeEventListener", None)
    return None if forget is None else lambda: forget("abort", aborted)
