"""
The switches of C{twistd nodetls}, and what they amount to.

    --port --interface --proxy          the daemon's own
    --key --cert --minVersion …         every option of Node's that has a text
                                        form, by Node's name, out of the tables
                                        in L{txnodetls.options}

Everything is read and checked here, before anything is opened: the result is a
L{Config} that works, or one line that names the switch.

The defaults are stricter than Node's: loopback only, ten seconds for a
handshake, no renegotiation by clients; and C{--ca}, which says who may vouch
for clients, also asks them for a certificate unless C{--requestCert=no}.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from twisted.python import usage

from txnodetls.constants import SSL_OP_NO_RENEGOTIATION
from txnodetls.context import SecureContext, defaultSessionIdContext, makeContext
from txnodetls.errors import NodeError
from txnodetls.options import CONTEXT, LISTEN, SERVER, OptionTextError, fromText, readOptions
from txnodetls.pki.throwaway import throwawayCertificate
from txnodetls.twisted.blame import wrongText

__all__ = ["Config", "Options", "SwitchError", "readConfig"]

NAME = "nodetls"
PORT = 8443
INTERFACE = "127.0.0.1"
HANDSHAKE_TIMEOUT = 10_000

# Switches of where to listen, besides port and interface.
_LISTENING = ("backlog", "ipv6Only", "reusePort")
# Options of the stream, which the daemon decides itself.
_OWN = ("allowHalfOpen", "pauseOnConnect", "highWaterMark")

_HELP = {
    "key": "PEM file of the private key.",
    "cert": "PEM file of the certificate and its chain.",
    "pfx": "PKCS#12 file with both.",
    "ca": "PEM file of who may vouch for clients; they are asked for a certificate then.",
    "requestCert": "Ask clients for a certificate (yes or no).",
    "rejectUnauthorized": "Refuse clients without a verified one (yes or no; yes).",
    "passphrase": "Of the key; better is passphraseFile.",
    "passphraseFile": "File whose first line is the passphrase.",
    "pskFile": "File of lines identity:hexadecimal-key.",
    "minVersion": "TLSv1.2 or TLSv1.3, or older (TLSv1.2).",
    "handshakeTimeout": f"Milliseconds that a handshake may take ({HANDSHAKE_TIMEOUT}).",
    "ALPNProtocols": "Protocols by commas, the preferred one first.",
}


class SwitchError(Exception):
    """
    A switch is wrong.

    @ivar switch: its name, without dashes.
    """

    def __init__(self, switch: str, problem: str) -> None:
        super().__init__(f"--{switch}: {problem}")
        self.switch = switch


@dataclass(frozen=True, slots=True)
class Config:
    """
    What the daemon is to do.

    @ivar where: options of C{listen}: port, host …
    @ivar options: options of C{createServer}, with C{secureContext} made.
    @ivar proxy: the endpoint string of the backend; None: echo.
    @ivar throwaway: the certificate (PEM) that was made for want of one, or None.
    """

    where: Mapping[str, Any]
    options: Mapping[str, Any]
    proxy: str | None
    throwaway: bytes | None


def _parameters() -> list[list[Any]]:
    parameters: list[list[Any]] = [
        ["port", "p", str(PORT), "Port to listen on."],
        ["interface", "i", INTERFACE, "Address to listen on; 0.0.0.0 or :: for all."],
        ["proxy", None, None, "Client endpoint of the backend, e.g. tcp:127.0.0.1:8080."],
    ]
    for name in [*SERVER.textNames(), *_LISTENING]:
        if name not in _OWN:
            option = SERVER.get(name) or LISTEN.get(name)
            kind = option.kind if option is not None else "file"
            parameters.append([name, None, None, _HELP.get(name, f"As Node's ({kind}).")])
    return sorted(parameters, key=lambda row: (row[1] is None, row[0] not in _HELP, row[0]))


class Options(usage.Options):
    """
    The command line of C{twistd nodetls}.

    @ivar config: the L{Config}, once it is parsed.
    """

    synopsis = "[options]"
    longdesc = (
        "Without --proxy it sends back what it receives. Without a certificate it makes "
        "one to throw away. Options that are described as Node's are so at "
        "https://nodejs.org/api/tls.html; files are given by their paths."
    )
    optParameters = _parameters()
    config: Config

    def parseOptions(self, options: Any = None) -> None:
        """
        Parse.

        @raise SystemExit: something is wrong; its text is one line that names the switch.
        """
        try:
            super().parseOptions(options)
        except SwitchError as error:
            leave(str(error))
        except usage.UsageError as error:
            leave(_withNearest(str(error)))

    def parseArgs(self) -> None:
        """There are none."""

    def postOptions(self) -> None:
        """Check what was given."""
        given = {name: text for name, text in self.items() if text is not None}
        self.config = readConfig(given)


def leave(problem: str) -> NoReturn:
    """End the program with one line about what is wrong, and status 1."""
    raise SystemExit(f"twistd nodetls: {problem}")


def _withNearest(problem: str) -> str:
    """getopt's text about an unknown switch, with the nearest known one."""
    words = problem.split()
    if words[:1] == ["option"] and "not recognized" in problem:
        name = words[1].lstrip("-")
        known = [row[0] for row in Options.optParameters]
        nearest = SERVER.nearest(name, known)
        hint = f"; did you mean --{nearest}?" if nearest else ""
        return f"--{name}: unknown{hint} (all of them: twistd nodetls --help)"
    return problem


def readConfig(switches: Mapping[str, str]) -> Config:
    """
    What these switches, by name, amount to.

    @raise SwitchError: one of them is wrong.
    """
    texts = dict(switches)
    proxy = texts.pop("proxy", None)
    interface = texts.pop("interface", INTERFACE)
    try:
        ipaddress.ip_address(interface.partition("%")[0])
    except ValueError:
        raise SwitchError("interface", f"{interface!r} is not an IP address") from None
    listening = {name: texts.pop(name) for name in _LISTENING if name in texts}
    listening["port"] = texts.pop("port", str(PORT))
    where = {"host": interface, **_read(LISTEN, listening)}
    options = _read(SERVER, texts)
    throwaway = _complete(options, interface)
    options["secureContext"] = _context(options, switches)
    return Config(where, options, proxy, throwaway)


def _read(table: Any, texts: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, text in texts.items():
        try:
            one = fromText(table, {name: text})
        except OptionTextError as error:
            raise SwitchError(name, str(error).removeprefix(f"option {name}: ")) from error
        if one.keys() & values.keys():
            raise SwitchError(name, f"{next(iter(one))} is given twice")
        values.update(one)
    return values


def _complete(options: dict[str, Any], interface: str) -> bytes | None:
    """
    Fill in the defaults.

    @return: the throwaway certificate, if one was needed.
    """
    options.setdefault("handshakeTimeout", HANDSHAKE_TIMEOUT)
    options["secureOptions"] = options.get("secureOptions", 0) | SSL_OP_NO_RENEGOTIATION
    if "ca" in options:
        options.setdefault("requestCert", True)
    if options.get("requestCert") and "ca" not in options:
        # The authorities of the web vouch for servers; anyone can have a certificate of theirs.
        raise SwitchError("requestCert", "needs --ca: who vouches for the clients?")
    for name, other in (("key", "cert"), ("cert", "key")):
        if name in options and other not in options:
            raise SwitchError(name, f"needs --{other}, too")
    if options.keys() & {"key", "pfx", "pskCallback"}:
        return None
    certificate, key = throwawayCertificate(dict.fromkeys(["localhost", INTERFACE, interface]))
    options["cert"], options["key"] = certificate, key
    return certificate


def _context(options: Mapping[str, Any], switches: Mapping[str, str]) -> Any:
    read = readOptions(SERVER, options)
    requestCert, rejectUnauthorized = bool(read.requestCert), read.rejectUnauthorized is not False

    def sessionIdContext(made: SecureContext) -> bytes:
        # Not by the command line, as Node's: daemons on several hosts may share sessions.
        return defaultSessionIdContext(made, requestCert, rejectUnauthorized, NAME)

    try:
        return makeContext(read.only(CONTEXT), sessionIdContext)
    except NodeError as error:
        raise SwitchError(wrongText(SERVER, switches, options, error), str(error)) from error
