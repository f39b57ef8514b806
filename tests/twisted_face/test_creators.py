"""Our TLS under Twisted's own transports: what wrapClientTLS, startTLS and ports of theirs take."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import pytest_twisted
from OpenSSL import SSL, crypto
from twisted.internet import defer, error, reactor, ssl
from twisted.internet.endpoints import (
    HostnameEndpoint,
    SSL4ServerEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    wrapClientTLS,
)
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocolNegotiationFactory,
)
from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.support import Pki, eventually, makePki
from tests.twisted_face.pairs import Making, Recorder
from txnodetls import MemorySessionStore, NodeError, TLSSocket, createSecureContext
from txnodetls.twisted.creators import ClientCreator, SecuredConnection, ServerCreator, TLSFailure

MiB = 1024 * 1024
# What Twisted's own TLS hears from pyOpenSSL.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:OpenSSL")


def serving(pki: Pki, **more: Any) -> ServerCreator:
    return ServerCreator({"key": pki.server.key, "cert": pki.server.cert, **more})


def asking(pki: Pki, **more: Any) -> ClientCreator:
    return ClientCreator({"ca": pki.ca, "host": "localhost", **more})


def socketOf(side: Any) -> TLSSocket:
    """The TLSSocket behind a protocol on a transport of Twisted's."""
    handle = side.transport.getHandle()
    assert isinstance(handle, SecuredConnection)
    assert handle.tlsSocket is not None
    return handle.tlsSocket


class Ends:
    """A client and a server on Twisted's transports, either of them with TLS of ours, or both."""

    client: Any
    server: Any

    def __init__(self) -> None:
        self.serverFactory: Any = Making()
        self.clientFactory: Any = Making()

    async def connect(self, client: Any, server: Any) -> Ends:
        listening = SSL4ServerEndpoint(reactor, 0, server, interface="127.0.0.1")
        self.port = await listening.listen(self.serverFactory)
        below = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port.getHost().port)
        self.client = await wrapClientTLS(client, below).connect(self.clientFactory)
        await eventually(lambda: self.serverFactory.made)
        self.server = self.serverFactory.made[0]
        return self

    async def close(self) -> None:
        for side in (self.client, self.server):
            if side.reason is None:
                side.transport.abortConnection()
        await eventually(lambda: self.client.reason and self.server.reason)
        await self.port.stopListening()

    async def lost(self) -> tuple[Any, Any]:
        """Why each of them was lost."""
        await eventually(lambda: self.client.reason and self.server.reason)
        await self.port.stopListening()
        return self.client.lost, self.server.lost


def test_they_are_what_twisted_asks_for(pki: Pki) -> None:
    verifyObject(IOpenSSLClientConnectionCreator, asking(pki))
    verifyObject(IOpenSSLServerConnectionCreator, serving(pki))


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest_twisted.ensureDeferred
async def test_both_ends(version: str, pki: Pki) -> None:
    ends = await Ends().connect(asking(pki, maxVersion=version), serving(pki))
    ends.client.transport.write(b"ping")
    await eventually(lambda: ends.server.received == b"ping")
    ends.server.transport.write(b"p" * MiB)
    await eventually(lambda: len(ends.client.received) == MiB)
    client, server = socketOf(ends.client), socketOf(ends.server)
    assert (client.authorized, client.getProtocol()) == (True, version)
    assert client.getFinished() == server.getPeerFinished()
    assert server.servername == "localhost"
    assert server.remotePort == client.localPort
    assert "handshakeCompleted" in ends.client.calls
    assert "handshakeCompleted" in ends.server.calls
    ends.client.transport.loseConnection()
    assert [type(each) for each in await ends.lost()] == [error.ConnectionDone] * 2
    await eventually(lambda: client.closed and server.closed)


@pytest_twisted.ensureDeferred
async def test_certificates_in_twisteds_form(pki: Pki) -> None:
    client = asking(pki, key=pki.client.key, cert=pki.client.cert)
    ends = await Ends().connect(client, serving(pki, ca=pki.ca, requestCert=True))
    await eventually(lambda: "handshakeCompleted" in ends.server.calls)
    for side, credentials in ((ends.server, pki.client), (ends.client, pki.server)):
        expected = crypto.load_certificate(crypto.FILETYPE_PEM, credentials.cert)
        found = ssl.Certificate.peerFromTransport(side.transport)
        assert found.digest("sha256") == expected.digest("sha256")
    assert socketOf(ends.server).authorized
    await ends.close()


@pytest.mark.parametrize("ours", ["client", "server"])
@pytest_twisted.ensureDeferred
async def test_twisteds_own_at_the_other_end(ours: str, pki: Pki) -> None:
    owner = ssl.PrivateCertificate.loadPEM(pki.server.key + pki.server.cert)
    authority = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(pki.ca)])
    client: Any = ssl.optionsForClientTLS("localhost", trustRoot=authority)
    ends = await (
        Ends().connect(asking(pki), owner.options())
        if ours == "client"
        else Ends().connect(client, serving(pki))
    )
    ends.client.transport.write(b"ping" * 100_000)
    await eventually(lambda: len(ends.server.received) == 400_000)
    assert socketOf(getattr(ends, ours)).getProtocol() == "TLSv1.3"
    ends.server.transport.loseConnection()
    assert [type(each) for each in await ends.lost()] == [error.ConnectionDone] * 2


@implementer(IProtocolNegotiationFactory)
class Negotiating(Making):
    def acceptableProtocols(self) -> list[bytes]:
        return [b"two", b"one"]


@pytest_twisted.ensureDeferred
async def test_factories_negotiate(pki: Pki) -> None:
    ends = Ends()
    ends.serverFactory = Negotiating()
    creator = serving(pki)
    await ends.connect(asking(pki, ALPNProtocols=["one"]), creator)
    await eventually(lambda: "handshakeCompleted" in ends.server.calls)
    assert ends.client.transport.negotiatedProtocol == b"one"
    assert ends.server.transport.negotiatedProtocol == b"one"
    # And the server is still the one that can be told of contexts.
    assert socketOf(ends.server)._handler.server is creator.tlsServer  # type: ignore[attr-defined]
    await ends.close()


class _Wrapping:
    def __init__(self, factory: Any) -> None:
        self.factory = self
        self.wrappedFactory = factory


@pytest_twisted.ensureDeferred
async def test_a_server_of_another_name_is_refused_with_nodes_error(pki: Pki) -> None:
    ends = await Ends().connect(asking(pki, host="elsewhere.test"), serving(pki))
    client, server = await ends.lost()
    assert isinstance(client, TLSFailure)
    assert client.code == "ERR_TLS_CERT_ALTNAME_INVALID"
    assert isinstance(client.__cause__, NodeError)
    assert "elsewhere.test" in str(client)
    assert not isinstance(server, error.ConnectionDone)


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest_twisted.ensureDeferred
async def test_a_client_without_a_certificate_is_refused(version: str, pki: Pki) -> None:
    server = serving(pki, ca=pki.ca, requestCert=True)
    refused: list[Any] = []
    server.tlsServer.on("tlsClientError", lambda error, socket: refused.append(error.code))
    ends = await Ends().connect(asking(pki, maxVersion=version), server)
    there = (await ends.lost())[1]
    assert there.code == "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE"
    assert refused == ["ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE"]


@pytest_twisted.ensureDeferred
async def test_a_client_of_a_stranger_is_refused(pki: Pki) -> None:
    stranger = makePki().client
    client = asking(pki, key=stranger.key, cert=stranger.cert)
    ends = await Ends().connect(client, serving(pki, ca=pki.ca, requestCert=True))
    assert (await ends.lost())[1].code in (
        "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
        "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
        "UNABLE_TO_GET_ISSUER_CERT",
    )


@pytest_twisted.ensureDeferred
async def test_what_is_answered_later_goes_on_by_itself(pki: Pki) -> None:
    waiting: defer.Deferred[Any] = defer.Deferred()
    store = MemorySessionStore()

    def choose(name: str, callback: Any) -> Any:
        return waiting

    creator = serving(pki, SNICallback=choose, sessionStore=store)
    ends = Ends()
    await ends.connect(asking(pki), creator)
    assert "handshakeCompleted" not in ends.client.calls
    waiting.callback(createSecureContext(key=pki.server.key, cert=pki.server.cert))
    ends.client.transport.write(b"after all")
    await eventually(lambda: ends.server.received == b"after all")
    await ends.close()


@pytest_twisted.ensureDeferred
async def test_a_truncated_connection_is_no_clean_end(pki: Pki) -> None:
    ends = await Ends().connect(asking(pki), serving(pki))
    ends.client.transport.write(b"half a requ")
    await eventually(lambda: ends.server.received)
    ends.client.transport.transport.loseConnection()  # TCP ends, TLS does not
    assert isinstance((await ends.lost())[1], error.ConnectionLost)


@pytest_twisted.ensureDeferred
async def test_garbage_is_nodes_error(pki: Pki) -> None:
    ends = Ends()
    listening = SSL4ServerEndpoint(reactor, 0, serving(pki), interface="127.0.0.1")
    ends.port = await listening.listen(ends.serverFactory)
    below = TCP4ClientEndpoint(reactor, "127.0.0.1", ends.port.getHost().port)
    ends.client = await below.connect(ends.clientFactory)
    ends.client.transport.write(b"GET / HTTP/1.0\r\n\r\n")
    await eventually(lambda: ends.serverFactory.made)
    ends.server = ends.serverFactory.made[0]
    assert (await ends.lost())[1].code == "ERR_SSL_HTTP_REQUEST"


@pytest_twisted.ensureDeferred
async def test_a_client_that_says_nothing_is_given_up(pki: Pki) -> None:
    ends = Ends()
    creator = serving(pki, handshakeTimeout=50)
    ends.port = await SSL4ServerEndpoint(reactor, 0, creator, interface="127.0.0.1").listen(
        ends.serverFactory
    )
    below = TCP4ClientEndpoint(reactor, "127.0.0.1", ends.port.getHost().port)
    ends.client = await below.connect(ends.clientFactory)
    await eventually(lambda: ends.serverFactory.made)
    ends.server = ends.serverFactory.made[0]
    assert (await ends.lost())[1].code == "ERR_TLS_HANDSHAKE_TIMEOUT"


@pytest.mark.parametrize("verb", ["abortConnection", "loseConnection"])
@pytest_twisted.ensureDeferred
async def test_who_leaves_in_the_handshake_leaves_nothing_behind(verb: str, pki: Pki) -> None:
    waiting: defer.Deferred[Any] = defer.Deferred()
    creator = serving(pki, SNICallback=lambda name, callback: waiting)
    ends = await Ends().connect(asking(pki), creator)
    await eventually(lambda: socketOf(ends.server)._engine is not None)
    sockets = socketOf(ends.client), socketOf(ends.server)
    getattr(ends.client.transport, verb)()
    await ends.lost()
    await eventually(lambda: all(each.closed for each in sockets))
    # An answer that comes late finds nobody.
    waiting.callback(None)
    assert not creator.tlsServer._deadlines


@pytest_twisted.ensureDeferred
async def test_nothing_is_left_of_connections_that_are_gone(pki: Pki) -> None:
    kinds = (SecuredConnection, TLSSocket)

    def alive() -> int:
        gc.collect()
        return sum(isinstance(each, kinds) for each in gc.get_objects())

    before = alive()
    for _ in range(20):
        ends = await Ends().connect(asking(pki), serving(pki))
        ends.client.transport.write(b"word")
        await eventually(lambda ends=ends: ends.server.received)  # type: ignore[misc]
        await ends.close()
    del ends
    await eventually(lambda: alive() <= before)


class Abrupt(Recorder):
    """Closes as soon as it has said its word."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.write(b"word")
        self.transport.loseConnection()


@pytest_twisted.ensureDeferred
async def test_what_is_written_before_the_handshake_arrives(pki: Pki) -> None:
    ends = Ends()
    ends.clientFactory = Making(Abrupt)
    await ends.connect(asking(pki), serving(pki))
    assert [type(each) for each in await ends.lost()] == [error.ConnectionDone] * 2
    assert ends.server.received == b"word"


@pytest_twisted.ensureDeferred
async def test_startTLS_of_twisteds_transports(pki: Pki) -> None:
    serverFactory, clientFactory = Making(), Making()
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(serverFactory)
    below = HostnameEndpoint(reactor, "127.0.0.1", port.getHost().port)
    client: Any = await below.connect(clientFactory)
    await eventually(lambda: serverFactory.made)
    server = serverFactory.made[0]
    client.transport.write(b"STARTTLS\n")
    await eventually(lambda: server.received == b"STARTTLS\n")
    server.transport.startTLS(serving(pki))
    client.transport.startTLS(asking(pki))
    client.transport.write(b"in private")
    await eventually(lambda: server.received == b"STARTTLS\nin private")
    assert socketOf(client).authorized
    assert socketOf(server).getFinished() == socketOf(client).getPeerFinished()
    client.transport.loseConnection()
    await eventually(lambda: client.reason and server.reason)
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_slow_reader_pauses_a_producer(pki: Pki) -> None:
    ends = await Ends().connect(asking(pki), serving(pki))
    ends.server.transport.pauseProducing()
    producer = _Producer(ends.client.transport)
    ends.client.transport.registerProducer(producer, True)
    producer.resumeProducing()
    await eventually(lambda: producer.paused)
    ends.server.transport.resumeProducing()
    await eventually(lambda: len(ends.server.received) == 32 * MiB)
    assert producer.pauses
    await ends.close()


class _Producer:
    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.left = 512
        self.paused = False
        self.pauses = 0

    def resumeProducing(self) -> None:
        self.paused = False
        while self.left and not self.paused:
            self.left -= 1
            self.transport.write(b"p" * 65536)
        if not self.left:
            self.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        self.paused = True
        self.pauses += 1

    def stopProducing(self) -> None:
        self.paused = True


def test_a_client_has_to_know_whom_it_talks_to(pki: Pki) -> None:
    with pytest.raises(NodeError) as caught:
        ClientCreator({"ca": pki.ca})
    assert caught.value.code == "ERR_MISSING_ARGS"
    ClientCreator({"rejectUnauthorized": False})


def test_wrong_options_are_said_at_once(pki: Pki) -> None:
    with pytest.raises(NodeError):
        ServerCreator({"key": pki.client.key, "cert": pki.server.cert})


def test_authorities_of_amp_are_refused(pki: Pki) -> None:
    creator = serving(pki)
    assert creator.options() is creator
    with pytest.raises(TypeError, match="option ca"):
        creator.options("authority")


def test_before_the_handshake_there_is_nothing_to_be_had(pki: Pki) -> None:
    server = ServerCreator({"key": pki.server.key, "cert": pki.server.cert}, reactor=Clock())
    connection = server.serverConnectionForTLS(_Wrapping(None))
    assert connection.get_peer_certificate() is None
    assert connection.get_certificate() is None
    assert connection.get_alpn_proto_negotiated() == b""
    assert not connection.shutdown()
    connection.bio_shutdown()
    for call in (lambda: connection.recv(1), lambda: connection.send(b"x")):
        with pytest.raises(SSL.WantReadError):
            call()
    with pytest.raises(SSL.WantReadError):
        connection.bio_read(1)
