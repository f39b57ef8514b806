#!/usr/bin/env python3
"""
Whether memory comes back after a burst.

    benchmarks/burst.py --harness DIR [--reps 3] [--data burst.json]

200 connections are opened, and are idle.  Then all are sent 4 MiB at a time and read nothing
until the server can send no more; then they read.  Then all send 4 MiB at a time.  Then they are
idle again; then one byte goes there and back on each; then they are closed.  What is resident is
noted at each step, above what it was before the first connection; of the burst, the most that was
seen.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import ssl
import tempfile
from pathlib import Path
from typing import Any

from growth import PEERS, Bench, connected, receive, trusting
from processes import LOAD, Process, Record

CONNECTIONS = 200
AMOUNT = 4 << 20


def echo(client: ssl.SSLSocket) -> None:
    """One byte there and back; behind C{D 1} the next line is a new command."""
    client.sendall(b"D 1\nx")
    receive(client, 2, bytearray(2))


def measure(bench: Bench, peer: str) -> dict[str, float]:
    """MiB above what there was before, at each step."""
    with bench.server(peer) as server:
        bench.generator.run(server.port, "echo", "-c", "20", "-d", "0.2")
        before = server.settled()
        seen: dict[str, float] = {}

        def note(step: str) -> None:
            now = (server.settled(0.1) - before) / (1 << 20)
            seen[step] = max(seen.get(step, 0.0), now)

        with contextlib.ExitStack() as stack:
            clients = [
                stack.enter_context(connected(trusting(), server.port)) for _ in range(CONNECTIONS)
            ]
            for client in clients:
                echo(client)
            note("idle")
            _burst(clients, server, note)
            note("idle again")
            for client in clients:
                echo(client)
            note("a byte later")
        note("closed")
    return seen


def _burst(clients: list[ssl.SSLSocket], server: Process, note: Any) -> None:
    buffer = bytearray(1 << 18)
    for client in clients:
        client.sendall(b"S %d 65536\n" % AMOUNT)
    note("burst")
    for client in clients:
        receive(client, AMOUNT, buffer)
    data = bytes(AMOUNT)
    for client in clients:
        client.sendall(b"D %d\n" % AMOUNT + data)
    note("burst")
    for client in clients:
        receive(client, 2, buffer)


def run(harness: Path, reps: int, data: Path) -> Any:
    os.sched_setaffinity(0, {LOAD})
    record = Record(data, reps=reps, connections=CONNECTIONS, bytes=AMOUNT)
    with tempfile.TemporaryDirectory(prefix="burst-") as folder:
        bench = Bench(harness, Path(folder))
        record.interleaved(["burst"], PEERS, reps, lambda _name, peer: measure(bench, peer))
    return record.asDict()


def main() -> None:
    parser = argparse.ArgumentParser(description="Whether memory comes back after a burst.")
    parser.add_argument("--harness", type=Path, default=os.environ.get("BENCH_HARNESS"))
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--data", type=Path, default=Path("burst.json"))
    given = parser.parse_args()
    if given.harness is None:
        parser.error("say where the harness is: --harness, or BENCH_HARNESS")
    from tables import burstTable

    print(burstTable(run(Path(given.harness).resolve(), given.reps, given.data)))


if __name__ == "__main__":
    main()
