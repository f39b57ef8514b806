"""
Listening sockets: bound once, and kept through every reload.

A port belongs to the daemon, not to what serves it.  Servers come and go with the
configuration, each on a duplicate of the descriptor, so that no client is turned away in
between.  The same sockets can come from elsewhere: from systemd, or from the supervisor whose
worker this process is.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Any, Final

from txnodetls.daemon.systemd import descriptorOf
from txnodetls.errors import Blame, NodeError, Phase, socketError
from txnodetls.transports.listening import adopt, bindTCP, bindUNIX
from txnodetls.twisted.reporting import joined

__all__ = ["Bound", "bind", "placeOf"]

_BACKLOG: Final = 511
_READABLE: Final = 0o444
_WRITABLE: Final = 0o222


class Bound:
    """
    A listening socket.

    @ivar socket: it.
    @ivar path: the UNIX socket's file, which goes with it; None if there is none, or it is not
        ours.
    """

    def __init__(self, sock: socket.socket, path: str | None = None) -> None:
        sock.setblocking(False)  # Twisted takes it for granted
        self.socket = sock
        self.path = path

    def duplicate(self) -> int:
        """A descriptor for one who closes it himself."""
        return os.dup(self.socket.fileno())

    def close(self) -> None:
        """Listen no more."""
        if self.path is not None:
            with contextlib.suppress(OSError):
                os.unlink(self.path)
        self.socket.close()

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port, or None for a UNIX socket."""
        if self.socket.family == socket.AF_UNIX:
            return None
        host, port = self.socket.getsockname()[:2]
        return host, port

    def __str__(self) -> str:
        address = self.address
        return joined(*address) if address is not None else str(self.socket.getsockname())


def placeOf(name: str, where: Mapping[str, Any]) -> str:
    """
    What tells one place to listen at from another.

    @param name: the listener's: two that listen on any free port are at different places.
    """
    if "systemd" in where:
        return f"systemd {where['systemd']}"
    if "path" in where:
        return f"unix {where['path']}"
    place = joined(where["host"], where["port"])
    return place if where["port"] else f"{place} {name}"


def bind(where: Mapping[str, Any]) -> Bound:
    """
    Listen at a place.

    @param where: options of Node's C{listen}; or C{descriptor}, of a socket that listens; or
        C{systemd}, the name of one.
    @raise NodeError: it cannot be had.
    @raise ValueError: systemd has handed over no such socket.
    """
    path, descriptor = where.get("path"), where.get("descriptor")
    if "systemd" in where:
        descriptor = descriptorOf(where["systemd"])
    backlog = where.get("backlog") or _BACKLOG
    try:
        if descriptor is not None:
            return Bound(adopt(os.dup(descriptor)))
        if path is not None:
            mode = _READABLE if where.get("readableAll") else 0
            mode |= _WRITABLE if where.get("writableAll") else 0
            _removeStale(path)
            sock = bindUNIX(path, backlog, mode)
            return Bound(sock, None if path.startswith("\0") else os.path.abspath(path))
        only, shared = bool(where.get("ipv6Only")), bool(where.get("reusePort"))
        return Bound(bindTCP(where["host"], where["port"], backlog, only, shared))
    except OSError as error:
        raise _cannotListen(error, where) from error


def _removeStale(path: str) -> None:
    """Remove the socket that a process which was killed has left behind."""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.connect(path)
    except ConnectionRefusedError:
        os.unlink(path)
    except OSError:
        pass
    finally:
        probe.close()


def _cannotListen(error: OSError, where: Mapping[str, Any]) -> NodeError:
    place = where.get("path") or where.get("host")
    return socketError(
        error.errno or 0,
        "listen",
        place,
        where.get("port") or None,
        blame=Blame.CONFIGURATION,
        phase=Phase.CONFIGURING,
    )
