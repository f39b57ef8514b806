"""The daemon's life: read again, drained, and what becomes of connections meanwhile."""

from __future__ import annotations

import contextlib
import signal
import socket
import ssl
from pathlib import Path

import pytest

from tests.daemon.load import Load, Loop, echoBackend
from tests.daemon.running import Twistd, run
from tests.daemon.test_listeners import PAIR, dial, exchange
from tests.support import Pki

NAMES = {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}

many = pytest.mark.parametrize(
    "count",
    [
        pytest.param(40, id="some"),
        pytest.param(500, id="many", marks=[pytest.mark.soak, pytest.mark.timeLimit(300)]),
    ],
)


def serial(client: ssl.SSLSocket) -> str:
    certificate = client.getpeercert()
    assert certificate
    return str(certificate["serialNumber"])


def fill(client: ssl.SSLSocket) -> None:
    """Send until nobody takes any more: what comes back is never read."""
    with contextlib.suppress(ssl.SSLWantWriteError, BlockingIOError):
        while True:
            client.send(b"x" * 65536)


@many
def test_a_reload_during_transfers_loses_no_byte(
    count: int, directory: Path, loop: Loop, trusting: ssl.SSLContext
) -> None:
    backend = loop.run(echoBackend())
    target = f"--proxy=tcp:127.0.0.1:{backend.sockets[0].getsockname()[1]}"
    with Twistd("nodetls", *PAIR, target, cwd=directory) as daemon:
        load = Load(loop, daemon.ports()[0], trusting, count)
        load.start(200)
        for _ in range(3):
            since = len(daemon.output)
            daemon.signal(signal.SIGHUP)
            load.advance(2, 100)
            daemon.waitFor("reloaded", since)
        load.advance(2, 100)
        broken = load.finish(100)
        assert [client.error for client in broken] == []
        assert load.opened == count
        assert load.exchanged >= count * 8 * 8192
        daemon.waitForAll("connection .*reason=done", count)


def test_a_certificate_replaced_on_disk_is_served_to_the_next_client(
    directory: Path, pki: Pki, trusting: ssl.SSLContext
) -> None:
    with Twistd("nodetls", *PAIR, "--watch=0.05", cwd=directory) as daemon:
        (port,) = daemon.ports()
        with dial(port, trusting) as before:
            first = serial(before)
            new = pki.issue("localhost")
            # One after the other, as tools do it: in between they do not match.
            (directory / "key.pem").write_bytes(new.key)
            daemon.waitFor("not reloaded, everything stays as it was: --key: .*values mismatch")
            with dial(port, trusting) as meanwhile:
                assert serial(meanwhile) == first
            (directory / "cert.pem").write_bytes(new.cert)
            daemon.waitFor("] reloaded")
            with dial(port, trusting) as after:
                assert serial(after) != first
            assert exchange(before) == b"a question"


def test_a_reload_that_fails_says_so_and_changes_nothing(
    directory: Path, trusting: ssl.SSLContext
) -> None:
    path = directory / "nodetls.toml"
    good = 'port = 0\necho = true\nkey = "key.pem"\ncert = "cert.pem"\n'
    path.write_text(good)
    with Twistd("nodetls", "--config=nodetls.toml", cwd=directory) as daemon:
        (port,) = daemon.ports()
        path.write_text(good + "prot = 5\n")
        daemon.signal(signal.SIGHUP)
        daemon.waitFor(
            "not reloaded, everything stays as it was: "
            r"nodetls.toml:5: prot: unknown; did you mean port\?"
        )
        with dial(port, trusting) as client:
            assert exchange(client) == b"a question"


def test_a_reload_opens_closes_and_changes_listeners(
    directory: Path, trusting: ssl.SSLContext
) -> None:
    path = directory / "nodetls.toml"
    text = 'key = "key.pem"\ncert = "cert.pem"\nport = 0\necho = true\n'
    path.write_text(text + '[[listener]]\nname = "a"\n[[listener]]\nname = "b"\n')
    with Twistd("nodetls", "--config=nodetls.toml", cwd=directory) as daemon:
        first, second = daemon.ports(2)
        with dial(second, trusting) as kept:
            path.write_text(
                text + '[[listener]]\nname = "a"\nmaxVersion = "TLSv1.2"\n'
                '[[listener]]\nname = "c"\n'
            )
            since = len(daemon.output)
            daemon.signal(signal.SIGHUP)
            daemon.waitFor("] reloaded", since)
            third = int(daemon.waitFor(r"listening on 127\.0\.0\.1:(\d+)", since)[1])
            with dial(first, trusting) as client:
                assert client.version() == "TLSv1.2"
            with dial(third, trusting) as client:
                assert exchange(client) == b"a question"
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", second), 5)
            assert exchange(kept) == b"a question"


def test_a_reload_changes_what_a_listener_does_at_the_same_port(
    directory: Path, trusting: ssl.SSLContext
) -> None:
    path = directory / "nodetls.toml"
    tls = 'key = "key.pem"\ncert = "cert.pem"\necho = true\n'
    path.write_text("[[listener]]\nport = 0\n" + tls + "[[listener]]\nport = 0\n" + tls)
    with Twistd("nodetls", "--config=nodetls.toml", cwd=directory) as daemon:
        first, second = daemon.ports(2)
        with dial(first, trusting) as before:
            plain = f'ca = "ca.pem"\noriginate = "localhost:{second}"\n'
            for change, dials in ((plain, False), (tls, True)):
                path.write_text(
                    "[[listener]]\nport = 0\n" + change + "[[listener]]\nport = 0\n" + tls
                )
                since = len(daemon.output)
                daemon.signal(signal.SIGHUP)
                daemon.waitFor("] reloaded", since)
                client: socket.socket = socket.create_connection(("127.0.0.1", first), 20)
                if dials:
                    client = trusting.wrap_socket(client, server_hostname="localhost")
                with client:
                    assert exchange(client) == b"a question"
                assert exchange(before) == b"a question"


def test_sessions_outlive_a_reload(directory: Path, trusting: ssl.SSLContext) -> None:
    versions = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    sessions: dict[ssl.TLSVersion, ssl.SSLSession | None] = dict.fromkeys(versions)
    with Twistd("nodetls", *PAIR, cwd=directory) as daemon:
        (port,) = daemon.ports()
        for resumed in (False, True):
            for version, session in sessions.items():
                # A session belongs to its context; the later versions come later.
                trusting.maximum_version = version
                plain = socket.create_connection(("127.0.0.1", port), 20)
                with trusting.wrap_socket(
                    plain, server_hostname="localhost", session=session
                ) as client:
                    assert exchange(client) == b"a question"
                    assert (client.version(), client.session_reused) == (NAMES[version], resumed)
                    sessions[version] = client.session
            since = len(daemon.output)
            daemon.signal(signal.SIGHUP)
            daemon.waitFor("] reloaded", since)


def test_draining_waits_for_what_is_open_and_takes_no_more(
    directory: Path, trusting: ssl.SSLContext
) -> None:
    with Twistd("nodetls", *PAIR, "--drainTimeout=30000", cwd=directory) as daemon:
        (port,) = daemon.ports()
        with dial(port, trusting) as client:
            assert exchange(client) == b"a question"
            daemon.signal(signal.SIGTERM)
            daemon.waitFor("draining: 1 open")
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), 5)
            assert exchange(client, b"more" * 1000) == b"more" * 1000
            client.unwrap()
            assert daemon.ended() == -signal.SIGTERM
        assert "reason=done" in daemon.output


def test_draining_ends_within_its_deadline(directory: Path, trusting: ssl.SSLContext) -> None:
    with Twistd("nodetls", *PAIR, "--drainTimeout=600", cwd=directory) as daemon:
        (port,) = daemon.ports()
        stuck = dial(port, trusting)
        with dial(port, trusting) as polite, stuck:
            polite.suppress_ragged_eofs = False
            assert exchange(polite) == b"a question"
            stuck.setblocking(False)
            fill(stuck)
            daemon.signal(signal.SIGTERM)
            assert polite.recv(10) == b""
            # The other one would stay for ever.
            assert daemon.ended() == -signal.SIGTERM
        daemon.waitFor("reason=drained")


def test_a_second_signal_ends_it_at_once(directory: Path, trusting: ssl.SSLContext) -> None:
    with Twistd("nodetls", *PAIR, "--drainTimeout=600000", cwd=directory) as daemon:
        with dial(daemon.ports()[0], trusting) as client:
            client.suppress_ragged_eofs = False
            assert exchange(client) == b"a question"
            daemon.signal(signal.SIGINT)
            daemon.waitFor("draining: 1 open")
            daemon.signal(signal.SIGTERM)
            assert client.recv(10) == b""
            daemon.ended()
        daemon.waitFor("reason=drained")


def test_a_configuration_can_be_tested_without_being_run(directory: Path) -> None:
    path = directory / "nodetls.toml"
    path.write_text('echo = true\nkey = "key.pem"\ncert = "cert.pem"\nport = 1\n')
    status, output = run("nodetls", "--config=nodetls.toml", "--test-config", cwd=directory)
    assert (status, output.splitlines()[-1]) == (0, "the configuration is good")
    path.write_text('echo = true\nkey = "absent.pem"\ncert = "cert.pem"\n')
    status, output = run("nodetls", "--config=nodetls.toml", "--test-config", cwd=directory)
    assert status == 1
    said = "twistd nodetls: nodetls.toml:2: key: cannot read absent.pem: No such file or directory"
    assert output.splitlines()[-1] == said


def test_draining_ends_also_who_has_not_even_said_for_whom_it_comes(directory: Path) -> None:
    arguments = [*PAIR, "--acceptProxyFrom=127.0.0.1", "--drainTimeout=300"]
    with Twistd("nodetls", *arguments, cwd=directory) as daemon:
        with socket.create_connection(("127.0.0.1", daemon.ports()[0]), 20) as plain:
            plain.sendall(b"PROXY TCP4 ")
            daemon.signal(signal.SIGTERM)
            assert daemon.ended() == -signal.SIGTERM
            with contextlib.suppress(ConnectionResetError):
                assert plain.recv(10) == b""
