#!/usr/bin/env python3
"""
Draws what C{compare.py} has measured.

    benchmarks/chart.py figures.json chart.svg

One row per workload: a bar from the lowest to the highest ratio of each of our faces to the
base, a dot at the median, a stroke at what is aimed at, a line where the base is.  To the right
of the line is more work per CPU second, or, where lower is better, more memory or time.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from tables import OURS, ratios
from targets import BASE, LOWER_IS_BETTER, TARGETS

ROW, LEFT, WIDTH, TOP, LARGEST = 26, 170, 460, 40, 2.0
COLOURS = dict(zip(OURS, ("#2563eb", "#d97706"), strict=True))


def place(ratio: float) -> float:
    """Where a ratio is, from the left."""
    return LEFT + WIDTH * min(ratio, LARGEST) / LARGEST


def row(name: str, runs: list[dict[str, Any]], base: str, y: int) -> list[str]:
    mark = " (lower is better)" if name in LOWER_IS_BETTER else ""
    shapes = [f'<text x="8" y="{y + 4}">{escape(name + mark)}</text>']
    aims = TARGETS.get(name) if base == BASE else None
    for number, (shift, face) in enumerate(zip((-4, 4), OURS, strict=True)):
        rates = ratios(runs, face, base)
        if not rates:
            continue
        low, middle, high = min(rates), statistics.median(rates), max(rates)
        colour, at = COLOURS[face], y + shift
        shapes.append(
            f'<line x1="{place(low):.1f}" x2="{place(high):.1f}" y1="{at}" y2="{at}" '
            f'stroke="{colour}" stroke-width="3" stroke-opacity="0.45"/>'
        )
        if aims is not None:
            x = place(aims[number])
            shapes.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{at - 4}" y2="{at + 4}" stroke="{colour}"/>'
            )
        title = f"<title>{face}: {middle:.2f} ({low:.2f} to {high:.2f})</title>"
        shapes.append(
            f'<circle cx="{place(middle):.1f}" cy="{at}" r="4" fill="{colour}">{title}</circle>'
        )
    return shapes


def draw(record: dict[str, Any]) -> str:
    """The chart, as SVG."""
    base, figures = record["about"]["base"], record["figures"]
    bottom = TOP + ROW * len(figures)
    shapes = []
    for step in (0.0, 0.5, 1.0, 1.5, LARGEST):
        x, colour = place(step), "#444" if step == 1 else "#ccc"
        shapes.append(f'<text x="{x:.1f}" y="{TOP - 14}" text-anchor="middle">{step:g}</text>')
        shapes.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{bottom}" stroke="{colour}"/>'
        )
    for number, (name, runs) in enumerate(figures.items()):
        shapes += row(name, runs, base, TOP + ROW * number + ROW // 2)
    for number, (face, colour) in enumerate(COLOURS.items()):
        x = LEFT + 160 * number
        shapes.append(f'<circle cx="{x}" cy="{bottom + 20}" r="4" fill="{colour}"/>')
        shapes.append(f'<text x="{x + 10}" y="{bottom + 24}">{face}</text>')
    width, height = LEFT + WIDTH + 30, bottom + 40
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">\n'
        f'<rect width="{width}" height="{height}" fill="white"/>\n'
        f"<title>Ratio to {escape(base)}</title>\n" + "\n".join(shapes) + "\n</svg>\n"
    )


def main() -> None:
    figures, chart = map(Path, sys.argv[1:3])
    chart.write_text(draw(json.loads(figures.read_text())))


if __name__ == "__main__":
    main()
