"""Carriers of our own, on the reactor that the tests run under and on the others."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor, task, threads
from twisted.internet.testing import MemoryReactorClock

from tests.support import eventually, runPython
from tests.transports.owners import Owner, fill, readers, tcpPair, unixPair, writers
from txnodetls.openssl.areas import INPUT
from txnodetls.streams.ticks import TickQueue, ticksFor
from txnodetls.transports import tcp as module
from txnodetls.transports.tcp import SocketCarrier, addressOf, fits

Pair = Callable[[], tuple[socket.socket, socket.socket]]


class Wire:
    """A carrier with its owner, and the plain socket at the other end."""

    def __init__(self, pair: Pair) -> None:
        near, self.peer = pair()
        self.carrier = SocketCarrier(near, reactor)
        self.owner = Owner(reactor)
        self.carrier.attach(self.owner)


@pytest.fixture(params=[tcpPair, unixPair], ids=["tcp", "unix"])
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    made = Wire(request.param)
    yield made
    made.carrier.abort()
    made.peer.close()


@pytest.fixture
def tcp() -> Iterator[Wire]:
    made = Wire(tcpPair)
    yield made
    made.carrier.abort()
    made.peer.close()


def readAll(peer: socket.socket) -> bytes:
    """What the peer gets until the end of the connection."""
    got = bytearray()
    while data := peer.recv(1 << 16):
        got += data
    return bytes(got)


def reset(peer: socket.socket) -> None:
    """Close a TCP socket with RST."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


@ensureDeferred
async def test_it_is_born_paused_and_reads_when_resumed(wire: Wire) -> None:
    wire.peer.sendall(b"early")
    other = Wire(unixPair)
    other.carrier.resume()
    other.peer.sendall(b"x")
    await other.owner.gets(1)
    assert wire.owner.events == []
    wire.carrier.resume()
    await wire.owner.gets(5)
    assert wire.owner.received == b"early"
    assert wire.carrier.bytesRead == 5
    other.carrier.abort()
    other.peer.close()


@ensureDeferred
async def test_pause_stops_the_data_and_resume_brings_the_rest(wire: Wire) -> None:
    wire.owner.onData = lambda data: wire.carrier.pause()
    wire.carrier.resume()
    wire.peer.sendall(b"a")
    await wire.owner.gets(1)
    wire.peer.sendall(b"b")
    await threads.deferToThread(int)  # at least one iteration of the reactor
    assert wire.owner.received == b"a"
    wire.carrier.resume()
    await wire.owner.gets(2)
    assert wire.owner.received == b"ab"


@ensureDeferred
async def test_an_event_gathered_before_a_pause_loses_nothing(wire: Wire) -> None:
    wire.peer.sendall(b"a")
    wire.carrier.doRead()  # as a reactor does that polled before the pause
    assert wire.owner.events == []
    wire.carrier.resume()
    await wire.owner.gets(1)


def test_a_small_write_is_with_the_peer_when_write_returns(wire: Wire) -> None:
    wire.carrier.write(b"at once")
    assert wire.carrier.queued == 0
    assert wire.peer.recv(100) == b"at once"


def test_memory_that_was_written_is_free_again(wire: Wire) -> None:
    memory = bytearray(b"first")
    wire.carrier.write(memoryview(memory))
    memory[:] = b"other"
    assert wire.peer.recv(100) == b"first"
    assert wire.carrier.bytesWritten == 5


@ensureDeferred
async def test_what_the_kernel_does_not_take_is_queued_and_drained_in_order(wire: Wire) -> None:
    blocks = [os.urandom(70_000) for _ in range(100)]
    for number, block in enumerate(blocks):
        if number % 2:
            memory = bytearray(block)
            wire.carrier.write(memoryview(memory))
            memory[:] = bytes(len(block))
        else:
            wire.carrier.write(block)
    assert wire.carrier.queued > 0
    assert wire.owner.events == []
    wire.carrier.end()
    got = await threads.deferToThread(readAll, wire.peer)
    assert got == b"".join(blocks)
    assert wire.owner.events == ["drained"]
    assert wire.carrier.queued == 0
    assert wire.carrier.bytesWritten == len(got)


@ensureDeferred
async def test_the_queue_does_not_see_later_changes_of_what_was_written(wire: Wire) -> None:
    before = fill(wire.carrier)
    mine = bytearray(b"m" * 100)
    wire.carrier.write(mine)
    mine[:] = b"x" * 200
    wire.carrier.end()
    got = await threads.deferToThread(readAll, wire.peer)
    assert got[before:] == b"m" * 100


@ensureDeferred
async def test_after_the_peers_end_one_can_still_write(wire: Wire) -> None:
    wire.carrier.resume()
    wire.peer.shutdown(socket.SHUT_WR)
    await wire.owner.happens("end")
    await task.deferLater(reactor, 0, int)  # type: ignore[arg-type]
    wire.carrier.write(b"answer")
    wire.carrier.end()
    assert readAll(wire.peer) == b"answer"
    assert wire.owner.events == ["end"]
    assert not wire.carrier.closed


@ensureDeferred
async def test_an_end_and_a_close_in_one_turn_are_one_end(wire: Wire) -> None:
    wire.carrier.resume()

    def leave(data: bytes) -> None:
        wire.carrier.write(b"answer")
        wire.carrier.end()
        wire.carrier.write(b"dropped")
        wire.carrier.abort()

    wire.owner.onData = leave
    wire.peer.sendall(b"question")
    await wire.owner.happens("closed")
    assert readAll(wire.peer) == b"answer"


@ensureDeferred
async def test_an_end_in_a_turn_is_told_when_the_turn_is_over(wire: Wire) -> None:
    wire.carrier.resume()
    wire.owner.onData = lambda data: wire.carrier.end()
    wire.peer.sendall(b"question")
    await wire.owner.happens("data")
    await task.deferLater(reactor, 0, int)  # type: ignore[arg-type]
    assert readAll(wire.peer) == b""
    assert not wire.carrier.closed


@ensureDeferred
async def test_after_ones_own_end_one_can_still_read(wire: Wire) -> None:
    wire.carrier.resume()
    wire.carrier.end()
    wire.carrier.write(b"dropped")
    assert readAll(wire.peer) == b""
    wire.peer.sendall(b"more")
    wire.peer.close()
    await wire.owner.happens("end")
    assert wire.owner.received == b"more"


@ensureDeferred
async def test_close_sends_what_is_queued_and_tells_the_owner_last(wire: Wire) -> None:
    wire.carrier.resume()
    total = fill(wire.carrier)
    wire.carrier.close()
    wire.carrier.close()
    wire.peer.sendall(b"thrown away")
    got = await threads.deferToThread(readAll, wire.peer)
    assert len(got) == total
    await wire.owner.happens("closed")
    assert wire.owner.events == ["closed"]
    assert wire.carrier.fileno() == -1


@ensureDeferred
async def test_close_of_a_paused_carrier_does_not_lose_what_is_queued(tcp: Wire) -> None:
    total = fill(tcp.carrier)
    tcp.peer.sendall(b"never read, which would make the close a reset")
    tcp.carrier.close()
    got = await threads.deferToThread(readAll, tcp.peer)
    assert len(got) == total
    await tcp.owner.happens("closed")


@ensureDeferred
async def test_who_waits_for_the_last_bytes_is_called_when_they_have_gone(wire: Wire) -> None:
    sent = fill(wire.carrier)
    called: list[str] = []
    wire.carrier.afterParting(lambda: called.append("before"))
    wire.carrier.close()
    wire.carrier.afterParting(lambda: called.append("first"))
    wire.carrier.afterParting(lambda: called.append("second"))
    await threads.deferToThread(int)  # at least one iteration of the reactor
    assert called == ["before"]
    got = await threads.deferToThread(readAll, wire.peer)
    await eventually(lambda: len(called) > 1)
    assert len(got) == sent
    assert called == ["before", "first", "second"]
    wire.carrier.afterParting(lambda: called.append("late"))
    assert called[3:] == ["late"]


@pytest.mark.parametrize("how", ["its time is over", "the peer resets", "it is aborted"])
@ensureDeferred
async def test_who_never_takes_the_last_bytes_is_not_waited_for(
    how: str, tcp: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.05 if how == "its time is over" else 60)
    fill(tcp.carrier)
    called: list[bool] = []
    tcp.carrier.close()
    tcp.carrier.afterParting(lambda: called.append(True))
    if how == "the peer resets":
        reset(tcp.peer)
    elif how == "it is aborted":
        tcp.carrier.abort()
    await eventually(lambda: bool(called))
    assert tcp.carrier.closed
    assert called == [True]
    assert tcp.owner.events == ["closed"]
    later = reactor.getDelayedCalls()  # type: ignore[attr-defined]
    assert [call for call in later if call.args == (tcp.carrier.abort,)] == []


@ensureDeferred
async def test_abort_closes_at_once_and_tells_in_a_later_tick(wire: Wire) -> None:
    fill(wire.carrier)
    wire.carrier.abort()
    assert wire.carrier.closed
    assert wire.carrier.queued == 0
    assert wire.carrier.fileno() == -1
    assert wire.owner.events == []
    await wire.owner.happens("closed")
    wire.carrier.abort()
    wire.carrier.write(b"x")
    wire.carrier.end()
    wire.carrier.resume()
    wire.carrier.setNoDelay(True)
    await threads.deferToThread(int)
    assert wire.owner.events == ["closed"]


@pytest.fixture
def batch(tcp: Wire) -> TickQueue:
    """More turns follow at once."""
    ticks = ticksFor(reactor)  # type: ignore[arg-type]
    ticks.gathering = True
    return ticks


def test_in_a_batch_the_last_bytes_and_the_close_come_behind_its_last_turn(
    tcp: Wire, batch: TickQueue
) -> None:
    tcp.carrier.resume()
    tcp.peer.setblocking(False)

    def last() -> None:
        tcp.carrier.writeLast(b"one, ")
        tcp.carrier.writeLast(b"two")
        tcp.carrier.abort()
        tcp.carrier.abort()
        tcp.carrier.write(b"dropped")
        tcp.carrier.resume()
        tcp.carrier.close()

    batch.turn(last)
    tcp.peer.sendall(b"thrown away")
    tcp.carrier.doRead()
    with pytest.raises(BlockingIOError):
        tcp.peer.recv(10)
    assert not tcp.carrier.closed
    assert tcp.owner.events == []
    batch.settle()
    assert tcp.carrier.closed
    assert tcp.peer.recv(100) == b"one, two"
    assert tcp.peer.recv(100) == b""
    assert tcp.owner.events == ["closed"]
    assert tcp.carrier.bytesWritten == 8


def test_the_last_bytes_are_sent_if_the_batch_ends_before_the_close(
    tcp: Wire, batch: TickQueue
) -> None:
    def last() -> None:
        tcp.carrier.writeLast(b"the last")
        batch.gathering = False
        tcp.carrier.abort()

    batch.turn(last)
    assert tcp.carrier.closed
    assert tcp.peer.recv(100) == b"the last"


def test_a_reset_does_not_wait_for_a_batch(tcp: Wire, batch: TickQueue) -> None:
    batch.turn(tcp.carrier.abort)
    batch.turn(tcp.carrier.abort, True)
    assert tcp.carrier.closed
    batch.settle()
    with pytest.raises(ConnectionResetError):
        tcp.peer.recv(1)


@ensureDeferred
async def test_last_bytes_that_the_kernel_does_not_take_are_waited_for(
    tcp: Wire, batch: TickQueue
) -> None:
    batch.turn(tcp.carrier.writeLast, bytes(64 * 1024 * 1024))
    batch.turn(tcp.carrier.abort)
    batch.settle()
    assert tcp.carrier.queued
    got = await threads.deferToThread(readAll, tcp.peer)
    assert len(got) == 64 * 1024 * 1024
    await tcp.owner.happens("closed")


def test_last_bytes_that_nobody_takes_any_more_are_nobodys_concern(
    tcp: Wire, batch: TickQueue
) -> None:
    batch.turn(tcp.carrier.writeLast, b"x")
    batch.turn(tcp.carrier.abort)
    spoil(tcp, send=errno.EPIPE)
    batch.settle()
    assert tcp.carrier.closed
    assert tcp.owner.events == ["closed"]


@ensureDeferred
async def test_last_bytes_that_the_peer_never_takes_are_not_waited_for(
    tcp: Wire, batch: TickQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    batch.turn(tcp.carrier.writeLast, bytes(64 * 1024 * 1024))
    batch.turn(tcp.carrier.abort)
    batch.settle()
    assert not tcp.carrier.closed
    await tcp.owner.happens("closed")
    assert tcp.carrier.closed


@ensureDeferred
async def test_behind_what_is_queued_the_last_bytes_are_queued(tcp: Wire, batch: TickQueue) -> None:
    queued = fill(tcp.carrier)
    batch.turn(tcp.carrier.writeLast, b"x")
    batch.turn(tcp.carrier.close)
    batch.settle()
    got = await threads.deferToThread(readAll, tcp.peer)
    assert len(got) == queued + 1


@ensureDeferred
async def test_what_was_written_last_arrives_though_input_was_never_read(tcp: Wire) -> None:
    tcp.peer.sendall(bytes(100_000))
    tcp.carrier.write(b"the alert")
    tcp.carrier.abort()
    assert await threads.deferToThread(readAll, tcp.peer) == b"the alert"
    await tcp.owner.happens("closed")


@ensureDeferred
async def test_abort_with_reset_is_a_reset_for_the_peer(tcp: Wire) -> None:
    tcp.carrier.abort(reset=True)
    with pytest.raises(ConnectionResetError):
        tcp.peer.recv(1)
    await tcp.owner.happens("closed")


@ensureDeferred
async def test_a_reset_is_told_with_nodes_code(tcp: Wire) -> None:
    tcp.carrier.resume()
    reset(tcp.peer)
    await tcp.owner.happens("ECONNRESET")
    error: Any = tcp.owner.error
    assert (error.message, error.syscall) == ("read ECONNRESET", "read")
    assert error.errno < 0
    assert tcp.owner.events == ["ECONNRESET"]
    assert tcp.carrier.closed


@ensureDeferred
async def test_a_reset_while_only_writing_is_told_too(tcp: Wire) -> None:
    fill(tcp.carrier)
    reset(tcp.peer)
    await tcp.owner.until(lambda: tcp.owner.events)
    assert tcp.owner.events in (["ECONNRESET"], ["EPIPE"])
    error: Any = tcp.owner.error
    assert error.syscall == "write"


@ensureDeferred
async def test_bytes_before_a_failed_write_are_read_before_it_is_told(wire: Wire) -> None:
    wire.peer.sendall(b"why I leave")
    wire.peer.close()
    wire.carrier.resume()
    while not wire.carrier.queued:  # the first write may find the kernel still willing
        wire.carrier.write(b"x")
    await wire.owner.until(lambda: wire.carrier.closed and len(wire.owner.events) > 1)
    assert wire.owner.received == b"why I leave"
    assert wire.owner.events in (["data", "EPIPE"], ["data", "ECONNRESET"])


@ensureDeferred
async def test_a_failed_write_is_not_told_from_inside_of_write(wire: Wire) -> None:
    wire.peer.close()
    while not wire.carrier.queued:
        wire.carrier.write(b"x")
    assert wire.owner.events == []
    wire.carrier.write(b"dropped")
    await wire.owner.until(lambda: wire.owner.events)
    assert len(wire.owner.events) == 1
    assert wire.carrier.fileno() == -1


@ensureDeferred
async def test_an_error_of_the_owner_is_logged_and_ends_its_carrier_only(
    wire: Wire, loggedErrors: Any
) -> None:
    def fail(data: bytes) -> None:
        raise ZeroDivisionError

    wire.owner.onData = fail
    wire.carrier.resume()
    wire.peer.sendall(b"x")
    await wire.owner.happens("closed")
    assert [type(error) for error in loggedErrors.flush()] == [ZeroDivisionError]
    assert wire.peer.recv(1) == b""


@ensureDeferred
async def test_a_new_owner_gets_what_comes_from_now_on(wire: Wire) -> None:
    second = Owner(reactor)
    wire.owner.onData = lambda data: wire.carrier.attach(second)
    wire.carrier.resume()
    wire.peer.sendall(b"1")
    await wire.owner.gets(1)
    wire.peer.sendall(b"2")
    wire.peer.close()
    await second.happens("end")
    assert (wire.owner.received, second.received) == (b"1", b"2")
    assert wire.owner.events == ["data"]


def test_addresses_are_nodes_and_the_peers_stays_known(tcp: Wire) -> None:
    host, port = tcp.peer.getsockname()
    expected = {"address": host, "family": "IPv4", "port": port}
    assert tcp.carrier.remoteAddress == expected
    assert tcp.carrier.localAddress["port"] == tcp.peer.getpeername()[1]
    tcp.carrier.abort()
    assert tcp.carrier.remoteAddress == expected
    assert tcp.carrier.localAddress == {}


def test_unix_sockets_have_no_address() -> None:
    wire = Wire(unixPair)
    assert wire.carrier.localAddress == wire.carrier.remoteAddress == {}
    wire.carrier.setNoDelay(True)
    wire.carrier.setKeepAlive(True, 1)
    wire.carrier.abort()
    wire.peer.close()


def test_link_local_addresses_name_their_interface() -> None:
    index, name = socket.if_nameindex()[0]
    got = addressOf(("fe80::1", 443, 0, index))
    assert got == {"address": f"fe80::1%{name}", "family": "IPv6", "port": 443}
    assert addressOf(("fe80::1", 1, 0, 99999))["address"] == "fe80::1%99999"


def test_options_of_the_socket_are_set(tcp: Wire) -> None:
    handle = tcp.carrier.handle
    tcp.carrier.setNoDelay(True)
    assert handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    tcp.carrier.setNoDelay(False)
    assert not handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    tcp.carrier.setKeepAlive(True, 77)
    assert handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 77
    tcp.carrier.setKeepAlive(False, 0)
    assert not handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@ensureDeferred
async def test_nothing_stays_in_the_reactor_when_a_carrier_is_gone(wire: Wire) -> None:
    wire.carrier.resume()
    fill(wire.carrier)
    assert wire.carrier in readers()
    assert wire.carrier in writers()
    wire.carrier.abort()
    assert wire.carrier not in readers()
    assert wire.carrier not in writers()
    await eventually(lambda: wire.owner.events == ["closed"])


def test_only_reactors_that_wait_for_descriptors_fit() -> None:
    assert fits(reactor)
    assert not fits(MemoryReactorClock())
    assert not fits(object())


ON_EVERY_REACTOR = """
import sys, socket, struct
name = sys.argv[1]
from twisted.application.reactors import installReactor
reactor = installReactor(name)
from tests.transports.owners import Owner, tcpPair, unixPair, fill, readers, writers
from txnodetls.transports import polling
from txnodetls.transports.tcp import SocketCarrier, fits
from twisted.internet import threads
from twisted.internet.defer import ensureDeferred
if sys.argv[2] == "together":
    polling.FEW = 0
assert fits(reactor)

def made(pair):
    near, peer = pair()
    carrier = SocketCarrier(near, reactor)
    owner = Owner(reactor)
    carrier.attach(owner)
    return carrier, owner, peer

def readAll(peer):
    got = 0
    while data := peer.recv(1 << 16):
        got += len(data)
    return got

async def run():
    for pair in (tcpPair, unixPair):
        carrier, owner, peer = made(pair)          # data, end, half-open answer
        carrier.resume()
        peer.sendall(b"x" * 100)
        peer.shutdown(socket.SHUT_WR)
        await owner.happens("end")
        sent = fill(carrier)
        carrier.close()
        assert await threads.deferToThread(readAll, peer) == sent
        await owner.happens("closed")
        assert owner.events == ["data", "end", "closed"], owner.events
        peer.close()
        carrier, owner, peer = made(pair)          # both sides ended: HUP
        carrier.resume()
        carrier.end()
        peer.close()
        await owner.happens("end")
        carrier.abort()
        await owner.happens("closed")
    for paused in (False, True):                   # resets
        carrier, owner, peer = made(tcpPair)
        if paused:
            fill(carrier)
        else:
            carrier.resume()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        await owner.until(lambda: owner.events)
        assert owner.events[0] in ("ECONNRESET", "EPIPE"), owner.events
    ours = (SocketCarrier, polling.Poller)
    left = [each for each in readers() + writers() if isinstance(each, ours)]
    assert left == [], left
    print("good")

def start():
    ensureDeferred(run()).addErrback(lambda f: f.printTraceback()).addBoth(lambda _: reactor.stop())
reactor.callWhenRunning(start)
reactor.run()
"""


@pytest.mark.parametrize("watched", ["alone", "together"])
@pytest.mark.parametrize("name", ["select", "poll", "epoll", "asyncio", "uvloop"])
def test_every_reactor_that_fits_tells_of_data_ends_and_resets(name: str, watched: str) -> None:
    done = runPython(ON_EVERY_REACTOR, name, watched)
    assert done.stdout.decode().split() == ["good"], done.stderr.decode()
    assert done.stderr == b""


@pytest.mark.parametrize("watched", ["alone", "together"])
@pytest.mark.parametrize("name", ["epoll", "asyncio", "uvloop"])
def test_the_end_of_the_reactor_closes_what_is_open(name: str, watched: str) -> None:
    code = """
import sys
from twisted.application.reactors import installReactor
reactor = installReactor(sys.argv[1])
from tests.transports.owners import Owner, tcpPair
from txnodetls.transports import polling
from txnodetls.transports.tcp import SocketCarrier
if sys.argv[2] == "together":
    polling.FEW = 0
made = []

def start():
    near, peer = tcpPair()
    carrier = SocketCarrier(near, reactor)
    owner = Owner(reactor)
    carrier.attach(owner)
    carrier.resume()
    made.append((carrier, owner, peer))

start()  # before it runs
reactor.callLater(0, start)
reactor.callLater(0.01, reactor.stop)
reactor.run()
for carrier, owner, peer in made:
    print(owner.events, carrier.fileno())
"""
    done = runPython(code, name, watched)
    assert (done.stdout.decode(), done.stderr.decode()) == ("['closed'] -1\n" * 2, "")


class Flaky:
    """A socket of which some methods fail, or answer as they are told."""

    def __init__(self, sock: socket.socket, **failing: Any) -> None:
        self._sock = sock
        self._failing = failing

    def __getattr__(self, name: str) -> Any:
        failing = object.__getattribute__(self, "_failing")
        if name not in failing:
            return getattr(object.__getattribute__(self, "_sock"), name)
        outcome = failing[name]

        def method(*_: Any) -> Any:
            if isinstance(outcome, int):
                raise OSError(outcome, os.strerror(outcome))
            return outcome(*_)

        return method


def spoil(wire: Wire, **failing: Any) -> None:
    wire.carrier._socket = Flaky(wire.carrier._socket, **failing)  # type: ignore[assignment]


@ensureDeferred
async def test_a_queue_that_cannot_be_sent_is_told_as_an_error_of_write(tcp: Wire) -> None:
    fill(tcp.carrier)
    spoil(tcp, send=errno.ETIMEDOUT, sendmsg=errno.ETIMEDOUT)
    tcp.carrier.doWrite()
    assert tcp.owner.events == []
    await tcp.owner.happens("ETIMEDOUT")
    error: Any = tcp.owner.error
    assert error.syscall == "write"
    assert tcp.owner.events == ["ETIMEDOUT"]


def test_a_kernel_without_room_for_now_is_no_error(tcp: Wire) -> None:
    fill(tcp.carrier)
    queued = tcp.carrier.queued
    for number in (errno.ENOBUFS, errno.EAGAIN, errno.EINTR):
        spoil(tcp, send=number, sendmsg=number)
        tcp.carrier.doWrite()
    assert tcp.carrier.queued == queued
    assert not tcp.carrier.closed


def test_a_read_that_was_interrupted_is_no_error(tcp: Wire) -> None:
    tcp.carrier.resume()
    for number in (errno.EAGAIN, errno.EINTR):
        spoil(tcp, recv_into=number)
        tcp.carrier.doRead()
    assert not tcp.carrier.closed
    assert tcp.owner.events == []


@ensureDeferred
async def test_errors_while_it_leaves_are_nobodys_concern(tcp: Wire) -> None:
    fill(tcp.carrier)
    tcp.carrier.close()
    spoil(tcp, recv_into=errno.EAGAIN)
    tcp.carrier.doRead()
    assert not tcp.carrier.closed
    spoil(tcp, recv_into=errno.ECONNRESET)
    tcp.carrier.doRead()
    assert tcp.carrier.closed
    await tcp.owner.happens("closed")
    assert tcp.owner.error is None


@ensureDeferred
async def test_a_write_that_fails_while_it_leaves_is_nobodys_concern(tcp: Wire) -> None:
    fill(tcp.carrier)
    tcp.carrier.close()
    spoil(tcp, send=errno.EPIPE, sendmsg=errno.EPIPE)
    tcp.carrier.doWrite()
    await tcp.owner.happens("closed")
    assert tcp.owner.error is None


@ensureDeferred
async def test_the_end_of_the_peer_while_it_leaves_is_not_told(tcp: Wire) -> None:
    total = fill(tcp.carrier)
    tcp.carrier.close()
    tcp.peer.shutdown(socket.SHUT_WR)
    assert len(await threads.deferToThread(readAll, tcp.peer)) == total
    await tcp.owner.happens("closed")
    assert tcp.owner.events == ["closed"]


@pytest.mark.parametrize("method", ["connectionLost", "writeConnectionLost"])
@ensureDeferred
async def test_what_the_reactor_saw_is_asked_from_the_socket(tcp: Wire, method: str) -> None:
    tcp.carrier.resume()
    spoil(tcp, getsockopt=lambda *_: errno.EHOSTUNREACH)
    getattr(tcp.carrier, method)(None)
    getattr(tcp.carrier, method)(None)
    assert tcp.owner.events == ["EHOSTUNREACH"]
    error: Any = tcp.owner.error
    assert error.syscall == "read"


def test_a_hangup_with_data_behind_it_loses_none(tcp: Wire) -> None:
    tcp.carrier.resume()
    tcp.peer.sendall(b"last")
    known: Any = reactor
    known.removeReader(tcp.carrier)  # as the reactor does before it tells
    tcp.carrier.readConnectionLost(None)
    assert tcp.owner.received == b"last"
    assert tcp.carrier in known.getReaders()
    tcp.peer.close()
    known.removeReader(tcp.carrier)
    tcp.carrier.readConnectionLost(None)
    assert tcp.owner.events == ["data", "end"]
    assert tcp.carrier not in known.getReaders()


@ensureDeferred
async def test_a_connection_lost_with_a_queue_is_an_error_if_the_queue_cannot_go(
    tcp: Wire,
) -> None:
    fill(tcp.carrier)
    spoil(tcp, send=errno.EPIPE, sendmsg=errno.EPIPE)
    tcp.carrier.connectionLost(None)
    await tcp.owner.happens("EPIPE")
    assert tcp.owner.events == ["EPIPE"]


def test_options_that_a_dead_connection_refuses_are_passed_over(tcp: Wire) -> None:
    for number in (errno.EINVAL, errno.ENOTCONN, errno.ECONNRESET):
        spoil(tcp, setsockopt=number)
        tcp.carrier.setNoDelay(True)
    spoil(tcp, setsockopt=errno.EPERM)
    with pytest.raises(PermissionError):
        tcp.carrier.setNoDelay(True)


@ensureDeferred
async def test_a_dead_connection_is_closed_whatever_the_kernel_refuses(tcp: Wire) -> None:
    spoil(tcp, setsockopt=errno.EINVAL, shutdown=errno.ENOTCONN, getpeername=errno.ENOTCONN)
    assert tcp.carrier.remoteAddress == {}
    tcp.carrier.end()
    tcp.carrier.abort(reset=True)
    await tcp.owner.happens("closed")
    assert tcp.carrier.fileno() == -1


def test_nobody_is_told_of_a_carrier_without_an_owner(tcp: Wire) -> None:
    tcp.carrier.attach(None)
    tcp.carrier.resume()
    tcp.peer.sendall(b"x")
    tcp.carrier.doRead()
    tcp.peer.close()
    tcp.carrier.doRead()
    assert tcp.owner.events == []
    assert tcp.carrier.bytesRead == 1


@ensureDeferred
async def test_an_owner_that_leaves_in_a_turn_is_not_called_any_more(tcp: Wire) -> None:
    tcp.owner.onData = lambda data: tcp.carrier.abort()
    tcp.carrier.resume()
    tcp.peer.sendall(b"x")
    tcp.peer.close()
    await tcp.owner.happens("closed")
    tcp.carrier.doRead()
    tcp.carrier.readConnectionLost(None)
    tcp.carrier.connectionLost(None)
    assert tcp.owner.events == ["data", "closed"]


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> int:
    """An input area that is soon filled: how many bytes it holds."""
    size = 1000
    monkeypatch.setattr(module, "_INPUT", INPUT.view[:size])
    monkeypatch.setattr(module, "_INPUT_SIZE", size)
    return size


@ensureDeferred
async def test_a_read_that_fills_the_area_is_followed_by_others_but_not_for_ever(
    tcp: Wire, room: int
) -> None:
    tcp.carrier.resume()
    tcp.peer.sendall(bytes(10 * room))
    tcp.carrier.doRead()
    assert len(tcp.owner.received) == (1 + module._READS_ON) * room
    await eventually(lambda: len(tcp.owner.received) == 10 * room)


def test_what_reading_on_leads_to_is_sent_together(tcp: Wire, room: int) -> None:
    done: list[str] = []
    ticks = tcp.carrier.ticks

    def received(_data: bytes) -> None:
        done.append("read")
        ticks.atEnd(lambda: done.append("sent"))

    tcp.owner.onData = received
    tcp.carrier.resume()
    tcp.peer.sendall(bytes(10 * room))
    tcp.carrier.doRead()
    more = module._READS_ON
    assert done == ["read", "sent", *["read"] * more, *["sent"] * more]
    # One of a batch leaves the end of it to the batch.
    done.clear()
    ticks.gathering = True
    tcp.carrier.doRead()
    assert done == ["read"] * (1 + more)
    assert ticks.gathering
    ticks.settle()
    assert done[1 + more :] == ["sent"] * (1 + more)


def test_reading_on_ends_when_the_owner_wants_no_more(tcp: Wire, room: int) -> None:
    tcp.owner.onData = lambda data: tcp.carrier.pause()
    tcp.carrier.resume()
    tcp.peer.sendall(bytes(10 * room))
    tcp.carrier.doRead()
    assert len(tcp.owner.received) == room
    tcp.carrier.resume()
    tcp.owner.onData = lambda data: tcp.carrier.abort()
    tcp.carrier.doRead()
    assert len(tcp.owner.received) == 2 * room
