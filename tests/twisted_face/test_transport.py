"""The transport's verbs, as Twisted's programs use them."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from OpenSSL import crypto
from twisted.internet import interfaces
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.ssl import Certificate, CertificateOptions
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.conftest import LoggedErrors
from tests.support import Pki, eventually, makePki
from tests.twisted_face.pairs import HalfCloser, Pair, Recorder, paired
from txnodetls import NodeError, createSecureContext
from txnodetls.twisted.transport import TLSTransport, addressOf

MiB = 1024 * 1024


@paired()
async def test_it_provides_what_twisteds_own_tls_transport_does(pair: Pair) -> None:
    for side in (pair.client, pair.server):
        for interface in (
            interfaces.ITCPTransport,
            interfaces.ISSLTransport,
            interfaces.ITLSTransport,
            interfaces.INegotiated,
            interfaces.IConsumer,
            interfaces.IPushProducer,
        ):
            assert interface.providedBy(side.transport)
        verifyObject(interfaces.INegotiated, side.transport)
        verifyObject(interfaces.ITLSTransport, side.transport)
        verifyObject(interfaces.IPushProducer, side.transport)


@paired()
async def test_socket_and_transport_lead_to_each_other(pair: Pair) -> None:
    transport = pair.client.transport
    assert isinstance(transport, TLSTransport)
    assert transport.tlsSocket.transport is transport
    assert transport.tlsSocket.getProtocol() == "TLSv1.3"
    assert transport.protocol is pair.client


@paired()
async def test_the_peers_certificate_is_pyopensslx509(pair: Pair) -> None:
    certificate = pair.client.transport.getPeerCertificate()
    assert isinstance(certificate, crypto.X509)
    expected = crypto.load_certificate(crypto.FILETYPE_PEM, pair.pki.server.cert)
    assert certificate.digest("sha256") == expected.digest("sha256")
    assert pair.server.transport.getPeerCertificate() is None
    fromTransport = Certificate.peerFromTransport(pair.client.transport)
    assert fromTransport.digest("sha256") == expected.digest("sha256")


@paired()
async def test_addresses_are_known_even_after_the_end(pair: Pair) -> None:
    for _ in range(2):
        assert pair.client.transport.getPeer() == IPv4Address(
            "TCP", "127.0.0.1", pair.port.getHost().port
        )
        assert pair.server.transport.getPeer() == pair.client.transport.getHost()
        assert pair.server.addr == pair.client.transport.getHost()
        if pair.client.reason is None:
            pair.client.transport.loseConnection()
            await eventually(lambda: pair.client.reason and pair.server.reason)


def test_addresses_in_twisteds_form() -> None:
    six = {"family": "IPv6", "address": "::1", "port": 5}
    assert addressOf(six) == IPv6Address("TCP", "::1", 5)
    assert addressOf({}) == UNIXAddress(None)
    assert addressOf("/run/x") == UNIXAddress(b"/run/x")


@paired()
async def test_small_writes_arrive_together_and_in_order(pair: Pair) -> None:
    expected = b"".join(b"%d " % number for number in range(1000))
    for number in range(0, 1000, 2):
        pair.client.transport.write(b"%d " % number)
        pair.client.transport.writeSequence([b"%d" % (number + 1), b" "])
    await eventually(lambda: len(pair.server.received) == len(expected))
    assert pair.server.received == expected


@paired()
async def test_text_is_refused(pair: Pair) -> None:
    with pytest.raises(TypeError):
        pair.client.transport.write("text")


@paired(server=HalfCloser)
async def test_what_is_written_after_the_end_is_dropped(pair: Pair) -> None:
    pair.client.transport.write(b"all")
    pair.client.transport.loseWriteConnection()
    pair.client.transport.write(b"more")
    await eventually(lambda: "readConnectionLost" in pair.server.calls)
    assert pair.server.received == b"all"
    pair.server.transport.loseConnection()
    pair.server.transport.write(b"late")
    assert pair.server.transport.disconnecting
    await eventually(lambda: pair.client.reason and pair.server.reason)
    assert pair.client.received == b""
    pair.client.transport.write(b"later still")
    pair.client.transport.loseConnection()
    assert not pair.client.transport.connected


@paired()
async def test_loseConnection_sends_what_is_queued_first(pair: Pair) -> None:
    pair.client.transport.write(b"y" * (4 * MiB))
    pair.client.transport.loseConnection()
    await eventually(lambda: pair.client.reason and pair.server.reason)
    assert len(pair.server.received) == 4 * MiB


class Talker(Recorder):
    """Never stops sending."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self) -> None:
        self.paused = False
        while not self.paused and self.transport.connected:
            self.transport.write(b"z" * 65536)

    def pauseProducing(self) -> None:
        self.paused = True

    def stopProducing(self) -> None:
        self.paused = True


@paired(server=Talker)
async def test_loseConnection_ends_although_the_peer_goes_on(pair: Pair) -> None:
    await eventually(lambda: len(pair.client.received) > MiB)
    pair.client.transport.loseConnection()
    await eventually(lambda: pair.client.reason and pair.server.reason)


@paired()
async def test_a_paused_transport_delivers_nothing_and_loses_nothing(pair: Pair) -> None:
    pair.server.transport.pauseProducing()
    pair.client.transport.write(b"one")
    pair.server.transport.write(b"clock")
    await eventually(lambda: pair.client.received == b"clock")
    pair.client.transport.write(b"two")
    pair.server.transport.write(b"clock")
    await eventually(lambda: pair.client.received == b"clockclock")
    assert pair.server.received == b""
    pair.server.transport.resumeProducing()
    await eventually(lambda: pair.server.received == b"onetwo")


@implementer(interfaces.IPushProducer, interfaces.IPullProducer)
class Producer:
    """Writes pieces; notes how it is treated."""

    def __init__(self, transport: Any, pieces: int, size: int = 65536) -> None:
        self.transport = transport
        self.left = pieces
        self.size = size
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")
        self.produce()

    def produce(self) -> None:
        while self.left and (not self.calls or self.calls[-1] != "pause"):
            self.one()

    def one(self) -> None:
        self.left -= 1
        self.transport.write(b"p" * self.size)
        if not self.left:
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        self.calls.append("stop")


class PullProducer(Producer):
    def resumeProducing(self) -> None:
        self.calls.append("resume")
        self.one()


@paired()
async def test_a_streaming_producer_is_paused_and_resumed(pair: Pair) -> None:
    pair.server.transport.pauseProducing()
    producer = Producer(pair.client.transport, 256)
    pair.client.transport.registerProducer(producer, True)
    producer.produce()
    await eventually(lambda: producer.calls and producer.calls[-1] == "pause")
    assert producer.left > 0
    pair.server.transport.resumeProducing()
    await eventually(lambda: len(pair.server.received) == 16 * MiB)
    assert set(producer.calls) == {"pause", "resume"}
    assert all(a != b for a, b in zip(producer.calls, producer.calls[1:], strict=False))


@paired()
async def test_a_pull_producer_is_asked_for_each_piece(pair: Pair) -> None:
    producer = PullProducer(pair.client.transport, 100, 1000)
    pair.client.transport.registerProducer(producer, False)
    await eventually(lambda: len(pair.server.received) == 100_000)
    assert producer.calls == ["resume"] * 100


@paired()
async def test_a_pull_producer_waits_for_a_peer_that_does_not_read(pair: Pair) -> None:
    pair.server.transport.pauseProducing()
    producer = PullProducer(pair.client.transport, 400)
    pair.client.transport.registerProducer(producer, False)
    await eventually(lambda: pair.client.transport.tlsSocket.writableNeedDrain)
    assert producer.left > 200
    pair.server.transport.resumeProducing()
    await eventually(lambda: len(pair.server.received) == 400 * 65536)


@pytest_twisted.ensureDeferred
async def test_a_pull_producer_that_fails_loses_the_connection(
    pki: Pki, loggedErrors: LoggedErrors
) -> None:
    pair = await Pair(pki).connect()

    class Failing(PullProducer):
        def resumeProducing(self) -> None:
            raise RuntimeError("nothing left to read")

    pair.client.transport.registerProducer(Failing(pair.client.transport, 1), False)
    await eventually(lambda: pair.client.reason and pair.server.reason)
    assert [str(each) for each in loggedErrors.flush(RuntimeError)] == ["nothing left to read"]
    await pair.close()


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("verb", ["loseConnection", "loseWriteConnection"])
@pytest_twisted.ensureDeferred
async def test_the_end_waits_for_a_registered_producer(
    verb: str, streaming: bool, pki: Pki
) -> None:
    pair = await Pair(pki).connect(server=HalfCloser)
    kind = Producer if streaming else PullProducer
    producer = kind(pair.client.transport, 100)
    pair.client.transport.registerProducer(producer, streaming)
    getattr(pair.client.transport, verb)()
    if streaming:
        producer.produce()
    await eventually(lambda: "readConnectionLost" in pair.server.calls)
    assert len(pair.server.received) == 100 * 65536
    await pair.close()


@paired()
async def test_only_one_producer_at_a_time(pair: Pair) -> None:
    transport = pair.client.transport
    transport.registerProducer(Producer(transport, 1), True)
    with pytest.raises(RuntimeError, match="still registered"):
        transport.registerProducer(Producer(transport, 1), True)
    transport.unregisterProducer()
    transport.unregisterProducer()
    transport.registerProducer(Producer(transport, 1), True)


@paired()
async def test_a_producer_is_stopped_when_the_connection_is_gone(pair: Pair) -> None:
    producer = Producer(pair.client.transport, 1)
    pair.client.transport.registerProducer(producer, True)
    pair.server.transport.abortConnection()
    await eventually(lambda: pair.client.reason and pair.server.reason)
    assert producer.calls == ["stop"]
    late = Producer(pair.client.transport, 1)
    pair.client.transport.registerProducer(late, True)
    assert late.calls == ["stop"]


@paired()
async def test_tcp_settings(pair: Pair) -> None:
    transport = pair.client.transport
    for enabled in (True, False, True):
        transport.setTcpNoDelay(enabled)
        transport.setTcpKeepAlive(enabled)
        assert transport.getTcpNoDelay() is enabled
        assert transport.getTcpKeepAlive() is enabled


@paired()
async def test_startTLS_says_what_it_takes(pair: Pair) -> None:
    with pytest.raises(TypeError, match="ISecureContext"):
        pair.client.transport.startTLS(CertificateOptions())


@pytest.mark.parametrize("normal", [True, False])
@pytest_twisted.ensureDeferred
async def test_startTLS_puts_one_more_connection_inside(normal: bool, pki: Pki) -> None:
    pair = await Pair(pki).connect()
    serving = {"key": pki.server.key, "cert": pki.server.cert}
    asking = {"ca": pki.ca, "servername": "localhost"}
    roles = (serving, asking) if normal else (asking, serving)
    outer = [pair.server.transport.tlsSocket, pair.client.transport.tlsSocket]
    pair.server.transport.startTLS(roles[0], normal)
    pair.client.transport.startTLS(roles[1], normal)
    pair.client.transport.write(b"inside")
    await eventually(lambda: pair.server.received == b"inside")
    pair.server.transport.write(b"reply")
    await eventually(lambda: pair.client.received == b"reply")
    for side, below in zip((pair.server, pair.client), outer, strict=True):
        assert side.transport.tlsSocket is not below
        assert side.transport.tlsSocket.transport is side.transport
        assert side.calls[:4] == [
            "connectionMade",
            "handshakeCompleted",
            "handshakeCompleted",
            "dataReceived",
        ]
    pair.client.transport.loseConnection()
    await eventually(lambda: pair.client.reason and pair.server.reason)
    await eventually(lambda: all(below.destroyed for below in outer))
    await pair.close()


@pytest_twisted.ensureDeferred
async def test_startTLS_does_not_accept_a_stranger(pki: Pki) -> None:
    stranger = makePki()
    pair = await Pair(pki).connect()
    pair.server.transport.startTLS({"key": stranger.server.key, "cert": stranger.server.cert})
    pair.client.transport.startTLS({"ca": pki.ca, "servername": "localhost"})
    pair.client.transport.write(b"secret")
    await eventually(lambda: pair.client.reason and pair.server.reason)
    assert pair.client.lost.__cause__.code in (
        "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
        "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
        "SELF_SIGNED_CERT_IN_CHAIN",
    )
    assert pair.server.received == b""
    await pair.close()


@paired()
async def test_startTLS_of_a_client_needs_a_name(pair: Pair) -> None:
    context = createSecureContext(ca=pair.pki.ca)
    with pytest.raises(NodeError) as caught:
        pair.client.transport.startTLS(context)
    assert caught.value.code == "ERR_MISSING_ARGS"
