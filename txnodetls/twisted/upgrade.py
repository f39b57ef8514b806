"""
A TLS connection on top of another connection, plain or secure: what C{startTLS} does.

Node has no verb for it; its programs write C{tls.connect({socket})} and
C{server.emit('connection', socket)}, and so does this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from txnodetls.client import connect
from txnodetls.errors import missingArgs
from txnodetls.interfaces import ISecureContext
from txnodetls.net.lookup import isIP
from txnodetls.net.socket import Socket
from txnodetls.server import Server
from txnodetls.socket import TLSSocket

__all__ = ["nameless", "upgrade"]


def upgrade(below: Socket, contextFactory: Any, normal: bool) -> TLSSocket:
    """
    A TLS connection over C{below}, in the same role, or in the other one unless C{normal}.

    As a server it has all that a C{Server} of these options does: the handshake timeout, the
    check of the client's certificate.

    @param contextFactory: see C{SocketTransport.startTLS}.

    @raise TypeError: that is none.
    @raise NodeError: an option is wrong; C{ERR_MISSING_ARGS} where a client has nothing to check
        the server's certificate against.
    """
    reactor = below._ticks.reactor
    options = _optionsOf(contextFactory)
    if _isServer(below) == normal:
        server = getattr(contextFactory, "tlsServer", None) or Server(options, reactor=reactor)
        secured: TLSSocket = server._newSocket(below)
        return secured
    if below._host is not None and not isinstance(below, TLSSocket):
        # What was connected to is whom to expect; inside of TLS it may be a proxy.
        options = {"host": below._host, **options}
        if not options.get("servername") and not isIP(options["host"]):
            options["servername"] = options["host"]
    if nameless(options):
        raise missingArgs("options.servername", "options.host")
    return connect({**options, "socket": below}, reactor=reactor)


def _isServer(socket: Socket) -> bool:
    return socket._isServer if isinstance(socket, TLSSocket) else socket.server is not None


def _optionsOf(contextFactory: Any) -> Mapping[str, Any]:
    if ISecureContext.providedBy(contextFactory):
        return {"secureContext": contextFactory}
    options = getattr(contextFactory, "tlsOptions", contextFactory)
    if isinstance(options, Mapping):
        return options
    raise TypeError(
        "startTLS takes a ServerCreator or ClientCreator, an ISecureContext "
        "(txnodetls.createSecureContext) or a mapping of Node's options, not "
        f"{type(contextFactory).__name__}"
    )


def nameless(options: Mapping[str, Any]) -> bool:
    """
    Whether a client with these options, over something that is not its own TCP connection,
    would check the certificate against nothing in particular.
    """
    return options.get("rejectUnauthorized") is not False and not (
        options.get("servername") or options.get("host") or options.get("checkServerIdentity")
    )
