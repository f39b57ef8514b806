"""SMTP and IMAP with STARTTLS: Twisted's servers and clients, Python's and Twisted's peers."""

from __future__ import annotations

import imaplib
import smtplib
import ssl
from io import BytesIO
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import defer, reactor
from twisted.internet import ssl as twistedssl
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThread
from twisted.mail import imap4, smtp
from zope.interface import implementer

from tests.loopback import until
from tests.support import Pki
from txnodetls.twisted.creators import ClientCreator, ServerCreator

# What Twisted's own TLS hears from pyOpenSSL.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:OpenSSL")
LETTER = b"Subject: a secret\r\n\r\nnot for everyone\r\n"


def tlsSocket(protocol: Any) -> Any:
    """The TLSSocket under a protocol whose transport is Twisted's."""
    return protocol.transport.getHandle().tlsSocket


def creators(pki: Pki) -> dict[str, Any]:
    """What STARTTLS takes, ours and Twisted's own, for servers and clients."""
    owner = twistedssl.PrivateCertificate.loadPEM(pki.server.key + pki.server.cert)
    trust = twistedssl.trustRootFromCertificates([twistedssl.Certificate.loadPEM(pki.ca)])
    return {
        "our server": ServerCreator({"key": pki.server.key, "cert": pki.server.cert}),
        "our client": ClientCreator({"ca": pki.ca, "host": "localhost"}),
        "their server": owner.options(),
        "their client": twistedssl.optionsForClientTLS("localhost", trustRoot=trust),
    }


async def serve(make: Any) -> tuple[Any, list[Any]]:
    """A port in the clear, and the protocols that it makes."""
    made: list[Any] = []
    factory: Any = Factory()
    factory.noisy = False

    def build(addr: object) -> Any:
        protocol = make()
        protocol.factory = factory
        made.append(protocol)
        return protocol

    factory.buildProtocol = build
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
    return port, made


@implementer(smtp.IMessageDelivery, smtp.IMessage)
class Mailbox:
    """Takes every letter, and notes what the connection was when it came."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.done = False

    def receivedHeader(self, helo: Any, origin: Any, recipients: Any) -> bytes:
        return b""

    def validateFrom(self, helo: Any, origin: Any) -> Any:
        return origin

    def validateTo(self, user: Any) -> Any:
        return lambda: self

    def lineReceived(self, line: bytes) -> None:
        self.lines.append(line)

    def eomReceived(self) -> Any:
        self.done = True
        return defer.succeed(None)

    def connectionLost(self) -> None:
        pass


def esmtp(mailbox: Mailbox, creator: Any) -> Any:
    server: Any = smtp.ESMTP(contextFactory=creator)
    server.delivery = mailbox
    return server


@pytest_twisted.ensureDeferred
async def test_pythons_smtplib_at_twisteds_server(pki: Pki) -> None:
    mailbox = Mailbox()
    port, made = await serve(lambda: esmtp(mailbox, creators(pki)["our server"]))
    told: dict[str, Any] = {}

    def send() -> None:
        context = ssl.create_default_context(cadata=pki.ca.decode())
        with smtplib.SMTP("localhost", port.getHost().port, timeout=20) as client:
            client.starttls(context=context)
            told["version"] = client.sock.version()  # type: ignore[union-attr]
            client.sendmail("a@example.test", ["b@example.test"], LETTER)
            told["cipher"] = tlsSocket(made[0]).getCipher()["name"]

    await deferToThread(send)
    assert mailbox.done
    assert b"not for everyone" in mailbox.lines
    assert told == {"version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384"}
    await until(lambda: not made[0].transport.connected)
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_twisteds_sender_at_twisteds_server(pki: Pki) -> None:
    mailbox = Mailbox()
    port, made = await serve(lambda: esmtp(mailbox, creators(pki)["their server"]))
    sent: defer.Deferred[Any] = defer.Deferred()
    sender: Any = smtp.ESMTPSenderFactory(
        None, None, "a@example.test", "b@example.test", BytesIO(LETTER), sent,
        contextFactory=creators(pki)["our client"], requireAuthentication=False,
    )  # fmt: skip
    sender.noisy = False
    seen: list[Any] = []
    build = sender.buildProtocol

    def noting(addr: object) -> Any:
        seen.append(build(addr))
        return seen[-1]

    sender.buildProtocol = noting
    sent.addBoth(lambda result: (seen.append(tlsSocket(seen[0])), result)[1])
    reactor.connectTCP("127.0.0.1", port.getHost().port, sender)  # type: ignore[attr-defined]
    await sent
    assert mailbox.done
    assert seen[1].authorized
    assert seen[1].servername == "localhost"
    await until(lambda: not made[0].transport.connected and seen[1].closed)
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_pythons_imaplib_at_twisteds_server(pki: Pki) -> None:
    creator = creators(pki)["our server"]
    port, made = await serve(lambda: imap4.IMAP4Server(contextFactory=creator))
    told: list[Any] = []

    def ask() -> None:
        context = ssl.create_default_context(cadata=pki.ca.decode())
        client = imaplib.IMAP4("localhost", port.getHost().port, 20)
        told.append(client.starttls(context)[0])
        told.append(client.noop()[0])
        told.append(tlsSocket(made[0]).getProtocol())
        client.logout()

    await deferToThread(ask)
    assert told == ["OK", "OK", "TLSv1.3"]
    await until(lambda: not made[0].transport.connected)
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_twisteds_imap_client_at_twisteds_server(pki: Pki) -> None:
    kinds = creators(pki)
    port, made = await serve(lambda: imap4.IMAP4Server(contextFactory=kinds["their server"]))
    factory: Any = Factory()
    factory.noisy = False
    factory.buildProtocol = lambda addr: imap4.IMAP4Client(kinds["our client"])
    below = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
    client: Any = await below.connect(factory)
    await client.getCapabilities()
    await client.startTLS()
    await client.noop()
    ours = tlsSocket(client)
    assert (ours.authorized, ours.getProtocol()) == (True, "TLSv1.3")
    assert not hasattr(made[0].transport.getHandle(), "tlsSocket")
    client.transport.loseConnection()
    await until(lambda: not made[0].transport.connected and ours.closed)
    await port.stopListening()
