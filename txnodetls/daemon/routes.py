"""
The routes of a listener: for whom each is, with which certificate, and who may come in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from txnodetls.context import SecureContext
from txnodetls.daemon.certdir import Pair
from txnodetls.daemon.credentials import CREDENTIALS, contextOf, demand, groupContext
from txnodetls.daemon.meaning import inherited
from txnodetls.daemon.names import wrongName
from txnodetls.daemon.plan import NO_RULES, RouteConfig
from txnodetls.daemon.rules import Rules, readRules
from txnodetls.daemon.serving import servingOf
from txnodetls.daemon.settings import OWN
from txnodetls.daemon.values import values
from txnodetls.daemon.written import Level
from txnodetls.options import SERVER, Options

__all__ = ["byNames", "routesOf", "rulesOf"]


def routesOf(
    level: Level, options: Mapping[str, Any], listener: str, own: Options
) -> list[RouteConfig]:
    """The routes of a listener, in their order; a ConfigError where two are for the same."""
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
    serving = servingOf(merged, True)
    own = serving.own
    servernames, protocols = tuple(own.get("servernames") or ()), tuple(own.get("protocols") or ())
    for each in servernames:
        if (wrong := wrongName(each)) is not None:
            raise written.error("servernames", wrong)
    if not servernames and not protocols:
        raise written.error("servernames", "or protocols: say for whom this route is")
    names = [each for each in written.values if each not in OWN]
    options = {key: value for key, value in listeners.items() if key != "secureContext"}
    given = values(SERVER, written, names)
    context = None
    if given:
        if not servernames:
            raise written.error(names[0], "needs servernames: protocols are agreed on too late")
        if given.keys() & {"key", "cert", "pfx"}:
            for each in CREDENTIALS:
                options.pop(each, None)
        if "ca" in given:
            options.pop("requestCert", None)
        options |= given
        demand(written, options)
        context = contextOf(written, options, listener)
    rules = rulesOf(merged, own, options)
    name = own.get("name") or name
    return RouteConfig(name, serving, servernames, protocols, context, rules, frozenset(given))


def rulesOf(level: Level, own: Options, options: Mapping[str, Any]) -> Rules:
    """Who may come in, of those who have a certificate."""
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


def byNames(
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
        context = groupContext(level, options, group, listener)
        found.append((group[0].source, names, context))
    return found
