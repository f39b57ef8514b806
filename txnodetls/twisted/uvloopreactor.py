"""
Twisted's asyncio reactor on uvloop's event loop.

    from txnodetls.twisted import uvloopreactor
    uvloopreactor.install()                        # before the reactor is imported

    twistd --reactor=uvloop nodetls …

A class of its own, so that whoever asks a reactor for its module can make another one like it (the
daemon's workers).
"""

from __future__ import annotations

import uvloop
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.main import installReactor

__all__ = ["UvloopReactor", "install"]


class UvloopReactor(AsyncioSelectorReactor):
    """The reactor of C{twisted.internet.asyncioreactor}, on a new loop of uvloop's."""

    def __init__(self) -> None:
        super().__init__(uvloop.new_event_loop())


def install() -> None:
    """
    Make this the reactor.

    @raise twisted.internet.error.ReactorAlreadyInstalledError: there is one already.
    """
    installReactor(UvloopReactor())
