"""A client that is asked for its certificate behind the handshake, engine to engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import txnodetls as tls
from tests.protocol.engines import Pair
from tests.protocol.records import ALERT, DATA, HANDSHAKE, TrafficKeys, messages, trafficSecret
from tests.support import Pki, makePki
from txnodetls.errors import NodeError
from txnodetls.openssl import queries
from txnodetls.protocol import events
from txnodetls.protocol.engine import verifyMode
from txnodetls.protocol.states import Sending

INSIST = verifyMode(True, True)
WISH = verifyMode(True, False)
KEY = b"k" * 32


def shaken(
    pki: Pki,
    *,
    certificate: bool = True,
    client: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
    log: list[bytes] | None = None,
) -> Pair:
    """
    Two engines on TLS 1.3 whose handshake is done and forgotten.

    @param log: gets the client's key log.
    """
    own = {"key": pki.client.key, "cert": pki.client.cert} if certificate else {}
    context = tls.createSecureContext({"ca": pki.ca, **own})
    offering = {"context": context, "postHandshakeAuth": True, **(client or {})}
    pair = Pair(pki, "TLSv1.3", client=offering, server=server).shake()
    keepAll(pair)
    if log is not None:
        log += [e.line for e in pair.client.events if isinstance(e, events.KeyLogged)]
    pair.client.events.clear()
    pair.server.events.clear()
    return pair


def keepAll(pair: Pair) -> None:
    while pair.server.engine.sending is Sending.WITHHELD:
        pair.server.engine.sessionKept()
    pair.exchange()


def answer(pair: Pair) -> bytes:
    """What the client says to the request."""
    pair.client.receive(pair.server.output())
    return pair.client.output()


def shown(pair: Pair) -> bytes | None:
    return queries.peerCertificate(pair.server.engine.driver)


def failure(pair: Pair) -> str | None:
    code: str | None = pair.server.one(events.Failed).error.code
    return code


@pytest.mark.parametrize("limit", [None, 1, 7], ids=["whole", "bytes", "sevens"])
def test_the_answer_is_reported_and_data_goes_both_ways_meanwhile(
    pki: Pki, limit: int | None
) -> None:
    pair = shaken(pki)
    client, server = pair.client.engine, pair.server.engine
    server.askForCertificate(INSIST)
    assert server.send(b"down")
    assert client.send(b"up")
    pair.exchange(limit)
    assert pair.server.names == ["data", "CertificateAnswered"]
    assert pair.client.names == ["data", "SessionIssued", "SessionIssued"]
    assert shown(pair) is not None
    assert queries.verifyResult(server.driver) == 0
    assert server.sending is Sending.OPEN
    assert client.send(b"up")
    assert server.send(b"down")
    pair.exchange(limit)
    assert (pair.server.data, pair.client.data) == (b"upup", b"downdown")


def test_a_client_may_be_asked_again(pki: Pki) -> None:
    pair = shaken(pki)
    for _ in range(3):
        pair.server.engine.askForCertificate(INSIST)
        pair.exchange()
    assert pair.server.names == ["CertificateAnswered"] * 3


def test_what_comes_behind_the_answer_is_reported_behind_it(pki: Pki) -> None:
    pair = shaken(pki)
    pair.server.engine.askForCertificate(INSIST)
    pair.client.engine.send(b"before")
    pair.client.receive(pair.server.output())
    pair.client.engine.send(b"behind")
    # All in one read.
    pair.server.receive(pair.client.output())
    assert pair.server.names == ["data", "CertificateAnswered", "data"]
    assert (pair.server.events[0], pair.server.events[2]) == (b"before", b"behind")


def test_what_was_not_read_yet_is_read_first(pki: Pki) -> None:
    pair = shaken(pki)
    pair.client.engine.send(b"unread")
    pair.server.engine.receive(pair.client.output())
    pair.server.engine.askForCertificate(INSIST)
    pair.exchange()
    assert pair.server.names == ["data", "CertificateAnswered"]


def test_it_can_be_asked_in_the_middle_of_an_incoming_record(pki: Pki) -> None:
    pair = shaken(pki)
    pair.client.engine.send(b"n" * 1000)
    record = pair.client.output()
    pair.server.receive(record[:500])
    pair.server.engine.askForCertificate(INSIST)
    said = answer(pair)
    pair.server.receive(record[500:] + said)
    assert pair.server.names == ["data", "CertificateAnswered"]
    assert pair.server.data == b"n" * 1000


def test_a_certificate_is_not_shown_before_it_is_proved(pki: Pki) -> None:
    """OpenSSL shows it when the Certificate is there, before the CertificateVerify."""
    pair = shaken(pki)
    engine = pair.server.engine
    engine.askForCertificate(INSIST)
    assert not engine.peerUnproven
    said = answer(pair)
    unproven = 0
    for position in range(len(said)):
        pair.server.receive(said[position : position + 1])
        if shown(pair) is not None and not pair.server.events:
            unproven += 1
            assert engine.peerUnproven
            assert engine.stalled
            assert not engine.send(b"not now")
    assert unproven
    assert pair.server.names == ["CertificateAnswered"]
    assert not engine.peerUnproven
    assert not engine.stalled
    assert engine.send(b"now")


@pytest.mark.parametrize("position", [-1, -40, -100, -200])
def test_an_answer_that_was_tampered_with_ends_the_connection(pki: Pki, position: int) -> None:
    pair = shaken(pki)
    pair.server.engine.askForCertificate(INSIST)
    said = bytearray(answer(pair))
    said[position] ^= 1
    pair.server.receive(bytes(said))
    assert pair.server.names == ["Failed"]
    assert failure(pair) == "ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC"


class Adversary:
    """A client that has the keys of a connection and sends what no OpenSSL would send."""

    def __init__(self, pki: Pki) -> None:
        context = tls.createSecureContext(
            {
                "ca": pki.ca,
                "key": pki.client.key,
                "cert": pki.client.cert,
                "ciphers": "TLS_AES_128_GCM_SHA256",
            }
        )
        log: list[bytes] = []
        pair = shaken(pki, client={"context": context, "keylog": True}, log=log)
        secret = trafficSecret(b"".join(log), b"CLIENT_TRAFFIC_SECRET_0")
        self.pair = pair
        self.keys = TrafficKeys(secret)
        pair.server.engine.askForCertificate(WISH)
        # What the client would say: Certificate, CertificateVerify, Finished.
        self.honest = messages(TrafficKeys(secret).open(answer(pair)))
        assert [message[0] for message in self.honest] == [11, 15, 20]

    def says(self, *said: bytes, kind: int = HANDSHAKE) -> None:
        for each in said:
            self.pair.server.receive(self.keys.seal(kind, each))

    @property
    def told(self) -> list[str]:
        return self.pair.server.names


@pytest.mark.parametrize("records", [1, 3])
def test_the_answer_may_be_in_any_number_of_records(pki: Pki, records: int) -> None:
    peer = Adversary(pki)
    said = b"".join(peer.honest)
    step = -(-len(said) // records)
    peer.says(*(said[start : start + step] for start in range(0, len(said), step)))
    assert peer.told == ["CertificateAnswered"]


def test_nothing_else_counts_as_the_answer(pki: Pki) -> None:
    """A KeyUpdate ends what OpenSSL calls a handshake, too."""
    peer = Adversary(pki)
    for _ in range(3):
        peer.says(b"\x18\0\0\1\0")
        peer.keys = peer.keys.updated()
        peer.says(b"x", kind=DATA)
        assert not peer.pair.server.engine.peerUnproven
    assert peer.told == ["data"]
    assert peer.pair.server.data == b"xxx"


@pytest.mark.parametrize("instead", ["data", "KeyUpdate", "Finished", "Certificate", "another"])
def test_a_certificate_without_its_proof_is_worth_nothing(pki: Pki, instead: str) -> None:
    peer = Adversary(pki)
    certificate, verify, finished = peer.honest
    peer.says(certificate)
    assert shown(peer.pair) is not None
    assert peer.told == []
    if instead == "data":
        peer.says(b"may I?", kind=DATA)
    else:
        signature = verify[:-1] + bytes([verify[-1] ^ 1])
        kinds = {
            "KeyUpdate": b"\x18\0\0\1\0",
            "Finished": finished,
            "Certificate": certificate,
            "another": signature,
        }
        peer.says(kinds[instead])
    assert peer.told == ["Failed"]


@pytest.mark.parametrize("together", [True, False])
def test_nor_is_a_proof_without_its_finished(pki: Pki, together: bool) -> None:
    peer = Adversary(pki)
    certificate, verify, finished = peer.honest
    forged = finished[:-1] + bytes([finished[-1] ^ 1])
    peer.says(certificate, verify)
    assert peer.told == []
    assert peer.pair.server.engine.peerUnproven
    peer.says(forged + b"\x18\0\0\1\0" if together else forged)
    assert peer.told == ["Failed"]


def test_a_client_may_end_in_the_middle_of_its_answer(pki: Pki) -> None:
    peer = Adversary(pki)
    peer.says(peer.honest[0])
    peer.says(b"\x01\0", kind=ALERT)
    assert peer.told == ["EndReceived"]
    engine = peer.pair.server.engine
    assert engine.peerUnproven
    assert not engine.send(b"in vain")


def test_an_answer_that_nobody_asked_for_ends_the_connection(pki: Pki) -> None:
    peer = Adversary(pki)
    peer.says(*peer.honest)
    assert peer.told == ["CertificateAnswered"]
    peer.says(peer.honest[0])
    assert peer.told == ["CertificateAnswered", "Failed"]


def test_without_a_certificate_it_depends_on_what_was_asked(pki: Pki) -> None:
    pair = shaken(pki, certificate=False)
    pair.server.engine.askForCertificate(WISH)
    pair.exchange()
    assert pair.server.names == ["CertificateAnswered"]
    assert shown(pair) is None
    pair.server.engine.askForCertificate(INSIST)
    pair.exchange()
    assert failure(pair) == "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE"
    assert pair.client.one(events.Failed).told


def test_an_untrusted_one_is_reported_with_what_is_wrong(pki: Pki) -> None:
    stranger = makePki()
    pair = shaken(
        pki,
        client={
            "context": tls.createSecureContext(
                {"ca": pki.ca, "key": stranger.client.key, "cert": stranger.client.cert}
            )
        },
    )
    pair.server.engine.askForCertificate(INSIST)
    pair.exchange()
    assert pair.server.names == ["CertificateAnswered"]
    assert queries.verifyResult(pair.server.engine.driver) != 0


def resumed(pki: Pki) -> Pair:
    """A connection that resumes a session with a certificate in it."""
    sharing = tls.createSecureContext(
        {"key": pki.server.key, "cert": pki.server.cert, "ca": pki.ca, "sessionIdContext": "x"}
    )
    first = shaken(pki, server={"context": sharing})
    first.server.engine.askForCertificate(INSIST)
    first.exchange()
    session = first.client.events[-1].session
    pair = shaken(pki, server={"context": sharing}, client={"session": session})
    assert queries.sessionReused(pair.server.engine.driver)
    assert shown(pair) is not None
    return pair


def test_the_certificate_of_a_resumed_session_is_not_the_answer(pki: Pki) -> None:
    pair = resumed(pki)
    pair.server.engine.askForCertificate(INSIST)
    said = answer(pair)
    for position in range(len(said)):
        assert pair.server.names == []
        pair.server.receive(said[position : position + 1])
    assert pair.server.names == ["CertificateAnswered"]


def test_a_connection_with_a_pre_shared_key_can_be_asked(pki: Pki) -> None:
    own = {"key": pki.client.key, "cert": pki.client.cert, "ciphers": "TLS_AES_128_GCM_SHA256"}
    context = tls.createSecureContext({"ca": pki.ca, **own})
    pair = shaken(
        pki,
        client={"context": context, "pskClient": lambda hint: (b"me", KEY)},
        server={"pskServer": lambda identity: KEY},
    )
    assert pair.server.engine.pskSupplied
    pair.server.engine.askForCertificate(INSIST)
    pair.exchange()
    assert pair.server.names == ["CertificateAnswered"]
    assert shown(pair) is not None


@pytest.mark.parametrize("when", ["withheld", "open"])
def test_sessions_made_behind_it_are_reported_and_no_others(pki: Pki, when: str) -> None:
    pair = shaken(pki, server={"reportSessions": True})
    if when == "withheld":
        context = tls.createSecureContext(
            {"ca": pki.ca, "key": pki.client.key, "cert": pki.client.cert}
        )
        pair = Pair(
            pki,
            "TLSv1.3",
            client={"context": context, "postHandshakeAuth": True},
            server={"reportSessions": True},
        ).shake()
        assert pair.server.engine.sending is Sending.WITHHELD
    first = {e.sessionId for e in pair.server.events if isinstance(e, events.SessionMade)}
    pair.server.events.clear()
    pair.server.engine.askForCertificate(INSIST)
    keepAll(pair)
    assert pair.server.names == ["CertificateAnswered", "SessionMade", "SessionMade"]
    made = {event.sessionId for event in pair.server.events[1:]}
    assert len(made) == 2
    assert not made & first
    assert pair.server.engine.sending is Sending.WITHHELD
    before = pair.client.count(events.SessionIssued)
    keepAll(pair)
    assert pair.client.count(events.SessionIssued) == before + 2


def refused(call: Callable[[], object]) -> str | None:
    with pytest.raises(NodeError) as raised:
        call()
    return raised.value.code


@pytest.mark.parametrize(
    ("version", "code"),
    [("TLSv1.3", "ERR_SSL_EXTENSION_NOT_RECEIVED"), ("TLSv1.2", "ERR_SSL_WRONG_SSL_VERSION")],
)
def test_who_has_not_offered_it_is_not_asked_and_the_connection_goes_on(
    pki: Pki, version: str, code: str
) -> None:
    pair = Pair(pki, version).shake()
    pair.server.events.clear()
    server = pair.server.engine
    assert refused(lambda: server.askForCertificate(INSIST)) == code
    assert pair.server.output() == b""
    pair.client.engine.send(b"on")
    server.send(b"and on")
    pair.exchange()
    assert (pair.server.data, pair.client.data) == (b"on", b"and on")


def test_it_cannot_be_asked_twice_at_once(pki: Pki) -> None:
    pair = shaken(pki)
    pair.server.engine.askForCertificate(INSIST)
    assert refused(lambda: pair.server.engine.askForCertificate(WISH)) == "ERR_SSL_REQUEST_SENT"
    pair.exchange()
    assert pair.server.names == ["CertificateAnswered"]


def test_an_answer_behind_our_end_is_still_reported(pki: Pki) -> None:
    pair = shaken(pki)
    pair.server.engine.askForCertificate(INSIST)
    pair.server.engine.shutdown()
    pair.exchange()
    assert pair.server.names == ["CertificateAnswered"]
    assert pair.client.names == ["EndReceived"]
    assert pair.server.engine.sending is Sending.CLOSED
