"""
C{python -m txnodetls connect HOST:PORT}.

One connection, as a client makes it that wants to know everything: whatever
the certificate is worth, the handshake is brought to its end, so that there
is something to look at; nothing is sent.  The verdict is what C{connect}
would have judged, and the exit status says it:

    0   trusted
    1   connected, but not trusted
    2   the command was not understood
    3   there is no connection: nobody there, no common ground, refused

Source: Node's C{tls.connect}; compare C{openssl s_client(1)}.
"""

from __future__ import annotations

import argparse
import datetime
import io
import os
import sys
import warnings
from pathlib import Path
from typing import Any, Final, TextIO

import attrs
from twisted.internet import defer, task

from txnodetls.client import connect
from txnodetls.command.findings import Findings, Session, gather
from txnodetls.command.report import render
from txnodetls.command.terminal import paletteFor, printable
from txnodetls.context import SecureContext, createSecureContext
from txnodetls.errors import Blame, NodeError
from txnodetls.net.lookup import isIP
from txnodetls.pki.hostnames import domainToASCII

__all__ = [
    "TRUSTED",
    "UNREACHED",
    "UNTRUSTED",
    "addArguments",
    "connectOptions",
    "report",
    "run",
]

TRUSTED: Final = 0
UNTRUSTED: Final = 1
UNREACHED: Final = 3
_INTERRUPTED: Final = 130

_VERSIONS: Final = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
# How long to wait, in seconds, for what comes behind a handshake: tickets, or the server's
# refusal of our certificate, which TLS 1.3 says only then.
_AFTERWARDS: Final = 0.5


def addArguments(parser: argparse.ArgumentParser) -> None:
    """Add those of this command."""
    add = parser.add_argument
    add("where", metavar="HOST:PORT", type=_where, help="[ADDRESS]:PORT for an IPv6 address")
    add("--servername", metavar="NAME", help="send and expect this name instead of HOST")
    add("--no-servername", action="store_true", help="send no name; HOST is still expected")
    add("--ca", metavar="FILE", action="append", help="trust these authorities only; PEM")
    add("--cert", metavar="FILE", help="show this certificate, and its chain; PEM; with --key")
    add("--key", metavar="FILE", help="the private key of --cert; PEM")
    add("--passphrase-file", metavar="FILE", help="its first line is the passphrase of --key")
    add("--alpn", metavar="LIST", help="offer these protocols: h2,http/1.1")
    add("--min-version", metavar="VERSION", type=_version, help="TLSv1.2 or 1.2, and so on")
    add("--max-version", metavar="VERSION", type=_version)
    add("--ciphers", metavar="LIST", help="OpenSSL's syntax, TLS 1.3 suites among them")
    add("--groups", metavar="LIST", help="of key exchange, separated by colons")
    add("--sigalgs", metavar="LIST", help="of signatures, separated by colons")
    add("--resume", action="store_true", help="connect again with the session, and show that")
    add("--pem", action="store_true", help="print the certificates that were sent, too")
    add("--timeout", metavar="SECONDS", type=_seconds, default=10.0, help="default: 10")
    add("--color", choices=("auto", "always", "never"), default="auto", help="default: auto")


def run(given: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """
    Do it, in a reactor of its own, and write to standard output.

    @param given: the arguments.
    @param parser: whose they are; it complains of those that make no sense, and exits with 2.

    @return: the exit status.
    """
    options = connectOptions(given, parser)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    status = _INTERRUPTED

    async def main(reactor: Any) -> None:
        nonlocal status
        status = await report(reactor, options, given, sys.stdout)

    try:
        task.react(lambda reactor: defer.ensureDeferred(main(reactor)))
    except SystemExit as ended:
        # Something unforeseen, which react has logged.
        if ended.code:
            raise
    return status


async def report(
    reactor: Any, options: dict[str, Any], given: argparse.Namespace, output: TextIO
) -> int:
    """
    Connect, and write what is found.

    @param options: those of C{connect}, from L{connectOptions}.

    @return: the exit status.
    """
    palette = paletteFor(given.color, output, os.environ)
    met = await _meet(reactor, options, given.timeout)
    if given.resume and met.error is None:
        if met.session is None:
            output.write("The server gives no session to resume; this is the first connection.\n\n")
        else:
            met = await _meet(reactor, {**options, "session": met.session}, given.timeout)
    if met.findings is not None:
        now = datetime.datetime.now(datetime.UTC)
        output.write(render(met.findings, palette, now, pem=given.pem))
    if met.error is not None:
        output.write(palette.bad("no connection") + f": {_words(met.error)}\n")
        return UNREACHED
    assert met.findings is not None
    return TRUSTED if met.findings.trusted else UNTRUSTED


def connectOptions(given: argparse.Namespace, parser: argparse.ArgumentParser) -> dict[str, Any]:
    """
    The options of C{connect}; what is wrong with the arguments is said at once.

    @raise SystemExit: with 2, by the parser.
    """
    _contradictions(given, parser)
    host, port = given.where
    options = {"host": host, "port": port, "secureContext": _context(given, parser)}
    if not given.no_servername and not (given.servername is None and isIP(host)):
        options["servername"] = _name(parser, given.servername or host)
    if given.alpn is not None:
        options["ALPNProtocols"] = _protocols(parser, given.alpn)
    return options


# ---- arguments


def _where(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if isIP(host) != 6:
            raise argparse.ArgumentTypeError(f"{host!r} in brackets is no IPv6 address")
    elif ":" in host:
        raise argparse.ArgumentTypeError(f"{text!r}: an IPv6 address goes into brackets")
    if not colon or not host:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise argparse.ArgumentTypeError(f"{port!r} is no port: 1 to 65535")
    return host, int(port)


def _version(text: str) -> str:
    name = text if text.startswith("TLS") else f"TLSv{text}"
    name = "TLSv1" if name == "TLSv1.0" else name
    if name not in _VERSIONS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(_VERSIONS)}")
    return name


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds


def _name(parser: argparse.ArgumentParser, text: str) -> str:
    """A name as it can be sent: in ASCII, and not too long (RFC 6066, RFC 1035)."""
    name = text if text.isascii() else domainToASCII(text)
    if not 0 < len(name) < 256 or not name.isprintable() or " " in name:
        parser.error(f"{printable(text)!r} cannot be the name of a server")
    return name


def _contradictions(given: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    if (given.cert is None) != (given.key is None):
        parser.error("--cert and --key go together")
    if given.passphrase_file is not None and given.key is None:
        parser.error("--passphrase-file is for --key")
    if given.no_servername and given.servername is not None:
        parser.error("--servername and --no-servername exclude each other")
    if given.servername == "":
        parser.error("--servername: a name is needed; --no-servername sends none")
    if given.servername is not None and isIP(given.servername):
        parser.error("--servername: an address cannot be sent as a name (RFC 6066)")
    lowest, highest = given.min_version or _VERSIONS[0], given.max_version or _VERSIONS[-1]
    if _VERSIONS.index(lowest) > _VERSIONS.index(highest):
        parser.error("--min-version is above --max-version")


def _context(given: argparse.Namespace, parser: argparse.ArgumentParser) -> SecureContext:
    """Each part is tried alone first, so that the error names what is at fault."""
    passphrase = _read(parser, "--passphrase-file", given.passphrase_file)
    parts: dict[str, dict[str, Any]] = {
        "--ca": {"ca": [_read(parser, "--ca", path) for path in given.ca] if given.ca else None},
        "--cert, --key": {
            "cert": _read(parser, "--cert", given.cert),
            "key": _read(parser, "--key", given.key),
            "passphrase": passphrase and _firstLine(passphrase),
        },
        "--min-version, --max-version": {
            "minVersion": given.min_version,
            "maxVersion": given.max_version,
        },
        "--ciphers": {"ciphers": given.ciphers},
        "--groups": {"ecdhCurve": given.groups},
        "--sigalgs": {"sigalgs": given.sigalgs},
    }
    whole: dict[str, Any] = {}
    for option, part in parts.items():
        wanted = {name: value for name, value in part.items() if value is not None}
        if wanted:
            _makeContext(parser, option, wanted)
            whole.update(wanted)
    return _makeContext(parser, "these options together", whole)


def _firstLine(text: bytes) -> str:
    return text.split(b"\n")[0].rstrip(b"\r").decode("utf-8", "surrogateescape")


def _makeContext(
    parser: argparse.ArgumentParser, option: str, options: dict[str, Any]
) -> SecureContext:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return createSecureContext(options)
    except (NodeError, UserWarning) as error:
        parser.error(f"{option}: {_words(error)}")


def _protocols(parser: argparse.ArgumentParser, text: str) -> list[str]:
    protocols = [each.strip() for each in text.split(",")]
    if not all(0 < len(each.encode()) < 256 for each in protocols):
        parser.error("--alpn: a protocol's name has 1 to 255 bytes")
    if sum(len(each.encode()) + 1 for each in protocols) > 0xFFFF:
        parser.error("--alpn: too many protocols")
    return protocols


def _read(parser: argparse.ArgumentParser, option: str, path: str | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        parser.error(f"{option} {path}: {error.strerror or error}")


# ---- the connection


@attrs.define
class _Met:
    """
    What came of a connection.

    @ivar findings: None if there was no handshake.
    @ivar session: the latest session that was given, for another connection.
    @ivar tickets: the length of each ticket.
    @ivar error: what ended it, if not we.
    """

    findings: Findings | None = None
    session: bytes | None = None
    tickets: list[int] = attrs.field(factory=list)
    staple: bytes | None = None
    error: BaseException | None = None


async def _meet(reactor: Any, options: dict[str, Any], timeout: float) -> _Met:
    """Connect, look, wait for what comes behind the handshake, and leave."""
    met = _Met()
    enough: defer.Deferred[None] = defer.Deferred()
    closed: defer.Deferred[None] = defer.Deferred()
    name = options.get("servername") or options["host"]
    socket = connect(options, rejectUnauthorized=False, requestOCSP=True, reactor=reactor)

    def stop() -> None:
        if not enough.called:
            enough.callback(None)

    def secured() -> None:
        try:
            met.findings = gather(socket, name, options.get("servername"), met.staple)
        except NodeError as error:
            failed(error)
            return
        if met.tickets and socket.getProtocol() != "TLSv1.3":
            stop()
        else:
            # Tickets, or the server's refusal of our certificate, come behind the handshake.
            timers.append(reactor.callLater(_AFTERWARDS, stop))

    def session(data: bytes) -> None:
        met.session = data
        met.tickets.append(len(socket.getTLSTicket() or b""))
        if met.findings is not None:
            stop()

    def stapled(data: bytes | None) -> None:
        met.staple = data

    def failed(error: BaseException) -> None:
        if not enough.called:
            met.error = error
        stop()

    def gone(hadError: bool) -> None:
        stop()
        closed.callback(None)

    def late() -> None:
        what = "handshake" if met.findings is None else "close"
        socket.destroy(NodeError(f"no {what} within {timeout:g} s", "ETIMEDOUT", blame=Blame.PEER))

    timers = [reactor.callLater(timeout, late)]
    socket.on("secureConnect", secured)
    socket.on("session", session)
    socket.on("OCSPResponse", stapled)
    socket.on("error", failed)
    socket.on("end", stop)
    socket.on("close", gone)
    socket.resume()
    await enough
    socket.destroySoon()
    await closed
    for timer in timers:
        if timer.active():
            timer.cancel()
    if met.findings is not None:
        reused = met.findings.session.reused
        met.findings = attrs.evolve(
            met.findings, session=Session(reused, tuple(dict.fromkeys(met.tickets)))
        )
    elif met.error is None:
        met.error = NodeError("the server hung up", "ECONNRESET", blame=Blame.PEER)
    return met


def _words(error: BaseException) -> str:
    """An error in words, with its code; several in one, one after another."""
    several = getattr(error, "errors", None)
    if several:
        return "; ".join(map(_words, several))
    text = printable(getattr(error, "reason", None) or str(error))
    code = getattr(error, "code", None)
    return text if code is None or code in text else f"{text} ({code})"
