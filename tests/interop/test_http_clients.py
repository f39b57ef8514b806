"""Agent and treq over our TLS, at servers of others: openssl's, Node's, Twisted's own."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest
import pytest_twisted
import treq.client
from twisted.internet import reactor
from twisted.internet.endpoints import HostnameEndpoint
from twisted.web.client import URI, Agent, HTTPConnectionPool, ResponseNeverReceived
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface.verify import verifyObject

from tests.interop.peers import Peer, digest, payload
from tests.loopback import until
from tests.support import Pki, nodeBinary
from txnodetls import NodeError, TLSSocket
from txnodetls.twisted.endpoints import ServerEndpoint
from txnodetls.twisted.web import HTTPSEndpoints, HTTPSPolicy

LARGE = 1024 * 1024 + 17
# A server of Node's that says what it knows of the connection, and repeats what was posted.
NODE = """
const { key, cert, ca } = JSON.parse(process.argv[1]);
const server = require('https').createServer({ key, cert, ca, requestCert: true,
  rejectUnauthorized: false }, (request, response) => {
  const { servername, alpnProtocol, authorized } = request.socket;
  response.setHeader('x-told', JSON.stringify([servername, alpnProtocol, authorized,
    request.socket.getFinished().toString('hex')]));
  request.pipe(response);
});
server.listen(0, '127.0.0.1', () => console.log('port', server.address().port));
"""


class NodeServer(Peer):
    """Node's https server."""

    def __init__(self, pki: Pki) -> None:
        files = {"key": pki.server.key, "cert": pki.server.cert, "ca": pki.ca}
        told = json.dumps({name: pem.decode() for name, pem in files.items()})
        super().__init__([nodeBinary(), "-e", NODE, "--", told])

    async def url(self, host: str = "localhost") -> str:
        port = int((await self.said(rb"port (\d+)"))[1])
        return f"https://{host}:{port}/"


def asking(pki: Pki, **more: Any) -> dict[str, Any]:
    return {"ca": pki.ca, "family": 4, **more}


def agents(pki: Pki, **more: Any) -> dict[str, Any]:
    """An agent of each kind, and the pool of its connections."""
    pools = {"policy": HTTPConnectionPool(reactor), "endpoints": HTTPConnectionPool(reactor)}
    options = asking(pki, **more)
    return {
        "policy": (
            pools["policy"],
            Agent(reactor, HTTPSPolicy(options), pool=pools["policy"]),
        ),
        "endpoints": (
            pools["endpoints"],
            Agent.usingEndpointFactory(
                reactor, HTTPSEndpoints(reactor, options), pools["endpoints"]
            ),
        ),
    }


def socketIn(pool: Any) -> Any:
    """The TLSSocket of the one connection that a pool keeps."""
    ((protocol,),) = pool._connections.values()
    transport = protocol.transport
    direct = getattr(transport, "tlsSocket", None)
    return direct if direct is not None else transport.getHandle().tlsSocket


@pytest.mark.parametrize("way", ["policy", "endpoints"])
@pytest_twisted.ensureDeferred
async def test_treq_talks_to_node(way: str, pki: Pki) -> None:
    async with NodeServer(pki) as node:
        url = await node.url()
        pool, agent = agents(pki, key=pki.client.key, cert=pki.client.cert)[way]
        client = treq.client.HTTPClient(agent)
        for _ in range(2):
            response = await client.post(url, data=BytesIO(payload(LARGE)))
            body = await response.content()
            assert digest(body) == digest(payload(LARGE))
            told = json.loads(response.headers.getRawHeaders("x-told")[0])
            assert told[:3] == ["localhost", "http/1.1", True]
            # Both requests went over one connection, whose client is ours.
            socket = socketIn(pool)
            assert isinstance(socket, TLSSocket)
            assert socket.getPeerFinished().hex() == told[3]
            assert (socket.authorized, socket.servername) == (True, "localhost")
        await pool.closeCachedConnections()
        await until(lambda: socket.closed)


@pytest.mark.parametrize("way", ["policy", "endpoints"])
@pytest_twisted.ensureDeferred
async def test_an_address_is_checked_and_not_sent(way: str, pki: Pki) -> None:
    async with NodeServer(pki) as node:
        pool, agent = agents(pki)[way]
        response = await treq.client.HTTPClient(agent).get(await node.url("127.0.0.1"))
        await response.content()
        told = json.loads(response.headers.getRawHeaders("x-told")[0])
        assert told[0] is False
        assert socketIn(pool).authorized
        await pool.closeCachedConnections()


class Hello(Resource):
    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        return b"hello"


@pytest.mark.parametrize("way", ["policy", "endpoints"])
@pytest_twisted.ensureDeferred
async def test_another_name_is_refused_with_nodes_code(way: str, pki: Pki) -> None:
    wrong = pki.issue("elsewhere.test")
    site = Site(Hello())
    site.noisy = False  # type: ignore[attr-defined]
    options = {"key": wrong.key, "cert": wrong.cert}
    port = await ServerEndpoint(reactor, options, port=0, host="127.0.0.1").listen(site)
    pool, agent = agents(pki)[way]
    url = f"https://localhost:{port.getHost().port}/".encode()
    try:
        await agent.request(b"GET", url)
        raise AssertionError("it was not refused")
    except ResponseNeverReceived as never:
        told = never.reasons[0].value
    except NodeError as error:
        told = error
    assert told.code == "ERR_TLS_CERT_ALTNAME_INVALID"
    await pool.closeCachedConnections()
    await port.stopListening()


def test_they_are_what_the_agent_asks_for(pki: Pki) -> None:
    verifyObject(IPolicyForHTTPS, HTTPSPolicy())
    verifyObject(IAgentEndpointFactory, HTTPSEndpoints(reactor))


def test_http_stays_plain_and_anything_else_is_refused() -> None:
    endpoints = HTTPSEndpoints(reactor)
    plain = endpoints.endpointForURI(URI.fromBytes(b"http://localhost/"))
    assert isinstance(plain, HostnameEndpoint)
    with pytest.raises(ValueError, match="unsupported scheme: gopher"):
        endpoints.endpointForURI(URI.fromBytes(b"gopher://localhost/"))


@pytest.mark.parametrize("make", [HTTPSPolicy, lambda o: HTTPSEndpoints(reactor, o)])
def test_wrong_options_are_said_before_any_request(make: Any, pki: Pki) -> None:
    with pytest.raises(NodeError):
        make({"key": pki.client.key, "cert": pki.server.cert})


def test_connections_share_one_context(pki: Pki) -> None:
    policy = HTTPSPolicy(asking(pki))
    one, other = (policy.creatorForNetloc(name, 443) for name in (b"a.test", b"b.test"))
    assert one._options.secureContext is other._options.secureContext
    assert (one._options.servername, other._options.servername) == ("a.test", "b.test")
