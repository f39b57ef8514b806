"""Engines that talk to each other, or to Python's own ssl module, in memory."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path
from typing import Any

from tests.support import Credentials, Pki
from txnodetls import createSecureContext
from txnodetls.protocol import events
from txnodetls.protocol.engine import EngineSettings, TLSEngine

__all__ = [
    "Pair",
    "Side",
    "StandardPeer",
    "clientEngine",
    "exchange",
    "serverContext",
    "serverEngine",
]


def serverContext(pki: Pki, version: str | None = None, **options: Any) -> Any:
    """A context with the authority's certificate for localhost."""
    given = {"key": pki.server.key, "cert": pki.server.cert, "ca": pki.ca, **options}
    if version is not None:
        given |= {"minVersion": version, "maxVersion": version}
    return createSecureContext(given)


def serverEngine(pki: Pki, version: str | None = None, **settings: Any) -> TLSEngine:
    """A server's engine; `context` in the settings is a context of one's own."""
    context = settings.pop("context", None) or serverContext(pki, version)
    return TLSEngine(context.native, EngineSettings(isServer=True, **settings))


def clientEngine(pki: Pki, version: str | None = None, **settings: Any) -> TLSEngine:
    """A client's engine, which has not said hello yet."""
    context = settings.pop("context", None)
    if context is None:
        given: dict[str, Any] = {"ca": pki.ca}
        if version is not None:
            given |= {"minVersion": version, "maxVersion": version}
        context = createSecureContext(given)
    settings.setdefault("servername", b"localhost")
    return TLSEngine(context.native, EngineSettings(isServer=False, **settings))


class Side:
    """
    An engine, and what it has told.

    @ivar events: its events in their order; adjoining data as one bytes object.
    """

    def __init__(self, engine: TLSEngine) -> None:
        self.engine = engine
        self.events: list[Any] = []

    def pull(self) -> None:
        """Take all events."""
        while (event := self.engine.nextEvent()) is not None:
            if isinstance(event, bytes) and self.events and isinstance(self.events[-1], bytes):
                self.events[-1] += event
            else:
                self.events.append(event)

    @property
    def names(self) -> list[str]:
        """The names of the events; of data, `data`."""
        return ["data" if isinstance(e, bytes) else type(e).__name__ for e in self.events]

    @property
    def data(self) -> bytes:
        """All the data together."""
        return b"".join(event for event in self.events if isinstance(event, bytes))

    def one(self, kind: type[Any]) -> Any:
        """The only event of this kind."""
        (found,) = [event for event in self.events if isinstance(event, kind)]
        return found

    def count(self, kind: type[Any]) -> int:
        """How many events of this kind there were."""
        return sum(isinstance(event, kind) for event in self.events)

    @property
    def secured(self) -> bool:
        """Whether the handshake is done."""
        return bool(self.count(events.HandshakeCompleted))

    def start(self) -> None:
        """Begin to talk."""
        self.engine.start()

    def receive(self, data: bytes) -> None:
        """Take bytes, and then all events."""
        self.engine.receive(data)
        self.pull()

    def output(self) -> bytes:
        """What is to be sent."""
        return self.engine.dataToSend()


class StandardPeer:
    """Python's own TLS over two memory BIOs, in the role of a `Side`."""

    def __init__(
        self,
        pki: Pki,
        version: str,
        *,
        isServer: bool,
        credentials: Credentials | None = None,
        alpn: list[str] | None = None,
        servername: str | None = "localhost",
        verify: bool = True,
    ) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if isServer else ssl.PROTOCOL_TLS_CLIENT)
        number = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}[version]
        context.minimum_version = context.maximum_version = number
        if not isServer and not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        context.load_verify_locations(cadata=pki.ca.decode())
        if isServer and credentials is None:
            credentials = pki.server
        if credentials is not None:
            with tempfile.TemporaryDirectory() as directory:
                path = Path(directory, "pem")
                path.write_bytes(credentials.cert + credentials.key)
                context.load_cert_chain(path)
        if alpn:
            context.set_alpn_protocols(alpn)
        self.context = context
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = context.wrap_bio(
            self.incoming, self.outgoing, server_side=isServer, server_hostname=servername
        )
        self.secured = False
        self.data = b""
        self.ended = False
        self.error: ssl.SSLError | None = None

    def start(self) -> None:
        """Begin to talk."""
        self._go()

    def receive(self, data: bytes) -> None:
        """Take bytes."""
        self.incoming.write(data)
        self._go()

    def _go(self) -> None:
        try:
            if not self.secured:
                self.ssl.do_handshake()
                self.secured = True
            while data := self.ssl.read(65536):
                self.data += data
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as error:
            self.error = error

    def send(self, data: bytes) -> None:
        """Encrypt."""
        self.ssl.write(data)

    def end(self) -> None:
        """Send close_notify."""
        try:
            self.ssl.unwrap()
        except ssl.SSLWantReadError:
            pass

    def output(self) -> bytes:
        """What is to be sent."""
        return self.outgoing.read()


def exchange(left: Any, right: Any, limit: int | None = None) -> None:
    """Carry bytes both ways until there are none, at most so many at a time."""
    for side in (left, right):
        if isinstance(side, Side):
            side.pull()
    moved = True
    while moved:
        moved = False
        for sender, receiver in ((left, right), (right, left)):
            data = sender.output()
            step = limit or max(len(data), 1)
            for start in range(0, len(data), step):
                moved = True
                receiver.receive(data[start : start + step])


class Pair:
    """A client's engine and a server's, and the bytes between them."""

    def __init__(
        self,
        pki: Pki,
        version: str | None = None,
        *,
        client: dict[str, Any] | None = None,
        server: dict[str, Any] | None = None,
    ) -> None:
        self.client = Side(clientEngine(pki, version, **(client or {})))
        self.server = Side(serverEngine(pki, version, **(server or {})))

    def shake(self, limit: int | None = None) -> Pair:
        """The handshake."""
        self.client.start()
        self.client.pull()
        self.exchange(limit)
        return self

    def exchange(self, limit: int | None = None) -> None:
        """Carry bytes both ways until there are none."""
        exchange(self.client, self.server, limit)
