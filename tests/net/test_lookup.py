"""Addresses and ports as Node reads them; names by the reactor's resolver."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock

from txnodetls import net
from txnodetls.errors import NodeError
from txnodetls.net.lookup import ADDRCONFIG, isPipeName, lookup, portNumber


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("127.0.0.1", 4),
        ("01.2.3.4", 0),
        ("1.2.3", 0),
        ("1.2.3.4 ", 0),
        ("::1", 6),
        ("::ffff:1.2.3.4", 6),
        ("fe80::1%eth0", 6),
        ("fe80::1%", 0),
        ("fe80::1%eth0/64", 0),
        ("[::1]", 0),
        ("", 0),
        ("localhost", 0),
        ("::1\0", 0),
        (None, 0),
        (b"::1", 0),
        (4, 0),
    ],
)
def test_addresses_are_told_from_other_things(text: Any, version: int) -> None:
    assert net.isIP(text) == version
    assert net.isIPv4(text) is (version == 4)
    assert net.isIPv6(text) is (version == 6)


@given(st.ip_addresses())
def test_every_address_is_one(address: Any) -> None:
    assert net.isIP(str(address)) == address.version


@given(st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.binary()))
def test_whatever_is_no_port_is_refused_with_nodes_code(value: Any) -> None:
    try:
        number = portNumber(value)
    except NodeError as error:
        assert error.code == "ERR_SOCKET_BAD_PORT"  # noqa: PT017
    else:
        assert 0 <= number < 65536


@pytest.mark.parametrize(
    ("value", "path"), [("80", False), ("0x50", False), ("-1", True), ("8o", True), (80, False)]
)
def test_a_number_in_text_is_a_port_and_no_path(value: Any, path: bool) -> None:
    assert isPipeName(value) is path


async def addressesOf(host: str, family: Any, hints: int, at: Any = reactor) -> Any:
    done: Deferred[Any] = Deferred()
    lookup(at, host, family, hints, lambda error, found: done.callback((error, found)))
    return await done


@pytest.mark.parametrize("hints", [0, ADDRCONFIG, 8])
@ensureDeferred
async def test_a_name_gives_its_addresses(hints: int) -> None:
    for family in ("IPv4", 4):
        error, found = await addressesOf("localhost", family, hints)
    assert error is None
    assert found[0] == {"address": "127.0.0.1", "family": 4}
    assert all(one["family"] == 4 for one in found)


@ensureDeferred
async def test_the_reactors_own_resolver_is_asked_and_its_order_kept() -> None:
    class Resolver:
        def resolveHostName(
            self, receiver: Any, name: str, port: int, types: Any, semantics: str
        ) -> Any:
            assert (name, types) == ("some.name.test", [IPv4Address, IPv6Address])
            receiver.resolutionBegan(self)
            receiver.addressResolved(IPv6Address("TCP", "2001:db8::1", 0))
            receiver.addressResolved(IPv4Address("TCP", "192.0.2.1", 0))
            receiver.resolutionComplete()
            return receiver

    memory: Any = MemoryReactorClock()
    memory.nameResolver = Resolver()
    error, found = await addressesOf("some.name.test", None, ADDRCONFIG, memory)
    assert error is None
    assert found == [
        {"address": "2001:db8::1", "family": 6},
        {"address": "192.0.2.1", "family": 4},
    ]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (socket.EAI_NONAME, "ENOTFOUND"),
        (socket.EAI_AGAIN, "EAI_AGAIN"),
        (socket.EAI_FAIL, "EAI_FAIL"),
    ],
)
@ensureDeferred
async def test_failures_have_nodes_codes(
    number: int, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getaddrinfo(*_: Any) -> Any:
        raise socket.gaierror(number, "no")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    error, found = await addressesOf("some.name.test", 0, 8)
    assert found is None
    assert (error.code, error.syscall) == (code, "getaddrinfo")
    assert error.message == f"getaddrinfo {code} some.name.test"
    assert error.errno < -3000
