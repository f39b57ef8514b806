"""
C{TLSSocket}: the stream that applications see, and what each role adds to it.

    tlssocket   one engine on one carrier, with Node's stream in front
    settings    what the application sets on it
    waiting     what it can be awaited for
    roles       what a client adds to it, and a server
"""

from __future__ import annotations

from txnodetls.socket.roles import (
    ConnectingAlone,
    Handler,
    ServingAlone,
    clientsEngine,
    serverName,
)
from txnodetls.socket.tlssocket import TLSSocket

__all__ = [
    "ConnectingAlone",
    "Handler",
    "ServingAlone",
    "TLSSocket",
    "clientsEngine",
    "serverName",
]
