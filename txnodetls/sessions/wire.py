"""
The one connection that a store on another machine is reached by, and what such stores share.

It is made when it is first needed, and made again when it was lost and is needed
again.  Nobody waits for it longer than for an answer: what takes longer than the
time limit fails, and as answers come in the order of the questions, the
connection is given up then.  After a failure there is a pause before the next
attempt, longer each time, in which every question fails at once: a store that is
down costs nothing but the first wait.

What the other side says is believed in nothing.  Nonsense ends the connection,
and so does more of it than an answer can be long.

Answers and questions hold sessions, and some protocols repeat a question in
their error: so no text of the other side's is passed on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from twisted.internet import defer, error
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from txnodetls.sessions.places import Place, keyFrom
from txnodetls.sessions.sealing import SessionSealer

__all__ = ["LIMIT", "Line", "StoreError", "Wired", "WiredStore"]

#: How many bytes an answer can have.
LIMIT: Final = 4 * 1024 * 1024

# Seconds before the next attempt: after the first failure, and at most.
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0


class StoreError(Exception):
    """A store could not be asked, or refused."""


class Wired(Protocol):
    """
    Mixed into a client protocol, in front: tells its line, and trusts nobody.

    @ivar line: the L{Line} that it belongs to.
    @ivar unanswered: how many bytes have come since the last answer was complete.
    """

    line: Line
    unanswered = 0

    def dataReceived(self, data: bytes, *more: Any) -> None:
        if not more:
            self.unanswered += len(data)
        try:
            super().dataReceived(data, *more)
        except Exception:
            self.giveUp()
        else:
            if self.unanswered > LIMIT:
                self.giveUp()

    def giveUp(self) -> None:
        """There is no use in this connection any more."""
        self.line.lost(self)
        cast(Any, self.transport).abortConnection()

    def connectionLost(self, reason: Failure = Failure(error.ConnectionDone())) -> None:  # noqa: B008
        super().connectionLost(reason)
        self.line.lost(self)


class Line:
    """
    A connection to a store.

    @param name: what it is called in errors; no secrets.
    @param endpoint: makes the client endpoint; called with the reactor.
    @param build: makes the protocol.
    @param prepare: what has to be said first; the Deferred of its answer.
    @param timeout: seconds for an answer, and for the connection.
    @param reactor: by default the global one.
    """

    _log = Logger()

    def __init__(
        self,
        name: str,
        endpoint: Callable[[Any], IStreamClientEndpoint],
        build: Callable[[], Wired],
        prepare: Callable[[Any], Deferred[Any]],
        timeout: float,
        reactor: Any = None,
    ) -> None:
        self.name = name
        self._makeEndpoint = endpoint
        self._build = build
        self._prepare = prepare
        self._timeout = timeout
        self._reactor = reactor
        # The connection; None: there is none to be had now.
        self._protocol: Wired | None = None
        self._attempt: Deferred[Any] | None = None
        self._waiting: list[Deferred[Any]] = []
        self._pause = 0.0
        self._restUntil = 0.0
        self._closed = False

    @property
    def connected(self) -> bool:
        """Whether the connection stands."""
        return self._protocol is not None

    def ask(self, question: Callable[[Any], Deferred[Any]]) -> Deferred[Any]:
        """
        Ask something.

        @param question: called with the protocol; gives the Deferred of the answer.
        @return: the answer; or a StoreError, within the time limit.
        """
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        if self._closed:
            return defer.fail(StoreError(f"{self.name}: closed"))
        if self._protocol is not None:
            answer = defer.maybeDeferred(question, self._protocol)
        elif self._attempt is None and self._reactor.seconds() < self._restUntil:
            return defer.fail(StoreError(f"{self.name}: no connection"))
        else:
            ready: Deferred[Any] = Deferred()
            self._waiting.append(ready)
            answer = ready.addCallback(question)
            if self._attempt is None:
                self._connect()
        answer.addTimeout(self._timeout, self._reactor)
        return answer.addCallbacks(self._answered, self._notAnswered)

    def close(self) -> None:
        """End the connection; there is no other afterwards."""
        self._closed = True
        protocol, self._protocol = self._protocol, None
        if self._attempt is not None:
            self._attempt.cancel()
        if protocol is not None:
            protocol.giveUp()

    def lost(self, protocol: Wired) -> None:
        """A connection has ended (called by L{Wired})."""
        if self._protocol is protocol:
            self._protocol = None
            # One that was good for something may be made again at once.
            if self._pause:
                self._rest()

    # -- answers

    def _answered(self, answer: Any) -> Any:
        self._pause = 0.0
        if self._protocol is not None:
            self._protocol.unanswered = 0
        return answer

    def _notAnswered(self, failure: Failure) -> Failure:
        kind = failure.value
        if isinstance(kind, defer.CancelledError):
            return failure
        if isinstance(kind, (defer.TimeoutError, error.TimeoutError)):
            self._giveUp()
            return Failure(StoreError(f"{self.name}: no answer within {self._timeout:g} s"))
        if isinstance(kind, StoreError):
            return failure
        # Whatever was said, it was no answer; and it may be the question that it repeats.
        self._giveUp()
        return Failure(StoreError(f"{self.name}: {type(kind).__name__}"))

    def _giveUp(self) -> None:
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            self._rest()
            protocol.giveUp()

    def _rest(self) -> None:
        self._pause = min(2 * self._pause or _FIRST_PAUSE, _LONGEST_PAUSE)
        self._restUntil = self._reactor.seconds() + self._pause

    # -- connecting

    def _connect(self) -> None:
        made: list[Wired] = []

        def build() -> Wired:
            protocol = self._build()
            protocol.line = self
            made.append(protocol)
            return protocol

        def ready(_prepared: Any) -> None:
            self._attempt = None
            self._protocol = made[0]
            self._tell(lambda waiting: waiting.callback(made[0]))

        def failed(failure: Failure) -> None:
            self._attempt = None
            self._rest()
            for protocol in made:
                if protocol.transport is not None:
                    protocol.giveUp()
            problem = failure.value
            if not isinstance(problem, StoreError):
                problem = StoreError(f"{self.name}: {type(problem).__name__}")
            self._tell(lambda waiting: waiting.errback(problem))

        factory = _Factory(build)
        self._attempt = attempt = defer.maybeDeferred(self._endpointConnect, factory)
        attempt.addCallback(lambda protocol: self._prepare(made[0]))
        attempt.addTimeout(self._timeout, self._reactor)
        attempt.addCallbacks(ready, failed)
        attempt.addErrback(lambda failure: self._log.failure("{line} failed", failure, line=self))

    def _endpointConnect(self, factory: Factory) -> Deferred[Any]:
        return cast("Deferred[Any]", self._makeEndpoint(self._reactor).connect(factory))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} to {self.name}>"

    def _tell(self, call: Callable[[Deferred[Any]], None]) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.called:
                call(each)


class WiredStore:
    """
    What the stores of sessions on other machines have in common.

    @ivar sealingKeys: what entries are sealed with; None: with the server's ticket keys.
    @ivar shared: True: a server without keys to seal with refuses this store.
    @param place: what the address says; C{keyFile} and C{prefix} may stand behind it.
    @raise NodeTypeError: C{ERR_INVALID_ARG_VALUE}, C{ERR_INVALID_ARG_TYPE}.
    """

    shared = True
    _line: Line

    def __init__(
        self, place: Place, sealingKeys: Sequence[bytes] | None, prefix: str | None
    ) -> None:
        if sealingKeys is None:
            key = keyFrom("address", place.more)
            sealingKeys = None if key is None else (key,)
        if sealingKeys is not None:
            SessionSealer(sealingKeys)
        self.sealingKeys = sealingKeys
        name = place.more.get("prefix", "nodetls:session:") if prefix is None else prefix
        self._checkPrefix(name)
        self._prefix = name.encode()

    def _checkPrefix(self, name: str) -> None:
        """Refuse what keys cannot begin with there."""

    def close(self) -> None:
        """End the connection, for good."""
        self._line.close()

    def _key(self, sessionId: bytes) -> bytes:
        return self._prefix + sessionId.hex().encode()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self._line.name}>"


class _Factory(Factory):
    noisy = False

    def __init__(self, build: Callable[[], Wired]) -> None:
        self._build = build

    def buildProtocol(self, addr: Any) -> Wired:
        return self._build()
