"""
Where ciphertext is gathered before it goes to the kernel.

Each C{send()} may wake the peer, and that costs more than encrypting what is
sent.  So all that one turn of the reactor writes is gathered, and leaves in as
few calls as possible: at the end of the turn, when the area is full, or when
another connection's turn to write has come.  There is one area for all
connections, because there is one thread, and it is empty between the turns.
"""

from __future__ import annotations

from typing import Final, Protocol

from txnodetls.openssl.areas import OUTPUT
from txnodetls.openssl.calls import GROWN
from txnodetls.protocol.engine import SLICE
from txnodetls.streams.ticks import TickQueue

__all__ = ["OUTBOX", "Outbox", "Sender"]

# Ciphertext gathered for one send.
BATCH: Final = 512 * 1024


class Sender(Protocol):
    """A connection, as far as its output goes: a TLSSocket."""

    _ticks: TickQueue

    def _drain(self, offset: int) -> int:
        """Move ciphertext into the shared output area, from C{offset} on; how many bytes."""

    def _sendArea(self, length: int) -> None:
        """Send the first C{length} bytes of the shared output area."""

    def _giveBack(self) -> None:
        """A turn in which much was sent is over: the memory that it took is not needed now."""


class Outbox:
    """
    The ciphertext that one connection, the owner, has to send in this turn.

    It lies in the owner's engine until it is wanted: at the end of the turn,
    when another connection becomes the owner, or when there is a slice of it.

    @ivar noted: the one whose engine may have something since it was last drained; or None.
    @ivar spent: how much the owner has sent in this turn; a connection that
        has sent its share waits for the next turn.
    """

    __slots__ = ("_held", "_length", "_much", "_owner", "noted", "spent")

    def __init__(self) -> None:
        self._owner: Sender | None = None
        self._held = 0  # plaintext encrypted since its engine was last drained
        self.noted: Sender | None = None
        self._length = 0  # ciphertext in the shared area
        self._much = False  # whether the owner had so much in this turn that its engine keeps it
        self.spent = 0

    def note(self, socket: Sender, length: int = 0) -> None:
        """C{socket}'s engine may have something to send, of C{length} bytes of plaintext."""
        owner = self._owner
        if owner is not socket:
            if owner is not None:
                self.flush()
            if owner is None or owner._ticks is not socket._ticks:
                # A reactor of its own has turns of its own.
                ticks = socket._ticks
                if ticks.active:
                    ticks.endings.append(self.endTurn)
                else:
                    ticks.atEnd(self.endTurn)
            self._owner = socket
            self.spent = 0
        self.noted = socket
        self._held += length
        if self._held >= SLICE:
            self._drain(socket)

    def flush(self) -> None:
        """
        Send all there is.

        What one connection sends may become the output of the connection that
        it stands on, which then is the owner.
        """
        while (owner := self._owner) is not None:
            if self.noted is not None:
                self._drain(owner)
            length = self._length
            if not length:
                break
            self._length = 0
            self.spent += length
            owner._sendArea(length)

    def endTurn(self) -> None:
        """The turn is over: send all there is, and begin anew."""
        if self.noted is not None or self._length:
            self.flush()
        if self._much:
            self._much = False
            if self._owner is not None:
                self._owner._giveBack()
        self._owner = None
        self.spent = 0

    def flushFor(self, socket: Sender) -> None:
        """Send all there is, if it is C{socket}'s."""
        if self._owner is socket:
            self.flush()

    def forget(self, socket: Sender) -> None:
        """Whatever C{socket}'s engine still holds is not sent; what was drained is."""
        if self._owner is socket:
            if self._length:
                self._send(socket)
            if self._owner is socket:
                self._owner = self.noted = None
                self._held = 0

    def _drain(self, socket: Sender) -> None:
        """Move ciphertext from the engine into the area; send it when it is a batch."""
        self._held = 0
        self.noted = None
        while True:
            room = OUTPUT.size - self._length
            moved = socket._drain(self._length)
            self._length += moved
            if moved > GROWN:
                self._much = True
            if self._length >= BATCH:
                self._send(socket)
            if moved < room or self._owner is not socket:
                return

    def _send(self, socket: Sender) -> None:
        length, self._length = self._length, 0
        self.spent += length
        socket._sendArea(length)


OUTBOX: Final = Outbox()
