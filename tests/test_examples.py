"""Each example runs, servers and clients against each other, and prints what it promises."""

from __future__ import annotations

import hashlib
import os
import smtplib
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from tests.sessions.services import memcached, redis
from tests.support import PROJECT, runTool, unusedPort

EXAMPLES = PROJECT / "examples"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1"}
Start = Callable[..., tuple[str, "subprocess.Popen[bytes]"]]


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
    authority.private_key_pem.write_to_path(path / "authority.key")
    return path


@pytest.fixture
def staple(directory: Path) -> Iterator[Path]:
    """A good response about the server's certificate, where the server looks for one."""
    key = (directory / "authority.key").read_bytes()
    issuer = x509.load_pem_x509_certificate((directory / "client.pem").read_bytes())
    leaf = x509.load_pem_x509_certificate((directory / "server.pem").read_bytes())
    now = datetime.now(UTC)
    response = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=leaf,
            issuer=issuer,
            algorithm=hashes.SHA1(),
            cert_status=ocsp.OCSPCertStatus.GOOD,
            this_update=now - timedelta(hours=1),
            next_update=now + timedelta(days=1),
            revocation_time=None,
            revocation_reason=None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, issuer)
        .sign(serialization.load_pem_private_key(key, None), hashes.SHA256())
    )
    path = directory / "staple.der"
    path.write_bytes(response.public_bytes(serialization.Encoding.DER))
    yield path
    path.unlink()


@pytest.fixture
def start(directory: Path) -> Iterator[Start]:
    """Start an example that serves; gives its port and its process."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(name: str, *arguments: str, port: str = "0") -> tuple[str, subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / name), port, *arguments],
            cwd=directory,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        running.append(process)
        assert process.stdout is not None
        word, _, listening = process.stdout.readline().decode().partition(" ")
        assert word == "port"
        return listening.strip(), process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def runExample(directory: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run an example to its end."""
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    return runTool(command, cwd=directory, env=ENVIRONMENT)


def client(directory: Path, name: str, *arguments: str) -> str:
    """Run an example to its end, which is a good one; what it printed."""
    done = runExample(directory, name, *arguments)
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


def test_smtp(directory: Path, start: Start) -> None:
    port, server = start("smtp_server.py")
    output = client(directory, "smtp_client.py", port)
    assert output == "sent to 1 over TLSv1.3, authorized: True\n"
    said = [heard(server) for _ in range(4)]
    assert said == ["mail over TLSv1.3 TLSSocket", "Subject: greetings", "", "not for everyone"]


def test_smtp_takes_no_mail_in_the_clear(directory: Path, start: Start) -> None:
    port, _ = start("smtp_server.py")
    with smtplib.SMTP("localhost", int(port), timeout=20) as sender:
        sender.ehlo()
        assert sender.mail("me@example.test")[0] == 530
        # And Python's own client goes over to TLS as well.
        sender.starttls(context=ssl.create_default_context(cafile=str(directory / "client.pem")))
        sender.ehlo()
        assert sender.mail("me@example.test")[0] == 250


def test_a_proxy(directory: Path, start: Start) -> None:
    proxy, _ = start("connect_proxy.py")
    port, server = start("echo_server.py")
    output = client(directory, "connect_client.py", proxy, port)
    assert output == "received hello over TLSv1.3\n"
    assert heard(server) == "from 127.0.0.1 over TLSv1.3"
    refused = client(directory, "connect_client.py", proxy, str(unusedPort()))
    assert refused == "refused: HTTP/1.1 502 Bad Gateway\n"


def test_tls_in_tls_in_tls(directory: Path, start: Start) -> None:
    port, _ = start("nested_server.py")
    output = client(directory, "nested_client.py", port)
    assert output.splitlines() == ["TLSv1.3 True True", "received hello"]


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


def test_a_ring_of_ticket_keys(directory: Path, start: Start) -> None:
    ports = [start("shared_sessions_server.py", "ticketKeyRing=file:ticket.ring")[0] for _ in "ab"]
    output = client(directory, "resuming_client.py", *ports, *ports)
    assert output.splitlines() == ["resumed: False", *["resumed: True"] * 3]
    assert (directory / "ticket.ring").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["redis", "memcached"])
def test_a_shared_session_store(directory: Path, start: Start, kind: str) -> None:
    if kind == "redis":
        pytest.importorskip("txredisapi")
    key = directory / "seal.key"
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)
    with redis(directory) if kind == "redis" else memcached() as service:
        where = f"sessionStore={kind}://127.0.0.1:{service.port}?keyFile=seal.key"
        ports = [start("shared_sessions_server.py", where)[0] for _ in "ab"]
        output = client(directory, "resuming_client.py", *ports, *ports)
        assert output.splitlines() == ["resumed: False", *["resumed: True"] * 3]


def test_a_client_with_a_cache(directory: Path, start: Start) -> None:
    port, _ = start("session_store_server.py")
    output = client(directory, "caching_client.py", port)
    assert output.splitlines() == ["resumed: False", "resumed: True", "resumed: True"]


def test_session_store(directory: Path, start: Start) -> None:
    port, server = start("session_store_server.py")
    output = client(directory, "resuming_client.py", port, port)
    assert output.splitlines() == ["resumed: False", "resumed: True"]
    said = [heard(server) for _ in range(3)]
    assert said[0].startswith("keeps a session for 600 s, sealed in ")
    assert said[2] == "is asked for a session, and has it"


@pytest.mark.parametrize(
    ("offered", "chosen", "answer"),
    [
        (("whisper", "shout"), "shout", "HELLO"),
        (("whisper",), "whisper", "hello"),
    ],
)
def test_alpn(
    directory: Path, start: Start, offered: tuple[str, ...], chosen: str, answer: str
) -> None:
    port, server = start("alpn_server.py")
    output = client(directory, "alpn_client.py", port, *offered)
    assert output.splitlines() == [f"settled on {chosen}", f"received {answer}"]
    assert heard(server) == f"localhost offers {' '.join(offered)}"


def test_alpn_refuses_whoever_offers_nothing_of_use(directory: Path, start: Start) -> None:
    port, _ = start("alpn_server.py")
    output = client(directory, "alpn_client.py", port, "mumble")
    assert "NO_APPLICATION_PROTOCOL" in output


def test_psk(directory: Path, start: Start) -> None:
    port, server = start("psk_server.py")
    output = client(directory, "psk_client.py", port)
    assert output.splitlines() == ["authorized: True", "received hello"]
    assert heard(server) == "asked for the key of me"
    assert "failed: " in client(directory, "psk_client.py", port, "somebody")


def test_half_close(directory: Path, start: Start) -> None:
    port, _ = start("half_close_server.py")
    digest = hashlib.sha256(b"hello\n").hexdigest()
    assert client(directory, "echo_client.py", port).endswith(f"received SHA-256 {digest}\n")


def test_stapling(directory: Path, start: Start, staple: Path) -> None:
    port, _ = start("stapling_server.py")
    output = client(directory, "stapling_client.py", port)
    assert output.splitlines() == ["staple: GOOD", "received hello"]


def test_stapling_client_goes_no_further_without_a_staple(directory: Path, start: Start) -> None:
    port, _ = start("echo_server.py")
    assert client(directory, "stapling_client.py", port).splitlines() == ["staple: none"]


def test_await(directory: Path, start: Start) -> None:
    port, _ = start("echo_server.py")
    assert client(directory, "awaiting_client.py", port).endswith("received hello\n")


def test_keylog(directory: Path, start: Start) -> None:
    port, _ = start("echo_server.py")
    done = runExample(directory, "keylog_client.py", port)
    assert done.stdout.decode() == "received hello\n"
    log = directory / "keys.log"
    assert log.read_text().count("CLIENT_TRAFFIC_SECRET_0") == 1
    assert log.stat().st_mode & 0o777 == 0o600


def test_errors(directory: Path, start: Start) -> None:
    port, _ = start("echo_server.py")
    output = dict(
        line.split(": ") for line in client(directory, "errors_client.py", port).splitlines()
    )
    assert output["as it should be"] == "secure"
    assert output["another name"] == "ERR_TLS_CERT_ALTNAME_INVALID, peer, handshaking"
    assert output["an authority nobody knows"].endswith(", peer, handshaking")
    assert output["no cipher in common"].endswith("HANDSHAKE_FAILURE, peer, handshaking")
    assert output["nobody there"] == "ECONNREFUSED, peer, connecting"
    assert output["wrong options"].endswith(", configuration, configuring")


def test_saved_session(directory: Path, start: Start) -> None:
    port, _ = start("session_store_server.py")
    (directory / "client.session").unlink(missing_ok=True)
    said = [client(directory, "saved_session_client.py", port) for _ in range(2)]
    assert said == ["resumed: False\n", "resumed: True\n"]
    assert (directory / "client.session").stat().st_mode & 0o777 == 0o600


def test_web(directory: Path, start: Start) -> None:
    port, _ = start("web_server.py")
    done = runExample(directory, "https_client.py", port)
    # Twisted warns of its own client's transport on standard error.
    assert done.stdout.decode() == "200 hello over http/1.1 and TLSv1.3\n"


def test_amp(directory: Path, start: Start) -> None:
    port, _ = start("amp_server.py")
    assert client(directory, "amp_client.py", port) == "received 42 over TLSv1.3\n"


def test_terminating(directory: Path, start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as backend:
        plain = backend.getsockname()[1]
        port, _ = start("terminating_server.py", str(plain))

        def shout() -> None:
            connection, _ = backend.accept()
            with connection:
                while data := connection.recv(100):
                    connection.sendall(data.upper())

        answering = threading.Thread(target=shout)
        answering.start()
        assert client(directory, "echo_client.py", port).endswith("received HELLO\n")
        answering.join(10)


def test_workers(directory: Path, start: Start) -> None:
    (directory / "ticket.keys").unlink(missing_ok=True)
    (directory / "ticket.keys").write_bytes(os.urandom(48))
    port = str(unusedPort())
    workers = {start("workers_server.py", port=port)[1].pid for _ in range(2)}
    trusting = ssl.create_default_context(cafile=str(directory / "client.pem"))
    told: set[int] = set()
    # The kernel chooses by the client's port: soon both have been asked.
    for _ in range(200):
        with socket.create_connection(("127.0.0.1", int(port)), 10) as plain:
            with trusting.wrap_socket(plain, server_hostname="localhost") as secure:
                told.add(int(secure.recv(100).split()[1]))
        if told == workers:
            break
    assert told == workers


def test_unix_sockets(directory: Path, start: Start) -> None:
    start("unix_socket_server.py", port="app.sock")
    output = client(directory, "unix_socket_client.py", "app.sock")
    assert output.splitlines() == ["received hello", "authorized: True"]


def test_memory(directory: Path) -> None:
    done = runExample(directory, "memory_test.py")
    assert done.returncode == 0
    assert b"OK" in done.stderr


def test_every_example_is_run_here_and_is_short() -> None:
    source = Path(__file__).read_text()
    readme = (EXAMPLES / "README.md").read_text()
    for path in EXAMPLES.glob("*.py"):
        assert f'"{path.name}"' in source
        assert f"`{path.name}`" in readme
        assert len(path.read_text().splitlines()) < 60
