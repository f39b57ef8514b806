"""A server whose session tickets are good at every other one that has the same key file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from twisted.internet import reactor

import txnodetls as tls

KEYS = Path("ticket.keys")


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8443
    if not KEYS.exists():
        # As good as the key of the certificate, so nobody else may read it.
        with os.fdopen(os.open(KEYS, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(os.urandom(48))
    options = {
        "key": Path("server.key").read_bytes(),
        "cert": Path("server.pem").read_bytes(),
        "ticketKeys": KEYS.read_bytes(),
        # Servers that are started differently have to be told that they trust alike.
        "sessionIdContext": "the example",
    }
    server = tls.createServer(options, lambda socket: socket.end("hello\n"))
    server.on("error", lambda error: sys.exit(str(error)))
    server.listen(port, "127.0.0.1", lambda: print("port", server.address()["port"], flush=True))
    reactor.run()


main()
