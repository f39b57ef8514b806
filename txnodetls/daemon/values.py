"""
From what was written to values: names that are known and stand where they belong, texts that are
read by the tables of options, and what Node's switches say.
"""

from __future__ import annotations

import importlib.util
import ipaddress
from collections.abc import Iterable
from typing import Any, Final

from txnodetls.daemon.settings import (
    DEFAULTS,
    NODE_SWITCHES,
    OWN,
    ROUTE_ONLY,
    SETTINGS,
    SWITCH_ONLY,
    Scope,
)
from txnodetls.daemon.written import ConfigError, Level
from txnodetls.options import (
    CONNECT,
    LISTEN,
    SERVER,
    Options,
    OptionTable,
    OptionTextError,
    fromText,
)

__all__ = [
    "LISTENING",
    "checkFile",
    "checkNames",
    "optionsOf",
    "ownOf",
    "processOf",
    "values",
    "versions",
]

LISTENING: Final = frozenset(LISTEN.textNames()) - frozenset(CONNECT.textNames()) | {
    "port",
    "path",
}
"""The options of C{listen}."""


# -- names


def checkFile(file: Level) -> None:
    """Every name in a file is known, and stands where it belongs; a ConfigError else."""
    checkNames(file, Scope.PROCESS)
    for listener in file.inner:
        checkNames(listener, Scope.LISTENER)
        for route in listener.inner:
            checkNames(route, Scope.ROUTE)


def checkNames(level: Level, scope: Scope) -> None:
    """Every name in a level is known, and belongs to such a place; a ConfigError else."""
    for name in level.values:
        setting = SETTINGS.get(name)
        if setting is None:
            option: Any = SERVER.get(name) or CONNECT.get(name) or LISTEN.get(name)
            if option is not None and option.refusal:
                raise level.error(name, option.refusal)
            nearest = SERVER.nearest(name, list(SETTINGS))
            hint = f"; did you mean {nearest}?" if nearest else ""
            raise level.error(name, f"unknown{hint}")
        if name in SWITCH_ONLY and level.title:
            raise level.error(name, "is a switch only")
        if name in ROUTE_ONLY and scope is not Scope.ROUTE:
            raise level.error(name, "belongs to a route")
        if setting.scope < scope:
            place = "the top of the file" if setting.scope is Scope.PROCESS else "the listener"
            raise level.error(name, f"belongs to {place}")


# -- values


def values(table: OptionTable, level: Level, names: Iterable[str]) -> dict[str, Any]:
    """Options out of what was written."""
    values: dict[str, Any] = {}
    for name in names:
        try:
            one = fromText(table, {name: level.values[name]})
        except OptionTextError as error:
            raise level.error(name, str(error).removeprefix(f"option {name}: ")) from error
        if one.keys() & values.keys():
            raise level.error(name, f"{next(iter(one))} is given twice")
        values.update(one)
    return values


def processOf(level: Level) -> Options:
    """The settings of the whole process."""
    names = [name for name in level.values if name in OWN and SETTINGS[name].scope is Scope.PROCESS]
    own = Options(OWN, DEFAULTS | values(OWN, level, names))
    if own.get("metrics") is not None:
        _checkMetrics(level, own.metrics)
    return own


def _checkMetrics(level: Level, place: str) -> None:
    host, colon, port = place.rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
        good = bool(colon) and port.isdecimal() and int(port) < 65536
    except ValueError:
        good = False
    if not good:
        raise level.error("metrics", f"{place!r} is not ADDRESS:PORT")
    if not address.is_loopback:
        # They tell more about clients than everyone should know.
        raise level.error("metrics", f"{address} is no loopback address")
    if importlib.util.find_spec("prometheus_client") is None:
        raise level.error("metrics", "needs prometheus_client: pip install txnodetls[metrics]")


def ownOf(level: Level) -> Options:
    """The daemon's own settings of a listener or route."""
    names = [
        name for name in level.values if name in OWN and SETTINGS[name].scope is not Scope.PROCESS
    ]
    return Options(OWN, DEFAULTS | values(OWN, level, names))


def optionsOf(level: Level) -> list[str]:
    """The names of Node's options in a level."""
    return [each for each in level.values if each not in OWN and each not in LISTENING]


def versions(own: Options) -> dict[str, str]:
    """
    What Node's switches say about versions and ciphers: options, where others do not give them.

    The lowest minimum and the highest maximum win, as in Node.

    @raise ConfigError: they leave no version.
    """
    found = {}
    given = [name for name in NODE_SWITCHES if own.get(name)]
    lowest = [name[-3:] for name in given if "max" not in name]
    highest = [name[-3:] for name in given if "max" in name]
    names = {"1.0": "TLSv1", "1.1": "TLSv1.1", "1.2": "TLSv1.2", "1.3": "TLSv1.3"}
    if lowest:
        found["minVersion"] = names[min(lowest)]
    if highest:
        found["maxVersion"] = names[max(highest)]
    if found.get("minVersion") == "TLSv1.3" and found.get("maxVersion") == "TLSv1.2":
        raise ConfigError(
            "--tls-min-v1.3", "cannot be together with --tls-max-v1.2", "tls-min-v1.3"
        )
    for name in ("tls-cipher-list", "tls-default-ciphers"):
        if own.get(name) is not None:
            found["ciphers"] = own[name]
    return found
