"""
What is served, and where: the mode of a listener or route with its target, and the place to listen
at.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import replace
from typing import Any

from txnodetls.context import makeContext
from txnodetls.daemon.meaning import hostAndPort, modeOf, modesWithin, sift
from txnodetls.daemon.plan import Serving
from txnodetls.daemon.proxyprotocol import Networks
from txnodetls.daemon.settings import INTERFACE, PORT, Mode
from txnodetls.daemon.values import LISTENING, ownOf, values, versions
from txnodetls.daemon.written import Level
from txnodetls.errors import NodeError
from txnodetls.options import CONNECT, CONTEXT, LISTEN, Options, readOptions
from txnodetls.twisted.blame import wrongText

__all__ = ["originating", "servingOf", "whereOf"]


def servingOf(level: Level, inFile: bool) -> Serving:
    """What a listener or route serves; a ConfigError where that is nothing, or cannot be."""
    mode = modeOf(level, ownOf(level).get)
    if mode is None:
        if inFile:
            # An echo that was not asked for would be an open mirror.
            modes = ", ".join(each.value for each in Mode)
            raise level.error("proxy", f"say what to serve: one of {modes}")
        mode = Mode.ECHO
    sift(level, {mode} | modesWithin(level))
    own = ownOf(level)
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


def originating(
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
    for name, value in versions(process).items():
        if name == "ciphers" or "secureProtocol" not in options:
            options.setdefault(name, value)
    try:
        read = readOptions(CONNECT, options)
        options["secureContext"] = makeContext(read.only(CONTEXT), isServer=False)
    except NodeError as error:
        raise level.error(wrongText(CONNECT, level.values, options, error), str(error)) from error
    return replace(serving, place=place, options=options)


def _tryEndpoint(level: Level, name: str, string: str) -> None:
    from twisted.internet import reactor
    from twisted.internet.endpoints import clientFromString

    try:
        clientFromString(reactor, string)
    except Exception as error:  # each endpoint has its own way to refuse a string
        raise level.error(name, f"{string!r} is no client endpoint: {error}") from error


def whereOf(level: Level, own: Options) -> dict[str, Any]:
    """The options of C{listen}, or a socket of systemd's."""
    written = [name for name in level.values if name in LISTENING]
    if own.get("systemd") is not None:
        # Whether it is there is found out where it is taken: a test of the configuration has none,
        # and neither has a worker, which gets it from its supervisor.
        return {"systemd": own.systemd}
    if "path" in written:
        return values(LISTEN, level, written)
    interface = own.get("interface") or INTERFACE
    try:
        ipaddress.ip_address(interface.partition("%")[0])
    except ValueError:
        raise level.error("interface", f"{interface!r} is not an IP address") from None
    return {"host": interface, "port": PORT, **values(LISTEN, level, written)}
