"""
Node's C{Duplex}: the two halves put together.

The order of everything is Node's, tick by tick.  What differs on purpose:

* A destroyed stream emits no more of its buffered data (see C{readable}), and no 'pause' or
  'resume' behind 'close'.
* A C{write()} up to the mark returns False even if the sink took it at once (see C{writable}).
* The chunks of waiting writes are released by C{destroy()} itself, and at the latest before
  'close' every callback of C{write()} and C{end()} was called, even if the sink never called back.
* A callback or listener that raises destroys its stream only (see C{emitter}).

Source: https://nodejs.org/api/stream.html#duplex-and-transform-streams
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from txnodetls.errors import Blame, NodeTypeError
from txnodetls.streams.conveniences import Conveniences
from txnodetls.streams.states import DESTROYED, END_EMITTED, FINISHED
from txnodetls.streams.ticks import ticksFor
from txnodetls.streams.writable import WriteHalf

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

__all__ = ["DEFAULT_HIGH_WATER_MARK", "Duplex", "markOf"]

DEFAULT_HIGH_WATER_MARK = 65536


class Duplex(Conveniences, WriteHalf):
    """
    A stream of bytes in both directions.

    @ivar allowHalfOpen: False: when the readable side has ended, end the writable side, too.

    A subclass provides C{_read}, C{_write} and, as needed, C{_writev}, C{_final}, C{_destroy} and
    C{_closeArguments}; it calls C{push}.

    @param reactor: by default the global one.
    @param highWaterMark: of both sides, in bytes; it wins over the two others.
    @param autoDestroy: destroy the stream when both sides have ended, or at an error.
    @param emitClose: emit 'close'.
    @raise NodeTypeError: C{ERR_INVALID_ARG_VALUE}: a mark is no whole number from 0.
    """

    __slots__ = ("allowHalfOpen",)

    def __init__(
        self,
        *,
        reactor: IReactorTime | None = None,
        allowHalfOpen: bool = True,
        highWaterMark: int | None = None,
        readableHighWaterMark: int | None = None,
        writableHighWaterMark: int | None = None,
        autoDestroy: bool = True,
        emitClose: bool = True,
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor as globalReactor

            reactor = globalReactor
        self._initLife(ticksFor(reactor), autoDestroy, emitClose)
        self._initReading(markOf("readableHighWaterMark", highWaterMark, readableHighWaterMark))
        self._initWriting(markOf("writableHighWaterMark", highWaterMark, writableHighWaterMark))
        self.allowHalfOpen = allowHalfOpen

    def destroySoon(self) -> None:
        """
        End the writable side, and destroy the stream when all is written: without waiting for
        the peer's end.
        """
        if self.writable:
            self.end()
        if self.writableFinished:
            self.destroy()
        else:
            self.once("finish", self.destroy)

    def _afterEnd(self) -> None:
        if self.writable and self.allowHalfOpen is False:
            self._ticks.nextTick(self._endWriting)
        elif self._autoDestroy and self._writeState is FINISHED:
            self.destroy()

    def _endWriting(self) -> None:
        if self.writable:
            self.end()

    def _afterFinish(self) -> None:
        if self._autoDestroy and self._readState is END_EMITTED and self._life < DESTROYED:
            self.destroy()


def markOf(name: str, both: object, one: object) -> int:
    """
    The mark of one side.

    @param both: the one given for both sides, which wins; or None.
    @param one: the one given for this side; or None.
    @raise NodeTypeError: C{ERR_INVALID_ARG_VALUE}.
    """
    mark = both if both is not None else one
    if mark is None:
        return DEFAULT_HIGH_WATER_MARK
    if isinstance(mark, float) and mark.is_integer():
        mark = int(mark)
    if not isinstance(mark, int) or isinstance(mark, bool) or mark < 0:
        raise NodeTypeError(
            f"The property 'options.{name}' is invalid. Received {mark!r}",
            "ERR_INVALID_ARG_VALUE",
            blame=Blame.CONFIGURATION,
        )
    return mark
