"""
A ClientHello in two pieces at each of its bytes, in TCP's and in TLS's: each a whole handshake.

With a server that asks about it, which reads it itself, and with one that leaves it to OpenSSL.
"""

from __future__ import annotations

import pytest

import txnodetls as tls
from tests.protocol.engines import Pair, serverContext
from tests.support import Pki
from txnodetls.protocol import events
from txnodetls.protocol.engine import Answer

VERSIONS = ["TLSv1.2", "TLSv1.3"]
# A ClientHello without the keys of a hybrid, which are a kilobyte.
GROUPS = "X25519:P-256"
# The header of a record: no part of what the two sides compare.
HEADER = 5


class Handshakes:
    """Handshakes of one kind, whose ClientHello a test delivers as it likes."""

    def __init__(self, pki: Pki, version: str, asks: bool) -> None:
        only = {"minVersion": version, "maxVersion": version, "ecdhCurve": GROUPS}
        self.pki = pki
        self.asks = asks
        self.client = tls.createSecureContext({"ca": pki.ca, **only})
        self.server = serverContext(pki, version, ecdhCurve=GROUPS)

    def pair(self) -> tuple[Pair, bytes]:
        """Two engines, and the ClientHello."""
        pair = Pair(
            self.pki,
            client={"context": self.client, "alpn": b"\x02h2"},
            server={"context": self.server, "alpn": b"\x02h2", "askAboutHello": self.asks},
        )
        pair.client.start()
        return pair, pair.client.output()

    def succeeds(self, pair: Pair, pieces: list[bytes]) -> None:
        server = pair.server
        for position, piece in enumerate(pieces):
            assert server.names == [], f"before piece {position} of {len(pieces)}"
            server.receive(piece)
        if self.asks:
            hello = server.one(events.ClientHelloReceived).hello
            assert (hello.servername, hello.alpn) == ("localhost", (b"h2",))
            server.engine.resume(Answer())
            server.pull()
        pair.exchange()
        assert server.secured
        assert pair.client.secured
        assert server.count(events.Failed) == pair.client.count(events.Failed) == 0


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[True, False], ids=["asks", "leaves it to OpenSSL"])
def handshakes(pki: Pki, version: str, request: pytest.FixtureRequest) -> Handshakes:
    return Handshakes(pki, version, request.param)


def records(hello: bytes, *sizes: int) -> bytes:
    """The same message in records of these sizes; the last one has the rest."""
    body, parts = hello[5:], []
    for size in sizes:
        parts.append(body[:size])
        body = body[size:]
    return b"".join(hello[:3] + len(part).to_bytes(2, "big") + part for part in (*parts, body))


def lengthOf(handshakes: Handshakes) -> int:
    return len(handshakes.pair()[1])


def test_it_may_be_cut_at_every_byte(handshakes: Handshakes) -> None:
    for cut in range(1, lengthOf(handshakes)):
        pair, hello = handshakes.pair()
        handshakes.succeeds(pair, [hello[:cut], hello[cut:]])


def test_it_may_be_in_two_records_cut_at_every_byte(handshakes: Handshakes) -> None:
    for cut in range(1, lengthOf(handshakes) - 5):
        pair, hello = handshakes.pair()
        handshakes.succeeds(pair, [records(hello, cut)])


def test_each_byte_may_come_by_itself(handshakes: Handshakes) -> None:
    pair, hello = handshakes.pair()
    handshakes.succeeds(pair, [bytes([byte]) for byte in hello])


@pytest.mark.parametrize("slowly", [False, True], ids=["at once", "byte by byte"])
def test_each_byte_may_have_a_record_of_its_own(handshakes: Handshakes, slowly: bool) -> None:
    pair, hello = handshakes.pair()
    whole = records(hello, *[1] * (len(hello) - 6))
    assert len(whole) == 6 * (len(hello) - 5)
    handshakes.succeeds(pair, [bytes([byte]) for byte in whole] if slowly else [whole])


def test_the_whole_handshake_may_come_a_byte_at_a_time(handshakes: Handshakes) -> None:
    pair, hello = handshakes.pair()
    for byte in hello:
        pair.server.receive(bytes([byte]))
    if handshakes.asks:
        pair.server.engine.resume(Answer())
        pair.server.pull()
    pair.exchange(1)
    assert pair.server.secured
    assert pair.client.secured


def test_what_is_cut_off_at_any_byte_is_one_end(handshakes: Handshakes) -> None:
    for cut in range(lengthOf(handshakes)):
        pair, hello = handshakes.pair()
        pair.server.receive(hello[:cut])
        pair.server.engine.receiveEnd()
        pair.server.pull()
        (end,) = pair.server.events
        assert isinstance(end, events.Truncated)
        assert not end.secured
        assert pair.server.output() == b""


def test_with_any_byte_changed_no_handshake_is_done(handshakes: Handshakes) -> None:
    """What the server does not notice, the client does, or the server by the client's Finished."""
    for position in range(HEADER, lengthOf(handshakes)):
        pair, hello = handshakes.pair()
        changed = bytearray(hello)
        changed[position] ^= 0xFF
        pair.server.receive(bytes(changed))
        if pair.server.count(events.ClientHelloReceived):
            pair.server.engine.resume(Answer())
            pair.server.pull()
        pair.exchange()
        assert not pair.server.secured
        assert pair.server.count(events.Failed) <= 1
        assert pair.client.count(events.Failed) <= 1
