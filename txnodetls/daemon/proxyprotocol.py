"""
The PROXY protocol: who the client is, told in front of what it sends.

Out, a backend is told the client's address, and in version 2 what TLS came to: the name asked
for, the protocol agreed on, version, cipher, and the common name of a verified client.

In, somebody in front of us says who the client is.  Whoever may say that can say anything, so
it is believed from configured networks only, has to come there, and is bounded in size.  Fields
about TLS that come in are dropped: nothing here can tell if they are true, and what goes out is
about our own TLS alone.

No I/O is done here.

Source: https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

__all__ = ["Header", "HeaderError", "HeaderReader", "Networks", "TLSFields", "version1", "version2"]

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_MAX_VERSION1: Final = 107
_MAX_VERSION2: Final = 4096
"""The most that a header may have behind its first 16 bytes."""

_TCP4, _TCP6, _UNSPEC = 0x11, 0x21, 0x00
_ALPN, _AUTHORITY, _SSL = 0x01, 0x02, 0x20
_SSL_VERSION, _SSL_CN, _SSL_CIPHER = 0x21, 0x22, 0x23
_CLIENT_SSL, _CLIENT_CERT_CONN, _CLIENT_CERT_SESS = 1, 2, 4

Place = tuple[str, int]


class HeaderError(ValueError):
    """What came is no header that is taken."""


@dataclass(frozen=True, slots=True)
class Header:
    """
    What a header says.

    @ivar source: the client; None if it says nothing (a health check of the proxy's).
    """

    source: Place | None
    destination: Place | None


@dataclass(frozen=True, slots=True)
class TLSFields:
    """
    What TLS came to, for version 2.

    @ivar presented: whether the client has shown a certificate, in this handshake or in the one
        that it resumes.
    @ivar resumed: whether it resumes one.
    @ivar verified: whether it was verified.
    """

    version: str
    cipher: str
    servername: str | None = None
    protocol: str | None = None
    commonName: str | None = None
    presented: bool = False
    resumed: bool = False
    verified: bool = False


class Networks:
    """
    Networks that are believed.

    @raise ValueError: one of them is none.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(text.strip()) for text in texts]

    def __contains__(self, address: object) -> bool:
        if not isinstance(address, str):
            return False
        found = ipaddress.ip_address(address.partition("%")[0])
        mapped = getattr(found, "ipv4_mapped", None)
        return any((mapped or found) in network for network in self._networks)


class HeaderReader:
    """
    Takes bytes until the header is there.

    @ivar header: it, once it is.
    @ivar rest: what came behind it.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self.header: Header | None = None
        self.rest = b""

    def receive(self, data: bytes) -> bool:
        """
        Take bytes; whether the header is there.

        @raise HeaderError: it will not come.
        """
        self._data += data
        found = _parse(bytes(self._data))
        if found is None:
            return False
        self.header, length = found
        self.rest = bytes(self._data[length:])
        return True


def _parse(data: bytes) -> tuple[Header, int] | None:
    """The header and its length; None if there is not enough yet."""
    if data[: len(_SIGNATURE)] == _SIGNATURE[: len(data)]:
        return _parseVersion2(data)
    if data[:6] == b"PROXY "[: len(data)]:
        return _parseVersion1(data)
    raise HeaderError("no PROXY header")


def _parseVersion1(data: bytes) -> tuple[Header, int] | None:
    end = data.find(b"\r\n", 0, _MAX_VERSION1)
    if end < 0:
        if len(data) >= _MAX_VERSION1:
            raise HeaderError("a PROXY header that is too long")
        return None
    try:
        words = data[:end].decode("ascii").split(" ")
        if words[1:2] == ["UNKNOWN"]:
            return Header(None, None), end + 2
        _, family, source, destination, sourcePort, destinationPort = words
        kind = {"TCP4": ipaddress.IPv4Address, "TCP6": ipaddress.IPv6Address}[family]
        ends = [
            (str(kind(address)), _port(port))
            for address, port in ((source, sourcePort), (destination, destinationPort))
        ]
    except (ValueError, KeyError) as error:
        raise HeaderError("a PROXY header that cannot be read") from error
    return Header(*ends), end + 2


def _port(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or int(text) > 65535:
        raise ValueError("no port")
    return int(text)


def _parseVersion2(data: bytes) -> tuple[Header, int] | None:
    if len(data) < 16:
        return None
    command, family, length = struct.unpack_from("!BBH", data, 12)
    if command not in (0x20, 0x21):
        raise HeaderError("a PROXY header of another version")
    if length > _MAX_VERSION2:
        raise HeaderError("a PROXY header that is too long")
    if len(data) < 16 + length:
        return None
    whole = 16 + length
    if command == 0x20:  # LOCAL: the proxy itself
        return Header(None, None), whole
    size = {_TCP4: 4, _TCP6: 16}.get(family)
    if size is None:
        if family == _UNSPEC:
            return Header(None, None), whole
        raise HeaderError("a PROXY header about something else than TCP")
    if length < 2 * size + 4:
        raise HeaderError("a PROXY header that is too short")
    source, destination, sourcePort, destinationPort = struct.unpack_from(
        f"!{size}s{size}sHH", data, 16
    )
    # What follows are further fields; those about TLS are the reason why none is passed on.
    return Header(
        (str(ipaddress.ip_address(source)), sourcePort),
        (str(ipaddress.ip_address(destination)), destinationPort),
    ), whole


def _pair(source: Place | None, destination: Place | None) -> tuple[int, bytes, bytes] | None:
    """Family and packed addresses, both of the same; None where there is no such pair."""
    if source is None or destination is None:
        return None
    ends = [ipaddress.ip_address(place[0].partition("%")[0]) for place in (source, destination)]
    if ends[0].version != ends[1].version:
        packed = [
            end.packed if end.version == 6 else b"\0" * 10 + b"\xff\xff" + end.packed
            for end in ends
        ]
        return 6, packed[0], packed[1]
    return ends[0].version, ends[0].packed, ends[1].packed


def version1(source: Place | None, destination: Place | None) -> bytes:
    """
    A header of version 1.

    @param source: the client.
    @param destination: where it came to.
    """
    pair = _pair(source, destination)
    if pair is None or source is None or destination is None:
        return b"PROXY UNKNOWN\r\n"
    version, here, there = pair
    addresses = f"{ipaddress.ip_address(here)} {ipaddress.ip_address(there)}"
    return f"PROXY TCP{version} {addresses} {source[1]} {destination[1]}\r\n".encode("ascii")


def version2(source: Place | None, destination: Place | None, tls: TLSFields | None) -> bytes:
    """
    A header of version 2.

    @param tls: what TLS came to, or None where there is none.
    """
    family, body = _UNSPEC, b""
    pair = _pair(source, destination)
    if pair is not None and source is not None and destination is not None:
        version, here, there = pair
        family = _TCP4 if version == 4 else _TCP6
        body = here + there + struct.pack("!HH", source[1], destination[1])
    if tls is not None:
        body += _tlsFields(tls)
    return _SIGNATURE + struct.pack("!BBH", 0x21, family, len(body)) + body


def _tlsFields(tls: TLSFields) -> bytes:
    fields = b""
    if tls.protocol:
        fields += _field(_ALPN, tls.protocol.encode("latin-1"))
    if tls.servername:
        fields += _field(_AUTHORITY, tls.servername.encode("utf-8")[:255])
    client = _CLIENT_SSL
    if tls.presented:
        client |= _CLIENT_CERT_SESS | (0 if tls.resumed else _CLIENT_CERT_CONN)
    verify = 0 if tls.verified else 1
    inner = struct.pack("!BI", client, verify)
    inner += _field(_SSL_VERSION, tls.version.encode("ascii"))
    inner += _field(_SSL_CIPHER, tls.cipher.encode("ascii"))
    if tls.verified and tls.commonName:
        inner += _field(_SSL_CN, tls.commonName.encode("utf-8")[:255])
    return fields + _field(_SSL, inner)


def _field(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value
