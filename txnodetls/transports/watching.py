"""
Who watches sockets: what a reactor, a L{txnodetls.transports.polling.Poller} and a loop of
asyncio's have in common.

A reactor sets up two contexts for its log around each event of each descriptor, and asks it for a
prefix and for its number.  Where it runs on a loop of asyncio's none of that is needed: the loop
takes functions, and calls them (L{LoopWatcher}).  What the reactor would do for its descriptors
is done here for ours:

- Whoever raises is logged and dropped, and the others are called all the same.
- A number can be another connection's when somebody closes a socket behind our back; what was
  watched of it before is forgotten.
- When the reactor is stopped, all connections are told.
"""

from __future__ import annotations

import select
import sys
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.internet.main import CONNECTION_LOST
from twisted.logger import Logger
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

__all__ = [
    "IN",
    "OUT",
    "Descriptor",
    "LoopWatcher",
    "Register",
    "Watcher",
    "loopWatcher",
    "runsOnLoop",
]

_log = Logger()

#: What can be watched of a descriptor, as C{epoll} counts.
IN: Final[int] = getattr(select, "EPOLLIN", 1)
OUT: Final[int] = getattr(select, "EPOLLOUT", 4)


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


class Register:
    """Who is watched, by their numbers, and what for."""

    __slots__ = ("_flags", "_watched")

    def __init__(self) -> None:
        self._watched: dict[int, Descriptor] = {}
        self._flags: dict[int, int] = {}

    def _set(self, number: int, before: int, flags: int) -> None:
        """
        What is to be watched of a number has changed.

        @param before: 0: nothing was.
        @param flags: 0: nothing is to be; somebody may have closed it behind our back.
        """
        raise NotImplementedError

    def addReader(self, reader: Descriptor) -> None:
        """Call its C{doRead} when there is something to read."""
        self._add(reader, IN)

    def addWriter(self, writer: Descriptor) -> None:
        """Call its C{doWrite} when the kernel takes something."""
        self._add(writer, OUT)

    def removeReader(self, reader: Descriptor) -> None:
        """Call its C{doRead} no longer; nothing if it was not called."""
        self._remove(reader, IN)

    def removeWriter(self, writer: Descriptor) -> None:
        """Call its C{doWrite} no longer; nothing if it was not called."""
        self._remove(writer, OUT)

    def _add(self, descriptor: Descriptor, flag: int) -> None:
        number = descriptor.fileno()
        present = self._watched.get(number)
        if present is descriptor:
            self._change(number, self._flags[number] | flag)
            return
        if present is not None:  # somebody closed it behind our back
            self._change(number, 0)
        self._set(number, 0, flag)
        self._watched[number] = descriptor
        self._flags[number] = flag

    def _remove(self, descriptor: Descriptor, flag: int) -> None:
        number = descriptor.fileno()
        if self._watched.get(number) is descriptor:
            self._change(number, self._flags[number] & ~flag)

    def _change(self, number: int, flags: int) -> None:
        before = self._flags[number]
        if flags == before:
            return
        if flags:
            self._set(number, before, flags)
            self._flags[number] = flags
        else:
            del self._watched[number], self._flags[number]
            self._set(number, before, 0)

    def _failed(self, descriptor: Descriptor, number: int) -> None:
        """One has raised what is being handled."""
        _log.failure("A connection failed and is dropped: {it!r}", it=descriptor)
        self._lost(descriptor, number, Failure())

    def _lost(self, descriptor: Descriptor, number: int, reason: Any) -> None:
        if self._watched.get(number) is descriptor:
            self._change(number, 0)
        try:
            descriptor.connectionLost(reason)
        except Exception:
            _log.failure("A connection failed while it was dropped: {it!r}", it=descriptor)

    def connectionLost(self, reason: Any) -> None:
        """The reactor is being stopped."""
        for number, descriptor in list(self._watched.items()):
            self._lost(descriptor, number, reason)


class LoopWatcher(Register):
    """
    A running loop of asyncio's as a watcher.

    An error or a hang-up is for the loop something to read, or to write, whatever is watched.
    """

    __slots__ = ("_loop",)

    def __init__(self, loop: AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop

    def getReaders(self) -> list[Descriptor]:
        """Whose C{doRead} is called."""
        return [self._watched[number] for number, flags in self._flags.items() if flags & IN]

    def getWriters(self) -> list[Descriptor]:
        """Whose C{doWrite} is called."""
        return [self._watched[number] for number, flags in self._flags.items() if flags & OUT]

    def _set(self, number: int, before: int, flags: int) -> None:
        changed = before ^ flags
        if changed & IN:
            if flags & IN:
                self._loop.add_reader(number, self._read, number)
            else:
                self._loop.remove_reader(number)
        if changed & OUT:
            if flags & OUT:
                self._loop.add_writer(number, self._write, number)
            else:
                self._loop.remove_writer(number)

    def _read(self, number: int) -> None:
        descriptor = self._watched[number]
        try:
            descriptor.doRead()
        except Exception:
            self._failed(descriptor, number)

    def _write(self, number: int) -> None:
        descriptor = self._watched[number]
        try:
            descriptor.doWrite()
        except Exception:
            self._failed(descriptor, number)


def runsOnLoop(reactor: object) -> bool:
    """Whether a reactor is Twisted's on asyncio, or made of it."""
    module = sys.modules.get("twisted.internet.asyncioreactor")
    return module is not None and isinstance(reactor, module.AsyncioSelectorReactor)


def loopWatcher(reactor: Any) -> LoopWatcher | None:
    """
    A watcher on the loop that C{reactor} runs on.

    @param reactor: one that L{runsOnLoop}.
    @return: None: it does not run yet.
    """
    from asyncio import get_running_loop

    if not reactor.running:
        return None
    try:
        watcher = LoopWatcher(get_running_loop())
    except RuntimeError:  # it is about to
        return None
    lost = Failure(CONNECTION_LOST)
    reactor.addSystemEventTrigger("during", "shutdown", watcher.connectionLost, lost)
    return watcher
