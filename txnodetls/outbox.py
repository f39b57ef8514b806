"""
Where ciphertext is gathered before it goes to the kernel.

Each C{send()} may wake the peer, and that costs more than encrypting what is
sent.  So all that one turn of the reactor writes is gathered, and leaves in as
few calls as possible, at the end of the turn, or when there is a batch of it.  Little
waits for others that are called at once, so that a peer that serves them all is
woken once.
"""

from __future__ import annotations

from typing import Final, Protocol

from txnodetls.openssl.calls import GROWN
from txnodetls.streams.ticks import TickQueue

__all__ = ["OUTBOX", "Outbox", "Sender"]

# Ciphertext gathered for one send.
BATCH: Final = 768 * 1024
# So many wait for each other of what gives a peer work to do.
_HASTE: Final = 3


class Sender(Protocol):
    """A connection, as far as its output goes: a TLSSocket."""

    _ticks: TickQueue

    def _ship(self, much: bool) -> int:
        """Send the ciphertext that its engine holds; how many bytes."""


class Outbox:
    """
    The ciphertext that connections have to send.

    It lies in their engines until it is sent: at the end of the turn (of several, where they
    follow each other at once), or when there is a batch of it.

    @ivar noted: the one that writes, if its engine may have something that was not sent yet.
    @ivar spent: how much the one that writes has sent in this turn; a connection that
        has sent its share waits for the next turn.
    """

    __slots__ = ("_hasty", "_held", "_ticks", "_waiting", "_writes", "noted", "spent")

    def __init__(self) -> None:
        self._writes: Sender | None = None
        self.noted: Sender | None = None
        self._held = 0  # plaintext of its that was encrypted, and not sent yet
        self.spent = 0
        self._hasty = 0  # among what waits, that a peer has work with
        self._waiting: list[Sender] = []  # who has written before, and has little to send
        self._ticks: TickQueue | None = None  # the end of whose turn is waited for

    def note(self, socket: Sender, length: int = 0) -> None:
        """C{socket}'s engine may have something to send, of C{length} bytes of plaintext."""
        if self._writes is not socket:
            self._begin(socket)
        self.noted = socket
        self._held += length
        if self._held >= BATCH:
            self._ship(socket)

    def hasten(self) -> None:
        """
        The peer has work to do with what is to be sent: a certificate to verify, a connection to
        replace.  When a few of the kind wait, all that waits leaves with this turn.
        """
        self._hasty += 1
        if self._hasty == _HASTE and self._ticks is not None:
            self._ticks.gathering = False

    def flush(self) -> None:
        """
        Send all there is.

        What one connection sends may become the output of the connection that it stands on,
        which then is the one that writes.
        """
        while self._waiting or self.noted is not None:
            waiting, self._waiting = self._waiting, []
            for socket in waiting:
                socket._ship(False)
            if self.noted is not None:
                self._ship(self.noted)

    def endTurn(self) -> None:
        """The turn is over: send all there is, and begin anew."""
        self.flush()
        self._writes = self._ticks = None
        self.spent = self._hasty = 0

    def flushFor(self, socket: Sender) -> None:
        """Send all that C{socket} has to send."""
        if self.noted is socket:
            self._ship(socket)
        elif socket in self._waiting:
            self._waiting.remove(socket)
            socket._ship(False)

    def forget(self, socket: Sender) -> bool:
        """
        Whatever C{socket}'s engine still holds is not sent from here.

        @return: whether it was to be.
        """
        waits = self.noted is socket
        if self._writes is socket:
            self._writes = self.noted = None
            self._held = 0
        if socket in self._waiting:
            self._waiting.remove(socket)
            waits = True
        return waits

    def _begin(self, socket: Sender) -> None:
        """C{socket} writes now.  Who has written before waits, if it is for little."""
        while (noted := self.noted) is not None:
            if self._held + self.spent <= GROWN:
                self._waiting.append(noted)
                self.noted = None
                self._held = 0
                break
            self._ship(noted)
        ticks = socket._ticks
        if self._ticks is not ticks:
            if self._ticks is not None:
                self.flush()  # a reactor of its own has turns of its own
            self._ticks = ticks
            ticks.atEnd(self.endTurn)
        self._writes = socket
        self.spent = 0

    def _ship(self, noted: Sender) -> None:
        much = self._held + self.spent > GROWN
        self.noted = None
        self._held = 0
        sent = noted._ship(much)
        if self._writes is noted:
            self.spent += sent


OUTBOX: Final = Outbox()
