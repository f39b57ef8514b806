"""
How long certificates are good: watched, and said in time.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cryptography import x509

__all__ = ["Validity", "troubles", "validityOf"]

_DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Validity:
    """
    From when until when a certificate is good, in seconds since 1970.

    @ivar listener: who serves it.
    @ivar name: what it is called in the configuration.
    """

    listener: str
    name: str
    notBefore: float
    notAfter: float


def validityOf(listener: str, name: str, context: Any) -> list[Validity]:
    """Of each certificate of a context's own."""
    found = []
    for leaf, _ in context.ownCertificates:
        certificate = x509.load_der_x509_certificate(leaf)
        found.append(
            Validity(
                listener,
                name,
                certificate.not_valid_before_utc.timestamp(),
                certificate.not_valid_after_utc.timestamp(),
            )
        )
    return found


def troubles(validities: Iterable[Validity], now: float, days: float) -> list[str]:
    """
    What is to be said about certificates.

    @param days: how long before its end a certificate is worth a warning.
    """
    said = []
    for each in validities:
        where = f"{each.listener}: the certificate {each.name!r}"
        if each.notAfter <= now:
            said.append(f"{where} has expired on {_date(each.notAfter)}")
        elif each.notBefore > now:
            said.append(f"{where} is not good before {_date(each.notBefore)}")
        elif each.notAfter - now < days * _DAY:
            left = int((each.notAfter - now) // _DAY)
            said.append(f"{where} expires in {left} days, on {_date(each.notAfter)}")
    return said


def _date(moment: float) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
