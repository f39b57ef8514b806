"""Reading OpenSSL's error queue."""

from __future__ import annotations

import pytest
from OpenSSL import SSL
from OpenSSL._util import lib

from txnodetls.errors import Blame, OpenSSLError
from txnodetls.openssl.failures import (
    LIB_PEM,
    LIB_SSL,
    Entry,
    connectionError,
    drainErrors,
    makeEntry,
    opensslError,
    verifyErrorCode,
    verifyErrorText,
)

SSL_ROUTINES = "SSL routines"


def queue(library: int, reason: int) -> None:
    lib.ERR_put_error(library, 0, reason, b"file", 1)


@pytest.fixture(autouse=True)
def cleanQueue() -> None:
    # Reasons have no texts before there was a context.
    SSL.Context(SSL.TLS_METHOD)
    lib.ERR_clear_error()


class TestDraining:
    def test_takes_everything_earliest_first(self) -> None:
        queue(LIB_SSL, 193)
        queue(LIB_PEM, 108)
        assert [entry[:2] for entry in drainErrors()] == [(LIB_SSL, 193), (LIB_PEM, 108)]
        assert drainErrors() == []

    def test_an_entry_is_library_reason_and_text(self) -> None:
        queue(LIB_SSL, 193)
        assert drainErrors() == [(LIB_SSL, 193, "no shared cipher")]

    def test_reads_the_queue_as_openssl_fills_it(self) -> None:
        native = SSL.Context(SSL.TLS_METHOD)
        assert lib.SSL_CTX_set_cipher_list(native._context, b"nothing-of-this-name") == 0
        [entry] = drainErrors()
        assert (entry.library, entry.text) == (LIB_SSL, "no cipher match")

    def test_an_unknown_reason_has_a_text(self) -> None:
        assert makeEntry(LIB_SSL, 4000).text == "reason(4000)"
        assert makeEntry(200, 4000).line == "error:64000FA0:lib(200)::reason(4000)"


class TestErrorOfAConfiguringCall:
    @pytest.mark.parametrize(
        ("library", "reason", "code"),
        [
            (LIB_SSL, 185, "ERR_SSL_NO_CIPHER_MATCH"),
            (LIB_PEM, 108, "ERR_OSSL_PEM_NO_START_LINE"),
            (11, 116, "ERR_OSSL_X509_KEY_VALUES_MISMATCH"),
            (15, 0x80109, "ERR_OSSL_CRYPTO_INTERRUPTED_OR_CANCELLED"),
            # Decoders and providers came after Node's list of libraries.
            (60, 0x8010C, "ERR_OSSL_UNSUPPORTED"),
            (57, 100, "ERR_OSSL_BAD_DECRYPT"),
        ],
    )
    def test_has_nodes_code(self, library: int, reason: int, code: str) -> None:
        assert opensslError([makeEntry(library, reason)]).code == code

    def test_has_nodes_text_and_the_parts_of_it(self) -> None:
        error = opensslError([makeEntry(11, 116)], blame=Blame.CONFIGURATION)
        assert isinstance(error, OpenSSLError)
        assert str(error) == "error:05800074:x509 certificate routines::key values mismatch"
        assert error.library == "x509 certificate routines"
        assert error.reason == "key values mismatch"
        assert error.blame is Blame.CONFIGURATION

    def test_keeps_the_later_entries(self) -> None:
        error = opensslError([makeEntry(57, 100), makeEntry(35, 116)])
        assert isinstance(error, OpenSSLError)
        assert error.code == "ERR_OSSL_BAD_DECRYPT"
        assert error.opensslErrorStack == (makeEntry(35, 116).line,)

    def test_drains_the_queue_itself(self) -> None:
        queue(LIB_SSL, 193)
        assert opensslError().code == "ERR_SSL_NO_SHARED_CIPHER"
        assert drainErrors() == []

    def test_an_empty_queue_is_a_failed_operation(self) -> None:
        error = opensslError([], "it failed")
        assert (str(error), error.code) == ("it failed", "ERR_CRYPTO_OPERATION_FAILED")


class TestErrorOfAConnection:
    def test_an_alert_carries_its_number(self) -> None:
        error = connectionError([makeEntry(LIB_SSL, 1048)])
        assert error.code == "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA"
        assert error.alert == 48
        assert str(error).endswith(":SSL alert number 48")

    def test_the_codes_do_not_depend_on_the_release_of_openssl(self) -> None:
        """OpenSSL 4 says "tls alert ...", and 3.0 "sslv3 alert ...", for the same number."""
        error = connectionError([makeEntry(LIB_SSL, 1040)])
        assert error.code == "ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE"

    def test_is_of_the_ssl_library_whatever_library_failed(self) -> None:
        assert connectionError([makeEntry(57, 100)]).code == "ERR_SSL_BAD_DECRYPT"

    def test_no_alert_no_number(self) -> None:
        assert connectionError([makeEntry(LIB_SSL, 193)]).alert is None
        # Other libraries' reasons beyond 1000 are no alerts.
        assert Entry(LIB_PEM, 1040, "x").alert is None

    def test_an_empty_queue_says_so(self) -> None:
        error = connectionError([])
        assert error.code is None
        assert "without saying why" in str(error)


class TestVerification:
    @pytest.mark.parametrize(
        ("name", "code"),
        [
            ("X509_V_OK", "OK"),
            ("X509_V_ERR_CERT_HAS_EXPIRED", "CERT_HAS_EXPIRED"),
            ("X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT", "DEPTH_ZERO_SELF_SIGNED_CERT"),
            ("X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"),
            ("X509_V_ERR_CERT_REVOKED", "CERT_REVOKED"),
            ("X509_V_ERR_HOSTNAME_MISMATCH", "HOSTNAME_MISMATCH"),
            ("X509_V_ERR_PERMITTED_VIOLATION", "UNSPECIFIED"),
        ],
    )
    def test_has_nodes_names(self, name: str, code: str) -> None:
        assert verifyErrorCode(getattr(lib, name)) == code

    def test_every_name_is_at_openssls_number(self) -> None:
        for number in range(100):
            code = verifyErrorCode(number)
            constant = getattr(lib, f"X509_V_ERR_{code}", None)
            assert constant in (None, number)

    def test_has_nodes_words_whatever_the_release_of_openssl(self) -> None:
        assert verifyErrorText(9) == "certificate is not yet valid"
        assert verifyErrorText(10) == "certificate has expired"
        assert verifyErrorText(20) == "unable to get local issuer certificate"
