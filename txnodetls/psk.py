"""
Pre-shared keys: what C{pskCallback} is given, and what its answers have to be.

The callback answers at once; OpenSSL asks in the middle of the handshake.

Limits, as in Node: identities of 128 bytes, keys of 256.

Source: https://nodejs.org/api/tls.html#pre-shared-keys, RFC 4279, RFC 8446 section 4.2.11.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from txnodetls.answers import refuseAsynchronous
from txnodetls.errors import invalidArgType, invalidArgValue

__all__ = ["clientPsk", "serverPsk"]

MAX_IDENTITY: Final = 128
MAX_KEY: Final = 256
_BUFFER: Final = "an instance of Buffer, TypedArray, or DataView"


def clientPsk(
    callback: Callable[[str | None], Any], hint: str | None
) -> tuple[bytes, bytes] | None:
    """
    A client's identity and key, or None to go on without.

    @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE} or C{ERR_INVALID_ARG_VALUE}:
        the answer is not C{{'psk', 'identity'}}.
    """
    answer = refuseAsynchronous("pskCallback", callback(hint))
    if answer is None:
        return None
    if not isinstance(answer, Mapping):
        raise invalidArgType("ret", "of type object", answer)
    psk = answer.get("psk")
    identity = answer.get("identity")
    if not isinstance(psk, (bytes, bytearray, memoryview)):
        raise invalidArgType("psk", _BUFFER, psk)
    if not isinstance(identity, str):
        raise invalidArgType("identity", "of type string", identity)
    name = identity.encode()
    if len(psk) > MAX_KEY:
        raise invalidArgValue("psk", len(psk), f"PSK exceeds {MAX_KEY} bytes")
    if len(name) > MAX_IDENTITY:
        raise invalidArgValue("identity", identity, f"PSK identity exceeds {MAX_IDENTITY} bytes")
    return name, bytes(psk)


def serverPsk(callback: Callable[[Any, str], Any], socket: object, identity: bytes) -> bytes | None:
    """
    The key of a client's identity, or None where there is none.

    @param socket: what the callback gets first: the TLSSocket.
    @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE} or C{ERR_INVALID_ARG_VALUE}.
    """
    answer = refuseAsynchronous(
        "pskCallback", callback(socket, identity.decode("utf-8", "replace"))
    )
    if answer is None:
        return None
    psk = answer.get("psk") if isinstance(answer, Mapping) else answer
    if not isinstance(psk, (bytes, bytearray, memoryview)):
        raise invalidArgType("psk", _BUFFER, psk)
    if len(psk) > MAX_KEY:
        raise invalidArgValue("psk", len(psk), f"PSK exceeds {MAX_KEY} bytes")
    return bytes(psk)
