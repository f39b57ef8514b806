"""Keeps its session in a file: the next run resumes it, and saves most of the handshake."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from twisted.internet import reactor

import txnodetls as tls

SESSION = Path("client.session")


def keep(session: bytes) -> None:
    # As good as the keys of the connection, so nobody else may read it.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with os.fdopen(os.open(SESSION, flags, 0o600), "wb") as file:
        file.write(session)


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8443
    options = {
        "host": "127.0.0.1",
        "port": port,
        "servername": "localhost",
        "ca": Path("client.pem").read_bytes(),
        "session": SESSION.read_bytes() if SESSION.exists() else None,
    }
    socket = tls.connect(options)
    socket.on("session", keep)
    socket.on("secureConnect", lambda: print("resumed:", socket.isSessionReused()))
    socket.on("data", lambda data: None)
    socket.on("error", lambda error: print("failed:", error.code, error))
    socket.on("close", lambda hadError: reactor.stop())
    reactor.run()


main()
