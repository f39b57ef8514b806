"""What the key exchange agreed on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import trustme

from tests.protocol.engines import Pair
from tests.support import Pki, missing
from txnodetls import NodeError, createSecureContext
from txnodetls.openssl import keys, symbols
from txnodetls.openssl.calls import Driver
from txnodetls.openssl.failures import drainErrors


@pytest.fixture
def functions() -> None:
    """These tests need functions that not every build of OpenSSL lets one reach."""
    try:
        symbols.require("this test", "SSL_ctrl", "SSL_get_shared_sigalgs")
    except NodeError as error:
        missing(str(error))


def clientOf(pki: Pki, **options: Any) -> tuple[Pair, Driver]:
    server = createSecureContext(
        key=pki.server.key, cert=pki.server.cert, dhparam="auto", **options
    )
    client = createSecureContext(ca=pki.ca, **options)
    pair = Pair(pki, server={"context": server}, client={"context": client}).shake()
    assert pair.client.secured
    return pair, pair.client.engine.driver


@pytest.mark.parametrize(
    ("options", "info"),
    [
        ({"ecdhCurve": "X25519:P-256"}, {"type": "ECDH", "name": "X25519", "size": 253}),
        ({"ecdhCurve": "P-256"}, {"type": "ECDH", "name": "prime256v1", "size": 256}),
        ({"ecdhCurve": "P-521:P-256"}, {"type": "ECDH", "name": "secp521r1", "size": 521}),
        ({"ecdhCurve": "X448:P-256"}, {"type": "ECDH", "name": "X448", "size": 448}),
        (
            {"ecdhCurve": "X25519MLKEM768", "minVersion": "TLSv1.3"},
            {"type": "TLSGroup", "name": "X25519MLKEM768"},
        ),
    ],
    ids=lambda value: value.get("ecdhCurve", ""),
)
@pytest.mark.usefixtures("functions")
def test_the_ephemeral_key(options: dict[str, str], info: dict[str, Any], pki: Pki) -> None:
    for version in ("TLSv1.2", "TLSv1.3"):
        if options.get("minVersion", version) > version:
            continue
        _pair, driver = clientOf(pki, **options, maxVersion=version)
        assert keys.ephemeralKeyInfo(driver) == info
        assert drainErrors() == []


@pytest.mark.parametrize(
    ("ciphers", "info"),
    [
        ("DHE-RSA-AES128-GCM-SHA256", {"type": "DH", "size": 2048}),
        ("AES128-GCM-SHA256", {}),
    ],
)
@pytest.mark.usefixtures("functions")
def test_without_curves(ciphers: str, info: dict[str, Any], pki: Pki) -> None:
    server = pki.issue("localhost", key_type=trustme.KeyType.RSA)
    pair, driver = clientOf(
        replace(pki, server=server), ciphers=ciphers, maxVersion="TLSv1.2", ecdhCurve="auto"
    )
    assert keys.ephemeralKeyInfo(driver) == info
    assert pair.client.secured


@pytest.mark.usefixtures("functions")
def test_before_the_handshake_there_is_none() -> None:
    driver = Driver(createSecureContext().native, False)
    assert keys.ephemeralKeyInfo(driver) == {}
    assert drainErrors() == []


@pytest.mark.usefixtures("functions")
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_shared_signature_algorithms(version: str, pki: Pki) -> None:
    pair, driver = clientOf(
        pki, maxVersion=version, sigalgs="ECDSA+SHA384:RSA-PSS+SHA256:ECDSA+SHA256:ed25519"
    )
    algorithms = keys.sharedSigalgs(pair.server.engine.driver)
    assert algorithms[:1] == ["ECDSA+SHA384"]
    assert "Ed25519+UNDEF" in algorithms
    assert "RSA-PSS+SHA256" in algorithms
    assert len(set(algorithms)) == len(algorithms)
    assert keys.sharedSigalgs(driver) == []  # the server asked for no certificate


def test_where_the_functions_cannot_be_had_the_feature_says_so(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    from txnodetls.errors import featureUnavailable

    def refuse(feature: str, *names: str) -> Any:
        raise featureUnavailable(feature, names[0])

    monkeypatch.setattr(symbols, "require", refuse)
    driver = Driver(createSecureContext().native, False)
    for ask in (keys.ephemeralKeyInfo, keys.sharedSigalgs):
        with pytest.raises(NodeError) as raised:
            ask(driver)
        assert raised.value.code == "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM"
