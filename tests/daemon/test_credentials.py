"""Certificates, keys and trust of a listener, and a directory of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tests.daemon.configuring import only
from tests.support import Pki


def test_a_certificate_of_ones_own_is_used(files: Path, pki: Pki) -> None:
    config = only({"key": str(files / "key.pem"), "cert": str(files / "cert.pem")})
    assert config.throwaway is None
    leaf = x509.load_pem_x509_certificate(pki.server.cert)
    own = config.options["secureContext"].ownCertificates
    assert own[0][0] == leaf.public_bytes(serialization.Encoding.DER)


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
