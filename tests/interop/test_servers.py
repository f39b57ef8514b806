"""Servers of others behind our endpoints: Klein, Autobahn's WebSockets, Perspective Broker."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor, ssl
from twisted.internet.endpoints import (
    SSL4ServerEndpoint,
    TCP4ClientEndpoint,
    serverFromString,
    wrapClientTLS,
)
from twisted.internet.threads import deferToThread
from twisted.spread import pb
from twisted.web.server import Site

from tests.interop.peers import Peer, digest, payload
from tests.loopback import until
from tests.support import Pki, nodeBinary, requireModule, requireTool, runTool
from txnodetls import TLSSocket
from txnodetls.twisted.creators import ClientCreator, ServerCreator
from txnodetls.twisted.endpoints import ClientEndpoint, ServerEndpoint

# What Twisted's own TLS hears from pyOpenSSL.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:OpenSSL")
LARGE = 1024 * 1024 + 17


@pytest.fixture
def files(pki: Pki, tmp_path: Any) -> Any:
    (tmp_path / "server.key").write_bytes(pki.server.key)
    (tmp_path / "server.pem").write_bytes(pki.server.cert)
    (tmp_path / "client.pem").write_bytes(pki.ca)
    return tmp_path


async def listening(files: Any, factory: Any) -> Any:
    """A port of the factory's behind an endpoint string."""
    text = f"nodetls:0:interface=127.0.0.1:key={files}/server.key:cert={files}/server.pem"
    return await serverFromString(reactor, text).listen(factory)


async def below(pki: Pki, factory: Any) -> Any:
    """
    A port of the factory's with our TLS below a transport of Twisted's.

    Autobahn asks of which class its transport is, so it takes none of ours.
    """
    creator = ServerCreator({"key": pki.server.key, "cert": pki.server.cert})
    return await SSL4ServerEndpoint(reactor, 0, creator, interface="127.0.0.1").listen(factory)


@pytest.mark.parametrize("version", ["1.1", "2"])
@pytest_twisted.ensureDeferred
async def test_klein(version: str, files: Any) -> None:
    klein = requireModule("klein")
    if version == "2":
        requireModule("h2")
    app = klein.Klein()

    @app.route("/greet/<name>")
    def greet(request: Any, name: str) -> str:
        channel = getattr(request.channel, "_conn", request.channel)
        socket = channel.transport.tlsSocket
        return f"hello {name}, over {socket.alpnProtocol} and {socket.getProtocol()}"

    site = Site(app.resource())
    site.noisy = False  # type: ignore[attr-defined]
    port = await listening(files, site)
    url = f"https://localhost:{port.getHost().port}/greet/you"
    curl = [requireTool("curl"), "-sS", "--ipv4", "--cacert", f"{files}/client.pem"]
    done = await deferToThread(runTool, [*curl, f"--http{version}", url])
    alpn = {"1.1": "http/1.1", "2": "h2"}[version]
    assert (done.stdout.decode(), done.stderr) == (f"hello you, over {alpn} and TLSv1.3", b"")
    await port.stopListening()


# Node's own WebSocket client; what comes back has to be what was sent.
NODE = """
const length = Number(process.argv[2]);
const socket = new WebSocket(process.argv[1]);
socket.binaryType = 'arraybuffer';
socket.onopen = () => { socket.send('hello'); socket.send(new Uint8Array(length).fill(7)); };
socket.onmessage = ({ data }) => {
  if (typeof data === 'string') { console.log('text', data); return; }
  const same = data.byteLength === length && new Uint8Array(data).every((byte) => byte === 7);
  console.log('bytes', same);
  socket.close(1000, 'enough');
};
socket.onclose = ({ code, reason, wasClean }) => console.log('closed', code, reason, wasClean);
socket.onerror = ({ message }) => console.log('error', message);
"""


class NodeWebSocket(Peer):
    """Node's WebSocket client at an address, trusting this file."""

    def __init__(self, url: str, ca: str) -> None:
        # The environment has no switches of Node's: an option of env(1) brings this one.
        variable = f"NODE_EXTRA_CA_CERTS={ca}"
        super().__init__(
            [requireTool("env"), variable, nodeBinary(), "-e", NODE, "--", url, str(LARGE)]
        )


@pytest_twisted.ensureDeferred
async def test_autobahns_websockets_with_node(files: Any, pki: Pki) -> None:
    websocket = requireModule("autobahn.twisted.websocket")
    sockets: list[Any] = []

    class Echo(websocket.WebSocketServerProtocol):  # type: ignore[misc, name-defined]
        def onOpen(self) -> None:
            sockets.append(self.transport.getHandle().tlsSocket)

        def onMessage(self, data: bytes, isBinary: bool) -> None:
            self.sendMessage(data, isBinary)

    factory = websocket.WebSocketServerFactory("wss://localhost")
    factory.protocol = Echo
    factory.noisy = False
    port = await below(pki, factory)
    url = f"wss://localhost:{port.getHost().port}"
    async with NodeWebSocket(url, f"{files}/client.pem") as node:
        assert await node.ended() == 0
        assert node.data.decode().splitlines() == [
            "text hello",
            "bytes true",
            "closed 1000  true",
        ]
    (socket,) = sockets
    assert isinstance(socket, TLSSocket)
    await until(lambda: socket.closed)
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_autobahns_client_and_server(pki: Pki) -> None:
    websocket = requireModule("autobahn.twisted.websocket")
    received: list[Any] = []

    class Echo(websocket.WebSocketServerProtocol):  # type: ignore[misc, name-defined]
        def onMessage(self, data: bytes, isBinary: bool) -> None:
            self.sendMessage(data, isBinary)

    class Asks(websocket.WebSocketClientProtocol):  # type: ignore[misc, name-defined]
        def onOpen(self) -> None:
            self.sendMessage(payload(LARGE), True)

        def onMessage(self, data: bytes, isBinary: bool) -> None:
            handle = self.transport.getHandle()
            received.append((digest(data), handle.tlsSocket, self.transport_details))
            self.sendClose()

    serving = websocket.WebSocketServerFactory("wss://localhost")
    asking = websocket.WebSocketClientFactory("wss://localhost")
    serving.protocol, asking.protocol = Echo, Asks
    serving.noisy = asking.noisy = False
    port = await below(pki, serving)
    tcp = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
    creator = ClientCreator({"ca": pki.ca, "host": "localhost"})
    await wrapClientTLS(creator, tcp).connect(asking)
    await until(lambda: received and received[0][1].closed)
    assert received[0][0] == digest(payload(LARGE))
    assert received[0][1].authorized
    assert received[0][2].is_secure
    await port.stopListening()


class Root(pb.Root):
    """Says what it was told, and keeps who asked."""

    def __init__(self) -> None:
        self.brokers: list[Any] = []

    def rootObject(self, broker: Any) -> Any:
        self.brokers.append(broker)
        return super().rootObject(broker)

    def remote_double(self, number: int) -> int:
        return 2 * number

    def remote_callBack(self, reference: Any) -> Any:
        return reference.callRemote("here", "from the server")


class Here(pb.Referenceable):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def remote_here(self, text: str) -> str:
        self.heard.append(text)
        return text.upper()


@pytest.mark.parametrize("theirs", ["nobody's", "server", "client"])
@pytest_twisted.ensureDeferred
async def test_perspective_broker(theirs: str, pki: Pki) -> None:
    root = Root()
    factory = pb.PBServerFactory(root)
    factory.noisy = False
    owner = ssl.PrivateCertificate.loadPEM(pki.server.key + pki.server.cert)
    options = {"key": pki.server.key, "cert": pki.server.cert}
    server: Any = ServerEndpoint(reactor, options, port=0, host="127.0.0.1")
    if theirs == "server":
        server = SSL4ServerEndpoint(reactor, 0, owner.options(), interface="127.0.0.1")
    port = await server.listen(factory)
    number = port.getHost().port
    client: Any = ClientEndpoint(reactor, "localhost", number, {"ca": pki.ca, "family": 4})
    if theirs == "client":
        trust = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(pki.ca)])
        creator = ssl.optionsForClientTLS("localhost", trustRoot=trust)
        client = wrapClientTLS(creator, TCP4ClientEndpoint(reactor, "127.0.0.1", number))
    asking = pb.PBClientFactory()
    asking.noisy = False
    broker = await client.connect(asking)
    remote = await asking.getRootObject()
    here = Here()
    assert await remote.callRemote("double", 21) == 42
    assert await remote.callRemote("callBack", here) == "FROM THE SERVER"
    assert here.heard == ["from the server"]
    if theirs != "client":
        assert broker.transport.tlsSocket.authorized
    if theirs != "server":
        assert root.brokers[0].transport.tlsSocket.getProtocol() == "TLSv1.3"
    del remote
    asking.disconnect()
    await until(lambda: root.brokers[0].disconnected and broker.disconnected)
    await port.stopListening()
