"""
Where the daemon's sessions and ticket keys are.

What has the same text is the same thing, in all listeners of a process, and before and after
the configuration was read again: who resumes need not care which port it is at, and a reload
forgets no session and no key.

Their files are read and written as long as the daemon runs.  So they are opened as the user that
it will be then (L{Rights}), from the start: what root has made, nobody else could go on with.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakValueDictionary

from twisted.python.util import runAsEffectiveUser

from txnodetls.daemon.written import Level
from txnodetls.errors import NodeError
from txnodetls.options import Options
from txnodetls.sessions.text import sessionStoreFrom, ticketKeyRingFrom

__all__ = ["KEYS", "STAYING", "STORE", "Rights", "addSharing"]

STORE: Final = "session-store"
KEYS: Final = "ticket-keys"

# What is in use, by setting and text; the configurations that use it keep it.
_inUse: WeakValueDictionary[tuple[str, str], Any] = WeakValueDictionary()


@dataclass(frozen=True, slots=True)
class Rights:
    """Whose rights this process is going to have; None: those that it has."""

    uid: int | None = None
    gid: int | None = None

    @classmethod
    def given(cls, options: Mapping[str, Any]) -> Rights:
        """Those that C{twistd} is told to give up its own for."""
        uid, gid = options.get("uid"), options.get("gid")
        if uid is not None and gid is None:
            try:
                gid = pwd.getpwuid(uid).pw_gid
            except KeyError:  # twistd itself will say so
                return STAYING
        return cls(uid, gid)

    def use(self, act: Callable[[], Any]) -> Any:
        """Do something with them."""
        if os.geteuid() != 0:
            return act()
        uid = 0 if self.uid is None else self.uid
        return runAsEffectiveUser(uid, os.getegid() if self.gid is None else self.gid, act)


STAYING: Final = Rights()


def addSharing(level: Level, own: Options, options: dict[str, Any], rights: Rights) -> None:
    """
    Put the session store and the ring of ticket keys of a listener into its server's options.

    @param rights: those that their files are opened with.
    @raise ConfigError: there is no such thing, or they do not go together.
    """
    if own.get(KEYS) is not None:
        if "ticketKeys" in options:
            raise level.error(KEYS, "cannot be together with ticketKeys or ticketKeysFile")
        options["ticketKeyRing"] = _made(level, KEYS, own[KEYS], ticketKeyRingFrom, rights)
    if own.get(STORE) is not None:
        store = options["sessionStore"] = _made(level, STORE, own[STORE], sessionStoreFrom, rights)
        alone = not options.keys() & {"ticketKeys", "ticketKeyRing"}
        if getattr(store, "shared", False) and store.sealingKeys is None and alone:
            raise level.error(
                STORE, f"needs a key to seal sessions with: ?keyFile=PATH at its end, or {KEYS}"
            )


def _made(
    level: Level, name: str, text: str, make: Callable[[str, str, Any], Any], rights: Rights
) -> Any:
    from twisted.internet import reactor

    found = _inUse.get((name, text))
    if found is None:
        try:
            found = rights.use(lambda: make(name, text, reactor))
        except NodeError as error:
            raise level.error(name, str(error)) from error
        _inUse[name, text] = found
    return found
