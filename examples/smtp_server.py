"""Twisted's SMTP server with STARTTLS of ours: takes mail over TLS only, and prints it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.internet import defer, reactor
from twisted.internet.protocol import Factory
from twisted.mail import smtp
from zope.interface import implementer

from txnodetls.twisted.creators import ServerCreator
from txnodetls.twisted.plain import PlainServerEndpoint

CREDENTIALS = {"key": Path("server.key").read_bytes(), "cert": Path("server.pem").read_bytes()}
CREATOR = ServerCreator(CREDENTIALS)


@implementer(smtp.IMessage, smtp.IMessageDelivery)
class Printing:
    def __init__(self, session: smtp.ESMTP) -> None:
        self.session = session

    def receivedHeader(self, *_: object) -> bytes:
        return b""

    def validateFrom(self, helo: object, origin: Any) -> Any:
        socket = getattr(self.session.transport, "tlsSocket", None)
        if socket is None:
            raise smtp.SMTPBadSender(origin, 530, "Must issue a STARTTLS command first")
        print("mail over", socket.getProtocol(), type(socket).__name__, flush=True)
        return origin

    def validateTo(self, user: object) -> Any:
        return lambda: self

    def lineReceived(self, line: bytes) -> None:
        print(line.decode(), flush=True)

    def eomReceived(self) -> Any:
        return defer.succeed(None)

    def connectionLost(self) -> None: ...


class Mail(Factory):
    def buildProtocol(self, addr: object) -> smtp.ESMTP:
        session = smtp.ESMTP(contextFactory=CREATOR)
        session.delivery = Printing(session)
        session.factory = self
        return session


where = {"port": int(sys.argv[1]) if len(sys.argv) > 1 else 8025, "host": "127.0.0.1"}
listening: defer.Deferred[Any] = PlainServerEndpoint(reactor, **where).listen(Mail())
listening.addCallback(lambda port: print("port", port.getHost().port, flush=True))
reactor.run()
