"""
The certificate object.

Expected values were recorded from Node 24, given the same certificates.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from tests.pki.building import (
    BMP,
    COMMON_NAME,
    CURVE_POINT,
    ED25519_KEY,
    IA5,
    PRINTABLE,
    RSA_KEY,
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
from txnodetls.errors import NodeError
from txnodetls.pki import der
from txnodetls.pki.certificates import certificateChainObject, certificateObject

ACCESS = "1.3.6.1.5.5.7.1.1"
OCSP = "1.3.6.1.5.5.7.48.1"
ISSUERS = "1.3.6.1.5.5.7.48.2"
EXTENDED_USAGE = "2.5.29.37"
CONSTRAINTS = "2.5.29.19"
USAGE = "2.5.29.15"
AUTHORITY = extension(CONSTRAINTS, sequence(der.encode(der.BOOLEAN, b"\xff")), critical=True)


def access(*entries: tuple[str, bytes]) -> bytes:
    return extension(ACCESS, sequence(*(sequence(oid(method), place) for method, place in entries)))


FULL = certificate(
    altName(ia5(0x82, "a.test"), ia5(0x86, "http://x/?a,b"), der.encode(0x87, b"\x7f\x00\x00\x01")),
    access(
        (OCSP, ia5(0x86, "http://o/")),
        (OCSP, ia5(0x86, "http://p/,q")),
        (ISSUERS, ia5(0x86, "http://c/")),
    ),
    extension(EXTENDED_USAGE, sequence(oid("1.3.6.1.5.5.7.3.1"), oid("1.3.6.1.5.5.7.3.2"))),
)


def test_every_key_has_nodes_value_and_place() -> None:
    expected = {
        "subject": {"C": "SE", "O": "Org", "CN": "x"},
        "issuer": {"C": "SE", "O": "Org", "CN": "x"},
        "subjectaltname": 'DNS:a.test, URI:"http://x/?a\\u002cb", IP Address:127.0.0.1',
        "infoAccess": {
            "OCSP - URI": ["http://o/", "http://p/,q"],
            "CA Issuers - URI": ["http://c/"],
        },
        "ca": False,
        "pubkey": CURVE_POINT,
        "bits": 256,
        "valid_from": "Jan  1 00:00:00 2020 GMT",
        "valid_to": "Dec 31 23:59:59 2049 GMT",
        "fingerprint": "20:6F:2D:3B:80:92:88:BB:07:49:17:55:95:75:5D:B3:E1:49:A2:98",
        "fingerprint256": (
            "E0:24:49:3D:2F:C7:68:9D:CD:79:01:C1:6D:E6:4D:52:"
            "CC:15:48:4F:BC:9A:1C:14:DA:37:A0:A6:CB:1C:B2:AD"
        ),
        "fingerprint512": (
            "21:0E:1B:6D:CE:2D:76:6A:3F:DC:ED:7B:CD:A7:11:FF:"
            "D0:10:5C:65:D2:CB:6A:15:F4:27:65:98:70:FB:72:B3:"
            "66:85:DD:E3:10:84:FA:B6:0D:36:27:24:E1:1A:9C:4E:"
            "D4:55:9E:6D:33:74:98:28:4C:23:D5:C9:47:13:8B:09"
        ),
        "ext_key_usage": ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"],
        "serialNumber": "01",
        "raw": FULL,
        "asn1Curve": "prime256v1",
        "nistCurve": "P-256",
    }
    found = certificateObject(FULL)
    assert found == expected
    assert list(found) == list(expected)


def test_an_rsa_key_shows_its_numbers() -> None:
    found = certificateObject(certificate(key=RSA_KEY))
    assert found["modulus"] == "8" + "0" * 252 + "483"
    assert (found["exponent"], found["bits"]) == ("0x10001", 1024)
    assert found["pubkey"] == RSA_KEY
    assert "asn1Curve" not in found


@pytest.mark.parametrize(
    ("exponent", "shown"), [(3, "0x3"), (1, "0x1"), (0, "0x0"), (1 << 64, "0x10000000000000000")]
)
def test_an_exponent_that_no_library_would_load_is_shown(exponent: int, shown: str) -> None:
    found = certificateObject(certificate(key=rsaKey((1 << 511) + 111, exponent)))
    assert (found["exponent"], found["bits"]) == (shown, 512)


PSS = "1.2.840.113549.1.1.10"
SHA256 = "2.16.840.1.101.3.4.2.1"
HASH = sequence(oid(SHA256), b"\x05\x00")
MASK = sequence(oid("1.2.840.113549.1.1.8"), HASH)


@pytest.mark.parametrize(
    ("parameters", "shown"),
    [
        (b"", b""),
        (sequence(), sequence()),
        (
            sequence(
                der.encode(0xA0, HASH),
                der.encode(0xA1, MASK),
                der.encode(0xA2, b"\x02\x01\x20"),
            ),
            sequence(
                der.encode(0xA0, sequence(oid(SHA256))),
                der.encode(0xA1, sequence(oid("1.2.840.113549.1.1.8"), sequence(oid(SHA256)))),
                der.encode(0xA2, b"\x02\x01\x20"),
            ),
        ),
        (sequence(der.encode(0xA2, b"\x02\x01\x14")), sequence()),
    ],
    ids=["any", "defaults", "sha256", "default salt"],
)
def test_an_rsa_pss_key_is_shown_as_openssl_writes_it(parameters: bytes, shown: bytes) -> None:
    octets = der.element(RSA_KEY, 0, len(RSA_KEY))
    _, bits = der.children(octets)
    key = sequence(sequence(oid(PSS), parameters), bits.encoding)
    found = certificateObject(certificate(key=key))
    assert found["bits"] == 1024
    assert found["pubkey"] == sequence(sequence(oid("1.2.840.113549.1.1.1"), shown), bits.encoding)


def test_a_compressed_point_is_shown_in_full() -> None:
    compressed = b"\x03" + CURVE_POINT[1:33]
    key = sequence(
        sequence(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")),
        der.encode(der.BIT_STRING, b"\x00" + compressed),
    )
    assert certificateObject(certificate(key=key))["pubkey"] == CURVE_POINT


def test_a_curve_without_a_name_from_nist_has_none() -> None:
    key = sequence(
        sequence(oid("1.2.840.10045.2.1"), oid("1.3.132.0.10")),
        der.encode(der.BIT_STRING, b"\x00\x04" + bytes(64)),
    )
    found = certificateObject(certificate(key=key))
    assert (found["asn1Curve"], found["bits"]) == ("secp256k1", 256)
    assert "nistCurve" not in found


@pytest.mark.parametrize(
    "key",
    [
        ED25519_KEY,
        sequence(sequence(oid("1.2.3.4")), der.encode(der.BIT_STRING, b"\x00abc")),
        sequence(sequence(oid("1.2.840.113549.1.1.1")), der.encode(der.BIT_STRING, b"\x00abc")),
        sequence(sequence(oid("1.2.840.10045.2.1")), der.encode(der.BIT_STRING, b"\x00abc")),
    ],
    ids=["Ed25519", "unknown kind", "broken RSA", "no curve"],
)
def test_other_and_broken_keys_show_nothing(key: bytes) -> None:
    found = certificateObject(certificate(key=key))
    assert found.keys().isdisjoint(
        {"modulus", "exponent", "bits", "pubkey", "asn1Curve", "nistCurve"}
    )
    assert found["serialNumber"] == "01"


def test_what_repeats_in_a_name_is_a_list_in_order() -> None:
    subject = name(
        [(COMMON_NAME, text("a")), ("2.5.4.10", text("b"))],
        [(COMMON_NAME, text("c"))],
        [("0.9.2342.19200300.100.1.25", text("test", IA5)), (COMMON_NAME, text("d"))],
    )
    assert certificateObject(certificate(subject=subject))["subject"] == {
        "CN": ["a", "c", "d"],
        "O": "b",
        "DC": "test",
    }


@pytest.mark.parametrize("kind", ["__proto__", "constructor"])
def test_a_name_is_data_and_never_structure(kind: str) -> None:
    """CVE-2021-44533: line ends in a value once began a new attribute."""
    subject = name([("2.5.4.10", text(f"x\nCN=good.test\n{kind}=y"))], [(COMMON_NAME, text("z"))])
    assert certificateObject(certificate(subject=subject))["subject"] == {
        "O": f"x\nCN=good.test\n{kind}=y",
        "CN": "z",
    }


@pytest.mark.parametrize(
    ("tag", "octets", "shown"),
    [
        (UTF8, "é漢😀".encode(), "é漢😀"),
        (UTF8, b"good.test\x00.evil.test", "good.test\x00.evil.test"),
        (PRINTABLE, b"\xe9", "é"),
        (0x14, b"\xe9t", "ét"),
        (BMP, "aé漢".encode("utf-16-be"), "aé漢"),
        (0x1C, "a😀".encode("utf-32-be"), "a😀"),
        (0x12, b"12 3", "12 3"),
        (UTF8, b"", ""),
    ],
)
def test_every_kind_of_string_in_a_name(tag: int, octets: bytes, shown: str) -> None:
    subject = name([(COMMON_NAME, text(octets, tag))])
    assert certificateObject(certificate(subject=subject))["subject"] == {"CN": shown}


@pytest.mark.parametrize(("tag", "octets"), [(0x03, b"\x00abc"), (0x30, b"\x02\x01\x05")])
def test_a_name_with_a_value_that_is_no_string_is_left_out(tag: int, octets: bytes) -> None:
    subject = name([("2.5.4.10", text("x"))], [(COMMON_NAME, text(octets, tag))])
    found = certificateObject(certificate(subject=subject))
    assert "subject" not in found
    assert "issuer" in found


def test_a_sequence_of_the_same_may_be_primitive() -> None:
    """OpenSSL reads such a name, so a handshake brings it here."""
    plain = name([(COMMON_NAME, text("x"))])
    primitive = b"\x10" + plain[1:2] + b"\x11" + plain[3:]
    found = certificateObject(
        certificate(extension("2.5.29.17", b"\x10\x03\x82\x01a"), subject=primitive)
    )
    assert found["subject"] == {"CN": "x"}
    assert found["subjectaltname"] == "DNS:a"


@pytest.mark.parametrize("value", [text("abc", 0x1E), text(b"\x09\0", 0x03), text("1", 0x18)])
def test_an_alternative_name_that_lies_about_a_type_breaks_the_whole(value: bytes) -> None:
    """Even where nobody would look at it."""
    found = certificateObject(certificate(altName(ia5(0x82, "a"), other("1.2.3", value))))
    assert "subjectaltname" not in found


def test_an_unknown_type_shows_as_numbers() -> None:
    subject = name([("1.2.3.4", text("v"))], [("2.5.4.97", text("w"))])
    assert certificateObject(certificate(subject=subject))["subject"] == {
        "1.2.3.4": "v",
        "organizationIdentifier": "w",
    }


def test_a_string_cut_into_parts_is_put_together() -> None:
    subject = name([(COMMON_NAME, der.encode(0x2C, text("ab") + text("cd")))])
    assert certificateObject(certificate(subject=subject))["subject"] == {"CN": "abcd"}


@pytest.mark.parametrize(
    ("octets", "shown"),
    [
        (b"\x00", "0"),
        (b"\x01", "01"),
        (b"\x00\x80", "80"),
        (b"\xff", "-01"),
        (b"\x80", "-80"),
        (b"\x7f" * 20, "7F" * 20),
        (b"\x01" + b"\x00" * 5000, "01" + "00" * 5000),
    ],
    ids=["zero", "one", "high", "minus one", "negative", "long", "huge"],
)
def test_serial_numbers(octets: bytes, shown: str) -> None:
    assert certificateObject(certificate(serial=octets))["serialNumber"] == shown


@pytest.mark.parametrize(
    ("tag", "octets", "shown"),
    [
        (der.UTC_TIME, b"500101000000Z", "Jan  1 00:00:00 1950 GMT"),
        (der.UTC_TIME, b"2001010000Z", "Jan  1 00:00:00 2020 GMT"),
        (der.UTC_TIME, b"200101000000+0130", "Dec 31 22:30:00 2019 GMT"),
        (der.UTC_TIME, b"200230000000Z", "Bad time value"),
        (der.UTC_TIME, b"200101240000Z", "Bad time value"),
        (der.UTC_TIME, b"200101000000", "Bad time value"),
        (der.UTC_TIME, b"200101000000+1300", "Bad time value"),
        (der.UTC_TIME, b"", "Bad time value"),
        (der.UTC_TIME, "２00101000000Z".encode(), "Bad time value"),
        (der.GENERALIZED_TIME, b"20500101000000Z", "Jan  1 00:00:00 2050 GMT"),
        (der.GENERALIZED_TIME, b"20200101000000.50Z", "Jan  1 00:00:00.50 2020 GMT"),
        (der.GENERALIZED_TIME, b"99991231235959Z", "Dec 31 23:59:59 9999 GMT"),
        (der.GENERALIZED_TIME, b"00000229000000Z", "Feb 29 00:00:00 0 GMT"),
        (der.GENERALIZED_TIME, b"20200101000000.Z", "Bad time value"),
    ],
)
def test_times(tag: int, octets: bytes, shown: str) -> None:
    found = certificateObject(certificate(notBefore=text(octets, tag)))
    assert found["valid_from"] == shown
    assert found["valid_to"] == "Dec 31 23:59:59 2049 GMT"


def other(kind: str, value: bytes) -> bytes:
    return der.encode(0xA0, oid(kind) + der.encode(0xA0, value))


ALT_NAMES = [
    ("plain", [ia5(0x82, "a.test")], "DNS:a.test"),
    ("comma", [ia5(0x82, "a, DNS:b")], 'DNS:"a\\u002c DNS:b"'),
    ("quote", [ia5(0x82, 'a"b')], 'DNS:"a\\"b"'),
    ("apostrophe", [ia5(0x82, "a'b")], 'DNS:"a\'b"'),
    ("backslash", [ia5(0x82, "a\\b")], 'DNS:"a\\\\b"'),
    ("nul", [ia5(0x82, "a\0b")], 'DNS:"a\\u0000b"'),
    ("line end", [ia5(0x82, "a\nb")], 'DNS:"a\\u000ab"'),
    ("delete", [ia5(0x82, "a\x7fb")], 'DNS:"a\\u007fb"'),
    ("latin-1", [ia5(0x82, b"b\xfccher")], 'DNS:"b\\u00fccher"'),
    ("blank", [ia5(0x82, " a ")], "DNS: a "),
    ("empty", [ia5(0x82, "")], "DNS:"),
    ("none", [], ""),
    ("mail", [ia5(0x81, "a@b.test")], "email:a@b.test"),
    (
        "IPv6",
        [der.encode(0x87, b"\xfe\x80" + bytes(13) + b"\x0a")],
        "IP Address:FE80:0:0:0:0:0:0:A",
    ),
    ("short IP", [der.encode(0x87, b"\x01\x02\x03")], "IP Address:<invalid length=3>"),
    (
        "registered",
        [der.encode(0x88, b"\x2a\x03")],
        "Registered ID:1.2.3",
    ),
    ("x400", [der.encode(0xA3, b"")], "X400Name:<unsupported>"),
    (
        "party",
        [der.encode(0xA5, der.encode(0xA1, text("p")))],
        "EdiPartyName:<unsupported>",
    ),
    (
        "directory",
        [der.encode(0xA4, name([("2.5.4.10", text("A, DNS:b"))], [(COMMON_NAME, text('"é"'))]))],
        'DirName:"CN=\\\\\\"é\\\\\\"\\u002cO=A\\\\\\u002c DNS:b"',
    ),
    (
        "directory with unknown type",
        [der.encode(0xA4, name([("1.2.3", text("v"))]))],
        "DirName:1.2.3=#0C0176",
    ),
    ("xmpp", [other("1.3.6.1.5.5.7.8.5", text("x.test"))], "othername:XmppAddr:x.test"),
    (
        "upn",
        [other("1.3.6.1.4.1.311.20.2.3", text("a, DNS:é"))],
        'othername:"UPN:a\\u002c DNS:é"',
    ),
    ("srv", [other("1.3.6.1.5.5.7.8.7", text(b"_x.\xe9", IA5))], 'othername:"SRVName:_x.\\u00e9"'),
    ("srv as UTF-8", [other("1.3.6.1.5.5.7.8.7", text("_x"))], "othername:<unsupported>"),
    ("other", [other("1.2.3", text("x"))], "othername:<unsupported>"),
    ("cut", [der.encode(0xA2, text("a", IA5) + text(".b", IA5))], "DNS:a.b"),
]


@pytest.mark.parametrize(
    ("names", "shown"), [case[1:] for case in ALT_NAMES], ids=[case[0] for case in ALT_NAMES]
)
def test_alternative_names(names: Sequence[bytes], shown: str) -> None:
    assert certificateObject(certificate(altName(*names)))["subjectaltname"] == shown


@given(st.lists(st.binary(max_size=12), min_size=1, max_size=4))
def test_no_alternative_name_looks_like_two(values: list[bytes]) -> None:
    found = certificateObject(certificate(altName(*(ia5(0x82, value) for value in values))))
    parts = found["subjectaltname"].split(",")
    assert len(parts) == len(values)
    assert all(part.strip(" ").startswith("DNS:") for part in parts)


BROKEN_ALT_NAMES = [
    extension("2.5.29.17", b""),
    extension("2.5.29.17", b"\x30\x05ab"),
    altName(der.encode(0x89, b"x")),
    altName(der.encode(0xA4, name([(COMMON_NAME, text(b"\xff"))]))),
    altName(der.encode(0xA0, oid("1.2.3"))),
]


@pytest.mark.parametrize("broken", BROKEN_ALT_NAMES)
def test_a_broken_extension_costs_only_itself(broken: bytes) -> None:
    found = certificateObject(certificate(broken))
    assert "subjectaltname" not in found
    assert found["subject"]["CN"] == "x"
    assert found["bits"] == 256


def test_of_two_the_first_alternative_names_count_and_neither_usages() -> None:
    usage = extension(EXTENDED_USAGE, sequence(oid("1.2.3")))
    found = certificateObject(
        certificate(altName(ia5(0x82, "a")), altName(ia5(0x82, "b")), usage, usage)
    )
    assert found["subjectaltname"] == "DNS:a"
    assert "ext_key_usage" not in found


def test_empty_extensions_are_there() -> None:
    found = certificateObject(certificate(access(), extension(EXTENDED_USAGE, sequence())))
    assert (found["infoAccess"], found["ext_key_usage"]) == ({}, [])


def test_an_access_description_cannot_make_up_another() -> None:
    evil = access(
        (OCSP, ia5(0x86, "http://g/\nOCSP - URI:http://e/")),
        ("1.2.3.4", ia5(0x82, 'dns, "quoted"')),
        (ISSUERS, der.encode(0xA4, simpleName("dir"))),
    )
    assert certificateObject(certificate(evil))["infoAccess"] == {
        "OCSP - URI": ["http://g/\nOCSP - URI:http://e/"],
        "1.2.3.4 - DNS": ['dns, "quoted"'],
        "CA Issuers - DirName": ["CN=dir"],
    }


def constraints(*parts: bytes) -> bytes:
    return extension(CONSTRAINTS, sequence(*parts))


def usage(octets: bytes) -> bytes:
    return extension(USAGE, der.encode(der.BIT_STRING, octets))


TRUE = der.encode(der.BOOLEAN, b"\xff")
AUTHORITIES = [
    ("authority", [constraints(TRUE)], True),
    ("with length", [constraints(TRUE, b"\x02\x01\x00")], True),
    ("any octet is true", [constraints(der.encode(der.BOOLEAN, b"\x01"))], True),
    ("said not to be", [constraints(der.encode(der.BOOLEAN, b"\x00"))], False),
    ("says nothing", [constraints()], False),
    ("silent", [], False),
    ("may sign", [constraints(TRUE), usage(b"\x01\x06")], True),
    ("may not sign", [constraints(TRUE), usage(b"\x07\x80")], False),
    ("may do nothing", [constraints(TRUE), usage(b"\x00\x00")], False),
    ("bits that are none", [constraints(TRUE), usage(b"\x03\x04")], False),
    ("negative length", [constraints(TRUE, b"\x02\x01\xff")], False),
    ("twice", [constraints(TRUE), constraints(TRUE)], False),
    ("broken names", [constraints(TRUE), BROKEN_ALT_NAMES[1]], False),
    ("broken name constraints", [constraints(TRUE), extension("2.5.29.30", b"\x05\x00")], False),
    ("broken revocation points", [constraints(TRUE), extension("2.5.29.31", b"\x05\x00")], False),
    (
        "revocation points",
        [
            constraints(TRUE),
            extension(
                "2.5.29.31",
                sequence(sequence(der.encode(0xA0, der.encode(0xA0, ia5(0x86, "http://c/"))))),
            ),
        ],
        True,
    ),
    (
        "name constraints",
        [
            constraints(TRUE),
            extension("2.5.29.30", sequence(der.encode(0xA0, sequence(ia5(0x82, "a.test"))))),
        ],
        True,
    ),
]


@pytest.mark.parametrize(
    ("extensions", "expected"),
    [case[1:] for case in AUTHORITIES],
    ids=[case[0] for case in AUTHORITIES],
)
def test_who_is_an_authority(extensions: Sequence[bytes], expected: bool) -> None:
    assert certificateObject(certificate(*extensions))["ca"] is expected


def test_version_1() -> None:
    found = certificateObject(certificate(version=None))
    assert found["ca"] is False
    assert found["subject"]["CN"] == "x"


@pytest.mark.parametrize(
    "junk", [b"", b"\x30", b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", sequence(), b"junk" * 100]
)
def test_what_is_no_certificate_is_an_error_with_a_code(junk: bytes) -> None:
    with pytest.raises(NodeError) as caught:
        certificateObject(junk)
    assert caught.value.code is not None
    assert caught.value.code.startswith("ERR_OSSL_ASN1_")


@given(st.data())
def test_a_certificate_that_was_tampered_with_is_read_or_refused(data: st.DataObject) -> None:
    octets = bytearray(FULL)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(octets) - 1))
        octets[at] = data.draw(st.integers(0, 255))
    outcome: object
    try:
        outcome = certificateObject(bytes(octets))["raw"]
    except NodeError as error:
        outcome = error.code
    if isinstance(outcome, str):
        assert outcome.startswith("ERR_OSSL_")
    else:
        assert outcome == bytes(octets)


def test_the_object_is_the_callers_own() -> None:
    found = certificateObject(FULL)
    found["subject"]["CN"] = "changed"
    found["infoAccess"]["OCSP - URI"].append("changed")
    found["ext_key_usage"].clear()
    again = certificateObject(FULL)
    assert again["subject"]["CN"] == "x"
    assert again["infoAccess"]["OCSP - URI"] == ["http://o/", "http://p/,q"]
    assert len(again["ext_key_usage"]) == 2


class Authority:
    """An authority made by cryptography, with extensions as authorities have them."""

    def __init__(self, commonName: str, above: Authority | None = None) -> None:
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, commonName)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.above = above or self
        self.encoded = self.issue(self.name, self.key, authority=True)

    def issue(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, authority: bool = False
    ) -> bytes:
        signer = self.above if authority else self
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(signer.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()), False
            )
        )
        signed = builder.sign(signer.key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.DER)

    def leaf(self) -> bytes:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "leaf")])
        return self.issue(subject, ec.generate_private_key(ec.SECP256R1()))


ROOT = Authority("root")
MIDDLE = Authority("middle", ROOT)
LEAF = MIDDLE.leaf()


def names(found: object) -> list[str]:
    """The common names from a certificate object upwards; the last one twice if in a circle."""
    seen: list[str] = []
    while isinstance(found, dict):
        seen.append(found["subject"]["CN"])
        if found.get("issuerCertificate") is found:
            return [*seen, seen[-1]]
        found = found.get("issuerCertificate")
    return seen


def fromStore(encoded: bytes) -> bytes | None:
    issuer = x509.load_der_x509_certificate(encoded).issuer
    return ROOT.encoded if issuer == ROOT.name else None


@pytest.mark.parametrize(
    ("presented", "found"),
    [
        ([LEAF, MIDDLE.encoded], ["leaf", "middle"]),
        ([LEAF, MIDDLE.encoded, ROOT.encoded], ["leaf", "middle", "root", "root"]),
        ([LEAF, ROOT.encoded, MIDDLE.encoded], ["leaf", "middle", "root", "root"]),
        ([LEAF, ROOT.encoded], ["leaf"]),
        ([LEAF], ["leaf"]),
        ([ROOT.encoded], ["root", "root"]),
    ],
    ids=["incomplete", "complete", "any order", "unrelated", "alone", "self-signed"],
)
def test_the_chain_as_presented(presented: list[bytes], found: list[str]) -> None:
    assert names(certificateChainObject(presented)) == found


def test_the_store_completes_the_chain() -> None:
    found = certificateChainObject([LEAF, MIDDLE.encoded], fromStore)
    assert names(found) == ["leaf", "middle", "root", "root"]
    assert names(certificateChainObject([LEAF], fromStore)) == ["leaf"]


def test_a_store_that_goes_in_circles_is_climbed_once() -> None:
    def circle(encoded: bytes) -> bytes | None:
        return MIDDLE.encoded if encoded == LEAF else LEAF

    assert names(certificateChainObject([LEAF], circle)) == ["leaf", "middle"]


def test_an_authority_that_may_not_sign_is_no_issuer() -> None:
    issuer = certificate(
        AUTHORITY, usage(b"\x07\x80"), subject=simpleName("i"), issuer=simpleName("i")
    )
    leaf = certificate(issuer=simpleName("i"))
    assert "issuerCertificate" not in certificateChainObject([leaf, issuer])


def test_names_are_compared_as_names_not_as_octets() -> None:
    issuer = certificate(AUTHORITY, subject=simpleName("The  CA "), issuer=simpleName("The  CA "))
    leaf = certificate(issuer=name([(COMMON_NAME, text("the ca", PRINTABLE))]))
    found = certificateChainObject([leaf, issuer])
    assert found["issuerCertificate"]["subject"] == {"CN": "The  CA "}
