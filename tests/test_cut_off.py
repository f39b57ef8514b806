"""
A connection that is reset, ends or is destroyed, at any moment: one error at most on each side,
nothing is left, and the server goes on serving.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from tests.cutting import Cutter
from tests.interop.peers import payload
from tests.loopback import Census, Loopback, Received, until
from tests.misbehaving import Memory, reset
from tests.support import Pki
from txnodetls.errors import Phase
from txnodetls.transports import tcp

both = pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])


@pytest_twisted.async_yield_fixture
async def loopback(pki: Pki) -> Any:
    async with Loopback(pki) as opened:
        yield opened


# Bytes; what is said fits into the kernel's buffers (see cutting.py).
CONVERSATION = 3000


async def converse(loopback: Loopback, server: Any, port: int, version: str) -> Received:
    """Data there and back, and a clean end, unless something comes between."""
    client = loopback.dial(port, minVersion=version, maxVersion=version)
    received = Received(client)
    client.write(payload(CONVERSATION))

    def endWhenAllIsThere(_data: bytes) -> None:
        if len(received.data) == CONVERSATION:
            client.end()

    client.on("data", endWhenAllIsThere)
    await received
    # The server, too, has seen it, in one way or another, and has done with it.
    await until(lambda: len(server.failures) + len(server.secured) == 1)
    await until(lambda: all(socket.closed for socket in server.secured))
    await until(lambda: not server.connections)
    return received


@both
@pytest.mark.parametrize("how", ["reset", "end"])
@pytest.mark.parametrize("direction", ["up", "down"])
@pytest_twisted.ensureDeferred
async def test_a_cut_behind_any_byte_is_an_orderly_end_on_both_sides(
    direction: str, how: str, version: str, loopback: Loopback
) -> None:
    server = await loopback.serve()
    cutter = await Cutter.start(server.address()["port"])
    whole = await converse(loopback, server, cutter.port, version)
    assert (whole.errors, len(whole.data)) == ([], CONVERSATION)
    total = cutter.passed[direction]
    loopback.sockets.clear()
    server.secured.clear()
    del whole
    census = Census()
    # Behind each single byte would be better still, and takes minutes.
    for after in (*range(12), *range(12, total, max(1, total // 40))):
        for kept in (server.secured, server.seen, server.failures, server.errors):
            kept.clear()
        cutter.arm(direction, after, reset=how == "reset")
        ended = await converse(loopback, server, cutter.port, version)
        assert cutter.isCut
        told = [*ended.errors, *(error.code for error in (*server.failures, *server.errors))]
        assert set(told) <= {"ECONNRESET", "EPIPE"}, (after, told)
        assert len(ended.errors) <= 1
        # One error at most, before it was secure or then.
        assert len(server.failures) + len(server.errors) <= 1
        secure = loopback.sockets[0].alpnProtocol is not None
        if not secure:
            # Or EPIPE, where it wrote into a connection that was gone before it had read so.
            assert ended.errors in (["ECONNRESET"], ["EPIPE"])
        elif how == "end":
            assert set(ended.errors) <= {"EPIPE", "ECONNRESET"}
        loopback.sockets.clear()
        del ended
    for kept in (server.secured, server.seen, server.failures, server.errors):
        kept.clear()
    await census.restored()
    cutter.disarm()
    await cutter.stop()
    await loopback.proveServing(server)


@pytest.mark.parametrize("question", ["SNICallback", "OCSPRequest"])
@pytest_twisted.ensureDeferred
async def test_a_reset_while_the_application_thinks_ends_the_question(
    question: str, loopback: Loopback
) -> None:
    answers: list[Any] = []
    options: dict[str, Any] = {}
    if question == "SNICallback":
        options["SNICallback"] = lambda name, answer: answers.append(answer)
    server = await loopback.serve(**options)
    asked: list[Any] = []
    server.on("OCSPRequest", lambda leaf, issuer, answer: asked.append(answer))
    if question == "OCSPRequest":
        answers = asked
    census = Census()
    memory = Memory()
    thinking = loopback.plain(server)
    thinking.sendall(memory.helloWithStatusRequest())
    await until(lambda: answers)
    reset(thinking)
    await until(lambda: server.failures)
    assert [failure.code for failure in server.failures] == ["ECONNRESET"]
    answers.pop()(None, None)
    # No further question, and no further failure.
    assert asked == []
    assert len(server.failures) == 1
    server.failures.clear()
    await census.restored()


@both
@pytest_twisted.ensureDeferred
async def test_a_reset_while_much_is_being_sent_lets_go_of_it(
    version: str, loopback: Loopback
) -> None:
    data = payload(8 * 1024 * 1024)
    server = await loopback.serve(minVersion=version, maxVersion=version)
    census = Census()
    server.once("secureConnection", lambda socket: socket.write(data))
    memory = Memory(version)
    reading = loopback.plain(server)
    await memory.shakeHands(reading)
    await until(lambda: server.secured)
    await until(lambda: server.secured[0]._carrier.queued)
    reset(reading)
    await until(lambda: server.secured[0].closed)
    assert [error.code for error in server.errors] in (["ECONNRESET"], ["EPIPE"])
    assert server.errors[0].phase is Phase.OPEN
    loopback.sockets.clear()
    server.secured.clear()
    server.errors.clear()
    await census.restored()
    await loopback.proveServing(server)


class Full:
    """A socket of which the kernel takes nothing for the moment."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.full = True

    def send(self, data: Any) -> int:
        if self.full:
            raise BlockingIOError
        return self._socket.send(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


async def _ended(version: str, loopback: Loopback) -> tuple[Any, Full, Received]:
    """A server whose close_notify the kernel does not take, and its client, who has ended."""
    server = await loopback.serve(minVersion=version, maxVersion=version)
    client = loopback.dial(server)
    received = Received(client)
    await until(lambda: server.secured)
    carrier = server.secured[0]._carrier
    full = carrier._socket = Full(carrier._socket)
    client.end()
    await until(lambda: server.secured[0].destroyed)
    return server, full, received


@both
@pytest_twisted.ensureDeferred
async def test_a_close_is_told_when_the_close_notify_has_gone(
    version: str, loopback: Loopback
) -> None:
    """Who stops the reactor at 'close' loses nothing."""
    server, full, received = await _ended(version, loopback)
    # Turns in which it could have been told.
    for _ in range(3):
        await deferToThread(int)
    assert not server.secured[0].closed
    full.full = False
    await until(lambda: server.secured[0].closed)
    await received
    assert received.errors == []
    assert not loopback.sockets[-1].truncated


@both
@pytest_twisted.ensureDeferred
async def test_who_takes_no_close_notify_is_not_waited_for_for_ever(
    version: str, loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "_PATIENCE", 0.1)
    server, full, _ = await _ended(version, loopback)
    await until(lambda: server.secured[0].closed)
    assert full.full
    assert full.fileno() == -1


def _destroying(socket: Any) -> Callable[..., None]:
    return lambda *arguments: socket.destroy()


@both
@pytest.mark.parametrize("moment", ["at once", "connect", "secureConnect", "data", "end"])
@pytest_twisted.ensureDeferred
async def test_destroying_at_any_moment_leaves_nothing(
    moment: str, version: str, loopback: Loopback
) -> None:
    server = await loopback.serve(minVersion=version, maxVersion=version)
    census = Census()
    client = loopback.dial(server)
    received = Received(client)
    client.write(b"hello")
    if moment == "at once":
        client.destroy()
    else:
        client.once(moment, _destroying(client))
    if moment == "end":
        client.end()
    await received
    assert (received.errors, received.closed) == ([], False)
    await until(lambda: not server.connections)
    loopback.sockets.clear()
    for kept in (server.secured, server.failures, server.errors):
        kept.clear()
    del client, received
    await census.restored()
    await loopback.proveServing(server)
