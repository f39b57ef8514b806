"""AMP, whose StartTLS takes our TLS for a certificate: a connection that begins in the clear."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.protocols import amp

from txnodetls.twisted.creators import ServerCreator

CERTIFICATE = ServerCreator(
    {
        "key": Path("server.key").read_bytes(),
        "cert": Path("server.pem").read_bytes(),
        "ca": Path("client.pem").read_bytes(),
        "requestCert": True,
    }
)


class Double(amp.Command):
    arguments = [(b"number", amp.Integer())]
    response = [(b"result", amp.Integer())]


class Server(amp.AMP):
    @amp.StartTLS.responder
    def startTLS(self) -> dict[str, Any]:
        return {"tls_localCertificate": CERTIFICATE}

    @Double.responder
    def double(self, number: int) -> dict[str, int]:
        # Before StartTLS there is no certificate, and so nobody who could ask.
        if self.peerCertificate is None:
            raise PermissionError("not in the clear")
        return {"result": 2 * number}


port = sys.argv[1] if len(sys.argv) > 1 else "8443"
listening = serverFromString(reactor, f"tcp:{port}:interface=127.0.0.1").listen(
    Factory.forProtocol(Server)
)
listening.addCallback(lambda port: print("port", port.getHost().port, flush=True))
reactor.run()
