"""A bare TLSSocket of a server asks the listeners of the server that it was given."""

from __future__ import annotations

import time
from typing import Any

import pytest
from pytest_twisted import ensureDeferred

import txnodetls as tls
from tests.loopback import until
from tests.stapling import Authority, derOf
from tests.support import Pki, happened
from tests.tlspairs import identity
from txnodetls.constants import SSL_OP_NO_TICKET
from txnodetls.errors import NodeTypeError
from txnodetls.streams.emitter import EventEmitter

ASKED = ("newSession", "resumeSession", "OCSPRequest")
NOT_ASKED = ("keylog", "tlsClientError", "secureConnection", "secure")


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def version(request: pytest.FixtureRequest) -> str:
    """Each test that names it is made for both."""
    return str(request.param)


class Desk:
    """
    A server that is asked, and a port whose connections become bare sockets that name it.

    @ivar told: what the server's events, and the sockets, told, in order.
    """

    def __init__(self, pki: Pki, server: Any, **options: Any) -> None:
        self.server = server
        self.told: list[str] = []
        self.kept: dict[bytes, bytes] = {}
        self.staple = Authority(pki).response(derOf(pki.server.cert), now=time.time())
        self.made: list[Any] = []
        self.errors: list[Any] = []
        self.version = options["maxVersion"]
        self.options = {"isServer": True, "secureContext": tls.createSecureContext(options)}
        server.on("newSession", self._keep)
        server.on("resumeSession", self._find)
        server.on("OCSPRequest", self._staple)
        for name in (*ASKED, *NOT_ASKED):
            server.on(name, lambda *_, name=name: self.told.append(name))
        self.plain = tls.net.createServer(self._accept)

    def _keep(self, sessionId: bytes, session: bytes, done: Any) -> None:
        self.kept[sessionId] = session
        done()

    def _find(self, sessionId: bytes, done: Any) -> None:
        done(None, self.kept.get(sessionId))

    def _staple(self, certificate: bytes, issuer: bytes | None, done: Any) -> None:
        assert certificate == self.made[-1].getX509Certificate().raw
        done(None, self.staple)

    def _accept(self, plain: Any) -> None:
        socket = tls.TLSSocket(plain, {**self.options, "server": self.server})
        self.made.append(socket)
        socket.on("error", self.errors.append)
        socket.on("secure", lambda: self._secure(socket))

    def _secure(self, socket: Any) -> None:
        self.told.append(f"reused: {socket.isSessionReused()}")
        socket.write(b"x")

    async def __aenter__(self) -> Desk:
        listening = happened(self.plain, "listening")
        self.plain.listen(0, "127.0.0.1")
        await listening
        return self

    async def __aexit__(self, *_: object) -> None:
        self.plain.close()
        for socket in self.made:
            socket.destroy()
        await until(lambda: self.plain.connections == 0)

    async def visit(self, pki: Pki, session: bytes | None = None) -> tuple[list[str], bytes]:
        """
        Come, read, and go.

        @return: what was told meanwhile, and the newest session.
        """
        self.told.clear()
        client = tls.connect(
            port=self.plain.address()["port"],
            host="127.0.0.1",
            servername="localhost",
            ca=pki.ca,
            minVersion=self.version,
            maxVersion=self.version,
            requestOCSP=True,
            session=session,
        )
        staples: list[Any] = []
        sessions: list[bytes] = []
        client.on("OCSPResponse", staples.append)
        client.on("session", sessions.append)
        await happened(client, "data")
        # What has come is behind the tickets.
        newest = sessions[-1] if sessions else client.getSession()
        told = [*self.told, *("staple" for staple in staples if staple == self.staple)]
        client.destroy()
        await until(lambda: self.made[-1].destroyed)
        return told, newest


def desk(pki: Pki, version: str, tickets: bool = True, server: Any = None) -> Desk:
    options = {**identity(pki.server), "minVersion": version, "maxVersion": version}
    if not tickets:
        options["secureOptions"] = SSL_OP_NO_TICKET
    return Desk(pki, server or tls.createServer(identity(pki.server)), **options)


# What Node 24 tells, on a first visit and on one that resumes.
NODES = {
    ("TLSv1.2", True): (
        ["OCSPRequest", "reused: False", "staple"],
        ["reused: True"],
    ),
    ("TLSv1.2", False): (
        ["OCSPRequest", "newSession", "reused: False", "staple"],
        ["resumeSession", "reused: True"],
    ),
    ("TLSv1.3", True): (
        ["resumeSession", "OCSPRequest", "reused: False", "newSession", "newSession", "staple"],
        ["resumeSession", "reused: True"],
    ),
}


@pytest.mark.parametrize(("version", "tickets"), NODES)
@ensureDeferred
async def test_its_listeners_are_asked_for_sessions_and_staples(
    version: str, tickets: bool, pki: Pki
) -> None:
    async with desk(pki, version, tickets) as there:
        told, session = await there.visit(pki)
        again, _ = await there.visit(pki, session)
        assert (told, again) == NODES[version, tickets]
        assert all(socket.server is there.server for socket in there.made)


@ensureDeferred
async def test_it_may_be_whatever_has_listeners(pki: Pki, version: str) -> None:
    async with desk(pki, version, server=EventEmitter()) as there:
        told, _ = await there.visit(pki)
        assert told == NODES[version, True][0]


@ensureDeferred
async def test_a_session_is_only_as_good_as_the_server_says(pki: Pki) -> None:
    """One that is not known any more makes a new one."""
    async with desk(pki, "TLSv1.2", tickets=False) as there:
        told, session = await there.visit(pki)
        there.kept.clear()
        again, _ = await there.visit(pki, session)
        assert again == ["resumeSession", *told]


@ensureDeferred
async def test_nothing_else_of_the_server_is_asked(pki: Pki, version: str) -> None:
    """Contexts, names, protocols, keys and certificates of clients are each socket's own."""
    asked: list[str] = []
    server = tls.createServer(
        identity(pki.issue("elsewhere")),
        requestCert=True,
        ALPNProtocols=["a"],
        SNICallback=lambda name, done: asked.append("SNICallback"),
        pskCallback=lambda socket, name: asked.append("pskCallback"),
    )
    async with desk(pki, version, server=server) as there:
        told, _ = await there.visit(pki)
        assert told == NODES[version, True][0]
        assert asked == []


@ensureDeferred
async def test_who_does_not_listen_is_not_asked(pki: Pki, version: str) -> None:
    async with desk(pki, version) as there:
        for name in ASKED:
            there.server.removeAllListeners(name)
        told, _ = await there.visit(pki)
        assert told == ["reused: False"]


@ensureDeferred
async def test_errors_stay_the_sockets_own(pki: Pki) -> None:
    async with desk(pki, "TLSv1.3") as there:
        client = tls.net.connect(there.plain.address()["port"], "127.0.0.1")
        client.on("error", lambda error: None)
        client.write(b"this is not a handshake")
        await until(lambda: there.errors)
        client.destroy()
        assert [error.code for error in there.errors] == ["ERR_SSL_WRONG_VERSION_NUMBER"]
        assert there.told == []


@pytest.mark.parametrize("server", [{1: 2}, 5, "x", object()])
def test_what_has_no_listeners_is_refused(server: object, pki: Pki) -> None:
    with pytest.raises(NodeTypeError) as refused:
        tls.TLSSocket(None, {"isServer": True, "server": server, **identity(pki.server)})
    assert refused.value.code == "ERR_INVALID_ARG_TYPE"
    assert "options.server" in str(refused.value)


@pytest.mark.parametrize("server", [None, False])
def test_no_server_is_none(server: object, pki: Pki) -> None:
    tls.TLSSocket(None, {"isServer": True, "server": server, **identity(pki.server)}).destroy()
