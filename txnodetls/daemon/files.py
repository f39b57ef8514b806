"""
The files that a configuration is made of.

Whatever a configuration reads (keys, certificates, directories, its own TOML file), it reads
through one L{Files}, which keeps it.  So it is known what to look at for changes; and the same
configuration can be made again from the same bytes, by a process that may not, or must not,
read the files itself: the supervisor hands them to its workers.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

from txnodetls.options import text
from txnodetls.pki.throwaway import throwawayCertificate

__all__ = ["Files"]


class Files:
    """
    What was read, by path.

    @param contents: read from this and not from the disk.
    @param directories: the same for the names in directories.
    @param throwaways: certificates that were made for want of others, by their names.
    @param pairs: what was found in directories of certificates, by directory.
    @ivar contents: the contents of each file read.
    @ivar directories: the names in each directory read.
    """

    def __init__(
        self,
        contents: Mapping[str, bytes] | None = None,
        directories: Mapping[str, list[str]] | None = None,
        throwaways: Mapping[tuple[str, ...], tuple[bytes, bytes]] | None = None,
        pairs: Mapping[str, list[Any]] | None = None,
    ) -> None:
        self._given = contents is not None
        self.contents: dict[str, bytes] = dict(contents or {})
        self.directories: dict[str, list[str]] = dict(directories or {})
        self.throwaways: dict[tuple[str, ...], tuple[bytes, bytes]] = dict(throwaways or {})
        self.pairs: dict[str, list[Any]] = dict(pairs or {})
        self._states: dict[str, Any] = {}

    def read(self, path: str) -> bytes:
        """
        The contents of a file, read once.

        @raise OSError: it cannot be read.
        """
        found = self.contents.get(path)
        if found is None:
            if self._given:
                raise FileNotFoundError(2, "not handed over", path)
            self._states[path] = _state(path)
            with open(path, "rb") as file:
                found = file.read()
            self.contents[path] = found
        return found

    def names(self, directory: str) -> list[str]:
        """
        The names in a directory, in order.

        @raise OSError: it cannot be read.
        """
        found = self.directories.get(directory)
        if found is None:
            if self._given:
                raise FileNotFoundError(2, "not handed over", directory)
            self._states[directory] = _state(directory)
            found = self.directories[directory] = sorted(os.listdir(directory))
        return found

    def isDirectory(self, path: str) -> bool:
        """Whether there is a directory of this name; it is read then."""
        if self._given or path in self.directories:
            return path in self.directories
        if not os.path.isdir(path):
            return False
        with contextlib.suppress(OSError):
            self.names(path)
        return path in self.directories

    @contextlib.contextmanager
    def inUse(self) -> Iterator[None]:
        """Within, options that are files are read through this."""
        token = text.readFile.set(self.read)
        try:
            yield
        finally:
            text.readFile.reset(token)

    def throwaway(self, names: tuple[str, ...]) -> tuple[bytes, bytes]:
        """Certificate and key that are made for want of others, once for each set of names."""
        found = self.throwaways.get(names)
        if found is None:
            found = self.throwaways[names] = throwawayCertificate(names)
        return found

    def afresh(self) -> Files:
        """Nothing read yet; but what was made, and what was found, is known."""
        return Files(throwaways=self.throwaways, pairs=self.pairs)

    def readStates(self) -> dict[str, Any]:
        """The state of each file and directory, from just before it was read."""
        return dict(self._states)

    def statesNow(self) -> dict[str, Any]:
        """Their states now."""
        return {path: _state(path) for path in self._states}


def _state(path: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev)
