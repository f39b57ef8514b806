"""What the daemon's tests share."""

from __future__ import annotations

import ssl
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.load import Loop
from tests.support import Pki, lockedKey
from txnodetls.daemon.config import readConfig
from txnodetls.daemon.plan import Config


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
    """A directory with key.pem, cert.pem and ca.pem."""
    (tmp_path / "key.pem").write_bytes(pki.server.key)
    (tmp_path / "cert.pem").write_bytes(pki.server.cert)
    (tmp_path / "ca.pem").write_bytes(pki.ca)
    return tmp_path


@pytest.fixture
def files(pki: Pki, directory: Path) -> Path:
    """The same, with other.pem, garbage.pem and locked.pem (passphrase: sesame) in it."""
    (directory / "other.pem").write_bytes(pki.client.key)
    (directory / "garbage.pem").write_text("-----BEGIN CERTIFICATE-----\nnonsense\n")
    (directory / "locked.pem").write_bytes(lockedKey(pki.server.key))
    (directory / "right").write_text("sesame\n")
    (directory / "wrong").write_text("simsim\n")
    return directory


@pytest.fixture
def inFile(tmp_path: Path) -> Callable[..., Config]:
    """Reads a configuration from this text, and from switches."""

    def read(text: str, **switches: str) -> Config:
        path = tmp_path / "nodetls.toml"
        path.write_text(textwrap.dedent(text))
        return readConfig({"config": str(path), **switches})

    return read


@pytest.fixture
def withFiles(inFile: Any, files: Path, pki: Pki) -> Callable[..., Config]:
    """The same, with key, cert, ca and a directory of certificates."""
    (files / "certs").mkdir()
    for name in ("a", "b"):
        pair = pki.issue(f"{name}.example", f"*.{name}.example")
        (files / "certs" / f"{name}.pem").write_bytes(pair.cert + pair.key)
    top = "".join(f'{name} = "{files / name}.pem"\n' for name in ("key", "cert"))

    def read(text: str, top: str = top) -> Config:
        return inFile(top + textwrap.dedent(text).replace("DIR", str(files)))

    return read
