"""
Sessions on a server: ticket keys of one's own, sessions from a store, sessions made.

What OpenSSL does, and what follows:

- A ticket is a session that OpenSSL has sealed.  With a callback for ticket
  keys it asks which key to use, twice per ticket: for the cipher and for the
  MAC.  The form of the ticket is then Node's: 16 bytes of the key's name, an
  IV, AES-128-CBC, HMAC-SHA256.  The callback is the context's, and it is the
  one of the context that a connection began with, whichever serves it later.
  The keys are the connection's; it is found by its C{SSL*}.
- What the callback says to a ticket decides whether a new one is made: 1, the
  ticket is good; 2, it is good and is to be renewed; 0, it is not known, which
  makes a full handshake.  It never says -1, which would end the handshake.
- With keys of its own, OpenSSL gives a client of TLS 1.3 a new ticket each time
  that it resumes with one, and so its session never ends.  Node gives none, and
  then C{sessionTimeout} is the end of it.  Nothing that lib has says so directly;
  but tickets that the callback for the server name switches off are off for
  this connection, and by then OpenSSL knows whether it resumes.
- A stored session can only be handed in through the context's cache, in which
  OpenSSL looks the id of the ClientHello up.  It is put there for as long as
  the call lasts in which OpenSSL reads the ClientHello, and taken out again
  behind it, so that no other connection can meet it.  OpenSSL still checks that
  it has not expired and that its session id context is the connection's.
- A session of TLS 1.2 is complete with the handshake.  One of TLS 1.3 is made
  with each ticket, behind it, and is the connection's current session until
  the next one is made: OpenSSL's reports of its progress are where to pick
  them up one by one.

The first two need functions that lib lacks (see C{symbols.py}).

Sources: SSL_CTX_set_tlsext_ticket_key_evp_cb(3), SSL_CTX_add_session(3),
d2i_SSL_SESSION(3), SSL_set_info_callback(3).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any, Final, Self
from weakref import WeakKeyDictionary

from OpenSSL import SSL
from OpenSSL._util import ffi as theirs
from OpenSSL._util import lib

from txnodetls.constants import TICKET_KEYS_SIZE, TLS1_3_VERSION
from txnodetls.errors import NodeTypeError
from txnodetls.openssl import hooks, queries
from txnodetls.openssl.calls import Driver
from txnodetls.openssl.late import symbols

__all__ = [
    "StoredSession",
    "contextsTicketKeys",
    "enableTicketKeys",
    "hasTicket",
    "renewNoTickets",
    "requireStore",
    "requireTicketKeys",
    "ticketKeysAvailable",
    "ticketKeysEnabled",
    "unwatchProgress",
    "watchProgress",
]

# The parts of Node's 48 bytes.
_NAME: Final = slice(0, 16)
_MAC_KEY: Final = slice(16, 32)
_CIPHER_KEY: Final = slice(32, 48)
_PART: Final = 16

# For every ClientHello.
_SSL_session_reused: Final = lib.SSL_session_reused
_SSL_version: Final = lib.SSL_version

# What the callback for the server name says.
_ACKNOWLEDGED: Final = int(lib.SSL_TLSEXT_ERR_OK)
_NOT_ACKNOWLEDGED: Final = int(lib.SSL_TLSEXT_ERR_NOACK)

# What the callback for tickets says.
_UNKNOWN: Final = 0
_GOOD: Final = 1
_RENEW: Final = 2

_CIPHER: Final = ("EVP_EncryptInit_ex", "EVP_DecryptInit_ex", "EVP_aes_128_cbc")


# -- ticket keys

# The contexts whose connections are asked, and keys for those that have none of their own.
_withTicketKeys: WeakKeyDictionary[SSL.Context, bytes] = WeakKeyDictionary()


def requireTicketKeys() -> None:
    """
    Ask whether ticket keys can be set; this looks the functions up.

    @raise NodeTypeError: C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM}.
    """
    _tickets()


def ticketKeysAvailable() -> bool:
    """Whether ticket keys can be set; this looks the functions up."""
    try:
        requireTicketKeys()
    except NodeTypeError:
        return False
    return True


def enableTicketKeys(native: SSL.Context) -> None:
    """
    Let the connections of a context answer for their ticket keys (C{hookTicketKeys}).

    From then on each of them has to have some: L{contextsTicketKeys} if no others.

    @raise NodeTypeError: C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM}.
    """
    if native not in _withTicketKeys:
        _tickets().install(symbols.toOwn(native._context, "SSL_CTX *"))
        _withTicketKeys[native] = os.urandom(TICKET_KEYS_SIZE)


def ticketKeysEnabled(native: SSL.Context) -> bool:
    """Whether the connections of a context are asked for their ticket keys."""
    return native in _withTicketKeys


def renewNoTickets(native: SSL.Context) -> None:
    """
    Let a context's servers give no new ticket to a client that resumes with one (TLS 1.3).

    Connections with ticket keys of their own decide that with their keys.
    """
    lib.SSL_CTX_set_tlsext_servername_callback(native._context, _servername)


@theirs.callback("int (*)(SSL *, int *, void *)", error=lib.SSL_TLSEXT_ERR_NOACK)
def _servername(ssl: Any, _alert: Any, _arg: Any) -> int:
    # OpenSSL calls this for every ClientHello, with a name in it or without.
    if not _SSL_session_reused(ssl) or _SSL_version(ssl) != TLS1_3_VERSION:
        return _NOT_ACKNOWLEDGED
    if hooks.ask(ssl, False, "hookRenewsTickets"):
        return _NOT_ACKNOWLEDGED
    lib.SSL_set_options(ssl, lib.SSL_OP_NO_TICKET)
    return _ACKNOWLEDGED


def contextsTicketKeys(native: SSL.Context) -> tuple[bytes, ...]:
    """Random keys of such a context, for connections that have none of their own."""
    return (_withTicketKeys[native],)


@functools.cache
def _tickets() -> _TicketKeys:
    """The callback of this process, in the newer form if there is one."""
    try:
        return _WithEvpMac()
    except NodeTypeError as error:
        try:
            return _WithHmac()
        except NodeTypeError:
            raise error from error.__cause__


class _TicketKeys:
    """The callback; what is left to the forms is how the MAC is told its key."""

    form: str
    names: tuple[str, ...]

    def __init__(self) -> None:
        self.own = symbols.ffi
        self.functions = symbols.require("ticketKeys", *self.names, *_CIPHER)
        self.cipher = self.functions.EVP_aes_128_cbc()
        # If all else fails the ticket is not known, or none is made.
        self.callback = self.own.callback(self.form, self._called, error=_UNKNOWN)

    def install(self, context: Any) -> None:
        """Set the callback on an C{SSL_CTX*} (of C{symbols.ffi})."""
        raise NotImplementedError

    def startMac(self, mac: Any, key: Any) -> bool:
        """Give the MAC its key of 16 bytes."""
        raise NotImplementedError

    def _called(self, ssl: Any, name: Any, iv: Any, cipher: Any, mac: Any, sealing: int) -> int:
        keys: Sequence[bytes] = hooks.ask(symbols.toTheirs(ssl, "SSL *"), (), "hookTicketKeys")
        if sealing:
            return self._seal(keys, name, iv, cipher, mac)
        wanted = bytes(self.own.buffer(name, _PART))
        for age, key in enumerate(keys):
            if key[_NAME] == wanted:
                started = self._start(self.functions.EVP_DecryptInit_ex, key, iv, cipher, mac)
                return (_RENEW if age else _GOOD) if started else _UNKNOWN
        return _UNKNOWN

    def _seal(self, keys: Sequence[bytes], name: Any, iv: Any, cipher: Any, mac: Any) -> int:
        if not keys:
            return _UNKNOWN
        key = keys[0]
        self.own.memmove(name, key[_NAME], _PART)
        self.own.memmove(iv, os.urandom(_PART), _PART)
        started = self._start(self.functions.EVP_EncryptInit_ex, key, iv, cipher, mac)
        return _GOOD if started else _UNKNOWN

    def _start(self, function: Any, key: bytes, iv: Any, cipher: Any, mac: Any) -> bool:
        null = self.own.NULL
        started = function(cipher, self.cipher, null, key[_CIPHER_KEY], iv) == 1
        return started and self.startMac(mac, key[_MAC_KEY])


class _WithEvpMac(_TicketKeys):
    """OpenSSL 3 and later."""

    form = "ticket_key_evp_cb"
    names = (
        "SSL_CTX_set_tlsext_ticket_key_evp_cb",
        "EVP_MAC_init",
        "OSSL_PARAM_construct_utf8_string",
        "OSSL_PARAM_construct_end",
    )

    def __init__(self) -> None:
        super().__init__()
        own, functions = self.own, self.functions
        self._texts = own.new("char[]", b"digest"), own.new("char[]", b"SHA256")
        self._parameters = own.new("OSSL_PARAM[2]")
        self._parameters[0] = functions.OSSL_PARAM_construct_utf8_string(*self._texts, 0)
        self._parameters[1] = functions.OSSL_PARAM_construct_end()

    def install(self, context: Any) -> None:
        self.functions.SSL_CTX_set_tlsext_ticket_key_evp_cb(context, self.callback)

    def startMac(self, mac: Any, key: Any) -> bool:
        return bool(self.functions.EVP_MAC_init(mac, key, _PART, self._parameters) == 1)


class _WithHmac(_TicketKeys):
    """The portable form: deprecated, and with fewer functions that can be missing."""

    form = "ticket_key_hmac_cb"
    names = ("SSL_CTX_callback_ctrl", "HMAC_Init_ex", "EVP_sha256")

    def __init__(self) -> None:
        super().__init__()
        self._digest = self.functions.EVP_sha256()

    def install(self, context: Any) -> None:
        self.functions.SSL_CTX_callback_ctrl(
            context,
            symbols.SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB,
            self.own.cast("any_cb", self.callback),
        )

    def startMac(self, mac: Any, key: Any) -> bool:
        null = self.own.NULL
        return bool(self.functions.HMAC_Init_ex(mac, key, _PART, self._digest, null) == 1)


# -- sessions from a store


@functools.cache
def _cache() -> symbols.Functions:
    return symbols.require("resumeSession", "SSL_CTX_add_session", "SSL_CTX_remove_session")


def requireStore() -> None:
    """
    Ask whether stored sessions can be resumed; this looks the functions up.

    @raise NodeTypeError: C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM}.
    """
    _cache()


class StoredSession:
    """
    A session that came from a store.

    OpenSSL takes any well-formed one at its word, master key and peer
    certificate included: what is given here has to be of one's own making.
    """

    __slots__ = ("_pointer",)

    def __init__(self, pointer: Any) -> None:
        self._pointer = pointer

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """A serialised session; None if it is none, or more than one."""
        buffer = theirs.new("unsigned char[]", data)
        position = theirs.new("const unsigned char **", buffer)
        lib.ERR_clear_error()
        pointer = lib.d2i_SSL_SESSION(theirs.NULL, position, len(data))
        if pointer == theirs.NULL:
            lib.ERR_clear_error()
            return None
        whole = position[0] == buffer + len(data)
        session = cls(theirs.gc(pointer, lib.SSL_SESSION_free))
        return session if whole else None

    def offer(self, native: SSL.Context, read: Callable[[], int]) -> int:
        """
        Let OpenSSL find the session while C{read()} lasts.

        @param native: the context that the connection began with.
        @param read: the call in which it reads the ClientHello.
        @return: what C{read} returns.
        @raise NodeTypeError: C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM}.
        """
        functions, toOwn = _cache(), symbols.toOwn
        context = toOwn(native._context, "SSL_CTX *")
        session = toOwn(self._pointer, "SSL_SESSION *")
        functions.SSL_CTX_add_session(context, session)
        try:
            return read()
        finally:
            functions.SSL_CTX_remove_session(context, session)


# -- sessions made


def hasTicket(driver: Driver) -> bool:
    """
    Whether the client of a server's connection keeps the session itself, in a ticket.

    Of TLS 1.2 this is asked about sessions that have an id, and these have no ticket.
    """
    if queries.protocol(driver) != "TLSv1.3":
        return False
    return not lib.SSL_get_options(driver.ssl) & lib.SSL_OP_NO_TICKET


def watchProgress(driver: Driver, connection: hooks.Hooked) -> None:
    """
    Tell a server's connection how its handshake goes on.

    That is where its session is still the one it began with, when the handshake
    is done, and is another one with each ticket behind it (TLS 1.3).
    """
    hooks.register(driver, connection)
    lib.SSL_set_info_callback(driver.ssl, _progress)


def unwatchProgress(driver: Driver) -> None:
    """The handshake is done; what comes behind it is no longer of interest."""
    lib.SSL_set_info_callback(driver.ssl, theirs.NULL)


@theirs.callback("void (*)(const SSL *, int, int)")
def _progress(ssl: Any, where: int, _value: int) -> None:
    # As the callback of one connection it hears of few things besides: the steps of a
    # handshake behind the server's first flight, and alerts.
    if where == lib.SSL_CB_ACCEPT_LOOP or where & lib.SSL_CB_HANDSHAKE_DONE:
        hooks.ask(ssl, None, "hookProgress", bool(where & lib.SSL_CB_HANDSHAKE_DONE))
