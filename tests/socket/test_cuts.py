"""
A connection in memory that is cut behind every single byte of the handshake and of the first
records, in both directions, by FIN and by RST, seen through both faces.

Over the loopback, at fewer places: C{tests/test_cut_off.py}.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import ConnectionDone, ConnectionLost

from tests.socket.driving import Driven
from tests.support import Pki
from txnodetls.errors import Phase
from txnodetls.transports.carrier import brokenConnection

CLIENT, SERVER = 0, 1


class Cut(Driven):
    """
    A short conversation, cut behind so many bytes of one side's.

    @param direction: of which side's bytes; CLIENT or SERVER.
    @param after: behind how many of them; None: not at all.
    """

    def __init__(
        self,
        pki: Pki,
        version: str,
        faces: tuple[str, str],
        direction: int,
        after: int | None,
        reset: bool,
    ) -> None:
        super().__init__(pki, version, faces)
        self.reset = reset
        self.left = after
        # A wire holds what the other side has sent.
        self.cutting = self.pair._wires[1 - direction]
        self.passed = 0

    def step(self) -> bool:
        if self.left == 0:
            self.left = None
            self.cut()
            return True
        wire = self.cutting
        before = wire.bytesRead
        wire._limit = 65536 if self.left is None else self.left
        moved = self.pair.step()
        self.passed += wire.bytesRead - before
        if self.left is not None:
            self.left -= wire.bytesRead - before
        return moved

    def cut(self) -> None:
        """Both sides lose the connection at once."""
        for wire in self.pair._wires:
            wire.queue.clear()
            if wire.closed:
                continue
            if self.reset:
                wire._gone(brokenConnection(None, "read"), wire.ticks.turn)
            else:
                wire.queue.append(None)

    def converse(self) -> None:
        """A question, an answer, and the end; up to the cut."""
        asked = answered = False
        for _ in range(10_000):
            if not self.client.sent:  # a protocol is there when the handshake is done
                self.client.do("write", 300)
            if not self.step() and not self.step():
                break
            if not asked and len(self.server.came) == 300:
                asked = True
                self.server.do("write", 500)
            if not answered and len(self.client.came) == 500:
                answered = True
                self.client.do("end", 0)
        self.pump()


def judge(cut: Cut, after: int) -> None:
    for end, other in (cut.ends, cut.ends[::-1]):
        end.settled()
        assert other.sent.startswith(end.came), after
        assert end.events.count("error") <= 1, after
    errors = [*cut.refused, *(end.socket.errored for end in cut.ends if end.socket.errored)]
    codes = {error.code for error in errors}
    assert codes <= {"ECONNRESET"}, (after, codes)
    for error in errors:
        assert error.phase in (Phase.HANDSHAKING, Phase.OPEN), after


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize(
    ("how", "faces"), [("end", ("data", "protocol")), ("reset", ("protocol", "data"))]
)
@pytest.mark.parametrize("direction", [CLIENT, SERVER], ids=["client's", "server's"])
def test_a_cut_behind_every_byte_is_one_end_on_each_side(
    direction: int, how: str, faces: tuple[str, str], version: str, pki: Pki
) -> None:
    whole = Cut(pki, version, faces, direction, None, False)
    whole.converse()
    assert all("error" not in end.events for end in whole.ends)
    total = whole.passed
    assert total > 500
    seen: set[tuple[str, ...]] = set()
    for after in range(total):
        cut = Cut(pki, version, faces, direction, after, how == "reset")
        cut.converse()
        judge(cut, after)
        seen.add(tuple(cut.client.events))
        told: Any = cut.client
        if how == "end" and told.socket._secure:
            assert "end" in told.events
        if faces[0] == "protocol" and told.lost:
            assert told.lost[0].check(ConnectionDone, ConnectionLost)
    # Before the handshake is done, and behind it, it is not the same.
    assert len(seen) > 1
