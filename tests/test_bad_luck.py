"""
What can go wrong while a server waits for an answer of its application.

Each question of the handshake, in TLS 1.2 and 1.3, and each kind of misfortune: the peer goes, the
answer comes late, twice, as an error or as what is no answer; and ClientHellos as nobody sends
them.  There is one 'tlsClientError' at most, nothing hangs, and nothing stays.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred

import txnodetls as tls
from tests.stapling import Authority, derOf
from tests.support import Pki
from tests.tlspairs import ServerTold, memoryPair, wireOf
from txnodetls.errors import Blame, Phase
from txnodetls.testing import MemoryPair

OOPS = RuntimeError("oops")
NO_TICKET = tls.constants.SSL_OP_NO_TICKET
VERSIONS = ["TLSv1.2", "TLSv1.3"]


class Question:
    """
    A question whose answer a test gives when it likes.

    @ivar name: the option or the event.
    @ivar event: whether it is an event.
    @ivar good: an answer that lets the handshake go on.
    @ivar wrong: an answer of the wrong type, and the code of the error that it makes.
    @ivar asked: how often it was asked.
    @ivar answer: gives the last answer: (error, value).
    """

    def __init__(self, name: str, good: Any, wrong: Any, code: str | None) -> None:
        self.name = name
        self.event = name in ("resumeSession", "OCSPRequest")
        self.good, self.wrong, self.code = good, wrong, code
        self.asked = 0
        self.answers: list[Callable[..., Any]] = []
        self.raises: BaseException | None = None
        self.returns: Any = None

    def __call__(self, *arguments: Any) -> Any:
        self.asked += 1
        if self.raises is not None:
            raise self.raises
        if self.returns is not None:
            return self.returns
        if callable(arguments[-1]):
            self.answers.append(arguments[-1])
            return None
        # ALPNCallback has no callback: it answers later with a Deferred.
        later: Deferred[Any] = Deferred()

        def answer(error: BaseException | None, value: Any = None) -> None:
            if error is None:
                later.callback(value)
            else:
                later.errback(error)

        self.answers.append(answer)
        return later

    def answer(self, error: BaseException | None, value: Any = None) -> None:
        self.answers[-1](error, value)

    def pair(self, pki: Pki, version: str, session: bytes | None = None) -> MemoryPair:
        """A client at a server that asks this question, and nothing delivered yet."""
        server: dict[str, Any] = {
            "maxVersion": version,
            "ca": pki.ca,
            "secureOptions": NO_TICKET,
            "sessionIdContext": "bad luck",
        }
        if not self.event:
            server[self.name] = self
        client = {"ALPNProtocols": ["h2"], "requestOCSP": True, "session": session}
        pair = memoryPair(pki, server, client, pump=False)
        if self.event:
            pair.listener.on(self.name, self)
        return pair


def questions() -> Iterator[Question]:
    yield Question("SNICallback", None, {"no": "context"}, None)
    yield Question("ALPNCallback", "h2", "http/9", "ERR_TLS_ALPN_CALLBACK_INVALID_RESULT")
    yield Question("OCSPRequest", None, 7, "ERR_INVALID_ARG_TYPE")
    # As in Node, what is no session is none.
    yield Question("resumeSession", None, 7, "")


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[each.name for each in questions()])
def question(request: pytest.FixtureRequest) -> Question:
    return next(each for each in questions() if each.name == request.param)


@pytest.fixture
def session(pki: Pki, question: Question, version: str) -> bytes | None:
    """A session with an id: a TLS 1.2 client without one is not asked about."""
    if question.name != "resumeSession" or version == "TLSv1.3":
        return None
    pair = Question("SNICallback", None, None, None).pair(pki, version)
    found: list[bytes] = []
    pair.client.on("session", found.append)
    pair.listener._sniCallback = None
    pair.pump()
    return found[0]


@pytest.fixture
def pair(pki: Pki, question: Question, version: str, session: bytes | None) -> MemoryPair:
    """The question has been asked, and waits."""
    pair = question.pair(pki, version, session)
    pair.told = ServerTold(pair)  # type: ignore[attr-defined]
    return pair


def begun(pair: MemoryPair, question: Question) -> ServerTold:
    """The question waits; what the server has told."""
    told: ServerTold = pair.told  # type: ignore[attr-defined]
    pair.pump()
    assert question.asked == 1
    assert (told.secured, told.failed) == ([], [])
    return told


def assertOver(pair: MemoryPair, told: ServerTold) -> None:
    """Both sides are gone, and no timer runs for either."""
    pair.pump()
    assert (pair.server.destroyed, pair.client.destroyed) == (True, True)
    assert told.secured == []
    assert len(told.failed) == 1
    assert told.failed[0][1] is pair.server
    assert pair.clock.getDelayedCalls() == []


# -- while it waits


def test_it_can_take_its_time(pair: MemoryPair, question: Question) -> None:
    told = begun(pair, question)
    pair.advance(100)
    question.answer(None, question.good)
    pair.pump()
    assert told.secured == [pair.server]
    assert told.failed == []
    assert pair.clock.getDelayedCalls() == []


@pytest.mark.parametrize("how", ["end", "cut", "reset"])
def test_the_peer_goes(how: str, pair: MemoryPair, question: Question) -> None:
    told = begun(pair, question)
    if how == "end":
        pair.client.destroy()
    elif how == "cut":
        pair.cut()
    else:
        pair._wires[1].owner.carrierClosed(None)
    pair.pump()
    assert told.codes == ["ECONNRESET"]
    for error, value in ((None, question.good), (OOPS, None), (None, question.wrong)):
        question.answers[-1:] = [_once(question.answers[-1])]
        question.answer(error, value)
    pair.client.destroy()
    assertOver(pair, told)
    assert question.asked == 1


def _once(answer: Callable[..., Any]) -> Callable[..., Any]:
    """A Deferred can be answered once; further answers are the test's mistake."""
    if getattr(answer, "__name__", "") != "answer":
        return answer
    done: list[Any] = []

    def first(error: Any, value: Any = None) -> None:
        if not done:
            done.append(answer(error, value))

    first.__name__ = "first"
    return first


def test_it_is_never_answered(pair: MemoryPair, question: Question) -> None:
    """The handshake's time ends, and it is not the peer that is to blame."""
    told = begun(pair, question)
    pair.advance(121)
    assert told.codes == ["ERR_TLS_HANDSHAKE_TIMEOUT"]
    assert told.failed[0][0].blame is Blame.LOCAL
    question.answer(None, question.good)
    assertOver(pair, told)


def test_nothing_of_it_stays_when_the_peer_has_gone(pair: MemoryPair, question: Question) -> None:
    """Though the application still holds the callback."""
    begun(pair, question)
    gone = weakref.ref(pair.server._engine)
    pair.client.destroy()
    pair.pump()
    gc.collect()
    assert gone() is None


def test_the_peer_may_send_more_meanwhile(pair: MemoryPair, question: Question) -> None:
    """What it sends behind its ClientHello is held, within bounds."""
    told = begun(pair, question)
    for _ in range(3):
        wireOf(pair).queue.append(b"\x16\x03\x01\x40\x00" + bytes(16384))
        pair.pump()
    assert told.failed == []
    for _ in range(8):
        wireOf(pair).queue.append(b"\x16\x03\x01\x40\x00" + bytes(16384))
        pair.pump()
    assert told.codes == ["ERR_SSL_EXCESSIVE_MESSAGE_SIZE"]
    question.answer(None, question.good)
    pair.client.destroy()
    assertOver(pair, told)


# -- answers


def test_it_is_answered_with_an_error(pair: MemoryPair, question: Question) -> None:
    told = begun(pair, question)
    question.answer(OOPS)
    pair.pump()
    assert told.failed == [(OOPS, pair.server)]
    assertOver(pair, told)


def test_it_raises(pair: MemoryPair, question: Question) -> None:
    question.raises = OOPS
    told: ServerTold = pair.told  # type: ignore[attr-defined]
    pair.pump()
    assert told.failed == [(OOPS, pair.server)]
    assertOver(pair, told)


@pytest.mark.parametrize("how", ["deferred", "coroutine"])
def test_it_fails_later(how: str, pair: MemoryPair, question: Question) -> None:
    later: Deferred[None] = Deferred()

    async def coroutine() -> None:
        await later

    question.returns = later if how == "deferred" else coroutine()
    told = begun(pair, question)
    later.errback(OOPS)
    pair.pump()
    assert told.failed == [(OOPS, pair.server)]
    assertOver(pair, told)


def test_it_is_answered_with_what_is_no_answer(pair: MemoryPair, question: Question) -> None:
    told = begun(pair, question)
    question.answer(None, question.wrong)
    pair.pump()
    if question.code == "":
        assert told.secured == [pair.server]
        return
    assert told.codes == [question.code]
    assert told.failed[0][0].blame is Blame.CONFIGURATION
    assert told.failed[0][0].phase is Phase.HANDSHAKING
    assertOver(pair, told)


def test_it_is_answered_twice(pair: MemoryPair, question: Question) -> None:
    if question.name == "ALPNCallback":
        # It has no callback, and what it returns is one answer.
        return
    told = begun(pair, question)
    question.answer(None, question.good)
    question.answer(None, question.good)
    pair.pump()
    assert told.codes == ["ERR_MULTIPLE_CALLBACK"]
    question.answer(None, question.good)
    # In TLS 1.3 the client was done already.
    pair.client.destroy()
    assertOver(pair, told)


def test_two_of_its_answers_fail_at_once(pair: MemoryPair, question: Question) -> None:
    if question.name == "ALPNCallback":
        return
    told = begun(pair, question)
    question.answer(OOPS)
    question.answer(ValueError("another"))
    pair.pump()
    assert told.failed == [(OOPS, pair.server)]
    assertOver(pair, told)


def test_it_is_answered_with_an_error_and_raises_too(pair: MemoryPair, question: Question) -> None:
    if question.name == "ALPNCallback":
        return
    told: ServerTold = pair.told  # type: ignore[attr-defined]

    def both(*arguments: Any) -> None:
        arguments[-1](OOPS)
        raise ValueError("another")

    if question.event:
        pair.listener.removeAllListeners(question.name)
        pair.listener.on(question.name, both)
    else:
        pair.listener._sniCallback = both
    pair.pump()
    assert told.failed == [(OOPS, pair.server)]
    assertOver(pair, told)


def test_it_fails_as_the_peer_goes(pair: MemoryPair, question: Question) -> None:
    told = begun(pair, question)
    pair.client.destroy()
    # Its end is on its way, but has not come.
    question.answer(OOPS)
    assertOver(pair, told)
    assert told.failed == [(OOPS, pair.server)]


# -- two at once


def test_two_questions_fail_at_once(pki: Pki, version: str) -> None:
    """Those of two connections: each fails by itself."""
    asked = Question("SNICallback", None, None, None)
    pairs = [asked.pair(pki, version) for _ in range(2)]
    tolds = [ServerTold(pair) for pair in pairs]
    for pair in pairs:
        pair.pump()
    errors = [RuntimeError("first"), RuntimeError("second")]
    for answer, error in zip(asked.answers, errors, strict=True):
        answer(error)
    for pair, told, error in zip(pairs, tolds, errors, strict=True):
        pair.pump()
        assert told.failed == [(error, pair.server)]
        assertOver(pair, told)


def test_each_connection_gets_its_own_answer(pki: Pki, version: str) -> None:
    """They are given in another order than they were asked for."""
    asked = Question("SNICallback", None, None, None)
    names = ["a.test", "b.test", "c.test"]
    pairs = []
    for name in names:
        pair = memoryPair(
            pki,
            {"SNICallback": asked, "maxVersion": version},
            {"servername": name, "rejectUnauthorized": False},
            pump=False,
        )
        pair.pump()
        pairs.append(pair)
    for index in (2, 0, 1):
        issued = pki.issue(names[index])
        asked.answers[index](None, tls.createSecureContext(key=issued.key, cert=issued.cert))
    for name, pair in zip(names, pairs, strict=True):
        pair.pump()
        assert pair.client.getPeerCertificate()["subjectaltname"] == f"DNS:{name}"


def test_each_connection_gets_its_own_protocol(pki: Pki, version: str) -> None:
    asked = Question("ALPNCallback", None, None, None)
    offers = [["x", "a", "b", "c"], ["x", "b", "c", "a"], ["x", "c", "a", "b"]]
    pairs = []
    for offer in offers:
        server = {"ALPNCallback": asked, "maxVersion": version}
        pair = memoryPair(pki, server, {"ALPNProtocols": offer}, pump=False)
        pair.pump()
        pairs.append(pair)
    for index in (2, 0, 1):
        asked.answers[index](None, offers[index][1])
    for offer, pair in zip(offers, pairs, strict=True):
        pair.pump()
        assert pair.client.alpnProtocol == pair.server.alpnProtocol == offer[1]


def test_each_connection_gets_its_own_staple(pki: Pki, version: str) -> None:
    asked = Question("OCSPRequest", None, None, None)
    leaf = derOf(pki.server.cert)
    staples = [Authority(pki).response(leaf, since=since) for since in (-1, -2, -3)]
    shown: dict[int, bytes | None] = {}
    pairs = []
    for index in range(3):
        pair = asked.pair(pki, version)
        pair.client.on("OCSPResponse", lambda staple, index=index: shown.update({index: staple}))
        pair.pump()
        pairs.append(pair)
    for index in (2, 0, 1):
        asked.answers[index](None, staples[index])
    for pair in pairs:
        pair.pump()
    assert [shown[index] for index in range(3)] == staples


def test_the_later_question_is_not_asked_when_the_first_has_failed(pki: Pki, version: str) -> None:
    later: list[Any] = []
    pair = memoryPair(
        pki,
        {
            "SNICallback": lambda name, callback: callback(OOPS),
            "ALPNCallback": later.append,
            "maxVersion": version,
        },
        {"ALPNProtocols": ["h2"], "requestOCSP": True},
        pump=False,
    )
    pair.listener.on("OCSPRequest", lambda *arguments: later.append(arguments))
    told = ServerTold(pair)
    pair.pump()
    assert (told.failed, later) == ([(OOPS, pair.server)], [])
    assertOver(pair, told)


# -- a new session that waits to be kept


def keeping(pki: Pki, version: str, listener: Callable[..., Any]) -> tuple[MemoryPair, ServerTold]:
    pair = memoryPair(
        pki,
        {"maxVersion": version, "secureOptions": NO_TICKET, "sessionIdContext": "x"},
        {},
        pump=False,
    )
    pair.listener.on("newSession", listener)
    pair.listener.on("secureConnection", lambda socket: socket.resume())
    told = ServerTold(pair)
    pair.pump()
    return pair, told


def test_the_peer_goes_before_its_session_is_kept(pki: Pki, version: str) -> None:
    kept: list[Any] = []
    pair, told = keeping(pki, version, lambda identity, data, callback: kept.append(callback))
    assert kept
    pair.client.destroy()
    pair.pump()
    for callback in kept * 2:
        callback()
    pair.pump()
    assert pair.server.destroyed
    assert len(told.failed) + len(told.secured) == 1
    assert pair.clock.getDelayedCalls() == []


def test_its_session_is_never_kept(pki: Pki, version: str) -> None:
    """
    The handshake's time ends, and it is not the peer that is to blame.

    In TLS 1.3 the connection is secure by then, and what it is given is another such time.
    """
    kept: list[Any] = []
    pair, told = keeping(pki, version, lambda identity, data, callback: kept.append(callback))
    errors: list[Any] = []
    pair.server.on("error", errors.append)
    pair.advance(119)
    assert (told.failed, errors) == ([], [])
    pair.advance(2)
    (error,) = errors if version == "TLSv1.3" else [error for error, _ in told.failed]
    assert (error.code, error.blame) == ("ERR_TLS_HANDSHAKE_TIMEOUT", Blame.LOCAL)
    for callback in kept:
        callback()
    pair.pump()
    assert (pair.server.destroyed, pair.client.destroyed) == (True, True)
    assert pair.clock.getDelayedCalls() == []


def test_a_session_is_kept_late(pki: Pki, version: str) -> None:
    kept: list[Any] = []
    pair, told = keeping(pki, version, lambda identity, data, callback: kept.append(callback))
    pair.advance(100)
    for callback in kept:
        callback()
    pair.advance(200)
    assert told.secured == [pair.server]
    assert not pair.client.destroyed
    pair.client.end(b"still there")
    pair.pump()
    assert pair.server.bytesRead == len(b"still there")
    assert pair.clock.getDelayedCalls() == []


def test_what_a_listener_returns_by_the_way_keeps_no_session(pki: Pki, version: str) -> None:
    """As in Node, a number is no answer: its callback is."""
    kept: list[Any] = []

    def listener(identity: bytes, data: bytes, callback: Any) -> int:
        kept.append(callback)
        return 7

    pair, told = keeping(pki, version, listener)
    pair.client.write(b"x")
    pair.pump()
    assert pair.server.bytesRead == 0
    while kept:
        kept.pop()(RuntimeError("not looked at, as in Node"))
        pair.pump()
    assert told.secured == [pair.server]
    assert pair.server.bytesRead == 1


@pytest.mark.parametrize("how", ["deferred", "coroutine"])
def test_keeping_a_session_fails_later(how: str, pki: Pki, version: str) -> None:
    later: Deferred[None] = Deferred()
    errors: list[Any] = []

    async def coroutine() -> None:
        await later

    def listener(identity: bytes, data: bytes, callback: Any) -> Any:
        return later if how == "deferred" else coroutine()

    pair = memoryPair(pki, {"maxVersion": version, "secureOptions": NO_TICKET}, {}, pump=False)
    pair.listener.on("newSession", listener)
    pair.listener.on("error", errors.append)
    told = ServerTold(pair)
    pair.pump()
    later.errback(OOPS)
    pair.pump()
    assert OOPS in errors
    pair.advance(0)
    assert told.failed == []


def test_a_session_is_kept_twice(pki: Pki, version: str) -> None:
    """As in Node, a second answer is no matter."""

    def twice(identity: bytes, data: bytes, callback: Any) -> None:
        callback()
        callback()

    pair, told = keeping(pki, version, twice)
    assert told.secured == [pair.server]
    assert not pair.client.destroyed


def test_a_session_that_cannot_be_kept_is_an_error_of_the_server(pki: Pki, version: str) -> None:
    errors: list[Any] = []

    def failing(identity: bytes, data: bytes, callback: Any) -> None:
        raise OOPS

    pair = memoryPair(pki, {"maxVersion": version, "secureOptions": NO_TICKET}, {}, pump=False)
    pair.listener.on("newSession", failing)
    pair.listener.on("error", errors.append)
    told = ServerTold(pair)
    pair.pump()
    assert set(errors) == {OOPS}
    assert told.secured == [pair.server]


# -- a key that has to be there at once


@pytest.mark.parametrize("side", ["server", "client"])
@pytest.mark.parametrize("how", ["raises", "coroutine", "deferred", "type"])
def test_pskcallback_fails(side: str, how: str, pki: Pki, version: str) -> None:
    async def coroutine() -> None:
        raise AssertionError("it is closed and does not run")

    def wrong(*arguments: Any) -> Any:
        if how == "raises":
            raise OOPS
        return {"coroutine": coroutine, "deferred": Deferred, "type": lambda: 7}[how]()

    ciphers = "PSK" if version == "TLSv1.2" else "TLS_AES_128_GCM_SHA256"
    options: dict[str, Any] = {"ciphers": ciphers, "minVersion": version, "maxVersion": version}
    pair = MemoryPair(
        {
            **options,
            "pskCallback": wrong if side == "server" else lambda socket, identity: bytes(16),
        },
        {
            **options,
            "pskCallback": wrong
            if side == "client"
            else lambda hint: {"psk": bytes(16), "identity": "me"},
            "checkServerIdentity": lambda host, certificate: None,
            "servername": "localhost",
        },
    )
    told = ServerTold(pair)
    errors: list[Any] = []
    pair.client.on("error", errors.append)
    pair.pump()
    error = told.failed[0][0] if side == "server" else errors[0]
    if how == "raises":
        assert error is OOPS
    else:
        assert isinstance(error, TypeError)
    assert len(errors) <= 1
    assertOver(pair, told)


# -- ClientHellos


def answering(pki: Pki, version: str, **client: Any) -> tuple[MemoryPair, ServerTold]:
    """A client at a server that asks all questions and answers them at once."""
    pair = memoryPair(
        pki,
        {
            "SNICallback": lambda name, callback: callback(None, None),
            "ALPNCallback": lambda asked: "h2",
            "maxVersion": version,
        },
        {"ALPNProtocols": ["h2"], "requestOCSP": True, **client},
        pump=False,
    )
    pair.listener.on("OCSPRequest", lambda leaf, issuer, callback: callback(None, None))
    return pair, ServerTold(pair)


def helloOf(pair: MemoryPair) -> bytes:
    """The client's first flight, taken off its wire."""
    pair.clock.advance(0)
    queue = wireOf(pair).queue
    hello = b"".join(piece for piece in queue if piece)
    queue.clear()
    return hello


def test_it_may_be_cut_anywhere(pki: Pki, version: str) -> None:
    length = len(helloOf(answering(pki, version)[0]))
    # The engine's tests cut at each; here each cut is a whole handshake.
    for cut in (*range(1, 50, 3), *range(50, length, 97)):
        pair, told = answering(pki, version)
        hello = helloOf(pair)
        for piece in (hello[:cut], hello[cut:]):
            wireOf(pair).queue.append(piece)
            wireOf(pair).deliver()
            pair.clock.advance(0)
        pair.pump()
        assert told.failed == []
        assert told.secured == [pair.server]


def test_it_may_come_a_byte_at_a_time(pki: Pki, version: str) -> None:
    pair, told = answering(pki, version)
    for byte in helloOf(pair):
        wireOf(pair).queue.append(bytes([byte]))
    pair.pump()
    assert told.secured == [pair.server]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_it_may_be_spread_over_many_records(size: int, pki: Pki, version: str) -> None:
    pair, told = answering(pki, version)
    hello = helloOf(pair)
    body = hello[5:]
    records = b"".join(
        hello[:3] + len(body[start : start + size]).to_bytes(2, "big") + body[start : start + size]
        for start in range(0, len(body), size)
    )
    wireOf(pair).queue.append(records)
    pair.pump()
    assert told.secured == [pair.server]
    assert pair.client.alpnProtocol == "h2"


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x40\x01" + b"\x01\x01\0\0" + bytes(16381),
        b"\x16\x03\x01\x00\x04\x01\xff\xff\xff" + b"\x16\x03\x01\x40\x00" + bytes(16384),
        (b"\x16\x03\x01\x40\x00\x01\x01\xff\xff" + bytes(16380))
        + (b"\x16\x03\x01\x40\x00" + bytes(16384)) * 12,
        b"\x16\x03\x01\xff\xff" + bytes(65535),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        bytes(1000),
        b"\x80\x2e\x01\x03\x01" + bytes(45),
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x17\x03\x03\x00\x10" + bytes(16),
    ],
    ids=[
        "record",
        "length",
        "endless",
        "longest record",
        "http",
        "zeros",
        "ssl2",
        "ssh",
        "cut short",
        "alert",
        "data",
    ],
)
@pytest.mark.parametrize("limit", [65536, 997])
def test_what_is_no_clienthello_is_one_error(
    data: bytes, limit: int, pki: Pki, version: str
) -> None:
    pair, told = answering(pki, version)
    helloOf(pair)
    for start in range(0, len(data), limit):
        wireOf(pair).queue.append(data[start : start + limit])
    pair.pump()
    if not told.failed:
        # It could still become one; but not for ever.
        pair.advance(121)
        assert told.codes == ["ERR_TLS_HANDSHAKE_TIMEOUT"]
    assert len(told.failed) == 1
    assert told.failed[0][0].blame is Blame.PEER
    assert told.secured == []
    pair.client.destroy()
    assertOver(pair, told)
