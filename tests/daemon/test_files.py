"""The files of a configuration: kept, handed over, and looked at for changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from txnodetls.daemon.files import Files
from txnodetls.options import text


def test_a_file_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    files = Files()
    assert files.read(str(path)) == b"before"
    path.write_bytes(b"after")
    assert files.read(str(path)) == b"before"
    assert files.contents == {str(path): b"before"}


def test_options_are_read_through_it(tmp_path: Path) -> None:
    files = Files({"secret": b"sesame\n"})
    with files.inUse():
        assert text.secretLine("secret") == "sesame"
        with pytest.raises(ValueError, match="cannot read other: not handed over"):
            text.secretLine("other")
    with pytest.raises(ValueError, match="cannot read secret: No such file"):
        text.secretLine("secret")


def test_directories_are_kept_too(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).touch()
    files = Files()
    assert files.names(str(tmp_path)) == ["a", "b"]
    assert Files({}, files.directories).names(str(tmp_path)) == ["a", "b"]
    with pytest.raises(OSError, match="not handed over"):
        Files({}).names(str(tmp_path))


def test_a_change_is_seen_even_if_it_came_right_after_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    files = Files()
    files.read(str(path))
    assert files.statesNow() == files.readStates()
    path.write_bytes(b"three")
    assert files.statesNow() != files.readStates()
    path.unlink()
    assert files.statesNow() == {str(path): None}


def test_a_throwaway_certificate_is_made_once() -> None:
    files = Files()
    pair = files.throwaway(("localhost",))
    assert files.throwaway(("localhost",)) == pair
    assert files.afresh().throwaway(("localhost",)) == pair
    assert files.throwaway(("elsewhere",)) != pair
