"""What the daemon's tests share."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.load import Loop
from tests.support import Pki


@pytest.fixture
def loop() -> Iterator[Loop]:
    """An event loop in a thread, for clients and backends."""
    with Loop() as made:
        yield made


@pytest.fixture
def trusting(pki: Pki) -> ssl.SSLContext:
    """A client that trusts the tests' authority."""
    return ssl.create_default_context(cadata=pki.ca.decode())


@pytest.fixture
def directory(pki: Pki, tmp_path: Path) -> Path:
    """A directory with key.pem and cert.pem."""
    (tmp_path / "key.pem").write_bytes(pki.server.key)
    (tmp_path / "cert.pem").write_bytes(pki.server.cert)
    (tmp_path / "ca.pem").write_bytes(pki.ca)
    return tmp_path
