"""Who issued this certificate?"""

from __future__ import annotations

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.memory import derOf
from txnodetls.pki.issuers import findIssuer


def chainOf(leaf: trustme.LeafCert) -> list[bytes]:
    pem = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    return [each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(pem)]


def test_the_issuer_is_found_among_others() -> None:
    root, stranger = trustme.CA(), trustme.CA()
    middle = root.create_child_ca()
    leaf, *chain = chainOf(middle.issue_cert("a.test"))
    rootDER, strangerDER = derOf(root.cert_pem.bytes()), derOf(stranger.cert_pem.bytes())
    middleDER = derOf(middle.cert_pem.bytes())
    candidates = [strangerDER, rootDER, middleDER]
    assert findIssuer(leaf, candidates) == middleDER
    assert findIssuer(middleDER, candidates) == rootDER
    assert findIssuer(leaf, chain) == middleDER


def test_a_self_signed_certificate_is_its_own_issuer() -> None:
    root = derOf(trustme.CA().cert_pem.bytes())
    assert findIssuer(root, [root]) == root


def test_nobody_is_found_where_nobody_is() -> None:
    leaf = chainOf(trustme.CA().issue_cert("a.test"))[0]
    assert findIssuer(leaf, []) is None
    assert findIssuer(leaf, [derOf(trustme.CA().cert_pem.bytes())]) is None
    assert findIssuer(leaf, [leaf]) is None


def test_of_two_authorities_of_one_name_the_one_with_the_right_key_is_found() -> None:
    options = {"organization_name": "the same", "organization_unit_name": "name"}
    one, two = trustme.CA(**options), trustme.CA(**options)
    ders = [derOf(ca.cert_pem.bytes()) for ca in (one, two)]
    for index, ca in enumerate((one, two)):
        leaf = chainOf(ca.issue_cert("a.test"))[0]
        assert findIssuer(leaf, ders) == ders[index]
        assert findIssuer(leaf, ders[::-1]) == ders[index]


def test_what_cannot_be_read_issues_nothing_and_has_no_issuer() -> None:
    root = trustme.CA()
    leaf = chainOf(root.issue_cert("a.test"))[0]
    rootDER = derOf(root.cert_pem.bytes())
    assert findIssuer(leaf, [b"", b"garbage", leaf[:-1], rootDER]) == rootDER
    assert findIssuer(b"garbage", [rootDER]) is None
    assert findIssuer(b"", [rootDER]) is None
