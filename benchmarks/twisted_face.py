"""
The Twisted face under load: a Protocol behind a C{nodetls:} endpoint.

Protocol, environment and output are those of C{node_face.py}.
"""

from __future__ import annotations

import os
from functools import cache

from twisted.internet import reactor
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

# One for all connections: what they keep must not be taken for memory of the package's.
zeros = cache(bytes)


@implementer(IPushProducer)
class Bench(Protocol):
    """One connection and what it is doing."""

    mode = b""
    left = 0
    paused = False
    chunk = b""

    def dataReceived(self, data: bytes) -> None:
        if not self.mode:
            line, _, data = data.partition(b"\n")
            words = line.split()
            self.mode = words[0]
            if self.mode == b"S":
                self.left, self.chunk = int(words[1]), zeros(int(words[2]))
                self.transport.registerProducer(self, True)  # type: ignore[union-attr]
                self.resumeProducing()
                return
            if self.mode == b"D":
                self.left = int(words[1])
            if not data:
                return
        if self.mode == b"E":
            self.transport.write(data)  # type: ignore[union-attr]
        elif self.mode == b"D":
            self.left -= len(data)
            if self.left <= 0:
                self.transport.write(b"K\n")  # type: ignore[union-attr]
                self.mode = b""

    def pauseProducing(self) -> None:
        self.paused = True

    def stopProducing(self) -> None:
        self.left = 0

    def resumeProducing(self) -> None:
        self.paused = False
        chunk, write = self.chunk, self.transport.write  # type: ignore[union-attr]
        while self.left > 0 and not self.paused:
            piece = chunk if self.left >= len(chunk) else chunk[: self.left]
            self.left -= len(piece)
            write(piece)
        if self.left <= 0 and self.mode == b"S":
            self.mode = b""
            self.transport.unregisterProducer()  # type: ignore[union-attr]


def main() -> None:
    text = "nodetls:0:interface=127.0.0.1:backlog=1024:key={}:cert={}".format(
        quoteStringArgument(os.environ["BENCH_KEY"]), quoteStringArgument(os.environ["BENCH_CERT"])
    )
    if os.environ.get("BENCH_MTLS"):
        text += f":ca={quoteStringArgument(os.environ['BENCH_CA'])}:requestCert=yes"
    factory = Factory.forProtocol(Bench)
    factory.noisy = False
    listening = serverFromString(reactor, text).listen(factory)
    listening.addCallback(lambda port: print("READY", port.getHost().port, flush=True))
    listening.addErrback(lambda failure: (failure.printTraceback(), reactor.stop()))  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
