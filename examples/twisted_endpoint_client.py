"""A Twisted protocol over a `nodetls:` endpoint: sends a line, prints the answer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.interfaces import IReactorCore
from twisted.internet.task import react
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from txnodetls.twisted.transport import TLSTransport


class Ask(LineOnlyReceiver):
    transport: TLSTransport

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.sendLine(b"hello")

    def lineReceived(self, line: bytes) -> None:
        protocol = self.transport.negotiatedProtocol or b"nothing special"
        print("received", line.decode(), "over", protocol.decode())

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.ended.callback(None)


async def main(reactor: IReactorCore) -> None:
    port = sys.argv[1] if len(sys.argv) > 1 else "8443"
    text = f"nodetls:localhost:{port}:ca=client.pem:ALPNProtocols=capitals"
    asking = await connectProtocol(clientFromString(reactor, text), Ask())
    await asking.ended


react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
