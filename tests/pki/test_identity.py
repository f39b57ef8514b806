"""
Is the certificate good for the host?

Verdicts and texts were recorded from Node 24, but for those that say otherwise.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pki.building import COMMON_NAME, altName, certificate, ia5, name, simpleName, text
from txnodetls.errors import CertificateError, NodeError, NodeTypeError
from txnodetls.pki import der
from txnodetls.pki.certificates import certificateObject
from txnodetls.pki.identity import checkServerIdentity


def reason(host: str, cert: dict[str, Any]) -> str | None:
    error = checkServerIdentity(host, cert)
    return None if error is None else error.reason


def fits(host: str, cert: dict[str, Any]) -> bool:
    return checkServerIdentity(host, cert) is None


def named(*altNames: str, **subject: Any) -> dict[str, Any]:
    return {"subjectaltname": ", ".join(altNames), "subject": subject}


def common(commonName: object) -> dict[str, Any]:
    return {"subject": {"CN": commonName}}


def test_the_error_says_what_and_why() -> None:
    cert = {"subject": {"CN": "a.test"}, "extra": 1}
    error = checkServerIdentity("x.test.", cert)
    assert isinstance(error, CertificateError)
    assert error.code == "ERR_TLS_CERT_ALTNAME_INVALID"
    assert error.reason == "Host: x.test. is not cert's CN: a.test"
    assert error.message == (
        "Hostname/IP does not match certificate's altnames: Host: x.test. is not cert's CN: a.test"
    )
    assert error.host == "x.test"
    assert error.cert is cert


NOTHING = "Cert does not contain a DNS name"
TEXTS = [
    ("a.test", {}, NOTHING),
    ("a.test", {"subject": None}, NOTHING),
    ("a.test", {"subject": {"O": "x"}}, NOTHING),
    ("a.test", {"subjectaltname": "", "subject": {"CN": ""}}, NOTHING),
    ("a.test", named("URI:http://a.test/"), NOTHING),
    ("a.test", named("IP Address:1.2.3.4"), NOTHING),
    ("a.test", common(["b", "c"]), "Host: a.test. is not cert's CN: b,c"),
    ("a.test", common([]), "Host: a.test. is not cert's CN: "),
    ("", common("a.test"), "Host: . is not cert's CN: a.test"),
    (
        "a.test",
        named("DNS:b.test", "DNS:c.test", CN="a.test"),
        "Host: a.test. is not in the cert's altnames: DNS:b.test, DNS:c.test",
    ),
    ("8.8.8.8", {}, "IP: 8.8.8.8 is not in the cert's list: "),
    ("8.8.8.8", common("8.8.8.8"), "IP: 8.8.8.8 is not in the cert's list: "),
    (
        "8.8.8.8",
        named("IP Address:0:0:0:0:0:0:0:1", "DNS:8.8.8.8", "IP Address:1.2.3.4"),
        "IP: 8.8.8.8 is not in the cert's list: ::1, 1.2.3.4",
    ),
]


@pytest.mark.parametrize(("host", "cert", "why"), TEXTS)
def test_why_not(host: str, cert: dict[str, Any], why: str) -> None:
    assert reason(host, cert) == why


@pytest.mark.parametrize(
    ("host", "pattern", "expected"),
    [
        ("a.test", "a.test", True),
        ("A.test", "a.TEST", True),
        ("a.test.", "a.test", True),
        ("a.test", "a.test.", True),
        ("a.test..", "a.test", True),
        ("localhost", "localhost", True),
        ("b.a.test", "a.test", False),
        ("a.test", ".a.test", False),
        (".a.test", ".a.test", False),
        ("a..test", "a..test", False),
        ("b.a.test", "*.a.test", True),
        ("a.test", "*.a.test", False),
        ("c.b.a.test", "*.a.test", False),
        ("a.test", "*.test", False),
        ("test", "*", False),
        ("b.a.test", "*.*.test", False),
        ("b.a.test", "b.*.test", False),
        ("b.a.test", "**.a.test", False),
        ("foo.a.test", "f*.a.test", True),
        ("foo.a.test", "*o.a.test", True),
        ("foo.a.test", "f*o.a.test", True),
        ("fo.a.test", "fo*o.a.test", False),
        ("foo.a.test", "b*.a.test", False),
        ("xn--foo.a.test", "xn--*.a.test", False),
        ("a_b.a.test", "a_b.a.test", True),
        ("a b.a.test", "a b.a.test", False),
    ],
)
def test_names_and_wildcards(host: str, pattern: str, expected: bool) -> None:
    assert fits(host, named(f"DNS:{pattern}")) is expected
    assert fits(host, common(pattern)) is expected
    assert fits(host, common(["other.test", pattern])) is expected


@pytest.mark.parametrize(
    ("host", "pattern", "expected"),
    [
        ("BÜCHER.test", "xn--bcher-kva.test", True),
        ("XN--BCHER-KVA.test", "xn--bcher-kva.test", True),
        ("straße.test", "xn--strae-oqa.test", True),
        ("straße.test", "strasse.test", False),
        ("ⓐ.test", "a.test", True),
        ("😀.test", "xn--e28h.test", True),
        ("bücher.test", "bücher.test", False),
        ("xn--80a.test", "а.test", False),
        ("а.test", "a.test", False),
        ("bücher.a.test", "*.a.test", True),
        ("a\u200db.test", "*.test.test", False),
        ("xn--a.test", "xn--a.test", False),
    ],
)
def test_international_names(host: str, pattern: str, expected: bool) -> None:
    assert fits(host, named(f"DNS:{pattern}")) is expected


@pytest.mark.parametrize(
    ("host", "found", "expected"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1.", "127.0.0.1", True),
        ("127.1", "127.0.0.1", True),
        ("0x7f000001", "127.0.0.1", True),
        ("0177.0.0.1", "127.0.0.1", True),
        ("127.0.0.01", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.01", False),
        ("127.0.0.1", "127.1", False),
        ("127.0.0.256", "127.0.0.1", False),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", "<invalid length=3>", False),
        ("::ffff:127.0.0.1", "127.0.0.1", False),
    ],
)
def test_addresses(host: str, found: str, expected: bool) -> None:
    assert fits(host, named(f"IP Address:{found}")) is expected


@pytest.mark.parametrize(
    ("host", "found", "expected"),
    [
        ("::1", "0:0:0:0:0:0:0:1", True),
        ("0::0001", "0:0:0:0:0:0:0:1", True),
        ("FE80::a", "FE80:0:0:0:0:0:0:A", True),
        ("fe80::a%eth0", "FE80:0:0:0:0:0:0:A", True),
        ("::ffff:1.2.3.4", "0:0:0:0:0:FFFF:102:304", True),
        ("::1", "0:0:0:0:0:0:0:2", False),
        ("[::1]", "0:0:0:0:0:0:0:1", False),
        ("fe80::a%", "FE80:0:0:0:0:0:0:A", False),
        ("fe80::a%e/x", "FE80:0:0:0:0:0:0:A", False),
    ],
)
def test_ipv6_addresses_can_fit(host: str, found: str, expected: bool) -> None:
    """As in Node before 24.17 and after nodejs/node#64145; in between none did."""
    assert fits(host, named(f"IP Address:{found}")) is expected


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("0:0:0:0:0:0:0:1", "::1"),
        ("0:0:0:0:0:FFFF:102:304", "::ffff:1.2.3.4"),
        ("0:0:0:0:0:0:102:304", "::1.2.3.4"),
        ("0:0:0:0:0:0:0:102", "::102"),
        ("1:0:0:2:0:0:0:3", "1:0:0:2::3"),
        ("2001:DB8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("<invalid length=3>", ""),
    ],
)
def test_how_addresses_are_shown(address: str, shown: str) -> None:
    assert reason("8.8.8.8", named(f"IP Address:{address}")) == (
        f"IP: 8.8.8.8 is not in the cert's list: {shown}"
    )


# ---- what went wrong in the past


def test_a_uri_is_no_host() -> None:
    """CVE-2021-44531."""
    assert not fits("a.test", named("URI:http://a.test/"))
    assert not fits("a.test", named("URI:http://a.test/", "DNS:b.test"))
    assert not fits("a.test", named("URI:http://*.test/", CN="b.test"))


def test_quoted_names_are_one_name() -> None:
    """CVE-2021-44532."""
    assert not fits("evil.test", named('DNS:"good.test, DNS:evil.test"'))
    assert not fits("good.test", named('DNS:"good.test, DNS:evil.test"'))
    assert not fits("a.test", named('URI:"http://x/?a, DNS:a.test"', "DNS:b.test"))
    assert fits("b.test", named('URI:"http://x/?a, DNS:a.test"', "DNS:b.test"))
    assert fits("good.test", named('DNS:"good.test"'))
    assert fits("a.test", named('DNS:"a\\u002etest"'))
    assert fits("a.testx", named('DNS:"a.test"x'))


@pytest.mark.parametrize(
    "altNames", ['DNS:"a.test', 'DNS:"\\x61.test"', 'DNS:"a\n"', 'DNS:a", DNS:a.test', 'x"']
)
def test_quotes_that_do_not_close_are_an_error(altNames: str) -> None:
    with pytest.raises(NodeError) as caught:
        checkServerIdentity("a.test", {"subjectaltname": altNames})
    assert caught.value.code == "ERR_TLS_CERT_ALTNAME_FORMAT"
    assert caught.value.message == "Invalid subject alternative name string"
    assert caught.value.name == "SyntaxError"


def test_only_a_comma_and_a_blank_separate() -> None:
    assert not fits("b.test", {"subjectaltname": "DNS:a.test,DNS:b.test"})
    assert fits("b.test", {"subjectaltname": 'DNS:"a", DNS:b.test,'})


def hostile(*names: bytes, subject: bytes | None = None) -> dict[str, Any]:
    """The certificate object of a real certificate with these alternative names."""
    extensions = [altName(*names)] if names else []
    return certificateObject(certificate(*extensions, subject=subject or simpleName("good.test")))


@pytest.mark.parametrize(
    "value",
    [
        "good.test, DNS:evil.test",
        'good.test", DNS:evil.test',
        '", DNS:evil.test, DNS:"',
        "good.test\\, DNS:evil.test",
        "evil.test\0.good.test",
        "\0evil.test",
        "evil.test\n",
        "x\r\nDNS:evil.test",
    ],
)
@pytest.mark.parametrize("tag", [0x81, 0x82, 0x86])
def test_no_string_in_a_certificate_makes_up_a_name(tag: int, value: str) -> None:
    assert not fits("evil.test", hostile(ia5(tag, value)))


def test_no_directory_name_makes_up_a_name() -> None:
    for value in ("x, DNS:evil.test", 'x", DNS:evil.test', "x\\, DNS:evil.test"):
        directory = der.encode(0xA4, name([(COMMON_NAME, text(value))]))
        assert not fits("evil.test", hostile(directory))


def test_no_line_of_a_subject_makes_up_a_common_name() -> None:
    """CVE-2021-44533."""
    subject = name([("2.5.4.10", text("x\nCN=evil.test"))], [(COMMON_NAME, text("good.test"))])
    assert not fits("evil.test", hostile(subject=subject))
    assert fits("good.test", hostile(subject=subject))


def test_a_set_with_two_common_names_has_two() -> None:
    subject = name([(COMMON_NAME, text("a.test")), (COMMON_NAME, text("b.test"))])
    assert fits("a.test", hostile(subject=subject))
    assert fits("b.test", hostile(subject=subject))
    assert not fits("c.test", hostile(subject=subject))


def test_a_common_name_with_nul_fits_nothing() -> None:
    """CVE-2009-2408."""
    subject = simpleName("good.test\0.evil.test")
    assert not fits("good.test", hostile(subject=subject))
    assert not fits("good.test\0.evil.test", hostile(subject=subject))


def test_a_dns_name_silences_the_common_name() -> None:
    assert not fits("good.test", hostile(ia5(0x82, "other.test")))
    assert fits("good.test", hostile(ia5(0x81, "a@other.test")))


def test_addresses_and_names_are_never_mixed() -> None:
    assert not fits("127.0.0.1", hostile(ia5(0x82, "127.0.0.1")))
    assert not fits("127.0.0.1", hostile(ia5(0x82, "*.0.0.1")))
    assert not fits("127.0.0.1", hostile(subject=simpleName("127.0.0.1")))
    assert not fits("a.test", hostile(der.encode(0x87, b"a.test")))
    assert fits("127.0.0.1", hostile(der.encode(0x87, b"\x7f\x00\x00\x01")))


@pytest.mark.parametrize("length", [0, 3, 5, 15, 17])
def test_an_address_of_a_wrong_length_fits_nothing(length: int) -> None:
    cert = hostile(der.encode(0x87, bytes(length)))
    for host in ("0.0.0.0", "::", "", f"<invalid length={length}>"):
        assert not fits(host, cert)


@pytest.mark.parametrize(
    "host", ["a。test", "a．test", "ａ.test", "A.TEST", "a.test."]
)  # CVE-2026-48618
def test_a_host_is_compared_in_its_ascii_spelling(host: str) -> None:
    assert fits(host, named("DNS:a.test"))
    assert not fits(host, named("DNS:*.test.test"))
    assert not fits(f"x.{host}", named("DNS:a.test"))


@pytest.mark.parametrize("pattern", ["x*.a.test", "*va.a.test", "xn*.a.test", "xn--b*.a.test"])
def test_a_part_of_a_label_never_stands_for_punycode(pattern: str) -> None:
    """CVE-2023-28321 of curl; stricter than Node."""
    assert not fits("bücher.a.test", named(f"DNS:{pattern}"))
    assert not fits("XN--bcher-kva.a.test", common(pattern))
    assert fits("bücher.a.test", named("DNS:*.a.test"))


def test_a_hidden_dot_does_not_fit_a_wildcard() -> None:
    """CVE-2026-48618: one label to a program, two to the resolver."""
    assert not fits("evil。b.a.test", named("DNS:*.a.test"))


@pytest.mark.parametrize(
    "rest", ["/x", "?x", "#x", "\\x", ":80", "\n", "\t", "%00", " ", "\0", "@b"]
)
def test_a_host_with_what_no_host_has_fits_nothing(rest: str) -> None:
    """Stricter than Node, which leaves off what follows some of these."""
    cert = named("DNS:a.test", "IP Address:127.0.0.1")
    assert not fits(f"a.test{rest}", cert)
    assert not fits(f"127.0.0.1{rest}", cert)
    assert not fits(f"a{rest}.test", cert)


@pytest.mark.parametrize("host", [None, 5, True, b"a.test", ["a.test"]])
def test_only_a_str_is_a_host(host: Any) -> None:
    with pytest.raises(NodeTypeError) as caught:
        checkServerIdentity(host, common("a.test"))
    assert caught.value.code == "ERR_INVALID_ARG_TYPE"
    assert caught.value.message.startswith('The "hostname" argument must be of type string.')


@pytest.mark.parametrize("cert", [None, "x", [], {"subjectaltname": ["DNS:a.test"]}])
def test_only_a_mapping_with_text_is_a_certificate(cert: Any) -> None:
    with pytest.raises(NodeTypeError):
        checkServerIdentity("a.test", cert)


@pytest.mark.parametrize("value", [5, True, {"a.test": 1}, b"a.test", [["a.test"], None]])
def test_a_common_name_that_is_no_text_fits_nothing(value: Any) -> None:
    assert not fits("a.test", common(value))


@given(st.text(max_size=20), st.text(max_size=40), st.text(max_size=20))
def test_whatever_the_texts_there_is_a_verdict(host: str, altNames: str, commonName: str) -> None:
    cert = {"subjectaltname": altNames, "subject": {"CN": commonName}}
    try:
        error = checkServerIdentity(host, cert)
    except NodeError as raised:
        error = raised
    code = None if error is None else error.code
    assert code in (None, "ERR_TLS_CERT_ALTNAME_INVALID", "ERR_TLS_CERT_ALTNAME_FORMAT")


@given(st.lists(st.binary(max_size=16), max_size=4), st.sampled_from([0x81, 0x82, 0x86, 0x88]))
def test_a_host_fits_only_a_name_that_is_there(values: list[bytes], tag: int) -> None:
    names = [ia5(tag, value) for value in values]
    expected = tag == 0x82 and any(value.lower() in (b"a.b.test", b"*.b.test") for value in values)
    assert fits("a.b.test", hostile(*names, ia5(0x82, "other.test"))) is expected


def test_a_long_list_of_names_is_searched_in_no_time() -> None:
    altNames = ", ".join(f'DNS:"a{number}.test"' for number in range(20000))
    assert fits("a19999.test", {"subjectaltname": altNames})
    assert not fits("ü" * 100000, {"subjectaltname": altNames})
