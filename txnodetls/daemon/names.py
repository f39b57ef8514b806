"""
Which name leads where: of certificates, and of routes.

A name is looked up in a table that was made beforehand; what a client asks for never has
anything read or made.  C{*.example.com} stands for one label, as in certificates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

__all__ = ["NameTable", "matches", "wrongName"]

T = TypeVar("T")


class NameTable(Generic[T]):
    """
    Values by names.

    @param entries: names with their values; of two for a name, the first counts.
    """

    def __init__(self, entries: Iterable[tuple[str, T]] = ()) -> None:
        self._table: dict[str, T] = {}
        for name, value in entries:
            self._table.setdefault(name.lower(), value)

    def __len__(self) -> int:
        return len(self._table)

    def find(self, name: str) -> T | None:
        """The value of a name, or of the wildcard that it fits."""
        lowered = name.lower().removesuffix(".")
        found = self._table.get(lowered)
        if found is None:
            _, dot, rest = lowered.partition(".")
            if dot and rest:
                found = self._table.get(f"*.{rest}")
        return found


def matches(patterns: Iterable[str] | Mapping[str, object], name: str) -> bool:
    """Whether a name is one of these, or fits a wildcard among them."""
    return NameTable((pattern, True) for pattern in patterns).find(name) is not None


def wrongName(pattern: str) -> str | None:
    """What is wrong with a name or wildcard, or None."""
    labels = pattern.removeprefix("*.").split(".")
    if not all(labels) or "*" in pattern.removeprefix("*."):
        return f"{pattern!r} is neither a name nor a wildcard such as *.example.com"
    return None
