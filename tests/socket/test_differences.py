"""Where a TLSSocket is not quite Node's stream: one test for each line in docs/node-parity.md."""

from __future__ import annotations

import pytest

from tests.support import Pki
from tests.tlspairs import Told, memoryPair

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
