"""
Where this package differs from Node on purpose: what is to happen instead.

The corpus of recorded traces leaves these scenarios out of its figures
(`decided.json`); each has a test here that carries its name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
import pytest_twisted
import trustme
from twisted.internet import defer

import txnodetls as tls
from tests.support import PROJECT, Pki, eventually, happened
from txnodetls.errors import NodeTypeError

DECIDED: set[str] = set()
Test = TypeVar("Test", bound=Callable[..., Any])


def decided(*scenarios: str) -> Callable[[Test], Test]:
    """The test stands for these scenarios."""
    DECIDED.update(scenarios)
    return lambda test: test


@pytest.fixture
def closing() -> Iterator[list[Any]]:
    """Servers and sockets put here are ended with the test."""
    opened: list[Any] = []
    yield opened
    for each in reversed(opened):
        if isinstance(each, tls.Server):
            each.close()
        else:
            each.destroy()


async def serving(closing: list[Any], options: dict[str, Any], listener: Any = None) -> Any:
    """A server that listens on a port of its own, echoing unless given a listener."""
    server = tls.createServer(options, listener or (lambda socket: socket.pipe(socket)))
    closing.append(server)
    listening = happened(server, "listening")
    server.listen(0, "127.0.0.1")
    await listening
    return server


def connecting(closing: list[Any], server: Any, pki: Pki, **options: Any) -> Any:
    """A client of that server, which trusts the authority and asks for localhost."""
    wanted = {"ca": pki.ca, "servername": "localhost", **options}
    socket = tls.connect({"port": server.address()["port"], "host": "127.0.0.1", **wanted})
    closing.append(socket)
    return socket


@decided("timeout-sni-never")
@pytest_twisted.ensureDeferred
async def test_a_handshake_that_times_out_is_closed_and_the_late_answer_does_nothing(
    pki: Pki, closing: list[Any]
) -> None:
    asked: list[Any] = []
    secured: list[Any] = []
    options = {
        "key": pki.server.key,
        "cert": pki.server.cert,
        "handshakeTimeout": 500,
        "SNICallback": lambda name, answer: asked.append(answer),
    }
    server = await serving(closing, options, secured.append)
    failing = happened(server, "tlsClientError", fails=False)
    client = connecting(closing, server, pki)
    gone = happened(client, "close", fails=False)
    reported = happened(client, "error")

    error, socket = await failing
    assert error.code == "ERR_TLS_HANDSHAKE_TIMEOUT"
    (reset,) = await reported
    assert reset.code == "ECONNRESET"
    assert await gone == (True,)
    await eventually(lambda: socket.destroyed)

    (answer,) = asked
    answer(None, None)
    answer(None, tls.createSecureContext({"key": pki.server.key, "cert": pki.server.cert}))
    turn: defer.Deferred[None] = defer.Deferred()
    from twisted.internet import reactor

    reactor.callLater(0.02, turn.callback, None)  # type: ignore[attr-defined]
    await turn
    assert secured == []


@decided("sni-quirk-ec-default-rsa-context-12")
@pytest_twisted.ensureDeferred
async def test_a_context_chosen_by_sni_replaces_the_certificates_of_the_default(
    closing: list[Any],
) -> None:
    authority = trustme.CA()
    default = authority.issue_cert("default.example.test", key_type=trustme.KeyType.ECDSA)
    chosen = authority.issue_cert("a.example.test", key_type=trustme.KeyType.RSA)

    def credentials(leaf: trustme.LeafCert) -> dict[str, bytes]:
        return {"key": leaf.private_key_pem.bytes(), "cert": leaf.cert_chain_pems[0].bytes()}

    server = await serving(closing, {**credentials(default), "maxVersion": "TLSv1.2"})
    server.addContext("a.example.test", credentials(chosen))

    def connect(name: str, ciphers: str) -> Any:
        options = {"ca": authority.cert_pem.bytes(), "servername": name, "ciphers": ciphers}
        target = {"port": server.address()["port"], "host": "127.0.0.1"}
        client = tls.connect({**target, **options})
        closing.append(client)
        return client

    # ECDSA comes first with both ends: were the certificates added up, it would be taken.
    both = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"
    client = connect("a.example.test", both)
    await happened(client, "secureConnect")
    assert client.getCipher()["name"] == "ECDHE-RSA-AES128-GCM-SHA256"
    assert client.getPeerCertificate()["subjectaltname"] == "DNS:a.example.test"
    assert client.authorized is True

    other = connect("default.example.test", both)
    await happened(other, "secureConnect")
    assert other.getCipher()["name"] == "ECDHE-ECDSA-AES128-GCM-SHA256"

    refused = happened(server, "tlsClientError", fails=False)
    failed = happened(connect("a.example.test", "ECDHE-ECDSA-AES128-GCM-SHA256"), "error")
    error, _ = await refused
    assert error.code == "ERR_SSL_NO_SHARED_CIPHER"
    await failed


@decided("alpn-mixed-list")
@pytest_twisted.ensureDeferred
async def test_a_list_of_alpn_protocols_may_mix_str_and_bytes(pki: Pki, closing: list[Any]) -> None:
    options = {"key": pki.server.key, "cert": pki.server.cert, "ALPNProtocols": ["h2", b"x"]}
    server = await serving(closing, options)
    accepted = happened(server, "secureConnection")
    client = connecting(closing, server, pki, ALPNProtocols=["x"])
    await happened(client, "secureConnect")
    (socket,) = await accepted
    assert (client.alpnProtocol, socket.alpnProtocol) == ("x", "x")


@decided("sessions-string-12", "sessions-string-13")
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest_twisted.ensureDeferred
async def test_a_session_as_a_str_is_refused(pki: Pki, closing: list[Any], version: str) -> None:
    options = {"key": pki.server.key, "cert": pki.server.cert, "maxVersion": version}
    server = await serving(closing, options)
    client = connecting(closing, server, pki)
    (session,) = await happened(client, "session")
    with pytest.raises(NodeTypeError) as refused:
        connecting(closing, server, pki, session=session.decode("latin-1"))
    assert refused.value.code == "ERR_INVALID_ARG_TYPE"

    client.destroy()
    resumed = connecting(closing, server, pki, session=session)
    await happened(resumed, "secureConnect")
    assert resumed.isSessionReused() is True


@decided("identity-hostname-jsvalues")
@pytest.mark.parametrize("hostname", [5, None, True, b"localhost"])
def test_only_a_str_is_a_hostname(hostname: object) -> None:
    with pytest.raises(NodeTypeError) as refused:
        tls.checkServerIdentity(hostname, {"subject": {"CN": str(hostname)}})  # type: ignore
    assert refused.value.code == "ERR_INVALID_ARG_TYPE"


@decided("reneg-badargs")
@pytest_twisted.ensureDeferred
async def test_renegotiate_with_none_for_a_callback_renegotiates(
    pki: Pki, closing: list[Any]
) -> None:
    options = {"key": pki.server.key, "cert": pki.server.cert, "maxVersion": "TLSv1.2"}
    server = await serving(closing, options)
    client = connecting(closing, server, pki)
    await happened(client, "secureConnect")

    wrong: list[tuple[Any, ...]] = [(), (None,), ("x",), (1,), ({}, "x"), ({}, 1)]
    for arguments in wrong:
        with pytest.raises(TypeError) as refused:
            client.renegotiate(*arguments)
        assert getattr(refused.value, "code", "ERR_INVALID_ARG_TYPE") == "ERR_INVALID_ARG_TYPE"

    again = happened(client, "secure")
    assert client.renegotiate({}, None) is True
    await again
    echoed = happened(client, "data")
    client.write("hello")
    assert await echoed == (b"hello",)


@decided("util-getca")
def test_getcacertificates_of_none_is_that_of_nothing() -> None:
    assert tls.getCACertificates(None) == tls.getCACertificates("default")
    assert len(tls.getCACertificates(None)) > 50


def test_every_decision_has_its_test() -> None:
    path = PROJECT.parent / "shared" / "conformance" / "decided.json"
    if not path.exists():
        pytest.skip("the corpus is not here")
    assert {key.partition("#")[0] for key in json.loads(path.read_text())} == DECIDED
