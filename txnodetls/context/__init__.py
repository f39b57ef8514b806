"""
Secure contexts: from options to the one OpenSSL context that many connections share.

A context is built in full when it is made, with every check that Node makes, and
is not changed afterwards.

Source: https://nodejs.org/api/tls.html#tlscreatesecurecontextoptions
"""

from __future__ import annotations

from txnodetls.context.building import SecurityWarning
from txnodetls.context.factory import (
    clientsBinding,
    contextFrom,
    createSecureContext,
    defaultSessionIdContext,
    getCertificateCompressionAlgorithms,
    getCiphers,
    makeContext,
)
from txnodetls.context.secure import SecureContext

__all__ = [
    "SecureContext",
    "SecurityWarning",
    "clientsBinding",
    "contextFrom",
    "createSecureContext",
    "defaultSessionIdContext",
    "getCertificateCompressionAlgorithms",
    "getCiphers",
    "makeContext",
]
