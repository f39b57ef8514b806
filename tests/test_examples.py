"""Each example runs, servers and clients against each other, and prints what it promises."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from tests.support import PROJECT, runTool

EXAMPLES = PROJECT / "examples"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1"}
Start = Callable[[str], tuple[str, "subprocess.Popen[bytes]"]]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the three files that `python -m trustme` makes."""
    path = tmp_path_factory.mktemp("examples")
    authority = trustme.CA()
    names = ("localhost", "127.0.0.1", "::1", "other.localhost", "a.small.localhost")
    leaf = authority.issue_cert(*names)
    leaf.private_key_pem.write_to_path(path / "server.key")
    for pem in leaf.cert_chain_pems:
        pem.write_to_path(path / "server.pem", append=True)
    authority.cert_pem.write_to_path(path / "client.pem")
    return path


@pytest.fixture
def start(directory: Path) -> Iterator[Start]:
    """Start an example that serves; gives its port and its process."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(name: str) -> tuple[str, subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / name), "0"],
            cwd=directory,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        running.append(process)
        assert process.stdout is not None
        word, _, port = process.stdout.readline().decode().partition(" ")
        assert word == "port"
        return port.strip(), process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def client(directory: Path, name: str, *arguments: str) -> str:
    """Run an example to its end; what it printed."""
    done = runTool(
        [sys.executable, str(EXAMPLES / name), *arguments], cwd=directory, env=ENVIRONMENT
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
    return done.stdout.decode()


def heard(process: subprocess.Popen[bytes]) -> str:
    """The next line that a server prints."""
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


def test_echo(directory: Path, start: Start) -> None:
    port, server = start("echo_server.py")
    output = client(directory, "echo_client.py", port)
    assert "TLSv1.3 TLS_" in output
    assert "certificate for DNS:localhost" in output
    assert output.endswith("received hello\n")
    assert heard(server) == "from 127.0.0.1 over TLSv1.3"


def test_echo_client_rejects_a_name_that_is_not_in_the_certificate(
    directory: Path, start: Start
) -> None:
    port, _ = start("echo_server.py")
    output = client(directory, "echo_client.py", port, "elsewhere.example.test")
    assert "failed: ERR_TLS_CERT_ALTNAME_INVALID" in output
    assert "received" not in output


def test_client_certificate(directory: Path, start: Start) -> None:
    port, server = start("client_certificate_server.py")
    output = client(directory, "client_certificate_client.py", port)
    assert output.startswith("received welcome, DNS:localhost")
    assert heard(server).startswith("authorized: True DNS:localhost")


def test_client_certificate_server_lets_nobody_in_without_one(
    directory: Path, start: Start
) -> None:
    port, server = start("client_certificate_server.py")
    output = client(directory, "echo_client.py", port)
    assert "failed: " in output
    assert "welcome" not in output
    assert heard(server) == "refused: ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE"


@pytest.mark.parametrize(
    ("name", "cipher"),
    [
        ("other.localhost", "TLS_CHACHA20_POLY1305_SHA256"),
        ("a.small.localhost", "TLS_AES_128_GCM_SHA256"),
        ("localhost", "TLS_AES_256_GCM_SHA384"),
    ],
)
def test_names(directory: Path, start: Start, name: str, cipher: str) -> None:
    port, server = start("names_server.py")
    assert f"TLSv1.3 {cipher}" in client(directory, "echo_client.py", port, name)
    assert heard(server) == f"asked for {name} got {cipher}"


def test_starttls(directory: Path, start: Start) -> None:
    port, _ = start("starttls_server.py")
    output = client(directory, "starttls_client.py", port)
    assert output.splitlines() == ["upgraded to TLSv1.3", "secure: hello, in private"]


def test_twisted_endpoints(directory: Path, start: Start) -> None:
    port, server = start("twisted_endpoint_server.py")
    output = client(directory, "twisted_endpoint_client.py", port)
    assert output == "received HELLO over capitals\n"
    assert heard(server) == "TLSv1.3 b'capitals'"


def test_ticket_keys(directory: Path, start: Start) -> None:
    ports = [start("ticket_keys_server.py")[0] for _ in range(2)]
    output = client(directory, "resuming_client.py", *ports, *ports)
    assert output.splitlines() == ["resumed: False", *["resumed: True"] * 3]
    assert (directory / "ticket.keys").stat().st_mode & 0o777 == 0o600


def test_session_store(directory: Path, start: Start) -> None:
    port, server = start("session_store_server.py")
    output = client(directory, "resuming_client.py", port, port)
    assert output.splitlines() == ["resumed: False", "resumed: True"]
    said = [heard(server) for _ in range(3)]
    assert said[0].startswith("keeps a session for 600 s, sealed in ")
    assert said[2] == "is asked for a session, and has it"


def test_every_example_is_run_here_and_is_short() -> None:
    source = Path(__file__).read_text()
    for path in EXAMPLES.glob("*.py"):
        assert f'"{path.name}"' in source
        assert len(path.read_text().splitlines()) <= 60
