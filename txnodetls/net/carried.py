"""
A duplex stream on a carrier: what C{net.Socket} and the public C{Duplex} share.

    carrier -> push -> 'data'            the carrier is paused while push() says that it is enough
    write() -> _write -> carrier         a write is done when the carrier has nothing queued
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from txnodetls.errors import Blame, NodeError
from txnodetls.openssl.areas import INPUT
from txnodetls.streams.duplex import Duplex
from txnodetls.streams.states import ALIVE

if TYPE_CHECKING:
    from txnodetls.transports.carrier import Carrier, Data

__all__ = ["CarriedStream", "socketClosed"]

_INPUT = INPUT.view


def socketClosed() -> NodeError:
    """C{ERR_SOCKET_CLOSED}"""
    return NodeError("Socket is closed", "ERR_SOCKET_CLOSED", blame=Blame.LOCAL)


class CarriedStream(Duplex):
    """
    A duplex stream on a carrier.

    The carrier is the stream's while it is the carrier's owner: C{_takeCarrier()} can have given
    it to another one (a TLS socket), for which this stream then stands in only as its parent.
    """

    __slots__ = ("_carrier", "_former", "_onDrained")

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._initCarried()

    def _initCarried(self) -> None:
        self._carrier: Carrier | None = None
        self._former: Carrier | None = None
        self._onDrained: Callable[[BaseException | None], object] | None = None

    def _stand(self, carrier: Carrier) -> None:
        """Stand on C{carrier} from now on."""
        self._carrier = carrier
        carrier.attach(self)

    def _takeCarrier(self) -> tuple[Carrier, bytes]:
        """
        Give the carrier to someone else, who attaches itself: it is paused, and still closed
        when this stream is destroyed.

        @return: the carrier, and the bytes that this stream had read already.
        @raise NodeError: C{ERR_SOCKET_CLOSED}: there is none.
        """
        carrier = self._carrier
        if carrier is None:
            raise socketClosed()
        carrier.pause()
        pieces = []
        while (piece := self.read()) is not None:
            pieces.append(piece.encode("latin-1") if isinstance(piece, str) else piece)
        carrier.attach(None)
        if self._onDrained is not None:
            # What it wrote is in the carrier's queue, before all that the new owner writes.
            self._ticks.nextTick(self.carrierDrained)
        return carrier, b"".join(pieces)

    # the carrier's owner

    def carrierData(self, data: bytes) -> None:
        """Bytes came."""
        if not self.push(data):
            carrier = self._carrier
            if carrier is not None and carrier.owner is self:
                carrier.pause()

    def carrierArea(self, length: int) -> None:
        """Bytes came, in the input area."""
        self.carrierData(bytes(_INPUT[:length]))

    def carrierEnd(self) -> None:
        """The peer ended its side."""
        self.push(None)
        self.read(0)  # so that 'end' comes, if nothing is before it in the buffer

    def carrierDrained(self) -> None:
        """What was written last is with the kernel."""
        callback, self._onDrained = self._onDrained, None
        if callback is not None:
            callback(None)

    def carrierClosed(self, error: Exception | None) -> None:
        """The carrier is gone."""
        self.destroy(error)

    # Duplex

    def _read(self) -> None:
        carrier = self._carrier
        if carrier is not None and carrier.owner is self:
            carrier.resume()

    def _write(self, chunk: Data, callback: Callable[[BaseException | None], object]) -> bool:
        carrier = self._carrier
        if carrier is None:
            raise socketClosed()
        carrier.write(chunk)
        if not carrier.queued:
            return True
        self._onDrained = callback
        return False

    def _final(self, callback: Callable[[BaseException | None], object]) -> None:
        if self._carrier is not None:
            self._carrier.end()
        callback(None)

    def _finish(self) -> None:
        # Who destroys a socket in the same breath has not finished, as in Node.
        if self._life is ALIVE:
            super()._finish()

    def _destroy(
        self,
        error: BaseException | None,
        callback: Callable[[BaseException | None], object],
    ) -> None:
        self._release(False)
        self._whenGone(partial(callback, error))

    def _whenGone(self, function: Callable[[], object]) -> None:
        """Call C{function} when what was written last is on its way: who stops then loses none."""
        if self._former is None:
            function()
        else:
            self._former.afterParting(function)

    def _release(self, reset: bool) -> None:
        """Close the carrier and let it go."""
        carrier, self._carrier = self._carrier, None
        self._onDrained = None
        if carrier is not None:
            self._former = carrier
            if carrier.owner is self:
                carrier.attach(None)
            carrier.abort(reset)

    # what is known of the connection

    @property
    def bytesRead(self) -> int:
        """Bytes received from the network."""
        carrier = self._carrier or self._former
        return 0 if carrier is None else carrier.bytesRead

    @property
    def bytesWritten(self) -> int:
        """Bytes given to the network, those that still wait included."""
        if self._carrier is None:
            sent = 0 if self._former is None else self._former.bytesWritten
            return sent + self._writeLength
        return self._carrier.bytesWritten + self._writeLength - self._writeHanded
