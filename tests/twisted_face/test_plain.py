"""Protocols on plain connections of ours, and STARTTLS on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import error, interfaces, reactor
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

import txnodetls as tls
from tests.loopback import until
from tests.support import Pki, makePki, unusedPort
from tests.tlspairs import identity
from tests.twisted_face.pairs import HalfCloser, Making, Recorder
from txnodetls.errors import NodeError
from txnodetls.twisted.creators import ClientCreator, ServerCreator
from txnodetls.twisted.plain import PlainClientEndpoint, PlainServerEndpoint


class Plain:
    """Two protocols on a connection without TLS."""

    def __init__(self, kind: Any = Recorder, **where: Any) -> None:
        self.factories = Making(kind), Making(kind)
        self.where = where or {"port": 0, "host": "127.0.0.1"}

    async def __aenter__(self) -> Plain:
        self.port: Any = await PlainServerEndpoint(reactor, **self.where).listen(self.factories[0])
        path = self.where.get("path")
        if path is None:
            to = PlainClientEndpoint(reactor, "localhost", self.port.getHost().port, family=4)
        else:
            to = PlainClientEndpoint(reactor, path=path)
        self.client: Any = await to.connect(self.factories[1])
        await until(lambda: self.factories[0].made)
        self.server = self.factories[0].made[0]
        return self

    async def __aexit__(self, *_: object) -> None:
        for side in (self.client, self.server):
            side.transport.abortConnection()
        await until(lambda: self.client.reason and self.server.reason)
        await self.port.stopListening()
        assert [factory.started for factory in self.factories] == [0, 0]


@pytest_twisted.ensureDeferred
async def test_it_is_a_transport_without_tls() -> None:
    async with Plain() as plain:
        for side in (plain.client, plain.server):
            assert interfaces.ITLSTransport.providedBy(side.transport)
            assert interfaces.IConsumer.providedBy(side.transport)
            assert not interfaces.ISSLTransport.providedBy(side.transport)
            assert not hasattr(side.transport, "tlsSocket")
            assert side.calls == ["connectionMade"]
        plain.client.transport.writeSequence([b"a", b"b"])
        await until(lambda: plain.server.received == b"ab")
        assert plain.server.transport.getPeer() == plain.client.transport.getHost()
        plain.client.transport.loseConnection()
        await until(lambda: plain.server.reason and plain.client.reason)
        assert plain.server.calls[-1] == "connectionLost"


@pytest_twisted.ensureDeferred
async def test_half_closers_hear_of_each_direction() -> None:
    async with Plain(HalfCloser) as plain:
        plain.client.transport.loseWriteConnection()
        await until(lambda: "readConnectionLost" in plain.server.calls)
        plain.server.transport.write(b"still")
        await until(lambda: plain.client.received == b"still")
        assert "writeConnectionLost" in plain.client.calls
        assert plain.client.reason is None


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("unix", [False, True])
@pytest_twisted.ensureDeferred
async def test_starttls(version: str, unix: bool, pki: Pki, tmp_path: Path) -> None:
    where = {"path": str(tmp_path / "plain")} if unix else {}
    async with Plain(**where) as plain:
        serving = ServerCreator({**identity(pki.server), "maxVersion": version})
        asking = ClientCreator({"ca": pki.ca, "servername": "localhost"})
        plain.server.transport.write(b"go on")
        plain.server.transport.startTLS(serving)
        await until(lambda: plain.client.received == b"go on")
        plain.client.received.clear()
        plain.client.transport.startTLS(asking)
        plain.client.transport.write(b"private")
        await until(lambda: plain.server.received == b"private")
        plain.server.transport.write(b"reply" * 100_000)
        await until(lambda: plain.client.received == b"reply" * 100_000)
        for side in (plain.client, plain.server):
            transport = side.transport
            assert interfaces.INegotiated.providedBy(transport)
            assert transport.tlsSocket.transport is transport
            assert transport.tlsSocket.getProtocol() == version
            assert side.calls[:3] == (
                ["connectionMade", "dataReceived", "handshakeCompleted"]
                if side is plain.client
                else ["connectionMade", "handshakeCompleted", "dataReceived"]
            )
        assert plain.client.transport.tlsSocket.authorized
        assert plain.client.transport.getPeerCertificate() is not None
        assert serving.tlsServer is plain.server.transport.tlsSocket._handler.server
        plain.client.transport.loseConnection()
        await until(lambda: plain.server.reason)
        assert plain.server.lost.args == ()


@pytest_twisted.ensureDeferred
async def test_the_host_that_was_connected_to_is_whom_to_expect(pki: Pki) -> None:
    async with Plain() as plain:
        plain.server.transport.startTLS(identity(pki.server))
        plain.client.transport.startTLS(tls.createSecureContext(ca=pki.ca))
        plain.client.transport.write(b"x")
        await until(lambda: plain.server.received == b"x")
        assert plain.server.transport.tlsSocket.servername == "localhost"


@pytest_twisted.ensureDeferred
async def test_a_stranger_gets_nothing_and_is_told_apart(pki: Pki) -> None:
    async with Plain() as plain:
        plain.server.transport.startTLS(identity(makePki().server))
        plain.client.transport.startTLS({"ca": pki.ca, "servername": "localhost"})
        plain.client.transport.write(b"secret")
        await until(lambda: plain.client.reason and plain.server.reason)
        assert plain.server.received == b""
        assert isinstance(plain.client.lost.__cause__, NodeError)


@pytest_twisted.ensureDeferred
async def test_what_is_written_before_goes_out_before_it(pki: Pki) -> None:
    """Also what the kernel had no room for."""
    data = bytes(range(256)) * 16384
    async with Plain() as plain:
        plain.client.transport.pauseProducing()
        for start in range(0, len(data), 65536):
            plain.server.transport.write(data[start : start + 65536])
        plain.server.transport.startTLS(identity(pki.server))
        plain.client.transport.resumeProducing()
        await until(lambda: len(plain.client.received) == len(data))
        plain.client.transport.startTLS({"ca": pki.ca})
        plain.client.transport.write(b"private")
        await until(lambda: plain.server.received == b"private")
        assert plain.client.received == data


@pytest_twisted.ensureDeferred
async def test_an_abort_is_no_end_for_the_peer() -> None:
    async with Plain(HalfCloser) as plain:
        plain.server.transport.abortConnection()
        await until(lambda: plain.client.reason)
        assert plain.client.reason.check(error.ConnectionLost)
        assert "readConnectionLost" not in plain.client.calls
        assert plain.server.reason.check(error.ConnectionAborted)


@pytest_twisted.ensureDeferred
async def test_over_a_unix_socket_an_abort_closes(tmp_path: Path) -> None:
    async with Plain(path=str(tmp_path / "plain")) as plain:
        plain.server.transport.abortConnection()
        await until(lambda: plain.client.reason)
        assert plain.server.reason.check(error.ConnectionAborted)


@pytest_twisted.ensureDeferred
async def test_startTLS_says_what_it_takes() -> None:
    from twisted.internet.ssl import CertificateOptions

    async with Plain() as plain:
        with pytest.raises(TypeError, match="ServerCreator"):
            plain.server.transport.startTLS(CertificateOptions())
        assert not hasattr(plain.server.transport, "tlsSocket")


@pytest_twisted.ensureDeferred
async def test_a_refusal_is_twisteds_error_with_nodes_as_its_cause() -> None:
    factory = Making()
    with pytest.raises(error.ConnectionRefusedError) as caught:
        await PlainClientEndpoint(reactor, "127.0.0.1", unusedPort()).connect(factory)
    assert caught.value.__cause__.code == "ECONNREFUSED"  # type: ignore[union-attr]
    with pytest.raises(error.CannotListenError):
        await PlainServerEndpoint(reactor, path="/nowhere/at/all").listen(factory)
    assert factory.started == 0


@pytest_twisted.ensureDeferred
async def test_connecting_can_be_cancelled_and_has_its_time() -> None:
    clock, factory = Clock(), Making()
    # A name that is never found, because nobody answers.
    quiet = {"lookup": lambda host, options, callback: None}
    connecting = PlainClientEndpoint(clock, "a.test", 25, **quiet).connect(factory)
    connecting.cancel()
    with pytest.raises(CancelledError):
        await connecting
    connecting = PlainClientEndpoint(clock, "a.test", 25, **quiet).connect(factory)
    clock.advance(30)
    with pytest.raises(error.TimeoutError):
        await connecting
    assert factory.started == 0
    assert clock.getDelayedCalls() == []


@pytest_twisted.ensureDeferred
async def test_a_factory_without_a_protocol_closes_the_connection() -> None:
    nothing = Making(lambda: None)
    nothing.buildProtocol = lambda addr: None  # type: ignore[method-assign]
    port: Any = await PlainServerEndpoint(reactor, port=0, host="127.0.0.1").listen(nothing)
    client: Any = await PlainClientEndpoint(reactor, "127.0.0.1", port.getHost().port).connect(
        Making()
    )
    await until(lambda: client.reason)
    await port.stopListening()
