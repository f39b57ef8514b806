"""Endpoints: what they listen on and connect to, and what they say when that fails."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import defer, error, protocol, reactor
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
)
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolNegotiationFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.conftest import LoggedErrors
from tests.support import Pki, eventually, makePki, unusedPort
from tests.twisted_face.pairs import Making, Recorder
from txnodetls import NodeError, createSecureContext
from txnodetls.errors import SystemCallError
from txnodetls.options import UnknownOptionWarning
from txnodetls.twisted.endpoints import ClientEndpoint, ServerEndpoint, wrapClient, wrapServer


def serving(pki: Pki) -> dict[str, Any]:
    return {"key": pki.server.key, "cert": pki.server.cert}


def asking(pki: Pki, **more: Any) -> dict[str, Any]:
    return {"ca": pki.ca, "family": 4, **more}


async def listening(pki: Pki, factory: Any = None, **options: Any) -> Any:
    endpoint = ServerEndpoint(reactor, {**serving(pki), **options}, port=0, host="127.0.0.1")
    return await endpoint.listen(Making() if factory is None else factory)


def dialing(port: Any, pki: Pki, **options: Any) -> ClientEndpoint:
    return ClientEndpoint(reactor, "localhost", port.getHost().port, asking(pki, **options))


async def failing(endpoint: IStreamClientEndpoint, factory: Any = None) -> BaseException:
    """What connecting fails with."""
    factory = Making() if factory is None else factory
    try:
        await endpoint.connect(factory)
    except Exception as raised:
        assert factory.started == 0
        return raised
    raise AssertionError("connected")


async def ended(*sides: Any) -> None:
    for side in sides:
        side.transport.loseConnection()
    await eventually(lambda: all(side.reason for side in sides))


@pytest_twisted.ensureDeferred
async def test_a_port_listens_until_it_is_stopped(pki: Pki) -> None:
    factory = Making()
    port = await listening(pki, factory)
    verifyObject(IListeningPort, port)
    address = port.getHost()
    assert (type(address), address.host) == (IPv4Address, "127.0.0.1")
    assert factory.started == 1
    client = await dialing(port, pki).connect(Making())
    await eventually(lambda: factory.made)
    await port.stopListening()
    assert factory.started == 0
    await port.stopListening()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.host, address.port))
    # What was open stays open.
    client.transport.write(b"still here")
    await eventually(lambda: factory.made[0].received == b"still here")
    await ended(client, factory.made[0])
    assert port.getHost() == address


@pytest_twisted.ensureDeferred
async def test_it_listens_on_ipv6_and_on_unix_sockets(pki: Pki, tmp_path: Any) -> None:
    endpoint = ServerEndpoint(reactor, serving(pki), port=0, host="::1")
    port = await endpoint.listen(Making())
    assert isinstance(port.getHost(), IPv6Address)
    await port.stopListening()
    path = str(tmp_path / "socket")
    factory = Making()
    port = await ServerEndpoint(reactor, serving(pki), path=path).listen(factory)
    assert port.getHost() == UNIXAddress(path.encode())
    options = {"ca": pki.ca, "path": path, "servername": "localhost"}
    client = await ClientEndpoint(reactor, options=options).connect(Making())
    assert client.transport.getPeer() == UNIXAddress(None)
    await eventually(lambda: factory.made)
    await ended(client, factory.made[0])
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_port_in_use_is_CannotListenError(pki: Pki) -> None:
    port = await listening(pki)
    number = port.getHost().port
    second = ServerEndpoint(reactor, serving(pki), port=number, host="127.0.0.1")
    factory = Making()
    with pytest.raises(error.CannotListenError) as caught:
        await second.listen(factory)
    assert caught.value.__cause__.code == "EADDRINUSE"
    assert (caught.value.interface, caught.value.port) == ("127.0.0.1", number)
    assert factory.started == 0
    await port.stopListening()


@pytest.mark.parametrize("end", [ServerEndpoint, ClientEndpoint])
def test_wrong_options_are_said_before_anything_listens_or_connects(end: Any, pki: Pki) -> None:
    other = makePki()
    where: tuple[Any, ...] = () if end is ServerEndpoint else ("localhost", 1)
    with pytest.raises(NodeError) as caught:
        end(reactor, *where, {"key": other.server.key, "cert": pki.server.cert})
    assert caught.value.code == "ERR_OSSL_X509_KEY_VALUES_MISMATCH"
    with pytest.raises(NodeError, match=r"options\.ciphers"):
        end(reactor, *where, {"ciphers": 7})


@pytest_twisted.ensureDeferred
async def test_an_unknown_option_is_warned_about_once(pki: Pki) -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", UnknownOptionWarning)
        port = await listening(pki, cret=1)
        client = await dialing(port, pki, severname=1).connect(Making())
    assert [str(each.message).partition(" (")[0] for each in warned] == [
        "unknown option 'cret'; did you mean 'cert'?",
        "unknown option 'severname'; did you mean 'servername'?",
    ]
    assert {each.filename for each in warned} == {__file__}
    await ended(client)
    await port.stopListening()


def test_the_endpoints_provide_their_interfaces(pki: Pki) -> None:
    server = ServerEndpoint(reactor, serving(pki), port=0)
    client = ClientEndpoint(reactor, "localhost", 1, asking(pki))
    verifyObject(IStreamServerEndpoint, server)
    verifyObject(IStreamClientEndpoint, client)
    verifyObject(IStreamServerEndpoint, wrapServer(server, serving(pki)))
    verifyObject(IStreamClientEndpoint, wrapClient(client, asking(pki, host="localhost")))


@pytest_twisted.ensureDeferred
async def test_the_hosts_name_is_sent_and_checked(pki: Pki) -> None:
    factory = Making()
    port = await listening(pki, factory)
    client = await dialing(port, pki).connect(Making())
    await eventually(lambda: factory.made)
    assert factory.made[0].transport.tlsSocket.servername == "localhost"
    await ended(client, factory.made[0])
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_an_address_is_checked_and_not_sent(pki: Pki) -> None:
    factory = Making()
    port = await listening(pki, factory)
    endpoint = ClientEndpoint(reactor, "127.0.0.1", port.getHost().port, {"ca": pki.ca})
    client = await endpoint.connect(Making())
    await eventually(lambda: factory.made)
    assert factory.made[0].transport.tlsSocket.servername is False
    await ended(client, factory.made[0])
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_certificate_for_another_name_is_nodes_error(pki: Pki) -> None:
    port = await listening(pki, **dict(zip(("cert", "key"), _elsewhere(pki), strict=True)))
    raised = await failing(dialing(port, pki))
    assert raised.code == "ERR_TLS_CERT_ALTNAME_INVALID"  # type: ignore[attr-defined]
    await port.stopListening()


def _elsewhere(pki: Pki) -> tuple[bytes, bytes]:
    credentials = pki.issue("elsewhere.test")
    return credentials.cert, credentials.key


@pytest_twisted.ensureDeferred
async def test_nobody_there_is_twisteds_error_with_nodes_as_its_cause(pki: Pki) -> None:
    endpoint = ClientEndpoint(reactor, "127.0.0.1", unusedPort(), {"ca": pki.ca})
    raised = await failing(endpoint)
    assert isinstance(raised, error.ConnectionRefusedError)
    assert raised.__cause__.code == "ECONNREFUSED"  # type: ignore[union-attr]


@pytest_twisted.ensureDeferred
async def test_a_name_that_does_not_exist_is_DNSLookupError(pki: Pki) -> None:
    def lookup(host: str, options: Any, callback: Callable[..., None]) -> None:
        callback(SystemCallError("getaddrinfo ENOTFOUND", "ENOTFOUND", syscall="getaddrinfo"), None)

    raised = await failing(ClientEndpoint(reactor, "none.test", 1, asking(pki, lookup=lookup)))
    assert isinstance(raised, error.DNSLookupError)


class Slams(protocol.Protocol):
    """Reads the ClientHello and hangs up."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.loseConnection()


async def plainPort(kind: Any) -> Any:
    endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
    factory = protocol.Factory.forProtocol(kind)
    factory.noisy = False
    return await endpoint.listen(factory)


@pytest_twisted.ensureDeferred
async def test_a_peer_that_hangs_up_in_the_handshake_is_a_ConnectError(pki: Pki) -> None:
    port = await plainPort(Slams)
    raised = await failing(dialing(port, pki))
    assert isinstance(raised, error.ConnectError)
    assert raised.__cause__.code == "ECONNRESET"  # type: ignore[union-attr]
    await port.stopListening()


class Silent(protocol.Protocol):
    made: list[Any] = []

    def connectionMade(self) -> None:
        self.made.append(self)

    def connectionLost(self, reason: Any = None) -> None:
        self.made.remove(self)


@pytest_twisted.ensureDeferred
async def test_a_peer_that_hangs_in_the_handshake_is_given_up(pki: Pki) -> None:
    port = await plainPort(Silent)
    endpoint = ClientEndpoint(
        reactor, "localhost", port.getHost().port, asking(pki), connectTimeout=0.2
    )
    raised = await failing(endpoint)
    assert isinstance(raised, error.TimeoutError)
    await eventually(lambda: not Silent.made)
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_connecting_can_be_cancelled(pki: Pki) -> None:
    port = await plainPort(Silent)
    factory = Making()
    connecting = dialing(port, pki).connect(factory)
    await eventually(lambda: Silent.made)
    connecting.cancel()
    with pytest.raises(error.ConnectingCancelledError):
        await connecting
    assert factory.started == 0
    await eventually(lambda: not Silent.made)
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_factory_without_a_protocol_closes_the_connection(pki: Pki) -> None:
    factory = Making(lambda: None)  # type: ignore[arg-type, return-value]
    factory.buildProtocol = lambda addr: None  # type: ignore[method-assign]
    port = await listening(pki, factory)
    client = await dialing(port, pki).connect(Making())
    await eventually(lambda: client.reason)
    raised = await failing(dialing(port, pki), factory=_Nobody())
    assert type(raised).__name__ == "NoProtocol"
    await port.stopListening()


class _Nobody(Making):
    def buildProtocol(self, addr: object) -> Any:
        return None


class Bursts(Recorder):
    def connectionMade(self) -> None:
        super().connectionMade()
        raise RuntimeError("not today")


@pytest_twisted.ensureDeferred
async def test_what_connectionMade_raises_reaches_the_caller(
    pki: Pki, loggedErrors: LoggedErrors
) -> None:
    port = await listening(pki)
    factory = Making(Bursts)
    raised = await failing(dialing(port, pki), factory)
    assert str(raised) == "not today"
    await eventually(lambda: factory.made[0].reason)
    assert loggedErrors.events == []
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_on_a_server_it_is_logged(pki: Pki, loggedErrors: LoggedErrors) -> None:
    factory = Making(Bursts)
    port = await listening(pki, factory)
    client = await dialing(port, pki).connect(Making())
    await eventually(lambda: client.reason and factory.made[0].reason)
    assert [str(each) for each in loggedErrors.flush(RuntimeError)] == ["not today"]
    await port.stopListening()


@implementer(IProtocolNegotiationFactory)
class Negotiating(Making):
    def acceptableProtocols(self) -> list[bytes]:
        return [b"two", b"one"]


@pytest_twisted.ensureDeferred
async def test_factories_negotiate_unless_the_options_do(pki: Pki) -> None:
    port = await listening(pki, Negotiating())
    client = await dialing(port, pki).connect(Negotiating())
    assert client.transport.negotiatedProtocol == b"two"
    other = await dialing(port, pki, ALPNProtocols=["one"]).connect(Negotiating())
    assert other.transport.negotiatedProtocol == b"one"
    neither = await dialing(port, pki).connect(Making())
    assert neither.transport.negotiatedProtocol is None
    await ended(client, other, neither)
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_one_context_serves_all_connections(pki: Pki) -> None:
    context = createSecureContext(**serving(pki))
    endpoint = ServerEndpoint(reactor, {"secureContext": context}, port=0, host="127.0.0.1")
    factory = Making()
    port = await endpoint.listen(factory)
    client = await dialing(port, pki).connect(Making())
    await eventually(lambda: factory.made)
    assert factory.made[0].transport.tlsSocket._context is context
    await ended(client)
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_wrapped_endpoints_speak_tls_over_any_other(pki: Pki, tmp_path: Any) -> None:
    path = str(tmp_path / "socket")
    factory = Making()
    server = wrapServer(UNIXServerEndpoint(reactor, path), serving(pki), reactor=reactor)
    port = await server.listen(factory)
    client = wrapClient(
        UNIXClientEndpoint(reactor, path), asking(pki, host="localhost"), reactor=reactor
    )
    made = await client.connect(Making())
    made.transport.write(b"hello")
    await eventually(lambda: factory.made and factory.made[0].received == b"hello")
    assert factory.made[0].transport.tlsSocket.servername == "localhost"
    assert made.transport.tlsSocket.authorized
    await ended(made, factory.made[0])
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_wrapped_client_fails_as_what_it_wraps_does(pki: Pki) -> None:
    below = TCP4ClientEndpoint(reactor, "127.0.0.1", unusedPort())
    raised = await failing(wrapClient(below, asking(pki, host="localhost"), reactor=reactor))
    assert isinstance(raised, error.ConnectionRefusedError)


@pytest_twisted.ensureDeferred
async def test_a_wrapped_client_does_not_outlive_its_time(pki: Pki) -> None:
    cancelled: list[Any] = []

    @implementer(IStreamClientEndpoint)
    class Never:
        def connect(self, factory: object) -> defer.Deferred[Any]:
            return defer.Deferred(cancelled.append)

    clock = Clock()
    connecting = wrapClient(
        Never(), asking(pki, host="localhost"), reactor=clock, connectTimeout=5
    ).connect(Making())
    clock.advance(4.9)
    assert not cancelled
    clock.advance(0.2)
    with pytest.raises(error.TimeoutError):
        await connecting
    assert len(cancelled) == 1


def test_a_wrapped_client_has_to_know_whom_it_talks_to(pki: Pki) -> None:
    below = TCP4ClientEndpoint(reactor, "127.0.0.1", 1)
    with pytest.raises(NodeError) as caught:
        wrapClient(below, {"ca": pki.ca}, reactor=reactor)
    assert caught.value.code == "ERR_MISSING_ARGS"
    wrapClient(below, {"rejectUnauthorized": False}, reactor=reactor)
    wrapClient(below, {"servername": "localhost"}, reactor=reactor)


def test_over_a_unix_socket_somebody_has_to_say_whom_to_expect(pki: Pki) -> None:
    # Node would take 'localhost', for which anybody can have a certificate.
    with pytest.raises(NodeError) as caught:
        ClientEndpoint(reactor, options={"path": "/run/x", "ca": pki.ca})
    assert caught.value.code == "ERR_MISSING_ARGS"
    ClientEndpoint(reactor, options={"path": "/run/x", "servername": "app.test", "ca": pki.ca})
    ClientEndpoint(reactor, options={"path": "/run/x", "rejectUnauthorized": False})
