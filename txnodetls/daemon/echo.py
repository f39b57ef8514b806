"""
The echo: sends back what it receives.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txnodetls.daemon.proxy import reasonOf
from txnodetls.daemon.records import Record

__all__ = ["Echo"]


@implementer(IHalfCloseableProtocol)
class Echo(Protocol):
    """
    Sends back what it receives, as fast as that is taken; ends when the peer has ended.

    @param record: of the connection.
    """

    transport: Any
    halfClosed = False

    def __init__(self, record: Record) -> None:
        self._record = record

    def connectionMade(self) -> None:
        self.transport.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)

    def readConnectionLost(self) -> None:
        self.halfClosed = True
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """All has been said."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._record.ends(*reasonOf(reason))
