"""With `await`: a connection as an asynchronous context manager and iterator."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorCore
from twisted.internet.task import react

import txnodetls as tls


async def main(reactor: IReactorCore) -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8443
    options = {"servername": "localhost", "ca": Path("client.pem").read_bytes()}
    async with tls.connect(port, "127.0.0.1", options) as socket:
        await socket.whenSecure()
        print(socket.getProtocol(), socket.getCipher()["standardName"])
        socket.setEncoding("utf8")
        socket.end("hello\n")
        async for text in socket:
            print("received", text, end="")


react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
