"""Many connections at one worker."""

from __future__ import annotations

import resource
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from tests.daemon.load import Load, Loop, echoBackend
from tests.daemon.running import Twistd
from tests.daemon.test_listeners import PAIR

IDLE = """\
import asyncio
import ssl, sys
from pathlib import Path
port, count = int(sys.argv[1]), int(sys.argv[2])
context = ssl.create_default_context(cafile=sys.argv[3])
async def main():
    gate, kept = asyncio.Semaphore(30), []
    async def one():
        async with gate:
            kept.append(await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname="localhost",
                ssl_handshake_timeout=120))
    await asyncio.gather(*(one() for _ in range(count)))
    print("open", len(kept), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    served = 0
    for reader, writer in kept:
        writer.write(b"still there?")
        assert await reader.readexactly(12) == b"still there?"
        served += 1
    print("served", served, flush=True)
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("idle", "active"),
    [
        pytest.param(100, 20, id="some"),
        pytest.param(5000, 200, id="many", marks=[pytest.mark.soak, pytest.mark.timeLimit(500)]),
    ],
)
def test_idle_ones_and_active_ones_stay_served(
    idle: int, active: int, directory: Path, loop: Loop, trusting: ssl.SSLContext
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2 * (idle + active) + 200:
        pytest.skip(f"only {hard} descriptors")
    wanted = max(soft, 2 * (idle + active) + 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    backend = loop.run(echoBackend())
    target = f"--proxy=tcp:127.0.0.1:{backend.sockets[0].getsockname()[1]}"
    try:
        with Twistd("nodetls", *PAIR, target, "--drainTimeout=0", cwd=directory) as daemon:
            (port,) = daemon.ports()
            command = [sys.executable, "-c", IDLE, str(port), str(idle), "ca.pem"]
            with subprocess.Popen(
                command, cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            ) as client:
                assert client.stdin is not None
                assert client.stdout is not None
                try:
                    assert client.stdout.readline() == f"open {idle}\n"
                    load = Load(loop, port, trusting, active, pause=0.2)
                    load.start(300)
                    load.advance(5, 300)
                    client.stdin.write("\n")
                    client.stdin.flush()
                    assert client.stdout.readline() == f"served {idle}\n"
                    assert load.finish(200) == []
                    print(f"peak {daemon.peakMemory() / 2**20:.0f} MiB, {load.exchanged} bytes")
                finally:
                    client.kill()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
