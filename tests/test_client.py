"""connect(): arguments, names, verdicts; in memory, and on the loopback where a port is needed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
import trustme
from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.testing import StringTransport

import txnodetls as tls
from tests.loopback import Loopback, Received
from tests.support import Credentials, Pki, eventually, happened, unusedPort
from tests.tlspairs import Told, identity, memoryPair
from txnodetls.errors import Blame, CertificateError, NodeError, Phase
from txnodetls.testing import MemoryPair


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def version(request: pytest.FixtureRequest) -> str:
    """Each test that names it is made for both."""
    return str(request.param)


class Tried:
    """
    What came of a client's attempt.

    @ivar error: the error, or None.
    @ivar secure: 'secureConnect' was emitted.
    """

    def __init__(self, pair: MemoryPair) -> None:
        self.pair = pair
        self.socket = pair.client
        told = Told(pair.client)
        secured: list[Any] = []
        pair.listener.on("secureConnection", secured.append)
        pair.listener.on("tlsClientError", lambda error, socket: None)
        pair.server.on("error", lambda error: None)
        pair.pump()
        self.error: Any = told.errors[0] if told.errors else None
        assert len(told.errors) <= 1
        self.secure = "secureConnect" in told.events
        self.seenByServer = bool(secured)
        assert pair.client.destroyed is (self.error is not None)


def attempt(pki: Pki, version: str, server: dict[str, Any] | None = None, **client: Any) -> Tried:
    options = {"maxVersion": version, **(server or {})}
    return Tried(memoryPair(pki, options, client, pump=False))


# -- the verdict


def test_a_server_that_is_who_it_should_be(pki: Pki, version: str) -> None:
    tried = attempt(pki, version)
    assert tried.secure
    assert tried.error is None
    assert tried.socket.authorized is True
    assert tried.socket.authorizationError is None
    assert tried.socket.secureConnecting is False


def test_a_server_of_another_name(pki: Pki, version: str) -> None:
    tried = attempt(pki, version, servername="other.test")
    error = tried.error
    assert isinstance(error, CertificateError)
    assert error.code == "ERR_TLS_CERT_ALTNAME_INVALID"
    assert error.host == "other.test"
    assert error.cert["subjectaltname"].startswith("DNS:localhost")
    assert error.blame is Blame.PEER
    assert not tried.secure
    assert tried.socket.authorized is False
    assert tried.socket.authorizationError == "ERR_TLS_CERT_ALTNAME_INVALID"
    assert tried.seenByServer is (version == "TLSv1.2")


def test_a_server_that_nobody_vouches_for(pki: Pki, version: str) -> None:
    tried = attempt(pki, version, ca=trustme.CA().cert_pem.bytes())
    assert tried.error.code == "UNABLE_TO_VERIFY_LEAF_SIGNATURE"
    assert (tried.error.blame, tried.error.phase) == (Blame.PEER, Phase.HANDSHAKING)
    assert not tried.secure


@pytest.mark.parametrize(
    ("client", "code"),
    [
        ({"servername": "other.test"}, "ERR_TLS_CERT_ALTNAME_INVALID"),
        ({"ca": tls.rootCertificates[:1]}, "UNABLE_TO_VERIFY_LEAF_SIGNATURE"),
    ],
)
def test_whoever_wants_may_go_on_but_is_told(
    client: dict[str, Any], code: str, pki: Pki, version: str
) -> None:
    tried = attempt(pki, version, rejectUnauthorized=False, **client)
    assert tried.secure
    assert tried.socket.authorized is False
    assert tried.socket.authorizationError == code


def test_the_certificate_counts_for_host_where_no_name_is_sent(pki: Pki, version: str) -> None:
    for host, let in (("localhost", True), ("127.0.0.1", True), ("other.test", False)):
        tried = attempt(pki, version, servername=None, host=host)
        assert tried.secure is let
        if let:
            assert tried.pair.server.servername is False


# -- checkServerIdentity

WRONG = NodeError("not this one", "NOT_THIS_ONE")


def test_ones_own_check_is_asked_for_name_and_certificate(pki: Pki, version: str) -> None:
    asked: list[Any] = []
    tried = attempt(
        pki,
        version,
        servername="other.test",
        checkServerIdentity=lambda host, certificate: asked.append((host, certificate)),
    )
    ((host, certificate),) = asked
    assert tried.secure
    assert tried.socket.authorized
    assert host == "other.test"
    assert certificate["subjectaltname"].startswith("DNS:localhost")
    assert "issuerCertificate" in certificate


def test_ones_own_check_may_refuse(pki: Pki, version: str) -> None:
    tried = attempt(pki, version, checkServerIdentity=lambda host, certificate: WRONG)
    assert tried.error is WRONG
    tried = attempt(
        pki,
        version,
        checkServerIdentity=lambda host, certificate: WRONG,
        rejectUnauthorized=False,
    )
    assert tried.secure
    assert tried.socket.authorizationError == "NOT_THIS_ONE"


def raising(host: str, certificate: Any) -> None:
    raise WRONG


@pytest.mark.parametrize("reject", [True, False])
def test_a_check_that_raises_refuses_in_any_case(reject: bool, pki: Pki, version: str) -> None:
    tried = attempt(pki, version, checkServerIdentity=raising, rejectUnauthorized=reject)
    assert tried.error is WRONG
    assert not tried.secure


async def coroutine(host: str, certificate: Any) -> None:
    return None


@pytest.mark.parametrize("check", [coroutine, lambda *_: succeed(None), lambda *_: fail(WRONG)])
@pytest.mark.parametrize("reject", [True, False])
def test_a_check_has_to_answer_at_once(
    check: Callable[..., Any], reject: bool, pki: Pki, version: str
) -> None:
    """What comes later would be as good as "no objection"."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tried = attempt(pki, version, checkServerIdentity=check, rejectUnauthorized=reject)
    assert isinstance(tried.error, TypeError)
    assert not tried.secure


def test_an_untrusted_server_is_not_checked_further(pki: Pki, version: str) -> None:
    tried = attempt(
        pki,
        version,
        ca=tls.rootCertificates[:1],
        checkServerIdentity=lambda *_: pytest.fail("asked"),
    )
    assert tried.error.code == "UNABLE_TO_VERIFY_LEAF_SIGNATURE"


# -- keys


def test_a_key_of_ones_own_callback_stands_for_a_certificate(pki: Pki, version: str) -> None:
    ciphers = "ECDHE-PSK-AES128-CBC-SHA256:TLS_AES_128_GCM_SHA256"
    key = b"k" * 32
    for check, code in ((lambda *_: None, None), (None, "ERR_TLS_CERT_ALTNAME_INVALID")):
        options = {} if check is None else {"checkServerIdentity": check}
        tried = attempt(
            pki,
            version,
            {"ciphers": f"{ciphers}:ALL", "pskCallback": lambda socket, identity: key},
            ciphers=ciphers,
            pskCallback=lambda hint: {"psk": key, "identity": "me"},
            **options,
        )
        if version == "TLSv1.3" or check is not None:
            assert tried.secure
            assert tried.socket.authorized
        else:
            assert tried.error.code == code


def test_a_server_that_leaves_the_key_unused_is_judged_by_its_certificate(pki: Pki) -> None:
    """It must not pass because a key was offered."""
    tried = attempt(
        pki,
        "TLSv1.3",
        ca=tls.rootCertificates[:1],
        pskCallback=lambda hint: {"psk": b"k" * 32, "identity": "me"},
        checkServerIdentity=lambda *_: None,
    )
    assert tried.error.code == "UNABLE_TO_VERIFY_LEAF_SIGNATURE"


def rsaServer(pki: Pki) -> dict[str, Any]:
    return identity(pki.issue("localhost", key_type=trustme.KeyType.RSA))


@pytest.mark.parametrize(("minimum", "let"), [(None, True), (2048, True), (2049, False)])
def test_small_dh_keys_are_refused(minimum: int | None, let: bool, pki: Pki) -> None:
    options = {} if minimum is None else {"minDHSize": minimum}
    tried = attempt(
        pki,
        "TLSv1.2",
        {**rsaServer(pki), "dhparam": "auto", "ciphers": "DHE-RSA-AES128-GCM-SHA256"},
        **options,
    )
    assert tried.secure is let
    if not let:
        assert tried.error.code == "ERR_TLS_DH_PARAM_SIZE"
        assert tried.error.blame is Blame.PEER


@pytest.mark.parametrize(("minimum", "let"), [(None, True), (1024, False)])
def test_where_the_size_cannot_be_told_only_who_asks_for_it_is_refused(
    minimum: int | None, let: bool, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    from txnodetls.errors import featureUnavailable

    def unavailable(socket: Any) -> Any:
        raise featureUnavailable("getEphemeralKeyInfo", "SSL_ctrl")

    monkeypatch.setattr(tls.TLSSocket, "getEphemeralKeyInfo", unavailable)
    tried = attempt(
        pki,
        "TLSv1.2",
        {**rsaServer(pki), "dhparam": "auto", "ciphers": "DHE-RSA-AES128-GCM-SHA256"},
        **({} if minimum is None else {"minDHSize": minimum}),
    )
    assert tried.secure is let
    if not let:
        assert tried.error.code == "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM"


# -- sessions and their names


def sessionOf(pki: Pki, version: str, server: dict[str, Any], **client: Any) -> bytes:
    pair = memoryPair(pki, {"maxVersion": version, **server}, client, pump=False)
    sessions: list[bytes] = []
    pair.client.on("session", sessions.append)
    pair.pump()
    return sessions[-1]


def test_a_session_is_for_the_name_that_it_was_made_with(pki: Pki, version: str) -> None:
    """Both names are in the certificate; still it is not offered under the other one."""
    server = {**identity(pki.issue("a.test", "b.test")), "ticketKeys": b"k" * 48}
    session = sessionOf(pki, version, server, servername="a.test")
    for name, reused in (("a.test", True), ("b.test", False)):
        tried = attempt(pki, version, server, servername=name, session=session)
        assert tried.secure
        assert tried.socket.isSessionReused() is reused
    tried = attempt(pki, version, server, servername=None, host="a.test", session=session)
    assert tried.socket.isSessionReused()


def test_what_getsession_gives_is_as_good(pki: Pki, version: str) -> None:
    server = {"ticketKeys": b"k" * 48}
    pair = memoryPair(pki, {"maxVersion": version, **server})
    session = pair.client.getSession()
    assert attempt(pki, version, server, session=session).socket.isSessionReused()
    late = memoryPair(pki, {"maxVersion": version, **server}, pump=False)
    late.client.setSession(session)
    late.pump()
    assert late.client.isSessionReused()


@pytest.mark.parametrize("session", [b"garbage", b"\x30\x03\x02\x01\x01"])
def test_what_is_no_session_is_passed_over(session: bytes, pki: Pki, version: str) -> None:
    tried = attempt(pki, version, session=session)
    assert tried.secure
    assert not tried.socket.isSessionReused()


def test_the_server_of_a_resumed_session_is_who_it_was(pki: Pki, version: str) -> None:
    """The certificate in the session is what getPeerCertificate gives."""
    server = {"ticketKeys": b"k" * 48}
    session = sessionOf(pki, version, server)
    tried = attempt(pki, version, server, session=session)
    certificate = tried.socket.getPeerCertificate(True)
    assert tried.socket.authorized
    assert certificate is not None


# -- arguments


def test_what_is_wrong_is_said_before_anything_is_opened() -> None:
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: tls.connect(), "ERR_MISSING_ARGS"),
        (lambda: tls.connect({}), "ERR_MISSING_ARGS"),
        (lambda: tls.connect(70000), "ERR_SOCKET_BAD_PORT"),
        (lambda: tls.connect({"port": 1, "checkServerIdentity": None}), "ERR_INVALID_ARG_TYPE"),
        (lambda: tls.connect(1, servername=5), "ERR_INVALID_ARG_TYPE"),
        (lambda: tls.connect(1, minDHSize=0), "ERR_OUT_OF_RANGE"),
        (lambda: tls.connect(1, session="text"), "ERR_INVALID_ARG_TYPE"),
        (lambda: tls.connect(1, pskCallback=5), "ERR_INVALID_ARG_TYPE"),
        (lambda: tls.connect(socket=5, servername="a.test"), "ERR_INVALID_ARG_TYPE"),
        (lambda: tls.connect(1, key="no key"), "ERR_OSSL_UNSUPPORTED"),
    ]
    for call, code in calls:
        with pytest.raises(NodeError) as raised:
            call()
        assert raised.value.code == code


def test_over_a_foreign_stream_there_has_to_be_a_name() -> None:
    """Or else whoever has a certificate for 'localhost' could pass for anybody."""
    with pytest.raises(NodeError) as raised:
        tls.connect(socket=StringTransport())
    assert raised.value.code == "ERR_MISSING_ARGS"
    for options in (
        {"servername": "a.test"},
        {"host": "a.test"},
        {"checkServerIdentity": lambda host, certificate: None},
        {"rejectUnauthorized": False},
    ):
        tls.connect(socket=StringTransport(), **options).destroy()  # type: ignore[arg-type]


def test_an_address_as_servername_is_warned_about() -> None:
    with pytest.warns(DeprecationWarning, match="RFC 6066") as caught:
        tls.connect(socket=StringTransport(), servername="127.0.0.1").destroy()
    assert caught[0].message.code == "DEP0123"  # type: ignore[union-attr]


FORMS: dict[str, Callable[[int, dict[str, Any], Any], Any]] = {
    "mapping": lambda port, options, cb: tls.connect({"port": port, **options}, cb),
    "keywords": lambda port, options, cb: tls.connect(cb, port=port, **options),
    "port": lambda port, options, cb: tls.connect(port, options, cb),
    "text": lambda port, options, cb: tls.connect(str(port), options, cb),
    "host": lambda port, options, cb: tls.connect(port, "127.0.0.1", options, cb),
    "None": lambda port, options, cb: tls.connect(port, None, options, cb),
    "both": lambda port, options, cb: tls.connect(port, {"ca": "none"}, cb, **options),
    "beats": lambda port, options, cb: tls.connect(
        1, "nowhere.invalid", {"port": port, **options}, cb
    ),
    "no callback": lambda port, options, cb: tls.connect(port, options).on("secureConnect", cb),
}


@pytest.mark.parametrize("form", FORMS)
@pytest_twisted.ensureDeferred
async def test_forms(form: str, pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve()
        options = {"ca": pki.ca, "host": "127.0.0.1", "servername": "localhost"}
        if form == "host":
            del options["host"]
        called: Deferred[None] = Deferred()
        socket = FORMS[form](server.address()["port"], options, lambda: called.callback(None))
        loopback.sockets.append(socket)
        assert socket.connecting
        await called
        assert socket.authorized


@pytest_twisted.ensureDeferred
async def test_a_unix_socket(pki: Pki, tmp_path: Path) -> None:
    async with Loopback(pki) as loopback:
        server = tls.createServer(identity(pki.server), lambda socket: socket.pipe(socket))
        loopback.servers.append(server)
        path = str(tmp_path / "tls")
        listening = happened(server, "listening")
        server.listen(path)
        await listening
        for arguments in ((path,), ({"path": path},)):
            socket = tls.connect(*arguments, ca=pki.ca, servername="localhost")
            loopback.sockets.append(socket)
            await happened(socket, "secureConnect")
            assert socket.authorized


@pytest_twisted.ensureDeferred
async def test_host_is_localhost_where_nothing_is_said(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve()
        socket = tls.connect(server.address()["port"], ca=pki.ca, family=4)
        loopback.sockets.append(socket)
        await happened(socket, "secureConnect")
        assert socket.authorized
        await eventually(lambda: server.secured)
        # SNI is sent for servername only.
        assert server.secured[0].servername is False


@pytest_twisted.ensureDeferred
async def test_nobody_there(pki: Pki) -> None:
    socket = tls.connect(unusedPort(), "127.0.0.1", ca=pki.ca)
    received = Received(socket)
    await received
    assert received.errors == ["ECONNREFUSED"]
    assert received.closed is True
    assert received.error.phase is Phase.CONNECTING


@pytest_twisted.ensureDeferred
async def test_a_server_that_hangs_up(pki: Pki) -> None:
    server = tls.net.createServer(lambda socket: socket.end())
    listening = happened(server, "listening")
    server.listen(0, "127.0.0.1")
    await listening
    port = server.address()["port"]  # type: ignore[index, call-overload]
    socket = tls.connect(port, "127.0.0.1", ca=pki.ca)
    received = Received(socket)
    await received
    assert received.errors == ["ECONNRESET"]
    assert (received.error.host, received.error.port) == ("127.0.0.1", port)
    assert received.error.message.startswith("Client network socket disconnected before")
    server.close()


# -- over what is there already


@pytest_twisted.ensureDeferred
async def test_a_socket_that_is_connected_already(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve()
        plain = tls.net.connect(server.address()["port"], "127.0.0.1")
        loopback.sockets.append(plain)
        await happened(plain, "connect")
        socket = tls.connect(socket=plain, ca=pki.ca, servername="localhost")
        loopback.sockets.append(socket)
        received = Received(socket)
        socket.write(b"ping")
        await eventually(lambda: received.data == b"ping")
        socket.destroy()
        await received
        assert plain.destroyed


@pytest_twisted.ensureDeferred
async def test_a_socket_that_connects_later(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve()
        plain = tls.net.connect(server.address()["port"], "127.0.0.1")
        loopback.sockets.append(plain)
        socket = tls.connect(socket=plain, ca=pki.ca, servername="localhost")
        loopback.sockets.append(socket)
        received = Received(socket)
        socket.write(b"ping")
        await eventually(lambda: received.data == b"ping")


@pytest.mark.parametrize(("host", "let"), [("localhost", True), ("elsewhere.test", False)])
@pytest_twisted.ensureDeferred
async def test_the_name_that_a_socket_was_connected_to_is_the_one_to_check(
    host: str, let: bool, pki: Pki
) -> None:
    """Not 'localhost', whatever it was connected to."""

    def lookup(name: str, options: Any, callback: Any) -> None:
        callback(None, [{"address": "127.0.0.1", "family": 4}])

    async with Loopback(pki) as loopback:
        server = await loopback.serve()
        plain = tls.net.connect(server.address()["port"], host, lookup=lookup)
        loopback.sockets.append(plain)
        await happened(plain, "connect")
        socket = tls.connect(socket=plain, ca=pki.ca)
        loopback.sockets.append(socket)
        received = Received(socket)
        await eventually(lambda: socket.authorized or received.errors)
        assert socket.authorized is let
        assert received.errors == ([] if let else ["ERR_TLS_CERT_ALTNAME_INVALID"])


@pytest_twisted.ensureDeferred
async def test_an_idle_client_is_told_and_goes_on(pki: Pki) -> None:
    async with Loopback(pki) as loopback:
        server = await loopback.serve()
        socket = loopback.dial(server, timeout=50)
        await happened(socket, "timeout")
        assert not socket.destroyed


def test_the_client_certificate_reaches_the_server(pki: Pki, version: str) -> None:
    tried = attempt(pki, version, {"requestCert": True, "ca": pki.ca}, **identity(pki.client))
    assert tried.pair.server.authorized
    assert isinstance(pki.client, Credentials)


def test_the_reactor_is_the_one_that_was_given(pki: Pki) -> None:
    pair = memoryPair(pki, pump=False)
    assert pair.client.reactor is pair.clock
    socket = tls.connect(socket=StringTransport(), servername="a.test", reactor=reactor)
    assert socket.reactor is reactor
    socket.destroy()
