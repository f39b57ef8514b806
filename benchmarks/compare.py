#!/usr/bin/env python3
"""
Every workload against every peer that is there, side by side.

    benchmarks/compare.py --harness DIR [--workload W,…] [--peers P,…] [--reps 5]

C{DIR} (or the environment's BENCH_HARNESS) holds the load generator and the peers' servers:
a C{bench.py} with a C{compare} command, and what its README says has to be built.

One repetition is one run of each peer, one behind the other, in an order that turns round each
time; so what disturbs the machine disturbs them all.  Of each repetition the ratio to the base
is taken, and of the ratios the median and the spread.  Work per CPU second of the process under
test is what is compared; the clock's figure is kept beside it.

Beside each ratio of ours stands what is aimed at (C{targets.py}), and whether it is met.

The raw figures go to C{--data}, from which C{report.py} makes tables and charts; with C{--table} a
file of figures is printed again and nothing is run.  Nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from processes import environment as bare
from tables import ON_UVLOOP, OURS, againstTwisted, comparison, onUvloop

HERE = Path(__file__).resolve().parent
SERVED = (
    "recv-16k",
    "recv-64k",
    "recv-64k-lowat",
    "recv-1m",
    "send-16k",
    "send-64k",
    "hs13",
    "hs13-rsa",
    "hs12",
    "hs12-rsa",
    "hs13-mtls",
    "resume13",
    "resume12",
    "hs13-mlkem",
    "hs13-default",
    "echo-1",
    "echo-100",
    "mem",
    "mem-echo",
    "start",
)
CONNECTING = ("c-recv", "c-send", "c-hs")
# What a peer cannot do: Node 20, and the OpenSSL of Debian, know no ML-KEM.  And what another
# reactor has nothing to do with.
NOT_FOR = {
    "node20": ("hs13-mlkem", "hs13-default"),
    **dict.fromkeys(ON_UVLOOP, ("mem", "start")),
}


def environment() -> dict[str, str]:
    """What the harness has to know of our servers and clients."""
    return {
        "PYTHON": sys.executable,
        **bare(),
        "BENCH_SERVERS": _commands("face"),
        "BENCH_CLIENTS": _commands("client"),
    }


def _commands(kind: str) -> str:
    """The commands of all of ours, on either reactor."""
    scripts = {face: f"{HERE / face.replace('face', kind).replace('-', '_')}.py" for face in OURS}
    commands = dict(scripts)
    for name, face in ON_UVLOOP.items():
        commands[name] = f"{HERE / 'on_reactor.py'} uvloop {scripts[face]}"
    return ";".join(f"{name}={sys.executable} {command}" for name, command in commands.items())


def peersHere() -> list[str]:
    """The peers that this machine has; the first is the base."""
    peers = ["node24", *OURS]
    if _hasUvloop(sys.executable):
        peers += ON_UVLOOP
    peers.append("twisted")
    if shutil.which("node"):
        peers.append("node20")
    peers.append("asyncio")
    if _hasUvloop(os.environ.get("PYTHON_ASYNCIO", sys.executable)):
        peers.append("uvloop")
    return [*peers, "c"]


def _hasUvloop(python: str) -> bool:
    found = subprocess.run([python, "-c", "import uvloop"], capture_output=True, check=False)
    return found.returncode == 0


def measure(harness: Path, workload: str, peers: list[str]) -> dict[str, Any]:
    """One repetition: the harness's figures of each peer that could do it."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "figures"
        command = [sys.executable, str(harness / "bench.py"), "compare", "--reps", "1"]
        command += ["--servers", ",".join(peers), "--workload", workload, "--json", str(out)]
        subprocess.run(command, env=environment(), stdout=subprocess.DEVNULL, check=True)
        figures = json.loads(out.read_text())["res"][workload]
    return {peer: runs[0] for peer, runs in figures.items() if runs}


def fit(workload: str, peers: list[str]) -> list[str]:
    """Those of the peers that have this workload."""
    clients = ("node24", "node20", "twisted", *OURS, *ON_UVLOOP)
    return [
        peer
        for peer in peers
        if workload not in NOT_FOR.get(peer, ()) and (workload not in CONNECTING or peer in clients)
    ]


def run(
    harness: Path,
    workloads: list[str],
    peers: list[str],
    reps: int,
    data: Path,
    seldom: Collection[str] = (),
) -> Any:
    """
    Every workload with every peer, again and again.

    @param seldom: workloads for which two repetitions do.
    """
    about = {
        "began": time.strftime("%Y-%m-%d %H:%M"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "base": peers[0],
        "reps": reps,
    }
    record: dict[str, Any] = {"about": about, "load": [], "figures": {}}
    for rep in range(reps):
        record["load"].append(os.getloadavg()[0])
        for workload in workloads:
            if rep > 1 and workload in seldom:
                continue
            order = fit(workload, peers)
            try:
                got = measure(harness, workload, order if rep % 2 == 0 else order[::-1])
            except (OSError, subprocess.SubprocessError, KeyError) as error:
                print(f"   !! {workload}: {error!r}", file=sys.stderr)
                continue
            record["figures"].setdefault(workload, []).append(got)
            data.write_text(json.dumps(record, indent=1))  # what there is outlives an interruption
            print(f"{rep + 1}/{reps} {workload}", file=sys.stderr, flush=True)
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description="Every workload against every peer.")
    parser.add_argument("--harness", type=Path, default=os.environ.get("BENCH_HARNESS"))
    parser.add_argument("--workload", help="comma-separated; all of them by default")
    parser.add_argument("--peers", help="comma-separated, the base first; all that are here")
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--data", type=Path, default=Path("figures.json"))
    parser.add_argument("--table", type=Path, help="print a file of figures again")
    given = parser.parse_args()
    if given.table is not None:
        record = json.loads(given.table.read_text())
    else:
        if given.harness is None:
            parser.error("say where the harness is: --harness, or BENCH_HARNESS")
        workloads = given.workload.split(",") if given.workload else [*SERVED, *CONNECTING]
        peers = given.peers.split(",") if given.peers else peersHere()
        record = run(Path(given.harness).resolve(), workloads, peers, given.reps, given.data)
    print(comparison(record))
    for more in (againstTwisted(record), onUvloop(record)):
        if more:
            print(f"\n{more}")
    print("\nload average at each repetition:", *(f"{load:.1f}" for load in record["load"]))


if __name__ == "__main__":
    main()
