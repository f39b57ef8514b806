"""Carriers over streams: over a pair of streams in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.task import Clock

from tests.transports.owners import Owner
from txnodetls.streams import Duplex
from txnodetls.transports.stream import StreamCarrier


class End(Duplex):
    """One end of a pipe in memory, which takes nothing while it is blocked."""

    def __init__(self, clock: Any, **options: Any) -> None:
        super().__init__(reactor=clock, **options)
        self.other: End = self
        self.blocked: list[tuple[bytes, Callable[..., Any]]] | None = None
        self.resets = 0
        self.set: list[Any] = []

    def _read(self) -> None:
        pass

    def _write(self, chunk: Any, callback: Callable[..., Any]) -> bool:
        if self.blocked is not None:
            self.blocked.append((bytes(chunk), callback))
            return False
        self.other.push(bytes(chunk))
        return True

    def _final(self, callback: Callable[..., Any]) -> None:
        self.other.push(None)
        callback(None)

    def unblock(self) -> None:
        blocked, self.blocked = self.blocked or [], None
        for chunk, callback in blocked:
            self.other.push(chunk)
            callback(None)

    def resetAndDestroy(self) -> None:
        self.resets += 1
        self.destroy()

    def setNoDelay(self, enabled: bool) -> None:
        self.set.append(enabled)

    def setKeepAlive(self, enabled: bool, msecs: int) -> None:
        self.set.append((enabled, msecs))


class Pair:
    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.near, self.far = End(self.clock, **options), End(self.clock)
        self.near.other, self.far.other = self.far, self.near
        self.got: list[Any] = []
        for name in ("data", "end", "error", "close"):
            self.far.on(name, lambda *a, name=name: self.got.append(a[0] if a else name))

    def carry(self) -> tuple[StreamCarrier, Owner]:
        carrier = StreamCarrier(self.near, self.clock)
        owner = Owner(self.clock)
        carrier.attach(owner)
        self.run()
        return carrier, owner

    def run(self) -> None:
        for _ in range(5):
            self.clock.advance(0)


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_nothing_comes_before_resume_and_what_waited_comes_first(pair: Pair) -> None:
    pair.far.write(b"early ")
    carrier, owner = pair.carry()
    assert owner.events == []
    carrier.resume()
    pair.run()
    pair.far.write(bytearray(b"late"))
    pair.run()
    assert owner.received == b"early late"
    assert carrier.bytesRead == 10
    carrier.pause()
    pair.far.write(b"x")
    pair.run()
    assert owner.received == b"early late"


def test_writes_reach_the_stream(pair: Pair) -> None:
    carrier, _ = pair.carry()
    carrier.write(b"one ")
    memory = bytearray(b"two")
    carrier.write(memoryview(memory))
    memory[:] = b"xxx"
    pair.run()
    assert pair.got == [b"one ", b"two"]
    assert carrier.bytesWritten == 7


def test_a_full_stream_is_seen_in_queued_and_drains() -> None:
    pair = Pair(highWaterMark=4)
    carrier, owner = pair.carry()
    pair.near.blocked = []
    carrier.write(b"12")
    assert carrier.queued == 0
    carrier.write(b"3456")
    assert carrier.queued == 4
    pair.near.unblock()
    pair.run()
    assert owner.events == ["drained"]
    assert carrier.queued == 0


def test_each_side_ends_alone(pair: Pair) -> None:
    carrier, owner = pair.carry()
    carrier.resume()
    pair.far.end(b"x")
    pair.run()
    assert owner.events == ["data", "end"]
    carrier.write(b"answer")
    carrier.end()
    carrier.write(b"dropped")
    pair.run()
    assert pair.got[:2] == [b"answer", "end"]


def test_the_close_of_the_stream_is_told(pair: Pair) -> None:
    carrier, owner = pair.carry()
    pair.near.destroy()
    pair.run()
    assert owner.events == ["closed"]
    assert carrier.closed
    assert pair.near.listenerCount("data") == 0


def test_an_error_of_the_stream_is_told_once(pair: Pair) -> None:
    carrier, owner = pair.carry()
    error = RuntimeError("broken")
    pair.near.destroy(error)
    pair.run()
    assert owner.error is error
    assert len(owner.events) == 1
    assert carrier.closed


def test_a_stream_that_is_gone_already_is_told(pair: Pair) -> None:
    pair.near.destroy()
    pair.run()
    _, owner = pair.carry()
    assert owner.events == ["closed"]


def test_close_lets_what_is_queued_through(pair: Pair) -> None:
    carrier, owner = pair.carry()
    pair.near.blocked = []
    carrier.write(b"last")
    carrier.close()
    carrier.close()
    pair.far.write(b"dropped")
    pair.run()
    assert owner.events == []
    pair.near.unblock()
    pair.run()
    assert pair.got[:1] == [b"last"]
    assert owner.events == ["closed"]
    assert pair.near.destroyed


def test_close_after_end_destroys_the_stream(pair: Pair) -> None:
    carrier, owner = pair.carry()
    carrier.end()
    pair.run()
    carrier.close()
    pair.run()
    assert pair.near.destroyed
    assert owner.events == ["closed"]


def test_abort_destroys_the_stream_and_tells_in_a_later_tick(pair: Pair) -> None:
    carrier, owner = pair.carry()
    carrier.abort()
    assert pair.near.destroyed
    assert owner.events == []
    pair.run()
    assert owner.events == ["closed"]
    carrier.write(b"x")
    carrier.end()
    carrier.resume()
    pair.run()
    assert owner.events == ["closed"]


def test_abort_with_reset_uses_the_streams_own(pair: Pair) -> None:
    carrier, _ = pair.carry()
    carrier.abort(reset=True)
    assert pair.near.resets == 1


def test_a_stream_of_text_cannot_carry(pair: Pair) -> None:
    pair.near.setEncoding("utf8")
    carrier, owner = pair.carry()
    carrier.resume()
    pair.far.write(b"x")
    pair.run()
    assert owner.events == ["ERR_STREAM_WRAP"]
    assert pair.near.destroyed


def test_options_go_to_a_stream_that_knows_them(pair: Pair) -> None:
    carrier, _ = pair.carry()
    carrier.setNoDelay(True)
    carrier.setKeepAlive(True, 7)
    assert pair.near.set == [True, (True, 7000)]
    assert carrier.localAddress == carrier.remoteAddress == {}
    assert carrier.stream is pair.near


def test_an_error_of_the_owner_is_logged_and_ends_the_carrier(
    pair: Pair, loggedErrors: Any
) -> None:
    carrier, owner = pair.carry()

    def fail(data: bytes) -> None:
        raise ZeroDivisionError

    owner.onData = fail
    carrier.resume()
    pair.far.write(b"x")
    pair.run()
    assert [type(error) for error in loggedErrors.flush()] == [ZeroDivisionError]
    assert pair.near.destroyed
    assert owner.events == ["data", "closed"]
