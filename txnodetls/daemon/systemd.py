"""
systemd: sockets that it has opened for us, and telling it how we are.

Sources: sd_listen_fds(3), sd_notify(3).
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping
from typing import Any

from twisted.internet.endpoints import quoteStringArgument, serverFromString

from txnodetls.daemon.repeating import Repeating

__all__ = ["Notifier", "descriptorOf"]


def descriptorOf(name: str) -> int:
    """
    The descriptor of a socket that systemd has opened.

    Twisted keeps the books of these; here its endpoint is only asked for the number.

    @param name: its FileDescriptorName, or its number, from 0.
    @raise ValueError: there is none.
    """
    from twisted.internet import reactor

    which = f"index={name}" if name.isdecimal() else f"name={quoteStringArgument(name)}"
    try:
        endpoint: Any = serverFromString(reactor, f"systemd:domain=INET:{which}")
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"systemd has handed over no socket {name!r}") from error
    return int(endpoint.fileno)


class Notifier:
    """
    Tells systemd how we are; without systemd it does nothing.

    @param environment: of the process.
    """

    def __init__(self, reactor: Any, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        self._watchdog = Repeating(reactor, lambda: self.tell("WATCHDOG=1"))
        try:
            self._every = int(environment.get("WATCHDOG_USEC", "0")) / 2e6
        except ValueError:
            self._every = 0.0

    def ready(self) -> None:
        """It serves, at first or again."""
        self.tell("READY=1")
        if self._every > 0 and self._address:
            self.tell("WATCHDOG=1")
            self._watchdog.start(self._every)

    def reloading(self) -> None:
        """It reads its configuration again; C{ready} follows."""
        self.tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """It drains."""
        self._watchdog.stop()
        self.tell("STOPPING=1")

    def tell(self, state: str) -> None:
        """Send a state."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            # Whoever listens may be gone, or slow: that is no reason to stop serving.
            with contextlib.suppress(OSError):
                sender.sendto(state.encode(), self._address)
