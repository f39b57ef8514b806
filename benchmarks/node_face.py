"""
The Node face under load: a C{tls.createServer} server that speaks the benchmark protocol.

The first line of a connection says what is to happen:

    S <bytes> <chunk>   send so many bytes in writes of so many, honouring back-pressure
    D <bytes>           discard so many bytes, then answer K
    E                   echo what follows

Environment: BENCH_CERT, BENCH_KEY: files; BENCH_CA and BENCH_MTLS=1: require and verify a
client certificate.  Prints C{READY <port>}.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from twisted.internet import reactor

import txnodetls as tls

# One for all connections: what they keep must not be taken for memory of the package's.
zeros = cache(bytes)


class Connection:
    """One connection and what it is doing."""

    __slots__ = ("chunk", "left", "mode", "socket")

    def __init__(self, socket: tls.TLSSocket) -> None:
        self.socket = socket
        self.mode = b""
        self.left = 0
        self.chunk = b""
        socket.on("data", self.received)
        socket.on("error", lambda _error: None)

    def received(self, data: bytes) -> None:
        if not self.mode:
            line, _, data = data.partition(b"\n")
            words = line.split()
            self.mode = words[0]
            if self.mode == b"S":
                self.left, self.chunk = int(words[1]), zeros(int(words[2]))
                self.socket.on("drain", self.send)
                self.send()
                return
            if self.mode == b"D":
                self.left = int(words[1])
            if not data:
                return
        if self.mode == b"E":
            self.socket.write(data)
        elif self.mode == b"D":
            self.left -= len(data)
            if self.left <= 0:
                self.socket.write(b"K\n")
                self.mode = b""

    def send(self) -> None:
        chunk, write = self.chunk, self.socket.write
        while self.left > 0:
            piece = chunk if self.left >= len(chunk) else chunk[: self.left]
            self.left -= len(piece)
            if not write(piece) and self.left > 0:
                return
        self.mode = b""
        self.socket.off("drain", self.send)


def main() -> None:
    options: dict[str, Any] = {
        "cert": Path(os.environ["BENCH_CERT"]).read_bytes(),
        "key": Path(os.environ["BENCH_KEY"]).read_bytes(),
    }
    if os.environ.get("BENCH_MTLS"):
        options["ca"] = Path(os.environ["BENCH_CA"]).read_bytes()
        options["requestCert"] = True
    server = tls.createServer(options, Connection)
    server.on("tlsClientError", lambda *_arguments: None)
    server.listen(
        0, "127.0.0.1", 1024, lambda: print("READY", server.address()["port"], flush=True)
    )
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
