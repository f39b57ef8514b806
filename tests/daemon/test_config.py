"""The daemon's switches: what they amount to, and what is said of wrong ones."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tests.support import Pki
from txnodetls.constants import SSL_OP_NO_RENEGOTIATION, SSL_OP_NO_TICKET
from txnodetls.daemon.config import Options, SwitchError, readConfig
from txnodetls.options import SERVER


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


def test_without_switches_it_serves_the_loopback_with_a_throwaway_certificate() -> None:
    config = readConfig({})
    assert config.where == {"host": "127.0.0.1", "port": 8443}
    assert config.proxy is None
    assert config.throwaway is not None
    leaf = x509.load_pem_x509_certificate(config.throwaway)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_the_defaults_are_stricter_than_nodes() -> None:
    options = readConfig({}).options
    assert options["handshakeTimeout"] == 10_000
    assert options["secureOptions"] & SSL_OP_NO_RENEGOTIATION


def test_a_certificate_of_ones_own_is_used(files: Path, pki: Pki) -> None:
    config = readConfig({"key": str(files / "key.pem"), "cert": str(files / "cert.pem")})
    assert config.throwaway is None
    leaf = x509.load_pem_x509_certificate(pki.server.cert)
    own = config.options["secureContext"].ownCertificates
    assert own[0][0] == leaf.public_bytes(serialization.Encoding.DER)


def test_options_of_nodes_go_by_their_names_in_their_text_form() -> None:
    config = readConfig(
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
    assert readConfig({"ca": str(files / "ca.pem")}).options["requestCert"] is True
    explicit = {"ca": str(files / "ca.pem"), "requestCert": "no"}
    assert readConfig(explicit).options["requestCert"] is False


def test_a_passphrase_from_a_file_opens_the_key(files: Path) -> None:
    config = readConfig(
        {
            "key": str(files / "locked.pem"),
            "cert": str(files / "cert.pem"),
            "passphraseFile": str(files / "right"),
        }
    )
    assert config.options["secureContext"].hasCertificate


def test_the_result_does_not_change() -> None:
    config = readConfig({})
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.proxy = "tcp:x:1"  # type: ignore[misc]


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
        ({"key": "key.pem"}, "--key: needs --cert, too"),
        ({"cert": "cert.pem"}, "--cert: needs --key, too"),
        ({"requestCert": "yes"}, "--requestCert: needs --ca"),
        ({"requestCert": "maybe", "ca": "ca.pem"}, "--requestCert: 'maybe' is neither true"),
        ({"port": "https"}, "--port: 'https' is not a whole number"),
        ({"port": "65536"}, "--port: '65536' is not a port"),
        ({"interface": "localhost"}, "--interface: 'localhost' is not an IP address"),
        ({"ciphers": "NONSENSE"}, "--ciphers: "),
        ({"minVersion": "TLSv9"}, "--minVersion: .*TLSv9"),
        ({"ecdhCurve": "square"}, "--ecdhCurve: "),
        ({"handshakeTimeout": "soon"}, "--handshakeTimeout: 'soon' is not a number"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_that_names_the_switch(
    switches: dict[str, str], line: str, files: Path
) -> None:
    given = {
        name: str(files / text) if "." in text or text in ("absent", "wrong") else text
        for name, text in switches.items()
    }
    with pytest.raises(SwitchError, match=rf"^{line}") as caught:
        readConfig(given)
    assert "\n" not in str(caught.value)
    assert caught.value.switch == line[2:].partition(":")[0]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--cret", "x"], "--cret: unknown; did you mean --cert?"),
        (["--port", "x"], "--port: 'x' is not a whole number"),
        (["stray"], "Wrong number of arguments"),
        (["--key"], "option --key requires argument"),
    ],
)
def test_on_the_command_line_it_ends_the_program(arguments: list[str], line: str) -> None:
    with pytest.raises(SystemExit) as caught:
        Options().parseOptions(arguments)
    assert str(caught.value.code).startswith(f"twistd nodetls: {line}")


def test_every_option_with_a_text_form_is_a_switch() -> None:
    switches = {row[0] for row in Options.optParameters}
    own = {"allowHalfOpen", "pauseOnConnect", "highWaterMark"}
    assert set(SERVER.textNames()) - switches == own
    assert len(switches) == len(Options.optParameters)


def test_help_lists_them() -> None:
    text = str(Options())
    assert "--proxy=" in text
    assert "-p, --port=" in text
