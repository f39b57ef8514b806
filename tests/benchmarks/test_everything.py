"""All of it, unattended: what fails does not keep the rest from being done."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def test_a_part_that_fails_is_told_and_the_others_are_done(
    benchmark: Callable[[str], ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    everything = benchmark("everything")
    done: list[Path] = []

    def fails(*_arguments: Any) -> None:
        raise RuntimeError("no proxies here")

    monkeypatch.setattr(everything.proxies, "run", fails)
    monkeypatch.setattr(everything.start, "run", lambda _reps, data: done.append(data))
    monkeypatch.setattr(everything.report, "report", done.append)
    page = tmp_path / "page.md"
    monkeypatch.setattr(
        sys,
        "argv",
        ["everything.py", "--harness", "x", "--parts", "proxies,start", "--page", str(page)],
    )
    with pytest.raises(SystemExit) as ended:
        everything.main()
    assert ended.value.code
    assert done == [page, tmp_path / "page" / "start.json", page]
    assert "RuntimeError: no proxies here" in capsys.readouterr().err


def test_what_is_measured_is_what_the_page_shows(
    benchmark: Callable[[str], ModuleType],
) -> None:
    everything, report = benchmark("everything"), benchmark("report")
    files = {file for file, _ in report.TABLES.values()}
    assert files == {f"{part}.json" for part in everything.PARTS}
