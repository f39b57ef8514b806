"""
How soon a process that has died is replaced: at once, unless that has just been of no use.
"""

from __future__ import annotations

from typing import Final

__all__ = ["Backoff"]

_LONG: Final = 5.0
"""Seconds: a process that has lived so long was of use."""
_FIRST: Final = 1.0
_MOST: Final = 30.0


class Backoff:
    """
    Knows how many processes in a row have died too soon.

    The first is replaced at once all the same; then the wait doubles from a second to half a
    minute, so that a fault which kills each of them at its start keeps no machine busy.
    """

    def __init__(self) -> None:
        self._row = 0

    def after(self, lived: float) -> float:
        """
        A process has died: how many seconds to wait until it is replaced.

        @param lived: for how many seconds it was there; 0 where it could not even be started.
        """
        if lived >= _LONG:
            self._row = 0
            return 0.0
        self._row += 1
        return 0.0 if self._row == 1 else min(_FIRST * 2.0 ** min(self._row - 2, 10), _MOST)
