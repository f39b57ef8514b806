"""The engine between a ClientHello and its answer; protocols and staples."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from tests.protocol.engines import Pair, Side, StandardPeer, serverContext, serverEngine
from tests.support import Credentials, Pki
from txnodetls import NodeError, createSecureContext
from txnodetls.errors import Blame
from txnodetls.openssl import queries
from txnodetls.protocol import engine as engines
from txnodetls.protocol import events
from txnodetls.protocol.clienthello import ClientHelloParser, Reading
from txnodetls.protocol.engine import Answer, verifyMode
from txnodetls.protocol.states import Receiving

STAPLE = ocsp.OCSPResponseBuilder.build_unsuccessful(
    ocsp.OCSPResponseStatus.TRY_LATER
).public_bytes(Encoding.DER)


# -- protocols (ALPN)


def agreed(pair: Pair) -> tuple[bytes, bytes]:
    return (
        queries.alpnSelected(pair.client.engine.driver),
        queries.alpnSelected(pair.server.engine.driver),
    )


def test_the_servers_order_of_protocols_decides(pki: Pki, version: str) -> None:
    pair = Pair(
        pki, version, client={"alpn": b"\x01a\x01b\x01c"}, server={"alpn": b"\x01c\x01b"}
    ).shake()
    assert agreed(pair) == (b"c", b"c")


@pytest.mark.parametrize(("client", "server"), [(b"\x01a", b""), (b"", b"\x01a"), (b"", b"")])
def test_where_one_side_has_no_protocols_none_is_agreed_on(
    client: bytes, server: bytes, pki: Pki, version: str
) -> None:
    pair = Pair(pki, version, client={"alpn": client}, server={"alpn": server}).shake()
    assert pair.client.secured
    assert agreed(pair) == (b"", b"")


def test_no_protocol_in_common_is_refused(pki: Pki, version: str) -> None:
    pair = Pair(pki, version, client={"alpn": b"\x01a"}, server={"alpn": b"\x01b"}).shake()
    error = pair.server.one(events.Failed).error
    assert error.code == "ERR_SSL_NO_APPLICATION_PROTOCOL"
    assert error.alert == 120
    assert pair.client.one(events.Failed).error.alert == 120


# -- questions about the ClientHello


def asked(pki: Pki, version: str, **settings: Any) -> Pair:
    """A pair whose server has got the ClientHello and waits."""
    client = settings.pop("client", {})
    pair = Pair(pki, version, server={"askAboutHello": True, **settings}, client=client)
    pair.client.start()
    pair.exchange()
    return pair


def test_a_clienthello_is_held_until_it_is_answered(pki: Pki, version: str) -> None:
    pair = asked(pki, version, client={"servername": b"a.test", "alpn": b"\x02h2"})
    assert pair.server.names == ["ClientHelloReceived"]
    hello = pair.server.events[0].hello
    assert hello.servername == "a.test"
    assert hello.alpn == (b"h2",)
    assert pair.server.engine.receiving is Receiving.ASKING
    assert pair.server.output() == b""
    assert queries.servername(pair.server.engine.driver) is None  # OpenSSL has seen nothing
    pair.server.engine.resume(Answer())
    pair.exchange()
    assert pair.server.names == ["ClientHelloReceived", "HandshakeCompleted"]


@pytest.mark.parametrize("limit", [1, 3])
def test_it_may_come_byte_by_byte(limit: int, pki: Pki, version: str) -> None:
    pair = Pair(pki, version, server={"askAboutHello": True})
    pair.client.start()
    pair.exchange(limit)
    assert pair.server.names == ["ClientHelloReceived"]
    pair.server.engine.resume(Answer())
    pair.exchange(limit)
    assert pair.client.secured


def test_without_questions_nothing_is_held(pki: Pki, version: str) -> None:
    pair = Pair(pki, version)
    assert pair.server.engine._parser is None
    pair.shake()
    assert "ClientHelloReceived" not in pair.server.names


def test_an_answer_counts_once(pki: Pki, version: str) -> None:
    pair = asked(pki, version)
    other = serverContext(pki, version)
    pair.server.engine.resume(Answer())
    pair.server.engine.resume(Answer(native=other.native))
    pair.server.engine.fail(NodeError("too late"))
    pair.exchange()
    assert pair.server.names == ["ClientHelloReceived", "HandshakeCompleted"]


def test_an_answer_before_the_question_is_none(pki: Pki, version: str) -> None:
    pair = Pair(pki, version, server={"askAboutHello": True})
    pair.server.engine.resume(Answer())
    pair.server.engine.fail(NodeError("too early"))
    assert pair.server.engine.receiving is Receiving.HELLO


def test_giving_up_is_a_failure(pki: Pki, version: str) -> None:
    pair = asked(pki, version)
    error = NodeError("nobody knows")
    pair.server.engine.fail(error)
    pair.server.engine.fail(NodeError("again"))
    pair.server.engine.resume(Answer())
    pair.server.pull()
    assert pair.server.names == ["ClientHelloReceived", "Failed"]
    assert pair.server.events[-1].error is error


def test_the_end_may_come_before_the_answer(pki: Pki, version: str) -> None:
    pair = asked(pki, version)
    pair.server.engine.receiveEnd()
    pair.server.engine.resume(Answer())
    pair.server.pull()
    assert pair.server.names == ["ClientHelloReceived", "Truncated"]
    assert pair.server.output() == b""


def test_what_comes_while_the_question_waits_is_held_too(pki: Pki) -> None:
    pair = asked(pki, "TLSv1.3")
    pair.server.receive(b"\x14\x03\x03\0\x01\x01")  # for middleboxes; OpenSSL passes over it
    assert pair.server.names == ["ClientHelloReceived"]
    pair.server.engine.resume(Answer())
    pair.exchange()
    assert pair.client.secured


def test_not_too_much_is_held(pki: Pki, version: str) -> None:
    pair = asked(pki, version)
    piece = bytes(16384)
    for _ in range(engines.MAX_HELD // len(piece) + 1):
        pair.server.receive(piece)
    error = pair.server.one(events.Failed).error
    assert error.code == "ERR_SSL_EXCESSIVE_MESSAGE_SIZE"
    assert error.blame is Blame.PEER
    pair.server.engine.resume(Answer())
    assert pair.server.names == ["ClientHelloReceived", "Failed"]


def test_a_clienthello_in_endless_crumbs_is_not_waited_for(pki: Pki) -> None:
    server = Side(serverEngine(pki, askAboutHello=True))
    crumb = b"\x16\x03\x01\0\0" * 1000
    for _ in range(engines.MAX_HELD // len(crumb) + 1):
        server.receive(crumb)
    assert server.one(events.Failed).error.code == "ERR_SSL_EXCESSIVE_MESSAGE_SIZE"


def test_an_empty_record_in_front_does_not_get_past_the_question(pki: Pki, version: str) -> None:
    client = StandardPeer(pki, version, isServer=False)
    server = Side(serverEngine(pki, version, askAboutHello=True))
    client.start()
    server.receive(b"\x16\x03\x01\0\0" + client.output())
    assert server.names == ["ClientHelloReceived"]


def test_no_handshake_is_completed_whose_clienthello_nobody_was_asked_about(
    pki: Pki, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever OpenSSL may come to understand that the parser does not."""

    def blind(parser: ClientHelloParser, data: bytes) -> Reading:
        parser.held += data
        return Reading.NOT_TLS

    monkeypatch.setattr(ClientHelloParser, "feed", blind)
    pair = Pair(pki, version, server={"askAboutHello": True}).shake()
    assert pair.server.names == ["Failed"]
    error = pair.server.events[0].error
    assert error.code == "ERR_SSL_UNEXPECTED_MESSAGE"
    assert pair.server.engine.send(b"secret") is False


# -- answers


def test_another_context_may_serve(pki: Pki, version: str) -> None:
    other = pki.issue("other.test")
    context = createSecureContext(key=other.key, cert=other.cert)
    pair = asked(pki, version, client={"servername": b"other.test"})
    pair.server.engine.resume(Answer(native=context.native))
    pair.exchange()
    der = queries.peerCertificate(pair.client.engine.driver)
    assert der is not None
    assert b"other.test" in der


def test_another_context_brings_its_ciphers_of_every_version(pki: Pki, version: str) -> None:
    name = {"TLSv1.3": "TLS_CHACHA20_POLY1305_SHA256", "TLSv1.2": "ECDHE-ECDSA-AES256-SHA384"}[
        version
    ]
    other = createSecureContext(
        key=pki.server.key, cert=pki.server.cert, ciphers=name, maxVersion=version
    )
    pair = asked(pki, version)
    pair.server.engine.resume(Answer(native=other.native))
    pair.exchange()
    for side in (pair.server, pair.client):
        used = queries.cipher(side.engine.driver)
        assert used is not None
        assert used["name"] == name


def test_another_context_does_not_bring_lower_versions(pki: Pki) -> None:
    strict = serverContext(pki, "TLSv1.3")
    lax = createSecureContext(key=pki.server.key, cert=pki.server.cert, minVersion="TLSv1.2")
    pair = Pair(
        pki,
        server={"askAboutHello": True, "context": strict},
        client={"context": createSecureContext(ca=pki.ca, maxVersion="TLSv1.2")},
    )
    pair.client.start()
    pair.exchange()
    pair.server.engine.resume(Answer(native=lax.native))
    pair.exchange()
    assert pair.server.one(events.Failed).error.code == "ERR_SSL_UNSUPPORTED_PROTOCOL"


def clientWith(pki: Pki, credentials: Credentials | None) -> dict[str, Any]:
    options: dict[str, Any] = {"ca": pki.ca}
    if credentials is not None:
        options |= {"key": credentials.key, "cert": credentials.cert}
    return {"context": createSecureContext(options)}


def test_the_answer_may_ask_for_a_client_certificate(pki: Pki, version: str) -> None:
    pair = asked(pki, version, client=clientWith(pki, pki.client))
    pair.server.engine.resume(Answer(verifyMode=verifyMode(True, True)))
    pair.exchange()
    assert pair.server.secured
    assert queries.peerCertificate(pair.server.engine.driver) is not None


def test_the_answer_may_insist_on_one(pki: Pki, version: str) -> None:
    pair = asked(pki, version, client=clientWith(pki, None))
    pair.server.engine.resume(Answer(verifyMode=verifyMode(True, True)))
    pair.exchange()
    error = pair.server.one(events.Failed).error
    assert error.code == "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE"


def test_the_answer_may_do_without(pki: Pki, version: str) -> None:
    pair = asked(pki, version, client=clientWith(pki, None), verifyMode=verifyMode(True, True))
    pair.server.engine.resume(Answer(verifyMode=verifyMode(False, True)))
    pair.exchange()
    assert pair.server.secured


@pytest.mark.parametrize(
    ("settings", "answer", "expected"),
    [
        (b"\x01a", Answer(alpn=b"\x01b"), b"b"),
        (b"", Answer(alpn=b"\x01b"), b"b"),
        (b"\x01a", Answer(alpn=b""), b""),
        (b"\x01a", Answer(), b"a"),
        (b"\x01a", Answer(protocol=b"b"), b"b"),
        (b"\x01a", Answer(alpn=b"\x01a", protocol=b"b"), b"b"),
    ],
)
def test_the_answer_may_name_protocols(
    settings: bytes, answer: Answer, expected: bytes, pki: Pki, version: str
) -> None:
    pair = asked(pki, version, alpn=settings, client={"alpn": b"\x01a\x01b"})
    pair.server.engine.resume(answer)
    pair.exchange()
    assert agreed(pair) == (expected, expected)


@pytest.mark.parametrize("answer", [Answer(protocol=b""), Answer(protocol=b"z")])
def test_the_answer_may_refuse_all_protocols(answer: Answer, pki: Pki, version: str) -> None:
    pair = asked(pki, version, client={"alpn": b"\x01a"})
    pair.server.engine.resume(answer)
    pair.exchange()
    assert pair.server.one(events.Failed).error.code == "ERR_SSL_NO_APPLICATION_PROTOCOL"


def test_the_answer_may_bring_a_staple(pki: Pki, version: str) -> None:
    pair = asked(pki, version, client={"requestStaple": True})
    assert pair.server.events[0].hello.statusRequest
    pair.server.engine.resume(Answer(staple=STAPLE))
    pair.exchange()
    assert pair.client.one(events.StapleReceived).staple == STAPLE
    names = pair.client.names
    assert names.index("StapleReceived") < names.index("HandshakeCompleted")


def test_a_staple_is_sent_by_the_chosen_context(pki: Pki, version: str) -> None:
    pair = asked(pki, version, client={"requestStaple": True})
    other = serverContext(pki, version)
    pair.server.engine.resume(Answer(native=other.native, staple=STAPLE))
    pair.exchange()
    assert pair.client.one(events.StapleReceived).staple == STAPLE


def test_the_absence_of_a_staple_is_told_too(pki: Pki, version: str) -> None:
    pair = Pair(pki, version, client={"requestStaple": True}).shake()
    assert pair.client.one(events.StapleReceived).staple is None
    context = serverContext(pki, version)
    first = Pair(pki, version, server={"context": context}).shake()
    session = next(e for e in first.client.events if isinstance(e, events.SessionIssued)).session
    again = Pair(
        pki,
        version,
        server={"context": context},
        client={"requestStaple": True, "session": session},
    ).shake()
    assert queries.sessionReused(again.client.engine.driver)
    told = [e.staple for e in again.client.events if isinstance(e, events.StapleReceived)]
    # Of a resumed connection of TLS 1.2 nothing is told, as in Node.
    assert told == ([] if version == "TLSv1.2" else [None])


def staplePair(pki: Pki, version: str, **client: Any) -> tuple[Pair, list[str]]:
    """A server whose application will be asked for a staple; what it was asked."""
    context = serverContext(pki, version)
    pair = Pair(
        pki,
        version,
        server={"context": context, "askAboutHello": True},
        client={"requestStaple": True, **client},
    )
    asked: list[str] = []
    pair.shake()
    pair.server.engine.resume(Answer(askStaple=lambda: asked.append("staple")))
    pair.shake()
    return pair, asked


def test_a_staple_is_waited_for_when_a_certificate_is_sent(pki: Pki, version: str) -> None:
    pair, asked = staplePair(pki, version)
    wanted = pair.server.one(events.StapleWanted)
    assert asked == []
    wanted.ask()
    assert asked == ["staple"]
    assert pair.server.engine.asking
    pair.server.engine.supplyStaple(STAPLE)
    pair.shake()
    assert not pair.server.engine.asking
    assert pair.client.one(events.StapleReceived).staple == STAPLE
    # A second answer comes too late.
    pair.server.engine.supplyStaple(None)
    pair.exchange()


def test_there_may_be_none(pki: Pki, version: str) -> None:
    pair, _ = staplePair(pki, version)
    pair.server.engine.supplyStaple(None)
    pair.shake()
    assert pair.client.one(events.StapleReceived).staple is None


def test_a_staple_that_comes_after_the_end_is_nothing(pki: Pki, version: str) -> None:
    pair, _ = staplePair(pki, version)
    pair.server.engine.receiveEnd()
    assert not pair.server.engine.asking
    pair.server.engine.supplyStaple(STAPLE)
    assert pair.server.engine.dataToSend() == b""
