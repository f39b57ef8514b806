"""
The states of a TLS connection: two halves, two tables.

The halves are nearly independent: a peer's close_notify ends what is received
and leaves what is sent alone, and the other way round.  The tables are the
whole truth; an entry that is not there cannot happen.

    receiving   HELLO → ASKING → HANDSHAKE → OPEN → ENDED or CUT
                (a client, and a server that nobody asked to look at the
                ClientHello, begin with HANDSHAKE)
    sending     WAITING → OPEN ⇄ RENEGOTIATING
                            ↓         ↓
                          CLOSED ← ← ←
                (and OPEN ⇄ WITHHELD, on a server whose application keeps new
                sessions itself)

and from every state there is a way to DEAD.
"""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["RECEIVING", "SENDING", "Happening", "Receiving", "Sending"]


class _State(enum.Enum):
    """Members are looked up in the tables by what they are, not by their names: in C."""

    __hash__ = object.__hash__


class Receiving(_State):
    """What becomes of bytes that come in."""

    HELLO = "collected until they make a ClientHello"
    ASKING = "held until the application has answered"
    HANDSHAKE = "given to the handshake"
    OPEN = "decrypted"
    ENDED = "ignored: the peer has sent close_notify"
    CUT = "ignored: the peer's bytes have ended without a close_notify"
    DEAD = "ignored: the connection has failed or is closed"


class Sending(_State):
    """What becomes of data to be sent."""

    WAITING = "not taken yet: the handshake is not done"
    OPEN = "encrypted"
    RENEGOTIATING = "not taken yet: a new handshake is under way (TLS 1.2 and older)"
    WITHHELD = "not taken, nor sent what is ready: a new session has to be kept first"
    CLOSED = "refused: close_notify has been sent, or can be sent no more"
    DEAD = "refused: the connection has failed or is closed"


class Happening(_State):
    """What moves the halves."""

    HELLO_READ = "a ClientHello is complete, and there are questions"
    ANSWERED = "the questions are answered, or there were none"
    SECURED = "the handshake is done"
    BEGUN_ANEW = "a new handshake has begun on a connection that had one"
    SESSION_MADE = "there are new sessions that the application wants to keep"
    SESSIONS_KEPT = "it has kept them all"
    END_RECEIVED = "close_notify has come"
    CUT_OFF = "the bytes have ended without one, behind the handshake"
    END_SENT = "close_notify is on its way"
    DIED = "failed, or closed by the owner"


RECEIVING: Final = {
    Receiving.HELLO: {
        Happening.HELLO_READ: Receiving.ASKING,
        Happening.ANSWERED: Receiving.HANDSHAKE,
        Happening.END_SENT: Receiving.HELLO,
        Happening.DIED: Receiving.DEAD,
    },
    Receiving.ASKING: {
        Happening.ANSWERED: Receiving.HANDSHAKE,
        Happening.END_SENT: Receiving.ASKING,
        Happening.DIED: Receiving.DEAD,
    },
    Receiving.HANDSHAKE: {
        Happening.SECURED: Receiving.OPEN,
        Happening.END_SENT: Receiving.HANDSHAKE,
        Happening.DIED: Receiving.DEAD,
    },
    Receiving.OPEN: {
        Happening.SECURED: Receiving.OPEN,
        Happening.BEGUN_ANEW: Receiving.OPEN,
        Happening.SESSION_MADE: Receiving.OPEN,
        Happening.SESSIONS_KEPT: Receiving.OPEN,
        Happening.END_SENT: Receiving.OPEN,
        Happening.END_RECEIVED: Receiving.ENDED,
        Happening.CUT_OFF: Receiving.CUT,
        Happening.DIED: Receiving.DEAD,
    },
    Receiving.ENDED: {
        Happening.BEGUN_ANEW: Receiving.ENDED,
        Happening.SESSION_MADE: Receiving.ENDED,
        Happening.SESSIONS_KEPT: Receiving.ENDED,
        Happening.END_SENT: Receiving.ENDED,
        Happening.DIED: Receiving.DEAD,
    },
    Receiving.CUT: {
        Happening.BEGUN_ANEW: Receiving.CUT,
        Happening.SESSION_MADE: Receiving.CUT,
        Happening.SESSIONS_KEPT: Receiving.CUT,
        Happening.END_SENT: Receiving.CUT,
        Happening.DIED: Receiving.DEAD,
    },
    Receiving.DEAD: {
        Happening.END_SENT: Receiving.DEAD,
        Happening.DIED: Receiving.DEAD,
    },
}

SENDING: Final = {
    Sending.WAITING: {
        Happening.HELLO_READ: Sending.WAITING,
        Happening.ANSWERED: Sending.WAITING,
        Happening.SECURED: Sending.OPEN,
        Happening.END_SENT: Sending.CLOSED,
        Happening.DIED: Sending.DEAD,
    },
    Sending.OPEN: {
        Happening.SECURED: Sending.OPEN,
        Happening.BEGUN_ANEW: Sending.RENEGOTIATING,
        Happening.SESSION_MADE: Sending.WITHHELD,
        Happening.SESSIONS_KEPT: Sending.OPEN,
        Happening.END_RECEIVED: Sending.OPEN,
        Happening.CUT_OFF: Sending.OPEN,
        Happening.END_SENT: Sending.CLOSED,
        Happening.DIED: Sending.DEAD,
    },
    Sending.RENEGOTIATING: {
        Happening.SECURED: Sending.OPEN,
        Happening.BEGUN_ANEW: Sending.RENEGOTIATING,
        Happening.SESSION_MADE: Sending.RENEGOTIATING,
        Happening.SESSIONS_KEPT: Sending.RENEGOTIATING,
        # A handshake whose other side has ended can never be done.
        Happening.END_RECEIVED: Sending.CLOSED,
        Happening.CUT_OFF: Sending.CLOSED,
        Happening.END_SENT: Sending.CLOSED,
        Happening.DIED: Sending.DEAD,
    },
    Sending.WITHHELD: {
        # Nothing is read meanwhile, so no handshake can begin.
        Happening.SECURED: Sending.WITHHELD,
        Happening.BEGUN_ANEW: Sending.WITHHELD,
        Happening.SESSION_MADE: Sending.WITHHELD,
        Happening.SESSIONS_KEPT: Sending.OPEN,
        Happening.END_RECEIVED: Sending.WITHHELD,
        Happening.CUT_OFF: Sending.WITHHELD,
        Happening.END_SENT: Sending.CLOSED,
        Happening.DIED: Sending.DEAD,
    },
    Sending.CLOSED: {
        Happening.HELLO_READ: Sending.CLOSED,
        Happening.ANSWERED: Sending.CLOSED,
        Happening.SECURED: Sending.CLOSED,
        Happening.BEGUN_ANEW: Sending.CLOSED,
        Happening.SESSION_MADE: Sending.CLOSED,
        Happening.SESSIONS_KEPT: Sending.CLOSED,
        Happening.END_RECEIVED: Sending.CLOSED,
        Happening.CUT_OFF: Sending.CLOSED,
        Happening.END_SENT: Sending.CLOSED,
        Happening.DIED: Sending.DEAD,
    },
    Sending.DEAD: {
        Happening.END_SENT: Sending.DEAD,
        Happening.DIED: Sending.DEAD,
    },
}
