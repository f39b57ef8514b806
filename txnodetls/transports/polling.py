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
C{epoll}.  Any reactor that waits for descriptors can wait for this one.

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
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary

from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.main import CONNECTION_LOST
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txnodetls.streams.ticks import TickQueue, ticksFor

__all__ = ["FEW", "Descriptor", "Poller", "Watcher", "pollerFor"]

_log = Logger()

#: So many connections of a reactor are watched by the reactor itself.
FEW = 4
# Unless there were more, not so many connections ago.
_LATELY: Final = 64
# Events taken at a time; the rest is the first of the next time.
_AT_ONCE: Final = 256
# After so many of them, or so many seconds, what they have led to is sent.
_TOGETHER: Final = 32
_PATIENCE: Final = 0.003

_epoll: Any = getattr(select, "epoll", None)
_IN: Final[int] = getattr(select, "EPOLLIN", 1)
_OUT: Final[int] = getattr(select, "EPOLLOUT", 4)


class Descriptor(Protocol):
    """What can be watched: the same as by a reactor."""

    def fileno(self) -> int:
        """The descriptor's number; -1 once it is closed."""

    def doRead(self) -> object:
        """There is something to read, or the end, or an error."""

    def doWrite(self) -> object:
        """The kernel takes more."""

    def connectionLost(self, reason: Any) -> object:
        """It is broken, or the reactor is being stopped; nobody watches it any more."""


class Watcher(Protocol):
    """The part of C{IReactorFDSet} that a descriptor needs: a reactor's, or a L{Poller}'s."""

    def addReader(self, reader: Any) -> object:
        """Call its C{doRead} when there is something to read."""

    def addWriter(self, writer: Any) -> object:
        """Call its C{doWrite} when the kernel takes something."""

    def removeReader(self, reader: Any) -> object:
        """Call its C{doRead} no longer; nothing if it was not called."""

    def removeWriter(self, writer: Any) -> object:
        """Call its C{doWrite} no longer; nothing if it was not called."""


@implementer(IReadDescriptor)
class Poller:
    """
    What watches the sockets of one reactor.  Ask L{pollerFor} for it.

    @ivar ticks: the reactor's queue of ticks.
    @ivar open: how many connections there are, whoever watches them.
    @ivar lately: so many of those that come next are watched here even if they are few.
    """

    __slots__ = ("__weakref__", "_flags", "_new", "_poll", "_watched", "lately", "open", "ticks")

    def __init__(self, ticks: TickQueue) -> None:
        self.ticks = ticks
        self.open = 0
        self.lately = 0
        self._poll: Any = None  # made when it is first needed
        self._watched: dict[int, Descriptor] = {}
        self._flags: dict[int, int] = {}  # what for
        self._new: set[int] = set()  # since the last batch was taken

    def __repr__(self) -> str:
        return f"<Poller of {list(self._watched.values())!r}>"

    def place(self, reactor: Any) -> Watcher:
        """
        Who is to watch a new connection.  L{leave} follows when it is closed.

        @param reactor: the one that this is the poller of.
        """
        self.open += 1
        watcher: Watcher = reactor
        if self.open > FEW:
            self.lately = _LATELY
        elif self.lately:
            self.lately -= 1
        else:
            return watcher
        if _epoll is None:
            return watcher
        if self._poll is None:
            try:
                self._poll = _epoll()
            except OSError:  # no descriptor is left
                return watcher
        return self

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
                        if events == _IN:
                            descriptor.doRead()
                        else:
                            self._call(descriptor, number, events)
                    except Exception:
                        _log.failure("A connection failed and is dropped: {it!r}", it=descriptor)
                        self._lost(descriptor, number, Failure())
                    if not turns % _TOGETHER or monotonic() > until:
                        ticks.settle()
                        until = monotonic() + _PATIENCE
                if not batch or not ticks.endings or turns >= _TOGETHER:
                    break
        finally:
            ticks.settle()

    def connectionLost(self, reason: Any) -> None:
        """The reactor is being stopped; it has taken us out."""
        for number, descriptor in list(self._watched.items()):
            self._lost(descriptor, number, reason)

    def _call(self, descriptor: Descriptor, number: int, events: int) -> None:
        """Do what there is to do, if it is not just something to read."""
        if events & ~(_IN | _OUT):
            if number in self._new:
                return  # if it was meant, it will be told again
            if not self._flags[number] & _IN:
                self._lost(descriptor, number, Failure(CONNECTION_LOST))
                return
            descriptor.doRead()  # which finds out what it is
        elif events & _IN:
            descriptor.doRead()
        writes = self._watched.get(number) is descriptor and self._flags[number] & _OUT
        if writes and events & _OUT:
            descriptor.doWrite()

    def _lost(self, descriptor: Descriptor, number: int, reason: Any) -> None:
        if self._watched.get(number) is descriptor:
            self._change(number, 0)
        try:
            descriptor.connectionLost(reason)
        except Exception:
            _log.failure("A connection failed while it was dropped: {it!r}", it=descriptor)

    # what the descriptors ask

    def addReader(self, reader: Descriptor) -> None:
        """Call its C{doRead} when there is something to read."""
        self._add(reader, _IN)

    def addWriter(self, writer: Descriptor) -> None:
        """Call its C{doWrite} when the kernel takes something."""
        self._add(writer, _OUT)

    def removeReader(self, reader: Descriptor) -> None:
        """Call its C{doRead} no longer; nothing if it was not called."""
        self._remove(reader, _IN)

    def removeWriter(self, writer: Descriptor) -> None:
        """Call its C{doWrite} no longer; nothing if it was not called."""
        self._remove(writer, _OUT)

    def _add(self, descriptor: Descriptor, flag: int) -> None:
        number = descriptor.fileno()
        present = self._watched.get(number)
        if present is descriptor:
            self._change(number, self._flags[number] | flag)
            return
        if present is not None:  # somebody closed it behind our back; the kernel has forgotten it
            del self._watched[number], self._flags[number]
        self._poll.register(number, flag)
        self._watched[number] = descriptor
        self._flags[number] = flag
        self._new.add(number)
        # Each time, and not only the first: tests do empty their reactor.
        self.ticks.reactor.addReader(self)  # type: ignore[attr-defined]

    def _remove(self, descriptor: Descriptor, flag: int) -> None:
        number = descriptor.fileno()
        if self._watched.get(number) is descriptor:
            self._change(number, self._flags[number] & ~flag)

    def _change(self, number: int, flags: int) -> None:
        """Watch a number for C{flags} from now on; for none: no longer."""
        if flags == self._flags[number]:
            return
        if flags:
            self._poll.modify(number, flags)
            self._flags[number] = flags
            return
        try:
            self._poll.unregister(number)
        except OSError:
            pass  # somebody has closed it: it is gone
        del self._watched[number], self._flags[number]
        if not self._watched:
            self.ticks.reactor.removeReader(self)  # type: ignore[attr-defined]


_pollers: WeakKeyDictionary[Any, Poller] = WeakKeyDictionary()


def pollerFor(reactor: Any) -> Poller:
    """The one poller of C{reactor}."""
    poller = _pollers.get(reactor)
    if poller is None:
        poller = _pollers[reactor] = Poller(ticksFor(reactor))
    return poller
