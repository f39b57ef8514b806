"""
What the daemon is to do: what L{config} makes, and what serves goes by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from txnodetls.context import SecureContext
from txnodetls.daemon.files import Files
from txnodetls.daemon.names import NameTable, matches
from txnodetls.daemon.rules import Rules
from txnodetls.daemon.settings import Mode
from txnodetls.daemon.validity import Validity
from txnodetls.daemon.written import Level
from txnodetls.options import Options

__all__ = ["NO_RULES", "Config", "ListenerConfig", "RouteConfig", "Serving"]

NO_RULES: Final = Rules()
_NO_NAMES: Final[NameTable[SecureContext]] = NameTable()


@dataclass(frozen=True, slots=True)
class Serving:
    """
    What is done with connections, of a listener or of a route.

    @ivar target: the value of the setting that is the mode's: an endpoint, say.
    @ivar own: the daemon's own settings.
    @ivar place: of originate: host and port, or the string of an endpoint.
    @ivar options: of originate: those of C{connect}, with C{secureContext} made.
    """

    mode: Mode
    target: str
    own: Options
    place: tuple[str, int] | str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """In a few words, for the log."""
        words = {
            Mode.ECHO: "echo",
            Mode.TERMINATE: f"proxy to {self.target}",
            Mode.ORIGINATE: f"plain, TLS to {self.target}",
            Mode.STATIC: f"files of {self.target}",
        }
        return words[self.mode]


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """
    What is served to some of a listener's clients.

    @ivar name: its name in logs and metrics.
    @ivar servernames: the names that they ask for; empty: whatever they ask for.
    @ivar protocols: what was agreed on with them; empty: whatever that is.
    @ivar context: its certificates and trust, or None: the listener's.
    @ivar rules: who may come in.
    @ivar given: which options of its own it has.
    """

    name: str
    serving: Serving
    servernames: tuple[str, ...]
    protocols: tuple[str, ...]
    context: SecureContext | None
    rules: Rules
    given: frozenset[str] = frozenset()

    def takes(self, servername: str | None, protocol: str | None) -> bool:
        """Whether a client with this name and protocol is served here."""
        return self.isFor(servername) and (not self.protocols or protocol in self.protocols)

    def isFor(self, servername: str | None) -> bool:
        """Whether a client with this name may be served here."""
        if not self.servernames:
            return True
        return servername is not None and matches(self.servernames, servername)


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    """
    One listener.

    @ivar name: its name in logs and metrics.
    @ivar where: options of C{listen}: port, host …; or C{systemd}, the name of a socket.
    @ivar options: options of C{createServer} with C{secureContext} made.
    @ivar serving: what is served where no route says otherwise.
    @ivar rules: who may come in where no route says otherwise.
    @ivar contexts: by the names that clients ask for.
    @ivar validities: of all certificates that are served.
    @ivar throwaway: the certificate (PEM) that was made for want of one, or None.
    @ivar level: what was written, for errors.
    """

    name: str
    where: Mapping[str, Any]
    options: Mapping[str, Any]
    serving: Serving
    level: Level
    rules: Rules = NO_RULES
    routes: tuple[RouteConfig, ...] = ()
    contexts: NameTable[SecureContext] = _NO_NAMES
    validities: tuple[Validity, ...] = ()
    throwaway: bytes | None = None

    @property
    def own(self) -> Options:
        """The daemon's own settings."""
        return self.serving.own


@dataclass(frozen=True, slots=True)
class Config:
    """
    What the daemon is to do.

    @ivar own: the daemon's own settings that hold for the whole process.
    @ivar files: what was read for it.
    @ivar warnings: what is not good, and yet no reason not to serve.
    """

    listeners: tuple[ListenerConfig, ...]
    own: Options
    files: Files
    warnings: tuple[str, ...] = ()
