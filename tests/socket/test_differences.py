"""Where a TLSSocket is not quite Node's stream: one test for each line in docs/node-parity.md."""

from __future__ import annotations

from typing import Any

import pytest

import txnodetls as tls
from tests.support import Pki
from tests.tlspairs import ServerTold, Told, memoryPair, wireOf

VERSIONS = ["TLSv1.2", "TLSv1.3"]
both = pytest.mark.parametrize("version", VERSIONS)


def test_tickets_come_before_what_the_first_listener_writes(pki: Pki) -> None:
    pair = memoryPair(pki, {"minVersion": "TLSv1.3"}, pump=False)
    heard: list[str] = []
    pair.client.on("session", lambda session: heard.append("session"))
    pair.client.on("data", lambda data: heard.append("data"))
    pair.listener.on("secureConnection", lambda socket: socket.write(b"x"))
    pair.pump()
    assert heard == ["session", "session", "data"]


@both
def test_what_was_written_before_destroy_is_sent(version: str, pki: Pki) -> None:
    pair = memoryPair(pki, {"maxVersion": version}, pump=False)
    client = Told(pair.client)

    def speakAndGo(socket: object) -> None:
        pair.server.write(b"x")
        pair.server.destroy()

    pair.listener.on("secureConnection", speakAndGo)
    pair.pump()
    assert client.data == b"x"
    assert client.events[-1] == "close"
    assert client.codes == []


@both
def test_what_is_sent_at_once_does_not_count(version: str, pki: Pki) -> None:
    pair = memoryPair(pki, {"maxVersion": version})
    mark = pair.client.writableHighWaterMark
    assert all(pair.client.write(bytes(mark // 2)) for _ in range(3))
    assert pair.client.writableLength == 0
    assert not pair.client.write(bytes(mark))


@both
def test_nothing_is_told_behind_close(version: str, pki: Pki) -> None:
    pair = memoryPair(pki, {"maxVersion": version})
    pair.client.pause()
    pair.client.destroy()
    pair.pump()
    heard: list[str] = []
    for name in ("pause", "resume"):
        pair.client.on(name, lambda name=name: heard.append(name))
    pair.client.resume()
    pair.client.pause()
    pair.pump()
    assert heard == []


def test_the_mark_of_a_server_is_that_of_its_sockets(pki: Pki) -> None:
    pair = memoryPair(pki, {"highWaterMark": 1000})
    assert pair.server.writableHighWaterMark == 1000
    assert pair.server.readableHighWaterMark == 1000


@both
def test_an_end_without_a_close_notify_can_be_told_from_one_with_it(version: str, pki: Pki) -> None:
    pair = memoryPair(pki, {"maxVersion": version})
    client = Told(pair.client)
    pair.cut()
    assert client.events[0] == "end"
    assert pair.client.truncated
    other = memoryPair(pki, {"maxVersion": version})
    other.server.end()
    other.pump()
    assert other.client.readableEnded
    assert not other.client.truncated


@both
def test_closed_is_true_from_close_on(version: str, pki: Pki) -> None:
    pair = memoryPair(pki, {"maxVersion": version})
    then: list[bool] = []
    pair.client.on("close", lambda hadError: then.append(pair.client.closed))
    pair.client.destroy()
    assert (pair.client.destroyed, pair.client.closed) == (True, False)
    pair.pump()
    assert then == [True]


@pytest.mark.parametrize("early", [False, True])
def test_an_early_write_does_not_hide_why_the_handshake_failed(early: bool, pki: Pki) -> None:
    """Node: EPROTO if there was one."""
    pair = memoryPair(pki, pump=False)
    client, written = Told(pair.client), list[Any]()
    if early:
        pair.client.write(b"early", written.append)
    pair._wires[0].queue.append(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    pair.pump()
    assert client.codes == ["ERR_SSL_WRONG_VERSION_NUMBER"]
    assert [error.code for error in written] == ["ECANCELED"] * early


@pytest.mark.parametrize("speaks", [False, True])
def test_a_context_that_cannot_work_is_told_when_a_client_has_spoken(
    speaks: bool, pki: Pki
) -> None:
    """Node begins the handshake, and so fails, before it has heard anything."""
    none = tls.constants.SSL_OP_NO_TLSv1_2 | tls.constants.SSL_OP_NO_TLSv1_3
    pair = memoryPair(pki, {"secureOptions": none}, pump=False)
    server = ServerTold(pair)
    if not speaks:
        wireOf(pair).queue.clear()
        pair.client.destroy()
    pair.pump()
    assert server.codes == ["ERR_SSL_NO_PROTOCOLS_AVAILABLE" if speaks else "ECONNRESET"]
