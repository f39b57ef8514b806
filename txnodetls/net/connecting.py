"""
How a C{net.Socket} finds its way to the peer: arguments, names, addresses, attempts.

The way, as in Node 24:

    path                            one attempt
    IP address                      one attempt, no 'lookup' event
    name, autoSelectFamily          all its addresses -> one 'lookup' each -> attempts one after
                                    the other, of both families in turn, each for 250 ms at most,
                                    the last one without a limit ("happy eyeballs", RFC 8305)
    name, one family asked for      one address -> one 'lookup' -> one attempt

Source: https://nodejs.org/api/net.html#socketconnectoptions-connectlistener
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from txnodetls.errors import (
    Blame,
    NodeError,
    NodeRangeError,
    NodeTypeError,
    Phase,
    invalidArgType,
    outOfRange,
)
from txnodetls.net.lookup import (
    ADDRCONFIG,
    isIP,
    isPipeName,
    lookup,
    portNumber,
)
from txnodetls.transports.connecting import Target, attempt

if TYPE_CHECKING:
    from txnodetls.net.socket import Socket
    from txnodetls.transports.carrier import Carrier

__all__ = ["AggregateError", "Connecting", "Route", "connectArguments"]

defaultAutoSelectFamily = True
defaultAutoSelectFamilyAttemptTimeout: float = 250  # milliseconds
_SHORTEST_ATTEMPT = 10
_LONGEST_TIMER = 2147483647


class AggregateError(NodeError):
    """
    JavaScript's AggregateError: every attempt failed.

    Its code is the first one's.

    @ivar errors: the errors of the attempts, in their order.
    """

    name = "AggregateError"

    def __init__(self, errors: list[NodeError]) -> None:
        super().__init__(
            "", errors[0].code, errors=errors, blame=errors[0].blame, phase=Phase.CONNECTING
        )


def connectArguments(
    arguments: tuple[Any, ...], named: Mapping[str, Any]
) -> tuple[dict[str, Any], Callable[..., object] | None]:
    """
    The options and the callback of C{connect(options[, cb])}, C{connect(path[, cb])},
    C{connect(port[, host][, cb])}; keyword arguments win over the mapping.
    """
    rest = list(arguments)
    callback = rest.pop() if rest and callable(rest[-1]) else None
    while rest and rest[-1] is None and len(rest) > 1:
        rest.pop()
    options: dict[str, Any] = {}
    if rest:
        first = rest[0]
        if isinstance(first, Mapping):
            options.update(first)
        elif isPipeName(first):
            options["path"] = first
        else:
            options["port"] = first
            if len(rest) > 1 and isinstance(rest[1], str):
                options["host"] = rest[1]
    options.update(named)
    return options, callback


class Route:
    """
    Where to connect to, and how: C{connect}'s options, checked.

    @raise NodeError: Node's, for what is wrong with them.
    """

    __slots__ = (
        "attemptTimeout",
        "autoSelectFamily",
        "blockList",
        "family",
        "hints",
        "host",
        "localAddress",
        "localPort",
        "lookup",
        "path",
        "port",
    )

    def __init__(self, options: Mapping[str, Any]) -> None:
        get = options.get
        self.path: str | None = None
        self.port = 0
        self.blockList = get("blockList")
        if get("path"):
            if not isinstance(options["path"], str):
                raise invalidArgType("options.path", "of type string", options["path"])
            self.path = options["path"]
            return
        if "port" not in options:
            raise NodeTypeError(
                'The "options" or "port" or "path" argument must be specified',
                "ERR_MISSING_ARGS",
                blame=Blame.CONFIGURATION,
            )
        self.host: Any = get("host") or "localhost"
        self.localAddress, self.localPort = _local(options)
        port = options["port"]
        if isinstance(port, bool) or not isinstance(port, (int, float, str)):
            raise invalidArgType("options.port", "one of type number or string", port)
        self.port = portNumber(port)
        self.autoSelectFamily, self.attemptTimeout = _selection(options)
        self.lookup = get("lookup")
        if self.lookup is not None and not callable(self.lookup):
            raise invalidArgType("options.lookup", "of type function", self.lookup)
        self.family = get("family")
        self.hints = get("hints") or 0
        if self.family not in (4, 6) and self.hints == 0:
            self.hints = ADDRCONFIG


def _local(options: Mapping[str, Any]) -> tuple[str | None, int]:
    address, port = options.get("localAddress"), options.get("localPort")
    if address and not isIP(address):
        raise _invalidAddress(address)
    if port is not None and (isinstance(port, bool) or not isinstance(port, (int, float))):
        raise invalidArgType("options.localPort", "of type number", port)
    return address or None, portNumber(port) if port else 0


def _selection(options: Mapping[str, Any]) -> tuple[bool, float]:
    select = options.get("autoSelectFamily")
    if select is None:
        select = defaultAutoSelectFamily
    elif not isinstance(select, bool):
        raise invalidArgType("options.autoSelectFamily", "of type boolean", select)
    timeout = options.get("autoSelectFamilyAttemptTimeout")
    if timeout is None:
        return select, defaultAutoSelectFamilyAttemptTimeout
    return select, attemptTimeout("options.autoSelectFamilyAttemptTimeout", timeout)


def attemptTimeout(name: str, timeout: object) -> float:
    """
    A time for one attempt, in milliseconds, checked; 10 at least.

    @raise NodeError: C{ERR_INVALID_ARG_TYPE}, C{ERR_OUT_OF_RANGE}.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise invalidArgType(name, "of type number", timeout)
    if timeout != int(timeout):
        raise outOfRange(name, "an integer", timeout)
    if not 1 <= timeout <= _LONGEST_TIMER:
        raise outOfRange(name, f">= 1 && <= {_LONGEST_TIMER}", timeout)
    return max(timeout, _SHORTEST_ATTEMPT)


def _invalidAddress(address: object) -> NodeTypeError:
    return NodeTypeError(
        f"Invalid IP address: {'undefined' if address is None else address}",
        "ERR_INVALID_IP_ADDRESS",
        blame=Blame.CONFIGURATION,
        phase=Phase.CONNECTING,
    )


class Connecting:
    """
    One run of a socket's C{connect}.

    It ends with C{socket._connected(carrier)}, with C{socket.destroy(error)}, or with
    L{cancel}, after which nothing comes any more.

    @param socket: whose way this is; it emits the events.
    @param route: where to.
    @raise NodeError: the lookup's, for what is wrong with host, family or hints.
    """

    __slots__ = (
        "_attempt",
        "_current",
        "_errors",
        "_live",
        "_reactor",
        "_route",
        "_socket",
        "_starting",
        "_ticks",
        "_timer",
        "_waiting",
    )

    def __init__(self, socket: Socket, route: Route, reactor: Any) -> None:
        self._socket = socket
        self._route = route
        self._reactor = reactor
        self._ticks = socket._ticks
        self._attempt: Any = None
        self._timer: Any = None
        self._current: tuple[str, int | None, int | None] = ("", None, None)
        self._waiting: list[str] = []
        self._errors: list[NodeError] = []
        self._live = True
        self._starting = False

    def start(self) -> None:
        """Set out."""
        route = self._route
        if route.path is not None:
            self._ticks.nextTick(self._single, route.path)
        elif isIP(route.host):
            self._ticks.nextTick(self._single, route.host)
        else:
            self._starting = True
            self._lookUp()
            self._starting = False

    def cancel(self) -> None:
        """Give up without a word."""
        self._live = False
        self._stopTimer()
        running, self._attempt = self._attempt, None
        if running is not None:
            running.cancel()

    # names

    @property
    def _several(self) -> bool:
        route = self._route
        return route.autoSelectFamily and route.family not in (4, 6) and not route.localAddress

    def _lookUp(self) -> None:
        route = self._route
        if route.lookup is None:
            lookup(self._reactor, route.host, route.family, route.hints, self._answered)
        else:
            options: dict[str, Any] = {"family": route.family, "hints": route.hints}
            if self._several:
                options["all"] = True
            result = route.lookup(route.host, options, self._customAnswered)
            if result is not None:
                self._socket._returned("lookup", result)

    def _answered(self, error: Exception | None, addresses: list[dict[str, Any]] | None) -> None:
        if self._starting:
            # Answered at once: what follows waits until connect() has returned, and whoever
            # called it has added his listeners.  A turn would run it all right here.
            self._resolved(error, addresses)
        else:
            self._ticks.turn(self._resolved, error, addresses)

    def _customAnswered(self, error: Any = None, address: Any = None, family: Any = None) -> None:
        if isinstance(address, (list, tuple)):
            addresses = [dict(one) for one in address]
        else:
            addresses = [{"address": address, "family": family or isIP(address)}]
        self._answered(error, addresses)

    def _resolved(self, error: Exception | None, addresses: list[dict[str, Any]] | None) -> None:
        if not self._live:
            return
        socket, host = self._socket, self._route.host
        if error is not None:
            socket._fire("lookup", error, None, None, host)
            self._failLater(error)
            return
        found = addresses or [{"address": None, "family": None}]
        if not self._several:
            first = found[0]
            socket._fire("lookup", None, first["address"], first["family"], host)
            wrong = self._wrong(first)
            if wrong is not None:
                self._failLater(wrong)
            elif self._live:
                self._single(first["address"])
            return
        good = [one for one in found if self._wrong(one) is None]
        for one in good:
            socket._fire("lookup", None, one["address"], one["family"], host)
            if not self._live:
                return
        if not good:
            self._failLater(self._wrong(found[0]))
        elif len(good) == 1:
            self._single(good[0]["address"])
        else:
            self._waiting = _alternating(good)
            self._next()

    def _wrong(self, one: dict[str, Any]) -> NodeError | None:
        """What is wrong with an address that a lookup gave; None: nothing."""
        address, family = one.get("address"), one.get("family")
        if not isIP(address):
            return _invalidAddress(address)
        if family not in (4, 6, "IPv4", "IPv6"):
            host, port = self._route.host, self._route.port
            return NodeRangeError(
                f"Invalid address family: {family} {host}:{port}",
                "ERR_INVALID_ADDRESS_FAMILY",
                host=host,
                port=port,
                blame=Blame.CONFIGURATION,
                phase=Phase.CONNECTING,
            )
        return None

    def _failLater(self, error: Exception | None) -> None:
        self._ticks.nextTick(self._fail, error)

    def _fail(self, error: Exception) -> None:
        if self._live:
            self._live = False
            self._socket.destroy(error)

    # attempts

    def _single(self, host: str) -> None:
        if self._live:
            self._try(host, self._singleDone)

    def _try(self, host: str, done: Callable[[Any, Any], object]) -> None:
        route, socket = self._route, self._socket
        if route.path is not None:
            self._current = (host, None, None)
            target = Target(host)
        else:
            family = isIP(host)
            self._current = (host, route.port, family)
            target = Target(host, route.port, route.localAddress, route.localPort)
            if route.blockList is not None and route.blockList.check(host, f"ipv{family}"):
                self._ticks.nextTick(done, _blocked(host), None)
                return
            socket._fire("connectionAttempt", *self._current)
        if self._live:
            self._attempt = attempt(target, self._reactor, done)

    def _singleDone(self, error: NodeError | None, carrier: Carrier | None) -> None:
        self._attempt = None
        if not self._live:
            return
        if error is None:
            self._arrive(carrier)
        else:
            self._report(error)
            self._fail(error)

    def _next(self) -> None:
        host = self._waiting.pop(0)
        self._try(host, self._oneDone)
        if self._waiting and self._live:
            seconds = self._route.attemptTimeout / 1000
            self._timer = self._reactor.callLater(seconds, self._ticks.turn, self._tooLong)

    def _oneDone(self, error: NodeError | None, carrier: Carrier | None) -> None:
        self._attempt = None
        self._stopTimer()
        if not self._live:
            return
        if error is None:
            self._arrive(carrier)
            return
        self._errors.append(error)
        self._report(error)
        if not self._live:
            return
        if self._waiting:
            self._next()
        else:
            self._fail(AggregateError(self._errors))

    def _tooLong(self) -> None:
        self._timer = None
        running, self._attempt = self._attempt, None
        if running is None:
            return
        running.cancel()
        self._errors.append(Target(self._current[0], self._current[1]).error(errno.ETIMEDOUT))
        self._socket._fire("connectionAttemptTimeout", *self._current)
        if self._live:
            self._next()

    def _report(self, error: NodeError) -> None:
        if getattr(error, "syscall", None) == "connect":
            self._socket._fire("connectionAttemptFailed", *self._current, error)

    def _arrive(self, carrier: Carrier | None) -> None:
        self._live = False
        assert carrier is not None
        self._socket._connected(carrier)

    def _stopTimer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


def _alternating(addresses: list[dict[str, Any]]) -> list[str]:
    """Both families in turn, beginning with that of the first; else in the resolver's order."""
    first = isIP(addresses[0]["address"])
    same = [one["address"] for one in addresses if isIP(one["address"]) == first]
    other = [one["address"] for one in addresses if isIP(one["address"]) != first]
    return [host for host in chain.from_iterable(zip_longest(same, other)) if host is not None]


def _blocked(host: str) -> NodeError:
    return NodeError(
        f"IP({host}) is blocked by net.BlockList",
        "ERR_IP_BLOCKED",
        blame=Blame.CONFIGURATION,
        phase=Phase.CONNECTING,
    )
