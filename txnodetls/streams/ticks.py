"""
Node's C{process.nextTick} and C{setImmediate} for Twisted: one queue per reactor.

Node finishes one callback of its event loop before the next begins: what the callback left for
later (C{nextTick}) runs right behind it, before any other I/O.  Much of the order in which
Node's events come rests on that.  Twisted's C{reactor.callLater(0, ...)} is no stand-in: between
two such calls the reactor may read from any socket.

So everything that this package is called back with by the reactor runs in a I{turn}::

    reactor -> ticks.turn(f, ...)
                 1. ticks owed from before
                 2. f(...)
                 3. ticks, until none is left
                 4. the endings (what gathered output is flushed by), then 3 again

Where several turns follow each other at once their endings are run once, behind the last of them
(C{gathering}).

Code that is not in a turn (an application's own timer which writes to a socket) may leave ticks
all the same; the queue then asks the reactor for a turn.  That is one C{callLater(0)} for any
number of ticks, and it may come to nothing, when a turn comes first.

Nothing that runs in a turn can raise into the reactor, which would drop the connection that
it thinks is concerned: what raises is logged once as critical, and the rest goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from twisted.logger import Logger

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["TickQueue", "ticksFor"]

_log = Logger()


class TickQueue:
    """
    What is to run at the end of the current turn of one reactor.

    @ivar active: a turn is under way.
    @ivar gathering: the endings of a turn are left for another one that follows at once, or for
        L{settle}.
    @ivar endings: what the current turn ends with, each called once without arguments and then
        forgotten.  Append to it only while C{active}; else call L{atEnd}.
    """

    __slots__ = (
        "__weakref__",
        "_asked",
        "_reactor",
        "_soon",
        "_ticks",
        "active",
        "endings",
        "gathering",
    )

    def __init__(self, reactor: IReactorTime) -> None:
        # Weak, or the table of queues would keep every reactor for good.
        self._reactor = ref(reactor)
        self._ticks: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._soon: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self._asked = False
        self.active = False
        self.gathering = False
        self.endings: list[Callable[[], object]] = []

    @property
    def reactor(self) -> IReactorTime:
        """
        The reactor whose turns these are.

        @raise ReferenceError: it is gone.
        """
        reactor = self._reactor()
        if reactor is None:
            raise ReferenceError("the reactor of these ticks is gone")
        return reactor

    def nextTick(self, function: Callable[..., object], *args: Any) -> None:
        """Call C{function(*args)} after what runs now and before any further I/O."""
        self._ticks.append((function, args))
        if not self.active and not self._asked:
            self._ask()

    def atEnd(self, function: Callable[[], object]) -> None:
        """Call C{function()} once, when the ticks of this turn (or the next) have run out."""
        self.endings.append(function)
        if not self.active and not self._asked:
            self._ask()

    def immediate(self, function: Callable[..., object], *args: Any) -> IDelayedCall:
        """
        Node's C{setImmediate}: call C{function(*args)} in a turn of its own, in the reactor's
        next iteration.

        @return: the call, which can be cancelled.
        """
        return self.reactor.callLater(0, self.turn, function, *args)

    def soon(self, function: Callable[..., object], *args: Any) -> None:
        """
        The same for things that need not be cancelled: one call of the reactor serves all that
        are left behind in one iteration.
        """
        self._soon.append((function, args))
        if len(self._soon) == 1:
            self.immediate(self._runSoon)

    def _runSoon(self) -> None:
        due, self._soon = self._soon, []
        for function, args in due:
            _guarded(function, args)
            self._runTicks()

    def turn(self, function: Callable[..., object], *args: Any) -> None:
        """
        Run an I/O callback, with all that it leads to.

        Within a turn it is a plain call.  Nothing but C{KeyboardInterrupt} and its like is
        raised.
        """
        if self.active:
            _guarded(function, args)
            return
        self.active = True
        try:
            if self._ticks:
                self._runTicks()
            try:
                if args:
                    function(*args)
                else:  # nearly always, and cheaper
                    function()
            except Exception:
                _log.failure("An I/O callback failed: {function!r}", function=function)
            while True:
                if self._ticks:
                    self._runTicks()
                if not self.endings or self.gathering:
                    break
                self._runEndings()
        except BaseException:  # KeyboardInterrupt and its like
            self.active = False
            if self._ticks or self.endings:
                self._ask()
            raise
        self.active = False

    def settle(self) -> None:
        """No turn follows at once: run the endings that were left, if there are any."""
        self.gathering = False
        if self.endings:
            self.turn(_nothing)

    def _runEndings(self) -> None:
        endings, self.endings = self.endings, []
        for ending in endings:
            try:
                ending()
            except Exception:
                _log.failure("The end of a turn failed: {function!r}", function=ending)

    def _runTicks(self) -> None:
        ticks = self._ticks
        while ticks:
            function, args = ticks.popleft()
            try:
                if args:
                    function(*args)
                else:
                    function()
            except Exception:
                _log.failure("A tick failed: {function!r}", function=function)

    def _ask(self) -> None:
        reactor = self._reactor()
        if reactor is not None:
            self._asked = True
            reactor.callLater(0, self._wake)

    def _wake(self) -> None:
        self._asked = False
        if self._ticks or self.endings:
            self.turn(_nothing)


def _guarded(function: Callable[..., object], args: tuple[Any, ...]) -> None:
    try:
        function(*args)
    except Exception:
        _log.failure("An I/O callback failed: {function!r}", function=function)


def _nothing() -> None:
    """What a turn does that is there for the ticks alone."""


_queues: WeakKeyDictionary[Any, TickQueue] = WeakKeyDictionary()


def ticksFor(reactor: IReactorTime) -> TickQueue:
    """The one queue of C{reactor}."""
    queue = _queues.get(reactor)
    if queue is None:
        queue = _queues[reactor] = TickQueue(reactor)
    return queue
