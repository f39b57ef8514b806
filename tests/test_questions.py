"""What a server asks about a ClientHello: in which order, and what it makes of the answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trustme
from OpenSSL import SSL
from twisted.internet.defer import Deferred, fail, succeed

from tests.memory import derOf
from tests.support import Pki
from txnodetls import createSecureContext
from txnodetls.errors import Blame, Phase
from txnodetls.protocol.clienthello import ClientHello
from txnodetls.protocol.engine import Answer, verifyMode
from txnodetls.questions import HelloQuestions, Policy, sessionsBoundTo

HELLO = ClientHello(servername="a.test", alpn=(b"h2", b"\xe4"), statusRequest=True)


class Socket:
    """Whose ClientHello it is."""

    def __init__(self, context: Any) -> None:
        self.destroyed = False
        self.error: Any = None
        self.answers: list[Answer] = []
        self._context = context
        self._keyCert: Any = None
        self._verification = (False, True)

    def destroy(self, error: BaseException | None = None) -> None:
        assert not self.destroyed
        self.destroyed = True
        self.error = error

    def _resume(self, answer: Answer) -> None:
        assert not self.destroyed
        if answer.askStaple is None:
            self.answers.append(answer)
            return
        # The handshake comes to the certificate.
        self._resumed = answer._replace(askStaple=None)
        answer.askStaple()

    def _supplyStaple(self, staple: bytes | None) -> None:
        assert not self.destroyed
        self.answers.append(self._resumed._replace(staple=staple))


@pytest.fixture
def socket(pki: Pki) -> Socket:
    return Socket(createSecureContext(key=pki.server.key, cert=pki.server.cert, ca=pki.ca))


def ask(socket: Socket, hello: ClientHello = HELLO, **policy: Any) -> Socket:
    HelloQuestions(socket, Policy(**policy)).start(hello)
    return socket


def chosen(pki: Pki, **options: Any) -> Any:
    return createSecureContext(key=pki.server.key, cert=pki.server.cert, **options)


def test_where_nobody_is_asked_nothing_changes(socket: Socket) -> None:
    assert ask(socket).answers == [Answer()]


# -- which context


def test_the_context_is_asked_for_by_name(socket: Socket, pki: Pki) -> None:
    asked: list[str] = []
    context = chosen(pki)

    def sni(name: str, callback: Any) -> Any:
        asked.append(name)
        return context

    ask(socket, sniCallback=sni)
    assert asked == ["a.test"]
    assert socket._context is context
    assert socket.answers[0].native is context.native


@pytest.mark.parametrize("name", [None, ""])
def test_without_a_name_it_is_not_asked_for(name: str | None, socket: Socket) -> None:
    before = socket._context
    ask(socket, ClientHello(servername=name), sniCallback=lambda *_: pytest.fail("asked"))
    assert socket._context is before
    assert socket.answers == [Answer()]


@pytest.mark.parametrize(
    "sni",
    [
        lambda name, cb: cb(),
        lambda name, cb: cb(None, None),
        lambda name, cb: succeed(None),
    ],
)
def test_no_context_means_the_servers_own(sni: Callable[..., Any], socket: Socket) -> None:
    before = socket._context
    ask(socket, sniCallback=sni)
    assert socket._context is before
    assert socket.answers == [Answer()]


OOPS = RuntimeError("no such name")


def raising(*_: Any) -> Any:
    raise OOPS


async def failing(*_: Any) -> Any:
    raise OOPS


@pytest.mark.parametrize(
    "hook", [lambda *given: given[-1](OOPS), lambda *_: fail(OOPS), raising, failing]
)
@pytest.mark.parametrize("question", ["sniCallback", "askStaple"])
def test_an_error_ends_the_connection(
    question: str, hook: Callable[..., Any], socket: Socket
) -> None:
    ask(socket, **{question: hook})
    assert socket.error is OOPS
    assert socket.answers == []


@pytest.mark.parametrize("context", ["text", 1, {}, object(), False])
def test_what_is_no_context_ends_the_connection(context: Any, socket: Socket) -> None:
    ask(socket, sniCallback=lambda name, cb: cb(None, context))
    assert isinstance(socket.error, TypeError)
    assert socket.error.message == "Invalid SNI context"
    assert (socket.error.blame, socket.error.phase) == (Blame.CONFIGURATION, Phase.HANDSHAKING)


def test_an_answer_may_come_late_but_not_too_late(socket: Socket, pki: Pki) -> None:
    waiting: Deferred[Any] = Deferred()
    ask(socket, sniCallback=lambda name, cb: waiting)
    assert socket.answers == []
    socket.destroy()
    waiting.callback(chosen(pki))
    assert socket.answers == []
    assert socket.error is None


def test_an_error_that_comes_too_late_is_nobodys(socket: Socket) -> None:
    waiting: Deferred[Any] = Deferred()
    ask(socket, sniCallback=lambda name, cb: waiting)
    socket.destroy()
    waiting.errback(OOPS)
    assert socket.error is None


def test_a_second_answer_is_an_error(socket: Socket) -> None:
    kept: list[Any] = []
    ask(socket, sniCallback=lambda name, cb: kept.append(cb))
    kept[0](None, None)
    assert len(socket.answers) == 1
    kept[0](None, None)
    assert socket.error.code == "ERR_MULTIPLE_CALLBACK"
    kept[0](None, None)
    kept[0](OOPS)
    assert len(socket.answers) == 1
    assert socket.error.code == "ERR_MULTIPLE_CALLBACK"


# -- what a chosen context brings


@pytest.mark.parametrize("server", [(False, True), (True, True), (True, False)])
@pytest.mark.parametrize("requestCert", [None, True, False])
@pytest.mark.parametrize("rejectUnauthorized", [None, True, False])
def test_client_certificates_are_as_the_chosen_context_wants_them(
    server: tuple[bool, bool],
    requestCert: bool | None,
    rejectUnauthorized: bool | None,
    socket: Socket,
    pki: Pki,
) -> None:
    options = {"requestCert": requestCert, "rejectUnauthorized": rejectUnauthorized}
    context = chosen(pki, **{n: v for n, v in options.items() if v is not None})
    ask(
        socket,
        sniCallback=lambda name, cb: cb(None, context),
        requestCert=server[0],
        rejectUnauthorized=server[1],
    )
    wanted = (
        server[0] if requestCert is None else requestCert,
        server[1] if rejectUnauthorized is None else rejectUnauthorized,
    )
    assert socket._verification == wanted
    assert socket.answers[0].verifyMode == verifyMode(*wanted)


def test_its_protocols_replace_the_servers(socket: Socket, pki: Pki) -> None:
    context = chosen(pki, ALPNProtocols=["x", "y"])
    ask(
        socket,
        sniCallback=lambda name, cb: cb(None, context),
        alpnCallback=lambda _: pytest.fail("the server's own is not asked"),
    )
    assert socket.answers[0].alpn == b"\x01x\x01y"
    assert socket.answers[0].protocol is None


def test_its_alpncallback_replaces_the_servers(socket: Socket, pki: Pki) -> None:
    context = chosen(pki, ALPNCallback=lambda offer: "h2")
    ask(
        socket,
        sniCallback=lambda name, cb: cb(None, context),
        alpnCallback=lambda _: pytest.fail("the server's own is not asked"),
    )
    assert socket.answers[0].protocol == b"h2"


def test_where_it_says_nothing_the_servers_protocols_stay(socket: Socket, pki: Pki) -> None:
    ask(
        socket,
        sniCallback=lambda name, cb: cb(None, chosen(pki)),
        alpnCallback=lambda offer: "h2",
    )
    assert socket.answers[0].alpn is None
    assert socket.answers[0].protocol == b"h2"


def test_sessions_are_bound_where_the_context_does_not_say_to_what(pki: Pki) -> None:
    silent, explicit = chosen(pki), chosen(pki, sessionIdContext="mine")
    assert sessionsBoundTo(explicit, True, True) == b""
    bound = {sessionsBoundTo(silent, a, b) for a in (True, False) for b in (True, False)}
    assert len(bound) == 4
    assert all(0 < len(each) <= 32 for each in bound)
    assert sessionsBoundTo(chosen(pki, ca=pki.ca), True, True) not in bound


# -- which protocol


def test_alpncallback_gets_names_and_offer(socket: Socket) -> None:
    offers: list[Any] = []

    def callback(offer: Any) -> str:
        offers.append(offer)
        return "\xe4"

    ask(socket, alpnCallback=callback)
    assert offers == [{"servername": "a.test", "protocols": ["h2", "\xe4"]}]
    assert socket.answers[0].protocol == b"\xe4"


def test_without_a_name_it_gets_an_empty_one(socket: Socket) -> None:
    names: list[str] = []
    ask(
        socket,
        ClientHello(alpn=(b"h2",)),
        alpnCallback=lambda offer: names.append(offer["servername"]),
    )
    assert names == [""]


def test_without_an_offer_it_is_not_asked(socket: Socket) -> None:
    ask(socket, ClientHello(), alpnCallback=lambda offer: pytest.fail("asked"))
    assert socket.answers[0].protocol is None


def test_none_refuses_all(socket: Socket) -> None:
    ask(socket, alpnCallback=lambda offer: None)
    assert socket.answers[0].protocol == b""


def test_it_may_answer_later(socket: Socket) -> None:
    waiting: Deferred[str] = Deferred()
    ask(socket, alpnCallback=lambda offer: waiting)
    assert socket.answers == []
    waiting.callback("h2")
    assert socket.answers[0].protocol == b"h2"


def test_it_may_be_a_coroutine(socket: Socket) -> None:
    async def callback(offer: Any) -> str:
        return str(offer["protocols"][0])

    ask(socket, alpnCallback=callback)
    assert socket.answers[0].protocol == b"h2"


@pytest.mark.parametrize("choice", ["h3", b"h2", 1, "", ["h2"], True])
def test_what_was_not_offered_ends_the_connection(choice: Any, socket: Socket) -> None:
    ask(socket, alpnCallback=lambda offer: choice)
    assert socket.error.code == "ERR_TLS_ALPN_CALLBACK_INVALID_RESULT"
    assert socket.error.blame is Blame.CONFIGURATION
    assert socket.answers == []


@pytest.mark.parametrize("callback", [raising, failing, lambda _: fail(OOPS)])
def test_its_error_ends_the_connection(callback: Callable[..., Any], socket: Socket) -> None:
    ask(socket, alpnCallback=callback)
    assert socket.error is OOPS


# -- which staple


def test_the_staple_is_asked_for_certificate_and_issuer(socket: Socket, pki: Pki) -> None:
    asked: list[Any] = []

    def staple(certificate: bytes, issuer: bytes | None, callback: Any) -> None:
        asked.append((certificate, issuer))
        callback(None, bytearray(b"staple"))

    ask(socket, askStaple=staple)
    assert asked == [(derOf(pki.server.cert), derOf(pki.ca))]
    assert socket.answers == [Answer(staple=b"staple")]


def test_a_self_signed_certificate_has_no_issuer(pki: Pki) -> None:
    root = trustme.CA()
    context = createSecureContext(
        cert=root.cert_pem.bytes(), key=root.private_key_pem.bytes(), ca=root.cert_pem.bytes()
    )
    issuers: list[Any] = []
    ask(Socket(context), askStaple=lambda cert, issuer, cb: issuers.append(issuer))
    assert issuers == [None]


def test_it_is_asked_for_the_certificate_of_the_chosen_context(socket: Socket, pki: Pki) -> None:
    other = pki.issue("other.test")
    context = createSecureContext(key=other.key, cert=other.cert, ca=pki.ca)
    asked: list[bytes] = []
    ask(
        socket,
        sniCallback=lambda name, cb: cb(None, context),
        askStaple=lambda certificate, issuer, cb: asked.append(certificate),
    )
    assert asked == [derOf(other.cert)]


def test_without_a_request_or_a_certificate_none_is_asked_for(pki: Pki, socket: Socket) -> None:
    def staple(*_: Any) -> None:
        pytest.fail("asked")

    ask(socket, ClientHello(servername="a.test"), askStaple=staple)
    without = Socket(createSecureContext())
    ask(without, askStaple=staple)
    assert socket.answers == without.answers == [Answer()]


def test_no_staple_is_none(socket: Socket) -> None:
    ask(socket, askStaple=lambda certificate, issuer, cb: cb(None, None))
    assert socket.answers == [Answer()]


@pytest.mark.parametrize("staple", ["text", 5, True])
def test_what_is_no_staple_ends_the_connection(staple: Any, socket: Socket) -> None:
    ask(socket, askStaple=lambda certificate, issuer, cb: cb(None, staple))
    assert socket.error.code == "ERR_INVALID_ARG_TYPE"
    assert socket.answers == []


def test_all_questions_one_after_the_other(socket: Socket, pki: Pki) -> None:
    order: list[str] = []
    context = chosen(pki, ca=pki.ca)

    def sni(name: str, callback: Any) -> Any:
        order.append("name")
        return succeed(context)

    def alpn(offer: Any) -> str:
        order.append("protocol")
        return "h2"

    async def staple(certificate: bytes, issuer: bytes | None, callback: Any) -> bytes:
        order.append("staple")
        return b"staple"

    ask(socket, sniCallback=sni, alpnCallback=alpn, askStaple=staple)
    assert order == ["name", "protocol", "staple"]
    (answer,) = socket.answers
    assert answer.native is context.native
    assert answer.verifyMode == SSL.VERIFY_NONE
    assert (answer.protocol, answer.staple) == (b"h2", b"staple")
