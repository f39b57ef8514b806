"""Rings of ticket keys: in memory, in a file, in Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher

from tests.sessions.services import Service, redis
from tests.support import eventually, unusedPort
from txnodetls.errors import NodeError, NodeTypeError
from txnodetls.sessions.ring import RedisTicketKeys, TicketKeyFile, TicketKeyRing
from txnodetls.sessions.tickets import KeySchedule

WRAP = bytes(range(32))
NOW = 1_000_000.0  # 0 s into an interval of 100 s


class Time:
    """A clock that is set by hand."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ticket.keys"


@pytest.fixture
def warnings() -> Iterator[list[LogEvent]]:
    seen: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if str(event.get("log_namespace")).startswith("txnodetls"):
            seen.append(event)

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


def ring(clock: Time, home: Any = None, **more: Any) -> TicketKeyRing:
    return TicketKeyRing(home, interval=100, lifetime=30, clock=clock, **more)


# -- the time table


def test_a_schedule_says_which_key_is_which() -> None:
    schedule = KeySchedule(100, 30)
    assert schedule.keys(0) == ()
    schedule.adopt({0: b"a", 100: b"b", 200: b"c"})
    assert schedule.keys(99.9) == (b"a", b"b", b"c")
    assert schedule.keys(100) == (b"b", b"c", b"a")
    assert schedule.keys(129.9) == (b"b", b"c", b"a")
    assert schedule.keys(130) == (b"b", b"c")
    assert schedule.keys(229) == (b"c", b"b")
    assert schedule.keys(10_000) == (b"c",)


def test_a_clock_that_was_set_back_leaves_a_key() -> None:
    schedule = KeySchedule(100, 30)
    schedule.adopt({100: b"b", 200: b"c"})
    assert schedule.keys(50) == (b"b", b"c")


def test_a_key_is_known_for_a_while_before_it_begins() -> None:
    schedule = KeySchedule(100, 30)
    assert schedule.missing(150, 50) == [100, 300]
    assert schedule.missing(149, 50) == [100, 200]
    schedule.adopt({100: b"b"})
    assert schedule.missing(149, 50) == [200]
    schedule.adopt({200: b"c"})
    assert schedule.missing(199, 50) == []
    assert schedule.missing(200, 50) == [300]


@pytest.mark.parametrize("interval", [0, -1, 0.5, float("inf"), float("nan")])
def test_what_is_no_interval_is_refused(interval: float) -> None:
    with pytest.raises(NodeTypeError, match="interval"):
        TicketKeyRing(interval=interval)


# -- in memory


def test_keys_have_their_time_as_next_current_and_old(clock: Time) -> None:
    made = ring(clock)
    first, second = made.keys()
    assert len(first) == 48
    assert made.current == first
    clock.now += 99
    assert made.keys() == (first, second)
    clock.now += 1
    current, third, old = made.keys()
    assert (current, old) == (second, first)
    assert third not in (first, second)
    clock.now += 30
    assert made.keys() == (second, third)
    clock.now += 70
    assert made.keys()[0] == third


def test_what_it_says_stays_the_same_object_between_changes(clock: Time) -> None:
    """Servers ask for each connection, and compare."""
    made = ring(clock)
    said = made.keys()
    clock.now += 10
    assert made.keys() is said


def test_after_a_long_pause_no_old_key_makes_tickets(clock: Time) -> None:
    made = ring(clock)
    before = set(made.keys())
    clock.now += 1000
    now = made.keys()
    clock.now += 100
    assert made.keys()[0] not in before
    assert len(now) == 2


def test_old_keys_go_while_nobody_asks(clock: Time) -> None:
    timer = Clock()
    made = ring(clock, reactor=timer)
    made.start()
    made.start()
    first = made.keys()[0]
    for _ in range(24):
        clock.now += 10
        timer.advance(10)
    assert first not in made.entries().values()
    assert len(made.entries()) == 2
    made.stop()
    assert len(timer.getDelayedCalls()) == 1
    made.stop()
    assert timer.getDelayedCalls() == []


def test_a_home_that_takes_its_time_is_waited_for_quietly(clock: Time) -> None:
    class Slow:
        asked: list[Deferred[Any]] = []

        def exchange(self, revise: Any) -> Deferred[Any]:
            self.asked.append(Deferred())
            return self.asked[-1]

    timer = Clock()
    made = ring(clock, Slow(), reactor=timer)
    made.keys()
    made.start()
    for _ in range(10):
        assert made.keys() == ()
        (waiting,) = timer.getDelayedCalls()
        assert waiting.getTime() > timer.seconds()
        clock.now += 1
        timer.advance(1)
    assert len(Slow.asked) == 1
    Slow.asked[0].callback({int(NOW): b"k" * 48})
    assert made.keys() == (b"k" * 48,)
    made.stop()


def test_neither_keys_nor_anything_like_them_are_shown(clock: Time, path: Path) -> None:
    for home in (None, TicketKeyFile(str(path))):
        made = ring(clock, home)
        for key in made.entries().values():
            for form in (repr(key), key.hex(), repr(key)[2:20]):
                assert form not in f"{made!r} {made} {home!r}"


def test_what_is_no_home_is_refused() -> None:
    with pytest.raises(NodeTypeError) as caught:
        TicketKeyRing("file:/x")  # type: ignore[arg-type]
    assert caught.value.code == "ERR_INVALID_ARG_TYPE"


# -- in a file


def test_rings_of_one_file_have_the_same_keys(clock: Time, path: Path) -> None:
    one, other = ring(clock, TicketKeyFile(str(path))), ring(clock, TicketKeyFile(str(path)))
    for _ in range(30):
        assert one.keys() == other.keys()
        clock.now += 17
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes().startswith(b"nodetls ticket keys, version 1\n")


def test_a_new_key_is_known_to_all_before_the_first_ticket_is_made_with_it(
    clock: Time, path: Path
) -> None:
    rings = [ring(clock, TicketKeyFile(str(path))) for _ in range(3)]
    for step in range(400):
        clock.now += 1
        # Each looks at another time.
        sealing = rings[step % 3].keys()[0]
        for each in rings:
            assert sealing in each._schedule.keys(clock.now)


def test_a_ring_that_comes_later_takes_what_is_there(clock: Time, path: Path) -> None:
    one = ring(clock, TicketKeyFile(str(path)))
    clock.now += 120
    keys = one.keys()
    assert len(keys) == 3
    assert ring(clock, TicketKeyFile(str(path))).keys() == keys


def test_a_file_that_is_gone_comes_back(clock: Time, path: Path) -> None:
    one = ring(clock, TicketKeyFile(str(path)))
    keys = one.keys()
    path.unlink()
    clock.now += 26
    assert one.keys() == keys
    assert ring(clock, TicketKeyFile(str(path))).keys() == keys


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x" * 48,
        b"nodetls ticket keys, version 1",
        b"nodetls ticket keys, version 2\n",
        b"nodetls ticket keys, version 1\n1 00\n",
        b"nodetls ticket keys, version 1\n1\n",
        b"nodetls ticket keys, version 1\nx " + b"00" * 48 + b"\n",
    ],
)
def test_another_file_is_refused_and_stays_as_it_is(
    clock: Time, path: Path, content: bytes
) -> None:
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(NodeTypeError, match="is not a file of a ring") as caught:
        ring(clock, TicketKeyFile(str(path)))
    assert caught.value.code == "ERR_INVALID_ARG_VALUE"
    assert path.read_bytes() == content


def test_a_file_that_others_can_read_is_refused(clock: Time, path: Path) -> None:
    ring(clock, TicketKeyFile(str(path)))
    path.chmod(0o644)
    with pytest.raises(NodeTypeError, match="can be reached by others"):
        ring(clock, TicketKeyFile(str(path)))


def test_a_directory_that_is_not_there_is_said_at_once(clock: Time, tmp_path: Path) -> None:
    with pytest.raises(NodeTypeError, match="No such file or directory"):
        ring(clock, TicketKeyFile(str(tmp_path / "none" / "keys")))


def test_a_file_that_goes_bad_costs_a_warning_and_no_key(
    clock: Time, path: Path, warnings: list[LogEvent]
) -> None:
    made = ring(clock, TicketKeyFile(str(path)))
    keys = made.keys()
    path.chmod(0o644)
    for _ in range(40):
        clock.now += 1
        assert made.keys() == keys
    assert [event["log_level"].name for event in warnings] == ["warn"]
    clock.now += 70
    # The next key was known; the one after it is not, as long as the file is bad.
    assert made.keys() == (keys[1], keys[0])
    path.chmod(0o600)
    clock.now += 2
    assert len(made.keys()) == 3


# -- in Redis

pytest.importorskip("txredisapi", reason="the extra redis is not installed")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Service]:
    with redis(tmp_path) as running:
        yield running


@pytest.fixture
def homes(server: Service) -> Iterator[list[RedisTicketKeys]]:
    address = f"redis://127.0.0.1:{server.port}"
    made = [RedisTicketKeys(address, wrappingKeys=[WRAP], timeout=10) for _ in range(3)]
    yield made
    for home in made:
        home.close()


@ensureDeferred
async def test_rings_of_one_redis_have_the_same_keys(
    clock: Time, homes: list[RedisTicketKeys]
) -> None:
    rings = [ring(clock, home) for home in homes]
    # At first nobody knows any, and nobody waits.
    assert [each.keys() for each in rings] == [()] * 3
    await eventually(lambda: all(each.keys() for each in rings))
    for _ in range(12):
        for each in rings:
            await each.look()
        one, *others = [each.keys() for each in rings]
        assert others == [one, one]
        assert len(one) in (2, 3)
        clock.now += 33


@ensureDeferred
async def test_redis_sees_no_key_and_can_make_none(
    clock: Time, homes: list[RedisTicketKeys], server: Service
) -> None:
    made = ring(clock, homes[0])
    await made.look()
    keys = made.keys()
    stored = await homes[0]._ask(b"HGETALL", b"nodetls:ticket-keys")
    for key in keys:
        for part in (key[:16], key[16:32], key[32:]):
            assert part not in b"".join(stored)
    fields = sorted(stored[::2])
    # Swapped, made up, and made by somebody with another key.
    first = await homes[0]._ask(b"HGET", b"nodetls:ticket-keys", fields[0])
    await homes[0]._ask(b"HSET", b"nodetls:ticket-keys", fields[1], first)
    await homes[0]._ask(b"HSET", b"nodetls:ticket-keys", b"1000001", bytes(48))
    await homes[0]._ask(b"HSET", b"nodetls:ticket-keys", b"name", bytes(48))
    place = f"redis://127.0.0.1:{server.port}"
    stranger = RedisTicketKeys(place, wrappingKeys=[bytes(32)], timeout=10)
    entries = await homes[0].exchange(lambda entries: ({}, []))
    assert list(entries.values()) == [keys[0]]
    assert await stranger.exchange(lambda entries: ({}, [])) == {}
    stranger.close()
    await made.look()
    assert made.keys() == keys
    # And the one that was spoilt is there again.
    entries = await homes[1].exchange(lambda entries: ({}, []))
    assert tuple(entries[begins] for begins in sorted(entries)) == keys


@ensureDeferred
async def test_what_redis_forgot_it_gets_back(clock: Time, homes: list[RedisTicketKeys]) -> None:
    one, other = ring(clock, homes[0]), ring(clock, homes[1])
    await one.look()
    keys = one.keys()
    await homes[2]._ask(b"FLUSHALL")
    await one.look()
    await other.look()
    assert one.keys() == other.keys() == keys
    assert await homes[2]._ask(b"TTL", b"nodetls:ticket-keys") > 0


@ensureDeferred
async def test_a_ring_goes_on_without_its_redis(
    clock: Time, server: Service, homes: list[RedisTicketKeys], warnings: list[LogEvent]
) -> None:
    made = ring(clock, homes[0])
    await made.look()
    keys = made.keys()
    server.kill()
    for _ in range(5):
        await made.look()
    assert made.keys() == keys
    assert [event["log_level"].name for event in warnings] == ["warn"]
    server.start()
    while not await _there(homes[0]):
        pass
    await made.look()
    assert made.keys() == keys


async def _there(home: RedisTicketKeys) -> bool:
    try:
        await home._ask(b"PING")
    except Exception:
        return False
    return True


@ensureDeferred
async def test_without_redis_there_are_no_keys_and_no_errors(clock: Time) -> None:
    home = RedisTicketKeys(f"redis://127.0.0.1:{unusedPort()}", wrappingKeys=[WRAP])
    made = ring(clock, home)
    await made.look()
    assert made.keys() == ()
    assert made.current is None
    home.close()


def test_redis_needs_a_key_to_wrap_with() -> None:
    with pytest.raises(NodeError, match="wrapped") as caught:
        RedisTicketKeys("redis://localhost")
    assert caught.value.code == "ERR_MISSING_ARGS"
    for keys in ([], [WRAP[1:]], WRAP):
        with pytest.raises(NodeTypeError):
            RedisTicketKeys("redis://localhost", wrappingKeys=keys)  # type: ignore[arg-type]
