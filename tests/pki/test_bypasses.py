"""
Ways in which certificates have fooled programs, each by its name.

What went wrong elsewhere, in Node, in browsers, in libraries, is tried here on
real encodings, against everything that says whether a certificate is good for a
name.  What goes wrong in a chain is in `tests/test_bypasses.py`.
"""

from __future__ import annotations

import hashlib
import ipaddress
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.pki.building import (
    COMMON_NAME,
    IA5,
    UTF8,
    altName,
    certificate,
    extension,
    ia5,
    name,
    oid,
    rsaKey,
    sequence,
    simpleName,
    text,
)
from txnodetls.errors import NodeError, NodeTypeError
from txnodetls.pki import der
from txnodetls.pki.certificates import certificateObject
from txnodetls.pki.identity import checkServerIdentity
from txnodetls.pki.x509certificate import X509Certificate

EMAIL, DNS, URI, IP = 0x81, 0x82, 0x86, 0x87
GOOD, EVIL = "good.test", "evil.test"


def accepted(host: str, encoded: bytes) -> bool:
    """Whether anything takes the certificate for this host's."""
    try:
        identity = checkServerIdentity(host, certificateObject(encoded)) is None
    except NodeError:
        identity = False
    try:
        matched = X509Certificate(encoded).checkHost(host) is not None
    except NodeTypeError:
        matched = False  # OpenSSL wants no NUL
    return identity or matched


def both(host: str, encoded: bytes) -> bool:
    """Whether both checks take it."""
    found = X509Certificate(encoded).checkHost(host)
    return found is not None and checkServerIdentity(host, certificateObject(encoded)) is None


def named(*names: str | bytes, subject: str = "x") -> bytes:
    """A certificate for DNS names."""
    return certificate(altName(*(ia5(DNS, each) for each in names)), subject=simpleName(subject))


def addressed(*addresses: str) -> bytes:
    packed = (ipaddress.ip_address(each).packed for each in addresses)
    return certificate(altName(*(der.encode(IP, each) for each in packed)))


def test_the_checks_do_accept_what_is_good() -> None:
    """Or else the rest of this file would say nothing."""
    assert both(GOOD, named(GOOD))
    assert both(f"www.{GOOD}", named(f"*.{GOOD}"))
    assert both(GOOD, certificate(subject=simpleName(GOOD)))
    assert checkServerIdentity("127.0.0.1", certificateObject(addressed("127.0.0.1"))) is None


# -- a name that ends early, or hides another


@pytest.mark.parametrize("value", [f"{GOOD}\0.{EVIL}", f"{GOOD}\0", f"\0{GOOD}"])
def test_a_nul_in_a_common_name_cve_2009_2408(value: str) -> None:
    for tag in (UTF8, IA5, 0x13, 0x14):
        encoded = certificate(subject=name([(COMMON_NAME, text(value, tag))]))
        assert not accepted(GOOD, encoded)
        assert not accepted(value, encoded)


@pytest.mark.parametrize("value", [f"{GOOD}\0.{EVIL}", f"{GOOD}\0", f"\0{GOOD}"])
def test_a_nul_in_an_alternative_name_cve_2013_4238_cve_2013_4073(value: str) -> None:
    assert not accepted(GOOD, named(value))
    assert not accepted(value, named(value))


def test_a_uri_taken_for_a_host_cve_2021_44531() -> None:
    for value in (f"http://{GOOD}/", f"https://{GOOD}", GOOD, f"http://*.{GOOD}/"):
        assert not accepted(GOOD, certificate(altName(ia5(URI, value))))


@pytest.mark.parametrize(
    "value",
    [
        f"x, DNS:{EVIL}",
        f'x", DNS:{EVIL}',
        f'x\\", DNS:{EVIL}',
        f'", DNS:{EVIL}, DNS:"',
        f"x\\, DNS:{EVIL}",
        f"x\\u002c DNS:{EVIL}",
        f"x\n, DNS:{EVIL}",
        f"x',DNS:{EVIL}",
    ],
)
def test_a_name_with_another_in_it_cve_2021_44532(value: str) -> None:
    mailbox = oid("1.3.6.1.5.5.7.8.9") + der.encode(0xA0, text(value))
    realm = oid("1.3.6.1.5.5.7.8.7") + der.encode(0xA0, text(value, IA5))
    for each in (
        ia5(EMAIL, value),
        ia5(DNS, value),
        ia5(URI, value),
        der.encode(0xA4, simpleName(value)),
        der.encode(0xA0, mailbox),
        der.encode(0xA0, realm),
    ):
        assert not accepted(EVIL, certificate(altName(each), subject=simpleName("x")))
        assert both(GOOD, certificate(altName(ia5(DNS, GOOD), each)))


@pytest.mark.parametrize(
    "value", [f"x\nCN={EVIL}", f"x, CN={EVIL}", f"x/CN={EVIL}", f"x+CN={EVIL}"]
)
def test_a_subject_with_another_in_it_cve_2021_44533_cve_2014_3577(value: str) -> None:
    """Lines in Node, commas in Apache HttpClient."""
    for kind in ("2.5.4.10", COMMON_NAME, "1.2.3.4"):
        encoded = certificate(subject=name([(kind, text(value))]))
        assert not accepted(EVIL, encoded)
        subject = certificateObject(encoded)["subject"]
        assert list(subject.values()) == [value]


def test_names_that_are_javascripts_own_cve_2022_21824_kind() -> None:
    """A key is a key: a dictionary has no prototype."""
    for word in ("__proto__", "constructor", "toString", "hasOwnProperty"):
        encoded = certificate(subject=name([("2.5.4.10", text(word))], [(COMMON_NAME, text(word))]))
        shown = certificateObject(encoded)
        assert shown["subject"] == {"O": word, "CN": word}
        assert not accepted(GOOD, encoded)


# -- wildcards


@pytest.mark.parametrize(
    ("pattern", "host"),
    [
        ("*", "test"),
        ("*", GOOD),
        ("*.", "test."),
        ("*.test", GOOD),
        ("*.*", GOOD),
        ("*.*.test", f"www.{GOOD}"),
        ("www.*.test", f"www.{GOOD}"),
        (f"*.{GOOD}", GOOD),
        (f"*.{GOOD}", f"a.b.{GOOD}"),
        (f"*{GOOD}", GOOD),
        (f"*.{GOOD}", f"a.x{GOOD}"),
        (f"**.{GOOD}", f"aa.{GOOD}"),
        (f"w*w*.{GOOD}", f"wwww.{GOOD}"),
    ],
)
def test_wildcards_that_reach_too_far_cve_2016_7099_cve_2015_1855(pattern: str, host: str) -> None:
    assert not accepted(host, named(pattern))
    assert not accepted(host, certificate(subject=simpleName(pattern)))


def test_a_wildcard_for_an_address_cve_2010_3170_cve_2014_0139() -> None:
    for pattern in ("*.0.0.1", "127.0.0.*", "*", "12*.0.0.1", "127.0.0.1"):
        for encoded in (named(pattern), certificate(subject=simpleName(pattern))):
            error = checkServerIdentity("127.0.0.1", certificateObject(encoded))
            assert error is not None
            assert X509Certificate(encoded).checkIP("127.0.0.1") is None


@pytest.mark.parametrize("pattern", ["xn--*.test.test", "xn--b*.test.test", "xn--*-kva.test.test"])
def test_a_wildcard_inside_of_punycode_cve_2014_1492(pattern: str) -> None:
    assert not accepted("xn--bcher-kva.test.test", named(pattern))
    assert not accepted("bücher.test.test", named(pattern))


@pytest.mark.parametrize("pattern", ["x*.test.test", "*a.test.test", "xn*.test.test"])
def test_a_part_of_punycode_cve_2023_28321(pattern: str) -> None:
    assert not accepted("xn--bcher-kva.test.test", named(pattern))


def test_many_wildcards_take_no_time_cve_2013_2099() -> None:
    pattern = "a*" * 5000 + f".{GOOD}"
    assert not accepted("a" * 60 + f".{GOOD}", named(pattern))
    assert not accepted("a" * 60 + f".{GOOD}", certificate(subject=simpleName(pattern)))


def test_a_wildcard_right_below_a_public_suffix_is_taken_as_in_node() -> None:
    """
    No list of public suffixes is asked, neither by Node nor here: one that is out of date
    refuses what is good. Authorities do not issue such names.
    """
    assert both("bank.co.uk", named("*.co.uk"))
    assert not accepted("bank.uk", named("*.uk"))


# -- spellings


def test_a_letter_that_only_looks_or_folds_like_one() -> None:
    """Kelvin's K and the long s become k and s when Unicode's case is folded."""
    for value, host in (("\u212a.test", "k.test"), ("\u017f.test", "s.test"), ("а.test", "a.test")):
        for encoded in (named(value.encode()), certificate(subject=simpleName(value))):
            assert not accepted(host, encoded)


@pytest.mark.parametrize("host", [f"evil。{GOOD}", f"evil．{GOOD}", f"evil｡{GOOD}"])
def test_a_dot_that_is_none_in_ascii_cve_2026_48618(host: str) -> None:
    assert checkServerIdentity(f"x.{host}", certificateObject(named(f"*.{GOOD}"))) is not None
    assert checkServerIdentity(host, certificateObject(named(f"*.{GOOD}"))) is None


def test_case_and_the_last_dot_do_not_count() -> None:
    for pattern, host in ((GOOD.upper(), GOOD), (GOOD, GOOD.upper())):
        assert both(host, named(pattern))
    assert checkServerIdentity(f"{GOOD}.", certificateObject(named(GOOD))) is None
    assert not accepted(f"{EVIL}.", named(GOOD))


@pytest.mark.parametrize(
    ("host", "address", "fits"),
    [
        ("0127.0.0.1", "127.0.0.1", False),  # octal: 87.0.0.1
        ("0127.0.0.1", "87.0.0.1", True),
        ("0177.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "::ffff:127.0.0.1", False),
        ("::ffff:127.0.0.1", "127.0.0.1", False),
        ("2130706433", "127.0.0.1", True),
        ("127.0.0.1.evil.test", "127.0.0.1", False),
        ("127.0.0.1 ", "127.0.0.1", False),
        ("127.0.0.1\n", "127.0.0.1", False),
    ],
)
def test_addresses_in_odd_spellings_cve_2021_29921_cve_2021_28918(
    host: str, address: str, fits: bool
) -> None:
    cert = certificateObject(addressed(address))
    assert (checkServerIdentity(host, cert) is None) is fits


@pytest.mark.parametrize("length", [0, 1, 3, 5, 8, 15, 17, 32])
def test_an_address_of_a_wrong_length(length: int) -> None:
    """A network with its mask (eight octets) is no address."""
    encoded = certificate(altName(der.encode(IP, (b"\x7f\0\0\1" * 8)[:length])))
    for host in ("127.0.0.1", "::", "0.0.0.0", ""):
        assert checkServerIdentity(host, certificateObject(encoded)) is not None
    assert X509Certificate(encoded).checkIP("127.0.0.1") is None


# -- the common name


def test_a_common_name_beside_alternative_names_rfc_6125() -> None:
    assert not accepted(GOOD, named(EVIL, subject=GOOD))
    assert not accepted(GOOD, named("", subject=GOOD))
    # Names of other kinds leave it its word, as in Node and in OpenSSL.
    assert both(GOOD, certificate(altName(ia5(EMAIL, "a@b.test")), subject=simpleName(GOOD)))


def test_an_address_is_never_a_common_name() -> None:
    encoded = certificate(subject=simpleName("127.0.0.1"))
    assert checkServerIdentity("127.0.0.1", certificateObject(encoded)) is not None
    assert X509Certificate(encoded).checkIP("127.0.0.1") is None


# -- what once crashed, or never came back


@pytest.mark.parametrize(
    "value",
    [
        text(b"\xff\xfe\xfd", IA5),
        text(b"\0\xd8", 0x1E),
        text(b"\0\x11\0\0", 0x1C),
        text(b"\0", 0x03),
        sequence(),
    ],
)
def test_a_string_that_cannot_be_shown_cve_2019_15604(value: bytes) -> None:
    """It ended Node's process; in 24.19 some still do."""
    try:
        shown: dict[str, Any] = certificateObject(certificate(subject=name([(COMMON_NAME, value)])))
    except NodeError:
        return  # with a code, as all of its kind
    assert checkServerIdentity(GOOD, shown) is not None


def test_names_of_kinds_that_nobody_uses_cve_2020_1971_cve_2023_0286() -> None:
    """EDI party names and X.400 addresses: read past, shown as what they are, never compared."""
    party = der.encode(0xA5, der.encode(0xA1, text(GOOD)))
    x400 = der.encode(0xA3, sequence(text(GOOD)))
    for each in (party, x400, der.encode(0xA5, b""), der.encode(0xA3, b"")):
        encoded = certificate(altName(each), subject=simpleName("x"))
        assert not accepted(GOOD, encoded)
        X509Certificate(encoded).checkEmail("a@b.test")


def test_punycode_without_end_in_a_mailbox_cve_2022_3602_cve_2022_3786() -> None:
    mailbox = oid("1.3.6.1.5.5.7.8.9") + der.encode(0xA0, text("a@xn--" + "9" * 600 + ".test"))
    tree = sequence(der.encode(0xA0, sequence(ia5(EMAIL, "xn--" + "9" * 600))))
    encoded = certificate(altName(der.encode(0xA0, mailbox)), extension("2.5.29.30", tree))
    assert X509Certificate(encoded).checkEmail("a@b.test") is None
    assert certificateObject(encoded)["subjectaltname"].startswith("othername:SmtpUTF8Mailbox:")


def test_a_curve_of_the_peers_own_making_cve_2020_0601_cve_2022_0778() -> None:
    """Explicit parameters: no curve's name is shown, and no key made."""
    numbers = sequence(
        der.encode(der.INTEGER, b"\x01"),
        sequence(oid("1.2.840.10045.1.1"), der.encode(der.INTEGER, b"\x7f" * 32)),
        sequence(der.encode(4, b"\x01" * 32), der.encode(4, b"\x02" * 32)),
        der.encode(4, b"\x02" + b"\x03" * 32),
        der.encode(der.INTEGER, b"\x7f" * 32),
    )
    key = sequence(
        sequence(oid("1.2.840.10045.2.1"), numbers),
        der.encode(der.BIT_STRING, b"\0\x02" + b"\x03" * 32),
    )
    encoded = certificate(key=key)
    shown = certificateObject(encoded)
    assert not shown.keys() & {"asn1Curve", "nistCurve", "pubkey", "bits"}
    with pytest.raises(NodeError) as caught:
        _ = X509Certificate(encoded).publicKey
    assert caught.value.code == "ERR_OSSL_EVP_DECODE_ERROR"


# -- signatures that are none


@pytest.mark.parametrize("zero", [b"\x30\x06\x02\x01\0\x02\x01\0", b"", b"\0" * 8])
def test_a_signature_of_zeros_cve_2022_21449(zero: bytes) -> None:
    key = ec.derive_private_key(5, ec.SECP256R1()).public_key()
    assert not X509Certificate(certificate(signature=b"\0" + zero)).verify(key)


def test_a_signature_that_goes_on_behind_its_end_cve_2006_4339() -> None:
    """Bleichenbacher's: with the exponent 3, a cube that begins like a signature."""
    modulus = (1 << 2047) + 12345
    public = rsa.RSAPublicNumbers(3, modulus).public_key()
    algorithm = sequence(oid("1.2.840.113549.1.1.11"), b"\x05\0")
    body = X509Certificate(certificate(algorithm=algorithm, key=rsaKey(modulus, 3)))._fields.signed
    prefix = bytes.fromhex("3031300d060960864801650304020105000420")
    head = b"\0\1" + b"\xff" * 8 + b"\0" + prefix + hashlib.sha256(body).digest()
    wanted = int.from_bytes(head.ljust(256, b"\xff"), "big")
    root = _cubeRoot(wanted)
    assert (root**3).to_bytes(256, "big").startswith(head)
    forged = certificate(
        algorithm=algorithm, key=rsaKey(modulus, 3), signature=b"\0" + root.to_bytes(256, "big")
    )
    assert not X509Certificate(forged).verify(public)


def _cubeRoot(number: int) -> int:
    """The greatest whole number whose cube is no greater."""
    low, high = 0, 1 << (number.bit_length() // 3 + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**3 <= number else (low, middle - 1)
    return low
