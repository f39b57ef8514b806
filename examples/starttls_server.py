"""Begins in the clear; after the line STARTTLS the same connection speaks TLS."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor

import txnodetls as tls

CREDENTIALS = {"key": Path("server.key").read_bytes(), "cert": Path("server.pem").read_bytes()}


def accepted(plain: tls.net.Socket) -> None:
    heard = bytearray()

    def listen(data: bytes) -> None:
        heard.extend(data)
        if b"\r\n" not in heard:
            return
        plain.removeListener("data", listen)
        if heard != b"STARTTLS\r\n":
            # Anything after the line would be text smuggled in from outside of the TLS.
            plain.end("500 STARTTLS, and nothing else\r\n")
            return
        plain.pause()
        plain.write("220 go ahead\r\n")
        secure = tls.TLSSocket(plain, {**CREDENTIALS, "isServer": True})
        secure.on("secure", lambda: secure.write("hello, in private\r\n"))
        secure.on("data", lambda data: secure.end())
        secure.on("error", lambda error: print("failed:", error.code, flush=True))

    plain.on("data", listen)
    plain.on("error", lambda error: print("failed:", error.code, flush=True))
    plain.write("220 ready\r\n")


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8025
    server = tls.net.createServer(accepted)
    server.listen(port, "127.0.0.1", lambda: print("port", server.address()["port"], flush=True))
    reactor.run()


main()
