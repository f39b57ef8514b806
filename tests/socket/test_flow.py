"""TLSSocket in memory: pressure and back-pressure, settings, and sockets on sockets."""

from __future__ import annotations

from typing import Any

import pytest

import txnodetls as tls
from tests.support import Pki
from tests.tlspairs import GARBAGE, Told, flights, inject, memoryPair, wireOf
from txnodetls.errors import NodeError
from txnodetls.testing import MemoryPair

MiB = 1024 * 1024


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def version(request: pytest.FixtureRequest) -> str:
    """Each test that names it is made for both."""
    return str(request.param)


# -- flow


def queuedIn(pair: MemoryPair) -> int:
    """All the bytes of the client's that are somewhere under way."""
    wires = sum(len(piece or b"") for wire in pair._wires for piece in wire.queue)
    return wires + pair.client.writableLength + pair.server.readableLength


def test_a_reader_that_waits_makes_the_writer_wait(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version})
    received = bytearray()
    pair.server.on("data", received.extend)
    pair.server.pause()
    written = 0
    for _ in range(1000):
        if not pair.client.write(bytes(65536)):
            pair.pump()
        written += 65536
        if pair.client.writableNeedDrain:
            break
    assert pair.client.writableNeedDrain
    assert queuedIn(pair) < MiB
    held = queuedIn(pair)
    pair.pump()
    assert queuedIn(pair) == held
    assert received == b""
    pair.server.resume()
    pair.pump()
    assert len(received) == written
    assert not pair.client.writableNeedDrain


def test_a_pipe_between_unequals_holds_little(pki: Pki, version: str) -> None:
    """
    The sender writes whenever it may, the reader takes a mouthful now and then: what is under way
    stays bounded, and nothing is lost.
    """
    pair = memoryPair(pki, {"maxVersion": version})
    total, piece = 20 * MiB, bytes(range(256)) * 256
    sent = 0
    received = bytearray()

    def fill() -> None:
        nonlocal sent
        while sent < total:
            sent += len(piece)
            if not pair.client.write(piece):
                return

    def take(data: bytes) -> None:
        received.extend(data)
        pair.server.pause()

    pair.client.on("drain", fill)
    pair.server.on("data", take)
    fill()
    most = 0
    while len(received) < total:
        pair.pump()
        most = max(most, queuedIn(pair))
        pair.server.resume()
    assert most < 2 * MiB
    assert received == piece * (total // len(piece))


def test_a_paused_socket_with_nothing_to_read_hears_of_the_end_at_once(
    pki: Pki, version: str
) -> None:
    pair = memoryPair(pki, {"maxVersion": version})
    client = Told(pair.client)
    pair.client.pause()
    pair.server.end()
    pair.pump()
    assert client.events == ["end", "finish", "close"]


def test_a_connection_that_nobody_reads_ends_with_its_peer(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version})
    client = Told(pair.client, data=False)
    pair.server.end()
    pair.pump()
    assert client.events == ["end", "finish", "close"]


def test_who_ends_and_destroys_in_one_breath_has_not_finished(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version})
    client = Told(pair.client)
    ended: list[object] = []
    pair.client.end(ended.append)
    pair.client.destroy()
    pair.pump()
    assert client.events == ["close"]
    assert [getattr(error, "code", None) for error in ended] == ["ERR_STREAM_DESTROYED"]


def test_writes_under_way_fail_with_their_connection(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version})
    client = Told(pair.client)
    codes: list[str | None] = []

    def written(error: BaseException | None) -> None:
        codes.append(getattr(error, "code", None))

    pair.client.write(bytes(4 * MiB), written)
    pair.client.write(b"and more", written)
    pair.client.destroy(NodeError("no", "NO"))
    pair.pump()
    assert sorted(map(str, codes)) == ["ECANCELED", "NO"]
    assert client.events == ["error", "close"]


def test_what_is_told_of_the_handshakes_progress(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version}, pump=False)
    assert pair.client.secureConnecting
    assert pair.server.secureConnecting
    pair.pump()
    assert not pair.client.secureConnecting
    assert not pair.server.secureConnecting
    assert (pair.client.timeout, pair.server.timeout) == (None, 0)


def test_a_paused_socket_hears_of_the_end_when_it_goes_on(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version})
    server = Told(pair.server)
    pair.server.pause()
    pair.client.end(b"x" * 100_000)
    pair.pump()
    assert server.events == []
    pair.server.resume()
    pair.pump()
    assert server.events == ["data", "end", "finish", "close"]
    assert len(server.data) == 100_000


def test_a_destroyed_reader_gets_none_of_what_waited(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version})
    server = Told(pair.server)
    pair.server.pause()
    pair.client.write(b"x" * 300_000)
    pair.pump()
    pair.server.resume()
    pair.server.destroy()
    pair.pump()
    assert server.data == b""
    assert server.events == ["close"]


def test_a_lot_at_once_arrives_and_leaves_turns_to_others(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version})
    server = Told(pair.server)
    data = bytes(range(251)) * (8 * MiB // 251)
    done: list[Any] = []
    pair.client.write(data, done.append)
    pair.pump()
    assert server.data == data
    assert done == [None]


def test_corked_writes_leave_together(pki: Pki) -> None:
    pair = memoryPair(pki)
    server = Told(pair.server)
    pair.client.cork()
    for number in range(100):
        pair.client.write(b"%02d" % number)
    pair.pump()
    assert server.data == b""
    pair.client.uncork()
    pair.clock.advance(0)
    assert len(flights(pair)) == 1
    pair.pump()
    assert len(server.data) == 200


def test_many_small_writes_of_one_turn_leave_as_one_piece(pki: Pki) -> None:
    pair = memoryPair(pki)
    for _ in range(50):
        pair.client.write(b"small")
    pair.clock.advance(0)
    assert len(wireOf(pair).queue) == 1
    assert len(flights(pair)) == 50


def test_empty_writes_are_nothing(pki: Pki) -> None:
    pair = memoryPair(pki)
    server = Told(pair.server)
    done: list[Any] = []
    assert pair.client.write(b"", done.append)
    pair.pump()
    assert done == [None]
    assert server.events == []


# -- the life of it


def test_a_tls_connection_cannot_be_reset(pki: Pki) -> None:
    pair = memoryPair(pki)
    with pytest.raises(NodeError) as raised:
        pair.client.resetAndDestroy()
    assert raised.value.code == "ERR_INVALID_HANDLE_TYPE"
    assert not pair.client.destroyed


def test_silence_is_told_and_nothing_else_happens(pki: Pki) -> None:
    pair = memoryPair(pki)
    client = Told(pair.client)
    pair.client.setTimeout(1000)
    pair.advance(0.9)
    pair.server.write(b"x")
    pair.pump()
    pair.advance(0.9)
    assert "timeout" not in client.events
    pair.advance(0.2)
    assert client.events[-1] == "timeout"
    assert not pair.client.destroyed
    pair.client.write(b"y")
    pair.pump()
    pair.advance(1.1)
    assert client.events.count("timeout") == 2


def test_bytes_are_counted_as_the_application_sees_them(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version}, pump=False)
    Told(pair.server)
    assert pair.client.bytesWritten == 0
    pair.client.write(b"x" * 1000)
    pair.client.write(b"x" * 500)
    assert pair.client.bytesWritten == 1500
    pair.pump()
    assert pair.client.bytesWritten == pair.server.bytesRead == 1500
    pair.client.destroy()
    assert pair.client.bytesWritten == 1500


# -- one on the other


def wrapped(outer: MemoryPair, pki: Pki, version: str) -> tuple[Any, Any]:
    """A TLS connection inside of another one."""
    server = tls.TLSSocket(
        outer.server,
        {
            "isServer": True,
            "key": pki.server.key,
            "cert": pki.server.cert,
            "maxVersion": version,
        },
        reactor=outer.clock,
    )
    client = tls.connect(
        {"socket": outer.client, "ca": pki.ca, "servername": "localhost"}, reactor=outer.clock
    )
    return client, server


class Nested:
    """Looks like a pair to `wrapped`."""

    def __init__(self, clock: Any, client: Any, server: Any) -> None:
        self.clock, self.client, self.server = clock, client, server


@pytest.mark.parametrize("limit", [100, 65536])
def test_three_connections_inside_of_each_other(limit: int, pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version}, limit=limit, pump=False)
    clients, servers = [pair.client], [pair.server]
    level: Any = pair
    for _ in range(2):
        client, server = wrapped(level, pki, version)
        clients.append(client)
        servers.append(server)
        level = Nested(pair.clock, client, server)
    told, answered = Told(servers[-1]), Told(clients[-1])
    question = bytes(range(256)) * (2 * MiB // 256 if limit > 100 else 100)
    clients[-1].write(question)
    pair.pump()
    assert clients[-1].authorized
    assert told.data == question
    servers[-1].end(question[::-1])
    pair.pump()
    assert answered.data == question[::-1]
    assert answered.events[-1] == told.events[-1] == "close"
    for socket in (*clients, *servers):
        assert socket.destroyed
    assert answered.errors == told.errors == []


def test_the_innermost_is_destroyed_and_all_go(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version}, pump=False)
    client, server = wrapped(pair, pki, version)
    Told(server)
    pair.pump()
    client.destroy()
    pair.pump()
    assert all(each.destroyed for each in (client, server, pair.client, pair.server))


def test_an_error_below_is_an_error_above(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version}, pump=False)
    client, server = wrapped(pair, pki, version)
    above, below = Told(server), Told(pair.server, data=False)
    for socket in (client, pair.client):
        socket.on("error", lambda error: None)
    pair.pump()
    inject(pair, GARBAGE)
    pair.pump()
    assert len(below.errors) == 1
    assert above.errors == below.errors
    assert above.events[-1] == "close"


def test_a_bare_tlssocket_over_a_closed_one_closes(pki: Pki) -> None:
    pair = memoryPair(pki)
    pair.client.destroy()
    pair.pump()
    socket = tls.TLSSocket(pair.client, {"isServer": False}, reactor=pair.clock)
    told = Told(socket)
    pair.pump()
    assert told.events[-1] == "close"


@pytest.mark.parametrize("below", [5, "text", object()])
def test_nothing_stands_on_what_is_no_stream(below: Any) -> None:
    with pytest.raises(NodeError) as raised:
        tls.TLSSocket(below)
    assert raised.value.code == "ERR_INVALID_ARG_TYPE"
