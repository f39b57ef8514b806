"""Half-close: hears the client out to its end, and only then answers."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from twisted.internet import reactor

import txnodetls as tls


def secured(socket: tls.TLSSocket) -> None:
    digest = hashlib.sha256()
    socket.on("data", digest.update)
    # The client has ended its side; ours is still open.
    socket.on("end", lambda: socket.end(f"SHA-256 {digest.hexdigest()}\n"))
    socket.on("error", lambda error: print("lost:", error.code, flush=True))


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8443
    options = {
        "key": Path("server.key").read_bytes(),
        "cert": Path("server.pem").read_bytes(),
        "allowHalfOpen": True,
    }
    server = tls.createServer(options, secured)
    server.on("tlsClientError", lambda error, socket: print("refused:", error.code, flush=True))
    server.listen(port, "127.0.0.1", lambda: print("port", server.address()["port"], flush=True))
    reactor.run()


main()
