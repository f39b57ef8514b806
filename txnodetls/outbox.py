"""
Where ciphertext is gathered before it goes to the kernel.

Each C{send()} may wake the peer, and that costs more than encrypting what is
sent.  So all that one turn of the reactor writes is gathered, and leaves in as
few calls as possible: at the end of the turn, when there is half a MiB, or when
another connection's turn to write has come.  It lies in one connection's engine
at a time, because there is one thread, and is gone between the turns.
"""

from __future__ import annotations

from typing import Final, Protocol

from txnodetls.openssl.calls import GROWN
from txnodetls.streams.ticks import TickQueue

__all__ = ["OUTBOX", "Outbox", "Sender"]

# Ciphertext gathered for one send.
BATCH: Final = 512 * 1024


class Sender(Protocol):
    """A connection, as far as its output goes: a TLSSocket."""

    _ticks: TickQueue

    def _ship(self, much: bool) -> int:
        """Send the ciphertext that its engine holds; how many bytes."""


class Outbox:
    """
    The ciphertext that one connection, the owner, has to send in this turn.

    It lies in the owner's engine until it is sent: at the end of the turn, when another
    connection becomes the owner, or when there is a batch of it.

    @ivar noted: the one whose engine may have something that was not sent yet; or None.
    @ivar spent: how much the owner has sent in this turn; a connection that
        has sent its share waits for the next turn.
    """

    __slots__ = ("_held", "_owner", "noted", "spent")

    def __init__(self) -> None:
        self._owner: Sender | None = None
        self._held = 0  # plaintext that was encrypted, and not sent yet
        self.noted: Sender | None = None
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
        if self._held >= BATCH:
            self.flush()

    def flush(self) -> None:
        """
        Send all there is.

        What one connection sends may become the output of the connection that
        it stands on, which then is the owner.
        """
        while (noted := self.noted) is not None:
            much = self._held > GROWN or self.spent > GROWN
            self._held = 0
            self.noted = None
            sent = noted._ship(much)
            if self._owner is noted:
                self.spent += sent

    def endTurn(self) -> None:
        """The turn is over: send all there is, and begin anew."""
        self.flush()
        self._owner = None
        self.spent = 0

    def flushFor(self, socket: Sender) -> None:
        """Send all there is, if it is C{socket}'s."""
        if self._owner is socket:
            self.flush()

    def forget(self, socket: Sender) -> None:
        """Whatever C{socket}'s engine still holds is not sent."""
        if self._owner is socket:
            self._owner = self.noted = None
            self._held = 0


OUTBOX: Final = Outbox()
