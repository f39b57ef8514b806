"""What switches and the file amount to, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.daemon.configuring import only
from txnodetls.constants import SSL_OP_NO_RENEGOTIATION, SSL_OP_NO_TICKET
from txnodetls.daemon.config import readConfig
from txnodetls.daemon.files import Files
from txnodetls.daemon.settings import Mode
from txnodetls.daemon.written import ConfigError


def test_without_switches_it_serves_the_loopback_with_a_throwaway_certificate() -> None:
    config = only({})
    assert config.where == {"host": "127.0.0.1", "port": 8443}
    assert config.serving.mode is Mode.ECHO
    assert config.throwaway is not None
    leaf = x509.load_pem_x509_certificate(config.throwaway)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_the_defaults_are_stricter_than_nodes() -> None:
    options = only({}).options
    assert options["handshakeTimeout"] == 10_000
    assert options["secureOptions"] & SSL_OP_NO_RENEGOTIATION


def test_options_of_nodes_go_by_their_names_in_their_text_form() -> None:
    config = only(
        {
            "port": "0",
            "interface": "::1",
            "backlog": "7",
            "minVersion": "TLSv1.3",
            "ALPNProtocols": "h2, http/1.1",
            "handshakeTimeout": "500",
            "secureOptions": "NO_TICKET",
        }
    )
    assert config.where == {"host": "::1", "port": 0, "backlog": 7}
    assert config.options["minVersion"] == "TLSv1.3"
    assert config.options["ALPNProtocols"] == ["h2", "http/1.1"]
    assert config.options["handshakeTimeout"] == 500
    assert config.options["secureOptions"] == SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION


@pytest.mark.parametrize(
    ("switches", "line"),
    [
        ({"key": "absent", "cert": "cert.pem"}, "--key: cannot read .*absent: No such file"),
        ({"cert": "absent", "key": "key.pem"}, "--cert: cannot read .*absent: No such file"),
        ({"key": "other.pem", "cert": "cert.pem"}, "--key: .*key values mismatch"),
        ({"key": "key.pem", "cert": "garbage.pem"}, "--cert: "),
        ({"key": "garbage.pem", "cert": "cert.pem"}, "--key: "),
        (
            {"key": "locked.pem", "cert": "cert.pem", "passphraseFile": "wrong"},
            "--passphraseFile: .*bad decrypt",
        ),
        ({"key": "locked.pem", "cert": "cert.pem"}, "--key: .*"),
        ({"key": "key.pem"}, "--key: needs cert, too"),
        ({"cert": "cert.pem"}, "--cert: needs key, too"),
        ({"requestCert": "yes"}, "--requestCert: needs ca"),
        ({"requestCert": "maybe", "ca": "ca.pem"}, "--requestCert: 'maybe' is neither true"),
        ({"port": "https"}, "--port: 'https' is not a whole number"),
        ({"port": "65536"}, "--port: '65536' is not a port"),
        ({"interface": "localhost"}, "--interface: 'localhost' is not an IP address"),
        ({"ciphers": "NONSENSE"}, "--ciphers: "),
        ({"minVersion": "TLSv9"}, "--minVersion: .*TLSv9"),
        ({"ecdhCurve": "square"}, "--ecdhCurve: "),
        ({"proxy": "nowhere"}, "--proxy: 'nowhere' is no client endpoint: "),
        ({"proxy": "tcp:localhost:1", "echo": "yes"}, "--proxy: cannot be together with echo"),
        ({"servername": "localhost"}, "--servername: has a meaning with originate only"),
        ({"path": "socket", "port": "1"}, "--port: has no meaning together with path"),
        ({"pskCallback": "x"}, "--pskCallback: is a callback"),
        ({"prot": "1"}, "--prot: unknown; did you mean port?"),
        ({"minVersion": "TLSv1.3", "maxVersion": "TLSv1.2"}, "--maxVersion: leaves no version"),
        ({"maxVersion": "TLSv1.1"}, "--maxVersion: leaves no version"),
        ({"handshakeTimeout": "soon"}, "--handshakeTimeout: 'soon' is not a number"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_that_names_the_switch(
    switches: dict[str, str], line: str, files: Path
) -> None:
    given = {
        name: str(files / text) if text.endswith(".pem") or text in ("absent", "wrong") else text
        for name, text in switches.items()
    }
    with pytest.raises(ConfigError, match=rf"^{line}") as caught:
        readConfig(given)
    assert "\n" not in str(caught.value)
    assert caught.value.name == line[2:].partition(":")[0]


# -- the file


TWO = """
    minVersion = "TLSv1.3"
    handshakeTimeout = 700

    [[listener]]
    name = "web"
    port = 0
    proxy = "tcp:127.0.0.1:8080"
    ALPNProtocols = ["h2", "http/1.1"]

    [[listener]]
    port = 0
    echo = true
    minVersion = "TLSv1.2"
"""


def test_a_file_has_several_listeners_and_what_holds_for_all(inFile: Any) -> None:
    web, echo = inFile(TWO).listeners
    assert (web.name, echo.name) == ("web", "listener2")
    assert (web.serving.mode, web.serving.target) == (Mode.TERMINATE, "tcp:127.0.0.1:8080")
    assert echo.serving.mode is Mode.ECHO
    assert web.options["ALPNProtocols"] == ["h2", "http/1.1"]
    assert (web.options["minVersion"], echo.options["minVersion"]) == ("TLSv1.3", "TLSv1.2")
    assert web.options["handshakeTimeout"] == echo.options["handshakeTimeout"] == 700


def test_without_a_table_the_file_is_one_listener(inFile: Any) -> None:
    (listener,) = inFile('proxy = "tcp:127.0.0.1:1"\nport = 0\n').listeners
    assert (listener.name, listener.serving.mode) == ("nodetls", Mode.TERMINATE)


def test_switches_override_the_file(inFile: Any) -> None:
    web, echo = inFile(TWO, minVersion="TLSv1.2", handshakeTimeout="9").listeners
    assert web.options["minVersion"] == "TLSv1.2"
    assert web.options["handshakeTimeout"] == echo.options["handshakeTimeout"] == 9


def test_a_switch_of_what_is_served_replaces_what_the_file_serves(inFile: Any) -> None:
    (listener,) = inFile("[[listener]]\necho = true\n", proxy="tcp:127.0.0.1:1").listeners
    assert listener.serving.mode is Mode.TERMINATE
    (listener,) = inFile('proxy = "tcp:127.0.0.1:1"\n', path="socket").listeners
    assert listener.where == {"path": "socket"}


def test_a_switch_is_no_place_for_several_listeners(inFile: Any) -> None:
    with pytest.raises(ConfigError, match=r"^--port: there are 2 listeners: say it in .*toml$"):
        inFile(TWO, port="1")


def test_files_that_were_read_are_known_and_can_stand_in_for_the_disk(
    inFile: Any, files: Path, tmp_path: Path
) -> None:
    key, cert = files / "key.pem", files / "cert.pem"
    config = inFile(f'echo = true\nkey = "{key}"\ncert = "{cert}"\n')
    path = str(tmp_path / "nodetls.toml")
    assert set(config.files.contents) == {path, str(key), str(cert)}
    for file in (path, key, cert):
        Path(file).unlink()
    again = readConfig({"config": path}, Files(config.files.contents))
    own = [each.listeners[0].options["secureContext"].ownCertificates for each in (config, again)]
    assert own[0] == own[1]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("port = = 1", r":1: Invalid value \(column 8\)"),
        ("echo = true\n\nprot = 1", ":3: prot: unknown; did you mean port?"),
        ("[[listener]]\necho = true\nport = 'https'", ":3: port: 'https' is not a whole number"),
        ("[[listener]]\nport = 0", ":1: proxy: say what to serve: one of echo, proxy"),
        ("[listener]\necho = true", r": listener: write it as \[\[listener\]\]"),
        ("[[listener]]\n[listener.key]\nx = 1", ": key: there is no such table"),
        ("echo = true\ncert = 'x'\nkey = 'absent'", ":2: cert: cannot read x: No such file"),
        ("[[listener]]\nconfig = 'x'\n", ":2: config: is a switch only"),
        ("[[listener]]\ntrace-tls = true\n", ":2: trace-tls: belongs to the top of the file"),
        (
            (
                "[[listener]]\necho = true\nname = 'a'\nport = 0\n"
                "[[listener]]\necho = true\nname = 'a'\nport = 0\n"
            ),
            ":7: name: 'a' is another listener's, too",
        ),
        (
            "[[listener]]\necho = true\n[[listener]]\necho = true\nport = 8443\n",
            ":5: port: another listener has the same",
        ),
        ("echo = true\nciphers = 'NONSENSE'", ":2: ciphers: "),
        ("echo = true\nminVersion = 13", ":2: minVersion: "),
        ("echo = true\nport = [1]", ":2: port: a list does not make its value"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_line_and_key(
    text: str, line: str, inFile: Any, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"^{tmp_path / 'nodetls.toml'}{line}") as caught:
        inFile(text)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_a_wrong_switch() -> None:
    with pytest.raises(ConfigError, match=r"^--config: cannot read absent\.toml: No such file"):
        readConfig({"config": "absent.toml"})
