"""
The secure context itself: versions, options, and what was put into it.

Source: https://nodejs.org/api/tls.html#tlscreatesecurecontextoptions
"""

from __future__ import annotations

import copy
from typing import Any

from OpenSSL import SSL
from zope.interface import implementer

from txnodetls.constants import (
    DEFAULT_SESSION_TIMEOUT,
    PROTOCOL_VERSIONS,
    SECURE_PROTOCOLS,
    TLS1_3_VERSION,
    SSL_OP_NO_TLSv1_3,
    defaults,
)
from txnodetls.errors import Blame, NodeTypeError, Phase, asJSON, invalidArgType, outOfRange
from txnodetls.interfaces import ISecureContext
from txnodetls.javascript import isInteger, isNumber, isTrue
from txnodetls.openssl import contexts
from txnodetls.options import CONTEXT, Options
from txnodetls.pki import trust

__all__ = ["SecureContext", "secureOptionsMask"]


@implementer(ISecureContext)
class SecureContext:
    """
    A secure context, as Node's constructor makes it: versions and options only.

    It trusts nobody and has no certificate; L{createSecureContext} makes the
    ones to use.

    @ivar native: pyOpenSSL's C{SSL.Context}, shared by all connections.
    @ivar options: what it was made from, read only.
    @ivar ownCertificates: C{(leaf, chain)} for each own certificate, DER.
    @ivar sessionIdContext: what sessions are bound to; empty if to nothing.
    @ivar sessionTimeout: for how many seconds sessions and tickets are good.
    @ivar ticketKeys: the 48 bytes that were given, or None for random ones.
    """

    native: SSL.Context
    options: Options
    ownCertificates: tuple[tuple[bytes, tuple[bytes, ...]], ...]
    _original: SecureContext | None = None

    def __init__(
        self,
        secureProtocol: object = None,
        secureOptions: object = None,
        minVersion: object = None,
        maxVersion: object = None,
    ) -> None:
        side, minimum, maximum = _versions(secureProtocol, minVersion, maxVersion)
        mask = self._mask = secureOptionsMask(secureOptions)
        self.native = contexts.newContext(side)
        self._minimum, self._maximum = minimum, maximum
        contexts.setVersions(self.native, minimum, maximum)
        contexts.setOptions(self.native, mask)
        contexts.setSessionTimeout(self.native, DEFAULT_SESSION_TIMEOUT)
        self.options = Options(CONTEXT)
        self.ownCertificates = ()
        self.sessionIdContext = b""
        self.sessionTimeout = DEFAULT_SESSION_TIMEOUT
        self.ticketKeys: bytes | None = None
        self._trust = trust.NOTHING

    @property
    def context(self) -> SecureContext:
        """Node's name for what a context is made of; the same object here."""
        return self

    @property
    def hasCertificate(self) -> bool:
        """Whether there is an own certificate."""
        return bool(self.ownCertificates)

    @property
    def speaksTLS13(self) -> bool:
        """Whether TLS 1.3 is spoken with a peer that can."""
        if self._mask & SSL_OP_NO_TLSv1_3:
            return False
        return self._maximum == 0 or self._maximum >= TLS1_3_VERSION

    @property
    def trustDigest(self) -> bytes:
        """32 bytes that differ wherever trust differs: certificates, CRLs, partial chains."""
        return self._trust.digest

    def trustedCertificates(self) -> tuple[bytes, ...]:
        """The DER of every trusted certificate."""
        return self._trust.ders()

    def carrying(self, options: Options) -> SecureContext:
        """This context under other options, which differ in what does not concern OpenSSL."""
        other = copy.copy(self)
        other.options = options
        # For whoever knows the original by a weak reference only.
        other._original = self
        return other


def _versions(
    secureProtocol: object, minVersion: object, maxVersion: object
) -> tuple[str, int, int]:
    """
    Which side a context serves ('' for both), its lowest and its highest version.
    """
    if isTrue(secureProtocol):
        for given in (minVersion, maxVersion):
            if given is not None:
                raise _protocolError(
                    f"TLS protocol version {asJSON(given)} conflicts with "
                    f"secureProtocol {asJSON(secureProtocol)}",
                    "ERR_TLS_PROTOCOL_VERSION_CONFLICT",
                )
    lowest = _version("minimum", minVersion, defaults.DEFAULT_MIN_VERSION)
    highest = _version("maximum", maxVersion, defaults.DEFAULT_MAX_VERSION)
    if not isinstance(secureProtocol, str):
        return "", lowest, highest
    side, minimum, maximum = _method(secureProtocol)
    return (
        side,
        lowest if minimum is None else minimum,
        highest if maximum is None else maximum,
    )


def _version(which: str, given: object, default: str) -> int:
    name = default if given is None else given
    if not isinstance(name, str) or name not in PROTOCOL_VERSIONS:
        raise _protocolError(
            f"{asJSON(name)} is not a valid {which} TLS protocol version",
            "ERR_TLS_INVALID_PROTOCOL_VERSION",
        )
    return PROTOCOL_VERSIONS[name]


def _method(name: str) -> tuple[str, int | None, int | None]:
    protocol, separator, rest = name.partition("_method")
    side = ""
    if separator and not rest:
        for candidate in ("client", "server"):
            if protocol.endswith(f"_{candidate}"):
                protocol, side = protocol.removesuffix(f"_{candidate}"), candidate
        if protocol in SECURE_PROTOCOLS:
            return (side, *SECURE_PROTOCOLS[protocol])
        if protocol in ("SSLv2", "SSLv3"):
            raise _protocolError(f"{protocol} methods disabled", "ERR_TLS_INVALID_PROTOCOL_METHOD")
    raise _protocolError(f"Unknown method: {name}", "ERR_TLS_INVALID_PROTOCOL_METHOD")


def _protocolError(message: str, code: str) -> NodeTypeError:
    return NodeTypeError(message, code, blame=Blame.CONFIGURATION, phase=Phase.CONFIGURING)


def secureOptionsMask(value: Any) -> int:
    if not isTrue(value):
        return 0
    if not isNumber(value):
        raise invalidArgType("secureOptions", "of type number", value)
    if not isInteger(value):
        raise outOfRange("secureOptions", "an integer", value)
    return int(value)
