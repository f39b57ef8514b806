"""
Helpers for tests of programs that use this package.

    authority = ThrowawayCA()
    cert, key = authority.issue(["localhost", "127.0.0.1"])
    server = createServer(cert=cert, key=key)
    client = connect(port, ca=authority.certPEM)

Nothing here touches a disk or a network.
"""

from __future__ import annotations

from txnodetls.pki.throwaway import ThrowawayCA, throwawayCertificate

__all__ = ["ThrowawayCA", "throwawayCertificate"]
