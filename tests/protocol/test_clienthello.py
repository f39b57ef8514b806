"""The parser of the ClientHello: what it reads, and what it does not let itself be told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol import hellos
from tests.protocol.engines import Side, StandardPeer, clientEngine, serverEngine
from tests.support import Pki
from txnodetls.openssl import queries
from txnodetls.protocol.clienthello import (
    MAX_CLIENT_HELLO,
    ClientHello,
    ClientHelloParser,
    Reading,
)
from txnodetls.protocol.events import Failed

FULL = hellos.clientHello(
    hellos.nameOf(b"www.example.test"),
    hellos.extension(5, b"\x01\0\0\0\0"),
    hellos.alpnOf(b"h2", b"http/1.1"),
    hellos.extension(35, b"ticket"),
    hellos.versionsOf(0x0304, 0x0303),
    hellos.identitiesOf(b"alice", b"\0\xff"),
    sessionId=b"s" * 32,
)
READ = ClientHello(
    servername="www.example.test",
    sessionId=b"s" * 32,
    alpn=(b"h2", b"http/1.1"),
    ticket=b"ticket",
    statusRequest=True,
    versions=(0x0304, 0x0303),
    pskIdentities=(b"alice", b"\0\xff"),
)


def parse(data: bytes) -> tuple[Reading, ClientHello | None]:
    parser = ClientHelloParser()
    return parser.feed(data), parser.hello


def readBody(body: bytes) -> ClientHello:
    reading, hello = parse(hellos.records(hellos.message(body)))
    assert reading is Reading.DONE
    assert hello is not None
    return hello


def test_it_reads_what_anyone_asks_about() -> None:
    assert readBody(FULL) == READ


def test_without_extensions_there_is_only_the_version() -> None:
    for bare in (True, False):
        assert readBody(hellos.clientHello(version=0x0302, bare=bare)) == ClientHello(
            versions=(0x0302,)
        )


def test_an_empty_ticket_is_not_the_same_as_none() -> None:
    assert readBody(hellos.clientHello(hellos.extension(35, b""))).ticket == b""
    assert readBody(hellos.clientHello()).ticket is None


@pytest.mark.parametrize(
    ("extension", "name"),
    [
        (hellos.nameOf(b"UPPER.test"), "UPPER.test"),
        (hellos.nameOf(b"\xe4.test"), "\xe4.test"),
        (hellos.nameOf(b"a\0b"), None),
        (hellos.extension(0, hellos.vector(2, b"")), None),
        (hellos.extension(0, hellos.vector(2, b"\x01" + hellos.vector(2, b"x"))), None),
    ],
)
def test_names(extension: bytes, name: str | None) -> None:
    assert readBody(hellos.clientHello(extension)).servername == name


@pytest.mark.parametrize("step", [1, 2, 3, 7, 100])
def test_bytes_may_come_in_any_portions(step: int) -> None:
    data = hellos.records(hellos.message(FULL))
    parser = ClientHelloParser()
    for start in range(0, len(data), step):
        reading = parser.feed(data[start : start + step])
        assert reading is (Reading.DONE if start + step >= len(data) else Reading.MORE)
    assert parser.hello == READ
    assert parser.held == data


def test_it_may_be_split_over_records_at_every_byte() -> None:
    whole = hellos.message(FULL)
    for at in range(1, len(whole)):
        assert parse(hellos.records(whole, [at])) == (Reading.DONE, READ)
    assert parse(hellos.records(whole, [1] * len(whole))) == (Reading.DONE, READ)


def test_empty_records_are_passed_over() -> None:
    empty = b"\x16\x03\x01\0\0"
    data = hellos.records(hellos.message(FULL), [5])
    assert parse(empty + data) == (Reading.DONE, READ)
    assert parse(data[:10] + empty + empty + data[10:]) == (Reading.DONE, READ)
    assert parse(empty) == (Reading.MORE, None)


def test_a_memoryview_is_as_good_as_bytes_and_is_not_kept() -> None:
    area = bytearray(hellos.records(hellos.message(FULL)))
    parser = ClientHelloParser()
    assert parser.feed(memoryview(area)) is Reading.DONE
    area[:] = bytes(len(area))
    assert parser.hello == READ
    assert any(parser.held)


def test_what_comes_behind_it_is_held_too() -> None:
    data = hellos.records(hellos.message(FULL)) + b"\x17\x03\x03\0\x05early"
    parser = ClientHelloParser()
    assert parser.feed(data) is Reading.DONE
    assert parser.held == data


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x80\x2e\x01\x03\x01",
        b"\x15\x03\x01\0\x02\x01\x5a",
        b"\x16\x04",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\x41\x01",
        hellos.records(hellos.message(FULL, kind=2)),
        hellos.records(b"\x01" + (MAX_CLIENT_HELLO + 1).to_bytes(3, "big")),
    ],
    ids=["http", "sslv2", "alert", "version", "length", "length+1", "other", "too long"],
)
def test_what_is_no_clienthello_is_left_to_openssl(data: bytes) -> None:
    assert parse(data) == (Reading.NOT_TLS, None)


def test_it_is_known_at_the_first_byte_that_shows_it() -> None:
    parser = ClientHelloParser()
    assert parser.feed(b"\x16") is Reading.MORE
    assert parser.feed(b"\x02") is Reading.NOT_TLS
    assert ClientHelloParser().feed(b"G") is Reading.NOT_TLS


def test_the_longest_is_read() -> None:
    padding = hellos.extension(21, bytes(40000))
    room = MAX_CLIENT_HELLO - len(hellos.clientHello(padding, hellos.nameOf(b"x")))
    body = hellos.clientHello(padding, hellos.nameOf(b"x"), ciphers=b"\x13\x01" * (room // 2 + 2))
    assert len(body) <= MAX_CLIENT_HELLO < len(body) + 2
    assert readBody(body).servername == "x"


def test_every_cut_in_the_body_is_noticed() -> None:
    """A message that says it is complete, but whose inside is cut off, is no ClientHello."""
    bare = len(hellos.clientHello(sessionId=b"s" * 32, bare=True))
    for length in range(len(FULL)):
        reading, hello = parse(hellos.records(hellos.message(FULL[:length])))
        if length == bare:
            assert hello == ClientHello(sessionId=b"s" * 32, versions=(0x0303,))
        else:
            assert reading is Reading.NOT_TLS


@given(st.binary(max_size=600), st.integers(1, 50))
def test_any_bytes_are_survived(data: bytes, step: int) -> None:
    parser = ClientHelloParser()
    for start in range(0, len(data), step):
        if parser.feed(data[start : start + step]) is not Reading.MORE:
            break
        assert parser.hello is None


@given(st.binary(max_size=300))
def test_any_body_is_survived(body: bytes) -> None:
    reading, hello = parse(hellos.records(hellos.message(body)))
    assert (hello is not None) == (reading is Reading.DONE)
    assert reading is not Reading.MORE


@given(st.lists(st.tuples(st.integers(0, len(FULL) - 1), st.integers(0, 255)), max_size=6))
def test_any_change_is_survived(changes: list[tuple[int, int]]) -> None:
    body = bytearray(FULL)
    for at, value in changes:
        body[at] = value
    reading, hello = parse(hellos.records(hellos.message(bytes(body))))
    assert reading is (Reading.NOT_TLS if hello is None else Reading.DONE)


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 5, 16, 35, 41, 43, 13]), st.binary(max_size=40)), max_size=5
    )
)
def test_it_never_reads_beyond_an_extension(extensions: list[tuple[int, bytes]]) -> None:
    """What an extension says is made of its own bytes."""
    hello = parse(
        hellos.records(
            hellos.message(hellos.clientHello(*(hellos.extension(*e) for e in extensions)))
        )
    )[1]
    if hello is None:
        return
    last = dict(extensions)
    assert (hello.ticket is not None) == (35 in last)
    assert hello.ticket is None or hello.ticket == last[35]
    assert hello.servername is None or hello.servername.encode("latin-1") in last[0]
    for kind, found in ((16, hello.alpn), (41, hello.pskIdentities)):
        assert all(item in last[kind] for item in found)
        assert sum(len(item) + 1 for item in found) <= len(last.get(kind, b""))


# -- against OpenSSL


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_it_agrees_with_openssls_own_hello(version: str, pki: Pki) -> None:
    number = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}[version]
    client = Side(
        clientEngine(
            pki, version, servername=b"a.example.test", alpn=b"\x02h2\x01x", requestStaple=True
        )
    )
    client.start()
    reading, hello = parse(client.output())
    assert reading is Reading.DONE
    assert hello is not None
    assert hello.servername == "a.example.test"
    assert hello.alpn == (b"h2", b"x")
    assert hello.statusRequest
    assert hello.versions == (number,)
    assert hello.ticket == b""


def test_it_reads_the_identity_of_a_psk(pki: Pki) -> None:
    client = Side(clientEngine(pki, "TLSv1.3", pskClient=lambda hint: (b"alice", b"k" * 32)))
    client.start()
    hello = parse(client.output())[1]
    assert hello is not None
    assert hello.pskIdentities == (b"alice",)


def openSSLReads(pki: Pki, data: bytes) -> tuple[bool, str | None]:
    """Whether OpenSSL goes on after these bytes, and the name that it has read."""
    server = Side(serverEngine(pki))
    server.receive(data)
    name = queries.servername(server.engine.driver)
    return "Failed" not in server.names, None if name is None else name.decode("latin-1")


def mutations(hello: bytes) -> Any:
    """Changes of single bytes of a record that holds a ClientHello."""
    return st.lists(
        st.tuples(st.integers(0, len(hello) - 1), st.integers(0, 255)), min_size=1, max_size=3
    )


def test_where_openssl_goes_on_the_parser_has_read_the_same_name(pki: Pki) -> None:
    """Or else somebody could pass by the questions that depend on it."""
    peer = StandardPeer(pki, "TLSv1.3", isServer=False)
    peer.start()
    original = peer.output()
    went = 0

    @given(mutations(original))
    def check(changes: list[tuple[int, int]]) -> None:
        nonlocal went
        data = bytearray(original)
        for at, value in changes:
            data[at] = value
        goesOn, name = openSSLReads(pki, bytes(data))
        reading, hello = parse(bytes(data))
        if goesOn and reading is Reading.DONE:
            went += 1
            assert hello is not None
            assert hello.servername == name
        elif goesOn:
            # It waits for more bytes, and so does the parser; the engine sees to the rest.
            assert reading is Reading.MORE or name is None

    check()
    assert went


@pytest.mark.parametrize("name", [b"x" * 256, b"x" * 300, b"a\0b"], ids=["256", "300", "NUL"])
def test_names_that_the_parser_gives_to_nobody_are_refused_by_openssl(
    name: bytes, pki: Pki
) -> None:
    data = hellos.records(hellos.message(hellos.clientHello(hellos.nameOf(name))))
    server = Side(serverEngine(pki))
    server.receive(data)
    assert server.one(Failed).error.alert == 112  # unrecognized_name
