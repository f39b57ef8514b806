"""
What the application sets on a TLSSocket before or after its handshake.

Source: https://nodejs.org/api/tls.html#class-tlstlssocket
"""

from __future__ import annotations

from typing import Any

from txnodetls.context import createSecureContext
from txnodetls.errors import Blame, NodeError, invalidArgType, invalidArgValue, outOfRange
from txnodetls.interfaces import ISecureContext
from txnodetls.javascript import isInteger, isNumber
from txnodetls.protocol.engine import SLICE, TLSEngine
from txnodetls.questions import sessionsBoundTo
from txnodetls.streams.duplex import Duplex

__all__ = ["Settings"]


class Settings(Duplex):
    """The part of a TLSSocket that takes what it is told."""

    _context: Any
    _engine: TLSEngine | None
    _isServer: bool
    _keyCert: Any
    _servernameToSend: bytes | None
    _sessionToOffer: bytes | None
    _slice: int
    _verification: tuple[bool, bool]

    def setServername(self, name: str) -> None:
        """
        The server name that the ClientHello will carry.

        @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE}; C{ERR_INVALID_ARG_VALUE} for what
            cannot be the name of a host.
        @raise NodeError: C{ERR_TLS_SNI_FROM_SERVER}.
        """
        if not isinstance(name, str):
            raise invalidArgType("name", "of type string", name)
        if self._isServer:
            raise NodeError(
                "Cannot issue SNI from a TLS server-side socket", "ERR_TLS_SNI_FROM_SERVER"
            )
        try:
            self._servernameToSend = name.encode("ascii" if name.isascii() else "idna")
        except UnicodeError as error:
            raise invalidArgValue("name", name, "is no name of a host") from error

    def setKeyCert(self, context: Any) -> None:
        """
        Show another certificate in the handshake to come, whatever context serves.

        With it come its trust and its ciphers, as with a context that
        C{SNICallback} chooses.  Once destroyed this does nothing.

        @param context: an ISecureContext, or the options of one.
        @raise NodeError: it has no certificate; and whatever
            C{createSecureContext} raises.
        """
        if self.destroyed:
            return
        if not ISecureContext.providedBy(context):
            context = createSecureContext(context)
        if not context.ownCertificates:
            raise NodeError("SetKeyCert", blame=Blame.CONFIGURATION)
        self._keyCert = context
        if self._engine is not None:
            self._showKeyCert(self._engine, context)

    def _showKeyCert(self, engine: TLSEngine, context: Any) -> None:
        self._context = context
        bound = sessionsBoundTo(context, *self._verification) if self._isServer else b""
        engine.showContext(context.native, bound)

    def setSession(self, session: bytes) -> None:
        """
        A session to resume, as 'session' or C{getSession()} gave it.

        One that was made with a server of another name is not used.

        @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE}.
        """
        if not isinstance(session, (bytes, bytearray, memoryview)):
            raise invalidArgType(
                "session", "an instance of Buffer, TypedArray, or DataView", session
            )
        self._sessionToOffer = bytes(session)

    def setMaxSendFragment(self, size: int) -> bool:
        """
        The largest amount of plaintext in one record, from 512 to 16384 bytes.

        @return: whether it could be set.
        """
        if not isNumber(size):
            raise invalidArgType("size", "of type number", size)
        if not isInteger(size):
            raise outOfRange("size", "an integer", size)
        if not -(2**31) <= size < 2**31:
            raise outOfRange("size", ">= -2147483648 && <= 2147483647", size)
        if not 512 <= size <= 16384 or self.destroyed:
            return False
        self._slice = SLICE if size == 16384 else int(size)
        return True
