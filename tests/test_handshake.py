"""The order of the questions that docs/handshake.md draws is the order in which they are asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

import txnodetls as tls
from tests.support import PROJECT, Pki
from tests.tlspairs import identity, memoryPair

VERSIONS = ["TLSv1.2", "TLSv1.3"]
KEY = bytes(range(32))


def drawn(title: str) -> list[str]:
    """The names in the drawing under a title, from the top: `side question`."""
    page = (PROJECT / "docs" / "handshake.md").read_text()
    match = re.search(rf"^### {re.escape(title)}$.*?^```text\n(.*?)^```", page, re.M | re.S)
    assert match, f"there is no drawing of {title}"
    lines = re.findall(r"^(server|client) +(\S+)", match[1], re.M)
    return [f"{side} {name}" for side, name in lines]


class Order:
    """Takes down who is asked and told what, in this order; what repeats itself, once."""

    def __init__(self) -> None:
        self.happened: list[str] = []

    def note(self, what: str) -> None:
        if what not in self.happened:
            self.happened.append(what)

    def asks(self, what: str, answer: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*arguments: Any) -> Any:
            self.note(what)
            return answer(*arguments)

        return asked

    def tells(self, emitter: Any, side: str, *names: str) -> None:
        for name in names:
            emitter.on(name, self.asks(f"{side} {name}", lambda *arguments: None))


def withCertificates(pki: Pki, version: str, session: bytes | None, kept: Any) -> tuple[Order, Any]:
    """Everything is asked for; the order, and the client's sessions."""
    order = Order()
    stored: dict[bytes, bytes] = kept

    def keep(identity: bytes, data: bytes, callback: Any) -> None:
        stored[identity] = data
        callback()

    # In TLS 1.2 a session with a ticket needs no store, and is asked of none.
    options = tls.constants.SSL_OP_NO_TICKET if version == "TLSv1.2" else 0
    pair = memoryPair(
        pki,
        {
            "ca": pki.ca,
            "maxVersion": version,
            "secureOptions": options,
            "ticketKeys": bytes(48),
            "sessionIdContext": "order",
            "requestCert": True,
            "SNICallback": order.asks("server SNICallback", lambda name, answer: answer()),
            "ALPNCallback": order.asks("server ALPNCallback", lambda asked: "h2"),
        },
        {
            **identity(pki.client),
            "ALPNProtocols": ["h2"],
            "requestOCSP": True,
            "session": session,
            "checkServerIdentity": order.asks(
                "client checkServerIdentity", lambda host, certificate: None
            ),
        },
        pump=False,
    )
    server, client = pair.listener, pair.client
    server.on(
        "resumeSession",
        order.asks(
            "server resumeSession", lambda identity, answer: answer(None, stored.get(identity))
        ),
    )
    server.on(
        "OCSPRequest",
        order.asks("server OCSPRequest", lambda leaf, issuer, answer: answer(None, None)),
    )
    server.on("newSession", order.asks("server newSession", keep))
    order.tells(server, "server", "secureConnection")
    order.tells(client, "client", "OCSPResponse", "secureConnect", "session")
    sessions: list[bytes] = []
    client.on("session", sessions.append)
    client.resume()
    pair.pump()
    assert pair.client.isSessionReused() is (session is not None)
    return order, sessions


@pytest.mark.parametrize("version", VERSIONS)
def test_the_order_with_certificates(pki: Pki, version: str) -> None:
    kept: dict[bytes, bytes] = {}
    fresh, sessions = withCertificates(pki, version, None, kept)
    assert fresh.happened == drawn(f"{version}, fresh")
    resumed, _ = withCertificates(pki, version, sessions[-1], kept)
    assert resumed.happened == drawn(f"{version}, resumed")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_order_with_a_pre_shared_key(pki: Pki, version: str) -> None:
    order = Order()
    ciphers = "PSK" if version == "TLSv1.2" else "TLS_AES_128_GCM_SHA256"
    both: dict[str, Any] = {"minVersion": version, "maxVersion": version, "ciphers": ciphers}
    known = {"psk": KEY, "identity": "me"}
    pair = memoryPair(
        pki,
        {
            **both,
            "key": None,
            "cert": None,
            "pskCallback": order.asks("server pskCallback", lambda socket, name: KEY),
            "SNICallback": order.asks("server SNICallback", lambda name, answer: answer()),
            "ALPNCallback": order.asks("server ALPNCallback", lambda asked: "h2"),
        },
        {
            **both,
            "ALPNProtocols": ["h2"],
            "pskCallback": order.asks("client pskCallback", lambda hint: known),
            "checkServerIdentity": order.asks(
                "client checkServerIdentity", lambda host, certificate: None
            ),
        },
        pump=False,
    )
    order.tells(pair.listener, "server", "secureConnection")
    order.tells(pair.client, "client", "secureConnect")
    pair.pump()
    assert order.happened == drawn(f"{version}, with a pre-shared key")


def test_the_order_with_a_certificate_asked_for_later(pki: Pki) -> None:
    order = Order()
    pair = memoryPair(
        pki,
        {"ca": pki.ca, "ticketKeys": bytes(48)},
        {**identity(pki.client), "postHandshakeAuth": True},
        pump=False,
    )
    kept = order.asks("server newSession", lambda *given: given[-1]())
    pair.listener.on("newSession", lambda *given: kept(*given))
    pair.pump()
    order.happened.clear()
    order.tells(pair.client, "client", "session")
    pair.server.on("data", lambda data: order.note("server data"))
    pair.client.on("data", lambda data: pair.client.write(b"behind"))
    order.note("server requestPostHandshakeAuth")
    pair.server.requestPostHandshakeAuth(None, order.asks("server callback", lambda error: None))
    pair.server.write(b"x")
    pair.pump()
    assert order.happened == drawn("TLSv1.3, a certificate asked for later")


def test_every_question_stands_in_the_drawings() -> None:
    page = (PROJECT / "docs" / "handshake.md").read_text()
    for name in (
        "resumeSession",
        "SNICallback",
        "ALPNCallback",
        "OCSPRequest",
        "pskCallback",
        "newSession",
        "checkServerIdentity",
        "OCSPResponse",
        "session",
        "secureConnect",
        "secureConnection",
    ):
        assert re.search(rf"^(server|client) +{name}\b", page, re.M), name
