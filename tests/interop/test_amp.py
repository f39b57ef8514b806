"""AMP's StartTLS with certificates of ours, and AMP over our endpoints."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet import protocol, reactor, ssl
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.protocols import amp

from tests.loopback import until
from tests.support import Pki
from txnodetls.twisted.creators import ClientCreator, ServerCreator
from txnodetls.twisted.endpoints import ClientEndpoint, ServerEndpoint

# What Twisted's own TLS hears from pyOpenSSL.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:OpenSSL")


class Double(amp.Command):
    arguments = [(b"number", amp.Integer())]
    response = [(b"result", amp.Integer())]


class Server(amp.AMP):
    """Doubles numbers; C{certificate} is what its side of TLS takes."""

    certificate: Any = None
    authorities: list[Any] = []

    @Double.responder
    def double(self, number: int) -> dict[str, int]:
        return {"result": 2 * number}

    @amp.StartTLS.responder
    def startTLS(self) -> dict[str, Any]:
        found = {"tls_localCertificate": self.certificate}
        return found | ({"tls_verifyAuthorities": self.authorities} if self.authorities else {})


def factoryOf(made: list[Any], **attributes: Any) -> Any:
    factory: Any = protocol.Factory()
    factory.noisy = False

    def build(addr: object) -> Any:
        made.append(Server())
        vars(made[-1]).update(attributes)
        return made[-1]

    factory.buildProtocol = build
    return factory


def socketOf(side: Any) -> Any:
    direct = getattr(side.transport, "tlsSocket", None)
    return direct or side.transport.getHandle().tlsSocket


@pytest.mark.parametrize("theirs", ["nobody's", "server", "client"])
@pytest_twisted.ensureDeferred
async def test_startTLS_with_certificates_on_both_sides(theirs: str, pki: Pki) -> None:
    authority = ssl.Certificate.loadPEM(pki.ca)
    serving = {
        "certificate": ServerCreator(
            {"key": pki.server.key, "cert": pki.server.cert, "ca": pki.ca, "requestCert": True}
        )
    }
    asking: dict[str, Any] = {
        "tls_localCertificate": ClientCreator(
            {"key": pki.client.key, "cert": pki.client.cert, "ca": pki.ca, "host": "localhost"}
        )
    }
    if theirs == "server":
        own = ssl.PrivateCertificate.loadPEM(pki.server.key + pki.server.cert)
        serving = {"certificate": own, "authorities": [authority]}
    elif theirs == "client":
        own = ssl.PrivateCertificate.loadPEM(pki.client.key + pki.client.cert)
        asking = {"tls_localCertificate": own, "tls_verifyAuthorities": [authority]}
    made: list[Any] = []
    listening = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
    port = await listening.listen(factoryOf(made, **serving))
    below = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
    client: Any = await below.connect(protocol.Factory.forProtocol(amp.AMP))
    await client.callRemote(amp.StartTLS, **asking)
    assert await client.callRemote(Double, number=21) == {"result": 42}
    assert client.peerCertificate.digest() == ssl.Certificate.loadPEM(pki.server.cert).digest()
    assert made[0].peerCertificate.digest() == ssl.Certificate.loadPEM(pki.client.cert).digest()
    if theirs != "client":
        assert (socketOf(client).authorized, socketOf(client).getProtocol()) == (True, "TLSv1.3")
    if theirs != "server":
        assert socketOf(made[0]).authorized
    client.transport.loseConnection()
    await until(lambda: made[0].transport is None)
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_over_endpoints_of_ours(pki: Pki) -> None:
    made: list[Any] = []
    serving = {"key": pki.server.key, "cert": pki.server.cert, "ca": pki.ca, "requestCert": True}
    port = await ServerEndpoint(reactor, serving, port=0, host="127.0.0.1").listen(factoryOf(made))
    asking = {"key": pki.client.key, "cert": pki.client.cert, "ca": pki.ca}
    number = port.getHost().port
    client: Any = await ClientEndpoint(
        reactor, "localhost", number, asking | {"family": 4}
    ).connect(protocol.Factory.forProtocol(amp.AMP))
    assert await client.callRemote(Double, number=21) == {"result": 42}
    assert socketOf(client).getFinished() == socketOf(made[0]).getPeerFinished()
    assert client.peerCertificate.digest() == ssl.Certificate.loadPEM(pki.server.cert).digest()
    client.transport.loseConnection()
    await until(lambda: made[0].transport is None)
    await port.stopListening()
