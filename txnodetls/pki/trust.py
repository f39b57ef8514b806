"""
What is trusted: the default roots, and the sets that options describe.

The default roots are Mozilla's (certifi's file) and those of the file that
C{NODE_EXTRA_CA_CERTS} names; a program may replace them as a whole.  They are
read once per process, into one store that every context without C{ca} shares.
A context that trusts anything else, or less (revocation lists), gets a store of
its own: the shared one is never touched.

Sources: https://nodejs.org/api/tls.html#tlsgetcacertificatestype,
https://nodejs.org/api/tls.html#tlssetdefaultcacertificatescerts,
https://nodejs.org/api/cli.html#node_extra_ca_certsfile
"""

from __future__ import annotations

import hashlib
import os
import ssl
from collections.abc import Iterable
from functools import cache
from typing import Final

import certifi
from twisted.logger import Logger

from txnodetls.errors import invalidArgType, invalidArgValue
from txnodetls.openssl.contexts import CertificateStore, isCertificate, operationFailed, toPEM
from txnodetls.pki.credentials import TRUSTED_LABEL, PEMBlock, certificatesIn

__all__ = [
    "NOTHING",
    "Trust",
    "defaultTrust",
    "getCACertificates",
    "rootCertificates",
    "setDefaultCACertificates",
]

_log = Logger()

_ARRAY: Final = "an instance of Array"
_CERTIFICATE: Final = "of type string or an instance of ArrayBufferView"


class Trust:
    """
    A set of trusted certificates, with the revocation lists that go with them.

    Made once and not changed afterwards.  Store and digest are made when they
    are first asked for.

    @param certificates: the trusted ones.
    @param revocations: CRLs, DER; with any, each issuer in a chain needs one.
    @param partial: whether a chain may end at any of the certificates, not
        only at a self-signed one.
    """

    __slots__ = ("_digest", "_store", "certificates", "partial", "revocations")

    def __init__(
        self,
        certificates: Iterable[PEMBlock],
        revocations: Iterable[bytes] = (),
        partial: bool = False,
    ) -> None:
        self.certificates = tuple(certificates)
        self.revocations = tuple(revocations)
        self.partial = partial
        self._store: CertificateStore | None = None
        self._digest: bytes | None = None

    def ders(self) -> tuple[bytes, ...]:
        """The DER of every trusted certificate."""
        return tuple(block.der for block in self.certificates)

    @property
    def store(self) -> CertificateStore:
        """The OpenSSL store; not to be changed."""
        if self._store is None:
            self._store = self._filled()
        return self._store

    @property
    def digest(self) -> bytes:
        """32 bytes that differ wherever what is trusted differs; the order is without meaning."""
        if self._digest is None:
            digest = hashlib.sha256(b"txnodetls trust 1\0")
            for group in (
                {block.pem if block.label == TRUSTED_LABEL else block.der
                 for block in self.certificates},
                set(self.revocations),
            ):
                digest.update(len(group).to_bytes(4, "big"))
                for member in sorted(hashlib.sha256(item).digest() for item in group):
                    digest.update(member)
            digest.update(b"\1" if self.partial else b"\0")
            self._digest = digest.digest()
        return self._digest

    def extended(
        self,
        certificates: Iterable[PEMBlock] = (),
        revocations: Iterable[bytes] = (),
        partial: bool = False,
    ) -> Trust:
        """This trust with more in it; itself, if there is nothing more."""
        more, lists = tuple(certificates), tuple(revocations)
        if not more and not lists and partial <= self.partial:
            return self
        return Trust(
            self.certificates + more, self.revocations + lists, self.partial or partial
        )

    def _filled(self) -> CertificateStore:
        store = CertificateStore()
        for block in self.certificates:
            if block.label == TRUSTED_LABEL:
                store.addTrusted(block.pem)
            else:
                store.addCertificate(block.der)
        for der in self.revocations:
            store.addRevocations(der)
        if self.partial:
            store.allowPartialChains()
        return store


#: Trusts nobody.
NOTHING: Final = Trust(())


def readable(text: bytes) -> list[PEMBlock]:
    """The certificates of a PEM text that OpenSSL takes, up to the first that it does not."""
    found = []
    for block in certificatesIn(text):
        if not isCertificate(block.der):
            break
        found.append(block)
    return found


class _Defaults:
    """The roots of this process, once they are known."""

    trust: Trust | None = None


@cache
def _bundled() -> tuple[PEMBlock, ...]:
    with open(certifi.where(), "rb") as file:
        return tuple(certificatesIn(file.read()))


@cache
def _extra() -> tuple[PEMBlock, ...]:
    path = os.environ.get("NODE_EXTRA_CA_CERTS")
    if not path:
        return ()
    if _privileged():
        _log.warn("NODE_EXTRA_CA_CERTS is ignored: the process runs under another user's rights")
        return ()
    try:
        with open(path, "rb") as file:
            found = readable(file.read())
    except OSError as error:
        _log.warn(
            "Ignoring extra certs from {path}, load failed: {error}",
            path=path,
            error=error.strerror or str(error),
        )
        return ()
    if not found:
        _log.warn("Ignoring extra certs from {path}: it holds no certificate", path=path)
    return tuple(found)


def _privileged() -> bool:
    if not hasattr(os, "geteuid"):
        return False
    return os.getuid() != os.geteuid() or os.getgid() != os.getegid()


@cache
def _system() -> tuple[PEMBlock, ...]:
    paths = ssl.get_default_verify_paths()
    texts = []
    if paths.cafile:
        texts.append(_fileContents(paths.cafile))
    if paths.capath:
        try:
            names = sorted(os.listdir(paths.capath))
        except OSError:
            names = []
        texts += [_fileContents(os.path.join(paths.capath, name)) for name in names]
    found = {block.der: block for text in texts for block in readable(text)}
    return tuple(found.values())


def _fileContents(path: str) -> bytes:
    """The contents of a file of the system's store; nothing, if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        _log.debug("certificates in {path} cannot be read: {error}", path=path, error=error)
        return b""


def defaultTrust() -> Trust:
    """What a context without C{ca} trusts: one object until the defaults are replaced."""
    if _Defaults.trust is None:
        _Defaults.trust = Trust(_bundled() + _extra())
    return _Defaults.trust


@cache
def _texts(blocks: tuple[PEMBlock, ...]) -> tuple[str, ...]:
    return tuple(toPEM(block.der).decode("ascii").rstrip("\n") for block in blocks)


def rootCertificates() -> tuple[str, ...]:
    """Mozilla's root certificates, PEM."""
    return _texts(_bundled())


def getCACertificates(type: str | None = None) -> tuple[str, ...]:
    """
    CA certificates, PEM.

    @param type: C{default}: what is trusted without C{ca}; C{bundled}:
        Mozilla's; C{system}: those of the operating system's store, which are
        trusted only if asked for; C{extra}: those of C{NODE_EXTRA_CA_CERTS}.
    @raise NodeError: C{ERR_INVALID_ARG_TYPE}, C{ERR_INVALID_ARG_VALUE}.
    """
    if type is None or type == "default":
        return _texts(defaultTrust().certificates)
    if not isinstance(type, str):
        raise invalidArgType("type", "of type string", type)
    if type == "bundled":
        return rootCertificates()
    if type == "extra":
        return _texts(_extra())
    if type == "system":
        return _texts(_system())
    raise invalidArgValue("type", type)


def setDefaultCACertificates(certs: object = None) -> None:
    """
    Replace what contexts trust that are made from now on without C{ca}.

    @param certs: a list of PEM texts or bytes; an empty one trusts nobody.
    @raise NodeError: C{ERR_INVALID_ARG_TYPE}; C{ERR_CRYPTO_OPERATION_FAILED}
        for a list without any certificate.  The defaults stay what they were.
    """
    if not isinstance(certs, (list, tuple)):
        raise invalidArgType("certs", _ARRAY, certs)
    texts = []
    for index, item in enumerate(certs):
        if isinstance(item, str):
            texts.append(item.encode("utf-8", "surrogateescape"))
        elif isinstance(item, (bytes, bytearray, memoryview)):
            texts.append(bytes(item))
        else:
            raise invalidArgType(f"certs[{index}]", _CERTIFICATE, item)
    found = {block.der: block for text in texts for block in readable(text)}
    if texts and not found:
        raise operationFailed("No valid certificates found in the provided array")
    _Defaults.trust = Trust(found.values())
