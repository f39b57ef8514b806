"""
C{connect}: Node's TLS client.

What a client does beside moving bytes: it says hello as soon as it is
connected, and when the handshake is done it looks at the server's certificate
before anything of the server's is delivered, and before its own Finished
message leaves: a server whose certificate is refused never sees a TLS 1.3
connection as established.

Source: https://nodejs.org/api/tls.html#tlsconnectoptions-callback
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final

from txnodetls import pki
from txnodetls.answers import refuseAsynchronous
from txnodetls.clientsessions import clientSessions
from txnodetls.constants import DEFAULT_MIN_DH_SIZE
from txnodetls.context import makeContext
from txnodetls.errors import (
    Blame,
    NodeDeprecationWarning,
    NodeError,
    NodeTypeError,
    Phase,
    invalidArgType,
    missingArgs,
)
from txnodetls.net.connecting import connectArguments
from txnodetls.net.lookup import isIP
from txnodetls.net.socket import Socket
from txnodetls.openssl import npn, queries
from txnodetls.openssl.calls import Driver
from txnodetls.openssl.failures import verifyErrorCode, verifyErrorText
from txnodetls.options import CONNECT, CONTEXT, Options, readOptions
from txnodetls.options.checks import callersLevel
from txnodetls.protocol import events
from txnodetls.protocol.engine import TLSEngine
from txnodetls.sessions.named import sessionFor
from txnodetls.socket import Handler, TLSSocket, clientsEngine, serverName

__all__ = ["ClientHandler", "connect", "connectAs"]

_NO_CERTIFICATE: Final = 2


class ClientHandler(Handler):
    """The role of one client connection."""

    startsAtOnce = True

    def __init__(self, options: Options, context: Any) -> None:
        self._options = options
        self._context = context
        self._cached = clientSessions(options)

    def begin(self, socket: TLSSocket) -> TLSEngine:
        return clientsEngine(socket, self._options, self._context, self._session(socket))

    def judge(self, socket: TLSSocket) -> bool:
        try:
            tooSmall = self._tooSmall(socket)
            error = self._verdict(socket) if tooSmall is None else None
        except Exception as raised:
            socket.destroy(raised)
            return False
        if tooSmall is not None:
            socket._fire("error", tooSmall)
            socket.destroy()
            return False
        socket.authorized = error is None
        if error is not None:
            socket.authorizationError = getattr(error, "code", None) or str(error)
            if isinstance(error, NodeError) and error.phase is None:
                error.phase = Phase.HANDSHAKING  # a check of names alone does not know it
            if self._options.rejectUnauthorized is not False:
                socket.destroy(error)
                return False
        return True

    def announce(self, socket: TLSSocket) -> None:
        # Node tells 'secureConnect' from within 'secure': whoever begins to listen
        # to 'secure' there hears of the next handshake, not of this one.
        listeners = socket.rawListeners("secure")
        socket._fire("secureConnect")
        for listener in listeners:
            socket._call(listener)

    def announceAgain(self, socket: TLSSocket) -> None:
        self.announce(socket)

    def truncated(self, socket: TLSSocket) -> None:
        options = self._options
        error = NodeError(
            "Client network socket disconnected before secure TLS connection was established",
            "ECONNRESET",
            blame=Blame.PEER,
            phase=Phase.HANDSHAKING,
            path=options.path,
            host=options.host,
            port=options.port,
            localAddress=options.localAddress,
        )
        socket.push(None)
        # 'end' comes first, by a tick of its own.
        socket._ticks.nextTick(socket._ticks.nextTick, socket.destroy, error)

    def keyLogged(self, socket: TLSSocket, line: bytes) -> None:
        socket._fire("keylog", line)

    def _verdict(self, socket: TLSSocket) -> BaseException | None:
        engine = socket._engine
        assert engine is not None
        driver = engine.driver
        result = queries.verifyResult(driver)
        if queries.peerCertificate(driver) is None:
            # A server without a certificate has proved itself by the key that
            # we supplied, or not at all.
            result = 0 if engine.pskSupplied else _NO_CERTIFICATE
        if result:
            return NodeError(
                verifyErrorText(result),
                verifyErrorCode(result),
                blame=Blame.PEER,
                phase=Phase.HANDSHAKING,
            )
        if not queries.sessionReused(driver):
            return self._checkIdentity(socket)
        return self._checkResumed(driver)

    def _checkIdentity(self, socket: TLSSocket) -> BaseException | None:
        ours = pki.identity.checkServerIdentity
        check = self._options.checkServerIdentity or ours
        certificate = socket.getPeerCertificate(check is not ours)
        error = refuseAsynchronous(
            "checkServerIdentity", check(self._expectedName(), certificate or {})
        )
        if error is None or isinstance(error, BaseException):
            return error
        return NodeError(str(error)) if error else None

    def _checkResumed(self, driver: Driver) -> BaseException | None:
        """
        The identity of a resumed session's server.

        As in Node the application's own check is not asked again, nor where
        TLS 1.3 was keyed by pskCallback.  But the session may have been made
        under another name, and then whoever that was could pass for any
        server: so the certificate in it is checked for this name.
        """
        der = queries.peerCertificate(driver)
        if der is None or self._options.checkServerIdentity is not None:
            return None
        certificate = pki.certificates.certificateObject(der)
        return pki.identity.checkServerIdentity(self._expectedName(), certificate)

    def _expectedName(self) -> str:
        options = self._options
        return serverName(options, options.socket)

    def sessionName(self, socket: TLSSocket) -> str:
        return self._expectedName()

    def _session(self, socket: TLSSocket) -> bytes | None:
        given = socket._sessionToOffer
        if self._cached is not None:
            name, sent = self._expectedName(), socket._servernameToSend
            found = self._cached.begin(self._context, name, sent, given is None)
            given = given or found
        return None if given is None else sessionFor(self._expectedName(), given)

    def sessionIssued(self, socket: TLSSocket, event: events.SessionIssued) -> None:
        if self._cached is not None:
            self._cached.issued(socket, self._expectedName(), event)

    def closed(self, socket: TLSSocket, error: BaseException | None) -> None:
        if self._cached is not None:
            self._cached.failed()

    def _tooSmall(self, socket: TLSSocket) -> NodeError | None:
        """The error of a DHE key below C{minDHSize}."""
        cipher = socket.getCipher()
        if cipher is None or not cipher["name"].startswith("DHE-"):
            return None
        minimum = self._options.minDHSize or DEFAULT_MIN_DH_SIZE
        try:
            bits = (socket.getEphemeralKeyInfo() or {}).get("size")
        except NodeTypeError:
            # This build does not tell.  Less than the default is refused by
            # OpenSSL itself, but with @SECLEVEL=0.
            if self._options.minDHSize is None:
                return None
            raise
        if bits is None or bits >= minimum:
            return None
        # The number in the text is Node's, whatever minDHSize says.
        return NodeError(
            f"DH parameter size {bits} is less than 2048",
            "ERR_TLS_DH_PARAM_SIZE",
            blame=Blame.PEER,
            phase=Phase.HANDSHAKING,
        )


def connect(*arguments: Any, reactor: Any = None, **more: Any) -> TLSSocket:
    """
    Connect: C{connect(options[, callback])}, C{connect(port[, host][, options][, callback])},
    C{connect(path[, options][, callback])}.

    Options stand in a mapping, in keyword arguments of the same names, or in
    both (keywords win).  An option beats a positional argument.

    @return: the socket, at once; C{callback} listens to 'secureConnect'.
    @raise NodeError: for options that are wrong, before anything is opened.
    """
    given, callback = _arguments(arguments, more)
    return connectAs(readOptions(CONNECT, given), callback, reactor)


def connectAs(
    options: Options, callback: Callable[..., Any] | None = None, reactor: Any = None
) -> TLSSocket:
    """L{connect}, as options say that were read."""
    if "checkServerIdentity" in options and options.checkServerIdentity is None:
        raise invalidArgType("options.checkServerIdentity", "of type function", None)
    stream = options.socket
    _checkName(options, stream)
    if options.NPNProtocols:
        npn.requireNPN()
    context = options.secureContext
    if context is None:
        context = makeContext(options.only(CONTEXT), isServer=False)
    socket = TLSSocket(stream, options, handler=ClientHandler(options, context), reactor=reactor)
    if callback is not None:
        socket.once("secureConnect", callback)
    try:
        _begin(socket, options, stream)
    except BaseException:
        # Nobody gets this socket: it is not to go on by itself.
        socket.destroy()
        raise
    return socket


def _begin(socket: TLSSocket, options: Options, stream: Any) -> None:
    """Give a new socket its session and name, and connect it unless it stands on a stream."""
    if options.session:
        socket.setSession(options.session)
    if options.servername:
        if isIP(options.servername):
            warnings.warn(
                NodeDeprecationWarning(
                    "Setting the TLS ServerName to an IP address is not permitted by RFC 6066. "
                    "This will be ignored in a future version.",
                    "DEP0123",
                ),
                stacklevel=callersLevel(),
            )
        socket.setServername(options.servername)
    if stream is None:
        socket.connect(options)
        if options.timeout:
            socket.setTimeout(options.timeout)


def _arguments(
    arguments: tuple[Any, ...], more: Mapping[str, Any]
) -> tuple[dict[str, Any], Callable[..., Any] | None]:
    """Node's forms of the arguments: one dictionary of options, and the callback."""
    options, callback = connectArguments(arguments, {})
    for extra in arguments[1:3]:
        if isinstance(extra, Mapping):
            options.update(extra)
            break
    options.update(more)
    return options, callback


def _checkName(options: Options, stream: Any) -> None:
    """
    Over a stream that is not ours there is no name to check the certificate by.

    Node takes 'localhost' then; whoever has a certificate for that name,
    which is easily had, could pass for any server.

    @raise NodeTypeError: C{ERR_MISSING_ARGS}.
    """
    if stream is None or isinstance(stream, Socket):
        return
    if options.rejectUnauthorized is False:
        return
    if options.servername or options.host or options.checkServerIdentity:
        return
    raise missingArgs("options.servername", "options.host")
