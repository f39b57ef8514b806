"""An echo server: sends back what it gets, until the client ends."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor

import txnodetls as tls


def secured(socket: tls.TLSSocket) -> None:
    print("from", socket.remoteAddress, "over", socket.getProtocol(), flush=True)
    socket.on("error", lambda error: print("lost:", error.code))
    socket.pipe(socket)


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8443
    options = {
        "key": Path("server.key").read_bytes(),
        "cert": Path("server.pem").read_bytes(),
        "handshakeTimeout": 10_000,
    }
    server = tls.createServer(options, secured)
    server.on("tlsClientError", lambda error, socket: print("refused:", error.code, flush=True))
    server.on("error", lambda error: sys.exit(str(error)))
    server.listen(port, "127.0.0.1", lambda: print("port", server.address()["port"], flush=True))
    reactor.run()


main()
