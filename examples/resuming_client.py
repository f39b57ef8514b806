"""Connects to each of several ports in turn, and takes its session along."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor

import txnodetls as tls

sessions: list[bytes] = []


def visit(ports: list[int]) -> None:
    if not ports:
        reactor.stop()
        return
    options = {
        "host": "127.0.0.1",
        "port": ports[0],
        "servername": "localhost",
        "ca": Path("client.pem").read_bytes(),
        "session": sessions[-1] if sessions else None,
    }
    socket = tls.connect(options)
    socket.on("session", sessions.append)
    socket.on("secureConnect", lambda: print("resumed:", socket.isSessionReused()))
    socket.on("data", lambda data: None)
    socket.on("error", lambda error: print("failed:", error.code, error))
    socket.on("close", lambda hadError: visit(ports[1:]))


def main() -> None:
    visit([int(port) for port in sys.argv[1:]] or [8443, 8443])
    reactor.run()


main()
