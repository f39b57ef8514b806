"""Two protocols with a TLS connection between them, over the loopback."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest_twisted
from twisted.internet import protocol, reactor
from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.support import Pki, eventually
from txnodetls.twisted.endpoints import ClientEndpoint, ServerEndpoint


@implementer(IHandshakeListener)
class Recorder(protocol.Protocol):
    """Notes what happens to it, in order: names of calls; data and the reason apart."""

    transport: Any

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.received = bytearray()
        self.reason: Failure | None = None

    def connectionMade(self) -> None:
        self.calls.append("connectionMade")

    def handshakeCompleted(self) -> None:
        self.calls.append("handshakeCompleted")

    def dataReceived(self, data: bytes) -> None:
        if self.calls[-1] != "dataReceived":
            self.calls.append("dataReceived")
        self.received += data

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self.calls.append("connectionLost")
        self.reason = reason

    @property
    def lost(self) -> BaseException:
        """Why the connection was lost."""
        assert self.reason is not None
        return self.reason.value


@implementer(IHalfCloseableProtocol)
class HalfCloser(Recorder):
    """The same, and it keeps its side open when the peer ends."""

    def readConnectionLost(self) -> None:
        self.calls.append("readConnectionLost")

    def writeConnectionLost(self) -> None:
        self.calls.append("writeConnectionLost")


class Making(protocol.Factory):
    """Makes protocols of one kind and keeps them."""

    noisy = False

    def __init__(self, kind: Callable[[], Any] = Recorder) -> None:
        self.kind = kind
        self.made: list[Any] = []
        self.started = 0

    def startFactory(self) -> None:
        self.started += 1

    def stopFactory(self) -> None:
        self.started -= 1

    def buildProtocol(self, addr: object) -> Any:
        self.made.append(self.kind())
        self.made[-1].addr = addr
        return self.made[-1]


class Pair:
    """
    C{client} and C{server}: protocols, connected to each other.

    Close it, or use L{paired}.
    """

    client: Any
    server: Any

    def __init__(self, pki: Pki) -> None:
        self.pki = pki
        self.port: Any = None

    async def connect(
        self,
        client: Callable[[], Any] = Recorder,
        server: Callable[[], Any] = Recorder,
        serverOptions: Mapping[str, Any] | None = None,
        clientOptions: Mapping[str, Any] | None = None,
    ) -> Pair:
        self.serverFactory, self.clientFactory = Making(server), Making(client)
        options = {"key": self.pki.server.key, "cert": self.pki.server.cert}
        endpoint = ServerEndpoint(
            reactor, {**options, **(serverOptions or {})}, port=0, host="127.0.0.1"
        )
        self.port = await endpoint.listen(self.serverFactory)
        dialing = ClientEndpoint(
            reactor,
            "localhost",
            self.port.getHost().port,
            {"ca": self.pki.ca, "family": 4, **(clientOptions or {})},
        )
        self.client = await dialing.connect(self.clientFactory)
        await eventually(lambda: self.serverFactory.made and self.serverFactory.made[0].calls)
        self.server = self.serverFactory.made[0]
        return self

    async def close(self) -> None:
        for factory in (self.clientFactory, self.serverFactory):
            for side in factory.made:
                if side.reason is None and side.transport is not None:
                    side.transport.abortConnection()
                    await eventually(lambda side=side: side.reason)
        await self.port.stopListening()


def paired(**arguments: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """
    Make a test of a coroutine function that takes a connected L{Pair}.

    @param arguments: those of L{Pair.connect}.
    """

    def decorate(test: Callable[[Pair], Any]) -> Callable[..., Any]:
        async def run(pki: Pki) -> None:
            pair = Pair(pki)
            try:
                await pair.connect(**arguments)
                await test(pair)
            finally:
                await pair.close()

        run.__name__ = test.__name__
        run.__doc__ = test.__doc__
        return pytest_twisted.ensureDeferred(run)

    return decorate
