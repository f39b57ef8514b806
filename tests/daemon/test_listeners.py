"""What listeners do with connections: each mode, limits, and several at once."""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.load import Loop, echoBackend
from tests.daemon.running import Twistd
from tests.support import Pki, requireTool, runTool

PAIR = ["--port=0", "--key=key.pem", "--cert=cert.pem"]


def dial(port: int, context: ssl.SSLContext, name: str = "localhost") -> ssl.SSLSocket:
    return context.wrap_socket(
        socket.create_connection(("127.0.0.1", port), 20), server_hostname=name
    )


def exchange(client: Any, data: bytes = b"a question") -> bytes:
    client.sendall(data)
    received = b""
    while len(received) < len(data):
        piece = client.recv(65536)
        if not piece:
            break
        received += piece
    return received


def test_originate_speaks_tls_for_those_who_cannot(directory: Path) -> None:
    with Twistd("nodetls", *PAIR, cwd=directory) as far:
        (port,) = far.ports()
        near = Twistd(
            "nodetls", "--port=0", f"--originate=localhost:{port}", "--ca=ca.pem", cwd=directory
        )
        with near, socket.create_connection(("127.0.0.1", near.ports()[0]), 20) as plain:
            assert exchange(plain) == b"a question"
            plain.shutdown(socket.SHUT_WR)
            assert plain.recv(10) == b""
            near.waitFor("connection .*received=10 sent=10 .*reason=done")
            far.waitFor("connection .*name=localhost version=TLSv1.3 .*reason=done")


def test_originate_trusts_no_one_it_should_not(directory: Path) -> None:
    with Twistd("nodetls", "--port=0", cwd=directory) as far:
        target = f"--originate=localhost:{far.ports()[0]}"
        with Twistd("nodetls", "--port=0", target, "--ca=ca.pem", cwd=directory) as near:
            with socket.create_connection(("127.0.0.1", near.ports()[0]), 20) as plain:
                with contextlib.suppress(ConnectionResetError):
                    assert plain.recv(10) == b""
            near.waitFor('reason="no backend" code=DEPTH_ZERO_SELF_SIGNED_CERT')


def test_originate_goes_over_any_endpoint_if_the_name_is_known(directory: Path) -> None:
    path = directory / "far.socket"
    with Twistd(
        "nodetls", f"--path={path}", "--key=key.pem", "--cert=cert.pem", cwd=directory
    ) as far:
        far.waitFor("listening on ")
        near = Twistd(
            "nodetls",
            "--port=0",
            f"--originate=unix:{path}",
            "--servername=localhost",
            "--ca=ca.pem",
            cwd=directory,
        )
        with near, socket.create_connection(("127.0.0.1", near.ports()[0]), 20) as plain:
            assert exchange(plain) == b"a question"
    assert not path.exists()


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_static_serves_files(protocol: str, directory: Path) -> None:
    curl = requireTool("curl")
    (directory / "www").mkdir()
    (directory / "www" / "page.txt").write_bytes(b"a page\n" * 1000)
    with Twistd("nodetls", *PAIR, "--static=www", cwd=directory) as daemon:
        (port,) = daemon.ports()
        version = "--http2" if protocol == "h2" else "--http1.1"
        command = [curl, "-sS", version, "--cacert", "ca.pem", "--resolve"]
        url = f"https://localhost:{port}/"
        command += [f"localhost:{port}:127.0.0.1", "-w", "%{http_version}"]
        done = runTool([*command, url + "page.txt"], cwd=directory)
        expected = b"2" if protocol == "h2" else b"1.1"
        assert (done.stderr, done.stdout) == (b"", b"a page\n" * 1000 + expected)
        assert b"404" in runTool([*command, "-D", "-", url + "../ca.pem"], cwd=directory).stdout
        daemon.waitFor(f"connection .* protocol={protocol} ")


def test_several_listeners_serve_side_by_side(
    directory: Path, loop: Loop, trusting: ssl.SSLContext
) -> None:
    backend = loop.run(echoBackend())
    (directory / "www").mkdir()
    (directory / "www" / "page").write_bytes(b"a page")
    number = backend.sockets[0].getsockname()[1]
    (directory / "nodetls.toml").write_text(
        f"""
        key = "key.pem"
        cert = "cert.pem"
        port = 0
        [[listener]]
        name = "mirror"
        echo = true
        maxVersion = "TLSv1.2"
        [[listener]]
        name = "app"
        proxy = "tcp:127.0.0.1:{number}"
        [[listener]]
        name = "files"
        static = "www"
        """
    )
    with Twistd("nodetls", "--config=nodetls.toml", cwd=directory) as daemon:
        ports = daemon.ports(3)
        for port, version in ((ports[0], "TLSv1.2"), (ports[1], "TLSv1.3")):
            with dial(port, trusting) as client:
                assert exchange(client) == b"a question"
                assert client.version() == version
        connection = http.client.HTTPSConnection("localhost", ports[2], context=trusting)
        connection.request("GET", "/page")
        assert connection.getresponse().read() == b"a page"
        connection.close()
        for name in ("mirror", "app", "files"):
            daemon.waitFor(f"connection listener={name} ")


def test_a_limit_turns_away_and_lets_in_again(directory: Path, trusting: ssl.SSLContext) -> None:
    with Twistd("nodetls", *PAIR, "--maxConnections=2", cwd=directory) as daemon:
        (port,) = daemon.ports()
        with dial(port, trusting) as first, dial(port, trusting) as second:
            assert exchange(first) == exchange(second) == b"a question"
            with pytest.raises(OSError):
                dial(port, trusting)
            daemon.waitFor("nodetls: at its limit; 1 connections refused")
            first.unwrap()
            daemon.waitFor("connection .*reason=done")
            with dial(port, trusting) as third:
                assert exchange(third) == b"a question"


def test_a_silent_connection_is_ended_with_a_close_notify(
    directory: Path, trusting: ssl.SSLContext
) -> None:
    hurry = "import txnodetls.daemon.limits as limits; limits._EVERY = 0.1"
    with Twistd("nodetls", *PAIR, "--idleTimeout=500", cwd=directory, prelude=hurry) as daemon:
        with dial(daemon.ports()[0], trusting) as client:
            client.suppress_ragged_eofs = False
            assert client.recv(10) == b""
        daemon.waitFor("connection .*reason=idle")


def test_a_backend_that_does_not_answer_is_given_up(
    directory: Path, trusting: ssl.SSLContext
) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        filling = [socket.socket() for _ in range(3)]
        for each in filling:
            each.setblocking(False)
            each.connect_ex(deaf.getsockname())
        target = f"--proxy=tcp:127.0.0.1:{deaf.getsockname()[1]}"
        with Twistd("nodetls", *PAIR, target, "--backendTimeout=300", cwd=directory) as daemon:
            with dial(daemon.ports()[0], trusting) as client:
                client.suppress_ragged_eofs = False
                with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
                    client.recv(10)
            daemon.waitFor('reason="no backend" code=TimeoutError')
        for each in filling:
            each.close()


def issueTo(directory: Path, pki: Pki, source: str, *names: str, **options: Any) -> None:
    pair = pki.issue(*names, **options)
    (directory / f"{source}.pem").write_bytes(pair.cert + pair.key)


def test_names_get_their_certificates_also_new_ones(
    directory: Path, pki: Pki, trusting: ssl.SSLContext
) -> None:
    certs = directory / "certs"
    certs.mkdir()
    soon = datetime.now(UTC) + timedelta(days=5.5)
    issueTo(certs, pki, "a", "a.example", not_after=soon)
    with Twistd(
        "nodetls", "--port=0", "--certDir=certs", "--strictSNI=yes", "--watch=0.05", cwd=directory
    ) as daemon:
        (port,) = daemon.ports()
        daemon.waitFor("nodetls: the certificate 'a' expires in 5 days, on ")
        with dial(port, trusting, "a.example") as client:
            assert exchange(client) == b"a question"
        for name in ("b.example", None):
            trusting.check_hostname = False
            with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
                dial(port, trusting, name)  # type: ignore[arg-type]
        trusting.check_hostname = True
        daemon.waitFor('connection .*name=b.example .*reason="unknown name"')
        issueTo(certs, pki, "b", "b.example")
        (certs / "c.key").write_bytes(pki.server.key)
        # Another reload may have come between the two.
        seen = daemon.waitFor("certs/c: a key without its certificate")
        daemon.waitFor("] reloaded", seen.end())
        for name in ("a.example", "b.example"):
            with dial(port, trusting, name) as client:
                assert exchange(client) == b"a question"
        (certs / "a.pem").write_text("half a fi")
        daemon.waitFor("certs/a: .*; the one from before stays")
        with dial(port, trusting, "a.example") as client:
            assert exchange(client) == b"a question"


@pytest.mark.parametrize("certificate", ["--certDir=certs", "--key=certs/a.pem"])
def test_a_session_opens_no_name_that_is_not_known(
    certificate: str,
    directory: Path,
    pki: Pki,
    trusting: ssl.SSLContext,
) -> None:
    (directory / "certs").mkdir()
    issueTo(directory / "certs", pki, "a", "a.example")
    (directory / "nodetls.toml").write_text(
        "port = 0\necho = true\nstrictSNI = true\n"
        "[[listener]]\n[[listener.route]]\nname = 'a'\nservernames = ['a.example']\necho = true"
    )
    given = [certificate] if "Dir" in certificate else [certificate, "--cert=certs/a.pem"]
    with Twistd("nodetls", "--config=nodetls.toml", *given, cwd=directory) as daemon:
        (port,) = daemon.ports()

        def resuming(name: str | None, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
            trusting.check_hostname = name is not None
            plain = socket.create_connection(("127.0.0.1", port), 20)
            return trusting.wrap_socket(plain, server_hostname=name, session=session)

        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            trusting.maximum_version = version
            with resuming("a.example") as client:
                assert exchange(client) == b"a question"
                session = client.session
            with resuming("a.example", session) as client:
                assert exchange(client) == b"a question"
                assert client.session_reused
            for name in ("b.example", None):
                with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
                    resuming(name, session)
        daemon.waitForAll('connection .*reason="unknown name"', 4)


def test_routes_go_by_name_and_protocol_and_have_their_own_trust_and_rules(
    directory: Path, pki: Pki, loop: Loop, trusting: ssl.SSLContext
) -> None:
    backend = loop.run(echoBackend())
    number = backend.sockets[0].getsockname()[1]
    (directory / "www").mkdir()
    (directory / "www" / "page").write_bytes(b"a page")
    names = ["files.example", "staff.example", "localhost"]
    pair = pki.issue(*names)
    (directory / "key.pem").write_bytes(pair.key)
    (directory / "cert.pem").write_bytes(pair.cert)
    for who in ("boss", "guest"):
        credentials = pki.issue(f"{who}@example.test", common_name=who)
        (directory / f"{who}.pem").write_bytes(credentials.cert + credentials.key)
    (directory / "nodetls.toml").write_text(
        f"""
        key = "key.pem"
        cert = "cert.pem"
        port = 0
        proxy = "tcp:127.0.0.1:{number}"
        [[listener]]
        name = "web"
        [[listener.route]]
        name = "files"
        servernames = ["files.example"]
        static = "www"
        [[listener.route]]
        name = "staff"
        servernames = ["staff.example"]
        ca = "ca.pem"
        clientSubject = ["CN=boss"]
        """
    )

    def staff(certificate: str | None) -> bytes:
        context = ssl.create_default_context(cadata=pki.ca.decode())
        if certificate is not None:
            context.load_cert_chain(directory / certificate)
        try:
            with dial(port, context, "staff.example") as client:
                return exchange(client)
        except (ssl.SSLError, ConnectionError):
            return b""

    with Twistd("nodetls", "--config=nodetls.toml", cwd=directory) as daemon:
        (port,) = daemon.ports()
        with dial(port, trusting) as client:
            assert exchange(client) == b"a question"
        with dial(port, trusting, "files.example") as client:
            client.sendall(b"GET /page HTTP/1.0\r\n\r\n")
            received = b""
            while piece := client.recv(1000):
                received += piece
            assert received.endswith(b"\r\n\r\na page")
        assert staff("boss.pem") == b"a question"
        assert staff("guest.pem") == b""
        assert staff(None) == b""
        daemon.waitFor("connection .*name=files.example .*route=files .*reason=done")
        daemon.waitFor("connection .*name=staff.example .*route=staff .*reason=done")
        daemon.waitFor('connection .*name=staff.example .*route=staff .*reason="not allowed"')
        daemon.waitFor("code=ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_rules_hold_for_resumed_sessions(
    version: ssl.TLSVersion, directory: Path, pki: Pki, trusting: ssl.SSLContext
) -> None:
    credentials = pki.issue("boss@example.test", common_name="boss")
    (directory / "boss.pem").write_bytes(credentials.cert + credentials.key)
    trusting.load_cert_chain(directory / "boss.pem")
    trusting.maximum_version = version
    path = directory / "nodetls.toml"
    text = 'echo = true\nport = 0\nkey = "key.pem"\ncert = "cert.pem"\nca = "ca.pem"\n'
    path.write_text(text + 'clientSubject = ["CN=boss"]\n')
    with Twistd("nodetls", "--config=nodetls.toml", cwd=directory) as daemon:
        (port,) = daemon.ports()
        with dial(port, trusting) as client:
            assert exchange(client) == b"a question"
            session = client.session
        path.write_text(text + 'clientSubject = ["CN=other"]\n')
        daemon.signal(signal.SIGHUP)
        daemon.waitFor("] reloaded")
        plain = socket.create_connection(("127.0.0.1", port), 20)
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            with trusting.wrap_socket(
                plain, server_hostname="localhost", session=session
            ) as client:
                assert exchange(client) == b""
        daemon.waitFor('connection .*resumed=yes.*reason="not allowed"')
