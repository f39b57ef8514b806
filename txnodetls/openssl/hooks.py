"""
The trampolines: one C function per OpenSSL callback, for the whole process.

A closure per connection would be a cycle that only the garbage collector
frees, and a callback that raises loses its exception inside OpenSSL.  So
there is one function for each callback; it finds the connection by the
address of its C{SSL*}, asks it, and turns whatever it raises into OpenSSL's
"no" and a note on that connection (C{hookFailed}), never on another one.

A context gets a trampoline when the first connection asks for what it is
needed for; a plain server pays for none.

Sources: the OpenSSL manual pages of the functions named C{SSL_CTX_set_*}.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol
from weakref import WeakKeyDictionary, ref

from OpenSSL import SSL
from OpenSSL._util import ffi, lib

from txnodetls.openssl.calls import Driver, sslKey
from txnodetls.openssl.late import symbols

__all__ = [
    "Hooked",
    "ask",
    "enable",
    "register",
    "suspendForCertificate",
    "trace",
    "tracedDriver",
    "unregister",
    "watchAnswer",
    "watchHandshakes",
]


class Hooked(Protocol):
    """What a connection answers to the trampolines."""

    def hookALPN(self, offered: bytes) -> bytes | bool | None:
        """
        Choose a protocol.

        @param offered: what the client offers, length-prefixed.
        @return: the chosen one; None to go on without one; False to refuse.
        """

    def hookNPN(self, listed: bytes | None) -> bytes | None:
        """
        A server (listed is None): what to list, length-prefixed; empty for nothing.

        A client: one protocol, for what the server lists.
        """

    def hookKeylog(self, line: bytes) -> None:
        """Take a line of the key log, without its end of line."""

    def hookStatus(self) -> bytes | bool | None:
        """
        A server: the OCSP staple to send, or None.

        A client: the server's flight is complete, with a staple or without; True.
        """

    def hookCertificate(self) -> bool:
        """A server that is watched for it is about to send a certificate; may it go on?"""

    def hookPskClient(self, hint: str | None) -> tuple[bytes, bytes] | None:
        """Identity and key, or None."""

    def hookPskServer(self, identity: bytes) -> bytes | None:
        """The key of an identity, or None."""

    def hookHandshake(self, done: bool) -> None:
        """A handshake that is watched has begun, or (done) ended."""

    def hookAnswer(self, whole: bool) -> None:
        """What comes behind a handshake of TLS 1.3 was read, in part or (whole) to its end."""

    def hookTicketKeys(self) -> Sequence[bytes]:
        """A server's ticket keys, 48 bytes each: the first seals, all of them open."""

    def hookRenewsTickets(self) -> bool:
        """Whether a server gives its client tickets although a session or a key was resumed."""

    def hookProgress(self, done: bool) -> None:
        """A server's handshake that is watched for sessions went on, or (done) is done."""

    def hookMessage(self, sent: bool, version: int, contentType: int, data: bytes) -> None:
        """A message of the protocol that is traced (see SSL_CTX_set_msg_callback)."""

    def hookFailed(self, error: BaseException) -> None:
        """Answering one of the above raised."""


# Weakly, but not as a WeakValueDictionary: that is several functions per connection.
_connections: dict[int, ref[Any]] = {}
_enabled: WeakKeyDictionary[SSL.Context, set[str]] = WeakKeyDictionary()


def register(driver: Driver, connection: Hooked) -> None:
    """Let the trampolines find a connection."""
    if driver.key is None:
        driver.key = sslKey(driver.ssl)
    _connections[driver.key] = ref(connection, partial(_gone, driver.key))


def _gone(key: int, reference: ref[Any]) -> None:
    # By now the number may be another connection's.
    if _connections.get(key) is reference:
        del _connections[key]


def unregister(driver: Driver) -> None:
    """Let the trampolines forget a connection."""
    if driver.key is not None:
        _connections.pop(driver.key, None)


def enable(native: SSL.Context, name: str) -> None:
    """
    Install a trampoline on a context, once.

    @param name: one of C{alpn keylog status pskClient pskServer}.
    """
    names = _enabled.setdefault(native, set())
    if name not in names:
        names.add(name)
        _INSTALLERS[name](native._context)


def watchHandshakes(driver: Driver, connection: Hooked) -> None:
    """
    Tell a connection of every handshake from now on.

    Only TLS 1.2 and older have more than one; a connection is watched when its
    first one is done, so that this one costs nothing.
    """
    register(driver, connection)
    driver.watchHandshakes(_handshakes)


def watchAnswer(driver: Driver, connection: Hooked) -> None:
    """
    Tell a server's connection of each step of a client's answer behind a TLS 1.3 handshake.

    OpenSSL calls its KeyUpdates handshakes, too, and says of none of them that it began.
    """
    register(driver, connection)
    driver.watchHandshakes(_answer)


def suspendForCertificate(driver: Driver, connection: Hooked) -> None:
    """
    Ask a server's connection before it sends a certificate, which it does not where it resumes.

    While C{hookCertificate} says no the handshake stands still; each call asks again.
    """
    register(driver, connection)
    lib.SSL_set_cert_cb(driver.ssl, _certificate, ffi.NULL)


def ask(ssl: Any, otherwise: Any, method: str, *arguments: Any) -> Any:
    """
    Ask the connection of an C{SSL*}; never raises.

    @param otherwise: the answer if there is no such connection, or if it raises.
    """
    reference = _connections.get(sslKey(ssl))
    connection = None if reference is None else reference()
    if connection is None:
        return otherwise
    try:
        return getattr(connection, method)(*arguments)
    except BaseException as error:
        connection.hookFailed(error)
        return otherwise


@ffi.callback(
    "int (*)(SSL *, unsigned char **, unsigned char *, "
    "const unsigned char *, unsigned int, void *)",
    error=lib.SSL_TLSEXT_ERR_ALERT_FATAL,
)
def _alpn(ssl: Any, out: Any, outLength: Any, offered: Any, length: int, _arg: Any) -> int:
    names = bytes(ffi.buffer(offered, length))
    # A connection that is not registered has a context in common with one that is.
    chosen = ask(ssl, False, "hookALPN", names) if sslKey(ssl) in _connections else None
    if chosen is None:
        return int(lib.SSL_TLSEXT_ERR_NOACK)
    if chosen is False:
        return int(lib.SSL_TLSEXT_ERR_ALERT_FATAL)
    # The answer points into the client's own list, which outlives this call.
    position = 0
    while position < length:
        size = names[position]
        if names[position + 1 : position + 1 + size] == chosen:
            out[0] = ffi.cast("unsigned char *", offered) + position + 1
            outLength[0] = size
            return int(lib.SSL_TLSEXT_ERR_OK)
        position += 1 + size
    return int(lib.SSL_TLSEXT_ERR_ALERT_FATAL)


@ffi.callback("void (*)(const SSL *, const char *)")
def _keylog(ssl: Any, line: Any) -> None:
    ask(ssl, None, "hookKeylog", bytes(ffi.string(line)))


@ffi.callback("int (*)(SSL *, void *)", error=lib.SSL_TLSEXT_ERR_NOACK)
def _status(ssl: Any, _arg: Any) -> int:
    # One context may serve both roles, so one function does. To a client every
    # positive number means "go on", which "no acknowledgement" is too.
    der = ask(ssl, None, "hookStatus")
    if not isinstance(der, bytes):
        return int(lib.SSL_TLSEXT_ERR_NOACK)
    # OpenSSL frees the buffer with its own allocator.
    buffer = ffi.cast("unsigned char *", lib.OPENSSL_malloc(len(der)))
    ffi.memmove(buffer, der, len(der))
    if lib.SSL_set_tlsext_status_ocsp_resp(ssl, buffer, len(der)) != 1:
        lib.OPENSSL_free(buffer)
        return int(lib.SSL_TLSEXT_ERR_NOACK)
    return int(lib.SSL_TLSEXT_ERR_OK)


@ffi.callback("int (*)(SSL *, void *)", error=0)
def _certificate(ssl: Any, _arg: Any) -> int:
    return 1 if ask(ssl, True, "hookCertificate") else -1


@ffi.callback(
    "unsigned int (*)(SSL *, const char *, char *, unsigned int, unsigned char *, unsigned int)"
)
def _pskClient(
    ssl: Any, hint: Any, identity: Any, identitySize: int, psk: Any, pskSize: int
) -> int:
    text = None if hint == ffi.NULL else ffi.string(hint).decode("utf-8", "replace")
    answer = ask(ssl, None, "hookPskClient", text)
    if answer is None:
        return 0
    name, key = answer
    # One byte is for the NUL behind the identity.
    if len(name) > identitySize - 1 or len(key) > pskSize:
        return 0
    ffi.memmove(identity, name + b"\0", len(name) + 1)
    ffi.memmove(psk, key, len(key))
    return len(key)


@ffi.callback("unsigned int (*)(SSL *, const char *, unsigned char *, unsigned int)")
def _pskServer(ssl: Any, identity: Any, psk: Any, pskSize: int) -> int:
    name = b"" if identity == ffi.NULL else bytes(ffi.string(identity))
    key = ask(ssl, None, "hookPskServer", name)
    if not key or len(key) > pskSize:
        return 0
    ffi.memmove(psk, key, len(key))
    return len(key)


def tracedDriver(native: SSL.Context, isServer: bool) -> Driver:
    """
    A driver whose messages are told to its connection.

    A new C{SSL} takes the callback over from its context; the context then
    forgets it, so that no other connection pays for it.
    """
    lib.SSL_CTX_set_msg_callback(native._context, _message)
    try:
        return Driver(native, isServer)
    finally:
        lib.SSL_CTX_set_msg_callback(native._context, ffi.NULL)


def trace(driver: Driver, connection: Hooked) -> None:
    """
    Tell a connection that exists already of its messages from now on.

    @raise NodeTypeError: C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM}.
    """
    functions = symbols.require("enableTrace", "SSL_set_msg_callback")
    register(driver, connection)
    callback = symbols.ffi.cast("any_cb", int(ffi.cast("uintptr_t", _message)))
    functions.SSL_set_msg_callback(symbols.toOwn(driver.ssl, "SSL *"), callback)


@ffi.callback("void (*)(int, int, int, const void *, size_t, SSL *, void *)")
def _message(
    sent: int, version: int, contentType: int, data: Any, length: int, ssl: Any, _arg: Any
) -> None:
    ask(ssl, None, "hookMessage", bool(sent), version, contentType, bytes(ffi.buffer(data, length)))


_START_OR_DONE = lib.SSL_CB_HANDSHAKE_START | lib.SSL_CB_HANDSHAKE_DONE


@ffi.callback("void (*)(const SSL *, int, int)")
def _handshakes(ssl: Any, where: int, _value: int) -> None:
    if where & _START_OR_DONE:
        ask(ssl, None, "hookHandshake", bool(where & lib.SSL_CB_HANDSHAKE_DONE))


@ffi.callback("void (*)(const SSL *, int, int)")
def _answer(ssl: Any, where: int, result: int) -> None:
    if where == lib.SSL_CB_ACCEPT_EXIT:
        ask(ssl, None, "hookAnswer", result == 1)
    elif where == lib.SSL_CB_ACCEPT_LOOP:
        ask(ssl, None, "hookProgress", False)


_INSTALLERS: dict[str, Callable[[Any], Any]] = {
    "alpn": lambda ctx: lib.SSL_CTX_set_alpn_select_cb(ctx, _alpn, ffi.NULL),
    "keylog": lambda ctx: lib.SSL_CTX_set_keylog_callback(ctx, _keylog),
    "status": lambda ctx: lib.SSL_CTX_set_tlsext_status_cb(ctx, _status),
    "pskClient": lambda ctx: lib.SSL_CTX_set_psk_client_callback(ctx, _pskClient),
    "pskServer": lambda ctx: lib.SSL_CTX_set_psk_server_callback(ctx, _pskServer),
}
