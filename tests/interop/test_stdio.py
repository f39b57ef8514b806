"""TLS over the standard input and output of a process, both ends ours."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.endpoints import ProcessEndpoint

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
    assert received.data == data
    assert received.ended
    assert received.errors == []
