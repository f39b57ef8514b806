"""Staples an OCSP response, which another program keeps up to date, to the certificate."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor

import txnodetls as tls


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8443
    options = {
        "key": Path("server.key").read_bytes(),
        "cert": Path("server.pem").read_bytes(),
        # Whoever signed the certificate signs the response, which is looked at before it is shown.
        "ca": Path("client.pem").read_bytes(),
        "ocspResponder": tls.FileOCSPResponder("staple.der"),
    }
    server = tls.createServer(options, lambda socket: socket.end("hello\n"))
    server.on("tlsClientError", lambda error, socket: print("refused:", error.code, flush=True))
    server.listen(port, "127.0.0.1", lambda: print("port", server.address()["port"], flush=True))
    reactor.run()


main()
