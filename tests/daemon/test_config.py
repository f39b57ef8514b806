"""What switches and the file amount to, and what is said of wrong ones."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tests.support import Pki
from txnodetls.constants import SSL_OP_NO_RENEGOTIATION, SSL_OP_NO_TICKET
from txnodetls.daemon.config import Config, ListenerConfig, Mode, readConfig
from txnodetls.daemon.files import Files
from txnodetls.daemon.written import ConfigError


@pytest.fixture
def files(pki: Pki, tmp_path: Path) -> Path:
    """A directory with key.pem, cert.pem, ca.pem, locked.pem (passphrase: sesame)."""
    (tmp_path / "key.pem").write_bytes(pki.server.key)
    (tmp_path / "cert.pem").write_bytes(pki.server.cert)
    (tmp_path / "ca.pem").write_bytes(pki.ca)
    (tmp_path / "other.pem").write_bytes(pki.client.key)
    (tmp_path / "garbage.pem").write_text("-----BEGIN CERTIFICATE-----\nnonsense\n")
    key = serialization.load_pem_private_key(pki.server.key, None)
    (tmp_path / "locked.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"sesame"),
        )
    )
    (tmp_path / "right").write_text("sesame\n")
    (tmp_path / "wrong").write_text("simsim\n")
    return tmp_path


def only(switches: dict[str, str]) -> ListenerConfig:
    """The one listener of these switches."""
    (listener,) = readConfig(switches).listeners
    return listener


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


def test_a_certificate_of_ones_own_is_used(files: Path, pki: Pki) -> None:
    config = only({"key": str(files / "key.pem"), "cert": str(files / "cert.pem")})
    assert config.throwaway is None
    leaf = x509.load_pem_x509_certificate(pki.server.cert)
    own = config.options["secureContext"].ownCertificates
    assert own[0][0] == leaf.public_bytes(serialization.Encoding.DER)


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


def test_ca_asks_clients_for_a_certificate(files: Path) -> None:
    assert only({"ca": str(files / "ca.pem")}).options["requestCert"] is True
    explicit = {"ca": str(files / "ca.pem"), "requestCert": "no"}
    assert only(explicit).options["requestCert"] is False


def test_a_passphrase_from_a_file_opens_the_key(files: Path) -> None:
    config = only(
        {
            "key": str(files / "locked.pem"),
            "cert": str(files / "cert.pem"),
            "passphraseFile": str(files / "right"),
        }
    )
    assert config.options["secureContext"].hasCertificate


def test_the_result_does_not_change() -> None:
    config = only({})
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.name = "another"  # type: ignore[misc]


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


@pytest.fixture
def inFile(tmp_path: Path) -> Callable[..., Config]:
    """Reads a configuration from this text, and from switches."""

    def read(text: str, **switches: str) -> Config:
        path = tmp_path / "nodetls.toml"
        path.write_text(textwrap.dedent(text))
        return readConfig({"config": str(path), **switches})

    return read


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


# -- Node's switches


@pytest.mark.parametrize(
    ("switches", "minimum", "maximum"),
    [
        (["tls-min-v1.3"], "TLSv1.3", None),
        (["tls-min-v1.3", "tls-min-v1.1"], "TLSv1.1", None),
        (["tls-v1.0", "tls-min-v1.2"], "TLSv1", None),
        (["tls-max-v1.2"], None, "TLSv1.2"),
        (["tls-max-v1.2", "tls-max-v1.3"], None, "TLSv1.3"),
    ],
)
def test_nodes_switches_for_versions(
    switches: list[str], minimum: str | None, maximum: str | None
) -> None:
    options = only(dict.fromkeys(switches, "yes")).options
    assert (options.get("minVersion"), options.get("maxVersion")) == (minimum, maximum)


def test_nodes_switches_have_to_leave_a_version() -> None:
    with pytest.raises(ConfigError, match=r"^--tls-min-v1\.3: cannot be together with"):
        only({"tls-min-v1.3": "yes", "tls-max-v1.2": "yes"})


def test_nodes_switches_stand_back_behind_options() -> None:
    options = only({"tls-min-v1.3": "yes", "minVersion": "TLSv1.2"}).options
    assert options["minVersion"] == "TLSv1.2"
    only({"tls-min-v1.3": "yes", "secureProtocol": "TLSv1_2_method"})


def test_nodes_switches_for_ciphers_and_traces() -> None:
    options = only({"tls-cipher-list": "ECDHE-RSA-AES128-GCM-SHA256", "trace-tls": "yes"}).options
    assert options["ciphers"] == "ECDHE-RSA-AES128-GCM-SHA256"
    assert options["enableTrace"] is True


# -- routes, certificates by name, rules


@pytest.fixture
def withFiles(inFile: Any, files: Path, pki: Pki) -> Callable[..., Config]:
    """The same, with key, cert, ca and a directory of certificates."""
    (files / "certs").mkdir()
    for name in ("a", "b"):
        pair = pki.issue(f"{name}.example", f"*.{name}.example")
        (files / "certs" / f"{name}.pem").write_bytes(pair.cert + pair.key)
    top = "".join(f'{name} = "{files / name}.pem"\n' for name in ("key", "cert"))

    def read(text: str, top: str = top) -> Config:
        return inFile(top + textwrap.dedent(text).replace("DIR", str(files)))

    return read


ROUTES = """
    proxy = "tcp:127.0.0.1:1"
    [[listener]]
    [[listener.route]]
    servernames = ["a.example", "*.b.example"]
    protocols = ["h2"]
    static = "DIR"
    [[listener.route]]
    name = "staff"
    servernames = ["staff.example"]
    ca = "DIR/ca.pem"
    clientSubject = ["CN=x", "CN=y+O=z"]
"""


def test_routes_say_for_whom_they_are(withFiles: Any) -> None:
    (listener,) = withFiles(ROUTES).listeners
    first, staff = listener.routes
    assert (first.name, staff.name) == ("route1", "staff")
    assert first.takes("A.example", "h2")
    assert first.takes("x.b.example", "h2")
    assert not first.takes("a.example", "http/1.1")
    assert not first.takes(None, "h2")
    assert first.serving.mode is Mode.STATIC
    assert staff.serving.mode is Mode.TERMINATE


def test_a_route_has_its_own_trust_and_rules_and_the_listeners_certificate(withFiles: Any) -> None:
    (listener,) = withFiles(ROUTES).listeners
    staff = listener.routes[1]
    context = listener.contexts.find("staff.example")
    assert context is staff.context
    assert context.options["requestCert"] is True
    assert context.ownCertificates == listener.options["secureContext"].ownCertificates
    assert not listener.options.get("requestCert")
    assert len(staff.rules.subjects) == 2
    assert listener.contexts.find("a.example") is None


def test_certificates_of_a_directory_are_found_by_their_names(withFiles: Any) -> None:
    (listener,) = withFiles('echo = true\ncertDir = "DIR/certs"\n', top="").listeners
    a, b = (listener.contexts.find(f"{name}.example") for name in "ab")
    assert a is not None
    assert a is not b
    assert listener.contexts.find("x.a.example") is a
    assert listener.contexts.find("c.example") is None
    default = listener.options["secureContext"]
    assert default.ownCertificates == a.ownCertificates
    assert listener.throwaway is None
    assert {each.name for each in listener.validities} == {"a", "b"}


def test_a_certificate_of_its_own_stands_before_those_of_the_directory(withFiles: Any) -> None:
    (listener,) = withFiles('echo = true\ncertDir = "DIR/certs"\n').listeners
    default = listener.options["secureContext"].ownCertificates
    assert default != listener.contexts.find("a.example").ownCertificates


def test_strict_names_leave_no_certificate_for_others(withFiles: Any) -> None:
    text = 'echo = true\ncertDir = "DIR/certs"\nstrictSNI = true\n'
    (listener,) = withFiles(text, top="").listeners
    assert not listener.options["secureContext"].hasCertificate
    assert listener.contexts.find("a.example") is not None
    assert listener.contexts.find("c.example") is None


def test_strict_names_leave_the_listeners_certificate_to_its_routes(withFiles: Any) -> None:
    text = (
        "echo = true\nstrictSNI = true\n[[listener]]\n[[listener.route]]\n"
        "servernames = ['x.example']\nstatic = 'DIR'\n"
    )
    (listener,) = withFiles(text).listeners
    assert not listener.options["secureContext"].hasCertificate
    assert listener.contexts.find("x.example").hasCertificate
    assert listener.contexts.find("a.example") is None
    assert [each.name for each in listener.validities] == ["default"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[[listener]]\necho = true\nservernames = ['a']", "servernames: belongs to a route"),
        ("[[listener]]\necho = true\n[[listener.route]]\necho = true", "servernames: or protocols"),
        (
            "[[listener]]\necho = true\n[[listener.route]]\nservernames = ['*']",
            r"servernames: '\*' is neither a name nor a wildcard",
        ),
        (
            "[[listener]]\necho = true\n[[listener.route]]\nprotocols = ['h2']\nca = 'DIR/ca.pem'",
            "ca: needs servernames",
        ),
        (
            "[[listener]]\necho = true\n[[listener.route]]\nservernames = ['a']\nport = 5",
            "port: belongs to the listener",
        ),
        (
            (
                "echo = true\n[[listener]]\n[[listener.route]]\nservernames = ['a']"
                "\nkey = 'DIR/key.pem'"
            ),
            "key: needs cert, too",
        ),
        (
            (
                "[[listener]]\necho = true\n[[listener.route]]\nservernames = ['a']\n"
                "[[listener.route]]\nservernames = ['a']\nca = 'DIR/ca.pem'"
            ),
            "ca: a is route route1's, too: say it there",
        ),
        (
            (
                "[[listener]]\necho = true\n[[listener.route]]\nname = 'x'\nservernames = ['a']\n"
                "[[listener.route]]\nname = 'x'\nservernames = ['b']"
            ),
            "name: 'x' is another route's, too",
        ),
        ("echo = true\nclientSubject = ['CN=x']", "clientSubject: needs ca"),
        (
            "echo = true\nca = 'DIR/ca.pem'\nrejectUnauthorized = false\nclientSAN = ['DNS:x.y']",
            "clientSAN: needs ca, and clients that are refused",
        ),
        ("echo = true\nca = 'DIR/ca.pem'\nclientSAN = ['x']", "clientSAN: 'x' is not KIND:NAME"),
        ("echo = true\nstrictSNI = true", "strictSNI: needs certDir"),
        ("echo = true\ncertDir = 'absent'", "certDir: cannot read absent: No such file"),
        ("originate = 'a:1'\ncertDir = 'DIR/certs'", "certDir: has no meaning with originate"),
        ("originate = 'unix:/x'", "servername: is needed"),
        ("static = 'absent'", "static: absent is no directory"),
    ],
)
def test_what_is_wrong_with_routes_and_rules_is_told(text: str, line: str, withFiles: Any) -> None:
    with pytest.raises(ConfigError, match=f"[0-9]: {line}|: {line}"):
        withFiles(text)
