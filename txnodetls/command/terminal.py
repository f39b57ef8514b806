"""
Text for a terminal: colours, and what must not get there.

What a report shows was written by the peer: names, addresses, protocols.  A
terminal obeys control characters, and some invisible ones turn the order of
what is read.  So every text from outside goes through L{printable}, and only
what is ours goes out as it is.

Source: ECMA-48, 8.3.117 (SGR); https://no-color.org.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

__all__ = ["PLAIN", "Palette", "Terminal", "paletteFor", "printable"]

_LONGEST: Final = 400


class Terminal(Protocol):
    """Where the text goes."""

    def isatty(self) -> bool: ...


class Palette:
    """
    The colours of a report, if it has any.

    @param coloured: whether it has.
    """

    def __init__(self, coloured: bool) -> None:
        self.coloured = coloured

    def good(self, text: str) -> str:
        """What is as it should be."""
        return self._wrap("32", text)

    def bad(self, text: str) -> str:
        """What is not."""
        return self._wrap("1;31", text)

    def strong(self, text: str) -> str:
        """A heading, or a name."""
        return self._wrap("1", text)

    def dim(self, text: str) -> str:
        """What need not be read."""
        return self._wrap("2", text)

    def _wrap(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.coloured and text else text


#: No colours.
PLAIN: Final = Palette(False)


def paletteFor(choice: str, output: Terminal, environment: Mapping[str, str]) -> Palette:
    """
    The colours for an output.

    @param choice: C{always}, C{never}, or C{auto}: on a terminal that is not dumb, and unless
        the environment has C{NO_COLOR}.
    """
    if choice != "auto":
        return Palette(choice == "always")
    return Palette(
        output.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
    )


def printable(text: str) -> str:
    """
    A text from outside, in one line, with whatever could not be seen as C{\\xHH} or C{\\uHHHH}.

    Very long ones are cut, and say so.
    """
    shown = "".join(
        each if each.isprintable() else each.encode("unicode_escape", "replace").decode("ascii")
        for each in text[:_LONGEST]
    )
    more = len(text) - _LONGEST
    return shown if more <= 0 else f"{shown}… ({more} more)"
