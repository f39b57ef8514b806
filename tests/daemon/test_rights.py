"""After rights were given up: what a reload can still read, and what it does about the rest."""

from __future__ import annotations

import os
import signal
import ssl
import sys
from pathlib import Path

import pytest

from tests.daemon.running import Twistd
from tests.daemon.test_listeners import PAIR, dial, exchange
from tests.daemon.test_runtime import serial
from tests.daemon.test_workers import pids
from tests.support import Pki, runTool

NOBODY = 65534

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up rights")


@pytest.fixture
def open_(directory: Path) -> Path:
    """A directory that everyone can enter, with a key that only root can read."""
    for parent in [directory, *directory.parents[:2]]:
        parent.chmod(parent.stat().st_mode | 0o055)
    (directory / "key.pem").chmod(0o600)
    return directory


@pytest.mark.parametrize("workers", [0, 1])
def test_a_reload_keeps_what_it_cannot_read_any_more_and_takes_what_it_can(
    workers: int, open_: Path, pki: Pki, trusting: ssl.SSLContext
) -> None:
    if workers and runTool(["/usr/bin/env", sys.executable, "-c", ""], user=NOBODY).returncode:
        pytest.skip("the interpreter is not for everyone here, so that no worker can be started")
    rights = [f"--uid={NOBODY}", f"--gid={NOBODY}"]
    arguments = ["nodetls", *PAIR, "--watch=0", "--drainTimeout=500", f"--workers={workers}"]
    with Twistd(*rights, *arguments, cwd=open_) as daemon:
        (port,) = daemon.ports()
        pid = pids(daemon, 1)[0] if workers else daemon.process.pid
        with dial(port, trusting) as client:
            assert exchange(client) == b"a question"
            first = serial(client)
        assert os.stat(f"/proc/{pid}").st_uid == NOBODY
        daemon.signal(signal.SIGHUP)
        daemon.waitFor("everything stays as it was: --key: cannot read key.pem: Permission denied")
        with dial(port, trusting) as client:
            assert serial(client) == first
        new = pki.issue("localhost")
        (open_ / "key.pem").write_bytes(new.key)
        (open_ / "cert.pem").write_bytes(new.cert)
        os.chown(open_ / "key.pem", NOBODY, NOBODY)
        daemon.signal(signal.SIGHUP)
        daemon.waitFor("] reloaded")
        for _ in range(200):
            with dial(port, trusting) as client:
                if serial(client) != first:
                    return
        pytest.fail("the new certificate is not served")
