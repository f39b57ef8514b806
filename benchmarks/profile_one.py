#!/usr/bin/env python3
"""
Where the time of one workload goes, in one of our servers.

    benchmarks/profile_one.py --harness DIR node-face echo-100 [--lines 40] [--sort tottime]

The server runs under cProfile, which makes calls of Python functions look dearer than they are
and hides what OpenSSL does behind the call that asked for it: read it for what is called how
often, and decide by C{compare.py}.  With C{--perf} it runs under Linux's C{perf} instead, which
shows the kernel's, OpenSSL's and the interpreter's shares; the harness's figure per CPU second is
of C{perf} itself then, and means nothing.
"""

from __future__ import annotations

import argparse
import os
import pstats
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from compare import HERE, environment
from tables import OURS

# Run a script under cProfile until SIGTERM, then write what was seen.
UNDER_PROFILE = """
import cProfile, runpy, signal, sys
script, out = sys.argv[1:3]
sys.argv = [script]
from twisted.internet import reactor
signal.signal(signal.SIGTERM, lambda *_: reactor.callFromThread(reactor.stop))
profile = cProfile.Profile()
profile.runcall(runpy.run_path, script, run_name="__main__")
profile.dump_stats(out)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Profile one workload.")
    parser.add_argument("face", choices=OURS)
    parser.add_argument("workload")
    parser.add_argument("--harness", type=Path, default=os.environ.get("BENCH_HARNESS"))
    parser.add_argument("--lines", type=int, default=40)
    parser.add_argument("--sort", default="tottime")
    parser.add_argument("--perf", action="store_true")
    given = parser.parse_args()
    if given.harness is None:
        parser.error("say where the harness is: --harness, or BENCH_HARNESS")
    if given.perf and shutil.which("perf") is None:
        parser.error("there is no perf here")
    script = HERE / f"{given.face.replace('-', '_')}.py"
    with tempfile.TemporaryDirectory() as folder:
        out, runner = Path(folder) / "out", Path(folder) / "runner.py"
        runner.write_text(UNDER_PROFILE)
        if given.perf:
            server = f"perf record -q -e cpu-clock -o {out} -- {sys.executable} {script}"
        else:
            server = f"{sys.executable} {runner} {script} {out}"
        command = [sys.executable, str(Path(given.harness).resolve() / "bench.py")]
        command += ["--server", "profiled", "--workload", given.workload, "--reps", "1"]
        subprocess.run(
            command, env={**environment(), "BENCH_SERVERS": f"profiled={server}"}, check=True
        )
        if given.perf:
            report = ["perf", "report", "--stdio", "-q", "-i", str(out), "--sort", "dso,symbol"]
            shown = subprocess.run(report, capture_output=True, text=True, check=True).stdout
            print("\n".join(shown.strip().splitlines()[: given.lines]))
        else:
            pstats.Stats(str(out)).sort_stats(given.sort).print_stats(given.lines)


if __name__ == "__main__":
    main()
