"""The page on performance is made of the data beside it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support import PROJECT

ABOUT = {"began": "2030-01-02 03:04", "python": "3.11.7", "machine": "x86_64", "cpus": 2}


@pytest.fixture
def report(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("report")


def figures() -> dict[str, Any]:
    one = {
        peer: {"cpu_value": rate, "unit": "MB/s"}
        for peer, rate in {"node24": 1000.0, "node-face": 1600.0, "twisted-face": 1500.0}.items()
    }
    return {
        "about": {**ABOUT, "base": "node24"},
        "load": [0.5, 1.0],
        "figures": {"recv-64k": [one, one]},
    }


def growth() -> dict[str, Any]:
    points = {"cost": {"1": 10.0, "100": 5.0}, "memory": {"100": 27.0}}
    return {"about": ABOUT, "load": [1.0], "figures": {"connections": [{"node-face": points}]}}


def marked(*names: str) -> str:
    return "".join(f"<!-- {name}: begin -->\nold\n<!-- {name}: end -->\n\n" for name in names)


def test_a_text_is_put_between_its_marks(report: ModuleType) -> None:
    page = "before\n" + marked("a", "b") + "behind\n"
    made = report.inserted(page, "a", "new \\1")
    assert made.startswith("before\n<!-- a: begin -->\nnew \\1\n<!-- a: end -->\n")
    assert "<!-- b: begin -->\nold\n<!-- b: end -->" in made
    assert report.inserted(made, "a", "new \\1") == made


@pytest.mark.parametrize("page", ["", marked("a", "a")])
def test_a_page_without_the_marks_is_refused(report: ModuleType, page: str) -> None:
    with pytest.raises(ValueError, match="marks of a"):
        report.inserted(page, "a", "new")


def test_the_page_has_what_there_is_data_for(report: ModuleType, tmp_path: Path) -> None:
    page, folder = tmp_path / "page.md", tmp_path / "page"
    folder.mkdir()
    page.write_text(marked(*report.TABLES))
    (folder / "figures.json").write_text(json.dumps(figures()))
    written = report.report(page)
    text = page.read_text()
    assert "| recv-64k | 1,000 MB/s | 1.60 (1.60-1.60) | ≥ 1.5 met |" in text
    assert "2030-01-02, Python 3.11.7, x86_64, 2 CPUs, 2 repetitions" in text
    assert "<!-- growth: begin -->\nold\n" in text
    assert written == [page, folder / "ratios.svg"]


def test_charts_are_drawings(report: ModuleType, tmp_path: Path) -> None:
    page, folder = tmp_path / "page.md", tmp_path / "page"
    folder.mkdir()
    page.write_text(marked(*report.TABLES))
    (folder / "figures.json").write_text(json.dumps(figures()))
    (folder / "growth.json").write_text(json.dumps(growth()))
    for drawing in report.report(page)[1:]:
        root = ElementTree.fromstring(drawing.read_text())
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
    drawn = (folder / "connections.svg").read_text()
    assert "µs of CPU per message" in drawn
    assert "node-face, 100: 5" in drawn


def test_the_page_of_the_project_has_all_marks(report: ModuleType) -> None:
    page = (PROJECT / "docs" / "performance.md").read_text()
    for name in report.TABLES:
        page = report.inserted(page, name, "")
