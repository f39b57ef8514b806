"""Ports: connections become carriers, whatever state the process is in."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.interfaces import IListeningPort
from zope.interface.verify import verifyObject

from tests.support import eventually, runPython
from txnodetls.streams.ticks import ticksFor
from txnodetls.transports.listening import SocketPort, adopt, bindTCP, bindUNIX

known: Any = reactor


class Listening:
    """A port, and the carriers that came from it."""

    def __init__(self, sock: socket.socket, path: str | None = None) -> None:
        self.carriers: list[Any] = []
        self.port = SocketPort(sock, reactor, self.accepted, path)
        self.port.startListening()

    def accepted(self, carrier: Any) -> None:
        assert ticksFor(known).active
        self.carriers.append(carrier)

    def close(self) -> None:
        self.port.stopListening()
        for carrier in self.carriers:
            carrier.abort()


@pytest.fixture
def listening() -> Iterator[Listening]:
    made = Listening(bindTCP("127.0.0.1", 0, 511, False, False))
    yield made
    made.close()


def dial(port: SocketPort) -> socket.socket:
    address: Any = port.address
    return socket.create_connection((address["address"], address["port"]), 20)


@ensureDeferred
async def test_each_connection_is_a_carrier_with_its_peers_address(listening: Listening) -> None:
    peers = [dial(listening.port) for _ in range(40)]  # more than are accepted at once
    await eventually(lambda: len(listening.carriers) == 40)
    names = {peer.getsockname()[1] for peer in peers}
    assert {carrier.remoteAddress["port"] for carrier in listening.carriers} == names
    for peer in peers:
        peer.close()


@ensureDeferred
async def test_one_that_shares_its_port_takes_one_at_a_time(listening: Listening) -> None:
    listening.port.atOnce = 1
    peers = [dial(listening.port) for _ in range(3)]
    for count in (1, 2):
        listening.port.doRead()
        assert len(listening.carriers) == count
    await eventually(lambda: len(listening.carriers) == 3)
    for peer in peers:
        peer.close()


@ensureDeferred
async def test_a_closed_port_accepts_no_more(listening: Listening) -> None:
    peer = dial(listening.port)
    fired: list[Any] = []
    listening.port.stopListening().addCallback(fired.append)
    listening.port.stopListening()
    assert fired == [None]
    assert listening.port not in known.getReaders()
    assert listening.port.fileno() == -1
    listening.port.doRead()
    with pytest.raises(OSError, match=r"."):
        peer.recv(1)
    peer.close()
    assert listening.carriers == []


def test_it_is_a_listening_port_in_twisteds_eyes(listening: Listening) -> None:
    assert verifyObject(IListeningPort, listening.port)
    address: Any = listening.port.address
    assert listening.port.getHost().port == address["port"]
    assert listening.port.getHost().type == "TCP"


def test_ipv6_takes_ipv4_too_unless_it_is_to_be_alone() -> None:
    both = bindTCP("::", 0, 5, False, False)
    with both:
        assert not both.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        port = both.getsockname()[1]
        with pytest.raises(OSError, match=r".") as caught:
            bindTCP("::", port, 5, False, False)
        assert caught.value.errno == errno.EADDRINUSE
    with bindTCP("::", 0, 5, True, False) as alone:
        assert alone.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        made = SocketPort(alone, reactor, lambda carrier: None)
        assert made.getHost().host == "::"
        made.stopListening()


def test_several_can_share_a_port_if_they_ask_for_it() -> None:
    with bindTCP("127.0.0.1", 0, 5, False, True) as first:
        with bindTCP("127.0.0.1", first.getsockname()[1], 5, False, True) as second:
            assert first.getsockname() == second.getsockname()


def test_a_unix_port_has_the_asked_permissions_and_removes_its_file(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    made = Listening(bindUNIX(path, 5, 0o666), path)
    assert os.stat(path).st_mode & 0o666 == 0o666
    assert made.port.address == path
    assert made.port.getHost().name == path.encode()
    with pytest.raises(OSError, match=r".") as caught:
        bindUNIX(path, 5, 0)
    assert caught.value.errno == errno.EADDRINUSE
    made.close()
    assert not os.path.exists(path)
    with pytest.raises(PermissionError):
        bindUNIX(str(tmp_path / "missing" / "s"), 5, 0)


@ensureDeferred
async def test_a_port_that_was_bound_elsewhere_is_adopted() -> None:
    bound = bindTCP("127.0.0.1", 0, 5, False, False)
    made = Listening(adopt(bound.detach()))
    peer = dial(made.port)
    await eventually(lambda: made.carriers)
    peer.close()
    made.close()


def test_only_a_listening_socket_is_adopted_and_no_other_is_closed() -> None:
    with socket.socket() as other:
        with pytest.raises(OSError, match=r".") as caught:
            adopt(other.fileno())
        assert caught.value.errno == errno.EINVAL
        assert other.fileno() != -1
        os.fstat(other.fileno())


@ensureDeferred
async def test_without_descriptors_connections_are_refused_at_once_and_later_ones_work(
    listening: Listening, capsys: Any
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    peers = [dial(listening.port) for _ in range(3)]
    # No descriptor beyond those that are open now.
    limit = max(int(name) for name in os.listdir("/proc/self/fd")) + 1
    fillers = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        while True:
            try:
                fillers.append(os.dup(0))
            except OSError:
                break
        listening.port.doRead()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for filler in fillers:
            os.close(filler)
    assert listening.carriers == []
    for peer in peers:
        assert peer.recv(1) == b""
        peer.close()
    again = dial(listening.port)
    await eventually(lambda: listening.carriers)
    again.close()


class Failing:
    """A listening socket whose accept() fails."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self._sock = sock
        self._number = number
        self.calls = 0

    def accept(self) -> Any:
        self.calls += 1
        raise OSError(self._number, os.strerror(self._number))

    _accept = accept

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def test_a_connection_that_died_in_the_backlog_disturbs_nobody(listening: Listening) -> None:
    failing = Failing(listening.port._socket, errno.ECONNABORTED)
    listening.port._socket = failing  # type: ignore[assignment]
    listening.port.doRead()
    assert failing.calls > 1
    assert listening.port in known.getReaders()


def test_a_broken_port_is_closed_and_says_so(listening: Listening) -> None:
    listening.port._socket = Failing(listening.port._socket, errno.EBADF)  # type: ignore[assignment]
    with pytest.raises(OSError, match=r"."):
        listening.port.doRead()
    assert listening.port not in known.getReaders()


def test_an_error_in_accepting_leaves_the_port_at_work(
    listening: Listening, loggedErrors: Any
) -> None:
    def fail(carrier: Any) -> None:
        carrier.abort()
        raise ZeroDivisionError

    listening.port._accepted = fail
    peer = dial(listening.port)
    listening.port.doRead()
    assert [type(error) for error in loggedErrors.flush()] == [ZeroDivisionError]
    assert listening.port in known.getReaders()
    peer.close()


def test_the_end_of_the_reactor_closes_the_port(tmp_path: Path) -> None:
    code = """
import sys, os
from twisted.internet import reactor
from txnodetls.transports.listening import SocketPort, bindUNIX
port = SocketPort(bindUNIX(sys.argv[1], 5, 0), reactor, None, sys.argv[1])
port.startListening()
reactor.callLater(0, reactor.stop)
reactor.run()
print(port.fileno(), os.path.exists(sys.argv[1]))
"""
    done = runPython(code, str(tmp_path / "s"))
    assert (done.stdout.decode(), done.stderr.decode()) == ("-1 False\n", "")
