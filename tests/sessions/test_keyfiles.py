"""Files that hold secrets."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.support import runPython
from txnodetls.sessions import keyfiles
from txnodetls.sessions.keyfiles import KeyFileError, exclusively, readSecret, replaceSecret


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secret"


def test_what_was_written_is_read_and_is_for_its_owner_only(path: Path) -> None:
    replaceSecret(str(path), b"one")
    replaceSecret(str(path), b"other")
    assert readSecret(str(path)) == b"other"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["secret"]


def test_replacing_puts_another_file_there(path: Path) -> None:
    """Whoever reads the old one meanwhile reads all of it."""
    replaceSecret(str(path), b"one")
    with path.open("rb") as old:
        replaceSecret(str(path), b"other")
        assert old.read() == b"one"


def test_what_cannot_be_written_leaves_the_old_one_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaceSecret(str(path), b"one")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keyfiles.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replaceSecret(str(path), b"other")
    assert readSecret(str(path)) == b"one"
    assert [each.name for each in path.parent.iterdir()] == ["secret"]


def test_none_is_none(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        readSecret(str(path))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o601])
def test_one_that_others_can_reach_is_refused(path: Path, mode: int) -> None:
    path.write_bytes(b"x")
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="can be reached by others"):
        readSecret(str(path))


def test_links_are_refused(path: Path, tmp_path: Path) -> None:
    replaceSecret(str(path), b"x")
    (tmp_path / "soft").symlink_to(path)
    with pytest.raises(KeyFileError, match="is a link"):
        readSecret(str(tmp_path / "soft"))
    os.link(path, tmp_path / "hard")
    with pytest.raises(KeyFileError, match="2 names"):
        readSecret(str(path))


def test_what_is_no_file_is_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="is not a file"):
        readSecret(str(tmp_path))
    os.mkfifo(path, 0o600)
    with pytest.raises(KeyFileError, match="is not a file"):
        readSecret(str(path))


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root's rights")
def test_one_of_another_user_is_refused(path: Path) -> None:
    replaceSecret(str(path), b"x")
    os.chown(path, 12345, 12345)
    with pytest.raises(KeyFileError, match="another user"):
        readSecret(str(path))


def test_one_without_end_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyfiles, "_LONGEST", 10)
    replaceSecret(str(path), bytes(11))
    with pytest.raises(KeyFileError, match="longer"):
        readSecret(str(path))


def test_one_process_at_a_time(path: Path) -> None:
    code = """
import sys
from txnodetls.sessions.keyfiles import exclusively
with exclusively(sys.argv[1]) as alone:
    print(alone)
"""
    with exclusively(str(path)) as alone:
        assert alone
        assert runPython(code, str(path)).stdout == b"False\n"
    assert runPython(code, str(path)).stdout == b"True\n"


def test_the_lock_is_no_link_either(path: Path, tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"x")
    (tmp_path / "secret.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(KeyFileError, match="is a link"), exclusively(str(path)):
        pass
