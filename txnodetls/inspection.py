"""
What a TLS socket tells about its connection: certificates, cipher, session.

Everything is asked of OpenSSL at the moment somebody wants to know it, and
nothing is kept.  Once the socket is destroyed there is no connection to ask,
and the answer is None, as in Node.

Source: https://nodejs.org/api/tls.html#class-tlstlssocket
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from txnodetls import pki
from txnodetls.errors import Blame, NodeError, NodeTypeError, invalidArgType, outOfRange
from txnodetls.javascript import isInteger, isNumber
from txnodetls.openssl import keys, queries
from txnodetls.openssl.failures import verifyErrorCode
from txnodetls.protocol.states import Sending
from txnodetls.streams.duplex import Duplex

if TYPE_CHECKING:
    from txnodetls.openssl.calls import Driver
    from txnodetls.pki.x509certificate import X509Certificate
    from txnodetls.protocol.engine import TLSEngine

__all__ = ["Inspection", "verdictOnClient"]

_Answer = TypeVar("_Answer")


class Inspection(Duplex):
    """The part of a TLSSocket that only answers questions."""

    __slots__ = ()

    _engine: TLSEngine | None
    _isServer: bool

    def _issuerFinder(self) -> Callable[[bytes], bytes | None] | None:
        """What finds the issuer of a certificate among the trusted ones."""
        raise NotImplementedError

    def _named(self, session: bytes) -> bytes:
        """A session in the form in which it leaves this socket."""
        raise NotImplementedError

    def _driver(self) -> Driver | None:
        engine = self._engine
        return None if engine is None else engine.driver

    def _ifAlive(self, answer: _Answer) -> _Answer | None:
        """What is answered before there is a connection; None once destroyed."""
        return None if self.destroyed else answer

    def _proved(self) -> Driver | None:
        """To ask about the peer's certificate and the session, unless that is not proved yet."""
        engine = self._engine
        return None if engine is None or engine.peerUnproven else engine.driver

    def _secured(self) -> bool:
        engine = self._engine
        return engine is not None and engine.sending is not Sending.WAITING

    def getPeerCertificate(self, detailed: bool = False) -> dict[str, Any] | None:
        """
        The peer's certificate in Node's form.

        @param detailed: with C{issuerCertificate}, up to the self-signed one,
            whose C{issuerCertificate} is itself.
        @return: {} if the peer has sent none; None once destroyed.
        """
        if self._driver() is None:
            return self._ifAlive({})
        driver = self._proved()
        if driver is None:
            return {}
        if self._isServer and not detailed:
            der = queries.peerCertificate(driver)
            return {} if der is None else pki.certificates.certificateObject(der)
        chain = queries.peerChain(driver, self._isServer)
        if chain and not detailed:
            return pki.certificates.certificateObject(chain[0])
        if not chain:
            return {}
        return pki.certificates.certificateChainObject(chain, self._issuerFinder())

    def getCertificate(self) -> dict[str, Any] | None:
        """The own certificate in Node's form; {} if there is none; None once destroyed."""
        driver = self._driver()
        if driver is None:
            return self._ifAlive({})
        der = queries.ownCertificate(driver)
        return {} if der is None else pki.certificates.certificateObject(der)

    def getPeerX509Certificate(self) -> X509Certificate | None:
        """The peer's certificate, linked to the others that it has sent; or None."""
        driver = self._proved()
        if driver is None:
            return None
        chain = queries.peerChain(driver, self._isServer)
        return pki.x509certificate.X509Certificate.fromChain(chain) if chain else None

    def getX509Certificate(self) -> X509Certificate | None:
        """The own certificate, or None."""
        driver = self._driver()
        der = None if driver is None else queries.ownCertificate(driver)
        return None if der is None else pki.x509certificate.X509Certificate(der)

    def getCipher(self) -> dict[str, str] | None:
        """C{name}, C{standardName} and C{version} of the cipher suite."""
        driver = self._driver()
        return None if driver is None else queries.cipher(driver)

    def getProtocol(self) -> str | None:
        """C{TLSv1.3} and so on."""
        driver = self._driver()
        return None if driver is None else queries.protocol(driver)

    def getEphemeralKeyInfo(self) -> dict[str, Any] | None:
        """
        Type, name and size of the ephemeral key exchange.

        @return: {} if it was not ephemeral; None on a server or once destroyed.
        @raise NodeTypeError: C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM}.
        """
        driver = self._driver()
        if driver is None or self._isServer:
            return None
        return keys.ephemeralKeyInfo(driver)

    def getSharedSigalgs(self) -> list[str] | None:
        """
        The signature algorithms that both sides have, in order.

        @raise NodeTypeError: C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM}.
        """
        driver = self._driver()
        return self._ifAlive([]) if driver is None else keys.sharedSigalgs(driver)

    def getFinished(self) -> bytes | None:
        """The latest Finished message that was sent, or None."""
        driver = self._driver()
        return None if driver is None else queries.finished(driver)

    def getPeerFinished(self) -> bytes | None:
        """The latest Finished message that was received, or None."""
        driver = self._driver()
        return None if driver is None else queries.peerFinished(driver)

    def getSession(self) -> bytes | None:
        """
        The session, serialised; None before there is one.

        A client's is good for the server of the name that it was made with.
        """
        session = self._nativeSession()
        return None if session is None else self._named(session)

    def _nativeSession(self) -> bytes | None:
        driver = self._proved()
        return None if driver is None else queries.session(driver)

    def getTLSTicket(self) -> bytes | None:
        """The ticket of a client's session; None if there is none, and on a server."""
        if self._isServer:
            return None
        session = self._nativeSession()
        return None if session is None else queries.ticketOf(session)

    def isSessionReused(self) -> bool | None:
        """Whether the session was resumed; None once destroyed."""
        driver = self._driver()
        return self._ifAlive(False) if driver is None else queries.sessionReused(driver)

    def exportKeyingMaterial(self, length: int, label: str, context: bytes | None = None) -> bytes:
        """
        Keying material for use outside of TLS (RFC 5705, RFC 8446 section 7.5).

        @raise NodeTypeError: C{ERR_INVALID_ARG_TYPE}.
        @raise NodeRangeError: C{ERR_OUT_OF_RANGE}: length is not a whole
            number from 1 to 2**31 - 1.
        @raise NodeError: C{ERR_TLS_INVALID_STATE}: before the handshake is done.
        @raise NodeTypeError: the socket is destroyed; Node has no code for that.
        """
        if not isNumber(length):
            raise invalidArgType("length", "of type number", length)
        if not isInteger(length):
            raise outOfRange("length", "an integer", length)
        if not 1 <= length <= 0x7FFFFFFF:
            raise outOfRange("length", ">= 1 && <= 2147483647", length)
        if not isinstance(label, str):
            raise invalidArgType("label", "of type string", label)
        if context is not None and not isinstance(context, (bytes, bytearray, memoryview)):
            raise invalidArgType(
                "context", "an instance of Buffer, TypedArray, or DataView", context
            )
        driver = self._driver()
        if driver is None:
            raise NodeTypeError("The socket is destroyed: there is no connection to ask")
        if not self._secured():
            raise NodeError(
                "TLS socket connection must be securely established", "ERR_TLS_INVALID_STATE"
            )
        material = queries.exportKeyingMaterial(
            driver, int(length), label.encode(), None if context is None else bytes(context)
        )
        if material is None:
            raise NodeError(
                "OpenSSL refused to export keying material",
                "ERR_CRYPTO_OPERATION_FAILED",
                blame=Blame.LOCAL,
            )
        return material


def verdictOnClient(engine: TLSEngine) -> str | None:
    """
    The code of the reason why a client is not authorized, or None if it is.

    A certificate has to be there and verified, or our own pskCallback has to
    have supplied the key of this very handshake.  That a session was resumed
    proves nothing by itself: the ticket may be from a server with the same
    keys that asks for no certificate.
    """
    if engine.pskSupplied:
        return None
    result = queries.certificateVerdict(engine.driver)
    return None if result == 0 else verifyErrorCode(result)
