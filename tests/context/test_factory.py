"""Where contexts come from, and which are shared."""

from __future__ import annotations

import gc
import warnings
import weakref
from typing import Any

import pytest

from tests.context.making import client, server, verdict
from tests.memory import COMPRESS_CERTIFICATE, offered
from tests.support import Pki
from txnodetls.constants import (
    SSL_OP_NO_RX_CERTIFICATE_COMPRESSION,
    SSL_OP_NO_TX_CERTIFICATE_COMPRESSION,
    defaults,
)
from txnodetls.context import (
    SecureContext,
    contextFrom,
    createSecureContext,
    defaultSessionIdContext,
    getCertificateCompressionAlgorithms,
    makeContext,
)
from txnodetls.errors import NodeError
from txnodetls.options import CONTEXT, readOptions
from txnodetls.pki.trust import setDefaultCACertificates

TYPE = "ERR_INVALID_ARG_TYPE"
VALUE = "ERR_INVALID_ARG_VALUE"
RANGE = "ERR_OUT_OF_RANGE"
METHOD = "ERR_TLS_INVALID_PROTOCOL_METHOD"


class TestDefaultContext:
    def test_is_made_once(self) -> None:
        assert createSecureContext() is createSecureContext({}) is createSecureContext(None)

    def test_shares_openssls_context_with_what_does_not_concern_openssl(self) -> None:
        one = createSecureContext(requestCert=True)
        assert one is not createSecureContext()
        assert one.native is createSecureContext().native
        assert one.options.requestCert is True
        assert createSecureContext().options.requestCert is None

    def test_follows_the_modules_defaults(self) -> None:
        before = createSecureContext()
        defaults.DEFAULT_MAX_VERSION = "TLSv1.2"
        after = createSecureContext()
        assert after is not before
        assert createSecureContext() is after

    def test_follows_the_trusted_certificates(self, pki: Pki) -> None:
        before, serving = createSecureContext(), server(pki)
        assert verdict(serving, before) == "UNABLE_TO_VERIFY_LEAF_SIGNATURE"
        setDefaultCACertificates([pki.ca])
        assert verdict(serving, createSecureContext()) == "OK"
        # What was made before is not changed.
        assert verdict(serving, before) == "UNABLE_TO_VERIFY_LEAF_SIGNATURE"


class TestSharing:
    """Clients with the same options share a context; nobody shares one by mistake."""

    def shared(self, **options: Any) -> SecureContext:
        return makeContext(readOptions(CONTEXT, options), isServer=False)

    def test_equal_options_give_the_same_context(self, pki: Pki) -> None:
        one = self.shared(ca=[pki.ca], ciphers="HIGH")
        assert self.shared(ciphers="HIGH", ca=[bytearray(pki.ca)]) is one

    def test_it_is_shared_by_those_with_other_wishes_of_their_own(self, pki: Pki) -> None:
        one = self.shared(ca=pki.ca, ALPNProtocols=["a"])
        other = self.shared(ca=pki.ca, ALPNProtocols=["b"], rejectUnauthorized=False)
        assert one.native is other.native
        assert one.options.ALPNProtocols == b"\1a"
        assert other.options.ALPNProtocols == b"\1b"

    @pytest.mark.parametrize(
        "other",
        [
            {"ciphers": "HIGH"},
            {"ca": []},
            {"allowPartialTrustChain": True},
            {"passphrase": "x"},
            {"secureOptions": 1},
            {"sessionTimeout": 1},
        ],
    )
    def test_any_other_option_makes_another(self, pki: Pki, other: dict[str, Any]) -> None:
        one = self.shared(ca=pki.ca)
        assert self.shared(**{"ca": pki.ca, **other}).native is not one.native

    def test_where_a_text_ends_counts(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.compareTexts()

    def compareTexts(self) -> None:
        assert self.shared(ca=["ab", "c"]).native is not self.shared(ca=["a", "bc"]).native
        assert self.shared(ca=[b"ab"]).native is not self.shared(ca=["ab"]).native

    def test_other_defaults_make_another(self, pki: Pki) -> None:
        one = self.shared(ca=pki.ca)
        defaults.DEFAULT_MAX_VERSION = "TLSv1.2"
        assert self.shared(ca=pki.ca).native is not one.native

    def test_other_default_roots_make_another(self, pki: Pki) -> None:
        one = self.shared(ciphers="HIGH")
        setDefaultCACertificates([pki.ca])
        assert self.shared(ciphers="HIGH").native is not one.native

    def test_a_few_are_kept_though_nobody_has_them(self) -> None:
        first = weakref.ref(self.shared(sessionTimeout=1000).native)
        self.shared(sessionTimeout=1001)
        gc.collect()
        assert first() is not None
        for seconds in range(1002, 1010):
            self.shared(sessionTimeout=seconds)
        gc.collect()
        assert first() is None

    def test_one_with_a_key_goes_with_its_last_user(self, pki: Pki) -> None:
        options = {"key": pki.client.key, "cert": pki.client.cert, "requestCert": True}
        one = self.shared(**options)
        assert self.shared(**options).native is one.native
        gone = weakref.ref(one.native)
        del one
        gc.collect()
        assert gone() is None

    def test_a_failure_is_not_remembered(self) -> None:
        for _ in range(2):
            with pytest.raises(NodeError):
                self.shared(ciphers="nope")

    def test_a_servers_is_its_own(self, pki: Pki) -> None:
        options = readOptions(CONTEXT, {"key": pki.server.key, "cert": pki.server.cert})
        assert makeContext(options).native is not makeContext(options).native

    def test_nodes_call_gives_a_new_one_for_any_options(self, pki: Pki) -> None:
        assert client(pki) is not client(pki)


class TestContextFrom:
    def test_the_one_named_wins(self, pki: Pki) -> None:
        named = server(pki)
        assert contextFrom({"secureContext": named, "key": "x"}, isServer=True) is named
        assert contextFrom({"secureContext": named}) is named

    def test_a_servers_is_bound_to_what_its_sessions_prove(self, pki: Pki) -> None:
        given = {"key": pki.server.key, "cert": pki.server.cert}
        plain = contextFrom(given, isServer=True)
        asking = contextFrom({**given, "requestCert": True}, isServer=True)
        lenient = contextFrom({**given, "rejectUnauthorized": False}, isServer=True)
        trusting = contextFrom({**given, "ca": pki.ca}, isServer=True)
        bound = {each.sessionIdContext for each in (plain, asking, lenient, trusting)}
        assert len(bound) == 4
        assert {len(each) for each in bound} == {32}
        assert contextFrom(given, isServer=True).sessionIdContext == plain.sessionIdContext

    def test_a_name_takes_the_place_of_the_arguments(self, pki: Pki) -> None:
        context = client(pki)
        one = defaultSessionIdContext(context, False, True, "one")
        assert one != defaultSessionIdContext(context, False, True, "other")
        assert one != defaultSessionIdContext(context, False, True)

    def test_a_clients_is_bound_to_nothing(self, pki: Pki) -> None:
        assert contextFrom({"ca": pki.ca}).sessionIdContext == b""


@pytest.mark.parametrize("wanted", [None, ["zlib", "brotli", "zstd"]])
def test_no_certificate_is_compressed(wanted: list[str] | None) -> None:
    """Neither is it said to be possible, nor offered, nor would any OpenSSL do it by itself."""
    assert getCertificateCompressionAlgorithms() == []
    native = createSecureContext(certificateCompression=wanted).native
    off = SSL_OP_NO_RX_CERTIFICATE_COMPRESSION | SSL_OP_NO_TX_CERTIFICATE_COMPRESSION
    assert native.set_options(0) & off == off
    assert COMPRESS_CERTIFICATE not in offered(native)


def test_what_is_given_out_is_the_callers() -> None:
    getCertificateCompressionAlgorithms().append("zlib")
    assert getCertificateCompressionAlgorithms() == []
