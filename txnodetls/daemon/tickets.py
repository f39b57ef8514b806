"""
Ticket keys that outlive the servers which use them.

A reload makes new servers, and a daemon can have several workers; a client's ticket is to be
good at all of them.  So the keys belong to the process, live in its memory only, and are
changed every hour; the ones before still open their tickets for as long as those live.

Source: RFC 5077, RFC 8446 section 4.6.1.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, Final

from twisted.logger import Logger

from txnodetls.constants import TICKET_KEYS_SIZE
from txnodetls.daemon.repeating import Repeating
from txnodetls.errors import NodeError
from txnodetls.server import Server

__all__ = ["TicketKeys"]

log = Logger(namespace="nodetls")

_EVERY: Final = 3600.0
"""Seconds until a key is replaced."""


class TicketKeys:
    """
    The keys of a process.

    @param changed: called when there is a new one.
    @ivar keys: the older one, if there is one, and the one that tickets are made with.
    """

    def __init__(self, reactor: Any, changed: Callable[[], object] | None = None) -> None:
        self._changed = changed
        self.keys: list[bytes] = [os.urandom(TICKET_KEYS_SIZE)]
        self._servers: list[Server] = []
        self._able = True
        self._rotating = Repeating(reactor, self.rotate)

    def start(self) -> None:
        """Replace keys from time to time, from now on."""
        self._rotating.start(_EVERY)

    def stop(self) -> None:
        """Replace them no more."""
        self._rotating.stop()

    def serve(self, servers: Iterable[Server]) -> None:
        """Give the keys to these servers, now and when they change."""
        self._servers = list(servers)
        for server in self._servers:
            self._give(server)

    def take(self, keys: Iterable[bytes]) -> None:
        """Go by these keys, which somebody else keeps."""
        before, self.keys = self.keys, list(keys)
        if before != self.keys:
            for server in self._servers:
                self._give(server)

    def rotate(self) -> None:
        """Make tickets with a new key; the one before still opens its own."""
        self.keys = [self.keys[-1], os.urandom(TICKET_KEYS_SIZE)]
        for server in self._servers:
            self._tell(lambda server=server: server.rotateTicketKeys(self.keys[-1]))
        if self._changed is not None:
            self._changed()

    def _give(self, server: Server) -> None:
        def give() -> None:
            server.setTicketKeys(self.keys[0])
            for key in self.keys[1:]:
                server.rotateTicketKeys(key)

        self._tell(give)

    def _tell(self, act: Any) -> None:
        if not self._able:
            return
        try:
            act()
        except NodeError as error:
            self._able = False
            log.warn("sessions do not outlive a reload, and are not shared: {error}", error=error)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self.keys)}>"
