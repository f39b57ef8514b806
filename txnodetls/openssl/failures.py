"""
What OpenSSL has to say about a failure.

OpenSSL keeps a queue of errors per thread.  An entry is one packed number:
which library, which reason.  Everything here is decided by these numbers; the
texts are only shown.  They change between releases: OpenSSL 3.0 says "sslv3
alert handshake failure", 3.5 "ssl/tls alert handshake failure", 4.0 "tls alert
handshake failure", and all three are reason 1040.  Node makes its codes out of
the texts, so for those reasons the text of the OpenSSL inside Node 24 stands in
a table here, and the code is the same whatever OpenSSL is underneath.

A queue that is not emptied spoils the next call, on any connection: whoever
makes a call that can fail clears the queue before and drains it after.

Sources: ERR_get_error(3), SSL_alert_desc_string(3), X509_STORE_CTX_get_error(3),
https://nodejs.org/api/tls.html#x509-certificate-error-codes
"""

from __future__ import annotations

import os
from typing import Any, Final, NamedTuple

from OpenSSL._util import ffi, lib

from txnodetls.errors import NodeError, OpenSSLError

__all__ = [
    "LIB_PEM",
    "LIB_SSL",
    "Entry",
    "connectionError",
    "drainErrors",
    "makeEntry",
    "opensslError",
    "verifyErrorCode",
    "verifyErrorText",
]

# Numbers of OpenSSL's libraries (include/openssl/err.h).
LIB_SYS: Final = 2
LIB_PEM: Final = 9
LIB_SSL: Final = 20

# A reason above this is an alert from the peer: 1000 + its number.
_ALERTS: Final = 1000

# What Node puts between ERR_OSSL_ and the reason.  Libraries that came later
# (providers, decoders) have nothing there.
_LIBRARY_CODES: Final = {
    2: "SYS_",
    3: "BN_",
    4: "RSA_",
    5: "DH_",
    6: "EVP_",
    7: "BUF_",
    8: "OBJ_",
    9: "PEM_",
    10: "DSA_",
    11: "X509_",
    13: "ASN1_",
    14: "CONF_",
    15: "CRYPTO_",
    16: "EC_",
    32: "BIO_",
    33: "PKCS7_",
    34: "X509V3_",
    35: "PKCS12_",
    36: "RAND_",
    37: "DSO_",
    38: "ENGINE_",
    39: "OCSP_",
    40: "UI_",
    41: "COMP_",
    42: "ECDSA_",
    43: "ECDH_",
    44: "OSSL_STORE_",
    45: "FIPS_",
    46: "CMS_",
    47: "TS_",
    48: "HMAC_",
    50: "CT_",
    51: "ASYNC_",
    52: "KDF_",
    53: "SM2_",
}

# The reasons of the SSL library that are worded differently from release to
# release, as OpenSSL 3.5 has them.
_SSL_REASONS: Final = {
    1010: "ssl/tls alert unexpected message",
    1020: "ssl/tls alert bad record mac",
    1030: "ssl/tls alert decompression failure",
    1040: "ssl/tls alert handshake failure",
    1041: "ssl/tls alert no certificate",
    1042: "ssl/tls alert bad certificate",
    1043: "ssl/tls alert unsupported certificate",
    1044: "ssl/tls alert certificate revoked",
    1045: "ssl/tls alert certificate expired",
    1046: "ssl/tls alert certificate unknown",
    1047: "ssl/tls alert illegal parameter",
}

# Node's names of the results of a verification; whatever is not here is
# UNSPECIFIED to Node.
_VERIFY_CODES: Final = {
    0: "OK",
    2: "UNABLE_TO_GET_ISSUER_CERT",
    3: "UNABLE_TO_GET_CRL",
    4: "UNABLE_TO_DECRYPT_CERT_SIGNATURE",
    5: "UNABLE_TO_DECRYPT_CRL_SIGNATURE",
    6: "UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY",
    7: "CERT_SIGNATURE_FAILURE",
    8: "CRL_SIGNATURE_FAILURE",
    9: "CERT_NOT_YET_VALID",
    10: "CERT_HAS_EXPIRED",
    11: "CRL_NOT_YET_VALID",
    12: "CRL_HAS_EXPIRED",
    13: "ERROR_IN_CERT_NOT_BEFORE_FIELD",
    14: "ERROR_IN_CERT_NOT_AFTER_FIELD",
    15: "ERROR_IN_CRL_LAST_UPDATE_FIELD",
    16: "ERROR_IN_CRL_NEXT_UPDATE_FIELD",
    17: "OUT_OF_MEM",
    18: "DEPTH_ZERO_SELF_SIGNED_CERT",
    19: "SELF_SIGNED_CERT_IN_CHAIN",
    20: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    21: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    22: "CERT_CHAIN_TOO_LONG",
    23: "CERT_REVOKED",
    25: "PATH_LENGTH_EXCEEDED",
    26: "INVALID_PURPOSE",
    27: "CERT_UNTRUSTED",
    28: "CERT_REJECTED",
    62: "HOSTNAME_MISMATCH",
    79: "INVALID_CA",
}


# Results of a verification that are worded differently from release to release,
# as OpenSSL 3.5 has them.
_VERIFY_TEXTS: Final = {9: "certificate is not yet valid"}


class Entry(NamedTuple):
    """
    One entry of the error queue.

    @ivar library: the number of OpenSSL's library.
    @ivar reason: the number of the reason within it.
    @ivar text: the reason in words, as Node 24 words it.
    """

    library: int
    reason: int
    text: str

    @property
    def alert(self) -> int | None:
        """The number of the alert that the peer sent, if this is one."""
        if self.library == LIB_SSL and self.reason > _ALERTS:
            return self.reason - _ALERTS
        return None

    @property
    def line(self) -> str:
        """The entry as C{ERR_error_string} shows it."""
        packed = (self.library << 23) | self.reason
        return f"error:{packed:08X}:{_libraryName(self.library)}::{self.text}"

    @property
    def codeReason(self) -> str:
        """The reason as Node puts it into a code."""
        return self.text.upper().replace(" ", "_")


def makeEntry(library: int, reason: int) -> Entry:
    """The entry with these numbers, whether or not OpenSSL ever reported it."""
    return Entry(library, reason, _reasonText(library, reason))


def drainErrors() -> list[Entry]:
    """Empty this thread's error queue; the earliest entry comes first."""
    entries = []
    while packed := lib.ERR_get_error():
        if packed & 0x80000000:
            entries.append(makeEntry(LIB_SYS, packed & 0x7FFFFFFF))
        else:
            entries.append(makeEntry((packed >> 23) & 0xFF, packed & 0x7FFFFF))
    return entries


def opensslError(
    entries: list[Entry] | None = None, fallback: str = "OpenSSL failed", **details: Any
) -> NodeError:
    """
    The error of a call that configures something, as Node throws it.

    @param entries: what was drained; drained now if not given.
    @param fallback: the text if the queue was empty; the code is then
        C{ERR_CRYPTO_OPERATION_FAILED}, where Node has none.
    @param details: blame and phase.
    """
    if entries is None:
        entries = drainErrors()
    if not entries:
        return OpenSSLError(fallback, "ERR_CRYPTO_OPERATION_FAILED", **details)
    first = entries[0]
    prefix = "" if first.library == LIB_SSL else "OSSL_"
    library = "SSL_" if first.library == LIB_SSL else _LIBRARY_CODES.get(first.library, "")
    return _error(first.line, f"ERR_{prefix}{library}{first.codeReason}", entries, details)


def connectionError(entries: list[Entry] | None = None, **details: Any) -> NodeError:
    """
    The error of a connection, as Node emits it: C{ERR_SSL_...} whatever library it came from.

    C{alert} is set if the peer sent one.  With nothing in the queue the error
    has no code but says so.
    """
    if entries is None:
        entries = drainErrors()
    if not entries:
        return OpenSSLError("OpenSSL failed without saying why", **details)
    first = entries[0]
    line = f"{first.line}:"
    if first.alert is not None:
        details.setdefault("alert", first.alert)
        line += f"SSL alert number {first.alert}"
    return _error(line, f"ERR_SSL_{first.codeReason}", entries, details)


def verifyErrorCode(number: int) -> str:
    """Node's name of the result of a verification: C{CERT_HAS_EXPIRED}; C{OK} for 0."""
    return _VERIFY_CODES.get(number, "UNSPECIFIED")


def verifyErrorText(number: int) -> str:
    """The words for the result of a verification, as Node 24 has them."""
    if number in _VERIFY_TEXTS:
        return _VERIFY_TEXTS[number]
    return _text(lib.X509_verify_cert_error_string(number)) or f"error number {number}"


def _error(line: str, code: str, entries: list[Entry], details: dict[str, Any]) -> OpenSSLError:
    first = entries[0]
    return OpenSSLError(
        line,
        code,
        library=_libraryName(first.library),
        reason=first.text,
        opensslErrorStack=tuple(entry.line for entry in entries[1:]),
        **details,
    )


def _libraryName(library: int) -> str:
    return _text(lib.ERR_lib_error_string(library << 23)) or f"lib({library})"


def _reasonText(library: int, reason: int) -> str:
    if library == LIB_SYS:
        return os.strerror(reason)
    if library == LIB_SSL and reason in _SSL_REASONS:
        return _SSL_REASONS[reason]
    return _text(lib.ERR_reason_error_string((library << 23) | reason)) or f"reason({reason})"


def _text(pointer: Any) -> str:
    return "" if pointer == ffi.NULL else ffi.string(pointer).decode("ascii", "replace")
