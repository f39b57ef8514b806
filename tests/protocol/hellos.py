"""ClientHellos, built byte by byte."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "alpnOf",
    "clientHello",
    "extension",
    "identitiesOf",
    "message",
    "nameOf",
    "records",
    "vector",
    "versionsOf",
]


def vector(size: int, data: bytes) -> bytes:
    """Data behind its length, which takes so many bytes."""
    return len(data).to_bytes(size, "big") + data


def extension(kind: int, data: bytes) -> bytes:
    """An extension."""
    return kind.to_bytes(2, "big") + vector(2, data)


def nameOf(name: bytes) -> bytes:
    """The extension server_name."""
    return extension(0, vector(2, b"\0" + vector(2, name)))


def alpnOf(*names: bytes) -> bytes:
    """The extension application_layer_protocol_negotiation."""
    return extension(16, vector(2, b"".join(vector(1, name) for name in names)))


def versionsOf(*versions: int) -> bytes:
    """The extension supported_versions."""
    return extension(43, vector(1, b"".join(v.to_bytes(2, "big") for v in versions)))


def identitiesOf(*identities: bytes) -> bytes:
    """The extension pre_shared_key, with a binder for each identity."""
    names = b"".join(vector(2, identity) + bytes(4) for identity in identities)
    binders = b"".join(vector(1, bytes(32)) for _ in identities)
    return extension(41, vector(2, names) + vector(2, binders))


def clientHello(
    *extensions: bytes,
    version: int = 0x0303,
    sessionId: bytes = b"",
    ciphers: bytes = b"\x13\x01\x13\x02",
    bare: bool = False,
) -> bytes:
    """The body of a ClientHello; bare: without any room for extensions."""
    body = version.to_bytes(2, "big") + bytes(32)
    body += vector(1, sessionId) + vector(2, ciphers) + vector(1, b"\0")
    return body if bare else body + vector(2, b"".join(extensions))


def message(body: bytes, kind: int = 1) -> bytes:
    """A handshake message."""
    return bytes([kind]) + vector(3, body)


def records(data: bytes, sizes: Iterable[int] = (), kind: int = 22) -> bytes:
    """Records that carry the data: of these sizes, the last one with what is left."""
    found = b""
    for size in sizes:
        found += bytes([kind, 3, 1]) + vector(2, data[:size])
        data = data[size:]
    while data:
        found += bytes([kind, 3, 1]) + vector(2, data[:16384])
        data = data[16384:]
    return found
