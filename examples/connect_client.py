"""Talks to a TLS server through an HTTP proxy: takes the proxy's port, and then the server's."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor

import txnodetls as tls


def secure(tunnel: tls.net.Socket) -> None:
    """The proxy is out of the way; whom to expect is the server, whatever was connected to."""
    options = {"socket": tunnel, "servername": "localhost", "ca": Path("client.pem").read_bytes()}
    socket: tls.TLSSocket = tls.connect(options, lambda: socket.write("hello"))

    def received(data: bytes) -> None:
        print("received", data.decode(), "over", socket.getProtocol())
        socket.end()

    socket.on("data", received)
    socket.on("error", lambda error: print("failed:", error.code, error))
    socket.on("close", lambda hadError: reactor.stop())


def main() -> None:
    proxy, server = sys.argv[1:3]
    tunnel = tls.net.connect(int(proxy), "127.0.0.1")
    heard = bytearray()

    def listen(data: bytes) -> None:
        heard.extend(data)
        head, end, rest = bytes(heard).partition(b"\r\n\r\n")
        if not end:
            return
        tunnel.removeListener("data", listen)
        tunnel.pause()
        if head.split(b" ")[1:2] != [b"200"]:
            print("refused:", head.decode("latin-1").splitlines()[0])
            tunnel.destroy()
            reactor.stop()
            return
        tunnel.unshift(rest)
        secure(tunnel)

    tunnel.on("data", listen)
    tunnel.on("error", lambda error: print("failed:", error.code, error))
    tunnel.write(f"CONNECT localhost:{server} HTTP/1.1\r\nHost: localhost:{server}\r\n\r\n")
    reactor.run()


main()
