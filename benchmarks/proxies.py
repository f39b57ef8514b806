#!/usr/bin/env python3
"""
The daemon's proxy beside hitch, stunnel, HAProxy and nginx.

    benchmarks/proxies.py --harness DIR [--reps 5] [--data proxies.json]

Each takes TLS on one port of the loopback, with the same certificate, and passes on what is in
it to the same plain server written in C.  Version, cipher and group are the load generator's
choice, the same for all.  Each has one worker, or one thread, or (stunnel) one CPU for all of
its threads; nothing is logged; all else is as it comes.  CPU seconds and memory are those of the
proxy's processes alone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from processes import LOAD, Generator, Process, Record, freePort

HERE = Path(__file__).resolve().parent
BASE = "stunnel"
OURS = "txnodetls"
HELD = 1000
LOADS: dict[str, tuple[str, ...]] = {
    "recv-64k": ("recv", "-n", str(1 << 30), "-w", "65536"),
    "send-64k": ("send", "-n", str(1 << 30), "-w", "65536"),
    "hs13": ("hs", "-c", "16", "-d", "1.0"),
    "echo-100": ("echo", "-c", "100", "-d", "1.0"),
}
MEMORY = "mem-echo"
WORKLOADS = (*LOADS, MEMORY)


class Setting:
    """
    What a proxy is to be started with.

    @ivar folder: for its files.
    @ivar pem: certificate and key in one file.
    """

    def __init__(self, folder: Path, certificate: dict[str, str], port: int, backend: int) -> None:
        self.folder, self.port, self.backend = folder, port, backend
        self.cert, self.key = certificate["BENCH_CERT"], certificate["BENCH_KEY"]
        self.pem = str(folder / "both.pem")
        Path(self.pem).write_bytes(Path(self.cert).read_bytes() + Path(self.key).read_bytes())

    def file(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)


def ours(given: Setting) -> list[str]:
    return [
        *(str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile="),
        *("--logfile", str(given.folder / "twistd.log")),
        *("nodetls", "--port", str(given.port), "--key", given.key, "--cert", given.cert),
        *("--proxy", f"tcp:127.0.0.1:{given.backend}", "--connectionLog", "none"),
    ]


def hitch(given: Setting) -> list[str]:
    text = f"""
frontend = "[127.0.0.1]:{given.port}"
backend = "[127.0.0.1]:{given.backend}"
pem-file = "{given.pem}"
workers = 1
daemon = off
quiet = on
"""
    if os.geteuid() == 0:  # its workers will not run as root
        text += 'user = "nobody"\n'
    return ["hitch", f"--config={given.file('hitch.conf', text)}"]


def stunnel(given: Setting) -> list[str]:
    text = f"""
foreground = yes
pid =
debug = 3
[tls]
accept = 127.0.0.1:{given.port}
connect = 127.0.0.1:{given.backend}
cert = {given.cert}
key = {given.key}
"""
    return ["stunnel", given.file("stunnel.conf", text)]


def haproxy(given: Setting) -> list[str]:
    text = f"""
global
    nbthread 1
defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h
frontend tls
    bind 127.0.0.1:{given.port} ssl crt {given.pem}
    default_backend plain
backend plain
    server plain 127.0.0.1:{given.backend}
"""
    return ["haproxy", "-f", given.file("haproxy.cfg", text)]


def nginx(given: Setting) -> list[str]:
    text = f"""
include /etc/nginx/modules-enabled/*.conf;
worker_processes 1;
daemon off;
pid {given.folder}/nginx.pid;
error_log {given.folder}/nginx.log crit;
events {{ worker_connections 10000; }}
stream {{
    server {{
        listen 127.0.0.1:{given.port} ssl backlog=1024;
        ssl_certificate {given.cert};
        ssl_certificate_key {given.key};
        ssl_protocols TLSv1.2 TLSv1.3;
        proxy_pass 127.0.0.1:{given.backend};
    }}
}}
"""
    return ["nginx", "-e", str(given.folder / "nginx.log"), "-c", given.file("nginx.conf", text)]


PROXIES: dict[str, Callable[[Setting], list[str]]] = {
    BASE: stunnel,
    OURS: ours,
    "hitch": hitch,
    "haproxy": haproxy,
    "nginx": nginx,
}


def here() -> list[str]:
    """The proxies that this machine has."""
    return [name for name in PROXIES if name == OURS or shutil.which(name)]


def versions(names: list[str]) -> dict[str, str]:
    """What Debian calls the versions of those that are of its packages."""
    packages = {"stunnel": "stunnel4", "hitch": "hitch", "haproxy": "haproxy", "nginx": "nginx"}
    found = {}
    for name in names:
        if name in packages and shutil.which("dpkg-query"):
            asked = subprocess.run(
                ["dpkg-query", "-W", "-f", "${Version}", packages[name]],
                capture_output=True,
                text=True,
                check=False,
            )
            found[name] = asked.stdout
    return found


def compiled(folder: Path) -> str:
    """The plain server, made of its source."""
    program = str(folder / "plain_backend")
    subprocess.run(["cc", "-O2", "-o", program, str(HERE / "plain_backend.c")], check=True)
    return program


def measure(generator: Generator, folder: Path, workload: str, proxy: str) -> dict[str, Any]:
    """One figure of one proxy, which is started for it."""
    with Process([str(folder / "plain_backend")], cpu=LOAD) as backend:
        given = Setting(folder, generator.certificate(), freePort(), backend.port)
        with Process(PROXIES[proxy](given), port=given.port) as process:
            generator.run(given.port, "echo", "-c", "20", "-d", "0.2")
            if workload == MEMORY:
                return _held(generator, process)
            mode, *options = LOADS[workload]
            before = process.cpu()
            result = generator.run(given.port, mode, *options)
            used = process.cpu() - before
    if mode == "echo":  # what went before the measured time was served, too
        work = result["count"] * (result["seconds"] + 0.3) / result["seconds"]
    else:
        work = result["bytes"] / 1e6 if "bytes" in result else result["total"]
    return {
        "value": result["value"],
        "cpu_value": work / used,
        "unit": result["unit"],
        "server_cpu": used,
        "cipher": result.get("cipher"),
        "never_closed": result.get("never_closed", 0),
    }


def _held(generator: Generator, process: Process) -> dict[str, Any]:
    before = process.settled()
    with generator.holding(process.port, HELD):
        each = (process.settled() - before) / HELD / 1024
    return {"value": each, "cpu_value": each, "unit": "KiB/conn", "base_rss_mib": before / 2**20}


def run(harness: Path, reps: int, data: Path, workloads: list[str], proxies: list[str]) -> Any:
    os.sched_setaffinity(0, {LOAD})
    generator = Generator(harness)
    record = Record(data, base=proxies[0], reps=reps, versions=versions(proxies))
    with tempfile.TemporaryDirectory(prefix="proxies-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # hitch and nginx give their rights up
        compiled(folder)
        record.interleaved(
            workloads,
            proxies,
            reps,
            lambda workload, proxy: measure(generator, folder, workload, proxy),
        )
    return record.asDict()


def main() -> None:
    parser = argparse.ArgumentParser(description="The daemon's proxy beside others.")
    parser.add_argument("--harness", type=Path, default=os.environ.get("BENCH_HARNESS"))
    parser.add_argument("--workload", help="comma-separated; all of them by default")
    parser.add_argument("--proxies", help="comma-separated, the base first; all that are here")
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--data", type=Path, default=Path("proxies.json"))
    given = parser.parse_args()
    if given.harness is None:
        parser.error("say where the harness is: --harness, or BENCH_HARNESS")
    workloads = given.workload.split(",") if given.workload else list(WORKLOADS)
    proxies = given.proxies.split(",") if given.proxies else here()
    from tables import proxyTable

    record = run(Path(given.harness).resolve(), given.reps, given.data, workloads, proxies)
    print(proxyTable(record))


if __name__ == "__main__":
    main()
