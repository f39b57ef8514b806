"""tls.Server in memory: under which context, and with which protocol."""

from __future__ import annotations

from typing import Any

import pytest
import trustme
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

import txnodetls as tls
from tests.support import Credentials, Pki, makePki
from tests.tlspairs import (
    Sni,
    Told,
    asking,
    identity,
    memoryPair,
    pumped,
)
from txnodetls.errors import Blame, NodeError, Phase
from txnodetls.interfaces import ISecureContext
from txnodetls.testing import MemoryPair


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def version(request: pytest.FixtureRequest) -> str:
    """Each test that names it is made for both."""
    return str(request.param)


class Oops(Exception):
    """What a hook raises."""


OOPS = Oops("no such name")


def raising(*_: Any) -> Any:
    raise OOPS


# -- contexts by name


def named(pki: Pki, name: str, **options: Any) -> dict[str, Any]:
    """Options of a context with a certificate for a name."""
    return {**identity(pki.issue(name)), **options}


def nameServed(pair: MemoryPair) -> str:
    """The name in the certificate that the client has got."""
    certificate = pair.client.getPeerCertificate()
    assert certificate is not None
    return str(certificate["subjectaltname"]).split(", ")[0].removeprefix("DNS:")


@pytest.mark.parametrize(
    ("name", "served"),
    [
        ("a.test", "a.test"),
        ("A.TEST", "a.test"),
        ("b.wild.test", "wild"),
        ("b.c.wild.test", "localhost"),
        (".wild.test", "wild"),
        ("wild.test", "localhost"),
        ("xa.test", "localhost"),
        ("a.test.evil", "localhost"),
        ("aXtest", "localhost"),
        ("other.test", "localhost"),
        (None, "localhost"),
    ],
)
def test_names_choose_contexts(name: str | None, served: str, pki: Pki, version: str) -> None:
    pair = asking(pki, version, name)
    pair.listener.addContext("a.test", named(pki, "a.test"))
    pair.listener.addContext("*.wild.test", named(pki, "wild"))
    pair.pump()
    assert nameServed(pair) == served


def test_the_context_added_last_serves(pki: Pki, version: str) -> None:
    pair = asking(pki, version, "a.test")
    pair.listener.addContext("a.test", named(pki, "first"))
    pair.listener.addContext("*.test", named(pki, "second"))
    pair.pump()
    assert nameServed(pair) == "second"


def test_a_context_can_be_removed(pki: Pki, version: str) -> None:
    pair = asking(pki, version, "a.test")
    for each in ("first", "second"):
        pair.listener.addContext("a.test", named(pki, each))
    assert pair.listener.removeContext("a.test") is True
    assert pair.listener.removeContext("a.test") is False
    pair.pump()
    assert nameServed(pair) == "localhost"


@pytest.mark.parametrize("form", ["options", "context"])
def test_a_context_may_be_one_or_its_options(form: str, pki: Pki, version: str) -> None:
    pair = asking(pki, version, "a.test")
    options: Any = named(pki, "a.test")
    pair.listener.addContext(
        "a.test", tls.createSecureContext(options) if form == "context" else options
    )
    pair.pump()
    assert nameServed(pair) == "a.test"


@pytest.mark.parametrize("name", ["", None])
def test_a_context_needs_a_name(name: Any, pki: Pki) -> None:
    with pytest.raises(NodeError) as raised:
        tls.createServer().addContext(name, {})
    assert raised.value.code == "ERR_TLS_REQUIRED_SERVER_NAME"


def test_bad_contexts_are_refused_at_once_and_change_nothing(pki: Pki, version: str) -> None:
    pair = asking(pki, version, "localhost")
    server = pair.listener
    with pytest.raises(NodeError):
        server.addContext("localhost", {"cert": pki.server.cert, "key": pki.client.key})
    with pytest.raises(NodeError):
        server.setSecureContext({"cert": pki.server.cert, "key": pki.client.key})
    for wrong in (None, 5, "text"):
        with pytest.raises(NodeError) as raised:
            server.setSecureContext(wrong)  # type: ignore[arg-type]
        assert raised.value.code == "ERR_INVALID_ARG_TYPE"
    pair.pump()
    assert nameServed(pair) == "localhost"


def test_a_context_of_another_name_brings_its_trust_and_demands(pki: Pki, version: str) -> None:
    """The server asks nobody; under the name, a certificate of that CA is required."""
    other = trustme.CA()
    leaf = other.issue_cert("client@example.test")
    good = Credentials(leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes())
    strict = named(
        pki, "strict.test", requestCert=True, ca=other.cert_pem.bytes(), maxVersion=version
    )
    for who, let in ((good, True), (pki.client, False), (None, False)):
        pair = memoryPair(
            pki,
            {"maxVersion": version, "ca": pki.ca},
            {"servername": "strict.test", **identity(who)},
            pump=False,
        )
        pair.listener.addContext("strict.test", strict)
        server = pumped(pair)
        assert bool(server.secured) is let
        assert pair.server.authorized is let
    plain = memoryPair(pki, {"maxVersion": version}, pump=False)
    plain.listener.addContext("strict.test", strict)
    assert pumped(plain).secured == [plain.server]


def test_a_context_of_another_name_brings_its_protocols(pki: Pki, version: str) -> None:
    for name, expected in (("x.test", "x"), ("localhost", "y")):
        pair = memoryPair(
            pki,
            {"maxVersion": version, "ALPNProtocols": ["y"]},
            {"servername": name, "ALPNProtocols": ["x", "y"]},
            pump=False,
        )
        pair.listener.addContext("x.test", named(pki, "x.test", ALPNProtocols=["x"]))
        pair.pump()
        assert pair.client.alpnProtocol == pair.server.alpnProtocol == expected


@pytest.mark.parametrize("which", ["default", "named"])
def test_sessions_are_resumed_under_contexts_that_do_not_say_what_they_are_bound_to(
    which: str, pki: Pki, version: str
) -> None:
    """OpenSSL fails the handshake where certificates are asked for and nothing is said."""
    context = tls.createSecureContext(
        **identity(pki.server),
        ca=pki.ca,
        maxVersion=version,  # type: ignore[arg-type]
    )
    options: dict[str, Any] = {"requestCert": True, "maxVersion": version, "ticketKeys": b"k" * 48}
    if which == "default":
        options = {"requestCert": True, "secureContext": context}
    session = None
    for reused in (False, True):
        pair = memoryPair(
            pki,
            {"ca": pki.ca, **options},
            {**identity(pki.client), "session": session},
            pump=False,
        )
        if which == "named":
            pair.listener.addContext("localhost", context)
        sessions: list[bytes] = []
        pair.client.on("session", sessions.append)
        server = pumped(pair)
        assert server.failed == []
        assert pair.server.authorized
        assert pair.server.isSessionReused() is reused
        session = session or sessions[0]


@implementer(ISecureContext)
class Foreign:
    """A context of somebody else's making, with no more than the interface asks for."""

    def __init__(self, made: Any) -> None:
        self.native = made.native
        self.options: dict[str, Any] = {}
        self.ownCertificates = made.ownCertificates
        self.trustDigest = made.trustDigest
        self.sessionIdContext = b""

    def trustedCertificates(self) -> tuple[bytes, ...]:
        return ()


def test_contexts_of_others_making_serve(pki: Pki, version: str) -> None:
    made = tls.createSecureContext(named(pki, "foreign.test"))
    for options, names in (({"secureContext": Foreign(made)}, []), ({}, ["a.test"])):
        pair = memoryPair(
            pki,
            options,
            {"servername": "a.test", "rejectUnauthorized": False, "maxVersion": version},
            pump=False,
        )
        for name in names:
            pair.listener.addContext(name, Foreign(made))
        pair.pump()
        assert nameServed(pair) == "foreign.test"


def test_a_new_context_is_for_connections_that_have_not_begun(pki: Pki, version: str) -> None:
    early = asking(pki, version, "a.test")
    early.listener.setSecureContext(named(pki, "new.test", maxVersion=version))
    pumped(early)
    # It was accepted before, but had not begun.
    assert nameServed(early) == "new.test"
    early.listener.setSecureContext(named(pki, "newer.test"))
    received = Told(early.server)
    early.client.write(b"undisturbed")
    early.pump()
    assert received.data == b"undisturbed"


def test_a_new_context_serves_clients_without_a_name_too(pki: Pki) -> None:
    pair = asking(pki, "TLSv1.3", None)
    pair.listener.addContext("a.test", named(pki, "a.test"))
    pair.listener.setSecureContext(named(pki, "new.test"))
    pair.pump()
    assert nameServed(pair) == "new.test"


# -- SNICallback


@pytest.mark.parametrize("form", ["callback", "value", "Deferred", "coroutine", "later"])
def test_snicallback_may_answer_as_it_likes(form: str, pki: Pki, version: str) -> None:
    context = tls.createSecureContext(named(pki, "chosen.test"))
    later: Deferred[Any] = Deferred()

    async def coroutine(name: str, callback: Any) -> Any:
        return await succeed(context)

    hook = {
        "callback": lambda name, callback: callback(None, context),
        "value": lambda name, callback: context,
        "Deferred": lambda name, callback: succeed(context),
        "coroutine": coroutine,
        "later": lambda name, callback: later,
    }[form]
    pair = asking(pki, version, "a.test", SNICallback=hook)
    pair.pump()
    if form == "later":
        assert pair.client.getPeerCertificate() == {}
        later.callback(context)
        pair.pump()
    assert nameServed(pair) == "chosen.test"


def test_none_from_snicallback_is_the_servers_own_context(pki: Pki, version: str) -> None:
    sni = Sni()
    pair = asking(pki, version, "a.test", SNICallback=sni)
    server = pumped(pair)
    assert server.secured == []
    sni.callback(None, None)
    pair.pump()
    assert sni.names == ["a.test"]
    assert server.secured == [pair.server]
    assert nameServed(pair) == "localhost"


@pytest.mark.parametrize(
    "hook",
    [lambda name, callback: callback(OOPS), lambda name, callback: fail(OOPS), raising],
)
def test_an_error_of_snicallback_reaches_tlsclienterror(hook: Any, pki: Pki, version: str) -> None:
    pair = asking(pki, version, "a.test", SNICallback=hook)
    server = pumped(pair)
    assert server.failed == [(OOPS, pair.server)]
    assert pair.client.destroyed


def test_snicallback_that_calls_back_twice_ends_the_connection(pki: Pki, version: str) -> None:
    sni = Sni()
    pair = asking(pki, version, "a.test", SNICallback=sni)
    server = pumped(pair)
    sni.callback(None, None)
    sni.callback(None, None)
    pair.pump()
    assert pair.server.destroyed
    assert server.codes == ["ERR_MULTIPLE_CALLBACK"]


def test_an_answer_after_the_client_has_gone_is_nothing(pki: Pki, version: str) -> None:
    sni = Sni()
    pair = asking(pki, version, "a.test", SNICallback=sni)
    server = pumped(pair)
    pair.client.destroy()
    pair.pump()
    assert server.codes == ["ECONNRESET"]
    for _ in range(2):
        sni.callback(None, tls.createSecureContext(named(pki, "late.test")))
        sni.callback(OOPS)
    pair.pump()
    assert server.codes == ["ECONNRESET"]
    assert server.secured == []


def test_names_or_a_callback_but_the_callback_counts(pki: Pki, version: str) -> None:
    sni = Sni()
    pair = asking(pki, version, "a.test", SNICallback=sni)
    pair.listener.addContext("a.test", named(pki, "a.test"))
    pair.pump()
    sni.callback(None, None)
    pair.pump()
    assert nameServed(pair) == "localhost"


# -- protocols


@pytest.mark.parametrize(
    ("server", "client", "agreed"),
    [
        (["a", "b"], ["b", "a"], "a"),
        ([b"a", "b"], ["b"], "b"),
        (b"\x01a\x01b", b"\x01b", "b"),
        (["a"], None, False),
        (None, ["a"], False),
        (["ä"], ["ä"], "\xc3\xa4"),
    ],
)
def test_protocols(server: Any, client: Any, agreed: Any, pki: Pki, version: str) -> None:
    pair = memoryPair(
        pki, {"ALPNProtocols": server, "maxVersion": version}, {"ALPNProtocols": client}
    )
    assert pair.client.alpnProtocol == pair.server.alpnProtocol == agreed


def test_no_protocol_in_common_is_fatal(pki: Pki, version: str) -> None:
    pair = memoryPair(
        pki,
        {"ALPNProtocols": ["a"], "maxVersion": version},
        {"ALPNProtocols": ["b"]},
        pump=False,
    )
    server, client = pumped(pair), pair.client
    (error,) = [error for error, _ in server.failed]
    assert error.code == "ERR_SSL_NO_APPLICATION_PROTOCOL"
    assert (error.blame, error.phase, error.alert) == (Blame.PEER, Phase.HANDSHAKING, 120)
    assert client.errored.alert == 120


@pytest.mark.parametrize("form", ["value", "Deferred", "coroutine", "later"])
def test_alpncallback_may_answer_as_it_likes(form: str, pki: Pki, version: str) -> None:
    later: Deferred[Any] = Deferred()

    async def coroutine(offer: Any) -> str:
        return "b"

    hook = {
        "value": lambda offer: "b",
        "Deferred": lambda offer: succeed("b"),
        "coroutine": coroutine,
        "later": lambda offer: later,
    }[form]
    pair = memoryPair(
        pki,
        {"ALPNCallback": hook, "maxVersion": version},
        {"ALPNProtocols": ["a", "b"]},
    )
    if form == "later":
        assert pair.server.alpnProtocol is None
        later.callback("b")
        pair.pump()
    assert pair.client.alpnProtocol == pair.server.alpnProtocol == "b"


@pytest.mark.parametrize(
    ("hook", "code"),
    [
        (lambda offer: None, "ERR_SSL_NO_APPLICATION_PROTOCOL"),
        (lambda offer: "c", "ERR_TLS_ALPN_CALLBACK_INVALID_RESULT"),
        (lambda offer: fail(NodeError("no", "NO")), "NO"),
    ],
)
def test_alpncallback_may_refuse(hook: Any, code: str, pki: Pki, version: str) -> None:
    pair = memoryPair(
        pki,
        {"ALPNCallback": hook, "maxVersion": version},
        {"ALPNProtocols": ["a", "b"]},
        pump=False,
    )
    assert pumped(pair).codes == [code]


def test_protocols_or_a_callback_not_both(pki: Pki) -> None:
    with pytest.raises(NodeError) as raised:
        tls.createServer(ALPNProtocols=["a"], ALPNCallback=lambda offer: "a")
    assert raised.value.code == "ERR_TLS_ALPN_CALLBACK_WITH_PROTOCOLS"


@pytest.mark.parametrize("answer", ["same", "other", "none"])
def test_with_a_resumed_session_snicallback_decides_still(
    answer: str, pki: Pki, version: str
) -> None:
    """A session is good only under the trust that it was made with."""
    trusting = {"requestCert": True, "ca": pki.ca, "maxVersion": version}
    contexts = {
        "same": tls.createSecureContext(named(pki, "a.test", **trusting)),
        "other": tls.createSecureContext(
            named(pki, "a.test", requestCert=True, ca=makePki().ca, maxVersion=version)
        ),
        "none": None,
    }
    session: bytes | None = None
    for chosen in ("same", answer):
        sni = Sni()
        pair = memoryPair(
            pki,
            {"SNICallback": sni, "maxVersion": version, "ticketKeys": b"k" * 48},
            {
                **identity(pki.client),
                "servername": "a.test",
                "session": session,
                "rejectUnauthorized": False,
            },
            pump=False,
        )
        sessions: list[bytes] = []
        pair.client.on("session", sessions.append)
        server = pumped(pair)
        assert sni.names == ["a.test"]
        sni.callback(None, contexts[chosen])
        pair.pump()
        if chosen == "same":
            assert server.secured == [pair.server]
            assert pair.server.authorized
            assert pair.server.isSessionReused() is (session is not None)
        elif chosen == "other":
            assert server.secured == []
        else:
            assert not pair.server.isSessionReused()
            assert not pair.server.authorized
        session = session or sessions[0]
