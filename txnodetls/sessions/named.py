"""
A client's sessions, and the name that each was made for.

Whoever resumes a session is spared the certificate.  So a session must not be
offered to a server of another name than the one that was verified when it was
made.  OpenSSL's own form of a session says nothing of that, so the name stands
in front of it, as in Node 24::

    NUL nodejs:tls:session:1 NUL | length of the name, 2 bytes | name | OpenSSL's form

Whom the client trusted is in OpenSSL's form, as the session id context (see
L{txnodetls.context.clientsBinding}).  Servers, and what they store, know nothing of this.
"""

from __future__ import annotations

from typing import Final

__all__ = ["nameSession", "namelessSession", "sessionFor"]

_MARK: Final = b"\0nodejs:tls:session:1\0"
_LONGEST: Final = 0xFFFF


def nameSession(name: str, session: bytes) -> bytes:
    """A session with the name of the server that it is good for."""
    encoded = name.encode("utf-8", "surrogateescape")
    if len(encoded) > _LONGEST:
        encoded = b""  # which is nobody's name
    return _MARK + len(encoded).to_bytes(2, "big") + encoded + session


def sessionFor(name: str, named: bytes) -> bytes | None:
    """The session in what L{nameSession} made; None if it was made for another name, or is none."""
    encoded = name.encode("utf-8", "surrogateescape")
    if not encoded or len(encoded) > _LONGEST:
        return None
    front = _MARK + len(encoded).to_bytes(2, "big") + encoded
    return named[len(front) :] if named.startswith(front) else None


def namelessSession(session: bytes) -> bool:
    """Whether this is a session in OpenSSL's own form, without a name."""
    return not session.startswith(_MARK)
