"""
A face with many contexts, or with many sessions in store; see C{growth.py}.

    growing_face.py node-face|twisted-face

Environment: as for C{node_face.py}; BENCH_CONTEXTS: a folder of C{NAME.pem}, certificate and key
each, to be served by name; BENCH_SESSIONS: C{store} or C{events}: where sessions are kept, a
C{MemorySessionStore} or a dict behind the server's events.  Beside the benchmark protocol there is

    F <count>           put so many copies of the session that was made last into the store,
                        by other ids, then answer K
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import node_face
import twisted_face
from twisted.internet import reactor
from twisted.internet.protocol import Factory

import txnodetls as tls
from txnodetls.twisted.endpoints import ServerEndpoint


class Sessions(tls.MemorySessionStore):
    """A store that remembers what it was given last."""

    def __init__(self) -> None:
        super().__init__(maxEntries=1_000_000, maxBytes=1 << 32)
        self._last: tuple[bytes, float] = b"", 0.0

    def store(self, sessionId: bytes, data: bytes, lifetime: float) -> None:
        self._last = data, lifetime
        super().store(sessionId, data, lifetime)

    def fill(self, count: int) -> None:
        data, lifetime = self._last
        for _ in range(count):
            # What is stored for another id would not open; nobody asks for it.
            super().store(os.urandom(32), bytes(bytearray(data)), lifetime)


class Heard:
    """The same, of a server's events."""

    def __init__(self, server: tls.Server) -> None:
        self._kept: dict[bytes, bytes] = {}
        self._last = b""
        server.on("newSession", self._keep)
        server.on("resumeSession", lambda given, done: done(None, self._kept.get(given)))

    def _keep(self, sessionId: bytes, data: bytes, done: Any) -> None:
        self._kept[sessionId] = self._last = data
        done()

    def fill(self, count: int) -> None:
        for _ in range(count):
            self._kept[os.urandom(32)] = bytes(bytearray(self._last))


class State:
    sessions: Sessions | Heard | None = None


def filled(data: bytes) -> bool:
    if not data.startswith(b"F ") or State.sessions is None:
        return False
    State.sessions.fill(int(data.split()[1]))
    return True


class Connection(node_face.Connection):
    def received(self, data: bytes) -> None:
        if filled(data):
            self.socket.write(b"K\n")
        else:
            super().received(data)


class Bench(twisted_face.Bench):
    def dataReceived(self, data: bytes) -> None:
        if filled(data):
            self.transport.write(b"K\n")  # type: ignore[union-attr]
        else:
            super().dataReceived(data)


def options() -> dict[str, Any]:
    made: dict[str, Any] = {
        "cert": Path(os.environ["BENCH_CERT"]).read_bytes(),
        "key": Path(os.environ["BENCH_KEY"]).read_bytes(),
    }
    if os.environ.get("BENCH_SESSIONS") == "store":
        State.sessions = made["sessionStore"] = Sessions()
    return made


def prepare(server: tls.Server) -> None:
    if os.environ.get("BENCH_SESSIONS") == "events":
        State.sessions = Heard(server)
    folder = os.environ.get("BENCH_CONTEXTS")
    for file in sorted(Path(folder).glob("*.pem")) if folder else ():
        both = file.read_bytes()
        server.addContext(file.stem, {"cert": both, "key": both})


def nodeFace() -> None:
    server = tls.createServer(
        options() | ({"secureOptions": tls.constants.SSL_OP_NO_TICKET} if kept() else {}),
        Connection,
    )
    server.on("tlsClientError", lambda *_arguments: None)
    prepare(server)
    server.listen(
        0, "127.0.0.1", 1024, lambda: print("READY", server.address()["port"], flush=True)
    )


def kept() -> bool:
    """Whether sessions are to be kept here, and not by clients as tickets."""
    return bool(os.environ.get("BENCH_SESSIONS"))


def twistedFace() -> None:
    factory = Factory.forProtocol(Bench)
    factory.noisy = False
    endpoint = ServerEndpoint(reactor, options(), port=0, host="127.0.0.1", backlog=1024)

    def listening(port: Any) -> None:
        prepare(port.tlsServer)
        print("READY", port.getHost().port, flush=True)

    endpoint.listen(factory).addCallback(listening)


if __name__ == "__main__":
    {"node-face": nodeFace, "twisted-face": twistedFace}[sys.argv[1]]()
    reactor.run()  # type: ignore[attr-defined]
