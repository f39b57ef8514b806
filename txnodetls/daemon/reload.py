"""
Reading the configuration again: when, and that a bad one changes nothing.

It is read again on SIGHUP, and when a file that it was made of has changed (the TOML file
excepted: it may be under somebody's hands).  A file is taken for changed once it has stayed the
same for one look: a key and its certificate are seldom replaced in one instant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from txnodetls.daemon.files import Files
from txnodetls.daemon.repeating import Repeating

__all__ = ["Watcher"]


class Watcher:
    """
    Looks at files.

    @param changed: called when some have changed.
    """

    def __init__(self, reactor: Any, changed: Callable[[], object]) -> None:
        self._changed = changed
        self._files: Files | None = None
        self._known: dict[str, Any] = {}
        self._last: dict[str, Any] = {}
        self._left: frozenset[str] = frozenset()
        self._looking = Repeating(reactor, self.look)

    def watch(self, files: Files, leaving: frozenset[str], every: float) -> None:
        """
        Look at these from now on.

        @param leaving: what not to look at.
        @param every: seconds; 0: never.
        """
        self._files = files
        self._left = leaving
        self._known = self._last = self._without(files.readStates())
        if every:
            self._looking.start(every)
        else:
            self._looking.stop()

    def stop(self) -> None:
        """Look no more."""
        self._looking.stop()

    def look(self) -> None:
        """Look once."""
        assert self._files is not None
        now = self._without(self._files.statesNow())
        settled, self._last = now == self._last, now
        if settled and now != self._known:
            self._known = now
            self._changed()

    def _without(self, states: dict[str, Any]) -> dict[str, Any]:
        return {path: state for path, state in states.items() if path not in self._left}
