"""The PROXY protocol: what is told, what is believed, and what is not taken."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.protocols.haproxy._v2parser import V2Parser

from txnodetls.daemon.proxyprotocol import (
    Header,
    HeaderError,
    HeaderReader,
    Networks,
    TLSFields,
    version1,
    version2,
)

FOUR = (("192.0.2.1", 5000), ("198.51.100.2", 443))
SIX = (("2001:db8::1", 5000), ("2001:db8::2", 443))
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
TLS = TLSFields("TLSv1.3", "TLS_AES_128_GCM_SHA256", "a.example", "h2", "boss", True, False, True)

ends = [pytest.param(FOUR, id="4"), pytest.param(SIX, id="6")]


def read(data: bytes, step: int = 0) -> HeaderReader | None:
    reader = HeaderReader()
    pieces = [data[i : i + step] for i in range(0, len(data), step)] if step else [data]
    done = [reader.receive(piece) for piece in pieces if reader.header is None]
    return reader if done[-1] else None


@pytest.mark.parametrize("step", [0, 1, 7])
@pytest.mark.parametrize("pair", ends)
@pytest.mark.parametrize("make", [version1, lambda *pair: version2(*pair, TLS)])
def test_what_is_written_is_read(make: object, pair: object, step: int) -> None:
    data = make(*pair)  # type: ignore[operator,misc]
    reader = read(data, step)
    assert reader is not None
    assert reader.header == Header(*pair)  # type: ignore[misc]
    reader = read(data + b"\x16\x03\x01hello")
    assert reader is not None
    assert reader.rest == b"\x16\x03\x01hello"


def test_version_1_is_one_line() -> None:
    assert version1(*FOUR) == b"PROXY TCP4 192.0.2.1 198.51.100.2 5000 443\r\n"
    assert version1(*SIX) == b"PROXY TCP6 2001:db8::1 2001:db8::2 5000 443\r\n"
    assert version1(None, None) == b"PROXY UNKNOWN\r\n"
    assert version1(("::ffff:192.0.2.1", 1), FOUR[1]).startswith(b"PROXY TCP6 ")


def test_twisteds_parser_reads_ours() -> None:
    info, _ = V2Parser().feed(version2(*FOUR, TLS))
    assert info is not None
    assert (info.source.host, info.source.port) == FOUR[0]
    assert (info.destination.host, info.destination.port) == FOUR[1]


def fields(data: bytes) -> dict[int, bytes]:
    found = {}
    while data:
        kind, length = struct.unpack_from("!BH", data)
        found[kind] = data[3 : 3 + length]
        data = data[3 + length :]
    return found


def test_version_2_tells_of_tls() -> None:
    found = fields(version2(*FOUR, TLS)[28:])
    assert (found[1], found[2]) == (b"h2", b"a.example")
    assert found[0x20][:5] == bytes([1 | 2 | 4]) + b"\0\0\0\0"
    inner = fields(found[0x20][5:])
    assert inner == {0x21: b"TLSv1.3", 0x22: b"boss", 0x23: b"TLS_AES_128_GCM_SHA256"}


def test_an_unverified_client_is_told_as_such_and_not_by_its_name() -> None:
    tls = TLSFields("TLSv1.2", "X", commonName="boss", presented=True, resumed=True)
    inner = fields(version2(*FOUR, tls)[28:])[0x20]
    assert inner[:5] == bytes([1 | 4]) + b"\0\0\0\1"
    assert 0x22 not in fields(inner[5:])


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01",
        b"PROXY TCP4 1.2.3.4\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 -1\r\n",
        b"PROXY TCP4 ::1 ::1 1 1\r\n",
        b"PROXY TCP9 1.2.3.4 1.2.3.4 1 1\r\n",
        b"PROXY TCP4 \xff 1.2.3.4 1 1\r\n",
        b"PROXY " + b"x" * 200,
        SIGNATURE + struct.pack("!BBH", 0x11, 0x11, 12) + bytes(12),
        SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 4097),
        SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 5) + bytes(5),
        SIGNATURE + struct.pack("!BBH", 0x21, 0x31, 12) + bytes(12),
    ],
)
def test_what_is_no_header_is_not_taken(data: bytes) -> None:
    with pytest.raises(HeaderError):
        read(data)


@pytest.mark.parametrize(
    "data",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
        SIGNATURE + struct.pack("!BBH", 0x20, 0x00, 0),
        SIGNATURE + struct.pack("!BBH", 0x20, 0x11, 12) + bytes(12),
        SIGNATURE + struct.pack("!BBH", 0x21, 0x00, 3) + bytes(3),
    ],
)
def test_a_proxy_may_speak_for_itself(data: bytes) -> None:
    reader = read(data, 1)
    assert reader is not None
    assert reader.header == Header(None, None)


@given(st.binary(max_size=300))
def test_whatever_comes_it_waits_takes_or_refuses(data: bytes) -> None:
    for start in (b"", SIGNATURE, SIGNATURE + b"\x21\x11", b"PROXY TCP4 "):
        reader = HeaderReader()
        try:
            done = reader.receive(start + data)
        except HeaderError:
            continue
        assert done is (reader.header is not None)


def test_networks() -> None:
    networks = Networks(["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"])
    assert "10.2.3.4" in networks
    assert "::ffff:10.2.3.4" in networks
    assert "192.0.2.7" in networks
    assert "192.0.2.8" not in networks
    assert "2001:db8::9" in networks
    assert "::1" not in networks
    assert None not in networks
    with pytest.raises(ValueError, match="does not appear"):
        Networks(["everyone"])
