"""Several workers: one port, one configuration, and deaths that cost no more than they must."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.daemon.load import Load, Loop, echoBackend
from tests.daemon.running import Twistd, run
from tests.daemon.test_listeners import PAIR, dial, exchange
from tests.daemon.test_metrics import fetch, parsed, placeOf, value
from tests.daemon.test_processes import Transport, says
from tests.daemon.test_runtime import serial
from tests.support import Pki
from txnodetls.daemon import workers
from txnodetls.daemon.bound import Bound
from txnodetls.daemon.channel import said
from txnodetls.daemon.config import readConfig
from txnodetls.daemon.metrics import Snapshot
from txnodetls.daemon.plan import Config
from txnodetls.daemon.processes import Process, State, WorkerFailure
from txnodetls.daemon.worker import REPORTS
from txnodetls.daemon.workers import Workers

SERVES = r"worker (\d+) serves, pid (\d+)"


def pids(daemon: Twistd, count: int) -> list[int]:
    daemon.waitForAll(SERVES, count)
    return [int(pid) for _, pid in re.findall(SERVES, daemon.output)]


def sockets(pid: int) -> int:
    """How many sockets a process has."""
    found = 0
    for entry in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found += os.readlink(f"/proc/{pid}/fd/{entry}").startswith("socket:")
    return found


def alive(pid: int) -> bool:
    """Whether a process runs: who has ended and is waited for by nobody does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Within, a process does nothing."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


class Answering(Transport):
    """One that says how it is when it is asked, unless it hangs."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self._process = process
        self.hangs = False

    def writeToChild(self, number: int, data: bytes) -> None:
        super().writeToChild(number, data)
        if "stats" in self.heard:
            self.heard.remove("stats")
            if not self.hangs:
                self._process.childDataReceived(REPORTS, said("stats", values=[], open=0))


class Hands:
    """In place of C{spawn}: processes without one, which the test speaks for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[Any] = []
        self.refusing = False
        monkeypatch.setattr(workers, "spawn", self._spawn)

    def _spawn(self, supervisor: Any, number: int, descriptors: object) -> Process:
        if self.refusing:
            raise WorkerFailure("the system refuses")
        process: Any = Process(supervisor, number)
        process.transport = Answering(process)
        self.made.append(process)
        return process

    def come(self) -> None:
        """All that are starting are there; who is told to serve does."""
        for each in self.made:
            if each.state is State.STARTING:
                says(each, "idle")
            if each.state is State.IDLE and {"serve", "go"} & set(each.transport.heard):
                says(each, "serving")

    def states(self) -> list[str]:
        return [each.state.value for each in self.made]


def die(process: Any) -> None:
    process.processEnded(Failure(ProcessTerminated(signal=9)))


def supervised(
    monkeypatch: pytest.MonkeyPatch, count: int = 1
) -> tuple[Clock, Hands, Workers, Config]:
    clock, hands = Clock(), Hands(monkeypatch)
    supervisor = Workers(clock, count, {})
    config = readConfig({"port": "0"})
    supervisor.apply(config, {"place": Bound(socket.socket())})
    hands.come()
    return clock, hands, supervisor, config


def test_the_reserve_takes_over_at_once_and_another_one_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, hands, supervisor, _ = supervised(monkeypatch, 2)
    assert hands.states() == ["serving", "serving", "idle"]
    assert hands.made[2].transport.heard == ["prepare"]
    die(hands.made[0])
    # In the same turn: the clock stands still.
    assert hands.made[2].transport.heard == ["prepare", "go"]
    assert hands.states() == ["dead", "serving", "idle"]
    says(hands.made[2], "serving")
    assert hands.states() == ["dead", "serving", "serving", "starting"]
    hands.come()
    assert hands.states() == ["dead", "serving", "serving", "idle"]
    supervisor.drain(0)


def test_those_that_die_again_and_again_are_replaced_more_and_more_slowly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, hands, supervisor, _ = supervised(monkeypatch)
    starts = []
    for _ in range(6):
        before = len(hands.made)
        hands.come()
        die(hands.made[-1])
        began = clock.seconds()
        while len(hands.made) == before:
            clock.advance(0.5)
        starts.append(clock.seconds() - began)
    assert starts == [0, 1, 2, 4, 8, 16]
    clock.advance(3600)
    hands.come()
    assert supervisor.serves
    die(hands.made[0])
    hands.come()
    assert hands.states()[-2:] == ["serving", "idle"]
    supervisor.drain(0)


def test_a_system_that_refuses_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, hands, supervisor, _ = supervised(monkeypatch)
    hands.refusing = True
    clock.advance(100)
    die(hands.made[0])
    assert hands.states() == ["dead", "idle"]
    hands.come()
    clock.advance(0.5)
    hands.refusing = False
    assert hands.states() == ["dead", "serving"]
    clock.advance(1)
    assert hands.states() == ["dead", "serving", "starting"]
    supervisor.drain(0)


def test_a_reload_that_cannot_start_its_workers_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, hands, supervisor, config = supervised(monkeypatch)
    hands.refusing = True
    before = supervisor.ports
    heard = [list(each.transport.heard) for each in hands.made]
    with pytest.raises(WorkerFailure, match="refuses"):
        supervisor.apply(config, {**before, "another": Bound(socket.socket())})
    assert supervisor.ports is before
    assert [each.transport.heard for each in hands.made] == heard
    assert hands.states() == ["serving", "idle"]
    supervisor.drain(0)


def test_a_reload_reaches_also_those_that_are_only_about_to_serve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, hands, supervisor, config = supervised(monkeypatch, 2)
    clock.advance(10)
    for each in hands.made[:2]:
        die(each)
    about, starting = hands.made[2:]
    assert (about.state, starting.state) == (State.IDLE, State.STARTING)
    supervisor.apply(config, supervisor.ports)
    assert about.transport.heard == ["prepare", "go", "serve"]
    assert starting.transport.heard == []
    hands.come()
    assert starting.transport.heard == ["serve"]
    supervisor.drain(0)


def test_one_that_is_told_to_end_is_replaced_while_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    _, hands, supervisor, _ = supervised(monkeypatch)
    says(hands.made[0], "leaving")
    hands.come()
    assert hands.states() == ["leaving", "serving", "idle"]
    says(hands.made[2], "leaving")
    hands.come()
    assert hands.states() == ["leaving", "serving", "leaving", "idle"]
    hands.made[0].processEnded(Failure(ProcessDone(0)))
    assert len(hands.made) == 4
    supervisor.drain(0)


def counted(supervisor: Workers) -> Snapshot:
    found: list[Snapshot] = []
    supervisor.snapshot().addCallback(found.append)
    return found[0]


def test_one_that_hangs_is_not_counted_on_and_then_killed_and_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, hands, supervisor, _ = supervised(monkeypatch)
    clock.pump([1] * 600)
    assert (hands.states(), supervisor.serves) == (["serving", "idle"], True)
    hanging = hands.made[0]
    hanging.transport.hangs = True
    clock.pump([1] * 6)
    assert not supervisor.serves
    clock.pump([1] * 54)
    assert (hanging.state, hanging.transport.signals) == (State.SERVING, [])
    clock.pump([1])
    # The next one does not wait until this one is gone.
    assert (hanging.state, hanging.transport.signals) == (State.HUNG, ["KILL"])
    hands.come()
    assert (hands.states(), supervisor.serves) == (["hung", "serving", "idle"], True)
    die(hanging)
    clock.pump([1] * 600)
    assert hands.states() == ["dead", "serving", "idle"]
    told = counted(supervisor)
    assert [told[name, ()] for name in ("worker_hangs", "worker_deaths", "workers")] == [1, 1, 1]
    supervisor.drain(0)


def test_one_that_answers_again_in_time_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, hands, supervisor, _ = supervised(monkeypatch)
    transport = hands.made[0].transport
    for hangs in (True, False) * 5:
        transport.hangs = hangs
        clock.pump([1] * 50)
        assert supervisor.serves is not hangs
    assert (hands.states(), transport.signals) == (["serving", "idle"], [])
    supervisor.drain(0)


def test_time_in_which_nobody_looked_is_not_held_against_anyone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, hands, supervisor, _ = supervised(monkeypatch)
    for each in hands.made:
        each.transport.hangs = True
    clock.pump([3600] * 4)
    for each in hands.made:
        each.transport.hangs = False
    clock.pump([1] * 2)
    assert (hands.states(), supervisor.serves) == (["serving", "idle"], True)
    supervisor.drain(0)


def test_the_reserve_may_hang_and_so_may_one_that_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, hands, supervisor, _ = supervised(monkeypatch)
    says(hands.made[0], "leaving")
    hands.come()
    assert hands.states() == ["leaving", "serving", "idle"]
    for index in (0, 2):
        hands.made[index].transport.hangs = True
    clock.pump([1] * 61)
    hands.come()
    assert hands.states() == ["hung", "serving", "hung", "idle"]
    for index in (0, 2):
        die(hands.made[index])
    clock.pump([1] * 61)
    assert hands.states() == ["dead", "serving", "dead", "idle"]
    supervisor.drain(0)


def test_one_that_starts_has_a_minute_and_without_a_limit_all_have_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, hands, supervisor, _ = supervised(monkeypatch)
    supervisor.apply(readConfig({"port": "0", "workerTimeout": "2000"}), supervisor.ports)
    die(hands.made[0])
    says(hands.made[1], "serving")
    starting = hands.made[2]
    starting.transport.hangs = True
    clock.pump([1] * 60)
    assert hands.states() == ["dead", "serving", "starting"]
    clock.pump([1])
    assert hands.states() == ["dead", "serving", "hung", "starting"]
    hands.come()
    supervisor.apply(readConfig({"port": "0", "workerTimeout": "0"}), supervisor.ports)
    hands.made[1].transport.hangs = True
    clock.pump([1] * 3600)
    assert hands.states() == ["dead", "serving", "hung", "idle"]
    supervisor.drain(0)


def test_a_worker_that_is_stopped_is_killed_and_replaced(
    directory: Path, trusting: ssl.SSLContext
) -> None:
    arguments = [*PAIR, "--workers=1", "--metrics=127.0.0.1:0", "--workerTimeout=3000"]
    with Twistd("nodetls", *arguments, cwd=directory) as daemon:
        (port,) = daemon.ports()
        serves = daemon.waitFor(SERVES)
        number, pid, since = serves[1], int(serves[2]), serves.end()
        with stopped(pid):
            # Nobody takes it until there is another worker.
            with dial(port, trusting) as client:
                assert exchange(client) == b"a question"
            daemon.waitFor(rf"worker {number} has not answered for \d+ s, and is killed", since)
            daemon.waitFor(SERVES, since)
            daemon.waitFor(f"worker {number} has died: .*signal 9", since)
        assert not alive(pid)
        values = parsed(fetch(placeOf(daemon) + "/metrics")[1])
        # More than one, where the machine is so slow that others are late as well.
        assert value(values, "nodetls_worker_hangs_total") >= 1
        assert value(values, "nodetls_worker_deaths_total") >= 1


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(30, id="some"),
        pytest.param(200, id="many", marks=[pytest.mark.soak, pytest.mark.timeLimit(300)]),
    ],
)
def test_a_worker_that_is_killed_costs_its_own_connections_and_is_replaced(
    count: int, directory: Path, loop: Loop, trusting: ssl.SSLContext
) -> None:
    backend = loop.run(echoBackend())
    target = f"--proxy=tcp:127.0.0.1:{backend.sockets[0].getsockname()[1]}"
    arguments = [*PAIR, target, "--workers=2", "--metrics=127.0.0.1:0", "--drainTimeout=1000"]
    with Twistd("nodetls", *arguments, cwd=directory) as daemon:
        (port,) = daemon.ports()
        first = pids(daemon, 2)
        before = [sockets(pid) for pid in first]
        load = Load(loop, port, trusting, count)
        load.start(200, abreast=2)
        # A client's and the backend's each.
        shares = [(sockets(pid) - had) // 2 for pid, had in zip(first, before, strict=True)]
        assert sum(shares) == count
        victim = shares.index(min(shares))
        place = placeOf(daemon)
        # A worker that is slow to tell is counted with what it told last.
        open_ = 0.0
        while open_ != count:
            values = parsed(fetch(place + "/metrics")[1])
            open_ = value(values, "nodetls_connections_open")
        assert value(values, "nodetls_workers") == 2
        since = len(daemon.output)
        os.kill(first[victim], signal.SIGKILL)
        killed = time.monotonic()
        daemon.waitFor("has died", since)
        daemon.waitFor(SERVES, since)
        print(f"back after {time.monotonic() - killed:.3f} s")
        load.advance(2, 100)
        with dial(port, trusting) as client:
            assert exchange(client) == b"a question"
        broken = load.finish(100)
        # What was one worker's is lost, what was the other's is not.
        assert len(broken) == shares[victim] < count
        assert all(not isinstance(client.error, AssertionError) for client in broken)
        values = parsed(fetch(place + "/metrics")[1])
        assert value(values, "nodetls_worker_deaths_total") == 1
        assert value(values, "nodetls_connections_total") >= count


def test_a_reload_reaches_every_worker_and_a_bad_one_none_and_draining_all_of_them(
    directory: Path, pki: Pki, trusting: ssl.SSLContext
) -> None:
    arguments = [*PAIR, "--workers=2", "--watch=0", "--drainTimeout=60000"]
    with Twistd("nodetls", *arguments, cwd=directory) as daemon:
        (port,) = daemon.ports()
        both = pids(daemon, 2)
        with dial(port, trusting) as before:
            first = serial(before)
            new = pki.issue("localhost")
            (directory / "key.pem").write_bytes(new.key)
            daemon.signal(signal.SIGHUP)
            daemon.waitFor("not reloaded, everything stays as it was: --key: ")
            (directory / "cert.pem").write_bytes(new.cert)
            daemon.signal(signal.SIGHUP)
            daemon.waitFor("] reloaded")
            seen = first
            while seen == first:  # the workers hear of it in their own time
                with dial(port, trusting) as after:
                    seen = serial(after)
            assert exchange(before) == b"a question"
            daemon.signal(signal.SIGTERM)
            daemon.waitFor("draining")
            assert exchange(before) == b"a question"
            before.unwrap()
            assert daemon.ended() == -signal.SIGTERM
        for pid in both:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


def test_a_session_of_one_worker_is_good_at_the_others(
    directory: Path, trusting: ssl.SSLContext
) -> None:
    with Twistd("nodetls", *PAIR, "--workers=2", "--drainTimeout=1000", cwd=directory) as daemon:
        (port,) = daemon.ports()
        pids(daemon, 2)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            trusting.maximum_version = version
            session, first = visit(daemon, port, trusting, None)
            with stopped(int(dict(re.findall(SERVES, daemon.output))[first])):
                # The other one is who is left.
                _, second = visit(daemon, port, trusting, session)
            assert first != second


def visit(
    daemon: Twistd, port: int, trusting: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[ssl.SSLSession | None, str]:
    """Come with a session, or for one: the session, and the number of the worker that served."""
    since = len(daemon.output)
    plain = socket.create_connection(("127.0.0.1", port), 20)
    with trusting.wrap_socket(plain, server_hostname="localhost", session=session) as client:
        name = f"peer=127.0.0.1:{client.getsockname()[1]} "
        assert exchange(client) == b"a question"
        assert client.session_reused is (session is not None)
        made = client.session
    return made, daemon.waitFor(rf"worker (\d+): connection .*{name}", since)[1]


def test_workers_run_on_the_supervisors_reactor(directory: Path, trusting: ssl.SSLContext) -> None:
    arguments = ["--reactor=uvloop", "nodetls", *PAIR, "--workers=1", "--drainTimeout=1000"]
    with Twistd(*arguments, cwd=directory) as daemon:
        daemon.waitFor("UvloopReactor")
        (port,) = daemon.ports()
        (pid,) = pids(daemon, 1)
        with dial(port, trusting) as client:
            assert exchange(client) == b"a question"
        assert "uvloop" in Path(f"/proc/{pid}/maps").read_text()


def test_workers_end_when_their_supervisor_is_killed(directory: Path) -> None:
    with Twistd("nodetls", *PAIR, "--workers=1", cwd=directory) as daemon:
        (pid,) = pids(daemon, 1)
        daemon.process.kill()
        daemon.process.wait()
        while alive(pid):
            time.sleep(0.025)


@pytest.mark.parametrize(
    ("executable", "problem"),
    [
        ("/absent/python", "cannot start /absent/python: No such file or directory"),
        ("/bin/false", "the first ends at once: it does not say why"),
    ],
)
def test_workers_that_cannot_be_had_end_the_start_with_one_line_and_leave_nothing(
    executable: str, problem: str, directory: Path
) -> None:
    arguments = ["--path=socket", "--workers=2", "--key=key.pem", "--cert=cert.pem"]
    prelude = f"import sys; sys.executable = {executable!r}"
    status, output = run("nodetls", *arguments, cwd=directory, prelude=prelude)
    assert status == 1
    assert output.splitlines()[-1].endswith(f"twistd nodetls: workers: {problem}")
    assert "Traceback" not in output
    assert not (directory / "socket").exists()


def test_a_worker_that_is_told_to_end_keeps_its_connections_and_is_replaced(
    directory: Path, trusting: ssl.SSLContext
) -> None:
    """Also where all processes are told, as systemd does it without KillMode=mixed."""
    arguments = [*PAIR, "--workers=1", "--drainTimeout=60000"]
    with Twistd("nodetls", *arguments, cwd=directory) as daemon:
        (port,) = daemon.ports()
        (first,) = pids(daemon, 1)
        with dial(port, trusting) as before:
            assert exchange(before) == b"a question"
            os.kill(first, signal.SIGTERM)
            assert pids(daemon, 2)[0] == first
            with dial(port, trusting) as after:
                assert exchange(after) == b"a question"
                assert exchange(before) == b"a question"
                before.unwrap()
                daemon.waitFor("worker 1: connection .*reason=done")
                daemon.signal(signal.SIGTERM)
                os.kill(pids(daemon, 2)[1], signal.SIGTERM)
                daemon.waitFor("draining")
                assert exchange(after) == b"a question"
                after.unwrap()
                assert daemon.ended() == -signal.SIGTERM
        assert "has died" not in daemon.output
