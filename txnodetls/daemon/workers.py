"""
The supervisor's side of several workers.

    ports bound once  →  every worker adopts them; the kernel gives each connection to one
    one in reserve    →  started, prepared, idle; takes the place of a worker that dies, at once
    configurations    →  checked here, then handed to the workers
    ticket keys       →  made and changed here, the same for all
    metrics           →  asked of all and added up; of those that died, what they said last

A reload keeps workers and their connections.  Only where a place to listen at is new are workers
replaced: a descriptor cannot be handed to a process that runs.  The old ones then accept no
more, and end when their last connection does.
"""

from __future__ import annotations

import enum
import os
import sys
from collections.abc import Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import LoopingCall
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from txnodetls.daemon.bound import Bound
from txnodetls.daemon.channel import Lines, filesTold, said, snapshotFrom
from txnodetls.daemon.config import Config
from txnodetls.daemon.metrics import Metrics, Snapshot, added
from txnodetls.daemon.tickets import TicketKeys
from txnodetls.daemon.worker import REPORTS

__all__ = ["Workers"]

log = Logger(namespace="nodetls")

_FIRST_PORT: Final = 10
"""The descriptor of the first port in a worker."""
_PATIENCE: Final = 2.0
"""Seconds that a worker may take to tell its metrics."""
_SHORT: Final = 5.0
"""Seconds: a worker that dies sooner is not replaced at once but after so many."""
_KILL: Final = 3.0
"""Seconds, after the deadline of draining, until a worker that is still there is killed."""


class State(enum.Enum):
    """What a worker is doing."""

    STARTING = "starting"
    IDLE = "idle"
    SERVING = "serving"
    LEAVING = "leaving"
    DEAD = "dead"


class _Process(ProcessProtocol):
    """One worker."""

    def __init__(self, workers: Workers, number: int) -> None:
        self._workers = workers
        self.number = number
        self.state = State.STARTING
        self.began = workers.reactor.seconds()
        self.last: Snapshot = {}
        self.open = 0
        self.ended: Deferred[None] = Deferred()
        self._lines = Lines()
        self._output = b""
        self._asking: list[Deferred[None]] = []

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
        self._workers.reactor.callLater(_PATIENCE, self._answer, answered)
        self.say(said("stats"))
        return answered

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
        if say == "stats":
            self.last = snapshotFrom(message["values"])
            self.open = message["open"]
            for each in self._asking[:]:
                self._answer(each)
        elif say == "idle":
            if self.state is State.STARTING:
                self.state = State.IDLE
            self._workers.ready(self)
        elif say == "serving":
            self._workers.serving(self)
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
        self._workers.died(self, before, reason)
        self.ended.callback(None)


class Workers:
    """
    Several processes that serve one configuration.

    @param count: how many.
    @param switches: what the configuration was read from, together with its files.
    """

    def __init__(self, reactor: Any, count: int, switches: Mapping[str, str]) -> None:
        self.reactor = reactor
        self.tickets = TicketKeys(reactor, self._newKeys)
        self.ports: dict[str, Bound] = {}
        self._count = count
        self._switches = dict(switches)
        self._config: Config | None = None
        self._processes: list[_Process] = []
        self._spare: _Process | None = None
        self._made = 0
        self._gone: Snapshot = {}
        self._metrics = Metrics()
        self._drained: Deferred[None] | None = None
        self._poll = LoopingCall(self._askAll)
        self._poll.clock = reactor

    # -- as Runtime

    def apply(self, config: Config, ports: Mapping[str, Bound]) -> None:
        """Serve a configuration, on these ports."""
        new = set(ports) - set(self.ports)
        for place in set(self.ports) - set(ports):
            self.ports[place].close()
        self._config, self.ports = config, dict(ports)
        serving = [each for each in self._processes if each.state is State.SERVING]
        if new or not serving:
            for each in self._processes:
                self._retire(each)
            self._retire(self._spare)
            self._spare = None
            for _ in range(self._count):
                self._start()
            self._keepSpare()
        else:
            for each in serving:
                each.say(self._told("serve"))
            if self._spare is not None and self._spare.state is State.IDLE:
                self._spare.say(self._told("prepare"))
        if not self._poll.running:
            self._poll.start(1.0, now=False)

    def drain(self, seconds: float) -> Deferred[None]:
        """Have all workers drain; fires when the last is gone."""
        if self._drained is None:
            self._drained = Deferred()
            if self._poll.running:
                self._poll.stop()
            self.tickets.stop()
            for port in self.ports.values():
                port.close()
            self._retire(self._spare)
            self._spare = None
            alive = [each for each in self._processes if each.state is not State.DEAD]
            for each in alive:
                each.state = State.LEAVING
                each.say(said("drain", seconds=seconds))
            kill = self.reactor.callLater(max(seconds, 1.0) + _KILL, self._killAll)

            def over(result: object) -> None:
                if kill.active():
                    kill.cancel()
                assert self._drained is not None
                self._drained.callback(None)

            DeferredList([each.ended for each in alive]).addCallback(over)
        return self._drained

    def end(self) -> None:
        """End every connection."""
        for each in self._processes:
            each.say(said("end"))

    @property
    def open(self) -> int:
        """How many connections there were, a moment ago."""
        return sum(each.open for each in self._processes)

    @property
    def serves(self) -> bool:
        """Whether connections are taken."""
        return self._drained is None and any(
            each.state is State.SERVING for each in self._processes
        )

    def snapshot(self) -> Deferred[Snapshot]:
        """All metrics now, of all workers."""

        def answered(result: object) -> Snapshot:
            alive = [each.last for each in self._processes]
            total = added([*alive, self._gone, self._metrics.snapshot()])
            total["worker_deaths", ()] = total.get(("worker_deaths", ()), 0)
            total["workers", ()] = sum(each.state is State.SERVING for each in self._processes)
            return total

        return DeferredList([each.ask() for each in self._processes]).addCallback(answered)

    # -- what processes tell

    def ready(self, process: _Process) -> None:
        """One is there, and idle."""
        process.say(self._told("prepare" if process is self._spare else "serve"))

    def serving(self, process: _Process) -> None:
        """One serves, or serves something else."""
        if process.state is State.IDLE:
            process.state = State.SERVING
            log.info("worker {number} serves, pid {pid}", number=process.number, pid=_pid(process))

    def died(self, process: _Process, before: State, reason: Failure) -> None:
        """One is gone."""
        if process in self._processes:
            self._processes.remove(process)
        self._gone = added([self._gone, added([process.last], ended=True)])
        if process is self._spare:
            self._spare = None
        if before is State.LEAVING and reason.check(ProcessDone):
            return
        self._metrics.add("worker_deaths")
        log.error(
            "worker {number} has died: {reason}",
            number=process.number,
            reason=reason.getErrorMessage(),
        )
        if self._drained is not None or before is State.LEAVING:
            return
        if self.reactor.seconds() - process.began < _SHORT and before is not State.SERVING:
            # It may be about to die each time; that is no reason to keep the machine busy.
            self.reactor.callLater(_SHORT, self._fill)
        else:
            self._fill()

    # -- processes

    def _fill(self) -> None:
        """As many workers as there are to be."""
        if self._drained is not None:
            return
        alive = [each for each in self._processes if each.state is not State.LEAVING]
        for _ in range(self._count - len(alive)):
            self._start()
        self._keepSpare()

    def _start(self) -> None:
        """One more: the one in reserve, or a new one."""
        process, self._spare = self._spare, None
        if process is None:
            process = self._spawn()
        self._processes.append(process)
        if process.state is State.IDLE:
            process.say(said("go", keys=self._keys()))

    def _keepSpare(self) -> None:
        if self._spare is None:
            self._spare = self._spawn()

    def _spawn(self) -> _Process:
        self._made += 1
        process = _Process(self, self._made)
        descriptors: dict[int, Any] = {0: "w", 1: "r", 2: "r", REPORTS: "r"}
        for number, port in self._numbered():
            descriptors[number] = port.socket.fileno()
        module = type(self.reactor).__module__
        command = [sys.executable, "-m", "txnodetls.daemon.worker", module]
        self.reactor.spawnProcess(
            process, command[0], command, env=_environment(), childFDs=descriptors
        )
        return process

    def _numbered(self) -> list[tuple[int, Bound]]:
        return [
            (number, port)
            for number, (_, port) in enumerate(sorted(self.ports.items()), _FIRST_PORT)
        ]

    def _keys(self) -> list[str]:
        return [key.hex() for key in self.tickets.keys]

    def _told(self, say: str) -> bytes:
        """The configuration, as a message."""
        assert self._config is not None
        numbers = {place: number for number, place in enumerate(sorted(self.ports), _FIRST_PORT)}
        return said(
            say,
            switches=self._switches,
            files=filesTold(self._config.files),
            ports=numbers,
            keys=self._keys(),
        )

    def _newKeys(self) -> None:
        for each in self._processes:
            each.say(said("tickets", keys=self._keys()))

    def _retire(self, process: _Process | None) -> None:
        """One is to end, when its last connection does."""
        if process is not None and process.state not in (State.DEAD, State.LEAVING):
            process.state = State.LEAVING
            process.say(said("drain", seconds=None))

    def _askAll(self) -> None:
        for each in self._processes:
            each.ask()

    def _killAll(self) -> None:
        for each in list(self._processes):
            each.kill()


def _pid(process: _Process) -> int:
    return getattr(process.transport, "pid", None) or 0


def _environment() -> dict[str, str]:
    """That of the process; with the way that this package was found, wherever it is."""
    path = os.pathsep.join(dict.fromkeys(each or os.getcwd() for each in sys.path))
    return {**os.environ, "PYTHONPATH": path}
