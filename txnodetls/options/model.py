"""
What an option is, what a table of them is, and options that were checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from txnodetls.options.checks import Check
from txnodetls.options.text import Parser

__all__ = ["FromFile", "Option", "OptionTable", "Options"]


class Option(NamedTuple):
    """
    One option.

    @ivar name: Node's name.
    @ivar kind: what it takes, in a word or two.
    @ivar check: C{check(path, value)} gives the value to keep, or raises.
    @ivar parse: its value out of a text, or None if it has no text form.
    @ivar refusal: why there is no text form, and what to do in Python instead.
    """

    name: str
    kind: str
    check: Check
    parse: Parser | None = None
    refusal: str = ""


class FromFile(NamedTuple):
    """A name that exists in text only: an option out of a file."""

    name: str
    option: str
    parse: Parser


class OptionTable(Mapping[str, Option]):
    """
    A set of options by their names.

    @ivar name: under which it can be found in this module.
    @ivar files: the names that exist in text only.
    """

    __slots__ = ("_options", "files", "name")

    def __init__(self, name: str, *parts: OptionTable | Option | FromFile) -> None:
        self.name = name
        self._options: dict[str, Option] = {}
        self.files: dict[str, FromFile] = {}
        for part in parts:
            if isinstance(part, OptionTable):
                self._options |= part._options
                self.files |= part.files
            elif isinstance(part, FromFile):
                self.files[part.name] = part
            else:
                self._options[part.name] = part

    def __getitem__(self, name: str) -> Option:
        return self._options[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._options)

    def __len__(self) -> int:
        return len(self._options)

    # Mapping has these by way of an exception for each name that is missing.

    def __contains__(self, name: object) -> bool:
        return name in self._options

    def get(self, name: str, default: Any = None) -> Any:
        """The option of this name, or C{default}."""
        return self._options.get(name, default)

    def textNames(self) -> list[str]:
        """The names that can be written in text."""
        return sorted([n for n, o in self.items() if o.parse is not None] + list(self.files))

    def nearest(self, name: str, among: list[str] | None = None) -> str | None:
        """The known name most like this one."""
        import difflib  # for whoever has misspelt something

        known = list(self) if among is None else among
        lowered = {candidate.lower(): candidate for candidate in known}
        close = difflib.get_close_matches(name.lower(), lowered, 1, 0.6)
        return lowered[close[0]] if close else None


class Options(Mapping[str, Any]):
    """
    Options that were checked; read only.

    An option is a key if it was given, were it as None, and always an
    attribute: None if it was not given.
    """

    __slots__ = ("_values", "table")

    def __init__(self, table: OptionTable, values: Mapping[str, Any] | None = None) -> None:
        self.table = table
        self._values = dict(values or ())

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def get(self, name: str, default: Any = None) -> Any:
        """The value of this name, or C{default}."""
        return self._values.get(name, default)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self.table._options:
            raise AttributeError(f"{self.table.name} has no option {name}")
        return self._values.get(name)

    def __or__(self, other: Mapping[str, Any]) -> Options:
        """These options, with others in place of those of the same name."""
        return Options(self.table, self._values | dict(other))

    def only(self, table: OptionTable) -> Options:
        """Those that this table has."""
        return Options(table, {n: v for n, v in self._values.items() if n in table})

    def __repr__(self) -> str:
        # Names only: keys and passphrases belong in no log.
        return f"<Options {self.table.name}: {', '.join(self._values) or 'none'}>"
