"""
Whatever two ends do in whatever order, and however the bytes are cut up on their way: each byte
once and in order, one close, nothing behind it, nothing left.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
import pytest_twisted
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.loopback import Census, Loopback, until
from tests.socket.driving import ACTS, FACES, GENTLE, Driven, endOf, judge
from tests.support import Pki

SIZES = st.integers(0, 40) | st.sampled_from([1000, 16384, 20000, 70000])
WHO = st.integers(0, 1)
STEPS = st.tuples(st.just(0), st.just("step"), st.integers(1, 12))
ACT = st.tuples(WHO, st.sampled_from(ACTS), SIZES) | STEPS
MILD = st.tuples(WHO, st.sampled_from(GENTLE), SIZES) | STEPS
SCRIPTS = st.builds(
    lambda before, secure, after: [*before, *secure, *after],
    st.lists(MILD, max_size=8),
    st.sampled_from([[], [(0, "step", 20)]]),
    st.lists(MILD, max_size=8) | st.lists(ACT, max_size=8),
)


@settings(max_examples=600, deadline=None)
@given(
    version=st.sampled_from(["TLSv1.2", "TLSv1.3"]),
    script=SCRIPTS,
    faces=st.tuples(st.sampled_from(FACES), st.sampled_from(FACES)),
    half=st.tuples(st.booleans(), st.booleans()),
    mark=st.sampled_from([65536, 1, 1000]),
    sizes=st.sampled_from([(65536,), (1000, 7, 1400), (300, 65536), (16389, 5, 1)]),
)
def test_every_byte_once_in_order_and_one_close(
    version: str,
    script: list[tuple[int, str, int]],
    faces: tuple[str, str],
    half: tuple[bool, bool],
    mark: int,
    sizes: tuple[int, ...],
    pki: Pki,
) -> None:
    driven = Driven(pki, version, faces, half, mark, sizes)
    for who, act, size in script:
        driven.do(who, act, size)
    driven.finish()


# -- the same over the loopback, many times


def script(chance: random.Random) -> list[tuple[int, str, int]]:
    """What two ends do: mostly such as they live through, and sometimes other things."""
    done = []
    for _ in range(chance.randint(0, 12)):
        acts = ACTS if chance.random() < 0.2 else (*GENTLE, "turn", "turn")
        size = chance.choice([chance.randint(0, 40), 1000, 20000, 200_000])
        done.append((chance.randint(0, 1), chance.choice(acts), size))
    return done


class Lives:
    """Connections to one server, each of which lives a life of its own."""

    def __init__(self, loopback: Loopback, server: Any, version: str) -> None:
        self.loopback, self.server, self.version = loopback, server, version
        self.ends: dict[int, Any] = {}
        server.on("secureConnection", self.accepted)

    def accepted(self, socket: Any) -> None:
        port = socket.remotePort
        end = self.ends[port] = endOf(socket, FACES[port % len(FACES)])
        socket.allowHalfOpen = port % 2 == 0
        end.secured()

    async def live(self, chance: random.Random) -> None:
        socket = self.loopback.dial(self.server, minVersion=self.version, maxVersion=self.version)
        socket.allowHalfOpen = chance.random() < 0.5
        client = endOf(socket, chance.choice(FACES))
        secured = socket.whenSecure()
        if chance.random() < 0.2:
            client.do(chance.choice(ACTS), 1000)
        try:
            await secured
        except Exception:
            assert client.killed or client.left  # it was its own doing
            await until(lambda: client.over)
            client.settled()
            return
        port = socket.localPort
        client.secured()
        await until(lambda: port in self.ends)
        ends = client, self.ends.pop(port)
        for who, act, size in script(chance):
            if act == "turn":
                await deferLater(reactor, 0)  # type: ignore[arg-type]
            else:
                ends[who].do(act, size)
        for end in ends:
            end.letGo()
        await until(lambda: all(end.over for end in ends))
        judge(*ends)

    async def rest(self) -> None:
        """Those whose clients gave up during the handshake."""
        for end in self.ends.values():
            end.letGo()
        await until(lambda: all(end.over for end in self.ends.values()))
        for end in self.ends.values():
            end.settled()
        self.ends.clear()
        await until(lambda: not self.server.connections)
        self.loopback.sockets.clear()
        for kept in (self.server.secured, self.server.seen, self.server.failures):
            kept.clear()


async def manyLives(pki: Pki, version: str, count: int) -> None:
    """So many connections, some at a time; nothing is left of them."""
    async with Loopback(pki) as loopback:
        server = await loopback.serve(None, maxVersion=version)
        server.off("secureConnection", server.listeners("secureConnection")[0])
        lives = Lives(loopback, server, version)
        await lives.live(random.Random(0))
        await lives.rest()
        census = Census()
        for start in range(0, count, 10):
            together = [lives.live(random.Random(seed)) for seed in range(start, start + 10)]
            await gatherResults([Deferred.fromCoroutine(each) for each in together])
            await lives.rest()
        await census.restored()


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest_twisted.ensureDeferred
async def test_nothing_is_left_of_hundreds_of_lives(version: str, pki: Pki) -> None:
    await manyLives(pki, version, 250)


@pytest.mark.soak
@pytest.mark.timeLimit(600)
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest_twisted.ensureDeferred
async def test_nothing_is_left_of_thousands_of_lives(version: str, pki: Pki) -> None:
    await manyLives(pki, version, 5000)
