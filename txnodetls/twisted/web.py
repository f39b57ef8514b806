"""
Our TLS under C{twisted.web.client}: C{Agent}, and with it treq.

    agent = Agent(reactor, HTTPSPolicy({"ca": ca}))
    agent = Agent.usingEndpointFactory(reactor, HTTPSEndpoints(reactor, {"ca": ca}))

Both check the server's certificate against the host of the URL, send its name
as C{servername} (an address never), and share one secure context among all
connections.  The first goes wherever an C{IPolicyForHTTPS} is asked for, and
leaves the transport to Twisted.  The second gives transports of ours, which
are faster, and have a C{tlsSocket}.

There is no HTTP/2 in Twisted's client: C{http/1.1} is what it offers, unless
C{ALPNProtocols} says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

from txnodetls.context import contextFrom
from txnodetls.options import CONNECT, Options, encodeALPN, readOptions
from txnodetls.twisted.creators import ClientCreator
from txnodetls.twisted.endpoints import CONNECT_TIMEOUT, ClientEndpoint

__all__ = ["HTTPSEndpoints", "HTTPSPolicy"]


def _checked(options: Mapping[str, Any] | None) -> Options:
    """The options with their one secure context, and with what HTTP's client speaks."""
    read = readOptions(CONNECT, options or {})
    if read.ALPNProtocols is None:
        read = read | {"ALPNProtocols": encodeALPN([b"http/1.1"])}
    return read | {"secureContext": contextFrom(read)}


@implementer(IPolicyForHTTPS)
class HTTPSPolicy:
    """
    What C{Agent} takes as its C{contextFactory}.

    @param options: those of C{connect}; C{host} and C{servername} come from each URL.
    @param reactor: by default the global one.

    @raise NodeError: an option is wrong: as C{connect} raises it.
    """

    def __init__(self, options: Mapping[str, Any] | None = None, *, reactor: Any = None) -> None:
        self._options = _checked(options)
        self._reactor = reactor

    def creatorForNetloc(self, hostname: bytes, port: int) -> ClientCreator:
        """What makes connections to this host of an URL."""
        host = {"host": hostname.decode("ascii")}
        return ClientCreator({**self._options, **host}, reactor=self._reactor)


@implementer(IAgentEndpointFactory)
class HTTPSEndpoints:
    """
    What C{Agent.usingEndpointFactory} takes: endpoints of ours for C{https}, plain ones for
    C{http}.

    @param reactor: the reactor.
    @param options: those of C{connect}; C{host} and C{port} come from each URL.
    @param connectTimeout: seconds for connection and handshake together; 0: no limit.

    @raise NodeError: an option is wrong: as C{connect} raises it.
    """

    def __init__(
        self,
        reactor: Any,
        options: Mapping[str, Any] | None = None,
        connectTimeout: float = CONNECT_TIMEOUT,
    ) -> None:
        self._reactor = reactor
        self._options = _checked(options)
        self._timeout = connectTimeout

    def endpointForURI(self, uri: Any) -> IStreamClientEndpoint:
        """
        The endpoint that a request for this C{twisted.web.client.URI} connects to.

        @raise ValueError: its scheme is neither C{http} nor C{https}.
        """
        host = uri.host.decode("ascii")
        if uri.scheme in (b"https", b"wss"):
            return ClientEndpoint(self._reactor, host, uri.port, self._options, self._timeout)
        if uri.scheme in (b"http", b"ws"):
            plain: IStreamClientEndpoint = HostnameEndpoint(
                self._reactor, host, uri.port, timeout=self._timeout
            )
            return plain
        raise ValueError(f"unsupported scheme: {uri.scheme.decode('latin-1')}")
