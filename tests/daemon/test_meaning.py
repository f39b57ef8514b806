"""Settings that mean nothing where they stand."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import Pki
from txnodetls.daemon.config import readConfig
from txnodetls.daemon.meaning import hostAndPort, sift
from txnodetls.daemon.plan import Config
from txnodetls.daemon.settings import ANY, SETTINGS, Mode
from txnodetls.daemon.written import ConfigError, Level

PARTIAL = [(name, each.modes) for name, each in SETTINGS.items() if each.modes != ANY]


@pytest.mark.parametrize(("name", "modes"), PARTIAL, ids=[name for name, _ in PARTIAL])
def test_each_setting_is_told_in_each_mode_that_passes_it_over(
    name: str, modes: frozenset[Mode]
) -> None:
    assert modes
    about = dict.fromkeys(("key", "ca", "pskFile", "staples"), "x")
    for mode in Mode:
        level = Level({name: "x"} | about, {name: "f:1: it"})
        level.inherited = about.keys() - {name}
        if mode in modes:
            sift(level, {mode})
            assert level.values[name] == "x"
        else:
            with pytest.raises(ConfigError, match=r"^f:1: it: has (no|a) meaning with") as caught:
                sift(level, {mode})
            assert caught.value.name == name


def test_those_of_nodes_that_a_client_alone_or_a_server_alone_has_are_known() -> None:
    modes = dict(PARTIAL)
    assert modes["sessionCache"] == modes["localAddress"] == {Mode.ORIGINATE}
    assert modes["session-store"] == modes["requestCert"] == modes["pskIdentityHint"]
    assert modes["handshakeTimeout"] == ANY - {Mode.ORIGINATE}
    for name in ("ca", "cert", "minVersion", "ciphers", "noDelay", "backlog", "port"):
        assert name not in modes


@pytest.fixture
def inFile(tmp_path: Path, pki: Pki) -> Callable[..., Config]:
    """Reads a configuration from this text, and from switches; the text may name files."""
    for name, data in (("key", pki.server.key), ("cert", pki.server.cert), ("ca", pki.ca)):
        (tmp_path / f"{name}.pem").write_bytes(data)

    def read(text: str, **switches: str) -> Config:
        path = tmp_path / "nodetls.toml"
        path.write_text(textwrap.dedent(text).replace("DIR", str(tmp_path)))
        given = {name.replace("_", "-"): text for name, text in switches.items()}
        return readConfig({"config": str(path)} | given)

    return read


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "[[listener]]\noriginate = 'a:1'\nsession-store = 'memory'",
            ":3: session-store: has no meaning with originate",
        ),
        ("originate = 'a:1'\nticket-keys = 'memory'", ":2: ticket-keys: has no meaning with"),
        ("originate = 'a:1'\nstaples = 'fetch'", ":2: staples: has no meaning with originate"),
        ("originate = 'a:1'\nhandshakeTimeout = 5", ":2: handshakeTimeout: has no meaning with"),
        ("echo = true\nsendProxy = 'v1'", ":2: sendProxy: has a meaning with proxy only"),
        (
            "echo = true\nbackendTimeout = 5",
            ":2: backendTimeout: has a meaning with originate and proxy only",
        ),
        (
            "originate = 'unix:/x'\nservername = 'a'\nfamily = 4",
            ":3: family: has no meaning where originate is an endpoint",
        ),
        ("echo = true\nreadableAll = true", ":2: readableAll: has no meaning without path"),
        ("echo = true\npath = 'x'\nipv6Only = true", ":3: ipv6Only: has no meaning together with"),
        ("echo = true\nsystemd = 'x'\nbacklog = 5", ":3: backlog: has no meaning together with"),
        ("echo = true\npassphrase = 'x'", ":2: passphrase: has no meaning without key or pfx"),
        ("echo = true\ncrl = 'DIR/ca.pem'", ":2: crl: has no meaning without ca"),
        ("echo = true\npskIdentityHint = 'x'", ":2: pskIdentityHint: has no meaning without"),
        ("echo = true\nstaplesPrivate = true", ":2: staplesPrivate: has no meaning without"),
        (
            (
                "[[listener]]\nproxy = 'tcp:localhost:1'\n"
                "[[listener.route]]\nservernames = ['a']\nstatic = 'DIR'\nsendProxy = 'v1'"
            ),
            ":6: sendProxy: has a meaning with proxy only",
        ),
        (
            (
                "ticket-keys = 'memory'\n[[listener]]\noriginate = 'a:1'\nport = 1\n"
                "[[listener]]\noriginate = 'b:1'\nport = 2"
            ),
            ":1: ticket-keys: has no meaning with originate",
        ),
    ],
)
def test_it_is_told_with_file_line_and_key(
    text: str, line: str, inFile: Any, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"^{tmp_path / 'nodetls.toml'}{line}"):
        inFile(text)


def test_what_stands_around_holds_for_those_for_whom_it_means_something(
    inFile: Any, pki: Pki, tmp_path: Path
) -> None:
    text = """
        ticket-keys = "memory"
        strictSNI = true
        certDir = "DIR/certs"
        sendProxy = "v2"
        systemd = "none"
        [[listener]]
        port = 0
        proxy = "tcp:localhost:1"
        [[listener.route]]
        servernames = ["localhost"]
        static = "DIR"
        [[listener]]
        path = "DIR/socket"
        originate = "localhost:1"
    """
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs" / "a.pem").write_bytes(pki.server.key + pki.server.cert)
    web, database = inFile(text).listeners
    assert "ticketKeyRing" in web.options
    assert web.own.sendProxy == "v2"
    assert (web.routes[0].serving.mode, web.routes[0].serving.own.get("sendProxy")) == (
        Mode.STATIC,
        None,
    )
    assert database.options == {}
    assert database.where["path"].endswith("socket")
    # A switch, too, is for those for whom it means something.
    assert inFile(text, backendTimeout="7").listeners[1].own.backendTimeout == 7


def test_a_switch_for_one_listener_has_to_mean_something_there(inFile: Any) -> None:
    text = "[[listener]]\noriginate = 'a:1'\n"
    with pytest.raises(ConfigError, match=r"^--session-store: has no meaning with originate"):
        inFile(text, session_store="memory")


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("a.example:443", ("a.example", 443)),
        ("[::1]:443", ("::1", 443)),
        ("[fe80::1%lo]:1", ("fe80::1%lo", 1)),
        ("a.example:65536", None),
        ("tcp:a.example:443", None),
        ("unix:/1", None),
        ("a/b:1", None),
    ],
)
def test_host_and_port_are_told_from_endpoints(target: str, place: tuple[str, int] | None) -> None:
    assert hostAndPort(target) == place
