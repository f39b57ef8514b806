"""
What the engine reports, pulled one at a time with C{nextEvent()}.

Application data is reported as a plain C{bytes} object: it is by far the most
frequent event, and needs no name.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from txnodetls.protocol.clienthello import ClientHello

__all__ = [
    "ClientHelloReceived",
    "EndReceived",
    "Event",
    "Failed",
    "HandshakeBegun",
    "HandshakeCompleted",
    "KeyLogged",
    "SessionIssued",
    "SessionMade",
    "StapleReceived",
    "StapleWanted",
    "Truncated",
]


class Event:
    """The base of all events but data."""

    __slots__ = ()


@attrs.frozen
class ClientHelloReceived(Event):
    """
    A ClientHello is held; the engine waits for C{resume()} or C{fail()}.

    @ivar hello: what it says.
    """

    hello: ClientHello


@attrs.frozen
class HandshakeBegun(Event):
    """
    A new handshake has begun on a connection that had one (TLS 1.2 and older).

    A client that asks for one as often as it likes lets a server do a lot of
    work; whoever wants an end to that counts these.
    """


@attrs.frozen
class HandshakeCompleted(Event):
    """
    The handshake is done, and nothing has been said yet about the certificate.

    What this side has still to send of the handshake waits to be drained.  A
    TLS 1.3 client that rejects the server's certificate drops it, so that the
    server never sees the connection as secure.

    @ivar again: it was a renegotiation.
    """

    again: bool = False


@attrs.frozen
class SessionIssued(Event):
    """
    A session that can be resumed later (clients only).

    @ivar session: serialised.
    @ivar again: it is that of a renegotiation, on which the verdict is not spoken yet.
    """

    session: bytes
    again: bool = False


@attrs.frozen
class SessionMade(Event):
    """
    A session that this server can resume if it is kept (servers that asked for these).

    Until all that were reported are kept (C{sessionKept()}), nothing else is
    reported and nothing is sent: a client must not come back with a session
    before it can be found.

    @ivar sessionId: what a client will ask for it by.
    @ivar session: serialised.
    """

    sessionId: bytes
    session: bytes


@attrs.frozen
class KeyLogged(Event):
    """
    A secret, in the format that Wireshark reads.

    @ivar line: with its end of line.
    """

    line: bytes


@attrs.frozen
class StapleWanted(Event):
    """
    The handshake waits for C{supplyStaple()}: a certificate is sent, and a staple was asked for.

    @ivar ask: what C{Answer.askStaple} was.
    """

    ask: Callable[[], object]


@attrs.frozen
class StapleReceived(Event):
    """
    The server has answered the request for an OCSP staple (clients only).

    @ivar staple: DER of the OCSP response, or None if the server sent none.
    """

    staple: bytes | None


@attrs.frozen
class EndReceived(Event):
    """The peer has sent close_notify: it sends nothing more, on purpose."""


@attrs.frozen
class Truncated(Event):
    """
    The bytes have ended without a close_notify.

    @ivar secured: the handshake was done before.
    """

    secured: bool


@attrs.frozen
class Failed(Event):
    """
    The connection is over.  The alert, if there is one, waits to be drained.

    @ivar error: why: a NodeError, or what a callback of the application raised.
    @ivar told: it is the peer that gave up, and said so in an alert.
    """

    error: BaseException
    told: bool = False
