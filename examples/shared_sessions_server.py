"""
A server that shares sessions with others: ticket keys in a ring, or sessions in a store.

    shared_sessions_server.py PORT ticketKeyRing=file:ticket.ring
    shared_sessions_server.py PORT sessionStore=redis://127.0.0.1:6379?keyFile=seal.key
    shared_sessions_server.py PORT sessionStore=memcached://127.0.0.1:11211?keyFile=seal.key
"""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor

import txnodetls as tls


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8443
    where = sys.argv[2:] or ["ticketKeyRing=file:ticket.ring"]
    options = {
        "key": Path("server.key").read_bytes(),
        "cert": Path("server.pem").read_bytes(),
        # Servers that are started differently have to be told that they trust alike.
        "sessionIdContext": "the example",
        **dict(each.split("=", 1) for each in where),
    }
    server = tls.createServer(options, lambda socket: socket.end("hello\n"))
    server.on("error", lambda error: sys.exit(str(error)))
    server.listen(port, "127.0.0.1", lambda: print("port", server.address()["port"], flush=True))
    reactor.run()


main()
