"""Sends a letter with Twisted's SMTP client, which insists on STARTTLS; the TLS is ours."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorCore
from twisted.internet.task import react
from twisted.mail import smtp

from txnodetls.twisted.creators import ClientCreator
from txnodetls.twisted.plain import PlainClientEndpoint

LETTER = b"Subject: greetings\r\n\r\nnot for everyone\r\n"


async def main(reactor: IReactorCore, port: str = "8025") -> None:
    sent: Deferred[Any] = Deferred()
    sender = smtp.ESMTPSenderFactory(
        None,
        None,
        "me@example.test",
        "you@example.test",
        BytesIO(LETTER),
        sent,
        contextFactory=ClientCreator({"ca": Path("client.pem").read_bytes(), "host": "localhost"}),
        requireAuthentication=False,
        requireTransportSecurity=True,
    )
    endpoint = PlainClientEndpoint(reactor, "localhost", int(port), family=4)
    protocol: Any = await endpoint.connect(sender)
    accepted, _answers = await sent
    socket = protocol.transport.tlsSocket
    print(f"sent to {accepted} over {socket.getProtocol()}, authorized: {socket.authorized}")


react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
