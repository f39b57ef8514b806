"""Connects, says hello, prints what comes back, and ends."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor

import txnodetls as tls


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8443
    name = sys.argv[2] if len(sys.argv) > 2 else "localhost"
    options = {
        "host": "127.0.0.1",
        "port": port,
        "servername": name,
        "ca": Path("client.pem").read_bytes(),
    }
    socket = tls.connect(options)

    def secured() -> None:
        print(socket.getProtocol(), socket.getCipher()["standardName"])
        print("certificate for", socket.getPeerCertificate()["subjectaltname"])
        socket.end("hello\n")

    def failed(error: tls.NodeError) -> None:
        print("failed:", error.code, error)

    def closed(hadError: bool) -> None:
        reactor.stop()

    socket.setEncoding("utf8")
    socket.on("secureConnect", secured)
    socket.on("data", lambda text: print("received", text, end=""))
    socket.on("error", failed)
    socket.on("close", closed)
    reactor.run()


main()
