"""How a socket finds its way: arguments, names, several addresses."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock, StringTransport

from tests.net.test_socket import Service, record
from tests.support import eventually, happened, unusedPort
from txnodetls import net
from txnodetls.errors import NodeError
from txnodetls.net.connecting import Route, connectArguments

known: Any = reactor


def noop(*_: Any) -> None:
    """A callback."""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((80,), {"port": 80}),
        (("80",), {"port": "80"}),
        ((80, "h"), {"port": 80, "host": "h"}),
        ((80, "h", noop), {"port": 80, "host": "h"}),
        ((80, noop), {"port": 80}),
        ((80, None, noop), {"port": 80}),
        (("/run/s",), {"path": "/run/s"}),
        (("-1",), {"path": "-1"}),
        (({"port": 1, "host": "x"}, noop), {"port": 1, "host": "x"}),
        ((), {}),
    ],
)
def test_every_form_of_connect_is_understood(arguments: Any, expected: Any) -> None:
    options, callback = connectArguments(arguments, {})
    assert options == expected
    assert callback is (noop if arguments and arguments[-1] is noop else None)


def test_keyword_arguments_win_over_the_mapping() -> None:
    options, _ = connectArguments(({"port": 1, "host": "x"},), {"port": 2})
    assert options == {"port": 2, "host": "x"}


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (
            {},
            "ERR_MISSING_ARGS",
            'The "options" or "port" or "path" argument must be specified',
        ),
        ({"port": "x"}, "ERR_SOCKET_BAD_PORT", "Port should be >= 0 and < 65536."),
        ({"port": 65536}, "ERR_SOCKET_BAD_PORT", "Port should be >= 0 and < 65536."),
        ({"port": -1}, "ERR_SOCKET_BAD_PORT", "Port should be >= 0 and < 65536."),
        ({"port": 1.5}, "ERR_SOCKET_BAD_PORT", "Port should be >= 0 and < 65536."),
        ({"port": None}, "ERR_INVALID_ARG_TYPE", 'The "options.port" property must be'),
        ({"port": True}, "ERR_INVALID_ARG_TYPE", 'The "options.port" property must be'),
        ({"path": 5}, "ERR_INVALID_ARG_TYPE", 'The "options.path" property must be'),
        ({"port": 1, "localAddress": "x"}, "ERR_INVALID_IP_ADDRESS", "Invalid IP address: x"),
        ({"port": 1, "localPort": "1"}, "ERR_INVALID_ARG_TYPE", 'The "options.localPort"'),
        ({"port": 1, "localPort": 70000}, "ERR_SOCKET_BAD_PORT", "Port should be"),
        ({"port": 1, "lookup": 5}, "ERR_INVALID_ARG_TYPE", 'The "options.lookup" property'),
        ({"port": 1, "autoSelectFamily": 1}, "ERR_INVALID_ARG_TYPE", 'The "options.auto'),
        (
            {"port": 1, "autoSelectFamilyAttemptTimeout": 0},
            "ERR_OUT_OF_RANGE",
            'The value of "options.autoSelectFamilyAttemptTimeout" is out of range.',
        ),
        ({"port": 1, "autoSelectFamilyAttemptTimeout": 1.5}, "ERR_OUT_OF_RANGE", "The value"),
        ({"port": 1, "autoSelectFamilyAttemptTimeout": "1"}, "ERR_INVALID_ARG_TYPE", "The"),
        ({"port": 1, "host": 5}, "ERR_INVALID_ARG_TYPE", 'The "options.host" property'),
        ({"port": 1, "host": "a\0b"}, "ERR_INVALID_ARG_VALUE", "The property 'options.host'"),
        ({"port": 1, "family": 7}, "ERR_INVALID_ARG_VALUE", "The property 'options.family'"),
        ({"port": 1, "hints": 4096}, "ERR_INVALID_ARG_VALUE", "The argument 'hints'"),
    ],
)
def test_wrong_options_are_refused_at_once_in_nodes_words(
    options: Any, code: str, text: str
) -> None:
    memory: Any = MemoryReactorClock()
    lonely = net.Socket(reactor=memory)
    with pytest.raises(NodeError) as caught:
        lonely.connect(options)
    assert caught.value.code == code
    assert caught.value.message.startswith(text)
    assert not lonely.connecting


def test_ports_are_read_as_node_reads_them() -> None:
    for text, number in [("80", 80), (" 8 ", 8), ("0x50", 80), (80.0, 80), (0, 0)]:
        assert Route({"port": text}).port == number


def answering(*addresses: Any) -> Callable[..., None]:
    """A lookup that answers later, with addresses."""

    def lookup(host: str, options: Any, callback: Callable[..., Any]) -> None:
        known.callLater(0, callback, None, [{"address": a, "family": f} for a, f in addresses])

    return lookup


async def closed(client: Any) -> None:
    await eventually(lambda: client.closed)


@ensureDeferred
async def test_the_lookup_is_asked_and_told() -> None:
    service = await Service().start()
    asked: list[Any] = []

    def lookup(host: str, options: Any, callback: Callable[..., Any]) -> None:
        asked.append((host, options))
        callback(None, [{"address": "127.0.0.1", "family": 4}])

    client = service.dial(host="some.name.test", lookup=lookup)
    events = record(client, "lookup", "connectionAttempt", "connect")
    await happened(client, "connect")
    assert asked == [("some.name.test", {"family": None, "hints": 32, "all": True})]
    # It answered before anyone could listen.
    assert [event for event in events if event != "connect"] == []
    client.destroy()

    def plain(host: str, options: Any, callback: Callable[..., Any]) -> None:
        asked.append(options)
        known.callLater(0, callback, None, "127.0.0.1", 4)

    client = service.dial(host="some.name.test", lookup=plain, family=4)
    events = record(client, "lookup", "connect")
    await happened(client, "connect")
    assert asked[-1] == {"family": 4, "hints": 0}
    assert events == [("lookup", None, "127.0.0.1", 4, "some.name.test"), "connect"]
    client.destroy()
    await service.stop()


@ensureDeferred
async def test_it_comes_from_the_address_and_port_that_were_asked_for() -> None:
    service = await Service().start()
    port = unusedPort()
    client = service.dial(localAddress="127.0.0.1", localPort=port)
    await happened(client, "connect")
    await eventually(lambda: service.sockets)
    assert (client.localAddress, client.localPort) == ("127.0.0.1", port)
    there = service.sockets[0]
    assert (there.remoteAddress, there.remotePort) == ("127.0.0.1", port)
    client.destroy()
    await service.stop()


@ensureDeferred
async def test_a_name_is_looked_up_by_the_reactors_resolver() -> None:
    service = await Service().start()
    client = net.connect({"port": service.port, "host": "localhost", "family": 4})
    events = record(client, "lookup")
    await happened(client, "connect")
    assert events == [("lookup", None, "127.0.0.1", 4, "localhost")]
    client.destroy()
    await service.stop()


@ensureDeferred
async def test_a_name_that_does_not_exist_is_ENOTFOUND() -> None:
    client = net.connect({"port": 1, "host": "no-such-name.invalid", "hints": 8})
    events = record(client, "lookup", "connectionAttempt", "error", "close")
    error = (await happened(client, "error"))[0]
    assert error.code in ("ENOTFOUND", "EAI_AGAIN")  # the latter without any network
    assert error.message == f"getaddrinfo {error.code} no-such-name.invalid"
    assert (error.syscall, error.hostname) == ("getaddrinfo", "no-such-name.invalid")
    await closed(client)
    assert events[0] == ("lookup", error.code, None, None, "no-such-name.invalid")


@pytest.mark.parametrize(
    ("answer", "options", "code"),
    [
        ((None, "nope", 4), {}, "ERR_INVALID_IP_ADDRESS"),
        ((None, "127.0.0.1", 5), {"autoSelectFamily": False}, "ERR_INVALID_ADDRESS_FAMILY"),
        ((None, []), {}, "ERR_INVALID_IP_ADDRESS"),
        ((NodeError("boo", "EBOO"),), {}, "EBOO"),
        ((), {}, "ERR_INVALID_IP_ADDRESS"),
    ],
)
@ensureDeferred
async def test_a_wrong_answer_of_a_lookup_is_an_error_event(
    answer: Any, options: Any, code: str
) -> None:
    def lookup(host: str, asked: Any, callback: Callable[..., Any]) -> None:
        callback(*answer)

    client = net.connect({"port": 1, "host": "h", "lookup": lookup, **options})
    assert (await happened(client, "error"))[0].code == code
    await closed(client)


@ensureDeferred
async def test_an_answer_after_the_end_of_the_socket_is_nothing() -> None:
    answers: list[Callable[..., Any]] = []
    client = net.connect({"port": 1, "host": "h", "lookup": lambda h, o, cb: answers.append(cb)})
    events = record(client)
    client.destroy()
    await happened(client, "close")
    answers[0](None, "127.0.0.1", 4)
    answers[0](NodeError("x", "EX"))
    await eventually(lambda: True)
    assert events == [("close", False)]


@ensureDeferred
async def test_the_next_address_is_tried_when_one_refuses() -> None:
    service = await Service().start()
    events: list[Any] = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.2", service.port))  # bound, but nobody listens
        client = net.connect(
            {"port": service.port, "lookup": answering(("127.0.0.2", 4), ("127.0.0.1", 4))}
        )
        events = record(client)
        await happened(client, "ready")
    assert events == [
        ("lookup", None, "127.0.0.2", 4, "localhost"),
        ("lookup", None, "127.0.0.1", 4, "localhost"),
        ("connectionAttempt", "127.0.0.2", service.port, 4),
        ("connectionAttemptFailed", "127.0.0.2", service.port, 4, "ECONNREFUSED"),
        ("connectionAttempt", "127.0.0.1", service.port, 4),
        "connect",
        "ready",
    ]
    client.destroy()
    await service.stop()


@ensureDeferred
async def test_when_all_refuse_the_error_has_them_all() -> None:
    port = unusedPort()
    client = net.connect(
        {"port": port, "lookup": answering(("127.0.0.1", 4), ("127.0.0.2", 4), ("zz", 4))}
    )
    error = (await happened(client, "error"))[0]
    assert (error.name, error.code, error.message) == ("AggregateError", "ECONNREFUSED", "")
    assert [one.message for one in error.errors] == [
        f"connect ECONNREFUSED 127.0.0.1:{port}",
        f"connect ECONNREFUSED 127.0.0.2:{port}",
    ]
    await closed(client)


class Attempts:
    """A reactor on which connections are made by hand, and a client of it."""

    def __init__(self, *addresses: Any, **options: Any) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.options = {
            "port": 443,
            "lookup": lambda host, asked, callback: callback(
                None, [{"address": a, "family": 6 if ":" in a else 4} for a in addresses]
            ),
            **options,
        }
        self.client = net.Socket(reactor=self.reactor)
        self.events = record(self.client, *EVENTS)
        self.client.connect(self.options)

    @property
    def tried(self) -> list[str]:
        return [args[0] for args in self.reactor.tcpClients]

    def answer(self, index: int) -> StringTransport:
        transport = StringTransport()
        factory = self.reactor.tcpClients[index][2]
        factory.buildProtocol(None).makeConnection(transport)
        return transport


EVENTS = [
    "connectionAttempt",
    "connectionAttemptTimeout",
    "connectionAttemptFailed",
    "connect",
    "error",
]


def test_both_families_are_tried_in_turn_each_for_a_while() -> None:
    made = Attempts("2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.2")
    assert made.tried == ["2001:db8::1"]
    made.reactor.advance(0.2)
    assert made.tried == ["2001:db8::1"]
    made.reactor.advance(0.05)
    assert made.tried == ["2001:db8::1", "192.0.2.1"]
    made.reactor.advance(0.25)
    made.reactor.advance(0.25)
    made.reactor.advance(100)  # the last one has no limit
    assert made.tried == ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2"]
    made.answer(3)
    assert made.events[-2:] == [
        ("connectionAttempt", "192.0.2.2", 443, 4),
        "connect",
    ]
    assert made.events.count(("connectionAttemptTimeout", "2001:db8::1", 443, 6)) == 1


def test_a_time_limit_counts_as_a_failed_attempt() -> None:
    made = Attempts("192.0.2.1", "192.0.2.2", autoSelectFamilyAttemptTimeout=1)
    made.reactor.advance(0.01)  # 10 ms at least
    assert made.tried == ["192.0.2.1", "192.0.2.2"]
    from twisted.internet.error import TCPTimedOutError
    from twisted.python.failure import Failure

    made.reactor.tcpClients[1][2].clientConnectionFailed(None, Failure(TCPTimedOutError(110)))
    errors: list[Any] = []
    made.client.on("error", errors.append)
    made.reactor.advance(0)
    assert [error.code for error in errors[0].errors] == ["ETIMEDOUT", "ETIMEDOUT"]


def test_a_connection_that_comes_after_its_time_is_closed() -> None:
    made = Attempts("192.0.2.1", "192.0.2.2")
    made.reactor.advance(0.25)
    late = made.answer(0)
    made.reactor.advance(0)
    assert late.disconnecting
    made.answer(1)
    assert made.client.readyState == "open"


def test_destroying_stops_the_search() -> None:
    made = Attempts("192.0.2.1", "192.0.2.2")
    made.client.destroy()
    made.reactor.advance(1)
    assert made.tried == ["192.0.2.1"]
    assert made.reactor.getDelayedCalls() == []


def test_one_family_or_a_local_address_means_one_attempt() -> None:
    asked: list[Any] = []

    def lookup(host: str, options: Any, callback: Callable[..., Any]) -> None:
        asked.append(options)
        callback(None, "192.0.2.1", 4)

    for options in ({"family": 4}, {"localAddress": "192.0.2.9"}, {"autoSelectFamily": False}):
        Attempts(lookup=lookup, **options)
    assert all("all" not in one for one in asked)


def test_the_defaults_can_be_changed() -> None:
    assert net.getDefaultAutoSelectFamily() is True
    assert net.getDefaultAutoSelectFamilyAttemptTimeout() == 250
    try:
        net.setDefaultAutoSelectFamily(False)
        net.setDefaultAutoSelectFamilyAttemptTimeout(5)
        assert net.getDefaultAutoSelectFamilyAttemptTimeout() == 10
        assert Route({"port": 1}).autoSelectFamily is False
        assert Route({"port": 1}).attemptTimeout == 10
    finally:
        net.setDefaultAutoSelectFamily(True)
        net.setDefaultAutoSelectFamilyAttemptTimeout(250)
    with pytest.raises(NodeError):
        net.setDefaultAutoSelectFamily(1)  # type: ignore[arg-type]


class BlockList:
    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    def check(self, address: str, family: str) -> bool:
        assert family == "ipv4"
        return address in self.addresses


@ensureDeferred
async def test_a_blocked_address_is_not_connected_to() -> None:
    client = net.connect({"port": 1, "host": "127.0.0.1", "blockList": BlockList("127.0.0.1")})
    error = (await happened(client, "error"))[0]
    assert error.code == "ERR_IP_BLOCKED"
    assert error.message == "IP(127.0.0.1) is blocked by net.BlockList"
    await closed(client)


@ensureDeferred
async def test_a_blocked_address_among_others_is_passed_over() -> None:
    service = await Service().start()
    client = net.connect(
        {
            "port": service.port,
            "lookup": answering(("127.0.0.2", 4), ("127.0.0.1", 4)),
            "blockList": BlockList("127.0.0.2"),
        }
    )
    await happened(client, "connect")
    assert client.remoteAddress == "127.0.0.1"
    client.destroy()
    await service.stop()


@ensureDeferred
async def test_a_lookup_may_be_a_coroutine(loggedErrors: Any) -> None:
    service = await Service().start()

    async def lookup(host: str, options: Any, callback: Callable[..., Any]) -> None:
        waited: Deferred[None] = Deferred()
        known.callLater(0, waited.callback, None)
        await waited
        callback(None, "127.0.0.1", 4)

    client = service.dial(host="h", lookup=lookup)
    await happened(client, "connect")
    client.destroy()
    await service.stop()


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("..", "ENOTFOUND"),
        ("\ud800", "ENOTFOUND"),
        ("x" * 64 + ".test", "ENOTFOUND"),
        ("x" * 300, "EINVAL"),
    ],
)
@ensureDeferred
async def test_a_name_that_cannot_be_asked_for_fails_all_the_same(host: str, code: str) -> None:
    client = net.connect({"port": 1, "host": host})
    error = (await happened(client, "error"))[0]
    assert (error.code, error.syscall) == (code, "getaddrinfo")
    server = net.createServer().listen(0, host)
    assert (await happened(server, "error"))[0].code == code
    await closed(client)


@pytest.mark.parametrize("path", ["/run/a\0b", "/" + "x" * 300, "\ud800"])
@ensureDeferred
async def test_what_cannot_be_a_path_is_refused_and_not_cut_off(path: str) -> None:
    client = net.connect(path)
    assert (await happened(client, "error"))[0].code == "EINVAL"
    server = net.createServer().listen(path)
    assert (await happened(server, "error"))[0].code == "EINVAL"
    await closed(client)
