"""
The same on every reactor, on sockets of our own and the plain way.

Some of the suite, and not on epoll, where all of it runs anyway; `.ci/run` runs more of it, see
`tests/reactors.py`.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from tests.reactors import REACTORS
from tests.support import PROJECT, Pki, runTool
from tests.twisted_face.pairs import Pair
from txnodetls.transports.plain import TransportCarrier
from txnodetls.transports.tcp import SocketCarrier

CLASSES = {
    "epoll": "EPollReactor",
    "poll": "PollReactor",
    "select": "SelectReactor",
    "asyncio": "AsyncioSelectorReactor",
    "uvloop": "UvloopReactor",
}


@pytest_twisted.ensureDeferred
async def test_this_run_is_what_was_asked_for(pki: Pki, pytestconfig: Any) -> None:
    asked = pytestconfig.getoption("--tests-reactor", None)
    if asked is not None:
        assert type(reactor).__name__ == CLASSES[asked]
    plain = pytestconfig.getoption("--plain-carriers", False)
    pair = await Pair(pki).connect()
    for side in (pair.client, pair.server):
        carrier = side.transport.tlsSocket._carrier
        assert isinstance(carrier, TransportCarrier if plain else SocketCarrier)
    await pair.close()


RUNS = [[f"--tests-reactor={name}"] for name in REACTORS if name != "epoll"]
RUNS += [["--plain-carriers"]]


@pytest.mark.parametrize("switches", RUNS, ids=" ".join)
def test_protocols_are_told_the_same(switches: list[str]) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    here = "tests/twisted_face"
    some = [f"{here}/test_reactors.py", f"{here}/test_adapter.py", "-k", "not told_the_same"]
    environment = {**os.environ, "PYTEST_ADDOPTS": ""}
    done = runTool(
        [*command, "-p", "tests.reactors", *switches, *some], cwd=PROJECT, env=environment
    )
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    assert b" passed" in done.stdout
    assert b"skipped" not in done.stdout
