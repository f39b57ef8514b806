"""
Files that hold secrets: how they are opened, and how they are replaced.

Whoever can read a key can read connections, and whoever can put another in its
place can make sessions that say anything.  So a file counts only if it is a
file (and no link, neither soft nor hard), belongs to this user or to root, and
nobody else has any rights to it.  It is replaced as a whole or not at all, so
that no reader sees half of it.

Sources: open(2), rename(2).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["KeyFileError", "exclusively", "readSecret", "replaceSecret"]

_LONGEST: Final = 1024 * 1024
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MODE: Final = 0o600


class KeyFileError(ValueError):
    """A file cannot be used for secrets; the text says why, and names it."""


def readSecret(path: str) -> bytes:
    """
    The contents of a file that holds a secret.

    @raise FileNotFoundError: there is none.
    @raise KeyFileError: it cannot be trusted, or cannot be read.
    """
    descriptor = _open(path, os.O_RDONLY)
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(_LONGEST + 1)
    if len(data) > _LONGEST:
        raise KeyFileError(f"{path} is longer than a key file can be")
    return data


def _open(path: str, flags: int) -> int:
    """Open a file that is there, or that is made by this; check whose it is."""
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, _MODE)
    except FileNotFoundError:
        raise
    except OSError as error:
        link = os.path.islink(path)
        why = "is a link" if link else f"cannot be opened: {error.strerror or error}"
        raise KeyFileError(f"{path} {why}") from error
    try:
        _check(path, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check(path: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise KeyFileError(f"{path} is not a file")
    if found.st_uid not in (os.geteuid(), 0):
        raise KeyFileError(f"{path} belongs to another user ({found.st_uid})")
    if found.st_mode & 0o077:
        raise KeyFileError(
            f"{path} can be reached by others (mode {stat.S_IMODE(found.st_mode):04o}, not 0600)"
        )
    if found.st_nlink > 1:
        raise KeyFileError(f"{path} has {found.st_nlink} names (hard links)")


def replaceSecret(path: str, data: bytes) -> None:
    """
    Put a new file with this content in the place of the old one, if there is one.

    @raise OSError: it cannot be written; the old one is as it was.
    """
    fresh = f"{path}.{os.urandom(8).hex()}.new"
    descriptor = os.open(fresh, _NEW, _MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(fresh, path)
    except BaseException:
        os.unlink(fresh)
        raise


@contextmanager
def exclusively(path: str) -> Iterator[bool]:
    """
    Be the only process that changes a file while this lasts.

    Gives False, at once, while another one is; nobody waits for anybody.

    @raise KeyFileError: the lock beside it, C{path.lock}, cannot be trusted.
    @raise OSError: it cannot be made.
    """
    import fcntl

    descriptor = _open(f"{path}.lock", os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        # This unlocks it, too.
        os.close(descriptor)
