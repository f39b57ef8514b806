"""tls.Server in memory: who is let in, and within what time."""

from __future__ import annotations

from typing import Any

import pytest
import trustme
from twisted.internet.defer import succeed

import txnodetls as tls
from tests.conftest import LoggedErrors
from tests.memory import derOf
from tests.support import Credentials, Pki
from tests.tlspairs import (
    GARBAGE,
    ServerTold,
    Sni,
    Told,
    asking,
    identity,
    inject,
    memoryPair,
    pumped,
)
from txnodetls.errors import Blame, NodeError, Phase


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def version(request: pytest.FixtureRequest) -> str:
    """Each test that names it is made for both."""
    return str(request.param)


def test_settings_are_made_anew_when_something_has_changed_and_only_then(pki: Pki) -> None:
    server = tls.createServer(cert=pki.server.cert, key=pki.server.key)

    def now() -> tuple[bool, bool]:
        made = server._settingsNow((server.requestCert, True))
        assert server._settingsNow((server.requestCert, True)) is made
        return made.askAboutHello, made.keylog

    def listener(*_: object) -> None:
        pass

    assert now() == (False, False)
    server.addContext("a.test", {})
    assert now() == (True, False)
    server.on("keylog", listener)
    assert now() == (True, True)
    server.removeContext("a.test")
    assert now() == (False, True)
    server.off("keylog", listener).on("OCSPRequest", listener)
    assert now() == (True, False)
    server.off("OCSPRequest", listener).on("newSession", listener)
    assert now() == (False, False)
    assert server._settingsNow((False, True)).reportSessions
    server.off("newSession", listener)
    assert not server._settingsNow((False, True)).reportSessions
    server.requestCert = True
    assert server._settingsNow((True, True)).verifyMode


# -- client certificates

NONE, GOOD, STRANGE = "none", "good", "strange"


@pytest.fixture(scope="module")
def stranger() -> Credentials:
    leaf = trustme.CA().issue_cert("stranger@example.test")
    return Credentials(leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes())


@pytest.mark.parametrize(
    ("requestCert", "reject", "who", "let", "authorized", "error"),
    [
        (False, True, NONE, True, False, None),
        (False, True, GOOD, True, False, None),
        (False, True, STRANGE, True, False, None),
        (True, False, NONE, True, False, "UNABLE_TO_GET_ISSUER_CERT"),
        (True, False, GOOD, True, True, None),
        (True, False, STRANGE, True, False, "UNABLE_TO_VERIFY_LEAF_SIGNATURE"),
        (True, True, NONE, False, False, "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE"),
        (True, True, GOOD, True, True, None),
        (True, True, STRANGE, False, False, "ECONNRESET"),
    ],
)
def test_who_is_let_in(
    requestCert: bool,
    reject: bool,
    who: str,
    let: bool,
    authorized: bool,
    error: str | None,
    pki: Pki,
    version: str,
    stranger: Credentials,
) -> None:
    pair = memoryPair(
        pki,
        {
            "requestCert": requestCert,
            "rejectUnauthorized": reject,
            "ca": pki.ca,
            "maxVersion": version,
        },
        identity({NONE: None, GOOD: pki.client, STRANGE: stranger}[who]),
        pump=False,
    )
    pair.client.resume()
    server = pumped(pair)
    assert server.secured == ([pair.server] if let else [])
    assert pair.server.authorized is authorized
    if let:
        assert pair.server.authorizationError == error
        assert server.failed == []
    else:
        assert server.codes == [error]
        assert server.failed[0][1] is pair.server
        assert pair.server.destroyed
        assert pair.client.destroyed


def ticketOf(pki: Pki, version: str, options: dict[str, Any], client: dict[str, Any]) -> bytes:
    """A session of a server with these options."""
    pair = memoryPair(pki, {"maxVersion": version, **options}, client, pump=False)
    sessions: list[bytes] = []
    pair.client.on("session", sessions.append)
    pair.pump()
    assert sessions
    return sessions[0]


@pytest.mark.parametrize("shared", ["ticketKeys", "secureContext"])
@pytest.mark.parametrize("reject", [True, False])
def test_a_ticket_of_a_server_that_asks_nobody_opens_no_door_at_one_that_does(
    reject: bool, shared: str, pki: Pki, version: str
) -> None:
    """
    Two servers have keys and session id context in common; the one asks for no certificate.  A
    ticket from there proves nothing here, though it is resumed.  (Node 24 says authorized.)
    """
    if shared == "ticketKeys":
        options: dict[str, Any] = {
            "ticketKeys": b"k" * 48,
            "sessionIdContext": "both",
            "ca": pki.ca,
        }
    else:
        options = {
            "secureContext": tls.createSecureContext(
                key=pki.server.key,
                cert=pki.server.cert,
                ca=pki.ca,
                sessionIdContext="both",
                maxVersion=version,
            )
        }
    session = ticketOf(pki, version, options, {})
    pair = memoryPair(
        pki,
        {"maxVersion": version, **options, "requestCert": True, "rejectUnauthorized": reject},
        {"session": session},
        pump=False,
    )
    reused: list[Any] = []
    pair.client.on("secureConnect", lambda: reused.append(pair.client.isSessionReused()))
    server = pumped(pair)
    assert reused == [True]
    assert pair.server.authorized is False
    if reject:
        assert server.secured == []
        assert server.codes == ["ECONNRESET"]
        assert pair.server.destroyed
    else:
        assert server.secured == [pair.server]
        assert pair.server.authorizationError == "UNABLE_TO_GET_ISSUER_CERT"


def test_by_default_such_a_ticket_is_not_even_resumed(pki: Pki, version: str) -> None:
    """The default session id context differs wherever a session proves something else."""
    keys = {"ticketKeys": b"k" * 48, "ca": pki.ca}
    session = ticketOf(pki, version, keys, identity(pki.client))
    for requestCert, reject, same in (
        (False, True, True),
        (True, False, False),
        (True, True, False),
    ):
        pair = memoryPair(
            pki,
            {
                "maxVersion": version,
                **keys,
                "requestCert": requestCert,
                "rejectUnauthorized": reject,
            },
            {"session": session, **identity(pki.client)},
        )
        assert pair.server.isSessionReused() is same
        assert pair.server.authorized is requestCert


def test_a_session_with_a_certificate_is_resumed_and_authorized(pki: Pki, version: str) -> None:
    options = {"requestCert": True, "ca": pki.ca, "ticketKeys": b"k" * 48}
    session = ticketOf(pki, version, options, identity(pki.client))
    pair = memoryPair(pki, {"maxVersion": version, **options}, {"session": session})
    assert pair.server.isSessionReused()
    assert pair.server.authorized
    certificate = pair.server.getPeerCertificate()
    assert certificate is not None
    assert certificate["raw"] == derOf(pki.client.cert)


def test_a_key_of_our_own_callback_authorizes(pki: Pki, version: str) -> None:
    ciphers = "ECDHE-PSK-AES128-CBC-SHA256:TLS_AES_128_GCM_SHA256"
    key = b"k" * 32
    for known in (True, False):
        pair = memoryPair(
            pki,
            {
                "maxVersion": version,
                "ciphers": f"{ciphers}:ALL",
                "requestCert": True,
                "rejectUnauthorized": False,
                "pskCallback": lambda socket, identity, known=known: key if known else b"",
            },
            {
                "ciphers": ciphers,
                "pskCallback": lambda hint: {"psk": key, "identity": "me"},
                "checkServerIdentity": lambda host, certificate: None,
                "rejectUnauthorized": False,
            },
            pump=False,
        )
        server = pumped(pair)
        if known:
            assert pair.server.authorized
        else:
            assert not pair.server.authorized
            assert len(server.failed) + len(server.secured) == 1


# -- the time of a handshake


def test_a_handshake_that_takes_too_long_is_closed(pki: Pki, version: str) -> None:
    sni = Sni()
    pair = asking(pki, version, "a.test", SNICallback=sni, handshakeTimeout=5000)
    server, client = pumped(pair), Told(pair.client)
    pair.advance(4.9)
    assert server.failed == []
    pair.advance(0.2)
    ((error, socket),) = server.failed
    assert error.code == "ERR_TLS_HANDSHAKE_TIMEOUT"
    # It was not the peer who took so long, but the callback.
    assert (error.blame, error.phase) == (Blame.LOCAL, Phase.HANDSHAKING)
    assert socket is pair.server
    assert pair.server.destroyed
    # The connection below is closed too.
    assert client.events[-1] == "close"
    assert client.codes == ["ECONNRESET"]
    sni.callback(None, None)
    pair.pump()
    assert server.secured == []
    assert len(server.failed) == 1


def test_a_peer_that_says_nothing_or_little_gains_no_time(pki: Pki) -> None:
    for crumbs in (0, 1):
        pair = memoryPair(pki, {"handshakeTimeout": 1000}, limit=1, pump=False)
        server = ServerTold(pair)
        pair.clock.advance(0)
        for _ in range(12):
            if crumbs:
                pair._wires[1].deliver()
            pair.clock.advance(0.1)
        assert server.codes == ["ERR_TLS_HANDSHAKE_TIMEOUT"]


def test_a_connection_that_is_secure_in_time_stays(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"handshakeTimeout": 1000, "maxVersion": version})
    server, received = pumped(pair), Told(pair.server)
    pair.advance(1000)
    pair.client.write(b"x")
    pair.pump()
    assert server.failed == []
    assert received.data == b"x"
    assert pair.clock.getDelayedCalls() == []


def test_a_connection_that_dies_leaves_no_timer(pki: Pki) -> None:
    pair = memoryPair(pki, pump=False)
    server = ServerTold(pair)
    pair.client.destroy()
    pair.pump()
    assert server.codes == ["ECONNRESET"]
    assert pair.clock.getDelayedCalls() == []
    assert not pair.listener._deadlines


@pytest.mark.parametrize(
    ("given", "seconds"),
    [(None, 120), (0, 120), (2500, 2.5), (-5, 0.001), (float("nan"), 120), (2**40, 0.001)],
)
def test_the_time_is_nodes(given: Any, seconds: float, pki: Pki) -> None:
    pair = memoryPair(pki, {"handshakeTimeout": given}, pump=False)
    times = [call.getTime() for call in pair.clock.getDelayedCalls()]
    assert pytest.approx(seconds) in times


# -- what is told


def test_errors_before_the_handshake_are_the_servers_and_then_the_sockets(pki: Pki) -> None:
    pair = memoryPair(pki, pump=False)
    server, own = ServerTold(pair), Told(pair.server)
    inject(pair, b"GET / HTTP/1.1\r\n\r\n")
    pair.pump()
    ((error, socket),) = server.failed
    assert error.code == "ERR_SSL_HTTP_REQUEST"
    assert socket is pair.server
    assert own.events[-1] == "close"
    open_ = memoryPair(pki)
    server, own = pumped(open_), Told(open_.server)
    inject(open_, GARBAGE)
    open_.pump()
    assert server.failed == []
    assert len(own.errors) == 1


def test_clienterror_is_its_older_name_and_both_are_told(pki: Pki) -> None:
    pair = memoryPair(pki, pump=False)
    older: list[Any] = []
    pair.listener.on("clientError", lambda error, socket: older.append((error, socket)))
    server = ServerTold(pair)
    inject(pair, b"GET / HTTP/1.1\r\n\r\n")
    pair.pump()
    assert older == server.failed
    assert len(older) == 1


def test_a_failed_handshake_that_nobody_listens_to_ends_quietly(pki: Pki) -> None:
    """It is a peer's doing, and every port scan would fill the log."""
    pair = memoryPair(pki, pump=False)
    pair.client.on("error", lambda error: None)
    inject(pair, b"GET / HTTP/1.1\r\n\r\n")
    pair.pump()
    assert pair.server.destroyed


def test_the_socket_may_be_destroyed_in_tlsclienterror(pki: Pki) -> None:
    pair = memoryPair(pki, pump=False)
    pair.client.on("error", lambda error: None)
    pair.listener.on("tlsClientError", lambda error, socket: socket.destroy(error))
    inject(pair, b"GET / HTTP/1.1\r\n\r\n")
    pair.pump()
    assert pair.server.destroyed


class Oops(Exception):
    """What a hook raises."""


OOPS = Oops("no such name")


def raising(*_: Any) -> Any:
    raise OOPS


async def raisingLater(*_: Any) -> Any:
    await succeed(None)
    raise OOPS


@pytest.mark.parametrize("listener", [raising, raisingLater])
def test_a_listener_of_secureconnection_that_raises_ends_that_connection(
    listener: Any, pki: Pki, loggedErrors: LoggedErrors, version: str
) -> None:
    pair = memoryPair(pki, {"maxVersion": version}, pump=False)
    heard: list[Any] = []
    pair.listener.once("secureConnection", listener)
    pair.listener.on("secureConnection", heard.append)
    pair.client.on("error", lambda error: None)
    pair.client.resume()
    pair.pump()
    assert loggedErrors.flush(Oops) == [OOPS]
    assert heard == [pair.server]
    assert pair.server.destroyed
    assert pair.client.destroyed
    assert pair.listener.listenerCount("secureConnection") == 1


def test_the_key_log_is_told_by_socket_and_server(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version}, pump=False)
    lines: list[Any] = []
    own: list[bytes] = []
    theirs: list[bytes] = []
    pair.listener.on("keylog", lambda line, socket: lines.append((line, socket)))
    pair.server.on("keylog", own.append)
    pair.client.on("keylog", theirs.append)
    pair.pump()
    assert lines
    assert {socket for _, socket in lines} == {pair.server}
    assert [line for line, _ in lines] == own
    assert set(own) == set(theirs)


def test_psk_hints_that_are_too_long_fail_each_connection(pki: Pki) -> None:
    pair = memoryPair(
        pki,
        {"pskCallback": lambda socket, identity: None, "pskIdentityHint": "h" * 300},
        pump=False,
    )
    assert pumped(pair).codes == ["ERR_TLS_PSK_SET_IDENTITY_HINT_FAILED"]


# -- how it is made


def test_forms() -> None:
    def listener(socket: Any) -> None: ...

    for server in (
        tls.createServer(),
        tls.createServer({}),
        tls.createServer(listener),
        tls.createServer({}, listener),
        tls.Server({}, listener),
        tls.createServer({"requestCert": False}, listener, requestCert=True),
    ):
        assert server.listenerCount("secureConnection") in (0, 1)
        assert not server.listening
    assert server.requestCert is True


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (5, "ERR_INVALID_ARG_TYPE"),
        ("text", "ERR_INVALID_ARG_TYPE"),
        ({"SNICallback": 5}, "ERR_INVALID_ARG_TYPE"),
        ({"handshakeTimeout": "5"}, "ERR_INVALID_ARG_TYPE"),
        ({"pskCallback": 5}, "ERR_INVALID_ARG_TYPE"),
        ({"pskIdentityHint": 5}, "ERR_INVALID_ARG_TYPE"),
        ({"key": "no key"}, "ERR_OSSL_UNSUPPORTED"),
    ],
)
def test_wrong_options_are_refused_at_once(options: Any, code: str) -> None:
    with pytest.raises(NodeError) as raised:
        tls.createServer(options)
    assert raised.value.code == code
