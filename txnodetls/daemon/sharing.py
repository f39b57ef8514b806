"""
Where the daemon's sessions and ticket keys are.

What has the same text is the same thing, in all listeners of a process, and before and after
the configuration was read again: who resumes need not care which port it is at, and a reload
forgets no session and no key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from weakref import WeakValueDictionary

from txnodetls.daemon.written import Level
from txnodetls.errors import NodeError
from txnodetls.options import Options
from txnodetls.sessions.text import sessionStoreFrom, ticketKeyRingFrom

__all__ = ["KEYS", "STORE", "addSharing"]

STORE: Final = "session-store"
KEYS: Final = "ticket-keys"

# What is in use, by setting and text; the configurations that use it keep it.
_inUse: WeakValueDictionary[tuple[str, str], Any] = WeakValueDictionary()


def addSharing(level: Level, own: Options, options: dict[str, Any]) -> None:
    """
    Put the session store and the ring of ticket keys of a listener into its server's options.

    @raise ConfigError: there is no such thing, or they do not go together.
    """
    if own.get(KEYS) is not None:
        if "ticketKeys" in options:
            raise level.error(KEYS, "cannot be together with ticketKeys or ticketKeysFile")
        options["ticketKeyRing"] = _made(level, KEYS, own[KEYS], ticketKeyRingFrom)
    if own.get(STORE) is not None:
        store = options["sessionStore"] = _made(level, STORE, own[STORE], sessionStoreFrom)
        alone = not options.keys() & {"ticketKeys", "ticketKeyRing"}
        if getattr(store, "shared", False) and store.sealingKeys is None and alone:
            raise level.error(
                STORE, f"needs a key to seal sessions with: ?keyFile=PATH at its end, or {KEYS}"
            )


def _made(level: Level, name: str, text: str, make: Callable[[str, str, Any], Any]) -> Any:
    from twisted.internet import reactor

    found = _inUse.get((name, text))
    if found is None:
        try:
            found = make(name, text, reactor)
        except NodeError as error:
            raise level.error(name, str(error)) from error
        _inUse[name, text] = found
    return found
