#!/usr/bin/env python3
"""
The whole of it, unattended: every measurement, and then the page.

    benchmarks/everything.py --harness DIR [--reps 5] [--parts figures,…] [--peers P,…]

C{--parts} chooses among C{start}, C{figures}, C{proxies}, C{growth} and C{burst}.  What is measured
is written as it comes, so a run that is interrupted leaves what it had; C{report.py} makes tables
of that.  With five repetitions it takes some half an hour where nothing else runs; workloads
without a target have two.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import burst
import compare
import growth
import proxies
import report
import start
from tables import ON_UVLOOP, OURS
from targets import TARGETS

PEERS = ("node24", *OURS, *ON_UVLOOP, "twisted")
PARTS = ("start", "figures", "proxies", "growth", "burst")
# Of growth and bursts, which cost more time than they tell with each repetition.
SLOW = 2


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure everything, and write the page.")
    parser.add_argument("--harness", type=Path, default=os.environ.get("BENCH_HARNESS"))
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--peers", default=",".join(PEERS), help="of figures; the base first")
    parser.add_argument("--page", type=Path, default=report.PAGE)
    given = parser.parse_args()
    if given.harness is None:
        parser.error("say where the harness is: --harness, or BENCH_HARNESS")
    harness, reps, folder = Path(given.harness).resolve(), given.reps, given.page.with_suffix("")
    workloads = [*compare.SERVED, *compare.CONNECTING]
    everywhere = os.sched_getaffinity(0)
    parts: dict[str, Callable[[Path], object]] = {
        "start": lambda data: start.run(reps, data),
        "figures": lambda data: compare.run(
            harness,
            workloads,
            given.peers.split(","),
            reps,
            data,
            seldom=[name for name in workloads if name not in TARGETS],
        ),
        "proxies": lambda data: proxies.run(
            harness, reps, data, list(proxies.WORKLOADS), proxies.here()
        ),
        "growth": lambda data: growth.run(harness, min(reps, SLOW), data, list(growth.AXES)),
        "burst": lambda data: burst.run(harness, min(reps, SLOW), data),
    }
    whole = True
    for name in given.parts.split(","):
        began = time.monotonic()
        os.sched_setaffinity(0, everywhere)
        whole &= attempted(partial(parts[name], folder / f"{name}.json"))
        whole &= attempted(lambda: report.report(given.page))
        print(f"{name}: {(time.monotonic() - began) / 60:.1f} min", file=sys.stderr, flush=True)
    sys.exit(not whole)


def attempted(what: Callable[[], object]) -> bool:
    """Whether it could be done: what cannot is said, and does not keep the rest from being done."""
    try:
        what()
    except Exception:
        traceback.print_exc()
        return False
    return True


if __name__ == "__main__":
    main()
