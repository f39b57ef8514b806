"""
Whom a client takes a server for: what is checked against what, over real connections.

The certificate has to be good for `servername`; without one, for `host`; without
either, for 'localhost'.  Only `servername` is sent.
"""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
import trustme
from twisted.internet import reactor
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    clientFromString,
    connectProtocol,
)
from twisted.internet.protocol import Protocol
from twisted.web.client import Agent, ResponseNeverReceived

import txnodetls as tls
from tests.loopback import Loopback, Received, sessionFor, toLoopback, until
from tests.support import Pki, happened
from tests.twisted_face.pairs import Making
from txnodetls.errors import CertificateError, NodeError
from txnodetls.twisted.endpoints import ClientEndpoint, wrapClient
from txnodetls.twisted.web import HTTPSEndpoints, HTTPSPolicy

VERSIONS = ("TLSv1.2", "TLSv1.3")
both = pytest.mark.parametrize("version", VERSIONS)
MISMATCH = "ERR_TLS_CERT_ALTNAME_INVALID"


@pytest_twisted.async_yield_fixture
async def loopback(pki: Pki) -> Any:
    async with Loopback(pki) as opened:
        yield opened


async def serve(loopback: Loopback, *names: str, **options: Any) -> Any:
    """A server with a certificate for these names."""
    credentials = loopback.pki.issue(*names)
    return await loopback.serve(key=credentials.key, cert=credentials.cert, **options)


async def verdict(loopback: Loopback, server: Any, **options: Any) -> str | None:
    """None if the server is taken for who it should be, else the code of the error."""
    port = server.address()["port"]
    given = {"port": port, "ca": loopback.pki.ca, "lookup": toLoopback, **options}
    client = tls.connect(given)
    loopback.sockets.append(client)
    return await verdictOf(client)


async def verdictOf(client: Any) -> str | None:
    received = Received(client)
    await until(lambda: client.authorized or received.errors)
    if not received.errors:
        assert client.authorizationError is None
        client.end()
        await received
        return None
    assert not client.authorized
    await received
    return received.errors[0]


# -- servername, host, neither


@both
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # servername wins over host, whichever of the two the certificate is for.
        ({"servername": "one.test", "host": "two.test"}, None),
        ({"servername": "two.test", "host": "one.test"}, MISMATCH),
        ({"servername": "one.test"}, None),
        ({"servername": "two.test"}, MISMATCH),
        # Without it, host.
        ({"host": "one.test"}, None),
        ({"host": "two.test"}, MISMATCH),
        ({"host": "one.test", "servername": ""}, None),
        ({"host": "two.test", "servername": None}, MISMATCH),
        ({"host": "one.test."}, None),
        ({"host": "ONE.test"}, None),
        # Without either, 'localhost'.
        ({}, MISMATCH),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_the_certificate_has_to_be_good_for(
    options: dict[str, Any], expected: str | None, version: str, loopback: Loopback
) -> None:
    server = await serve(loopback, "one.test", maxVersion=version)
    assert await verdict(loopback, server, **options) == expected
    if expected is None or version == "TLSv1.2":
        await until(lambda: server.seen)
        sent = options.get("servername") or False
        assert server.seen[0]["servername"] == sent
    else:
        # Of a client that refuses, a server of TLS 1.3 sees no connection.
        await until(lambda: server.failures)
        assert not server.seen


@both
@pytest_twisted.ensureDeferred
async def test_without_a_name_it_is_localhost(version: str, loopback: Loopback) -> None:
    server = await serve(loopback, "localhost", maxVersion=version)
    assert await verdict(loopback, server) is None
    assert server.seen[0]["servername"] is False


# -- addresses


@both
@pytest.mark.parametrize(
    ("names", "host", "expected"),
    [
        (["127.0.0.1"], "127.0.0.1", None),
        (["127.0.0.2"], "127.0.0.1", MISMATCH),
        (["localhost"], "127.0.0.1", MISMATCH),
        (["127.0.0.1"], "localhost", MISMATCH),
        (["127.0.0.1"], "127.1", None),
        (["127.0.0.1"], "0x7f.1", None),
    ],
)
@pytest_twisted.ensureDeferred
async def test_an_address_is_compared_with_addresses(
    names: list[str], host: str, expected: str | None, version: str, loopback: Loopback
) -> None:
    server = await serve(loopback, *names, maxVersion=version)
    assert await verdict(loopback, server, host=host) == expected


@pytest_twisted.ensureDeferred
async def test_an_ipv6_address_is_compared_with_addresses(loopback: Loopback) -> None:
    for names, expected in ((["::1"], None), (["127.0.0.1", "localhost"], MISMATCH)):
        credentials = loopback.pki.issue(*names)
        server: Any = tls.createServer(key=credentials.key, cert=credentials.cert)
        loopback.servers.append(server)
        server.on("secureConnection", loopback.sockets.append)
        server.on("secureConnection", lambda socket: socket.resume())
        server.on("tlsClientError", lambda error, socket: None)
        listening = happened(server, "listening", fails=False)
        failed = happened(server, "error", fails=False)
        server.listen(0, "::1")
        await until(lambda listening=listening, failed=failed: listening.called or failed.called)
        if failed.called:
            pytest.skip("no IPv6 here")
        for host in ("::1", "0:0::1"):
            assert await verdict(loopback, server, host=host, lookup=None) == expected


# -- streams of others


async def stream(server: Any) -> Any:
    """A connected transport of Twisted's own, of which nobody knows where it leads."""
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", server.address()["port"])
    return (await connectProtocol(endpoint, Protocol())).transport


@both
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"servername": "one.test"}, None),
        ({"host": "one.test"}, None),
        ({"servername": "localhost"}, MISMATCH),
        ({"host": "localhost"}, MISMATCH),
        ({"checkServerIdentity": lambda host, certificate: None}, None),
        ({"checkServerIdentity": lambda host, certificate: NodeError("no", "NO")}, "NO"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_over_a_foreign_stream_the_name_that_was_given_counts(
    options: dict[str, Any], expected: str | None, version: str, loopback: Loopback
) -> None:
    server = await serve(loopback, "one.test", maxVersion=version)
    client = tls.connect({"socket": await stream(server), "ca": loopback.pki.ca, **options})
    loopback.sockets.append(client)
    assert await verdictOf(client) == expected


@pytest_twisted.ensureDeferred
async def test_over_a_foreign_stream_without_a_name_there_is_no_connection(
    loopback: Loopback,
) -> None:
    """Node takes 'localhost' then, for which anybody on this machine may have a certificate."""
    server = await serve(loopback, "localhost")
    transport = await stream(server)
    for given in ({}, {"servername": ""}, {"host": None}, {"rejectUnauthorized": True}):
        with pytest.raises(NodeError) as caught:
            tls.connect({"socket": transport, "ca": loopback.pki.ca, **given})
        assert caught.value.code == "ERR_MISSING_ARGS"
    client = tls.connect({"socket": transport, "rejectUnauthorized": False})
    loopback.sockets.append(client)
    await happened(client, "secureConnect")
    assert client.authorized is False


# -- endpoints and wrappers


@pytest.mark.parametrize(
    ("names", "host", "options", "sent"),
    [
        (["localhost"], "localhost", {}, "localhost"),
        (["127.0.0.1"], "127.0.0.1", {}, False),
        (["one.test"], "127.0.0.1", {"servername": "one.test"}, "one.test"),
        (["127.0.0.1"], "localhost", {}, None),
        (["localhost"], "127.0.0.1", {}, None),
        (["localhost"], "localhost", {"servername": "one.test"}, None),
    ],
)
@pytest.mark.parametrize("form", ["endpoint", "wrapper", "string"])
@pytest_twisted.ensureDeferred
async def test_an_endpoint_expects_whom_it_connects_to(
    form: str,
    names: list[str],
    host: str,
    options: dict[str, str],
    sent: Any,
    loopback: Loopback,
    tmp_path: Any,
) -> None:
    """sent: the name that the server hears; None if the client refuses it."""
    server = await serve(loopback, *names)
    port = server.address()["port"]
    given: dict[str, Any] = {"ca": loopback.pki.ca, "family": 4, **options}
    if form == "endpoint":
        client: Any = ClientEndpoint(reactor, host, port, given)
    elif form == "wrapper":
        below = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        client = wrapClient(below, {"host": host, **given}, reactor=reactor)
    else:
        (tmp_path / "ca.pem").write_bytes(loopback.pki.ca)
        more = "".join(f":{name}={value}" for name, value in options.items())
        client = clientFromString(
            reactor, f"nodetls:{host}:{port}:family=4:ca={tmp_path}/ca.pem{more}"
        )
    connecting = client.connect(Making())
    if sent is None:
        with pytest.raises(CertificateError):
            await connecting
        return
    made = await connecting
    assert made.transport.tlsSocket.authorized
    await until(lambda: server.seen)
    assert server.seen[0]["servername"] == sent
    made.transport.loseConnection()
    await until(lambda: made.reason is not None)


def answer(socket: Any) -> None:
    """A web page for whoever asks."""
    socket.on("data", lambda data: socket.end(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))


@pytest.mark.parametrize(
    ("names", "host", "sent"),
    [
        (["localhost"], "localhost", "localhost"),
        (["127.0.0.1"], "127.0.0.1", False),
        (["127.0.0.1"], "localhost", None),
        (["localhost"], "127.0.0.1", None),
        (["one.test"], "localhost", None),
    ],
)
@pytest.mark.parametrize("form", ["policy", "endpoints"])
@pytest_twisted.ensureDeferred
async def test_an_agent_expects_the_host_of_the_url(
    form: str, names: list[str], host: str, sent: Any, loopback: Loopback
) -> None:
    credentials = loopback.pki.issue(*names)
    server = await loopback.serve(answer, key=credentials.key, cert=credentials.cert)
    options = {"ca": loopback.pki.ca}
    if form == "policy":
        agent: Any = Agent(reactor, HTTPSPolicy(options))
    else:
        endpoints = HTTPSEndpoints(reactor, options)
        agent = Agent.usingEndpointFactory(reactor, endpoints)
    asking = agent.request(b"GET", f"https://{host}:{server.address()['port']}/".encode())
    if sent is None:
        with pytest.raises((CertificateError, ResponseNeverReceived)) as caught:
            await asking
        reasons = getattr(caught.value, "reasons", None)
        error = caught.value if reasons is None else reasons[0].value
        assert getattr(error, "code", None) == MISMATCH
        return
    response = await asking
    assert response.code == 200
    assert server.seen[0]["servername"] == sent
    await until(lambda: server.secured[0].destroyed)


# -- resumed sessions


@both
@pytest_twisted.ensureDeferred
async def test_a_session_with_a_server_that_was_not_trusted_is_not_trusted(
    version: str, pki: Pki, loopback: Loopback
) -> None:
    """That somebody once went on with whoever it was makes it nobody."""
    server = await loopback.serve(maxVersion=version)
    stranger = trustme.CA().cert_pem.bytes()
    session = await sessionFor(loopback, server, ca=stranger, rejectUnauthorized=False)
    resumed = loopback.dial(server, ca=stranger, session=session)
    assert await verdictOf(resumed) == "UNABLE_TO_VERIFY_LEAF_SIGNATURE"
    again = loopback.dial(server, ca=stranger, session=session, rejectUnauthorized=False)
    await happened(again, "secureConnect")
    assert again.isSessionReused()
    assert not again.authorized


@both
@pytest_twisted.ensureDeferred
async def test_a_session_with_a_server_of_another_name_is_not_trusted(
    version: str, loopback: Loopback
) -> None:
    server = await serve(loopback, "one.test", maxVersion=version)
    given = {"servername": "two.test", "rejectUnauthorized": False}
    session = await sessionFor(loopback, server, **given)
    resumed = loopback.dial(server, servername="two.test", session=session)
    assert await verdictOf(resumed) == MISMATCH
    again = loopback.dial(server, session=session, **given)
    await happened(again, "secureConnect")
    assert again.isSessionReused()
    assert not again.authorized
    assert again.authorizationError == MISMATCH


# -- keys instead of certificates

KEY = b"k" * 32


def sharing(version: str) -> dict[str, Any]:
    ciphers = "PSK-AES128-GCM-SHA256" if version == "TLSv1.2" else "TLS_AES_128_GCM_SHA256"
    return {"ciphers": ciphers, "maxVersion": version}


@pytest_twisted.async_yield_fixture
async def sharers(loopback: Loopback) -> Any:
    """Servers without a certificate, by version."""
    yield {
        version: await loopback.serve(pskCallback=lambda socket, name: KEY, **sharing(version))
        for version in VERSIONS
    }


@both
@pytest_twisted.ensureDeferred
async def test_a_key_that_both_have_is_enough_with_a_check_of_ones_own(
    version: str, sharers: Any, loopback: Loopback
) -> None:
    asked: list[Any] = []

    def check(host: str, certificate: Any) -> None:
        asked.append((host, certificate))

    client = loopback.dial(
        sharers[version],
        pskCallback=lambda hint: {"psk": KEY, "identity": "me"},
        checkServerIdentity=check,
        **sharing(version),
    )
    assert await verdictOf(client) is None
    # In TLS 1.3 such a handshake counts as a resumed one, in Node too.
    assert asked == ([("localhost", {})] if version == "TLSv1.2" else [])


@pytest.mark.parametrize("check", [None, lambda host, certificate: NodeError("no", "NO")])
@pytest_twisted.ensureDeferred
async def test_in_tls_1_3_the_key_alone_decides(
    check: Any, sharers: Any, loopback: Loopback
) -> None:
    """As in Node 24: neither its own check nor another's is asked about nobody's certificate."""
    own = {} if check is None else {"checkServerIdentity": check}
    for key, good in ((KEY, True), (b"x" * 32, False)):
        client = loopback.dial(
            sharers["TLSv1.3"],
            pskCallback=lambda hint, key=key: {"psk": key, "identity": "me"},
            **own,
            **sharing("TLSv1.3"),
        )
        assert (await verdictOf(client) is None) is good
        assert client.authorized is good


@pytest_twisted.ensureDeferred
async def test_a_key_that_was_not_used_decides_nothing(loopback: Loopback) -> None:
    """The server takes its certificate instead, and that is looked at as always."""
    server = await loopback.serve(minVersion="TLSv1.3")
    asked: list[Any] = []

    def check(host: str, certificate: Any) -> Exception:
        asked.append(certificate["subjectaltname"])
        return NodeError("no", "NO")

    client = loopback.dial(
        server,
        pskCallback=lambda hint: {"psk": KEY, "identity": "me"},
        checkServerIdentity=check,
    )
    assert await verdictOf(client) == "NO"
    assert len(asked) == 1


@pytest_twisted.ensureDeferred
async def test_without_a_certificate_nobody_is_localhost(sharers: Any, loopback: Loopback) -> None:
    client = loopback.dial(
        sharers["TLSv1.2"],
        pskCallback=lambda hint: {"psk": KEY, "identity": "me"},
        **sharing("TLSv1.2"),
    )
    assert await verdictOf(client) == MISMATCH


@both
@pytest_twisted.ensureDeferred
async def test_another_key_is_no_key(version: str, sharers: Any, loopback: Loopback) -> None:
    client = loopback.dial(
        sharers[version],
        pskCallback=lambda hint: {"psk": b"x" * 32, "identity": "me"},
        checkServerIdentity=lambda host, certificate: None,
        **sharing(version),
    )
    code = await verdictOf(client)
    assert code is not None
    assert code.startswith("ERR_SSL_")


# -- what it costs


class Counted:
    """How often certificates are taken apart."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from txnodetls.pki import certificates, fields

        self.times = 0
        original = fields.Fields.__init__

        def counting(this: Any, encoded: bytes) -> None:
            self.times += 1
            original(this, encoded)

        monkeypatch.setattr(fields.Fields, "__init__", counting)
        certificates._known.cache_clear()


@both
@pytest_twisted.ensureDeferred
async def test_certificates_are_taken_apart_only_where_somebody_looks(
    version: str, loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    pki = loopback.pki
    server = await loopback.serve(
        lambda socket: socket.resume(), requestCert=True, ca=pki.ca, maxVersion=version
    )
    server.removeAllListeners("secureConnection")
    seen: list[Any] = []
    server.on("secureConnection", seen.append)
    counted = Counted(monkeypatch)
    own = {"key": pki.client.key, "cert": pki.client.cert}
    clients = []
    for number in range(1, 4):
        clients.append(await loopback.secure(server, **own))
        await until(lambda number=number: len(seen) == number)
        # The name has to be checked, for which the server's certificate is read, once for all.
        assert counted.times == 1
    assert all(each.authorized for each in seen)
    seen[0].getPeerCertificate()
    assert counted.times == 2
    for each in (*clients, *seen):
        each.destroy()
