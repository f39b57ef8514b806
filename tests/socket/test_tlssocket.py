"""TLSSocket in memory: what it tells, keeps, sends and lets go of."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

import txnodetls as tls
from tests.conftest import LoggedErrors
from tests.support import Pki
from tests.tlspairs import GARBAGE, Told, inject, memoryPair, wireOf
from txnodetls.errors import Blame, NodeError, Phase
from txnodetls.interfaces import ITLSSocket
from txnodetls.socket import tlssocket as sockets
from txnodetls.streams.ticks import ticksFor
from txnodetls.testing import MemoryPair

MiB = 1024 * 1024


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def version(request: pytest.FixtureRequest) -> str:
    """Each test that names it is made for both."""
    return str(request.param)


def accepted(pair: MemoryPair) -> list[Any]:
    """The sockets that the server has called secure."""
    found: list[Any] = []
    pair.listener.on("secureConnection", found.append)
    return found


@pytest.mark.parametrize("side", ["client", "server"])
def test_it_provides_the_interface(side: str, pki: Pki) -> None:
    assert verifyObject(ITLSSocket, getattr(memoryPair(pki), side))


# -- the order of things


def test_a_life_from_the_handshake_to_the_close(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version}, pump=False)
    client, server = Told(pair.client), Told(pair.server)
    pair.client.on("secureConnect", lambda: pair.client.end(b"question"))
    pair.server.on("end", lambda: server.events.append("(peer's end)"))
    pair.server.write(b"answer")
    pair.pump()
    # In TLS 1.3 the client is done first.
    middle = ["data", "finish"] if version == "TLSv1.2" else ["finish", "data"]
    assert client.events == ["secureConnect", "secure", *middle, "end", "close"]
    assert server.events == ["secure", "data", "end", "(peer's end)", "finish", "close"]
    assert (client.data, server.data) == (b"answer", b"question")
    assert client.arguments["close"] == server.arguments["close"] == (False,)


def test_byte_by_byte_it_is_the_same(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version}, limit=1, pump=False)
    client, server = Told(pair.client), Told(pair.server)
    pair.client.end(b"question")
    pair.server.end(b"answer")
    pair.pump()
    assert (client.data, server.data) == (b"answer", b"question")
    assert client.errors == server.errors == []
    assert client.events[-1] == server.events[-1] == "close"


def test_a_listener_may_destroy_and_hears_nothing_more(pki: Pki, version: str) -> None:
    """Data that came with the handshake's last flight is not delivered any more."""
    pair = memoryPair(pki, {"maxVersion": version}, pump=False)
    client = Told(pair.client)
    pair.server.write(b"greeting")
    pair.client.on("secureConnect", pair.client.destroy)
    pair.pump()
    assert "data" not in client.events
    assert client.events[-1] == "close"


@pytest.mark.parametrize("action", ["destroy", "end", "pause", "destroySoon"])
def test_a_listener_of_data_may_do_anything(action: str, pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version})
    server = Told(pair.server)
    pair.server.once("data", lambda _: getattr(pair.server, action)())
    pair.client.on("error", lambda error: None)
    for _ in range(10):
        pair.client.write(b"x" * 20000)
    pair.pump()
    if action in ("destroy", "destroySoon"):
        assert server.events[-1] == "close"
    elif action == "pause":
        assert pair.server.isPaused()
        pair.server.resume()
        pair.pump()
        assert len(server.data) == 200_000
    assert server.errors == []
    assert not pair.server._pumping


def test_data_may_be_answered_in_its_listener(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version})
    client = Told(pair.client)
    pair.server.on("data", lambda data: [pair.server.write(bytes([b])) for b in data])
    pair.client.write(bytes(range(200)))
    pair.pump()
    assert client.data == bytes(range(200))


# -- before the handshake


def test_what_is_written_early_is_kept_in_order(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version}, pump=False)
    server = Told(pair.server)
    done: list[Any] = []
    for number in range(100):
        pair.client.write(b"%03d" % number, lambda error, n=number: done.append((n, error)))
    assert done == []
    pair.pump()
    assert server.data == b"".join(b"%03d" % number for number in range(100))
    assert done == [(number, None) for number in range(100)]


def test_early_writes_say_when_it_is_enough_and_drain_says_when_it_is_not(pki: Pki) -> None:
    pair = memoryPair(pki, pump=False)
    client = Told(pair.client)
    assert pair.client.write(b"x" * 1000)
    assert not pair.client.write(b"x" * 100_000)
    assert pair.client.writableNeedDrain
    assert client.events == []
    pair.pump()
    assert client.events.count("drain") == 1
    assert pair.client.writableLength == 0


def test_early_writes_are_bounded(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "MAX_EARLY_WRITES", MiB)
    pair = memoryPair(pki, pump=False)
    client = Told(pair.client)
    results: list[Any] = []
    for _ in range(4):
        pair.client.write(bytes(MiB // 4), results.append)
    assert not pair.client.destroyed
    assert pair.client.write(b"one more", results.append) is False
    assert pair.client.destroyed
    pair.pump()
    (error,) = client.errors
    assert error.code == "ENOBUFS"
    assert (error.blame, error.phase) == (Blame.LOCAL, Phase.HANDSHAKING)
    # As in Node, the one that was under way is told apart.
    assert sorted(result.code for result in results) == ["ECANCELED", *["ENOBUFS"] * 4]
    assert pair.client.writableLength == 0
    assert client.events == ["error", "close"]


def test_one_piece_that_is_too_much_is_too_much(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "MAX_EARLY_WRITES", MiB)
    pair = memoryPair(pki, pump=False)
    client = Told(pair.client)
    assert pair.client.write(bytes(MiB + 1)) is False
    pair.pump()
    assert client.codes == ["ENOBUFS"]


def test_behind_the_handshake_only_the_mark_counts(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "MAX_EARLY_WRITES", 1000)
    pair = memoryPair(pki)
    server = Told(pair.server)
    pair.client.write(bytes(MiB))
    pair.client.write(bytes(MiB))
    pair.pump()
    assert len(server.data) == 2 * MiB


def test_early_writes_are_let_go_when_the_connection_dies(pki: Pki) -> None:
    pair = memoryPair(pki, pump=False)
    results: list[Any] = []
    pair.client.on("error", lambda error: None)
    pair.client.write(b"x" * 100, results.append)
    pair.client.write(b"y" * 100, results.append)
    pair.client.destroy(NodeError("enough", "ENOUGH"))
    assert pair.client.writableLength in (0, 100)
    pair.pump()
    assert [result.code for result in results] == ["ECANCELED", "ENOUGH"]
    assert pair.client.writableLength == 0
    assert pair.client._waiting is None


@pytest.mark.parametrize("data", [None, b"question"])
def test_an_early_end_waits_for_the_handshake(data: bytes | None, pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version}, pump=False)
    client, server = Told(pair.client), Told(pair.server)
    secured = accepted(pair)
    pair.client.end(data)
    pair.pump()
    assert secured == [pair.server]
    assert client.errors == server.errors == []
    assert server.data == (data or b"")
    assert client.events[-1] == server.events[-1] == "close"


def test_the_memory_of_an_early_chunk_is_the_callers_again(pki: Pki) -> None:
    pair = memoryPair(pki, pump=False)
    server = Told(pair.server)
    buffer = bytearray(b"before")
    pair.client.write(buffer)
    pair.client.write(memoryview(buffer))
    buffer[:] = b"after!"
    pair.pump()
    assert server.data == b"beforebefore"


# -- nothing for whom we do not trust


@pytest.mark.parametrize("where", ["early", "keylog", "OCSPResponse", "checkServerIdentity"])
def test_a_rejected_server_gets_no_data_wherever_it_was_written(
    where: str, pki: Pki, version: str
) -> None:
    """TLS 1.3: not even our Finished message, so it never sees the connection as secure."""
    written: list[str] = []

    def write(*_: Any) -> None:
        written.append(where)
        pair.client.write(b"secret" * 50000)

    options: dict[str, Any] = {"requestOCSP": True}
    if where == "checkServerIdentity":

        def check(host: str, certificate: Any) -> NodeError:
            write()
            return NodeError("no", "NO")

        options["checkServerIdentity"] = check
    else:
        options["ca"] = tls.rootCertificates[:1]
    pair = memoryPair(pki, {"maxVersion": version}, options, pump=False)
    client, server, secured = Told(pair.client), Told(pair.server), accepted(pair)
    failed: list[Any] = []
    pair.listener.on("tlsClientError", lambda error, socket: failed.append(error.code))
    if where == "early":
        write()
    elif where != "checkServerIdentity":
        pair.client.on(where, write)
    pair.pump()
    assert written
    assert len(client.errors) == 1
    assert server.data == b""
    if version == "TLSv1.3":
        assert secured == []
        assert failed == ["ECONNRESET"]


def test_what_others_write_meanwhile_sends_nothing_to_a_server_that_is_being_judged(
    pki: Pki,
) -> None:
    """
    The server's flight comes in pieces of one turn, so this connection's output is the next to be
    sent; and the check of the certificate writes to another connection, which sends it.
    """
    other = memoryPair(pki)
    received = Told(other.server)

    def check(host: str, certificate: Any) -> NodeError:
        other.client.write(b"a log entry")
        assert list(wireOf(pair).queue) == []
        return NodeError("no", "NO")

    pair = memoryPair(pki, {}, {"checkServerIdentity": check}, limit=300, pump=False)
    client, secured = Told(pair.client), accepted(pair)
    pair.listener.on("tlsClientError", lambda error, socket: None)
    toClient, toServer = pair._wires
    pair.clock.advance(0)
    while toServer.deliver():
        pass
    pair.clock.advance(0)

    def wholeFlight() -> None:
        while toClient.deliver():
            pass

    toClient.ticks.turn(wholeFlight)
    pair.pump()
    other.pump()
    assert client.codes == ["NO"]
    assert secured == []
    assert received.data == b"a log entry"


def test_a_rejected_client_gets_no_data(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version, "requestCert": True}, pump=False)
    client, secured = Told(pair.client), accepted(pair)
    pair.listener.on("tlsClientError", lambda error, socket: None)
    pair.server.write(b"secret")
    pair.pump()
    assert secured == []
    assert client.data == b""


# -- three ends


def test_a_half_closed_connection_goes_on_in_the_other_direction(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version, "allowHalfOpen": True}, {"allowHalfOpen": True})
    pair.client.allowHalfOpen = pair.server.allowHalfOpen = True
    client, server = Told(pair.client), Told(pair.server)
    pair.client.end(b"question")
    pair.pump()
    assert server.events == ["data", "end"]
    assert not pair.server.destroyed
    pair.server.write(b"long ")
    pair.pump()
    pair.server.end(b"answer")
    pair.pump()
    assert client.data == b"long answer"
    assert client.events[-1] == server.events[-1] == "close"


def test_a_peer_that_only_ends_its_tcp_is_still_answered(pki: Pki, version: str) -> None:
    """No close_notify came: truncated; as in Node, what is written still goes out."""
    pair = memoryPair(pki, {"maxVersion": version})
    pair.server.allowHalfOpen = True
    client, server = Told(pair.client), Told(pair.server)
    pair._wires[0].end()
    pair.pump()
    assert server.events == ["end"]
    pair.server.end(b"answer")
    pair.pump()
    assert client.data == b"answer"
    assert client.events[:2] == ["data", "end"]
    assert server.errors == []


def test_a_truncated_connection_ends_and_closes_without_an_error(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version})
    client, server = Told(pair.client), Told(pair.server)
    pair.cut()
    assert client.events == server.events == ["end", "finish", "close"]


def test_a_cut_in_the_handshake_is_an_error(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version}, pump=False)
    client = Told(pair.client)
    failed: list[Any] = []
    pair.listener.on("tlsClientError", lambda error, socket: failed.append((error.code, socket)))
    pair.step()
    pair.cut()
    assert client.codes == ["ECONNRESET"]
    assert client.events == ["end", "error", "close"]
    assert failed == [("ECONNRESET", pair.server)]


def test_garbage_behind_the_handshake_is_one_error_and_one_close(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version})
    client, server = Told(pair.client), Told(pair.server)
    inject(pair, GARBAGE + GARBAGE)
    pair.pump()
    (error,) = server.errors
    assert (error.blame, error.phase) == (Blame.PEER, Phase.OPEN)
    assert server.events[-1] == "close"
    assert server.events.count("close") == 1
    # The alert arrives.
    assert client.codes in (
        ["ERR_SSL_SSL/TLS_ALERT_BAD_RECORD_MAC"],
        ["ERR_SSL_TLSV1_ALERT_DECRYPT_ERROR"],
    )
    assert client.events[-1] == "close"


def test_an_error_while_data_waits_to_be_sent_is_still_one(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version})
    server = Told(pair.server)
    pair.client.on("error", lambda error: None)
    pair.client.pause()
    results: list[Any] = []
    for _ in range(30):
        pair.server.write(bytes(65536), results.append)
    inject(pair, GARBAGE)
    pair.pump()
    assert len(server.errors) == 1
    pair.server.destroy()
    pair.pump()
    assert len(server.errors) == 1
    assert len(results) == 30


def test_an_error_that_nobody_listens_to_is_logged_and_ends_its_own_socket(
    pki: Pki, loggedErrors: LoggedErrors
) -> None:
    pair = memoryPair(pki)
    other = memoryPair(pki)
    pair.client.on("error", lambda error: None)
    pair.server.resume()
    inject(pair, GARBAGE)
    pair.pump()
    assert pair.server.destroyed
    (error,) = loggedErrors.flush(NodeError)
    assert error.code.startswith("ERR_SSL_")  # type: ignore[attr-defined]
    told = Told(other.server)
    other.client.write(b"x")
    other.pump()
    assert told.data == b"x"


class Oops(Exception):
    """What a listener raises."""


@pytest.mark.parametrize("event", ["secureConnect", "data", "end", "session", "keylog", "close"])
def test_a_listener_that_raises_ends_its_own_socket(
    event: str, pki: Pki, loggedErrors: LoggedErrors
) -> None:
    def raising(*_: Any) -> None:
        raise Oops

    pair = memoryPair(pki, pump=False)
    pair.client.once(event, raising)
    client, server = Told(pair.client), Told(pair.server)
    pair.server.end(b"data")
    pair.pump()
    assert client.events[-1] == server.events[-1] == "close"
    assert len(loggedErrors.flush(Oops)) == 1
    assert client.errors == []


# -- destroyed at every moment


def silently(pair: MemoryPair) -> None:
    pair.listener.on("tlsClientError", lambda error, socket: None)
    for socket in (pair.client, pair.server):
        socket.on("error", lambda error: None)


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("error", [None, NodeError("enough", "ENOUGH")])
def test_destroyed_at_every_step_both_sides_close(
    side: str, error: NodeError | None, pki: Pki, version: str
) -> None:
    """After every number of deliveries, with data on its way in both directions."""
    for steps in range(60):
        pair = memoryPair(pki, {"maxVersion": version}, limit=150, pump=False)
        closed: list[tuple[str, Any]] = []
        for name in ("client", "server"):
            socket = getattr(pair, name)
            socket.on("close", lambda had, name=name, c=closed: c.append((name, had)))
            socket.on("data", lambda data, name=name: None)
        silently(pair)
        pair.client.write(b"q" * 1000)
        pair.server.write(b"a" * 1000)
        for _ in range(steps):
            pair.step()
        victim = getattr(pair, side)
        data: list[Any] = []
        victim.on("data", data.append)
        victim.destroy(error)
        victim.destroy(NodeError("a second time"))
        pair.pump()
        assert sorted(name for name, _ in closed) == ["client", "server"], steps
        assert (side, error is not None) in closed
        assert data == []
        assert victim._engine is None
        assert victim.getPeerCertificate() is None


def test_destroyed_in_each_event(pki: Pki, version: str) -> None:
    for event in ("keylog", "secureConnect", "secure", "session", "data", "end", "finish"):
        pair = memoryPair(pki, {"maxVersion": version}, pump=False)
        silently(pair)
        pair.client.on(event, lambda *_, pair=pair: pair.client.destroy())
        told = Told(pair.client)
        pair.client.write(b"question")
        pair.server.on("data", lambda data, pair=pair: pair.server.end(b"answer"))
        pair.pump()
        assert pair.client.destroyed
        assert pair.server.destroyed
        assert told.events.count("close") == 1
        assert told.errors == []


def test_a_socket_that_stands_on_another_takes_it_along(pki: Pki) -> None:
    pair = memoryPair(pki, pump=False)
    silently(pair)
    below = pair.client._parent
    assert below is not None
    closed: list[Any] = []
    below.on("close", closed.append)
    pair.client.destroy()
    pair.pump()
    assert below.destroyed
    assert closed == [False]


# -- beside others that are called in the same batch


def test_long_flights_wait_for_a_few_others_and_short_ones_for_all(pki: Pki, version: str) -> None:
    """With a session there is no certificate in it, and it is short."""
    options = {"maxVersion": version, "ticketKeys": bytes(48), "ecdhCurve": "X25519"}
    sessions: list[bytes] = []
    for resumed in (False, True):
        session = {"session": sessions[-1]} if resumed else {}
        clock = Clock()
        ticks = ticksFor(clock)
        pairs = [memoryPair(pki, options, session, clock=clock, pump=False) for _ in range(3)]
        pair = pairs[-1]
        pair.client.on("session", sessions.append)
        clock.advance(0)
        sent: list[int] = []
        for each in pairs:
            while each._wires[1].queue:  # the ClientHello
                ticks.gathering = True
                each._wires[1].deliver()
            sent.append(sum(bool(other._wires[0].queue) for other in pairs))
        assert sent == ([0, 0, 0] if resumed else [0, 0, 3])
        ticks.settle()
        for each in pairs:
            assert each._wires[0].queue
            each.pump()
        toClient = pair._wires[0]
        assert pair.client.isSessionReused() is resumed
        # What comes behind the handshake waits.
        ticks.gathering = True
        ticks.turn(pair.server.write, bytes(10_000))
        assert not toClient.queue
        ticks.settle()
        assert toClient.queue
        pair.pump()


def test_in_a_batch_the_end_comes_with_what_others_have_to_send(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version, "allowHalfOpen": True})
    ticks = ticksFor(pair.clock)
    toClient = pair._wires[0]
    ticks.gathering = True
    ticks.turn(pair.server.end, b"the last")
    assert not toClient.queue
    ticks.settle()
    *records, end = toClient.queue
    assert b"".join(records)
    assert end is None
    pair.pump()
    assert pair.client.read() == b"the last"
    assert not pair.server.destroyed


def test_in_a_batch_who_is_destroyed_sends_what_it_has_written(pki: Pki, version: str) -> None:
    pair = memoryPair(pki, {"maxVersion": version})
    ticks = ticksFor(pair.clock)

    def last() -> None:
        pair.server.write(b"the last")
        pair.server.destroy()

    ticks.gathering = True
    ticks.turn(last)
    ticks.settle()
    pair.pump()
    assert pair.client.read() == b"the last"
