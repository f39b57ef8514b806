"""The key log and OCSP staples, as the daemon has them."""

from __future__ import annotations

import os
import re
import resource
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography import x509

from tests.daemon.running import Twistd, run
from tests.daemon.test_listeners import PAIR, dial, exchange
from tests.stapling import Authority, derOf
from tests.support import Pki, requireTool, runTool, unusedPort


def test_secrets_are_logged_where_that_was_asked_for(
    directory: Path, trusting: ssl.SSLContext
) -> None:
    with Twistd("nodetls", *PAIR, "--tls-keylog=keys", cwd=directory) as daemon:
        daemon.waitFor("KEY LOG: the secrets of all TLS connections are written to keys")
        with dial(daemon.ports()[0], trusting) as client:
            assert exchange(client) == b"a question"
    lines = (directory / "keys").read_text().splitlines()
    assert any(line.startswith("CLIENT_TRAFFIC_SECRET_0 ") for line in lines)
    assert (directory / "keys").stat().st_mode & 0o777 == 0o600


def test_secrets_of_connections_that_it_makes_are_logged_too(directory: Path) -> None:
    with Twistd("nodetls", *PAIR, cwd=directory) as far:
        (port,) = far.ports()
        (directory / "nodetls.toml").write_text(
            'servername = "localhost"\nca = "ca.pem"\nport = 0\n'
            f'[[listener]]\nname = "host"\noriginate = "localhost:{port}"\n'
            f'[[listener]]\nname = "endpoint"\noriginate = "tcp:localhost:{port}"\n'
        )
        arguments = ["nodetls", "--config=nodetls.toml", "--tls-keylog=keys"]
        with Twistd(*arguments, cwd=directory) as near:
            for number in near.ports(2):
                with socket.create_connection(("127.0.0.1", number), 20) as plain:
                    assert exchange(plain) == b"a question"
    lines = (directory / "keys").read_text().splitlines()
    assert sum(line.startswith("CLIENT_TRAFFIC_SECRET_0 ") for line in lines) == 2


def test_a_key_log_that_others_can_read_is_refused(directory: Path) -> None:
    (directory / "keys").touch(0o644)
    os.chmod(directory / "keys", 0o644)
    status, output = run("nodetls", *PAIR, "--tls-keylog=keys", cwd=directory)
    assert status == 1
    assert "twistd nodetls: --tls-keylog: keys: no secrets are written there: " in output


@pytest.mark.parametrize("workers", [0, 1])
def test_a_key_log_that_has_no_room_costs_its_lines_and_no_connection(
    workers: int, directory: Path, trusting: ssl.SSLContext
) -> None:
    """As on a disk that is full, and then is not: no file of the process may grow any more."""
    arguments = ["nodetls", *PAIR, "--tls-keylog=keys", f"--workers={workers}"]
    with Twistd(*arguments, cwd=directory) as daemon:
        (port,) = daemon.ports()
        pid = daemon.process.pid
        if workers:
            pid = int(daemon.waitFor(r"worker \d+ serves, pid (\d+)")[1])
        _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)

        def serve() -> None:
            with dial(port, trusting) as client:
                assert exchange(client) == b"a question"

        serve()
        # Room for a line and a half.
        line = len((directory / "keys").read_bytes().splitlines(keepends=True)[0])
        room = (directory / "keys").stat().st_size + line * 3 // 2
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (room, most))
        for _ in range(3):
            serve()
        daemon.waitFor("The key log keys cannot be written: ")
        daemon.waitForAll("connection .*reason=", 4)
        assert daemon.output.count("cannot be written") == 1
        assert (directory / "keys").stat().st_size == room
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))
        serve()
        lost = int(daemon.waitFor(r"keys is written again; (\d+) lines are lost")[1])
        assert lost > 10
    lines = (directory / "keys").read_text().splitlines()
    spoilt = [
        line for line in lines if not re.fullmatch(r"[A-Z0-9_]+ [0-9a-f]{64} [0-9a-f]+", line)
    ]
    # The half of a line for which there was room, if it shows, stands by itself.
    assert len(spoilt) <= 1
    firsts = [line for line in lines if line.startswith("CLIENT_HANDSHAKE_TRAFFIC_SECRET ")]
    assert len({line.split()[1] for line in firsts}) in (2, 3)


def test_a_full_disk_stops_no_connection(directory: Path, trusting: ssl.SSLContext) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    with Twistd("--logfile=/dev/full", "nodetls", *PAIR[1:], "--path=socket", cwd=directory):
        for _ in range(2):
            while True:
                plain = socket.socket(socket.AF_UNIX)
                plain.settimeout(20)
                try:
                    plain.connect(str(directory / "socket"))
                    break
                except OSError:
                    plain.close()
                    time.sleep(0.025)
            with trusting.wrap_socket(plain, server_hostname="localhost") as client:
                assert exchange(client) == b"a question"


def test_staples_out_of_files_are_shown(directory: Path, pki: Pki) -> None:
    openssl = requireTool("openssl")
    authority = Authority(pki)
    cert, key = authority.issue()
    (directory / "cert.pem").write_bytes(cert + pki.ca)
    (directory / "key.pem").write_bytes(key)
    (directory / "staple.der").write_bytes(authority.response(derOf(cert), now=time.time()))
    with Twistd("nodetls", *PAIR, "--staples=staple.der", cwd=directory) as daemon:
        address = f"127.0.0.1:{daemon.ports()[0]}"
        shown = runTool([openssl, "s_client", "-connect", address, "-status"], timeout=20).stdout
        assert b"OCSP Response Status: successful" in shown
        assert b"Cert Status: good" in shown


class Responder:
    """
    C{openssl ocsp}, on a port that it has each time that it is started.

    @ivar port: where it answers.
    """

    def __init__(self, authority: Authority, pki: Pki, directory: Path) -> None:
        self._directory = directory
        self.port = unusedPort()
        (directory / "ca.pem").write_bytes(pki.ca)
        (directory / "ca.key").write_bytes(pki.authority.private_key_pem.bytes())
        self.cert, self.key = authority.issue(f"http://127.0.0.1:{self.port}/")
        serial = f"{x509.load_pem_x509_certificate(self.cert).serial_number:X}"
        serial = "0" * (len(serial) % 2) + serial
        (directory / "index.txt").write_text(f"V\t490101000000Z\t\t{serial}\tunknown\t/CN=leaf\n")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within, it answers."""
        command = [requireTool("openssl"), "ocsp", "-port", str(self.port), "-index", "index.txt"]
        command += ["-CA", "ca.pem", "-rsigner", "ca.pem", "-rkey", "ca.key", "-nmin", "5"]
        with subprocess.Popen(
            command, cwd=self._directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            try:
                assert process.stdout is not None
                said = b""
                while b"waiting for OCSP client connections" not in said:
                    said = process.stdout.readline()
                    assert said
                yield
            finally:
                process.kill()
                process.communicate()


def shown(port: int, *more: str) -> bytes:
    """What C{openssl s_client} sees, of the staple above all."""
    command = [requireTool("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-status"]
    return runTool([*command, *more], timeout=20).stdout


GOOD = b"OCSP Response Status: successful"
NONE = b"OCSP response: no response sent"


def test_staples_are_fetched_when_the_authority_answers_and_cost_little_while_it_does_not(
    directory: Path, pki: Pki
) -> None:
    responder = Responder(Authority(pki), pki, directory)
    (directory / "cert.pem").write_bytes(responder.cert + pki.ca)
    (directory / "key.pem").write_bytes(responder.key)
    arguments = ["nodetls", *PAIR, "--staples=fetch", "--staplesPrivate=yes"]
    hurry = "import txnodetls.ocsp.fetching as fetching; fetching.FIRST_RETRY = 0.1"
    with Twistd(*arguments, cwd=directory, prelude=hurry) as daemon:
        (port,) = daemon.ports()
        with socket.create_server(("127.0.0.1", responder.port)) as silent:
            # Nobody answers the daemon, which answers its client all the same.
            assert NONE in shown(port)
            # It goes on asking by itself.
            for _ in range(3):
                silent.settimeout(20)
                silent.accept()[0].close()
        daemon.waitFor("There is no new OCSP staple for certificate")
        with responder.running():
            daemon.waitFor("The OCSP responder of .* answers again")
            for version in ("-tls1_2", "-tls1_3"):
                seen = shown(port, version)
                assert GOOD in seen
                assert b"Cert Status: good" in seen
        # It is gone once more; what it has said holds.
        assert GOOD in shown(port)
    # Why it asks in vain is said once, until that is something else: a connection that is closed,
    # or reset, by the one who does not answer, and one that is refused where nobody is.
    before, _, _ = daemon.output.partition("answers again")
    reasons = re.findall("There is no new OCSP staple for certificate .*?: (.*)", before)
    assert reasons
    assert all(one != next_ for one, next_ in pairwise(reasons)), reasons


def test_a_responder_with_a_private_address_is_not_asked_unless_that_was_said(
    directory: Path, pki: Pki
) -> None:
    responder = Responder(Authority(pki), pki, directory)
    (directory / "cert.pem").write_bytes(responder.cert + pki.ca)
    (directory / "key.pem").write_bytes(responder.key)
    with Twistd("nodetls", *PAIR, "--staples=fetch", cwd=directory) as daemon, responder.running():
        assert NONE in shown(daemon.ports()[0])
        daemon.waitFor("There is no new OCSP staple for certificate .*")
