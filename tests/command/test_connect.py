"""`python -m txnodetls connect`, as a program, at servers of ours and of others."""

from __future__ import annotations

import argparse
import datetime
import io
import os
import pty
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet import reactor

from tests.interop.peers import NodePeer, Peer, opensslPeer
from tests.loopback import Loopback
from tests.stapling import Authority, derOf
from tests.support import PROJECT, Credentials, Pki, eventually, runTool, unusedPort
from txnodetls.__main__ import main
from txnodetls.command.connect import addArguments, connectOptions, report

VERSIONS = ("TLSv1.2", "TLSv1.3")
both = pytest.mark.parametrize("version", VERSIONS)
COMMAND = [sys.executable, "-m", "txnodetls", "connect"]


@pytest_twisted.async_yield_fixture
async def loopback(pki: Pki) -> Any:
    async with Loopback(pki) as opened:
        yield opened


@pytest.fixture
def files(pki: Pki, tmp_path: Path) -> Path:
    """A directory with the authority and the client's credentials."""
    (tmp_path / "ca.pem").write_bytes(pki.ca)
    (tmp_path / "client.pem").write_bytes(pki.client.cert)
    (tmp_path / "client.key").write_bytes(pki.client.key)
    return tmp_path


async def told(where: str, *arguments: object) -> tuple[int, str]:
    """Exit status and output of the command, in this process."""
    parser = argparse.ArgumentParser()
    addArguments(parser)
    given = parser.parse_args([where, *map(str, arguments)])
    output = io.StringIO()
    status = await report(reactor, connectOptions(given, parser), given, output)
    return status, output.getvalue()


async def ran(where: str, *arguments: object) -> tuple[int, str]:
    """The same, as a program."""
    async with Peer([*COMMAND, where, *map(str, arguments)], PROJECT) as command:
        status = await command.ended()
    return status, command.output.decode()


def at(server: Any, host: str = "localhost") -> str:
    return f"{host}:{server.address()['port']}"


def row(text: str, label: str) -> str:
    """The value of a row of the report."""
    (found,) = (line for line in text.split("\n") if line.startswith(f"{label:<10} "))
    return found[11:]


# -- the verdict


@both
@pytest_twisted.ensureDeferred
async def test_a_server_that_is_trusted(version: str, loopback: Loopback, files: Path) -> None:
    server = await loopback.serve(maxVersion=version, ALPNProtocols=["h2"])
    arguments = ("--ca", files / "ca.pem", "--alpn", "h2,http/1.1")
    status, text = await ran(at(server), *arguments)
    assert status == 0, text
    assert text.endswith("\ntrusted for localhost\n")
    assert row(text, "protocol") == version
    assert row(text, "connected") == at(server, "127.0.0.1")
    assert row(text, "ALPN") == "h2"
    assert row(text, "staple") == "none"
    assert row(text, "session").startswith("new, to be resumed with a ticket of ")
    assert row(text, "cipher") == server.seen[0]["cipher"]
    assert "DNS:localhost, IP Address:127.0.0.1" in text
    assert "(trusted here, not sent)" in text
    assert "\x1b" not in text
    assert server.seen[0]["servername"] == "localhost"
    assert not server.errors
    assert not server.failures


@both
@pytest_twisted.ensureDeferred
async def test_a_server_that_nobody_here_vouches_for(version: str, loopback: Loopback) -> None:
    server = await loopback.serve(maxVersion=version)
    status, text = await told(at(server))
    assert status == 1
    assert "not trusted: unable to verify the first certificate (UNABLE_TO_VERIFY_LEAF" in text
    assert "is not known here" in text


@pytest.mark.parametrize("name", ["wrong.test", "sub.localhost"])
@pytest_twisted.ensureDeferred
async def test_a_server_of_another_name(name: str, loopback: Loopback, files: Path) -> None:
    server = await loopback.serve()
    arguments = ("--ca", files / "ca.pem", "--servername", name)
    status, text = await told(at(server), *arguments)
    assert status == 1
    assert f"not trusted: Host: {name}. is not in the cert's altnames: DNS:localhost" in text
    assert server.seen[0]["servername"] == name


def selfSigned(name: str, days: tuple[int, int] = (-1, 1)) -> Credentials:
    key = ec.generate_private_key(ec.SECP256R1())
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(own)
        .issuer_name(own)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Credentials(made.public_bytes(serialization.Encoding.PEM), secret)


@pytest_twisted.ensureDeferred
async def test_a_certificate_that_is_too_old(loopback: Loopback, tmp_path: Path) -> None:
    old = selfSigned("localhost", (-20, -10))
    (tmp_path / "ca.pem").write_bytes(old.cert)
    server = await loopback.serve(key=old.key, cert=old.cert)
    status, text = await told(at(server), "--ca", tmp_path / "ca.pem")
    assert status == 1
    assert "(10 days ago)" in text
    assert "not trusted: certificate has expired (CERT_HAS_EXPIRED)" in text


@pytest_twisted.ensureDeferred
async def test_a_name_that_would_write_on_the_terminal(loopback: Loopback) -> None:
    evil = selfSigned("\x1b]0;owned\x07\x1b[2J\u202ea")
    server = await loopback.serve(key=evil.key, cert=evil.cert)
    status, text = await ran(at(server), "--color", "never")
    assert status == 1
    assert "CN=\\1B]0\\;owned\\07\\1B[2J\\u202ea" in text
    assert all(line.isprintable() for line in text.split("\n"))


# -- names


@pytest.mark.parametrize(
    ("host", "arguments", "sent"),
    [
        ("127.0.0.1", (), False),
        ("localhost", (), "localhost"),
        ("localhost", ("--no-servername",), False),
        ("127.0.0.1", ("--servername", "localhost"), "localhost"),
        ("127.0.0.1", ("--servername", "ｌocalhost"), "localhost"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_the_name_that_is_sent_is_never_an_address(
    host: str, arguments: tuple[str, ...], sent: Any, loopback: Loopback, files: Path
) -> None:
    server = await loopback.serve()
    status, text = await told(at(server, host), "--ca", files / "ca.pem", *arguments)
    assert status == 0, text
    assert server.seen[0]["servername"] == sent
    assert ("without sending a name" in text) == (sent is False)


# -- what else there is to see


@both
@pytest_twisted.ensureDeferred
async def test_a_session_is_resumed(version: str, loopback: Loopback, files: Path) -> None:
    server = await loopback.serve(maxVersion=version)
    status, text = await told(at(server), "--ca", files / "ca.pem", "--resume")
    assert status == 0, text
    assert row(text, "session").startswith("resumed")
    assert text.endswith("\ntrusted for localhost\n")
    assert [each["reused"] for each in server.seen] == [False, True]


@both
@pytest_twisted.ensureDeferred
async def test_a_resumed_session_is_no_better_than_the_first(
    version: str, loopback: Loopback, files: Path
) -> None:
    server = await loopback.serve(maxVersion=version)
    arguments = ("--ca", files / "ca.pem", "--resume", "--servername", "wrong.test")
    status, text = await told(at(server), *arguments)
    assert status == 1, text
    assert "not trusted: Host: wrong.test. is not in" in text


@pytest_twisted.ensureDeferred
async def test_a_server_without_sessions(loopback: Loopback, files: Path) -> None:
    no_tickets = 1 << 14
    server = await loopback.serve(maxVersion="TLSv1.2", secureOptions=no_tickets)
    status, text = await told(at(server), "--ca", files / "ca.pem", "--resume")
    assert status == 0, text
    assert "session" in text


@both
@pytest_twisted.ensureDeferred
async def test_a_staple(version: str, loopback: Loopback, files: Path) -> None:
    pki = loopback.pki
    response = Authority(pki).response(derOf(pki.server.cert), now=time.time())
    server = await loopback.serve(maxVersion=version)
    server.on("OCSPRequest", lambda certificate, issuer, callback: callback(None, response))
    status, text = await told(at(server), "--ca", files / "ca.pem")
    assert status == 0, text
    assert row(text, "staple").startswith("good, until ")


@both
@pytest_twisted.ensureDeferred
async def test_a_server_that_wants_to_know_who_asks(
    version: str, loopback: Loopback, files: Path
) -> None:
    server = await loopback.serve(maxVersion=version, requestCert=True, ca=loopback.pki.ca)
    arguments = ["--ca", files / "ca.pem"]
    status, text = await told(at(server), *arguments)
    assert status == 3
    assert "\nno connection: " in f"\n{text}"
    arguments += ["--cert", files / "client.pem", "--key", files / "client.key"]
    status, text = await told(at(server), *arguments)
    assert status == 0, text
    assert server.seen[-1]["authorized"]


@pytest_twisted.ensureDeferred
async def test_a_key_with_a_passphrase(loopback: Loopback, files: Path) -> None:
    key = serialization.load_pem_private_key(loopback.pki.client.key, None)
    sealed = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption("größe".encode()),
    )
    (files / "client.key").write_bytes(sealed)
    (files / "secret").write_bytes("größe\r\nanother line\n".encode())
    server = await loopback.serve(requestCert=True, ca=loopback.pki.ca)
    arguments = ["--ca", "ca.pem", "--cert", "client.pem", "--key", "client.key"]
    given = [each if each.startswith("-") else files / each for each in arguments]
    status, text = await told(at(server), *given, "--passphrase-file", files / "secret")
    assert status == 0, text
    with pytest.raises(SystemExit):
        await told(at(server), *given, "--passphrase-file", files / "ca.pem")


@pytest_twisted.ensureDeferred
async def test_the_certificates_themselves(loopback: Loopback, files: Path) -> None:
    server = await loopback.serve()
    status, text = await told(at(server), "--ca", files / "ca.pem", "--pem")
    assert status == 0
    begin = text.index("-----BEGIN")
    assert derOf(text[begin:].encode()) == derOf(loopback.pki.server.cert)


@pytest.mark.parametrize(
    ("arguments", "protocol"),
    [
        (("--max-version", "1.2"), "TLSv1.2"),
        (("--min-version", "TLSv1.3"), "TLSv1.3"),
        (("--max-version", "TLSv1.2", "--ciphers", "ECDHE-ECDSA-CHACHA20-POLY1305"), "TLSv1.2"),
        (("--groups", "P-384"), "TLSv1.3"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_versions_ciphers_and_groups(
    arguments: tuple[str, ...], protocol: str, loopback: Loopback, files: Path
) -> None:
    server = await loopback.serve(ecdhCurve="X25519:P-384:P-256")
    status, text = await told(at(server), "--ca", files / "ca.pem", *arguments)
    assert status == 0, text
    assert row(text, "protocol") == protocol
    if "--ciphers" in arguments:
        assert "CHACHA20" in row(text, "cipher")
    if "--groups" in arguments:
        assert row(text, "group") in ("P-384", "secp384r1")


# -- servers of others


@both
@pytest_twisted.ensureDeferred
async def test_openssls_server(version: str, pki: Pki, files: Path) -> None:
    (files / "server.pem").write_bytes(pki.server.cert)
    (files / "server.key").write_bytes(pki.server.key)
    flag = version.lower().replace("tlsv", "-tls").replace(".", "_")
    arguments = ["-cert", "server.pem", "-key", "server.key", "-alpn", "h2", flag]
    async with opensslPeer("s_server", "-accept", "127.0.0.1:0", *arguments, cwd=files) as peer:
        port = int((await peer.said(rb"ACCEPT .*?:(\d+)"))[1])
        wanted = ("--ca", files / "ca.pem", "--alpn", "h2")
        status, text = await ran(f"localhost:{port}", *wanted, "--resume")
    assert status == 0, text
    assert row(text, "protocol") == version
    assert row(text, "ALPN") == "h2"
    assert row(text, "session").startswith("resumed")


@both
@pytest_twisted.ensureDeferred
async def test_nodes_server(version: str, pki: Pki, files: Path) -> None:
    options = {
        "key": pki.server.key,
        "cert": pki.server.cert,
        "maxVersion": version,
        "ALPNProtocols": ["h2"],
    }
    async with NodePeer("server", options, does="echo") as node:
        port = await node.event("listening")
        arguments = ("--ca", files / "ca.pem", "--alpn", "h2")
        status, text = await ran(f"localhost:{port}", *arguments)
        secured = await node.event("secure")
    assert status == 0, text
    assert row(text, "protocol") == version == secured["protocol"]
    assert row(text, "cipher") == secured["cipher"]
    assert row(text, "ALPN") == "h2"


# -- no connection


@pytest_twisted.ensureDeferred
async def test_nobody_there() -> None:
    status, text = await ran(f"localhost:{unusedPort()}")
    assert status == 3
    assert "no connection: connect ECONNREFUSED " in text


@both
@pytest_twisted.ensureDeferred
async def test_no_common_ground(version: str, loopback: Loopback) -> None:
    other = VERSIONS[1 - VERSIONS.index(version)]
    server = await loopback.serve(minVersion=version, maxVersion=version)
    status, text = await told(at(server), "--min-version", other, "--max-version", other)
    assert status == 3
    assert text.startswith("no connection: ")
    assert "ERR_SSL_" in text


@pytest_twisted.ensureDeferred
async def test_a_server_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        status, text = await told(f"127.0.0.1:{port}", "--timeout", "0.3")
    assert status == 3
    assert text == "no connection: no handshake within 0.3 s (ETIMEDOUT)\n"


@pytest_twisted.ensureDeferred
async def test_whoever_is_interrupted_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        async with Peer([*COMMAND, where], PROJECT) as command:
            await eventually(lambda: select.select([silent], [], [], 0)[0])
            command.transport.signalProcess("INT")
            assert await command.ended() == 130
        assert command.output == b""


# -- how it is called

BAD: list[tuple[Iterable[str], str]] = [
    ([], "required: HOST:PORT"),
    (["localhost"], "is not HOST:PORT"),
    ([":443"], "is not HOST:PORT"),
    (["localhost:"], "is no port"),
    (["localhost:0"], "is no port"),
    (["localhost:65536"], "is no port"),
    (["localhost:https"], "is no port"),
    (["::1:443"], "goes into brackets"),
    (["[localhost]:443"], "is no IPv6 address"),
    (["a:1", "b:2"], "unrecognized arguments: b:2"),
    (["a:1", "--what"], "unrecognized arguments: --what"),
    (["a:1", "--server", "b"], "unrecognized arguments: --server b"),
    (["a:1", "--cert", "x"], "--cert and --key go together"),
    (["a:1", "--key", "x"], "--cert and --key go together"),
    (["a:1", "--passphrase-file", "x"], "is for --key"),
    (["a:1", "--servername", "b", "--no-servername"], "exclude each other"),
    (["a:1", "--servername", "::1"], "--servername: an address"),
    (["a:1", "--servername", ""], "--servername: a name is needed"),
    (["a:1", "--servername", "x" * 256], "cannot be the name of a server"),
    (["a:1", "--servername", "a b"], "cannot be the name of a server"),
    (["a:1", "--servername", "a\u200db"], "cannot be the name of a server"),
    (["a\0:1"], "cannot be the name of a server"),
    (["a:1", "--min-version", "1.4"], "--min-version: '1.4' is none of"),
    (["a:1", "--max-version", "SSLv3"], "--max-version: 'SSLv3' is none of"),
    (["a:1", "--min-version", "1.3", "--max-version", "1.2"], "--min-version is above"),
    (["a:1", "--timeout", "soon"], "--timeout: 'soon' is no number"),
    (["a:1", "--timeout", "-1"], "'-1' is no number"),
    (["a:1", "--timeout", "nan"], "'nan' is no number"),
    (["a:1", "--alpn", "h2,,x"], "--alpn: "),
    (["a:1", "--alpn", "x" * 256], "--alpn: "),
    (["a:1", "--alpn", ",".join(["x" * 255] * 256)], "--alpn: too many protocols"),
    (["a:1", "--ciphers", "none such"], "--ciphers: "),
    (["a:1", "--groups", "none such"], "--groups: "),
    (["a:1", "--sigalgs", "none such"], "--sigalgs: "),
    (["a:1", "--color", "blue"], "--color: invalid choice"),
    (["a:1", "--ca", "missing.pem"], "--ca missing.pem: No such file"),
    (["a:1", "--ca", "."], "--ca .: Is a directory"),
    (["a:1", "--ca", "client.key"], "--ca: options.ca holds no certificate"),
    (["a:1", "--cert", "ca.pem", "--key", "client.key"], "--cert, --key: key values mismatch"),
    (["a:1", "--cert", "ca.pem", "--key", "ca.pem"], "--cert, --key: "),
]


@pytest.mark.parametrize(
    ("arguments", "message"), BAD, ids=[" ".join(each)[:40] for each, _ in BAD]
)
def test_what_makes_no_sense_is_said_at_once(
    arguments: list[str],
    message: str,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(files)
    with pytest.raises(SystemExit) as ended:
        main(["connect", *arguments])
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""


def test_colours_are_for_terminals() -> None:
    where = f"127.0.0.1:{unusedPort()}"
    plain = runTool([*COMMAND, where], cwd=PROJECT)
    assert plain.returncode == 3
    assert plain.stdout.startswith(b"no connection: ")

    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    try:
        done = subprocess.run(
            [*COMMAND, where],
            cwd=PROJECT,
            env={**environment, "TERM": "xterm"},
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            timeout=50,
        )
        shown = os.read(ours, 4096)
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 3
    assert shown.startswith(b"\x1b[1;31mno connection\x1b[0m: ")
