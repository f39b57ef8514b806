"""Workers as their supervisor has them: started, heard, waited for."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.error import ProcessDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from txnodetls.daemon.channel import Lines, said
from txnodetls.daemon.processes import Process, State, WorkerFailure, awaitFirst, spawn
from txnodetls.daemon.worker import REPORTS


class Supervisor:
    """Notes what it is told."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.told: list[str] = []

    def ready(self, process: Process) -> None:
        self.told.append("ready")

    def serving(self, process: Process) -> None:
        self.told.append("serving")

    def leaving(self, process: Process) -> None:
        self.told.append("leaving")

    def died(self, process: Process, before: State, reason: Failure) -> None:
        self.told.append(f"died {before.value}")


class Transport:
    """Stands for the pipes to a worker: C{heard} is what it was told."""

    pid = 7

    def __init__(self) -> None:
        self._lines = Lines()
        self.heard: list[str] = []
        self.signals: list[str] = []

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)

    def writeToChild(self, number: int, data: bytes) -> None:
        self.heard += [message["say"] for message in self._lines.receive(data)]


def made() -> tuple[Any, Supervisor, Transport]:
    supervisor, transport = Supervisor(Clock()), Transport()
    process: Any = Process(supervisor, 1)
    process.transport = transport
    return process, supervisor, transport


def says(process: Process, *messages: str) -> None:
    for message in messages:
        process.childDataReceived(REPORTS, said(message))


def test_it_comes_serves_and_goes() -> None:
    process, supervisor, transport = made()
    says(process, "idle")
    assert process.state is State.IDLE
    says(process, "serving", "serving")  # the second time of something else
    assert process.state is State.SERVING
    process.retire()
    process.retire()
    assert transport.heard == ["drain"]
    process.processEnded(Failure(ProcessDone(0)))
    process.say(said("end"))
    assert transport.heard == ["drain"]
    assert supervisor.told == ["ready", "serving", "died leaving"]


def test_one_that_is_retired_before_it_has_come_is_not_put_to_work() -> None:
    process, supervisor, _ = made()
    process.retire()
    says(process, "idle")
    assert (process.state, supervisor.told) == (State.LEAVING, [])


def test_one_that_leaves_by_itself_says_so_once() -> None:
    process, supervisor, _ = made()
    says(process, "idle", "serving", "leaving", "leaving")
    assert supervisor.told == ["ready", "serving", "leaving"]


def test_who_asks_is_answered_whatever_becomes_of_it() -> None:
    process, _, transport = made()
    answered: list[object] = []
    process.ask().addCallback(answered.append)
    process.childDataReceived(REPORTS, said("stats", values=[["workers", [], 3]], open=2))
    assert (len(answered), process.open, process.last) == (1, 2, {("workers", ()): 3})
    process.ask().addCallback(answered.append)
    process._supervisor.reactor.advance(2)
    assert len(answered) == 2
    process.ask().addCallback(answered.append)
    process.processEnded(Failure(ProcessDone(0)))
    process.ask().addCallback(answered.append)
    assert (len(answered), transport.heard) == (4, ["stats"] * 3)


def test_it_is_silent_by_questions_and_not_by_time() -> None:
    process, supervisor, transport = made()
    says(process, "idle", "serving")
    process.look()
    # Nobody looked for an hour: the machine slept, perhaps.
    supervisor.reactor.advance(3600)
    for _ in range(5):
        assert process.serves
        process.look()
    assert (process.silent, process.serves) == (5, False)
    process.childDataReceived(REPORTS, said("stats", values=[], open=0))
    assert (process.silent, process.serves) == (0, True)
    process.look()
    assert (process.silent, transport.heard) == (0, ["stats"] * 7)


def test_whatever_it_says_it_is_not_silent() -> None:
    process, _, _ = made()
    for _ in range(20):
        process.look()
        says(process, "idle")
    assert process.silent == 0


def test_one_that_is_given_up_is_killed_and_takes_no_part_any_more() -> None:
    process, supervisor, transport = made()
    says(process, "idle", "serving")
    process.giveUp()
    assert (process.state, process.stays, process.serves) == (State.HUNG, False, False)
    # It was not stuck for good, and goes on for a moment.
    says(process, "leaving")
    process.retire()
    assert (process.state, transport.heard, transport.signals) == (State.HUNG, [], ["KILL"])
    assert supervisor.told == ["ready", "serving"]


class Spawning(Clock):
    """A reactor that can do nothing but start processes; their pipes are real."""

    def spawnProcess(self, process: Any, command: str, *more: Any, **options: Any) -> None:
        from twisted.internet.process import Process as Native

        process.makeConnection = lambda transport: setattr(process, "transport", transport)
        options["childFDs"] = {n: d for n, d in options["childFDs"].items() if n != 1}
        Native(
            self, command, [command], options["env"], None, process, childFDs=options["childFDs"]
        )

    def addReader(self, reader: Any) -> None:
        """Nobody reads."""

    removeReader = addWriter = removeWriter = addReader


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def ended(process: Any) -> None:
    for pipe in process.transport.pipes.values():
        os.close(pipe.fileno())
    if process.transport.pid is not None:  # else it was gone before Twisted had looked
        os.waitpid(process.transport.pid, 0)


def test_the_first_is_waited_for_until_it_says_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", script(tmp_path / "good", f"echo >&{REPORTS} 1"))
    process = spawn(Supervisor(Spawning()), 1, {})
    awaitFirst([process], 30)
    assert os.read(process.transport.pipes[REPORTS].fileno(), 10) == b"1\n"  # type: ignore[union-attr]
    ended(process)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo first >&2; printf 'la\\033st' >&2; exit 1", r"la\\x1bst"),
        ("exit 1", "it does not say why"),
        (f"exec {REPORTS}>&-; exec sleep 0.01", "it does not say why"),
    ],
)
def test_one_that_ends_at_once_is_told_of_with_its_last_words(
    text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", script(tmp_path / "bad", text))
    process = spawn(Supervisor(Spawning()), 1, {})
    with pytest.raises(WorkerFailure, match=f"^workers: the first ends at once: {words}$"):
        awaitFirst([process], 30)
    ended(process)


def test_one_that_says_nothing_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", script(tmp_path / "slow", "read line"))
    process = spawn(Supervisor(Spawning()), 1, {})
    awaitFirst([process], 0.05)
    ended(process)


def test_what_the_system_refuses_is_said_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/absent/python")
    with pytest.raises(WorkerFailure, match=r"^workers: cannot start /absent/python: No such file"):
        spawn(Supervisor(Spawning()), 1, {})
