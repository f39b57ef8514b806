"""From options to what OpenSSL then does."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from OpenSSL import SSL

from tests.context.making import agreed, client, meet, refused, server, verdict
from tests.memory import crlOf, derOf, issued, trustedPEM
from tests.support import Credentials, Pki
from txnodetls import constants
from txnodetls.constants import defaults
from txnodetls.context import (
    SecureContext,
    SecurityWarning,
    createSecureContext,
    getCiphers,
    makeContext,
)
from txnodetls.errors import NodeError
from txnodetls.options import CONTEXT, readOptions
from txnodetls.pki import der, dhgroups, trust
from txnodetls.pki.pem import toPEM
from txnodetls.pki.trust import setDefaultCACertificates

TYPE = "ERR_INVALID_ARG_TYPE"
VALUE = "ERR_INVALID_ARG_VALUE"
RANGE = "ERR_OUT_OF_RANGE"
METHOD = "ERR_TLS_INVALID_PROTOCOL_METHOD"


class TestCiphers:
    def chosen(self, one: SecureContext, other: SecureContext) -> str | None:
        return meet(one, other).client.get_cipher_name()

    def test_hold_for_old_and_new_versions(self, pki: Pki) -> None:
        ciphers = "TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-GCM-SHA384"
        one = server(pki, ciphers=ciphers)
        assert self.chosen(one, client(pki)) == "TLS_AES_128_GCM_SHA256"
        old = self.chosen(one, client(pki, maxVersion="TLSv1.2"))
        assert old is not None
        assert old.endswith("AES256-GCM-SHA384")

    def test_only_new_ones_mean_only_new_versions(self, pki: Pki) -> None:
        one = server(pki, ciphers="TLS_AES_256_GCM_SHA384")
        assert agreed(one, client(pki)) == "TLSv1.3"
        assert agreed(one, client(pki, maxVersion="TLSv1.2")) is None

    def test_only_old_ones_leave_the_new_as_they_are(self, pki: Pki) -> None:
        one = server(pki, ciphers="ECDHE-RSA-AES256-GCM-SHA384")
        assert agreed(one, client(pki)) == "TLSv1.3"

    def test_empty_members_do_not_count(self, pki: Pki) -> None:
        createSecureContext(ciphers="::HIGH:")
        error = refused(ciphers=":")
        assert error.code == VALUE

    @pytest.mark.parametrize("nothing", ["", None])
    def test_nothing_means_the_defaults(self, pki: Pki, nothing: Any) -> None:
        assert agreed(server(pki), client(pki, ciphers=nothing)) == "TLSv1.3"

    def test_the_default_can_be_assigned(self, pki: Pki) -> None:
        defaults.DEFAULT_CIPHERS = "TLS_CHACHA20_POLY1305_SHA256"
        assert self.chosen(server(pki), client(pki)) == "TLS_CHACHA20_POLY1305_SHA256"

    @pytest.mark.parametrize("value", ["nope", "TLS_NOPE", "!TLS_AES_128_GCM_SHA256:HIGH"])
    def test_unknown_ones_are_openssls_error(self, value: str) -> None:
        assert refused(ciphers=value).code == "ERR_SSL_NO_CIPHER_MATCH"

    def test_are_a_str(self) -> None:
        assert refused(ciphers=1).code == TYPE

    def test_the_servers_order_counts_if_it_is_to(self, pki: Pki) -> None:
        ours = ["ECDHE-{}-AES256-GCM-SHA384", "ECDHE-{}-AES128-GCM-SHA256"]
        both = [each.format(kind) for each in ours for kind in ("RSA", "ECDSA")]
        wish = client(pki, ciphers=":".join(reversed(both)), maxVersion="TLSv1.2")
        chosen = self.chosen(server(pki, ciphers=":".join(both), honorCipherOrder=True), wish)
        assert chosen is not None
        assert "AES256" in chosen
        chosen = self.chosen(server(pki, ciphers=":".join(both)), wish)
        assert chosen is not None
        assert "AES128" in chosen

    def test_a_servers_order_counts_by_default(self, pki: Pki) -> None:
        options = readOptions(CONTEXT, {"honorCipherOrder": None})
        preference = constants.SSL_OP_CIPHER_SERVER_PREFERENCE
        made = makeContext(options, lambda _: b"x")
        assert made.native.set_options(0) & preference
        made = makeContext(options | {"honorCipherOrder": False}, lambda _: b"x")
        assert not made.native.set_options(0) & preference
        assert not createSecureContext(sessionTimeout=1).native.set_options(0) & preference

    def test_all_names_are_in_lower_case(self) -> None:
        names = getCiphers()
        assert {"tls_aes_128_ccm_sha256", "ecdhe-rsa-aes128-gcm-sha256"} <= set(names)
        assert all(name == name.lower() for name in names)


class TestOwnCertificate:
    def test_keys_and_certificates_of_several_kinds_in_any_order(self, pki: Pki) -> None:
        rsaOne = issued(pki.authority, key_type=trustme.KeyType.RSA)
        ecOne = issued(pki.authority, key_type=trustme.KeyType.ECDSA)
        one = createSecureContext(
            cert=[ecOne.cert, rsaOne.cert.decode()],
            key=[bytearray(rsaOne.key), {"pem": ecOne.key}],
        )
        for cipher, own in (
            ("ECDHE-RSA-AES128-GCM-SHA256", rsaOne),
            ("ECDHE-ECDSA-AES128-GCM-SHA256", ecOne),
        ):
            done = meet(one, client(pki, ciphers=cipher, maxVersion="TLSv1.2"))
            assert done.sent[0] == derOf(own.cert)

    def test_the_chain_is_sent(self, pki: Pki) -> None:
        child = pki.authority.create_child_ca()
        chained = issued(child)
        one = createSecureContext(key=chained.key, cert=chained.cert)
        assert meet(one, client(pki)).sent == [
            derOf(chained.cert),
            derOf(child.cert_pem.bytes()),
        ]
        assert verdict(one, client(pki)) == "OK"

    def test_a_chain_is_completed_from_ca(self, pki: Pki) -> None:
        child = pki.authority.create_child_ca()
        leaf = child.issue_cert("localhost")
        one = createSecureContext(
            key=leaf.private_key_pem.bytes(),
            cert=leaf.cert_chain_pems[0].bytes(),
            ca=child.cert_pem.bytes(),
        )
        assert len(meet(one, client(pki)).sent) == 2

    @pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
    def test_an_encrypted_key_is_opened_with_its_passphrase(
        self, pki: Pki, form: PrivateFormat
    ) -> None:
        key: Any = load_pem_private_key(pki.server.key, None)
        encrypted = key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"secret"))
        one = server(pki, key=encrypted, passphrase="secret")
        assert verdict(one, client(pki)) == "OK"
        server(pki, key=[{"pem": encrypted, "passphrase": "secret"}], passphrase="other")
        codes = [
            str(refused(key=encrypted, passphrase=wrong).code)
            for wrong in ("other", "another", "", None, "x" * 1024)
        ]
        # One wrong passphrase in 256 happens to leave a padding that looks right.
        assert "ERR_OSSL_BAD_DECRYPT" in codes
        assert all(code.startswith("ERR_OSSL_") for code in codes)
        assert refused(key=encrypted, passphrase="x" * 1025).code == (
            "ERR_OSSL_CRYPTO_INTERRUPTED_OR_CANCELLED"
        )
        assert refused(key=encrypted, passphrase=1).code == TYPE

    def test_a_passphrase_too_many_does_not_disturb(self, pki: Pki) -> None:
        assert verdict(server(pki, passphrase="secret"), client(pki)) == "OK"

    def test_the_errors_are_nodes(self, pki: Pki) -> None:
        other = issued(pki.authority)
        mismatch = refused(key=other.key, cert=pki.server.cert)
        assert mismatch.code == "ERR_OSSL_X509_KEY_VALUES_MISMATCH"
        assert str(mismatch) == "error:05800074:x509 certificate routines::key values mismatch"
        assert refused(key="not PEM").code == "ERR_OSSL_UNSUPPORTED"
        assert refused(key=pki.server.cert).code == "ERR_OSSL_UNSUPPORTED"
        assert refused(cert="not PEM").code == "ERR_OSSL_PEM_NO_START_LINE"
        assert refused(cert=b"").code == "ERR_OSSL_PEM_NO_START_LINE"
        assert refused(cert=1).code == TYPE
        assert refused(key={"pem": pki.server.key}).code == TYPE

    def test_a_chain_in_the_wrong_order_is_noticed(self, pki: Pki) -> None:
        child = pki.authority.create_child_ca()
        chained = issued(child)
        turned = child.cert_pem.bytes() + chained.cert
        assert refused(key=chained.key, cert=turned).code == "ERR_OSSL_X509_KEY_VALUES_MISMATCH"

    def test_either_may_be_missing(self, pki: Pki) -> None:
        assert createSecureContext(cert=pki.server.cert).hasCertificate
        assert not createSecureContext(key=pki.server.key).hasCertificate
        assert not createSecureContext(key="", cert=[]).hasCertificate

    def test_the_security_level_is_set_before_keys_are_loaded(self, pki: Pki) -> None:
        weak = _weak(pki.authority)
        assert refused(key=weak.key, cert=weak.cert).code == "ERR_SSL_EE_KEY_TOO_SMALL"
        one = createSecureContext(key=weak.key, cert=weak.cert, ciphers="DEFAULT:@SECLEVEL=0")
        assert one.hasCertificate

    def test_a_pfx_brings_key_certificate_and_trust(self, pki: Pki) -> None:
        data = _pfx(pki, "secret")
        one = createSecureContext(pfx=data, passphrase="secret")
        assert one.ownCertificates == ((derOf(pki.server.cert), (derOf(pki.ca),)),)
        assert verdict(one, client(pki)) == "OK"
        # Its other certificates are trusted beside the default ones.
        assert verdict(server(pki), one) == "OK"
        assert len(one.trustedCertificates()) == len(trust.defaultTrust().certificates) + 1
        assert verdict(server(pki), createSecureContext()) != "OK"

    def test_a_pfx_takes_the_place_of_a_key_and_certificate_of_its_kind(self, pki: Pki) -> None:
        other = issued(pki.authority, "other.example")
        one = createSecureContext(
            key=other.key, cert=other.cert, pfx=_pfx(pki, "secret"), passphrase="secret"
        )
        assert meet(one, client(pki)).sent[0] == derOf(pki.server.cert)

    def test_a_pfx_with_a_wrong_passphrase_is_nodes_error(self, pki: Pki) -> None:
        assert str(refused(pfx=_pfx(pki, "secret"), passphrase="x")) == "mac verify failure"
        assert str(refused(pfx="garbage")) == "not enough data"


def _weak(authority: trustme.CA) -> Credentials:
    """Credentials with an RSA key of 1024 bits."""
    key = rsa.generate_private_key(65537, 1024)
    model = x509.load_pem_x509_certificate(issued(authority).cert)
    signer: Any = load_pem_private_key(authority.private_key_pem.bytes(), None)
    builder = x509.CertificateBuilder(
        model.issuer,
        model.subject,
        key.public_key(),
        x509.random_serial_number(),
        model.not_valid_before_utc,
        model.not_valid_after_utc,
    )
    algorithm = model.signature_hash_algorithm
    cert = builder.sign(signer, algorithm)  # type: ignore[arg-type]
    return Credentials(
        cert.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def _pfx(pki: Pki, passphrase: str) -> bytes:
    key: Any = load_pem_private_key(pki.server.key, None)
    return pkcs12.serialize_key_and_certificates(
        b"name",
        key,
        x509.load_pem_x509_certificate(pki.server.cert),
        [x509.load_pem_x509_certificate(pki.ca)],
        BestAvailableEncryption(passphrase.encode()),
    )


class TestTrust:
    def test_ca_replaces_the_default_roots(self, pki: Pki) -> None:
        setDefaultCACertificates([pki.ca])
        other = trustme.CA().cert_pem.bytes()
        assert verdict(server(pki), createSecureContext(ca=other)) != "OK"
        assert verdict(server(pki), createSecureContext(ca=[])) != "OK"
        assert verdict(server(pki), createSecureContext(ca=[other, pki.ca.decode()])) == "OK"
        assert verdict(server(pki), createSecureContext(ca=other + pki.ca)) == "OK"

    @pytest.mark.parametrize("nothing", [None, "", False])
    def test_without_ca_the_default_roots_are_trusted(self, pki: Pki, nothing: Any) -> None:
        setDefaultCACertificates([pki.ca])
        assert verdict(server(pki), createSecureContext(ca=nothing)) == "OK"

    def test_ca_without_a_certificate_trusts_nobody_and_says_so(self, pki: Pki) -> None:
        serving = server(pki)
        setDefaultCACertificates([pki.ca])
        with pytest.warns(UserWarning, match="holds no certificate") as caught:
            context = createSecureContext(ca="garbage")
        assert caught[0].filename == __file__
        assert verdict(serving, context) == "UNABLE_TO_VERIFY_LEAF_SIGNATURE"

    @pytest.mark.parametrize("wrong", [1, True, [1], [[b"x"]]])
    def test_ca_is_text_or_bytes(self, wrong: Any) -> None:
        assert refused(ca=wrong).code == TYPE

    def test_ca_is_named_to_clients_and_the_default_roots_are_not(self, pki: Pki) -> None:
        named = meet(server(pki, ca=pki.ca), client(pki), ask=True).client.get_client_ca_list()
        subject = x509.load_pem_x509_certificate(pki.ca).subject
        assert [name.der() for name in named] == [subject.public_bytes()]
        assert meet(server(pki), client(pki), ask=True).client.get_client_ca_list() == []

    def test_a_trusted_certificate_is_trusted_for_what_it_says(
        self, pki: Pki, tmp_path: Path
    ) -> None:
        yes = trustedPEM(pki.ca, tmp_path, "-addtrust", "serverAuth")
        no = trustedPEM(pki.ca, tmp_path, "-addtrust", "clientAuth")
        assert verdict(server(pki), createSecureContext(ca=yes)) == "OK"
        assert verdict(server(pki), createSecureContext(ca=no)) != "OK"

    def test_an_intermediate_is_an_anchor_only_if_it_may(self, pki: Pki) -> None:
        child = pki.authority.create_child_ca()
        chained = issued(child)
        one = createSecureContext(key=chained.key, cert=chained.cert)
        only = child.cert_pem.bytes()
        assert verdict(one, createSecureContext(ca=only)) == "UNABLE_TO_GET_ISSUER_CERT"
        assert verdict(one, createSecureContext(ca=only, allowPartialTrustChain=True)) == "OK"

    def test_with_a_list_revoked_certificates_are_refused(self, pki: Pki) -> None:
        clean, dirty = crlOf(pki.authority), crlOf(pki.authority, [pki.server.cert])
        assert verdict(server(pki), client(pki, crl=clean)) == "OK"
        assert verdict(server(pki), client(pki, crl=[dirty.decode()])) == "CERT_REVOKED"
        other = crlOf(trustme.CA())
        assert verdict(server(pki), client(pki, crl=other)) == "UNABLE_TO_GET_CRL"
        # Every list of a text counts.
        assert verdict(server(pki), client(pki, crl=other + dirty)) == "CERT_REVOKED"

    def test_a_list_does_not_reach_other_contexts(self, pki: Pki) -> None:
        setDefaultCACertificates([pki.ca])
        before = createSecureContext()
        dirty = createSecureContext(crl=crlOf(pki.authority, [pki.server.cert]))
        assert verdict(server(pki), dirty) == "CERT_REVOKED"
        assert verdict(server(pki), before) == "OK"
        assert verdict(server(pki), createSecureContext(ecdhCurve="P-256")) == "OK"

    @pytest.mark.parametrize("wrong", ["", "not PEM"])
    def test_what_is_no_list_is_nodes_error(self, wrong: str) -> None:
        error = refused(crl=wrong)
        assert (error.code, str(error)) == ("ERR_CRYPTO_OPERATION_FAILED", "Failed to parse CRL")

    def test_the_digest_tells_trusts_apart(self, pki: Pki) -> None:
        contexts = [
            client(pki),
            client(pki, crl=crlOf(pki.authority)),
            client(pki, allowPartialTrustChain=True),
            createSecureContext(),
            SecureContext(),
        ]
        assert len({context.trustDigest for context in contexts}) == len(contexts)
        assert client(pki).trustDigest == client(pki, ciphers="HIGH").trustDigest


class TestKeyExchange:
    def test_groups_are_agreed_on(self, pki: Pki) -> None:
        one = server(pki, ecdhCurve="P-384:P-521")
        assert agreed(one, client(pki, ecdhCurve="P-521")) == "TLSv1.3"
        assert agreed(one, client(pki, ecdhCurve="X25519")) is None
        assert agreed(one, client(pki, ecdhCurve="auto")) == "TLSv1.3"

    def test_the_default_can_be_assigned(self, pki: Pki) -> None:
        one = server(pki, ecdhCurve="P-384")
        defaults.DEFAULT_ECDH_CURVE = "X25519"
        assert agreed(one, client(pki)) is None

    @pytest.mark.parametrize("wrong", [False, 713, ["P-256"]])
    def test_groups_are_a_str(self, wrong: Any) -> None:
        assert refused(ecdhCurve=wrong).code == TYPE

    def test_a_client_has_finite_field_groups_where_only_tls_1_3_is_spoken(self, pki: Pki) -> None:
        """In TLS 1.2 naming them would keep OpenSSL 4 from taking a server's own DH parameters."""
        one = server(pki, ecdhCurve="ffdhe3072")
        assert agreed(one, client(pki, minVersion="TLSv1.3")) == "TLSv1.3"
        assert agreed(one, client(pki)) is None

    def test_an_unknown_group_is_nodes_error(self) -> None:
        error = refused(ecdhCurve="nope")
        assert (error.code, str(error)) == (
            "ERR_CRYPTO_OPERATION_FAILED",
            "Failed to set ECDH curve",
        )

    def test_signature_algorithms_are_agreed_on(self, pki: Pki) -> None:
        one = issued(pki.authority, key_type=trustme.KeyType.RSA)
        serving = createSecureContext(key=one.key, cert=one.cert, sigalgs="rsa_pss_rsae_sha384")
        both = "rsa_pss_rsae_sha384:ecdsa_secp256r1_sha256"
        assert agreed(serving, client(pki, sigalgs=both)) == "TLSv1.3"
        other = "rsa_pss_rsae_sha256:ecdsa_secp256r1_sha256"
        assert agreed(serving, client(pki, sigalgs=other)) is None

    @pytest.mark.parametrize(("wrong", "code"), [(1, TYPE), ("", VALUE)])
    def test_signature_algorithms_are_a_str(self, wrong: Any, code: str) -> None:
        assert refused(sigalgs=wrong).code == code

    def test_unknown_signature_algorithms_are_refused(self) -> None:
        assert isinstance(refused(sigalgs="nope"), NodeError)

    @pytest.mark.parametrize("given", ["auto", "pem", "bytes"])
    def test_dh_works_with_parameters_of_ones_own_and_with_auto(self, pki: Pki, given: str) -> None:
        pem = dhgroups.group(2048)
        forms: dict[str, Any] = {"pem": pem.decode(), "bytes": pem, "auto": "auto"}
        one = issued(pki.authority, key_type=trustme.KeyType.RSA)
        cipher = "DHE-RSA-AES128-GCM-SHA256"
        wish = client(pki, ciphers=cipher, maxVersion="TLSv1.2")
        serving = createSecureContext(key=one.key, cert=one.cert, dhparam=forms[given])
        assert meet(serving, wish).client.get_cipher_name() == cipher
        without = createSecureContext(key=one.key, cert=one.cert)
        assert meet(without, wish).error is not None

    def test_dh_parameters_that_cannot_be_read_are_ignored_with_a_warning(self) -> None:
        for garbage in ("garbage", b"", "-----BEGIN DH PARAMETERS-----\nMA"):
            with pytest.warns(UserWarning, match="holds no DH parameters") as caught:
                createSecureContext(dhparam=garbage)
            assert caught[0].filename == __file__

    def test_small_dh_parameters_are_refused_or_warned_about(self) -> None:
        error = refused(dhparam=_dh(512))
        assert (error.code, str(error)) == (VALUE, "DH parameter is less than 1024 bits")
        error = refused(dhparam=_dh(1024))
        assert (error.code, str(error)) == (
            "ERR_CRYPTO_OPERATION_FAILED",
            "Error setting temp DH parameter",
        )
        with pytest.warns(SecurityWarning, match="less than 2048 bits"):
            createSecureContext(dhparam=_dh(1024), ciphers="DEFAULT:@SECLEVEL=0")

    @pytest.mark.parametrize("wrong", [1, True, ["auto"]])
    def test_dh_parameters_are_text_or_bytes(self, wrong: Any) -> None:
        assert refused(dhparam=wrong).code == TYPE


def _dh(bits: int) -> bytes:
    """DH parameters of this size; OpenSSL does not look at the prime when it takes them."""
    prime = (1 << (bits - 1)) | 1
    integers = b"".join(
        der.encode(der.INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))
        for value in (prime, 2)
    )
    return toPEM(der.encode(der.SEQUENCE, integers), "DH PARAMETERS")


class TestSessions:
    @pytest.mark.parametrize(
        ("given", "kept"), [("x" * 32, b"x" * 32), ("\xff", b"\xc3\xbf"), ("", b""), (None, b"")]
    )
    def test_a_session_id_context_is_used_byte_for_byte(self, given: Any, kept: bytes) -> None:
        assert createSecureContext(sessionIdContext=given).sessionIdContext == kept

    def test_a_session_id_context_too_long_is_openssls_error(self) -> None:
        error = refused(sessionIdContext="x" * 33)
        assert isinstance(error, TypeError)
        assert "ssl session id context too long" in str(error)

    @pytest.mark.parametrize("wrong", [1, True, {"a": 1}, b"x"])
    def test_a_session_id_context_is_text_or_bytes(self, wrong: Any) -> None:
        assert refused(sessionIdContext=wrong).code == TYPE

    def test_sessions_are_bound_to_it(self, pki: Pki) -> None:
        one = server(pki, sessionIdContext="one", maxVersion="TLSv1.2")
        wish = client(pki)
        # Kept: OpenSSL takes the session of a connection that goes without a word for bad.
        first = meet(one, wish)
        session = first.client.get_session()
        assert meet(one, wish, session=session).resumed
        other = server(pki, sessionIdContext="other", maxVersion="TLSv1.2")
        assert not meet(other, wish, session=session).resumed

    def test_it_can_be_left_to_the_server(self, pki: Pki) -> None:
        asked = []

        def bind(context: SecureContext) -> bytes:
            asked.append(context.trustDigest)
            return b"bound"

        made = makeContext(readOptions(CONTEXT, {"ca": pki.ca}), bind)
        assert made.sessionIdContext == b"bound"
        assert asked == [client(pki).trustDigest]
        own = makeContext(readOptions(CONTEXT, {"sessionIdContext": "own"}), bind)
        assert own.sessionIdContext == b"own"
        assert len(asked) == 1

    def test_the_timeout_is_five_minutes_unless_given(self) -> None:
        assert createSecureContext().native.get_timeout() == 300
        assert createSecureContext(sessionTimeout=10).native.get_timeout() == 10
        assert createSecureContext(sessionTimeout=10).sessionTimeout == 10

    @pytest.mark.parametrize(
        ("wrong", "code"),
        [
            (-1, RANGE),
            (1.5, RANGE),
            (float("nan"), RANGE),
            (2**31, RANGE),
            ("5", TYPE),
            (True, TYPE),
        ],
    )
    def test_the_timeout_is_a_number_of_seconds(self, wrong: Any, code: str) -> None:
        assert refused(sessionTimeout=wrong).code == code

    def test_ticket_keys_are_48_bytes(self) -> None:
        assert createSecureContext(ticketKeys=bytearray(48)).ticketKeys == bytes(48)
        assert createSecureContext().ticketKeys is None
        assert refused(ticketKeys="x").code == TYPE
        error = refused(ticketKeys=bytes(47))
        assert error.code == VALUE
        assert "must be exactly 48 bytes" in str(error)


class TestWhatThisOpenSSLCannotDo:
    @pytest.mark.parametrize(
        ("options", "code"),
        [
            ({"clientCertEngine": "x"}, "ERR_CRYPTO_CUSTOM_ENGINE_NOT_SUPPORTED"),
            ({"clientCertEngine": 1}, TYPE),
            ({"privateKeyIdentifier": "x"}, VALUE),
            ({"privateKeyIdentifier": 1, "privateKeyEngine": "y"}, TYPE),
            ({"privateKeyIdentifier": "x", "privateKeyEngine": 1}, TYPE),
            (
                {"privateKeyIdentifier": "x", "privateKeyEngine": "y"},
                "ERR_CRYPTO_CUSTOM_ENGINE_NOT_SUPPORTED",
            ),
        ],
    )
    def test_engines_are_checked_and_refused(self, options: dict[str, Any], code: str) -> None:
        assert refused(**options).code == code

    def test_a_key_and_the_name_of_a_key_exclude_each_other(self, pki: Pki) -> None:
        error = refused(key=pki.server.key, privateKeyIdentifier="x", privateKeyEngine="y")
        assert error.code == VALUE

    def test_an_engine_without_a_key_is_passed_over(self) -> None:
        assert isinstance(createSecureContext(privateKeyEngine="x"), SecureContext)

    @pytest.mark.parametrize(
        ("value", "code"),
        [("zlib", TYPE), (5, TYPE), (["nope"], VALUE), ([5], VALUE), (["zlib"] * 4, VALUE)],
    )
    def test_the_compression_of_certificates_is_checked(self, value: Any, code: str) -> None:
        assert refused(certificateCompression=value).code == code

    def test_the_compression_of_certificates_is_not_offered(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            createSecureContext(certificateCompression=["zlib", "brotli", "zstd"])


def test_connections_of_one_context_can_be_many(pki: Pki) -> None:
    one, other = server(pki), client(pki)
    for _ in range(10):
        assert verdict(one, other) == "OK"
    assert isinstance(one.native, SSL.Context)
