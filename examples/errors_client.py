"""Errors that one can act on: which one it is, whose it is, and when it happened."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorCore
from twisted.internet.task import react

import txnodetls as tls


async def attempt(what: str, **options: object) -> None:
    try:
        async with tls.connect(host="127.0.0.1", **options) as socket:
            await socket.whenSecure()
            print(f"{what}: secure")
    except tls.NodeError as error:
        blame = error.blame.name.lower() if error.blame else "nobody"
        phase = error.phase.name.lower() if error.phase else "at no time"
        print(f"{what}: {error.code}, {blame}, {phase}")


async def main(reactor: IReactorCore) -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8443
    ca = Path("client.pem").read_bytes()
    await attempt("as it should be", port=port, servername="localhost", ca=ca)
    await attempt("another name", port=port, servername="b.example.test", ca=ca)
    await attempt("an authority nobody knows", port=port, servername="localhost")
    old = {"ciphers": "ECDHE-RSA-AES128-SHA", "maxVersion": "TLSv1.2"}
    await attempt("no cipher in common", port=port, servername="localhost", ca=ca, **old)
    await attempt("nobody there", port=1, ca=ca)
    await attempt("wrong options", port=port, ca="no certificate", ciphers="NONE")


react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
