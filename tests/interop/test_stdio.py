"""TLS over the standard input and output of a process, both ends ours."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.endpoints import ProcessEndpoint
from twisted.internet.process import reapAllProcesses
from twisted.internet.task import LoopingCall

import txnodetls as tls
from tests.interop.peers import payload
from tests.loopback import Received, until
from tests.support import PROJECT, Pki
from tests.twisted_face.pairs import Making
from txnodetls.twisted.endpoints import wrapClient

CHILD = """
import sys
from pathlib import Path
from twisted.internet import reactor
from twisted.internet.endpoints import StandardIOEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from txnodetls.twisted.endpoints import wrapServer

class Echo(Protocol):
    def dataReceived(self, data):
        self.transport.write(data)
    def connectionLost(self, reason=connectionDone):
        reactor.stop()  # what was written is in the pipe by now

options = {
    "key": Path("server.key").read_bytes(),
    "cert": Path("server.pem").read_bytes(),
    "maxVersion": sys.argv[1],
}
wrapServer(StandardIOEndpoint(reactor), options).listen(Factory.forProtocol(Echo))
reactor.run()
"""


@pytest.fixture(autouse=True)
def reaping() -> Iterator[None]:
    """
    A process that ends is noticed by its signal, which the reactor of the tests does not take: it
    would never hear of one that closes its output a moment before it is gone.
    """
    looking = LoopingCall(reapAllProcesses)
    looking.start(0.05)
    yield
    looking.stop()


@pytest.fixture
def directory(pki: Pki, tmp_path: Path) -> Path:
    (tmp_path / "server.key").write_bytes(pki.server.key)
    (tmp_path / "server.pem").write_bytes(pki.server.cert)
    (tmp_path / "child.py").write_text(CHILD)
    return tmp_path


def process(directory: Path, version: str = "TLSv1.3") -> ProcessEndpoint:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    arguments = [sys.executable, str(directory / "child.py"), version]
    return ProcessEndpoint(reactor, sys.executable, arguments, env=environment, path=str(directory))


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest_twisted.ensureDeferred
async def test_a_protocol_talks_to_one_in_another_process(
    version: str, directory: Path, pki: Pki
) -> None:
    endpoint = wrapClient(process(directory, version), {"ca": pki.ca, "servername": "localhost"})
    client: Any = await endpoint.connect(Making())
    data = payload(1_000_000)
    client.transport.write(data)
    await until(lambda: len(client.received) == len(data))
    assert client.received == data
    socket = client.transport.tlsSocket
    assert (socket.authorized, socket.getProtocol()) == (True, version)
    assert socket.remoteAddress is None
    client.transport.loseConnection()
    await until(lambda: client.reason)


@pytest_twisted.ensureDeferred
async def test_a_socket_stands_on_the_transport_of_a_process(directory: Path, pki: Pki) -> None:
    plain: Any = await process(directory).connect(Making())  # type: ignore[misc]
    socket = tls.connect(socket=plain.transport, ca=pki.ca, servername="localhost")
    received = Received(socket)
    data = payload(1_000_000)
    await socket.whenSecure()
    socket.end(data)
    await received
    # Their difference would be a million bytes long.
    assert len(received.data) == len(data)
    assert bool(received.data == data)
    assert received.ended
    assert received.errors == []
