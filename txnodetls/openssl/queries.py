"""
What can be asked of a connection: certificates, cipher, session, keys.

All answers are plain Python values; certificates and sessions are DER.
Nothing here changes a connection, and nothing is asked for before someone
wants to know it.
"""

from __future__ import annotations

import hmac
from typing import Any

from OpenSSL._util import ffi, lib

from txnodetls.constants import TLS1_3_VERSION
from txnodetls.openssl.calls import Driver
from txnodetls.openssl.ciphernames import standardName

__all__ = [
    "alpnSelected",
    "certificateVerdict",
    "cipher",
    "exportKeyingMaterial",
    "finished",
    "groupName",
    "madeWithPsk",
    "ownCertificate",
    "peerCertificate",
    "peerChain",
    "peerFinished",
    "protocol",
    "servername",
    "session",
    "sessionIdContextOf",
    "sessionIdOf",
    "sessionReused",
    "speaksTLS13",
    "staple",
    "suiteName",
    "ticketLifetimeOf",
    "ticketOf",
    "verifyResult",
]

_FINISHED_MAX = 64
# X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT: Node's error where there was nothing to verify.
_NO_CERTIFICATE = 2

_SSL_version = lib.SSL_version
_SSL_get_servername = lib.SSL_get_servername
_SSL_get0_alpn_selected = lib.SSL_get0_alpn_selected
_HOST_NAME = lib.TLSEXT_NAMETYPE_host_name
_NULL = ffi.NULL
# Where OpenSSL puts what it gives by reference.
_selected = ffi.new("unsigned char **")
_selectedLength = ffi.new("unsigned int *")


def protocol(driver: Driver) -> str:
    """C{TLSv1.3}, C{TLSv1.2} ..."""
    return str(ffi.string(lib.SSL_get_version(driver.ssl)).decode("ascii"))


def speaksTLS13(driver: Driver) -> bool:
    """Whether TLS 1.3, or a later version, was agreed on."""
    return bool(_SSL_version(driver.ssl) >= TLS1_3_VERSION)


def cipher(driver: Driver) -> dict[str, str] | None:
    """name, standardName and version of the current cipher; None before there is one."""
    current = lib.SSL_get_current_cipher(driver.ssl)
    if current == ffi.NULL:
        return None
    name = ffi.string(lib.SSL_CIPHER_get_name(current)).decode("ascii")
    version = ffi.string(lib.SSL_CIPHER_get_version(current)).decode("ascii")
    return {"name": name, "standardName": standardName(name), "version": version}


def suiteName(driver: Driver, number: int) -> str | None:
    """The IETF's name of a cipher suite, or None if OpenSSL does not know it."""
    found = lib.SSL_CIPHER_find(driver.ssl, ffi.new("unsigned char[]", number.to_bytes(2, "big")))
    if found == ffi.NULL:
        return None
    return standardName(ffi.string(lib.SSL_CIPHER_get_name(found)).decode("ascii"))


def madeWithPsk(driver: Driver, key: bytes) -> bool:
    """
    Whether a handshake, just done, was made with this pre-shared key.

    That a callback supplied it does not say so.  In TLS 1.3 a peer offers several
    keys, those of tickets among them, and any that fits is good.  So the key has
    to be the session's own; to be asked before the session of a first ticket takes
    its place.
    """
    if protocol(driver) == "TLSv1.3":
        return sessionReused(driver) and hmac.compare_digest(_sessionKey(driver), key)
    current = cipher(driver)
    return current is not None and "PSK" in current["name"]


def _sessionKey(driver: Driver) -> bytes:
    session = lib.SSL_get_session(driver.ssl)
    if session == ffi.NULL:
        return b""
    length = lib.SSL_SESSION_get_master_key(session, ffi.NULL, 0)
    key = ffi.new("unsigned char[]", length)
    lib.SSL_SESSION_get_master_key(session, key, length)
    return bytes(ffi.buffer(key, length))


def alpnSelected(driver: Driver) -> bytes:
    """The protocol agreed on; empty if there is none."""
    _SSL_get0_alpn_selected(driver.ssl, _selected, _selectedLength)
    length = _selectedLength[0]
    return bytes(ffi.buffer(_selected[0], length)) if length else b""


def servername(driver: Driver) -> bytes | None:
    """The server name that the client sent, or None."""
    name = _SSL_get_servername(driver.ssl, _HOST_NAME)
    return None if name == _NULL else bytes(ffi.string(name))


def verifyResult(driver: Driver) -> int:
    """OpenSSL's verdict on the peer's certificate: an C{X509_V_*} number."""
    return int(lib.SSL_get_verify_result(driver.ssl))


def certificateVerdict(driver: Driver) -> int:
    """The same, but that a peer without a certificate is not verified: OpenSSL says 0 then."""
    x509 = lib.SSL_get_peer_certificate(driver.ssl)
    if x509 == _NULL:
        return _NO_CERTIFICATE
    lib.X509_free(x509)
    return verifyResult(driver)


def _der(x509: Any) -> bytes:
    bio = ffi.gc(lib.BIO_new(lib.BIO_s_mem()), lib.BIO_free)
    if lib.i2d_X509_bio(bio, x509) != 1:
        lib.ERR_clear_error()
        return b""
    return _contents(bio)


def _contents(bio: Any) -> bytes:
    data = ffi.new("char **")
    length = lib.BIO_get_mem_data(bio, data)
    return bytes(ffi.buffer(data[0], length))


def peerCertificate(driver: Driver) -> bytes | None:
    """DER of the peer's certificate, or None."""
    x509 = lib.SSL_get_peer_certificate(driver.ssl)
    if x509 == ffi.NULL:
        return None
    try:
        return _der(x509)
    finally:
        lib.X509_free(x509)


def peerChain(driver: Driver, isServer: bool) -> list[bytes]:
    """
    DER of the certificates that the peer sent in this handshake, its own first.

    A server's list leaves out the client's own one, which is put in front; it
    may come from the session that was resumed.
    """
    chain = []
    stack = lib.SSL_get_peer_cert_chain(driver.ssl)
    if stack != ffi.NULL:
        chain = [_der(lib.sk_X509_value(stack, i)) for i in range(lib.sk_X509_num(stack))]
    if isServer:
        own = peerCertificate(driver)
        if own is not None:
            chain.insert(0, own)
    return chain


def ownCertificate(driver: Driver) -> bytes | None:
    """DER of the certificate this side has (for a server: has sent), or None."""
    x509 = lib.SSL_get_certificate(driver.ssl)
    return None if x509 == ffi.NULL else _der(x509)


def finished(driver: Driver) -> bytes | None:
    """This side's latest Finished message, or None before there is one."""
    return _finished(lib.SSL_get_finished, driver)


def peerFinished(driver: Driver) -> bytes | None:
    """The peer's latest Finished message, or None before there is one."""
    return _finished(lib.SSL_get_peer_finished, driver)


def _finished(function: Any, driver: Driver) -> bytes | None:
    buffer = ffi.new("char[]", _FINISHED_MAX)
    length = function(driver.ssl, buffer, _FINISHED_MAX)
    return bytes(ffi.buffer(buffer, length)) if length else None


def session(driver: Driver) -> bytes | None:
    """The session, serialised (DER of OpenSSL's SSL_SESSION), or None."""
    current = lib.SSL_get1_session(driver.ssl)
    return None if current == ffi.NULL else _serialised(current)


def _serialised(session: Any) -> bytes | None:
    """DER of an C{SSL_SESSION*}, which is freed."""
    try:
        length = lib.i2d_SSL_SESSION(session, ffi.NULL)
        if length <= 0:
            lib.ERR_clear_error()
            return None
        buffer = ffi.new("unsigned char[]", length)
        lib.i2d_SSL_SESSION(session, ffi.new("unsigned char **", buffer))
        return bytes(ffi.buffer(buffer, length))
    finally:
        lib.SSL_SESSION_free(session)


def sessionReused(driver: Driver) -> bool:
    """Whether the handshake resumed a session."""
    return bool(lib.SSL_session_reused(driver.ssl))


def ticketOf(serialised: bytes) -> bytes | None:
    """The ticket inside a serialised session, or None if it has none."""
    field = _sessionField(serialised, 10)
    return None if field is None else _element(field, 0)[1]


def ticketLifetimeOf(serialised: bytes) -> int | None:
    """For how many seconds the server says the ticket is good; None if it does not say."""
    field = _sessionField(serialised, 9)
    seconds = 0 if field is None else int.from_bytes(_element(field, 0)[1], "big")
    return seconds or None


def sessionIdOf(serialised: bytes) -> bytes | None:
    """The session id inside a serialised session: its fourth element."""
    _, body, _ = _element(serialised, 0)
    offset = 0
    for _index in range(3):
        _, _, offset = _element(body, offset)
    return _element(body, offset)[1]


def sessionIdContextOf(serialised: bytes) -> bytes | None:
    """The session id context of what may be a serialised session; None if it is not one."""
    data = ffi.new("unsigned char[]", serialised)
    position = ffi.new("const unsigned char **", data)
    lib.ERR_clear_error()
    session = lib.d2i_SSL_SESSION(ffi.NULL, position, len(serialised))
    lib.ERR_clear_error()
    canonical = None if session == ffi.NULL else _serialised(session)
    if canonical is None:
        return None
    field = _sessionField(canonical, 4)
    return b"" if field is None else _element(field, 0)[1]


def _sessionField(serialised: bytes, number: int) -> bytes | None:
    _, body, _ = _element(serialised, 0)
    offset = 0
    while offset < len(body):
        tag, value, offset = _element(body, offset)
        if tag == 0xA0 | number:
            return value
    return None


def _element(data: bytes, offset: int) -> tuple[int, bytes, int]:
    """One element of DER that OpenSSL itself wrote: tag, value, where the next begins."""
    tag = data[offset]
    length = data[offset + 1]
    offset += 2
    if length & 0x80:
        size = length & 0x7F
        length = int.from_bytes(data[offset : offset + size], "big")
        offset += size
    return tag, data[offset : offset + length], offset + length


def staple(driver: Driver) -> bytes | None:
    """The OCSP response that the server stapled, or None."""
    data = ffi.new("unsigned char **")
    length = lib.SSL_get_tlsext_status_ocsp_resp(driver.ssl, data)
    return bytes(ffi.buffer(data[0], length)) if length > 0 else None


def groupName(driver: Driver) -> str | None:
    """The name of the key exchange group, or None."""
    if lib.SSL_get_session(driver.ssl) == ffi.NULL:
        # OpenSSL does not look whether there is one, and crashes.
        return None
    name = lib.SSL_get0_group_name(driver.ssl)
    return None if name == ffi.NULL else str(ffi.string(name).decode("ascii"))


def exportKeyingMaterial(
    driver: Driver, length: int, label: bytes, context: bytes | None
) -> bytes | None:
    """Keying material (RFC 5705, RFC 8446 section 7.5), or None if OpenSSL refuses."""
    out = ffi.new("unsigned char[]", max(length, 1))
    lib.ERR_clear_error()
    done = lib.SSL_export_keying_material(
        driver.ssl,
        out,
        length,
        label,
        len(label),
        ffi.NULL if context is None else context,
        0 if context is None else len(context),
        context is not None,
    )
    if done != 1:
        lib.ERR_clear_error()
        return None
    return bytes(ffi.buffer(out, length))
