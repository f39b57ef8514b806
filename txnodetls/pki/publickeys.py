"""
The public key in a certificate, as Node's certificate object shows it.

An RSA key shows its modulus and exponent, an elliptic curve's its point and
the curve's names, any other key nothing.  The numbers are read here, from the
encoding: what cryptography would rather not load (a short or odd exponent, an
old curve) has to be shown all the same.

Source: RFC 3279, RFC 5480, RFC 4055; Node's documentation, "Certificate object".
"""

from __future__ import annotations

from typing import Any, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from txnodetls.pki import der
from txnodetls.pki.objects import CURVES, dotted

__all__ = ["PSS", "algorithmParts", "isDecodable", "keyKind", "keyObject", "loadKey", "readPSS"]

_RSA = "1.2.840.113549.1.1.1"
_RSA_ENCODED = bytes.fromhex("06092a864886f70d010101")
_NULL = b"\x05\x00"
_KINDS = {
    _RSA: "RSA",
    "1.2.840.113549.1.1.10": "RSA-PSS",
    "1.2.840.10045.2.1": "EC",
    "1.2.840.10040.4.1": "DSA",
    "1.3.101.110": "X25519",
    "1.3.101.111": "X448",
    "1.3.101.112": "ED25519",
    "1.3.101.113": "ED448",
    "2.16.840.1.101.3.4.3.17": "ML-DSA-44",
    "2.16.840.1.101.3.4.3.18": "ML-DSA-65",
    "2.16.840.1.101.3.4.3.19": "ML-DSA-87",
}

#: Kinds whose public keys are points.
_POINTS = frozenset({"EC", "X25519", "X448", "ED25519", "ED448"})

_SHA1 = "1.3.14.3.2.26"
_MGF1 = "1.2.840.113549.1.1.8"
_MGF1_ENCODED = bytes.fromhex("06092a864886f70d010108")
_HASHES = {
    _SHA1: "SHA1",
    "1.2.840.113549.2.5": "MD5",
    "2.16.840.1.101.3.4.2.1": "SHA256",
    "2.16.840.1.101.3.4.2.2": "SHA384",
    "2.16.840.1.101.3.4.2.3": "SHA512",
    "2.16.840.1.101.3.4.2.4": "SHA224",
    "2.16.840.1.101.3.4.2.5": "SHA512_224",
    "2.16.840.1.101.3.4.2.6": "SHA512_256",
    "2.16.840.1.101.3.4.2.7": "SHA3_224",
    "2.16.840.1.101.3.4.2.8": "SHA3_256",
    "2.16.840.1.101.3.4.2.9": "SHA3_384",
    "2.16.840.1.101.3.4.2.10": "SHA3_512",
}
#: What stands in the last octet of the identifier of a hash that OpenSSL writes into a key.
_SHA2 = {"SHA256": 1, "SHA384": 2, "SHA512": 3, "SHA224": 4, "SHA512_224": 5, "SHA512_256": 6}
_SHA2_PREFIX = bytes.fromhex("6086480165030402")
_DEFAULT_SALT = 20


class PSS(NamedTuple):
    """
    The parameters of an RSA-PSS signature, or those that a key allows.

    @ivar hash: the hash of the message: C{SHA256} and so on.
    @ivar maskHash: the hash of the mask.
    @ivar salt: the length of the salt in octets; less than 0 makes no sense.
    @ivar trailer: the number of the trailer; all but 1 make no sense.
    """

    hash: str
    maskHash: str
    salt: int
    trailer: int


def keyKind(key: der.Element) -> str | None:
    """
    OpenSSL's name of the kind of key: RSA, RSA-PSS, EC, DSA, ED25519 ...; None if unknown.

    @param key: the SubjectPublicKeyInfo.
    @raise NodeError: it is broken.
    """
    algorithm, _ = _parts(key)
    return _KINDS.get(algorithmParts(algorithm)[0])


def loadKey(key: der.Element) -> PublicKeyTypes:
    """
    One of cryptography's keys.

    cryptography takes DER and no more; what OpenSSL would read beside that is brought into
    that form.

    @param key: the SubjectPublicKeyInfo.

    @raise NodeError: it is broken.
    @raise ValueError: it is no key, or none that cryptography takes.
    @raise UnsupportedAlgorithm: it is of a kind or on a curve that cryptography does not know.
    """
    try:
        return serialization.load_der_public_key(key.encoding)
    except ValueError:
        algorithm, octets = _parts(key)
        identifier, parameters = algorithmParts(algorithm)
        kind = _KINDS.get(identifier)
        if kind in ("RSA", "RSA-PSS"):
            plain = _rsaObject(octets, _NULL)["pubkey"]
        elif kind in _POINTS:
            parts = next(der.children(algorithm)).encoding
            if kind == "EC" and parameters is not None:
                parts += parameters.encoding
            string = der.encode(der.BIT_STRING, b"\x00" + octets)
            plain = der.encode(der.SEQUENCE, der.encode(der.SEQUENCE, parts) + string)
        else:
            raise
        return serialization.load_der_public_key(plain)


def isDecodable(key: der.Element) -> bool:
    """
    Whether OpenSSL can make a key of it: a point has to be complete, and on its curve.

    RSA's numbers are taken as they are, by OpenSSL, and so is a curve that cryptography does
    not know, or of the peer's own making.

    @param key: the SubjectPublicKeyInfo.
    @raise NodeError: it is broken.
    """
    algorithm, _ = _parts(key)
    identifier, parameters = algorithmParts(algorithm)
    kind = _KINDS.get(identifier)
    if kind not in _POINTS:
        return True
    if kind == "EC" and (parameters is None or parameters.tag != der.OBJECT):
        return _looksLikeCurve(parameters)
    try:
        loadKey(key)
    except ValueError:
        return False
    except UnsupportedAlgorithm:
        return True
    return True


def _looksLikeCurve(parameters: der.Element | None) -> bool:
    """Explicit parameters begin with a version."""
    if parameters is None or parameters.tag != der.SEQUENCE:
        return False
    first = next(der.children(parameters), None)
    return first is not None and first.tag == der.INTEGER


def keyObject(key: der.Element) -> dict[str, Any]:
    """
    What the certificate object has of a key: C{modulus exponent pubkey bits}, or C{pubkey bits
    asn1Curve nistCurve}, or nothing.

    @param key: the SubjectPublicKeyInfo.
    @raise NodeError: it is broken.
    """
    algorithm, octets = _parts(key)
    identifier, parameters = algorithmParts(algorithm)
    kind = _KINDS.get(identifier)
    if kind == "RSA":
        return _rsaObject(octets, _NULL)
    if kind == "RSA-PSS":
        # Node shows the key of plain RSA with the parameters of PSS.
        return _rsaObject(octets, b"" if parameters is None else _encodePSS(readPSS(parameters)))
    if kind == "EC":
        return _curveObject(key, parameters, octets)
    return {}


def algorithmParts(algorithm: der.Element) -> tuple[str, der.Element | None]:
    """
    Identifier, in dotted numbers, and parameters of an AlgorithmIdentifier.

    @raise NodeError: it is broken.
    """
    identifier, parameters, *_ = (*der.children(algorithm), None, None)
    return dotted(der.expect(identifier, der.OBJECT).value), parameters


def readPSS(parameters: der.Element | None) -> PSS:
    """
    The parameters of RSA-PSS, with the defaults of RFC 4055 for what is not there.

    @raise NodeError: they are broken, or name what nobody knows.
    """
    found = PSS("SHA1", "SHA1", _DEFAULT_SALT, 1)
    for part in der.children(der.expect(parameters, der.SEQUENCE)):
        inside = der.only(part.value, der.SEQUENCE if part.tag < 0xA2 else der.INTEGER)
        if part.tag == 0xA0:
            found = found._replace(hash=_hashName(inside))
        elif part.tag == 0xA1:
            mask, hashed = algorithmParts(inside)
            if mask != _MGF1:
                raise der.malformed("unsupported mask algorithm")
            found = found._replace(maskHash=_hashName(der.expect(hashed, der.SEQUENCE)))
        elif part.tag == 0xA2:
            found = found._replace(salt=der.number(inside))
        elif part.tag == 0xA3:
            found = found._replace(trailer=der.number(inside))
        else:
            raise der.malformed("wrong tag")
    return found


def _hashName(algorithm: der.Element) -> str:
    name = _HASHES.get(algorithmParts(algorithm)[0])
    if name is None:
        raise der.malformed("unsupported digest")
    return name


def _encodePSS(parameters: PSS) -> bytes:
    """The parameters as OpenSSL writes them: without defaults, without NULL."""
    parts = b""
    if parameters.hash in _SHA2:
        parts += der.encode(0xA0, _encodeHash(parameters.hash))
    if parameters.maskHash in _SHA2:
        mask = der.encode(der.SEQUENCE, _MGF1_ENCODED + _encodeHash(parameters.maskHash))
        parts += der.encode(0xA1, mask)
    if parameters.salt != _DEFAULT_SALT:
        parts += der.encode(0xA2, _encodeNumber(parameters.salt))
    return der.encode(der.SEQUENCE, parts)


def _encodeHash(name: str) -> bytes:
    identifier = _SHA2_PREFIX + bytes((_SHA2[name],))
    return der.encode(der.SEQUENCE, der.encode(der.OBJECT, identifier))


def _parts(key: der.Element) -> tuple[der.Element, bytes]:
    algorithm, string, *_ = (*der.children(key), None, None)
    octets = der.bits(der.expect(string, der.BIT_STRING, der.BIT_STRING | 0x20))
    return der.expect(algorithm, der.SEQUENCE), octets


def _rsaObject(octets: bytes, parameters: bytes) -> dict[str, Any]:
    parts = (*der.children(der.only(octets, der.SEQUENCE)), None, None)
    # OpenSSL reads these two as numbers without a sign.
    n, e = (int.from_bytes(der.expect(each, der.INTEGER).value, "big") for each in parts[:2])
    numbers = der.encode(der.SEQUENCE, _encodeNumber(n) + _encodeNumber(e))
    return {
        "modulus": f"{n:X}",
        "exponent": f"0x{e:X}",
        "pubkey": der.encode(
            der.SEQUENCE,
            der.encode(der.SEQUENCE, _RSA_ENCODED + parameters)
            + der.encode(der.BIT_STRING, b"\x00" + numbers),
        ),
        "bits": n.bit_length(),
    }


def _encodeNumber(value: int) -> bytes:
    octets = value.to_bytes((value + (value < 0)).bit_length() // 8 + 1, "big", signed=True)
    return der.encode(der.INTEGER, octets)


def _curveObject(key: der.Element, parameters: der.Element | None, point: bytes) -> dict[str, Any]:
    curve = CURVES.get(dotted(der.expect(parameters, der.OBJECT).value))
    if curve is None:
        return {}
    found: dict[str, Any] = {
        "pubkey": point if point[:1] == b"\x04" else _uncompressed(key, point),
        "bits": curve.bits,
        "asn1Curve": curve.name,
    }
    if curve.nist is not None:
        found["nistCurve"] = curve.nist
    return found


def _uncompressed(key: der.Element, point: bytes) -> bytes:
    """Node shows both coordinates, whatever the certificate has."""
    if point[:1] in (b"\x06", b"\x07"):
        return b"\x04" + point[1:]
    try:
        loaded = loadKey(key)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise der.malformed("invalid point") from error
    return loaded.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
