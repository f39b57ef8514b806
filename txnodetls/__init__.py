"""
Node's C{tls} module for Twisted.

    import txnodetls as tls

    server = tls.createServer({'key': key, 'cert': cert}, lambda socket: socket.pipe(socket))
    server.listen(8443)

Names, events and errors are Node's (https://nodejs.org/api/tls.html).  The
constants C{DEFAULT_CIPHERS}, C{DEFAULT_ECDH_CURVE}, C{DEFAULT_MIN_VERSION},
C{DEFAULT_MAX_VERSION}, C{CLIENT_RENEG_LIMIT} and C{CLIENT_RENEG_WINDOW} can be
assigned, and are read when a context or a server is made.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

from txnodetls import constants, net
from txnodetls.alpn import convertALPNProtocols
from txnodetls.client import connect
from txnodetls.context import (
    SecureContext,
    createSecureContext,
    getCertificateCompressionAlgorithms,
    getCiphers,
)
from txnodetls.errors import NodeError
from txnodetls.interfaces import IOCSPResponder, ISessionStore
from txnodetls.net import Duplex
from txnodetls.pki.trust import getCACertificates, setDefaultCACertificates
from txnodetls.server import Server, createServer
from txnodetls.sessions.clientcache import ClientSessionCache
from txnodetls.sessions.memory import MemorySessionStore
from txnodetls.socket import TLSSocket

if TYPE_CHECKING:
    from twisted.internet.interfaces import ITransport

    from txnodetls.legacy import CryptoStream, SecurePair, createSecurePair
    from txnodetls.ocsp import FetchingOCSPResponder, FileOCSPResponder
    from txnodetls.pki.identity import checkServerIdentity
    from txnodetls.pki.x509certificate import X509Certificate
    from txnodetls.sessions.memcached import MemcachedSessionStore
    from txnodetls.sessions.redis import RedisSessionStore
    from txnodetls.sessions.ring import RedisTicketKeys, TicketKeyFile, TicketKeyRing

    CLIENT_RENEG_LIMIT: int
    CLIENT_RENEG_WINDOW: float
    DEFAULT_CIPHERS: str
    DEFAULT_ECDH_CURVE: str
    DEFAULT_MAX_VERSION: str
    DEFAULT_MIN_VERSION: str
    rootCertificates: tuple[str, ...]

__all__ = [
    "CLIENT_RENEG_LIMIT",
    "CLIENT_RENEG_WINDOW",
    "DEFAULT_CIPHERS",
    "DEFAULT_ECDH_CURVE",
    "DEFAULT_MAX_VERSION",
    "DEFAULT_MIN_VERSION",
    "ClientSessionCache",
    "CryptoStream",
    "Duplex",
    "FetchingOCSPResponder",
    "FileOCSPResponder",
    "IOCSPResponder",
    "ISessionStore",
    "MemcachedSessionStore",
    "MemorySessionStore",
    "NodeError",
    "RedisSessionStore",
    "RedisTicketKeys",
    "SecureContext",
    "SecurePair",
    "Server",
    "TLSSocket",
    "TicketKeyFile",
    "TicketKeyRing",
    "X509Certificate",
    "checkServerIdentity",
    "connect",
    "constants",
    "convertALPNProtocols",
    "createSecureContext",
    "createSecurePair",
    "createServer",
    "getCACertificates",
    "getCertificateCompressionAlgorithms",
    "getCiphers",
    "net",
    "rootCertificates",
    "setDefaultCACertificates",
]


# What most programs have no use for is imported when its name is first used.
_LATE = {
    "CryptoStream": "legacy",
    "FetchingOCSPResponder": "ocsp",
    "FileOCSPResponder": "ocsp",
    "MemcachedSessionStore": "sessions.memcached",
    "RedisSessionStore": "sessions.redis",
    "RedisTicketKeys": "sessions.ring",
    "SecurePair": "legacy",
    "TicketKeyFile": "sessions.ring",
    "TicketKeyRing": "sessions.ring",
    "X509Certificate": "pki.x509certificate",
    "checkServerIdentity": "pki.identity",
    "createSecurePair": "legacy",
}


class _Module(types.ModuleType):
    """This module: its constants are those of C{constants.defaults}, and can be assigned."""

    def __getattr__(self, name: str) -> Any:
        if name not in _LATE:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{self.__name__}.{_LATE[name]}"), name)
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})

    @property
    def rootCertificates(self) -> tuple[str, ...]:
        from txnodetls.pki import trust

        return trust.rootCertificates()


def _forwarded(name: str) -> property:
    def get(_module: Any) -> Any:
        return getattr(constants.defaults, name)

    def set_(_module: Any, value: Any) -> None:
        setattr(constants.defaults, name, value)

    return property(get, set_)


for _name in constants.Defaults.__slots__:
    setattr(_Module, _name, _forwarded(_name))
sys.modules[__name__].__class__ = _Module


def _twistedTransport(socket: TLSSocket) -> ITransport:
    from txnodetls.twisted.transport import TLSTransport

    return TLSTransport(socket)


TLSSocket.transportFactory = staticmethod(_twistedTransport)
