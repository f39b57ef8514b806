"""Attempts: the carrier or the error comes once, later, in a turn."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import error as errors
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from tests.support import eventually, unusedPort
from tests.transports.owners import Owner
from txnodetls.streams.ticks import ticksFor
from txnodetls.transports.connecting import (
    ReactorAttempt,
    SocketAttempt,
    Target,
    attempt,
)
from txnodetls.transports.tcp import SocketCarrier

KINDS: list[Any] = [SocketAttempt, ReactorAttempt]


class Outcome:
    """What an attempt came to."""

    def __init__(self, at: Any = reactor) -> None:
        self.calls: list[tuple[Any, Any]] = []
        self.first: Deferred[Any] = Deferred()
        self._ticks = ticksFor(at)

    def __call__(self, error: Any, carrier: Any) -> None:
        assert self._ticks.active, "told outside of a turn"
        self.calls.append((error, carrier))
        if not self.first.called:
            self.first.callback(error if carrier is None else carrier)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(5)
        sock.settimeout(20)
        yield sock


@pytest.mark.parametrize("kind", KINDS)
@ensureDeferred
async def test_it_gives_a_carrier_that_is_connected(kind: Any, listener: socket.socket) -> None:
    host, port = listener.getsockname()
    outcome = Outcome()
    kind(Target(host, port), reactor, outcome)
    assert outcome.calls == []
    carrier = await outcome.first
    peer, _ = listener.accept()
    owner = Owner(reactor)
    carrier.attach(owner)
    carrier.resume()
    peer.sendall(b"x")
    await owner.gets(1)
    assert carrier.remoteAddress == {"address": host, "family": "IPv4", "port": port}
    peer.close()
    carrier.close()
    await owner.happens("closed")
    assert len(outcome.calls) == 1


@pytest.mark.parametrize("kind", KINDS)
@ensureDeferred
async def test_a_refusal_is_told_in_nodes_words(kind: Any) -> None:
    port = unusedPort()
    outcome = Outcome()
    kind(Target("127.0.0.1", port), reactor, outcome)
    error = await outcome.first
    assert error.message == f"connect ECONNREFUSED 127.0.0.1:{port}"
    assert (error.code, error.syscall) == ("ECONNREFUSED", "connect")
    assert (error.address, error.port) == ("127.0.0.1", port)
    assert error.errno < 0


@pytest.mark.parametrize("kind", KINDS)
@ensureDeferred
async def test_a_path_connects_to_a_unix_socket_or_says_why_not(kind: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    missing = Outcome()
    kind(Target(path), reactor, missing)
    assert (await missing.first).message == f"connect ENOENT {path}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        outcome = Outcome()
        kind(Target(path), reactor, outcome)
        carrier = await outcome.first
        assert carrier.remoteAddress == {}
        carrier.abort()
        await task.deferLater(reactor, 0, int)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
@ensureDeferred
async def test_the_local_address_and_port_are_bound(kind: Any, listener: socket.socket) -> None:
    local = unusedPort()
    outcome = Outcome()
    kind(Target(*listener.getsockname(), "127.0.0.2", local), reactor, outcome)
    carrier = await outcome.first
    _, name = listener.accept()
    assert name == ("127.0.0.2", local)
    carrier.abort(reset=True)
    await task.deferLater(reactor, 0, int)  # type: ignore[arg-type]


@ensureDeferred
async def test_an_address_that_cannot_be_bound_is_an_error_of_bind() -> None:
    outcome = Outcome()
    SocketAttempt(Target("127.0.0.1", 1, "192.0.2.1", 0), reactor, outcome)
    error = await outcome.first
    assert (error.code, error.syscall) == ("EADDRNOTAVAIL", "bind")
    assert error.address == "192.0.2.1"


def test_the_local_side_is_named_when_both_parts_were_asked_for() -> None:
    error = Target("192.0.2.1", 7, "192.0.2.2", 8).error(110)
    assert error.message == "connect ETIMEDOUT 192.0.2.1:7 - Local (192.0.2.2:8)"
    assert str(error) == error.message


@pytest.mark.parametrize("kind", KINDS)
@ensureDeferred
async def test_after_cancel_nobody_is_called(kind: Any, listener: socket.socket) -> None:
    cancelled, other = Outcome(), Outcome()
    known: Any = reactor
    first = kind(Target(*listener.getsockname()), reactor, cancelled)
    first.cancel()
    first.cancel()
    kind(Target(*listener.getsockname()), reactor, other)
    carrier = await other.first
    carrier.abort(reset=True)
    await eventually(lambda: not [w for w in known.getWriters() if isinstance(w, SocketAttempt)])
    assert cancelled.calls == []


def test_a_socket_that_is_given_up_is_closed(listener: socket.socket) -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(10):
        SocketAttempt(Target(*listener.getsockname()), reactor, Outcome()).cancel()
    after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    assert after <= before + 1


def test_the_way_is_chosen_by_the_reactor(listener: socket.socket) -> None:
    memory: Any = MemoryReactorClock()
    made = attempt(Target("192.0.2.1", 443), memory, Outcome(memory))
    assert isinstance(made, ReactorAttempt)
    assert memory.tcpClients[0][:2] == ("192.0.2.1", 443)
    own = attempt(Target(*listener.getsockname()), reactor, Outcome())
    assert isinstance(own, SocketAttempt)
    own.cancel()


def test_a_connection_made_after_cancel_is_closed() -> None:
    memory: Any = MemoryReactorClock()
    outcome = Outcome(memory)
    made: Any = attempt(Target("192.0.2.1", 443), memory, outcome)
    factory = memory.tcpClients[0][2]
    made.cancel()
    from twisted.internet.testing import StringTransport

    transport = StringTransport()
    factory.buildProtocol(None).makeConnection(transport)
    memory.advance(0)
    assert transport.disconnecting
    assert outcome.calls == []


def test_a_failure_of_the_reactors_keeps_its_cause() -> None:
    memory: Any = MemoryReactorClock()
    outcome = Outcome(memory)
    attempt(Target("192.0.2.1", 443), memory, outcome)
    factory = memory.tcpClients[0][2]
    reason = errors.ConnectionRefusedError(osError=111)
    factory.clientConnectionFailed(None, Failure(reason))
    factory.clientConnectionFailed(None, Failure(errors.UserError()))
    memory.advance(0)
    [(error, carrier)] = outcome.calls
    assert carrier is None
    assert error.code == "ECONNREFUSED"
    assert error.__cause__ is reason


@ensureDeferred
async def test_ipv6_and_its_scope() -> None:
    with socket.socket(socket.AF_INET6) as listener:
        try:
            listener.bind(("::1", 0))
        except OSError:
            pytest.skip("there is no IPv6 here")
        listener.listen(1)
        outcome = Outcome()
        SocketAttempt(Target("::1", listener.getsockname()[1]), reactor, outcome)
        carrier = await outcome.first
        assert isinstance(carrier, SocketCarrier)
        assert carrier.remoteAddress["family"] == "IPv6"
        assert carrier.remoteAddress["address"] == "::1"
        carrier.abort()
    missing = Outcome()
    SocketAttempt(Target("fe80::1%nowhere", 1), reactor, missing)
    assert (await missing.first).syscall == "connect"
