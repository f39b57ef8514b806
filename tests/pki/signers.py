"""
Keys of every kind, the same in every run, and how they sign.

The secrets are in this file for all to see.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey as _Ed448
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey as _Ed25519

from tests.pki.building import oid, sequence
from txnodetls.pki import der

__all__ = ["SERVING", "Signer", "signers"]


@dataclass(frozen=True)
class Signer:
    """
    A key, and how it signs.

    @ivar info: its SubjectPublicKeyInfo.
    @ivar algorithm: the AlgorithmIdentifier of its signatures.
    @ivar private: it in PKCS #8, DER.
    """

    kind: str
    key: Any
    info: bytes
    algorithm: bytes
    sign: Callable[[bytes], bytes] = field(repr=False)

    @cached_property
    def private(self) -> bytes:
        encoded = self.key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        # cryptography makes plain RSA of a key that is for PSS only.
        version, _, octets = der.children(der.only(encoded))
        algorithm = next(der.children(der.only(self.info)))
        return sequence(version.encoding, algorithm.encoding, octets.encoding)


#: The kinds that a TLS server can show with today's defaults.
SERVING = frozenset({"RSA", "RSA-PSS", "P-256", "P-384", "P-521", "Ed25519", "Ed448"})

_PSS = "1.2.840.113549.1.1.10"
_SHA256 = sequence(oid("2.16.840.1.101.3.4.2.1"))
_PSS_PARAMETERS = sequence(
    der.encode(0xA0, _SHA256),
    der.encode(0xA1, sequence(oid("1.2.840.113549.1.1.8"), _SHA256)),
    der.encode(0xA2, der.encode(der.INTEGER, b"\x20")),
)


@cache
def signers() -> tuple[Signer, ...]:
    """One of each kind."""
    pick = random.Random(20200101)
    found = [
        _rsaSigner(_rsaKey(pick, 2048), "RSA"),
        _rsaSigner(_rsaKey(pick, 1024), "RSA small"),
        _pssSigner(_rsaKey(pick, 2048), _PSS_PARAMETERS, "RSA-PSS"),
        _pssSigner(_rsaKey(pick, 1024), None, "RSA-PSS bare"),
    ]
    for label, curve, hashed, algorithm in (
        ("P-256", ec.SECP256R1(), hashes.SHA256(), "1.2.840.10045.4.3.2"),
        ("P-384", ec.SECP384R1(), hashes.SHA384(), "1.2.840.10045.4.3.3"),
        ("P-521", ec.SECP521R1(), hashes.SHA512(), "1.2.840.10045.4.3.4"),
        ("P-224", ec.SECP224R1(), hashes.SHA224(), "1.2.840.10045.4.3.1"),
        ("secp256k1", ec.SECP256K1(), hashes.SHA256(), "1.2.840.10045.4.3.2"),
        ("brainpool", ec.BrainpoolP256R1(), hashes.SHA256(), "1.2.840.10045.4.3.2"),
    ):
        private = ec.derive_private_key(pick.getrandbits(220), curve)
        scheme = ec.ECDSA(hashed, deterministic_signing=True)
        found.append(
            Signer(
                label,
                private,
                _info(private),
                sequence(oid(algorithm)),
                lambda data, private=private, scheme=scheme: private.sign(data, scheme),
            )
        )
    for label, key, numbers in (
        (
            "Ed25519",
            _Ed25519.from_private_bytes(pick.randbytes(32)),
            "1.3.101.112",
        ),
        ("Ed448", _Ed448.from_private_bytes(pick.randbytes(57)), "1.3.101.113"),
    ):
        found.append(Signer(label, key, _info(key), sequence(oid(numbers)), key.sign))
    return tuple(found)


def _info(private: Any) -> bytes:
    return private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _rsaSigner(private: rsa.RSAPrivateKey, kind: str) -> Signer:
    algorithm = sequence(oid("1.2.840.113549.1.1.11"), b"\x05\x00")
    return Signer(
        kind,
        private,
        _info(private),
        algorithm,
        lambda data: private.sign(data, padding.PKCS1v15(), hashes.SHA256()),
    )


def _pssSigner(private: rsa.RSAPrivateKey, parameters: bytes | None, kind: str) -> Signer:
    """A key that is only for PSS; without parameters, for every kind of that."""
    plain = der.only(_info(private))
    key = list(der.children(plain))[1].encoding
    info = sequence(sequence(oid(_PSS), parameters or b""), key)
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    return Signer(
        kind,
        private,
        info,
        sequence(oid(_PSS), _PSS_PARAMETERS),
        lambda data: private.sign(data, scheme, hashes.SHA256()),
    )


def _rsaKey(pick: random.Random, bits: int) -> rsa.RSAPrivateKey:
    p, q = _prime(pick, bits // 2), _prime(pick, bits // 2)
    exponent = 65537
    private = pow(exponent, -1, (p - 1) * (q - 1))
    return rsa.RSAPrivateNumbers(
        p,
        q,
        private,
        private % (p - 1),
        private % (q - 1),
        pow(q, -1, p),
        rsa.RSAPublicNumbers(exponent, p * q),
    ).private_key()


def _prime(pick: random.Random, bits: int) -> int:
    while True:
        number = pick.getrandbits(bits) | 3 << (bits - 2) | 1
        if (
            math.gcd(number, _SMALL) == 1
            and number % 65537 != 1
            and pow(2, number - 1, number) == 1
        ):
            return number


_SMALL = math.prod(n for n in range(3, 2000) if all(n % d for d in range(2, int(n**0.5) + 1)))
