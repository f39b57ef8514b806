"""
What was measured, as tables in Markdown.

A record has C{figures[name]}: a list of repetitions, each from peer to what was seen.  Of each
repetition the ratio to the base is taken; shown is the median of the ratios, and their spread.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

import targets

__all__ = [
    "ON_UVLOOP",
    "OURS",
    "UNITS",
    "WHAT",
    "againstTwisted",
    "burstTable",
    "comparison",
    "curve",
    "growthTables",
    "onUvloop",
    "proxyTable",
    "ratios",
    "short",
    "startTable",
]

Record = dict[str, Any]
Runs = list[dict[str, Any]]

OURS = ("node-face", "twisted-face")
#: The same on uvloop, by their names.
ON_UVLOOP = {f"{face}+uvloop": face for face in OURS}


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def ratios(runs: Runs, peer: str, base: str) -> list[float]:
    """The ratio of each repetition that has both."""
    return [
        one[peer]["cpu_value"] / one[base]["cpu_value"]
        for one in runs
        if peer in one and base in one
    ]


def spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def absolute(runs: Runs, peer: str) -> str:
    found = [one[peer] for one in runs if peer in one]
    if not found:
        return "-"
    middle = statistics.median(one["cpu_value"] for one in found)
    return f"{number(middle)} {found[0]['unit']}"


def number(value: float) -> str:
    """As many digits as mean something, and no powers of ten."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def peersOf(record: Record) -> list[str]:
    """All that were measured, in the order in which they first appear; the base first."""
    seen = dict.fromkeys(p for runs in record["figures"].values() for one in runs for p in one)
    base = record["about"]["base"]
    return [p for p in dict.fromkeys((base, *OURS, *seen)) if p in seen]


def comparison(record: Record) -> str:
    """Every workload: the base's own figure, and the others' ratios to it, with our targets."""
    base = record["about"]["base"]
    peers = [peer for peer in peersOf(record) if peer not in ON_UVLOOP]
    aimed = OURS if base == targets.BASE else ()
    head = ["workload"]
    for peer in peers:
        head += [peer, "target"] if peer in aimed else [peer]
    rows = []
    for workload, runs in record["figures"].items():
        lower = workload in targets.LOWER_IS_BETTER
        cells = [_named(workload)]
        for peer in peers:
            rates = ratios(runs, peer, base)
            cells.append(absolute(runs, peer) if peer == base else spread(rates))
            if peer in aimed:
                cells.append(_verdict(rates, _goal(base, workload, peer), lower))
        rows.append(cells)
    return markdown(head, rows)


def _named(workload: str) -> str:
    return workload + (" ↓" if workload in targets.LOWER_IS_BETTER else "")


def _goal(base: str, workload: str, face: str) -> float | None:
    """What a face aims at: a ratio to one base, which means nothing with another."""
    aim = targets.TARGETS.get(workload) if base == targets.BASE else None
    return None if aim is None else aim[OURS.index(face)]


def _verdict(rates: Sequence[float], goal: float | None, lower: bool) -> str:
    if goal is None or not rates:
        return ""
    return targets.verdict(statistics.median(rates), goal, lower)


def againstTwisted(record: Record) -> str:
    """The Twisted face beside Twisted's own TLS; nothing, where that was not measured."""
    rows = []
    for workload, runs in record["figures"].items():
        rates = ratios(runs, "twisted-face", "twisted")
        if rates:
            goal = targets.AGAINST_TWISTED.get(workload)
            lower = workload in targets.LOWER_IS_BETTER
            rows.append([_named(workload), spread(rates), _verdict(rates, goal, lower)])
    if not rows:
        return ""
    return markdown(["workload", "twisted-face / twisted", "target"], rows)


def onUvloop(record: Record) -> str:
    """Both faces on uvloop's loop, beside the base; nothing, where that was not measured."""
    base = record["about"]["base"]
    rows = []
    for workload, runs in record["figures"].items():
        lower = workload in targets.LOWER_IS_BETTER
        cells = [_named(workload)]
        for peer, face in ON_UVLOOP.items():
            rates = ratios(runs, peer, base)
            cells += [spread(rates), _verdict(rates, _goal(base, workload, face), lower)]
        if cells[1:] != ["-", ""] * len(ON_UVLOOP):
            rows.append(cells)
    if not rows:
        return ""
    head = ["workload", *(cell for face in OURS for cell in (face, "target"))]
    return markdown(head, rows)


def startTable(record: Record) -> str:
    """What we add to the start of a program, in milliseconds."""
    rows = []
    for what, runs in record["figures"].items():
        for peer in dict.fromkeys(peer for one in runs for peer in one):
            found = [one[peer] for one in runs if peer in one]
            before, ours, clock = (
                statistics.median(one[name] for one in found)
                for name in ("base_cpu", "cpu_value", "value")
            )
            aim = targets.verdict(ours, targets.START_SHARE, lower=True)
            rows.append([what, peer, f"{before:.0f}", f"{ours:.1f}", f"{clock:.1f}", aim])
    head = ["", "", "before, ms of CPU", "ours, ms of CPU", "ours, ms", "target"]
    return markdown(head, rows)


def proxyTable(record: Record) -> str:
    """Each proxy's own figures, per CPU second, with its ratio to the base."""
    base, peers = record["about"]["base"], peersOf(record)
    rows = []
    for workload, runs in record["figures"].items():
        cells = [_named(workload)]
        for peer in peers:
            rates = ratios(runs, peer, base)
            shown = "" if peer == base or not rates else f", {spread(rates)}"
            cells.append(absolute(runs, peer) + shown)
        rows.append([*cells, _proxyVerdict(workload, runs, base)])
    return markdown(["workload", *peers, "target"], rows)


def _proxyVerdict(workload: str, runs: Runs, base: str) -> str:
    if workload in targets.LOWER_IS_BETTER:
        rates = ratios(runs, "txnodetls", "haproxy")
        return f"{_met(rates, below=True)} (below haproxy)" if rates else ""
    rates = ratios(runs, "txnodetls", base)
    if workload not in targets.PROXY_AHEAD or not rates:
        return ""
    return f"{_met(rates, below=False)} (ahead of {base})"


def _met(rates: Sequence[float], below: bool) -> str:
    middle = statistics.median(rates)
    return "met" if (middle < 1 if below else middle > 1) else "missed"


# -- curves

UNITS = {
    ("connections", "cost"): "µs of CPU per message",
    ("connections", "memory"): "KiB per connection",
    ("transfer", "cost"): "ns of CPU per byte",
    ("contexts", "cost"): "µs of CPU per handshake",
    ("contexts", "memory"): "KiB per context",
    ("sessions", "cost"): "µs of CPU per resumed handshake",
    ("sessions", "memory"): "bytes per session",
}
WHAT = {
    "connections": "connections",
    "transfer": "bytes at a time",
    "contexts": "contexts",
    "sessions": "sessions in store",
}


def curve(record: Record, axis: str, quantity: str) -> dict[str, dict[int, float]]:
    """Of each peer the median at each point."""
    seen: dict[str, dict[int, list[float]]] = {}
    for one in record["figures"].get(axis, ()):
        for peer, points in one.items():
            for count, value in points.get(quantity, {}).items():
                seen.setdefault(peer, {}).setdefault(int(count), []).append(value)
    return {
        peer: {count: statistics.median(values) for count, values in sorted(points.items())}
        for peer, points in sorted(seen.items())
    }


def growthTables(record: Record) -> str:
    """A table for each axis and quantity."""
    parts = []
    for (axis, quantity), unit in UNITS.items():
        lines = curve(record, axis, quantity)
        if not lines:
            continue
        counts = sorted({count for points in lines.values() for count in points})
        rows = [
            [peer, *(number(points[n]) if n in points else "-" for n in counts)]
            for peer, points in lines.items()
        ]
        head = [unit, *(short(axis, count) for count in counts)]
        parts.append(markdown(head, rows))
    return "\n\n".join(parts)


def short(axis: str, count: int) -> str:
    """How many, as one says it."""
    if axis != "transfer":
        return f"{count:,}"
    for size, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= size:
            return f"{count // size} {unit}"
    return f"{count} B"


def burstTable(record: Record) -> str:
    """MiB resident above what there was before the first connection."""
    runs = record["figures"]["burst"]
    peers = list(dict.fromkeys(peer for one in runs for peer in one))
    steps = list(next(iter(runs[0].values())))
    rows = [
        [
            peer,
            *(
                f"{statistics.median(one[peer][step] for one in runs if peer in one):.1f}"
                for step in steps
            ),
        ]
        for peer in peers
    ]
    return markdown(["MiB", *steps], rows)
