"""A worker, as it does what it is told; processes of it are in test_workers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor as real
from twisted.internet.task import Clock

from txnodetls.daemon.bound import placeOf
from txnodetls.daemon.channel import Lines, filesTold, said
from txnodetls.daemon.config import readConfig
from txnodetls.daemon.worker import Worker


class Stopping(Clock):
    """A reactor that notes that it is stopped, and lends the real one's descriptors."""

    stopped = 0

    def stop(self) -> None:
        self.stopped += 1

    def __getattr__(self, name: str) -> Any:
        return getattr(real, name)


class Heard:
    """What the supervisor hears."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._lines = Lines()

    def __call__(self, data: bytes) -> None:
        self.messages += self._lines.receive(data)

    def said(self) -> list[str]:
        return [message["say"] for message in self.messages]


def made() -> tuple[Worker, Stopping, Heard]:
    reactor, heard = Stopping(), Heard()
    return Worker(reactor, heard), reactor, heard


SWITCHES = {"port": "0", "echo": "yes"}


@contextmanager
def configured(switches: dict[str, str] = SWITCHES) -> Iterator[dict[str, Any]]:
    """What the supervisor tells, about a port that it has."""
    config = readConfig(switches)
    (listener,) = config.listeners
    with socket.create_server(("127.0.0.1", 0)) as port:
        place = placeOf(listener.name, listener.where)
        files = filesTold(config.files)
        keys = [bytes(48).hex()]
        yield {"switches": switches, "files": files, "ports": {place: port.fileno()}, "keys": keys}


def test_it_serves_what_it_is_told_and_ends_when_it_is_told(pki: Any) -> None:
    worker, reactor, heard = made()
    with configured() as told:
        worker.receive(said("serve", **told))
        worker.receive(said("stats"))
        assert heard.said() == ["serving", "stats"]
        assert heard.messages[1]["open"] == 0
        worker.receive(said("drain", seconds=0))
        reactor.advance(0)
        assert reactor.stopped == 1
        # What it has counted is told once more, last.
        assert heard.said() == ["serving", "stats", "stats"]


def test_what_is_prepared_serves_when_it_is_told_to_go_with_the_keys_of_then() -> None:
    worker, reactor, heard = made()
    with configured() as told:
        worker.receive(said("prepare", **told))
        assert heard.said() == []
        worker.receive(said("go", keys=[bytes([1] * 48).hex()]))
        assert heard.said() == ["serving"]
        assert worker._runtime.tickets.keys == [bytes([1] * 48)]
        worker.receive(said("tickets", keys=[bytes([2] * 48).hex()]))
        assert worker._runtime.tickets.keys == [bytes([2] * 48)]
        worker.gone()
        reactor.advance(0)
        assert reactor.stopped == 1


@pytest.mark.parametrize("say", ["prepare", "serve"])
def test_what_cannot_be_is_said(say: str) -> None:
    worker, _, heard = made()
    with configured() as told:
        worker.receive(said(say, **told | {"switches": {"port": "x"}}))
        assert heard.messages == [{"say": "failed", "error": "--port: 'x' is not a whole number"}]


def test_a_key_log_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    worker, _, heard = made()
    switches = SWITCHES | {"tls-keylog": str(tmp_path / "absent" / "keys")}
    with configured(switches) as told:
        worker.receive(said("serve", **told))
    assert heard.said() == ["failed"]
    assert "No such file" in heard.messages[0]["error"]


def test_with_nothing_to_serve_yet_it_ends_at_once() -> None:
    for end in (Worker.gone, Worker.leave, lambda each: each.receive(said("drain", seconds=None))):
        worker, reactor, _ = made()
        worker.receive(said("end") + said("stats") + said("tickets", keys=[]))
        end(worker)
        assert reactor.stopped == 1


def test_it_leaves_by_itself_and_says_so_once() -> None:
    worker, reactor, heard = made()
    with configured() as told:
        worker.receive(said("serve", **told))
        worker.leave()
        worker.leave()
        worker.receive(said("drain", seconds=0))
        reactor.advance(0)
        assert reactor.stopped == 1
        assert heard.said().count("leaving") == 1
