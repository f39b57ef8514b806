"""A configuration of one listener, out of switches alone."""

from __future__ import annotations

from txnodetls.daemon.config import readConfig
from txnodetls.daemon.plan import ListenerConfig

__all__ = ["only"]


def only(switches: dict[str, str]) -> ListenerConfig:
    """The one listener of these switches."""
    (listener,) = readConfig(switches).listeners
    return listener
