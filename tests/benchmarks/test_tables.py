"""The tables of the page on performance: ratios, targets, curves."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def tables(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("tables")


def runs(**rates: list[float]) -> list[dict[str, Any]]:
    """Repetitions in which the peers did so much."""
    return [
        {
            peer.replace("_", "-"): {"cpu_value": rate, "unit": "MB/s"}
            for peer, rate in zip(rates, one, strict=True)
        }
        for one in zip(*rates.values(), strict=True)
    ]


def record(base: str = "node24", **figures: list[dict[str, Any]]) -> dict[str, Any]:
    named = {name.replace("_", "-"): each for name, each in figures.items()}
    return {"about": {"base": base}, "load": [], "figures": named}


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_a_ratio_is_taken_within_each_repetition(tables: ModuleType) -> None:
    """A machine that was slow for a while was slow for all."""
    seen = runs(node24=[100.0, 10.0, 200.0], node_face=[150.0, 15.0, 300.0])
    assert tables.ratios(seen, "node-face", "node24") == [1.5, 1.5, 1.5]


def test_a_repetition_that_failed_for_one_of_both_is_left_out(tables: ModuleType) -> None:
    seen = runs(node24=[100.0, 10.0], node_face=[150.0, 15.0])
    del seen[0]["node24"]
    assert tables.ratios(seen, "node-face", "node24") == [1.5]


def test_the_comparison_shows_each_ratio_with_its_target(tables: ModuleType) -> None:
    seen = runs(node24=[100.0], node_face=[150.0], twisted_face=[155.0], twisted=[60.0])
    head, _, row = cells(tables.comparison(record(recv_64k=seen)))
    assert head == ["workload", "node24", "node-face", "target", "twisted-face", "target",
                    "twisted"]  # fmt: skip
    assert row == ["recv-64k", "100 MB/s", "1.50 (1.50-1.50)", "≥ 1.5 met", "1.55 (1.55-1.55)",
                   "≥ 1.6 missed", "0.60 (0.60-0.60)"]  # fmt: skip


def test_where_less_is_better_a_target_is_not_to_be_passed(tables: ModuleType) -> None:
    seen = runs(node24=[100.0], node_face=[60.0], twisted_face=[60.0])
    (row,) = cells(tables.comparison(record(mem_echo=seen)))[2:]
    assert (row[0], row[3], row[5]) == ("mem-echo ↓", "≤ 0.6 met", "≤ 0.55 missed")


def test_a_workload_without_a_target_has_none(tables: ModuleType) -> None:
    seen = runs(node24=[100.0], node_face=[60.0], twisted_face=[60.0])
    (row,) = cells(tables.comparison(record(hs13_mlkem=seen)))[2:]
    assert (row[3], row[5]) == ("", "")


def test_targets_are_ratios_to_node_and_are_left_out_beside_another_base(
    tables: ModuleType,
) -> None:
    seen = runs(node20=[100.0], node_face=[150.0])
    head, *_ = cells(tables.comparison(record("node20", recv_64k=seen)))
    assert head == ["workload", "node20", "node-face"]


def test_a_peer_that_could_not_is_a_dash(tables: ModuleType) -> None:
    seen = runs(node24=[100.0], node_face=[150.0])
    other = runs(node24=[100.0])
    rows = cells(tables.comparison(record(recv_64k=seen, send_64k=other)))
    assert rows[3] == ["send-64k", "100 MB/s", "-", ""]


def test_the_twisted_face_is_held_against_twisted(tables: ModuleType) -> None:
    seen = runs(node24=[100.0], twisted_face=[90.0], twisted=[50.0])
    (row,) = cells(tables.againstTwisted(record(echo_100=seen)))[2:]
    assert row == ["echo-100", "1.80 (1.80-1.80)", "≥ 2 missed"]
    assert tables.againstTwisted(record(echo_100=runs(node24=[1.0]))) == ""


def test_both_faces_on_uvloop_are_held_against_node(tables: ModuleType) -> None:
    (seen,) = runs(node24=[100.0], node_face=[50.0])
    for name, rate in zip(tables.ON_UVLOOP, (97.0, 101.0), strict=True):
        seen[name] = {"cpu_value": rate, "unit": "msg/s"}
    other = runs(node24=[100.0], node_face=[50.0])
    made = record(echo_1=[seen], start=other)
    head, _, *rows = cells(tables.onUvloop(made))
    assert head == ["workload", "node-face", "target", "twisted-face", "target"]
    assert rows == [["echo-1", "0.97 (0.97-0.97)", "≥ 0.95 met", "1.01 (1.01-1.01)", "≥ 1 met"]]
    assert "uvloop" not in tables.comparison(made)
    assert tables.onUvloop(record(start=other)) == ""


@pytest.mark.parametrize(
    ("ratio", "target", "lower", "expected"),
    [
        (1.0, 1.0, False, "≥ 1 met"),
        (0.97, 1.0, False, "≥ 1 floor"),
        (0.94, 1.0, False, "≥ 1 missed"),
        (1.19, 1.2, False, "≥ 1.2 missed"),
        (0.6, 0.6, True, "≤ 0.6 met"),
        (0.61, 0.6, True, "≤ 0.6 missed"),
    ],
)
def test_a_floor_is_for_targets_of_one_only(
    benchmark: Callable[[str], ModuleType],
    ratio: float,
    target: float,
    lower: bool,
    expected: str,
) -> None:
    assert benchmark("targets").verdict(ratio, target, lower) == expected


def test_every_target_is_of_a_workload_that_is_run(
    benchmark: Callable[[str], ModuleType],
) -> None:
    targets, compare = benchmark("targets"), benchmark("compare")
    known = {*compare.SERVED, *compare.CONNECTING}
    assert targets.TARGETS.keys() <= known
    assert targets.AGAINST_TWISTED.keys() <= known
    assert known >= targets.LOWER_IS_BETTER


def test_the_proxy_is_held_against_stunnel_and_haproxy(tables: ModuleType) -> None:
    bulk = runs(stunnel=[100.0], txnodetls=[110.0], haproxy=[120.0])
    memory = runs(stunnel=[80.0], txnodetls=[30.0], haproxy=[20.0])
    rows = cells(tables.proxyTable(record("stunnel", recv_64k=bulk, mem_echo=memory)))[2:]
    assert rows[0][1:3] == ["100 MB/s", "110 MB/s, 1.10 (1.10-1.10)"]
    assert [row[-1] for row in rows] == ["met (ahead of stunnel)", "missed (below haproxy)"]


GROWN = {
    "about": {},
    "load": [1.0],
    "figures": {
        "transfer": [
            {"node24": {"cost": {"1024": 60.0, "1048576": 0.5}}},
            {"node24": {"cost": {"1024": 80.0, "1048576": 0.7}}},
        ],
    },
}


def test_a_curve_has_the_median_of_each_point(tables: ModuleType) -> None:
    """Of what JSON has made of the numbers."""
    assert tables.curve(GROWN, "transfer", "cost") == {"node24": {1024: 70.0, 1048576: 0.6}}


def test_sizes_are_said_in_words(tables: ModuleType) -> None:
    head, _, row = cells(tables.growthTables(GROWN))
    assert head == ["ns of CPU per byte", "1 KiB", "1 MiB"]
    assert row == ["node24", "70", "0.6"]


def test_a_burst_is_shown_step_by_step(tables: ModuleType) -> None:
    seen = {"figures": {"burst": [{"node24": {"idle": 8.0, "burst": 98.04, "closed": 1.0}}]}}
    head, _, row = cells(tables.burstTable(seen))
    assert (head, row) == (["MiB", "idle", "burst", "closed"], ["node24", "8.0", "98.0", "1.0"])


def test_the_start_is_told_in_time_of_the_cpu(tables: ModuleType) -> None:
    """Of what a busy machine made of the clock there is another column."""
    one = {"base_cpu": 170.2, "cpu_value": 38.04, "value": 70.0, "unit": "ms"}
    seen = {"figures": {"import": [{"node-face": one}], "ready": [{"node-face": one}]}}
    assert cells(tables.startTable(seen))[2] == [
        "import", "node-face", "170", "38.0", "70.0", "≤ 40 met"
    ]  # fmt: skip
