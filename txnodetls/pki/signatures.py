"""
Whether a certificate was signed with a key.

cryptography does the arithmetic; which arithmetic is read from the
certificate's own encoding, so that certificates that cryptography's parser
refuses can be verified as well.

Source: RFC 5280, 4.1.1.2; RFC 4055; RFC 5758; RFC 8410; OpenSSL, C{X509_verify(3)}.
"""

from __future__ import annotations

from typing import Any, get_args

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from txnodetls.pki import der
from txnodetls.pki.fields import Fields
from txnodetls.pki.objects import SIGNATURES, Signature
from txnodetls.pki.publickeys import algorithmParts, readPSS

__all__ = ["verifySignature"]

#: Kind to class, of keys that sign the whole and not a hash of it.
_WHOLE: dict[str, type[Any]] = {
    "ED25519": ed25519.Ed25519PublicKey,
    "ED448": ed448.Ed448PublicKey,
}
# ML-DSA is there in newer versions of cryptography.
for _class in get_args(PublicKeyTypes):
    if _class.__name__.startswith("MLDSA"):
        _WHOLE[f"ML-DSA-{_class.__name__[5:7]}"] = _class


def verifySignature(fields: Fields, key: object) -> None:
    """
    Return if the certificate was signed with the private half of this key.

    @param key: one of cryptography's public keys.

    @raise InvalidSignature: it was not, or the key is of another kind.
    @raise NodeError: the certificate does not properly say how it was signed.
    """
    # The algorithm stands twice, and only once under the signature.
    if fields.algorithm.encoding != fields.innerAlgorithm.encoding:
        raise InvalidSignature("two algorithms")
    identifier, parameters = algorithmParts(fields.algorithm)
    known = SIGNATURES.get(identifier)
    if known is None:
        raise InvalidSignature("unknown algorithm")
    try:
        _verify(fields, key, known, parameters)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidSignature(str(error)) from error


def _verify(fields: Fields, key: object, known: Signature, parameters: der.Element | None) -> None:
    signature, signed = fields.signature, fields.signed
    if isinstance(key, rsa.RSAPublicKey) and known.key == "RSA-PSS":
        pss = readPSS(parameters)
        if pss.trailer != 1:
            raise InvalidSignature("unknown trailer")
        mask = padding.MGF1(_hash(pss.maskHash))
        key.verify(signature, signed, padding.PSS(mask, pss.salt), _hash(pss.hash))
    elif isinstance(key, rsa.RSAPublicKey) and known.key == "RSA":
        key.verify(signature, signed, padding.PKCS1v15(), _hash(known.hash))
    elif isinstance(key, ec.EllipticCurvePublicKey) and known.key == "EC":
        key.verify(signature, signed, ec.ECDSA(_hash(known.hash)))
    elif isinstance(key, dsa.DSAPublicKey) and known.key == "DSA":
        key.verify(signature, signed, _hash(known.hash))
    elif known.key in _WHOLE and isinstance(key, _WHOLE[known.key]):
        key.verify(signature, signed)
    else:
        raise InvalidSignature("a key of another kind")


def _hash(name: str | None) -> hashes.HashAlgorithm:
    if name is None:
        raise InvalidSignature("a hash of old")
    found: hashes.HashAlgorithm = getattr(hashes, name)()
    return found
