"""
Certificates made octet by octet, good ones and those that no builder would make.

All that is in them is fixed, the key and the signature too (which is none), so
that a test can hold what real Node says of them, fingerprints included.
"""

from __future__ import annotations

from collections.abc import Iterable

from txnodetls.pki import der

__all__ = [
    "CURVE_KEY",
    "DEFAULT_NAME",
    "ED25519_KEY",
    "IA5",
    "PRINTABLE",
    "RSA_KEY",
    "SUBJECT_ALT_NAME",
    "UTF8",
    "altName",
    "certificate",
    "extension",
    "ia5",
    "name",
    "oid",
    "rsaKey",
    "sequence",
    "simpleName",
    "text",
]

UTF8, PRINTABLE, IA5, BMP = 0x0C, 0x13, 0x16, 0x1E
COMMON_NAME = "2.5.4.3"
SUBJECT_ALT_NAME = "2.5.29.17"
ECDSA_SHA256 = "1.2.840.10045.4.3.2"


def sequence(*parts: bytes) -> bytes:
    return der.encode(der.SEQUENCE, b"".join(parts))


def oid(numbers: str) -> bytes:
    first, second, *others = map(int, numbers.split("."))
    content = bytearray()
    for number in (first * 40 + second, *others):
        septets = [number & 0x7F]
        while number := number >> 7:
            septets.append(number & 0x7F | 0x80)
        content += bytes(reversed(septets))
    return der.encode(der.OBJECT, bytes(content))


def text(value: str | bytes, tag: int = UTF8) -> bytes:
    return der.encode(tag, value.encode() if isinstance(value, str) else value)


def ia5(tag: int, value: str | bytes) -> bytes:
    """A string under one of the tags of alternative names."""
    return text(value, tag)


def name(*groups: Iterable[tuple[str, bytes]]) -> bytes:
    """A name of sets of (type, encoded value)."""
    return sequence(
        *(
            der.encode(der.SET, b"".join(sequence(oid(kind), value) for kind, value in group))
            for group in groups
        )
    )


def simpleName(commonName: str) -> bytes:
    return name([(COMMON_NAME, text(commonName))])


def extension(kind: str, value: bytes, critical: bool = False) -> bytes:
    flag = der.encode(der.BOOLEAN, b"\xff") if critical else b""
    return sequence(oid(kind), flag, der.encode(der.OCTET_STRING, value))


def altName(*names: bytes) -> bytes:
    return extension(SUBJECT_ALT_NAME, sequence(*names))


def rsaKey(modulus: int, exponent: int) -> bytes:
    def number(value: int) -> bytes:
        octets = value.to_bytes(value.bit_length() // 8 + 1, "big")
        return der.encode(der.INTEGER, octets)

    return sequence(
        sequence(oid("1.2.840.113549.1.1.1"), b"\x05\x00"),
        der.encode(der.BIT_STRING, b"\x00" + sequence(number(modulus), number(exponent))),
    )


# The point is P-256's generator: somebody's key, and nobody's secret.
CURVE_POINT = bytes.fromhex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
CURVE_KEY = sequence(
    sequence(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")),
    der.encode(der.BIT_STRING, b"\x00" + CURVE_POINT),
)
RSA_MODULUS = (1 << 1023) + 1155
RSA_KEY = rsaKey(RSA_MODULUS, 65537)
ED25519_KEY = sequence(
    sequence(oid("1.3.101.112")), der.encode(der.BIT_STRING, b"\x00" + bytes(range(32)))
)
DEFAULT_NAME = name(
    [("2.5.4.6", text("SE", PRINTABLE))], [("2.5.4.10", text("Org"))], [(COMMON_NAME, text("x"))]
)
NOT_BEFORE = text("200101000000Z", der.UTC_TIME)
NOT_AFTER = text("491231235959Z", der.UTC_TIME)


def certificate(
    *extensions: bytes,
    subject: bytes = DEFAULT_NAME,
    issuer: bytes = DEFAULT_NAME,
    serial: bytes = b"\x01",
    notBefore: bytes = NOT_BEFORE,
    notAfter: bytes = NOT_AFTER,
    key: bytes = CURVE_KEY,
    version: int | None = 2,
    algorithm: bytes | None = None,
    outerAlgorithm: bytes | None = None,
    signature: bytes = bytes(65),
) -> bytes:
    algorithm = algorithm or sequence(oid(ECDSA_SHA256))
    body = sequence(
        b"" if version is None else der.encode(0xA0, der.encode(der.INTEGER, bytes((version,)))),
        der.encode(der.INTEGER, serial),
        algorithm,
        issuer,
        sequence(notBefore, notAfter),
        subject,
        key,
        der.encode(0xA3, sequence(*extensions)) if extensions else b"",
    )
    return sequence(body, outerAlgorithm or algorithm, der.encode(der.BIT_STRING, signature))
