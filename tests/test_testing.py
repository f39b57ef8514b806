"""The helpers for others' tests, used as those would use them."""

from __future__ import annotations

from typing import Any

import pytest

from txnodetls.testing import MemoryPair, ThrowawayCA, throwawayCertificate


@pytest.fixture(scope="module")
def authority() -> ThrowawayCA:
    return ThrowawayCA()


def makePair(authority: ThrowawayCA, limit: int = 65536, **serverOptions: Any) -> MemoryPair:
    cert, key = authority.issue(["localhost"])
    client = {"ca": authority.certPEM, "servername": "localhost"}
    return MemoryPair({"cert": cert, "key": key, **serverOptions}, client, limit=limit)


def recorded(socket: Any) -> list[Any]:
    """Names of the events of a socket; of data, the data."""
    seen: list[Any] = []
    for name in ("secureConnect", "secure", "end", "finish", "error", "close"):
        socket.on(name, lambda *_, name=name: seen.append(name))
    socket.on("data", seen.append)
    return seen


@pytest.mark.parametrize("limit", [1, 65536])
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_a_conversation(version: str, limit: int, authority: ThrowawayCA) -> None:
    pair = makePair(authority, limit, maxVersion=version)
    client, server = recorded(pair.client), recorded(pair.server)
    pair.client.write(b"before the handshake")
    pair.pump()
    assert pair.client.authorized
    assert pair.client.getProtocol() == pair.server.getProtocol() == version
    assert server == ["secure", b"before the handshake"]
    pair.server.end(b"bye")
    pair.pump()
    assert client == ["secureConnect", "secure", b"bye", "end", "finish", "close"]
    assert server[2:] == ["finish", "end", "close"]


def test_nothing_moves_until_it_is_pumped(authority: ThrowawayCA) -> None:
    pair = makePair(authority)
    assert pair.client.getPeerCertificate() in ({}, None)
    assert pair.step()
    pair.pump()
    pair.client.write(b"x")
    received = recorded(pair.server)
    assert received == []
    pair.pump()
    assert received == [b"x"]


def test_a_lot_of_data_waits_for_its_reader(authority: ThrowawayCA) -> None:
    pair = makePair(authority)
    pair.pump()
    assert pair.client.write(b"y" * 1_000_000) is False
    pair.server.pause()
    pair.pump()
    assert pair.client.writableNeedDrain
    received = bytearray()
    pair.server.on("data", received.extend)
    pair.server.resume()
    pair.pump()
    assert len(received) == 1_000_000
    assert not pair.client.writableNeedDrain


def test_time_passes_when_it_is_told_to(authority: ThrowawayCA) -> None:
    pair = makePair(authority, handshakeTimeout=5000)
    errors: list[Any] = []
    pair.listener.on("tlsClientError", lambda error, socket: errors.append(error.code))
    pair.clock.advance(4.9)
    assert errors == []
    pair.clock.advance(0.2)
    assert errors == ["ERR_TLS_HANDSHAKE_TIMEOUT"]


def test_a_stranger_is_refused(authority: ThrowawayCA) -> None:
    cert, key = throwawayCertificate(["localhost"])
    pair = MemoryPair(
        {"cert": cert, "key": key}, {"ca": authority.certPEM, "servername": "localhost"}
    )
    errors: list[Any] = []
    pair.client.on("error", lambda error: errors.append(error.code))
    pair.listener.on("tlsClientError", lambda error, socket: None)
    pair.pump()
    assert errors == ["DEPTH_ZERO_SELF_SIGNED_CERT"]


def test_a_cut_is_no_clean_end(authority: ThrowawayCA) -> None:
    pair = makePair(authority)
    pair.pump()
    seen = recorded(pair.client)
    pair.cut()
    assert "end" in seen
    assert seen[-1] == "close"


def test_a_conversation_without_end_is_noticed(authority: ThrowawayCA) -> None:
    pair = makePair(authority)
    pair.pump()
    pair.server.on("data", pair.server.write)
    pair.client.on("data", pair.client.write)
    pair.client.write(b"ball")
    with pytest.raises(RuntimeError, match="still talk after 50 rounds"):
        pair.pump(50)
