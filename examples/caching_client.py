"""Connects to a port several times; its sessions are looked after by a cache."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor

import txnodetls as tls

cache = tls.ClientSessionCache(maxSessions=100)


def visit(port: int, times: int) -> None:
    if not times:
        reactor.stop()
        return
    options = {
        "host": "127.0.0.1",
        "port": port,
        "servername": "localhost",
        "ca": Path("client.pem").read_bytes(),
        "sessionCache": cache,
    }
    socket = tls.connect(options)
    socket.on("secureConnect", lambda: print("resumed:", socket.isSessionReused()))
    socket.on("data", lambda data: None)
    socket.on("error", lambda error: print("failed:", error.code, error))
    socket.on("close", lambda hadError: visit(port, times - 1))


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8443
    visit(port, 3)
    reactor.run()


main()
