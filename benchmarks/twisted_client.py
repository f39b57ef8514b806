"""
A client of the Twisted face under load: a Protocol behind a client endpoint.

Arguments and output are those of C{node_client.py}.
"""

from __future__ import annotations

import sys

from node_client import AT_ONCE, CHUNK, OPTIONS, Watch
from twisted.internet import reactor
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from txnodetls.twisted.endpoints import ClientEndpoint

DONE = Failure(ConnectionDone())


@implementer(IPushProducer)
class Bulk(Protocol):
    """Receives, or sends, what was asked for."""

    def __init__(self, watch: Watch, mode: str, count: int) -> None:
        self.watch, self.mode, self.left = watch, mode, count
        self.megabytes = count / 1e6
        self.paused = False

    def connectionMade(self) -> None:
        self.watch.start()
        write = self.transport.write  # type: ignore[union-attr]
        if self.mode == "recv":
            write(b"S %d 65536\n" % self.left)
        else:
            write(b"D %d\n" % self.left)
            self.transport.registerProducer(self, True)  # type: ignore[union-attr]
            self.resumeProducing()

    def dataReceived(self, data: bytes) -> None:
        if self.mode == "recv":
            self.left -= len(data)
            if self.left > 0:
                return
        self.watch.report(self.megabytes, "MB/s")

    def pauseProducing(self) -> None:
        self.paused = True

    def stopProducing(self) -> None:
        self.left = 0

    def resumeProducing(self) -> None:
        self.paused = False
        write = self.transport.write  # type: ignore[union-attr]
        while self.left > 0 and not self.paused:
            self.left -= len(CHUNK)
            write(CHUNK)


class Shakes:
    """So many handshakes, some at a time."""

    def __init__(self, endpoint: ClientEndpoint, watch: Watch, count: int) -> None:
        self.endpoint, self.watch, self.count = endpoint, watch, count
        self.begun = self.done = 0
        shakes = self

        class Leaving(Protocol):
            def connectionMade(self) -> None:
                self.transport.loseConnection()  # type: ignore[union-attr]

            def connectionLost(self, reason: Failure = DONE) -> None:
                shakes.closed()

        self.factory = Factory.forProtocol(Leaving)
        self.factory.noisy = False

    def begin(self) -> None:
        self.begun += 1
        self.endpoint.connect(self.factory).addErrback(lambda failure: self.closed())

    def closed(self) -> None:
        self.done += 1
        if self.done == self.count:
            self.watch.report(self.count, "conn/s")
        if self.begun < self.count:
            self.begin()


def start(endpoint: ClientEndpoint, mode: str, count: int) -> None:
    watch = Watch()
    if mode == "hs":
        shakes = Shakes(endpoint, watch, count)
        watch.start()
        for _ in range(min(AT_ONCE, count)):
            shakes.begin()
    else:
        factory = Factory.forProtocol(lambda: Bulk(watch, mode, count))
        factory.noisy = False
        endpoint.connect(factory)


def main() -> None:
    port, mode, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    options = {name: value for name, value in OPTIONS.items() if name != "host"}
    endpoint = ClientEndpoint(reactor, OPTIONS["host"], port, options)
    reactor.callWhenRunning(start, endpoint, mode, count)
    reactor.run()


if __name__ == "__main__":
    main()
