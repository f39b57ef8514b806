"""
What the switches and the file of C{twistd nodetls} amount to.

    switches ─┐
              ├─ levels (L{written}) → checked against L{settings} → L{Config}
    TOML file ┘

Everything is read and checked here, before anything is opened: the result is a L{Config}
that works, or one line that names the switch, or file, line and key.  The same is done when the
configuration is read again, so that a reload that would fail changes nothing.

The defaults are stricter than Node's: loopback only, ten seconds for a handshake, no
renegotiation by clients; and C{ca}, which says who may vouch for clients, also asks them for a
certificate unless C{requestCert} says no.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any, Final

from txnodetls.constants import PROTOCOL_VERSIONS, SSL_OP_NO_RENEGOTIATION, defaults
from txnodetls.context import SecureContext, defaultSessionIdContext, makeContext
from txnodetls.daemon.certdir import Pair, grouped, readDirectory
from txnodetls.daemon.files import Files
from txnodetls.daemon.meaning import checkUsed, hostAndPort, inherited, modeOf, modesWithin, sift
from txnodetls.daemon.names import NameTable, matches, wrongName
from txnodetls.daemon.proxyprotocol import Networks
from txnodetls.daemon.rules import Rules, readRules
from txnodetls.daemon.settings import (
    DEFAULTS,
    HANDSHAKE_TIMEOUT,
    INTERFACE,
    NODE_SWITCHES,
    OWN,
    PORT,
    ROUTE_ONLY,
    SETTINGS,
    SWITCH_ONLY,
    Mode,
    Scope,
)
from txnodetls.daemon.sharing import KEYS, STAYING, STORE, Rights, addSharing
from txnodetls.daemon.validity import Validity, validityOf
from txnodetls.daemon.written import ConfigError, Level, levelOfSwitches, readFile
from txnodetls.errors import NodeError
from txnodetls.openssl.contexts import refuseNames
from txnodetls.options import (
    CONNECT,
    CONTEXT,
    LISTEN,
    SERVER,
    Options,
    OptionTable,
    OptionTextError,
    fromText,
    readOptions,
)
from txnodetls.server import Server
from txnodetls.twisted.blame import wrongText

__all__ = ["Config", "ListenerConfig", "Mode", "RouteConfig", "Serving", "readConfig"]

NAME: Final = "nodetls"
NO_RULES: Final = Rules()
NO_NAMES: Final[NameTable[SecureContext]] = NameTable()

# What is one listener's alone, so that a switch cannot say it for several.
_PLACES: Final = ("name", "port", "path", "interface", "systemd")
_LISTENING: Final = frozenset(LISTEN.textNames()) - frozenset(CONNECT.textNames()) | {
    "port",
    "path",
}


@dataclass(frozen=True, slots=True)
class Serving:
    """
    What is done with connections, of a listener or of a route.

    @ivar target: the value of the setting that is the mode's: an endpoint, say.
    @ivar own: the daemon's own settings.
    @ivar place: of originate: host and port, or the string of an endpoint.
    @ivar options: of originate: those of C{connect}, with C{secureContext} made.
    """

    mode: Mode
    target: str
    own: Options
    place: tuple[str, int] | str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """In a few words, for the log."""
        words = {
            Mode.ECHO: "echo",
            Mode.TERMINATE: f"proxy to {self.target}",
            Mode.ORIGINATE: f"plain, TLS to {self.target}",
            Mode.STATIC: f"files of {self.target}",
        }
        return words[self.mode]


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """
    What is served to some of a listener's clients.

    @ivar name: its name in logs and metrics.
    @ivar servernames: the names that they ask for; empty: whatever they ask for.
    @ivar protocols: what was agreed on with them; empty: whatever that is.
    @ivar context: its certificates and trust, or None: the listener's.
    @ivar rules: who may come in.
    @ivar given: which options of its own it has.
    """

    name: str
    serving: Serving
    servernames: tuple[str, ...]
    protocols: tuple[str, ...]
    context: SecureContext | None
    rules: Rules
    given: frozenset[str] = frozenset()

    def takes(self, servername: str | None, protocol: str | None) -> bool:
        """Whether a client with this name and protocol is served here."""
        return self.isFor(servername) and (not self.protocols or protocol in self.protocols)

    def isFor(self, servername: str | None) -> bool:
        """Whether a client with this name may be served here."""
        if not self.servernames:
            return True
        return servername is not None and matches(self.servernames, servername)


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    """
    One listener.

    @ivar name: its name in logs and metrics.
    @ivar where: options of C{listen}: port, host …; or C{systemd}, the name of a socket.
    @ivar options: options of C{createServer} with C{secureContext} made.
    @ivar serving: what is served where no route says otherwise.
    @ivar rules: who may come in where no route says otherwise.
    @ivar contexts: by the names that clients ask for.
    @ivar validities: of all certificates that are served.
    @ivar throwaway: the certificate (PEM) that was made for want of one, or None.
    @ivar level: what was written, for errors.
    """

    name: str
    where: Mapping[str, Any]
    options: Mapping[str, Any]
    serving: Serving
    level: Level
    rules: Rules = NO_RULES
    routes: tuple[RouteConfig, ...] = ()
    contexts: NameTable[SecureContext] = NO_NAMES
    validities: tuple[Validity, ...] = ()
    throwaway: bytes | None = None

    @property
    def own(self) -> Options:
        """The daemon's own settings."""
        return self.serving.own


@dataclass(frozen=True, slots=True)
class Config:
    """
    What the daemon is to do.

    @ivar own: the daemon's own settings that hold for the whole process.
    @ivar files: what was read for it.
    @ivar warnings: what is not good, and yet no reason not to serve.
    """

    listeners: tuple[ListenerConfig, ...]
    own: Options
    files: Files
    warnings: tuple[str, ...] = ()


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
    _checkNames(given, Scope.PROCESS)
    with files.inUse():
        file = None
        if "config" in given.values:
            file = readFile(given.values["config"], files)
            _checkFile(file)
        own = _process(given if file is None else given.over(file))
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


# -- names


def _checkFile(file: Level) -> None:
    _checkNames(file, Scope.PROCESS)
    for listener in file.inner:
        _checkNames(listener, Scope.LISTENER)
        for route in listener.inner:
            _checkNames(route, Scope.ROUTE)


def _checkNames(level: Level, scope: Scope) -> None:
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


# -- values


def _values(table: OptionTable, level: Level, names: Iterable[str]) -> dict[str, Any]:
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


def _process(level: Level) -> Options:
    """The settings of the whole process."""
    names = [name for name in level.values if name in OWN and SETTINGS[name].scope is Scope.PROCESS]
    own = Options(OWN, DEFAULTS | _values(OWN, level, names))
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


def _versions(own: Options) -> dict[str, str]:
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


# -- listeners


def _listener(
    level: Level,
    name: str,
    inFile: bool,
    process: Options,
    files: Files,
    rights: Rights,
    warnings: list[str],
) -> ListenerConfig:
    serving = _serving(level, inFile)
    own = serving.own
    name = own.get("name") or name
    where = _where(level, own)
    known = CONNECT if serving.mode is Mode.ORIGINATE else SERVER
    options = _values(known, level, _ofTable(level))
    if process.get("trace-tls"):
        options.setdefault("enableTrace", True)
    if serving.mode is Mode.ORIGINATE:
        if level.inner:
            raise level.inner[0].error("route", "has no meaning with originate")
        serving = _originating(level, serving, options, process)
        return ListenerConfig(name, where, {}, serving, level)
    groups = _directory(level, own, files, warnings)
    credentials = options.keys() & {"key", "pfx"}
    throwaway = None
    _fillIn(options, process)
    _checkVersions(level, options)
    _demand(level, options)
    if groups and not credentials and not own.strictSNI:
        _useFirst(groups, options)
    elif not credentials and not own.strictSNI and "pskCallback" not in options:
        throwaway = _throwaway(options, where.get("host"), files)
    context = options["secureContext"] = _context(level, options, name)
    if own.strictSNI:
        options["secureContext"] = _refusing(level, options, name)
    addSharing(level, own, options, rights)
    for each in (KEYS, STORE):
        if process.workers > 1 and (own.get(each) or "").startswith("memory"):
            warnings.append(f"{name}: {each} in memory is each worker's own: others do not know it")
    _tryServer(level, options)
    routes = _routes(level, options, name, own)
    named = _byNames(level, options, name, routes, groups)
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
        _rules(level, own, options),
        tuple(routes),
        NameTable(table),
        tuple(validities),
        throwaway,
    )


def _byNames(
    level: Level,
    options: Mapping[str, Any],
    listener: str,
    routes: Iterable[RouteConfig],
    groups: Iterable[list[Pair]],
) -> list[tuple[str, Iterable[str], SecureContext]]:
    """What is served by the name that a client asks for: title, names and context of each."""
    found: list[tuple[str, Iterable[str], SecureContext]] = []
    for route in routes:
        if route.context is not None:
            found.append((route.name, route.servernames, route.context))
    for group in groups:
        names = dict.fromkeys(name for pair in group for name in pair.names)
        context = _groupContext(level, options, group, listener)
        found.append((group[0].source, names, context))
    return found


def _rules(level: Level, own: Options, options: Mapping[str, Any]) -> Rules:
    found = NO_RULES
    for name in ("clientSubject", "clientSAN"):
        entries = own.get(name)
        if not entries:
            continue
        if not options.get("requestCert") or options.get("rejectUnauthorized") is False:
            # A rule about certificates that nobody has verified would only look like one.
            raise level.error(name, "needs ca, and clients that are refused without a certificate")
        try:
            one = readRules(*((entries, []) if name == "clientSubject" else ([], entries)))
        except ValueError as error:
            raise level.error(name, str(error)) from error
        found = Rules(found.subjects + one.subjects, found.names + one.names)
    return found


# -- certificates in a directory


def _directory(level: Level, own: Options, files: Files, warnings: list[str]) -> list[list[Pair]]:
    directory = own.get("certDir")
    if directory is None:
        if own.strictSNI and not level.inner:
            raise level.error("strictSNI", "needs certDir, or routes with servernames")
        return []
    try:
        pairs, said = readDirectory(directory, files, files.pairs.get(directory, ()))
    except OSError as error:
        problem = f"cannot read {directory}: {error.strerror or error}"
        raise level.error("certDir", problem) from error
    files.pairs[directory] = pairs
    groups, more = grouped(pairs)
    warnings += said + more
    if not groups:
        raise level.error("certDir", f"there is nothing to use in {directory}")
    return groups


def _useFirst(groups: list[list[Pair]], options: dict[str, Any]) -> None:
    """The certificate for those who ask for no other: the one called default, or the first."""
    named = [group for group in groups if any(pair.source == "default" for pair in group)]
    group = (named or groups)[0]
    options["cert"] = [pair.certificate for pair in group]
    options["key"] = [pair.key for pair in group]


_CREDENTIALS: Final = ("key", "cert", "pfx", "passphrase")


def _groupContext(
    level: Level, options: Mapping[str, Any], group: list[Pair], name: str
) -> SecureContext:
    own = {key: value for key, value in options.items() if key not in _CREDENTIALS}
    own.pop("secureContext", None)
    own["cert"] = [pair.certificate for pair in group]
    own["key"] = [pair.key for pair in group]
    try:
        return _makeContext(own, name)
    except NodeError as error:
        raise level.error("certDir", f"{group[0].source}: {error}") from error


# -- routes


def _routes(
    level: Level, options: Mapping[str, Any], listener: str, own: Options
) -> list[RouteConfig]:
    routes: list[RouteConfig] = []
    taken: dict[str, str] = {}
    for number, written in enumerate(level.inner, 1):
        around = Level(dict(level.values), level.places, level.title)
        around.values.pop("name", None)
        merged = inherited(written, around)
        route = _route(written, merged, options, listener, f"route{number}")
        if any(route.name == other.name for other in routes):
            raise written.error("name", f"{route.name!r} is another route's, too")
        if route.context is not None:
            if own.get("certDir") and not route.given & {"key", "pfx"}:
                problem = "needs key and cert here, too: with certDir there are many"
                raise written.error(sorted(route.given)[0], problem)
            for each in route.servernames:
                if each in taken:
                    problem = f"{each} is route {taken[each]}'s, too: say it there"
                    raise written.error(sorted(route.given)[0], problem)
        taken |= dict.fromkeys(route.servernames, route.name)
        routes.append(route)
    return routes


def _route(
    written: Level, merged: Level, listeners: Mapping[str, Any], listener: str, name: str
) -> RouteConfig:
    serving = _serving(merged, True)
    own = serving.own
    servernames, protocols = tuple(own.get("servernames") or ()), tuple(own.get("protocols") or ())
    for each in servernames:
        if (wrong := wrongName(each)) is not None:
            raise written.error("servernames", wrong)
    if not servernames and not protocols:
        raise written.error("servernames", "or protocols: say for whom this route is")
    names = [each for each in written.values if each not in OWN]
    options = {key: value for key, value in listeners.items() if key != "secureContext"}
    given = _values(SERVER, written, names)
    context = None
    if given:
        if not servernames:
            raise written.error(names[0], "needs servernames: protocols are agreed on too late")
        if given.keys() & {"key", "cert", "pfx"}:
            for each in _CREDENTIALS:
                options.pop(each, None)
        if "ca" in given:
            options.pop("requestCert", None)
        options |= given
        _demand(written, options)
        context = _context(written, options, listener)
    rules = _rules(merged, own, options)
    name = own.get("name") or name
    return RouteConfig(name, serving, servernames, protocols, context, rules, frozenset(given))


def _ofTable(level: Level) -> list[str]:
    """The names of Node's options in a level."""
    return [each for each in level.values if each not in OWN and each not in _LISTENING]


def _originating(
    level: Level, serving: Serving, options: dict[str, Any], process: Options
) -> Serving:
    """Where to connect to, and how."""
    target = serving.target
    place: tuple[str, int] | str = hostAndPort(target) or target
    if place is target:
        _tryEndpoint(level, "originate", target)
        if "servername" not in options and options.get("rejectUnauthorized") is not False:
            raise level.error("servername", "is needed: an endpoint does not tell the server's")
        options.setdefault("host", options.get("servername"))
    for name, value in _versions(process).items():
        if name == "ciphers" or "secureProtocol" not in options:
            options.setdefault(name, value)
    try:
        read = readOptions(CONNECT, options)
        options["secureContext"] = makeContext(read.only(CONTEXT), isServer=False)
    except NodeError as error:
        raise level.error(wrongText(CONNECT, level.values, options, error), str(error)) from error
    return replace(serving, place=place, options=options)


def _own(level: Level) -> Options:
    """The daemon's own settings of a listener or route."""
    names = [
        name for name in level.values if name in OWN and SETTINGS[name].scope is not Scope.PROCESS
    ]
    return Options(OWN, DEFAULTS | _values(OWN, level, names))


def _serving(level: Level, inFile: bool) -> Serving:
    mode = modeOf(level, _own(level).get)
    if mode is None:
        if inFile:
            # An echo that was not asked for would be an open mirror.
            modes = ", ".join(each.value for each in Mode)
            raise level.error("proxy", f"say what to serve: one of {modes}")
        mode = Mode.ECHO
    sift(level, {mode} | modesWithin(level))
    own = _own(level)
    if own.get("acceptProxyFrom") is not None:
        try:
            Networks(own.acceptProxyFrom)
        except ValueError as error:
            raise level.error("acceptProxyFrom", str(error)) from error
    target = own.get(mode.value) or ""
    if mode is Mode.TERMINATE:
        _tryEndpoint(level, "proxy", target)
    if mode is Mode.STATIC and not os.path.isdir(target):
        raise level.error("static", f"{target} is no directory")
    return Serving(mode, "" if target is True else target, own)


def _tryEndpoint(level: Level, name: str, string: str) -> None:
    from twisted.internet import reactor
    from twisted.internet.endpoints import clientFromString

    try:
        clientFromString(reactor, string)
    except Exception as error:  # each endpoint has its own way to refuse a string
        raise level.error(name, f"{string!r} is no client endpoint: {error}") from error


def _where(level: Level, own: Options) -> dict[str, Any]:
    written = [name for name in level.values if name in _LISTENING]
    if own.get("systemd") is not None:
        # Whether it is there is found out where it is taken: a test of the configuration has none,
        # and neither has a worker, which gets it from its supervisor.
        return {"systemd": own.systemd}
    if "path" in written:
        return _values(LISTEN, level, written)
    interface = own.get("interface") or INTERFACE
    try:
        ipaddress.ip_address(interface.partition("%")[0])
    except ValueError:
        raise level.error("interface", f"{interface!r} is not an IP address") from None
    return {"host": interface, "port": PORT, **_values(LISTEN, level, written)}


def _fillIn(options: dict[str, Any], process: Options) -> None:
    """Fill in the defaults."""
    options.setdefault("handshakeTimeout", HANDSHAKE_TIMEOUT)
    options["secureOptions"] = options.get("secureOptions", 0) | SSL_OP_NO_RENEGOTIATION
    for name, value in _versions(process).items():
        if name == "ciphers" or "secureProtocol" not in options:
            options.setdefault(name, value)


def _checkVersions(level: Level, options: Mapping[str, Any]) -> None:
    """There is a version that can be spoken."""
    lowest = PROTOCOL_VERSIONS.get(options.get("minVersion", defaults.DEFAULT_MIN_VERSION))
    highest = PROTOCOL_VERSIONS.get(options.get("maxVersion", defaults.DEFAULT_MAX_VERSION))
    # A word that is no version is told where the context is made.
    if lowest is not None and highest is not None and lowest > highest:
        name = "maxVersion" if "maxVersion" in level.values else "minVersion"
        raise level.error(name, "leaves no version: the lowest is above the highest")


def _throwaway(options: dict[str, Any], interface: str | None, files: Files) -> bytes:
    """Use a certificate to throw away; its PEM."""
    names = tuple(dict.fromkeys(["localhost", INTERFACE, interface or INTERFACE]))
    certificate, key = files.throwaway(names)
    options["cert"], options["key"] = certificate, key
    return certificate


def _demand(level: Level, options: dict[str, Any]) -> None:
    """What is asked of clients, and what belongs together."""
    if "ca" in options:
        options.setdefault("requestCert", True)
    if options.get("requestCert") and "ca" not in options:
        # The authorities of the web vouch for servers; anyone can have a certificate of theirs.
        raise level.error("requestCert", "needs ca: who vouches for the clients?")
    for name, other in (("key", "cert"), ("cert", "key")):
        if name in options and other not in options:
            raise level.error(name, f"needs {other}, too")


def _context(level: Level, options: Mapping[str, Any], listener: str) -> SecureContext:
    try:
        return _makeContext(options, listener)
    except NodeError as error:
        raise level.error(wrongText(SERVER, level.values, options, error), str(error)) from error


def _refusing(level: Level, options: Mapping[str, Any], listener: str) -> SecureContext:
    """The context of those who ask for no name that is known."""
    own = {name: value for name, value in options.items() if name not in _CREDENTIALS}
    own.pop("secureContext", None)
    refusing = _context(level, own, listener)
    refuseNames(refusing.native)
    return refusing


def _makeContext(options: Mapping[str, Any], listener: str) -> SecureContext:
    read = readOptions(SERVER, options)
    requestCert, reject = bool(read.requestCert), read.rejectUnauthorized is not False

    def sessionIdContext(made: SecureContext) -> bytes:
        # Not by the command line, as Node's: daemons on several hosts may share sessions.
        return defaultSessionIdContext(made, requestCert, reject, listener)

    return makeContext(read.only(CONTEXT), sessionIdContext)


def _tryServer(level: Level, options: Mapping[str, Any]) -> None:
    """What else is wrong with the options of a server is said now, too."""
    from twisted.internet import reactor

    try:
        Server(options, reactor=reactor)
    except NodeError as error:
        name = "NPNProtocols" if "NPNProtocols" in options else "handshakeTimeout"
        raise level.error(name, str(error)) from error
