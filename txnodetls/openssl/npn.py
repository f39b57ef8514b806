"""
Next Protocol Negotiation, what TLS 1.2 had before ALPN.

The server lists its protocols, and the client answers with one, encrypted,
right before its Finished message.  TLS 1.3 has no such thing, and where a
server agrees on a protocol by ALPN it does not list any.

OpenSSL still has it, but cryptography does not expose it, so it needs
L{txnodetls.openssl.symbols}.  What OpenSSL does, and what this file does about
it:

- The callbacks belong to the context.  A server's may stay there: it is asked
  about each connection, and says no for those that did not ask for NPN.
- That a client's is there is what makes it send the extension.  As a context
  serves many clients, it is there only while one is in a handshake that wants
  it, which is while one call lasts.

Sources: draft-agl-tls-nextprotoneg-04, SSL_CTX_set_next_proto_select_cb(3).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any, Final
from weakref import WeakSet

from OpenSSL import SSL
from OpenSSL._util import lib

from txnodetls.openssl.calls import Driver
from txnodetls.openssl.hooks import ask
from txnodetls.openssl.late import symbols

__all__ = ["advertise", "negotiated", "requireNPN", "selecting"]

_advertising: Final[WeakSet[SSL.Context]] = WeakSet()


@functools.cache
def requireNPN() -> symbols.Functions:
    """
    The functions it needs.

    @raise NodeTypeError: C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM}.
    """
    return symbols.require(
        "NPNProtocols",
        "SSL_CTX_set_next_protos_advertised_cb",
        "SSL_CTX_set_next_proto_select_cb",
        "SSL_get0_next_proto_negotiated",
    )


def advertise(native: SSL.Context) -> None:
    """Let a server's context ask its connections for what they list."""
    if native not in _advertising:
        own = symbols.ffi
        requireNPN().SSL_CTX_set_next_protos_advertised_cb(
            symbols.toOwn(native._context, "SSL_CTX *"), _advertisedCallback(), own.NULL
        )
        _advertising.add(native)


@contextlib.contextmanager
def selecting(native: SSL.Context) -> Iterator[None]:
    """Within, a client of this context says that it knows NPN, and is asked to choose."""
    own = symbols.ffi
    set_ = requireNPN().SSL_CTX_set_next_proto_select_cb
    pointer = symbols.toOwn(native._context, "SSL_CTX *")
    set_(pointer, _selectCallback(), own.NULL)
    try:
        yield
    finally:
        set_(pointer, own.cast("npn_select_cb", 0), own.NULL)


def negotiated(driver: Driver) -> bytes | None:
    """The protocol that the client has named, or None."""
    own = symbols.ffi
    data, length = own.new("const unsigned char **"), own.new("unsigned int *")
    pointer = symbols.toOwn(driver.ssl, "SSL *")
    requireNPN().SSL_get0_next_proto_negotiated(pointer, data, length)
    return bytes(own.buffer(data[0], length[0])) if length[0] else None


# What a callback has answered last: OpenSSL copies it as soon as it has it.
_answer: list[Any] = [None]


def _keep(data: bytes) -> Any:
    _answer[0] = symbols.ffi.new("unsigned char[]", data or b"\0")
    return _answer[0]


@functools.cache
def _advertisedCallback() -> Any:
    @symbols.ffi.callback("npn_advertised_cb", error=lib.SSL_TLSEXT_ERR_NOACK)
    def advertised(ssl: Any, out: Any, length: Any, _arg: Any) -> int:
        protocols = ask(symbols.toTheirs(ssl, "SSL *"), b"", "hookNPN", None)
        if not protocols:
            return int(lib.SSL_TLSEXT_ERR_NOACK)
        out[0], length[0] = _keep(protocols), len(protocols)
        return int(lib.SSL_TLSEXT_ERR_OK)

    return advertised


@functools.cache
def _selectCallback() -> Any:
    @symbols.ffi.callback("npn_select_cb", error=lib.SSL_TLSEXT_ERR_ALERT_FATAL)
    def select(ssl: Any, out: Any, length: Any, offered: Any, size: int, _arg: Any) -> int:
        listed = bytes(symbols.ffi.buffer(offered, size))
        chosen = ask(symbols.toTheirs(ssl, "SSL *"), None, "hookNPN", listed)
        if chosen is None:
            return int(lib.SSL_TLSEXT_ERR_ALERT_FATAL)
        out[0], length[0] = _keep(chosen), len(chosen)
        return int(lib.SSL_TLSEXT_ERR_OK)

    return select
