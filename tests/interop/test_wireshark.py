"""Wireshark reads what was said, with our key log, and nothing without it."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import pytest_twisted
from twisted.internet import protocol, reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol

from tests.interop.peers import Peer
from tests.loopback import Loopback, Received, until
from tests.support import Pki, requireTool
from txnodetls.keylog import KeyLogFile

CLIENT, SERVER = ("10.0.0.1", 50000), ("10.0.0.2", 8443)
SYN, ACK = 0x02, 0x10


class Capture:
    """
    What went over a connection, as packets in a file (https://wiki.wireshark.org/LibpcapFileFormat).

    It has no addresses but those that it makes up.
    """

    RAW_IP = 101

    def __init__(self) -> None:
        self._packets: list[bytes] = []
        self._sequence = {CLIENT: 1000, SERVER: 5000}
        self._packet(CLIENT, SERVER, SYN)
        self._packet(SERVER, CLIENT, SYN | ACK)
        self._packet(CLIENT, SERVER, ACK)

    def add(self, fromClient: bool, data: bytes) -> None:
        """A piece that one side has sent."""
        source, target = (CLIENT, SERVER) if fromClient else (SERVER, CLIENT)
        for start in range(0, len(data), 1400):
            self._packet(source, target, ACK, data[start : start + 1400])

    def _packet(self, source: Any, target: Any, flags: int, data: bytes = b"") -> None:
        sequence, acknowledged = self._sequence[source], self._sequence[target]
        if not flags & ACK:
            acknowledged = 0
        self._sequence[source] += len(data) + (1 if flags & SYN else 0)
        tcp = struct.pack(
            ">HHIIBBHHH", source[1], target[1], sequence, acknowledged, 0x50, flags, 65535, 0, 0
        )
        addresses = socket.inet_aton(source[0]) + socket.inet_aton(target[0])
        length = 20 + len(tcp) + len(data)
        ip = struct.pack(">BBHHHBBH", 0x45, 0, length, 0, 0, 64, 6, 0) + addresses
        self._packets.append(ip + tcp + data)

    def write(self, path: Path) -> None:
        parts = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, self.RAW_IP)]
        for number, packet in enumerate(self._packets):
            parts.append(struct.pack("<IIII", number, 0, len(packet), len(packet)))
            parts.append(packet)
        path.write_bytes(b"".join(parts))


class _End(protocol.Protocol):
    """One end of the relay."""

    def __init__(self, capture: Capture, fromClient: bool) -> None:
        self.capture = capture
        self.fromClient = fromClient
        self.other: _End | None = None
        self.early = b""

    def dataReceived(self, data: bytes) -> None:
        self.capture.add(self.fromClient, data)
        if self.other is None:
            self.early += data
        else:
            self.other.transport.write(data)  # type: ignore[union-attr]

    def join(self, other: _End) -> None:
        self.other = other
        if self.early:
            other.transport.write(self.early)  # type: ignore[union-attr]

    def connectionLost(self, reason: Any = None) -> None:
        if self.other is not None:
            self.other.transport.loseConnection()  # type: ignore[union-attr]


class Relay:
    """Passes one connection on, and captures it; use it in an C{async with}."""

    def __init__(self, target: int) -> None:
        self.capture = Capture()
        self._target = target

    async def __aenter__(self) -> Self:
        factory = protocol.Factory.forProtocol(self._accepted)  # type: ignore[arg-type]
        factory.noisy = False
        self._listening: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.port = self._listening.getHost().port
        return self

    def _accepted(self) -> _End:
        near, far = _End(self.capture, True), _End(self.capture, False)

        def connected(_far: object) -> None:
            near.join(far)
            far.join(near)

        below = TCP4ClientEndpoint(reactor, "127.0.0.1", self._target)
        connectProtocol(below, far).addCallback(connected)
        return near

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._listening.stopListening()


async def readBy(tshark: str, capture: Path, keys: Path | None) -> str:
    """What tshark makes of the connection: what was said, in its text form."""
    command = [tshark, "-n", "-r", str(capture), "-d", "tcp.port==8443,tls"]
    if keys is not None:
        command += ["-o", f"tls.keylog_file:{keys}"]
    async with Peer([*command, "-q", "-z", "follow,tls,ascii,0"]) as reader:
        assert await reader.ended() == 0, reader.output.decode()
        return reader.data.decode()


@pytest.mark.parametrize("side", ["server", "client"])
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest_twisted.ensureDeferred
async def test_tshark_reads_it_with_our_key_log(
    version: str, side: str, pki: Pki, tmp_path: Path
) -> None:
    tshark = requireTool("tshark")
    keys, capture = tmp_path / "keys", tmp_path / "capture.pcap"
    async with Loopback(pki) as loopback:
        server = await loopback.serve(lambda socket: socket.pipe(socket), maxVersion=version)
        async with Relay(server.address()["port"]) as relay:
            with KeyLogFile(keys) as log:
                if side == "server":
                    server.on("keylog", log)
                client = loopback.dial(relay.port)
                if side == "client":
                    client.on("keylog", log)
                received = Received(client)
                client.write(b"what was said, and to whom")
                await until(lambda: received.data == b"what was said, and to whom")
                client.end()
                await received
        relay.capture.write(capture)
    known = await readBy(tshark, capture, keys)
    # Once there, and once back.
    assert known.count("what was said, and to whom") == 2
    assert "what was said" not in await readBy(tshark, capture, None)


@pytest_twisted.ensureDeferred
async def test_tshark_reads_a_resumed_connection_too(pki: Pki, tmp_path: Path) -> None:
    tshark = requireTool("tshark")
    keys, capture = tmp_path / "keys", tmp_path / "capture.pcap"
    async with Loopback(pki) as loopback:
        server = await loopback.serve(lambda socket: socket.pipe(socket))
        first = loopback.dial(server)
        sessions: list[bytes] = []
        first.on("session", sessions.append)
        first.resume()
        await until(lambda: sessions)
        with KeyLogFile(keys) as log:
            server.on("keylog", log)
            async with Relay(server.address()["port"]) as relay:
                again = loopback.dial(relay.port, session=sessions[-1])
                received = Received(again)
                again.write(b"what was said again")
                await until(lambda: received.data == b"what was said again")
                assert again.isSessionReused()
                again.end()
                await received
            relay.capture.write(capture)
    assert (await readBy(tshark, capture, keys)).count("what was said again") == 2
