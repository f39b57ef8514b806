"""The driver, without an engine around it."""

from __future__ import annotations

import os
import weakref
from typing import Any

import pytest
from OpenSSL import SSL
from OpenSSL._util import lib

from tests.protocol.engines import StandardPeer, serverContext
from tests.support import Pki
from txnodetls import createSecureContext
from txnodetls.openssl import calls, queries
from txnodetls.openssl.areas import INPUT, OUTPUT
from txnodetls.openssl.calls import CLOSED, DONE, FAILED, WANT_READ, Driver, setPskHint, sslKey
from txnodetls.openssl.failures import drainErrors


class Joined:
    """A client's driver and a server's whose handshake is done."""

    def __init__(self, pki: Pki, version: str = "TLSv1.3") -> None:
        self.server = Driver(serverContext(pki, version).native, True)
        self.client = Driver(createSecureContext(ca=pki.ca, maxVersion=version).native, False)
        outcomes: list[int] = []
        while outcomes[-2:] != [DONE, DONE]:
            outcomes.append(self.client.handshake())
            carry(self.client, self.server)
            outcomes.append(self.server.handshake())
            carry(self.server, self.client)

    def both(self) -> tuple[Driver, Driver]:
        return self.client, self.server


def move(data: memoryview) -> None:
    """From the output area to the input area."""
    INPUT.view[: len(data)] = data


def carry(sender: Driver, receiver: Driver) -> int:
    data = sender.take()
    if data:
        receiver.feed(data)
    return len(data)


def drained(driver: Driver) -> bytes:
    """All that can be read; the last outcome is WANT_READ."""
    data = b""
    while True:
        piece, outcome, hasSession = driver.read()
        data += piece
        if outcome == WANT_READ and not hasSession:
            return data
        assert outcome == DONE


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def joined(request: pytest.FixtureRequest, pki: Pki) -> Joined:
    return Joined(pki, request.param)


def test_a_handshake_wants_to_read_until_it_is_done(pki: Pki) -> None:
    server = Driver(serverContext(pki).native, True)
    assert server.handshake() == WANT_READ
    peer = StandardPeer(pki, "TLSv1.3", isServer=False)
    peer.start()
    server.feed(peer.output())
    assert server.handshake() == WANT_READ
    assert server.pendingInput() == 0
    assert server.pendingOutput() > 0
    peer.receive(server.take())
    server.feed(peer.output())
    assert server.handshake() == DONE


def test_garbage_fails_and_says_why(pki: Pki) -> None:
    server = Driver(serverContext(pki).native, True)
    server.feed(b"GET / HTTP/1.0\r\n\r\n")
    assert server.handshake() == FAILED
    assert drainErrors()[0].text == "http request"


def test_a_stale_error_of_somebody_else_is_no_failure(joined: Joined) -> None:
    """The queue belongs to the thread, and whoever made a mistake may have left it there."""
    for driver in joined.both():
        drained(driver)
        leaveAnError()
        assert driver.read() == (b"", WANT_READ, False)
        leaveAnError()
        assert driver.write(b"x") == DONE
        leaveAnError()
        assert driver.handshake() == DONE
        leaveAnError()
        driver.shutdown()
        assert drainErrors() == []


def leaveAnError() -> None:
    native = SSL.Context(SSL.TLS_METHOD)
    assert lib.SSL_CTX_set_cipher_list(native._context, b"no such cipher") == 0
    assert lib.ERR_peek_error()


def test_what_is_written_is_read(joined: Joined) -> None:
    client, server = joined.both()
    for data in (b"bytes", bytearray(b"bytearray"), memoryview(b"memoryview")):
        assert client.write(data) == DONE
        carry(client, server)
        assert server.read() == (bytes(data), WANT_READ, False)
    assert server.read() == (b"", WANT_READ, False)


def test_a_read_brings_all_that_fits_and_says_when_there_is_more(joined: Joined) -> None:
    client, server = joined.both()
    drained(client)
    piece = bytes(131072)
    for _ in range(8):
        assert server.write(piece) == DONE
    carry(server, client)
    data, outcome, _ = client.read()
    assert outcome == DONE
    assert INPUT.size <= len(data) <= INPUT.size + 4 * calls.RECORD
    assert len(data) + len(drained(client)) == 8 * len(piece)


def test_half_a_record_waits_for_the_other_half(joined: Joined) -> None:
    client, server = joined.both()
    client.write(b"x" * 1000)
    data = client.take()
    server.feed(data[:500])
    assert server.read() == (b"", WANT_READ, False)
    server.feed(data[500:])
    assert server.read()[0] == b"x" * 1000


def test_close_notify_closes_one_direction(joined: Joined) -> None:
    client, server = joined.both()
    client.write(b"last")
    client.shutdown()
    carry(client, server)
    assert server.read() == (b"last", CLOSED, False)
    assert server.read() == (b"", CLOSED, False)
    drained(client)
    assert server.write(b"answer") == DONE
    carry(server, client)
    assert client.read()[0] == b"answer"


def test_no_close_notify_before_the_handshake(pki: Pki) -> None:
    client = Driver(createSecureContext().native, False)
    client.handshake()
    hello = client.take()
    assert hello
    client.shutdown()
    assert client.take() == b""
    assert drainErrors() == []


def test_new_sessions_stop_the_reading_one_by_one(pki: Pki) -> None:
    client, server = Joined(pki, "TLSv1.3").both()
    client.sessionChanged()
    server.write(b"data")
    carry(server, client)
    told = []
    while True:
        data, outcome, hasSession = client.read()
        told.append((data, hasSession))
        if outcome == WANT_READ:
            break
    assert told == [(b"", True), (b"", True), (b"data", False)]


def test_an_offered_session_is_no_new_one(pki: Pki) -> None:
    first = Joined(pki, "TLSv1.2").client
    session = queries.session(first)
    assert session is not None
    client = Driver(createSecureContext(ca=pki.ca).native, False)
    assert client.setSession(session)
    assert not client.sessionChanged()


@pytest.mark.parametrize("session", [b"", b"\x30", b"no session", b"\x30\x03\x02\x01\x01"])
def test_what_is_no_session_is_not_taken(session: bytes) -> None:
    client = Driver(createSecureContext().native, False)
    assert not client.setSession(session)
    assert drainErrors() == []
    assert client.handshake() == WANT_READ


# -- memory


def test_the_input_area_is_as_good_as_bytes(joined: Joined) -> None:
    client, server = joined.both()
    client.write(b"x" * 100)
    length = client.drain(move)
    server.feedArea(length)
    assert server.read()[0] == b"x" * 100


def test_bios_that_have_grown_are_replaced_and_others_are_not(joined: Joined) -> None:
    client, server = joined.both()
    drained(client)

    def bios() -> list[Any]:
        return [
            each
            for driver in joined.both()
            for each in (driver.connection._into_ssl, driver.connection._from_ssl)
        ]

    before = bios()
    server.write(b"small")
    carry(server, client)
    drained(client)
    assert bios() == before
    server.write(bytes(100_000))
    carry(server, client)
    assert len(drained(client)) == 100_000
    assert client.read() == (b"", WANT_READ, False)
    after = bios()
    assert after[0] != before[0]  # what the client is fed with
    assert after[1] == before[1]
    assert after[2] == before[2]
    assert after[3] != before[3]  # what the server gives
    server.write(b"it goes on")
    carry(server, client)
    assert drained(client) == b"it goes on"


def readFromArea(driver: Driver, data: bytes) -> tuple[bytes, int, bool]:
    """Read from the input area, which is not what it was afterwards."""
    INPUT.view[: len(data)] = data
    try:
        return driver.readArea(len(data))
    finally:
        INPUT.view[: len(data)] = bytes(len(data))


def test_much_is_read_from_the_input_area_itself(joined: Joined) -> None:
    client, server = joined.both()
    drained(client)
    sent = os.urandom(150_000)
    client.write(sent)
    records = client.take()
    assert readFromArea(server, records[:100_000])[1] == WANT_READ
    assert server.pendingInput() == 0
    client.write(b"behind it")
    # The rest of a record, and what is behind it, by another way.
    server.feed(records[100_000:] + client.take())
    assert drained(server).endswith(sent[-1000:] + b"behind it")


@pytest.mark.parametrize("cut", [1, 5, 16_000, 16_406, 16_407, 80_000, 99_999])
def test_the_area_may_end_anywhere_in_a_record(joined: Joined, cut: int) -> None:
    client, server = joined.both()
    drained(client)
    sent = os.urandom(100_000)
    client.write(sent)
    records = client.take()
    got = b""
    for part in (records[:cut], records[cut:]):
        data, outcome, _ = readFromArea(server, part)
        assert outcome == WANT_READ
        got += data
    assert got == sent


def test_what_is_not_read_from_the_area_is_kept(pki: Pki) -> None:
    """A client stops reading where a session comes; what is behind it has come all the same."""
    server = Driver(serverContext(pki, "TLSv1.3").native, True)
    client = Driver(createSecureContext(ca=pki.ca).native, False)
    assert client.handshake() == WANT_READ
    carry(client, server)
    assert server.handshake() == WANT_READ
    carry(server, client)
    assert client.handshake() == DONE
    carry(client, server)
    assert server.handshake() == DONE
    sent = os.urandom(150_000)
    server.write(sent)
    assert readFromArea(client, server.take()) == (b"", DONE, True)
    assert client.pendingInput() > len(sent)
    assert drained(client) == sent


def test_what_has_waited_before_is_not_lost(joined: Joined) -> None:
    client, server = joined.both()
    client.write(b"before ")
    server.feed(client.take())
    client.write(b"behind")
    assert readFromArea(server, client.take())[0] == b"before behind"


def test_what_is_wrong_in_the_area_is_told(joined: Joined) -> None:
    client, server = joined.both()
    drained(client)
    client.write(b"good")
    good = client.take()
    client.write(bytes(100_000))
    bad = bytearray(client.take())
    bad[20_000] ^= 1
    data, outcome, _ = readFromArea(server, good + bad)
    assert (data[:4], outcome) == (b"good", FAILED)
    assert drainErrors() != []


@pytest.mark.parametrize("size", [1, OUTPUT.size, 5 * OUTPUT.size])
def test_output_may_be_taken_from_where_it_lies(joined: Joined, size: int) -> None:
    client, server = joined.both()
    drained(client)
    for _ in range(3):
        data = os.urandom(size)
        server.write(data)
        waiting = server.pendingOutput()
        taken: list[bytes] = []
        assert server.drainMuch(lambda view, taken=taken: taken.append(bytes(view))) == waiting
        assert [len(each) for each in taken] == [waiting]
        assert server.pendingOutput() == server.drainMuch(taken.append) == 0
        client.feed(taken[0])
        assert drained(client) == data


def test_output_is_taken_before_it_is_given(joined: Joined) -> None:
    """Whoever comes back in the middle of it does not find the same again."""
    client, server = joined.both()
    drained(client)
    taken: list[bytes] = []

    def take(view: memoryview) -> None:
        taken.append(bytes(view))
        assert server.drainMuch(take) == server.drain(take) == 0

    server.write(b"once")
    server.drainMuch(take)
    server.write(b" and again")
    server.drain(take)
    client.feed(b"".join(taken))
    assert drained(client) == b"once and again"


def test_memory_for_much_is_kept_by_those_who_have_used_it_last(pki: Pki) -> None:
    def sends(driver: Driver, size: int = 100_000) -> None:
        driver.write(bytes(size))
        driver.drainMuch(lambda view: None)

    servers = [Joined(pki).server for _ in range(calls.KEPT + 2)]
    for each in servers:
        each.take()
    first, second, *others = servers
    memory = [each.connection._from_ssl for each in servers]

    def kept() -> list[bool]:
        return [each.connection._from_ssl == was for each, was in zip(servers, memory, strict=True)]

    for each in (first, second, first, *others[:-1]):
        sends(each)
    # One too many, but what waits in its memory is not lost.
    first.write(b"waits")
    assert kept() == [False] + [True] * (calls.KEPT + 1)
    waiting = second.pendingOutput()
    second.write(b"waits")
    sends(others[-1])
    assert kept() == [False] + [True] * (calls.KEPT + 1)
    assert second.pendingOutput() > waiting
    # Little is the end of it, for whom it may be.
    second.take()
    assert kept()[1] is False


def test_who_keeps_memory_for_much_can_be_freed(pki: Pki) -> None:
    joined = Joined(pki)
    driver = weakref.ref(joined.server)
    joined.server.write(bytes(100_000))
    joined.server.drainMuch(lambda view: None)
    del joined
    assert driver() is None


def test_no_memory_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lib:
        BIO_new = staticmethod(lambda method: calls.ffi.NULL)
        BIO_s_mem = staticmethod(lambda: None)

    monkeypatch.setattr(calls, "lib", Lib)
    with pytest.raises(MemoryError):
        calls._memoryBIO()


# -- alerts, contexts, hints


def test_the_alert_that_waits(pki: Pki) -> None:
    server = Driver(serverContext(pki, "TLSv1.3").native, True)
    assert server.alertSent() is None
    peer = StandardPeer(pki, "TLSv1.2", isServer=False)
    peer.start()
    server.feed(peer.output())
    assert server.handshake() == FAILED
    assert server.alertSent() == 70  # protocol_version
    drainErrors()
    server.take()
    assert server.alertSent() is None


def test_other_output_is_no_alert(pki: Pki) -> None:
    client = Driver(createSecureContext().native, False)
    client.handshake()
    assert client.pendingOutput() > 7
    assert client.alertSent() is None


def test_the_first_context_lives_as_long_as_the_connection(pki: Pki) -> None:
    """OpenSSL's caller crashes if it does not."""
    native = serverContext(pki).native
    driver = Driver(native, True)
    driver.switchContext(serverContext(pki).native)
    assert driver.native is native


def test_each_connection_has_a_number(joined: Joined) -> None:
    client, server = joined.both()
    assert sslKey(client.ssl) != sslKey(server.ssl)
    assert sslKey(client.ssl) == sslKey(client.connection._ssl)


@pytest.mark.parametrize(
    ("hint", "taken"), [(None, True), (b"", True), (b"h" * 128, True), (b"h" * 300, False)]
)
def test_psk_hints(hint: bytes | None, taken: bool, pki: Pki) -> None:
    assert setPskHint(serverContext(pki).native, hint) is taken
    assert drainErrors() == []


def test_who_cannot_be_asked_is_still_verified_as_before(joined: Joined) -> None:
    _, server = joined.both()
    before = lib.SSL_get_verify_mode(server.ssl)
    assert not server.askForCertificate(SSL.VERIFY_PEER)
    assert [entry.text for entry in drainErrors()] != []
    assert lib.SSL_get_verify_mode(server.ssl) == before
