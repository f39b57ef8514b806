"""The handshake's questions with others: staples, keys, key logs, new handshakes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

import txnodetls as tls
from tests.interop.peers import NodePeer, Peer, opensslPeer
from tests.loopback import Loopback, Received, echo, until
from tests.stapling import Authority, derOf
from tests.support import Pki, happened
from txnodetls.keylog import KeyLogFile

both = pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
KEY = bytes(range(32))


@pytest_twisted.async_yield_fixture
async def loopback(pki: Pki) -> Any:
    async with Loopback(pki) as opened:
        yield opened


@pytest.fixture(scope="module")
def staple(pki: Pki) -> bytes:
    return Authority(pki).response(derOf(pki.server.cert), now=time.time())


def only(version: str) -> dict[str, str]:
    return {"minVersion": version, "maxVersion": version}


def switch(version: str) -> str:
    return {"TLSv1.2": "-tls1_2", "TLSv1.3": "-tls1_3"}[version]


def toUs(server: Any, pki: Pki, **more: Any) -> dict[str, Any]:
    """The options of Node's client for our server."""
    return {"port": server.address()["port"], "ca": pki.ca, "servername": "localhost", **more}


def ofNode(pki: Pki, **more: Any) -> dict[str, Any]:
    """The options of Node's server."""
    return {"key": pki.server.key, "cert": pki.server.cert, **more}


def toServer(server: Any, pki: Pki, tmp_path: Path, *more: str) -> Peer:
    """C{openssl s_client} at our server."""
    (tmp_path / "ca.crt").write_bytes(pki.ca)
    where = ("-connect", f"127.0.0.1:{server.address()['port']}", "-CAfile", "ca.crt")
    return opensslPeer("s_client", *where, *more, cwd=tmp_path)


async def exchanged(client: Any) -> None:
    """A line has gone there and come back."""
    received = Received(client)
    client.write(b"a line")
    await until(lambda: received.data == b"a line")


# -- staples


@both
@pytest_twisted.ensureDeferred
async def test_nodes_client_gets_our_staple_or_none(
    version: str, loopback: Loopback, pki: Pki, staple: bytes
) -> None:
    server = await loopback.serve(ca=pki.ca, **only(version))
    answers: list[bytes | None] = [None, staple]
    asked: list[tuple[bytes, bytes]] = []

    def answer(certificate: bytes, issuer: bytes, callback: Any) -> None:
        asked.append((certificate, issuer))
        callback(None, answers.pop())

    server.on("OCSPRequest", answer)
    for expected in (staple.hex(), None):
        options = toUs(server, pki, requestOCSP=True)
        async with NodePeer("client", options, send="a line", ends="echoed") as node:
            assert await node.event("staple") == expected
            await node.finished()
    assert asked == [(derOf(pki.server.cert), derOf(pki.ca))] * 2


@both
@pytest_twisted.ensureDeferred
async def test_our_client_gets_nodes_staple_or_none(
    version: str, loopback: Loopback, pki: Pki, staple: bytes
) -> None:
    for expected in (staple, None):
        said = None if expected is None else expected.hex()
        options = ofNode(pki, ca=pki.ca, **only(version))
        async with NodePeer("server", options, ocsp=said) as node:
            client = loopback.dial(await node.event("listening"), requestOCSP=True)
            assert await happened(client, "OCSPResponse") == (expected,)
            await happened(client, "secureConnect")
            await exchanged(client)
            asked = await node.event("asked")
            assert asked["certificate"] == derOf(pki.server.cert).hex()


@both
@pytest_twisted.ensureDeferred
async def test_our_client_cannot_go_on_with_bytes_that_are_no_staple(
    version: str, loopback: Loopback, pki: Pki
) -> None:
    """Node hands them on; OpenSSL 4 ends the handshake (tests/openssl/test_staples.py)."""
    async with NodePeer("server", ofNode(pki, **only(version)), ocsp=b"whatever".hex()) as node:
        client = loopback.dial(await node.event("listening"), requestOCSP=True)
        received = Received(client)
        await received
        # As in Node the code is that of the first of several errors; the last says what it means.
        assert "bad certificate status response" in received.error.opensslErrorStack[-1]
        assert len(received.errors) == 1


# -- key logs


async def keysOf(node: NodePeer, count: int) -> list[str]:
    """The lines that Node tells, sorted."""

    def lines() -> list[str]:
        return sorted(value for name, value in node.happenings if name == "keylog")

    await until(lambda: len(lines()) >= count)
    return lines()


@both
@pytest_twisted.ensureDeferred
async def test_both_sides_log_the_same_keys(version: str, loopback: Loopback, pki: Pki) -> None:
    ours: list[bytes] = []
    server = await loopback.serve(**only(version))
    server.on("keylog", lambda line, socket: ours.append(line))
    async with NodePeer(
        "client", toUs(server, pki), send="a line", ends="echoed", keylog=True
    ) as node:
        await node.finished()
        assert await keysOf(node, len(ours)) == sorted(line.decode() for line in ours)
    ours.clear()
    async with NodePeer("server", ofNode(pki, **only(version)), keylog=True) as node:
        client = loopback.dial(await node.event("listening"))
        client.on("keylog", ours.append)
        await happened(client, "secureConnect")
        await exchanged(client)
        assert await keysOf(node, len(ours)) == sorted(line.decode() for line in ours)
    assert len(ours) == (1 if version == "TLSv1.2" else 5)


@both
@pytest_twisted.ensureDeferred
async def test_s_client_logs_the_same_keys(
    version: str, loopback: Loopback, pki: Pki, tmp_path: Path
) -> None:
    server = await loopback.serve(**only(version))
    with KeyLogFile(tmp_path / "ours") as log:
        server.on("keylog", log)
        async with toServer(server, pki, tmp_path, "-keylogfile", "theirs") as client:
            client.write(b"a line\n")
            await client.said(rb"(?m)a line$")
            client.closeInput()
            assert await client.ended() == 0
    theirs = (tmp_path / "theirs").read_text().splitlines()
    lines = sorted(line for line in theirs if not line.startswith("#"))
    assert lines == sorted((tmp_path / "ours").read_text().splitlines())


# -- pre-shared keys


@both
@pytest_twisted.ensureDeferred
async def test_s_client_shares_a_key_with_our_server(
    version: str, loopback: Loopback, pki: Pki, tmp_path: Path
) -> None:
    asked: list[str] = []

    def lookUp(socket: Any, identity: str) -> bytes | None:
        asked.append(identity)
        return KEY if identity == "client one" else None

    ciphers = "PSK" if version == "TLSv1.2" else "TLS_AES_128_GCM_SHA256"
    server = await loopback.serve(
        pskCallback=lookUp, pskIdentityHint="who?", ciphers=ciphers, **only(version)
    )
    suite = ("-cipher", "PSK") if version == "TLSv1.2" else ("-ciphersuites", ciphers)
    for identity, key, good in (
        ("client one", KEY, True),
        ("client two", KEY, False),
        ("client one", bytes(32), False),
    ):
        known = ("-psk_identity", identity, "-psk", key.hex(), *suite, switch(version))
        async with toServer(server, pki, tmp_path, *known) as client:
            client.write(b"a line\n")
            if good:
                await client.said(rb"(?m)a line$")
                if version == "TLSv1.2":
                    assert b"PSK identity hint: who?" in client.output
                client.closeInput()
            else:
                assert await client.ended() != 0
    assert asked == ["client one", "client two", "client one"]
    assert len(server.secured) == 1


@both
@pytest_twisted.ensureDeferred
async def test_our_client_shares_a_key_with_s_server(
    version: str, loopback: Loopback, tmp_path: Path
) -> None:
    suite = ("-cipher", "PSK") if version == "TLSv1.2" else ()
    known = ("-psk_identity", "client one", "-psk", KEY.hex(), "-psk_hint", "who?", *suite)
    serving = ("s_server", "-accept", "127.0.0.1:0", "-nocert", "-rev", switch(version), *known)
    async with opensslPeer(*serving, cwd=tmp_path) as server:
        port = int((await server.said(rb"ACCEPT [0-9.]+:(\d+)"))[1])
        hints: list[str | None] = []

        def pskCallback(hint: str | None) -> dict[str, Any]:
            hints.append(hint)
            return {"psk": KEY, "identity": "client one"}

        client = loopback.dial(
            port,
            pskCallback=pskCallback,
            checkServerIdentity=lambda host, certificate: None,
            ciphers="PSK" if version == "TLSv1.2" else "TLS_AES_128_GCM_SHA256",
            **only(version),
        )
        received = Received(client)
        client.write(b"a line\n")
        await until(lambda: received.data == b"enil a\n")
        assert client.authorized
        assert hints[0] == ("who?" if version == "TLSv1.2" else None)
        client.end()
        await received


# -- new handshakes


@pytest_twisted.ensureDeferred
async def test_nodes_client_shakes_hands_again_with_our_server(
    loopback: Loopback, pki: Pki
) -> None:
    server = await loopback.serve(**only("TLSv1.2"))
    async with NodePeer(
        "client", toUs(server, pki), send="a line", ends="echoed", renegotiates={"x": 1}
    ) as node:
        assert await node.event("renegotiates") is True
        assert (await node.event("renegotiated"))["protocol"] == "TLSv1.2"
        await node.finished()


@pytest_twisted.ensureDeferred
async def test_our_client_shakes_hands_again_with_nodes_server(
    loopback: Loopback, pki: Pki
) -> None:
    async with NodePeer("server", ofNode(pki, **only("TLSv1.2")), does="echo") as node:
        client = await loopback.secure(await node.event("listening"))
        before = client.getFinished()
        done: list[Any] = []
        assert client.renegotiate({}, done.append) is True
        await until(lambda: done)
        assert done == [None]
        assert client.getFinished() != before
        await exchanged(client)


@pytest_twisted.ensureDeferred
async def test_our_server_asks_nodes_client_for_its_certificate_after_all(
    loopback: Loopback, pki: Pki
) -> None:
    done: list[Any] = []

    def ask(socket: Any) -> None:
        echo(socket)
        wanted = {"requestCert": True, "rejectUnauthorized": True}
        assert socket.renegotiate(wanted, lambda error: done.append((error, socket.authorized)))

    server = await loopback.serve(ask, ca=pki.ca, **only("TLSv1.2"))
    known = {"key": pki.client.key, "cert": pki.client.cert}
    async with NodePeer("client", toUs(server, pki, **known), send="a line") as node:
        await node.event("secure")
        await until(lambda: done)
        assert done == [(None, True)]
        (socket,) = server.secured
        expected = tls.X509Certificate(pki.client.cert).fingerprint256
        assert socket.getPeerCertificate()["fingerprint256"] == expected


@pytest_twisted.ensureDeferred
async def test_nodes_server_asks_our_client_for_its_certificate_after_all(
    loopback: Loopback, pki: Pki
) -> None:
    """rejectUnauthorized would end it: Node resumes the session, which asks for nothing."""
    wanted = {"requestCert": True, "rejectUnauthorized": False}
    options = ofNode(pki, ca=pki.ca, **only("TLSv1.2"))
    async with NodePeer("server", options, does="echo", renegotiates=wanted) as node:
        known = {"key": pki.client.key, "cert": pki.client.cert}
        client = await loopback.secure(await node.event("listening"), **known)
        await exchanged(client)
        assert (await node.event("renegotiated"))["protocol"] == "TLSv1.2"


@pytest_twisted.ensureDeferred
async def test_in_tls_1_3_nobody_shakes_hands_again(loopback: Loopback, pki: Pki) -> None:
    server = await loopback.serve(**only("TLSv1.3"))
    options = toUs(server, pki)
    async with NodePeer(
        "client", options, send="a line", ends="echoed", renegotiates={"x": 1}
    ) as node:
        assert await node.event("renegotiates") is False
        await node.finished()
    client = await loopback.secure(server)
    refused: list[Any] = []
    assert client.renegotiate({}, refused.append) is False
    await until(lambda: refused)
    assert isinstance(refused[0], tls.NodeError)
