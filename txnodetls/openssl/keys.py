"""
What the key exchange agreed on, as far as it takes functions that lib lacks.

Sources: SSL_get_peer_tmp_key(3), SSL_get_shared_sigalgs(3).
"""

from __future__ import annotations

from typing import Any, Final

from OpenSSL._util import ffi as theirs
from OpenSSL._util import lib

from txnodetls.openssl import queries
from txnodetls.openssl.calls import Driver
from txnodetls.openssl.late import symbols

__all__ = ["ephemeralKeyInfo", "sharedSigalgs"]

# Numbers of OpenSSL's objects (include/openssl/obj_mac.h).
_DH: Final = (28, 920)
_EC: Final = 408
_MONTGOMERY: Final = (1034, 1035)
_SIGNATURES: Final = {
    6: "RSA",
    912: "RSA-PSS",
    116: "DSA",
    408: "ECDSA",
    1087: "Ed25519",
    1088: "Ed448",
    811: "gost2001",
    979: "gost2012_256",
    980: "gost2012_512",
}


def ephemeralKeyInfo(driver: Driver) -> dict[str, Any]:
    """
    Node's C{{type, name, size}} of the peer's ephemeral key; {} if there is none.

    Hybrid groups have no key of this kind; their name stands in place of one.

    @raise NodeTypeError: C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM}.
    """
    functions = symbols.require(
        "getEphemeralKeyInfo",
        "SSL_ctrl",
        "EVP_PKEY_get_id",
        "EVP_PKEY_get_bits",
        "EVP_PKEY_get_group_name",
        "EVP_PKEY_free",
    )
    own = symbols.ffi
    holder = own.new("EVP_PKEY **")
    done = functions.SSL_ctrl(
        symbols.toOwn(driver.ssl, "SSL *"), symbols.SSL_CTRL_GET_PEER_TMP_KEY, 0, holder
    )
    lib.ERR_clear_error()
    if done != 1 or holder[0] == own.NULL:
        return _groupOnly(driver)
    key = holder[0]
    try:
        kind = functions.EVP_PKEY_get_id(key)
        size = functions.EVP_PKEY_get_bits(key)
        if kind in _DH:
            return {"type": "DH", "size": size}
        if kind == _EC or kind in _MONTGOMERY:
            return {"type": "ECDH", "name": _keyName(functions, key, kind), "size": size}
        return _groupOnly(driver)
    finally:
        functions.EVP_PKEY_free(key)


def _groupOnly(driver: Driver) -> dict[str, Any]:
    name = queries.groupName(driver)
    if name is None or queries.protocol(driver) != "TLSv1.3":
        return {}
    return {"type": "TLSGroup", "name": name}


def _keyName(functions: symbols.Functions, key: Any, kind: int) -> str:
    if kind in _MONTGOMERY:
        return str(theirs.string(lib.OBJ_nid2sn(kind)).decode("ascii"))
    own = symbols.ffi
    buffer = own.new("char[]", 80)
    length = own.new("size_t *")
    if functions.EVP_PKEY_get_group_name(key, buffer, 80, length) != 1:
        lib.ERR_clear_error()
        return ""
    return str(own.string(buffer).decode("ascii"))


def sharedSigalgs(driver: Driver) -> list[str]:
    """
    The signature algorithms of both sides, as C{ECDSA+SHA256}, by preference.

    @raise NodeTypeError: C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM}.
    """
    functions = symbols.require("getSharedSigalgs", "SSL_get_shared_sigalgs")
    own = symbols.ffi
    ssl = symbols.toOwn(driver.ssl, "SSL *")
    count = functions.SSL_get_shared_sigalgs(
        ssl, 0, own.NULL, own.NULL, own.NULL, own.NULL, own.NULL
    )
    names = []
    signature, digest = own.new("int *"), own.new("int *")
    for index in range(count):
        functions.SSL_get_shared_sigalgs(
            ssl, index, signature, digest, own.NULL, own.NULL, own.NULL
        )
        names.append(f"{_signatureName(signature[0])}+{_digestName(digest[0])}")
    lib.ERR_clear_error()
    return names


def _signatureName(number: int) -> str:
    return _SIGNATURES.get(number) or _shortName(number)


def _digestName(number: int) -> str:
    return "UNDEF" if number == 0 else _shortName(number)


def _shortName(number: int) -> str:
    name = lib.OBJ_nid2sn(number)
    return "" if name == theirs.NULL else str(theirs.string(name).decode("ascii"))
