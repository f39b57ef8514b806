"""
Responders: where a server gets its OCSP staples from.

C{FileOCSPResponder} serves what another program keeps up to date;
C{FetchingOCSPResponder} asks the authority itself.  Both look at a staple
before it is sent (L{txnodetls.ocsp.checking}).
"""

from __future__ import annotations

from txnodetls.ocsp.checking import Staple, UnusableStaple, checkStaple
from txnodetls.ocsp.fetching import FetchingOCSPResponder
from txnodetls.ocsp.files import FileOCSPResponder

__all__ = [
    "FetchingOCSPResponder",
    "FileOCSPResponder",
    "Staple",
    "UnusableStaple",
    "checkStaple",
]
