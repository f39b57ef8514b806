"""Twisted's own TLS as the peer, and Twisted's programs on ours."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import protocol, reactor, ssl
from twisted.internet.endpoints import (
    SSL4ServerEndpoint,
    TCP4ClientEndpoint,
    connectProtocol,
    wrapClientTLS,
)
from twisted.internet.interfaces import IHandshakeListener
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool, readBody
from twisted.web.iweb import IAgentEndpointFactory
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer

from tests.interop.peers import digest, payload
from tests.loopback import Loopback, Received, describe, until
from tests.support import Pki
from txnodetls.twisted.endpoints import ClientEndpoint, ServerEndpoint

LARGE = 1024 * 1024 + 17
VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
both = pytest.mark.parametrize("version", VERSIONS)
# What Twisted hears from pyOpenSSL, and from itself.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:OpenSSL", "ignore:Using readBody"
)


@pytest_twisted.async_yield_fixture
async def loopback(pki: Pki) -> Any:
    async with Loopback(pki) as opened:
        yield opened


@implementer(IHandshakeListener)
class Peer(protocol.Protocol):
    """A protocol on Twisted's TLS: C{answers} with what it gets, or only keeps it."""

    transport: Any

    def __init__(self, answers: bool = False) -> None:
        self.answers = answers
        self.received = bytearray()
        self.secure = False
        self.reason: Any = None

    def handshakeCompleted(self) -> None:
        self.secure = True

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if self.answers:
            self.transport.write(data)

    def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
        self.reason = reason


def limits(version: str) -> dict[str, Any]:
    return {"raiseMinimumTo": VERSIONS[version], "lowerMaximumSecurityTo": VERSIONS[version]}


@both
@pytest_twisted.ensureDeferred
async def test_twisteds_client_at_our_server(version: str, loopback: Loopback, pki: Pki) -> None:
    server = await loopback.serve(ALPNProtocols=["h2"], minVersion=version, maxVersion=version)
    creator = ssl.optionsForClientTLS(
        "localhost",
        trustRoot=ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(pki.ca)]),
        acceptableProtocols=[b"h2"],
    )
    port = server.address()["port"]
    below = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
    peer: Any = await connectProtocol(wrapClientTLS(creator, below), Peer())
    peer.transport.write(payload(LARGE))
    await until(lambda: len(peer.received) == LARGE)
    assert digest(peer.received) == digest(payload(LARGE))
    assert (peer.secure, peer.transport.negotiatedProtocol) == (True, b"h2")
    ours = server.seen[0]
    assert (ours["protocol"], ours["alpn"], ours["servername"]) == (version, "h2", "localhost")
    # Theirs is not ours: the peer is a real one.
    assert not hasattr(peer.transport, "tlsSocket")
    assert server.secured[0].transport.tlsSocket is server.secured[0]
    received = Received(server.secured[0])
    peer.transport.loseConnection()
    await received
    await until(lambda: peer.reason)
    assert peer.reason.check(protocol.connectionDone.type)
    assert (received.ended, received.closed, received.errors) == (True, False, [])


@both
@pytest_twisted.ensureDeferred
async def test_our_client_at_twisteds_server(version: str, loopback: Loopback, pki: Pki) -> None:
    made: list[Peer] = []
    factory: Any = protocol.Factory()
    factory.noisy = False
    factory.buildProtocol = lambda addr: made.append(Peer(answers=True)) or made[-1]
    owner = ssl.PrivateCertificate.loadPEM(pki.server.key + pki.server.cert)
    options = ssl.CertificateOptions(
        privateKey=owner.privateKey.original,
        certificate=owner.original,
        trustRoot=ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(pki.ca)]),
        acceptableProtocols=[b"h2", b"http/1.1"],
        **limits(version),
    )
    port = await SSL4ServerEndpoint(reactor, 0, options, interface="127.0.0.1").listen(factory)
    client = loopback.dial(
        port.getHost().port,
        key=pki.client.key,
        cert=pki.client.cert,
        ALPNProtocols=["http/1.1"],
    )
    received = Received(client)
    client.write(payload(LARGE))
    await until(lambda: len(received.data) == LARGE)
    assert digest(received.data) == digest(payload(LARGE))
    ours = describe(client)
    assert (ours["protocol"], ours["alpn"], ours["authorized"]) == (version, "http/1.1", True)
    theirs: Any = made[0]
    subject = theirs.transport.getPeerCertificate()
    assert subject.digest("sha256").decode() == ours["own"]
    client.end()
    await received
    await until(lambda: theirs.reason)
    assert theirs.reason.check(protocol.connectionDone.type)
    assert (received.ended, received.closed, received.errors) == (True, False, [])
    await port.stopListening()


class Probe(Resource):
    """Says what was posted, and keeps the connection's socket."""

    isLeaf = True
    sockets: list[Any] = []

    def render_POST(self, request: Any) -> bytes:
        self.sockets.append(request.channel.transport.tlsSocket)
        return digest(request.content.read()).encode() + payload(LARGE)


@implementer(IAgentEndpointFactory)
class OurEndpoints:
    """Endpoints for an Agent: ours."""

    def __init__(self, pki: Pki) -> None:
        self._options = {"ca": pki.ca, "family": 4}
        self.sockets: list[Any] = []

    def endpointForURI(self, uri: Any) -> Any:
        endpoint = ClientEndpoint(reactor, uri.host.decode(), uri.port, self._options)
        connect = endpoint.connect

        def noting(factory: Any) -> Any:
            return connect(factory).addCallback(self._note)

        endpoint.connect = noting  # type: ignore[method-assign]
        return endpoint

    def _note(self, made: Any) -> Any:
        self.sockets.append(made.transport.tlsSocket)
        return made


@pytest_twisted.ensureDeferred
async def test_an_agent_and_a_site_talk_over_our_tls(pki: Pki) -> None:
    options = {"key": pki.server.key, "cert": pki.server.cert}
    site = Site(Probe())
    site.noisy = False  # type: ignore[attr-defined]
    port = await ServerEndpoint(reactor, options, port=0, host="127.0.0.1").listen(site)
    endpoints = OurEndpoints(pki)
    pool = HTTPConnectionPool(reactor)
    agent = Agent.usingEndpointFactory(reactor, endpoints, pool)
    where = f"https://localhost:{port.getHost().port}/".encode()
    for _ in range(2):
        body = FileBodyProducer(BytesIO(payload(LARGE)))
        response = await agent.request(b"POST", where, bodyProducer=body)
        answer = await readBody(response)
        assert answer[:64].decode() == digest(payload(LARGE))
        assert digest(answer[64:]) == digest(payload(LARGE))
    # Persistent: one connection, both ends of which are ours, for both requests.
    (client,) = endpoints.sockets
    assert (client.authorized, client.servername) == (True, "localhost")
    server = Probe.sockets[0]
    assert Probe.sockets == [server, server]
    assert server.getFinished() == client.getPeerFinished()
    await pool.closeCachedConnections()
    await until(lambda: client.closed and server.closed)
    await port.stopListening()
