"""A server that keeps its sessions in a store, and makes no tickets."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor

import txnodetls as tls


class TellingStore(tls.MemorySessionStore):
    """The store in memory, which tells what it is asked for."""

    def store(self, sessionId: bytes, data: bytes, lifetime: float) -> None:
        print("keeps a session for", int(lifetime), "s, sealed in", len(data), "bytes", flush=True)
        super().store(sessionId, data, lifetime)

    def fetch(self, sessionId: bytes) -> bytes | None:
        data = super().fetch(sessionId)
        print("is asked for a session, and has", "it" if data else "none", flush=True)
        return data


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8443
    options = {
        "key": Path("server.key").read_bytes(),
        "cert": Path("server.pem").read_bytes(),
        "sessionTimeout": 600,
        "sessionStore": TellingStore(maxEntries=1000),
    }
    server = tls.createServer(options, lambda socket: socket.end("hello\n"))
    server.on("error", lambda error: sys.exit(str(error)))
    server.listen(port, "127.0.0.1", lambda: print("port", server.address()["port"], flush=True))
    reactor.run()


main()
