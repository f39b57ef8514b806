"""TLS on what is there already, over the loopback: STARTTLS, transports, streams, TLS itself."""

from __future__ import annotations

import socket as sockets
from functools import partial
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import protocol, reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint

import txnodetls as tls
from tests.loopback import Census, Loopback, Received, echo, until
from tests.support import Pki, happened, unusedPort
from tests.tlspairs import identity

MiB = 1024 * 1024


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def version(request: pytest.FixtureRequest) -> str:
    """Each test that names it is made for both."""
    return str(request.param)


class Plain:
    """A server of plain connections; closed at the end of the block, with all its connections."""

    def __init__(self, listener: Any) -> None:
        self.sockets: list[Any] = []
        self.server = tls.net.createServer()
        self.server.on("connection", self.sockets.append)
        self.server.on("connection", lambda socket: socket.on("error", lambda error: None))
        self.server.on("connection", listener)

    async def __aenter__(self) -> int:
        listening = happened(self.server, "listening")
        self.server.listen(0, "127.0.0.1")
        await listening
        return int(self.server.address()["port"])  # type: ignore[index, call-overload]

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for socket in self.sockets:
            socket.destroy()
        await until(lambda: self.server.connections == 0)


def startTLS(below: Any, pki: Pki, **options: Any) -> Any:
    """The server's side of a TLS connection on another one; an echo."""
    above = tls.TLSSocket(below, {"isServer": True, **identity(pki.server), **options})
    above.on("error", lambda error: None)
    above.pipe(above)
    return above


# -- STARTTLS


@pytest.mark.parametrize("early", [True, False])
@ensureDeferred
async def test_starttls(early: bool, pki: Pki, version: str) -> None:
    """
    The client says STARTTLS and goes on at once with its hello, without waiting for the answer:
    what the server has read of it already is not lost.
    """
    secured: list[Any] = []

    def greet(plain: Any) -> None:
        heard = bytearray()

        def data(chunk: bytes) -> None:
            heard.extend(chunk)
            if b"STARTTLS\n" in heard:
                plain.removeListener("data", data)
                plain.pause()
                rest = bytes(heard).partition(b"STARTTLS\n")[2]
                if rest:
                    plain.unshift(rest)
                if not early:
                    plain.write(b"go on\n")
                secured.append(startTLS(plain, pki, maxVersion=version))

        plain.on("data", data)

    async with Plain(greet) as port:
        plain = tls.net.connect(port, "127.0.0.1")
        await happened(plain, "connect")
        plain.write(b"STARTTLS\n")
        if not early:
            await happened(plain, "data")
        socket = tls.connect(socket=plain, ca=pki.ca, servername="localhost")
        received = Received(socket)
        socket.write(b"x" * 100_000)
        await until(lambda: len(received.data) == 100_000)
        assert socket.authorized
        assert socket.getProtocol() == version
        socket.end()
        await received
        assert received.errors == []
        assert plain.destroyed
        await until(lambda: secured[0].destroyed)


@ensureDeferred
async def test_a_server_takes_connections_that_were_plain_before(pki: Pki, version: str) -> None:
    """server.emit('connection', socket): its contexts, listeners and handshake timeout count."""
    async with Loopback(pki) as loopback:
        server = await loopback.serve(maxVersion=version)

        def upgrade(plain: Any) -> None:
            def asked(chunk: bytes) -> None:
                plain.write(b"go on\n")
                server.emit("connection", plain)

            plain.once("data", asked)

        async with Plain(upgrade) as port:
            plain = tls.net.connect(port, "127.0.0.1")
            await happened(plain, "connect")
            plain.write(b"upgrade\n")
            await happened(plain, "data")
            socket = tls.connect(socket=plain, ca=pki.ca, servername="localhost")
            received = Received(socket)
            socket.write(b"hello")
            await until(lambda: received.data == b"hello")
            assert len(server.secured) == 1
            socket.destroy()
            await received


@ensureDeferred
async def test_who_listens_to_connection_sees_the_plain_one_too(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve()
        plain: list[Any] = []
        server.on("connection", plain.append)
        await loopback.proveServing(server)
        assert [type(each) for each in plain] == [tls.net.Socket]
        await until(lambda: plain[0].destroyed)
        await until(lambda: server.connections == 0)


# -- on sockets that connect later


@ensureDeferred
async def test_a_socket_is_wrapped_while_it_connects(pki: Pki, version: str) -> None:
    """What it was given to say in the clear is said before."""

    def greet(plain: Any) -> None:
        def asked(chunk: bytes) -> None:
            assert chunk.startswith(b"STARTTLS\n")
            plain.pause()
            plain.unshift(chunk.removeprefix(b"STARTTLS\n"))
            startTLS(plain, pki, maxVersion=version)

        plain.once("data", asked)

    async with Plain(greet) as port:
        plain = tls.net.connect(port, "127.0.0.1")
        plain.write(b"STARTTLS\n")
        socket = tls.connect(socket=plain, ca=pki.ca, servername="localhost")
        told: list[str] = []
        for name in ("connect", "secureConnect"):
            socket.on(name, lambda name=name: told.append(name))
        assert socket.connecting
        received = Received(socket)
        socket.end(b"hello")
        await received
        assert received.data == b"hello"
        assert told == ["connect", "secureConnect"]
        assert plain.destroyed


@ensureDeferred
async def test_a_socket_that_cannot_connect_tells_who_stands_on_it(pki: Pki) -> None:
    plain = tls.net.connect(unusedPort(), "127.0.0.1")
    socket = tls.connect(socket=plain, ca=pki.ca, servername="localhost")
    received = Received(socket)
    await received
    assert received.errors == ["ECONNREFUSED"]


@ensureDeferred
async def test_who_gives_up_while_it_connects_takes_it_along(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve()
        plain = tls.net.connect(server.address()["port"], "127.0.0.1")
        socket = tls.connect(socket=plain, ca=pki.ca, servername="localhost")
        received = Received(socket)
        socket.destroy()
        await received
        await until(lambda: plain.closed)
        assert received.errors == []


# -- on other people's streams and transports


@ensureDeferred
async def test_over_a_duplex(pki: Pki, version: str) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(maxVersion=version)
        plain = tls.net.connect(server.address()["port"], "127.0.0.1")
        loopback.sockets.append(plain)
        await happened(plain, "connect")
        duplex = tls.Duplex(plain)
        socket = tls.connect(socket=duplex, ca=pki.ca, servername="localhost")
        received = Received(socket)
        data = bytes(range(256)) * 4096
        socket.end(data)
        await received
        assert received.data == data
        assert received.errors == []
        assert duplex.destroyed
        assert plain.destroyed


class Upgrading(protocol.Protocol):
    """A protocol of Twisted's that hands its transport over at its first byte."""

    def __init__(self, pki: Pki, made: list[Any]) -> None:
        self.pki, self.made = pki, made

    def dataReceived(self, data: bytes) -> None:
        assert data == b"!"
        self.made.append(startTLS(self.transport, self.pki))


@ensureDeferred
async def test_over_a_transport_of_twisteds(pki: Pki) -> None:
    made: list[Any] = []
    factory = protocol.Factory()
    factory.buildProtocol = lambda address: Upgrading(pki, made)  # type: ignore[method-assign]
    factory.noisy = False
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)  # type: ignore[arg-type]
    number = port.getHost().port  # type: ignore[attr-defined]
    quiet = protocol.Factory.forProtocol(protocol.Protocol)
    quiet.noisy = False
    dialed = await TCP4ClientEndpoint(reactor, "127.0.0.1", number).connect(quiet)  # type: ignore[arg-type]
    assert dialed is not None
    dialed.transport.write(b"!")
    await until(lambda: made)
    socket = tls.connect(socket=dialed.transport, ca=pki.ca, servername="localhost")
    received = Received(socket)
    data = bytes(range(256)) * 4096
    socket.end(data)
    await received
    assert received.data == data
    assert received.errors == []
    await until(lambda: made[0].destroyed)
    await port.stopListening()


# -- one on the other


@ensureDeferred
async def test_three_deep_over_a_real_connection(pki: Pki, version: str) -> None:
    """More data than any buffer holds, in both directions at once."""
    data = bytes(range(256)) * (3 * MiB // 256)

    def inward(outermost: Any) -> None:
        middle = tls.TLSSocket(
            outermost, {"isServer": True, **identity(pki.server), "maxVersion": version}
        )
        startTLS(middle, pki)

    async with Loopback(pki) as loopback:
        server = await loopback.serve(inward)
        level = await loopback.secure(server)
        for _ in range(2):
            level = tls.connect(socket=level, ca=pki.ca, servername="localhost")
            loopback.sockets.append(level)
        received = Received(level)
        level.write(data)
        await until(lambda: len(received.data) == len(data))
        assert received.data == data
        assert level.authorized
        level.end()
        await received
        assert received.errors == []


# -- pressure, for real


@ensureDeferred
async def test_a_slow_reader_slows_the_writer_down(pki: Pki, version: str) -> None:
    """The kernel's buffers fill, then ours up to the mark; then the writer waits, and no longer."""
    async with Loopback(pki) as loopback:
        server = await loopback.serve(lambda socket: socket.pause(), maxVersion=version)
        client = await loopback.secure(server)
        await until(lambda: server.secured)
        written = 0
        piece = bytes(256 * 1024)
        while client.write(piece) or client.writableLength < client.writableHighWaterMark:
            written += len(piece)
            await _turns(3)
        written += len(piece)
        await _turns(20)
        assert client.writableNeedDrain
        held = client.writableLength + client._carrier.queued
        assert held < 2 * MiB
        received = Received(server.secured[0])
        drained = happened(client, "drain")
        server.secured[0].resume()
        await drained
        client.end()
        await received
        assert len(received.data) == written


async def _turns(count: int) -> None:
    """So many of the reactor's turns."""
    from twisted.internet.task import deferLater

    for _ in range(count):
        await deferLater(reactor, 0)  # type: ignore[arg-type]


@ensureDeferred
async def test_half_closed_for_real(pki: Pki, version: str) -> None:
    async with Loopback(pki) as loopback:

        def answerAtTheEnd(socket: Any) -> None:
            heard = bytearray()
            socket.on("data", heard.extend)
            socket.on("end", lambda: socket.end(bytes(reversed(heard))))

        server = await loopback.serve(answerAtTheEnd, allowHalfOpen=True, maxVersion=version)
        client = await loopback.secure(server, allowHalfOpen=True)
        received = Received(client)
        client.end(b"question")
        await received
        assert received.data == b"noitseuq"
        assert received.errors == []


@ensureDeferred
async def test_a_close_notify_and_a_fin_are_seen_by_a_plain_peer(pki: Pki, version: str) -> None:
    """What leaves at the end is an alert, and then nothing: no reset."""
    import ssl

    async with Loopback(pki) as loopback:
        server = await loopback.serve(lambda socket: socket.end(b"bye"), maxVersion=version)
        context = ssl.create_default_context(cadata=pki.ca.decode())

        def peer() -> bytes:
            with (
                sockets.create_connection(("127.0.0.1", server.address()["port"]), 10) as plain,
                context.wrap_socket(plain, server_hostname="localhost") as secure,
            ):
                data = b""
                while piece := secure.recv(100):  # b"" for close_notify; SSLEOFError without
                    data += piece
                return data

        from twisted.internet.threads import deferToThread

        assert await deferToThread(peer) == b"bye"


# -- what is left


def nest(pki: Pki, depth: int, socket: Any) -> None:
    """An echo so deep inside of a connection."""
    if depth == 1:
        echo(socket)
    else:
        above = tls.TLSSocket(socket, {"isServer": True, **identity(pki.server)})
        above.on("error", lambda error: None)
        nest(pki, depth - 1, above)


@ensureDeferred
async def test_nothing_is_left_of_sockets_in_sockets(pki: Pki) -> None:
    await _turns(2)
    census = Census()
    for end in ("end", "destroy", "error"):
        for depth in (1, 2, 3):
            async with Loopback(pki) as loopback:
                server = await loopback.serve(partial(nest, pki, depth))
                level = await loopback.secure(server)
                for _ in range(depth - 1):
                    level = tls.connect(socket=level, ca=pki.ca, servername="localhost")
                received = Received(level)
                level.write(b"hello")
                await until(lambda received=received: received.data == b"hello")
                if end == "end":
                    level.end()
                else:
                    level.destroy(RuntimeErrorWithCode() if end == "error" else None)
                await received
            del level, received, server, loopback
    await census.restored()


class RuntimeErrorWithCode(RuntimeError):
    """An error of the application's."""

    code = "OOPS"


@ensureDeferred
async def test_nothing_is_left_of_many_connections(pki: Pki, version: str) -> None:
    """A hundred at once, with listeners that refer to their sockets, and callbacks in the air."""
    await _turns(2)
    async with Loopback(pki) as loopback:
        server = await loopback.serve(
            lambda socket: socket.on("data", lambda data, s=socket: s.write(data)),
            maxVersion=version,
            SNICallback=lambda name, callback: callback(None, None),
            ALPNCallback=lambda offer: offer["protocols"][0],
        )
        server.on("keylog", lambda line, socket: None)
        await loopback.proveServing(server)
        census = Census()
        clients = [loopback.dial(server, ALPNProtocols=["x"]) for _ in range(100)]
        for client in clients:
            client.write(b"hello", lambda error, c=client: c)
            client.on("data", lambda data, c=client: c.end())
        await until(lambda: all(client.destroyed for client in clients))
        await until(lambda: server.connections == 0)
        clients.clear()
        loopback.sockets.clear()
        server.secured.clear()
        del client
        await census.restored()


# -- a bare socket


@ensureDeferred
async def test_a_bare_client_says_hello_at_once(pki: Pki) -> None:
    """Node's waits for the first write."""
    heard = bytearray()
    async with Plain(lambda socket: socket.on("data", heard.extend)) as port:
        plain = tls.net.connect(port, "127.0.0.1")
        await happened(plain, "connect")
        socket = tls.TLSSocket(plain)
        await until(lambda: heard)
        assert heard[0] == 0x16
        socket.destroy()


@ensureDeferred
async def test_a_bare_socket_has_its_options_from_whoever_made_it(pki: Pki, version: str) -> None:
    made: list[Any] = []
    trusting = tls.createSecureContext(identity(pki.server), ca=pki.ca, maxVersion=version)

    def accept(plain: Any) -> None:
        asking = {"requestCert": True, "rejectUnauthorized": len(made) == 3}
        serving = {"isServer": True, "secureContext": trusting, "ALPNProtocols": ["b", "a"]}
        made.append(tls.TLSSocket(plain, {**serving, **asking}))
        made[-1].on("error", lambda error: None)
        made[-1].pipe(made[-1])

    async def ask(**options: Any) -> tuple[Any, Received]:
        plain = tls.net.connect(port, "127.0.0.1")
        await happened(plain, "connect")
        client = tls.TLSSocket(plain, {"ca": pki.ca, "ALPNProtocols": ["a", "b"], **options})
        client.on("session", sessions.append)
        received = Received(client)
        client.write(b"x")
        await until(lambda: received.data or received.errors)
        return client, received

    sessions: list[bytes] = []
    async with Plain(accept) as port:
        known = {"key": pki.client.key, "cert": pki.client.cert}
        client, _ = await ask(**known)
        # It has judged nobody by itself; who made it asks for the certificate.
        for each, peer in ((client, pki.server), (made[0], pki.client)):
            assert (each.encrypted, each.alpnProtocol) == (True, "b")
            assert (each.authorized, each.authorizationError) == (False, None)
            assert each.getPeerX509Certificate().raw == tls.X509Certificate(peer.cert).raw
        await until(lambda: sessions)
        again, _ = await ask(session=sessions[-1], **known)
        assert again.isSessionReused()
        assert made[1].isSessionReused()
        nobody, welcome = await ask()
        assert welcome.data == b"x"
        _, refused = await ask()
        assert (len(refused.errors), refused.data) == (1, b"")
        for each in (client, again, nobody):
            each.destroy()
        await until(lambda: all(each.destroyed for each in made))
