"""
Whether a setting means something where it stands: one that would be passed over is an error.

What was written for a listener or a route itself has to mean something there.  What comes from
around it (the top of the file, the switches of several listeners, the listener of a route) holds
for those for whom it means something; but for one of them at least.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from txnodetls.daemon.settings import SETTINGS, Mode
from txnodetls.daemon.written import Level

__all__ = ["checkUsed", "hostAndPort", "inherited", "modeOf", "modesWithin", "sift"]

_MODES: Final = tuple(mode.value for mode in Mode)

_WHERE: Final = ("port", "path", "systemd")
# Some of them with what else they make meaningless.
_PLACES: Final = {
    "systemd": (
        *("port", "path", "interface", "backlog", "ipv6Only", "reusePort"),
        *("readableAll", "writableAll"),
    ),
    "path": ("port", "interface", "ipv6Only", "reusePort"),
}
# What belongs to a connection by TCP that the daemon makes itself.
_CONNECTING: Final = (
    *("localAddress", "localPort", "family", "hints", "noDelay"),
    *("autoSelectFamily", "autoSelectFamilyAttemptTimeout"),
    *("keepAlive", "keepAliveInitialDelay"),
)
# Settings, and what they are about: without any of that they mean nothing.
_ABOUT: Final = {
    "readableAll": ("path",),
    "writableAll": ("path",),
    "passphrase": ("key", "pfx"),
    "passphraseFile": ("key", "pfx"),
    "pskIdentityHint": ("pskFile",),
    "staplesPrivate": ("staples",),
}
_ABOUT_CLIENTS: Final = {"crl": ("ca",), "allowPartialTrustChain": ("ca",)}
_HOST_PORT: Final = re.compile(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^:\[\]]+)):(\d+)")


def inherited(level: Level, outer: Level) -> Level:
    """A level, and what it does not say from around it; what is served is said as a whole."""
    taken = Level(dict(outer.values), outer.places, outer.title, outer.inner)
    if any(mode in level.values for mode in _MODES):
        for mode in _MODES:
            taken.values.pop(mode, None)
    if any(place in level.values for place in _WHERE):
        for place in _WHERE:
            taken.values.pop(place, None)
    merged = level.over(taken)
    merged.title = level.title or outer.title
    merged.inner = level.inner or (outer.inner if not level.title else [])
    merged.inherited = taken.values.keys() - level.values.keys()
    return merged


def hostAndPort(target: str) -> tuple[str, int] | None:
    """Host and port of C{originate}; None where it is an endpoint."""
    found = _HOST_PORT.fullmatch(target)
    if found is None or (found[2] is not None and "/" in found[2]) or int(found[3]) > 65535:
        return None
    return str(found[1] or found[2]), int(found[3])


def modeOf(level: Level, said: Callable[[str], Any]) -> Mode | None:
    """
    What is done with connections, as far as it is said.

    @param said: gives the value of a setting, or None.
    @raise ConfigError: it is said twice.
    """
    modes = [mode for mode in Mode if said(mode.value) not in (None, False)]
    if len(modes) > 1:
        others = ", ".join(mode.value for mode in modes[:-1])
        raise level.error(modes[-1].value, f"cannot be together with {others}")
    return modes[0] if modes else None


def modesWithin(level: Level) -> set[Mode]:
    """What the routes of a listener do, where that is something else."""
    return {mode for mode in Mode for route in level.inner if mode.value in route.values}


def sift(level: Level, modes: set[Mode]) -> None:
    """
    Drop what is inherited and means nothing here.

    @param modes: what is done here with connections.
    @raise ConfigError: something that was written here means nothing.
    """
    for name in list(level.values):
        possible = SETTINGS[name].modes
        if not modes & possible:
            _passOver(level, name, _meaning(modes, possible))
    for place, others in _PLACES.items():
        if place in level.values:
            for name in others:
                _passOver(level, name, f"has no meaning together with {place}")
    clients = {} if modes == {Mode.ORIGINATE} else _ABOUT_CLIENTS
    for name, about in (_ABOUT | clients).items():
        if not any(each in within.values for within in (level, *level.inner) for each in about):
            _passOver(level, name, f"has no meaning without {' or '.join(about)}")
    target = level.values.get(Mode.ORIGINATE.value)
    if isinstance(target, str) and hostAndPort(target) is None:
        for name in _CONNECTING:
            _passOver(level, name, "has no meaning where originate is an endpoint")


def _meaning(modes: set[Mode], possible: frozenset[Mode]) -> str:
    if modes == {Mode.ORIGINATE}:
        return "has no meaning with originate"
    return f"has a meaning with {' and '.join(sorted(mode.value for mode in possible))} only"


def _passOver(level: Level, name: str, problem: str) -> None:
    if name not in level.values:
        return
    if name not in level.inherited:
        raise level.error(name, problem)
    del level.values[name]
    level.dropped[name] = problem


def checkUsed(outer: Iterable[Level], listeners: Iterable[Level]) -> None:
    """
    What was written around all listeners means something for one of them.

    @raise ConfigError: it does not.
    """
    everywhere: Mapping[str, str] | None = None
    for level in listeners:
        if everywhere is None:
            everywhere = level.dropped
        else:
            everywhere = {n: text for n, text in everywhere.items() if n in level.dropped}
    for name, problem in (everywhere or {}).items():
        for level in outer:
            if name in level.values:
                raise level.error(name, problem)
