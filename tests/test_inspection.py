"""What a socket tells about its connection: before, during and after it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trustme

from tests.memory import derOf
from tests.support import Credentials, Pki
from tests.tlspairs import identity, memoryPair
from txnodetls import TLSSocket, X509Certificate
from txnodetls.errors import NodeError
from txnodetls.openssl import symbols
from txnodetls.sessions.named import sessionFor
from txnodetls.testing import MemoryPair

QUESTIONS = (
    "getPeerCertificate",
    "getCertificate",
    "getPeerX509Certificate",
    "getX509Certificate",
    "getCipher",
    "getProtocol",
    "getEphemeralKeyInfo",
    "getSharedSigalgs",
    "getFinished",
    "getPeerFinished",
    "getSession",
    "getTLSTicket",
    "isSessionReused",
)
NEEDS_FUNCTIONS = ("getEphemeralKeyInfo", "getSharedSigalgs")


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def version(request: pytest.FixtureRequest) -> str:
    """Each test that names it is made for both."""
    return str(request.param)


def answer(socket: Any, question: str) -> Any:
    try:
        return getattr(socket, question)()
    except NodeError as error:
        if question in NEEDS_FUNCTIONS and error.code == "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM":
            pytest.skip(str(error))
        raise


@pytest.fixture
def mutual(pki: Pki, version: str) -> MemoryPair:
    """Both sides have certificates."""
    server = {"requestCert": True, "ca": pki.ca, "maxVersion": version}
    return memoryPair(pki, server, identity(pki.client))


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_can_be_asked_at_any_moment(question: str, pki: Pki, version: str) -> None:
    """After every step of the handshake and of the end, on both sides."""
    for steps in range(12):
        pair = memoryPair(pki, {"maxVersion": version}, limit=400, pump=False)
        for socket in (pair.client, pair.server):
            socket.on("error", lambda error: None)
            socket.resume()
        for _ in range(steps):
            pair.step()
        for socket in (pair.client, pair.server):
            answer(socket, question)
        pair.pump()
        for socket in (pair.client, pair.server):
            answer(socket, question)
        pair.client.end()
        pair.pump()
        for socket in (pair.client, pair.server):
            assert socket.destroyed
            assert answer(socket, question) is None


def test_before_there_is_a_connection_nothing_is_told_in_nodes_forms() -> None:
    socket = TLSSocket(None)
    assert (socket.getPeerCertificate(), socket.getCertificate()) == ({}, {})
    assert (socket.getSharedSigalgs(), socket.isSessionReused()) == ([], False)
    socket.destroy()
    assert [getattr(socket, question)() for question in QUESTIONS] == [None] * len(QUESTIONS)


def test_certificates(mutual: MemoryPair, pki: Pki) -> None:
    for socket, own, peers in (
        (mutual.client, pki.client, pki.server),
        (mutual.server, pki.server, pki.client),
    ):
        assert socket.getCertificate()["raw"] == derOf(own.cert)  # type: ignore[index]
        assert socket.getPeerCertificate()["raw"] == derOf(peers.cert)  # type: ignore[index]
        assert "issuerCertificate" not in socket.getPeerCertificate()  # type: ignore[operator]
        x509 = socket.getPeerX509Certificate()
        assert isinstance(x509, X509Certificate)
        assert x509.raw == derOf(peers.cert)
        assert socket.getX509Certificate().raw == derOf(own.cert)  # type: ignore[union-attr]


def test_a_detailed_certificate_leads_to_the_root_that_is_its_own_issuer(
    mutual: MemoryPair, pki: Pki
) -> None:
    for socket in (mutual.client, mutual.server):
        certificate = socket.getPeerCertificate(True)
        assert certificate is not None
        root = certificate["issuerCertificate"]
        assert root["raw"] == derOf(pki.ca)
        assert root["issuerCertificate"] is root


def test_chains_are_linked(pki: Pki, version: str) -> None:
    root = trustme.CA()
    leaf = root.create_child_ca().issue_cert("localhost")
    chain = [blob.bytes() for blob in leaf.cert_chain_pems]
    server = Credentials(b"".join(chain), leaf.private_key_pem.bytes())
    pair = memoryPair(
        pki, {**identity(server), "maxVersion": version}, {"ca": root.cert_pem.bytes()}
    )
    assert pair.client.authorized
    certificate = pair.client.getPeerX509Certificate()
    assert certificate is not None
    assert certificate.raw == derOf(chain[0])
    issuer = certificate.issuerCertificate
    assert issuer is not None
    assert issuer.raw == derOf(chain[1])


def test_without_certificates_there_are_none(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version})
    assert pair.server.getPeerCertificate() == {}
    assert pair.server.getPeerCertificate(True) == {}
    assert pair.server.getPeerX509Certificate() is None
    assert pair.client.getCertificate() == {}
    assert pair.client.getX509Certificate() is None


def test_both_sides_agree(mutual: MemoryPair, version: str) -> None:
    client, server = mutual.client, mutual.server
    assert client.getProtocol() == server.getProtocol() == version
    assert client.getCipher() == server.getCipher()
    assert client.getFinished() == server.getPeerFinished()
    assert server.getFinished() == client.getPeerFinished()
    assert client.getFinished() != server.getFinished()
    for context in (None, b"", b"context"):
        keys = [each.exportKeyingMaterial(32, "label", context) for each in (client, server)]
        assert keys[0] == keys[1]
        assert len(keys[0]) == 32


def test_what_only_clients_tell(mutual: MemoryPair) -> None:
    assert answer(mutual.server, "getEphemeralKeyInfo") is None
    assert answer(mutual.client, "getEphemeralKeyInfo")
    assert mutual.server.getTLSTicket() is None
    ticket = mutual.client.getTLSTicket()
    session = mutual.client.getSession()
    assert ticket
    assert session is not None
    assert ticket in session


def test_a_clients_session_has_the_servers_name_in_front_and_a_servers_has_not(
    mutual: MemoryPair,
) -> None:
    client, server = mutual.client.getSession(), mutual.server.getSession()
    assert client is not None
    assert server is not None
    native = sessionFor("localhost", client)
    assert native is not None
    assert native[:1] == server[:1] == b"\x30"


@pytest.mark.usefixtures("mutual")
def test_where_functions_cannot_be_had_the_rest_is_told(
    mutual: MemoryPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    from txnodetls.errors import featureUnavailable

    def refuse(feature: str, *names: str) -> Any:
        raise featureUnavailable(feature, names[0])

    monkeypatch.setattr(symbols, "require", refuse)
    for question in QUESTIONS:
        if question in NEEDS_FUNCTIONS:
            with pytest.raises(NodeError) as raised:
                getattr(mutual.client, question)()
            assert raised.value.code == "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM"
        else:
            getattr(mutual.client, question)()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("32", "label"), "ERR_INVALID_ARG_TYPE"),
        ((True, "label"), "ERR_INVALID_ARG_TYPE"),
        ((32.5, "label"), "ERR_OUT_OF_RANGE"),
        ((math.nan, "label"), "ERR_OUT_OF_RANGE"),
        ((-math.inf, "label"), "ERR_OUT_OF_RANGE"),
        ((0, "label"), "ERR_OUT_OF_RANGE"),
        ((2**31, "label"), "ERR_OUT_OF_RANGE"),
        ((32, b"label"), "ERR_INVALID_ARG_TYPE"),
        ((32, "label", "context"), "ERR_INVALID_ARG_TYPE"),
    ],
)
def test_exporting_is_checked(
    arguments: tuple[Any, ...], code: str, pki: Pki, version: str
) -> None:
    pair = memoryPair(pki, {"maxVersion": version}, pump=False)
    for _ in range(2):
        with pytest.raises(NodeError) as raised:
            pair.client.exportKeyingMaterial(*arguments)
        assert raised.value.code == code
        pair.pump()


def test_nothing_is_exported_before_the_handshake_or_after_the_end(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version}, pump=False)
    pair.clock.advance(0)
    with pytest.raises(NodeError) as raised:
        pair.client.exportKeyingMaterial(32, "label")
    assert raised.value.code == "ERR_TLS_INVALID_STATE"
    pair.pump()
    assert pair.client.exportKeyingMaterial(32.0, "label")  # type: ignore[arg-type]
    pair.client.destroy()
    with pytest.raises(NodeError) as raised:
        pair.client.exportKeyingMaterial(32, "label")
    assert raised.value.code is None
