"""Offers protocols (ALPN), and says which one was settled on."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor

import txnodetls as tls


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8443
    socket = tls.connect(
        port,
        "127.0.0.1",
        servername="localhost",
        ca=Path("client.pem").read_bytes(),
        ALPNProtocols=sys.argv[2:] or ["whisper", "shout"],
    )
    socket.setEncoding("utf8")
    socket.on("secureConnect", lambda: print("settled on", socket.alpnProtocol))
    socket.on("data", lambda text: print("received", text, end=""))
    socket.on("error", lambda error: print("failed:", error.code, error))
    socket.on("close", lambda hadError: reactor.stop())
    reactor.run()


main()
