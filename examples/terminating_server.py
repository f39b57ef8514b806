"""Terminates TLS in front of a server that has none (`twistd nodetls --proxy` does it better)."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor

import txnodetls as tls


def main() -> None:
    port, plainPort = (int(text) for text in sys.argv[1:3])

    def secured(client: tls.TLSSocket) -> None:
        backend = tls.net.connect(plainPort, "127.0.0.1")
        # Backpressure and the end of each direction pass through.
        client.pipe(backend)
        backend.pipe(client)
        client.on("error", lambda error: backend.destroy())
        backend.on("error", lambda error: client.destroy())

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
