"""The daemon as its users meet it: a process, its output, its exit status, and TLS clients."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.running import TWISTD, Twistd, run
from tests.support import PROJECT, Pki, makePki, requireTool, runTool, unusedPort

CERTIFIED = ["--port=0", "--key=key.pem", "--cert=cert.pem"]
LISTENING = r"listening on 127\.0\.0\.1:(\d+)"


@pytest.fixture(scope="module")
def files(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("daemon")
    (directory / "key.pem").write_bytes(pki.server.key)
    (directory / "cert.pem").write_bytes(pki.server.cert)
    (directory / "ca.pem").write_bytes(pki.ca)
    (directory / "other.pem").write_bytes(makePki().server.key)
    return directory


@pytest.fixture(scope="module")
def echo(files: Path) -> Any:
    """An echo with the test's certificate, for all tests here; C{number} is its port."""
    with Twistd("nodetls", *CERTIFIED, cwd=files) as daemon:
        daemon.number = int(daemon.waitFor(LISTENING)[1])  # type: ignore[attr-defined]
        yield daemon


def dial(number: int, pki: Pki, **settings: Any) -> ssl.SSLSocket:
    context = ssl.create_default_context(cadata=pki.ca.decode())
    for name, value in settings.items():
        setattr(context, name, value)
    plain = socket.create_connection(("127.0.0.1", number), 20)
    return context.wrap_socket(plain, server_hostname="localhost")


def exchange(client: ssl.SSLSocket, data: bytes) -> bytes:
    """What comes back for this."""
    client.sendall(data)
    received = b""
    while len(received) < len(data):
        piece = client.recv(65536)
        assert piece
        received += piece
    return received


def sendAndRead(client: ssl.SSLSocket, data: bytes) -> bytes:
    """The first thing that comes back, or nothing if the connection breaks."""
    try:
        client.sendall(data)
        return client.recv(65536)
    except OSError:
        return b""


def test_without_a_switch_it_says_how_to_try_it_and_that_works(tmp_path: Path) -> None:
    openssl = requireTool("openssl")
    with Twistd("nodetls", "--port=0", cwd=tmp_path) as daemon:
        number = daemon.waitFor(LISTENING)[1]
        said = daemon.waitFor(
            r"SHA-256 fingerprint ((?:[0-9A-F]{2}:){31}[0-9A-F]{2}).*try it: (.+)"
        )
        assert said[2] == f"openssl s_client -connect 127.0.0.1:{number}"
        with subprocess.Popen(
            [openssl, *said[2].split()[1:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as client:
            assert client.stdin is not None
            assert client.stdout is not None
            client.stdin.write(b"a line\n")
            client.stdin.flush()
            shown = b""
            while not shown.endswith(b"\na line\n"):
                shown += client.stdout.readline()
            client.stdin.close()
            assert client.wait(20) == 0
        pem = re.search(b"-----BEGIN.*END CERTIFICATE-----", shown, re.DOTALL)
        assert pem is not None
        der = ssl.PEM_cert_to_DER_cert(pem[0].decode())
        assert said[1].replace(":", "").lower() == hashlib.sha256(der).hexdigest()


def test_it_echoes_and_answers_a_clean_end_with_one(echo: Any, pki: Pki) -> None:
    with dial(echo.number, pki) as client:
        assert exchange(client, b"x" * 200_000) == b"x" * 200_000
        # Waits for the peer's close_notify.
        client.unwrap()


def test_it_ends_on_a_signal_and_says_goodbye_first(files: Path, pki: Pki) -> None:
    with Twistd("nodetls", *CERTIFIED, "--drainTimeout=0", cwd=files) as daemon:
        number = int(daemon.waitFor(LISTENING)[1])
        client = dial(number, pki)
        assert exchange(client, b"one") == b"one"
        ended: list[bytes] = []
        # With suppress_ragged_eofs switched off a truncated end would raise.
        client.suppress_ragged_eofs = False
        reader = threading.Thread(target=lambda: ended.append(client.recv(1)))
        reader.start()
        assert daemon.end() == -signal.SIGTERM
        reader.join(10)
        assert ended == [b""]
        client.close()


def test_old_versions_are_refused(echo: Any, pki: Pki) -> None:
    openssl = requireTool("openssl")
    before = len(echo.output)
    connect = ["-connect", f"127.0.0.1:{echo.number}"]
    old = runTool(
        [openssl, "s_client", *connect, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], timeout=20
    )
    assert b"protocol version" in old.stderr
    echo.waitFor('reason="handshake failed" code=ERR_SSL_', before)
    with dial(echo.number, pki) as client:
        assert exchange(client, b"fine") == b"fine"


def test_a_client_cannot_renegotiate(echo: Any) -> None:
    openssl = requireTool("openssl")
    command = [openssl, "s_client", "-connect", f"127.0.0.1:{echo.number}", "-tls1_2"]
    done = runTool(command, stdin=b"R\n", timeout=20)
    assert b"RENEGOTIATING" in done.stdout + done.stderr
    assert b"no renegotiation" in done.stderr


def garbage(plain: socket.socket) -> None:
    plain.sendall(b"\x16\x03\x01\x00\x05hello" + bytes(range(256)))


def http(plain: socket.socket) -> None:
    plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")


def reset(plain: socket.socket) -> None:
    plain.sendall(b"\x16\x03\x01")
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    plain.close()


def nothing(plain: socket.socket) -> None:
    plain.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("what", [garbage, http, reset, nothing])
def test_it_goes_on_serving_after(what: Any, echo: Any, pki: Pki) -> None:
    start = len(echo.output)
    with dial(echo.number, pki) as before:
        with socket.create_connection(("127.0.0.1", echo.number), 10) as plain:
            what(plain)
            if plain.fileno() != -1:
                with contextlib.suppress(ConnectionResetError):
                    while plain.recv(1000):  # an alert, perhaps; then the end
                        pass
        echo.waitFor(r'peer=127\.0\.0\.1:\d+ .*reason="handshake failed" code=\w+', start)
        assert exchange(before, b"still") == b"still"
    with dial(echo.number, pki) as after:
        assert exchange(after, b"new") == b"new"
    assert "Traceback" not in echo.output[start:]


def test_a_peer_that_hangs_in_the_handshake_is_dropped(files: Path) -> None:
    with Twistd("nodetls", *CERTIFIED, "--handshakeTimeout=300", cwd=files) as daemon:
        number = int(daemon.waitFor(LISTENING)[1])
        with socket.create_connection(("127.0.0.1", number), 10) as plain:
            with contextlib.suppress(ConnectionResetError):  # it was already gone
                plain.sendall(b"\x16\x03\x01")
                assert plain.recv(100) == b""
        daemon.waitFor("code=ERR_TLS_HANDSHAKE_TIMEOUT")


@pytest.fixture(scope="module")
def exclusive(files: Path, pki: Pki) -> Any:
    """An echo for those whom ca.pem vouches for; C{number} is its port."""
    (files / "client.pem").write_bytes(pki.client.cert + pki.client.key)
    with Twistd("nodetls", *CERTIFIED, "--ca=ca.pem", cwd=files) as daemon:
        daemon.number = int(daemon.waitFor(LISTENING)[1])  # type: ignore[attr-defined]
        yield daemon


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_of_clients_with_certificates_resume(
    version: ssl.TLSVersion, exclusive: Any, files: Path, pki: Pki
) -> None:
    context = ssl.create_default_context(cadata=pki.ca.decode())
    context.load_cert_chain(files / "client.pem")
    context.maximum_version = version
    session = None
    for resumed in (False, True):
        with socket.create_connection(("127.0.0.1", exclusive.number), 20) as plain:
            with context.wrap_socket(plain, server_hostname="localhost", session=session) as client:
                assert exchange(client, b"known") == b"known"
                assert client.session_reused is resumed
                session = client.session


def test_ca_lets_in_whom_it_vouches_for_and_no_one_else(
    exclusive: Any, files: Path, pki: Pki
) -> None:
    context = ssl.create_default_context(cadata=pki.ca.decode())
    context.load_cert_chain(files / "client.pem")
    with socket.create_connection(("127.0.0.1", exclusive.number), 20) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as client:
            assert exchange(client, b"known") == b"known"
    with dial(exclusive.number, pki) as stranger:
        assert sendAndRead(stranger, b"unknown") == b""
    exclusive.waitFor("code=ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--key=other.pem", "--cert=cert.pem"], "--key: .*key values mismatch"),
        (["--interface=192.0.2.1"], "--interface: listen EADDRNOTAVAIL"),
    ],
)
def test_what_is_wrong_ends_it_with_one_line(arguments: list[str], line: str, files: Path) -> None:
    status, output = run("nodetls", "--port=0", *arguments, cwd=files)
    assert status == 1
    assert re.search(f"twistd nodetls: {line}", output.splitlines()[-1])
    assert "Traceback" not in output


def test_a_port_in_use_ends_it_with_one_line(echo: Any, files: Path) -> None:
    status, output = run("nodetls", f"--port={echo.number}", cwd=files)
    assert status == 1
    line = "twistd nodetls: --port: listen EADDRINUSE: address already in use"
    assert output.splitlines()[-1].endswith(f"{line} 127.0.0.1:{echo.number}")
    assert "Traceback" not in output


def test_what_else_cannot_be_had_leaves_nothing_behind_either(echo: Any, files: Path) -> None:
    arguments = ["--path=socket", f"--metrics=127.0.0.1:{echo.number}", "--echo=yes"]
    status, output = run("nodetls", *arguments, cwd=files)
    assert status == 1
    assert re.search("twistd nodetls: --metrics: .*in use", output.splitlines()[-1])
    assert not (files / "socket").exists()


def test_in_the_background_the_line_reaches_whoever_started_it(echo: Any, files: Path) -> None:
    command = [*TWISTD, "--pidfile=pid", "--logfile=log", "nodetls", f"--port={echo.number}"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = runTool(command, cwd=files, env=environment)
    assert done.returncode == 1
    assert b"twistd nodetls: --port: listen EADDRINUSE" in done.stdout + done.stderr
    assert not (files / "pid").exists()


def test_help_needs_no_reactor_and_lists_the_switches(tmp_path: Path) -> None:
    status, output = run("nodetls", "--help", cwd=tmp_path)
    assert status == 0
    assert "--proxy=" in output
    assert "--handshakeTimeout=" in output


def test_another_reactor_can_be_chosen(tmp_path: Path) -> None:
    with Twistd("--reactor=asyncio", "nodetls", "--port=0", cwd=tmp_path) as daemon:
        daemon.waitFor("AsyncioSelectorReactor")
        daemon.waitFor(LISTENING)


@pytest.fixture(scope="module")
def backend() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        yield listener


@pytest.fixture(scope="module")
def proxy(files: Path, backend: Any) -> Any:
    """The daemon in front of C{backend}, for all tests here; C{number} is its port."""
    target = f"--proxy=tcp:127.0.0.1:{backend.getsockname()[1]}"
    with Twistd("nodetls", *CERTIFIED, target, cwd=files) as daemon:
        daemon.number = int(daemon.waitFor(LISTENING)[1])  # type: ignore[attr-defined]
        yield daemon


def readAll(sock: Any) -> bytes:
    pieces = []
    while piece := sock.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def test_the_proxy_passes_on_each_sides_end(proxy: Any, backend: Any, pki: Pki) -> None:
    with dial(proxy.number, pki) as client:
        client.sendall(b"question")
        behind, _ = backend.accept()
        with behind:
            behind.settimeout(20)
            assert behind.recv(100) == b"question"
            closing: list[Any] = []
            # Sends a close_notify, and waits for the other one.
            closer = threading.Thread(target=lambda: closing.append(client.unwrap()))
            closer.start()
            assert readAll(behind) == b""
            behind.shutdown(socket.SHUT_WR)
            closer.join(10)
            assert len(closing) == 1


def test_the_backends_end_becomes_a_close_notify(proxy: Any, backend: Any, pki: Pki) -> None:
    with dial(proxy.number, pki) as client:
        client.suppress_ragged_eofs = False
        behind, _ = backend.accept()
        with behind:
            behind.sendall(b"answer")
            behind.shutdown(socket.SHUT_WR)
            assert readAll(client) == b"answer"
            client.sendall(b"and yet")
            behind.settimeout(20)
            assert behind.recv(100) == b"and yet"


def test_a_truncated_client_is_cut_off_at_the_backend(proxy: Any, backend: Any, pki: Pki) -> None:
    with dial(proxy.number, pki) as client:
        client.sendall(b"half a requ")
        behind, _ = backend.accept()
        with behind:
            behind.settimeout(20)
            assert behind.recv(100) == b"half a requ"
            client.shutdown(socket.SHUT_RDWR)  # below the TLS: no close_notify
            with pytest.raises(ConnectionResetError):
                readAll(behind)


def test_a_backend_that_breaks_cuts_off_the_client(proxy: Any, backend: Any, pki: Pki) -> None:
    with dial(proxy.number, pki) as client:
        client.suppress_ragged_eofs = False
        behind, _ = backend.accept()
        behind.sendall(b"half an ans")
        assert client.recv(100) == b"half an ans"
        behind.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        behind.close()
        with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
            client.recv(100)


def test_without_a_backend_the_client_is_cut_off(files: Path, pki: Pki) -> None:
    with Twistd("nodetls", *CERTIFIED, f"--proxy=tcp:127.0.0.1:{unusedPort()}", cwd=files) as proxy:
        with dial(int(proxy.waitFor(LISTENING)[1]), pki) as client:
            client.suppress_ragged_eofs = False
            with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
                client.recv(100)
        proxy.waitFor('reason="no backend" .*refused')
