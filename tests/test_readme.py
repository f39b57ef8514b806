"""What the README shows runs as it stands there, but for the port."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import PROJECT, requireTool, runTool, unusedPort

README = (PROJECT / "README.md").read_text()
BLOCKS = re.findall(
    r"(?:<!-- command: (?P<command>\w+) -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)```",
    README,
    re.DOTALL,
)
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(PROJECT),
    "PYTHONUNBUFFERED": "1",
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}
Start = Callable[[list[str]], "subprocess.Popen[bytes]"]


def block(kind: str, holding: str) -> str:
    """The one block of that kind that holds that text."""
    (text,) = [text for _, each, text in BLOCKS if each == kind and holding in text]
    return str(text)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with what `python -m trustme`, which the README names, makes."""
    done = runTool([sys.executable, "-m", "trustme", "-q"], cwd=tmp_path)
    assert done.returncode == 0
    return tmp_path


@pytest.fixture
def start(directory: Path) -> Iterator[Start]:
    """Start a program in the directory; it is ended with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(command: list[str]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()


def reachable(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until the process listens on the port, or say what it said when it died."""
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise AssertionError(process.stdout.read().decode() if process.stdout else "it ended")


def python(text: str, port: int) -> list[str]:
    return [sys.executable, "-c", text.replace("8443", str(port))]


def shell(text: str, port: int, directory: Path) -> list[str]:
    """A twistd command of the README as arguments, its files of state in the directory."""
    words = shlex.split(text.replace("8443", str(port)))
    assert words[0] == "twistd"
    return [words[0], "--pidfile", str(directory / "pid"), *words[1:]]


def test_the_server_and_the_client_talk(directory: Path, start: Start) -> None:
    port = unusedPort()
    server = start(python(block("python", "tls.createServer"), port))
    assert server.stdout is not None
    assert server.stdout.readline() == b"listening %d\n" % port
    done = runTool(python(block("python", "tls.connect"), port), cwd=directory, env=ENVIRONMENT)
    assert (done.stdout, done.stderr) == (b"received b'hello\\n'\n", b"")
    assert re.match(rb"127.0.0.1 TLSv1.3 TLS_\w+$", server.stdout.readline())


@pytest.mark.parametrize("name", ["tls.createServer", "tls.connect"])
def test_the_server_and_the_client_are_ten_lines_each(name: str) -> None:
    lines = [line for line in block("python", name).splitlines() if line.strip()]
    assert len(lines) <= 10


def test_the_endpoint_strings_serve_a_page(directory: Path, start: Start) -> None:
    (directory / "index.html").write_text("a page of ours\n")
    port = unusedPort()
    web = start(shell(block("sh", "twistd -n web"), port, directory))
    reachable(web, port)

    done = runTool(
        python(block("python", "clientFromString"), port), cwd=directory, env=ENVIRONMENT
    )
    assert (done.stdout, done.stderr) == (b"b'HTTP/1.0 200 OK' TLSv1.3\n", b"")

    curl = [requireTool("curl"), "-sS", "--cacert", "client.pem", "-w", "%{http_version}"]
    page = runTool([*curl, "--http2", f"https://localhost:{port}/"], cwd=directory)
    assert (page.stdout, page.stderr) == (b"a page of ours\n2", b"")


def test_the_daemon_terminates_for_another_server(directory: Path, start: Start) -> None:
    port, plain = unusedPort(), unusedPort()
    words = shell(block("sh", "--proxy").replace("8080", str(plain)), port, directory)
    daemon = start(words)
    reachable(daemon, port)
    trusting = ssl.create_default_context(cafile=str(directory / "client.pem"))
    with socket.create_server(("127.0.0.1", plain)) as backend:
        with socket.create_connection(("127.0.0.1", port), 10) as raw:
            with trusting.wrap_socket(raw, server_hostname="localhost") as client:
                client.sendall(b"question")
                behind, _ = backend.accept()
                with behind:
                    assert behind.recv(100) == b"question"
                    behind.sendall(b"answer")
                    assert client.recv(100) == b"answer"


def test_there_are_exactly_two_commands_to_set_up() -> None:
    commands = {name: text for name, _, text in BLOCKS if name}
    assert set(commands) == {"daemon", "tests"}
    for text in commands.values():
        assert text.startswith("python3 -m venv .venv && .venv/bin/pip install ")
        assert len(text.splitlines()) == 1
    assert README.count("pip install") == 2


def test_what_the_readme_links_to_is_there() -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(targets) >= 5
    assert [each for each in targets if not (PROJECT / each).exists()] == []


def test_trustme_makes_the_files_that_the_readme_names(directory: Path) -> None:
    made = {path.name for path in directory.iterdir()}
    assert {"server.key", "server.pem", "client.pem"} <= made
