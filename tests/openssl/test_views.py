"""A view of a connection answers as the connection does, and as pyOpenSSL's before there is one."""

from __future__ import annotations

import pytest
from OpenSSL import SSL

from tests.support import Pki
from txnodetls import NodeError
from txnodetls.openssl.views import ConnectionView
from txnodetls.testing import MemoryPair


def test_it_tells_what_the_connection_tells(pki: Pki) -> None:
    pair = MemoryPair(
        {"key": pki.server.key, "cert": pki.server.cert, "ALPNProtocols": ["a"]},
        {"ca": pki.ca, "servername": "localhost", "ALPNProtocols": ["a"]},
    )
    pair.pump()
    connection = pair.client._engine.driver.connection  # type: ignore[union-attr]
    view = ConnectionView(lambda: connection)
    assert isinstance(view, SSL.Connection)
    assert view.get_cipher_name() == pair.client.getCipher()["name"]  # type: ignore[index]
    assert view.get_finished() == pair.client.getFinished()
    assert view.get_protocol_version_name() == pair.client.getProtocol()
    assert view.get_alpn_proto_negotiated() == b"a"
    assert view.get_context() is connection.get_context()
    certificate = view.get_peer_certificate(as_cryptography=True)
    assert certificate == connection.get_peer_certificate(as_cryptography=True)


def test_before_there_is_one_nothing_is_known() -> None:
    view = ConnectionView(lambda: None)
    assert view.get_finished() is None
    assert view.get_peer_certificate() is None
    assert view.get_cipher_name() is None
    assert view.get_alpn_proto_negotiated() == b""
    with pytest.raises(NodeError, match="no TLS connection"):
        view.get_protocol_version_name()
    with pytest.raises(AttributeError):
        view.what_is_this()
