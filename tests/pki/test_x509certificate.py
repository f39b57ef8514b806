"""
Node's X509Certificate.

Expected values were recorded from Node 24, but for those that say otherwise.
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import crypto

from tests.pki.building import (
    COMMON_NAME,
    CURVE_POINT,
    ED25519_KEY,
    IA5,
    RSA_KEY,
    altName,
    certificate,
    extension,
    ia5,
    name,
    oid,
    sequence,
    simpleName,
    text,
)
from txnodetls.errors import NodeError, NodeTypeError
from txnodetls.pki import der
from txnodetls.pki.certificates import certificateObject
from txnodetls.pki.x509certificate import X509Certificate

FULL = certificate(
    altName(ia5(0x82, "a.test"), ia5(0x86, "http://x/?a,b"), der.encode(0x87, b"\x7f\x00\x00\x01")),
    extension(
        "1.3.6.1.5.5.7.1.1",
        sequence(
            sequence(oid("1.3.6.1.5.5.7.48.1"), ia5(0x86, "http://o/")),
            sequence(oid("1.3.6.1.5.5.7.48.2"), ia5(0x86, "http://p/,q")),
        ),
    ),
    extension("2.5.29.37", sequence(oid("1.3.6.1.5.5.7.3.1"))),
)
PLAIN = certificate()


def pem(encoded: bytes, label: str = "CERTIFICATE") -> str:
    lines = base64.encodebytes(encoded).decode()
    return f"-----BEGIN {label}-----\n{lines}-----END {label}-----\n"


def test_the_fields() -> None:
    found = X509Certificate(FULL)
    assert found.subject == found.issuer == "C=SE\nO=Org\nCN=x"
    assert found.subjectAltName == 'DNS:a.test, URI:"http://x/?a\\u002cb", IP Address:127.0.0.1'
    assert found.infoAccess == 'OCSP - URI:http://o/\nCA Issuers - URI:"http://p/\\u002cq"'
    assert found.validFrom == "Jan  1 00:00:00 2020 GMT"
    assert found.validTo == "Dec 31 23:59:59 2049 GMT"
    assert found.validFromDate == datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    assert found.validToDate == datetime.datetime(2049, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
    assert found.keyUsage == ["1.3.6.1.5.5.7.3.1"]
    assert found.serialNumber == "01"
    assert found.signatureAlgorithm == "ecdsa-with-SHA256"
    assert found.signatureAlgorithmOid == "1.2.840.10045.4.3.2"
    assert found.ca is False
    assert found.raw == FULL
    assert found.issuerCertificate is None


def test_the_fingerprints() -> None:
    found = X509Certificate(certificate(key=RSA_KEY, algorithm=sequence(oid(RSA_SHA256), NULL)))
    assert found.fingerprint == "CC:BD:F2:B7:75:96:B8:E2:46:57:97:D7:34:37:0F:56:87:8D:1B:01"
    assert found.fingerprint256 == (
        "40:75:E4:66:02:25:F0:F4:AC:47:BB:10:D2:1B:A0:A9:"
        "44:85:51:EB:CF:9C:32:14:00:E6:1F:1F:4B:BC:E7:CC"
    )
    assert found.fingerprint512.startswith("04:92:8F:96:1C:40:39:7F:1E:D2:1C:B8:3E:11:BF:07:")
    assert len(found.fingerprint512) == 64 * 3 - 1


RSA_SHA256 = "1.2.840.113549.1.1.11"
NULL = b"\x05\x00"


def test_what_is_not_there_is_none() -> None:
    found = X509Certificate(certificate(subject=sequence(), issuer=sequence()))
    assert (found.subject, found.issuer) == (None, None)
    assert (found.subjectAltName, found.infoAccess, found.keyUsage) == (None, None, None)


def test_what_is_broken_is_none() -> None:
    found = X509Certificate(
        certificate(
            extension("2.5.29.17", b"\x05"),
            extension("1.3.6.1.5.5.7.1.1", b"\x05"),
            extension("2.5.29.37", b"\x05"),
            notBefore=text("200230000000Z", der.UTC_TIME),
        )
    )
    assert (found.subjectAltName, found.infoAccess, found.keyUsage) == (None, None, None)
    assert (found.validFrom, found.validFromDate) == ("Bad time value", None)


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        (name([(COMMON_NAME, text('a,b+c"d\\e<f>g;h'))]), 'CN=a\\,b\\+c\\"d\\\\e\\<f\\>g\\;h'),
        (name([(COMMON_NAME, text(" a b "))]), "CN=\\ a b\\ "),
        (name([(COMMON_NAME, text("#a#"))]), "CN=\\#a#"),
        (name([(COMMON_NAME, text("a\nb\0c\x7f"))]), "CN=a\\0Ab\\00c\\7F"),
        (name([(COMMON_NAME, text("é漢😀"))]), "CN=é漢😀"),
        (name([(COMMON_NAME, text(b"\xe9", 0x14))]), "CN=é"),
        (name([(COMMON_NAME, text(b"\x01\x43", 0x03))]), "CN=B"),
        (name([(COMMON_NAME, sequence(b"\x01\x02"))]), "CN=0\\02\\01\\02"),
        (
            name([(COMMON_NAME, text("a")), ("2.5.4.10", text("b"))], [("1.2.3", text("c"))]),
            "CN=a + O=b\n1.2.3=c",
        ),
    ],
)
def test_a_name_is_shown_a_line_for_each_set(subject: bytes, shown: str) -> None:
    assert X509Certificate(certificate(subject=subject)).subject == shown


@pytest.mark.parametrize(
    ("tag", "octets"),
    [
        (der.UTC_TIME, b"200230000000Z"),
        (der.GENERALIZED_TIME, b"20230229120000Z"),
        (der.GENERALIZED_TIME, b"00000101000000Z"),
    ],
)
def test_a_time_that_makes_no_sense_is_no_moment(tag: int, octets: bytes) -> None:
    """Node makes another moment of it."""
    found = X509Certificate(certificate(notAfter=text(octets, tag)))
    assert found.validToDate is None
    assert found.validFromDate is not None


# ---- making one


def test_der_and_pem_are_read() -> None:
    for form in (PLAIN, bytearray(PLAIN), memoryview(PLAIN), pem(PLAIN), pem(PLAIN).encode()):
        assert X509Certificate(form).raw == PLAIN


@pytest.mark.parametrize("label", ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"])
def test_every_label_of_a_certificate_is_read(label: str) -> None:
    lines = f"some text\n{pem(PLAIN, label)}{pem(FULL)}"
    assert X509Certificate(lines).raw == PLAIN
    assert X509Certificate(lines.replace("\n", "\r\n")).raw == PLAIN


def test_trust_settings_behind_a_trusted_certificate_are_left_off() -> None:
    settings = sequence(sequence(oid("1.3.6.1.5.5.7.3.1")))
    assert X509Certificate(pem(PLAIN + settings, "TRUSTED CERTIFICATE")).raw == PLAIN


def test_other_blocks_before_it_are_passed_over() -> None:
    assert X509Certificate(pem(b"x", "EC PARAMETERS") + pem(FULL)).raw == FULL


def test_what_follows_the_der_is_left_off() -> None:
    assert X509Certificate(PLAIN + b"trailing").raw == PLAIN


@pytest.mark.parametrize(
    ("junk", "code", "message"),
    [
        (b"", "ERR_OSSL_PEM_NO_START_LINE", "error:0480006C:PEM routines::no start line"),
        ("garbage", "ERR_OSSL_PEM_NO_START_LINE", "error:0480006C:PEM routines::no start line"),
        (
            b"\x30\x03\x02\x01\x00",
            "ERR_OSSL_PEM_NO_START_LINE",
            "error:0480006C:PEM routines::no start line",
        ),
        (
            pem(b"\x30\x03\x02\x01\x00"),
            "ERR_OSSL_ASN1_WRONG_TAG",
            "error:068000A8:asn1 encoding routines::wrong tag",
        ),
        (
            "-----BEGIN CERTIFICATE-----\n@@@@\n-----END CERTIFICATE-----\n",
            "ERR_OSSL_PEM_BAD_BASE64_DECODE",
            "error:04800064:PEM routines::bad base64 decode",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n",
            "ERR_OSSL_PEM_BAD_END_LINE",
            "error:04800066:PEM routines::bad end line",
        ),
    ],
)
def test_what_is_no_certificate_has_openssls_code(
    junk: bytes | str, code: str, message: str
) -> None:
    with pytest.raises(NodeError) as caught:
        X509Certificate(junk)
    assert (caught.value.code, caught.value.message) == (code, message)


@pytest.mark.parametrize("value", [5, None, {}, [PLAIN]])
def test_only_text_and_octets_are_taken(value: Any) -> None:
    with pytest.raises(NodeTypeError) as caught:
        X509Certificate(value)
    assert caught.value.code == "ERR_INVALID_ARG_TYPE"
    assert caught.value.message.startswith(
        'The "buffer" argument must be of type string or an instance of '
        "Buffer, TypedArray, or DataView. Received "
    )


@given(st.binary(max_size=64) | st.text(max_size=64))
def test_junk_is_refused_with_a_code(junk: bytes | str) -> None:
    with pytest.raises(NodeError) as caught:
        X509Certificate(junk)
    assert (caught.value.code or "").startswith("ERR_OSSL_")


def test_as_text_it_is_pem_of_64_columns() -> None:
    found = X509Certificate(FULL)
    assert found.toString() == found.toJSON() == str(found)
    assert X509Certificate(found.toString()).raw == FULL
    assert {len(line) for line in found.toString().splitlines()[1:-2]} == {64}
    assert found.toString().endswith("-----END CERTIFICATE-----\n")


def test_as_legacy_object_it_is_the_certificate_object() -> None:
    assert X509Certificate(FULL).toLegacyObject() == certificateObject(FULL)


def test_the_next_in_a_chain_is_the_issuer() -> None:
    found = X509Certificate.fromChain([PLAIN, FULL, PLAIN])
    assert found.raw == PLAIN
    assert found.issuerCertificate is not None
    assert found.issuerCertificate.raw == FULL
    assert found.issuerCertificate.issuerCertificate is not None
    assert found.issuerCertificate.issuerCertificate.issuerCertificate is None


# ---- keys

KEYS: dict[str, Callable[[], Any]] = {
    "RSA": lambda: rsa.generate_private_key(65537, 1024),
    "EC": lambda: ec.generate_private_key(ec.SECP384R1()),
    "DSA": lambda: dsa.generate_private_key(1024),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "Ed448": ed448.Ed448PrivateKey.generate,
}


def signed(key: Any, how: Any = None, algorithm: Any = None) -> X509Certificate:
    """A certificate that this key signed for itself."""
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "own")])
    whole = isinstance(key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey))
    made = (
        x509.CertificateBuilder()
        .subject_name(own)
        .issuer_name(own)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2020, 1, 1))
        .not_valid_after(datetime.datetime(2049, 1, 1))
        .sign(key, algorithm or (None if whole else hashes.SHA256()), rsa_padding=how)
    )
    return X509Certificate(made.public_bytes(serialization.Encoding.DER))


@pytest.mark.parametrize("kind", KEYS)
def test_a_certificate_knows_who_signed_it(kind: str) -> None:
    key, stranger = KEYS[kind](), KEYS[kind]()
    found = signed(key)
    assert found.publicKey == key.public_key()
    assert found.verify(key.public_key())
    assert found.verify(found.publicKey)
    assert not found.verify(stranger.public_key())
    assert found.checkPrivateKey(key)
    assert not found.checkPrivateKey(stranger)
    assert found.checkIssued(found)


def test_a_key_of_another_kind_signed_nothing() -> None:
    keys = [make() for make in KEYS.values()]
    found = signed(keys[0])
    assert [found.verify(key.public_key()) for key in keys] == [True] + [False] * 4
    assert [found.checkPrivateKey(key) for key in keys] == [True] + [False] * 4


@pytest.mark.parametrize("salt", [padding.PSS.MAX_LENGTH, padding.PSS.DIGEST_LENGTH, 20, 0])
def test_a_signature_of_rsa_pss_is_verified(salt: Any) -> None:
    key = rsa.generate_private_key(65537, 1024)
    found = signed(key, padding.PSS(padding.MGF1(hashes.SHA384()), salt), hashes.SHA256())
    assert found.signatureAlgorithm == "rsassaPss"
    assert found.verify(key.public_key())
    assert not found.verify(rsa.generate_private_key(65537, 1024).public_key())


def test_the_key_of_an_rsa_pss_certificate_is_one_of_rsa() -> None:
    """cryptography has no other; Node's remembers what it is restricted to."""
    key = rsa.generate_private_key(65537, 1024)
    algorithm, numbers = der.children(der.only(_encodedKey(key)))
    pss = sequence(sequence(oid("1.2.840.113549.1.1.10")), numbers.encoding)
    found = X509Certificate(certificate(key=pss))
    assert algorithm.encoding not in found.raw
    assert found.publicKey == key.public_key()
    assert found.checkPrivateKey(key)


def _encodedKey(key: Any) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def test_a_certificate_that_was_changed_is_not_verified() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    raw = signed(key).raw
    assert not X509Certificate(raw.replace(b"own", b"0wn")).verify(key.public_key())


def test_two_algorithms_that_differ_verify_nothing() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    raw = signed(key).raw
    sha256, sha384 = oid("1.2.840.10045.4.3.2"), oid("1.2.840.10045.4.3.3")
    at = raw.rindex(sha256)
    assert not X509Certificate(raw[:at] + sha384 + raw[at + len(sha384) :]).verify(key.public_key())


def test_an_unknown_algorithm_verifies_nothing_and_has_no_name() -> None:
    found = X509Certificate(certificate(algorithm=sequence(oid("1.2.3.4"))))
    assert found.signatureAlgorithm is None
    assert found.signatureAlgorithmOid == "1.2.3.4"
    assert not found.verify(found.publicKey)


def test_pyopenssls_keys_are_taken() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    found = signed(key)
    assert found.checkPrivateKey(crypto.PKey.from_cryptography_key(key))
    assert found.verify(crypto.PKey.from_cryptography_key(key.public_key()))


@pytest.mark.parametrize(
    "key",
    [
        sequence(sequence(oid("1.2.3.4")), der.encode(der.BIT_STRING, b"\x00abc")),
        sequence(sequence(oid("1.2.840.113549.1.1.1")), der.encode(der.BIT_STRING, b"\x00abc")),
    ],
)
def test_a_key_that_cannot_be_loaded_is_an_error_with_a_code(key: bytes) -> None:
    found = X509Certificate(certificate(key=key))
    with pytest.raises(NodeError) as caught:
        _ = found.publicKey
    assert (caught.value.code or "").startswith("ERR_OSSL_EVP_")
    assert not found.checkPrivateKey(ec.generate_private_key(ec.SECP256R1()))


def test_a_private_key_is_no_public_one() -> None:
    found = X509Certificate(certificate(key=ED25519_KEY))
    private = ed25519.Ed25519PrivateKey.generate()
    for check, key in ((found.checkPrivateKey, private.public_key()), (found.verify, private)):
        with pytest.raises(NodeTypeError) as caught:
            check(key)  # type: ignore[arg-type]
        assert caught.value.code == "ERR_INVALID_ARG_VALUE"
        assert caught.value.message.startswith("The argument 'pkey' is invalid.")


@pytest.mark.parametrize("value", [5, None, "x", b"x"])
def test_what_is_no_key_is_refused(value: Any) -> None:
    found = X509Certificate(PLAIN)
    for check in (found.checkPrivateKey, found.verify):
        with pytest.raises(NodeTypeError) as caught:
            check(value)
        assert caught.value.code == "ERR_INVALID_ARG_TYPE"
        assert caught.value.message.startswith(
            'The "pkey" argument must be an instance of KeyObject. Received '
        )


# ---- issuers

AUTHORITY = extension("2.5.29.19", sequence(der.encode(der.BOOLEAN, b"\xff")), critical=True)


def keyIdentifier(octets: bytes) -> bytes:
    return extension("2.5.29.14", der.encode(der.OCTET_STRING, octets))


def authorityKey(*parts: bytes) -> bytes:
    return extension("2.5.29.35", sequence(*parts))


@pytest.mark.parametrize(
    ("of", "by", "expected"),
    [
        ([], [], True),
        ([authorityKey(ia5(0x80, b"k"))], [keyIdentifier(b"k")], True),
        ([authorityKey(ia5(0x80, b"k"))], [keyIdentifier(b"l")], False),
        ([authorityKey(ia5(0x80, b"k"))], [], True),
        ([authorityKey(ia5(0x82, b"\x01"))], [], True),
        ([authorityKey(ia5(0x82, b"\x02"))], [], False),
        ([authorityKey(der.encode(0xA1, der.encode(0xA4, simpleName("I"))))], [], True),
        ([authorityKey(der.encode(0xA1, der.encode(0xA4, simpleName("J"))))], [], False),
        ([], [extension("2.5.29.15", der.encode(der.BIT_STRING, b"\x01\x06"))], True),
        ([], [extension("2.5.29.15", der.encode(der.BIT_STRING, b"\x07\x80"))], False),
        # A sequence of names that says it is primitive is read, one of nothing is not.
        ([authorityKey(der.encode(0x81, der.encode(0xA4, simpleName("J"))))], [], False),
        ([], [extension("2.5.29.30", sequence(der.encode(0x80, sequence(ia5(0x82, "a")))))], True),
        ([], [extension("2.5.29.30", sequence(der.encode(0x80, sequence())))], False),
        ([], [extension("2.5.29.17", b"\x05")], False),
        ([extension("2.5.29.17", b"\x05")], [], False),
    ],
)
def test_who_may_have_issued_it(of: list[bytes], by: list[bytes], expected: bool) -> None:
    issuer = X509Certificate(
        certificate(AUTHORITY, *by, subject=simpleName("i"), issuer=simpleName("i"))
    )
    found = X509Certificate(certificate(*of, issuer=simpleName("i")))
    assert found.checkIssued(issuer) is expected
    assert not issuer.checkIssued(found)


def test_a_key_in_another_encoding_is_the_same_key() -> None:
    """OpenSSL reads BER, cryptography DER and no more."""
    octets = b"\x81\x42\0" + CURVE_POINT  # a length with a needless octet
    algorithm = sequence(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7"))
    found = X509Certificate(certificate(key=sequence(algorithm, b"\x03" + octets)))
    assert found.publicKey == X509Certificate(PLAIN).publicKey
    assert found.checkIssued(found)


@pytest.mark.parametrize(
    ("curve", "point", "expected"),
    [
        ("1.2.840.10045.3.1.7", CURVE_POINT, True),
        ("1.2.840.10045.3.1.7", CURVE_POINT[:-1] + b"\0", False),
        ("1.2.840.10045.3.1.7", CURVE_POINT[:-1], False),
        ("1.3.132.0.8", CURVE_POINT, True),  # a curve of old: nobody here can say
    ],
)
def test_a_point_that_is_on_no_curve_did_not_issue(
    curve: str, point: bytes, expected: bool
) -> None:
    algorithm = sequence(oid("1.2.840.10045.2.1"), oid(curve))
    key = sequence(algorithm, der.encode(der.BIT_STRING, b"\0" + point))
    found = X509Certificate(certificate(key=key))
    assert found.checkIssued(found) is expected


def test_a_key_that_cannot_have_signed_did_not_issue() -> None:
    issuer = X509Certificate(
        certificate(AUTHORITY, subject=simpleName("i"), issuer=simpleName("i"), key=RSA_KEY)
    )
    assert not X509Certificate(certificate(issuer=simpleName("i"))).checkIssued(issuer)


@pytest.mark.parametrize("value", [5, None, PLAIN])
def test_only_a_certificate_can_have_issued(value: Any) -> None:
    with pytest.raises(NodeTypeError) as caught:
        X509Certificate(PLAIN).checkIssued(value)
    assert caught.value.code == "ERR_INVALID_ARG_TYPE"


# ---- hosts, addresses, mail


def withNames(*altNames: str, subject: bytes | None = None) -> X509Certificate:
    names = [ia5(0x82, each) for each in altNames]
    extensions = [altName(*names)] if names else []
    return X509Certificate(certificate(*extensions, subject=subject or simpleName("cn.test")))


@pytest.mark.parametrize(
    ("pattern", "host", "options", "expected"),
    [
        ("a.test", "A.TEST", {}, "a.test"),
        ("a.test", "a.test.", {}, None),
        ("a.test", "b.test", {}, None),
        ("a.test", "", {}, None),
        ("a.test", "a.test\0", {}, "a.test"),
        ("a.test", "cn.test", {}, None),
        ("a.test", "cn.test", {"subject": "always"}, "cn.test"),
        ("*.a.test", "b.a.test", {}, "*.a.test"),
        ("*.a.test", "c.b.a.test", {}, None),
        ("*.a.test", "c.b.a.test", {"multiLabelWildcards": True}, "*.a.test"),
        ("*.a.test", "b.a.test", {"wildcards": False}, None),
        ("*.a.test", "*.a.test", {"wildcards": False}, "*.a.test"),
        ("*.a.test", ".a.test", {}, "*.a.test"),
        ("*.a.test", "a_b.a.test", {}, None),
        ("*.test", "a.test", {}, None),
        ("a.*.test", "a.b.test", {}, None),
        ("f*.a.test", "foo.a.test", {}, "f*.a.test"),
        ("f*.a.test", "foo.a.test", {"partialWildcards": False}, None),
        ("*o.a.test", "foo.a.test", {}, "*o.a.test"),
        ("f*o.a.test", "foo.a.test", {}, None),
        ("*.a.test", "xn--x.a.test", {}, "*.a.test"),
        ("x*.a.test", "xn--x.a.test", {}, None),
        ("xn--*.a.test", "xn--x.a.test", {}, None),
        ("c.b.a.test", ".a.test", {}, "c.b.a.test"),
        ("c.b.a.test", ".a.test", {"singleLabelSubdomains": True}, None),
        ("b.a.test", ".a.test", {"singleLabelSubdomains": True}, "b.a.test"),
    ],
)
def test_hosts(pattern: str, host: str, options: dict[str, Any], expected: str | None) -> None:
    found = withNames(pattern)
    assert found.checkHost(host, options) == expected
    assert found.checkHost(host, **options) == expected


def test_without_names_the_common_names_count() -> None:
    subject = name([(COMMON_NAME, text("a.test")), (COMMON_NAME, text("*.b.test"))])
    found = withNames(subject=subject)
    assert found.checkHost("a.test") == "a.test"
    assert found.checkHost("x.b.test") == "*.b.test"
    assert found.checkHost("a.test", {"subject": "never"}) is None


def test_names_that_cannot_be_read_silence_the_common_name() -> None:
    """Stricter than Node, where OpenSSL takes such a certificate for one without names."""
    broken = extension("2.5.29.17", b"\x30\x05ab")
    found = X509Certificate(certificate(broken, subject=simpleName("cn.test")))
    assert found.checkHost("cn.test") is None


def test_names_that_stand_there_twice_silence_the_common_name() -> None:
    """Stricter than Node, as above; the text is that of the first, as in Node."""
    names = altName(ia5(0x82, "a.test")), altName(ia5(0x82, "b.test"))
    found = X509Certificate(certificate(*names, subject=simpleName("cn.test")))
    for host in ("a.test", "b.test", "cn.test"):
        assert found.checkHost(host) is None
    assert found.subjectAltName == "DNS:a.test"


def test_a_common_name_that_is_no_string_is_an_error() -> None:
    for kind, check in ((COMMON_NAME, "checkHost"), ("1.2.840.113549.1.9.1", "checkEmail")):
        subject = name([(kind, text(b"\0abc", 0x03))])
        found = X509Certificate(certificate(subject=subject))
        with pytest.raises(NodeError) as caught:
            getattr(found, check)("a.test")
        assert caught.value.code == "ERR_CRYPTO_OPERATION_FAILED"
        assert getattr(found, check)("a.test", subject="never") is None
        empty = X509Certificate(certificate(subject=name([(kind, text(b"\0", 0x03))])))
        assert getattr(empty, check)("a.test") is None


def test_a_name_with_nul_fits_no_host() -> None:
    found = withNames("good.test\0.evil.test")
    assert found.checkHost("good.test") is None
    with pytest.raises(NodeTypeError) as caught:
        found.checkHost("good.test\0.evil.test")
    assert (caught.value.code, caught.value.message) == ("ERR_INVALID_ARG_VALUE", "Invalid name")


MAILBOX = der.encode(0xA0, oid("1.3.6.1.5.5.7.8.9") + der.encode(0xA0, text("é@x.test")))


@pytest.mark.parametrize(
    ("email", "expected"),
    [
        ("User@a.test", True),
        ("User@A.TEST", True),
        ("user@a.test", False),
        ("User@b.test", False),
        ("é@x.test", True),
        ("é@X.test", True),
        ("subject@a.test", False),
        ("@a.test", False),
        ("", False),
    ],
)
def test_mail_addresses(email: str, expected: bool) -> None:
    subject = name([("1.2.840.113549.1.9.1", text("subject@a.test", IA5))])
    found = X509Certificate(
        certificate(altName(ia5(0x81, "User@a.test"), MAILBOX), subject=subject)
    )
    assert found.checkEmail(email) == (email if expected else None)


def test_a_mailbox_that_is_not_in_utf8_fails_what_comes_behind_it() -> None:
    """As in OpenSSL, which converts one name after the other."""
    broken = der.encode(0xA0, oid("1.3.6.1.5.5.7.8.9") + der.encode(0xA0, text(b"\xbd@x.test")))
    address = ia5(0x81, "me@a.test")
    assert X509Certificate(certificate(altName(address, broken))).checkEmail("me@a.test")
    for names in ((broken, address), (address, broken)):
        found = X509Certificate(certificate(altName(*names)))
        with pytest.raises(NodeError, match="Operation failed") as caught:
            found.checkEmail("you@a.test")
        assert caught.value.code == "ERR_CRYPTO_OPERATION_FAILED"
        assert found.checkHost("a.test") is None


def test_behind_a_mailbox_addresses_are_latin() -> None:
    octets = "é@a.test".encode()
    before = X509Certificate(certificate(altName(ia5(0x81, octets), MAILBOX)))
    behind = X509Certificate(certificate(altName(MAILBOX, ia5(0x81, octets))))
    assert before.checkEmail("é@a.test") == "é@a.test"
    assert behind.checkEmail("é@a.test") is None


def test_without_mail_addresses_the_subject_counts() -> None:
    subject = name([("1.2.840.113549.1.9.1", text("a@a.test", IA5))])
    found = X509Certificate(certificate(altName(ia5(0x82, "x")), subject=subject))
    assert found.checkEmail("a@A.test") == "a@A.test"
    assert found.checkEmail("a@a.test", subject="never") is None


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("127.0.0.2", False),
        ("::1", True),
        ("0:0::0001", True),
        ("::ffff:127.0.0.1", False),
    ],
)
def test_addresses(address: str, expected: bool) -> None:
    found = X509Certificate(
        certificate(
            altName(
                der.encode(0x87, b"\x7f\x00\x00\x01"),
                der.encode(0x87, bytes(15) + b"\x01"),
                ia5(0x82, "127.0.0.2"),
            )
        )
    )
    assert found.checkIP(address) == (address if expected else None)


@pytest.mark.parametrize(
    "address", ["", "x", "127.1", "127.000.000.001", "127.0.0.1 ", "::1%lo", "[::1]"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(NodeTypeError) as caught:
        X509Certificate(FULL).checkIP(address)
    assert (caught.value.code, caught.value.message) == ("ERR_INVALID_ARG_VALUE", "Invalid name")


@pytest.mark.parametrize("check", ["checkHost", "checkEmail", "checkIP"])
def test_wrong_arguments_are_refused_as_in_node(check: str) -> None:
    call = getattr(X509Certificate(FULL), check)
    for arguments, code, start in (
        ((5,), "ERR_INVALID_ARG_TYPE", "The "),
        (("1.2.3.4", 5), "ERR_INVALID_ARG_TYPE", 'The "options" argument must be of type object.'),
        (
            ("1.2.3.4", {"subject": 5}),
            "ERR_INVALID_ARG_TYPE",
            'The "options.subject" property must be of type string.',
        ),
        (
            ("1.2.3.4", {"subject": "x"}),
            "ERR_INVALID_ARG_VALUE",
            "The property 'options.subject' is invalid.",
        ),
        (
            ("1.2.3.4", {"wildcards": 1}),
            "ERR_INVALID_ARG_TYPE",
            'The "options.wildcards" property must be of type boolean.',
        ),
    ):
        with pytest.raises(NodeTypeError) as caught:
            call(*arguments)
        assert caught.value.code == code
        assert caught.value.message.startswith(start)


def test_an_unknown_option_is_refused_by_name() -> None:
    with pytest.raises(NodeTypeError) as caught:
        X509Certificate(FULL).checkHost("a.test", {"wildcard": False})
    assert "options.wildcard" in caught.value.message
