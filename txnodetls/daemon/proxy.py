"""
The proxy: what comes by TLS goes on to a backend, and back.

Each connection is a pair of sides, front (the TLS client) and back (the
connection to the backend).  Nothing is buffered here.  What one side receives
is written to the other; when that is full, the first is paused (each
transport is the other's producer), and TCP slows its peer.

How one side's ending reaches the other:

    clean end of one direction     the same direction ends on the other side: a
                                   close_notify becomes a FIN, a FIN a
                                   close_notify; the other direction goes on
    both directions ended          closed
    reset, error, truncated TLS    aborted: a cut-off request or answer must not
                                   look like a complete one
    no backend                     aborted

A backend's transport that cannot end one direction alone (Twisted's own TLS)
is closed instead, after what is queued.
"""

from __future__ import annotations

import enum
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
    ISSLTransport,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txnodetls.twisted.reporting import escaped, joined

__all__ = ["ProxyFactory"]

log = Logger()


class Ended(enum.Flag):
    """Which directions of a side have ended."""

    NONE = 0
    READING = enum.auto()
    WRITING = enum.auto()
    BOTH = READING | WRITING


@implementer(IPushProducer)
class _Source:
    """
    A side as the producer for the other one.

    It is not the transport itself, because a consumer that is gone calls stopProducing, and
    what is to happen then depends on why it has gone: see C{_Side.connectionLost}.
    """

    __slots__ = ("_transport",)

    def __init__(self, transport: IPushProducer) -> None:
        self._transport = transport

    def pauseProducing(self) -> None:
        self._transport.pauseProducing()

    def resumeProducing(self) -> None:
        self._transport.resumeProducing()

    def stopProducing(self) -> None:
        """The consumer's connectionLost says the rest."""


@implementer(IHalfCloseableProtocol)
class _Side(Protocol):
    """One side of a proxied connection; C{other} is None while there is none."""

    transport: Any
    other: _Side | None = None
    ended = Ended.NONE

    def join(self, other: _Side) -> None:
        """Whatever either receives from now on goes to the other."""
        self.other = other
        other.other = self
        self.transport.registerProducer(_Source(other.transport), True)
        other.transport.registerProducer(_Source(self.transport), True)

    def dataReceived(self, data: bytes) -> None:
        # Only while joined: the front is paused until then.
        if self.other is not None:
            self.other.transport.write(data)

    def readConnectionLost(self) -> None:
        other = self.other
        if other is not None:
            other.endWriting()
        self._ended(Ended.READING)

    def writeConnectionLost(self) -> None:
        self._ended(Ended.WRITING)

    def endWriting(self) -> None:
        """The other side will send no more."""
        self.transport.unregisterProducer()
        if _halfCloses(self.transport):
            self.transport.loseWriteConnection()
        else:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        other, self.other = self.other, None
        if other is None:
            return
        other.other = None
        if reason.check(ConnectionDone):
            other.transport.unregisterProducer()
            other.transport.loseConnection()
        else:
            other.transport.abortConnection()

    def _ended(self, direction: Ended) -> None:
        self.ended |= direction
        if self.ended == Ended.BOTH:
            self.transport.loseConnection()


class _Back(_Side):
    """The side of the backend."""

    def __init__(self, front: _Front) -> None:
        self._front = front

    def connectionMade(self) -> None:
        # Here, and not where the Deferred fires: data may come before that.
        self._front.backMade(self)


class _BackFactory(Factory):
    noisy = False

    def __init__(self, front: _Front) -> None:
        self._front = front

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return _Back(self._front)


class _Phase(enum.Enum):
    CONNECTING = "connecting"
    JOINED = "joined"
    GONE = "gone"


class _Front(_Side):
    """The side of the TLS client; it waits, paused, until there is a backend."""

    _phase = _Phase.CONNECTING
    _connecting: Deferred[IProtocol]

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def connectionMade(self) -> None:
        self.transport.pauseProducing()
        self._connecting = self._endpoint.connect(_BackFactory(self))
        self._connecting.addErrback(self._failed)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        before, self._phase = self._phase, _Phase.GONE
        if before is _Phase.CONNECTING:
            self._connecting.cancel()
        super().connectionLost(reason)

    def backMade(self, back: _Back) -> None:
        """There is a backend."""
        if self._phase is not _Phase.CONNECTING:  # the endpoint has connected twice, or too late
            back.transport.abortConnection()
            return
        self._phase = _Phase.JOINED
        self.join(back)
        self.transport.resumeProducing()

    def _failed(self, failure: Failure) -> None:
        if self._phase is _Phase.GONE:
            return  # the client has gone, and it was we who cancelled
        log.warn(
            "no backend for {peer}: {error}",
            peer=_named(self.transport.getPeer()),
            error=escaped(failure.getErrorMessage()),
        )
        self._phase = _Phase.GONE
        self.transport.abortConnection()


class ProxyFactory(Factory):
    """
    Gives each connection one of its own to the backend.

    @param endpoint: where the backend is.
    """

    noisy = False

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return _Front(self._endpoint)


def _named(address: Any) -> str:
    return joined(getattr(address, "host", None), getattr(address, "port", None))


def _halfCloses(transport: Any) -> bool:
    # Twisted's TLS passes loseWriteConnection through to TCP, below the TLS: a truncation.
    if ISSLTransport.providedBy(transport):
        return hasattr(transport, "tlsSocket")
    return hasattr(transport, "loseWriteConnection")
