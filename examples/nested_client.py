"""TLS in TLS in TLS, the other end: three handshakes, one in the other, then a word."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

import txnodetls as tls

EXPECTED = {"servername": "localhost", "ca": Path("client.pem").read_bytes()}
DEPTH = 3


async def main(port: str) -> None:
    below = tls.connect({"port": int(port), "host": "localhost", **EXPECTED})
    await below.whenSecure()
    for _ in range(DEPTH - 1):
        below = tls.connect({"socket": below, **EXPECTED})
        await below.whenSecure()
    async with below as socket:
        transport: Any = socket.transport
        print(socket.getProtocol(), socket.authorized, transport.tlsSocket is socket)
        socket.setEncoding("utf8")
        socket.end("hello")
        async for text in socket:
            print("received", text)


react(lambda reactor: Deferred.fromCoroutine(main(sys.argv[1] if sys.argv[1:] else "8443")))
