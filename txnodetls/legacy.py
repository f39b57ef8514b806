"""
C{createSecurePair}: TLS between two streams in memory, as Node had it before C{TLSSocket}.

    pair.encrypted.pipe(socket)
    socket.pipe(pair.encrypted)
    pair.cleartext.write(b'hello')

The one stream has what goes over the wire, the other what it means:

    application ⇄ cleartext (a TLSSocket) ⇄ inner │ encrypted ⇄ whatever is piped to it

C{inner} and C{encrypted} are two L{CryptoStream}s, back to back: what is
written to one can be read from the other, and a writer waits while the reader
has enough.  Beyond that there is no TLS here.

Node has deprecated all this for long, and has dropped it in version 24; the
measure is Node 20.  A new program uses C{TLSSocket} over its stream.  Where
Node 20 leaves something to be wished for, this is what is done here:

- When one side is gone, so is the other: C{cleartext} closes when C{encrypted}
  is destroyed, and C{encrypted} ends when C{cleartext} is closed.
- C{cleartext.authorized} tells what the documents promise (in Node 20 it is
  always false): of a server with C{requestCert}, whether the client's
  certificate was verified; of a client that knows the server's name (option
  C{servername}, or C{setServername}), whether the certificate was verified and
  is that server's.

Source: https://nodejs.org/docs/latest-v20.x/api/tls.html#class-securepair
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from txnodetls.context import createSecureContext
from txnodetls.errors import NodeDeprecationWarning
from txnodetls.inspection import verdictOnClient
from txnodetls.interfaces import ISecureContext
from txnodetls.openssl import queries
from txnodetls.openssl.failures import verifyErrorCode
from txnodetls.options import SOCKET, readOptions
from txnodetls.pki.identity import checkServerIdentity
from txnodetls.socket import ConnectingAlone, ServingAlone, TLSSocket
from txnodetls.streams.duplex import Duplex
from txnodetls.streams.emitter import EventEmitter

__all__ = ["CryptoStream", "SecurePair", "createSecurePair"]

Callback = Callable[[BaseException | None], object]


class CryptoStream(Duplex):
    """
    The encrypted side of a L{SecurePair}: read from it what is to be sent to the peer, and write
    to it what has come.

    @param reactor: by default the global one.
    """

    def __init__(self, *, reactor: Any = None) -> None:
        super().__init__(reactor=reactor)
        self._other: CryptoStream | None = None
        self._passed = 0
        # The other side's write that waits until this one is read.
        self._taken: Callback | None = None

    @property
    def bytesWritten(self) -> int:
        """What TLS has written to be sent, its own overhead included, in bytes."""
        return self._passed

    def _read(self) -> None:
        taken, self._taken = self._taken, None
        if taken is not None:
            taken(None)

    def _write(self, chunk: Any, callback: Callback) -> bool:
        other = self._other
        if other is None or other.destroyed or not chunk:
            # Nobody is there to read it, and nobody will miss it.
            return True
        other._passed += len(chunk)
        if other.push(bytes(chunk)) or other.destroyed:
            return True
        other._taken = callback
        return False

    def _final(self, callback: Callback) -> None:
        other = self._other
        if other is not None and not other.destroyed:
            other.push(None)
        callback(None)

    def _destroy(self, error: BaseException | None, callback: Callback) -> None:
        other, self._other = self._other, None
        taken, self._taken = self._taken, None
        if taken is not None:
            taken(None)
        if other is not None and not other.destroyed:
            other._lost()
        callback(error)

    def _lost(self) -> None:
        """The other side is gone: let what it has sent be read, and then end."""
        self.push(None)


class _Inner(CryptoStream):
    """The side that TLS stands on: of no use without the other."""

    def _lost(self) -> None:
        self.destroy()


class _PairServing(ServingAlone):
    """A server's side, which judges its clients itself."""

    def judge(self, socket: TLSSocket) -> bool:
        requestCert, rejectUnauthorized = socket._verification
        engine = socket._engine
        if not requestCert or engine is None:
            return True
        verdict = verdictOnClient(engine)
        socket.authorized = verdict is None
        socket.authorizationError = verdict
        if verdict is not None and rejectUnauthorized:
            socket.destroy()
            return False
        return True


class _PairConnecting(ConnectingAlone):
    """A client's side, which judges the server if it knows its name."""

    def judge(self, socket: TLSSocket) -> bool:
        engine = socket._engine
        assert engine is not None
        result = queries.verifyResult(engine.driver)
        if result:
            socket.authorizationError = verifyErrorCode(result)
            return True
        name, certificate = socket._servernameToSend, socket.getPeerCertificate()
        if name is None or not certificate:
            return True
        mismatch = checkServerIdentity(name.decode("ascii"), certificate)
        socket.authorized = mismatch is None
        socket.authorizationError = getattr(mismatch, "code", None)
        return True


class SecurePair(EventEmitter):
    """
    Two streams, one with what the other encrypts.

    Emits 'secure' when the handshake is done; look at C{cleartext.authorized} then.

    @ivar cleartext: a L{TLSSocket}; write and read here what the peer is to get, and what it sends.
    @ivar encrypted: a L{CryptoStream}.
    @ivar credentials: the context.
    @ivar server: the option of that name.

    @param context: an ISecureContext, or the options of one.
    @param isServer: the role.
    @param requestCert: of a server: ask clients for a certificate.
    @param rejectUnauthorized: of a server: close the connection of clients without one that is
        verified.
    @param options: C{enableTrace isServer server requestCert rejectUnauthorized ALPNProtocols
        SNICallback session requestOCSP}, and all else that a C{TLSSocket} takes; they win over
        the positional arguments.
    @raise NodeError: for options that are wrong.
    """

    def __init__(
        self,
        context: Any = None,
        isServer: bool = False,
        requestCert: bool | None = None,
        rejectUnauthorized: bool = False,
        options: Mapping[str, Any] | None = None,
        *,
        reactor: Any = None,
    ) -> None:
        super().__init__()
        if not ISecureContext.providedBy(context):
            context = createSecureContext(context)
        given = dict(options or {})
        read = readOptions(
            SOCKET,
            {
                "secureContext": context,
                "isServer": isServer,
                "requestCert": not isServer if requestCert is None else requestCert,
                "rejectUnauthorized": rejectUnauthorized,
                **given,
            },
        )
        inner = _Inner(reactor=reactor)
        self.encrypted = CryptoStream(reactor=reactor)
        inner._other, self.encrypted._other = self.encrypted, inner
        self.server = given.get("server")
        self.credentials = context
        role = _PairServing if read.isServer else _PairConnecting
        self.cleartext = TLSSocket(inner, read, handler=role(read), reactor=reactor)
        if read.servername and not read.isServer:
            self.cleartext.setServername(read.servername)
        self.cleartext.once("secure", self._secured)

    def _secured(self) -> None:
        self._fire("secure")

    def destroy(self) -> None:
        """Close both sides at once."""
        self.cleartext.destroy()
        self.encrypted.destroy()


def createSecurePair(
    context: Any = None,
    isServer: bool = False,
    requestCert: bool | None = None,
    rejectUnauthorized: bool = False,
    options: Mapping[str, Any] | None = None,
    *,
    reactor: Any = None,
) -> SecurePair:
    """
    Make a L{SecurePair}, which has the parameters described.

    Warns with C{DEP0064}: use a L{TLSSocket} over the stream instead.
    """
    warnings.warn(
        NodeDeprecationWarning(
            "tls.createSecurePair() is deprecated. Please use tls.TLSSocket instead.", "DEP0064"
        ),
        stacklevel=2,
    )
    return SecurePair(context, isServer, requestCert, rejectUnauthorized, options, reactor=reactor)
