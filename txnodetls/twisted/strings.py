"""
Endpoint strings.

    nodetls:8443:key=server.key:cert=server.pem            for a server
    nodetls:endpoint=systemd\\:domain=INET\\:index=0:key=…   a server over another endpoint
    nodetls:example.com:443:ca=authority.pem               for a client
    nodetls:endpoint=unix\\:/run/x:servername=example.com   a client over another endpoint

Every option of Node's with a text form goes by Node's name, and means what it
means to the daemon.  Besides these there are C{interface} (the same as
C{host}, by the name that Twisted's strings use), C{endpoint}, and for clients
C{connectTimeout}.

What is wrong with a string is a ValueError, which is what Twisted expects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint

from txnodetls.context import contextFrom
from txnodetls.errors import NodeError
from txnodetls.options import (
    CONNECT,
    LISTEN,
    SERVER,
    OptionTable,
    OptionTextError,
    fromText,
)
from txnodetls.options.text import number
from txnodetls.twisted.blame import wrongText
from txnodetls.twisted.endpoints import (
    CONNECT_TIMEOUT,
    ClientEndpoint,
    ServerEndpoint,
    wrapClient,
    wrapServer,
)

__all__ = ["parseClient", "parseServer"]

# What says where to listen or to connect to, and so has no meaning over another endpoint.
_PLACES = ("interface", "host", "port", "path", "fd")


def parseServer(reactor: Any, /, *places: str, **texts: str) -> IStreamServerEndpoint:
    """
    The server endpoint of C{nodetls:PORT:NAME=VALUE:…}.

    @raise ValueError: the string is wrong; the text says which option of it.
    """
    _place(places, texts, ["port"])
    endpoint = texts.pop("endpoint", None)
    where = {name: texts.pop(name) for name in list(texts) if name in (*LISTEN, "interface")}
    options = _options(SERVER, texts, [*LISTEN.textNames(), "interface", "endpoint"])
    with _Told():
        if endpoint is not None:
            _alone(where)
            _certified(options)
            return wrapServer(serverFromString(reactor, endpoint), options, reactor=reactor)
        if "interface" in where:
            if "host" in where:
                raise OptionTextError("interface and host are two names of one option")
            where["host"] = where.pop("interface")
        if not where.keys() & {"port", "path", "fd"}:
            raise OptionTextError("the port is missing: nodetls:PORT:…")
        listening = fromText(LISTEN, where)
        _certified(options)
        return ServerEndpoint(reactor, options, **listening)


def parseClient(reactor: Any, /, *places: str, **texts: str) -> IStreamClientEndpoint:
    """
    The client endpoint of C{nodetls:HOST:PORT:NAME=VALUE:…}.

    @raise ValueError: the string is wrong; the text says which option of it.
    """
    _place(places, texts, ["host", "port"])
    endpoint = texts.pop("endpoint", None)
    timeout = _seconds(texts.pop("connectTimeout", None))
    options = _options(CONNECT, texts, ["endpoint", "connectTimeout"])
    with _Told():
        if endpoint is not None:
            _alone({name: text for name, text in texts.items() if name != "host"})
            below = clientFromString(reactor, endpoint)
            return wrapClient(below, options, reactor=reactor, connectTimeout=timeout)
        host, port = options.pop("host", None), options.pop("port", None)
        if "path" not in options and (host is None or port is None):
            raise OptionTextError("host and port are missing: nodetls:HOST:PORT:…")
        return ClientEndpoint(reactor, host, port, options, connectTimeout=timeout)


class _Told:
    """Within, an error of the options becomes the ValueError that a wrong string is."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, NodeError) and not isinstance(error, ValueError):
            raise OptionTextError(str(error), error.code) from error


def _place(places: tuple[str, ...], texts: dict[str, str], names: list[str]) -> None:
    """Give positional parts their names."""
    for name, text in zip(names, places, strict=False):
        if name in texts:
            raise OptionTextError(f"option {name} is given twice")
        texts[name] = text
    if len(places) > len(names):
        raise OptionTextError(
            f"{places[len(names)]!r} has no meaning there: options are NAME=VALUE"
        )


def _options(table: OptionTable, texts: Mapping[str, str], more: Iterable[str]) -> dict[str, Any]:
    """
    The options of the table, their context made.

    @param more: names that are known besides, to be compared with those that are not.
    """
    known = [*table.textNames(), *more]
    for name in texts:
        if name not in table and name not in table.files:
            nearest = table.nearest(name, known)
            hint = f"; did you mean {nearest}?" if nearest else ""
            raise OptionTextError(
                f"unknown option {name}{hint} (all of them: {', '.join(sorted(known))})"
            )
    options = fromText(table, texts)
    for name, other in (("key", "cert"), ("cert", "key")):
        if name in options and other not in options:
            raise OptionTextError(f"option {other} is missing, without which {name} is of no use")
    try:
        options["secureContext"] = contextFrom(options, isServer=table is SERVER)
    except NodeError as error:
        name = wrongText(table, texts, options, error)
        raise OptionTextError(f"option {name}: {error}", error.code) from error
    return options


def _certified(options: Mapping[str, Any]) -> None:
    """A server that has nothing to show refuses every client, which is said at once."""
    if not options["secureContext"].ownCertificates and "pskCallback" not in options:
        raise OptionTextError("a server needs key and cert, or pfx, or pskFile")


def _alone(where: Mapping[str, str]) -> None:
    """With C{endpoint}, that alone says where."""
    for name in where:
        if name in _PLACES:
            raise OptionTextError(f"option {name} has no meaning together with endpoint")


def _seconds(text: str | None) -> float:
    if text is None:
        return CONNECT_TIMEOUT
    try:
        value = number(text)
    except ValueError as error:
        raise OptionTextError(f"option connectTimeout: {error}") from error
    if not 0 <= value < float("inf"):
        raise OptionTextError(f"option connectTimeout: {text!r} is not a time in seconds")
    return value
