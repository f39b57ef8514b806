"""
Programs of others as peers, and what they said.

A peer runs beside the reactor, in which our side of the connection lives.  It ends with its
C{async with}.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from twisted.internet import defer, error, protocol, reactor
from twisted.python.failure import Failure

from tests.support import nodeBinary, requireTool

__all__ = ["NodePeer", "Peer", "digest", "opensslPeer", "payload"]

SCRIPT = Path(__file__).with_name("peer.js")
_PATIENCE = 40.0


def payload(length: int) -> bytes:
    """Bytes that do not repeat: SHA-256 of 0, 1, 2 …; peer.js makes the same."""
    blocks = (hashlib.sha256(b"%d" % number).digest() for number in range(length // 32 + 1))
    return b"".join(blocks)[:length]


def digest(data: bytes | bytearray) -> str:
    """SHA-256, in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


class Peer(protocol.ProcessProtocol):
    """
    A program.

    @param cwd: its working directory, if it is to have one of its own.
    @ivar output: what it wrote, standard error among it.
    @ivar data: what it wrote to its standard output.
    @ivar status: its exit status, once it has ended.
    """

    def __init__(self, command: Iterable[str], cwd: Path | None = None) -> None:
        self.output = bytearray()
        self.data = bytearray()
        self.status: int | None = None
        self._command = list(command)
        self._cwd = cwd
        self._waiting: list[tuple[re.Pattern[bytes], int, defer.Deferred[Any]]] = []
        self._ended: list[defer.Deferred[int]] = []

    def outReceived(self, data: bytes) -> None:
        self.data += data
        self.errReceived(data)

    def errReceived(self, data: bytes) -> None:
        self.output += data
        self._look()

    def processEnded(self, reason: Failure) -> None:
        ended = reason.value
        assert isinstance(ended, (error.ProcessDone, error.ProcessTerminated))
        self.status = ended.exitCode if ended.exitCode is not None else -int(ended.signal)
        for each in self._ended:
            each.callback(self.status)
        for pattern, _since, found in self._waiting:
            found.errback(AssertionError(f"no {pattern.pattern!r} in:\n{self._shown}"))
        self._waiting.clear()

    def _look(self) -> None:
        for entry in list(self._waiting):
            pattern, since, found = entry
            match = pattern.search(self.output, since)
            if match:
                self._waiting.remove(entry)
                found.callback(match)

    @property
    def _shown(self) -> str:
        return self.output.decode(errors="replace")

    async def said(self, pattern: bytes, since: int = 0) -> re.Match[bytes]:
        """The first match in its output, now or later."""
        sought = re.compile(pattern)
        match = sought.search(self.output, since)
        if match:
            return match
        assert self.status is None, f"no {pattern!r} in:\n{self._shown}"
        found: defer.Deferred[re.Match[bytes]] = defer.Deferred()
        self._waiting.append((sought, since, found))
        found.addTimeout(_PATIENCE, reactor)  # type: ignore[arg-type]
        try:
            return await found
        except (defer.TimeoutError, error.TimeoutError):
            raise AssertionError(f"no {pattern!r} in:\n{self._shown}") from None

    def write(self, data: bytes) -> None:
        """To its standard input."""
        assert self.transport is not None
        self.transport.write(data)

    def closeInput(self) -> None:
        """The end of its standard input."""
        assert self.transport is not None
        self.transport.closeStdin()

    async def ended(self) -> int:
        """Its exit status, when it has ended."""
        if self.status is None:
            ended: defer.Deferred[int] = defer.Deferred()
            self._ended.append(ended)
            ended.addTimeout(_PATIENCE, reactor)  # type: ignore[arg-type]
            await ended
        assert self.status is not None
        return self.status

    async def __aenter__(self) -> Self:
        # Whoever runs the tests may have switches for programs like these in the environment.
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("NODE_", "OPENSSL_", "SSL_"))
        }
        reactor.spawnProcess(  # type: ignore[attr-defined]
            self,
            self._command[0],
            self._command,
            env=environment,
            path=None if self._cwd is None else str(self._cwd),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.status is None:
            assert self.transport is not None
            self.transport.signalProcess("KILL")
            await self.ended()


def opensslPeer(*arguments: str, cwd: Path | None = None) -> Peer:
    """C{openssl} with these arguments, or no test."""
    return Peer([requireTool("openssl"), *arguments], cwd)


class NodePeer(Peer):
    """
    Node, running peer.js.

    @param role: C{'client'} or C{'server'}.
    @param options: those of Node's C{tls.connect} or C{tls.createServer}; bytes are text.
    @param more: what else peer.js knows.
    """

    def __init__(self, role: str, options: dict[str, Any], **more: Any) -> None:
        told = {"role": role, "options": options, **more}
        super().__init__(
            [nodeBinary(), str(SCRIPT), json.dumps(told, default=lambda data: data.decode())]
        )

    @property
    def happenings(self) -> list[tuple[str, Any]]:
        """What happened to it so far: (event, value)."""
        lines = self.output.split(b"\n")[:-1]
        return [tuple(json.loads(line)) for line in lines if line.startswith(b"[")]

    @property
    def names(self) -> list[str]:
        """The events' names."""
        return [name for name, _ in self.happenings]

    async def event(self, name: str) -> Any:
        """The value of the first event of that name, now or later."""
        match = await self.said(rb'(?m)^\["%s",(.*)\]$' % name.encode())
        return json.loads(match[1])

    async def finished(self) -> None:
        """It has ended by itself, and nothing escaped it."""
        assert await self.ended() == 0, self._shown
        assert "uncaught" not in self.names
