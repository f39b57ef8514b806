"""The first few connections of a reactor on a loop of asyncio's, which the loop itself watches."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import uvloop
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.main import CONNECTION_LOST
from twisted.python.failure import Failure

from tests.conftest import LoggedErrors
from tests.support import runPython
from tests.transports.owners import End
from txnodetls.transports.watching import LoopWatcher, loopWatcher, runsOnLoop


class Scene:
    """A loop that runs when it is told, and a watcher on it."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.watcher = LoopWatcher(loop)
        self.ends: list[End] = []

    def end(self) -> End:
        self.ends.append(End(self.watcher))
        return self.ends[-1]

    def reading(self, count: int) -> list[End]:
        """So many ends, of which each has something to read."""
        ends = [self.end() for _ in range(count)]
        for each in ends:
            self.watcher.addReader(each)
            each.peer.sendall(b"x")
        return ends

    def run(self) -> None:
        """Some rounds of the loop."""
        self.loop.run_until_complete(asyncio.sleep(0.001))


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    loop = request.param()
    made = Scene(loop)
    yield made
    for each in made.ends:
        each.peer.close()
        if each.fileno() != -1:
            each.close()
    assert made.watcher.getReaders() == made.watcher.getWriters() == []
    loop.close()


def test_all_that_are_ready_are_called(scene: Scene) -> None:
    ends = scene.reading(3)
    quiet = scene.end()
    scene.watcher.addReader(quiet)
    scene.run()
    assert [each.calls for each in ends] == [["read b'x'"]] * 3
    assert quiet.calls == []


def test_reading_and_writing_are_watched_one_by_one(scene: Scene) -> None:
    (end,) = scene.reading(1)
    scene.watcher.addWriter(end)
    end.onWrite = lambda: scene.watcher.removeWriter(end)
    scene.run()
    assert sorted(end.calls) == ["read b'x'", "write"]
    assert scene.watcher.getReaders() == [end]
    assert scene.watcher.getWriters() == []
    scene.watcher.removeReader(end)
    end.peer.sendall(b"y")
    scene.run()
    assert len(end.calls) == 2
    scene.watcher.addReader(end)
    scene.run()
    assert end.calls[2:] == ["read b'y'"]


def test_to_add_or_remove_twice_is_no_matter(scene: Scene) -> None:
    (end,) = scene.reading(1)
    scene.watcher.addReader(end)
    scene.watcher.removeWriter(end)
    scene.run()
    assert end.calls == ["read b'x'"]
    scene.watcher.removeReader(end)
    scene.watcher.removeReader(end)


def test_who_stopped_or_closed_another_one_has_it_not_called(scene: Scene) -> None:
    for stop in (scene.watcher.removeReader, End.close):
        ends = scene.reading(2)
        for end, other in zip(ends, reversed(ends), strict=True):
            end.onRead = lambda stop=stop, other=other: stop(other)
        scene.run()
        assert sorted(each.calls for each in ends) == [[], ["read b'x'"]]


def test_who_raises_is_logged_and_dropped_and_the_others_are_called(
    scene: Scene, loggedErrors: LoggedErrors
) -> None:
    reads, other = scene.reading(2)
    writes = scene.end()
    scene.watcher.addWriter(writes)
    reads.onRead = writes.onWrite = lambda: 1 / 0
    scene.run()
    assert [type(error) for error in loggedErrors.flush()] == [ZeroDivisionError] * 2
    assert reads.calls == ["read b'x'", "lost: ZeroDivisionError"]
    assert writes.calls == ["write", "lost: ZeroDivisionError"]
    assert other.calls == ["read b'x'"]
    reads.peer.sendall(b"y")
    scene.run()
    assert len(reads.calls) == len(writes.calls) == 2


def test_the_end_and_a_broken_connection_are_found_by_reading(scene: Scene) -> None:
    (ended,) = scene.reading(1)
    scene.run()
    ended.onRead = ended.close
    ended.peer.close()
    scene.run()
    assert ended.calls == ["read b'x'", "read b''"]
    (broken,) = scene.reading(1)
    scene.run()
    broken.socket.sendall(b"which is not read")
    broken.onRead = broken.close
    broken.peer.close()
    scene.run()
    assert broken.calls == ["read b'x'", "reset"]


def test_a_hang_up_where_nobody_reads_is_found_by_writing(scene: Scene) -> None:
    end = scene.end()
    end.peer.close()
    end.onWrite = end.close
    scene.watcher.addWriter(end)
    scene.run()
    assert end.calls == ["write"]


def test_a_number_that_was_closed_behind_its_back_can_be_watched_again(scene: Scene) -> None:
    lost = scene.end()
    scene.watcher.addReader(lost)
    number = lost.fileno()
    lost.socket.close()
    (end,) = scene.reading(1)
    assert end.fileno() == number
    scene.run()
    assert end.calls == ["read b'x'"]
    assert lost.calls == []


def test_when_the_reactor_stops_all_are_told_though_one_raises(
    scene: Scene, loggedErrors: LoggedErrors
) -> None:
    ends = scene.reading(3)

    def raises(reason: object) -> None:
        raise ZeroDivisionError

    ends[1].connectionLost = raises  # type: ignore[method-assign]
    scene.watcher.connectionLost(Failure(CONNECTION_LOST))
    assert [type(error) for error in loggedErrors.flush()] == [ZeroDivisionError]
    assert ends[0].calls == ends[2].calls == ["lost: ConnectionLost"]


def test_a_reactor_that_does_not_run_has_no_loop_to_watch_on() -> None:
    loop = asyncio.new_event_loop()
    reactor: Any = AsyncioSelectorReactor(loop)
    assert runsOnLoop(reactor)
    assert loopWatcher(reactor) is None
    reactor.running = True
    assert loopWatcher(reactor) is None
    assert isinstance(loop.run_until_complete(_watcherOf(reactor)), LoopWatcher)
    reactor.running = False
    assert loop.run_until_complete(_watcherOf(reactor)) is None
    assert not runsOnLoop(object())
    for each in reactor.removeAll():
        each.connectionLost(Failure(CONNECTION_LOST))
    loop.close()


async def _watcherOf(reactor: Any) -> Any:
    return loopWatcher(reactor)


def test_other_reactors_do_not_have_asyncio_imported() -> None:
    code = """
import sys
from twisted.application.reactors import installReactor
reactor = installReactor("select")
from txnodetls.transports.polling import pollerFor
assert pollerFor(reactor).place(reactor) is reactor
assert "twisted.internet.asyncioreactor" not in sys.modules
"""
    assert runPython(code).stderr == b""
