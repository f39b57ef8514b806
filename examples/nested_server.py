"""TLS in TLS in TLS: each is a connection of its own on the one below; the innermost echoes."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor

import txnodetls as tls

CREDENTIALS = {"key": Path("server.key").read_bytes(), "cert": Path("server.pem").read_bytes()}
CONTEXT = tls.createSecureContext(CREDENTIALS)
DEPTH = 3


def nest(below: tls.TLSSocket, depth: int) -> None:
    below.on("error", lambda error: print("failed:", error.code, flush=True))
    if depth == DEPTH:
        below.pipe(below)
        return
    above = tls.TLSSocket(below, {"isServer": True, "secureContext": CONTEXT})
    nest(above, depth + 1)


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8443
    server = tls.createServer({"secureContext": CONTEXT}, lambda socket: nest(socket, 1))
    server.listen(port, "127.0.0.1", lambda: print("port", server.address()["port"], flush=True))
    reactor.run()


main()
