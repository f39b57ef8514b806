"""Staples from the authority: when it is asked, who waits, and what is served meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.x509 import ocsp
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from zope.interface.verify import verifyObject

from tests.interop.peers import opensslPeer
from tests.loopback import Loopback, until
from tests.ocsp.web import Web
from tests.stapling import NOW, Authority, derOf
from tests.support import Pki, happened, makePki, runPython, unusedPort
from txnodetls.interfaces import IOCSPResponder
from txnodetls.ocsp import fetching
from txnodetls.ocsp.fetching import FetchingOCSPResponder
from txnodetls.ocsp.http import Unanswered

URL = "http://ocsp.example.test/"
DAY = 86400.0


@pytest.fixture(scope="module")
def authority(pki: Pki) -> Authority:
    return Authority(pki)


@pytest.fixture(scope="module")
def leaf(authority: Authority) -> bytes:
    return derOf(authority.issue(URL)[0])


@pytest.fixture
def said() -> Iterator[list[str]]:
    texts: list[str] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_namespace") == "txnodetls.ocsp.fetching.FetchingOCSPResponder":
            texts.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield texts
    globalLogPublisher.removeObserver(observe)


class Questions:
    """Stands where the HTTP client does: the test answers."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        self.requests: list[ocsp.OCSPRequest] = []
        self.open: list[Deferred[bytes]] = []
        self.cancelled = 0

    def ask(self, url: str, request: bytes) -> Deferred[bytes]:
        def cancelled(_deferred: Deferred[bytes]) -> None:
            self.cancelled += 1

        self.urls.append(url)
        self.requests.append(ocsp.load_der_ocsp_request(request))
        self.open.append(Deferred(cancelled))
        return self.open[-1]

    def answer(self, what: bytes | BaseException) -> None:
        """To the oldest question that is open."""
        if isinstance(what, bytes):
            self.open.pop(0).callback(what)
        else:
            self.open.pop(0).errback(what)

    def nonce(self) -> bytes:
        extension = self.requests[-1].extensions.get_extension_for_class(x509.OCSPNonce)
        return extension.value.nonce


class Bench:
    """A responder on a clock, and its questions."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.now = lambda: NOW + self.clock.seconds()
        self.responder = FetchingOCSPResponder(self.clock, now=self.now, **options)
        self.questions = Questions()
        self.responder._client = self.questions  # type: ignore[assignment]

    def respond(self, leaf: bytes, issuer: bytes | None) -> Any:
        return self.responder.respond(leaf, issuer)

    def told(self, leaf: bytes, issuer: bytes | None) -> list[Any]:
        """What a question is answered with, now or later."""
        told: list[Any] = []
        self.respond(leaf, issuer).addBoth(told.append)
        return told

    def until(self, condition: Callable[[], object], limit: float) -> float:
        """Let the time go on until something is true; how long it took, in seconds."""
        begun = self.clock.seconds()
        while not condition():
            assert self.clock.seconds() - begun < limit
            self.clock.advance(1)
        return self.clock.seconds() - begun


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_it_provides_the_interface(bench: Bench) -> None:
    assert verifyObject(IOCSPResponder, bench.responder)


def test_the_authority_is_asked_about_this_certificate(
    bench: Bench, authority: Authority, leaf: bytes
) -> None:
    told = bench.told(leaf, authority.der)
    assert bench.questions.urls == [URL]
    request = bench.questions.requests[0]
    assert request.serial_number == x509.load_der_x509_certificate(leaf).serial_number
    assert len(bench.questions.nonce()) == 32
    data = authority.response(leaf, nonce=bench.questions.nonce())
    bench.questions.answer(data)
    assert told == [data]
    # From now on it is there.
    assert bench.respond(leaf, authority.der) == data
    assert len(bench.questions.urls) == 1


def test_a_nonce_is_another_each_time_or_none_at_all(authority: Authority, leaf: bytes) -> None:
    nonces = set()
    for _ in range(3):
        bench = Bench()
        bench.told(leaf, authority.der)
        nonces.add(bench.questions.nonce())
    assert len(nonces) == 3
    without = Bench(nonce=False)
    without.told(leaf, authority.der)
    assert not list(without.questions.requests[0].extensions)


def test_all_who_wait_share_one_question(bench: Bench, authority: Authority, leaf: bytes) -> None:
    told = [bench.told(leaf, authority.der) for _ in range(50)]
    data = authority.response(leaf)
    bench.questions.answer(data)
    assert told == [[data]] * 50
    assert len(bench.questions.urls) == 1


def test_nobody_waits_longer_than_the_limit_and_the_answer_is_not_lost(
    authority: Authority, leaf: bytes
) -> None:
    bench = Bench(patience=0.5)
    told = bench.told(leaf, authority.der)
    bench.clock.advance(0.49)
    late = bench.told(leaf, authority.der)
    assert told == []
    bench.clock.advance(0.02)
    assert (told, late) == ([None], [])
    data = authority.response(leaf)
    bench.questions.answer(data)
    assert (told, late) == ([None], [data])
    assert bench.respond(leaf, authority.der) == data
    # Of those who wait no timer stays: there is only that of the renewal.
    assert len(bench.clock.getDelayedCalls()) == 1


def test_one_who_gives_up_waiting_does_not_disturb_the_others(
    bench: Bench, authority: Authority, leaf: bytes
) -> None:
    gone = bench.respond(leaf, authority.der)
    told = bench.told(leaf, authority.der)
    gone.cancel()
    gone.addErrback(lambda failure: failure.trap(CancelledError))
    data = authority.response(leaf)
    bench.questions.answer(data)
    assert told == [data]
    assert bench.questions.cancelled == 0


def test_where_nobody_is_named_nobody_is_asked(
    bench: Bench, authority: Authority, pki: Pki, said: list[str]
) -> None:
    assert bench.respond(derOf(pki.server.cert), authority.der) is None
    assert bench.respond(derOf(authority.issue(URL)[0]), None) is None
    assert bench.respond(b"no certificate", authority.der) is None
    assert (bench.questions.urls, said, bench.clock.getDelayedCalls()) == ([], [], [])


def test_each_certificate_has_its_own_staple(bench: Bench, authority: Authority) -> None:
    leaves = [derOf(authority.issue(URL)[0]) for _ in range(3)]
    told = [bench.told(leaf, authority.der) for leaf in leaves]
    staples = [authority.response(leaf) for leaf in leaves]
    for staple in staples:
        bench.questions.answer(staple)
    assert told == [[staple] for staple in staples]


def test_it_is_renewed_well_before_it_lapses(
    bench: Bench, authority: Authority, leaf: bytes
) -> None:
    bench.told(leaf, authority.der)
    first = authority.response(leaf, until=1000)
    bench.questions.answer(first)
    passed = bench.until(lambda: bench.questions.open, 1000)
    assert 400 <= passed <= 501
    # Meanwhile the one before is served, and nobody waits.
    assert bench.respond(leaf, authority.der) == first
    second = authority.response(leaf, now=bench.now())
    bench.questions.answer(second)
    assert bench.respond(leaf, authority.der) == second
    # A long one is looked at twice a day.
    assert bench.until(lambda: bench.questions.open, DAY) <= fetching.LATEST + 1


def test_one_that_says_nothing_of_its_end_holds_for_a_day(
    bench: Bench, authority: Authority, leaf: bytes
) -> None:
    told = bench.told(leaf, authority.der)
    data = authority.response(leaf, until=None, since=-100)
    bench.questions.answer(data)
    assert told == [data]
    bench.clock.advance(DAY - 101)
    assert bench.respond(leaf, authority.der) == data
    bench.clock.advance(1)
    assert isinstance(bench.respond(leaf, authority.der), Deferred)
    other = Bench()
    told = other.told(leaf, authority.der)
    other.questions.answer(authority.response(leaf, until=None, since=-DAY))
    assert told == [None]


def test_a_responder_that_is_down_is_asked_in_growing_distances(
    bench: Bench, authority: Authority, leaf: bytes, said: list[str]
) -> None:
    told = bench.told(leaf, authority.der)
    bench.questions.answer(Unanswered("Connection refused"))
    assert told == [None]
    # Handshakes do not wait for one that has just failed, nor do they make it be asked.
    assert bench.respond(leaf, authority.der) is None
    distances = []
    for _ in range(12):
        distances.append(bench.until(lambda: bench.questions.open, 4000))
        bench.questions.answer(Unanswered("Connection refused"))
    assert 8 <= distances[0] <= 11
    assert distances[:6] == sorted(distances[:6])
    assert all(2880 <= distance <= 3601 for distance in distances[-3:])
    assert len(said) == 1
    assert "Connection refused" in said[0]
    bench.until(lambda: bench.questions.open, 4000)
    told = bench.told(leaf, authority.der)
    data = authority.response(leaf, now=bench.now())
    bench.questions.answer(data)
    assert told == [data]
    assert "answers again" in said[-1]


def test_while_it_is_down_the_last_good_one_is_served_as_long_as_it_holds(
    bench: Bench, authority: Authority, leaf: bytes
) -> None:
    bench.told(leaf, authority.der)
    data = authority.response(leaf, until=3600)
    bench.questions.answer(data)
    while bench.clock.seconds() < 3599:
        assert bench.respond(leaf, authority.der) == data
        while bench.questions.open:
            bench.questions.answer(Unanswered("down"))
        bench.clock.advance(1)
    assert len(bench.questions.urls) > 3
    bench.clock.advance(1)
    while bench.questions.open:
        bench.questions.answer(Unanswered("down"))
    assert bench.respond(leaf, authority.der) is None


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"status": ocsp.OCSPCertStatus.UNKNOWN}, "unknown"),
        ({"until": -1}, "lapsed"),
        ({"since": 400}, "future"),
        ({"nonce": b"another" * 3}, "another question"),
        ({"signer": "stranger"}, "not signed"),
        ({"issuer": "stranger"}, "another certificate"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_not_good_is_not_served(
    bench: Bench,
    authority: Authority,
    leaf: bytes,
    said: list[str],
    options: dict[str, Any],
    why: str,
) -> None:
    stranger = Authority(makePki())
    if options.get("signer"):
        options = {"signer": (stranger.certificate, stranger.key)}
    if options.get("issuer"):
        options = {"issuer": stranger.certificate}
    told = bench.told(leaf, authority.der)
    bench.questions.answer(authority.response(leaf, **options))
    assert told == [None]
    assert bench.respond(leaf, authority.der) is None
    assert why in said[0]


@pytest.mark.parametrize("data", [b"", b"garbage", bytes(60000), b"\x30\x82\xff\xff\x0a\x01"])
def test_garbage_is_not_served(
    bench: Bench, authority: Authority, leaf: bytes, data: bytes, said: list[str]
) -> None:
    told = bench.told(leaf, authority.der)
    bench.questions.answer(data)
    assert told == [None]
    assert "cannot be read" in said[0]


def test_a_certificate_that_is_revoked_has_no_staple_any_more(
    bench: Bench, authority: Authority, leaf: bytes, said: list[str]
) -> None:
    bench.told(leaf, authority.der)
    bench.questions.answer(authority.response(leaf))
    bench.until(lambda: bench.questions.open, DAY)
    revoked = ocsp.OCSPCertStatus.REVOKED
    bench.questions.answer(authority.response(leaf, now=bench.now(), status=revoked))
    assert bench.respond(leaf, authority.der) is None
    assert "revoked" in said[-1]
    # It may be taken back.
    bench.until(lambda: bench.questions.open, DAY)
    data = authority.response(leaf, now=bench.now())
    bench.questions.answer(data)
    assert bench.respond(leaf, authority.der) == data


def test_nobody_can_revoke_it_but_the_authority(
    bench: Bench, authority: Authority, leaf: bytes
) -> None:
    bench.told(leaf, authority.der)
    data = authority.response(leaf)
    bench.questions.answer(data)
    bench.until(lambda: bench.questions.open, DAY)
    stranger = Authority(makePki())
    forged = authority.response(
        leaf,
        now=bench.now(),
        status=ocsp.OCSPCertStatus.REVOKED,
        signer=(stranger.certificate, stranger.key),
    )
    bench.questions.answer(forged)
    assert bench.respond(leaf, authority.der) == data


def test_an_answer_older_than_the_one_before_is_passed_over(
    bench: Bench, authority: Authority, leaf: bytes
) -> None:
    bench.told(leaf, authority.der)
    data = authority.response(leaf, since=-100, until=1000)
    bench.questions.answer(data)
    bench.until(lambda: bench.questions.open, DAY)
    bench.questions.answer(authority.response(leaf, since=-200, until=2000))
    assert bench.respond(leaf, authority.der) == data


def test_of_several_responders_the_next_is_asked_where_one_fails(
    bench: Bench, authority: Authority
) -> None:
    urls = [f"http://{name}.example.test/" for name in "abcde"]
    leaf = derOf(authority.issue(*urls)[0])
    told = bench.told(leaf, authority.der)
    bench.questions.answer(Unanswered("down"))
    bench.questions.answer(b"garbage")
    data = authority.response(leaf, nonce=bench.questions.nonce())
    bench.questions.answer(data)
    assert told == [data]
    assert bench.questions.urls == urls[:3]
    other = Bench()
    told = other.told(leaf, authority.der)
    for _ in range(3):
        other.questions.answer(Unanswered("down"))
    assert told == [None]
    assert len(other.questions.urls) == 3


def test_a_clock_that_jumps_makes_it_ask_anew(authority: Authority, leaf: bytes) -> None:
    """As after a machine has slept: the reactor's clock stood still."""
    moment = [NOW]
    clock = Clock()
    responder = FetchingOCSPResponder(clock, now=lambda: moment[0])
    responder._client = questions = Questions()  # type: ignore[assignment]
    responder.respond(leaf, authority.der)
    questions.answer(authority.response(leaf, until=1000))
    moment[0] += 2000
    waiting = responder.respond(leaf, authority.der)
    assert isinstance(waiting, Deferred)
    assert len(clock.getDelayedCalls()) == 1
    questions.answer(authority.response(leaf, now=moment[0]))
    assert len(clock.getDelayedCalls()) == 1


def test_what_nobody_asks_for_is_forgotten(bench: Bench, authority: Authority, leaf: bytes) -> None:
    bench.told(leaf, authority.der)
    bench.questions.answer(authority.response(leaf))
    while bench.responder._entries:
        bench.clock.advance(3600)
        while bench.questions.open:
            bench.questions.answer(authority.response(leaf, now=bench.now()))
        assert bench.clock.seconds() < 9 * DAY
    assert bench.clock.seconds() > 7 * DAY
    assert bench.clock.getDelayedCalls() == []


def test_the_number_of_certificates_is_bounded(
    bench: Bench, authority: Authority, leaf: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "MAX_CERTIFICATES", 3)
    leaves = [derOf(authority.issue(URL)[0]) for _ in range(5)]
    told = []
    for each in leaves:
        bench.clock.advance(0.01)
        told.append(bench.told(each, authority.der))
    assert len(bench.responder._entries) == 3
    assert told == [[None], [None], [], [], []]
    assert bench.questions.cancelled == 2
    assert bench.responder._entries.keys() == {(each, authority.der) for each in leaves[2:]}


def test_closed_it_asks_nobody_any_more(bench: Bench, authority: Authority, leaf: bytes) -> None:
    other = derOf(authority.issue(URL)[0])
    bench.told(other, authority.der)
    bench.questions.answer(authority.response(other))
    told = bench.told(leaf, authority.der)
    bench.responder.close()
    assert told == [None]
    assert bench.questions.cancelled == 1
    assert bench.clock.getDelayedCalls() == []
    assert bench.respond(other, authority.der) is None


def test_closed_between_two_responders_it_does_not_ask_the_second(
    bench: Bench, authority: Authority
) -> None:
    leaf = derOf(authority.issue(URL, "http://other.example.test/")[0])
    told = bench.told(leaf, authority.der)
    (asking,) = bench.questions.open
    # As a connection that is closed tells it.
    asking._canceller = lambda deferred: deferred.errback(Unanswered("closed"))
    bench.responder.close()
    assert told == [None]
    assert bench.questions.urls == [URL]
    assert bench.clock.getDelayedCalls() == []


def test_when_the_one_that_is_known_has_lapsed_an_older_one_that_holds_is_better(
    bench: Bench, authority: Authority, leaf: bytes
) -> None:
    bench.told(leaf, authority.der)
    bench.questions.answer(authority.response(leaf, since=-100, until=40))
    bench.clock.advance(29)
    bench.clock.advance(12)
    data = authority.response(leaf, since=-200, until=2000)
    while bench.questions.open:
        bench.questions.answer(data)
    assert bench.respond(leaf, authority.der) == data


def test_an_error_of_our_own_costs_the_staple_and_is_logged(
    bench: Bench, authority: Authority, leaf: bytes, loggedErrors: Any
) -> None:
    told = bench.told(leaf, authority.der)
    bench.questions.answer(ZeroDivisionError("a mistake"))
    assert told == [None]
    assert len(loggedErrors.flush(ZeroDivisionError)) == 1
    assert bench.until(lambda: bench.questions.open, 20) > 5


@pytest.mark.parametrize("option", ["timeout", "patience"])
def test_a_time_that_is_none_is_refused(option: str) -> None:
    for value in (0, -1, float("nan")):
        with pytest.raises(ValueError, match=option):
            FetchingOCSPResponder(Clock(), **{option: value})


def test_the_web_is_imported_only_by_who_asks() -> None:
    done = runPython("import sys, txnodetls; assert 'twisted.web.client' not in sys.modules")
    assert done.returncode == 0, done.stderr.decode()


# -- servers


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest_twisted.ensureDeferred
async def test_openssl_answers_and_our_server_staples_it(
    version: str, pki: Pki, authority: Authority, tmp_path: Path
) -> None:
    """`openssl ocsp` is the authority's responder, and then it is gone."""
    async with Loopback(pki) as loopback:
        (tmp_path / "ca.pem").write_bytes(pki.ca)
        (tmp_path / "ca.key").write_bytes(pki.authority.private_key_pem.bytes())
        # The port has to be known before the certificate is made, and the certificate before
        # the responder starts: it begins without one, and reads its list again by itself.
        port = unusedPort()
        cert, key = authority.issue(f"http://127.0.0.1:{port}/")
        serial = x509.load_pem_x509_certificate(cert).serial_number
        number = f"{serial:X}"
        number = "0" * (len(number) % 2) + number
        (tmp_path / "index.txt").write_text(f"V\t490101000000Z\t\t{number}\tunknown\t/CN=leaf\n")
        responder = FetchingOCSPResponder(patience=20)
        arguments = ["-port", str(port), "-index", "index.txt", "-CA", "ca.pem", "-nmin", "5"]
        arguments += ["-rsigner", "ca.pem", "-rkey", "ca.key"]
        async with opensslPeer("ocsp", *arguments, cwd=tmp_path) as authoritys:
            await authoritys.said(b"waiting for OCSP client connections")
            server = await loopback.serve(
                key=key, cert=cert, ca=pki.ca, ocspResponder=responder, maxVersion=version
            )
            # Before the first client comes, as a server would do it that is not to be late.
            staple = await responder.respond(derOf(cert), authority.der)
            client = loopback.dial(server, requestOCSP=True)
            assert await happened(client, "OCSPResponse") == (staple,)
            await happened(client, "secureConnect")
            found = ocsp.load_der_ocsp_response(staple)
            assert found.certificate_status is ocsp.OCSPCertStatus.GOOD
            assert found.serial_number == serial
            # openssl ocsp knows nonces.
            assert found.extensions.get_extension_for_class(x509.OCSPNonce)
        again = loopback.dial(server, requestOCSP=True)
        assert await happened(again, "OCSPResponse") == (staple,)
        await happened(again, "secureConnect")
    responder.close()


@pytest_twisted.ensureDeferred
async def test_a_responder_that_says_nothing_costs_the_staple_and_little_time(
    pki: Pki, authority: Authority
) -> None:
    async with Loopback(pki) as loopback, Web() as web:
        cert, key = authority.issue(web.url)
        responder = FetchingOCSPResponder(patience=0.2)
        server = await loopback.serve(key=key, cert=cert, ca=pki.ca, ocspResponder=responder)
        for _ in range(2):
            client = loopback.dial(server, requestOCSP=True)
            assert await happened(client, "OCSPResponse") == (None,)
            await happened(client, "secureConnect")
        assert len(web.requests) == 1
        responder.close()
        await web.quiet()


@pytest_twisted.ensureDeferred
async def test_a_client_that_goes_while_it_waits_leaves_nothing(
    pki: Pki, authority: Authority
) -> None:
    async with Loopback(pki) as loopback, Web() as web:
        cert, key = authority.issue(web.url)
        responder = FetchingOCSPResponder(patience=30)
        server = await loopback.serve(key=key, cert=cert, ca=pki.ca)

        def asked(leaf: bytes, issuer: bytes, callback: Any) -> None:
            found = responder.respond(leaf, issuer)
            if isinstance(found, Deferred):
                found.addCallback(lambda staple: callback(None, staple))
            else:
                callback(None, found)

        server.on("OCSPRequest", asked)
        client = loopback.dial(server, requestOCSP=True)
        client.on("error", lambda error: None)
        await until(lambda: web.requests)
        client.destroy()
        await until(lambda: server.failures)
        assert server.failures[0].code == "ECONNRESET"
        staple = authority.response(derOf(cert), now=time.time())
        web.answer(staple)
        await until(lambda: responder.respond(derOf(cert), authority.der) == staple)
        other = loopback.dial(server, requestOCSP=True)
        assert await happened(other, "OCSPResponse") == (staple,)
        await happened(other, "secureConnect")
        responder.close()
        await web.quiet()
