#!/usr/bin/env python3
"""
Puts what was measured into the page: tables between its marks, and charts beside it.

    benchmarks/report.py [docs/performance.md]

The data is in the folder that is called as the page is, C{docs/performance/}: C{figures.json} of
C{compare.py}, C{start.json}, C{proxies.json}, C{growth.json}, C{burst.json}.  A table whose data is
not there is left as it is.  In the page a table stands between

    <!-- NAME: begin -->
    <!-- NAME: end -->
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chart
import curves
from tables import (
    WHAT,
    againstTwisted,
    burstTable,
    comparison,
    growthTables,
    onUvloop,
    proxyTable,
    startTable,
)

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"


def circumstances(record: dict[str, Any]) -> str:
    """When, on what, and what else the machine did."""
    about, load = record["about"], record["load"]
    loads = " ".join(f"{one:.1f}" for one in load)
    versions = ", ".join(f"{k} {v}" for k, v in about.get("versions", {}).items() if v)
    return (
        f"{about['began'].split()[0]}, Python {about['python']}, {about['machine']}, "
        f"{about['cpus']} CPUs, {len(load)} repetitions; load average at each: {loads}."
        + (f" {versions}." if versions else "")
    )


#: Name in the page: file, and what makes the text.
TABLES: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "figures": ("figures.json", comparison),
    "figures-run": ("figures.json", circumstances),
    "against-twisted": ("figures.json", againstTwisted),
    "on-uvloop": ("figures.json", onUvloop),
    "start": ("start.json", startTable),
    "proxies": ("proxies.json", proxyTable),
    "proxies-run": ("proxies.json", circumstances),
    "growth": ("growth.json", growthTables),
    "growth-run": ("growth.json", circumstances),
    "burst": ("burst.json", burstTable),
}


def inserted(page: str, name: str, text: str) -> str:
    """
    The page with a text between the marks of a name.

    @raise ValueError: there are no such marks, or more than one pair.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if len(pattern.findall(page)) != 1:
        raise ValueError(f"the page has to have the marks of {name} once")
    return pattern.sub(lambda _: f"{begin}\n{text}\n{end}", page)


def report(page: Path) -> list[Path]:
    """
    Bring a page and its charts up to date.

    @return: what was written.
    """
    folder = page.with_suffix("")
    text, written = page.read_text(), []
    for name, (file, make) in TABLES.items():
        if (folder / file).exists():
            text = inserted(text, name, make(json.loads((folder / file).read_text())))
    drawings: list[tuple[str, str, Callable[[dict[str, Any]], str]]] = [
        ("figures.json", "ratios.svg", chart.draw)
    ]
    drawings += [
        ("growth.json", f"{axis}.svg", lambda record, axis=axis: curves.draw(record, axis))  # type: ignore[misc]
        for axis in WHAT
    ]
    for file, drawing, draw in drawings:
        if (folder / file).exists():
            (folder / drawing).write_text(draw(json.loads((folder / file).read_text())))
            written.append(folder / drawing)
    page.write_text(text)
    return [page, *written]


def main() -> None:
    page = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    for path in report(page):
        print(path)


if __name__ == "__main__":
    main()
