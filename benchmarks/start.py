#!/usr/bin/env python3
"""
What we add to the start of a program.

    benchmarks/start.py [--reps 9] [--data start.json]

C{import}: what every program of its kind imports is imported first (the reactor and pyOpenSSL;
for the Twisted face C{twisted.internet.endpoints}, and Twisted's look for plugins that parse
strings), then ours: C{import txnodetls}, and the modules behind a C{nodetls:} string.  C{ready}:
the same until a server with a certificate can listen.  Compiled modules are there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from growth import certificate
from processes import Record, environment

BEFORE = {
    "node-face": "from twisted.internet import reactor; from OpenSSL import SSL",
    "twisted-face": (
        "from twisted.internet import reactor; from OpenSSL import SSL\n"
        "from twisted.internet.endpoints import serverFromString\n"
        "from twisted.internet.interfaces import IStreamServerEndpointStringParser as Parser\n"
        "from twisted.plugin import getPlugins\n"
        "list(getPlugins(Parser))"
    ),
}
OURS = {
    ("import", "node-face"): "import txnodetls",
    ("import", "twisted-face"): "import txnodetls.twisted.strings",
    ("ready", "node-face"): (
        "import txnodetls as tls\n"
        "both = open({pem!r}, 'rb').read()\n"
        "tls.createServer(dict(key=both, cert=both)).listen(0, '127.0.0.1')"
    ),
    ("ready", "twisted-face"): (
        "from twisted.internet.protocol import Factory\n"
        "serverFromString(reactor, 'nodetls:0:interface=127.0.0.1:key={pem}:cert={pem}')"
        ".listen(Factory())"
    ),
}
PROGRAM = """
import time
def now(): return time.perf_counter(), time.process_time()
began = now()
{before}
there = now()
{ours}
done = now()
import json
print(json.dumps(dict(
    base=1e3 * (there[0] - began[0]), base_cpu=1e3 * (there[1] - began[1]),
    value=1e3 * (done[0] - there[0]), cpu_value=1e3 * (done[1] - there[1]), unit="ms")))
import os, sys
sys.stdout.flush()
os._exit(0)
"""


def measure(what: str, peer: str, pem: str) -> dict[str, Any]:
    program = PROGRAM.format(before=BEFORE[peer], ours=OURS[what, peer].format(pem=pem))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def run(reps: int, data: Path) -> Any:
    record = Record(data, reps=reps)
    with tempfile.TemporaryDirectory(prefix="start-") as folder:
        pem = Path(folder) / "both.pem"
        pem.write_bytes(certificate("localhost"))
        for what, peer in OURS:
            measure(what, peer, str(pem))
        record.interleaved(
            ["import", "ready"],
            list(BEFORE),
            reps,
            lambda what, peer: measure(what, peer, str(pem)),
        )
    return record.asDict()


def main() -> None:
    parser = argparse.ArgumentParser(description="What we add to the start of a program.")
    parser.add_argument("--reps", type=int, default=9)
    parser.add_argument("--data", type=Path, default=Path("start.json"))
    given = parser.parse_args()
    from tables import startTable

    print(startTable(run(given.reps, given.data)))


if __name__ == "__main__":
    main()
