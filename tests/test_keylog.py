"""The key log's file: whose it is, what becomes of it when the disk is full."""

from __future__ import annotations

import errno
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_twisted
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher

from tests.loopback import Loopback, Received, until
from tests.support import Pki, runPython
from txnodetls.keylog import KeyLogFile


@pytest.fixture
def said() -> Iterator[list[tuple[LogLevel, str]]]:
    """What the log says of key logs."""
    texts: list[tuple[LogLevel, str]] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_namespace") == "txnodetls.keylog.KeyLogFile":
            texts.append((event["log_level"], formatEvent(event)))

    globalLogPublisher.addObserver(observe)
    yield texts
    globalLogPublisher.removeObserver(observe)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def test_a_new_one_is_its_owners_alone_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        KeyLogFile(path).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_is_said_loudly(path: Path, said: list[tuple[LogLevel, str]]) -> None:
    KeyLogFile(path).close()
    ((level, text),) = said
    assert level is LogLevel.warn
    assert text.startswith("KEY LOG")
    assert str(path) in text


def test_it_is_appended_to(path: Path) -> None:
    for line in (b"ONE 1 2\n", b"TWO 3 4\n"):
        with KeyLogFile(path) as log:
            log(line)
    assert path.read_bytes() == b"ONE 1 2\nTWO 3 4\n"


def test_several_may_write_into_one_file(path: Path) -> None:
    with KeyLogFile(path) as one, KeyLogFile(str(path)) as other:
        for _ in range(100):
            one(b"ONE 1 2\n")
            other(b"TWO 3 4\n")
    assert path.read_bytes() == b"ONE 1 2\nTWO 3 4\n" * 100


def test_one_that_others_could_read_is_refused(path: Path) -> None:
    path.touch()
    for mode in (0o640, 0o604, 0o620, 0o601):
        path.chmod(mode)
        with pytest.raises(OSError, match="has to be 0600") as raised:
            KeyLogFile(path)
        assert (raised.value.errno, raised.value.filename) == (errno.EACCES, str(path))
    assert path.read_bytes() == b""


def test_no_link_is_followed(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.touch(0o600)
    path.symlink_to(target)
    with pytest.raises(OSError, match="symbolic link"):
        KeyLogFile(path)
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(OSError, match="symbolic link"):
        KeyLogFile(path)
    assert not (tmp_path / "nowhere").exists()
    path.unlink()
    path.hardlink_to(target)
    with pytest.raises(OSError, match="other names"):
        KeyLogFile(path)


def test_what_is_no_plain_file_is_refused(path: Path, tmp_path: Path) -> None:
    os.mkfifo(path, 0o600)
    with pytest.raises(OSError, match="no plain file"):
        KeyLogFile(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(OSError, match="no plain file"):
        KeyLogFile(path)
    os.close(reader)
    with pytest.raises(IsADirectoryError):
        KeyLogFile(tmp_path)


def test_one_of_somebody_else_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.touch(0o600)
    path.chmod(0o600)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(OSError, match="somebody else"):
        KeyLogFile(path)


def test_nothing_stays_open_of_one_that_is_refused(path: Path) -> None:
    path.touch()
    path.chmod(0o644)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError):
        KeyLogFile(path)
    assert os.listdir("/proc/self/fd") == before


def test_a_child_does_not_get_it(path: Path) -> None:
    with KeyLogFile(path) as log:
        assert log._descriptor is not None
        assert not os.get_inheritable(log._descriptor)


def test_a_full_disk_costs_lines_and_says_so_once(said: list[tuple[LogLevel, str]]) -> None:
    """/dev/full is the kernel's own full disk; that it is no plain file is passed over here."""
    log = KeyLogFile.__new__(KeyLogFile)
    log.path, log.lost, log._broken = "/dev/full", 0, False
    log._descriptor = os.open("/dev/full", os.O_WRONLY)
    for _ in range(3):
        log(b"ONE 1 2\n")
    assert log.lost == 3
    assert [level for level, _ in said] == [LogLevel.error]
    assert "No space left" in said[0][1]
    log.close()


def test_a_line_behind_one_that_was_cut_stands_alone(path: Path) -> None:
    """A process of its own: its files may have 20 bytes, and then any number of them."""
    code = """
import resource, signal, sys
from txnodetls.keylog import KeyLogFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = KeyLogFile(sys.argv[1])
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
for number in range(4):
    log(b"LINE %d 12345\\n" % number)
assert log.lost == 3, log.lost
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
log(b"LINE 4 12345\\n")
log(b"LINE 5 12345\\n")
assert log.lost == 0
"""
    done = runPython(code, str(path))
    assert done.returncode == 0, done.stderr.decode()
    assert path.read_bytes() == b"LINE 0 12345\nLINE 1 \nLINE 4 12345\nLINE 5 12345\n"
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 20


def test_what_comes_after_the_end_is_dropped(path: Path) -> None:
    log = KeyLogFile(path)
    log.close()
    log.close()
    log(b"ONE 1 2\n")
    assert path.read_bytes() == b""


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest_twisted.ensureDeferred
async def test_servers_and_clients_write_the_same_secrets(
    pki: Pki, tmp_path: Path, version: str
) -> None:
    async with Loopback(pki) as loopback:
        with KeyLogFile(tmp_path / "server") as ours, KeyLogFile(tmp_path / "client") as theirs:
            server = await loopback.serve(maxVersion=version)
            server.on("keylog", ours)
            client = loopback.dial(server)
            client.on("keylog", theirs)
            received = Received(client)
            client.write(b"hello")
            await until(lambda: received.data == b"hello")
    lines = sorted((tmp_path / "server").read_text().splitlines())
    assert lines == sorted((tmp_path / "client").read_text().splitlines())
    labels = {line.split()[0] for line in lines}
    assert ("CLIENT_RANDOM" in labels) == (version == "TLSv1.2")
    assert ("CLIENT_TRAFFIC_SECRET_0" in labels) == (version == "TLSv1.3")


@pytest_twisted.ensureDeferred
async def test_a_full_disk_stops_no_connection(
    pki: Pki, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = KeyLogFile(path)
    full = os.open("/dev/full", os.O_WRONLY)
    os.close(log._descriptor or -1)
    log._descriptor = full
    async with Loopback(pki) as loopback:
        server = await loopback.serve()
        server.on("keylog", log)
        await loopback.proveServing(server)
    assert log.lost
    log.close()
