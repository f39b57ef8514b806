"""
Names, addresses and ports, as Node's C{net} and C{dns.lookup} take them.

Source: https://nodejs.org/api/net.html#netisipinput, https://nodejs.org/api/dns.html#dnslookup
"""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IResolutionReceiver
from twisted.internet.threads import deferToThreadPool
from zope.interface import implementer

from txnodetls.errors import (
    Blame,
    NodeRangeError,
    Phase,
    SystemCallError,
    argumentValue,
    invalidArgType,
    invalidArgValue,
)
from txnodetls.javascript import isNumber

if TYPE_CHECKING:
    from twisted.python.failure import Failure

__all__ = [
    "ADDRCONFIG",
    "ALL",
    "V4MAPPED",
    "Answer",
    "isIP",
    "isIPv4",
    "isIPv6",
    "lookup",
    "portNumber",
]

V4MAPPED = 8
"""C{dns.V4MAPPED}"""
ALL = 16
"""C{dns.ALL}"""
ADDRCONFIG = 32
"""C{dns.ADDRCONFIG}"""

_FLAGS = {
    V4MAPPED: socket.AI_V4MAPPED,
    ALL: socket.AI_ALL,
    ADDRCONFIG: socket.AI_ADDRCONFIG,
}
_FAMILIES = {0: socket.AF_UNSPEC, 4: socket.AF_INET, 6: socket.AF_INET6}
_TYPES: dict[int, list[Any]] = {
    0: [IPv4Address, IPv6Address],
    4: [IPv4Address],
    6: [IPv6Address],
}
# Node's (libuv's) names and numbers for what getaddrinfo reports.
_FAILURES = {
    socket.EAI_AGAIN: ("EAI_AGAIN", -3001),
    socket.EAI_FAIL: ("EAI_FAIL", -3004),
    socket.EAI_MEMORY: ("EAI_MEMORY", -3006),
}
_NOT_FOUND = ("ENOTFOUND", -3008)
_LONGEST_NAME = 253

_ZONE = re.compile(r"%[0-9A-Za-z.:-]+\Z")
_NUMBER = re.compile(r"\s*(?:\+?\d+|0[xX][0-9a-fA-F]+)\s*\Z")

Answer = Callable[[Exception | None, list[dict[str, Any]] | None], object]


def isIP(text: object) -> int:
    """6 or 4 for an IP address of that version, else 0."""
    if isIPv4(text):
        return 4
    return 6 if isIPv6(text) else 0


def isIPv4(text: object) -> bool:
    """Whether this is an IPv4 address in dotted decimal, without leading zeros."""
    return isinstance(text, str) and _isOf(socket.AF_INET, text)


def isIPv6(text: object) -> bool:
    """Whether this is an IPv6 address; a zone (C{%eth0}) may follow it."""
    return isinstance(text, str) and _isOf(socket.AF_INET6, _ZONE.sub("", text))


def _isOf(family: socket.AddressFamily, text: str) -> bool:
    try:
        socket.inet_pton(family, text)
    except (OSError, ValueError):  # ValueError: a NUL in it
        return False
    return True


def portNumber(port: object, name: str = "Port") -> int:
    """
    A port given as a number or as text.

    @raise NodeRangeError: C{ERR_SOCKET_BAD_PORT}.
    """
    number: Any = port
    if isinstance(port, str) and _NUMBER.match(port):
        number = int(port, 0 if port.strip()[:2].lower() == "0x" else 10)
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 65536:
        raise NodeRangeError(
            f"{name} should be >= 0 and < 65536.{argumentValue(port)}.",
            "ERR_SOCKET_BAD_PORT",
            blame=Blame.CONFIGURATION,
        )
    return number


def isPipeName(value: object) -> bool:
    """Whether a first argument is a path, and not a port written as text."""
    return isinstance(value, str) and not _NUMBER.match(value)


def lookup(reactor: Any, host: object, family: object, hints: object, answer: Answer) -> None:
    """
    All addresses of C{host}, by the reactor's resolver, or by C{getaddrinfo} in its threads.

    The latter where there are hints that the former knows nothing of.  The order is the
    resolver's own.

    @param family: 0, 4 or 6, or C{'IPv4'} or C{'IPv6'}; None is 0.
    @param hints: a sum of L{ADDRCONFIG}, L{V4MAPPED} and L{ALL}.
    @param answer: C{answer(error, addresses)}, later; each address C{{'address', 'family'}}.
    @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE}, C{ERR_INVALID_ARG_VALUE}.
    """
    if not isinstance(host, str):
        raise invalidArgType("options.host", "of type string", host)
    if "\0" in host:
        raise invalidArgValue("options.host", host, "must be a string without null bytes")
    if family is None:
        family = 0
    elif isinstance(family, str):
        family = {"IPv4": 4, "IPv6": 6}.get(family, family)
    if not isNumber(family) or family not in _FAMILIES:
        raise invalidArgValue("options.family", family, "must be one of: 0, 4, 6")
    if not isinstance(hints, int) or hints & ~(V4MAPPED | ALL | ADDRCONFIG):
        raise invalidArgValue("hints", hints)
    impossible = _impossible(host)
    if impossible is not None:
        reactor.callLater(0, answer, _failure(host, impossible), None)
        return
    resolver = getattr(reactor, "nameResolver", None)
    if resolver is None or hints not in (0, ADDRCONFIG):
        _askThread(reactor, host, int(family), hints, answer)
    else:
        receiver = _Receiver(host, answer)
        resolver.resolveHostName(receiver, host, 0, _TYPES[int(family)], "TCP")


def _impossible(host: str) -> tuple[str, int] | None:
    """
    Why no resolver can be asked for this name.

    Python encodes names by IDNA before it asks anyone; where that fails Twisted's resolver
    never answers at all.
    """
    try:
        host.encode("idna")
    except UnicodeError:
        return _NOT_FOUND if len(host) <= _LONGEST_NAME else ("EINVAL", -errno.EINVAL)
    return None


@implementer(IResolutionReceiver)
class _Receiver:
    """Gathers what the reactor's resolver finds."""

    def __init__(self, host: str, answer: Answer) -> None:
        self._host = host
        self._answer = answer
        self._found: list[dict[str, Any]] = []

    def resolutionBegan(self, resolution: object) -> None:
        """Nothing is known yet."""

    def addressResolved(self, address: Any) -> None:
        """One address."""
        self._found.append({"address": address.host, "family": isIP(address.host)})

    def resolutionComplete(self) -> None:
        """That was all.  The resolver does not say why, when it found none."""
        if self._found:
            self._answer(None, self._found)
        else:
            self._answer(_failure(self._host, _NOT_FOUND), None)


def _askThread(reactor: Any, host: str, family: int, hints: int, answer: Answer) -> None:
    flags = sum(flag for bit, flag in _FLAGS.items() if hints & bit)
    asked = deferToThreadPool(
        reactor,
        reactor.getThreadPool(),
        socket.getaddrinfo,
        host,
        0,
        _FAMILIES[family],
        socket.SOCK_STREAM,
        0,
        flags,
    )

    def found(rows: list[Any]) -> None:
        answer(None, [{"address": row[4][0], "family": isIP(row[4][0])} for row in rows])

    def failed(failure: Failure) -> None:
        number = getattr(failure.value, "errno", None)
        error = _failure(host, _FAILURES.get(number or 0, _NOT_FOUND))
        error.__cause__ = failure.value
        answer(error, None)

    asked.addCallbacks(found, failed)


def _failure(host: str, what: tuple[str, int]) -> SystemCallError:
    code, number = what
    return SystemCallError(
        f"getaddrinfo {code} {host}",
        code,
        syscall="getaddrinfo",
        errno=number,
        hostname=host,
        blame=Blame.CONFIGURATION,
        phase=Phase.CONNECTING,
    )
