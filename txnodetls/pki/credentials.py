"""
Own certificates and keys, DH parameters and revocation lists, in every form Node takes.

Here the forms are taken apart: lists, mappings, texts with several PEM blocks in
them, PFX.  Private keys are left as they are; OpenSSL itself reads them, when
the context is built.

Sources: https://nodejs.org/api/tls.html#tlscreatesecurecontextoptions,
PEM_read_bio(3), RFC 7468, RFC 7292.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from txnodetls.errors import Blame, NodeError, NodeTypeError, Phase, invalidArgType
from txnodetls.javascript import isTrue, utf8
from txnodetls.openssl import contexts
from txnodetls.pki import der
from txnodetls.pki.pem import (
    CERTIFICATE_LABELS,
    CRL_LABELS,
    DH_LABELS,
    PLAIN_LABELS,
    TRUSTED_LABEL,
    PEMBlock,
    PEMReader,
    noStartLine,
    pemBlocks,
)

__all__ = [
    "Bundle",
    "KeyText",
    "bundles",
    "certificateChain",
    "certificatesIn",
    "dhPrimeBits",
    "firstCertificate",
    "isCertificate",
    "keyTexts",
    "operationFailed",
    "pemTexts",
    "revocationLists",
    "toBytes",
]

# What Node says it wants where it wants text or bytes.
BYTES_WANTED: Final = "of type string or an instance of Buffer, TypedArray, or DataView"


class KeyText(NamedTuple):
    """A private key, not yet read."""

    pem: bytes
    passphrase: bytes | None


class Bundle(NamedTuple):
    """What a PFX held: key (PKCS#8, DER), certificate, further certificates (DER)."""

    key: bytes
    leaf: bytes
    others: tuple[bytes, ...]


def toBytes(value: object, name: str) -> bytes:
    """
    Bytes of a text or of anything bytes-like.

    @param name: the option's path, for the error.
    @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE}.
    """
    if isinstance(value, str):
        return utf8(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise invalidArgType(name, BYTES_WANTED, value)


def pemTexts(value: object, name: str) -> tuple[bytes, ...]:
    """One text or a list of texts; nothing for None, an empty str or False."""
    if isinstance(value, (list, tuple)):
        return tuple(toBytes(item, name) for item in value)
    return (toBytes(value, name),) if isTrue(value) else ()


def keyTexts(key: object, passphrase: object, name: str = "options") -> tuple[KeyText, ...]:
    """
    The keys of C{key} and C{passphrase}.

    A list may hold texts and mappings with C{pem} and perhaps C{passphrase};
    the common passphrase serves those without one of their own.
    """
    if not isinstance(key, (list, tuple)):
        return (_keyText(key, passphrase, name),) if isTrue(key) else ()
    texts = []
    for item in key:
        if isinstance(item, Mapping):
            pem = item["pem"] if item.get("pem") is not None else item
            texts.append(_keyText(pem, item.get("passphrase", passphrase), name))
        else:
            texts.append(_keyText(item, passphrase, name))
    return tuple(texts)


def _keyText(pem: object, passphrase: object, name: str) -> KeyText:
    data = toBytes(pem, f"{name}.key")
    if passphrase is None:
        return KeyText(data, None)
    if not isinstance(passphrase, str):
        raise invalidArgType(f"{name}.passphrase", "of type string", passphrase)
    return KeyText(data, utf8(passphrase))


def certificateChain(text: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """
    The first certificate of a PEM text and those behind it (DER).

    As in Node the first may be a C{TRUSTED CERTIFICATE}; others are passed over.

    @raise NodeError: C{ERR_OSSL_PEM_NO_START_LINE} if there is none; OpenSSL's error for what
        is damaged.
    """
    reader = PEMReader(text)
    leaf = _first(reader)
    chain = []
    while (more := _certificate(reader, PLAIN_LABELS)) is not None:
        chain.append(more)
    return leaf, tuple(chain)


def firstCertificate(text: bytes) -> bytes:
    """
    The first certificate of a PEM text (DER).

    @raise NodeError: as L{certificateChain}.
    """
    return _first(PEMReader(text))


def _first(reader: PEMReader) -> bytes:
    found = _certificate(reader, CERTIFICATE_LABELS)
    if found is None:
        raise noStartLine()
    return found


def _certificate(reader: PEMReader, labels: frozenset[str]) -> bytes | None:
    """The next certificate (DER) that OpenSSL takes for one; None if there is no more."""
    try:
        block = reader.take(labels)
    except NodeError as error:
        if error.code == _FAILED:
            raise operationFailed("SSL_CTX_use_certificate_chain") from error
        raise
    if block is None:
        return None
    _require(block, auxiliary=TRUSTED_LABEL in labels)
    return block.der


def isCertificate(block: PEMBlock) -> bool:
    """Whether OpenSSL takes a block for a certificate, and what is behind it for what it means."""
    try:
        _require(block, auxiliary=True)
    except NodeError:
        return False
    return True


def _require(block: PEMBlock, auxiliary: bool) -> None:
    contexts.requireCertificate(block.der)
    if auxiliary and block.auxiliary:
        # Whatever its own label says: where one may be trusted for something, OpenSSL reads on.
        contexts.requireAuxiliary(block._replace(label=TRUSTED_LABEL).pem)


def certificatesIn(text: bytes) -> list[PEMBlock]:
    """
    All certificates of a PEM text; as far as they can be read, as Node does with C{ca}.
    """
    found = []
    try:
        for block in pemBlocks(text, CERTIFICATE_LABELS):
            found.append(block)
    except NodeError:
        # What follows the damaged one is not read; whoever asked is told by
        # what is missing.
        pass
    return found


def revocationLists(value: object, name: str) -> tuple[bytes, ...]:
    """
    The revocation lists (DER) of one PEM text or a list of them.

    @raise NodeError: C{ERR_CRYPTO_OPERATION_FAILED} for a text without any.
    """
    if value is None:
        return ()
    texts = value if isinstance(value, (list, tuple)) else (value,)
    found: list[bytes] = []
    for item in texts:
        before = len(found)
        try:
            found += [b.der for b in pemBlocks(toBytes(item, name), CRL_LABELS)]
        except NodeTypeError:
            raise
        except NodeError as error:
            raise operationFailed("Failed to parse CRL") from error
        if len(found) == before:
            raise operationFailed("Failed to parse CRL")
    return tuple(found)


def dhPrimeBits(text: bytes) -> int | None:
    """The size of the prime in PEM DH parameters; None if there are no readable ones."""
    try:
        block = next(pemBlocks(text, DH_LABELS), None)
    except NodeError:
        return None
    if block is None:
        return None
    try:
        # SEQUENCE { INTEGER p, ... }
        prime = next(der.children(der.only(block.der, der.SEQUENCE)), None)
        return int.from_bytes(der.expect(prime, der.INTEGER).value, "big").bit_length()
    except NodeError:
        return None


def bundles(value: object, passphrase: object) -> tuple[Bundle, ...]:
    """
    What is in C{pfx}: one PFX, or a list of them and of mappings C{{buf, passphrase}}.

    @raise NodeError: with Node's texts: C{mac verify failure} for a wrong
        passphrase, C{not enough data} for what is no PFX.
    """
    if value is None:
        return ()
    common = passphrase if isTrue(passphrase) else None
    if not isinstance(value, (list, tuple)):
        return (_bundle(value, common),)
    found = []
    for item in value:
        if isinstance(item, Mapping):
            data, own = item.get("buf"), item.get("passphrase")
            found.append(_bundle(data if isTrue(data) else item, own if isTrue(own) else common))
        else:
            found.append(_bundle(item, common))
    return tuple(found)


def _bundle(value: object, passphrase: object) -> Bundle:
    if not isinstance(value, (str, bytes, bytearray, memoryview)):
        raise operationFailed("Unable to load PFX certificate")
    # (A PFX is no text: what is given as one is of no more use than in Node.)
    data = utf8(value) if isinstance(value, str) else bytes(value)
    if passphrase is not None and not isinstance(passphrase, (str, bytes, bytearray, memoryview)):
        raise NodeTypeError(
            "Pass phrase must be a buffer",
            "ERR_INVALID_ARG_TYPE",
            blame=Blame.CONFIGURATION,
            phase=Phase.CONFIGURING,
        )
    # Not for the many programs that have no PFX.
    from cryptography.hazmat.primitives.serialization import pkcs12

    from txnodetls.pki import pfxshape

    reason = pfxshape.fault(data)
    if reason is not None:
        raise _pfxError(reason, _UNSUPPORTED if reason == pfxshape.UNSUPPORTED else None)
    secret = None if passphrase is None else toBytes(passphrase, "options.passphrase")
    try:
        contents = pkcs12.load_pkcs12(data, secret)
    except ValueError as error:
        wrong = "password" in str(error)
        raise _pfxError("mac verify failure" if wrong else "not enough data") from error
    if contents.key is None:
        raise operationFailed("Unable to load private key from PFX data")
    if contents.cert is None:
        raise operationFailed("Unable to load certificate from PFX data")
    key: Any = contents.key
    return Bundle(
        key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        contents.cert.certificate.public_bytes(Encoding.DER),
        tuple(c.certificate.public_bytes(Encoding.DER) for c in contents.additional_certs),
    )


_FAILED: Final = "ERR_CRYPTO_OPERATION_FAILED"
_UNSUPPORTED: Final = "ERR_CRYPTO_UNSUPPORTED_OPERATION"


def operationFailed(message: str) -> NodeError:
    """C{ERR_CRYPTO_OPERATION_FAILED} with one of Node's texts."""
    return NodeError(
        message,
        _FAILED,
        blame=Blame.CONFIGURATION,
        phase=Phase.CONFIGURING,
    )


def _pfxError(message: str, code: str | None = None) -> NodeError:
    return NodeError(message, code, blame=Blame.CONFIGURATION, phase=Phase.CONFIGURING)
