"""
Sealing: what a session store gets to see.

A stored session holds its master key, and names the client that it belongs
to.  Whoever can read a store could read connections; and as OpenSSL believes
any session that is well-formed, whoever can write to it could log in as
anyone.  So a store gets sealed entries only.

    entry = version (1) | salt (32) | ciphertext and tag of AES-256-GCM

Each entry has a key of its own, made of the sealing key and the salt with
HKDF-SHA256; so the nonce can be constant, and no number of entries wears the
sealing key out.  Bound to it as associated data, and not in it, are the id
and whatever else the session must not be taken away from: its session id
context, and the trust under which its client was verified.  An entry that was
changed, swapped, cut, or that is offered where it does not belong, is as good
as none.

Sources: RFC 5869, RFC 5116, NIST SP 800-38D.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from txnodetls.errors import invalidArgType, invalidArgValue

__all__ = ["MIN_KEY", "SessionSealer"]

MIN_KEY: Final = 32

_VERSION: Final = b"\x01"
_SALT: Final = 32
_TAG: Final = 16
_NONCE: Final = bytes(12)
_PURPOSE: Final = b"txnodetls stored session"


class SessionSealer:
    """
    Seals sessions for a store, and opens what comes back.

    @param keys: the first one seals, all of them open; at least 32 bytes each,
        known to every process that shares the store and to nobody else.
    @param purpose: what is sealed for one purpose does not open for another.
    @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE}, C{ERR_INVALID_ARG_VALUE}.
    """

    __slots__ = ("_keys", "_purpose")

    def __init__(self, keys: Sequence[bytes], purpose: bytes = _PURPOSE) -> None:
        if isinstance(keys, (str, bytes, bytearray, memoryview)) or not keys:
            raise invalidArgType("keys", "a sequence of at least one key", keys)
        for index, key in enumerate(keys):
            if not isinstance(key, (bytes, bytearray, memoryview)):
                raise invalidArgType(f"keys[{index}]", "bytes", key)
            if len(key) < MIN_KEY:
                raise invalidArgValue(
                    f"keys[{index}]", len(key), f"must be at least {MIN_KEY} bytes"
                )
        self._keys = tuple(bytes(key) for key in keys)
        self._purpose = purpose

    def seal(self, sessionId: bytes, binding: bytes, data: bytes) -> bytes:
        """
        An entry for a store.

        @param binding: what else the session must not be taken away from.
        """
        salt = os.urandom(_SALT)
        cipher = AESGCM(self._derive(self._keys[0], salt))
        return _VERSION + salt + cipher.encrypt(_NONCE, data, _associated(sessionId, binding))

    def open(self, sessionId: bytes, binding: bytes, entry: bytes) -> bytes | None:
        """The data of an entry; None if it was not sealed just like this."""
        if entry[:1] != _VERSION or len(entry) < 1 + _SALT + _TAG:
            return None
        salt, sealed = entry[1 : 1 + _SALT], entry[1 + _SALT :]
        associated = _associated(sessionId, binding)
        for key in self._keys:
            try:
                return AESGCM(self._derive(key, salt)).decrypt(_NONCE, sealed, associated)
            except InvalidTag:
                continue
        return None

    def _derive(self, key: bytes, salt: bytes) -> bytes:
        return HKDF(SHA256(), 32, salt, self._purpose).derive(key)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} with {len(self._keys)} keys>"


def _associated(sessionId: bytes, binding: bytes) -> bytes:
    return _VERSION + len(sessionId).to_bytes(4, "big") + sessionId + binding
