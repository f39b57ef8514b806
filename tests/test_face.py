"""The package's face: what `import txnodetls as tls` gives."""

from __future__ import annotations

from typing import Any

import pytest

import txnodetls as tls
from tests.support import Pki
from txnodetls import constants
from txnodetls.pki import trust


def test_every_public_name_is_there_and_documented() -> None:
    for name in tls.__all__:
        value = getattr(tls, name)
        if callable(value):
            assert value.__doc__, name


def test_constants_can_be_assigned_and_are_read_when_used(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tls.DEFAULT_MIN_VERSION == "TLSv1.2"
    monkeypatch.setattr(tls, "DEFAULT_MAX_VERSION", "TLSv1.2")
    assert constants.defaults.DEFAULT_MAX_VERSION == "TLSv1.2"
    monkeypatch.setattr(tls, "DEFAULT_MIN_VERSION", "TLSv1.7")
    with pytest.raises(tls.NodeError) as raised:
        tls.createSecureContext(cert=pki.server.cert)
    assert raised.value.code == "ERR_TLS_INVALID_PROTOCOL_VERSION"


@pytest.mark.parametrize("name", constants.Defaults.__slots__)
def test_each_constant_is_the_one_of_the_defaults(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark: Any = object()
    monkeypatch.setattr(tls, name, mark)
    assert getattr(constants.defaults, name) is mark
    assert getattr(tls, name) is mark


def test_root_certificates_cannot_be_changed() -> None:
    assert tls.rootCertificates is trust.rootCertificates()
    assert isinstance(tls.rootCertificates, tuple)
    assert all(pem.startswith("-----BEGIN CERTIFICATE-----") for pem in tls.rootCertificates)
    with pytest.raises(AttributeError):
        tls.rootCertificates = ()  # type: ignore[misc]


def test_node_names_lead_to_the_same_things() -> None:
    assert issubclass(tls.TLSSocket, tls.net.Socket)
    assert issubclass(tls.Server, tls.net.Server)
    assert isinstance(tls.createServer(), tls.Server)
    out: dict[str, Any] = {}
    tls.convertALPNProtocols(["h2"], out)
    assert out == {"ALPNProtocols": b"\x02h2"}
