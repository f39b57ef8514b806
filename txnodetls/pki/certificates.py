"""
Node's certificate object: the dictionary that C{getPeerCertificate()} gives.

It exists to be looked at: names, times, fingerprints, the key.  It says
nothing about whether the certificate is trusted.  A key is there only if the
certificate has what it tells of; what is broken is left out, as in Node,
rather than guessed at.

Source: https://nodejs.org/api/tls.html#certificate-object
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import sha1, sha256, sha512
from typing import Any

from txnodetls.errors import NodeError
from txnodetls.pki.fields import Fields
from txnodetls.pki.issuance import isIssuedBy
from txnodetls.pki.names import toObject
from txnodetls.pki.publickeys import keyObject
from txnodetls.pki.x509text import (
    accessText,
    accessTextToObject,
    altNamesText,
    hexadecimal,
    timeText,
)

__all__ = ["certificateChainObject", "certificateObject", "fieldsToObject", "fingerprint"]

#: How many issuers a certificate object can have above it.
_DEPTH = 100
#: How many certificates are remembered, and from what length on none is: no peer shall be able
#: to fill the memory.
_REMEMBERED = 64
_LONG = 8192
_CONTAINERS = ("subject", "issuer", "infoAccess", "ext_key_usage")


def certificateObject(encoded: bytes) -> dict[str, Any]:
    """
    The certificate object of one certificate.

    The keys, where the certificate has what they tell of: C{subject issuer
    subjectaltname infoAccess ca modulus bits exponent pubkey asn1Curve
    nistCurve valid_from valid_to fingerprint fingerprint256 fingerprint512
    ext_key_usage serialNumber raw}.  C{bits} is an int, C{ca} a bool,
    C{pubkey} and C{raw} are bytes, C{exponent} is a text like C{0x10001}.

    @param encoded: the certificate in DER.

    @raise NodeError: it is not a certificate.
    """
    if len(encoded) > _LONG:
        return fieldsToObject(Fields(bytes(encoded)))
    found = dict(_known(bytes(encoded)))
    # What the caller does to it shall stay the caller's.
    for key in _CONTAINERS:
        if key in found:
            found[key] = {**found[key]} if isinstance(found[key], dict) else [*found[key]]
    for name in (found.get("subject", {}), found.get("issuer", {}), found.get("infoAccess", {})):
        name.update((key, [*value]) for key, value in name.items() if isinstance(value, list))
    return found


@lru_cache(maxsize=_REMEMBERED)
def _known(encoded: bytes) -> dict[str, Any]:
    """Most connections go to the same few peers, whose certificates need be read only once."""
    return fieldsToObject(Fields(encoded))


def certificateChainObject(
    encoded: Sequence[bytes],
    findIssuer: Callable[[bytes], bytes | None] | None = None,
) -> dict[str, Any]:
    """
    The certificate object with its issuers: C{getPeerCertificate(True)}.

    Each object has its issuer's as C{issuerCertificate}: looked for among the
    certificates that came along, in whatever order, and when these are used
    up, by C{findIssuer}.  A self-signed certificate has itself.  The last one
    has none where the issuer is unknown.

    @param encoded: the certificates that the peer presented, in DER, its own first.
    @param findIssuer: gives for a certificate its issuer from what is trusted, both
        in DER, or None.

    @raise NodeError: one of them is not a certificate.
    """
    last, *others = [Fields(each) for each in encoded]
    top = lastObject = fieldsToObject(last)

    def grow(issuer: Fields) -> None:
        nonlocal last, lastObject
        above = fieldsToObject(issuer)
        lastObject["issuerCertificate"] = above
        last, lastObject = issuer, above

    while (issuer := next((each for each in others if isIssuedBy(last, each)), None)) is not None:
        others.remove(issuer)
        grow(issuer)
    # Two authorities may have signed each other: none is climbed to twice.
    seen = {last.raw}
    while findIssuer is not None and not isIssuedBy(last, last) and len(seen) < _DEPTH:
        found = findIssuer(last.raw)
        if found is None or found in seen:
            break
        seen.add(found)
        grow(Fields(found))
    if isIssuedBy(last, last):
        lastObject["issuerCertificate"] = lastObject
    return top


def fieldsToObject(fields: Fields) -> dict[str, Any]:
    """L{certificateObject} of a certificate that has been taken apart already."""
    found: dict[str, Any] = {}

    def put(key: str, make: Callable[[], Any]) -> None:
        try:
            value = make()
        except NodeError:
            return  # This one part is broken; Node leaves it out.
        if value is not None:
            found[key] = value

    put("subject", lambda: toObject(fields.subject))
    put("issuer", lambda: toObject(fields.issuer))
    put("subjectaltname", lambda: _altNames(fields))
    put("infoAccess", lambda: _access(fields))
    found["ca"] = fields.isCA
    try:
        key = keyObject(fields.key)
    except NodeError:
        key = {}  # A key that cannot be read has nothing to show.
    curve = {name: value for name, value in key.items() if name.endswith("Curve")}
    found.update((name, value) for name, value in key.items() if name not in curve)
    found["valid_from"] = timeText(fields.notBefore)
    found["valid_to"] = timeText(fields.notAfter)
    found["fingerprint"] = fingerprint(sha1(fields.raw, usedforsecurity=False).digest())
    found["fingerprint256"] = fingerprint(sha256(fields.raw).digest())
    found["fingerprint512"] = fingerprint(sha512(fields.raw).digest())
    put("ext_key_usage", lambda: fields.extendedUsages)
    put("serialNumber", lambda: hexadecimal(fields.serial))
    found["raw"] = fields.raw
    found.update(curve)  # last, as in Node
    return found


def fingerprint(digest: bytes) -> str:
    """C{AB:CD:...}."""
    return digest.hex(":").upper()


def _altNames(fields: Fields) -> str | None:
    names = fields.altNames
    return None if names is None else altNamesText(names)


def _access(fields: Fields) -> dict[str, list[str]] | None:
    value = fields.access
    return None if value is None else accessTextToObject(accessText(value))
