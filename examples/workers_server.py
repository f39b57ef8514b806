"""Several processes on one port: the kernel gives each of them its share of the connections."""

from __future__ import annotations

import os
import sys

from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol


class Tells(Protocol):
    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(f"worker {os.getpid()}\n".encode())
        self.transport.loseConnection()


def main() -> None:
    port = sys.argv[1] if len(sys.argv) > 1 else "8443"
    # The same file of ticket keys in all of them: a session of one is resumed at another.
    text = (
        f"nodetls:{port}:interface=127.0.0.1:reusePort=yes:key=server.key:cert=server.pem"
        ":ticketKeysFile=ticket.keys:sessionIdContext=workers"
    )
    listening = serverFromString(reactor, text).listen(Factory.forProtocol(Tells))
    listening.addCallback(lambda port: print("port", port.getHost().port, flush=True))
    listening.addErrback(lambda failure: sys.exit(failure.getErrorMessage()))
    reactor.run()


main()
