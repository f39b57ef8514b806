"""
One TLS connection on top of another: what C{startTLS} does.

Node has no verb for it; its programs write C{tls.connect({socket})} and
C{server.emit('connection', socket)}, and so does this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from txnodetls.client import connect
from txnodetls.errors import missingArgs
from txnodetls.server import Server
from txnodetls.socket import TLSSocket

__all__ = ["nameless", "upgrade"]


def upgrade(below: TLSSocket, options: Mapping[str, Any], normal: bool) -> TLSSocket:
    """
    A TLS connection over C{below}, in the same role, or in the other one unless C{normal}.

    As a server it has all that a C{Server} of these options does: the handshake timeout, the
    check of the client's certificate.

    @raise NodeError: an option is wrong; C{ERR_MISSING_ARGS} where a client has nothing to check
        the server's certificate against.
    """
    if below._isServer == normal:
        return Server(options, reactor=below.reactor)._newSocket(below)
    if nameless(options):
        raise missingArgs("options.servername", "options.host")
    return connect({**options, "socket": below}, reactor=below.reactor)


def nameless(options: Mapping[str, Any]) -> bool:
    """
    Whether a client with these options, over something that is not its own TCP connection,
    would check the certificate against nothing in particular.
    """
    return options.get("rejectUnauthorized") is not False and not (
        options.get("servername") or options.get("host") or options.get("checkServerIdentity")
    )
