"""
The components of which everything here is made.

Third parties can provide any of these: a context of their own making, a
session store, a responder for OCSP staples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = ["IOCSPResponder", "ISecureContext", "ISessionStore", "ITLSSocket"]


class ISecureContext(Interface):
    """
    What a server, a client or an endpoint needs of a context.

    A context is made once, checked in full when it is made, shared by any
    number of connections, and never changed afterwards.
    """

    native = Attribute("The pyOpenSSL SSL.Context that every connection of this context shares.")
    options = Attribute("The validated options it was made from (read only).")
    ownCertificates = Attribute(
        "A sequence of (leaf, chain): DER bytes of each own certificate and a tuple of DER bytes."
    )
    trustDigest = Attribute(
        "bytes: a digest of what is trusted (CA certificates, CRLs, partial chains). "
        "Sessions made under one digest are not used under another."
    )
    sessionIdContext = Attribute("bytes: the session id context, at most 32 bytes.")

    def trustedCertificates() -> tuple[bytes, ...]:
        """The DER of every trusted certificate, for look-ups of issuers."""


class ITLSSocket(Interface):
    """
    A TLS connection with Node's TLSSocket API.

    Source: https://nodejs.org/api/tls.html#class-tlstlssocket
    """

    authorized = Attribute("bool: whether the peer's certificate was verified.")
    authorizationError = Attribute("str or None: the code of the reason why it was not.")
    encrypted = Attribute("True.")
    alpnProtocol = Attribute("str, or False where none was agreed, or None before the handshake.")
    servername = Attribute("str, or False where none was sent, or None before the handshake.")
    transport = Attribute(
        "The Twisted transport of the same connection: ITCPTransport, ISSLTransport, "
        "ITLSTransport, INegotiated, half-close. Its tlsSocket leads back."
    )

    def getPeerCertificate(detailed: bool = False) -> dict[str, Any] | None:
        """The peer's certificate in Node's form; {} if it sent none; None once destroyed."""

    def getCertificate() -> dict[str, Any] | None:
        """The own certificate in Node's form; {} if there is none; None once destroyed."""

    def getCipher() -> dict[str, str] | None:
        """name, standardName, version; None once destroyed."""

    def getProtocol() -> str | None:
        """TLSv1.3 and so on; None once destroyed."""

    def getSession() -> bytes | None:
        """The session, serialised, for the option session of a later connection."""

    def isSessionReused() -> bool | None:
        """Whether the session was resumed; None once destroyed."""

    def write(chunk: bytes | str, encoding: Any = None, cb: Any = None) -> bool:
        """Queue data; False: wait for 'drain'."""

    def end(chunk: Any = None, encoding: Any = None, cb: Any = None) -> Any:
        """End the own side after what is queued."""

    def destroy(error: BaseException | None = None) -> Any:
        """Close at once."""

    def whenSecure() -> Awaitable[Any]:
        """Wait for the end of the handshake, or for the error that prevented it."""


class ISessionStore(Interface):
    """
    Where a server keeps sessions for resumption.

    Every method may return its result, a Deferred or an awaitable.  A store
    that fails or is slow costs a full handshake, never a failed one.

    What it is given is sealed.  A store that several processes share brings
    the keys: an attribute C{sealingKeys}, a sequence of keys of 32 bytes or
    more, of which the first seals and all open.  Without it a server uses the
    ticket keys that it was given, or a key that only its process has; a store
    whose attribute C{shared} is true is refused rather than given the latter.
    """

    def store(sessionId: bytes, data: bytes, lifetime: float) -> Awaitable[None] | None:
        """Keep data under sessionId for at most lifetime seconds."""

    def fetch(sessionId: bytes) -> Awaitable[bytes | None] | bytes | None:
        """The data kept under sessionId, or None."""

    def discard(sessionId: bytes) -> Awaitable[None] | None:
        """Forget sessionId."""


class IOCSPResponder(Interface):
    """Where a server gets OCSP staples from."""

    def respond(certificate: bytes, issuer: bytes | None) -> Awaitable[bytes | None] | bytes | None:
        """
        The DER of the OCSP response for certificate, or None for no staple.

        @param certificate: DER of the certificate that will be sent.
        @param issuer: DER of its issuer, or None where that is not known.
        """
