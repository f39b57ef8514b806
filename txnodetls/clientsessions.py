"""
What a client's session is good for.

Who resumes is spared the other side's certificate, and shows none: so a session
must not be offered where the handshake that it comes from would not have
happened like that.  What decides that is the key that it is kept by:

- the secure context itself, and with it who is trusted, which certificate is
  shown, which versions, ciphers and groups will do; connections with the same
  options have the same one;
- the name that the certificate is checked for, and the one that is sent;
- host and port, or path: one name can be several servers, of which the careless
  one's sessions are no business of the others';
- whether, and by whom, certificates are judged; the least DHE key;
- the protocols offered, and whether a staple is asked for.

A session counts only once its connection is authorized, and not if it was made
in a renegotiation, by C{setKeyCert}'s certificate or with C{pskCallback}'s key.
When a connection that offered one fails in the handshake, that key's sessions
are forgotten: the next attempt goes without.

Sources: RFC 8446 sections 4.6.1 and C.4, CVE-2025-23419.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from txnodetls.openssl import queries
from txnodetls.options import Options
from txnodetls.protocol import events
from txnodetls.sessions.clientcache import ClientSessionCache, processCache
from txnodetls.sessions.named import nameSession

__all__ = ["ClientSessions", "clientSessions"]


class ClientSessions:
    """The cached sessions of one connection."""

    __slots__ = ("_cache", "_key", "_offered", "_options")

    def __init__(self, cache: ClientSessionCache, options: Options) -> None:
        self._cache = cache
        self._options = options
        self._key: Hashable = None
        self._offered = False

    def begin(self, context: Any, name: str, servername: bytes | None, ask: bool) -> bytes | None:
        """
        The connection is made: which session to offer.

        @param context: the secure context.  The cache keeps it, so that later connections with
            the same options get the same one.
        @param name: for which the certificate will be checked.
        @param servername: what will be sent.
        @param ask: False: the application has one.
        """
        options = self._options
        key = (
            # Of contexts that differ in what does not concern them: the one below.
            getattr(context, "_original", None) or context,
            name,
            servername,
            options.host,
            options.port,
            options.path,
            options.rejectUnauthorized is not False,
            options.checkServerIdentity,
            options.minDHSize,
            options.ALPNProtocols,
            options.NPNProtocols,
            options.requestOCSP,
            options.postHandshakeAuth,
        )
        try:
            hash(key)
        except TypeError:
            # A checkServerIdentity that cannot be compared with another.
            return None
        self._key = key
        session = self._cache.take(key) if ask else None
        self._offered = session is not None
        return session

    def issued(self, socket: Any, name: str, event: events.SessionIssued) -> None:
        """The server gave a session."""
        if self._key is None or event.again or not socket.authorized or socket._keyCert is not None:
            return
        session = event.session
        isTicket = queries.protocol(socket._engine.driver) == "TLSv1.3"
        lifetime = queries.ticketLifetimeOf(session)
        self._cache.keep(self._key, nameSession(name, session), lifetime, isTicket)

    def failed(self) -> None:
        """The handshake came to nothing."""
        if self._offered:
            self._cache.forget(self._key)


def clientSessions(options: Options) -> ClientSessions | None:
    """The part of a connection that its C{sessionCache} is asked by; None without one."""
    cache = options.sessionCache
    # An empty one is false.
    if cache is None or options.pskCallback is not None:
        return None
    return ClientSessions(processCache if cache is True else cache, options)
