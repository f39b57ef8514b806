"""A client over a UNIX socket, which has no name: the options say whom to expect."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.interfaces import IReactorCore
from twisted.internet.protocol import Protocol
from twisted.internet.task import react

if TYPE_CHECKING:
    from txnodetls.twisted.transport import TLSTransport


class Ask(Protocol):
    transport: TLSTransport

    def __init__(self) -> None:
        self.answer: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(b"hello\n")

    def dataReceived(self, data: bytes) -> None:
        self.answer.callback(data)
        self.transport.loseConnection()


async def main(reactor: IReactorCore) -> None:
    path = sys.argv[1] if len(sys.argv) > 1 else "app.sock"
    text = f"nodetls:path={path}:servername=localhost:ca=client.pem"
    asking = await connectProtocol(clientFromString(reactor, text), Ask())
    print("received", (await asking.answer).decode(), end="")
    print("authorized:", asking.transport.tlsSocket.authorized)


react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
