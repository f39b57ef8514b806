"""Negotiates the protocol (ALPN): the server chooses among what the client offers."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor

import txnodetls as tls


def choose(asked: dict[str, object]) -> str | None:
    offered = asked["protocols"]
    assert isinstance(offered, list)
    print(asked["servername"], "offers", *offered, flush=True)
    # What is returned has to be among them; None refuses the client.
    return next((name for name in ("shout", "whisper") if name in offered), None)


def secured(socket: tls.TLSSocket) -> None:
    hello = "hello\n"
    socket.end(hello.upper() if socket.alpnProtocol == "shout" else hello)


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8443
    options = {
        "key": Path("server.key").read_bytes(),
        "cert": Path("server.pem").read_bytes(),
        "ALPNCallback": choose,
    }
    server = tls.createServer(options, secured)
    server.on("tlsClientError", lambda error, socket: print("refused:", error.code, flush=True))
    server.listen(port, "127.0.0.1", lambda: print("port", server.address()["port"], flush=True))
    reactor.run()


main()
