"""`.ci/conformance` holds a floor that only rises."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import PROJECT, runTool

SCRIPT = PROJECT / ".ci" / "conformance"


def report(path: Path, **areas: str) -> Path:
    """A report with areas given as a string of results: `+` passed, `-` failed."""
    rows = [
        {"id": f"{area}-{number}", "area": area, "ok": result == "+"}
        for area, results in areas.items()
        for number, result in enumerate(results)
    ]
    path.write_text(json.dumps({"scenarios": rows}))
    return path


@pytest.fixture
def floor(tmp_path: Path) -> Path:
    path = tmp_path / "floor.json"
    figures = {"total": {"total": 5}, "groups": {"first": 3}, "areas": {"alpn": 3, "sni": 2}}
    path.write_text(json.dumps(figures))
    return path


def judge(tmp_path: Path, floor: Path, *switches: str, **areas: str) -> tuple[int, str]:
    made = report(tmp_path / "report.json", **areas)
    command = [sys.executable, str(SCRIPT), "--from-report", str(made), "--floor", str(floor)]
    done = runTool([*command, *switches])
    assert done.stderr == b""
    return done.returncode, done.stdout.decode()


def read(floor: Path) -> Any:
    return json.loads(floor.read_text())


def test_the_floor_reached_is_good_enough(tmp_path: Path, floor: Path) -> None:
    status, output = judge(tmp_path, floor, alpn="+++-", sni="++")
    assert status == 0
    assert "BELOW" not in output


@pytest.mark.parametrize(
    ("areas", "named"),
    [
        ({"alpn": "++-", "sni": "+++"}, "alpn: 2 passed, the floor is 3"),
        ({"alpn": "+++", "sni": "+-"}, "sni: 1 passed, the floor is 2"),
        ({"alpn": "+++"}, "sni: 0 passed, the floor is 2"),
        ({"alpn": "+++", "sni": "+"}, "total: 4 passed, the floor is 5"),
        ({"alpn": "++", "sni": "++++"}, "first: 2 passed, the floor is 3"),
    ],
)
def test_below_any_figure_of_the_floor_fails(
    tmp_path: Path, floor: Path, areas: dict[str, str], named: str
) -> None:
    status, output = judge(tmp_path, floor, **areas)
    assert status == 1
    assert named in output.splitlines()


def test_raising_lifts_what_rose_and_lowers_nothing(tmp_path: Path, floor: Path) -> None:
    status, _ = judge(tmp_path, floor, "--raise", alpn="++++", sni="+-", stream="++")
    assert status == 1
    assert read(floor) == {
        "total": {"total": 7},
        "groups": {"first": 6},
        "areas": {"alpn": 4, "sni": 2, "stream": 2},
    }


def test_without_raise_the_floor_stays(tmp_path: Path, floor: Path) -> None:
    before = floor.read_text()
    judge(tmp_path, floor, alpn="++++", sni="++++")
    assert floor.read_text() == before


def test_the_project_has_a_floor() -> None:
    figures = read(PROJECT / ".ci" / "conformance-floor.json")
    assert set(figures) == {"total", "groups", "areas"}
