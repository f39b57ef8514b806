"""
The proxy: what comes goes on to a backend, and back.

In front there is TLS and behind plain TCP (terminate), or the other way round (originate); it
makes no difference here.

Each connection is a pair of sides, front (the client) and back (the
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
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.error import ConnectError, ConnectionDone
from twisted.internet.error import TimeoutError as ConnectTimeoutError
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableProtocol,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    ISSLTransport,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txnodetls.daemon.records import Reason, Record
from txnodetls.errors import OpenSSLError
from txnodetls.net.lookup import isIP
from txnodetls.net.socket import Socket
from txnodetls.streams.duplex import markOf
from txnodetls.transports.carrier import Carrier
from txnodetls.transports.connecting import Target, attempt
from txnodetls.twisted.endpoints import CONNECT_TIMEOUT, connectFailure
from txnodetls.twisted.plain import adapt

__all__ = ["Backend", "Front", "PlainBackend", "plainEndpoint"]

# From how much on that waits for a backend its client is paused; the same as everywhere.
_MARK: Final = markOf("highWaterMark", None, None)

# The endpoints that need none of Twisted's: host and port, or a path, and nothing else.
_OWN: Final = re.compile(
    r"(?i:tcp):(?:host=)?(?P<host>[^:=\\]+):(?:port=)?(?P<port>[0-9]{1,5})"
    r"|(?i:unix):(?:path=)?(?P<path>[^:=\\]+)"
)


def plainEndpoint(reactor: Any, target: str) -> IStreamClientEndpoint:
    """
    The endpoint of a backend without TLS.

    To an IP address or a UNIX socket the bytes are moved by our own transport, which reads more
    at a time and tries at once what it has to write.  Whatever else Twisted has a string for is
    Twisted's.

    @param target: as C{clientFromString} takes it.
    @raise ValueError: it does not.
    """
    theirs = clientFromString(reactor, target)
    found = _OWN.fullmatch(target)
    if found is None:
        return theirs
    if found["path"] is not None:
        return PlainBackend(reactor, Target(found["path"]))
    host = {"localhost": "127.0.0.1"}.get(found["host"], found["host"])
    return PlainBackend(reactor, Target(host, int(found["port"]))) if isIP(host) else theirs


@implementer(IStreamClientEndpoint)
class PlainBackend:
    """
    Connects to one address, and has our own transport on the connection.

    It is L{txnodetls.twisted.plain.PlainClientEndpoint} without all that a C{net.Socket} can be
    asked on its way to a peer, which costs a proxy much for each of its connections.
    """

    def __init__(self, reactor: Any, target: Target) -> None:
        self._reactor = reactor
        self._target = target

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Connect.

        @return: the protocol, or one of Twisted's C{ConnectError}s whose C{__cause__} is Node's.
        """

        def giveUp(_: object = None) -> None:
            trying.cancel()
            if timer.active():
                timer.cancel()

        def late() -> None:
            giveUp()
            result.errback(Failure(ConnectTimeoutError()))

        def done(error: BaseException | None, carrier: Carrier | None) -> None:
            timer.cancel()
            if carrier is None:
                result.errback(connectFailure(error or ConnectError()))
                return
            try:
                protocol = self._carried(carrier, protocolFactory)
            except Exception:
                result.errback(Failure())
            else:
                result.callback(protocol)

        result: Deferred[IProtocol] = Deferred(giveUp)
        trying = attempt(self._target, self._reactor, done)
        timer = self._reactor.callLater(CONNECT_TIMEOUT, late)
        return result

    def _carried(self, carrier: Carrier, factory: IProtocolFactory) -> IProtocol:
        socket = Socket.__new__(Socket)
        socket._initAccepted(carrier.ticks, True, _MARK)
        socket._stand(carrier)
        return adapt(socket, factory)


@dataclass(frozen=True, slots=True)
class Backend:
    """
    Where a front goes on to.

    @ivar endpoint: the backend.
    @ivar timeout: seconds that the connection may take; 0: as long as it likes.
    @ivar header: gives what is to be sent first, or None.
    """

    endpoint: IStreamClientEndpoint
    timeout: float = 0
    header: Callable[[Record], bytes] | None = None


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
    """
    One side of a proxied connection.

    @ivar other: the other side; None while there is none.
    @ivar passed: bytes that came from here.
    """

    transport: Any
    other: _Side | None = None
    ended = Ended.NONE
    passed = 0

    def join(self, other: _Side) -> None:
        """Whatever either receives from now on goes to the other."""
        self.other = other
        other.other = self
        self.transport.registerProducer(_Source(other.transport), True)
        other.transport.registerProducer(_Source(self.transport), True)

    def dataReceived(self, data: bytes) -> None:
        # Only while joined: the front is paused until then.
        if self.other is not None:
            self.passed += len(data)
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
        if self.ended is Ended.NONE:
            self.ended = direction
        elif self.ended is not direction:
            self.ended = Ended.BOTH
            self.transport.loseConnection()


class _Back(_Side):
    """The side of the backend."""

    def __init__(self, front: Front) -> None:
        self._front = front

    def connectionMade(self) -> None:
        # Here, and not where the Deferred fires: data may come before that.
        self._front.backMade(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.other is not None and not reason.check(ConnectionDone):
            self._front.record.ends(Reason.BACKEND_RESET, reason.value)
        super().connectionLost(reason)


class _BackFactory(Factory):
    noisy = False

    def __init__(self, front: Front) -> None:
        self._front = front

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return _Back(self._front)


class _Phase(enum.Enum):
    CONNECTING = "connecting"
    JOINED = "joined"
    GONE = "gone"


class Front(_Side):
    """
    The side of the client; it waits, paused, until there is a backend.

    @param record: of the client's connection.
    @param backend: where to go on to.
    """

    _phase = _Phase.CONNECTING
    _connecting: Deferred[IProtocol]
    _timer: IDelayedCall | None = None

    def __init__(self, record: Record, backend: Backend, reactor: Any) -> None:
        self.record = record
        self._backend = backend
        self._reactor = reactor
        self._back: _Side | None = None

    @property
    def halfClosed(self) -> bool:
        """Whether one direction has ended, and the other has not."""
        back = self._back
        return bool(self.ended or (back is not None and back.ended))

    def count(self) -> tuple[int, int]:
        """Bytes received from the client, and sent to it."""
        return self.passed, 0 if self._back is None else self._back.passed

    def connectionMade(self) -> None:
        self.transport.pauseProducing()
        if self._backend.timeout:
            self._timer = self._reactor.callLater(self._backend.timeout, self._late)
        self._connecting = self._backend.endpoint.connect(_BackFactory(self))
        self._connecting.addErrback(self._failed)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        before, self._phase = self._phase, _Phase.GONE
        self._stopTimer()
        self.record.ends(*reasonOf(reason))
        if before is _Phase.CONNECTING:
            self._connecting.cancel()
        super().connectionLost(reason)

    def backMade(self, back: _Back) -> None:
        """There is a backend."""
        if self._phase is not _Phase.CONNECTING:  # the endpoint has connected twice, or too late
            back.transport.abortConnection()
            return
        self._phase = _Phase.JOINED
        self._stopTimer()
        self._back = back
        header = self._backend.header
        if header is not None:
            back.transport.write(header(self.record))
        self.join(back)
        if Ended.READING in self.ended:
            # The client had nothing to say, and has ended that while there was nobody to tell;
            # what comes behind data waits, as the data does, until the front is resumed.
            back.endWriting()
        self.transport.resumeProducing()

    def close(self) -> None:
        """End it, after what is queued for the client."""
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def abort(self) -> None:
        """End it at once."""
        self.transport.abortConnection()

    def _late(self) -> None:
        self._timer = None
        self._refuse(ConnectTimeoutError(f"not within {self._backend.timeout:g} s"))
        self._connecting.cancel()

    def _failed(self, failure: Failure) -> None:
        # If the client has gone, it was we who cancelled.
        if self._phase is _Phase.CONNECTING:
            self._refuse(failure.value)

    def _refuse(self, error: BaseException | None) -> None:
        self._phase = _Phase.GONE
        self._stopTimer()
        self.record.ends(Reason.BACKEND, error)
        self.transport.abortConnection()

    def _stopTimer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


def reasonOf(failure: Failure) -> tuple[Reason, BaseException | None]:
    """Why a client's connection ended, out of what Twisted says."""
    if failure.check(ConnectionDone):
        return Reason.DONE, None
    error = failure.value
    cause = None if error is None else error.__cause__
    if isinstance(cause, OpenSSLError):
        return Reason.FAILED, cause
    return Reason.RESET, error if cause is None else cause


def _halfCloses(transport: Any) -> bool:
    # Twisted's TLS passes loseWriteConnection through to TCP, below the TLS: a truncation.
    if ISSLTransport.providedBy(transport):
        return hasattr(transport, "tlsSocket")
    return hasattr(transport, "loseWriteConnection")
