"""The engine in memory: against itself, Python's own TLS, and what no peer would send."""

from __future__ import annotations

import gc
import os
import weakref

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL

from tests.protocol import hellos
from tests.protocol.engines import (
    Pair,
    Side,
    StandardPeer,
    clientEngine,
    exchange,
    serverContext,
    serverEngine,
)
from tests.support import Pki
from txnodetls import NodeError, createSecureContext
from txnodetls.errors import Blame, Phase
from txnodetls.openssl import queries
from txnodetls.openssl.areas import INPUT, OUTPUT
from txnodetls.protocol import events
from txnodetls.protocol.engine import SLICE, Answer, verifyMode
from txnodetls.protocol.states import Receiving, Sending

MiB = 1024 * 1024
CLOSE_NOTIFY = b"\x15\x03\x03\0\x02\x01\0"


@pytest.fixture
def pair(pki: Pki, version: str) -> Pair:
    """Two engines whose handshake is done."""
    return Pair(pki, version).shake()


def sessionsOf(version: str) -> int:
    """How many sessions a server gives to a client by itself."""
    return {"TLSv1.2": 1, "TLSv1.3": 2}[version]


# -- the handshake


@pytest.mark.parametrize("limit", [None, 1, 5, 1000])
def test_a_handshake_in_any_portions(limit: int | None, pki: Pki, version: str) -> None:
    pair = Pair(pki, version).shake(limit)
    assert pair.server.names == ["HandshakeCompleted"]
    assert pair.client.names == ["HandshakeCompleted"] + ["SessionIssued"] * sessionsOf(version)
    assert queries.protocol(pair.client.engine.driver) == version
    for side in (pair.client, pair.server):
        assert side.engine.receiving is Receiving.OPEN
        assert side.engine.sending is Sending.OPEN


@pytest.mark.parametrize("limit", [None, 1])
@pytest.mark.parametrize("ourRole", ["client", "server"])
def test_pythons_own_tls_as_the_peer(
    ourRole: str, limit: int | None, pki: Pki, version: str
) -> None:
    isServer = ourRole == "server"
    ours = Side(serverEngine(pki, version) if isServer else clientEngine(pki, version))
    theirs = StandardPeer(pki, version, isServer=not isServer)
    (theirs if isServer else ours).start()
    exchange(ours, theirs, limit)
    assert theirs.secured
    assert ours.secured
    assert ours.engine.send(b"from us")
    theirs.send(b"from them" * 5000)
    exchange(ours, theirs, limit)
    assert theirs.data == b"from us"
    assert ours.data == b"from them" * 5000
    theirs.end()
    exchange(ours, theirs, limit)
    assert ours.names[-1] == "EndReceived"
    ours.engine.shutdown()
    exchange(ours, theirs, limit)
    assert theirs.error is None


def test_bytes_may_come_by_the_shared_area(pki: Pki, version: str) -> None:
    def move(data: memoryview) -> None:
        INPUT.view[: len(data)] = data

    pair = Pair(pki, version)
    pair.client.start()
    sides = [pair.client, pair.server]
    for _ in range(8):
        sender, receiver = sides
        length = sender.engine.drain(move)
        receiver.engine.receiveArea(length)
        INPUT.view[:length] = bytes(length)
        receiver.pull()
        sides.reverse()
    assert pair.client.secured
    assert pair.server.secured


def test_bytes_for_the_area_are_held_with_the_hello(pki: Pki, version: str) -> None:
    pair = Pair(pki, version, server={"askAboutHello": True})
    pair.client.start()
    hello = pair.client.output()
    INPUT.view[: len(hello)] = hello
    pair.server.engine.receiveArea(len(hello))
    INPUT.view[: len(hello)] = bytes(len(hello))
    pair.server.pull()
    pair.server.engine.resume(Answer())
    pair.exchange()
    assert pair.client.secured


def test_no_bytes_are_no_event(pki: Pki) -> None:
    server = Side(serverEngine(pki))
    server.receive(b"")
    assert server.engine.receiving is Receiving.HANDSHAKE
    assert server.events == []


def test_data_with_the_last_flight_of_a_handshake(pki: Pki, version: str) -> None:
    """The Finished message and data come as one read; both are told, in this order."""
    pair = Pair(pki, version)
    last, first = (pair.client, pair.server)
    if version == "TLSv1.2":
        last, first = first, last
    sides = [pair.client, pair.server]
    pair.client.start()
    while not last.secured:
        sides[1].receive(sides[0].output())
        sides.reverse()
    assert last.engine.send(b"at once")
    first.receive(last.output())
    told = [name for name in first.names if name != "SessionIssued"]
    assert told == ["HandshakeCompleted", "data"]
    assert first.data == b"at once"


@pytest.mark.parametrize("more", [b"", b"\x17", b"\x17\x03\x03\0\x40"])
def test_behind_a_handshake_only_input_that_is_there_is_read(
    pki: Pki, version: str, more: bytes
) -> None:
    server, client = serverEngine(pki), StandardPeer(pki, version, isServer=False)
    client.start()
    server.receive(client.output())
    client.receive(server.dataToSend())
    server.receive(client.output() + more)
    assert [type(event) for event in server.queue] == [events.HandshakeCompleted]
    assert server.unread is bool(more)
    assert isinstance(server.nextEvent(), events.HandshakeCompleted)
    assert server.nextEvent() is None
    assert not server.unread


def test_whoever_stops_pulling_sees_nothing_behind_the_verdict(pki: Pki) -> None:
    server = StandardPeer(pki, "TLSv1.3", isServer=True)
    client = clientEngine(pki, "TLSv1.3")
    client.start()
    server.receive(client.dataToSend())
    client.receive(server.output())
    assert isinstance(client.nextEvent(), events.HandshakeCompleted)
    client.close()
    assert client.nextEvent() is None
    assert client.receiving is Receiving.DEAD


# -- data


def test_data_in_both_directions(pair: Pair) -> None:
    assert pair.client.engine.send(b"ping")
    assert pair.server.engine.send(bytearray(b"pong"))
    assert pair.server.engine.send(memoryview(b"-pong"))
    pair.exchange()
    assert pair.server.data == b"ping"
    assert pair.client.data == b"pong-pong"


def test_megabytes_arrive_slice_by_slice(pair: Pair) -> None:
    data = bytes(range(256)) * (5 * MiB // 256)
    for start in range(0, len(data), SLICE):
        assert pair.server.engine.send(data[start : start + SLICE])
    ciphertext = pair.server.output()
    assert len(ciphertext) > len(data)
    pair.client.engine.receive(ciphertext)
    received = []
    while (event := pair.client.engine.nextEvent()) is not None:
        if isinstance(event, bytes):
            received.append(event)
    assert len(received) > 1
    assert b"".join(received) == data


def test_a_record_byte_by_byte(pair: Pair) -> None:
    assert pair.client.engine.send(b"x" * 300)
    pair.exchange(limit=1)
    assert pair.server.names[-1] == "data"
    assert pair.server.data == b"x" * 300


def test_nothing_is_taken_before_the_handshake_is_done(pki: Pki, version: str) -> None:
    pair = Pair(pki, version)
    assert pair.client.engine.send(b"early") is False
    pair.client.start()
    assert pair.client.engine.send(b"early") is False
    assert pair.client.engine.sending is Sending.WAITING
    pair.exchange()
    assert pair.server.data == b""


def test_contexts_of_others_making_send_all_that_is_taken(pki: Pki) -> None:
    """pyOpenSSL's own contexts write one record at a time and say that this was all."""
    native = SSL.Context(SSL.TLS_METHOD)
    native.use_certificate(x509.load_pem_x509_certificate(pki.server.cert))
    native.use_privatekey(serialization.load_pem_private_key(pki.server.key, None))

    class Context:
        pass

    context = Context()
    context.native = native  # type: ignore[attr-defined]
    pair = Pair(pki, server={"context": context}).shake()
    assert pair.server.engine.send(b"z" * SLICE)
    pair.exchange()
    assert len(pair.client.data) == SLICE


# -- memory


def test_an_input_bio_that_has_grown_is_replaced_when_it_is_empty(pair: Pair) -> None:
    driver = pair.client.engine.driver
    small = driver.connection._into_ssl
    for _ in range(4):
        assert pair.server.engine.send(bytes(SLICE))
    pair.exchange()
    assert driver.connection._into_ssl == small  # it was still in use
    assert pair.server.engine.send(b"a little")
    pair.exchange()
    assert driver.connection._into_ssl != small
    assert pair.client.data[-8:] == b"a little"
    assert pair.server.engine.send(b" more")
    pair.exchange()
    assert pair.client.data[-13:] == b"a little more"


def test_an_output_bio_that_has_grown_is_replaced_when_it_is_empty(pair: Pair) -> None:
    driver = pair.server.engine.driver
    small = driver.connection._from_ssl
    assert pair.server.engine.send(b"a little")
    pair.exchange()
    assert driver.connection._from_ssl == small
    assert pair.server.engine.send(bytes(SLICE))
    pair.exchange()
    assert driver.connection._from_ssl != small
    assert pair.server.engine.send(b"after")
    pair.exchange()
    assert pair.client.data[-5:] == b"after"


MUCH = 100_000  # and in the area with room to spare


def test_much_in_the_input_area_is_read_at_once_and_pulled_when_wanted(pair: Pair) -> None:
    sent = os.urandom(MUCH)
    engine = pair.server.engine
    for _ in range(2):  # the second while the first was not pulled
        assert pair.client.engine.send(sent)
        data = pair.client.engine.dataToSend()
        INPUT.view[: len(data)] = data
        engine.receiveArea(len(data))
        INPUT.view[: len(data)] = bytes(len(data))
    assert pair.server.data == b""
    pair.server.pull()
    assert pair.server.data == 2 * sent
    assert engine.driver.pendingInput() == 0


def test_an_end_behind_much_is_told_behind_it(pair: Pair) -> None:
    assert pair.client.engine.send(bytes(MUCH))
    pair.client.engine.shutdown()
    data = pair.client.engine.dataToSend()
    INPUT.view[: len(data)] = data
    pair.server.engine.receiveArea(len(data))
    pair.server.pull()
    assert len(pair.server.data) == MUCH
    assert pair.server.names[-1] == "EndReceived"


@pytest.mark.parametrize("much", [False, True])
def test_output_is_given_whole_in_little_or_in_much(pair: Pair, much: bool) -> None:
    for _ in range(3):
        assert pair.server.engine.send(bytes(SLICE))
    parts: list[bytes] = []
    length = pair.server.engine.drain(lambda data: parts.append(bytes(data)), much)
    assert length == sum(map(len, parts)) > 3 * SLICE
    assert [len(each) for each in parts] == [length] or max(map(len, parts)) == OUTPUT.size
    assert len(parts) == 1 or not much
    assert pair.server.engine.drain(parts.append, much) == 0
    pair.client.receive(b"".join(parts))
    assert len(pair.client.data) == 3 * SLICE


def test_engines_are_freed_without_the_collector(pki: Pki, version: str) -> None:
    gc.collect()
    gc.disable()
    try:
        pair = Pair(
            pki,
            version,
            server={"keylog": True, "alpn": b"\x02h2"},
            client={"keylog": True, "requestStaple": True, "alpn": b"\x02h2"},
        ).shake()
        watched = [
            weakref.ref(each)
            for side in (pair.client, pair.server)
            for each in (side.engine, side.engine.driver, side.engine.driver.connection)
        ]
        del pair
        assert [ref() for ref in watched] == [None] * 6
    finally:
        gc.enable()


# -- three ends


def test_a_clean_close(pair: Pair) -> None:
    pair.client.engine.send(b"last")
    pair.client.engine.shutdown()
    pair.exchange()
    assert pair.server.names[-2:] == ["data", "EndReceived"]
    assert pair.server.engine.receiving is Receiving.ENDED
    pair.server.engine.receiveEnd()
    pair.server.pull()
    assert pair.server.names[-1] == "EndReceived"


def test_a_clean_close_ends_one_direction_only(pair: Pair) -> None:
    pair.client.engine.shutdown()
    pair.exchange()
    assert pair.client.engine.send(b"late") is False
    assert pair.server.engine.send(b"answer")
    pair.exchange()
    assert pair.client.data == b"answer"
    pair.server.engine.shutdown()
    pair.exchange()
    assert pair.client.names[-1] == "EndReceived"
    assert pair.server.data == b""


def test_a_truncated_end(pair: Pair) -> None:
    pair.client.engine.send(b"half a senten")
    pair.server.engine.receive(pair.client.output())
    pair.server.engine.receiveEnd()
    pair.server.pull()
    assert pair.server.names[-2:] == ["data", "Truncated"]
    assert pair.server.events[-1].secured
    assert pair.server.engine.receiving is Receiving.CUT
    # The peer may still listen.
    assert pair.server.engine.send(b"what else?")
    pair.server.engine.shutdown()
    pair.client.receive(pair.server.output())
    assert pair.client.names[-2:] == ["data", "EndReceived"]


def test_a_failure(pair: Pair) -> None:
    pair.server.receive(b"\x17\x03\x03\0\x20" + bytes(32))
    error = pair.server.one(events.Failed).error
    # Node says this too: in TLS 1.2 the cipher's own error comes first.
    assert error.code in (
        "ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC",
        "ERR_SSL_CIPHER_OPERATION_FAILED",
    )
    assert error.blame is Blame.PEER
    assert error.phase is Phase.OPEN
    assert pair.server.engine.receiving is Receiving.DEAD
    assert pair.server.engine.send(b"x") is False
    # The alert waits to be sent, and tells the peer.
    pair.exchange()
    theirs = pair.client.one(events.Failed).error
    assert theirs.alert == 20
    assert theirs.blame is Blame.PEER


def test_an_end_in_the_middle_of_a_handshake_is_a_truncation(pki: Pki, version: str) -> None:
    for end in ("bytes", "close_notify"):
        pair = Pair(pki, version)
        pair.client.start()
        pair.server.receive(pair.client.output())
        if end == "bytes":
            pair.server.engine.receiveEnd()
            pair.server.pull()
        else:
            pair.server.receive(CLOSE_NOTIFY)
        if end == "bytes" or version == "TLSv1.2":
            assert pair.server.names == ["Truncated"]
            assert not pair.server.events[0].secured
        assert pair.server.engine.receiving is Receiving.DEAD


def test_the_end_is_told_once(pair: Pair) -> None:
    for _ in range(2):
        pair.server.engine.receiveEnd()
        pair.server.pull()
    assert pair.server.count(events.Truncated) == 1


def test_the_end_comes_behind_all_that_was_not_pulled_yet(pki: Pki) -> None:
    """Nobody has pulled an event so far: handshake, data and end keep their order."""
    client = StandardPeer(pki, "TLSv1.3", isServer=False)
    server = Side(serverEngine(pki, "TLSv1.3", keylog=True))
    client.start()
    server.engine.receive(client.output())
    client.receive(server.output())
    client.send(b"a" * 10)
    server.engine.receive(client.output())
    server.engine.receiveEnd()
    server.pull()
    assert [name for name in server.names if name != "KeyLogged"] == [
        "HandshakeCompleted",
        "data",
        "Truncated",
    ]
    assert server.names[0] == "KeyLogged"


def test_bytes_behind_the_end_are_ignored(pair: Pair) -> None:
    pair.client.engine.shutdown()
    pair.exchange()
    pair.server.receive(b"whatever this is")
    pair.server.receive(hellos.records(b"x" * 100))
    assert pair.server.names[-1] == "EndReceived"
    assert pair.server.engine.send(b"still here")


# -- errors


def test_an_alert_waits_to_be_sent_when_the_failure_is_told(pki: Pki, version: str) -> None:
    theirs = "TLS_AES_128_GCM_SHA256" if version == "TLSv1.3" else "ECDHE-RSA-AES128-SHA"
    ours = "TLS_AES_256_GCM_SHA384" if version == "TLSv1.3" else "ECDHE-RSA-AES256-SHA384"
    pair = Pair(
        pki,
        version,
        server={"context": serverContext(pki, version, ciphers=ours)},
        client={"context": createSecureContext(ca=pki.ca, ciphers=theirs, maxVersion=version)},
    )
    pair.client.start()
    pair.server.engine.receive(pair.client.output())
    alert = pair.server.engine.driver.pendingOutput()
    assert alert == 7
    pair.server.pull()
    assert pair.server.names == ["Failed"]
    error = pair.server.events[0].error
    assert error.code == "ERR_SSL_NO_SHARED_CIPHER"
    assert (error.blame, error.phase, error.alert) == (Blame.PEER, Phase.HANDSHAKING, 40)
    pair.exchange()
    told = pair.client.one(events.Failed).error
    assert told.code == "ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE"
    assert (told.blame, told.phase, told.alert) == (Blame.PEER, Phase.HANDSHAKING, 40)


def test_what_we_lack_is_not_blamed_on_the_peer(pki: Pki) -> None:
    context = createSecureContext(
        ca=pki.ca, ciphers="ECDHE-RSA-AES128-SHA", minVersion="TLSv1.2", maxVersion="TLSv1.2"
    )
    context.native.set_options(SSL.OP_NO_TLSv1_2)
    client = Side(clientEngine(pki, context=context))
    client.start()
    client.pull()
    error = client.one(events.Failed).error
    assert error.code == "ERR_SSL_NO_PROTOCOLS_AVAILABLE"
    assert error.blame is Blame.LOCAL
    assert error.phase is Phase.HANDSHAKING
    client.receive(b"anything")
    assert client.names == ["Failed"]


def test_garbage_gets_openssls_own_alert(pki: Pki) -> None:
    for asks in (False, True):
        server = Side(serverEngine(pki, askAboutHello=asks))
        server.receive(b"GET / HTTP/1.1\r\n\r\n")
        assert server.one(events.Failed).error.code == "ERR_SSL_HTTP_REQUEST"
        server.receive(b"Host: x\r\n")
        assert server.names == ["Failed"]


def test_a_failure_behind_our_own_close_notify_is_one_of_closing(pair: Pair) -> None:
    pair.server.engine.shutdown()
    pair.server.receive(b"\x17\x03\x03\0\x20" + bytes(32))
    assert pair.server.one(events.Failed).error.phase is Phase.CLOSING


def test_an_error_of_one_connection_leaves_the_others_alone(pki: Pki, version: str) -> None:
    good = Pair(pki, version).shake()
    bad = Side(serverEngine(pki, version))
    bad.engine.receive(b"\x16\x03\x01\0\x05garbage")
    assert good.client.engine.send(b"x")
    good.exchange()
    assert good.server.data == b"x"
    bad.pull()
    assert bad.names[-1] == "Failed"


# -- the end of an engine


def test_a_closed_engine_tells_and_takes_nothing(pair: Pair) -> None:
    pair.client.engine.send(b"unread")
    pair.server.engine.receive(pair.client.output())
    engine = pair.server.engine
    engine.close()
    assert engine.nextEvent() is None
    engine.receive(b"x")
    engine.receiveEnd()
    engine.shutdown()
    engine.resume(Answer())
    engine.fail(NodeError("late"))
    assert engine.send(b"x") is False
    assert engine.nextEvent() is None
    assert (engine.receiving, engine.sending) == (Receiving.DEAD, Sending.DEAD)
    engine.close()


def test_an_end_before_the_handshake_sends_nothing(pki: Pki, version: str) -> None:
    engine = clientEngine(pki, version)
    engine.shutdown()
    assert engine.dataToSend() == b""
    assert engine.sending is Sending.CLOSED


# -- sessions and key log


def test_two_tickets_of_one_flight_are_two_sessions(pki: Pki) -> None:
    pair = Pair(pki, "TLSv1.3")
    pair.client.start()
    pair.server.receive(pair.client.output())
    pair.client.receive(pair.server.output())
    pair.server.receive(pair.client.output())
    pair.server.engine.send(b"behind the tickets")
    pair.client.receive(pair.server.output())
    assert pair.client.names == [
        "HandshakeCompleted",
        "SessionIssued",
        "SessionIssued",
        "data",
    ]
    first, second = pair.client.events[1:3]
    assert first.session != second.session
    assert queries.ticketOf(first.session) != queries.ticketOf(second.session)


@pytest.mark.parametrize("which", [0, -1])
def test_a_session_is_resumed(which: int, pki: Pki, version: str) -> None:
    context = serverContext(pki, version)
    first = Pair(pki, version, server={"context": context}).shake()
    issued = [e for e in first.client.events if isinstance(e, events.SessionIssued)]
    pair = Pair(
        pki, version, server={"context": context}, client={"session": issued[which].session}
    ).shake()
    assert queries.sessionReused(pair.server.engine.driver)
    assert queries.sessionReused(pair.client.engine.driver)
    # A resumed session is no new one, and as in Node brings no new ticket.
    assert pair.client.count(events.SessionIssued) == 0


def test_what_is_no_session_is_not_offered(pki: Pki, version: str) -> None:
    pair = Pair(pki, version, client={"session": b"no session"}).shake()
    assert pair.client.secured
    assert not queries.sessionReused(pair.client.engine.driver)


def test_the_key_log_comes_before_the_handshake_is_told(pki: Pki, version: str) -> None:
    pair = Pair(pki, version, client={"keylog": True}, server={"keylog": True}).shake()
    for side in (pair.client, pair.server):
        lines = [e.line for e in side.events if isinstance(e, events.KeyLogged)]
        assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
        label = b"CLIENT_RANDOM" if version == "TLSv1.2" else b"SERVER_HANDSHAKE_TRAFFIC_SECRET"
        assert any(line.startswith(label) for line in lines)
        assert side.names.index("KeyLogged") < side.names.index("HandshakeCompleted")
    assert _secrets(pair.client) == _secrets(pair.server)


def _secrets(side: Side) -> set[bytes]:
    return {e.line for e in side.events if isinstance(e, events.KeyLogged)}


def test_who_asks_for_no_key_log_gets_none_though_another_one_does(pki: Pki) -> None:
    context = serverContext(pki)
    Pair(pki, server={"context": context, "keylog": True}).shake()
    pair = Pair(pki, server={"context": context, "alpn": b"\x01x"}).shake()
    assert "KeyLogged" not in pair.server.names


# -- settings


@pytest.mark.parametrize(
    ("requestCert", "rejectUnauthorized", "mode"),
    [
        (False, False, SSL.VERIFY_NONE),
        (False, True, SSL.VERIFY_NONE),
        (True, False, SSL.VERIFY_PEER),
        (True, True, SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT),
    ],
)
def test_the_verification_mode(requestCert: bool, rejectUnauthorized: bool, mode: int) -> None:
    assert verifyMode(requestCert, rejectUnauthorized) == mode


def test_further_options(pki: Pki) -> None:
    pair = Pair(pki, client={"options": int(SSL.OP_NO_TLSv1_3)}).shake()
    assert queries.protocol(pair.client.engine.driver) == "TLSv1.2"


def test_no_name_is_sent_that_was_not_given(pki: Pki, version: str) -> None:
    pair = Pair(pki, version, client={"servername": None}).shake()
    assert queries.servername(pair.server.engine.driver) is None
