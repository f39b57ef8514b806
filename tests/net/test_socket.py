"""C{net.Socket}: its life, its events in Node's order, its errors in Node's words."""

from __future__ import annotations

import math
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from pytest_twisted import ensureDeferred
from twisted.internet import reactor, task

from tests.support import eventually, happened, unusedPort
from txnodetls import net
from txnodetls.errors import NodeError
from txnodetls.streams import EventEmitter

known: Any = reactor

EVENTS = [
    "lookup",
    "connectionAttempt",
    "connectionAttemptFailed",
    "connect",
    "ready",
    "data",
    "end",
    "finish",
    "timeout",
    "drain",
    "error",
    "close",
]


def record(stream: Any, *names: str) -> list[Any]:
    """The events of a stream, from now on: the name, or (name, what it came with)."""
    events: list[Any] = []

    def listener(name: str) -> Callable[..., None]:
        def heard(*arguments: Any) -> None:
            told = [getattr(one, "code", one) for one in arguments]
            events.append((name, *told) if told else name)

        return heard

    for name in names or EVENTS:
        stream.on(name, listener(name))
    return events


class Service:
    """A net server on the loopback, and the sockets that it has made."""

    def __init__(self, **options: Any) -> None:
        self.sockets: list[Any] = []
        self.server = net.createServer(options, self.accepted)
        self.onSocket: Callable[[Any], object] = lambda socket: None

    def accepted(self, socket: Any) -> None:
        self.sockets.append(socket)
        socket.on("error", lambda error: None)
        self.onSocket(socket)

    async def start(self) -> Service:
        self.server.listen(0, "127.0.0.1")
        await happened(self.server, "listening")
        return self

    @property
    def port(self) -> int:
        address: Any = self.server.address()
        return int(address["port"])

    def dial(self, *arguments: Any, **options: Any) -> net.Socket:
        return net.connect({"port": self.port, "host": "127.0.0.1", **options}, *arguments)

    async def stop(self) -> None:
        done = happened(self.server, "close")
        self.server.close()
        for there in self.sockets:
            there.destroy()
        await done


@pytest_twisted.async_yield_fixture
async def service() -> AsyncIterator[Service]:
    made = await Service().start()
    yield made
    await made.stop()


@ensureDeferred
async def test_the_events_of_a_connection_come_in_nodes_order(service: Service) -> None:
    service.onSocket = lambda there: there.end("hi")
    told: list[str] = []
    client = service.dial(lambda: told.append("callback"))
    events = record(client)
    assert (client.connecting, client.pending, client.readyState) == (True, True, "opening")
    client.end("bye", lambda error: told.append("ended"))
    await happened(client, "close")
    # The end of the peer may come before or behind our own 'finish'.
    assert [event for event in events if event != "finish"] == [
        ("connectionAttempt", "127.0.0.1", service.port, 4),
        "connect",
        "ready",
        ("data", b"hi"),
        "end",
        ("close", False),
    ]
    assert "finish" in events
    assert told == ["callback", "ended"]
    assert (client.readyState, client.pending, client.destroyed) == ("closed", True, True)


@ensureDeferred
async def test_what_is_written_before_the_connection_goes_out_then(service: Service) -> None:
    got: list[bytes] = []
    service.onSocket = lambda there: there.on("data", got.append)
    client = service.dial()
    events = record(client, "connect", "ready")
    mine = bytearray(b"one ")
    assert client.write(mine, lambda error: events.append("written"))
    mine[:] = b"changed"
    client.write("two ")
    client.end("three")
    assert client.bytesWritten == client.writableLength == 13
    await eventually(lambda: b"".join(got) == b"one two three")
    assert events[:3] == ["connect", "written", "ready"]
    await eventually(lambda: client.closed)
    assert client.bytesWritten == 13


@ensureDeferred
async def test_a_write_that_waits_for_the_connection_fails_with_it(service: Service) -> None:
    client = service.dial()
    events = record(client, "error", "close")
    client.write("x", lambda error: events.append(getattr(error, "code", None)))
    client.destroy()
    await happened(client, "close")
    assert sorted(map(str, events)) == sorted(
        ["ERR_SOCKET_CLOSED_BEFORE_CONNECTION", "('close', False)"]
    )


@ensureDeferred
async def test_a_refusal_is_an_error_and_a_close(service: Service) -> None:
    port = unusedPort()
    client = net.connect(port, "127.0.0.1")
    events = record(client)
    error = (await happened(client, "error"))[0]
    await eventually(lambda: client.closed and events[-1] == ("close", True))
    assert error.message == f"connect ECONNREFUSED 127.0.0.1:{port}"
    assert (error.syscall, error.address, error.port) == ("connect", "127.0.0.1", port)
    assert events == [
        ("connectionAttempt", "127.0.0.1", port, 4),
        ("connectionAttemptFailed", "127.0.0.1", port, 4, "ECONNREFUSED"),
        ("error", "ECONNREFUSED"),
        ("close", True),
    ]


@ensureDeferred
async def test_a_unix_socket_is_connected_by_its_path(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    server = net.createServer(lambda there: there.pipe(there))
    server.listen(path)
    await happened(server, "listening")
    assert server.address() == path
    for client in (net.connect(path), net.connect({"path": path}), net.connect(path=path)):
        client.end("echo")
        assert await happened(client, "data") == (b"echo",)
        assert client.address() == {}
        assert client.remoteAddress is None
        await happened(client, "close")
    server.close()
    missing = net.connect(str(tmp_path / "missing"))
    assert (await happened(missing, "error"))[0].code == "ENOENT"


@ensureDeferred
async def test_the_peers_end_ends_a_socket_that_may_not_stay_half_open(service: Service) -> None:
    service.onSocket = lambda there: there.end("last")
    client = service.dial()
    events = record(client, "data", "end", "finish", "close")
    await happened(client, "close")
    assert events == [("data", b"last"), "end", "finish", ("close", False)]


@ensureDeferred
async def test_writing_behind_the_peers_end_is_EPIPE(service: Service) -> None:
    service.onSocket = lambda there: there.end()
    client = service.dial()
    client.resume()
    codes: list[Any] = []
    client.on("finish", lambda: client.write("x", lambda error: codes.append(error.code)))
    error = (await happened(client, "error"))[0]
    assert (error.code, error.message) == (
        "EPIPE",
        "This socket has been ended by the other party",
    )
    assert codes == ["EPIPE"]
    await happened(client, "close")


@ensureDeferred
async def test_a_half_open_socket_answers_behind_the_peers_end() -> None:
    service = await Service(allowHalfOpen=True).start()
    service.onSocket = lambda there: there.on("end", lambda: there.end("answer")).resume()
    client = service.dial(allowHalfOpen=True)
    client.end("question")
    assert await happened(client, "data") == (b"answer",)
    await happened(client, "close")
    await service.stop()


@ensureDeferred
async def test_a_reset_is_ECONNRESET(service: Service) -> None:
    client = service.dial()
    await eventually(lambda: service.sockets)
    there = service.sockets[0]
    events = record(there, "error", "close")
    assert client.resetAndDestroy() is client
    await eventually(lambda: ("close", True) in events)
    assert events == [("error", "ECONNRESET"), ("close", True)]


@ensureDeferred
async def test_a_reset_waits_for_the_connection(service: Service) -> None:
    client = service.dial()
    events = record(client, "connect", "error", "close")
    client.resetAndDestroy()
    await happened(client, "close")
    assert events == ["connect", ("close", False)]
    await eventually(lambda: service.sockets and service.sockets[0].destroyed)


@ensureDeferred
async def test_only_a_connected_tcp_socket_can_be_reset(tmp_path: Path) -> None:
    lonely = net.Socket()
    events = record(lonely, "error", "close")
    lonely.resetAndDestroy()
    await happened(lonely, "close", fails=False)
    assert events == [("error", "ERR_SOCKET_CLOSED"), ("close", False)]
    server = net.createServer().listen(str(tmp_path / "s"))
    await happened(server, "listening")
    client = net.connect(str(tmp_path / "s"))
    await happened(client, "connect")
    with pytest.raises(NodeError) as caught:
        client.resetAndDestroy()
    assert caught.value.code == "ERR_INVALID_HANDLE_TYPE"
    client.destroy()
    server.close()
    await happened(client, "close")


@ensureDeferred
async def test_a_socket_that_was_never_connected_takes_no_data() -> None:
    lonely = net.Socket()
    events = record(lonely, "error", "close")
    lonely.write("x", lambda error: events.append(error.code))
    await happened(lonely, "close", fails=False)
    assert events == ["ERR_SOCKET_CLOSED", ("error", "ERR_SOCKET_CLOSED"), ("close", False)]


@ensureDeferred
async def test_a_closed_socket_can_be_connected_anew(service: Service) -> None:
    service.onSocket = lambda there: there.resume()
    client = service.dial()
    events = record(client, "connect", "end", "finish", "close")
    client.end()
    await happened(client, "close")
    client.connect(service.port, "127.0.0.1")
    assert (client.destroyed, client.connecting) == (False, True)
    client.end("again")
    await eventually(lambda: events.count(("close", False)) == 2)
    assert events == ["connect", "finish", "end", ("close", False)] * 2
    assert client.bytesWritten == 5


@ensureDeferred
async def test_connecting_twice_is_an_error(service: Service) -> None:
    twice = service.dial()
    twice.connect(service.port, "127.0.0.1")
    assert (await happened(twice, "error"))[0].code == "EALREADY"
    client = service.dial()
    await happened(client, "connect")
    client.connect(service.port, "127.0.0.1")
    assert (await happened(client, "error"))[0].code == "EISCONN"


@ensureDeferred
async def test_addresses_are_there_while_connected_and_the_peers_after(service: Service) -> None:
    client = service.dial()
    assert client.address() == {}
    assert client.remoteAddress is None
    assert client.localPort is None
    await happened(client, "connect")
    await eventually(lambda: service.sockets)
    there = service.sockets[0]
    assert client.address() == {
        "address": "127.0.0.1",
        "family": "IPv4",
        "port": client.localPort,
    }
    assert (client.remoteAddress, client.remotePort, client.remoteFamily) == (
        "127.0.0.1",
        service.port,
        "IPv4",
    )
    assert (there.remotePort, there.localPort) == (client.localPort, service.port)
    assert (there.localAddress, there.localFamily) == ("127.0.0.1", "IPv4")
    client.end()
    await happened(client, "close")
    assert client.address() == {}
    assert client.localAddress is None
    assert (client.remoteAddress, client.remotePort) == ("127.0.0.1", service.port)


@ensureDeferred
async def test_backpressure_reaches_the_writer_and_every_byte_arrives(service: Service) -> None:
    block = bytes(range(250)) * 200
    total = 300
    sent = drained = 0
    got: list[bytes] = []
    client = service.dial()
    await eventually(lambda: service.sockets)
    there = service.sockets[0]
    there.pause()

    def more() -> None:
        nonlocal sent
        while sent < total:
            sent += 1
            if not client.write(block):
                return
        client.end()

    def drain() -> None:
        nonlocal drained
        drained += 1
        more()

    client.on("drain", drain)
    more()
    assert sent < total
    there.on("data", got.append)
    there.resume()
    await happened(there, "end")
    assert b"".join(got) == block * total
    assert drained
    assert client.bytesWritten == there.bytesRead == len(block) * total


@ensureDeferred
async def test_a_paused_socket_does_not_read_beyond_its_mark(service: Service) -> None:
    client = service.dial()
    client.pause()
    await eventually(lambda: service.sockets)
    there = service.sockets[0]
    while there.write(bytes(50_000)):
        pass
    client.once("data", lambda data: client.pause())
    client.resume()
    await happened(client, "data")
    before = client.bytesRead
    await task.deferLater(known, 0.02, int)
    # What one read brings may be behind the mark, and no more.
    assert client.bytesRead - before <= 256 * 1024
    assert there.writableLength
    client.resume()
    await happened(there, "drain")


@ensureDeferred
async def test_the_idle_time_is_told_once_and_again_after_activity(service: Service) -> None:
    heard: list[str] = []
    client = service.dial(timeout=60_000)
    client.on("timeout", lambda: heard.append("timeout"))
    assert client.timeout == 60_000
    # Whatever is late, connecting is no activity any more.
    await happened(client, "ready")
    client.setTimeout(15)
    await happened(client, "timeout")
    await task.deferLater(known, 0.04, int)
    assert heard == ["timeout"]
    client.write("x")
    await happened(client, "timeout")
    assert heard == ["timeout"] * 2
    assert not client.destroyed
    client.destroy()
    await happened(client, "close")
    assert client.setTimeout(5) is client
    await task.deferLater(known, 0.02, int)
    assert heard == ["timeout"] * 2


def test_setTimeout_checks_and_keeps_its_callback_for_one_timeout() -> None:
    clock = task.Clock()
    lonely = net.Socket(reactor=clock)
    heard: list[int] = []
    callback = lambda: heard.append(1)  # noqa: E731
    assert lonely.setTimeout(1000, callback).timeout == 1000
    clock.advance(1)
    clock.advance(5)
    assert heard == [1]
    assert lonely.listenerCount("timeout") == 0
    lonely.setTimeout(1000, callback)
    lonely.setTimeout(0, callback)
    clock.advance(5)
    assert heard == [1]
    for wrong, code in [
        (-1, "ERR_OUT_OF_RANGE"),
        (float("nan"), "ERR_OUT_OF_RANGE"),
        (float("inf"), "ERR_OUT_OF_RANGE"),
        ("5", "ERR_INVALID_ARG_TYPE"),
        (True, "ERR_INVALID_ARG_TYPE"),
    ]:
        with pytest.raises(NodeError) as caught:
            lonely.setTimeout(wrong)  # type: ignore[arg-type]
        assert caught.value.code == code
    with pytest.raises(NodeError):
        lonely.setTimeout(5, 5)  # type: ignore[arg-type]


@ensureDeferred
async def test_options_of_the_socket_wait_for_the_connection(service: Service) -> None:
    client = service.dial(noDelay=True, keepAlive=True, keepAliveInitialDelay=30_500)
    await happened(client, "connect")
    assert client._carrier is not None
    handle = client._carrier.handle
    assert handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
    assert client.setNoDelay(False) is client
    assert client.setKeepAlive(False) is client
    assert not handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert not handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    client.destroy()
    early = service.dial().setNoDelay().setKeepAlive(True, 12_000)
    await happened(early, "connect")
    assert early._carrier is not None
    handle = early._carrier.handle
    assert handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 12
    early.destroy()
    assert early.ref() is early.unref() is early


@pytest.mark.parametrize("delay", [math.nan, math.inf, -math.inf, -1, "12000", None, [], 1e300])
def test_what_is_no_time_leaves_keep_alive_as_it_is(delay: Any) -> None:
    socket = net.Socket().setKeepAlive(True, delay)
    assert socket._tuning is not None
    assert socket._tuning[2] == (32767 if delay == 1e300 else 0)


@ensureDeferred
async def test_a_given_buffer_gets_the_data_and_holds_it_when_asked(service: Service) -> None:
    buffer = bytearray(4)
    pieces: list[bytes] = []

    def callback(count: int, given: bytearray) -> bool:
        assert given is buffer
        pieces.append(bytes(given[:count]))
        return True

    service.onSocket = lambda there: there.end("abcdefghij")
    client = service.dial(onread={"buffer": buffer, "callback": callback})
    events = record(client, "data", "end")
    await happened(client, "close")
    assert b"".join(pieces) == b"abcdefghij"
    assert max(map(len, pieces)) == 4
    assert events == ["end"]
    for wrong in (5, {"buffer": buffer}, {"callback": callback}):
        with pytest.raises(NodeError) as caught:
            net.Socket(onread=wrong)
        assert caught.value.code == "ERR_INVALID_ARG_TYPE"


@ensureDeferred
async def test_a_given_buffer_is_not_filled_again_before_it_is_wanted(service: Service) -> None:
    pieces: list[bytes] = []

    def callback(count: int, given: bytearray) -> bool:
        pieces.append(bytes(given[:count]))
        return len(pieces) > 2

    service.onSocket = lambda there: there.end("abcdefghij")
    client = service.dial(onread={"buffer": lambda: bytearray(3), "callback": callback})
    await eventually(client.isPaused)
    await task.deferLater(known, 0.01, int)
    assert pieces == [b"abc"]
    client.resume()
    await eventually(client.isPaused)
    assert pieces == [b"abc", b"def"]
    client.resume()
    await happened(client, "close")
    assert pieces == [b"abc", b"def", b"ghi", b"j"]


@pytest.mark.parametrize("pausing", [True, False])
@ensureDeferred
async def test_pausing_a_socket_with_a_given_buffer_holds_it(
    service: Service, pausing: bool
) -> None:
    got: list[int] = []
    client = service.dial(
        onread={"buffer": bytearray(8), "callback": lambda count, given: got.append(count)}
    )
    await happened(client, "ready")
    if pausing:
        client.pause()
    await eventually(lambda: service.sockets)
    service.sockets[0].write("x")
    if pausing:
        await task.deferLater(known, 0.02, int)
        assert got == []
        client.resume()
    await eventually(lambda: got)
    assert got == [1]


@pytest.mark.parametrize("buffer", [bytearray(), lambda: 1 / 0, lambda: "text"])
@ensureDeferred
async def test_a_buffer_that_cannot_be_filled_ends_its_socket(
    service: Service, buffer: Any
) -> None:
    service.onSocket = lambda there: there.end("x")
    client = service.dial(onread={"buffer": buffer, "callback": lambda *_: True})
    error = (await happened(client, "error"))[0]
    assert isinstance(error, (NodeError, ZeroDivisionError, TypeError))


class Signal(EventEmitter):
    """An abort signal."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False
        self.reason: Any = None

    def abort(self, reason: Any = None) -> None:
        self.aborted, self.reason = True, reason
        self.emit("abort")


@ensureDeferred
async def test_a_signal_aborts_the_socket_and_is_left_alone_afterwards(service: Service) -> None:
    signal = Signal()
    client = service.dial(signal=signal)
    why = RuntimeError("changed my mind")
    failed = happened(client, "error")
    signal.abort(why)
    error = (await failed)[0]
    assert (error.name, error.code) == ("AbortError", "ABORT_ERR")
    assert error.__cause__ is why
    assert signal.eventNames() == []
    late = service.dial(signal=signal)
    assert late.destroyed
    assert (await happened(late, "error"))[0].code == "ABORT_ERR"
    await eventually(lambda: late.closed)
    assert not late.connecting
    with pytest.raises(NodeError):
        net.Socket(signal="no")


@ensureDeferred
async def test_a_descriptor_becomes_a_socket() -> None:
    near, far = socket.socketpair()
    made = net.Socket(fd=near.detach())
    made.on("data", lambda data: made.end(data))
    far.sendall(b"echo")
    await happened(made, "finish")
    assert far.recv(10) == b"echo"
    far.close()
    await happened(made, "close")


@ensureDeferred
async def test_a_listener_that_raises_ends_its_socket_only(
    service: Service, loggedErrors: Any
) -> None:
    client = service.dial()
    other = service.dial()
    await eventually(lambda: len(service.sockets) == 2)
    mine = next(s for s in service.sockets if s.remotePort == client.localPort)

    def fail(data: bytes) -> None:
        raise ZeroDivisionError

    mine.on("data", fail)
    client.write("x")
    await happened(client, "close")
    assert [type(error) for error in loggedErrors.flush()] == [ZeroDivisionError]
    theirs = next(s for s in service.sockets if s is not mine)
    theirs.write("still here")
    assert await happened(other, "data") == (b"still here",)
    other.destroy()


@ensureDeferred
async def test_the_carrier_can_be_taken_over_with_what_was_read(service: Service) -> None:
    from tests.transports.owners import Owner

    service.onSocket = lambda there: there.write("early")
    client = service.dial()
    client.pause()
    await happened(client, "ready")
    client.read(0)
    await eventually(lambda: client.readableLength)
    carrier, early = net.takeCarrier(client, reactor)
    assert early == b"early"
    owner = Owner(reactor)
    carrier.attach(owner)
    carrier.resume()
    service.sockets[0].write("late")
    await owner.gets(4)
    assert owner.received == b"late"
    assert client.remotePort == service.port
    client.destroy()
    await owner.happens("closed")


def test_only_a_stream_or_a_transport_can_carry() -> None:
    with pytest.raises(NodeError) as caught:
        net.takeCarrier(5, reactor)
    assert caught.value.code == "ERR_INVALID_ARG_TYPE"
    with pytest.raises(NodeError) as caught:
        net.Socket(reactor=task.Clock())._takeCarrier()
    assert caught.value.code == "ERR_SOCKET_CLOSED"


def test_a_socket_says_what_it_is_before_it_is_connected() -> None:
    lonely = net.Socket(highWaterMark=7, allowHalfOpen=True, reactor=task.Clock())
    assert (lonely.readableHighWaterMark, lonely.writableHighWaterMark) == (7, 7)
    assert lonely.allowHalfOpen
    assert (lonely.readyState, lonely.pending, lonely.connecting) == ("open", True, False)
    assert (lonely.bytesRead, lonely.bytesWritten, lonely.bufferSize) == (0, 0, None)
    assert lonely.timeout is None
    for wrong in ({"keepAliveInitialDelay": "x"}, {"highWaterMark": -1}):
        with pytest.raises(NodeError):
            net.Socket(wrong)
