"""Questions to responders that are well, and to those that mean harm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
import trustme
from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from tests.loopback import until
from tests.ocsp.web import Connection, Web, ok
from tests.support import unusedPort
from txnodetls.ocsp import http
from txnodetls.ocsp.checking import MAX_SIZE
from txnodetls.ocsp.http import Client, Unanswered, isPublic, refusalOf

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
REQUEST = b"0\x03\x02\x01\x07"


def client(timeout: float = 20, refusePrivate: bool = False) -> Client:
    return Client(reactor, timeout, refusePrivate)


async def refused(url: str, **options: Any) -> str:
    """Why there is no answer."""
    with pytest.raises(Unanswered) as raised:
        await client(**options).ask(url, REQUEST)
    return str(raised.value)


async def refusedBy(behave: Callable[[Connection], object], **options: Any) -> str:
    async with Web(behave) as web:
        why = await refused(web.url, **options)
        await web.quiet()
        return why


@pytest_twisted.ensureDeferred
async def test_the_request_is_posted_and_the_answer_comes_back() -> None:
    async with Web(lambda asked: asked.send(ok(b"the answer"))) as web:
        assert await client().ask(web.url, REQUEST) == b"the answer"
        (asked,) = web.requests
        lines = asked.head.split(b"\r\n")
        assert lines[0] == b"POST /ocsp HTTP/1.1"
        assert b"Content-Type: application/ocsp-request" in lines
        assert asked.body == REQUEST
        # Nothing is kept open.
        await web.quiet()


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.0 200 OK\r\n\r\nan", b" answer"],
        [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nan\r\n",
            b"7\r\n answer\r\n0\r\n\r\n",
        ],
        [b"HTTP/1.1 100 Continue\r\n\r\n", ok(b"an answer")],
    ],
    ids=["without a length", "chunked", "continue"],
)
@pytest_twisted.ensureDeferred
async def test_an_answer_may_come_in_every_form(pieces: list[bytes]) -> None:
    def behave(asked: Connection) -> None:
        for piece in pieces:
            asked.send(piece)
        asked.lose()

    async with Web(behave) as web:
        assert await client().ask(web.url, REQUEST) == b"an answer"


@pytest.mark.parametrize("code", [301, 302, 307, 308])
@pytest_twisted.ensureDeferred
async def test_redirects_are_followed_with_the_same_question(code: int) -> None:
    def behave(asked: Connection) -> None:
        if asked.head.startswith(b"POST /ocsp "):
            asked.send(b"HTTP/1.1 %d Away\r\nLocation: there\r\nContent-Length: 0\r\n\r\n" % code)
        else:
            asked.send(ok(asked.head.split()[1]))

    async with Web(behave) as web:
        assert await client().ask(web.url, REQUEST) == b"/there"
        assert [asked.body for asked in web.requests] == [REQUEST] * 2
        await web.quiet()


@pytest_twisted.ensureDeferred
async def test_redirects_come_to_an_end() -> None:
    def behave(asked: Connection) -> None:
        asked.send(b"HTTP/1.1 307 Away\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")

    async with Web(behave) as web:
        assert "again and again" in await refused(web.url)
        assert len(web.requests) == http.MAX_REDIRECTS + 1
        await web.quiet()


@pytest.mark.parametrize(
    "place",
    [
        b"file:///etc/passwd",
        b"ftp://127.0.0.1/",
        b"gopher://x/",
        b"http://a:b@127.0.0.1/",
        b"//",
        b"http://[",
        b"\xff://",
    ],
)
@pytest_twisted.ensureDeferred
async def test_redirects_lead_only_to_where_one_could_have_asked(place: bytes) -> None:
    def behave(asked: Connection) -> None:
        asked.send(b"HTTP/1.1 302 Away\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % place)

    assert await refusedBy(behave)


@pytest.mark.parametrize("code", [204, 303, 304, 400, 404, 500, 503])
@pytest_twisted.ensureDeferred
async def test_what_is_no_success_is_no_answer(code: int) -> None:
    def behave(asked: Connection) -> None:
        asked.send(b"HTTP/1.1 %d No\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n" % code)

    assert await refusedBy(behave) == f"the answer is HTTP {code}"


def endless(start: bytes, more: bytes) -> Callable[[Connection], None]:
    """Sends and sends, as fast as it is taken."""

    def behave(asked: Connection) -> None:
        asked.send(start)

        def send() -> None:
            if asked in asked.web.open:
                asked.send(more * 64)
            else:
                sending.stop()

        sending = LoopingCall(send)
        sending.start(0.0005)

    return behave


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-Header: more and more\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Header: ", b"x" * 100),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1000),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n", b"x" * 1000),
        (CHUNKED, b"1\r\nx\r\n"),
        (b"HTTP/1.1 500 No\r\n\r\n", b"x" * 1000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"garbage"),
    ],
    ids=["headers", "header", "body", "length", "chunks", "error", "continues", "garbage"],
)
@pytest_twisted.ensureDeferred
async def test_an_endless_answer_ends(start: bytes, more: bytes) -> None:
    received = 0
    original = http._Bounded.dataReceived

    def counting(self: Any, data: bytes) -> None:
        nonlocal received
        received += len(data)
        original(self, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http._Bounded, "dataReceived", counting)
        assert await refusedBy(endless(start, more))
    # One read more than there is room for, at most.
    assert received <= MAX_SIZE + 16384 + 65536


@pytest_twisted.ensureDeferred
async def test_an_answer_that_is_a_little_too_large_is_none() -> None:
    async with Web(lambda asked: asked.send(ok(bytes(MAX_SIZE)))) as web:
        assert len(await client().ask(web.url, REQUEST)) == MAX_SIZE
    why = await refusedBy(lambda asked: asked.send(ok(bytes(MAX_SIZE + 1))))
    assert why == f"the answer is larger than {MAX_SIZE} bytes"


@pytest.mark.parametrize(
    "beginning",
    [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"],
    ids=["nothing", "header", "body"],
)
@pytest_twisted.ensureDeferred
async def test_one_that_does_not_go_on_is_given_up(beginning: bytes) -> None:
    why = await refusedBy(lambda asked: asked.send(beginning) if beginning else None, timeout=0.2)
    assert why == "no answer within 0.2 s"


@pytest_twisted.ensureDeferred
async def test_redirects_do_not_get_more_time() -> None:
    def behave(asked: Connection) -> None:
        def away() -> None:
            asked.send(b"HTTP/1.1 307 Away\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")

        reactor.callLater(0.15, away)  # type: ignore[attr-defined]

    assert await refusedBy(behave, timeout=0.2) == "no answer within 0.2 s"


@pytest.mark.parametrize(
    "beginning",
    [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"],
    ids=["nothing", "head", "body"],
)
@pytest_twisted.ensureDeferred
async def test_one_that_goes_away_has_not_answered(beginning: bytes) -> None:
    def behave(asked: Connection) -> None:
        if beginning:
            asked.send(beginning)
        asked.lose()

    assert await refusedBy(behave)


@pytest_twisted.ensureDeferred
async def test_where_nobody_listens_nobody_answers() -> None:
    assert "refused" in await refused(f"http://127.0.0.1:{unusedPort()}/")


@pytest_twisted.ensureDeferred
async def test_who_does_not_want_to_know_any_more_closes_the_connection() -> None:
    for beginning in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"):
        async with Web(lambda asked, text=beginning: asked.send(text) if text else None) as web:
            asking = client().ask(web.url, REQUEST)
            await until(lambda web=web: web.requests)
            asking.cancel()
            await web.quiet()
            with pytest.raises((CancelledError, Unanswered)):
                await asking


# -- TLS


@pytest_twisted.ensureDeferred
async def test_over_https_the_responder_has_to_be_the_one_it_says_it_is() -> None:
    """Nobody vouches for this one, but among the system's authorities."""
    authority = trustme.CA()
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    authority.issue_cert("localhost").configure_cert(context)

    web = Web(lambda asked: asked.send(ok(b"the answer")))
    factory = Factory.forProtocol(lambda: Connection(web))  # type: ignore[arg-type]
    port = reactor.listenSSL(0, factory, _Creator(context), interface="127.0.0.1")  # type: ignore[attr-defined]
    try:
        url = f"https://localhost:{port.getHost().port}/"
        assert "certificate verify failed" in await refused(url)
        assert web.requests == []
        trusting = client()
        trusting._policy = _Trusting(authority)
        assert await trusting.ask(url, REQUEST) == b"the answer"
    finally:
        await port.stopListening()
        await web.quiet()


@implementer(IOpenSSLServerConnectionCreator)
class _Creator:
    def __init__(self, context: SSL.Context) -> None:
        self._context = context

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        return SSL.Connection(self._context, None)


class _Trusting:
    def __init__(self, authority: trustme.CA) -> None:
        self._authority = authority

    def creatorForNetloc(self, host: bytes, port: int) -> Any:
        from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates

        root = Certificate.loadPEM(self._authority.cert_pem.bytes())
        return optionsForClientTLS(host.decode(), trustRoot=trustRootFromCertificates([root]))


# -- addresses


@pytest.mark.parametrize(
    "url",
    [
        "http://ocsp.example.test",
        "http://ocsp.example.test:8080/path?query",
        "https://ocsp.example.test/",
        "HTTP://OCSP.EXAMPLE.TEST/",
        "http://192.0.2.1/",
        "http://[2001:db8::1]:8080/",
    ],
)
def test_these_can_be_asked(url: str) -> None:
    assert refusalOf(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ocsp.example.test",
        "ldap://ocsp.example.test/",
        "file:///etc/passwd",
        "http://",
        "http:///path",
        "http://user:word@ocsp.example.test/",
        "http://user@ocsp.example.test/",
        "http://ocsp.example.test:0/",
        "http://ocsp.example.test:99999/",
        "http://ocsp.example.test:x/",
        "http://[::1/",
        "http://ocsp.example.test/a b",
        "http://ocsp.example.test/\r\nX: y",
        "http://öcsp.example.test/",
        "http://ocsp.example.test/\x00",
    ],
)
@pytest_twisted.ensureDeferred
async def test_these_cannot(url: str) -> None:
    assert refusalOf(url) is not None
    assert "is not asked" in await refused(url)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::7f00:1",
    ],
)
def test_these_addresses_are_private(address: str) -> None:
    assert not isPublic(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_these_are_public(address: str) -> None:
    assert isPublic(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest_twisted.ensureDeferred
async def test_private_addresses_can_be_refused_whatever_their_name(host: str) -> None:
    async with Web(lambda asked: asked.send(ok(b"the answer"))) as web:
        url = web.url.replace("127.0.0.1", host)
        assert await client().ask(url, REQUEST) == b"the answer"
        assert web.connections == 1
        assert await refused(url, refusePrivate=True)
        # Not even the connection was made.
        assert web.connections == 1


@pytest_twisted.ensureDeferred
async def test_what_leads_to_private_and_public_addresses_is_asked_at_the_public_ones() -> None:
    """A reactor of the test's own resolves the name, and 'public' is what the test says."""

    class Resolver:
        def resolveHostName(self, receiver: Any, name: str, port: int, *more: Any) -> Any:
            from twisted.internet.address import IPv4Address

            receiver.resolutionBegan(self)
            for host in ("127.0.0.2", "127.0.0.1", "127.0.0.3"):
                receiver.addressResolved(IPv4Address("TCP", host, port))
            receiver.resolutionComplete()
            return self

    class Reactor:
        nameResolver = Resolver()

        def __getattr__(self, name: str) -> Any:
            return getattr(reactor, name)

    tried: list[str] = []

    def public(address: str) -> bool:
        tried.append(address)
        return address == "127.0.0.1"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http, "isPublic", public)
        async with Web(lambda asked: asked.send(ok(b"the answer"))) as web:
            url = web.url.replace("127.0.0.1", "name.example.test")
            assert await Client(Reactor(), 20, True).ask(url, REQUEST) == b"the answer"
    assert tried == ["127.0.0.2", "127.0.0.1", "127.0.0.3"]
