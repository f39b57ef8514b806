"""C{Duplex} over transports and over other streams."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import defer, protocol, reactor, task
from twisted.internet.testing import StringTransport

from tests.net.test_socket import Service, record
from tests.support import eventually, happened
from txnodetls import net
from txnodetls.errors import NodeError

known: Any = reactor


@ensureDeferred
async def test_over_a_socket_it_is_a_stream_of_its_own() -> None:
    service = await Service().start()
    service.onSocket = lambda there: there.pipe(there)
    below = service.dial()
    await happened(below, "connect")
    made = net.Duplex(below)
    events = record(made, "data", "end", "finish", "close")
    made.write("hello")
    await happened(made, "data")
    assert not hasattr(made, "remoteAddress")
    assert (made.bytesRead, made.bytesWritten) == (5, 5)
    made.end()
    await happened(made, "close")
    assert events == [("data", b"hello"), "finish", "end", ("close",)] or events[-1] == "close"
    await eventually(lambda: below.destroyed)
    await service.stop()


@ensureDeferred
async def test_over_a_socket_that_connects_later_it_waits() -> None:
    service = await Service().start()
    got: list[bytes] = []
    service.onSocket = lambda there: there.on("data", got.append)
    made = net.Duplex(service.dial())
    made.write("early")
    await eventually(lambda: got)
    assert got == [b"early"]
    made.destroy()
    await service.stop()


@ensureDeferred
async def test_over_a_transport_it_takes_the_place_of_the_protocol() -> None:
    service = await Service().start()
    service.onSocket = lambda there: there.pipe(there)
    connected: defer.Deferred[Any] = defer.Deferred()

    class Client(protocol.Protocol):
        def connectionMade(self) -> None:
            connected.callback(self.transport)

        def dataReceived(self, data: bytes) -> None:
            raise AssertionError("the former protocol got data")

    factory = protocol.ClientFactory.forProtocol(Client)
    factory.noisy = False
    known.connectTCP("127.0.0.1", service.port, factory)
    transport = await connected
    made = net.Duplex(transport)
    made.write(b"hello")
    assert await happened(made, "data") == (b"hello",)
    made.end()
    await happened(made, "close")
    await service.stop()


@ensureDeferred
async def test_backpressure_passes_through() -> None:
    service = await Service().start()
    below = service.dial()
    await eventually(lambda: service.sockets)
    made = net.Duplex(below)
    while made.write(bytes(100_000)):
        pass
    there = service.sockets[0]
    got = 0

    def count(data: bytes) -> None:
        nonlocal got
        got += len(data)

    there.on("data", count)
    await happened(made, "drain")
    made.end()
    await happened(there, "end")
    assert got == made.bytesWritten
    made.destroy()
    await service.stop()


@ensureDeferred
async def test_an_error_below_is_its_error() -> None:
    service = await Service().start()
    below = service.dial()
    await happened(below, "connect")
    made = net.Duplex(below)
    failed = happened(made, "error")
    await eventually(lambda: service.sockets)
    made.resume()
    service.sockets[0].resetAndDestroy()
    assert (await failed)[0].code == "ECONNRESET"
    await service.stop()


def test_options_are_those_of_a_duplex_stream() -> None:
    clock = task.Clock()
    made = net.Duplex(StringTransport(), reactor=clock, allowHalfOpen=False, highWaterMark=3)
    assert made.allowHalfOpen is False
    assert made.writableHighWaterMark == 3


def test_nothing_else_can_be_wrapped() -> None:
    with pytest.raises(NodeError) as caught:
        net.Duplex("no", reactor=task.Clock())
    assert caught.value.code == "ERR_INVALID_ARG_TYPE"
