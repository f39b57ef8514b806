"""Twisted's HTTPS client on our TLS; treq is `treq.client.HTTPClient(agent)`."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorCore
from twisted.internet.task import react
from twisted.web.client import Agent, readBody

from txnodetls.twisted.web import HTTPSEndpoints


async def main(reactor: IReactorCore) -> None:
    port = sys.argv[1] if len(sys.argv) > 1 else "8443"
    endpoints = HTTPSEndpoints(reactor, {"ca": Path("client.pem").read_bytes()})
    agent = Agent.usingEndpointFactory(reactor, endpoints)
    response = await agent.request(b"GET", f"https://localhost:{port}/".encode())
    print(response.code, (await readBody(response)).decode(), end="")


react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
