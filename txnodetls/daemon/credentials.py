"""
Certificates, keys and trust of a listener: what is asked of clients, the certificate for those who
ask for no name, those of a directory, and the contexts that come of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from txnodetls.constants import PROTOCOL_VERSIONS, SSL_OP_NO_RENEGOTIATION, defaults
from txnodetls.context import SecureContext, defaultSessionIdContext, makeContext
from txnodetls.daemon.certdir import Pair, grouped, readDirectory
from txnodetls.daemon.files import Files
from txnodetls.daemon.settings import HANDSHAKE_TIMEOUT, INTERFACE
from txnodetls.daemon.values import versions
from txnodetls.daemon.written import Level
from txnodetls.errors import NodeError
from txnodetls.openssl.contexts import refuseNames
from txnodetls.options import CONTEXT, SERVER, Options, readOptions
from txnodetls.server import Server
from txnodetls.twisted.blame import wrongText

__all__ = [
    "CREDENTIALS",
    "checkVersions",
    "contextOf",
    "demand",
    "directoryOf",
    "fillIn",
    "groupContext",
    "refusing",
    "tryServer",
    "useFirst",
    "useThrowaway",
]

CREDENTIALS: Final = ("key", "cert", "pfx", "passphrase")
"""What makes up a certificate of one's own."""


# -- options


def fillIn(options: dict[str, Any], process: Options) -> None:
    """Fill in the defaults."""
    options.setdefault("handshakeTimeout", HANDSHAKE_TIMEOUT)
    options["secureOptions"] = options.get("secureOptions", 0) | SSL_OP_NO_RENEGOTIATION
    for name, value in versions(process).items():
        if name == "ciphers" or "secureProtocol" not in options:
            options.setdefault(name, value)


def checkVersions(level: Level, options: Mapping[str, Any]) -> None:
    """There is a version that can be spoken."""
    lowest = PROTOCOL_VERSIONS.get(options.get("minVersion", defaults.DEFAULT_MIN_VERSION))
    highest = PROTOCOL_VERSIONS.get(options.get("maxVersion", defaults.DEFAULT_MAX_VERSION))
    # A word that is no version is told where the context is made.
    if lowest is not None and highest is not None and lowest > highest:
        name = "maxVersion" if "maxVersion" in level.values else "minVersion"
        raise level.error(name, "leaves no version: the lowest is above the highest")


def demand(level: Level, options: dict[str, Any]) -> None:
    """What is asked of clients, and what belongs together."""
    if "ca" in options:
        options.setdefault("requestCert", True)
    if options.get("requestCert") and "ca" not in options:
        # The authorities of the web vouch for servers; anyone can have a certificate of theirs.
        raise level.error("requestCert", "needs ca: who vouches for the clients?")
    for name, other in (("key", "cert"), ("cert", "key")):
        if name in options and other not in options:
            raise level.error(name, f"needs {other}, too")


def useThrowaway(options: dict[str, Any], interface: str | None, files: Files) -> bytes:
    """Use a certificate to throw away; its PEM."""
    names = tuple(dict.fromkeys(["localhost", INTERFACE, interface or INTERFACE]))
    certificate, key = files.throwaway(names)
    options["cert"], options["key"] = certificate, key
    return certificate


def tryServer(level: Level, options: Mapping[str, Any]) -> None:
    """What else is wrong with the options of a server is said now, too."""
    from twisted.internet import reactor

    try:
        Server(options, reactor=reactor)
    except NodeError as error:
        name = "NPNProtocols" if "NPNProtocols" in options else "handshakeTimeout"
        raise level.error(name, str(error)) from error


# -- certificates in a directory


def directoryOf(level: Level, own: Options, files: Files, warnings: list[str]) -> list[list[Pair]]:
    """The certificates of C{certDir}, those together that share their names; with warnings."""
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


def useFirst(groups: list[list[Pair]], options: dict[str, Any]) -> None:
    """The certificate for those who ask for no other: the one called default, or the first."""
    named = [group for group in groups if any(pair.source == "default" for pair in group)]
    group = (named or groups)[0]
    options["cert"] = [pair.certificate for pair in group]
    options["key"] = [pair.key for pair in group]


def groupContext(
    level: Level, options: Mapping[str, Any], group: list[Pair], name: str
) -> SecureContext:
    """The context of certificates that share their names."""
    own = {key: value for key, value in options.items() if key not in CREDENTIALS}
    own.pop("secureContext", None)
    own["cert"] = [pair.certificate for pair in group]
    own["key"] = [pair.key for pair in group]
    try:
        return _makeContext(own, name)
    except NodeError as error:
        raise level.error("certDir", f"{group[0].source}: {error}") from error


# -- contexts


def contextOf(level: Level, options: Mapping[str, Any], listener: str) -> SecureContext:
    """The context of a listener's or route's options."""
    try:
        return _makeContext(options, listener)
    except NodeError as error:
        raise level.error(wrongText(SERVER, level.values, options, error), str(error)) from error


def refusing(level: Level, options: Mapping[str, Any], listener: str) -> SecureContext:
    """The context of those who ask for no name that is known."""
    own = {name: value for name, value in options.items() if name not in CREDENTIALS}
    own.pop("secureContext", None)
    refusing = contextOf(level, own, listener)
    refuseNames(refusing.native)
    return refusing


def _makeContext(options: Mapping[str, Any], listener: str) -> SecureContext:
    read = readOptions(SERVER, options)
    requestCert, reject = bool(read.requestCert), read.rejectUnauthorized is not False

    def sessionIdContext(made: SecureContext) -> bytes:
        # Not by the command line, as Node's: daemons on several hosts may share sessions.
        return defaultSessionIdContext(made, requestCert, reject, listener)

    return makeContext(read.only(CONTEXT), sessionIdContext)
