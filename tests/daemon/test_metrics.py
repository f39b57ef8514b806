"""Metrics: they agree with what was done, and hold no word of a peer's."""

from __future__ import annotations

import contextlib
import socket
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.daemon.running import Twistd
from tests.daemon.test_listeners import PAIR, dial, exchange
from txnodetls.daemon.metrics import KINDS, Metrics, added, exposition
from txnodetls.daemon.records import Phase, Reason, Record

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


def fetch(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def parsed(text: str) -> Values:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(values: Values, name: str, **labels: str) -> float:
    """The sum of all with these labels."""
    wanted = set(labels.items())
    return sum(v for (each, have), v in values.items() if each == name and wanted <= have)


def placeOf(daemon: Twistd) -> str:
    return daemon.waitFor(r"metrics at (http://127\.0\.0\.1:\d+)/metrics")[1]


def test_they_agree_with_what_was_done(directory: Path, trusting: ssl.SSLContext) -> None:
    arguments = [*PAIR, "--metrics=127.0.0.1:0", "--name=web"]
    with Twistd("nodetls", *arguments, cwd=directory) as daemon:
        (port,) = daemon.ports()
        session = None
        for _ in range(3):
            plain = socket.create_connection(("127.0.0.1", port), 20)
            with trusting.wrap_socket(plain, server_hostname="localhost", session=session) as done:
                assert exchange(done, b"x" * 1000) == b"x" * 1000
                session = done.session
                done.unwrap()
        with socket.create_connection(("127.0.0.1", port), 20) as garbage:
            garbage.sendall(b"GET / HTTP/1.0\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                while garbage.recv(100):
                    pass
        daemon.waitForAll("connection listener=web", 4)
        with dial(port, trusting) as still:
            assert exchange(still, b"y" * 10) == b"y" * 10
            status, text = fetch(placeOf(daemon) + "/metrics")
        assert status == 200
        values = parsed(text)
        web = {"listener": "web"}
        assert value(values, "nodetls_connections_total", **web) == 5
        assert value(values, "nodetls_connections_open", **web) == 1
        assert value(values, "nodetls_connections_ended_total", reason="done") == 3
        assert value(values, "nodetls_connections_ended_total", reason="handshake failed") == 1
        assert value(values, "nodetls_handshake_failures_total", kind="protocol") == 1
        assert value(values, "nodetls_handshakes_total", version="TLSv1.3") == 4
        assert value(values, "nodetls_handshakes_total", resumed="yes") == 2
        assert value(values, "nodetls_received_bytes_total", **web) == 3010
        assert value(values, "nodetls_sent_bytes_total", **web) == 3010
        assert value(values, "nodetls_certificate_not_after_seconds", **web) > 2e9


def test_health_says_whether_it_serves(directory: Path, trusting: ssl.SSLContext) -> None:
    import signal

    arguments = [*PAIR, "--metrics=127.0.0.1:0", "--drainTimeout=20000"]
    with Twistd("nodetls", *arguments, cwd=directory) as daemon:
        place = placeOf(daemon)
        assert fetch(place + "/health") == (200, "ok\n")
        assert fetch(place + "/elsewhere")[0] == 404
        with dial(daemon.ports()[0], trusting) as client:
            assert exchange(client) == b"a question"
            daemon.signal(signal.SIGTERM)
            daemon.waitFor("draining")
            assert fetch(place + "/health") == (503, "not serving\n")


def test_no_word_of_a_peers_becomes_a_label() -> None:
    record = Record("web", ("192.0.2.1", 5), None, 0.0)
    record.secured = 1.0
    record.agreed = {"name": "evil.example", "version": "TLSv1.3", "protocol": "evil"}
    record.ends(Reason.HANDSHAKE, ValueError("evil text"))
    record.phase = Phase.ENDED
    metrics = Metrics()
    metrics.ended(record)
    text = exposition(metrics.snapshot())
    assert b"evil" not in text
    assert b"192.0.2.1" not in text


def test_what_several_processes_have_is_added_up() -> None:
    one, other = Metrics(), Metrics()
    one.add("connections", "web", amount=2)
    one.add("connections_open", "web")
    other.add("connections", "web", amount=3)
    both = added([one.snapshot(), other.snapshot()])
    assert both["connections", ("web",)] == 5
    gone = added([one.snapshot()], ended=True)
    assert gone == {("connections", ("web",)): 2}


def test_every_metric_is_explained() -> None:
    metrics = Metrics()
    for name, kind in KINDS.items():
        metrics.add(name, *("x" for _ in kind.labels))
    text = exposition(metrics.snapshot()).decode()
    for name in KINDS:
        assert f"# HELP nodetls_{name}" in text


@pytest.mark.parametrize(
    ("place", "said"),
    [("0.0.0.0:1", "0.0.0.0 is no loopback address"), ("localhost:1", "is not ADDRESS:PORT")],
)
def test_elsewhere_than_on_the_loopback_there_are_none(place: str, said: str) -> None:
    from txnodetls.daemon.config import readConfig
    from txnodetls.daemon.written import ConfigError

    with pytest.raises(ConfigError, match=f"--metrics: .*{said}"):
        readConfig({"metrics": place})
