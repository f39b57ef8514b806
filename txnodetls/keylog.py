"""
A file that connections write their secrets to, for Wireshark and its like.

Who reads it can read all that was said on these connections, so:

- it is made with the rights of its owner alone (0600), and one that is there already has to be a
  plain file of ours with no more rights than that;
- no link is followed to it, symbolic or hard;
- it is only ever appended to.  A line is one write, so that several processes can share a file;
- that it is written at all is said in the log, loudly.

It is a help for looking at connections, and no more: a disk that is full costs lines of it, and a
line in the log, and never a connection.

Sources: C{keylog} of https://nodejs.org/api/tls.html#event-keylog, the format:
draft-ietf-tls-keylogfile.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Any, Final, Self

from twisted.logger import Logger

__all__ = ["KeyLogFile"]

_FLAGS: Final = (
    os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
)
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class KeyLogFile:
    """
    A key log: call it with a line, as C{emitter.on("keylog", file)} does.

    It stays open until C{close()}, also when its name goes.

    @param path: where it is, or will be.
    @raise OSError: it cannot be opened, or others than its owner could read it or put something
        in its place; the text says which.

    @ivar path: as it was given.
    @ivar lost: how many lines could not be written since the last one that could.
    """

    _log = Logger()

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.lost = 0
        self._broken = False
        self._descriptor: int | None = _open(self.path)
        self._log.warn(
            "KEY LOG: the secrets of all TLS connections are written to {path}; "
            "who can read it can read and forge what these connections carry",
            path=self.path,
        )

    def __call__(self, line: bytes, *_more: Any) -> None:
        """
        Append a line: the listener of C{'keylog'} events, of sockets and servers.

        @param line: with its end of line.
        """
        if self._descriptor is None:
            return
        # What a full disk left of the last line is closed first, or it would spoil this one, too.
        data = b"\n" + line if self._broken else line
        try:
            written = os.write(self._descriptor, data)
        except OSError as error:
            self._lose(os.strerror(error.errno or errno.EIO))
            return
        self._broken = written < len(data) and (written > 0 or self._broken)
        if written < len(data):
            self._lose("there is no room for it")
        elif self.lost:
            self._log.warn(
                "{path} is written again; {lost} lines are lost", path=self.path, lost=self.lost
            )
            self.lost = 0

    def _lose(self, why: str) -> None:
        if not self.lost:
            self._log.error("The key log {path} cannot be written: {why}", path=self.path, why=why)
        self.lost += 1

    def close(self) -> None:
        """Write no more; lines that come later are dropped."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()


def _open(path: str) -> int:
    try:
        descriptor = os.open(path, _FLAGS, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _refused(error.errno, "it is a symbolic link", path) from error
        if error.errno == errno.ENXIO:
            # A FIFO that nobody reads.
            raise _refused(error.errno, "it is no plain file", path) from error
        raise
    try:
        _inspect(os.fstat(descriptor), path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _inspect(found: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _refused(errno.EINVAL, "it is no plain file", path)
    if found.st_uid != os.geteuid():
        raise _refused(errno.EPERM, "it belongs to somebody else", path)
    if found.st_nlink != 1:
        raise _refused(errno.EMLINK, "it has other names, too", path)
    if stat.S_IMODE(found.st_mode) & _OTHERS:
        raise _refused(errno.EACCES, "others have rights to it; it has to be 0600", path)


def _refused(number: int, why: str, path: str) -> OSError:
    return OSError(number, f"no secrets are written there: {why}", path)
