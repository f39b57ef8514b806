"""The echo, as a protocol."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from txnodetls.daemon.echo import Echo
from txnodetls.daemon.records import Reason, Record


def connected() -> tuple[Echo, Any, Record]:
    record = Record("web", None, None, 0.0)
    echo, transport = Echo(record), StringTransport()
    echo.makeConnection(transport)
    return echo, transport, record


def test_what_comes_goes_back_as_fast_as_it_is_taken() -> None:
    echo, transport, _ = connected()
    assert verifyObject(IHalfCloseableProtocol, echo)
    assert (transport.producer, transport.streaming) == (transport, True)
    echo.dataReceived(b"one")
    echo.dataReceived(b"two")
    assert transport.value() == b"onetwo"


def test_it_ends_when_the_peer_has_ended() -> None:
    echo, transport, record = connected()
    echo.readConnectionLost()
    assert echo.halfClosed
    assert (transport.disconnecting, transport.producer) == (True, None)
    echo.writeConnectionLost()
    echo.connectionLost(Failure(ConnectionDone()))
    assert record.reason is Reason.DONE


def test_a_broken_connection_is_no_end() -> None:
    echo, _, record = connected()
    echo.connectionLost(Failure(ConnectionLost("cut")))
    assert record.reason is Reason.RESET
