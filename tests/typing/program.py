"""
A program of a user's, for mypy --strict: it uses most of the public API as one would.

It also runs: a server and clients on the loopback, both faces, and what it prints is what
`test_typing.py` expects.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.interfaces import IListeningPort, IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import react
from twisted.python.failure import Failure
from twisted.web.client import Agent
from zope.interface import implementer

import txnodetls as tls
from txnodetls import constants
from txnodetls.errors import Blame, NodeTypeError, OpenSSLError, SystemCallError
from txnodetls.testing import MemoryPair, ThrowawayCA
from txnodetls.twisted.creators import ClientCreator, ServerCreator
from txnodetls.twisted.endpoints import ClientEndpoint, ServerEndpoint, wrapClient, wrapServer
from txnodetls.twisted.transport import TLSTransport
from txnodetls.twisted.web import HTTPSEndpoints, HTTPSPolicy


@implementer(tls.ISessionStore)
class Store:
    """A session store of one's own."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}

    def store(self, sessionId: bytes, data: bytes, lifetime: float) -> Awaitable[None] | None:
        self.kept[sessionId] = data
        return None

    def fetch(self, sessionId: bytes) -> Awaitable[bytes | None] | bytes | None:
        return self.kept.get(sessionId)

    def discard(self, sessionId: bytes) -> Awaitable[None] | None:
        self.kept.pop(sessionId, None)
        return None


class Asks(Protocol):
    """The Twisted face: a protocol whose transport is ours."""

    transport: TLSTransport

    def __init__(self) -> None:
        self.answer: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        negotiated: bytes | None = self.transport.negotiatedProtocol
        assert negotiated == b"echo"
        self.transport.write(b"twisted")

    def dataReceived(self, data: bytes) -> None:
        socket: tls.TLSSocket = self.transport.tlsSocket
        protocol: str | None = socket.getProtocol()
        assert protocol == "TLSv1.3"
        self.answer.callback(data)
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Nothing is left to be done."""


def connected(socket: tls.TLSSocket) -> None:
    authorized: bool = socket.authorized
    reason: str | None = socket.authorizationError
    name: str | bool | None = socket.servername
    address: str | None = socket.remoteAddress
    port: int | None = socket.remotePort
    assert (authorized, reason, name) == (False, None, "localhost")
    assert (address, port) != (None, None)
    socket.on("data", socket.write)


def makeServer(key: bytes, cert: bytes) -> tls.Server:
    context: tls.SecureContext = tls.createSecureContext(key=key, cert=cert, minVersion="TLSv1.2")
    options = {
        "key": key,
        "cert": cert,
        "ALPNProtocols": ["echo"],
        "sessionStore": Store(),
        "secureOptions": constants.SSL_OP_NO_RENEGOTIATION,
    }
    server = tls.createServer(options, connected)
    server.addContext("other.test", context)

    def failed(error: tls.NodeError, socket: tls.TLSSocket) -> None:
        blame: Blame | None = error.blame
        print("refused", error.code, blame)

    server.on("tlsClientError", failed)
    keys: bytes = server.getTicketKeys()
    server.setTicketKeys(keys)
    return server


async def listening(server: tls.Server) -> int:
    ready: Deferred[None] = Deferred()
    server.listen(0, "127.0.0.1", lambda: ready.callback(None))
    await ready
    where = server.address()
    assert isinstance(where, dict)
    number: int = where["port"]
    return number


async def nodesFace(port: int, ca: bytes) -> bytes:
    socket: tls.TLSSocket = tls.connect(
        {"port": port, "host": "127.0.0.1"},
        servername="localhost",
        ca=ca,
        ALPNProtocols=["echo"],
    )
    received: list[bytes] = []
    closed: Deferred[bool] = Deferred()
    listener: Callable[[bool], None] = closed.callback
    socket.on("data", received.append).once("close", listener)
    await socket.whenSecure()
    cipher = socket.getCipher()
    certificate = socket.getPeerCertificate()
    assert cipher is not None
    assert certificate is not None
    standard: str = cipher["standardName"]
    assert standard.startswith("TLS_")
    x509: tls.X509Certificate | None = socket.getPeerX509Certificate()
    assert x509 is not None
    assert x509.checkHost("localhost") == "localhost"
    more: bool = socket.write("node")
    assert more
    socket.once("data", lambda _: socket.end())
    await closed
    return b"".join(received)


async def twistedsFace(reactor: IReactorTime, port: int, ca: bytes) -> bytes:
    options = {"ca": ca, "ALPNProtocols": ["echo"], "family": 4}
    endpoint = ClientEndpoint(reactor, "localhost", port, options, connectTimeout=10)
    asking: Asks = await connectProtocol(endpoint, Asks())
    return await asking.answer


async def refused(port: int) -> str | None:
    try:
        await tls.connect(port, "127.0.0.1").whenSecure()
    except SystemCallError as error:
        return error.syscall
    except OpenSSLError as error:
        return error.reason
    except tls.NodeError as error:
        return error.code
    return None


def wrongly() -> str | None:
    try:
        tls.createServer({"ciphers": 7})
    except NodeTypeError as error:
        return error.code
    return None


def more(reactor: IReactorTime, key: bytes, cert: bytes, ca: bytes) -> None:
    """What is made, and not used any further."""
    credentials = {"key": key, "cert": cert}
    served = ServerEndpoint(reactor, credentials, port=0, host="127.0.0.1")
    wrapServer(served, credentials, reactor=reactor)
    dialed = ClientEndpoint(reactor, "localhost", 1, {"ca": ca})
    wrapClient(dialed, {"servername": "localhost"}, reactor=reactor)
    port: Deferred[IListeningPort] = served.listen(Factory.forProtocol(Asks))
    port.addCallback(lambda listening: listening.stopListening())
    ServerCreator(credentials)
    ClientCreator({"ca": ca, "host": "localhost"})
    Agent(reactor, HTTPSPolicy({"ca": ca}))
    Agent.usingEndpointFactory(reactor, HTTPSEndpoints(reactor, {"ca": ca}))
    error: BaseException | None = tls.checkServerIdentity(
        "a.test", {"subjectaltname": "DNS:a.test"}
    )
    roots: tuple[str, ...] = tls.rootCertificates
    ciphers: list[str] = tls.getCiphers()
    lowest: str = tls.DEFAULT_MIN_VERSION
    assert error is None
    assert all((roots, ciphers, lowest))


def inMemory() -> bytes:
    authority = ThrowawayCA()
    cert, key = authority.issue(["localhost"])
    pair = MemoryPair(
        {"cert": cert, "key": key}, {"ca": authority.certPEM, "servername": "localhost"}
    )
    received: list[bytes] = []
    pair.server.on("data", received.append)
    pair.client.write(b"memory")
    pair.pump()
    return b"".join(received)


async def main(reactor: IReactorTime) -> None:
    key, cert, ca = (Path(name).read_bytes() for name in sys.argv[1:4])
    server = makeServer(key, cert)
    port = await listening(server)
    more(reactor, key, cert, ca)
    print(await nodesFace(port, ca), await twistedsFace(reactor, port, ca), inMemory())
    print(wrongly(), await refused(port))
    server.close()


if __name__ == "__main__":
    react(lambda reactor: ensureDeferred(main(reactor)))
