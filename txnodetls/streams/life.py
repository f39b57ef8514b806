"""
The life of a stream: how it is destroyed, and how it tells of errors.

There is one way out, C{destroy()}: the hook C{_destroy} releases what the subclass holds, and in
the tick behind its answer come 'error', if there was one, and then 'close', each once at most.
All else leads here: an error of a hook, a misuse such as writing after the end, a listener that
raises, and at last the normal end of both halves (C{autoDestroy}).

Source: https://nodejs.org/api/stream.html#writabledestroyerror
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, cast

from twisted.python.failure import Failure

from txnodetls.errors import Blame, NodeError, NodeTypeError
from txnodetls.streams.emitter import EventEmitter
from txnodetls.streams.states import ALIVE, CLOSED, DESTROYED, ERRORED, OVER, Life

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from typing import Any

    from txnodetls.streams.ticks import TickQueue

__all__ = ["StreamLife", "streamError"]

_TEXTS = {
    "ERR_METHOD_NOT_IMPLEMENTED": "The {} method is not implemented",
    "ERR_MULTIPLE_CALLBACK": "Callback called multiple times",
    "ERR_STREAM_ALREADY_FINISHED": "Cannot call {} after a stream was finished",
    "ERR_STREAM_DESTROYED": "Cannot call {} after a stream was destroyed",
    "ERR_STREAM_PREMATURE_CLOSE": "Premature close",
    "ERR_STREAM_PUSH_AFTER_EOF": "stream.push() after EOF",
    "ERR_STREAM_UNSHIFT_AFTER_END_EVENT": "stream.unshift() after end event",
    "ERR_STREAM_WRITE_AFTER_END": "write after end",
}


def streamError(code: str, method: str = "") -> NodeError:
    """Node's error of a misused or broken stream, by its code."""
    return NodeError(_TEXTS[code].format(method), code, blame=Blame.LOCAL)


class StreamLife(EventEmitter):
    """
    What both halves of a stream share.

    The halves stand above it in one line of descent, because Python allows only one ancestor
    with C{__slots__}.
    """

    __slots__ = ("_autoDestroy", "_emitClose", "_errorEmitted", "_errored", "_life", "_ticks")

    def _initLife(self, ticks: TickQueue, autoDestroy: bool, emitClose: bool) -> None:
        EventEmitter.__init__(self)
        self._ticks = ticks
        self._autoDestroy = autoDestroy
        self._emitClose = emitClose
        self._life: Life = ALIVE
        self._errored: BaseException | None = None
        self._errorEmitted = False

    @property
    def destroyed(self) -> bool:
        """C{destroy()} was called."""
        return self._life >= DESTROYED

    @property
    def closed(self) -> bool:
        """C{destroy()} is done; 'close' was emitted or comes in the next tick."""
        return self._life >= CLOSED

    @property
    def errored(self) -> BaseException | None:
        """The error that the stream was destroyed with, or None."""
        return self._errored

    def destroy(self, error: BaseException | Failure | None = None) -> Self:
        """
        End both sides at once, releasing what waits to be read or written.

        'error', if there is an C{error}, and 'close' follow; the callbacks of writes that wait
        get the error, or C{ERR_STREAM_DESTROYED}.  A second call does nothing.

        @param error: why; a Twisted C{Failure} stands for its exception.
        @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE}: something else.
        """
        if error is not None:
            error = _exceptionOf(error)
        if self._life >= DESTROYED:
            return self
        if self._errored is None:
            self._errored = error
        self._life = DESTROYED
        self._abandonReading()
        self._abandonWriting()
        try:
            self._destroy(error, self._onDestroyed)
        except Exception as failure:
            self._onDestroyed(failure)
        return self

    # Hooks of subclasses

    def _destroy(
        self, error: BaseException | None, callback: Callable[[BaseException | None], None]
    ) -> None:
        """
        Release everything, then C{callback(error)}, now or later.

        C{callback} may be given an error where there was none.
        """
        callback(error)

    def _closeArguments(self) -> tuple[Any, ...]:
        """What the listeners of 'close' get."""
        return ()

    # Of the halves

    def _abandonReading(self) -> None:
        raise NotImplementedError

    def _abandonWriting(self) -> None:
        raise NotImplementedError

    def _settleWriting(self) -> None:
        raise NotImplementedError

    # The way out

    def _errorOrDestroy(self, error: BaseException, later: bool = False) -> None:
        """
        Something went wrong: destroy the stream, or if it is not to be, emit the error.

        @param later: emit it in the next tick, since the application's call is on the stack.
        """
        if self._life >= DESTROYED:
            return
        if self._autoDestroy:
            self.destroy(error)
            return
        self._setErrored(error)
        if later:
            self._ticks.nextTick(self._emitError, error)
        else:
            self._emitError(error)

    def _setErrored(self, error: BaseException) -> None:
        if self._errored is None:
            self._errored = error
        if self._life is ALIVE:
            self._life = ERRORED

    def _onDestroyed(self, error: BaseException | None = None) -> None:
        if self._life is not DESTROYED:  # _destroy answered twice, or answered and then raised
            return
        self._life = CLOSED
        if error is not None and self._errored is None:
            self._errored = error
        self._ticks.nextTick(self._close, error)

    def _close(self, error: BaseException | None) -> None:
        if error is not None:
            self._emitError(error)
        self._settleWriting()
        self._life = OVER
        self._fire(self._closeEvent, *self._closeArguments())

    @property
    def _closeEvent(self) -> Hashable:
        """'close'; without C{emitClose}, an event that only this package knows of."""
        return "close" if self._emitClose else OVER

    def _emitError(self, error: BaseException) -> None:
        if not self._errorEmitted:
            self._errorEmitted = True
            self._fire("error", error)

    def _listenerFailed(self) -> None:
        self.destroy()


def _exceptionOf(error: BaseException | Failure) -> BaseException:
    if isinstance(error, Failure):
        return cast("BaseException", error.value)
    if isinstance(error, BaseException):
        return error
    raise NodeTypeError(
        f'The "error" argument must be an instance of Error. Received {error!r}',
        "ERR_INVALID_ARG_TYPE",
        blame=Blame.CONFIGURATION,
    )
