"""Rules about clients' certificates."""

from __future__ import annotations

import datetime
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from txnodetls.daemon.rules import Rules, readRules

KEY = ec.generate_private_key(ec.SECP256R1())
NOW = datetime.datetime.now(datetime.UTC)


def certificate(*subject: tuple[x509.ObjectIdentifier, str], names: list = ()) -> bytes:  # type: ignore[assignment, type-arg]
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in subject])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + datetime.timedelta(days=1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)


BACKUP = certificate((NameOID.COMMON_NAME, "backup"), (NameOID.ORGANIZATION_NAME, "Example"))
NAMED = certificate(
    (NameOID.COMMON_NAME, "x"),
    names=[
        x509.DNSName("a.hosts.example"),
        x509.UniformResourceIdentifier("spiffe://example/web/1"),
        x509.RFC822Name("a@example"),
        x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
    ],
)
WILD = certificate((NameOID.COMMON_NAME, "x"), names=[x509.DNSName("*.hosts.example")])


@pytest.mark.parametrize(
    ("entry", "fits"),
    [
        ("CN=backup", True),
        ("CN=backup+O=Example", True),
        ("O=Example", True),
        ("CN=backup+O=Other", False),
        ("CN=back", False),
        ("CN=Example", False),
        ("OU=backup", False),
    ],
)
def test_subjects(entry: str, fits: bool) -> None:
    assert readRules([entry], []).admit(BACKUP) is fits


@pytest.mark.parametrize(
    ("entry", "fits"),
    [
        ("DNS:a.hosts.example", True),
        ("DNS:*.hosts.example", True),
        ("DNS:*.example", False),
        ("DNS:hosts.example", False),
        ("URI:spiffe://example/web/*", True),
        ("URI:spiffe://example/web/1", True),
        ("URI:spiffe://example/we", False),
        ("email:a@example", True),
        ("email:b@example", False),
        ("IP:192.0.2.1", True),
        ("DNS:192.0.2.1", False),
    ],
)
def test_names(entry: str, fits: bool) -> None:
    assert readRules([], [entry]).admit(NAMED) is fits
    assert readRules([], [entry]).admit(BACKUP) is False


def test_a_clients_own_wildcard_stands_for_nothing() -> None:
    assert not readRules([], ["DNS:a.hosts.example"]).admit(WILD)
    assert readRules([], ["DNS:*.hosts.example"]).admit(WILD)


def test_a_common_name_is_not_a_dns_name() -> None:
    only = certificate((NameOID.COMMON_NAME, "a.hosts.example"))
    assert not readRules([], ["DNS:a.hosts.example"]).admit(only)


def test_one_entry_of_either_list_is_enough() -> None:
    rules = readRules(["CN=backup"], ["email:a@example"])
    assert rules.admit(BACKUP)
    assert rules.admit(NAMED)
    assert not rules.admit(WILD)


def test_who_has_no_certificate_fits_no_rule() -> None:
    assert readRules(["CN=x"], []).admit(None) is False
    assert readRules(["CN=x"], []).admit(b"nonsense") is False
    assert Rules().admit(None) is True


def test_a_plus_sign_in_a_value_is_escaped() -> None:
    odd = certificate((NameOID.COMMON_NAME, "a+b, c"))
    assert readRules(["CN=a\\+b, c"], []).admit(odd)


@pytest.mark.parametrize(
    ("subjects", "names"),
    [
        (["backup"], []),
        (["XX=y"], []),
        (["CN="], []),
        ([], ["a.example"]),
        ([], ["dns:a"]),
        ([], ["DNS:*"]),
        ([], ["DNS:a.*.b"]),
        ([], ["URI:*x"]),
    ],
)
def test_a_wrong_entry_is_an_error(subjects: list[str], names: list[str]) -> None:
    with pytest.raises(ValueError, match=r"is n|has a star"):
        readRules(subjects, names)
