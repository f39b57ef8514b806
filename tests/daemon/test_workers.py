"""Several workers: one port, one configuration, and deaths that cost no more than they must."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import ssl
import time
from pathlib import Path

import pytest

from tests.daemon.load import Load, Loop, echoBackend
from tests.daemon.running import Twistd
from tests.daemon.test_listeners import PAIR, dial, exchange
from tests.daemon.test_metrics import fetch, parsed, placeOf, value
from tests.daemon.test_runtime import serial
from tests.support import Pki

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
        values = parsed(fetch(place + "/metrics")[1])
        assert value(values, "nodetls_connections_open") == count
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


def test_a_reload_reaches_every_worker_and_a_bad_one_none(
    directory: Path, pki: Pki, trusting: ssl.SSLContext
) -> None:
    with Twistd(
        "nodetls", *PAIR, "--workers=2", "--watch=0", "--drainTimeout=1000", cwd=directory
    ) as daemon:
        (port,) = daemon.ports()
        pids(daemon, 2)
        with dial(port, trusting) as before:
            first = serial(before)
            new = pki.issue("localhost")
            (directory / "key.pem").write_bytes(new.key)
            daemon.signal(signal.SIGHUP)
            daemon.waitFor("not reloaded, everything stays as it was: --key: ")
            (directory / "cert.pem").write_bytes(new.cert)
            daemon.signal(signal.SIGHUP)
            daemon.waitFor("] reloaded")
            seen = ""
            for _ in range(200):  # the workers hear of it in their own time
                with dial(port, trusting) as after:
                    seen = serial(after)
                if seen != first:
                    break
            assert seen != first
            assert exchange(before) == b"a question"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_of_one_worker_is_good_at_the_others(
    version: ssl.TLSVersion, directory: Path, trusting: ssl.SSLContext
) -> None:
    import socket

    trusting.maximum_version = version
    session, last = None, ""
    workers = set()
    with Twistd("nodetls", *PAIR, "--workers=2", "--drainTimeout=1000", cwd=directory) as daemon:
        (port,) = daemon.ports()
        pids(daemon, 2)
        for number in range(30):
            plain = socket.create_connection(("127.0.0.1", port), 20)
            with trusting.wrap_socket(
                plain, server_hostname="localhost", session=session
            ) as client:
                assert exchange(client) == b"a question"
                assert client.session_reused is (number > 0)
                session = client.session
            last = daemon.waitForAll(r"worker (\d+): connection ", number + 1)[-1]
            workers.add(last)
            if len(workers) == 2:
                break


def test_it_drains_with_all_its_workers(directory: Path, trusting: ssl.SSLContext) -> None:
    arguments = [*PAIR, "--workers=2", "--drainTimeout=60000"]
    with Twistd("nodetls", *arguments, cwd=directory) as daemon:
        (port,) = daemon.ports()
        all_ = pids(daemon, 2)
        with dial(port, trusting) as client:
            assert exchange(client) == b"a question"
            daemon.signal(signal.SIGTERM)
            daemon.waitFor("draining")
            assert exchange(client) == b"a question"
            client.unwrap()
            assert daemon.process.wait(30) == -signal.SIGTERM
        for pid in all_:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


def test_workers_end_when_their_supervisor_is_killed(directory: Path) -> None:
    with Twistd("nodetls", *PAIR, "--workers=1", cwd=directory) as daemon:
        (pid,) = pids(daemon, 1)
        daemon.process.kill()
        daemon.process.wait()
        for _ in range(400):
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.025)
        pytest.fail("the worker lives on")
