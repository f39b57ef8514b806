"""Processes under measurement: when they are ready, what they have used."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

SERVER = """
import sys, threading
def work():
    for _ in range(3_000_000): pass
thread = threading.Thread(target=work)
thread.start()
thread.join()
held = b"x" * (32 << 20)
print("something else")
print("READY 4711", flush=True)
sys.stdin.read()
import time
time.sleep(60)
"""


@pytest.fixture
def processes(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("processes")


def test_a_process_is_measured_once_it_is_ready(processes: ModuleType) -> None:
    """With what threads of it have used that are gone."""
    with processes.Process([sys.executable, "-c", SERVER]) as server:
        assert server.port == 4711
        assert server.memory() > 32 << 20
        assert server.cpu() > 0
        before = server.cpu()
        assert server.cpu() >= before
    assert server.process.returncode is not None


def test_what_does_not_start_is_an_error(processes: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="did not start"):
        processes.Process([sys.executable, "-c", "pass"])
    with pytest.raises(RuntimeError, match="did not start"):
        processes.Process([sys.executable, "-c", "pass"], port=processes.freePort())


def test_a_record_is_written_with_each_figure(processes: ModuleType, tmp_path: Path) -> None:
    record = processes.Record(tmp_path / "figures.json", base="a", reps=2)
    asked: list[tuple[str, str]] = []

    def measure(name: str, peer: str) -> int:
        if asked:
            written = json.loads((tmp_path / "figures.json").read_text())
            assert written["about"]["base"] == "a"
        asked.append((name, peer))
        return len(asked)

    record.interleaved(["x"], ["a", "b"], 2, measure)
    assert asked == [("x", "a"), ("x", "b"), ("x", "b"), ("x", "a")]
    written = json.loads((tmp_path / "figures.json").read_text())
    assert written["figures"] == {"x": [{"a": 1, "b": 2}, {"b": 3, "a": 4}]}
    assert len(written["load"]) == 2


def test_what_fails_is_said_and_left_out(
    processes: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = processes.Record(tmp_path / "figures.json")

    def measure(_name: str, peer: str) -> int:
        if peer == "b":
            raise RuntimeError("it gave up")
        return 1

    record.interleaved(["x"], ["a", "b"], 1, measure)
    assert record.figures == {"x": [{"a": 1}]}
    assert "b x: RuntimeError('it gave up')" in capsys.readouterr().err
