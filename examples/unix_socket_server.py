"""TLS over a UNIX socket: an endpoint of ours over another endpoint."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol

from txnodetls.twisted.endpoints import wrapServer


class Echo(Protocol):
    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


def main() -> None:
    path = sys.argv[1] if len(sys.argv) > 1 else "app.sock"
    options = {
        "key": Path("server.key").read_bytes(),
        "cert": Path("server.pem").read_bytes(),
    }
    # Any endpoint of Twisted's goes here: systemd:, haproxy:, another nodetls: …
    endpoint = wrapServer(serverFromString(reactor, f"unix:{path}"), options)
    listening = endpoint.listen(Factory.forProtocol(Echo))
    listening.addCallback(lambda port: print("port", path, flush=True))
    listening.addErrback(lambda failure: sys.exit(failure.getErrorMessage()))
    reactor.run()


main()
