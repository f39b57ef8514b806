"""Real Redis and memcached servers, each on a port of its own, for as long as a test wants them."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support import requireTool, unusedPort

__all__ = ["Service", "memcached", "redis"]

_PATIENCE = 20.0


class Service:
    """
    A server in a process of its own, which ends with its `with`.

    port: where it listens; the same after a restart.
    """

    def __init__(self, command: Callable[[int], Sequence[str]], cwd: Path | None = None) -> None:
        self.port = 0
        self._command = command
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers; it must not be running."""
        assert self._process is None
        for _ in range(3):
            port = self.port or unusedPort()
            process = self._process = subprocess.Popen(
                self._command(port),
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            end = time.monotonic() + _PATIENCE
            while process.poll() is None and time.monotonic() < end:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                except OSError:
                    time.sleep(0.01)
                else:
                    self.port = port
                    return
            self.kill()
        raise AssertionError(f"{self._command(port)[0]} does not start")

    def kill(self) -> None:
        """End it at once."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def freeze(self) -> None:
        """Let it do nothing more, with its connections open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()


def redis(directory: Path, *more: str, tlsAlone: bool = False) -> Service:
    """A Redis that keeps nothing on disk."""
    program = requireTool("redis-server")
    listen = ["--port", "0", "--tls-port"] if tlsAlone else ["--port"]
    settings = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(directory)]
    return Service(lambda port: [program, *listen, str(port), *settings, *more])


def memcached() -> Service:
    """A memcached."""
    program = requireTool("memcached")
    return Service(
        lambda port: [program, "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-u", "nobody"]
    )
