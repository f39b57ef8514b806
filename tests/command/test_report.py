"""Findings as text."""

from __future__ import annotations

import datetime
from typing import Any

import attrs
import pytest

from txnodetls.command.findings import Findings, Link, Origin, Session
from txnodetls.command.report import render
from txnodetls.command.terminal import PLAIN, Palette

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def link(name: str, issuer: str, origin: Origin = Origin.SENT, **more: Any) -> Link:
    given: dict[str, Any] = {
        "subject": f"CN={name}",
        "issuer": f"CN={issuer}",
        "names": None,
        "validFrom": NOW - datetime.timedelta(days=30),
        "validTo": NOW + datetime.timedelta(days=60, hours=1),
        "shownFrom": "Dec  2 00:00:00 2025 GMT",
        "shownTo": "Mar  2 01:00:00 2026 GMT",
        "key": "EC, P-256",
        "signature": "ecdsa-with-SHA256",
        "serial": "01",
        "fingerprint": "AA:BB",
        "origin": origin,
        "selfIssued": name == issuer,
        "pem": f"-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----\n",
        **more,
    }
    return Link(**given)


CHAIN = (
    link("a.test", "Middle", names="DNS:a.test"),
    link("Middle", "Root"),
    link("Root", "Root", Origin.TRUSTED),
)
FOUND = Findings(
    address="127.0.0.1",
    port=443,
    name="a.test",
    servername="a.test",
    trusted=True,
    code=None,
    reason=None,
    protocol="TLSv1.3",
    cipher="TLS_AES_256_GCM_SHA384",
    group="X25519",
    alpn="h2",
    staple=None,
    session=Session(False, (208,)),
    chain=CHAIN,
    unused=(),
)


def shown(**changes: Any) -> str:
    return render(attrs.evolve(FOUND, **changes), PLAIN, NOW)


def test_the_whole() -> None:
    assert shown() == (
        "connected  127.0.0.1:443\n"
        "asked for  a.test\n"
        "protocol   TLSv1.3\n"
        "cipher     TLS_AES_256_GCM_SHA384\n"
        "group      X25519\n"
        "ALPN       h2\n"
        "staple     none\n"
        "session    new, to be resumed with a ticket of 208 bytes\n"
        "\n"
        "certificates\n"
        "  CN=a.test\n"
        "  │ names      DNS:a.test\n"
        "  │ valid      Dec  2 00:00:00 2025 GMT to Mar  2 01:00:00 2026 GMT (60 days left)\n"
        "  │ key        EC, P-256\n"
        "  │ signature  ecdsa-with-SHA256\n"
        "  │ serial     01\n"
        "  │ SHA-256    AA:BB\n"
        "  └ CN=Middle\n"
        "    │ valid      Dec  2 00:00:00 2025 GMT to Mar  2 01:00:00 2026 GMT (60 days left)\n"
        "    │ key        EC, P-256\n"
        "    │ signature  ecdsa-with-SHA256\n"
        "    │ serial     01\n"
        "    │ SHA-256    AA:BB\n"
        "    └ CN=Root (trusted here, not sent)\n"
        "        valid      Dec  2 00:00:00 2025 GMT to Mar  2 01:00:00 2026 GMT (60 days left)\n"
        "        key        EC, P-256\n"
        "        signature  ecdsa-with-SHA256, by itself\n"
        "        serial     01\n"
        "        SHA-256    AA:BB\n"
        "\n"
        "trusted for a.test\n"
    )


def test_a_chain_that_ends_early_says_whose_word_is_missing() -> None:
    text = shown(chain=CHAIN[:2])
    assert "    └ CN=Root is not known here\n" in text


def test_a_server_without_a_certificate() -> None:
    text = shown(chain=())
    assert "none: the server has shown no certificate\n" in text
    assert text.endswith("\ntrusted\n")


@pytest.mark.parametrize(
    ("since", "until", "remark"),
    [
        (-2, -1, "(1 day ago)"),
        (-30, -10, "(10 days ago)"),
        (1, 2, "(not yet)"),
        (-1, 0, "(0 days left)"),
        (None, 1, "(makes no sense)"),
    ],
)
def test_the_time_of_a_certificate(since: int | None, until: int, remark: str) -> None:
    def at(days: int | None) -> datetime.datetime | None:
        return None if days is None else NOW + datetime.timedelta(days=days)

    text = shown(chain=(link("a", "a", validFrom=at(since), validTo=at(until)),))
    assert f"GMT {remark}\n" in text


@pytest.mark.parametrize(
    ("session", "words"),
    [
        (Session(False), "new, not to be resumed"),
        (Session(True), "resumed"),
        (Session(False, (0,)), "new, to be resumed with a session id"),
        (Session(True, (1, 2)), "resumed, to be resumed with a ticket of 1 bytes or a ticket of"),
    ],
)
def test_sessions(session: Session, words: str) -> None:
    assert f"session    {words}" in shown(session=session)


def test_what_is_not_trusted_says_why_and_what_may_help() -> None:
    text = shown(trusted=False, code="CERT_HAS_EXPIRED", reason="certificate has expired")
    assert "\nnot trusted: certificate has expired (CERT_HAS_EXPIRED)\nOne in the chain" in text
    bare = shown(trusted=False, code="CERT_REVOKED", reason="certificate revoked")
    assert bare.endswith("\nnot trusted: certificate revoked (CERT_REVOKED)\n")


def test_addresses_and_names() -> None:
    text = shown(address="::1", servername=None, name="::1", unused=("CN=other",))
    assert "connected  [::1]:443\n" in text
    assert "asked for  ::1, without sending a name\n" in text
    assert "also sent, to no use: CN=other\n" in text


def test_only_certificates_that_were_sent_come_as_pem() -> None:
    text = render(FOUND, PLAIN, NOW, pem=True)
    assert text.count("BEGIN CERTIFICATE") == 2
    assert "\nRoot\n" not in text


def test_nothing_of_the_peers_gets_to_the_terminal_as_it_is() -> None:
    evil = "x\x1b]0;owned\x07\n\u202e"
    hostile = link(evil, evil, names=evil, serial=evil, selfIssued=False)
    text = shown(
        name="a.test",
        alpn=evil,
        cipher=evil,
        staple=evil,
        trusted=False,
        reason=evil,
        chain=(hostile, hostile),
        unused=(evil,),
    )
    assert "owned" in text
    assert all(line.isprintable() for line in text.split("\n"))


def test_colours_only_where_they_are_wanted() -> None:
    assert "\x1b" not in render(FOUND, PLAIN, NOW)
    coloured = render(FOUND, Palette(True), NOW)
    assert "\x1b[32mtrusted for a.test\x1b[0m" in coloured
