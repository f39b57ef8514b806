"""C{net.Server}: listening in all its forms, connections, closing."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor, task
from twisted.internet.endpoints import TCP4ServerEndpoint, UNIXServerEndpoint
from twisted.internet.testing import MemoryReactorClock, StringTransport

from tests.net.test_socket import Signal, record
from tests.support import eventually, happened, unusedPort
from txnodetls import net
from txnodetls.errors import NodeError
from txnodetls.transports.listening import bindTCP

known: Any = reactor


async def closed(server: net.Server) -> None:
    done = happened(server, "close")
    server.close()
    await done


def echo(there: Any) -> None:
    there.pipe(there)


async def echoes(*target: Any) -> net.Socket:
    """Connect, and hear one's own words."""
    client = net.connect(*target)
    client.end("echo")
    assert await happened(client, "data") == (b"echo",)
    return client


LOCAL = "127.0.0.1"


@pytest.mark.parametrize(
    "arguments",
    [
        (0, LOCAL),
        ("0", LOCAL),
        (0, LOCAL, 5),
        ({"port": 0, "host": LOCAL},),
        ({"port": 0, "host": LOCAL, "backlog": 7, "exclusive": True},),
        (0, "localhost"),
    ],
)
@ensureDeferred
async def test_it_listens_and_serves(arguments: Any) -> None:
    heard: list[str] = []
    server = net.createServer(echo)
    server.listen(*arguments, lambda: heard.append("listening"))
    assert server.listening
    await happened(server, "listening")
    assert heard == ["listening"]
    address: Any = server.address()
    assert (address["address"], address["family"]) == (LOCAL, "IPv4")
    await echoes(address["port"], LOCAL)
    await closed(server)
    assert server.address() is None
    assert not server.listening


@pytest.mark.parametrize("arguments", [(), (0,), (None,), ({"port": None},)])
@ensureDeferred
async def test_without_a_host_it_listens_on_both_families(arguments: Any) -> None:
    server = net.createServer(echo).listen(*arguments)
    await happened(server, "listening")
    address: Any = server.address()
    assert address["address"] in ("::", "0.0.0.0")
    await echoes(address["port"], LOCAL)
    if address["address"] == "::":
        client = await echoes(address["port"], "::1")
        assert client.remoteFamily == "IPv6"
    await closed(server)


@ensureDeferred
async def test_keyword_arguments_are_options() -> None:
    server = net.createServer(echo, pauseOnConnect=False).listen(port=0, host=LOCAL)
    await happened(server, "listening")
    address: Any = server.address()
    await echoes(address["port"], LOCAL)
    await closed(server)


@ensureDeferred
async def test_a_unix_server_has_its_path_for_an_address(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    server = net.createServer(echo).listen({"path": path, "readableAll": True, "writableAll": True})
    await happened(server, "listening")
    assert server.address() == path
    assert os.stat(path).st_mode & 0o666 == 0o666
    await echoes(path)
    again = net.createServer().listen(path)
    error = (await happened(again, "error"))[0]
    assert error.message == f"listen EADDRINUSE: address already in use {path}"
    await closed(server)
    assert not os.path.exists(path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has such names")
@ensureDeferred
async def test_a_name_without_a_file_is_a_unix_server_too() -> None:
    name = f"\0txnodetls-{os.getpid()}"
    server = net.createServer(echo).listen({"path": name, "writableAll": True})
    await happened(server, "listening")
    assert server.address() == name
    await echoes(name)
    await closed(server)


@ensureDeferred
async def test_it_listens_on_a_descriptor_that_someone_else_bound() -> None:
    server = net.createServer(echo).listen({"fd": bindTCP(LOCAL, 0, 5, False, False).detach()})
    await happened(server, "listening")
    address: Any = server.address()
    await echoes(address["port"], LOCAL)
    await closed(server)
    near, far = socket.socketpair()
    wrong = net.createServer().listen({"fd": near.fileno()})
    error = (await happened(wrong, "error"))[0]
    assert (error.code, error.syscall) == ("EINVAL", "listen")
    near.close()
    far.close()


@ensureDeferred
async def test_it_listens_on_an_endpoint(tmp_path: Path) -> None:
    server = net.createServer(echo).listen(TCP4ServerEndpoint(reactor, 0, interface=LOCAL))
    await happened(server, "listening")
    address: Any = server.address()
    assert address["family"] == "IPv4"
    client = await echoes(address["port"], LOCAL)
    await eventually(lambda: client.closed)
    await closed(server)
    path = str(tmp_path / "s")
    server = net.createServer(echo).listen(UNIXServerEndpoint(reactor, path))
    await happened(server, "listening")
    assert server.address() == path
    await echoes(path)
    await closed(server)
    with socket.socket() as taken:
        taken.bind((LOCAL, 0))
        endpoint = TCP4ServerEndpoint(reactor, taken.getsockname()[1], interface=LOCAL)
        error = (await happened(net.createServer().listen(endpoint), "error"))[0]
        assert error.code == "EADDRINUSE"


@ensureDeferred
async def test_a_port_in_use_is_an_error_in_nodes_words() -> None:
    server = net.createServer().listen(0, LOCAL)
    await happened(server, "listening")
    address: Any = server.address()
    port = address["port"]
    other = net.createServer()
    events = record(other, "listening", "error", "close")
    other.listen(port, LOCAL)
    error = (await happened(other, "error"))[0]
    assert error.message == f"listen EADDRINUSE: address already in use {LOCAL}:{port}"
    assert (error.code, error.syscall) == ("EADDRINUSE", "listen")
    assert (error.address, error.port) == (LOCAL, port)
    assert not other.listening
    assert events == [("error", "EADDRINUSE")]
    await closed(server)
    other.listen(port, LOCAL)
    await happened(other, "listening")
    await closed(other)


@ensureDeferred
async def test_an_unknown_host_is_an_error() -> None:
    server = net.createServer().listen(0, "no-such-name.invalid")
    error = (await happened(server, "error"))[0]
    assert error.syscall == "getaddrinfo"
    assert not server.listening


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (({},), "ERR_INVALID_ARG_VALUE"),
        (({"host": LOCAL},), "ERR_INVALID_ARG_VALUE"),
        (({"path": 5},), "ERR_INVALID_ARG_VALUE"),
        ((True,), "ERR_INVALID_ARG_VALUE"),
        (({"port": -1},), "ERR_SOCKET_BAD_PORT"),
        (({"port": "x"},), "ERR_SOCKET_BAD_PORT"),
        ((65536,), "ERR_SOCKET_BAD_PORT"),
    ],
)
def test_wrong_arguments_are_refused_at_once(arguments: Any, code: str) -> None:
    server = net.createServer()
    with pytest.raises(NodeError) as caught:
        server.listen(*arguments)
    assert caught.value.code == code
    assert not server.listening


@pytest.mark.parametrize("options", [5, "x", {"highWaterMark": "x"}, {"keepAliveInitialDelay": ""}])
def test_wrong_options_are_refused_at_once(options: Any) -> None:
    with pytest.raises(NodeError) as caught:
        net.createServer(options)
    assert caught.value.code == "ERR_INVALID_ARG_TYPE"


@ensureDeferred
async def test_listening_twice_is_an_error() -> None:
    server = net.createServer().listen(0, LOCAL)
    with pytest.raises(NodeError) as caught:
        server.listen(0, LOCAL)
    assert caught.value.code == "ERR_SERVER_ALREADY_LISTEN"
    await happened(server, "listening")
    await closed(server)


@ensureDeferred
async def test_close_waits_for_the_connections() -> None:
    sockets: list[Any] = []
    server = net.createServer(sockets.append).listen(0, LOCAL)
    await happened(server, "listening")
    address: Any = server.address()
    client = net.connect(address["port"], LOCAL)
    await eventually(lambda: sockets)
    counts: list[Any] = []
    assert server.getConnections(lambda error, count: counts.append((error, count))) is server
    await eventually(lambda: counts)
    assert counts == [(None, 1)]
    assert server.connections == 1
    told: list[Any] = []
    server.close(lambda *arguments: told.append(arguments))
    await task.deferLater(known, 0, int)
    assert told == []
    assert sockets[0].server is server
    sockets[0].resume()
    client.end()
    await happened(server, "close")
    assert told == [()]
    assert server.connections == 0


@ensureDeferred
async def test_closing_what_does_not_listen_is_told_to_the_callback() -> None:
    told: list[Any] = []
    server = net.createServer()
    server.close(lambda error: told.append(error.code))
    await eventually(lambda: told)
    assert told == ["ERR_SERVER_NOT_RUNNING"]


@ensureDeferred
async def test_closing_while_it_opens_leaves_nothing_open() -> None:
    server = net.createServer()
    events = record(server, "listening", "error", "close")
    server.listen(0, "localhost")  # a name: it opens later
    server.close()
    await happened(server, "close")
    await task.deferLater(known, 0.05, int)
    assert events == ["close"]
    endpoint = TCP4ServerEndpoint(reactor, 0, interface=LOCAL)
    server.listen(endpoint)
    server.close()
    await happened(server, "close")
    assert server.address() is None


@ensureDeferred
async def test_connections_beyond_the_limit_are_dropped_and_told() -> None:
    server = net.createServer()
    server.maxConnections = 1
    server.listen(0, LOCAL)
    await happened(server, "listening")
    address: Any = server.address()
    first = net.connect(address["port"], LOCAL)
    await happened(server, "connection")
    second = net.connect(address["port"], LOCAL)
    (told,) = await happened(server, "drop")
    await happened(second.resume(), "close")
    assert told["remoteAddress"] == told["localAddress"] == LOCAL
    assert told["localPort"] == address["port"]
    assert set(told) == {
        f"{side}{what}" for side in ("local", "remote") for what in ("Address", "Port", "Family")
    }
    assert server.connections == 1
    first.destroy()
    await eventually(lambda: server.connections == 0)
    await closed(server)


@ensureDeferred
async def test_options_of_the_server_are_those_of_its_sockets() -> None:
    server = net.createServer(
        {
            "allowHalfOpen": True,
            "pauseOnConnect": True,
            "noDelay": True,
            "keepAlive": True,
            "keepAliveInitialDelay": 20_000,
            "highWaterMark": 12,
        }
    ).listen(0, LOCAL)
    await happened(server, "listening")
    address: Any = server.address()
    client = net.connect(address["port"], LOCAL)
    client.write("x")
    (there,) = await happened(server, "connection")
    assert there.allowHalfOpen
    assert there.isPaused()
    assert there.writableHighWaterMark == there.readableHighWaterMark == 12
    handle = there._carrier.handle
    assert handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 20
    await task.deferLater(known, 0.01, int)
    assert there.bytesRead == 0
    there.resume()
    assert await happened(there, "data") == (b"x",)
    there.destroy()
    client.destroy()
    await closed(server)


@ensureDeferred
async def test_a_connection_that_nobody_listens_to_notices_its_end() -> None:
    server = net.createServer().listen(0, LOCAL)
    await happened(server, "listening")
    address: Any = server.address()
    sockets: list[Any] = []
    server.on("connection", sockets.append)
    client = net.connect(address["port"], LOCAL)
    await eventually(lambda: sockets)
    sockets[0].on("error", lambda error: None)
    client.resetAndDestroy()
    await eventually(lambda: server.connections == 0)
    await closed(server)


@ensureDeferred
async def test_a_blocked_peer_gets_no_socket() -> None:
    class BlockList:
        def check(self, address: str, family: str) -> bool:
            return (address, family) == (LOCAL, "ipv4")

    server = net.createServer({"blockList": BlockList()}).listen(0, LOCAL)
    await happened(server, "listening")
    events = record(server, "connection", "drop")
    address: Any = server.address()
    client = net.connect(address["port"], LOCAL)
    client.on("error", lambda error: None)
    await happened(client.resume(), "close")
    assert events == []
    await closed(server)


@ensureDeferred
async def test_a_listener_that_raises_ends_its_connection_only(loggedErrors: Any) -> None:
    def fail(there: Any) -> None:
        raise ZeroDivisionError

    server = net.createServer(fail).listen(0, LOCAL)
    await happened(server, "listening")
    address: Any = server.address()
    for _ in range(2):
        client = net.connect(address["port"], LOCAL)
        await happened(client.resume(), "close")
    assert [type(error) for error in loggedErrors.flush()] == [ZeroDivisionError] * 2
    assert server.connections == 0
    await closed(server)


@ensureDeferred
async def test_a_subclass_that_fails_to_accept_leaks_no_connection(loggedErrors: Any) -> None:
    class Broken(net.Server):
        def _accepted(self, carrier: Any) -> None:
            raise ZeroDivisionError

    server = Broken().listen(0, LOCAL)
    await happened(server, "listening")
    address: Any = server.address()
    client = net.connect(address["port"], LOCAL)
    await happened(client.resume(), "close")
    assert [type(error) for error in loggedErrors.flush()] == [ZeroDivisionError]
    await closed(server)


@ensureDeferred
async def test_a_signal_closes_the_server() -> None:
    signal = Signal()
    server = net.createServer().listen({"port": 0, "host": LOCAL, "signal": signal})
    await happened(server, "listening")
    signal.abort()
    await happened(server, "close")
    assert signal.eventNames() == []
    aborted = net.createServer()
    done = happened(aborted, "close")
    aborted.listen({"port": 0, "signal": signal})
    await done
    assert not aborted.listening


def test_a_reactor_without_descriptors_is_asked_to_listen() -> None:
    memory: Any = MemoryReactorClock()
    sockets: list[Any] = []
    server = net.createServer(sockets.append, reactor=memory)
    server.listen(8443, "192.0.2.1")
    memory.advance(0)
    port, factory, backlog, interface = memory.tcpServers[0]
    assert (port, backlog, interface) == (8443, 511, "192.0.2.1")
    transport = StringTransport()
    factory.buildProtocol(None).makeConnection(transport)
    [there] = sockets
    got: list[bytes] = []
    there.on("data", got.append)
    memory.advance(0)
    there._carrier.dataReceived(b"in")
    there.write("out")
    assert got == [b"in"]
    assert transport.value() == b"out"
    server = net.createServer(reactor=memory).listen("/run/s")
    assert memory.unixServers[0][0] == "/run/s"


@ensureDeferred
async def test_ports_can_be_shared_between_servers_that_agree() -> None:
    port = unusedPort()
    servers = [net.createServer() for _ in range(2)]
    for server in servers:
        server.listen({"port": port, "host": LOCAL, "reusePort": True})
        await happened(server, "listening")
    for server in servers:
        await closed(server)
        assert server.ref() is server.unref() is server


@ensureDeferred
async def test_without_ipv6_it_listens_on_all_of_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    def withoutIPv6(host: str, *more: Any) -> socket.socket:
        if ":" in host:
            raise OSError(errno.EAFNOSUPPORT, "no IPv6")
        return bindTCP(host, *more)

    monkeypatch.setattr("txnodetls.net.server.bindTCP", withoutIPv6)
    server = net.createServer(echo).listen(0)
    await happened(server, "listening")
    address: Any = server.address()
    assert address["address"] == "0.0.0.0"
    await closed(server)


@ensureDeferred
async def test_a_block_list_that_raises_costs_its_connection_only(loggedErrors: Any) -> None:
    class Broken:
        def check(self, address: str, family: str) -> bool:
            raise ZeroDivisionError

    server = net.createServer({"blockList": Broken()}).listen(0, LOCAL)
    await happened(server, "listening")
    address: Any = server.address()
    client = net.connect(address["port"], LOCAL)
    client.on("error", lambda error: None)
    await happened(client.resume(), "close", fails=False)
    assert [type(error) for error in loggedErrors.flush()] == [ZeroDivisionError]
    await closed(server)
