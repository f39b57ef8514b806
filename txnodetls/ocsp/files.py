"""
Staples out of files, which another program keeps up to date.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from twisted.logger import Logger
from zope.interface import implementer

from txnodetls.interfaces import IOCSPResponder
from txnodetls.ocsp.checking import MAX_SIZE, ForeignStaple, Staple, UnusableStaple, checkStaple

__all__ = ["FileOCSPResponder"]

# How often a file is looked at, in seconds.
LOOK_EVERY: Final = 1.0
# How often the responses are, in seconds, even if no file has changed.
CHECK_EVERY: Final = 60.0
# For how many certificates the answers are remembered.
_REMEMBERED: Final = 1000


class _File:
    """A file that may be replaced at any time."""

    __slots__ = ("_identity", "_looked", "data", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data: bytes | None = None
        self._identity: tuple[int, ...] | None = ()
        self._looked: float | None = None

    def look(self, now: float) -> bool:
        """
        Read it if it has changed; whether it has.

        @raise OSError: it has changed, and cannot be read; C{data} is None then.
        @raise UnusableStaple: it has changed, and is no plain file or too large.
        """
        if self._looked is not None and 0 <= now - self._looked < LOOK_EVERY:
            return False
        self._looked = now
        found = self._stat()
        if found == self._identity:
            return False
        self._identity, self.data = found, None
        if found is None:
            raise FileNotFoundError(f"there is no {self.path}")
        with open(os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise UnusableStaple("it is no plain file")
            data = opened.read(MAX_SIZE + 1)
        if len(data) > MAX_SIZE:
            raise UnusableStaple(f"it is larger than {MAX_SIZE} bytes")
        self.data = data
        return True

    def _stat(self) -> tuple[int, ...] | None:
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return None
        # The time of change moves with the permissions, too.
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@implementer(IOCSPResponder)
class FileOCSPResponder:
    """
    Staples out of files, which somebody else keeps up to date.

    Each file has one response, DER, as C{openssl ocsp -respout} writes it; which file serves
    which certificate is found out from the responses.  A file that changes is read again, within
    a second; whoever replaces one should do so by renaming.  What cannot be used is not used: it
    is logged, once for each time that the file changes, and there is no staple.

    @param paths: one path, or several.
    @param now: the time, in seconds since 1970.
    @raise TypeError: a path is none.
    """

    _log = Logger()

    def __init__(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        self._files = [_File(Path(path)) for path in given]
        self._now = now
        # The staple of a certificate and its issuer, and until when that is known.
        self._known: dict[tuple[bytes, bytes | None], tuple[Staple | None, float]] = {}
        # What was said of a file since it changed last.
        self._said: set[tuple[Path, str]] = set()

    def respond(self, certificate: bytes, issuer: bytes | None) -> bytes | None:
        """
        The staple of a certificate, or None if there is none that can be used now.

        @param certificate: DER.
        @param issuer: DER, or None where it is not known; then the signature is not looked at.
        """
        now = self._now()
        for file in self._files:
            self._look(file, now)
        key = certificate, issuer
        staple, until = self._known.get(key, (None, now))
        # Whatever is true of it now may be true only for some time.
        if not until - CHECK_EVERY <= now < until:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            staple = self._find(certificate, issuer, now)
            until = now + CHECK_EVERY
            if staple is not None and staple.nextUpdate is not None:
                until = min(until, staple.nextUpdate)
            self._known[key] = staple, until
        return None if staple is None else staple.der

    def _look(self, file: _File, now: float) -> None:
        try:
            if not file.look(now):
                return
            failure = None
        except (OSError, UnusableStaple) as error:
            failure = str(error)
        self._known.clear()
        self._said = {said for said in self._said if said[0] != file.path}
        if failure is not None:
            self._say(file, failure)

    def _find(self, certificate: bytes, issuer: bytes | None, now: float) -> Staple | None:
        """The staple that lapses last."""
        found = []
        foreign = None
        for file in self._files:
            if file.data is None:
                continue
            try:
                found.append(checkStaple(file.data, certificate, issuer, now))
            except ForeignStaple as error:
                foreign = file, str(error)
            except UnusableStaple as error:
                self._say(file, str(error))
        if foreign is not None and len(self._files) == 1:
            # Of several files all but one are about other certificates.
            self._say(*foreign)
        return max(found, key=lambda staple: staple.nextUpdate or staple.thisUpdate, default=None)

    def _say(self, file: _File, what: str) -> None:
        if (file.path, what) not in self._said:
            self._said.add((file.path, what))
            self._log.warn(
                "The OCSP response in {path} is not used: {what}", path=file.path, what=what
            )
