"""
Cost as it grows, drawn: how many from left to right, by powers; what each costs upwards, from 0.
"""

from __future__ import annotations

import math
from typing import Any
from xml.sax.saxutils import escape

from tables import UNITS, WHAT, curve, short

__all__ = ["COLOURS", "draw"]

COLOURS = {
    "node24": "#16a34a",
    "node-face": "#2563eb",
    "node-face+events": "#7c3aed",
    "twisted-face": "#d97706",
}
LEFT, TOP, WIDTH, HEIGHT, GAP = 60, 40, 300, 180, 90


def draw(record: dict[str, Any], axis: str) -> str:
    """All that is known of one axis, as SVG: a panel for each quantity."""
    quantities = [q for a, q in UNITS if a == axis and curve(record, axis, q)]
    shapes: list[str] = []
    peers: dict[str, None] = {}
    for place, quantity in enumerate(quantities):
        lines = curve(record, axis, quantity)
        peers |= dict.fromkeys(lines)
        shapes += _panel(lines, axis, UNITS[axis, quantity], LEFT + place * (WIDTH + GAP))
    y = TOP + HEIGHT + 52
    for place, peer in enumerate(peers):
        x = LEFT + place * 150
        shapes.append(f'<circle cx="{x}" cy="{y}" r="4" fill="{COLOURS[peer]}"/>')
        shapes.append(f'<text x="{x + 10}" y="{y + 4}">{escape(peer)}</text>')
    width = max(LEFT + len(quantities) * (WIDTH + GAP) - GAP + 30, LEFT + len(peers) * 150)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y + 20}" '
        'font-family="sans-serif" font-size="12">\n'
        f'<rect width="{width}" height="{y + 20}" fill="white"/>\n'
        f"<title>Cost by number of {escape(WHAT[axis])}</title>\n"
        + "\n".join(shapes)
        + "\n</svg>\n"
    )


def _panel(lines: dict[str, dict[int, float]], axis: str, unit: str, left: int) -> list[str]:
    counts = sorted({count for points in lines.values() for count in points})
    # The cost of one byte of many small transfers would leave the rest on the floor.
    byPowers = axis == "transfer"
    most = max(value for points in lines.values() for value in points.values())
    least = min(value for points in lines.values() for value in points.values())
    low, high = math.log(counts[0]), math.log(max(counts[-1], counts[0] + 1))

    def across(count: int) -> float:
        return left + WIDTH * (math.log(count) - low) / (high - low)

    def up(value: float) -> float:
        if byPowers:
            bottom = math.log10(least / 2)
            share = (math.log10(value) - bottom) / (math.log10(most) - bottom)
        else:
            share = value / most
        return TOP + HEIGHT * (1 - 0.95 * share)

    shapes = [
        f'<text x="{left - 40}" y="{TOP - 18}">{escape(unit)}</text>',
    ]
    shapes.append(
        f'<line x1="{left}" x2="{left + WIDTH}" y1="{TOP + HEIGHT}" y2="{TOP + HEIGHT}" '
        'stroke="#444"/>'
    )
    marks = (most, math.sqrt(most * least), least) if byPowers else (most, most / 2)
    for value in marks:
        shapes.append(
            f'<line x1="{left}" x2="{left + WIDTH}" y1="{up(value):.1f}" y2="{up(value):.1f}" '
            'stroke="#ddd"/>'
        )
        shapes.append(
            f'<text x="{left - 6}" y="{up(value) + 4:.1f}" text-anchor="end">{value:.3g}</text>'
        )
    for count in counts:
        shapes.append(
            f'<text x="{across(count):.1f}" y="{TOP + HEIGHT + 16}" text-anchor="middle" '
            f'font-size="10">{short(axis, count)}</text>'
        )
    shapes.append(
        f'<text x="{left + WIDTH / 2}" y="{TOP + HEIGHT + 32}" text-anchor="middle">'
        f"{escape(WHAT[axis])}</text>"
    )
    for peer, points in lines.items():
        path = " ".join(f"{across(n):.1f},{up(value):.1f}" for n, value in points.items())
        shapes.append(
            f'<polyline points="{path}" fill="none" stroke="{COLOURS[peer]}" stroke-width="2"/>'
        )
        for count, value in points.items():
            shapes.append(
                f'<circle cx="{across(count):.1f}" cy="{up(value):.1f}" r="3" '
                f'fill="{COLOURS[peer]}"><title>{escape(peer)}, {short(axis, count)}: '
                f"{value:.3g}</title></circle>"
            )
    return shapes
