"""PROXY headers in front of the daemon: real connections, and a real proxy on either side."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.daemon.load import Loop, echoBackend
from tests.daemon.running import Twistd
from tests.daemon.test_listeners import PAIR, dial, exchange
from tests.daemon.test_proxyprotocol import FOUR, TLS
from tests.support import Pki, requireTool, unusedPort
from txnodetls.daemon.proxyprotocol import version1, version2

TRUSTING = [*PAIR, "--acceptProxyFrom=127.0.0.0/8"]


def behind(port: int, header: bytes, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", port), 20)
    plain.sendall(header)
    return context.wrap_socket(plain, server_hostname="localhost")


@pytest.fixture(scope="module")
def believing(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twistd]:
    """An echo behind anybody on this machine."""
    directory = tmp_path_factory.mktemp("believing")
    (directory / "key.pem").write_bytes(pki.server.key)
    (directory / "cert.pem").write_bytes(pki.server.cert)
    with Twistd("nodetls", *TRUSTING, cwd=directory) as daemon:
        yield daemon


@pytest.mark.parametrize("header", [version1(*FOUR), version2(*FOUR, TLS)], ids=["v1", "v2"])
def test_a_header_says_who_the_client_is(
    header: bytes, believing: Twistd, trusting: ssl.SSLContext
) -> None:
    since = len(believing.output)
    with behind(believing.ports()[0], header, trusting) as client:
        assert exchange(client) == b"a question"
    line = r"connection .*peer=192\.0\.2\.1:5000 name=localhost .*reason=done"
    believing.waitFor(line, since)


def test_the_clients_first_bytes_may_come_with_the_header(
    believing: Twistd, trusting: ssl.SSLContext
) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    with socket.create_connection(("127.0.0.1", believing.ports()[0]), 20) as plain:
        plain.sendall(version1(*FOUR) + outgoing.read())
        while True:
            incoming.write(plain.recv(65536))
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass
        assert client.version() == "TLSv1.3"


def refused(daemon: Twistd, sent: bytes, said: str) -> None:
    since = len(daemon.output)
    with socket.create_connection(("127.0.0.1", daemon.ports()[0]), 20) as plain:
        plain.sendall(sent)
        with suppress(ConnectionResetError):
            assert plain.recv(100) == b""
    daemon.waitFor(f'connection .*reason="no proxy header" .*{said}', since)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"\x16\x03\x01\x00\x05hello", 'error="no PROXY header"'),
        (b"PROXY " + b"x" * 200, 'error="a PROXY header that is too long"'),
    ],
)
def test_without_a_good_header_there_is_no_connection(
    sent: bytes, said: str, believing: Twistd
) -> None:
    refused(believing, sent, said)


def test_a_header_has_to_come_in_the_time_of_a_handshake(directory: Path) -> None:
    with Twistd("nodetls", *TRUSTING, "--handshakeTimeout=300", cwd=directory) as daemon:
        refused(daemon, b"PROXY TCP", 'error="no PROXY header in time"')


def test_a_good_header_from_elsewhere_makes_no_connection(directory: Path) -> None:
    with Twistd("nodetls", *PAIR, "--acceptProxyFrom=192.0.2.0/24", cwd=directory) as daemon:
        refused(daemon, version1(*FOUR), "not from a network")


@contextmanager
def running(command: list[str], port: int, cwd: Path) -> Iterator[None]:
    """A server in the foreground, from when it answers on a port."""
    with subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 20).close()
                    break
                except ConnectionRefusedError:
                    assert process.poll() is None, process.communicate()[0].decode()
                    signal.sigtimedwait([], 0.025)
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
            process.communicate()


def forwarding(port: int, target: str) -> str:
    """HAProxy's configuration: whoever comes to C{port} goes on to C{target}."""
    return f"""
        defaults
          mode tcp
          timeout client 10s
          timeout server 10s
          timeout connect 10s
        listen l
          bind 127.0.0.1:{port}
          server s {target}
"""


def askedOver(client: ssl.SSLSocket) -> bytes:
    """The body of the answer to a request."""
    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    received = b""
    while piece := client.recv(1000):
        received += piece
    return received.partition(b"\r\n\r\n")[2]


def test_nginx_behind_it_learns_who_the_client_is_also_when_haproxy_is_in_front(
    directory: Path, trusting: ssl.SSLContext
) -> None:
    nginx, haproxy = requireTool("nginx"), requireTool("haproxy")
    port, front = unusedPort(), unusedPort()
    (directory / "nginx.conf").write_text(
        f"""
        daemon off; pid {directory}/nginx.pid; error_log stderr; worker_processes 1;
        events {{ worker_connections 64; }}
        http {{
          access_log off;
          client_body_temp_path {directory}/t1; proxy_temp_path {directory}/t2;
          fastcgi_temp_path {directory}/t3; uwsgi_temp_path {directory}/t4;
          scgi_temp_path {directory}/t5;
          server {{
            listen 127.0.0.1:{port} proxy_protocol;
            location / {{
              return 200 "from $proxy_protocol_addr:$proxy_protocol_port";
            }}
          }}
        }}
        """
    )
    (directory / "nodetls.toml").write_text(
        f"""
        key = "key.pem"
        cert = "cert.pem"
        port = 0
        proxy = "tcp:127.0.0.1:{port}"
        sendProxy = "v2"
        ALPNProtocols = ["http/1.1"]
        [[listener]]
        name = "direct"
        [[listener]]
        name = "behind"
        acceptProxyFrom = ["127.0.0.0/8"]
        """
    )
    trusting.set_alpn_protocols(["http/1.1"])
    command = [nginx, "-p", str(directory), "-c", "nginx.conf", "-e", "stderr"]
    with (
        running(command, port, directory),
        Twistd("nodetls", "--config=nodetls.toml", cwd=directory) as daemon,
    ):
        direct, inner = daemon.ports(2)
        target = f"127.0.0.1:{inner} send-proxy-v2"
        (directory / "haproxy.cfg").write_text(forwarding(front, target))
        with running([haproxy, "-db", "-f", "haproxy.cfg"], front, directory):
            for number in (direct, front):
                with dial(number, trusting) as client:
                    own = client.getsockname()[1]
                    assert askedOver(client) == b"from 127.0.0.1:%d" % own


def test_haproxy_learns_from_version_2_what_tls_came_to(
    directory: Path, pki: Pki, trusting: ssl.SSLContext
) -> None:
    haproxy = requireTool("haproxy")
    port = unusedPort()
    (directory / "haproxy.cfg").write_text(
        f"""
        defaults
          mode http
          timeout client 10s
          timeout server 10s
          timeout connect 10s
        frontend f
          bind 127.0.0.1:{port} accept-proxy
          http-request return status 200 content-type text/plain lf-string \
"%[src]:%[src_port] %[fc_pp_authority]"
"""
    )
    boss = pki.issue("boss@example.test", common_name="boss")
    (directory / "boss.pem").write_bytes(boss.cert + boss.key)
    trusting.load_cert_chain(directory / "boss.pem")
    with running([haproxy, "-db", "-f", "haproxy.cfg"], port, directory):
        target = f"--proxy=tcp:127.0.0.1:{port}"
        arguments = [*PAIR, target, "--sendProxy=v2", "--ca=ca.pem"]
        with Twistd("nodetls", *arguments, cwd=directory) as daemon:
            with dial(daemon.ports()[0], trusting) as client:
                number = client.getsockname()[1]
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                received = b""
                while piece := client.recv(1000):
                    received += piece
    assert b"127.0.0.1:%d localhost" % number in received


@pytest.mark.parametrize("version", ["send-proxy", "send-proxy-v2"])
def test_behind_haproxy_the_client_is_known(
    version: str, directory: Path, loop: Loop, trusting: ssl.SSLContext
) -> None:
    haproxy = requireTool("haproxy")
    backend = loop.run(echoBackend())
    target = f"--proxy=tcp:127.0.0.1:{backend.sockets[0].getsockname()[1]}"
    with Twistd("nodetls", *TRUSTING, target, cwd=directory) as daemon:
        port = unusedPort()
        target = f"127.0.0.1:{daemon.ports()[0]} {version}"
        (directory / "haproxy.cfg").write_text(forwarding(port, target))
        with running([haproxy, "-db", "-f", "haproxy.cfg"], port, directory):
            with dial(port, trusting) as client:
                number = client.getsockname()[1]
                assert exchange(client) == b"a question"
            daemon.waitFor(rf"connection .*peer=127\.0\.0\.1:{number} name=localhost .*reason=done")
