"""A web site of Twisted's over HTTP/1.1 and, with the extra `http2`, HTTP/2."""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.web.resource import Resource
from twisted.web.server import Request, Site


class Hello(Resource):
    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        # Over HTTP/2 the channel is one stream of the connection.
        connection: Any = getattr(request.channel, "_conn", request.channel)
        socket = connection.transport.tlsSocket
        return f"hello over {socket.alpnProtocol} and {socket.getProtocol()}\n".encode()


def main() -> None:
    port = sys.argv[1] if len(sys.argv) > 1 else "8443"
    text = f"nodetls:{port}:interface=127.0.0.1:key=server.key:cert=server.pem"
    listening = serverFromString(reactor, text).listen(Site(Hello()))
    listening.addCallback(lambda port: print("port", port.getHost().port, flush=True))
    listening.addErrback(lambda failure: sys.exit(failure.getErrorMessage()))
    reactor.run()


main()
