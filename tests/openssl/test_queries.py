"""What can be asked of a connection, and what the answers are before there is one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from tests.memory import derOf
from tests.protocol.engines import (
    Pair,
    Side,
    StandardPeer,
    clientEngine,
    exchange,
    serverEngine,
)
from tests.support import Pki
from txnodetls import createSecureContext
from txnodetls.openssl import queries
from txnodetls.openssl.calls import Driver
from txnodetls.openssl.failures import drainErrors
from txnodetls.protocol.engine import verifyMode


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def drivers(pki: Pki, version: str) -> Iterator[tuple[Driver, Driver]]:
    """A client's and a server's, both with certificates."""
    pair = Pair(
        pki,
        version,
        client={
            "context": createSecureContext(
                ca=pki.ca, key=pki.client.key, cert=pki.client.cert, maxVersion=version
            ),
            "alpn": b"\x02h2",
        },
        server={"verifyMode": verifyMode(True, True), "alpn": b"\x02h2"},
    )
    pair.shake()
    yield pair.client.engine.driver, pair.server.engine.driver
    pair.client.engine.close()


def test_version_and_cipher(drivers: tuple[Driver, Driver], version: str) -> None:
    for driver in drivers:
        assert queries.protocol(driver) == version
        cipher = queries.cipher(driver)
        assert cipher is not None
        assert cipher["standardName"].startswith("TLS_")
        assert cipher["version"] == version


def test_certificates(drivers: tuple[Driver, Driver], pki: Pki) -> None:
    client, server = drivers
    ofServer, ofClient = derOf(pki.server.cert), derOf(pki.client.cert)
    assert queries.peerCertificate(client) == queries.ownCertificate(server) == ofServer
    assert queries.peerCertificate(server) == queries.ownCertificate(client) == ofClient
    assert queries.peerChain(client, False)[0] == ofServer
    assert queries.peerChain(server, True)[0] == ofClient
    assert queries.verifyResult(client) == queries.verifyResult(server) == 0


def test_chains_are_in_order_and_hold_each_certificate_once(version: str, pki: Pki) -> None:
    root = trustme.CA()
    middle = root.create_child_ca()
    leaf = middle.issue_cert("localhost", "client@example.test")
    chain = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
    ca = root.cert_pem.bytes()
    options = {"key": leaf.private_key_pem.bytes(), "cert": chain, "ca": ca, "maxVersion": version}
    context = createSecureContext(options)
    pair = Pair(
        pki,
        version,
        client={"context": context},
        server={"context": context, "verifyMode": verifyMode(True, True)},
    ).shake()
    expected = [each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(chain)]
    assert len(expected) >= 2
    assert queries.peerChain(pair.client.engine.driver, False) == expected
    assert queries.peerChain(pair.server.engine.driver, True) == expected


def test_finished_messages_are_each_others(drivers: tuple[Driver, Driver]) -> None:
    client, server = drivers
    for one, other in ((client, server), (server, client)):
        message = queries.finished(one)
        assert message
        assert queries.peerFinished(other) == message


def test_names_and_protocols(drivers: tuple[Driver, Driver]) -> None:
    for driver in drivers:
        assert queries.alpnSelected(driver) == b"h2"
        assert queries.servername(driver) == b"localhost"
    assert queries.groupName(drivers[0])


def test_sessions(drivers: tuple[Driver, Driver]) -> None:
    client, _ = drivers
    session = queries.session(client)
    assert session is not None
    assert queries.ticketOf(session)
    assert queries.sessionIdOf(session) is not None
    assert not queries.sessionReused(client)
    again = Driver(createSecureContext().native, False)
    assert again.setSession(session)
    assert queries.session(again) == session


def test_a_session_without_a_ticket_has_none(pki: Pki) -> None:
    pair = Pair(pki, "TLSv1.2", server={"options": int(SSL.OP_NO_TICKET)}).shake()
    session = queries.session(pair.client.engine.driver)
    assert session is not None
    assert queries.ticketOf(session) is None
    assert len(queries.sessionIdOf(session) or b"") == 32


def test_exported_keys_agree(drivers: tuple[Driver, Driver]) -> None:
    client, server = drivers
    keys = {
        (length, context): queries.exportKeyingMaterial(client, length, b"label", context)
        for length in (1, 32, 500)
        for context in (None, b"", b"context")
    }
    for (length, context), key in keys.items():
        assert key is not None
        assert len(key) == length
        assert queries.exportKeyingMaterial(server, length, b"label", context) == key
    assert keys[32, b"context"] != keys[32, b""]
    assert queries.exportKeyingMaterial(client, 32, b"other", None) != keys[32, None]


def test_python_exports_the_same_channel_binding(version: str, pki: Pki) -> None:
    """RFC 5929 and RFC 9266 stand on the Finished message and on the exporter."""
    peer = StandardPeer(pki, version, isServer=False)
    server = Side(serverEngine(pki, version))
    peer.start()
    exchange(peer, server)
    assert peer.ssl.get_channel_binding("tls-unique") in (
        queries.peerFinished(server.engine.driver),
        queries.finished(server.engine.driver),
    )


def test_before_the_handshake_there_is_nothing(pki: Pki) -> None:
    for driver in (clientEngine(pki).driver, serverEngine(pki).driver):
        assert queries.cipher(driver) is None
        assert queries.alpnSelected(driver) == b""
        assert queries.peerCertificate(driver) is None
        assert queries.peerChain(driver, False) == queries.peerChain(driver, True) == []
        assert queries.finished(driver) is None
        assert queries.peerFinished(driver) is None
        assert queries.session(driver) is None
        assert queries.staple(driver) is None
        assert queries.groupName(driver) is None
        assert not queries.sessionReused(driver)
        assert not queries.madeWithPsk(driver, b"key")
        assert queries.exportKeyingMaterial(driver, 10, b"label", None) is None
        assert drainErrors() == []
    assert queries.ownCertificate(clientEngine(pki).driver) is None
    assert queries.servername(clientEngine(pki, servername=b"a.test").driver) == b"a.test"
