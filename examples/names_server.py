"""
Several names on one port: a certificate for each, and one that is made when asked for.

A real program would have a certificate per name; here all names show the same
one, and what differs is the lowest version of TLS.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from twisted.internet import reactor

import txnodetls as tls

CREDENTIALS = {"key": Path("server.key").read_bytes(), "cert": Path("server.pem").read_bytes()}


def secured(socket: tls.TLSSocket) -> None:
    print("asked for", socket.servername, "got", socket.getProtocol(), flush=True)
    socket.pipe(socket)


def choose(name: str, answer: Callable[..., None]) -> None:
    """Called for every name; `None` leaves it to the contexts added by name."""
    if name == "old.localhost":
        answer(None, tls.createSecureContext({**CREDENTIALS, "maxVersion": "TLSv1.2"}))
    else:
        answer(None, None)


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8443
    server = tls.createServer({**CREDENTIALS, "SNICallback": choose}, secured)
    server.on("tlsClientError", lambda error, socket: print("refused:", error.code, flush=True))
    server.listen(port, "127.0.0.1", lambda: print("port", server.address()["port"], flush=True))
    reactor.run()


main()
