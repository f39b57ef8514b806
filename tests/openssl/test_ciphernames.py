"""The IETF's names of the cipher suites."""

from __future__ import annotations

import subprocess

import pytest

from tests.support import requireTool
from txnodetls import getCiphers
from txnodetls.openssl.ciphernames import _NAMES, standardName


@pytest.mark.parametrize(
    ("name", "standard"),
    [
        ("ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        ("AES256-SHA", "TLS_RSA_WITH_AES_256_CBC_SHA"),
        ("DHE-PSK-CHACHA20-POLY1305", "TLS_DHE_PSK_WITH_CHACHA20_POLY1305_SHA256"),
        ("TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
        ("UNHEARD-OF", "UNHEARD-OF"),
    ],
)
def test_names(name: str, standard: str) -> None:
    assert standardName(name) == standard


def test_every_cipher_of_this_openssl_has_one() -> None:
    known = {name.lower() for name in _NAMES}
    for name in getCiphers():
        assert name in known or name.startswith("tls_")


def test_no_two_ciphers_have_the_same() -> None:
    assert len(set(_NAMES.values())) == len(_NAMES)


def test_openssl_says_the_same() -> None:
    done = subprocess.run(
        [requireTool("openssl"), "ciphers", "-stdname", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    lines = [line.split() for line in done.stdout.splitlines() if line]
    assert len(lines) > 50
    for standard, _, name, *_ in lines:
        assert standardName(name) == standard
