"""
Certificates, keys and what is trusted, in every form that Node takes.

What comes from a peer goes one way: L{txnodetls.pki.der} reads the octets,
L{txnodetls.pki.fields} takes the certificate apart, C{names}, C{x509text},
C{publickeys} and C{objects} know what the parts mean, and C{certificates},
C{x509certificate} and C{identity} give Node's answers.  What comes from the
program, keys, certificates to present and authorities to trust, is read by
C{credentials} and C{trust}.

What gives the answers is reached by way of this module (C{pki.identity}) and
imported at the first need, with all that stands below it: a server that asks
its clients for no certificates reads none.  Whoever will have to read some says
so when it is made (L{importReaders}), for in a handshake somebody would wait.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from txnodetls.pki import certificates, identity, issuers, x509certificate

__all__ = ["certificates", "identity", "importReaders", "issuers", "x509certificate"]

_READERS: Final = ("certificates", "identity", "issuers", "x509certificate")


def importReaders() -> None:
    """Import what reads certificates, in place of the first certificate's doing it."""
    for name in _READERS:
        importlib.import_module(f"{__name__}.{name}")


def __getattr__(name: str) -> Any:
    if name not in _READERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
