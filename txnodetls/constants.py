"""
Numbers and defaults: versions, ciphers, SSL_OP_*, alerts.

L{defaults} holds what a program may change at run time, as in Node
(C{tls.DEFAULT_MIN_VERSION = ...}); it is read each time a context or a server
is made.  Everything else is constant.

Sources: https://nodejs.org/api/tls.html, https://nodejs.org/api/crypto.html#crypto-constants,
SSL_CTX_set_options(3), RFC 8446 section 6.
"""

from __future__ import annotations

from typing import Final

TLS1_VERSION: Final = 0x0301
TLS1_1_VERSION: Final = 0x0302
TLS1_2_VERSION: Final = 0x0303
TLS1_3_VERSION: Final = 0x0304

# The names that minVersion and maxVersion take, and getProtocol() gives.
PROTOCOL_VERSIONS: Final = {
    "TLSv1": TLS1_VERSION,
    "TLSv1.1": TLS1_1_VERSION,
    "TLSv1.2": TLS1_2_VERSION,
    "TLSv1.3": TLS1_3_VERSION,
}

# secureProtocol without _method, _client_method, _server_method: the lowest and
# the highest version.  None: what minVersion and maxVersion default to.
SECURE_PROTOCOLS: Final[dict[str, tuple[int | None, int | None]]] = {
    "SSLv23": (None, TLS1_2_VERSION),
    "TLS": (0, TLS1_3_VERSION),
    "TLSv1": (TLS1_VERSION, TLS1_VERSION),
    "TLSv1_1": (TLS1_1_VERSION, TLS1_1_VERSION),
    "TLSv1_2": (TLS1_2_VERSION, TLS1_2_VERSION),
}

_DEFAULT_CIPHERS: Final = (
    "TLS_AES_256_GCM_SHA384:"
    "TLS_CHACHA20_POLY1305_SHA256:"
    "TLS_AES_128_GCM_SHA256:"
    "ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES128-GCM-SHA256:"
    "ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:"
    "DHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-RSA-AES128-SHA256:"
    "DHE-RSA-AES128-SHA256:"
    "ECDHE-RSA-AES256-SHA384:"
    "DHE-RSA-AES256-SHA384:"
    "ECDHE-RSA-AES256-SHA256:"
    "DHE-RSA-AES256-SHA256:"
    "HIGH:"
    "!aNULL:!eNULL:!EXPORT:!DES:!RC4:!MD5:!PSK:!SRP:!CAMELLIA"
)

# Seconds; both of a session id and of a ticket.
DEFAULT_SESSION_TIMEOUT: Final = 300
# Milliseconds.
DEFAULT_HANDSHAKE_TIMEOUT: Final = 120_000
# Bits of a DHE key that a client still takes.
DEFAULT_MIN_DH_SIZE: Final = 1024
# Bytes: name, HMAC key, AES key.
TICKET_KEYS_SIZE: Final = 48
SESSION_ID_CONTEXT_MAX: Final = 32


class Defaults:
    """
    The module's assignable defaults, under Node's names.

    @ivar CLIENT_RENEG_LIMIT: renegotiations that a client may start within the window.
    @ivar CLIENT_RENEG_WINDOW: the window, in seconds.
    """

    __slots__ = (
        "CLIENT_RENEG_LIMIT",
        "CLIENT_RENEG_WINDOW",
        "DEFAULT_CIPHERS",
        "DEFAULT_ECDH_CURVE",
        "DEFAULT_MAX_VERSION",
        "DEFAULT_MIN_VERSION",
    )

    def __init__(self) -> None:
        self.DEFAULT_CIPHERS: str = _DEFAULT_CIPHERS
        self.DEFAULT_ECDH_CURVE: str = "auto"
        self.DEFAULT_MIN_VERSION: str = "TLSv1.2"
        self.DEFAULT_MAX_VERSION: str = "TLSv1.3"
        self.CLIENT_RENEG_LIMIT: int = 3
        self.CLIENT_RENEG_WINDOW: float = 600


defaults: Final = Defaults()

# Bits of secureOptions.  The first block is what Node's crypto.constants has;
# a bit that OpenSSL no longer knows is 0 or without effect there as here.
SSL_OP_ALL: Final = 0x80000850
SSL_OP_ALLOW_NO_DHE_KEX: Final = 1 << 10
SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION: Final = 1 << 18
SSL_OP_CIPHER_SERVER_PREFERENCE: Final = 1 << 22
SSL_OP_CISCO_ANYCONNECT: Final = 1 << 15
SSL_OP_COOKIE_EXCHANGE: Final = 1 << 13
SSL_OP_CRYPTOPRO_TLSEXT_BUG: Final = 1 << 31
SSL_OP_DONT_INSERT_EMPTY_FRAGMENTS: Final = 1 << 11
SSL_OP_LEGACY_SERVER_CONNECT: Final = 1 << 2
SSL_OP_NO_COMPRESSION: Final = 1 << 17
SSL_OP_NO_ENCRYPT_THEN_MAC: Final = 1 << 19
SSL_OP_NO_QUERY_MTU: Final = 1 << 12
SSL_OP_NO_RENEGOTIATION: Final = 1 << 30
SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION: Final = 1 << 16
SSL_OP_NO_SSLv2: Final = 0
SSL_OP_NO_SSLv3: Final = 1 << 25
SSL_OP_NO_TICKET: Final = 1 << 14
SSL_OP_NO_TLSv1: Final = 1 << 26
SSL_OP_NO_TLSv1_1: Final = 1 << 28
SSL_OP_NO_TLSv1_2: Final = 1 << 27
SSL_OP_NO_TLSv1_3: Final = 1 << 29
SSL_OP_PRIORITIZE_CHACHA: Final = 1 << 21
SSL_OP_TLS_ROLLBACK_BUG: Final = 1 << 23
# Further ones of OpenSSL 3.
SSL_OP_NO_RX_CERTIFICATE_COMPRESSION: Final = 1 << 33
SSL_OP_NO_TX_CERTIFICATE_COMPRESSION: Final = 1 << 32
SSL_OP_NO_EXTENDED_MASTER_SECRET: Final = 1 << 0
SSL_OP_CLEANSE_PLAINTEXT: Final = 1 << 1
SSL_OP_TLSEXT_PADDING: Final = 1 << 4
SSL_OP_SAFARI_ECDHE_ECDSA_BUG: Final = 1 << 6
SSL_OP_IGNORE_UNEXPECTED_EOF: Final = 1 << 7
SSL_OP_ALLOW_CLIENT_RENEGOTIATION: Final = 1 << 8
SSL_OP_DISABLE_TLSEXT_CA_NAMES: Final = 1 << 9
SSL_OP_ENABLE_MIDDLEBOX_COMPAT: Final = 1 << 20
SSL_OP_NO_ANTI_REPLAY: Final = 1 << 24
# Kept by OpenSSL for old programs; without effect.
SSL_OP_EPHEMERAL_RSA: Final = 0
SSL_OP_MICROSOFT_BIG_SSLV3_BUFFER: Final = 0
SSL_OP_MICROSOFT_SESS_ID_BUG: Final = 0
SSL_OP_MSIE_SSLV2_RSA_PADDING: Final = 0
SSL_OP_NETSCAPE_CA_DN_BUG: Final = 0
SSL_OP_NETSCAPE_CHALLENGE_BUG: Final = 0
SSL_OP_NETSCAPE_DEMO_CIPHER_CHANGE_BUG: Final = 0
SSL_OP_NETSCAPE_REUSE_CIPHER_CHANGE_BUG: Final = 0
SSL_OP_PKCS1_CHECK_1: Final = 0
SSL_OP_PKCS1_CHECK_2: Final = 0
SSL_OP_SINGLE_DH_USE: Final = 0
SSL_OP_SINGLE_ECDH_USE: Final = 0
SSL_OP_SSLEAY_080_CLIENT_DH_BUG: Final = 0
SSL_OP_SSLREF2_REUSE_CERT_TYPE_BUG: Final = 0
SSL_OP_TLS_BLOCK_PADDING_BUG: Final = 0
SSL_OP_TLS_D5_BUG: Final = 0

# RFC 8446 section 6 and the IANA registry "TLS Alerts".
ALERTS: Final = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    21: "decryption_failed",
    22: "record_overflow",
    30: "decompression_failure",
    40: "handshake_failure",
    41: "no_certificate",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    52: "too_many_cids_requested",
    60: "export_restriction",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    100: "no_renegotiation",
    109: "missing_extension",
    110: "unsupported_extension",
    111: "certificate_unobtainable",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    114: "bad_certificate_hash_value",
    115: "unknown_psk_identity",
    116: "certificate_required",
    120: "no_application_protocol",
    121: "ech_required",
}
ALERT_NUMBERS: Final = {name: number for number, name in ALERTS.items()}


def secureOptionNames() -> dict[str, int]:
    """Every SSL_OP_* of this module by its name."""
    return {name: value for name, value in globals().items() if name.startswith("SSL_OP_")}
