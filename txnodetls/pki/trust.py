"""
What is trusted: the default roots, and the sets that options describe.

The default roots are Mozilla's (certifi's file) and those of the file that
C{NODE_EXTRA_CA_CERTS} names; a program may replace them as a whole.  They are
read once per process, into one L{Trust} that every context without C{ca} shares.
A context that trusts anything else, or less (revocation lists), gets a trust of
its own: none is ever changed.

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

from twisted.logger import Logger

from txnodetls.errors import NodeError, invalidArgType, invalidArgValue
from txnodetls.javascript import utf8
from txnodetls.pki import der
from txnodetls.pki.credentials import certificatesIn, operationFailed
from txnodetls.pki.pem import TRUSTED_LABEL, PEMBlock, toPEM

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

    Made once and not changed afterwards.  The digest is made when it is first
    asked for.

    @param certificates: the trusted ones.
    @param revocations: CRLs, DER; with any, each issuer in a chain needs one.
    @param partial: whether a chain may end at any of the certificates, not
        only at a self-signed one.

    @ivar native: a place for whoever turns this into OpenSSL's form, so that it
        is done once.
    """

    __slots__ = ("_digest", "certificates", "native", "partial", "revocations")

    def __init__(
        self,
        certificates: Iterable[PEMBlock],
        revocations: Iterable[bytes] = (),
        partial: bool = False,
    ) -> None:
        self.certificates = tuple(certificates)
        self.revocations = tuple(revocations)
        self.partial = partial
        self.native: object = None
        self._digest: bytes | None = None

    def ders(self) -> tuple[bytes, ...]:
        """The DER of every trusted certificate."""
        return tuple(block.der for block in self.certificates)

    @property
    def digest(self) -> bytes:
        """32 bytes that differ wherever what is trusted differs; the order is without meaning."""
        if self._digest is None:
            digest = hashlib.sha256(b"txnodetls trust 1\0")
            for group in (
                {
                    block.pem if block.label == TRUSTED_LABEL else block.der
                    for block in self.certificates
                },
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
        return Trust(self.certificates + more, self.revocations + lists, self.partial or partial)


#: Trusts nobody.
NOTHING: Final = Trust(())


def readable(text: bytes) -> list[PEMBlock]:
    """The certificates of a PEM text, up to the first block that is none."""
    found = []
    for block in certificatesIn(text):
        if not _looksRight(block.der):
            break
        found.append(block)
    return found


def _plain(text: bytes) -> list[PEMBlock]:
    """The same for the default roots, for which Node passes over C{TRUSTED CERTIFICATE}."""
    return [block for block in readable(text) if block.label != TRUSTED_LABEL]


def _looksRight(certificate: bytes) -> bool:
    """Whether it has a certificate's outermost form: contents, algorithm, signature."""
    try:
        parts = [part.tag for part in der.children(der.only(certificate, der.SEQUENCE))]
    except NodeError:
        return False
    return parts == [der.SEQUENCE, der.SEQUENCE, der.BIT_STRING]


class _Defaults:
    """The roots of this process, once they are known."""

    trust: Trust | None = None


@cache
def _bundled() -> tuple[PEMBlock, ...]:
    import certifi  # with importlib.resources: not for a program that brings its own roots

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
            found = _plain(file.read())
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


def getCACertificates(type: object = None) -> tuple[str, ...]:
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
            texts.append(utf8(item))
        elif isinstance(item, (bytes, bytearray, memoryview)):
            texts.append(bytes(item))
        else:
            raise invalidArgType(f"certs[{index}]", _CERTIFICATE, item)
    found = {block.der: block for text in texts for block in _plain(text)}
    if texts and not found:
        raise operationFailed("No valid certificates found in the provided array")
    _Defaults.trust = Trust(found.values())
