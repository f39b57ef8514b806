"""`setKeyCert`: another certificate for one connection."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted

import txnodetls as tls
from tests.loopback import Loopback, Received, until
from tests.support import Pki, happened
from txnodetls.errors import NodeError, NodeTypeError


async def wrapping(loopback: Loopback, prepare: Any, **options: Any) -> Any:
    """A plain server whose connections become TLS sockets; `prepare` gets each of them."""
    server = tls.net.createServer()
    loopback.servers.append(server)
    server.wrapped = []

    def wrap(below: Any) -> None:
        credentials = {"key": loopback.pki.server.key, "cert": loopback.pki.server.cert}
        socket = tls.TLSSocket(below, {"isServer": True, **credentials, **options})
        socket.on("error", lambda raised: None)
        loopback.sockets.append(socket)
        server.wrapped.append(socket)
        prepare(socket)

    server.on("connection", wrap)
    listening = happened(server, "listening")
    server.listen(0, "127.0.0.1")
    await listening
    return server


def otherName(pki: Pki, name: str = "other.test") -> dict[str, Any]:
    credentials = pki.issue(name)
    return {"key": credentials.key, "cert": credentials.cert}


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("made", [False, True], ids=["options", "context"])
@pytest_twisted.ensureDeferred
async def test_a_server_shows_the_certificate_that_was_set(
    pki: Pki, version: str, made: bool
) -> None:
    options = otherName(pki)
    given = tls.createSecureContext(options) if made else options
    async with Loopback(pki) as loopback:
        server = await wrapping(loopback, lambda socket: socket.setKeyCert(given))
        client = await loopback.secure(server, servername="other.test", maxVersion=version)
        assert client.getPeerCertificate()["subjectaltname"] == "DNS:other.test"
        assert len(server.wrapped) == 1


@pytest_twisted.ensureDeferred
async def test_it_counts_more_than_a_context_chosen_by_name(pki: Pki) -> None:
    own = tls.createSecureContext(otherName(pki))
    chosen = tls.createSecureContext(otherName(pki, "chosen.test"))
    async with Loopback(pki) as loopback:
        server = await wrapping(
            loopback,
            lambda socket: socket.setKeyCert(own),
            SNICallback=lambda name, callback: callback(None, chosen),
        )
        client = await loopback.secure(server, servername="other.test")
        assert client.getPeerCertificate()["subjectaltname"] == "DNS:other.test"


@pytest_twisted.ensureDeferred
async def test_it_can_be_set_while_the_protocol_is_chosen(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        sockets: list[Any] = []

        def choose(asked: dict[str, Any]) -> str:
            sockets[0].setKeyCert(otherName(pki, "h2.test"))
            return "h2"

        server = await wrapping(loopback, sockets.append, ALPNCallback=choose)
        client = await loopback.secure(server, servername="h2.test", ALPNProtocols=["h2"])
        assert client.alpnProtocol == "h2"
        assert client.getPeerCertificate()["subjectaltname"] == "DNS:h2.test"


@pytest_twisted.ensureDeferred
async def test_a_client_shows_the_certificate_that_was_set(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(requestCert=True, ca=pki.ca)
        client = loopback.dial(server)
        client.setKeyCert({"key": pki.client.key, "cert": pki.client.cert, "ca": pki.ca})
        await until(lambda: server.secured)
        assert server.secured[0].authorized
        certificate = server.secured[0].getPeerCertificate()
        assert "client@example.test" in certificate["subjectaltname"]


@pytest_twisted.ensureDeferred
async def test_what_was_set_later_is_shown_in_the_next_handshake(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(maxVersion="TLSv1.2")
        client = await loopback.secure(server, checkServerIdentity=lambda *_: None)
        await until(lambda: server.secured)
        before = client.getPeerCertificate()["fingerprint256"]
        server.secured[0].setKeyCert(otherName(pki))
        assert client.getPeerCertificate()["fingerprint256"] == before
        told: list[Any] = []
        client.renegotiate({}, told.append)
        await until(lambda: told)
        assert client.getPeerCertificate()["subjectaltname"] == "DNS:other.test"


@pytest_twisted.ensureDeferred
async def test_who_asks_within_secureConnect_is_told_of_the_handshake_asked_for(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(maxVersion="TLSv1.2")
        client = loopback.dial(server)
        finished: list[bytes] = []

        def ask() -> None:
            finished.append(client.getFinished())
            client.renegotiate({}, lambda error: finished.append(client.getFinished()))

        client.once("secureConnect", ask)
        await until(lambda: len(finished) == 2)
        assert finished[0] != finished[1]


@pytest_twisted.ensureDeferred
async def test_another_certificate_than_before_is_judged_anew(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve(maxVersion="TLSv1.2")
        client = await loopback.secure(server)
        await until(lambda: server.secured)
        received = Received(client)
        server.secured[0].setKeyCert(otherName(pki))
        client.renegotiate({})
        await received
        assert received.errors == ["ERR_TLS_CERT_ALTNAME_INVALID"]


@pytest_twisted.ensureDeferred
async def test_what_is_no_certificate_is_refused(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        client = await loopback.secure(await loopback.serve())
        with pytest.raises(NodeTypeError) as wrong:
            client.setKeyCert(3)
        assert wrong.value.code == "ERR_INVALID_ARG_TYPE"
        for nothing in ({}, None):
            with pytest.raises(NodeError) as none:
                client.setKeyCert(nothing)
            assert none.value.message == "SetKeyCert"
        client.destroy()
        client.setKeyCert(3)
