"""
What was written, and where: switches, and a TOML file.

A value is kept with the place it was written at, so that whatever is wrong with it can be said
with file, line and key, or with the switch.  The file has settings at its top, and tables:

    minVersion = "TLSv1.3"          # for all listeners

    [[listener]]
    port = 8443
    proxy = "tcp:127.0.0.1:8080"

      [[listener.route]]
      servernames = ["static.example"]
      static = "/srv/www"

Where the file cannot be read as TOML, Python's C{tomllib} says in which line.  It does not say
where what it has read stood, so the lines of tables and keys are looked for here.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from txnodetls.daemon.files import Files

__all__ = ["ConfigError", "Level", "levelOfSwitches", "readFile"]


class ConfigError(Exception):
    """
    A setting is wrong.

    @ivar name: its name.
    """

    def __init__(self, place: str, problem: str, name: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.name = name


@dataclass(slots=True)
class Level:
    """
    Settings that were written together: as switches, at the top of a file, in a table.

    @ivar values: by name: text, or what TOML makes of it.
    @ivar places: by name: how to say where it was written.
    @ivar title: how to say where something that is missing should have been.
    @ivar inner: the tables in it, of the one kind that there may be.
    @ivar inherited: the names of those that were written around it.
    @ivar dropped: those of them that mean nothing here, with the reason.
    """

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    title: str = ""
    inner: list[Level] = field(default_factory=list)
    inherited: Set[str] = frozenset()
    dropped: dict[str, str] = field(default_factory=dict)

    def over(self, other: Level) -> Level:
        """These settings, and those of another one that are not among them."""
        return Level(other.values | self.values, other.places | self.places, self.title, self.inner)

    def error(self, name: str, problem: str) -> ConfigError:
        """That this setting is wrong, or is missing."""
        place = self.places.get(name)
        if place is None:
            place = f"{self.title}: {name}" if self.title else f"--{name}"
        return ConfigError(place, problem, name)


def levelOfSwitches(switches: Mapping[str, Any]) -> Level:
    """The switches of a command line."""
    return Level(dict(switches), {name: f"--{name}" for name in switches})


def readFile(path: str, files: Files) -> Level:
    """
    The settings of a TOML file.

    @raise ConfigError: it cannot be read, or has tables that are not known.
    """
    try:
        data = files.read(path)
    except OSError as error:
        raise ConfigError(
            "--config", f"cannot read {path}: {error.strerror or error}", "config"
        ) from error
    try:
        text = data.decode("utf-8")
        tree = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise ConfigError(path, "is not UTF-8", "config") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(*_unreadable(path, text, str(error)), "config") from error
    lines = _Lines(path, text)
    top = _level(tree, lines, path, "listener")
    listeners = tree.get("listener", [])
    for number, table in enumerate(_tables(listeners, lines, "listener", top)):
        place = lines.place(("listener", number))
        level = _level(table, lines, place, "route", ("listener", number))
        routes = _tables(table.get("route", []), lines, "route", level)
        for index, inner in enumerate(routes):
            path_ = ("listener", number, "route", index)
            level.inner.append(_level(inner, lines, lines.place(path_), "", path_))
        top.inner.append(level)
    return top


def _unreadable(path: str, text: str, problem: str) -> tuple[str, str]:
    """The place, and what is wrong there."""
    if problem.endswith(" (at end of document)"):
        return f"{path}:{len(text.splitlines())}", problem.removesuffix(" (at end of document)")
    found = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", problem, re.DOTALL)
    if found is None:
        return path, problem
    return f"{path}:{found[2]}", f"{found[1]} (column {found[3]})"


def _tables(given: Any, lines: _Lines, name: str, level: Level) -> list[dict[str, Any]]:
    if isinstance(given, list) and all(isinstance(item, dict) for item in given):
        return given
    raise ConfigError(f"{level.title}: {name}", f"write it as [[{lines.full(name)}]]", name)


def _level(
    table: dict[str, Any], lines: _Lines, title: str, inner: str, path: tuple[Any, ...] = ()
) -> Level:
    level = Level(title=title)
    for name, value in table.items():
        if name == inner and inner:
            continue
        place = f"{lines.place((*path, name))}: {name}"
        if isinstance(value, dict) or (
            isinstance(value, list) and any(isinstance(item, dict) for item in value)
        ):
            raise ConfigError(place, "there is no such table", name)
        level.values[name] = value
        level.places[name] = place
    return level


_KEY = re.compile(r"""\s*(?:"([^"]+)"|'([^']+)'|([\w-]+))\s*=""")
_TABLE = re.compile(r"\s*\[\[\s*([\w.\s\"'-]+?)\s*\]\]")


class _Lines:
    """Where tables and keys stand in a file."""

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._found: dict[tuple[Any, ...], int] = {}
        table: tuple[Any, ...] = ()
        counts: dict[tuple[Any, ...], int] = {}
        within = ""  # a text of several lines: the quotes that end it
        for number, line in enumerate(text.splitlines(), 1):
            if within:
                within = "" if within in line else within
                continue
            header = _TABLE.match(line)
            key = _KEY.match(line)
            if header is not None:
                table = self._entered(header[1], counts)
                self._found.setdefault(table, number)
            elif key is not None:
                name = key[1] or key[2] or key[3]
                self._found.setdefault((*table, name), number)
                rest = line[key.end() :]
                for quotes in ('"""', "'''"):
                    if rest.count(quotes) == 1:
                        within = quotes

    @staticmethod
    def _entered(name: str, counts: dict[tuple[Any, ...], int]) -> tuple[Any, ...]:
        path: tuple[Any, ...] = ()
        parts = [part.strip("\"' ") for part in name.split(".")]
        for part in parts[:-1]:
            path = (*path, part, counts.get((*path, part), 1) - 1)
        last = (*path, parts[-1])
        counts[last] = counts.get(last, 0) + 1
        return (*last, counts[last] - 1)

    def place(self, path: tuple[Any, ...]) -> str:
        """C{FILE:LINE}, or the file alone where the line is not found."""
        line = self._found.get(path)
        return self._path if line is None else f"{self._path}:{line}"

    @staticmethod
    def full(name: str) -> str:
        return "listener" if name == "listener" else "listener.route"
