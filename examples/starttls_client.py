"""Begins in the clear, asks for STARTTLS, and goes on in TLS over the same connection."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor

import txnodetls as tls


def upgrade(plain: tls.net.Socket) -> None:
    options = {"socket": plain, "servername": "localhost", "ca": Path("client.pem").read_bytes()}
    secure = tls.connect(options)

    def received(data: bytes) -> None:
        print("secure:", data.decode().strip())
        secure.end("bye\r\n")

    secure.on("secureConnect", lambda: print("upgraded to", secure.getProtocol()))
    secure.on("data", received)
    secure.on("error", lambda error: print("failed:", error.code, error))
    secure.on("close", lambda hadError: reactor.stop())


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8025
    plain = tls.net.connect(port, "127.0.0.1")
    heard = bytearray()

    def listen(data: bytes) -> None:
        heard.extend(data)
        lines = bytes(heard).split(b"\r\n")
        if lines == [b"220 ready", b""]:
            plain.write("STARTTLS\r\n")
        elif lines[1:] == [b"220 go ahead", b""]:
            plain.removeListener("data", listen)
            plain.pause()
            upgrade(plain)

    plain.on("data", listen)
    plain.on("error", lambda error: print("failed:", error.code, error))
    reactor.run()


main()
