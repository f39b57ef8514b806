"""Secure contexts: what they tell, versions, bits."""

from __future__ import annotations

from typing import Any

import pytest
import trustme
from zope.interface.verify import verifyObject

from tests.context.making import agreed, client, refused, server, verdict
from tests.memory import derOf, issued
from tests.support import Pki
from txnodetls import constants
from txnodetls.constants import defaults
from txnodetls.context import (
    SecureContext,
    createSecureContext,
)
from txnodetls.errors import Blame, NodeError, Phase
from txnodetls.interfaces import ISecureContext
from txnodetls.pki import trust

TYPE = "ERR_INVALID_ARG_TYPE"
VALUE = "ERR_INVALID_ARG_VALUE"
RANGE = "ERR_OUT_OF_RANGE"
METHOD = "ERR_TLS_INVALID_PROTOCOL_METHOD"


class TestShape:
    def test_is_a_secure_context(self, pki: Pki) -> None:
        for context in (server(pki), SecureContext(), createSecureContext()):
            assert verifyObject(ISecureContext, context)
            assert context.context is context

    def test_an_option_can_be_a_keyword(self, pki: Pki) -> None:
        context = createSecureContext({"key": "x"}, key=pki.server.key, cert=pki.server.cert)
        assert context.hasCertificate

    def test_keeps_its_options(self, pki: Pki) -> None:
        assert server(pki, ciphers="HIGH").options.ciphers == "HIGH"

    def test_knows_its_certificates(self, pki: Pki) -> None:
        authority = trustme.CA()
        child = authority.create_child_ca()
        chained = issued(child)
        context = createSecureContext(key=chained.key, cert=chained.cert)
        assert context.ownCertificates == ((derOf(chained.cert), (derOf(child.cert_pem.bytes()),)),)
        assert not client(pki).hasCertificate

    def test_knows_what_it_trusts(self, pki: Pki) -> None:
        assert client(pki).trustedCertificates() == (derOf(pki.ca),)
        assert createSecureContext().trustedCertificates() == trust.defaultTrust().ders()
        assert SecureContext().trustedCertificates() == ()

    def test_a_handshake_needs_nothing_more(self, pki: Pki) -> None:
        assert verdict(server(pki), client(pki)) == "OK"


class TestVersions:
    def test_are_those_of_the_defaults(self, pki: Pki) -> None:
        assert agreed(server(pki), client(pki)) == "TLSv1.3"
        defaults.DEFAULT_MAX_VERSION = "TLSv1.2"
        assert agreed(server(pki), client(pki)) == "TLSv1.2"

    def test_minimum_and_maximum_hold(self, pki: Pki) -> None:
        assert agreed(server(pki, maxVersion="TLSv1.2"), client(pki)) == "TLSv1.2"
        assert agreed(server(pki, maxVersion="TLSv1.2"), client(pki, minVersion="TLSv1.3")) is None

    def test_old_versions_are_off_by_default(self, pki: Pki) -> None:
        old = client(pki, maxVersion="TLSv1.1", minVersion="TLSv1", ciphers="DEFAULT@SECLEVEL=0")
        willing = server(pki, minVersion="TLSv1", ciphers="DEFAULT@SECLEVEL=0")
        assert agreed(willing, old) == "TLSv1.1"
        assert agreed(server(pki, ciphers="DEFAULT@SECLEVEL=0"), old) is None

    @pytest.mark.parametrize("value", ["x", "", 5, "tlsv1.2", 771])
    def test_what_is_no_version_is_refused(self, value: Any) -> None:
        for name, word in (("minVersion", "minimum"), ("maxVersion", "maximum")):
            error = refused(**{name: value})
            assert error.code == "ERR_TLS_INVALID_PROTOCOL_VERSION"
            assert f"is not a valid {word} TLS protocol version" in str(error)
            assert (error.blame, error.phase) == (Blame.CONFIGURATION, Phase.CONFIGURING)

    @pytest.mark.parametrize(
        ("method", "version"),
        [
            ("TLS_method", "TLSv1.3"),
            ("SSLv23_method", "TLSv1.2"),
            ("TLSv1_2_method", "TLSv1.2"),
            ("TLSv1_1_method", "TLSv1.1"),
            ("TLSv1_method", "TLSv1"),
        ],
    )
    def test_a_method_stands_for_versions(self, pki: Pki, method: str, version: str) -> None:
        low = "DEFAULT@SECLEVEL=0"
        willing = client(pki, minVersion="TLSv1", ciphers=low)
        for name in (method, method.replace("_method", "_server_method")):
            assert agreed(server(pki, secureProtocol=name, ciphers=low), willing) == version

    def test_sslv23_keeps_the_default_minimum(self, pki: Pki) -> None:
        low = "DEFAULT@SECLEVEL=0"
        old = client(pki, minVersion="TLSv1", maxVersion="TLSv1.1", ciphers=low)
        assert agreed(server(pki, secureProtocol="SSLv23_method", ciphers=low), old) is None
        assert agreed(server(pki, secureProtocol="TLS_method", ciphers=low), old) == "TLSv1.1"

    def test_a_method_of_one_side_serves_that_side(self, pki: Pki) -> None:
        assert agreed(server(pki, secureProtocol="TLS_client_method"), client(pki)) is None
        assert agreed(server(pki), client(pki, secureProtocol="TLS_client_method")) == "TLSv1.3"

    @pytest.mark.parametrize(
        ("method", "message"),
        [
            ("blahblah", "Unknown method: blahblah"),
            ("", "Unknown method: "),
            ("TLSv1_3_method", "Unknown method: TLSv1_3_method"),
            ("TLS_method_", "Unknown method: TLS_method_"),
            ("TLS_client_server_method", "Unknown method: TLS_client_server_method"),
            ("SSLv2_method", "SSLv2 methods disabled"),
            ("SSLv3_server_method", "SSLv3 methods disabled"),
        ],
    )
    def test_other_methods_are_refused(self, method: str, message: str) -> None:
        error = refused(secureProtocol=method)
        assert (error.code, str(error)) == (METHOD, message)

    def test_a_method_and_a_version_exclude_each_other(self) -> None:
        error = refused(secureProtocol="TLS_method", minVersion="TLSv1", maxVersion="TLSv1.3")
        assert error.code == "ERR_TLS_PROTOCOL_VERSION_CONFLICT"
        assert str(error) == (
            'TLS protocol version "TLSv1" conflicts with secureProtocol "TLS_method"'
        )

    def test_the_class_takes_what_nodes_takes(self, pki: Pki) -> None:
        bare = SecureContext(None, constants.SSL_OP_NO_TLSv1_3, "TLSv1.2", "TLSv1.3")
        assert agreed(server(pki), bare) == "TLSv1.2"
        with pytest.raises(NodeError) as caught:
            SecureContext("nope")
        assert caught.value.code == METHOD


class TestSecureOptions:
    def test_are_set(self, pki: Pki) -> None:
        mask = constants.SSL_OP_NO_TLSv1_3
        assert agreed(server(pki, secureOptions=mask), client(pki)) == "TLSv1.2"
        assert agreed(server(pki, secureOptions=float(mask)), client(pki)) == "TLSv1.2"

    @pytest.mark.parametrize(("value", "code"), [("x", TYPE), (True, TYPE), (1.5, RANGE)])
    def test_are_a_whole_number(self, value: Any, code: str) -> None:
        assert refused(secureOptions=value).code == code

    def test_with_the_servers_order_what_is_no_number_is_lost_but_not_unsaid(self) -> None:
        with pytest.warns(UserWarning, match="secureOptions is not an integer") as caught:
            createSecureContext(secureOptions="x", honorCipherOrder=True)
        assert caught[0].filename == __file__
