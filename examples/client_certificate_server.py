"""A server that lets nobody in without a certificate of its own authority."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor

import txnodetls as tls


def secured(socket: tls.TLSSocket) -> None:
    who = socket.getPeerCertificate()["subjectaltname"]
    print("authorized:", socket.authorized, who, flush=True)
    socket.end(f"welcome, {who}\n")


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8443
    options = {
        "key": Path("server.key").read_bytes(),
        "cert": Path("server.pem").read_bytes(),
        "ca": Path("client.pem").read_bytes(),
        "requestCert": True,
        "rejectUnauthorized": True,
    }
    server = tls.createServer(options, secured)
    server.on("tlsClientError", lambda error, socket: print("refused:", error.code, flush=True))
    server.listen(port, "127.0.0.1", lambda: print("port", server.address()["port"], flush=True))
    reactor.run()


main()
