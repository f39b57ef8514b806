"""After rights were given up: what a reload can still read, and what it does about the rest."""

from __future__ import annotations

import os
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.daemon.everyone import NOBODY, Interpreter, interpreterForEveryone
from tests.daemon.running import Twistd
from tests.daemon.test_listeners import PAIR, dial, exchange
from tests.daemon.test_runtime import serial
from tests.daemon.test_workers import pids
from tests.support import Pki
from txnodetls.daemon import sharing
from txnodetls.daemon.config import readConfig
from txnodetls.daemon.sharing import Rights
from txnodetls.daemon.written import ConfigError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up rights")


@pytest.fixture(scope="module")
def python() -> Iterator[Interpreter]:
    with TemporaryDirectory(prefix="everyone-") as directory:
        os.chmod(directory, 0o755)
        yield interpreterForEveryone(Path(directory))


@pytest.fixture
def open_(directory: Path) -> Path:
    """A directory that everyone can enter, with a key that only root can read."""
    for parent in [directory, *directory.parents[:2]]:
        parent.chmod(parent.stat().st_mode | 0o055)
    (directory / "key.pem").chmod(0o600)
    return directory


@pytest.mark.parametrize("workers", [0, 1])
def test_a_reload_keeps_what_it_cannot_read_any_more_and_takes_what_it_can(
    workers: int,
    open_: Path,
    pki: Pki,
    trusting: ssl.SSLContext,
    python: Interpreter,
) -> None:
    rights = [f"--uid={NOBODY}", f"--gid={NOBODY}"]
    (open_ / "keys").mkdir()
    os.chown(open_ / "keys", NOBODY, NOBODY)
    arguments = ["nodetls", *PAIR, "--watch=0", "--drainTimeout=500", f"--workers={workers}"]
    arguments.append("--ticket-keys=file:keys/ring")
    with Twistd(*rights, *arguments, cwd=open_, python=python) as daemon:
        (port,) = daemon.ports()
        pid = pids(daemon, 1)[0] if workers else daemon.process.pid
        with dial(port, trusting) as client:
            assert exchange(client) == b"a question"
            first = serial(client)
        assert os.stat(f"/proc/{pid}").st_uid == NOBODY
        # What is written all the time was theirs from the start.
        ring = os.stat(open_ / "keys" / "ring")
        assert (ring.st_uid, ring.st_mode & 0o777) == (NOBODY, 0o600)
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
        seen = first
        while seen == first:  # a worker hears of it in its own time
            with dial(port, trusting) as client:
                seen = serial(client)
        assert "ticket keys" not in daemon.output


def test_a_file_of_keys_that_could_not_be_used_later_is_told_at_the_start(open_: Path) -> None:
    """Of root's it can be read until rights are given up, and then no more."""
    (open_ / "seal.key").write_bytes(bytes(32))
    (open_ / "seal.key").chmod(0o600)
    store = {"session-store": f"memcached://127.0.0.1:1?keyFile={open_}/seal.key", "port": "0"}
    readConfig(store, rights=Rights(0, 0))
    sharing._inUse.clear()
    with pytest.raises(
        ConfigError, match=r"--session-store: .*cannot be opened: Permission denied"
    ):
        readConfig(store, rights=Rights(NOBODY, NOBODY))
    assert os.geteuid() == 0
