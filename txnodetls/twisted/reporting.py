"""
Log lines about peers.

What a peer sends or causes is escaped before it is logged: a log line is one
line, and holds no control characters.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

__all__ = ["escaped", "handshakeFailed", "joined"]

log = Logger()


def handshakeFailed(error: BaseException, socket: Any) -> None:
    """Log a 'tlsClientError'."""
    log.info(
        "handshake with {peer} failed: {code} {error}",
        peer=joined(socket.remoteAddress, socket.remotePort),
        # Of a client that was refused for its certificate, Node's error says no more than that
        # it is gone.
        code=socket.authorizationError or getattr(error, "code", None),
        error=escaped(str(error)),
    )


def escaped(text: str) -> str:
    """The text with whatever does not print, line ends above all, as Python writes it."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def joined(host: str | None, port: int | None) -> str:
    """C{host:port}, an IPv6 address in brackets; C{unix} for a peer without an address."""
    if host is None:
        return "unix"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
