"""
Where contexts come from: Node's call, a server, a connection; and which are shared.

What two callers want alike is made once.  A context without any options is
kept, for as long as the defaults of the module stay what they are.  A client
that connects with the same options again gets the context of the last time,
as long as someone has it or it was among the last few and held no key.

Source: https://nodejs.org/api/tls.html#tlscreatesecurecontextoptions
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final
from weakref import WeakValueDictionary

from txnodetls.constants import SESSION_ID_CONTEXT_MAX, defaults
from txnodetls.context.building import buildContext
from txnodetls.context.secure import SecureContext
from txnodetls.interfaces import ISecureContext
from txnodetls.javascript import isTrue
from txnodetls.openssl import contexts
from txnodetls.options import CONNECT, CONTEXT, SERVER, Options, readOptions
from txnodetls.pki import trust

__all__ = [
    "clientsBinding",
    "contextFrom",
    "createSecureContext",
    "defaultSessionIdContext",
    "getCertificateCompressionAlgorithms",
    "getCiphers",
    "makeContext",
]


def createSecureContext(options: object = None, **keywords: Any) -> SecureContext:
    """
    A secure context out of Node's options.

    Everything is checked at once; a context that was made works.  Without any
    options the same context is given each time.

    @param options: a mapping with Node's names; keyword arguments win over it.
    @raise NodeError: as Node throws it.
    """
    read = readOptions(CONTEXT, options, keywords)
    if _CARRIED.issuperset(read):
        return _sharedContext(read)
    return buildContext(read, None, isServer=_mayServe(read))


def makeContext(
    options: Options,
    sessionIdContext: Callable[[SecureContext], bytes] | None = None,
    isServer: bool | None = None,
) -> SecureContext:
    """
    A secure context out of options that were read.

    @param sessionIdContext: for a server: gives the session id context where
        the options have none; asked when trust and certificates are known.  A
        server's order of ciphers counts unless C{honorCipherOrder} is False.
    @param isServer: which side it is for, where that is known; else one with a
        certificate of its own counts as a server's.  A client's is shared with
        other clients that have the same options.
    """
    if sessionIdContext is not None:
        if options.honorCipherOrder is None:
            options = options | {"honorCipherOrder": True}
        return buildContext(options, sessionIdContext, isServer=True)
    if _mayServe(options) if isServer is None else isServer:
        return buildContext(options, None, isServer=True)
    return _sharedContext(options)


def contextFrom(options: object = None, isServer: bool = False) -> ISecureContext:
    """
    The context of the options of a server or of a connection: the one they name, or a new one.

    @raise NodeError: as Node throws it.
    """
    table = SERVER if isServer else CONNECT
    read = readOptions(table, options)
    if read.secureContext is not None:
        named: ISecureContext = read.secureContext
        return named
    if not isServer:
        return makeContext(read.only(CONTEXT), isServer=False)
    requestCert, rejectUnauthorized = bool(read.requestCert), read.rejectUnauthorized is not False
    return makeContext(
        read.only(CONTEXT),
        lambda made: defaultSessionIdContext(made, requestCert, rejectUnauthorized),
    )


def defaultSessionIdContext(
    context: SecureContext, requestCert: bool, rejectUnauthorized: bool, name: str | None = None
) -> bytes:
    """
    What a server binds its sessions to where its options do not say: 32 bytes.

    As in Node the program's arguments (or a name), and with them all that
    decides what a session proves about the client it was made with.
    """
    program = "\0".join(sys.argv) if name is None else name
    digest = hashlib.sha1(program.encode("utf-8", "surrogateescape"), usedforsecurity=False)
    digest.update(bytes((requestCert, rejectUnauthorized)))
    digest.update(context.trustDigest)
    return digest.hexdigest()[:SESSION_ID_CONTEXT_MAX].encode("ascii")


def clientsBinding(context: ISecureContext, usesPsk: bool) -> bytes:
    """
    What a client binds its sessions to: the session id context of the options, else its trust.

    OpenSSL keeps no chain in a session, so whether a certificate that was verified then would be
    verified now cannot be found out when it is resumed.

    @param usesPsk: whether the client has a pskCallback.  Then it is nothing: to OpenSSL a
        pre-shared key is a session without such a context, and would be refused under another.
    """
    if context.sessionIdContext or usesPsk:
        return bytes(context.sessionIdContext)
    return hashlib.sha256(context.trustDigest).digest()


def getCiphers() -> list[str]:
    """The names of all ciphers that this OpenSSL has, in lower case."""
    return [name.lower() for name in contexts.cipherNames()]


def getCertificateCompressionAlgorithms() -> list[str]:
    """
    The ways to compress certificates (RFC 8879) that C{certificateCompression} can ask for: none.

    cryptography's OpenSSL is built without any, and contexts here refuse those that another build
    would bring along.
    """
    return []


# Options that a context keeps for others and that do not go into OpenSSL's.
_CARRIED: Final = frozenset({"ALPNProtocols", "ALPNCallback", "requestCert", "rejectUnauthorized"})
# Options whose contexts are kept only as long as someone uses them.
_SECRETS: Final = frozenset({"key", "pfx", "passphrase", "ticketKeys"})

# How many contexts are kept without being used.
_KEPT: Final = 8


def _mayServe(options: Options) -> bool:
    return isTrue(options.cert) or isTrue(options.pfx)


class _Shared:
    """The contexts that are shared, by what they were made from."""

    # The names are made with a key of this process: they tell nobody anything
    # about the passphrase that is in them.
    key: Final = os.urandom(32)
    inUse: WeakValueDictionary[bytes, SecureContext] = WeakValueDictionary()
    recent: OrderedDict[bytes, SecureContext] = OrderedDict()


def _sharedContext(options: Options) -> SecureContext:
    """A context for a client, made from these options now or earlier."""
    wanted = Options(
        CONTEXT, {n: v for n, v in options.items() if n not in _CARRIED and v is not None}
    )
    name = _nameOf(wanted)
    found = None if name is None else _Shared.inUse.get(name)
    if found is None:
        found = buildContext(wanted, None, isServer=False)
    if name is not None:
        _Shared.inUse[name] = found
        if _SECRETS.isdisjoint(wanted):
            _keep(name, found)
    return found if len(wanted) == len(options) else found.carrying(options)


def _keep(name: bytes, context: SecureContext) -> None:
    _Shared.recent[name] = context
    _Shared.recent.move_to_end(name)
    while len(_Shared.recent) > _KEPT:
        _Shared.recent.popitem(last=False)


def _nameOf(options: Options) -> bytes | None:
    """What stands for the options and the defaults they meet; None if they cannot be compared."""
    digest = hashlib.blake2b(key=_Shared.key)
    now = (
        trust.defaultTrust().digest,
        defaults.DEFAULT_CIPHERS,
        defaults.DEFAULT_ECDH_CURVE,
        defaults.DEFAULT_MIN_VERSION,
        defaults.DEFAULT_MAX_VERSION,
    )
    try:
        _feed(digest.update, (now, dict(options)))
    except TypeError:
        return None
    return digest.digest()


def _feed(update: Callable[[bytes], None], value: object) -> None:
    """Feed a value to a digest, unambiguously."""
    if isinstance(value, bytes):
        update(b"b%d:" % len(value) + value)
    elif isinstance(value, tuple):
        update(b"t%d:" % len(value))
        for item in value:
            _feed(update, item)
    elif isinstance(value, Mapping):
        update(b"m%d:" % len(value))
        for key in sorted(value):
            _feed(update, (key, value[key]))
    elif value is None or isinstance(value, (str, int, float)):
        # (Python writes no decimal numbers of more than some thousand digits.)
        shown = (hex(value) if type(value) is int else repr(value)).encode()
        update(b"v%d:" % len(shown) + shown)
    else:
        raise TypeError(f"{type(value).__name__} has no order")
