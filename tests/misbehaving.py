"""Peers that do what they should not: half a handshake, a reset, data behind the end."""

from __future__ import annotations

import socket
import ssl
import struct

from twisted.internet import reactor, task

__all__ = ["HELLO", "Memory", "atEnd", "readToEnd", "reset"]


class Memory:
    """Python's TLS client on memory: its bytes go, and do not go, where the test wants them."""

    def __init__(self, version: str = "TLSv1.3") -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion[version.replace(".", "_")]
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_hostname="localhost")
        self.secure = False

    def step(self, data: bytes = b"") -> bytes:
        """What it says to what it is told."""
        self._in.write(data)
        if not self.secure:
            try:
                self.tls.do_handshake()
                self.secure = True
            except ssl.SSLWantReadError:
                pass
        return self._out.read()

    def helloWithStatusRequest(self) -> bytes:
        """A ClientHello that asks for a staple, which Python's ssl does not: made by hand."""
        said = self.step()
        record, body = said[:5], said[5:]
        # Where the extensions begin: version, random, session id, ciphers, compression.
        at = 4 + 2 + 32
        at += 1 + body[at]
        at += 2 + int.from_bytes(body[at : at + 2], "big")
        at += 1 + body[at]
        extensions = body[at + 2 :] + bytes.fromhex("0005 0005 01 0000 0000")
        hello = body[4:at] + len(extensions).to_bytes(2, "big") + extensions
        message = b"\x01" + len(hello).to_bytes(3, "big") + hello
        return record[:3] + len(message).to_bytes(2, "big") + message

    def encrypt(self, data: bytes) -> bytes:
        """The records of this data."""
        self.tls.write(data)
        return self._out.read()

    def closeNotify(self) -> bytes:
        """The record of a clean end."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        return self._out.read()

    async def shakeHands(self, carrier: socket.socket) -> None:
        """The handshake, or what is left of it, over a plain connection."""
        carrier.setblocking(False)
        carrier.send(self.step())
        while not self.secure:
            try:
                received = carrier.recv(65536)
            except BlockingIOError:
                await task.deferLater(reactor, 0.002)  # type: ignore[arg-type]
                continue
            assert received, "the server has closed"
            carrier.send(self.step(received))


HELLO = Memory().step()
"""The ClientHello of a client that supports everything."""


def reset(carrier: socket.socket) -> None:
    """Leave with RST."""
    carrier.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    carrier.close()


def readToEnd(carrier: socket.socket) -> bytes:
    """What comes until the peer closes, in one way or the other; blocks."""
    pieces = []
    try:
        while piece := carrier.recv(65536):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)


def atEnd(carrier: socket.socket) -> bool:
    """Whether the peer has closed; what comes before is thrown away."""
    carrier.setblocking(False)
    try:
        while carrier.recv(65536):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        pass
    return True
