"""
Where a store is, in one line of text.

    redis://[[user]:password@]host[:port][/database][?name=value&…]
    rediss://…                         the same over TLS
    memcached://host[:port][?…]

The part behind the question mark has what else there is to say: C{keyFile},
C{passwordFile}, C{ca}, C{prefix}, C{timeout}.  What stands before the host is
secret: it is in no error and in no C{repr}.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs
from twisted.internet.interfaces import IStreamClientEndpoint

from txnodetls.errors import NodeTypeError, invalidArgValue
from txnodetls.sessions.keyfiles import readSecret
from txnodetls.sessions.sealing import MIN_KEY

__all__ = ["Place", "keyFrom", "number", "parsePlace", "settings"]

_PORTS: Final = {"redis": 6379, "rediss": 6379, "memcached": 11211}
_PEM_END: Final = b"-----END CERTIFICATE-----"


@attrs.frozen
class Place:
    """
    Where a store is.

    @ivar scheme: how it is talked to.
    @ivar database: the number of a database of Redis.
    @ivar more: what else was said.
    """

    scheme: str
    host: str
    port: int
    database: int = 0
    username: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    more: dict[str, str] = attrs.field(factory=dict, repr=False)

    @property
    def name(self) -> str:
        """What it may be called in public."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def endpoint(self, reactor: Any) -> IStreamClientEndpoint:
        """What leads there; C{rediss} over TLS, with the certificate and its name checked."""
        # Here, as it costs a good part of the start of whoever imports it.
        from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS

        plain = HostnameEndpoint(reactor, self.host.encode("idna"), self.port)
        if self.scheme != "rediss":
            return plain
        from twisted.internet.ssl import optionsForClientTLS

        return wrapClientTLS(optionsForClientTLS(self.host, trustRoot=_trusted(self.more)), plain)


def parsePlace(option: str, text: str, schemes: Iterable[str], known: Iterable[str]) -> Place:
    """
    Read the text of a place.

    @param option: what errors call it.
    @param schemes: those that are possible.
    @param known: the names that may stand behind the question mark.
    @raise NodeTypeError: C{ERR_INVALID_ARG_VALUE}.
    """
    try:
        parts = urlsplit(text)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError as error:
        raise _wrong(option, text, f"is not the address of a store: {error}") from None
    if scheme not in schemes:
        raise _wrong(option, text, f"has to begin with one of {', '.join(schemes)}")
    if not host:
        raise _wrong(option, text, "names no host")
    database = parts.path.strip("/")
    if database and (scheme == "memcached" or not database.isdecimal()):
        raise _wrong(option, text, f"has no database {database!r}")
    if parts.fragment or (scheme == "memcached" and parts.username is not None):
        raise _wrong(option, text, "has a part that means nothing here")
    more = settings(option, parts.query, known)
    place = Place(
        scheme,
        host,
        port or _PORTS[scheme],
        int(database or 0),
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password is not None else None,
        more,
    )
    if scheme == "rediss":
        _readTrust(option, more)
    if "passwordFile" not in more:
        return place
    secret = _fromFile(option, "passwordFile", more["passwordFile"])
    return attrs.evolve(place, password=secret.split(b"\n", 1)[0].strip().decode())


def settings(option: str, query: str, known: Iterable[str]) -> dict[str, str]:
    """
    What stands behind the question mark.

    @raise NodeTypeError: C{ERR_INVALID_ARG_VALUE}: something that is not known.
    """
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            raise invalidArgValue(option, name, f"is not one of {', '.join(known)}")
        if name in found:
            raise invalidArgValue(option, name, "is given twice")
        found[name] = value
    return found


def number(option: str, more: dict[str, str], name: str, otherwise: float) -> float:
    """
    A number of seconds out of L{settings}.

    @raise NodeTypeError: C{ERR_INVALID_ARG_VALUE}.
    """
    text = more.get(name)
    if text is None:
        return otherwise
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise invalidArgValue(f"{option} ({name})", text, "is not a time in seconds")
    return value


def keyFrom(option: str, more: dict[str, str]) -> bytes | None:
    """
    The key in C{keyFile}, if that was said: 32 bytes at least.

    @raise NodeTypeError: C{ERR_INVALID_ARG_VALUE}.
    """
    if "keyFile" not in more:
        return None
    key = _fromFile(option, "keyFile", more["keyFile"])
    if len(key) < MIN_KEY:
        raise invalidArgValue(
            f"{option} (keyFile)", more["keyFile"], f"holds fewer than {MIN_KEY} bytes"
        )
    return key


def _fromFile(option: str, name: str, path: str) -> bytes:
    try:
        return readSecret(path)
    except (OSError, ValueError) as error:
        why = str(error) if isinstance(error, ValueError) else (error.strerror or "cannot be read")
        raise invalidArgValue(f"{option} ({name})", path, why) from None


def _trusted(more: dict[str, str]) -> Any:
    """Who may vouch for the server; None for whom the platform trusts."""
    if "ca" not in more:
        return None
    from twisted.internet.ssl import Certificate, trustRootFromCertificates

    with open(more["ca"], "rb") as file:
        blocks = file.read().split(_PEM_END)[:-1]
    return trustRootFromCertificates([Certificate.loadPEM(block + _PEM_END) for block in blocks])


def _readTrust(option: str, more: dict[str, str]) -> None:
    try:
        _trusted(more)
    except Exception as error:
        raise invalidArgValue(f"{option} (ca)", more["ca"], f"cannot be used: {error}") from None


def _wrong(option: str, text: str, why: str) -> NodeTypeError:
    front, at, rest = text.rpartition("@")
    shown = f"{front.partition('//')[0]}//…@{rest}" if at else text
    return invalidArgValue(option, shown, why)
