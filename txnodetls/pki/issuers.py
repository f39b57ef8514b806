"""
Finding the issuer of a certificate among those that one has.

Source: RFC 5280, section 6.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from txnodetls.errors import NodeError
from txnodetls.pki.fields import Fields
from txnodetls.pki.issuance import isIssuedBy

__all__ = ["findIssuer"]


def findIssuer(certificate: bytes, candidates: Iterable[bytes]) -> bytes | None:
    """
    The one among C{candidates} that says it issued C{certificate}, all in DER.

    @return: None if there is none, or if C{certificate} cannot be read.
    """
    try:
        subject = Fields(certificate)
        wanted = subject.canonicalIssuer
    except NodeError:
        return None
    for issuer in _bySubject(tuple(candidates)).get(wanted, ()):
        if isIssuedBy(subject, issuer):
            return issuer.raw
    return None


@lru_cache(maxsize=8)
def _bySubject(candidates: tuple[bytes, ...]) -> dict[Any, list[Fields]]:
    found: dict[Any, list[Fields]] = {}
    for der in candidates:
        try:
            fields = Fields(der)
            found.setdefault(fields.canonicalSubject, []).append(fields)
        except NodeError:
            continue  # What cannot be read issues nothing.
    return found
