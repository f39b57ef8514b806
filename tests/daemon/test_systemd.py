"""systemd: its sockets, and what it is told."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from tests.daemon.running import TWISTD
from tests.daemon.test_listeners import dial, exchange
from tests.support import PROJECT
from txnodetls.daemon.systemd import Notifier, descriptorOf


@pytest.mark.parametrize("name", ["web", "0"])
def test_what_was_not_handed_over_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=f"systemd has handed over no socket '{name}'"):
        descriptorOf(name)


def test_it_is_told_and_the_watchdog_is_fed(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path)
        listening.settimeout(5)
        clock = Clock()
        notifier = Notifier(clock, {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "4000000"})
        notifier.ready()
        assert [listening.recv(100), listening.recv(100)] == [b"READY=1", b"WATCHDOG=1"]
        clock.advance(2)
        assert listening.recv(100) == b"WATCHDOG=1"
        notifier.reloading()
        assert listening.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        notifier.stopping()
        assert listening.recv(100) == b"STOPPING=1"
        assert clock.getDelayedCalls() == []


def test_without_systemd_nothing_happens() -> None:
    Notifier(Clock(), {}).ready()
    Notifier(Clock(), {"NOTIFY_SOCKET": "/absent", "WATCHDOG_USEC": "x"}).ready()


@pytest.mark.parametrize("which", ["web", "0"])
def test_the_daemon_serves_its_sockets(
    which: str, directory: Path, trusting: ssl.SSLContext
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(str(directory / "notify"))
        notify.settimeout(30)
        port = listening.getsockname()[1]
        arguments = ["nodetls", f"--systemd={which}", "--key=key.pem", "--cert=cert.pem"]
        command = [*TWISTD, "-n", "--pidfile=", *arguments]
        with (
            notify,
            subprocess.Popen(
                [
                    "/bin/sh",
                    "-c",
                    'exec 3<&0 </dev/null; export LISTEN_PID=$$; exec "$@"',
                    "sh",
                    *command,
                ],
                cwd=directory,
                stdin=listening.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    "PYTHONPATH": str(PROJECT),
                    "LISTEN_FDS": "1",
                    "LISTEN_FDNAMES": "web",
                    "NOTIFY_SOCKET": str(directory / "notify"),
                },
            ) as process,
        ):
            try:
                assert notify.recv(100) == b"READY=1"
                with dial(port, trusting) as client:
                    assert exchange(client) == b"a question"
            finally:
                process.terminate()
                output = process.communicate(timeout=20)[0].decode()
            assert "connection " in output, output
