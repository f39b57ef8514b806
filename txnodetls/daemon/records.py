"""
What is known of a connection: who, when, what was agreed on, how much, and why it ended.

There is one L{Record} per connection that was accepted, from its first moment to its last.
Limits, times, metrics and the log stand on it.

    ARRIVING → HANDSHAKE → OPEN → ENDED
    ARRIVING: the PROXY header, where one has to come first
"""

from __future__ import annotations

import enum
from typing import Any

__all__ = ["Phase", "Reason", "Record"]


class Phase(enum.Enum):
    """How far a connection is."""

    ARRIVING = "arriving"
    HANDSHAKE = "handshake"
    OPEN = "open"
    ENDED = "ended"


class Reason(enum.StrEnum):
    """Why a connection ended; of several, the one that was said first."""

    DONE = "done"
    RESET = "reset"  # by the peer, or cut off without a close_notify
    FAILED = "failed"  # an error of TLS behind the handshake
    HANDSHAKE = "handshake failed"
    PROXY = "no proxy header"
    BACKEND = "no backend"
    BACKEND_RESET = "backend reset"
    IDLE = "idle"
    CLOSING = "close timeout"
    LIMIT = "limit"
    NAME = "unknown name"
    FORBIDDEN = "not allowed"
    DRAINED = "drained"


class Record:
    """
    One connection.

    @ivar listener: the listener's configured name.
    @ivar peer: host and port of the client; None for a UNIX socket.
    @ivar address: under which it is counted against limits.
    @ivar local: host and port that it came to.
    @ivar began: when it was accepted, in the reactor's seconds.
    @ivar secured: when its handshake was done, or None.
    @ivar socket: its TLSSocket, or None where there is no TLS in front.
    @ivar protocol: what drives it; None before the handshake is done.
    @ivar route: the configured name of the route taken, or None.
    @ivar code: of the error that ended it, or None.
    @ivar error: its text.
    @ivar times: how long it may be silent (L{txnodetls.daemon.limits.Times}).
    @ivar active: when it was seen to do something, and C{seen}, what it had done by then.
    """

    __slots__ = (
        "active",
        "address",
        "agreed",
        "began",
        "code",
        "error",
        "listener",
        "local",
        "peer",
        "phase",
        "protocol",
        "reason",
        "route",
        "secured",
        "seen",
        "socket",
        "times",
        "wasClosing",
    )

    def __init__(
        self,
        listener: str,
        peer: tuple[str, int] | None,
        local: tuple[str, int] | None,
        now: float,
    ) -> None:
        self.listener = listener
        self.peer = peer
        self.address: str | None = None
        self.local = local
        self.began = self.active = now
        self.secured: float | None = None
        self.phase = Phase.ARRIVING
        self.socket: Any = None
        self.protocol: Any = None
        self.route: str | None = None
        self.reason: Reason | None = None
        self.code: str | None = None
        self.error: str | None = None
        self.seen = 0
        self.wasClosing = False
        self.times: Any = None
        # What the handshake came to, for the log: there is nobody to ask afterwards.
        self.agreed: dict[str, Any] = {}

    def ends(self, reason: Reason, error: BaseException | None = None) -> None:
        """Why it ends, unless that was said before."""
        if self.reason is None:
            self.reason = reason
            if error is not None:
                self.code = getattr(error, "code", None) or type(error).__name__
                self.error = str(error)

    def count(self) -> tuple[int, int]:
        """Bytes of the application's received from the client, and sent to it."""
        if self.socket is not None:
            return self.socket.bytesRead, self.socket.bytesWritten
        return (0, 0) if self.protocol is None else self.protocol.count()

    @property
    def closing(self) -> bool:
        """Whether one side has ended it, or both."""
        if getattr(self.protocol, "halfClosed", False):
            return True
        if self.socket is not None:
            return not self.socket.writable
        return bool(self.protocol.transport.disconnecting)

    def close(self) -> None:
        """End it, after what is queued for the client."""
        if self.socket is not None:
            self.socket.destroySoon()
        elif self.protocol is not None:
            self.protocol.close()

    def abort(self) -> None:
        """End it at once."""
        if self.socket is not None:
            self.socket.destroy()
        elif self.protocol is not None:
            self.protocol.abort()
