"""Keys, certificates, PFX, CRLs and DH parameters in every form that Node takes."""

from __future__ import annotations

from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    KeySerializationEncryption,
    NoEncryption,
    load_pem_private_key,
    pkcs12,
)

from tests.memory import crlOf, derOf, issued
from tests.pki.damaging import TEXTS
from txnodetls.errors import NodeError, NodeTypeError
from txnodetls.pki.credentials import (
    KeyText,
    bundles,
    certificateChain,
    certificatesIn,
    dhPrimeBits,
    firstCertificate,
    keyTexts,
    pemTexts,
    revocationLists,
)
from txnodetls.pki.dhgroups import group
from txnodetls.pki.pem import toPEM


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def certificate(authority: trustme.CA) -> bytes:
    return issued(authority).cert


def code(call: Any, *arguments: Any) -> str | None:
    with pytest.raises(NodeError) as caught:
        call(*arguments)
    return caught.value.code


class TestTexts:
    @pytest.mark.parametrize("form", [str, bytes, bytearray, memoryview])
    def test_every_form_of_text_is_taken(self, form: Any) -> None:
        given = "text" if form is str else form(b"text")
        assert pemTexts(given, "options.cert") == (b"text",)
        assert pemTexts([given, given], "options.cert") == (b"text", b"text")

    @pytest.mark.parametrize("nothing", [None, False, "", []])
    def test_nothing_is_nothing(self, nothing: Any) -> None:
        assert pemTexts(nothing, "options.cert") == ()

    def test_an_empty_buffer_is_something(self) -> None:
        """As in JavaScript, where it is true and an empty text is not."""
        assert pemTexts(b"", "options.cert") == (b"",)

    @pytest.mark.parametrize("wrong", [1, True, {"pem": "x"}, [None], [["x"]]])
    def test_anything_else_is_an_error_that_names_the_option(self, wrong: Any) -> None:
        with pytest.raises(NodeTypeError, match=r'The "options\.cert" property') as caught:
            pemTexts(wrong, "options.cert")
        assert caught.value.code == "ERR_INVALID_ARG_TYPE"


class TestKeys:
    def test_the_common_passphrase_serves_those_without_their_own(self) -> None:
        keys = keyTexts(["a", {"pem": "b"}, {"pem": "c", "passphrase": "own"}], "common")
        assert keys == (
            KeyText(b"a", b"common"),
            KeyText(b"b", b"common"),
            KeyText(b"c", b"own"),
        )

    def test_a_passphrase_of_none_is_no_passphrase(self) -> None:
        assert keyTexts([{"pem": "a", "passphrase": None}], "common") == (KeyText(b"a", None),)

    def test_a_mapping_stands_in_lists_only(self) -> None:
        assert code(keyTexts, {"pem": "a"}, None) == "ERR_INVALID_ARG_TYPE"

    @pytest.mark.parametrize("wrong", [1, True, [None], [{"passphrase": "x"}], [1]])
    def test_what_is_no_key_is_an_error(self, wrong: Any) -> None:
        assert code(keyTexts, wrong, None) == "ERR_INVALID_ARG_TYPE"

    def test_a_passphrase_is_a_str(self) -> None:
        for wrong in (1, b"bytes"):
            assert code(keyTexts, "a", wrong) == "ERR_INVALID_ARG_TYPE"

    def test_without_a_key_the_passphrase_is_not_looked_at(self) -> None:
        assert keyTexts(None, 1) == ()


class TestCertificates:
    def test_the_first_is_ours_and_the_others_its_chain(self, authority: trustme.CA) -> None:
        child = authority.create_child_ca()
        credentials = issued(child)
        leaf, chain = certificateChain(credentials.cert + authority.cert_pem.bytes())
        assert leaf == derOf(credentials.cert)
        assert chain == (derOf(child.cert_pem.bytes()), derOf(authority.cert_pem.bytes()))

    def test_a_key_in_the_same_file_does_not_disturb(self, authority: trustme.CA) -> None:
        credentials = issued(authority)
        assert certificateChain(credentials.key + credentials.cert)[0] == derOf(credentials.cert)

    @pytest.mark.parametrize("text", [b"", b"not PEM", b"-----BEGIN CERTIFICATE"])
    def test_none_is_openssls_error(self, text: bytes) -> None:
        assert code(certificateChain, text) == "ERR_OSSL_PEM_NO_START_LINE"

    def test_a_damaged_one_behind_it_is_an_error(self, certificate: bytes) -> None:
        assert code(certificateChain, certificate * 2 + certificate[:200]) == (
            "ERR_OSSL_PEM_BAD_END_LINE"
        )

    def test_a_list_of_ca_is_read_up_to_the_damage(self, certificate: bytes) -> None:
        found = certificatesIn(certificate + b"-----BEGIN CERTIFICATE-----\n" + certificate)
        assert [block.der for block in found] == [derOf(certificate)]

    @pytest.mark.parametrize("label", [b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE"])
    def test_every_label_of_a_certificate_counts(self, certificate: bytes, label: bytes) -> None:
        assert certificateChain(certificate.replace(b"CERTIFICATE", label))[0] == (
            derOf(certificate)
        )

    def test_behind_the_first_a_trusted_certificate_is_passed_over(self) -> None:
        """OpenSSL reads what it is trusted for of the first only."""
        leaf, trusted = TEXTS["leaf.crt"], TEXTS["trusted.crt"]
        assert certificateChain(leaf + trusted) == (derOf(leaf), ())
        assert certificateChain(trusted + leaf)[1] == (derOf(leaf),)

    def test_what_is_behind_the_first_certificate_has_to_be_for_trust(self) -> None:
        leaf = derOf(TEXTS["leaf.crt"])
        behind = toPEM(leaf + b"\x05\x00")
        assert code(certificateChain, behind) == "ERR_OSSL_ASN1_WRONG_TAG"
        assert code(firstCertificate, behind) == "ERR_OSSL_ASN1_WRONG_TAG"
        # Of the others it is not read.
        assert certificateChain(TEXTS["leaf.crt"] + behind)[1] == (leaf,)

    def test_where_openssl_says_nothing_node_names_the_function(self) -> None:
        with pytest.raises(NodeError, match=r"\ASSL_CTX_use_certificate_chain\Z") as caught:
            certificateChain(TEXTS["leaf.crt"].replace(b"M", b"M:", 1))
        assert caught.value.code == "ERR_CRYPTO_OPERATION_FAILED"


class TestRevocationLists:
    def test_one_or_several_in_one_text_or_in_a_list(self, authority: trustme.CA) -> None:
        one, two = crlOf(authority), crlOf(trustme.CA())
        assert len(revocationLists(one, "options.crl")) == 1
        assert len(revocationLists(one + two, "options.crl")) == 2
        assert len(revocationLists([one, two.decode()], "options.crl")) == 2

    def test_every_list_of_a_text_counts_and_is_to_be_whole(self, authority: trustme.CA) -> None:
        """Node reads the first, and no further: who is in another would not be revoked."""
        one, two = crlOf(authority), crlOf(trustme.CA())
        for damaged in (one + two[:80], one + b"-----BEGIN X509 CRL-----\n" + two):
            assert code(revocationLists, damaged, "options.crl") == "ERR_CRYPTO_OPERATION_FAILED"

    @pytest.mark.parametrize("nothing", [None, []])
    def test_nothing_is_nothing(self, nothing: Any) -> None:
        assert revocationLists(nothing, "options.crl") == ()

    def test_a_text_without_any_is_nodes_error(self, certificate: bytes) -> None:
        for wrong in ("", b"not PEM", certificate, [certificate], crlOf(trustme.CA())[:80]):
            assert code(revocationLists, wrong, "options.crl") == "ERR_CRYPTO_OPERATION_FAILED"

    def test_anything_else_is_an_error_that_names_the_option(self) -> None:
        for wrong in (1, [1]):
            assert code(revocationLists, wrong, "options.crl") == "ERR_INVALID_ARG_TYPE"


class TestDHParameters:
    def test_the_size_of_the_prime_is_read(self) -> None:
        assert dhPrimeBits(group(2048)) == 2048

    @pytest.mark.parametrize(
        "text",
        [
            b"garbage",
            b"",
            b"-----BEGIN DH PARAMETERS-----\nMAA=\n-----END DH PARAMETERS-----\n",
            b"-----BEGIN DH PARAMETERS-----\nMAYCgoL=\n-----END DH PARAMETERS-----\n",
            b"-----BEGIN DH PARAMETERS-----\nMA",
        ],
    )
    def test_what_cannot_be_read_has_none(self, text: bytes) -> None:
        assert dhPrimeBits(text) is None


def pfx(
    authority: trustme.CA,
    encryption: KeySerializationEncryption,
    *,
    key: bool = True,
) -> bytes:
    credentials = issued(authority)
    loaded: Any = load_pem_private_key(credentials.key, None)
    return pkcs12.serialize_key_and_certificates(
        b"name",
        loaded if key else None,
        x509.load_pem_x509_certificate(credentials.cert) if key else None,
        [x509.load_pem_x509_certificate(authority.cert_pem.bytes())],
        encryption,
    )


class TestPFX:
    def test_key_certificate_and_the_others_are_found(self, authority: trustme.CA) -> None:
        [bundle] = bundles(pfx(authority, BestAvailableEncryption(b"secret")), "secret")
        assert bundle.others == (derOf(authority.cert_pem.bytes()),)
        assert x509.load_der_x509_certificate(bundle.leaf).issuer == (
            x509.load_pem_x509_certificate(authority.cert_pem.bytes()).subject
        )

    def test_one_without_a_passphrase_is_read(self, authority: trustme.CA) -> None:
        assert len(bundles(pfx(authority, NoEncryption()), None)) == 1
        # An empty one counts as none.
        assert len(bundles(pfx(authority, NoEncryption()), "")) == 1

    def test_in_a_list_each_can_have_its_own_passphrase(self, authority: trustme.CA) -> None:
        first = pfx(authority, BestAvailableEncryption(b"first"))
        second = pfx(authority, BestAvailableEncryption(b"second"))
        given = [{"buf": first, "passphrase": "first"}, second, {"buf": second}]
        assert len(bundles(given, "second")) == 3

    def test_a_mapping_stands_in_lists_only(self, authority: trustme.CA) -> None:
        given = {"buf": pfx(authority, BestAvailableEncryption(b"secret")), "passphrase": "secret"}
        with pytest.raises(NodeError, match="Unable to load PFX certificate"):
            bundles(given, None)

    @pytest.mark.parametrize(
        ("given", "passphrase", "message"),
        [
            ("bad", "secret", "mac verify failure"),
            ("good", "other", "mac verify failure"),
            ("good", None, "mac verify failure"),
            ("cut", "secret", "not enough data"),
            ("garbage", "secret", "not enough data"),
            ("", "secret", "not enough data"),
            (1, "secret", "Unable to load PFX certificate"),
            ("keyless", "secret", "Unable to load private key from PFX data"),
        ],
    )
    def test_the_errors_are_nodes(
        self, authority: trustme.CA, given: Any, passphrase: str | None, message: str
    ) -> None:
        good = pfx(authority, BestAvailableEncryption(b"secret"))
        forms = {
            "good": good,
            "bad": pfx(authority, BestAvailableEncryption(b"x")),
            "cut": good[:100],
            "keyless": pfx(authority, BestAvailableEncryption(b"secret"), key=False),
        }
        with pytest.raises(NodeError) as caught:
            bundles(forms.get(given, given), passphrase)
        assert str(caught.value) == message

    def test_a_passphrase_is_text_or_bytes(self, authority: trustme.CA) -> None:
        good = pfx(authority, BestAvailableEncryption(b"secret"))
        assert code(bundles, good, 1) == "ERR_INVALID_ARG_TYPE"
        assert len(bundles(good, b"secret")) == 1
