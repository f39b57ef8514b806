"""Many sockets behind one descriptor: who watches, who is called, and who is told what."""

from __future__ import annotations

import gc
import os
import select
import socket
from collections.abc import AsyncIterator, Iterator
from itertools import groupby
from typing import Any

import pytest
from pytest_twisted import async_yield_fixture, ensureDeferred
from twisted.internet import reactor, threads

from tests.conftest import LoggedErrors
from tests.support import eventually
from tests.transports.owners import End, Owner, fill, readers, tcpPair
from txnodetls.streams.ticks import ticksFor
from txnodetls.transports import polling
from txnodetls.transports.polling import FEW, Poller, pollerFor
from txnodetls.transports.tcp import SocketCarrier

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="there is no epoll here")


class Known:
    """A reactor as a poller sees it."""

    def __init__(self) -> None:
        self.readers: set[Any] = set()

    def addReader(self, reader: Any) -> None:
        self.readers.add(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.discard(reader)


class Polled(End):
    """An end that a poller counts among its connections."""

    def __init__(self, poller: Poller, known: Known) -> None:
        super().__init__(poller)
        assert poller.place(known) is poller

    def close(self) -> None:
        super().close()
        self.watcher.leave()


class Scene:
    """A poller on a reactor that does nothing by itself."""

    def __init__(self) -> None:
        self.known = Known()
        self.poller = Poller(ticksFor(self.known))  # type: ignore[arg-type]
        self.ends: list[Polled] = []

    def end(self) -> Polled:
        self.ends.append(Polled(self.poller, self.known))
        return self.ends[-1]

    def reading(self, count: int) -> list[Polled]:
        """So many ends, of which each has something to read."""
        ends = [self.end() for _ in range(count)]
        for each in ends:
            self.poller.addReader(each)
            each.peer.sendall(b"x")
        return ends


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(polling, "FEW", 0)
    monkeypatch.setattr(polling, "_PATIENCE", 60)
    made = Scene()
    yield made
    for each in made.ends:
        each.peer.close()
        if each.fileno() != -1:
            each.close()
    assert made.known.readers == set()
    assert made.poller.fileno() == -1


def test_all_that_are_ready_are_called_at_once(scene: Scene) -> None:
    ends = scene.reading(10)
    quiet = scene.end()
    scene.poller.addReader(quiet)
    scene.poller.doRead()
    assert [each.calls for each in ends] == [["read b'x'"]] * 10
    assert quiet.calls == []


def test_what_they_lead_to_is_sent_together_but_not_of_too_many(scene: Scene) -> None:
    ticks = scene.poller.ticks
    done: list[str] = []

    def read() -> None:
        done.append("read")
        ticks.atEnd(lambda: done.append("sent"))

    for each in scene.reading(80):
        each.onRead = lambda: ticks.turn(read)
    scene.poller.doRead()
    groups = [len(list(group)) for _, group in groupby(done)]
    assert sum(groups) == 160
    assert groups[::2] == groups[1::2]
    assert max(groups) == 32
    assert not ticks.gathering


def test_what_takes_long_does_not_keep_what_others_have_to_send(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = scene.poller.ticks
    now = [0.0]
    monkeypatch.setattr(polling, "monotonic", lambda: now[0])
    done: list[str] = []

    def read() -> None:
        now[0] += 25
        done.append("read")
        ticks.atEnd(lambda: done.append("sent"))

    for each in scene.reading(7):
        each.onRead = lambda: ticks.turn(read)
    scene.poller.doRead()
    three = ["read"] * 3 + ["sent"] * 3
    assert done == [*three, *three, "read", "sent"]


def test_what_comes_in_the_meantime_is_answered_together_with_the_rest(scene: Scene) -> None:
    ticks = scene.poller.ticks
    first, second = scene.reading(2)
    third = scene.end()
    scene.poller.addReader(third)
    sent: list[Polled] = []

    def read(end: Polled, after: Polled | None) -> None:
        assert sent == []
        ticks.atEnd(lambda: sent.append(end))
        if after is not None:
            after.peer.sendall(b"y")

    for each, after in ((first, None), (second, third), (third, None)):
        each.onRead = lambda each=each, after=after: ticks.turn(read, each, after)
    scene.poller.doRead()
    assert set(sent) == {first, second, third}
    assert len(sent) == 3


def test_who_never_stops_does_not_keep_what_others_have_to_send(scene: Scene) -> None:
    ticks = scene.poller.ticks
    (busy,) = scene.reading(1)
    sent: list[str] = []

    def read() -> None:
        busy.peer.sendall(b"x")
        ticks.atEnd(lambda: sent.append("sent"))

    busy.onRead = lambda: ticks.turn(read)
    scene.poller.doRead()
    assert len(busy.calls) == len(sent) == 32


def test_where_nothing_is_to_be_sent_it_is_not_looked_for_more(scene: Scene) -> None:
    (busy,) = scene.reading(1)
    busy.onRead = lambda: busy.peer.sendall(b"x")
    scene.poller.doRead()
    assert len(busy.calls) == 1


def test_what_is_left_to_send_is_sent_whatever_becomes_of_the_others(
    scene: Scene, loggedErrors: LoggedErrors
) -> None:
    ticks = scene.poller.ticks
    sent: list[Polled] = []
    ends = scene.reading(3)
    for each in ends:
        each.onRead = lambda each=each: ticks.turn(ticks.atEnd, lambda: sent.append(each))
    ends[-1].onRead = lambda: 1 / 0
    scene.poller.doRead()
    assert set(sent) == set(ends[:-1])
    assert [type(error) for error in loggedErrors.flush()] == [ZeroDivisionError]


def test_it_is_with_the_reactor_while_it_watches_anything(scene: Scene) -> None:
    first, second = scene.end(), scene.end()
    assert scene.known.readers == set()
    scene.poller.addReader(first)
    scene.poller.addWriter(second)
    assert scene.known.readers == {scene.poller}
    scene.poller.removeReader(first)
    assert scene.known.readers == {scene.poller}
    scene.poller.removeWriter(second)
    assert scene.known.readers == set()


def test_it_comes_back_to_a_reactor_that_was_emptied(scene: Scene) -> None:
    scene.poller.addReader(scene.end())
    scene.known.readers.clear()
    scene.poller.addReader(scene.end())
    assert scene.known.readers == {scene.poller}


def test_it_has_a_descriptor_while_there_are_connections(scene: Scene) -> None:
    assert scene.poller.fileno() == -1
    end = scene.end()
    number = scene.poller.fileno()
    os.fstat(number)
    end.close()
    assert scene.poller.fileno() == -1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_reading_and_writing_are_watched_one_by_one(scene: Scene) -> None:
    (end,) = scene.reading(1)
    scene.poller.addWriter(end)
    scene.poller.doRead()
    assert end.calls == ["read b'x'", "write"]
    scene.poller.removeReader(end)
    end.peer.sendall(b"y")
    scene.poller.doRead()
    assert end.calls[2:] == ["write"]
    scene.poller.addReader(end)
    scene.poller.removeWriter(end)
    scene.poller.doRead()
    assert end.calls[3:] == ["read b'y'"]


def test_to_add_or_remove_twice_is_no_matter(scene: Scene) -> None:
    (end,) = scene.reading(1)
    scene.poller.addReader(end)
    scene.poller.removeWriter(end)
    scene.poller.doRead()
    assert end.calls == ["read b'x'"]
    scene.poller.removeReader(end)
    scene.poller.removeReader(end)
    assert scene.known.readers == set()


def test_who_closed_another_one_of_the_batch_has_it_not_called(scene: Scene) -> None:
    ends = scene.reading(2)
    for end, other in zip(ends, reversed(ends), strict=True):
        end.onRead = other.close
    scene.poller.doRead()
    assert sorted(each.calls for each in ends) == [[], ["read b'x'"]]


def test_who_stopped_another_one_of_the_batch_has_it_not_called(scene: Scene) -> None:
    ends = scene.reading(2)
    for end, other in zip(ends, reversed(ends), strict=True):
        end.onRead = lambda other=other: scene.poller.removeReader(other)  # type: ignore[misc]
    scene.poller.doRead()
    assert sorted(each.calls for each in ends) == [[], ["read b'x'"]]


def test_who_raises_is_logged_and_dropped_and_the_others_are_called(
    scene: Scene, loggedErrors: LoggedErrors
) -> None:
    ends = scene.reading(3)
    ends[1].onRead = lambda: 1 / 0
    scene.poller.doRead()
    assert [type(error) for error in loggedErrors.flush()] == [ZeroDivisionError]
    assert ends[1].calls == ["read b'x'", "lost: ZeroDivisionError"]
    assert ends[0].calls == ends[2].calls == ["read b'x'"]
    ends[1].peer.sendall(b"y")
    scene.poller.doRead()
    assert len(ends[1].calls) == 2


def test_who_reads_finds_the_end_by_reading(scene: Scene) -> None:
    (end,) = scene.reading(1)
    end.peer.close()
    scene.poller.doRead()
    scene.poller.doRead()
    assert end.calls == ["read b'x'", "read b''"]


def test_a_hang_up_where_nobody_reads_is_a_lost_connection(scene: Scene) -> None:
    end = scene.end()
    scene.poller.addWriter(end)
    end.peer.close()
    scene.poller.doRead()
    assert end.calls == ["lost: ConnectionLost"]
    assert scene.known.readers == set()


class Old:
    """Events that were gathered some time ago."""

    def __init__(self, real: Any, events: list[tuple[int, int]]) -> None:
        self.real = real
        self.events = events

    def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
        return self.events

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


@pytest.mark.parametrize("watch", ["addReader", "addWriter"])
def test_the_hang_up_of_who_had_a_number_before_is_not_taken_for_ones_own(
    scene: Scene, watch: str
) -> None:
    first, second = scene.end(), scene.end()
    scene.poller.addReader(first)
    scene.poller.addReader(second)
    events = [(first.fileno(), select.EPOLLIN), (second.fileno(), select.EPOLLHUP)]
    scene.poller._poll = Old(scene.poller._poll, events)
    first.onRead = lambda: (second.close(), getattr(scene.poller, watch)(scene.end()))
    number = second.fileno()
    scene.poller.doRead()
    third = scene.ends[-1]
    assert third.fileno() == number
    assert third.calls == []


def test_whoever_was_closed_behind_its_back_is_forgotten_with_the_last(scene: Scene) -> None:
    lost = scene.end()
    scene.poller.addReader(lost)
    lost.socket.close()
    assert scene.known.readers == {scene.poller}
    scene.poller.leave()
    assert scene.known.readers == set()
    assert scene.poller.fileno() == -1
    (end,) = scene.reading(1)
    scene.poller.doRead()
    assert end.calls == ["read b'x'"]


def test_a_number_that_was_closed_behind_its_back_can_be_watched_again(scene: Scene) -> None:
    scene.end()
    lost = scene.end()
    scene.poller.addReader(lost)
    number = lost.fileno()
    lost.socket.close()
    scene.poller.leave()
    (end,) = scene.reading(1)
    assert end.fileno() == number
    scene.poller.doRead()
    assert end.calls == ["read b'x'"]


def test_when_the_reactor_stops_all_are_told_though_one_raises(
    scene: Scene, loggedErrors: LoggedErrors
) -> None:
    from twisted.internet.main import CONNECTION_LOST
    from twisted.python.failure import Failure

    ends = [scene.end() for _ in range(3)]
    for each in ends:
        scene.poller.addReader(each)

    def raises(reason: object) -> None:
        raise ZeroDivisionError

    ends[1].connectionLost = raises  # type: ignore[method-assign]
    ends[1].socket.close()  # behind its back
    scene.poller.leave()
    scene.poller.connectionLost(Failure(CONNECTION_LOST))
    assert [type(error) for error in loggedErrors.flush()] == [ZeroDivisionError]
    assert ends[0].calls == ends[2].calls == ["lost: ConnectionLost"]
    assert scene.known.readers == set()


def test_a_batch_has_an_end(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "_AT_ONCE", 2)
    ends = scene.reading(5)
    called = []
    for _ in range(3):
        scene.poller.doRead()
        called.append(sum(bool(each.calls) for each in ends))
    assert called == [2, 4, 5]


def test_without_epoll_or_a_descriptor_for_it_the_reactor_watches(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> None:
        raise OSError

    for without in (None, refused):
        monkeypatch.setattr(polling, "_epoll", without)
        assert scene.poller.place(scene.known) is scene.known
        scene.poller.leave()


def test_it_tells_what_it_watches(scene: Scene) -> None:
    """What trial, for one, shows of a reactor that a test has left dirty."""
    end = scene.end()
    scene.poller.addReader(end)
    assert repr(scene.poller) == f"<Poller of [{end!r}]>"


# -- under the carriers


class Connection:
    """A carrier of the tests' reactor, and its peer."""

    def __init__(self) -> None:
        near, self.peer = tcpPair()
        self.carrier = SocketCarrier(near, reactor)
        self.owner = Owner(reactor)
        self.carrier.attach(self.owner)
        self.carrier.resume()

    def close(self) -> None:
        self.carrier.abort()
        self.peer.close()


def readSome(peer: socket.socket, length: int) -> int:
    got = 0
    while got < length:
        got += len(peer.recv(1 << 16))
    return got


@async_yield_fixture
async def connections() -> AsyncIterator[list[Connection]]:
    made = [Connection() for _ in range(FEW + 20)]
    yield made
    for each in made:
        each.close()
    # A test may end within a batch, which closes them behind it.
    await eventually(lambda: all(each.carrier.closed for each in made))
    assert pollerFor(reactor) not in readers()


def test_the_first_few_stay_with_the_reactor(connections: list[Connection]) -> None:
    assert sum(each.carrier in readers() for each in connections) == FEW
    assert pollerFor(reactor) in readers()


def test_for_a_while_after_many_none_stays_with_the_reactor() -> None:
    many = [Connection() for _ in range(FEW + 1)]
    poller = pollerFor(reactor)
    while many:
        many.pop().close()
    alone: list[bool] = []
    for _ in range(66):
        each = Connection()
        alone.append(each.carrier in readers())
        each.close()
    assert alone == [False] * 64 + [FEW > 0] * 2
    assert poller not in readers()


def test_who_is_forgotten_without_a_close_is_counted_out() -> None:
    poller = pollerFor(reactor)
    near, peer = tcpPair()
    before = poller.open
    carrier = SocketCarrier(near, reactor)
    assert poller.open == before + 1
    del carrier
    gc.collect()
    assert poller.open == before
    near.close()
    peer.close()


@ensureDeferred
async def test_many_connections_get_what_is_theirs(connections: list[Connection]) -> None:
    for _ in range(3):
        for number, each in enumerate(connections):
            each.peer.sendall(b"%03d" % number)
    for number, each in enumerate(connections):
        await each.owner.gets(9)
        assert each.owner.received == b"%03d" % number * 3


@ensureDeferred
async def test_one_that_pauses_or_closes_leaves_the_others_alone(
    connections: list[Connection],
) -> None:
    paused, closed, full, *others = connections[FEW:]
    paused.owner.onData = lambda data: paused.carrier.pause()
    closed.owner.onData = lambda data: closed.carrier.close()
    written = fill(full.carrier)
    for each in (paused, closed, *others):
        each.peer.sendall(b"x")
    for each in (paused, closed, *others):
        await each.owner.gets(1)
    paused.peer.sendall(b"y")
    await closed.owner.happens("closed")
    assert await threads.deferToThread(readSome, full.peer, written) == written
    await full.owner.happens("drained")
    assert paused.owner.received == b"x"
    paused.carrier.resume()
    await paused.owner.gets(2)
    others[0].peer.close()
    await others[0].owner.happens("end")
    await eventually(lambda: all(each.owner.received == b"x" for each in others))
