"""Pairs of TLS sockets in memory, and what they tell."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from tests.support import Credentials, Pki
from txnodetls.testing import MemoryPair

__all__ = [
    "GARBAGE",
    "ServerTold",
    "Sni",
    "Told",
    "asking",
    "flights",
    "identity",
    "inject",
    "memoryPair",
    "pumped",
    "recordsOf",
    "wireOf",
]

# A record that no TLS has made.
GARBAGE = b"\x17\x03\x03\0\x20" + bytes(32)

_EVENTS = (
    "secureConnect",
    "secure",
    "session",
    "keylog",
    "OCSPResponse",
    "end",
    "finish",
    "drain",
    "timeout",
    "error",
    "close",
)


class Told:
    """
    What a socket has told so far.

    @ivar events: names of events in their order; data that adjoin are one `data`.
    @ivar data: all the data.
    """

    def __init__(self, socket: Any, *, data: bool = True, leave: tuple[str, ...] = ()) -> None:
        self.events: list[str] = []
        self.data = b""
        self.errors: list[Any] = []
        self.arguments: dict[str, tuple[Any, ...]] = {}
        for name in _EVENTS:
            if name not in ("session", "keylog", *leave):
                socket.on(name, lambda *given, name=name: self._note(name, given))
        if data:
            socket.on("data", self._data)

    def _note(self, name: str, given: tuple[Any, ...]) -> None:
        self.events.append(name)
        self.arguments[name] = given
        if name == "error":
            self.errors.append(given[0])

    def _data(self, chunk: bytes) -> None:
        self.data += chunk
        if self.events[-1:] != ["data"]:
            self.events.append("data")

    @property
    def codes(self) -> list[str | None]:
        """The codes of the errors."""
        return [error.code for error in self.errors]


def memoryPair(
    pki: Pki,
    server: dict[str, Any] | None = None,
    client: dict[str, Any] | None = None,
    *,
    limit: int = 65536,
    clock: Clock | None = None,
    pump: bool = True,
) -> MemoryPair:
    """A pair whose client trusts the authority; pump: its handshake is done."""
    pair = MemoryPair(
        {"key": pki.server.key, "cert": pki.server.cert, **(server or {})},
        {"ca": pki.ca, "servername": "localhost", **(client or {})},
        limit=limit,
        clock=clock,
    )
    if pump:
        pair.pump()
    return pair


def recordsOf(data: bytes) -> list[tuple[int, int]]:
    """Type and length of each TLS record."""
    found = []
    while data:
        length = int.from_bytes(data[3:5], "big")
        found.append((data[0], length))
        data = data[5 + length :]
    return found


def wireOf(pair: MemoryPair) -> Any:
    """What carries the client's bytes to the server."""
    return pair._wires[1]


def flights(pair: MemoryPair) -> list[tuple[int, int]]:
    """The records that the client has sent and that were not delivered yet."""
    return recordsOf(b"".join(piece for piece in wireOf(pair).queue if piece))


def inject(pair: MemoryPair, data: bytes) -> None:
    """Bytes for the server that the client's TLS has not made."""
    wireOf(pair).queue.append(data)


class ServerTold:
    """
    What a pair's server has told.

    @ivar secured: the sockets of 'secureConnection'.
    @ivar failed: error and socket of each 'tlsClientError'.
    """

    def __init__(self, pair: MemoryPair) -> None:
        self.pair = pair
        self.secured: list[Any] = []
        self.failed: list[tuple[Any, Any]] = []
        pair.listener.on("secureConnection", self.secured.append)
        pair.listener.on(
            "tlsClientError", lambda error, socket: self.failed.append((error, socket))
        )
        pair.client.on("error", lambda error: None)

    @property
    def codes(self) -> list[str | None]:
        return [error.code for error, _ in self.failed]


def pumped(pair: MemoryPair) -> ServerTold:
    """What the server of the pair tells until nothing moves any more."""
    server = ServerTold(pair)
    pair.pump()
    return server


def identity(credentials: Credentials | None) -> dict[str, Any]:
    """Key and certificate as options."""
    return {} if credentials is None else {"key": credentials.key, "cert": credentials.cert}


class Sni:
    """An SNICallback whose callback a test calls when it likes."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.callback: Any = None

    def __call__(self, name: str, callback: Any) -> None:
        self.names.append(name)
        self.callback = callback


def asking(pki: Pki, version: str, name: str | None, **server: Any) -> MemoryPair:
    """A client that asks for a name and takes any certificate."""
    client = {"servername": name, "rejectUnauthorized": False}
    return memoryPair(pki, {"maxVersion": version, **server}, client, pump=False)
