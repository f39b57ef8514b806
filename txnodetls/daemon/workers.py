"""
The supervisor's side of several workers.

    ports bound once  →  every worker adopts them; the kernel gives each connection to one
    one in reserve    →  started, prepared, idle; takes the place of a worker that dies, at once
    one that hangs    →  says nothing for too long: is killed, and replaced like one that has died
    configurations    →  checked here, then handed to the workers
    ticket keys       →  made and changed here, the same for all
    metrics           →  asked of all and added up; of those that died, what they said last

A reload keeps workers and their connections.  Only where a place to listen at is new are workers
replaced: a descriptor cannot be handed to a process that runs.  The old ones then accept no
more, and end when their last connection does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.error import ProcessDone
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from txnodetls.daemon.backoff import Backoff
from txnodetls.daemon.bound import Bound
from txnodetls.daemon.channel import filesTold, said
from txnodetls.daemon.metrics import Metrics, Snapshot, added
from txnodetls.daemon.plan import Config
from txnodetls.daemon.processes import Process, State, WorkerFailure, awaitFirst, spawn
from txnodetls.daemon.repeating import Repeating
from txnodetls.daemon.tickets import TicketKeys

__all__ = ["WorkerFailure", "Workers"]

log = Logger(namespace="nodetls")

_FIRST_PORT: Final = 10
"""The descriptor of the first port in a worker."""
_COMING: Final = 30.0
"""Seconds that the start waits for the first worker."""
_AGAIN: Final = 1.0
"""Seconds, at least, until a start is tried again that the system has refused."""
_EVERY: Final = 1.0
"""Seconds between two questions to a worker."""
_BEGINNING: Final = 60
"""So many of them, at least, may pass until one that is starting says something."""
_KILL: Final = 3.0
"""Seconds, after the deadline of draining, until a worker that is still there is killed."""


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
        self._processes: list[Process] = []
        self._spare: Process | None = None
        self._made = 0
        self._gone: Snapshot = {}
        self._metrics = Metrics()
        self._drained: Deferred[None] | None = None
        self._backoff = Backoff()
        self._later: IDelayedCall | None = None
        self._looking = Repeating(reactor, self._lookAfterAll)

    # -- as Runtime

    def apply(self, config: Config, ports: Mapping[str, Bound]) -> None:
        """
        Serve a configuration, on these ports.

        @raise WorkerFailure: workers were to be started and cannot be; nothing has changed then.
        """
        new = set(ports) - set(self.ports)
        staying = [each for each in self._processes if each.stays]
        fresh: list[Process] = []
        if new or not staying:
            # One more, for the reserve.
            fresh = self._spawnAll(self._count + 1, ports)
        for place in set(self.ports) - set(ports):
            self.ports[place].close()
        self._config, self.ports = config, dict(ports)
        if fresh:
            self._retireAll()
            *those, self._spare = fresh
            self._processes += those
        else:
            for each in staying:
                self._tell(each, "serve")
            if self._spare is not None:
                self._tell(self._spare, "prepare")
        self._looking.start(_EVERY)

    def awaitFirst(self) -> None:
        """
        Wait for the first worker: before the reactor runs, so that a start that fails can say so.

        @raise WorkerFailure: one ends at once, so that all will.
        """
        awaitFirst(self._processes, _COMING)

    def drain(self, seconds: float) -> Deferred[None]:
        """Have all workers drain; fires when the last is gone."""
        if self._drained is None:
            self._drained = Deferred()
            self._looking.stop()
            if self._later is not None:
                self._later.cancel()
            self.tickets.stop()
            for port in self.ports.values():
                port.close()
            if self._spare is not None:
                self._spare.retire()
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
        return self._drained is None and any(each.serves for each in self._processes)

    def snapshot(self) -> Deferred[Snapshot]:
        """All metrics now, of all workers."""

        def answered(result: object) -> Snapshot:
            alive = [each.last for each in self._processes]
            total = added([*alive, self._gone, self._metrics.snapshot()])
            for name in ("worker_deaths", "worker_hangs"):
                total[name, ()] = total.get((name, ()), 0)
            total["workers", ()] = sum(each.serves for each in self._processes)
            return total

        return DeferredList([each.ask() for each in self._processes]).addCallback(answered)

    # -- what processes tell

    def ready(self, process: Process) -> None:
        """One is there, and idle."""
        self._tell(process, "prepare" if process is self._spare else "serve")

    def serving(self, process: Process) -> None:
        """One serves."""
        log.info("worker {number} serves, pid {pid}", number=process.number, pid=process.pid)
        if self._drained is None and self._later is None:
            self._fill()

    def leaving(self, process: Process) -> None:
        """One ends without having been told to, when its last connection does."""
        if self._drained is None:
            log.info("worker {number} was told to end, and is replaced", number=process.number)
            if process is self._spare:
                self._spare = None
            self._fill()

    def died(self, process: Process, before: State, reason: Failure) -> None:
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
        if self._drained is not None or before in (State.LEAVING, State.HUNG):
            return  # the latter is replaced already
        self._fillLater(self._backoff.after(self.reactor.seconds() - process.began))

    # -- processes

    def _fillLater(self, seconds: float) -> None:
        """See to it, now or so many seconds later, that there are as many as there are to be."""
        if not seconds:
            self._fill()
        elif self._later is None:
            self._later = self.reactor.callLater(seconds, self._filledLater)

    def _filledLater(self) -> None:
        self._later = None
        self._fill()

    def _fill(self) -> None:
        staying = [each for each in self._processes if each.stays]
        try:
            for _ in range(self._count - len(staying)):
                self._start()
            # Not before the one that was in reserve serves: they would take time from each other.
            if self._spare is None and not any(p.state is State.IDLE for p in self._processes):
                self._spare = self._spawn(self.ports)
        except WorkerFailure as error:
            log.error("{error}", error=error)
            # Not at once even for the first time: what refuses is the system itself.
            self._fillLater(max(self._backoff.after(0), _AGAIN))

    def _start(self) -> None:
        """One more: the one in reserve, or a new one."""
        process, self._spare = self._spare, None
        if process is None:
            process = self._spawn(self.ports)
        self._processes.append(process)
        if process.state is State.IDLE:
            process.say(said("go", keys=self._keys()))

    def _spawn(self, ports: Mapping[str, Bound]) -> Process:
        self._made += 1
        descriptors = {
            number: ports[place].socket.fileno() for place, number in _numbered(ports).items()
        }
        return spawn(self, self._made, descriptors)

    def _spawnAll(self, count: int, ports: Mapping[str, Bound]) -> list[Process]:
        """So many, or none."""
        spawned: list[Process] = []
        try:
            while len(spawned) < count:
                spawned.append(self._spawn(ports))
        except WorkerFailure:
            for each in spawned:
                each.retire()
            raise
        return spawned

    def _keys(self) -> list[str]:
        return [key.hex() for key in self.tickets.keys]

    def _tell(self, process: Process, say: str) -> None:
        """Hand the configuration to one that can listen; who is starting gets it later."""
        if process.state is not State.STARTING:
            assert self._config is not None
            files = filesTold(self._config.files)
            ports, keys = _numbered(self.ports), self._keys()
            process.say(said(say, switches=self._switches, files=files, ports=ports, keys=keys))

    def _newKeys(self) -> None:
        for each in self._processes:
            each.say(said("tickets", keys=self._keys()))

    def _retireAll(self) -> None:
        """All are to end, each when its last connection does."""
        for each in self._processes:
            each.retire()
        if self._spare is not None:
            self._spare.retire()

    def _lookAfterAll(self) -> None:
        assert self._config is not None
        limit = self._config.own.workerTimeout / 1000 / _EVERY
        everyone = [*self._processes, *filter(None, [self._spare])]
        for each in everyone:
            each.look()
            patience = max(limit, _BEGINNING) if each.state is State.STARTING else limit
            if limit and each.silent >= patience and each.state is not State.HUNG:
                self._giveUp(each)

    def _giveUp(self, process: Process) -> None:
        """One hangs; another one takes its place before it is gone, which may take long as well."""
        log.error(
            "worker {number} has not answered for {seconds:g} s, and is killed",
            number=process.number,
            seconds=process.silent * _EVERY,
        )
        self._metrics.add("worker_hangs")
        process.giveUp()
        if process is self._spare:
            self._spare = None
            self._processes.append(process)  # until it is gone
        if self._later is None:
            self._fill()

    def _killAll(self) -> None:
        for each in list(self._processes):
            each.kill()


def _numbered(places: Iterable[str]) -> dict[str, int]:
    """The descriptors of ports in a worker, by their places."""
    return {place: number for number, place in enumerate(sorted(places), _FIRST_PORT)}
