"""AMP's StartTLS with our TLS, certificates on both sides, and a call over it."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.interfaces import IReactorCore
from twisted.internet.task import react
from twisted.protocols import amp

from txnodetls.twisted.creators import ClientCreator


class Double(amp.Command):
    arguments = [(b"number", amp.Integer())]
    response = [(b"result", amp.Integer())]


async def main(reactor: IReactorCore) -> None:
    port = sys.argv[1] if len(sys.argv) > 1 else "8443"
    certificate = ClientCreator(
        {
            "key": Path("server.key").read_bytes(),
            "cert": Path("server.pem").read_bytes(),
            "ca": Path("client.pem").read_bytes(),
            "host": "localhost",
        }
    )
    client = await connectProtocol(clientFromString(reactor, f"tcp:127.0.0.1:{port}"), amp.AMP())
    await client.callRemote(amp.StartTLS, tls_localCertificate=certificate)
    answer = await client.callRemote(Double, number=21)
    socket = client.transport.getHandle().tlsSocket
    print("received", answer["result"], "over", socket.getProtocol())


react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
