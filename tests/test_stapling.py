"""A responder is asked with patience, and its mistakes cost the staple and no more."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from tests.loopback import Loopback, until
from tests.stapling import Authority, derOf
from tests.support import Pki, happened
from txnodetls import createServer
from txnodetls.errors import NodeTypeError
from txnodetls.interfaces import IOCSPResponder
from txnodetls.stapling import PATIENCE, Stapler


@implementer(IOCSPResponder)
class Answering:
    """Answers with what a function gives."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[bytes, bytes | None]] = []

    def respond(self, certificate: bytes, issuer: bytes | None) -> Any:
        self.asked.append((certificate, issuer))
        return self.answer()


class Asked:
    """A question to a responder, on a clock."""

    def __init__(self, answer: Any) -> None:
        self.clock = Clock()
        self.told: list[Any] = []
        Stapler(Answering(answer), self.clock).ask(b"leaf", None, self._told)

    def _told(self, error: None, staple: Any) -> None:
        assert error is None
        self.told.append(staple)


async def later(value: Any) -> Any:
    return value


async def failing() -> None:
    raise ValueError("broken")


@pytest.mark.parametrize(
    "answer",
    [
        lambda: b"der",
        lambda: bytearray(b"der"),
        lambda: succeed(b"der"),
        lambda: later(b"der"),
    ],
    ids=["bytes", "bytearray", "deferred", "coroutine"],
)
def test_an_answer_may_come_in_any_form(answer: Any) -> None:
    asked = Asked(answer)
    assert asked.told == [b"der"]
    assert asked.clock.getDelayedCalls() == []


def test_none_is_an_answer() -> None:
    assert Asked(lambda: None).told == [None]


def test_an_answer_may_take_its_time_but_not_for_ever() -> None:
    coming: Deferred[bytes] = Deferred()
    asked = Asked(lambda: coming)
    asked.clock.advance(PATIENCE * 0.9)
    coming.callback(b"der")
    assert asked.told == [b"der"]
    assert asked.clock.getDelayedCalls() == []
    never: Deferred[bytes] = Deferred()
    asked = Asked(lambda: never)
    asked.clock.advance(PATIENCE)
    assert asked.told == [None]
    # Too late: nobody hears it.
    never.callback(b"der")
    assert asked.told == [None]


def raising() -> None:
    raise ValueError("broken")


@pytest.mark.parametrize("answer", [raising, failing], ids=["raised", "coroutine"])
def test_an_error_is_logged_and_there_is_no_staple(answer: Any, loggedErrors: Any) -> None:
    asked = Asked(answer)
    assert asked.told == [None]
    assert len(loggedErrors.flush(ValueError)) == 1


def test_a_late_error_is_logged_and_does_nothing(loggedErrors: Any) -> None:
    coming: Deferred[bytes] = Deferred()
    asked = Asked(lambda: coming)
    asked.clock.advance(PATIENCE)
    coming.errback(ValueError("broken"))
    assert asked.told == [None]
    assert len(loggedErrors.flush(ValueError)) == 1


def test_what_is_no_staple_is_none() -> None:
    assert Asked(lambda: "text").told == [None]


# -- servers


@pytest_twisted.ensureDeferred
async def test_the_responder_gets_the_certificate_and_its_issuer(pki: Pki) -> None:
    responder = Answering(lambda: None)
    async with Loopback(pki) as loopback:
        server = await loopback.serve(ocspResponder=responder, ca=pki.ca)
        client = loopback.dial(server, requestOCSP=True)
        assert await happened(client, "OCSPResponse") == (None,)
        await happened(client, "secureConnect")
        assert responder.asked == [(derOf(pki.server.cert), derOf(pki.ca))]


@pytest_twisted.ensureDeferred
async def test_a_listener_is_asked_in_its_place(pki: Pki) -> None:
    responder = Answering(lambda: b"never")
    staple = Authority(pki).response(derOf(pki.server.cert))
    async with Loopback(pki) as loopback:
        server = await loopback.serve(ocspResponder=responder, ca=pki.ca)
        server.on("OCSPRequest", lambda certificate, issuer, callback: callback(None, staple))
        client = loopback.dial(server, requestOCSP=True)
        assert await happened(client, "OCSPResponse") == (staple,)
        await happened(client, "secureConnect")
        assert responder.asked == []


@pytest_twisted.ensureDeferred
async def test_an_answer_for_a_client_that_is_gone_does_nothing(pki: Pki) -> None:
    coming: Deferred[bytes] = Deferred()
    responder = Answering(lambda: coming)
    async with Loopback(pki) as loopback:
        server = await loopback.serve(ocspResponder=responder)
        client = loopback.dial(server, requestOCSP=True)
        await until(lambda: responder.asked)
        client.destroy()
        await until(lambda: server.failures)
        coming.callback(b"der")
        assert [raised.code for raised in server.failures] == ["ECONNRESET"]
        await loopback.proveServing(server)


def test_what_is_no_responder_is_refused() -> None:
    with pytest.raises(NodeTypeError) as raised:
        createServer(ocspResponder=object())
    assert raised.value.code == "ERR_INVALID_ARG_TYPE"
