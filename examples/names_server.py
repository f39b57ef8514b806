"""
Several names on one port, each with a context of its own.

A real program would have a certificate for each name; here all names show the
same one, and what differs is the cipher. Where contexts have to be looked up
when a name is asked for, the option `SNICallback` takes the place of
`addContext`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor

import txnodetls as tls


def secured(socket: tls.TLSSocket) -> None:
    print("asked for", socket.servername, "got", socket.getCipher()["name"], flush=True)
    socket.pipe(socket)


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8443
    credentials = {
        "key": Path("server.key").read_bytes(),
        "cert": Path("server.pem").read_bytes(),
    }
    server = tls.createServer(credentials, secured)
    server.addContext("other.localhost", {**credentials, "ciphers": "TLS_CHACHA20_POLY1305_SHA256"})
    server.addContext("*.small.localhost", {**credentials, "ciphers": "TLS_AES_128_GCM_SHA256"})
    server.on("tlsClientError", lambda error, socket: print("refused:", error.code, flush=True))
    server.listen(port, "127.0.0.1", lambda: print("port", server.address()["port"], flush=True))
    reactor.run()


main()
