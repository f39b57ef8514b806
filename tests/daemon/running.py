"""A C{twistd} of its own in a process, and what it said."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.daemon.everyone import Interpreter
from tests.support import PROJECT

TWISTD = [
    sys.executable,
    "-c",
    # Whoever runs the tests in the background has SIGINT ignored, and it would be here, too.
    (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "sys.argv[0] = 'twistd'; from twisted.scripts.twistd import run; run()"
    ),
]
"""The command, whatever is on PATH."""


class Twistd:
    """
    C{twistd -n} with these arguments, in a directory of its own.

    Use it in a C{with}: it ends with the block, and so do its pipes.

    @param prelude: Python that its process runs first.
    @param python: the interpreter that runs it, in place of the tests' own.
    """

    def __init__(
        self,
        *arguments: str,
        cwd: Path,
        prelude: str = "",
        python: Interpreter | None = None,
    ) -> None:
        self.output = ""
        command = [*TWISTD, "-n", "--pidfile=", *arguments]
        if prelude:
            command[2] = f"{prelude}; {command[2]}"
        if python is None:
            python = Interpreter(sys.executable, {"PYTHONPATH": str(PROJECT)})
        command[0] = python.path
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=os.environ | python.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.output += line.decode(errors="replace")
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def waitFor(self, pattern: str, since: int = 0, timeout: float = 30) -> re.Match[str]:
        """
        The first match of a pattern in what it prints, now or later.

        @param since: the length of the output that does not count.
        """
        sought = re.compile(pattern)
        with self._changed:
            self._changed.wait_for(
                lambda: sought.search(self.output, since) or not self._reader.is_alive(), timeout
            )
        match = sought.search(self.output, since)
        assert match is not None, f"no {pattern!r} in:\n{self.output[since:]}"
        return match

    def ports(self, count: int = 1) -> list[int]:
        """The ports that it listens on, in the order of the log."""
        found = self.waitForAll(r"listening on 127\.0\.0\.1:(\d+)", count)
        return [int(number) for number in found]

    def waitForAll(self, pattern: str, count: int, timeout: float = 60) -> list[str]:
        """As many matches of a pattern in what it prints, or more."""
        sought = re.compile(pattern)
        with self._changed:
            self._changed.wait_for(
                lambda: len(sought.findall(self.output)) >= count or not self._reader.is_alive(),
                timeout,
            )
        found = sought.findall(self.output)
        assert len(found) >= count, f"{len(found)} times {pattern!r} in:\n{self.output}"
        return found

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def peakMemory(self) -> int:
        """Its VmHWM so far, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    def ended(self, timeout: float = 30) -> int:
        """Its exit status, when it has ended by itself; all that it has printed is known then."""
        status = self.process.wait(timeout)
        self._reader.join(timeout)
        return status

    def end(self) -> int:
        """Stop it as an operator does, and give its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self._reader.join(30)
            assert self.process.stdout is not None
            self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()


def run(*arguments: str, cwd: Path, timeout: float = 30, prelude: str = "") -> tuple[int, str]:
    """Run it to its own end: exit status and all that it printed."""
    with Twistd(*arguments, cwd=cwd, prelude=prelude) as daemon:
        return daemon.ended(timeout), daemon.output
