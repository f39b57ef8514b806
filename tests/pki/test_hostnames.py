"""Host names and addresses in one spelling; recorded from Node 24's C{url.domainToASCII}."""

from __future__ import annotations

import time

import pytest

from txnodetls.pki.hostnames import addressText, domainToASCII, readAddress


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("", ""),
        ("A.Test", "a.test"),
        ("a.test.", "a.test."),
        ("a..test", "a..test"),
        ("a_b.test", "a_b.test"),
        ("-a.test", "-a.test"),
        ("*.a.test", "*.a.test"),
        ("bücher.test", "xn--bcher-kva.test"),
        ("BÜCHER.test", "xn--bcher-kva.test"),
        ("bu\u0308cher.test", "xn--bcher-kva.test"),
        ("XN--bcher-KVA.test", "xn--bcher-kva.test"),
        ("straße.test", "xn--strae-oqa.test"),
        ("ⓐ.test", "a.test"),
        ("a。test", "a.test"),
        ("a\u00adb.test", "ab.test"),
        ("😀.test", "xn--e28h.test"),
        ("א1.test", "xn--1-zhc.test"),
        ("≠.test", "xn--1ch.test"),
        ("a\u200db.test", ""),
        ("\u0301a.test", ""),
        ("xn--a.test", ""),
        ("xn--", ""),
        ("xn--a-ö.test", ""),
        ("a b.test", ""),
        ("a\0.test", ""),
        ("[::1]", ""),
        ("::1", ""),
        ("a:80", ""),
        ("x\ud800y.test", ""),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0177.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("１２７.0.0.1", "127.0.0.1"),
        ("0", "0.0.0.0"),
        ("0x", "0.0.0.0"),
        ("1.2.3.256", ""),
        ("1.2.3.4.5", ""),
        ("256.1", ""),
        ("4294967296", ""),
        ("09.1", ""),
        ("a.1", ""),
        ("1.a", "1.a"),
    ],
)
def test_a_host_in_ascii(host: str, expected: str) -> None:
    assert domainToASCII(host) == expected


@pytest.mark.parametrize("rest", ["/x", "?x", "#x", "\\x", "\n", "%62", "<", "|", "^", "@x"])
def test_nothing_is_left_off(rest: str) -> None:
    """Node's own function leaves off what follows some of these."""
    assert domainToASCII(f"a.test{rest}") == ""


def test_a_host_of_any_length_is_dealt_with_at_once() -> None:
    started = time.monotonic()
    assert domainToASCII("ü" * 1_000_000) == ""
    assert domainToASCII("9" * 1_000_000) == ""
    assert domainToASCII("a" * 1_000_000) == "a" * 1_000_000
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("::0001", "::1"),
        ("FE80::1%eth0", "fe80::1"),
        ("::ffff:102:304", "::ffff:1.2.3.4"),
        ("01.2.3.4", None),
        ("1.2.3", None),
        ("1.2.3.4%eth0", None),
        ("fe80::1%", None),
        ("fe80::1%a b", None),
        ("fe80::1%a%b", None),
        ("１.2.3.4", None),
        (" ::1", None),
        ("", None),
    ],
)
def test_addresses(text: str, expected: str | None) -> None:
    found = readAddress(text)
    assert (None if found is None else addressText(found)) == expected
