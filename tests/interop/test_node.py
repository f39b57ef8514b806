"""Node 24 as the peer: its client at our server, its server for our client."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import pytest_twisted

import txnodetls as tls
from tests.interop.peers import NodePeer, digest, payload
from tests.loopback import Loopback, Received, describe, until
from tests.support import Credentials, Pki, makePki
from txnodetls.errors import Blame

LARGE = 1024 * 1024 + 17
VERSIONS = ["TLSv1.2", "TLSv1.3"]
both = pytest.mark.parametrize("version", VERSIONS)


@pytest_twisted.async_yield_fixture
async def loopback(pki: Pki) -> Any:
    async with Loopback(pki) as opened:
        yield opened


def only(version: str) -> dict[str, str]:
    return {"minVersion": version, "maxVersion": version}


def asking(server: Any, pki: Pki, **more: Any) -> dict[str, Any]:
    """The options of Node's client for our server."""
    return {"port": server.address()["port"], "ca": pki.ca, "servername": "localhost", **more}


def serving(credentials: Credentials, **more: Any) -> dict[str, Any]:
    """The options of Node's server."""
    return {"key": credentials.key, "cert": credentials.cert, **more}


def agree(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Both sides saw the same handshake."""
    names = ["protocol", "cipher", "alpn", "reused"]
    if not (ours["reused"] and ours["protocol"] == "TLSv1.2"):
        # Of a resumed TLS 1.2 connection neither Node's servers nor ours know the name.
        names.append("servername")
    for name in names:
        assert (name, ours[name]) == (name, theirs[name])
    assert (ours["finished"], ours["peerFinished"]) == (theirs["peerFinished"], theirs["finished"])


async def met(server: Any, node: NodePeer) -> tuple[dict[str, Any], dict[str, Any]]:
    """What our server and Node's client say of their connection, the latest."""
    theirs = await node.event("secure")
    # A TLS 1.3 client is done before its server.
    await until(lambda: server.seen and server.seen[-1]["peerFinished"] == theirs["finished"])
    ours = server.seen[-1]
    agree(ours, theirs)
    # What the Twisted face shows stands on the same connection.
    assert server.secured[-1].transport.tlsSocket is server.secured[-1]
    return ours, theirs


# -- Node's client at our server


@both
@pytest.mark.parametrize("length", [5, LARGE])
@pytest_twisted.ensureDeferred
async def test_our_echo_gives_nodes_client_back_what_it_sent(
    version: str, length: int, loopback: Loopback, pki: Pki
) -> None:
    server = await loopback.serve(**only(version))
    async with NodePeer("client", asking(server, pki), send=length, ends="echoed") as node:
        _, theirs = await met(server, node)
        assert theirs["protocol"] == version
        assert (theirs["authorized"], theirs["servername"]) == (True, "localhost")
        await node.finished()
        sent = digest(payload(length))
        closed = {"hadError": False, "length": length, "digest": sent}
        assert await node.event("close") == closed
        assert "error" not in node.names
    (socket,) = server.secured
    await until(lambda: socket.closed)
    assert (socket.bytesRead, socket.bytesWritten) == (length, length)
    assert server.failures == []


@both
@pytest_twisted.ensureDeferred
async def test_nodes_client_ends_its_side_and_still_gets_our_answer(
    version: str, loopback: Loopback, pki: Pki
) -> None:
    ends: list[Any] = []

    def answer(socket: Any) -> None:
        heard = hashlib.sha256()
        socket.on("data", heard.update)
        socket.on("end", lambda: ends.append(heard.hexdigest()))
        socket.on("end", lambda: socket.end(payload(LARGE)))

    server = await loopback.serve(answer, allowHalfOpen=True, **only(version))
    options = asking(server, pki, allowHalfOpen=True)
    async with NodePeer("client", options, send=LARGE, ends="at once") as node:
        await node.finished()
        told = await node.event("close")
        assert (told["length"], told["digest"]) == (LARGE, digest(payload(LARGE)))
        assert node.names.count("end") == 1
    assert ends == [digest(payload(LARGE))]


@both
@pytest.mark.parametrize(
    ("offered", "chosen"), [(["x", "h2"], "h2"), (["http/1.1", "h2"], "h2"), (None, False)]
)
@pytest_twisted.ensureDeferred
async def test_our_server_chooses_among_nodes_protocols(
    version: str, offered: Any, chosen: Any, loopback: Loopback, pki: Pki
) -> None:
    server = await loopback.serve(ALPNProtocols=["h2", "http/1.1"], **only(version))
    options = asking(server, pki, **({} if offered is None else {"ALPNProtocols": offered}))
    async with NodePeer("client", options, send=5, ends="echoed") as node:
        _, theirs = await met(server, node)
        assert theirs["alpn"] == chosen
        await node.finished()


@both
@pytest_twisted.ensureDeferred
async def test_without_a_common_protocol_our_server_refuses(
    version: str, loopback: Loopback, pki: Pki
) -> None:
    server = await loopback.serve(ALPNProtocols=["h2"], **only(version))
    async with NodePeer("client", asking(server, pki, ALPNProtocols=["x"])) as node:
        refused = "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL"
        assert await node.event("error") == refused
        await node.finished()
    await until(lambda: server.failures)
    assert server.failures[0].blame is Blame.PEER


@both
@pytest_twisted.ensureDeferred
async def test_our_server_serves_each_name_with_its_own_certificate(
    version: str, loopback: Loopback, pki: Pki
) -> None:
    named = pki.issue("a.example.test")
    wild = pki.issue("*.wild.test")
    server = await loopback.serve(**only(version))
    server.addContext("a.example.test", {"key": named.key, "cert": named.cert})
    server.addContext("*.wild.test", {"key": wild.key, "cert": wild.cert})
    seen = set()
    for name in ("a.example.test", "b.wild.test", "localhost"):
        options = asking(server, pki, servername=name)
        async with NodePeer("client", options, send=5, ends="echoed") as node:
            ours, theirs = await met(server, node)
            assert (theirs["authorized"], theirs["servername"]) == (True, name)
            assert ours["own"] == theirs["peer"]
            seen.add(theirs["peer"])
            await node.finished()
    assert len(seen) == 3


@both
@pytest_twisted.ensureDeferred
async def test_our_server_knows_nodes_client_by_its_certificate(
    version: str, loopback: Loopback, pki: Pki
) -> None:
    server = await loopback.serve(requestCert=True, ca=pki.ca, **only(version))
    options = asking(server, pki, key=pki.client.key, cert=pki.client.cert)
    async with NodePeer("client", options, send=5, ends="echoed") as node:
        ours, _ = await met(server, node)
        assert (ours["authorized"], ours["authorizationError"]) == (True, None)
        assert ours["peer"] == tls.X509Certificate(pki.client.cert).fingerprint256
        await node.finished()


@both
@pytest.mark.parametrize("who", ["nobody", "a stranger"])
@pytest_twisted.ensureDeferred
async def test_our_server_refuses_whom_it_does_not_know(
    version: str, who: str, loopback: Loopback, pki: Pki
) -> None:
    server = await loopback.serve(requestCert=True, ca=pki.ca, **only(version))
    stranger = makePki().client
    identity = {"key": stranger.key, "cert": stranger.cert} if who == "a stranger" else {}
    async with NodePeer("client", asking(server, pki, **identity), send=5) as node:
        await node.finished()
        assert (await node.event("close"))["length"] == 0
        # As in Node a certificate that is not accepted ends the connection without an alert,
        # which a TLS 1.3 client sees behind its handshake; having none is an alert.
        if who == "nobody":
            assert (await node.event("error")).startswith("ERR_SSL_")
    await until(lambda: server.failures)
    assert server.secured == []
    await loopback.proveServing(server, key=pki.client.key, cert=pki.client.cert)


@both
@pytest_twisted.ensureDeferred
async def test_our_server_lets_a_stranger_in_where_it_is_told_to(
    version: str, loopback: Loopback, pki: Pki
) -> None:
    server = await loopback.serve(
        requestCert=True, rejectUnauthorized=False, ca=pki.ca, **only(version)
    )
    stranger = makePki().client
    options = asking(server, pki, key=stranger.key, cert=stranger.cert)
    async with NodePeer("client", options, send=5, ends="echoed") as node:
        await node.finished()
    (socket,) = server.secured
    assert socket.authorized is False
    assert socket.authorizationError == "UNABLE_TO_VERIFY_LEAF_SIGNATURE"


@both
@pytest_twisted.ensureDeferred
async def test_nodes_client_takes_up_a_session_of_our_server(
    version: str, loopback: Loopback, pki: Pki
) -> None:
    server = await loopback.serve(**only(version))
    async with NodePeer("client", asking(server, pki), send=5, ends="echoed") as node:
        session = await node.event("session")
        assert (await node.event("secure"))["reused"] is False
        await node.finished()
    again = asking(server, pki, session={"$hex": session})
    async with NodePeer("client", again, send=LARGE, ends="echoed") as node:
        _, theirs = await met(server, node)
        assert theirs["reused"] is True
        await node.finished()
        assert (await node.event("close"))["digest"] == digest(payload(LARGE))


@pytest.mark.parametrize("version", VERSIONS)
@pytest_twisted.ensureDeferred
async def test_our_server_and_nodes_client_share_a_key(
    version: str, loopback: Loopback, pki: Pki
) -> None:
    key = bytes(range(32))
    asked: list[str] = []

    def lookUp(socket: Any, identity: str) -> bytes | None:
        asked.append(identity)
        return key if identity == "client one" else None

    ciphers = {"ciphers": "PSK" if version == "TLSv1.2" else "TLS_AES_128_GCM_SHA256"}
    server = await loopback.serve(pskCallback=lookUp, **ciphers, **only(version))
    known = {"identity": "client one", "key": key.hex()}
    options = {"port": server.address()["port"], **ciphers}
    async with NodePeer("client", options, psk=known, send=LARGE, ends="echoed") as node:
        await met(server, node)
        await node.finished()
        assert (await node.event("close"))["digest"] == digest(payload(LARGE))
    for identity, secret in (("client two", key), ("client one", bytes(32))):
        wrong = {"identity": identity, "key": secret.hex()}
        async with NodePeer("client", options, psk=wrong) as node:
            assert (await node.event("error")).startswith("ERR_SSL_")
            await node.finished()
    assert asked == ["client one", "client two", "client one"]
    assert len(server.secured) == 1


# -- Node's server for our client


@both
@pytest.mark.parametrize("length", [5, LARGE])
@pytest_twisted.ensureDeferred
async def test_nodes_echo_gives_our_client_back_what_it_sent(
    version: str, length: int, loopback: Loopback, pki: Pki
) -> None:
    async with NodePeer("server", serving(pki.server, **only(version)), does="echo") as node:
        client = loopback.dial(await node.event("listening"))
        received = Received(client)
        # Written before the handshake: it waits.
        client.write(payload(length))
        await until(lambda: len(received.data) == length)
        theirs = await node.event("secure")
        agree(describe(client), theirs)
        assert client.getProtocol() == version
        assert (client.authorized, client.authorizationError) == (True, None)
        expected = tls.X509Certificate(pki.server.cert).fingerprint256
        assert client.getPeerCertificate()["fingerprint256"] == expected
        client.end()
        await received
        assert (received.ended, received.closed, received.errors) == (True, False, [])
        assert digest(received.data) == digest(payload(length))
        assert (await node.event("close"))["hadError"] is False


@both
@pytest_twisted.ensureDeferred
async def test_our_client_ends_its_side_and_still_gets_nodes_answer(
    version: str, loopback: Loopback, pki: Pki
) -> None:
    async with NodePeer("server", serving(pki.server, **only(version)), does="digest") as node:
        client = loopback.dial(await node.event("listening"), allowHalfOpen=True)
        received = Received(client)
        client.end(payload(LARGE))
        await received
        assert bytes(received.data).decode() == digest(payload(LARGE))
        assert (received.ended, received.closed, received.errors) == (True, False, [])


@both
@pytest_twisted.ensureDeferred
async def test_nodes_server_chooses_among_our_protocols(
    version: str, loopback: Loopback, pki: Pki
) -> None:
    options = serving(pki.server, ALPNProtocols=["h2", "http/1.1"], **only(version))
    async with NodePeer("server", options, does="echo") as node:
        port = await node.event("listening")
        for offered, chosen in ((["http/1.1", b"h2"], "h2"), (["http/1.1"], "http/1.1")):
            client = await loopback.secure(port, ALPNProtocols=offered)
            assert client.alpnProtocol == chosen
        received = Received(loopback.dial(port, ALPNProtocols=["x"]))
        await received
        assert received.errors == ["ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL"]
        assert (received.error.alert, received.error.blame) == (120, Blame.PEER)


@both
@pytest_twisted.ensureDeferred
async def test_our_client_gets_the_certificate_of_the_name_it_asks_for(
    version: str, loopback: Loopback, pki: Pki
) -> None:
    other = pki.issue("other.example.test")
    contexts = [["other.example.test", serving(other)]]
    options = serving(pki.server, **only(version))
    async with NodePeer("server", options, does="echo", contexts=contexts) as node:
        port = await node.event("listening")
        client = await loopback.secure(port, servername="other.example.test")
        agree(describe(client), await node.event("secure"))
        expected = tls.X509Certificate(other.cert).fingerprint256
        assert client.getPeerCertificate()["fingerprint256"] == expected
        received = Received(loopback.dial(port, servername="third.example.test"))
        await received
        assert received.errors == ["ERR_TLS_CERT_ALTNAME_INVALID"]


@both
@pytest_twisted.ensureDeferred
async def test_nodes_server_knows_our_client_by_its_certificate(
    version: str, loopback: Loopback, pki: Pki
) -> None:
    options = serving(pki.server, requestCert=True, ca=pki.ca, **only(version))
    async with NodePeer("server", options, does="echo") as node:
        port = await node.event("listening")
        client = await loopback.secure(port, key=pki.client.key, cert=pki.client.cert)
        theirs = await node.event("secure")
        agree(describe(client), theirs)
        assert theirs["authorized"] is True
        assert theirs["peer"] == client.getCertificate()["fingerprint256"]


@both
@pytest.mark.parametrize("who", ["nobody", "a stranger"])
@pytest_twisted.ensureDeferred
async def test_our_client_is_told_that_nodes_server_does_not_know_it(
    version: str, who: str, loopback: Loopback, pki: Pki
) -> None:
    stranger = makePki().client
    identity = {"key": stranger.key, "cert": stranger.cert} if who == "a stranger" else {}
    options = serving(pki.server, requestCert=True, ca=pki.ca, **only(version))
    async with NodePeer("server", options, does="echo") as node:
        port = await node.event("listening")
        ours = Received(loopback.dial(port, **identity))
        await ours
        async with NodePeer(
            "client", {"port": port, "ca": pki.ca, "servername": "localhost", **identity}
        ) as reference:
            await reference.finished()
            # Node's own client hears the same.
            assert ours.errors == [value for name, value in reference.happenings if name == "error"]
            assert ours.ended == ("end" in reference.names)
        assert "secure" not in node.names


@both
@pytest_twisted.ensureDeferred
async def test_our_client_refuses_a_server_that_nobody_vouches_for(
    version: str, loopback: Loopback, pki: Pki
) -> None:
    async with NodePeer("server", serving(makePki().server, **only(version))) as node:
        port = await node.event("listening")
        client = loopback.dial(port)
        client.write(b"a secret")
        received = Received(client)
        await received
        assert received.errors == ["UNABLE_TO_VERIFY_LEAF_SIGNATURE"]
        assert client.authorized is False
        lenient = await loopback.secure(port, rejectUnauthorized=False)
        assert lenient.authorized is False
        assert lenient.authorizationError == "UNABLE_TO_VERIFY_LEAF_SIGNATURE"
        going = Received(lenient)
        lenient.end()
        await going
        # The second connection is the only one whose data Node ever saw.
        assert (await node.event("close"))["length"] == 0
        if version == "TLSv1.3":
            assert node.names.count("secure") == 1


@both
@pytest_twisted.ensureDeferred
async def test_our_client_takes_up_a_session_of_nodes_server(
    version: str, loopback: Loopback, pki: Pki
) -> None:
    async with NodePeer("server", serving(pki.server, **only(version)), does="echo") as node:
        port = await node.event("listening")
        first = loopback.dial(port)
        sessions: list[bytes] = []
        first.on("session", sessions.append)
        received = Received(first)
        first.write(b"hello")
        await until(lambda: received.data == b"hello" and sessions)
        assert first.isSessionReused() is False
        first.end()
        await received
        second = await loopback.secure(port, session=sessions[0])
        assert second.isSessionReused() is True
        assert second.authorized is True
        again = Received(second)
        second.write(payload(LARGE))
        await until(lambda: len(again.data) == LARGE)
        assert digest(again.data) == digest(payload(LARGE))
        second.end()
        await again
        secured = [said for name, said in node.happenings if name == "secure"]
        assert [said["reused"] for said in secured] == [False, True]


@both
@pytest_twisted.ensureDeferred
async def test_our_client_and_nodes_server_share_a_key(
    version: str, loopback: Loopback, pki: Pki
) -> None:
    key = bytes(range(32))
    ciphers = {"ciphers": "PSK" if version == "TLSv1.2" else "TLS_AES_128_GCM_SHA256"}
    known = {"identity": "client one", "key": key.hex()}
    options = {**ciphers, **only(version)}
    async with NodePeer("server", options, psk=known, does="echo") as node:
        port = await node.event("listening")

        def dial(identity: str, secret: bytes) -> Received:
            client = loopback.dial(
                port,
                pskCallback=lambda hint: {"identity": identity, "psk": secret},
                checkServerIdentity=lambda host, certificate: None,
                **ciphers,
            )
            client.write(b"hello")
            return Received(client)

        good = dial("client one", key)
        await until(lambda: good.data == b"hello")
        for identity, secret in (("client two", key), ("client one", bytes(32))):
            bad = dial(identity, secret)
            await bad
            assert bad.errors[0] is not None
            assert bad.errors[0].startswith("ERR_SSL_")
        assert node.names.count("secure") == 1
