"""
The two areas of memory that ciphertext passes through.

There is one reactor thread, and no byte of ciphertext outlives the turn in which it was
read or made, so all connections share two areas instead of having buffers of their own:

- C{INPUT}: a socket reads into it (C{recv_into}), and OpenSSL is fed from it.  What is in it
  is valid only until the call that it was announced in returns.
- C{OUTPUT}: little ciphertext is moved to it, and a socket sends from it.  Much of it is sent
  from where OpenSSL has written it.

They are allocated by cffi, so that OpenSSL has a pointer to them and the socket a
C{memoryview}, and nothing is copied into a C{bytes} object in between.

Pages of an area that were never touched cost no memory.
"""

from __future__ import annotations

from typing import Any, Final

from OpenSSL import _util

__all__ = ["INPUT", "OUTPUT", "Area"]


class Area:
    """
    A fixed piece of memory with two faces.

    @ivar size: its length in bytes.
    @ivar pointer: C{char *}, for OpenSSL.
    @ivar view: a writable C{memoryview} of all of it, for sockets.
    """

    __slots__ = ("pointer", "size", "view")

    def __init__(self, size: int) -> None:
        ffi: Any = _util.ffi
        self.size = size
        self.pointer: Any = ffi.new("char[]", size)
        self.view = memoryview(ffi.buffer(self.pointer)).cast("B")


INPUT: Final = Area(512 * 1024)
OUTPUT: Final = Area(64 * 1024)
