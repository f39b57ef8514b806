"""
C{txnodetls.Duplex}: Node's duplex stream over something that is not a C{net.Socket}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import ITransport

from txnodetls.errors import invalidArgType
from txnodetls.net.carried import CarriedStream
from txnodetls.net.socket import Socket
from txnodetls.transports.carrier import Carrier
from txnodetls.transports.plain import takeOver
from txnodetls.transports.stream import StreamCarrier

__all__ = ["Duplex", "takeCarrier"]


class Duplex(CarriedStream):
    """
    Node's duplex stream over any Twisted transport, or over another stream.

    What is below is this stream's from now on: a transport gets it in place of its protocol, a
    stream is read and ended by it.  Goes wherever a socket goes: C{connect(socket=...)},
    C{TLSSocket(...)}, C{server.emit('connection', ...)}.  Like Node's it has no addresses.

    @param below: an C{ITransport}, or an object with the API of Node's Duplex.
    @param reactor: by default the one that C{below} has, or else the global one.
    @param options: C{allowHalfOpen} (default True), C{highWaterMark}.
    @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE}: it is neither.
    """

    def __init__(self, below: Any, *, reactor: Any = None, **options: Any) -> None:
        if reactor is None:
            reactor = _reactorOf(below)
        super().__init__(reactor=reactor, **options)
        carrier, _ = takeCarrier(below, self._ticks.reactor, whole=True)
        self._stand(carrier)


def takeCarrier(below: Any, reactor: Any, whole: bool = False) -> tuple[Carrier, bytes]:
    """
    The carrier of whatever a socket can stand on.

    A connected C{net.Socket} gives its own; for a transport or another stream a new one is made.

    @param whole: use a C{net.Socket} like any other stream, with its own buffer and events.
    @return: the carrier, paused and without an owner, and bytes that were read already.
    @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE}: nothing can stand on this.
    """
    if isinstance(below, Socket) and not whole and below._carrier is not None:
        return below._takeCarrier()
    if hasattr(below, "on") and hasattr(below, "write") and hasattr(below, "pause"):
        return StreamCarrier(below, reactor), b""
    if ITransport.providedBy(below):
        return takeOver(below, reactor), b""
    raise invalidArgType("socket", "an instance of Duplex or an ITransport", below)


def _reactorOf(below: Any) -> Any:
    ticks = getattr(below, "_ticks", None)
    return getattr(below, "reactor", None) if ticks is None else ticks.reactor
