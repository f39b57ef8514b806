"""
Where ciphertext is gathered before it goes to the kernel.

Each C{send()} may wake the peer, and that costs more than encrypting what is
sent.  So all that one turn of the reactor writes is gathered, and leaves in as
few calls as possible: at the end of the turn, when the area is full, or when
another connection's turn to write has come.  There is one area for all
connections, because there is one thread, and it is empty between the turns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from txnodetls.socket import TLSSocket

__all__ = ["OUTBOX", "Outbox"]

# Ciphertext gathered for one send.
BATCH: Final = 512 * 1024


class Outbox:
    """
    The gathered ciphertext of one connection.

    @ivar spent: how much the present owner has sent in this turn; a
        connection that has sent its share waits for the next turn.
    """

    __slots__ = ("_length", "_owner", "spent")

    def __init__(self) -> None:
        self._owner: TLSSocket | None = None
        self._length = 0
        self.spent = 0

    def gather(self, socket: TLSSocket) -> None:
        """Take the ciphertext that C{socket}'s engine has ready."""
        engine = socket._engine
        if engine is None:
            return
        if self._owner is not socket:
            if self._owner is None:
                socket._ticks.atEnd(self.endTurn)
            else:
                self.flush()
            self._owner = socket
            self.spent = 0
        # Sending may come back here: the carrier may itself be a TLS connection.
        while self._owner is socket and (moved := engine.drain(self._length)):
            self._length += moved
            if self._length >= BATCH:
                self._send(socket)
                if self._owner is not socket:
                    self.gather(socket)
                    return

    def flush(self) -> None:
        """
        Send what is gathered.

        What one connection sends may be gathered again for the connection
        that it stands on.
        """
        while self._length:
            assert self._owner is not None
            self._send(self._owner)

    def endTurn(self) -> None:
        """The turn is over: send what is gathered, and begin anew."""
        self.flush()
        self._owner = None
        self.spent = 0

    def flushFor(self, socket: TLSSocket) -> None:
        """Send what is gathered, if it is C{socket}'s."""
        if self._owner is socket:
            self.flush()

    def _send(self, socket: TLSSocket) -> None:
        length, self._length = self._length, 0
        self.spent += length
        socket._sendArea(length)


OUTBOX: Final = Outbox()
