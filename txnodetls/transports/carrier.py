"""
What a socket stands on: a pipe of bytes that knows neither TLS nor streams.

A L{Carrier} moves bytes and tells its one I{owner} what happened to it.  The owner may change
while the carrier lives (STARTTLS: the plain socket owns it first, then the TLS socket).

The rules between the two:

1. A carrier is born paused.  Nothing is read before the first L{Carrier.resume}.  Bytes that
   others read ahead (a TLS layer, a stream with a buffer) may still come after a C{pause()};
   the owner takes them.
2. Every call of the owner comes inside C{ticks.turn}, so an error in the owner is logged there
   and never reaches the reactor.
3. C{carrierClosed} is the last call, and it comes exactly once, for a close of one's own too.
   It is never made from inside a call of the carrier's methods, but in a later tick.
4. The peer's end (FIN) is C{carrierEnd}; the carrier then still writes until the owner calls
   C{end}, C{close} or C{abort}.  A carrier never closes by itself, unless it broke.
5. What is written after C{end()}, or to a carrier that is gone, is dropped: the owner has been
   told, or is about to be.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

from txnodetls.errors import Blame, Phase, SystemCallError, socketError

if TYPE_CHECKING:
    from collections.abc import Callable

    from txnodetls.streams.ticks import TickQueue

__all__ = ["Address", "Carrier", "CarrierOwner", "Data", "brokenConnection"]

Data = bytes | bytearray | memoryview
Address = dict[str, Any]
"""C{{'address', 'family', 'port'}}; empty for a UNIX socket and where there is none."""


class CarrierOwner(Protocol):
    """Who is told what happens to a carrier."""

    def carrierData(self, data: bytes) -> None:
        """Bytes came."""

    def carrierArea(self, length: int) -> None:
        """
        Bytes came: the first C{length} of C{openssl.areas.INPUT}.

        They are there only until this call returns.
        """

    def carrierEnd(self) -> None:
        """The peer ended its side; nothing more will come."""

    def carrierDrained(self) -> None:
        """C{queued} went back to 0 after a write that could not be sent at once."""

    def carrierClosed(self, error: Exception | None) -> None:
        """
        The carrier is gone; always the last call.

        @param error: what broke it, mostly a L{SystemCallError}; None for an orderly end.
        """


class _Nobody:
    """The owner of a carrier that has none (yet): what comes is lost."""

    def carrierData(self, data: bytes) -> None: ...
    def carrierArea(self, length: int) -> None: ...
    def carrierEnd(self) -> None: ...
    def carrierDrained(self) -> None: ...
    def carrierClosed(self, error: Exception | None) -> None: ...


_NOBODY = _Nobody()


class Carrier(ABC):
    """
    A pipe of bytes.

    @ivar queued: bytes that wait for whoever is below; 0 means that the last write is done with.
    @ivar closed: whether the carrier is gone.
    @ivar bytesRead: bytes received so far.
    @ivar bytesWritten: bytes accepted for sending so far, queued ones included.
    @ivar heardAll: set by an owner who knows that the peer will send nothing more.
    @ivar ticks: the queue in whose turns the owner is called.
    """

    __slots__ = (
        "_told",
        "bytesRead",
        "bytesWritten",
        "closed",
        "heardAll",
        "owner",
        "queued",
        "ticks",
    )

    def __init__(self, ticks: TickQueue) -> None:
        self.ticks = ticks
        self.owner: CarrierOwner = _NOBODY
        self.queued = 0
        self.closed = False
        self.bytesRead = 0
        self.bytesWritten = 0
        self.heardAll = False
        self._told = False

    def attach(self, owner: CarrierOwner | None) -> None:
        """From now on, C{owner} is told; None: nobody."""
        self.owner = _NOBODY if owner is None else owner

    @abstractmethod
    def write(self, data: Data) -> None:
        """
        Send C{data}, or queue what cannot be sent at once; never blocks.

        A C{memoryview} may be of memory that OpenSSL uses again: what is not sent at once is
        copied, before anybody else is told of anything.
        """

    def writeLast(self, data: Data) -> None:
        """The same for what is the last, before a C{close} or an C{abort} that follows at once."""
        self.write(data)

    @abstractmethod
    def end(self) -> None:
        """
        End the own side (FIN) after what is queued; reading goes on.

        Where what carries us cannot end one side alone this is L{close}.
        """

    @abstractmethod
    def close(self) -> None:
        """Close after what is queued; nothing more is delivered but C{carrierClosed}."""

    @abstractmethod
    def abort(self, reset: bool = False) -> None:
        """
        Close now, or at the end of the turns that follow each other; what is queued is lost.

        @param reset: with RST instead of FIN, where there is such a thing.
        """

    def afterParting(self, function: Callable[[], object]) -> None:
        """
        Call C{function} when C{abort()} or C{close()} has let the last bytes go: at once, where
        it has them sent by the time that it returns; else in a turn.
        """
        function()

    @abstractmethod
    def pause(self) -> None:
        """Stop reading."""

    @abstractmethod
    def resume(self) -> None:
        """Start, or restart, reading."""

    def setNoDelay(self, enabled: bool) -> None:
        """Switch Nagle's algorithm off (True) or on; without effect where there is none."""

    def setKeepAlive(self, enabled: bool, delay: int) -> None:
        """
        Switch TCP keep-alive; without effect where there is none.

        @param delay: seconds of silence before the first probe; 0: leave it as it is.
        """

    @property
    def localAddress(self) -> Address:
        """The own address."""
        return {}

    @property
    def remoteAddress(self) -> Address:
        """The peer's address, also after the carrier has gone."""
        return {}

    @property
    def handle(self) -> Any:
        """The C{socket.socket} below, or None."""
        return None

    @property
    def transport(self) -> Any:
        """The Twisted transport below, or None."""
        return None

    @property
    def stream(self) -> Any:
        """The stream below, or None."""
        return None

    def _gone(self, error: Exception | None, when: Callable[..., object]) -> None:
        """
        Note that the carrier is gone, and tell the owner once.

        @param when: C{ticks.turn} in a callback of the reactor, C{ticks.nextTick} in a call
            that the owner made.
        """
        self.closed = True
        self.queued = 0
        if not self._told:
            self._told = True
            if self.owner is not _NOBODY:
                when(self._tell, error)

    def _tell(self, error: Exception | None) -> None:
        owner, self.owner = self.owner, _NOBODY
        owner.carrierClosed(error)


def brokenConnection(number: int | None, syscall: str) -> SystemCallError:
    """
    The error of a connection that broke: C{read ECONNRESET}.

    @param number: the C{errno}; None where only the fact is known, which is told as ECONNRESET.
    """
    return socketError(number or errno.ECONNRESET, syscall, blame=Blame.PEER, phase=Phase.OPEN)
