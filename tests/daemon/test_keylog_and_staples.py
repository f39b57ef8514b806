"""The key log and OCSP staples, as the daemon has them."""

from __future__ import annotations

import os
import socket
import ssl
import time
from pathlib import Path

import pytest

from tests.daemon.running import Twistd, run
from tests.daemon.test_listeners import PAIR, dial, exchange
from tests.stapling import Authority, derOf
from tests.support import Pki, requireTool, runTool


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


@pytest.mark.parametrize("way", ["", "tcp:"])
def test_secrets_of_connections_that_it_makes_are_logged_too(way: str, directory: Path) -> None:
    with Twistd("nodetls", *PAIR, cwd=directory) as far:
        place = f"{way}localhost:{far.ports()[0]}"
        arguments = ["--port=0", f"--originate={place}", "--servername=localhost", "--ca=ca.pem"]
        with Twistd("nodetls", *arguments, "--tls-keylog=keys", cwd=directory) as near:
            with socket.create_connection(("127.0.0.1", near.ports()[0]), 20) as plain:
                assert exchange(plain) == b"a question"
    lines = (directory / "keys").read_text().splitlines()
    assert any(line.startswith("CLIENT_TRAFFIC_SECRET_0 ") for line in lines)


def test_a_key_log_that_others_can_read_is_refused(directory: Path) -> None:
    (directory / "keys").touch(0o644)
    os.chmod(directory / "keys", 0o644)
    status, output = run("nodetls", *PAIR, "--tls-keylog=keys", cwd=directory)
    assert status == 1
    assert "twistd nodetls: --tls-keylog: keys: no secrets are written there: " in output


def test_a_full_disk_stops_no_connection(directory: Path, trusting: ssl.SSLContext) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    with Twistd("--logfile=/dev/full", "nodetls", *PAIR[1:], "--path=socket", cwd=directory):
        for _ in range(2):
            for _ in range(400):
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
