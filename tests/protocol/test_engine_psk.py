"""Pre-shared keys in the engine: who has proved what."""

from __future__ import annotations

from typing import Any

import pytest

from tests.protocol.engines import Pair, serverContext, serverEngine
from tests.support import Pki
from txnodetls import NodeError, createSecureContext
from txnodetls.openssl import queries
from txnodetls.protocol import events
from txnodetls.protocol.engine import verifyMode

KEY = b"k" * 32


def keyed(pki: Pki, version: str, **settings: Any) -> Pair:
    """A pair that may use a pre-shared key; server, client: the callbacks."""
    ciphers = "ECDHE-PSK-AES128-CBC-SHA256" if version == "TLSv1.2" else "TLS_AES_128_GCM_SHA256"
    ciphers = settings.pop("ciphers", ciphers)
    context = createSecureContext(ciphers=ciphers, minVersion=version, maxVersion=version)
    return Pair(
        pki,
        version,
        client={"context": context, "pskClient": settings.pop("client"), "servername": None},
        server={
            "context": settings.pop("context", None)
            or serverContext(pki, version, ciphers=f"{ciphers}:ALL:@SECLEVEL=0"),
            "pskServer": settings.pop("server"),
            "verifyMode": verifyMode(True, False),
            "sessionIdContext": b"of the tests",
            **settings,
        },
    ).shake()


def test_a_handshake_with_a_pre_shared_key(pki: Pki, version: str) -> None:
    identities = []

    def server(identity: bytes) -> bytes:
        identities.append(identity)
        return KEY

    pair = keyed(pki, version, client=lambda hint: (b"alice", KEY), server=server)
    assert pair.client.secured
    assert set(identities) == {b"alice"}
    assert pair.client.engine.pskSupplied
    assert pair.server.engine.pskSupplied
    assert queries.peerCertificate(pair.client.engine.driver) is None


def test_the_hint_reaches_the_client(pki: Pki) -> None:
    hints = []

    def client(hint: str | None) -> tuple[bytes, bytes]:
        hints.append(hint)
        return b"alice", KEY

    pair = keyed(pki, "TLSv1.2", client=client, server=lambda identity: KEY, pskHint=b"a hint")
    assert pair.client.secured
    assert hints[-1] == "a hint"


def test_a_hint_that_is_too_long_is_refused(pki: Pki) -> None:
    with pytest.raises(NodeError) as raised:
        serverEngine(pki, pskServer=lambda identity: KEY, pskHint=b"h" * 300)
    assert raised.value.code == "ERR_TLS_PSK_SET_IDENTITY_HINT_FAILED"


def test_a_wrong_key_is_refused(pki: Pki, version: str) -> None:
    pair = keyed(
        pki, version, client=lambda hint: (b"alice", b"w" * 32), server=lambda identity: KEY
    )
    assert not pair.server.secured
    assert not pair.server.engine.pskSupplied or "Failed" in pair.server.names
    assert pair.server.names[-1] == "Failed"


@pytest.mark.parametrize("answer", [None, b""])
def test_an_unknown_identity_is_refused_in_tls_1_2(answer: bytes | None, pki: Pki) -> None:
    pair = keyed(
        pki, "TLSv1.2", client=lambda hint: (b"mallory", KEY), server=lambda identity: answer
    )
    assert pair.server.names == ["Failed"]


@pytest.mark.parametrize("answer", [None, b""])
def test_an_unknown_identity_proves_nothing_in_tls_1_3(answer: bytes | None, pki: Pki) -> None:
    """There the handshake goes on with a certificate."""
    pair = keyed(
        pki, "TLSv1.3", client=lambda hint: (b"mallory", KEY), server=lambda identity: answer
    )
    assert pair.server.secured
    assert not pair.server.engine.pskSupplied
    assert not pair.client.engine.pskSupplied


def test_a_key_that_was_not_used_proves_nothing(pki: Pki) -> None:
    """
    A client names somebody's identity, but only a cipher that the key is not for: the callback
    has supplied the key, and the client goes on without ever having shown that it knows it.
    """
    asked = []

    def server(identity: bytes) -> bytes:
        asked.append(identity)
        return KEY

    pair = keyed(
        pki,
        "TLSv1.3",
        ciphers="TLS_AES_256_GCM_SHA384",
        client=lambda hint: (b"alice", b"not her key"),
        server=server,
    )
    assert asked == [b"alice"]
    assert pair.server.secured
    assert not pair.server.engine.pskSupplied
    assert not pair.client.engine.pskSupplied


def test_a_ticket_beside_an_unused_key_proves_nothing(pki: Pki) -> None:
    """The session was made without a certificate; the key does not fit the cipher."""
    context = serverContext(pki, "TLSv1.3", ciphers="TLS_AES_256_GCM_SHA384")
    client = createSecureContext(ca=pki.ca, ciphers="TLS_AES_256_GCM_SHA384")
    first = Pair(pki, "TLSv1.3", server={"context": context}, client={"context": client}).shake()
    session = next(e for e in first.client.events if isinstance(e, events.SessionIssued)).session
    pair = Pair(
        pki,
        "TLSv1.3",
        server={"context": context, "pskServer": lambda i: KEY if i == b"alice" else None},
        client={
            "context": client,
            "session": session,
            "pskClient": lambda hint: (b"alice", b"not her key"),
        },
    ).shake()
    assert queries.sessionReused(pair.server.engine.driver)
    assert not pair.server.engine.pskSupplied


def test_a_key_supplied_for_another_identity_than_the_one_used_proves_nothing(pki: Pki) -> None:
    """
    OpenSSL's clients offer a ticket first; others may name somebody's identity before it, which
    the server passes over because her key does not fit the cipher, but not without asking for it.
    """
    ciphers = "TLS_AES_128_GCM_SHA256"
    context = serverContext(pki, "TLSv1.3", ciphers=ciphers)
    client = createSecureContext(ca=pki.ca, ciphers=ciphers)
    first = Pair(pki, "TLSv1.3", server={"context": context}, client={"context": client}).shake()
    session = next(e for e in first.client.events if isinstance(e, events.SessionIssued)).session
    pair = Pair(
        pki,
        "TLSv1.3",
        server={"context": context, "pskServer": lambda i: KEY if i == b"alice" else None},
        client={"context": client, "session": session},
    )
    pair.client.engine.start()
    pair.server.engine.receive(pair.client.engine.dataToSend())
    # What OpenSSL would ask amid the identities.
    assert pair.server.engine.hookPskServer(b"alice") == KEY
    pair.shake()
    assert pair.server.secured
    assert queries.sessionReused(pair.server.engine.driver)
    assert not pair.server.engine.pskSupplied


def test_a_handshake_with_a_key_brings_a_ticket_that_resumes_and_is_not_renewed(pki: Pki) -> None:
    """To OpenSSL a pre-shared key is a session resumed; but nobody has shown a ticket yet."""

    def server(identity: bytes) -> bytes | None:
        return KEY if identity == b"alice" else None

    def issued(pair: Pair) -> list[bytes]:
        return [e.session for e in pair.client.events if isinstance(e, events.SessionIssued)]

    context = serverContext(pki, "TLSv1.3", ciphers="TLS_AES_128_GCM_SHA256")
    first = keyed(
        pki, "TLSv1.3", client=lambda hint: (b"alice", KEY), server=server, context=context
    )
    assert first.server.engine.pskSupplied
    sessions = issued(first)
    assert sessions
    client = createSecureContext(ciphers="TLS_AES_128_GCM_SHA256")
    again = Pair(
        pki,
        "TLSv1.3",
        client={"context": client, "session": sessions[-1], "servername": None},
        server={"context": context, "pskServer": server},
    ).shake()
    assert queries.sessionReused(again.server.engine.driver)
    assert not again.server.engine.pskSupplied
    assert issued(again) == []


class Oops(Exception):
    """What a callback of the application raises."""


@pytest.mark.parametrize("who", ["client", "server"])
def test_what_a_callback_raises_ends_its_own_connection(who: str, pki: Pki, version: str) -> None:
    error = Oops()

    def raising(*_: object) -> Any:
        raise error

    pair = Pair(pki, version).shake()
    broken = keyed(
        pki,
        version,
        client=raising if who == "client" else lambda hint: (b"alice", KEY),
        server=raising if who == "server" else lambda identity: KEY,
    )
    side = getattr(broken, who)
    assert side.names == ["Failed"]
    assert side.events[0].error is error
    assert pair.client.engine.send(b"x")
    pair.exchange()
    assert pair.server.data == b"x"
