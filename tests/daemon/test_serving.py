"""What is served, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.daemon.configuring import only
from txnodetls.daemon.config import readConfig
from txnodetls.daemon.settings import Mode
from txnodetls.daemon.written import ConfigError


@pytest.mark.parametrize(
    ("switches", "mode", "words"),
    [
        ({}, Mode.ECHO, "echo"),
        ({"proxy": "tcp:127.0.0.1:80"}, Mode.TERMINATE, "proxy to tcp:127.0.0.1:80"),
        ({"originate": "a.test:443"}, Mode.ORIGINATE, "plain, TLS to a.test:443"),
        ({"static": "."}, Mode.STATIC, "files of ."),
    ],
)
def test_each_mode_says_in_a_few_words_what_it_serves(
    switches: dict[str, str], mode: Mode, words: str
) -> None:
    serving = only(switches).serving
    assert (serving.mode, str(serving)) == (mode, words)


def test_a_client_connects_to_a_host_or_over_an_endpoint() -> None:
    named = only({"originate": "a.test:443", "tls-min-v1.3": "yes"}).serving
    assert named.place == ("a.test", 443)
    assert named.options["minVersion"] == "TLSv1.3"
    endpoint = only({"originate": "unix:/run/far", "servername": "a.test"}).serving
    assert (endpoint.place, endpoint.options["host"]) == ("unix:/run/far", "a.test")


def test_there_is_one_place_to_listen_at(tmp_path: Path) -> None:
    assert only({"port": "5"}).where == {"host": "127.0.0.1", "port": 5}
    assert only({"interface": "::1", "port": "5"}).where == {"host": "::1", "port": 5}
    assert only({"path": f"{tmp_path}/s"}).where == {"path": f"{tmp_path}/s"}
    assert only({"systemd": "web"}).where == {"systemd": "web"}


@pytest.mark.parametrize(
    ("switches", "line"),
    [
        ({"interface": "localhost"}, "--interface: 'localhost' is not an IP address"),
        ({"proxy": "nowhere"}, "--proxy: 'nowhere' is no client endpoint"),
        ({"static": "absent"}, "--static: absent is no directory"),
        ({"originate": "unix:/run/far"}, "--servername: is needed"),
        ({"acceptProxyFrom": "everyone"}, "--acceptProxyFrom: .*everyone"),
    ],
)
def test_what_cannot_be_served_is_told(switches: dict[str, str], line: str) -> None:
    with pytest.raises(ConfigError, match=f"^{line}"):
        readConfig(switches)
