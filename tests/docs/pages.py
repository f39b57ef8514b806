"""
What each page of the documentation takes for given, and which of its blocks cannot be run.

A page with Python in it has to be here, or has a test of its own, which is named.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["ELSEWHERE", "PAGES", "Page"]

# Keys and certificates, and a server that answers on a port of its own, for every page.
COMMON = """
import txnodetls as tls
key, cert, ca = (open(name).read() for name in ("server.key", "server.pem", "client.pem"))
tls.setDefaultCACertificates([ca])
_greeter = tls.createServer(key=key, cert=cert, ca=ca, requestCert=True, rejectUnauthorized=False)
_greeter.on("secureConnection", lambda socket: socket.pipe(socket))
_greeter.on("tlsClientError", lambda error, socket: None)
_greeter.listen(PORT, "127.0.0.1")
"""


@dataclass(frozen=True, slots=True)
class Page:
    """
    A page.

    @ivar preamble: what comes before its first block; C{afterwards} in it is awaited at the end.
    @ivar replaced: what stands in the blocks for things that cannot be had here.
    @ivar checks: what is run behind the block that has this text in it.
    @ivar serves: it is a page about servers: the port is for them.
    """

    preamble: str = ""
    replaced: dict[str, str] = field(default_factory=dict)
    serves: bool = False
    checks: dict[str, str] = field(default_factory=dict)


PAGES = {
    "index.md": Page(serves=True),
    "guide/clients.md": Page(
        """
from tests.support import eventually
begun, reports = [], []
begin, report = (lambda: begun.append(socket)), reports.append
plain = tls.net.connect(PORT, "127.0.0.1")

async def afterwards():
    await eventually(lambda: begun or reports)
    await eventually(lambda: not secure.secureConnecting)
    assert not reports and begun[0].authorized and secure.authorized
""",
        {"host.example": "localhost"},
    ),
    "guide/certificates.md": Page(
        """
known = {tls.X509Certificate(cert).fingerprint256}

async def afterwards():
    from tests.support import eventually
    await eventually(lambda: not socket.secureConnecting)
    assert socket.authorized
    assert certificate.checkHost("localhost") == "localhost"
""",
        {"host.example": "localhost"},
    ),
    "guide/servers.md": Page(
        """
keyOfA, certOfA, contextOfB, chain = key, cert, tls.createSecureContext(key=key, cert=cert), cert
heard = []
secured = report = ready = lambda *arguments: heard.append(arguments)
""",
        {"/run/debug/keys": "page.keys"},
        serves=True,
    ),
    "sessions.md": Page(
        """
from tests.support import eventually
import os
from twisted.internet.defer import ensureDeferred as _ensure
keys, store = os.urandom(48), tls.MemorySessionStore()

def ensureDeferred(function):
    return lambda *arguments: _ensure(function(*arguments))

class database:
    write = read = staticmethod(lambda *arguments: None)

async def afterwards():
    await eventually(lambda: not socket.secureConnecting)
    assert socket.authorized
    socket.destroy()
""",
    ),
    "guide/streams.md": Page("authority = ca"),
    "node.md": Page(
        """
from tests.support import eventually
heard = []

async def afterwards():
    client.on("data", heard.append)
    await eventually(lambda: heard or client.bytesRead)
    assert client.authorized
    server.close()
""",
        serves=True,
    ),
    "twisted.md": Page(
        """
from tests.support import eventually
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer

class Echo(Protocol):
    received, lost = b"", False

    def dataReceived(self, data):
        self.received += data
        self.transport.write(data)

    def connectionLost(self, reason=None):
        self.lost = reason

made = []

from twisted.mail import smtp

def factoryOf(make):
    factory = Factory()
    factory.buildProtocol = lambda addr: make()
    factory.noisy = False
    return factory

class Keeping(Factory):
    noisy = False
    def buildProtocol(self, addr):
        made.append(self.protocol())
        return made[-1]

factory = Keeping.forProtocol(Echo)
""",
        {
            "port=25,": "port=0,",
            # There is a reactor already.
            "uvloopreactor.install()": "assert callable(uvloopreactor.install)",
        },
        serves=True,
        checks={
            "PlainServerEndpoint": """
from txnodetls.twisted.plain import PlainClientEndpoint
asked = await PlainClientEndpoint(reactor, "127.0.0.1", port.getHost().port).connect(factory)
await eventually(lambda: asked.received.startswith(b"220 "))
asked.transport.abortConnection()
await port.stopListening()
""",
            "client = ClientEndpoint": """
port = await server.listen(factory)
connected = await client.connect(factory)
assert connected.transport.tlsSocket.authorized
connected.transport.loseConnection()
await eventually(lambda: connected.lost)
await port.stopListening()
""",
            "FileOCSPResponder": """
await port.stopListening()
port = await ServerEndpoint(reactor, credentials, port=8443).listen(factory)
""",
            "isSessionReused": """
assert again.transport.tlsSocket.isSessionReused()
await port.stopListening()
""",
            "pskCallback": """
assert made.transport.tlsSocket.authorized
assert made.transport.tlsSocket.getCipher()["name"].startswith("PSK-")
await port.stopListening()
made = []
""",
            "keys.log": """
import os
await client.connect(factory)
await eventually(lambda: os.path.getsize("keys.log"))
assert open("keys.log").read().count("TRAFFIC_SECRET") >= 2
""",
            "class Leaves": """
class Talks(Echo):
    def connectionMade(self):
        from twisted.internet.task import LoopingCall
        self.talking = LoopingCall(self.transport.write, b"and on and on")
        self.talking.start(0.001)

    def connectionLost(self, reason=None):
        self.talking.stop()
        self.lost = reason

talking = await ServerEndpoint(reactor, credentials, port=0).listen(Keeping.forProtocol(Talks))
there = ClientEndpoint(reactor, "localhost", talking.getHost().port, trust)
leaving = await there.connect(Factory.forProtocol(Leaves))
await eventually(lambda: leaving.transport.tlsSocket.closed and made[-1].lost)
assert made[-1].received == b"all there is to say"
await talking.stopListening()
""",
            "class Asks": """
asking = await client.connect(Factory.forProtocol(Asks))
await eventually(lambda: asking.transport.tlsSocket.closed)
assert asking.answer == b"the whole question"
""",
            "error.blame": """
raised = None
try:
    wrong = {**trust, "servername": "b.test"}
    await ClientEndpoint(reactor, "127.0.0.1", 8443, wrong).connect(factory)
except tls.NodeError as error:
    raised = error
assert (raised.code, raised.blame.name) == ("ERR_TLS_CERT_ALTNAME_INVALID", "PEER")
""",
            "class Counts": """
from socket import socket
sends = []
send = socket.send

def counted(sending, *arguments):
    sends.append(sending)
    return send(sending, *arguments)

socket.send = counted
counting = await client.connect(Factory.forProtocol(Counts))
await eventually(lambda: made[-1].received.endswith(b"999\\n"))
socket.send = send
# The two of the handshake, and one for a thousand writes.
assert 0 < sends.count(counting.transport.tlsSocket._carrier.handle) <= 3, len(sends)
""",
            "secureContext": """
assert len({id(each._options.secureContext) for each in endpoints}) == 1
await port.stopListening()

class Hello(Resource):
    isLeaf = True
    def render_GET(self, request):
        return b"hello"

site = Site(Hello())
site.noisy = False
port = await server.listen(site)
""",
            "HTTPSEndpoints": """
from twisted.web.client import readBody
assert response.code == 200
assert await readBody(response) == b"hello"
response = await agent.request(b"GET", b"https://localhost:8443/")
assert await readBody(response) == b"hello"
await port.stopListening()
""",
            "SSL4ServerEndpoint": """
assert mail.ctx is not None
port = await websockets.listen(factory)
await client.connect(Factory.forProtocol(Protocol))
assert made[-1].transport.getHandle().tlsSocket.getProtocol() == "TLSv1.3"
await port.stopListening()
""",
        },
    ),
}

# Pages whose blocks are run by other tests, which know more of them.
ELSEWHERE = {
    "tutorial.md": "tests/docs/test_tutorial.py",
    "daemon.md": "tests/daemon",
}
