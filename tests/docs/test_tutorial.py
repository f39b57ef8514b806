"""The tutorial's programs run as they stand there, but for the port, and print what it says."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.docs.running import blocks
from tests.support import PROJECT, runTool, unusedPort

PYTHON = [block.text for block in blocks("tutorial.md") if block.language == "python"]
SERVER, CLIENT, AWAITING, OPTIONS, KNOWN, TWISTED = PYTHON
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1"}
Start = Callable[[str, int], "subprocess.Popen[bytes]"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with what the tutorial's command makes."""
    (commands,) = [block.text for block in blocks("tutorial.md") if block.language == "sh"]
    assert "python -m trustme" in commands
    assert runTool([sys.executable, "-m", "trustme", "-q"], cwd=tmp_path).returncode == 0
    return tmp_path


@pytest.fixture
def start(directory: Path) -> Iterator[Start]:
    """Start a program that serves, and wait until it does; it is ended with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(text: str, port: int) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", text.replace("8443", str(port))],
            cwd=directory,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        running.append(process)
        while process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return process
            except ConnectionRefusedError:
                time.sleep(0.05)
        raise AssertionError("it ended")

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def client(text: str, port: int, directory: Path) -> str:
    program = [sys.executable, "-c", text.replace("8443", str(port))]
    done = runTool(program, cwd=directory, env=ENVIRONMENT)
    assert (done.returncode, done.stderr.decode()) == (0, "")
    return done.stdout.decode()


@pytest.mark.parametrize("asking", [CLIENT, AWAITING], ids=["events", "await"])
def test_the_server_and_its_clients(asking: str, directory: Path, start: Start) -> None:
    port = unusedPort()
    server = start(SERVER, port)
    assert client(asking, port, directory) == "received b'hello\\n'\n"
    assert server.stdout is not None
    lines = [server.stdout.readline().decode() for _ in range(4)]
    # The first connection was to see whether it listens.
    expected = ["bye\n", "from 127.0.0.1 over TLSv1.3\n", "listening\n", "refused: ECONNRESET\n"]
    assert sorted(lines) == expected


def test_without_the_authority_the_server_is_refused(directory: Path, start: Start) -> None:
    port = unusedPort()
    start(SERVER, port)
    without = CLIENT.replace(', ca=open("client.pem").read()', "")
    assert without != CLIENT
    told = client(without, port, directory)
    assert told in (
        "failed: SELF_SIGNED_CERT_IN_CHAIN\n",
        "failed: UNABLE_TO_VERIFY_LEAF_SIGNATURE\n",
        "failed: UNABLE_TO_GET_ISSUER_CERT_LOCALLY\n",
    )


def test_a_server_that_asks_for_certificates(directory: Path, start: Start) -> None:
    port = unusedPort()
    before, _, after = SERVER.partition("options = ")
    start(before + OPTIONS + after.partition("\n")[2], port)
    assert "failed" in client(CLIENT, port, directory)
    assert client(KNOWN, port, directory) == "received b'hello, it is me\\n'\n"


def test_the_twisted_program(directory: Path, start: Start) -> None:
    port = unusedPort()
    start(TWISTED, port)
    assert client(CLIENT, port, directory) == "received b'HELLO\\n'\n"
