"""systemd: its sockets, and what it is told."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from tests.daemon.running import TWISTD, run
from tests.daemon.test_listeners import dial, exchange
from tests.support import PROJECT, requireTool, runTool, unusedPort
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


@pytest.mark.parametrize(("which", "workers"), [("web", "0"), ("0", "1")])
def test_the_daemon_serves_its_sockets_and_tells_how_it_is(
    which: str, workers: str, directory: Path, trusting: ssl.SSLContext
) -> None:
    activate = requireTool("systemd-socket-activate")
    port = unusedPort()
    command = [activate, f"--listen=127.0.0.1:{port}", "--fdname=web"]
    passing = {"PYTHONPATH": str(PROJECT), "NOTIFY_SOCKET": str(directory / "notify")}
    for name, value in (passing | dict(os.environ)).items():
        command += [f"--setenv={name}={passing.get(name, value)}"]
    command += [*TWISTD, "-n", "--pidfile=", "nodetls", f"--systemd={which}"]
    command += [f"--workers={workers}", "--key=key.pem", "--cert=cert.pem"]
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify,
        subprocess.Popen(
            command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process,
    ):
        notify.bind(str(directory / "notify"))
        notify.settimeout(30)
        output = ""
        try:
            assert process.stdout is not None
            assert b"Listening on" in process.stdout.readline()
            # The first client has the daemon started, and is served when it is.
            with dial(port, trusting) as client:
                assert exchange(client) == b"a question"
                assert notify.recv(100) == b"READY=1"
            process.terminate()
            assert notify.recv(100) == b"STOPPING=1"
            output = process.communicate(timeout=20)[0].decode()
        finally:
            process.kill()
        assert "connection " in output, output


def test_its_configuration_can_be_tested_where_there_are_no_sockets(directory: Path) -> None:
    """A unit's ExecStartPre has none."""
    arguments = ["nodetls", "--systemd=web", "--key=key.pem", "--cert=cert.pem"]
    assert run(*arguments, "--test-config", cwd=directory)[0] == 0
    status, output = run(*arguments, cwd=directory)
    said = "twistd nodetls: --systemd: systemd has handed over no socket 'web'"
    assert (status, output.splitlines()[-1].endswith(said)) == (1, True)


def test_the_units_of_the_manual_are_good(tmp_path: Path) -> None:
    analyze = requireTool("systemd-analyze")
    text = (PROJECT / "docs" / "operators.md").read_text()
    units = re.findall(r"```ini\n# \S*/(\S+)\n(.*?)```", text, re.DOTALL)
    assert [name for name, _ in units] == ["nodetls.service", "nodetls.socket"]
    for name, unit in units:
        assert "/opt/nodetls/bin/twistd " in unit or name == "nodetls.socket"
        (tmp_path / name).write_text(unit.replace("/opt/nodetls/bin/twistd", "/bin/true"))
    done = runTool([analyze, "verify", "--man=no", *(tmp_path / name for name, _ in units)])
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
