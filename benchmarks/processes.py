"""
Processes that are measured, and the load on them.

What is measured runs on the first CPU; whatever makes the load, and whatever stands behind, on the
last one.  CPU time is the kernel's own count, in nanoseconds, of the
process and of those that it started; memory is what is resident of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["LOAD", "MEASURED", "Generator", "Process", "Record", "freePort"]

_CPUS = sorted(os.sched_getaffinity(0))
MEASURED, LOAD = _CPUS[0], _CPUS[-1]
# TLS 1.3 with one cipher and one group, for all who are compared.
ALIKE = ("-g", "X25519", "-s", "TLS_AES_128_GCM_SHA256")
_PATIENCE = 60.0


def freePort() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


# What a machine may have that makes a start slower: certificates that all have to read; that what
# was compiled is not kept.
_LEFT_OUT = frozenset({"NODE_EXTRA_CA_CERTS", "PYTHONDONTWRITEBYTECODE"})


def environment() -> dict[str, str]:
    """This process's, without what is the machine's own."""
    return {name: value for name, value in os.environ.items() if name not in _LEFT_OUT}


def _tree(pid: int) -> Iterator[int]:
    """A process and all that it started, and those in turn."""
    yield pid
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            children = Path(f"/proc/{pid}/task/{thread}/children").read_text()
            for child in children.split():
                yield from _tree(int(child))


def _clockOf(pid: int) -> int:
    """What clock_getcpuclockid(3) gives for a process: its number's complement, and which clock."""
    return ~pid << 3 | 2


class Process:
    """
    A process under test, from when it is ready.

    @param command: what to start.
    @param port: where it will listen; None: it prints C{READY <port>}.
    @param more: for its environment.
    """

    def __init__(
        self,
        command: Sequence[str],
        port: int | None = None,
        more: Mapping[str, str] | None = None,
        cpu: int = MEASURED,
    ) -> None:
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE if port is None else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**environment(), **(more or {})},
            preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
        )
        try:
            self.port = self._told() if port is None else self._reached(port)
        except BaseException:
            self.stop()
            raise

    def _told(self) -> int:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(b"READY"):
                return int(line.split()[1])
        raise RuntimeError(f"it did not start: {self.process.args!r}")

    def _reached(self, port: int) -> int:
        while self.process.poll() is None and time.perf_counter() - self.started < _PATIENCE:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return port
            time.sleep(0.02)
        raise RuntimeError(f"it did not start: {self.process.args!r}")

    def cpu(self) -> float:
        """Seconds of CPU that were used so far, by threads that have ended as well."""
        used = 0
        for pid in _tree(self.process.pid):
            with contextlib.suppress(OSError):
                used += time.clock_gettime_ns(_clockOf(pid))
        return used / 1e9

    def memory(self) -> int:
        """Bytes that are resident."""
        resident = 0
        for pid in _tree(self.process.pid):
            with contextlib.suppress(OSError):
                found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
                resident += int(found[1]) * 1024 if found else 0
        return resident

    def settled(self, quiet: float = 0.2) -> int:
        """What is resident once nothing has been done for so long."""
        used = self.cpu()
        for _ in range(100):
            time.sleep(quiet)
            if self.cpu() - used < 0.01 * quiet:
                break
            used = self.cpu()
        return self.memory()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            for pid in reversed(list(_tree(self.process.pid))):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Generator:
    """
    The harness's load generator, on the OpenSSL that is inside Node 24.

    @param harness: its folder.
    """

    def __init__(self, harness: Path) -> None:
        self.program = str(harness / "t35")
        self.certs = harness / "certs"
        self.environment = {"PYTHON": sys.executable, **environment()}

    def certificate(self, kind: str = "ecdsa") -> dict[str, str]:
        """A server's environment: where its key and its certificate are."""
        return {
            "BENCH_CERT": str(self.certs / f"server-{kind}.crt"),
            "BENCH_KEY": str(self.certs / f"server-{kind}.key"),
            "BENCH_CA": str(self.certs / "ca.crt"),
        }

    def _start(self, port: int, mode: str, *options: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.program, mode, str(port), *options, *ALIKE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
            preexec_fn=lambda: os.sched_setaffinity(0, {LOAD}),
        )

    def run(self, port: int, mode: str, *options: str) -> dict[str, Any]:
        """Load of one kind until it is over; what the generator says of it."""
        process = self._start(port, mode, *options)
        try:
            said, _ = process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        if process.returncode:
            raise RuntimeError(f"{mode}: the generator gave up")
        result: dict[str, Any] = json.loads(said)
        return result

    @contextlib.contextmanager
    def holding(self, port: int, count: int) -> Iterator[None]:
        """So many connections, each of which has echoed once and says nothing more."""
        process = self._start(port, "hold", "-c", str(count), "-k")
        assert process.stdout is not None
        try:
            if process.stdout.readline() != "HELD\n":
                raise RuntimeError(f"{count} connections could not be had")
            yield
            process.communicate("\n", timeout=_PATIENCE)
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()


class Record:
    """
    Figures, in a file that is written anew with each that comes.

    @ivar figures: C{figures[name]} is a list of repetitions, each from peer to figure.
    """

    def __init__(self, path: Path, **about: Any) -> None:
        self._path = path
        self.about = {
            "began": time.strftime("%Y-%m-%d %H:%M"),
            "python": platform.python_version(),
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
            **about,
        }
        self.load: list[float] = []
        self.figures: dict[str, list[dict[str, Any]]] = {}

    def repetition(self) -> None:
        """One more begins."""
        self.load.append(os.getloadavg()[0])

    def add(self, name: str, rep: int, peer: str, figure: Any) -> None:
        runs = self.figures.setdefault(name, [])
        while len(runs) <= rep:
            runs.append({})
        runs[rep][peer] = figure
        self._path.write_text(json.dumps(self.asDict(), indent=1) + "\n")

    def asDict(self) -> dict[str, Any]:
        return {"about": self.about, "load": self.load, "figures": self.figures}

    def interleaved(
        self,
        names: Sequence[str],
        peers: Sequence[str],
        reps: int,
        measure: Callable[[str, str], Any],
    ) -> None:
        """
        Measure each of the names with each of the peers, side by side.

        What fails is said and left out: the others are worth having.
        """
        for rep in range(reps):
            self.repetition()
            for name in names:
                for peer in peers if rep % 2 == 0 else peers[::-1]:
                    try:
                        figure = measure(name, peer)
                    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
                        print(f"   !! {peer} {name}: {error!r}", file=sys.stderr)
                        continue
                    if figure is not None:
                        self.add(name, rep, peer, figure)
                print(f"{rep + 1}/{reps} {name}", file=sys.stderr, flush=True)
