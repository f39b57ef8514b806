"""
What the engine reports, pulled one at a time with C{nextEvent()}.

Application data is reported as a plain C{bytes} object: it is by far the most
frequent event, and needs no name.
"""

from __future__ import annotations

from collections.abc import Callable

from txnodetls.protocol.clienthello import ClientHello

__all__ = [
    "CertificateAnswered",
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
    """
    The base of all events but data.

    Its classes are written out: to have them made takes longer than the rest of the engine does
    to be imported.
    """

    __slots__: tuple[str, ...] = ()

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({told})"


class ClientHelloReceived(Event):
    """
    A ClientHello is held; the engine waits for C{resume()} or C{fail()}.

    @ivar hello: what it says.
    """

    __slots__ = ("hello",)

    def __init__(self, hello: ClientHello) -> None:
        self.hello = hello


class HandshakeBegun(Event):
    """
    A new handshake has begun on a connection that had one (TLS 1.2 and older).

    A client that asks for one as often as it likes lets a server do a lot of
    work; whoever wants an end to that counts these.
    """

    __slots__ = ()


class HandshakeCompleted(Event):
    """
    The handshake is done, and nothing has been said yet about the certificate.

    What this side has still to send of the handshake waits to be drained.  A
    TLS 1.3 client that rejects the server's certificate drops it, so that the
    server never sees the connection as secure.

    @ivar again: it was a renegotiation.
    """

    __slots__ = ("again",)

    def __init__(self, again: bool = False) -> None:
        self.again = again


class CertificateAnswered(Event):
    """
    A client that was asked for its certificate behind the handshake has shown it, or none.

    Nothing has been said yet about the certificate.
    """

    __slots__ = ()


class SessionIssued(Event):
    """
    A session that can be resumed later (clients only).

    @ivar session: serialised.
    @ivar again: it is that of a renegotiation, on which the verdict is not spoken yet.
    """

    __slots__ = ("again", "session")

    def __init__(self, session: bytes, again: bool = False) -> None:
        self.session = session
        self.again = again


class SessionMade(Event):
    """
    A session that this server can resume if it is kept (servers that asked for these).

    Until all that were reported are kept (C{sessionKept()}), nothing else is
    reported and nothing is sent: a client must not come back with a session
    before it can be found.

    @ivar sessionId: what a client will ask for it by.
    @ivar session: serialised.
    """

    __slots__ = ("session", "sessionId")

    def __init__(self, sessionId: bytes, session: bytes) -> None:
        self.sessionId = sessionId
        self.session = session


class KeyLogged(Event):
    """
    A secret, in the format that Wireshark reads.

    @ivar line: with its end of line.
    """

    __slots__ = ("line",)

    def __init__(self, line: bytes) -> None:
        self.line = line


class StapleWanted(Event):
    """
    The handshake waits for C{supplyStaple()}: a certificate is sent, and a staple was asked for.

    @ivar ask: what C{Answer.askStaple} was.
    """

    __slots__ = ("ask",)

    def __init__(self, ask: Callable[[], object]) -> None:
        self.ask = ask


class StapleReceived(Event):
    """
    The server has answered the request for an OCSP staple (clients only).

    @ivar staple: DER of the OCSP response, or None if the server sent none.
    """

    __slots__ = ("staple",)

    def __init__(self, staple: bytes | None) -> None:
        self.staple = staple


class EndReceived(Event):
    """The peer has sent close_notify: it sends nothing more, on purpose."""

    __slots__ = ()


class Truncated(Event):
    """
    The bytes have ended without a close_notify.

    @ivar secured: the handshake was done before.
    """

    __slots__ = ("secured",)

    def __init__(self, secured: bool) -> None:
        self.secured = secured


class Failed(Event):
    """
    The connection is over.  The alert, if there is one, waits to be drained.

    @ivar error: why: a NodeError, or what a callback of the application raised.
    @ivar told: it is the peer that gave up, and said so in an alert.
    """

    __slots__ = ("error", "told")

    def __init__(self, error: BaseException, told: bool = False) -> None:
        self.error = error
        self.told = told
