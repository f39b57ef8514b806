"""
Many sockets behind one descriptor of the reactor's.

For each event of each descriptor a reactor sets up two contexts for its log, asks for a prefix
and for the descriptor's number, and looks twice at what came of it; with many connections and
small messages that is a fifth of all the work.  A L{Poller} is one descriptor, of C{epoll}, which
is ready to be read when any of its sockets has an event.  The reactor calls it once, and it calls
all of them::

    reactor -> Poller.doRead -> SocketCarrier.doRead, SocketCarrier.doRead, ...

To ask twice costs something too, so the first few connections of a reactor stay with the reactor
itself, if there have not been more of them lately, and so do all of them where there is no
C{epoll}.  Where the reactor runs on a loop of asyncio's, it is the loop that they stay with (see
L{txnodetls.transports.watching}).  Any reactor that waits for descriptors can wait for this one.

What the reactor would do for its descriptors is done here for ours:

- The turns of a batch follow each other at once, and what several connections have to send leaves
  together; before it does, it is looked whether more has come in the meantime, until nothing
  has, or there is enough.  To wake a peer that waits costs as much as all the rest of a C{send};
  what comes while it is awake costs nothing of the kind.  Nothing waits for more than one turn
  that takes long, or what an application does with the data of some would delay the answers to
  others.
- Whoever raises is logged and dropped, and the others are called all the same.
- An event is for whoever is watched when its turn comes: a connection that another one of the
  same batch has closed or paused is not called.  A number can be another connection's by then;
  that one is called for nothing, and finds nothing, but is never taken for broken.
- A batch has an end, so that the reactor's own descriptors and its timers have their turns.
- The poller is with the reactor while it watches anything, and has its descriptor while there
  are connections: a reactor without connections is clean.  When the reactor is stopped, all
  connections are told.
"""

from __future__ import annotations

import contextlib
import select
from time import monotonic
from typing import Any, Final
from weakref import WeakKeyDictionary

from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.main import CONNECTION_LOST
from twisted.python.failure import Failure
from zope.interface import implementer

from txnodetls.streams.ticks import TickQueue, ticksFor
from txnodetls.transports.watching import (
    IN,
    OUT,
    Descriptor,
    LoopWatcher,
    Register,
    Watcher,
    loopWatcher,
    runsOnLoop,
)

__all__ = ["FEW", "Poller", "pollerFor"]

#: So many connections of a reactor are watched by the reactor itself, or by its loop.
FEW = 4
# Unless there were more, not so many connections ago.
_LATELY: Final = 64
# Events taken at a time; the rest is the first of the next time.
_AT_ONCE: Final = 256
# After so many of them, or so many seconds, what they have led to is sent.
_TOGETHER: Final = 32
_PATIENCE: Final = 0.003

_epoll: Any = getattr(select, "epoll", None)


@implementer(IReadDescriptor)
class Poller(Register):
    """
    What watches the sockets of one reactor.  Ask L{pollerFor} for it.

    @ivar ticks: the reactor's queue of ticks.
    @ivar open: how many connections there are, whoever watches them.
    @ivar lately: so many of those that come next are watched here even if they are few.
    @ivar loop: what watches the first few on a reactor that runs on a loop of asyncio's; None
        before the first of them.
    """

    __slots__ = ("__weakref__", "_new", "_onLoop", "_poll", "lately", "loop", "open", "ticks")

    def __init__(self, ticks: TickQueue) -> None:
        super().__init__()
        self.ticks = ticks
        self.open = 0
        self.lately = 0
        self.loop: LoopWatcher | None = None
        self._onLoop = runsOnLoop(ticks.reactor)
        self._poll: Any = None  # made when it is first needed
        self._new: set[int] = set()  # since the last batch was taken

    def __repr__(self) -> str:
        return f"<Poller of {list(self._watched.values())!r}>"

    def place(self, reactor: Any) -> Watcher:
        """
        Who is to watch a new connection.  L{leave} follows when it is closed.

        @param reactor: the one that this is the poller of.
        """
        self.open += 1
        if self.open > FEW:
            self.lately = _LATELY
        elif self.lately:
            self.lately -= 1
        else:
            return self._alone(reactor)
        if _epoll is None:
            return self._alone(reactor)
        if self._poll is None:
            try:
                self._poll = _epoll()
            except OSError:  # no descriptor is left
                return self._alone(reactor)
        return self

    def _alone(self, reactor: Any) -> Watcher:
        """Who is to watch one of the first few."""
        if self._onLoop and self.loop is None:
            self.loop = loopWatcher(reactor)
        watcher: Watcher = reactor if self.loop is None else self.loop
        return watcher

    def leave(self) -> None:
        """One of the connections is closed."""
        self.open -= 1
        if self.open or self._poll is None:
            return
        if self._watched:  # by their sockets somebody has closed them behind our back
            self._watched.clear()
            self._flags.clear()
            with contextlib.suppress(ReferenceError):  # the interpreter ends, the reactor first
                self.ticks.reactor.removeReader(self)  # type: ignore[attr-defined]
        self._poll.close()
        self._poll = None

    # what the reactor asks and tells

    def fileno(self) -> int:
        """The descriptor's number."""
        return -1 if self._poll is None else int(self._poll.fileno())

    def logPrefix(self) -> str:
        """For the reactor's log."""
        return "txnodetls"

    def doRead(self) -> None:
        """Something has happened to some of them."""
        watched = self._watched
        ticks = self.ticks
        turns = 0
        until = monotonic() + _PATIENCE
        try:
            while self._poll is not None:
                self._new.clear()
                batch = self._poll.poll(0, _AT_ONCE)
                for number, events in batch:
                    descriptor = watched.get(number)
                    if descriptor is None:
                        continue
                    turns += 1
                    ticks.gathering = True
                    try:
                        if events == IN:
                            descriptor.doRead()
                        else:
                            self._call(descriptor, number, events)
                    except Exception:
                        self._failed(descriptor, number)
                    if not turns % _TOGETHER or monotonic() > until:
                        ticks.settle()
                        until = monotonic() + _PATIENCE
                if not batch or not ticks.endings or turns >= _TOGETHER:
                    break
        finally:
            ticks.settle()

    def _call(self, descriptor: Descriptor, number: int, events: int) -> None:
        """Do what there is to do, if it is not just something to read."""
        if events & ~(IN | OUT):
            if number in self._new:
                return  # if it was meant, it will be told again
            if not self._flags[number] & IN:
                self._lost(descriptor, number, Failure(CONNECTION_LOST))
                return
            descriptor.doRead()  # which finds out what it is
        elif events & IN:
            descriptor.doRead()
        writes = self._watched.get(number) is descriptor and self._flags[number] & OUT
        if writes and events & OUT:
            descriptor.doWrite()

    # what the descriptors ask

    def _set(self, number: int, before: int, flags: int) -> None:
        if not before:
            self._poll.register(number, flags)
            self._new.add(number)
            # Each time, and not only the first: tests do empty their reactor.
            self.ticks.reactor.addReader(self)  # type: ignore[attr-defined]
        elif flags:
            self._poll.modify(number, flags)
        else:
            try:
                self._poll.unregister(number)
            except OSError:
                pass  # somebody has closed it: it is gone
            if not self._watched:
                self.ticks.reactor.removeReader(self)  # type: ignore[attr-defined]


_pollers: WeakKeyDictionary[Any, Poller] = WeakKeyDictionary()


def pollerFor(reactor: Any) -> Poller:
    """The one poller of C{reactor}."""
    poller = _pollers.get(reactor)
    if poller is None:
        poller = _pollers[reactor] = Poller(ticksFor(reactor))
    return poller
