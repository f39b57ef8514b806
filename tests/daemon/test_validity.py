"""Warnings about certificates."""

from __future__ import annotations

from tests.support import Pki
from txnodetls import createSecureContext
from txnodetls.daemon.validity import Validity, troubles, validityOf

DAY = 86400.0


def test_what_is_said_and_when() -> None:
    def said(before: float, after: float) -> list[str]:
        return troubles([Validity("web", "a", before * DAY, after * DAY)], 1000 * DAY, 14)

    assert said(0, 2000) == []
    assert said(0, 1014) == []
    assert said(0, 1013.5) == [
        "web: the certificate 'a' expires in 13 days, on 1972-10-10 12:00 UTC"
    ]
    assert "has expired on 1972-09-27 00:00 UTC" in said(0, 1000)[0]
    assert "is not good before" in said(1001, 2000)[0]


def test_dates_are_those_of_the_certificates(pki: Pki) -> None:
    context = createSecureContext(cert=pki.server.cert, key=pki.server.key)
    (found,) = validityOf("web", "a", context)
    assert (found.listener, found.name) == ("web", "a")
    assert found.notBefore < found.notAfter
