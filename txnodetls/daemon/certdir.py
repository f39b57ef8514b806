"""
A directory of certificates and keys.

    a.example.pem                       certificate, chain and key in one file
    b.example.crt  b.example.key        the same in two; .pem and .cer are as good as .crt
    c.example/fullchain.pem privkey.pem as certbot leaves them
    d.example/tls.crt tls.key           as Kubernetes mounts them

Which names a pair is for, its certificate says: its DNS names, or its common name where it has
none.  What begins with a dot is left alone.

A pair that cannot be used (a key without its certificate, one that does not match, a file that
is half written) is left out with a warning, and the pair that was there before it stays: one bad
file takes no site down.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from txnodetls.daemon.files import Files

__all__ = ["Pair", "grouped", "readDirectory"]

_CERTIFICATES: Final = (".pem", ".crt", ".cer")
_KEY: Final = ".key"
_WITHIN: Final = (("fullchain.pem", "privkey.pem"), ("tls.crt", "tls.key"))
_BLOCK: Final = re.compile(
    rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----[ \t]*\r?\n?", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Pair:
    """
    A certificate with its key.

    @ivar source: where it is from: the file's name without its ending, or the directory's.
    @ivar names: lower case, some with a star in front.
    @ivar kind: of its key; there may be one pair of each kind for the same names.
    @ivar certificate: PEM, with its chain.
    @ivar key: PEM.
    """

    source: str
    names: tuple[str, ...]
    kind: str
    certificate: bytes
    key: bytes


class _Unusable(Exception):
    """A pair cannot be used; the text says why."""


def readDirectory(
    directory: str, files: Files, before: Iterable[Pair] = ()
) -> tuple[list[Pair], list[str]]:
    """
    The pairs in a directory, and warnings.

    @param before: the pairs that were there the last time.
    @raise OSError: the directory cannot be read.
    """
    former = {pair.source: pair for pair in before}
    pairs: list[Pair] = []
    warnings: list[str] = []
    for source, names in sorted(_sources(directory, files).items()):
        try:
            pairs.append(_read(source, names, files))
        except _Unusable as error:
            kept = ""
            if source in former:
                pairs.append(former[source])
                kept = "; the one from before stays"
            warnings.append(f"{os.path.join(directory, source)}: {error}{kept}")
    return pairs, warnings


def grouped(pairs: Iterable[Pair]) -> tuple[list[list[Pair]], list[str]]:
    """
    Pairs that serve together: one of each kind of key, for the same names.

    @return: the groups, and warnings about pairs that another one stands before.
    """
    groups: dict[tuple[str, ...], list[Pair]] = {}
    warnings = []
    for pair in pairs:
        group = groups.setdefault(tuple(sorted(pair.names)), [])
        same = next((each for each in group if each.kind == pair.kind), None)
        if same is None:
            group.append(pair)
        else:
            warnings.append(f"{pair.source} is not used: {same.source} has the same names")
    return list(groups.values()), warnings


def _sources(directory: str, files: Files) -> dict[str, list[str]]:
    """By source, the files that belong to it."""
    found: dict[str, list[str]] = {}
    for name in files.names(directory):
        path = os.path.join(directory, name)
        stem, ending = os.path.splitext(name)
        if name.startswith("."):
            continue
        if ending in (*_CERTIFICATES, _KEY):
            found.setdefault(stem, []).append(path)
        elif files.isDirectory(path):
            inside = files.names(path)
            for certificate, key in _WITHIN:
                if certificate in inside or key in inside:
                    found[name] = [
                        os.path.join(path, each) for each in (certificate, key) if each in inside
                    ]
    return found


def _read(source: str, paths: list[str], files: Files) -> Pair:
    certificates: list[bytes] = []
    keys: list[bytes] = []
    for path in paths:
        try:
            data = files.read(path)
        except OSError as error:
            raise _Unusable(f"cannot read {path}: {error.strerror or error}") from error
        for block in _BLOCK.finditer(data):
            if block[1].endswith(b"PRIVATE KEY"):
                keys.append(block[0])
            elif block[1].endswith(b"CERTIFICATE"):
                certificates.append(block[0])
    if not certificates:
        raise _Unusable("a key without its certificate" if keys else "no certificate in it")
    if not keys:
        raise _Unusable("a certificate without its key")
    return _pair(source, certificates, keys[0])


def _pair(source: str, certificates: list[bytes], key: bytes) -> Pair:
    try:
        leaf = x509.load_pem_x509_certificate(certificates[0])
        for more in certificates[1:]:
            x509.load_pem_x509_certificate(more)
        private = load_pem_private_key(key, None)
        spki = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        matches = private.public_key().public_bytes(*spki) == leaf.public_key().public_bytes(*spki)
        names = _names(leaf)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        problem = str(error).partition("\n")[0]
        raise _Unusable(f"cannot be read: {problem}") from error
    if not matches:
        raise _Unusable("key and certificate do not match")
    if not names:
        raise _Unusable("the certificate is for no name")
    kind = type(private).__name__.strip("_").removesuffix("PrivateKey")
    return Pair(source, names, kind, b"".join(certificates), key)


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        found = extension.value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        attributes = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        found = [str(attribute.value) for attribute in attributes]
    return tuple(name.lower() for name in found)
