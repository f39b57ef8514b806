"""
The finite-field groups of RFC 7919, for C{dhparam: 'auto'}.

They are computed from their definition: for b bits,
p = 2^b - 2^(b-64) + (floor(2^(b-130) e) + X) 2^64 - 1, where X is the smallest
number that makes p a safe prime; the generator is 2.

Source: RFC 7919 appendix A; how strong a group goes with a key: NIST SP 800-57
part 1, table 2, as SSL_CTX_set_dh_auto(3) applies it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

from txnodetls.pki import der
from txnodetls.pki.pem import toPEM

__all__ = ["group", "parametersFor", "prime"]

_X: Final = {2048: 560316, 3072: 2625351, 4096: 5736041, 8192: 10965728}

# Bits of security a group gives: the first one that gives as many as the key.
_STRENGTHS: Final = ((112, 2048), (128, 3072), (152, 4096))
_STRONGEST: Final = 8192

# Bits of security of an RSA modulus of at least so many bits.
_RSA_STRENGTHS: Final = ((15360, 256), (7680, 192), (4096, 152), (3072, 128), (0, 112))


def parametersFor(own: Iterable[tuple[bytes, tuple[bytes, ...]]]) -> bytes:
    """The group (PEM) that is as strong as the weakest of these own certificates' keys."""
    strength = min((_strength(leaf) for leaf, _chain in own), default=112)
    return group(next((bits for least, bits in _STRENGTHS if strength <= least), _STRONGEST))


def _strength(certificate: bytes) -> int:
    key = x509.load_der_x509_certificate(certificate).public_key()
    if isinstance(key, (rsa.RSAPublicKey, dsa.DSAPublicKey)):
        return next(strength for bits, strength in _RSA_STRENGTHS if key.key_size >= bits)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.key_size // 2
    # Ed25519; the others are at least as strong.
    return 128


@cache
def group(bits: int) -> bytes:
    """The parameters of a group as PEM."""
    contents = _integer(prime(bits)) + _integer(2)
    return toPEM(der.encode(der.SEQUENCE, contents), "DH PARAMETERS")


@cache
def prime(bits: int) -> int:
    """The prime of a group: 2048, 3072, 4096 or 8192 bits."""
    e = _scaledE(bits - 130)
    p: int = 2**bits - 2 ** (bits - 64) + (e + _X[bits]) * 2**64 - 1
    return p


def _scaledE(bits: int) -> int:
    """floor(2^bits e), from the series of 1/n!."""
    guard = 64
    term = total = 1 << (bits + guard)
    n = 0
    while term:
        n += 1
        term //= n
        total += term
    return total >> guard


def _integer(value: int) -> bytes:
    return der.encode(der.INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))
