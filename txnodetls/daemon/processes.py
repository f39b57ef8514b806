"""
A worker as its supervisor has it: a process, its pipes, and what it is doing.

    STARTING → IDLE → SERVING → LEAVING → DEAD
                        HUNG: killed, as it did not answer any more → DEAD

It is asked for its metrics once a second; what has said nothing since is silent.  Silence is
counted in questions, and not by a clock: where the machine stood still, or the supervisor
itself, that is no fault of the worker's.
"""

from __future__ import annotations

import enum
import os
import select
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from txnodetls.daemon.channel import Lines, said, snapshotFrom
from txnodetls.daemon.metrics import Snapshot
from txnodetls.daemon.worker import REPORTS
from txnodetls.twisted.reporting import escaped

__all__ = ["Process", "State", "Supervisor", "WorkerFailure", "awaitFirst", "spawn"]

log = Logger(namespace="nodetls")

_PATIENCE: Final = 2.0
"""Seconds that a worker may take to tell its metrics."""
_QUIET: Final = 5
"""So many questions in a row without a word: for now, it is not one to count on."""
_LOUD: Final = 65536
"""So much of what a worker says before it ends is looked at."""


class WorkerFailure(Exception):
    """A worker cannot be had; the text says why, in one line."""


class State(enum.Enum):
    """What a worker is doing."""

    STARTING = "starting"
    IDLE = "idle"
    SERVING = "serving"
    LEAVING = "leaving"
    HUNG = "hung"
    DEAD = "dead"


class Supervisor(Protocol):
    """Who is told what workers say."""

    reactor: Any

    def ready(self, process: Process) -> None:
        """One is there, and idle."""

    def serving(self, process: Process) -> None:
        """One serves."""

    def leaving(self, process: Process) -> None:
        """One ends without having been told to, when its last connection does."""

    def died(self, process: Process, before: State, reason: Failure) -> None:
        """One is gone; C{before}: what it was doing."""


class Process(ProcessProtocol):
    """
    One worker.

    @ivar number: which one it is, in the log.
    @ivar began: when it was started, in the reactor's seconds.
    @ivar last: the metrics that it told last; C{open}: the connections.
    @ivar silent: how many questions in a row it has not answered.
    @ivar ended: fires when it is gone.
    """

    def __init__(self, supervisor: Supervisor, number: int) -> None:
        self._supervisor = supervisor
        self.number = number
        self.state = State.STARTING
        self.began = supervisor.reactor.seconds()
        self.last: Snapshot = {}
        self.open = 0
        self.silent = 0
        self.ended: Deferred[None] = Deferred()
        self._lines = Lines()
        self._output = b""
        self._asking: list[Deferred[None]] = []
        self._heardOf = True

    @property
    def pid(self) -> int:
        """Its number for the system; 0 where it has none."""
        return getattr(self.transport, "pid", None) or 0

    @property
    def stays(self) -> bool:
        """Whether it is one to go on with: neither about to end nor gone."""
        return self.state in (State.STARTING, State.IDLE, State.SERVING)

    @property
    def serves(self) -> bool:
        """Whether it serves, as far as one can tell."""
        return self.state is State.SERVING and self.silent < _QUIET

    def look(self) -> None:
        """Once a second: see whether it has said anything since the last time, and ask again."""
        self.silent = 0 if self._heardOf else self.silent + 1
        self._heardOf = False
        if self.silent == _QUIET and self.stays:
            log.warn("worker {number} does not answer", number=self.number)
        self.ask()

    def say(self, message: bytes) -> None:
        """Send a message, if there is still somebody to hear it."""
        if self.state is not State.DEAD and self.transport is not None:
            self.transport.writeToChild(0, message)

    def ask(self) -> Deferred[None]:
        """Have it tell its metrics; fires in any case."""
        answered: Deferred[None] = Deferred()
        if self.state is State.DEAD:
            answered.callback(None)
            return answered
        self._asking.append(answered)
        self._supervisor.reactor.callLater(_PATIENCE, self._answer, answered)
        self.say(said("stats"))
        return answered

    def retire(self) -> None:
        """It is to end, when its last connection does."""
        if self.stays:
            self.state = State.LEAVING
            self.say(said("drain", seconds=None))

    def giveUp(self) -> None:
        """It does nothing any more, and is to be gone."""
        self.state = State.HUNG
        self.kill()

    def kill(self) -> None:
        """End it at once."""
        if self.state is not State.DEAD and self.transport is not None:
            self.transport.signalProcess("KILL")

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        if childFD == REPORTS:
            for message in self._lines.receive(data):
                self._heard(message)
            return
        *lines, self._output = (self._output + data).split(b"\n")
        for line in lines:
            self._log(line.decode(errors="backslashreplace"))

    def _log(self, line: str) -> None:
        name, _, text = line.partition(" ")
        try:
            level = LogLevel.levelWithName(name)
        except ValueError:
            level, text = LogLevel.info, line
        log.emit(level, "worker {number}: {text}", number=self.number, text=text)

    def _heard(self, message: dict[str, Any]) -> None:
        say = message["say"]
        self._heardOf = True
        if self.silent >= _QUIET and self.stays:
            log.info("worker {number} answers again", number=self.number)
        self.silent = 0
        if say == "stats":
            self.last = snapshotFrom(message["values"])
            self.open = message["open"]
            for each in self._asking[:]:
                self._answer(each)
        elif say == "idle":
            if self.state is State.STARTING:
                self.state = State.IDLE
                self._supervisor.ready(self)
        elif say == "serving":
            if self.state is State.IDLE:
                self.state = State.SERVING
                self._supervisor.serving(self)
        elif say == "leaving":
            if self.stays:
                self.state = State.LEAVING
                self._supervisor.leaving(self)
        elif say == "failed":
            log.error("worker {number}: {error}", number=self.number, error=message["error"])
            if self.state is not State.SERVING:
                self.kill()

    def _answer(self, answered: Deferred[None]) -> None:
        if answered in self._asking:
            self._asking.remove(answered)
            answered.callback(None)

    def processEnded(self, reason: Failure) -> None:
        before, self.state = self.state, State.DEAD
        for each in self._asking[:]:
            self._answer(each)
        self._supervisor.died(self, before, reason)
        self.ended.callback(None)


def spawn(supervisor: Supervisor, number: int, descriptors: Mapping[int, int]) -> Process:
    """
    Start a worker.

    @param descriptors: of ports: those here, by their numbers there.
    @raise WorkerFailure: the system refuses.
    """
    reactor = supervisor.reactor
    process = Process(supervisor, number)
    pipes: dict[int, Any] = {0: "w", 1: "r", 2: "r", REPORTS: "r"}
    module = type(reactor).__module__
    command = [sys.executable, "-m", "txnodetls.daemon.worker", module]
    try:
        reactor.spawnProcess(
            process, command[0], command, env=_environment(), childFDs=pipes | dict(descriptors)
        )
    except OSError as error:
        problem = error.strerror or error
        raise WorkerFailure(f"workers: cannot start {command[0]}: {problem}") from error
    return process


def awaitFirst(processes: Iterable[Process], seconds: float) -> None:
    """
    Wait until one of them says something, or so many seconds: before the reactor runs.

    What it says stays where it is, for the reactor to read.

    @raise WorkerFailure: one has ended without a word to us; its last word to anybody is told.
    """
    reports: dict[int, Process] = {}
    poll = select.poll()
    for process in processes:
        descriptor = _pipe(process, REPORTS)
        reports[descriptor] = process
        poll.register(descriptor, select.POLLIN)
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        for descriptor, event in poll.poll(left * 1000):
            if not event & select.POLLIN:
                raise WorkerFailure(
                    f"workers: the first ends at once: {_lastWords(reports[descriptor])}"
                )
            return


def _pipe(process: Process, number: int) -> int:
    transport: Any = process.transport
    return int(transport.pipes[number].fileno())


def _lastWords(process: Process) -> str:
    """The last line that a process which is gone has printed."""
    try:
        printed = os.read(_pipe(process, 2), _LOUD)
    except BlockingIOError:  # it has closed its pipe to us, and lives on
        printed = b""
    lines = printed.decode(errors="backslashreplace").split("\n")
    return next((escaped(line) for line in reversed(lines) if line.strip()), "it does not say why")


def _environment() -> dict[str, str]:
    """That of this process; with the way that this package was found, wherever it is."""
    path = os.pathsep.join(dict.fromkeys(each or os.getcwd() for each in sys.path))
    return {**os.environ, "PYTHONPATH": path}
