"""
One question to an OCSP responder, over HTTP.

The responder is named in a certificate of ours and speaks mostly without TLS, so whoever sits on
the way can answer whatever he likes.  What he cannot do is make this side work: an answer, its
headers included, is bounded in size, redirects are bounded in number, the whole is bounded in
time, nothing but http and https is spoken, and nothing is unpacked.  What is answered proves
nothing until it is checked (L{txnodetls.ocsp.checking}).

A certificate, or a redirect, may name a machine that only this one can reach.  Who has his
certificates from others than himself can have such addresses refused; it is the address that
counts, not the name.

Sources: RFC 6960 appendix A, RFC 9110 section 15.4.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import TimeoutError as TimedOut
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    Agent,
    BrowserLikePolicyForHTTPS,
    HTTPConnectionPool,
    ResponseDone,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from txnodetls.ocsp.checking import MAX_SIZE

__all__ = ["Client", "Unanswered", "isPublic", "refusalOf"]

MAX_REDIRECTS: Final = 3
# What headers may weigh, those of all answers of one connection together.
_HEADERS: Final = 16384
# IPv6 addresses that stand for IPv4 ones (RFC 6052).
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_REDIRECTS: Final = frozenset((301, 302, 307, 308))


class Unanswered(Exception):
    """There is no answer; the text says why."""


def refusalOf(url: str) -> str | None:
    """Why an address is not asked, or None if it is."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "it is no URL"
    if parts.scheme not in ("http", "https"):
        return "only http and https are spoken"
    if not host or not url.isascii() or not url.isprintable() or " " in url or port == 0:
        return "it is no URL of a responder"
    if "@" in parts.netloc:
        return "no names and passwords are sent"
    return None


def isPublic(address: str) -> bool:
    """Whether an IP address is one of the Internet, and not of this machine or its network."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found in _NAT64:
            return isPublic(str(ipaddress.IPv4Address(found.packed[-4:])))
        found = found.ipv4_mapped or found.sixtofour or found
    return found.is_global and not found.is_multicast


class Client:
    """
    Asks responders.

    @param timeout: seconds for a question with all its redirects.
    @param refusePrivate: connect to public addresses only.
    """

    def __init__(self, reactor: Any, timeout: float, refusePrivate: bool) -> None:
        self._reactor = reactor
        self._timeout = timeout
        self._connecting = _Public(reactor) if refusePrivate else reactor
        self._policy: Any = BrowserLikePolicyForHTTPS()

    def ask(self, url: str, request: bytes) -> Deferred[bytes]:
        """
        What a responder answers.  No connection outlives the answer.

        @param request: DER of the OCSP request.
        @return: fails with L{Unanswered} where there is no answer, and with that or CancelledError
            if it is cancelled.
        """
        answer = Deferred.fromCoroutine(self._ask(url, request))

        def late(_result: object, seconds: float) -> Any:
            raise Unanswered(f"no answer within {seconds:g} s")

        return answer.addTimeout(self._timeout, self._reactor, late)

    async def _ask(self, url: str, request: bytes) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            refusal = refusalOf(url)
            if refusal is not None:
                raise Unanswered(f"{url!r} is not asked: {refusal}")
            endpoints = _Endpoints(self._connecting, self._timeout, self._policy)
            try:
                response = await self._post(endpoints, url, request)
                if response.code == 200:
                    return await _bodyOf(response)
                url = _placeOf(response, url)
            except (CancelledError, Unanswered):
                raise
            except Exception as error:
                # Of whatever kind: it comes from the network, or from what is made of it.
                raise Unanswered(_reasonOf(error)) from error
            finally:
                endpoints.abort()
        raise Unanswered("it is redirected again and again")

    def _post(self, endpoints: _Endpoints, url: str, request: bytes) -> Deferred[Any]:
        pool = HTTPConnectionPool(self._reactor, persistent=False)
        headers = Headers(
            {
                b"Content-Type": [b"application/ocsp-request"],
                b"Accept": [b"application/ocsp-response"],
            }
        )
        agent = Agent.usingEndpointFactory(self._reactor, endpoints, pool)
        return agent.request(b"POST", url.encode("ascii"), headers, _Body(request))


def _placeOf(response: Any, url: str) -> str:
    """Where a redirect leads to."""
    places = response.headers.getRawHeaders(b"location")
    if response.code not in _REDIRECTS or not places:
        raise Unanswered(f"the answer is HTTP {response.code}")
    return urljoin(url, places[0].decode("latin-1"))


def _bodyOf(response: Any) -> Deferred[bytes]:
    collector = _Collector()
    response.deliverBody(collector)
    return collector.whole


class _Collector(Protocol):
    """
    Takes an answer's body.

    @ivar whole: the body, when it is there.
    """

    def __init__(self) -> None:
        self.whole: Deferred[bytes] = Deferred()
        self._data = b""

    def dataReceived(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > MAX_SIZE and not self.whole.called:
            self.whole.errback(Unanswered(f"the answer is larger than {MAX_SIZE} bytes"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.whole.called:
            return
        # An answer may have no length of its own: DER has one.
        if reason.check(ResponseDone, PotentialDataLoss):
            self.whole.callback(self._data)
        else:
            self.whole.errback(reason)


def _reasonOf(error: BaseException) -> str:
    if isinstance(error, TimedOut):
        return "nobody answers there"
    # Twisted's errors of requests have the causes in a list.
    reasons = getattr(error, "reasons", None)
    if reasons:
        return _reasonOf(reasons[0].value)
    return str(error) or type(error).__name__


class _Body:
    """The request; see IBodyProducer."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length = len(data)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        consumer.write(self._data)
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

    def pauseProducing(self) -> None:
        """All is written."""

    resumeProducing = stopProducing = pauseProducing


class _Bounded(ProtocolWrapper):
    """A connection that is closed when it has brought too much."""

    transport: Any
    _room = MAX_SIZE + _HEADERS

    def dataReceived(self, data: bytes) -> None:
        room, self._room = self._room, self._room - len(data)
        if room > 0:
            super().dataReceived(data[:room])
        if self._room < 0:
            self.transport.abortConnection()


class _BoundedFactory(WrappingFactory):
    protocol = _Bounded
    noisy = False


class _BoundedEndpoint:
    """An endpoint whose connections are L{_Bounded}; those it has made are in C{made}."""

    def __init__(self, endpoint: Any, made: list[_Bounded]) -> None:
        self._endpoint = endpoint
        self._made = made

    def connect(self, factory: Any) -> Deferred[Any]:
        connecting: Deferred[Any] = self._endpoint.connect(_BoundedFactory(factory))
        return connecting.addCallback(self._connected)

    def _connected(self, connection: _Bounded) -> Any:
        self._made.append(connection)
        return connection.wrappedProtocol


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """Where an agent connects to."""

    def __init__(self, reactor: Any, timeout: float, policy: Any) -> None:
        self._reactor = reactor
        self._timeout = timeout
        self._policy = policy
        self._made: list[_Bounded] = []

    def endpointForURI(self, uri: URI) -> _BoundedEndpoint:
        host = uri.host.decode("ascii")
        endpoint: Any = HostnameEndpoint(self._reactor, host, uri.port, self._timeout)
        if uri.scheme == b"https":
            endpoint = wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), endpoint)
        return _BoundedEndpoint(endpoint, self._made)

    def abort(self) -> None:
        """Close all connections that are open still."""
        for connection in self._made:
            connection.transport.abortConnection()


@implementer(IReactorPluggableNameResolver, IHostnameResolver)
class _Public:
    """A reactor whose names lead to public addresses only."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.nameResolver = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """Nobody is to."""
        raise NotImplementedError("this is no reactor of its own")

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[Any]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        resolved: IHostResolution = self._reactor.nameResolver.resolveHostName(
            _PublicReceiver(resolutionReceiver),
            hostName,
            portNumber,
            addressTypes,
            transportSemantics,
        )
        return resolved


@implementer(IResolutionReceiver)
class _PublicReceiver:
    """Hands on what is public."""

    def __init__(self, receiver: IResolutionReceiver) -> None:
        self._receiver = receiver

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        self._receiver.resolutionBegan(resolutionInProgress)

    def addressResolved(self, address: Any) -> None:
        if isPublic(address.host):
            self._receiver.addressResolved(address)

    def resolutionComplete(self) -> None:
        self._receiver.resolutionComplete()
