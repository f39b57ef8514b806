"""
What is done again and again: begun where it has not begun, stopped where it has not stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

__all__ = ["Repeating"]

log = Logger(namespace="nodetls")


class Repeating:
    """
    Calls something every so many seconds; the first time, when they have passed once.

    @param act: what is called.  What it raises is logged, and costs that one call.
    """

    def __init__(self, reactor: Any, act: Callable[[], object]) -> None:
        self._act = act
        self._loop = LoopingCall(self._once)
        self._loop.clock = reactor

    def start(self, every: float) -> None:
        """Begin; where it has begun, go on, with this distance from now on."""
        if self._loop.running:
            if self._loop.interval == every:
                return
            self._loop.stop()
        self._loop.start(every, now=False)

    def stop(self) -> None:
        """Call it no more."""
        if self._loop.running:
            self._loop.stop()

    def _once(self) -> None:
        try:
            self._act()
        except Exception:
            log.failure("{what} has failed; it is tried again", what=self._act)
