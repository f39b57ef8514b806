"""
Node's C{net}: TCP and UNIX sockets without TLS.

They are what STARTTLS begins with, and what C{connect(socket=...)}, C{TLSSocket(socket)} and
C{server.emit('connection', socket)} take.

Source: https://nodejs.org/api/net.html
"""

from __future__ import annotations

from txnodetls.errors import invalidArgType
from txnodetls.net import connecting as _connecting
from txnodetls.net.abort import AbortError
from txnodetls.net.connecting import AggregateError
from txnodetls.net.lookup import isIP, isIPv4, isIPv6
from txnodetls.net.server import Server, createServer
from txnodetls.net.socket import Socket, connect
from txnodetls.net.wrapper import Duplex, takeCarrier

__all__ = [
    "AbortError",
    "AggregateError",
    "Duplex",
    "Server",
    "Socket",
    "Stream",
    "connect",
    "createConnection",
    "createServer",
    "getDefaultAutoSelectFamily",
    "getDefaultAutoSelectFamilyAttemptTimeout",
    "isIP",
    "isIPv4",
    "isIPv6",
    "setDefaultAutoSelectFamily",
    "setDefaultAutoSelectFamilyAttemptTimeout",
    "takeCarrier",
]

createConnection = connect
Stream = Socket


def getDefaultAutoSelectFamily() -> bool:
    """Whether C{connect} tries several addresses of a name; True unless it was changed."""
    return _connecting.defaultAutoSelectFamily


def setDefaultAutoSelectFamily(value: bool) -> None:
    """
    Change it.

    @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE}.
    """
    if not isinstance(value, bool):
        raise invalidArgType("value", "of type boolean", value)
    _connecting.defaultAutoSelectFamily = value


def getDefaultAutoSelectFamilyAttemptTimeout() -> float:
    """How many milliseconds each address is tried; 250 unless it was changed."""
    return _connecting.defaultAutoSelectFamilyAttemptTimeout


def setDefaultAutoSelectFamilyAttemptTimeout(value: float) -> None:
    """
    Change it; 10 at least.

    @raise NodeError: C{ERR_INVALID_ARG_TYPE}, C{ERR_OUT_OF_RANGE}.
    """
    _connecting.defaultAutoSelectFamilyAttemptTimeout = _connecting.attemptTimeout("value", value)
