"""The trampolines: whom they ask, and whose errors they keep apart."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from typing import Any

import pytest
from OpenSSL import SSL

from tests.protocol.engines import Pair, Side, StandardPeer, clientEngine, exchange, serverContext
from tests.support import Pki
from txnodetls import createSecureContext
from txnodetls.openssl import hooks
from txnodetls.openssl.calls import Driver, sslKey
from txnodetls.protocol import events
from txnodetls.protocol.engine import EngineSettings, TLSEngine

CIPHERS = "ECDHE-PSK-AES128-CBC-SHA256:TLS_AES_128_GCM_SHA256"
KEY = b"k" * 32


class Oops(Exception):
    """What a callback of the application raises."""


class Bare:
    """A registered connection whose answers a test sets."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.failed: list[BaseException] = []

    def __getattr__(self, name: str) -> Any:
        answer = self.answers[name]
        return answer if callable(answer) else lambda *_: answer

    def hookFailed(self, error: BaseException) -> None:
        self.failed.append(error)


def serverSide(native: SSL.Context, **answers: Any) -> tuple[Driver, Bare]:
    driver, bare = Driver(native, True), Bare(**answers)
    hooks.register(driver, bare)
    return driver, bare


def shake(driver: Driver, peer: StandardPeer) -> int:
    """The last outcome of the server's handshake."""
    outcome = 0
    peer.start()
    for _ in range(4):
        data = peer.output()
        if data:
            driver.feed(data)
        outcome = driver.handshake()
        peer.receive(driver.take())
    return outcome


def peerWith(pki: Pki, *protocols: str) -> StandardPeer:
    return StandardPeer(pki, "TLSv1.3", isServer=False, alpn=list(protocols))


@pytest.mark.parametrize(
    ("answer", "selected"), [(b"b", "b"), (b"a", "a"), (None, None), (b"", None)]
)
def test_the_chosen_protocol_is_agreed_on(
    answer: bytes | None, selected: str | None, pki: Pki
) -> None:
    native = serverContext(pki).native
    hooks.enable(native, "alpn")
    driver, bare = serverSide(native, hookALPN=answer)
    peer = peerWith(pki, "a", "b")
    shake(driver, peer)
    assert peer.secured == (answer != b"")
    assert peer.ssl.selected_alpn_protocol() == selected
    assert bare.failed == []


def test_a_refusal_and_an_answer_that_was_not_offered_are_alerts(pki: Pki) -> None:
    for answer in (False, b"c"):
        native = serverContext(pki).native
        hooks.enable(native, "alpn")
        driver, bare = serverSide(native, hookALPN=answer)
        peer = peerWith(pki, "a", "b")
        shake(driver, peer)
        assert peer.error is not None
        assert "no application protocol" in str(peer.error)
        assert bare.failed == []


def test_what_is_raised_is_a_refusal_and_a_note(pki: Pki) -> None:
    error = Oops()

    def raising(*_: Any) -> Any:
        raise error

    native = serverContext(pki).native
    hooks.enable(native, "alpn")
    driver, bare = serverSide(native, hookALPN=raising)
    peer = peerWith(pki, "a")
    shake(driver, peer)
    assert peer.error is not None
    assert bare.failed == [error]


def test_even_a_keyboardinterrupt_stays_on_its_connection(pki: Pki) -> None:
    """There is no way to raise it through OpenSSL; what is raised there is printed and lost."""

    def raising(*_: Any) -> Any:
        raise KeyboardInterrupt

    native = serverContext(pki).native
    hooks.enable(native, "keylog")
    driver, bare = serverSide(native, hookKeylog=raising)
    peer = peerWith(pki)
    shake(driver, peer)
    assert peer.secured
    assert {type(error) for error in bare.failed} == {KeyboardInterrupt}


def test_connections_of_one_context_are_told_apart(pki: Pki) -> None:
    native = serverContext(pki).native
    hooks.enable(native, "alpn")
    pairs = [
        (*serverSide(native, hookALPN=name.encode()), peerWith(pki, "a", "b", "c"), name)
        for name in "abc"
    ]
    for _, _, peer, _ in pairs:
        peer.start()
    for _ in range(4):
        for driver, _, peer, _ in pairs:
            if data := peer.output():
                driver.feed(data)
            driver.handshake()
            peer.receive(driver.take())
    assert [peer.ssl.selected_alpn_protocol() for _, _, peer, _ in pairs] == ["a", "b", "c"]


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_an_error_reaches_the_connection_that_it_is_of_and_no_other(version: str, pki: Pki) -> None:
    """Two handshakes under one context, step by step in turn; the one raises, the other goes on."""
    error = Oops()
    context = serverContext(pki, version, ciphers=CIPHERS)
    client = createSecureContext(ciphers=CIPHERS, minVersion=version, maxVersion=version)

    def raising(identity: bytes) -> bytes:
        raise error

    pairs = [
        Pair(
            pki,
            version,
            server={"context": context, "pskServer": answer},
            client={"context": client, "pskClient": lambda hint: (b"me", KEY)},
        )
        for answer in (lambda identity: KEY, raising)
    ]
    good, bad = pairs
    for pair in pairs:
        pair.client.start()
    for _ in range(4):
        for pair in pairs:
            pair.server.receive(pair.client.output())
            pair.client.receive(pair.server.output())
    assert good.client.secured
    assert good.server.secured
    assert bad.server.one(events.Failed).error is error
    assert "Failed" not in good.server.names


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_a_connection_that_wants_nothing_is_not_touched_by_one_that_does(
    version: str, pki: Pki
) -> None:
    """They share a context, on which every trampoline is installed by now."""
    context = serverContext(pki, version, ciphers=f"{CIPHERS}:ALL")
    Pair(
        pki,
        version,
        server={
            "context": context,
            "alpn": b"\x01x",
            "keylog": True,
            "pskServer": lambda identity: KEY,
            "askAboutHello": True,
        },
    ).shake()
    hooks.enable(context.native, "status")
    plain = Pair(
        pki,
        version,
        server={"context": context},
        client={"alpn": b"\x01a\x01b", "requestStaple": True},
    ).shake()
    assert plain.server.names == ["HandshakeCompleted"]
    assert plain.client.secured
    assert plain.client.one(events.StapleReceived).staple is None


def test_a_forgotten_connection_is_not_asked(pki: Pki) -> None:
    native = serverContext(pki).native
    hooks.enable(native, "alpn")
    driver, bare = serverSide(native, hookALPN=b"a")
    hooks.unregister(driver)
    hooks.unregister(driver)
    peer = peerWith(pki, "a")
    shake(driver, peer)
    assert peer.secured
    assert peer.ssl.selected_alpn_protocol() is None
    assert bare.failed == []


def test_a_trampoline_is_installed_once(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    native = serverContext(pki).native
    installed = []
    monkeypatch.setitem(hooks._INSTALLERS, "keylog", installed.append)
    for _ in range(3):
        hooks.enable(native, "keylog")
    assert installed == [native._context]


def test_the_table_keeps_no_connection_and_no_context_alive(pki: Pki) -> None:
    native = serverContext(pki).native
    hooks.enable(native, "alpn")
    driver, bare = serverSide(native, hookALPN=b"a")
    key = sslKey(driver.ssl)
    watched = weakref.ref(bare)
    del bare
    gc.collect()
    assert watched() is None
    assert key not in hooks._connections
    watchedContext = weakref.ref(native)
    del native, driver
    gc.collect()
    assert watchedContext() is None


def test_a_pre_shared_key_that_is_too_long_is_none(pki: Pki) -> None:
    context = serverContext(pki, "TLSv1.2", ciphers=CIPHERS)
    client = createSecureContext(ciphers=CIPHERS, maxVersion="TLSv1.2")
    for identity, key, server in (
        (b"me", b"x" * 1000, KEY),
        (b"me" * 1000, KEY, KEY),
        (b"me", KEY, b"x" * 1000),
    ):
        pair = Pair(
            pki,
            server={"context": context, "pskServer": lambda identity, server=server: server},
            client={
                "context": client,
                "pskClient": lambda hint, identity=identity, key=key: (identity, key),
            },
        ).shake()
        assert not pair.server.secured
        assert "Failed" in pair.server.names + pair.client.names


KINDS = (TLSEngine, Driver, SSL.Connection, Side)


def census() -> Counter[str]:
    gc.collect()
    counted = Counter(type(each).__name__ for each in gc.get_objects() if type(each) in KINDS)
    counted["registered"] = len(hooks._connections)
    return counted


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_nothing_is_left_of_two_hundred_connections(version: str, pki: Pki) -> None:
    """However they end: closed, failed, cut off in the handshake, or simply dropped."""
    context = serverContext(pki, version)
    client = createSecureContext(ca=pki.ca, maxVersion=version)

    def raising(*_: Any) -> Any:
        raise Oops

    before = census()
    for number in range(50):
        settings = {"keylog": True, "alpn": b"\x01x", "requestStaple": True}
        done = Pair(
            pki,
            version,
            server={"context": context, "keylog": True, "alpn": b"\x01x"},
            client={"context": client, **settings},
        ).shake()
        done.client.engine.close()
        Pair(pki, version, server={"context": context}, client={"context": client}).shake()
        cut = Pair(
            pki,
            version,
            server={"context": context, "askAboutHello": True, "keylog": True},
            client={"context": client, "pskClient": raising if number % 2 else None},
        )
        cut.client.start()
        cut.server.receive(cut.client.output())
        half = TLSEngine(context.native, EngineSettings(isServer=True, keylog=True))
        half.receive(b"\x16\x03\x01\0\x50\x01")
        del done, cut, half
    assert census() == before


def test_the_census_would_see_what_is_left(pki: Pki) -> None:
    before = census()
    kept = Side(clientEngine(pki, keylog=True))
    assert census() - before == {
        "TLSEngine": 1,
        "Driver": 1,
        "Connection": 1,
        "Side": 1,
        "registered": 1,
    }
    del kept
    assert census() == before


def test_a_staple_that_openssl_does_not_take_is_none(pki: Pki) -> None:
    """What is no DER is left out, and the handshake goes on."""
    native = serverContext(pki).native
    hooks.enable(native, "status")
    driver, bare = serverSide(native, hookStatus=b"no DER at all")
    client = Side(clientEngine(pki, requestStaple=True))
    client.start()

    class Server:
        def receive(self, data: bytes) -> None:
            driver.feed(data)
            driver.handshake()

        def output(self) -> bytes:
            return driver.take()

    exchange(client, Server())
    assert client.secured
    assert client.one(events.StapleReceived).staple is None
    assert bare.failed == []
