"""Shows a certificate to the server. (The server's own will do for this example.)"""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor

import txnodetls as tls


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8443
    socket = tls.connect(
        port,
        "127.0.0.1",
        servername="localhost",
        ca=Path("client.pem").read_bytes(),
        key=Path("server.key").read_bytes(),
        cert=Path("server.pem").read_bytes(),
    )
    socket.setEncoding("utf8")
    socket.on("data", lambda text: print("received", text, end=""))
    socket.on("error", lambda error: print("failed:", error.code, error))
    socket.on("close", lambda hadError: reactor.stop())
    reactor.run()


main()
