"""A Twisted protocol behind a `nodetls:` endpoint: answers each line in capitals."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver

if TYPE_CHECKING:
    from txnodetls.twisted.transport import TLSTransport


class Capitals(LineOnlyReceiver):
    transport: TLSTransport

    def lineReceived(self, line: bytes) -> None:
        # The transport is Twisted's; behind it stands the socket with Node's interface.
        socket = self.transport.tlsSocket
        print(socket.getProtocol(), self.transport.negotiatedProtocol, flush=True)
        self.sendLine(line.upper())
        self.transport.loseConnection()


def listening(port: IListeningPort) -> None:
    address = port.getHost()
    print("port", address.port, flush=True)  # type: ignore[attr-defined]


def main() -> None:
    port = sys.argv[1] if len(sys.argv) > 1 else "8443"
    endpoint = serverFromString(
        reactor,
        f"nodetls:{port}:interface=127.0.0.1:key=server.key:cert=server.pem:ALPNProtocols=capitals",
    )
    endpoint.listen(Factory.forProtocol(Capitals)).addCallbacks(listening, sys.exit)
    reactor.run()


main()
