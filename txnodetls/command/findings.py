"""
What there is to know of a connection, as plain values.

Gathered from an open socket, in the moment when its handshake is done: a
closed one tells nothing any more.  Nothing here decides anything; the verdict
is the socket's own.

Source: Node's documentation, "Class: tls.TLSSocket", "Certificate object".
"""

from __future__ import annotations

import datetime
import enum
import time
from collections.abc import Iterator
from typing import Any, Final

import attrs

from txnodetls.errors import NodeError
from txnodetls.ocsp import UnusableStaple, checkStaple
from txnodetls.openssl import queries
from txnodetls.openssl.failures import verifyErrorCode, verifyErrorText
from txnodetls.pki.certificates import certificateChainObject
from txnodetls.pki.fields import Fields
from txnodetls.pki.identity import checkServerIdentity
from txnodetls.pki.publickeys import keyKind
from txnodetls.pki.x509certificate import X509Certificate
from txnodetls.socket import TLSSocket

__all__ = ["Findings", "Link", "Session", "gather"]

#: OpenSSL's results of a verification, which have codes and words.
_RESULTS: Final = range(1, 128)


class Origin(enum.Enum):
    """Where a certificate is from: the server, those that are trusted here, a stored session."""

    SENT = enum.auto()
    TRUSTED = enum.auto()
    SESSION = enum.auto()


@attrs.frozen
class Link:
    """
    One certificate of the chain.

    @ivar subject: who it is for, on one line.
    @ivar issuer: who issued it.
    @ivar names: the alternative names, as Node's text.
    @ivar validFrom: from when on; None if it does not properly say.
    @ivar key: the kind and size of its key.
    @ivar origin: where it is from.
    @ivar selfIssued: whether it names itself as its issuer.
    """

    subject: str
    issuer: str
    names: str | None
    validFrom: datetime.datetime | None
    validTo: datetime.datetime | None
    shownFrom: str
    shownTo: str
    key: str
    signature: str
    serial: str
    fingerprint: str
    origin: Origin
    selfIssued: bool
    pem: str


@attrs.frozen
class Session:
    """
    Whether the connection can be resumed.

    @ivar reused: it was itself a resumed one.
    @ivar tickets: the lengths of the tickets that came; 0 for a session without a ticket.
    """

    reused: bool
    tickets: tuple[int, ...] = ()


@attrs.frozen
class Findings:
    """
    What was found.

    @ivar trusted: the verdict.
    @ivar code: why not: Node's code.
    @ivar reason: why not, in words.
    @ivar chain: the server's certificate and those above it.
    @ivar unused: what the server sent besides.
    @ivar staple: what it says, in words, or None if there was none.
    """

    address: str
    port: int
    name: str
    servername: str | None
    trusted: bool
    code: str | None
    reason: str | None
    protocol: str
    cipher: str
    group: str
    alpn: str | None
    staple: str | None
    session: Session
    chain: tuple[Link, ...]
    unused: tuple[str, ...]


def gather(
    socket: TLSSocket,
    name: str,
    servername: str | None,
    staple: bytes | None,
) -> Findings:
    """
    Look at a connection.

    @param name: the name or address that the certificate is to be good for.
    @param servername: the name that was sent.
    @param staple: the OCSP response, DER.
    """
    presented = _presented(socket)
    path, origins = _path(socket, {each.raw for each in presented})
    used = {each.raw for each in path}
    return Findings(
        address=socket.remoteAddress or "",
        port=socket.remotePort or 0,
        name=name,
        servername=servername,
        trusted=bool(socket.authorized),
        code=None if socket.authorized else socket.authorizationError,
        reason=None if socket.authorized else _reason(socket.authorizationError, name, path),
        protocol=socket.getProtocol() or "",
        cipher=(socket.getCipher() or {}).get("standardName", ""),
        group=_group(socket),
        alpn=str(socket.alpnProtocol) if socket.alpnProtocol else None,
        staple=None if staple is None else _staple(staple, path),
        session=Session(bool(socket.isSessionReused())),
        chain=tuple(map(_link, path, origins)),
        unused=tuple(_line(each.subject) for each in presented if each.raw not in used),
    )


def _presented(socket: TLSSocket) -> list[X509Certificate]:
    found: list[X509Certificate] = []
    each = socket.getPeerX509Certificate()
    while each is not None:
        found.append(each)
        each = each.issuerCertificate
    return found


def _path(socket: TLSSocket, presented: set[bytes]) -> tuple[list[X509Certificate], list[Origin]]:
    """The server's certificate and those above it, and where they are from."""
    peer = socket.getPeerCertificate(True)
    driver = socket._driver()
    own = None if driver is None else queries.peerCertificate(driver)
    if not peer and own is not None:
        # Nothing is sent where a session is resumed, but the session remembers whose it is.
        peer = certificateChainObject([own], socket._issuerFinder())
    path = list(_upwards(peer or {}))
    origins = [Origin.SENT if each.raw in presented else Origin.TRUSTED for each in path]
    if path and not presented:
        origins[0] = Origin.SESSION
    return path, origins


def _upwards(certificate: dict[str, Any]) -> Iterator[X509Certificate]:
    """From a certificate up to the one that is its own issuer, or whose issuer is not known."""
    while certificate:
        yield X509Certificate(certificate["raw"])
        above = certificate.get("issuerCertificate")
        certificate = {} if above is None or above is certificate else above


def _link(certificate: X509Certificate, origin: Origin) -> Link:
    return Link(
        subject=_line(certificate.subject),
        issuer=_line(certificate.issuer),
        names=certificate.subjectAltName,
        validFrom=certificate.validFromDate,
        validTo=certificate.validToDate,
        shownFrom=certificate.validFrom,
        shownTo=certificate.validTo,
        key=_key(certificate),
        signature=certificate.signatureAlgorithm or certificate.signatureAlgorithmOid,
        serial=certificate.serialNumber,
        fingerprint=certificate.fingerprint256,
        origin=origin,
        selfIssued=certificate.checkIssued(certificate),
        pem=certificate.toString(),
    )


def _line(name: str | None) -> str:
    """A name of several lines on one, the last part first, as people write it."""
    return "(nobody)" if name is None else ", ".join(reversed(name.split("\n")))


def _key(certificate: X509Certificate) -> str:
    shown = certificate.toLegacyObject()
    try:
        kind = keyKind(Fields(certificate.raw).key) or "unknown"
    except NodeError:
        kind = "unreadable"
    curve = shown.get("nistCurve") or shown.get("asn1Curve")
    size = f"{shown['bits']} bits" if "bits" in shown and curve is None else curve
    return f"{kind}, {size}" if size else kind


def _reason(code: str | None, name: str, path: list[X509Certificate]) -> str:
    words = (verifyErrorText(each) for each in _RESULTS if verifyErrorCode(each) == code)
    found = next(words, None)
    if found is not None:
        return found
    # Not OpenSSL's doubts, so those about the name.
    try:
        error = checkServerIdentity(name, path[0].toLegacyObject() if path else {})
    except NodeError as raised:
        return raised.message
    return code or "unknown" if error is None else error.reason


def _group(socket: TLSSocket) -> str:
    try:
        info = socket.getEphemeralKeyInfo() or {}
    except NodeError:
        return "not to be told on this platform"
    if info.get("name"):
        return str(info["name"])
    return f"{info['type']}, {info['size']} bits" if info else "none"


def _staple(staple: bytes, path: list[X509Certificate]) -> str:
    issuer = path[1].raw if len(path) > 1 else None
    if not path:
        return "about nobody"
    try:
        checked = checkStaple(staple, path[0].raw, issuer, time.time())
    except UnusableStaple as error:
        return f"of no use: {error}"
    until = checked.nextUpdate
    lapse = "" if until is None else f", until {_moment(until)}"
    signed = "" if issuer is not None else "; who signed it is not known here"
    return f"good{lapse}{signed}"


def _moment(seconds: float) -> str:
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d %H:%M} UTC"
