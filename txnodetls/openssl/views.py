"""
A pyOpenSSL Connection to look at another one by.

Whoever is given a connection of ours in place of pyOpenSSL's (Twisted, and the
programs that ask Twisted for its handle) may ask it anything that pyOpenSSL's
methods tell: the cipher, the Finished messages, the certificates.  To read,
write or shut down by it is the business of whoever made the view.

Before there is a connection, and when it is gone, what can be asked about a
handshake that is not done answers as pyOpenSSL does then: None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from OpenSSL import SSL

from txnodetls.errors import NodeError

__all__ = ["ConnectionView"]

_NOTHING_YET: Final = (
    "get_certificate",
    "get_cipher_bits",
    "get_cipher_name",
    "get_cipher_version",
    "get_finished",
    "get_peer_cert_chain",
    "get_peer_certificate",
    "get_peer_finished",
    "get_servername",
    "get_session",
    "get_verified_chain",
)


class ConnectionView(SSL.Connection):
    """
    What a pyOpenSSL Connection can be asked.

    @param viewed: gives the connection that is looked at, or None while there is none.
    """

    # pyOpenSSL looks here for whatever it does not know: there is no socket below.
    _socket = None

    def __init__(self, viewed: Callable[[], SSL.Connection | None]) -> None:
        # Not pyOpenSSL's own: that makes a connection.
        self._viewed = viewed

    @property
    def _ssl(self) -> Any:
        return self._existing()._ssl

    @property
    def _context(self) -> Any:  # type: ignore[override]
        return self._existing()._context

    def _existing(self) -> Any:
        connection = self._viewed()
        if connection is None:
            raise NodeError("there is no TLS connection yet, or no longer", "ERR_TLS_INVALID_STATE")
        return connection

    def get_alpn_proto_negotiated(self) -> bytes:
        """The protocol that ALPN settled; empty without one."""
        return b"" if self._viewed() is None else super().get_alpn_proto_negotiated()


def _orNothing(name: str) -> Callable[..., Any]:
    asked = getattr(SSL.Connection, name)

    def ask(self: ConnectionView, *arguments: Any, **more: Any) -> Any:
        return None if self._viewed() is None else asked(self, *arguments, **more)

    ask.__name__, ask.__doc__ = name, asked.__doc__
    return ask


for _name in _NOTHING_YET:
    setattr(ConnectionView, _name, _orNothing(_name))
