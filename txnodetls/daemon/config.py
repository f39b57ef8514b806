"""
What the switches and the file of C{twistd nodetls} amount to.

    switches ─┐
              ├─ levels (L{written}) → L{values} → L{serving}, L{credentials}, L{routes} → L{plan}
    TOML file ┘

Everything is read and checked here, before anything is opened: the result is a L{plan.Config}
that works, or one line that names the switch, or file, line and key.  The same is done when the
configuration is read again, so that a reload that would fail changes nothing.

The defaults are stricter than Node's: loopback only, ten seconds for a handshake, no
renegotiation by clients; and C{ca}, which says who may vouch for clients, also asks them for a
certificate unless C{requestCert} says no.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any, Final

from txnodetls.daemon.credentials import (
    checkVersions,
    contextOf,
    demand,
    directoryOf,
    fillIn,
    refusing,
    tryServer,
    useFirst,
    useThrowaway,
)
from txnodetls.daemon.files import Files
from txnodetls.daemon.meaning import checkUsed, inherited
from txnodetls.daemon.names import NameTable
from txnodetls.daemon.plan import Config, ListenerConfig
from txnodetls.daemon.routes import byNames, routesOf, rulesOf
from txnodetls.daemon.serving import originating, servingOf, whereOf
from txnodetls.daemon.settings import Mode, Scope
from txnodetls.daemon.sharing import KEYS, STAYING, STORE, Rights, addSharing
from txnodetls.daemon.validity import validityOf
from txnodetls.daemon.values import checkFile, checkNames, optionsOf, processOf, values
from txnodetls.daemon.written import Level, levelOfSwitches, readFile
from txnodetls.options import CONNECT, SERVER, Options

__all__ = ["readConfig"]

NAME: Final = "nodetls"

# What is one listener's alone, so that a switch cannot say it for several.
_PLACES: Final = ("name", "port", "path", "interface", "systemd")


def readConfig(
    switches: Mapping[str, Any], files: Files | None = None, rights: Rights = STAYING
) -> Config:
    """
    What these switches, by name, amount to, together with the file that they may name.

    @param files: where files are read from; by default the disk.
    @param rights: those that the process is going to have, if they are not those it has.
    @raise ConfigError: something is wrong.
    """
    files = Files() if files is None else files
    given = levelOfSwitches({name: text for name, text in switches.items() if text is not None})
    checkNames(given, Scope.PROCESS)
    with files.inUse():
        file = None
        if "config" in given.values:
            file = readFile(given.values["config"], files)
            checkFile(file)
        own = processOf(given if file is None else given.over(file))
        levels = [] if file is None else file.inner
        if len(levels) > 1:
            for name in _PLACES:
                if name in given.values:
                    problem = f"there are {len(levels)} listeners: say it in {file and file.title}"
                    raise given.error(name, problem)
        listeners = []
        merged: list[Level] = []
        warnings: list[str] = []
        for number, table in enumerate(levels or [Level()], 1):
            named = NAME if len(levels) < 2 else f"listener{number}"
            level = inherited(given, table if file is None else inherited(table, file))
            level.inherited = _around(level, table, given, len(levels))
            merged.append(level)
            listeners.append(
                _listener(level, named, file is not None, own, files, rights, warnings)
            )
    checkUsed([given] if file is None else [given, file], merged)
    _checkApart(listeners, levels)
    return Config(tuple(listeners), own, files, tuple(warnings))


def _checkApart(listeners: Iterable[ListenerConfig], levels: list[Level]) -> None:
    """Each listener has a name and a place of its own."""
    names: dict[str, int] = {}
    places: dict[Any, int] = {}
    for number, listener in enumerate(listeners):
        where = listener.where
        if listener.name in names:
            raise levels[number].error("name", f"{listener.name!r} is another listener's, too")
        names[listener.name] = number
        name = next((each for each in ("path", "systemd") if each in where), "port")
        place = name, where.get("host"), where[name]
        if place in places and where.get("port") != 0:
            raise levels[number].error(name, "another listener has the same")
        places[place] = number


def _around(level: Level, table: Level, given: Level, count: int) -> Set[str]:
    """What was not said for this listener itself: without tables all was, with one the switches."""
    if not count:
        return frozenset()
    own = table.values.keys() | (given.values.keys() if count == 1 else set())
    return level.values.keys() - own


def _listener(
    level: Level,
    name: str,
    inFile: bool,
    process: Options,
    files: Files,
    rights: Rights,
    warnings: list[str],
) -> ListenerConfig:
    serving = servingOf(level, inFile)
    own = serving.own
    name = own.get("name") or name
    where = whereOf(level, own)
    known = CONNECT if serving.mode is Mode.ORIGINATE else SERVER
    options = values(known, level, optionsOf(level))
    if process.get("trace-tls"):
        options.setdefault("enableTrace", True)
    if serving.mode is Mode.ORIGINATE:
        if level.inner:
            raise level.inner[0].error("route", "has no meaning with originate")
        serving = originating(level, serving, options, process)
        return ListenerConfig(name, where, {}, serving, level)
    groups = directoryOf(level, own, files, warnings)
    credentials = options.keys() & {"key", "pfx"}
    throwaway = None
    fillIn(options, process)
    checkVersions(level, options)
    demand(level, options)
    if groups and not credentials and not own.strictSNI:
        useFirst(groups, options)
    elif not credentials and not own.strictSNI and "pskCallback" not in options:
        throwaway = useThrowaway(options, where.get("host"), files)
    context = options["secureContext"] = contextOf(level, options, name)
    if own.strictSNI:
        options["secureContext"] = refusing(level, options, name)
    addSharing(level, own, options, rights)
    for each in (KEYS, STORE):
        if process.workers > 1 and (own.get(each) or "").startswith("memory"):
            warnings.append(f"{name}: {each} in memory is each worker's own: others do not know it")
    tryServer(level, options)
    routes = routesOf(level, options, name, own)
    named = byNames(level, options, name, routes, groups)
    validities = validityOf(name, "default", context) if credentials else []
    for title, _, chosen in named:
        validities += validityOf(name, title, chosen)
    table = [(each, chosen) for _, names, chosen in named for each in names]
    if own.strictSNI and credentials:
        # Nobody gets it by default, so those get it for whom there is a route.
        table += [(each, context) for route in routes for each in route.servernames]
    return ListenerConfig(
        name,
        where,
        options,
        serving,
        level,
        rulesOf(level, own, options),
        tuple(routes),
        NameTable(table),
        tuple(validities),
        throwaway,
    )
