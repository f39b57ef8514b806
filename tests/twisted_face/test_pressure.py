"""
Pressure through protocols that produce for each other, as every proxy of Twisted's does: a reader
that waits makes the far writer wait, and little is held on the way.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet import protocol

from tests.support import Pki
from tests.tlspairs import memoryPair
from txnodetls.twisted.adapter import ProtocolAdapter

KiB = 1024
VERSIONS = ["TLSv1.2", "TLSv1.3"]


class Passing(protocol.Protocol):
    """Hands on what it receives to C{other}, for which its transport produces."""

    transport: Any

    def __init__(self) -> None:
        self.other: Any = None

    def dataReceived(self, data: bytes) -> None:
        self.other.transport.write(data)

    def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
        self.other.transport.unregisterProducer()
        self.other.transport.loseConnection()


class Proxy:
    """
    A proxy in memory between two TLS connections.

    @ivar near: the connection that C{near.client} has with the proxy.
    @ivar far: the one that the proxy has with C{far.server}.
    """

    def __init__(self, pki: Pki, version: str) -> None:
        self.near = memoryPair(pki, {"maxVersion": version})
        self.far = memoryPair(pki, {"maxVersion": version})
        ends = Passing(), Passing()
        ends[0].other, ends[1].other = ends[1], ends[0]
        for socket, end in zip((self.near.server, self.far.client), ends, strict=True):
            ProtocolAdapter(socket, end).start()
        for end in ends:
            end.other.transport.registerProducer(end.transport, True)
        self.most = 0

    def held(self) -> int:
        """The bytes that are somewhere between the two applications."""
        wires = [*self.near._wires, *self.far._wires]
        sockets = self.near.client, self.near.server, self.far.client, self.far.server
        return sum(len(piece or b"") for wire in wires for piece in wire.queue) + sum(
            socket.readableLength + socket.writableLength for socket in sockets
        )

    def pump(self) -> None:
        idle = 0
        while idle < 3:
            moved = self.near.step() | self.far.step()
            self.most = max(self.most, self.held())
            idle = 0 if moved else idle + 1


def feed(socket: Any, total: int) -> list[int]:
    """Write so much, as fast as the socket takes it; how much was written, in the end."""
    written = [0]
    piece = bytes(32 * KiB)

    def more() -> None:
        while written[0] < total:
            written[0] += len(piece)
            if not socket.write(piece):
                return
        socket.end()

    socket.on("drain", more)
    more()
    return written


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("upwards", [True, False])
def test_a_reader_that_waits_stops_the_writer_behind_a_proxy(
    upwards: bool, version: str, pki: Pki
) -> None:
    proxy = Proxy(pki, version)
    writer, reader = proxy.near.client, proxy.far.server
    if not upwards:
        writer, reader = reader, writer
    received = [0]
    reader.on("data", lambda data: received.__setitem__(0, received[0] + len(data)))
    reader.pause()
    total = 16 * KiB * KiB
    written = feed(writer, total)
    proxy.pump()
    assert written[0] < 2 * KiB * KiB
    assert proxy.most < 2 * KiB * KiB
    stopped = written[0]
    proxy.pump()
    assert written[0] == stopped
    reader.resume()
    proxy.pump()
    assert received[0] == written[0] == total
    assert proxy.most < 2 * KiB * KiB
    assert reader.readableEnded


@pytest.mark.parametrize("version", VERSIONS)
def test_a_reader_that_reads_now_and_then_gets_everything(version: str, pki: Pki) -> None:
    proxy = Proxy(pki, version)
    received = bytearray()
    reader = proxy.far.server

    def taken(data: bytes) -> None:
        received.extend(data)
        reader.pause()

    reader.on("data", taken)
    sent = bytes(range(256)) * 4096
    proxy.near.client.end(sent)
    for _ in range(10_000):
        proxy.pump()
        if reader.readableEnded:
            break
        reader.resume()
    assert received == sent
    assert proxy.most < 4 * KiB * KiB
