"""
A client that is asked for its certificate behind the handshake (TLS 1.3).

What OpenSSL does here, and what follows:

- It takes the client's Certificate before the CertificateVerify that proves
  it, and shows it as the peer's at once.  So nobody is told of it before the
  answer is whole, and nothing that OpenSSL says of the session meanwhile is
  worth anything.
- An answer is whole when OpenSSL is done with the client's Finished.  Tickets
  and KeyUpdates look like the ends of handshakes as well; but only an answer
  brings another Finished than the one before.
- While an answer is under way neither data nor close_notify can be sent.
- Behind the answer OpenSSL makes new sessions: the number of its tickets again.

Source: RFC 8446 section 4.6.2, SSL_verify_client_post_handshake(3)
"""

from __future__ import annotations

from txnodetls.openssl import queries
from txnodetls.openssl.calls import Driver

__all__ = ["CertificateRequest"]


class CertificateRequest:
    """
    One request that a client has not answered yet.

    @ivar begun: the answer has begun, and is not whole.
    @ivar known: the id of the session before, or None.
    """

    __slots__ = ("_driver", "_finished", "begun", "known")

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._finished = queries.peerFinished(driver)
        self.begun = False
        session = queries.session(driver)
        self.known = None if session is None else queries.sessionIdOf(session)

    @property
    def answered(self) -> bool:
        """Whether the answer is there as a whole; asked behind a read that has not failed."""
        return not self.begun and queries.peerFinished(self._driver) != self._finished
