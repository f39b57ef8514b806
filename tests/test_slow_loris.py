"""
Thousands of clients that say a byte of their ClientHello now and then, and never the last.

They are cut off when the time of a handshake is over, whatever they have said; honest clients are
served meanwhile, and afterwards nothing is held that was not held before.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import defer, task

from tests.loopback import Census, Loopback, until
from tests.misbehaving import Memory
from tests.support import Pki
from txnodetls.errors import Blame

HONEST = 50
MIB = 1 << 20


@contextlib.contextmanager
def descriptors(count: int) -> Iterator[None]:
    """Within, so many files can be open; or no test."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f"only {hard} descriptors can be had")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def resident() -> int:
    """The bytes of memory that this process has, without what its allocator only keeps ready."""
    gc.collect()
    with contextlib.suppress(AttributeError):
        # There is none but in glibc.
        ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


class Loris:
    """One that says a byte now and then; C{said} of them so far."""

    def __init__(self, port: int, hello: bytes) -> None:
        self.said = 0
        self.gone = False
        self._hello = hello
        self._socket = socket.socket()
        self._socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            self._socket.connect(("127.0.0.1", port))

    def drip(self) -> None:
        if self.gone:
            return
        try:
            self._socket.send(self._hello[self.said : self.said + 1])
            self.said += 1
        except BlockingIOError:
            # It is not connected yet.
            return
        except OSError:
            self.leave()

    def look(self) -> None:
        """Has the server left?"""
        if not self.gone:
            try:
                if not self._socket.recv(4096):
                    self.leave()
            except BlockingIOError:
                return
            except OSError:
                self.leave()

    def leave(self) -> None:
        self.gone = True
        self._socket.close()


async def honest(loopback: Loopback, server: Any, count: int) -> None:
    """So many honest clients, five at a time."""
    waiting = defer.DeferredSemaphore(5)

    def serve() -> defer.Deferred[None]:
        return defer.ensureDeferred(loopback.proveServing(server))

    await defer.gatherResults([waiting.run(serve) for _ in range(count)])


async def wave(loopback: Loopback, server: Any, count: int, every: float, hello: bytes) -> int:
    """Let them come, and serve others until they are gone; the most that one has said."""
    port = server.address()["port"]
    many: list[Loris] = []

    def come() -> None:
        # No more at once than the backlog of a listening socket holds.
        many.extend(Loris(port, hello) for _ in range(min(100, count - len(many))))
        if len(many) == count:
            coming.stop()

    def drip() -> None:
        for each in many:
            each.look()
            each.drip()

    coming, dripping = task.LoopingCall(come), task.LoopingCall(drip)
    coming.start(0.02)
    dripping.start(every)
    await until(lambda: len(many) == count)
    await honest(loopback, server, HONEST)
    while not all(each.gone for each in many):
        await honest(loopback, server, 1)
    dripping.stop()
    return max(each.said for each in many)


@pytest.mark.timeLimit(240)
@pytest.mark.parametrize("asks", [False, True], ids=["plain", "with SNI contexts"])
@pytest.mark.parametrize(
    ("count", "milliseconds", "every"),
    [(200, 1000, 0.2), pytest.param(2000, 5000, 1.0, marks=pytest.mark.soak)],
)
@pytest_twisted.ensureDeferred
async def test_they_are_gone_when_their_time_is_over(
    count: int,
    milliseconds: int,
    every: float,
    asks: bool,
    pki: Pki,
    record_property: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hello = Memory().helloWithStatusRequest()
    with descriptors(2 * count + 500):
        async with Loopback(pki) as loopback:
            server = await loopback.serve(handshakeTimeout=milliseconds)
            if asks:
                server.addContext("other.test", {"key": pki.server.key, "cert": pki.server.cert})
            await honest(loopback, server, 5)
            census, kept, most = Census(), [], 0
            for _ in range(2):
                _forget(loopback, server)
                before = resident()
                most = await wave(loopback, server, count, every, hello)
                assert [failure.code for failure in server.failures] == [
                    "ERR_TLS_HANDSHAKE_TIMEOUT"
                ] * count
                assert {failure.blame for failure in server.failures} == {Blame.PEER}
                # What was said in that time, and what was under way when it ended.
                assert most <= milliseconds / 1000 / every + 3
                _forget(loopback, server)
                await until(lambda: not server.connections)
                await census.restored()
                kept.append((resident() - before) / MIB)
            record_property("kept", kept)
            with capsys.disabled():
                if count > 200:
                    print(
                        f"\n{count} connections, {most} bytes at most, MiB more than before: {kept}"
                    )
            # The first wave makes room, in the allocator and in tables; the second finds it.
            assert kept[1] < 4


def _forget(loopback: Loopback, server: Any) -> None:
    """Let go of what the test itself has kept."""
    for kept in (server.failures, server.secured, server.seen, server.errors, loopback.sockets):
        kept.clear()
