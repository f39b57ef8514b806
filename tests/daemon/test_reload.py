"""When files are taken for changed."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.task import Clock

from txnodetls.daemon.files import Files
from txnodetls.daemon.reload import Watcher


def watching(path: Path, every: float = 2, leaving: frozenset[str] = frozenset()) -> tuple:
    clock = Clock()
    changes: list[float] = []
    files = Files()
    files.read(str(path))
    watcher = Watcher(clock, lambda: changes.append(clock.seconds()))
    watcher.watch(files, leaving, every)
    return clock, changes, watcher


def test_a_change_is_told_once_it_has_settled(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("one")
    clock, changes, _ = watching(path)
    clock.pump([2, 2])
    assert changes == []
    path.write_text("another")
    clock.advance(2)
    path.write_text("yet another")
    clock.advance(2)
    assert changes == []
    clock.advance(2)
    assert changes == [10]
    clock.pump([2, 2, 2])
    assert changes == [10]


def test_a_file_that_goes_and_comes_back_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("one")
    clock, changes, _ = watching(path)
    path.unlink()
    clock.pump([2, 2])
    path.write_text("two")
    clock.pump([2, 2])
    assert len(changes) == 2


def test_some_files_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "nodetls.toml"
    path.write_text("one")
    clock, changes, _ = watching(path, leaving=frozenset([str(path)]))
    path.write_text("another")
    clock.pump([2, 2, 2])
    assert changes == []


def test_zero_is_never(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("one")
    clock, _, watcher = watching(path, every=0)
    assert clock.getDelayedCalls() == []
    files = Files()
    files.read(str(path))
    watcher.watch(files, frozenset(), 1)
    assert len(clock.getDelayedCalls()) == 1
    watcher.watch(files, frozenset(), 0)
    assert clock.getDelayedCalls() == []
