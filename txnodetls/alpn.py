"""
ALPN protocol lists: from Node's forms to the bytes that TLS carries, and back.

On the wire each protocol is one byte of length and that many bytes.

Sources: RFC 7301, https://nodejs.org/api/tls.html#tlsconnectoptions-callback
"""

from __future__ import annotations

from typing import Any

from txnodetls.errors import Blame, NodeRangeError, invalidArgType, invalidArgValue
from txnodetls.javascript import utf8

__all__ = ["convertALPNProtocols", "decodeALPN", "encodeALPN"]


def encodeALPN(protocols: object, name: str = "options.ALPNProtocols") -> bytes | None:
    """
    The wire form of a list of str or bytes; what is in wire form already is copied.

    @param name: the option's path, for errors.
    @return: None for anything that is neither, as Node passes over it.
    @raise NodeError: C{ERR_OUT_OF_RANGE}: a protocol of more than 255 bytes;
        C{ERR_INVALID_ARG_TYPE}: a member that is neither str nor bytes;
        C{ERR_INVALID_ARG_VALUE}: an empty protocol, or lengths that do not add
        up (Node aborts the process).
    """
    if isinstance(protocols, (bytes, bytearray, memoryview)):
        data = bytes(protocols)
        try:
            decodeALPN(data)
        except ValueError as error:
            raise invalidArgValue(name, data, f"is {error}") from error
        return data
    if not isinstance(protocols, (list, tuple)):
        return None
    return b"".join(_encode(index, item, name) for index, item in enumerate(protocols))


def _encode(index: int, protocol: object, name: str) -> bytes:
    if isinstance(protocol, str):
        data = utf8(protocol)
    elif isinstance(protocol, (bytes, bytearray, memoryview)):
        data = bytes(protocol)
    else:
        raise invalidArgType(
            f"{name}[{index}]", "of type string or an instance of Buffer or Uint8Array", protocol
        )
    if not data:
        raise invalidArgValue(f"{name}[{index}]", protocol, "must not be empty")
    if len(data) > 255:
        raise NodeRangeError(
            f"The byte length of the protocol at index {index} exceeds the maximum length. "
            f"It must be <= 255. Received {len(data)}",
            "ERR_OUT_OF_RANGE",
            blame=Blame.CONFIGURATION,
        )
    return bytes([len(data)]) + data


def decodeALPN(data: bytes) -> list[bytes]:
    """
    The protocols of a list in wire form.

    @raise ValueError: the lengths do not add up, or a protocol is empty.
    """
    found = []
    offset = 0
    while offset < len(data):
        end = offset + 1 + data[offset]
        if end > len(data) or end == offset + 1:
            raise ValueError("not a list of ALPN protocols")
        found.append(data[offset + 1 : end])
        offset = end
    return found


def convertALPNProtocols(protocols: object, out: Any) -> None:
    """
    Set C{ALPNProtocols} of C{out}, a mapping or an object, to the wire form.

    What is neither a list nor bytes leaves C{out} as it is.
    """
    encoded = encodeALPN(protocols)
    if encoded is None:
        return
    if hasattr(out, "__setitem__"):
        out["ALPNProtocols"] = encoded
    else:
        out.ALPNProtocols = encoded
