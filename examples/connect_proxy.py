"""An HTTP proxy that knows CONNECT only, to the loopback only: passes on what it cannot read."""

from __future__ import annotations

import sys

from twisted.internet import reactor

import txnodetls as tls


def accepted(client: tls.net.Socket) -> None:
    heard = bytearray()

    def listen(data: bytes) -> None:
        heard.extend(data)
        head, end, rest = bytes(heard).partition(b"\r\n\r\n")
        if not end:
            return
        client.removeListener("data", listen)
        client.pause()
        method, _, target = head.decode("latin-1").partition(" ")
        host, _, port = target.partition(" ")[0].rpartition(":")
        if method != "CONNECT" or host != "localhost" or not port.isdigit():
            client.end("HTTP/1.1 403 Forbidden\r\n\r\n")
            return
        server = tls.net.connect(int(port), "127.0.0.1")

        def join() -> None:
            server.removeAllListeners("error")
            server.on("error", lambda error: client.destroy())
            client.write("HTTP/1.1 200 OK\r\n\r\n")
            server.write(rest)
            client.pipe(server).pipe(client)

        server.on("connect", join)
        server.on("error", lambda error: client.end("HTTP/1.1 502 Bad Gateway\r\n\r\n"))
        client.on("close", lambda hadError: server.destroy())

    client.on("data", listen)
    client.on("error", lambda error: print("failed:", error.code, flush=True))


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8080
    proxy = tls.net.createServer(accepted)
    proxy.listen(port, "127.0.0.1", lambda: print("port", proxy.address()["port"], flush=True))
    reactor.run()


main()
