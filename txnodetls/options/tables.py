"""
The tables of options: which there are, what they take, which have a text form.

A set contains the sets it builds on: a server's has the context's and
C{net.Server}'s, and so on.  What makes a secure context (keys, certificates,
ciphers ...) is only kept here; it is checked where the context is built, in the
order in which Node does it.

Sources: https://nodejs.org/api/tls.html, https://nodejs.org/api/net.html
"""

from __future__ import annotations

from typing import Final

from txnodetls.options import checks, text
from txnodetls.options.model import FromFile, Option, OptionTable

__all__ = [
    "CONNECT",
    "CONTEXT",
    "LISTEN",
    "NET_CONNECT",
    "NET_SERVER",
    "POST_HANDSHAKE_AUTH",
    "SERVER",
    "SOCKET",
]

_CALLBACK = "is a callback and has no text form; use {} in Python"
_OBJECT = "is an object and has no text form; use {} in Python"
_ON_SERVER = "createServer(...) or wrapServer(...)"
_ON_CLIENT = "connect(...) or wrapClient(...)"
_ON_BOTH = "connect(...) or createServer(...)"


def _callback(name: str, check: checks.Check, where: str) -> Option:
    return Option(name, "callback", check, refusal=_CALLBACK.format(where))


def _object(name: str, where: str, check: checks.Check = checks.anything) -> Option:
    return Option(name, "object", check, refusal=_OBJECT.format(where))


CONTEXT: Final = OptionTable(
    "CONTEXT",
    Option("key", "PEM", checks.frozen, text.fileList),
    Option("cert", "PEM", checks.frozen, text.fileList),
    Option("ca", "PEM", checks.frozen, text.fileList),
    Option("passphrase", "text", checks.anything, text.word),
    FromFile("passphraseFile", "passphrase", text.secretLine),
    Option("pfx", "PFX", checks.frozen, text.fileList),
    Option("crl", "PEM", checks.frozen, text.fileList),
    Option("ciphers", "text", checks.anything, text.word),
    Option("minVersion", "version", checks.anything, text.word),
    Option("maxVersion", "version", checks.anything, text.word),
    Option("secureProtocol", "text", checks.anything, text.word),
    Option("secureOptions", "bits", checks.anything, text.secureOptions),
    Option("ecdhCurve", "text", checks.anything, text.word),
    Option("sigalgs", "text", checks.anything, text.word),
    Option("dhparam", "PEM", checks.frozen, text.fileOrWord("auto")),
    Option("honorCipherOrder", "boolean", checks.truth, text.boolean),
    Option("sessionIdContext", "text", checks.frozen, text.word),
    Option("sessionTimeout", "seconds", checks.anything, text.integer),
    Option("ticketKeys", "48 bytes", checks.frozen, text.ticketKeysContents),
    FromFile("ticketKeysFile", "ticketKeys", text.ticketKeysContents),
    Option("allowPartialTrustChain", "boolean", checks.truth, text.boolean),
    Option("certificateCompression", "list", checks.frozen, text.words),
    Option("clientCertEngine", "text", checks.anything, text.word),
    Option("privateKeyEngine", "text", checks.anything, text.word),
    Option("privateKeyIdentifier", "text", checks.anything, text.word),
    # Of no use to the context itself; a server that chooses it by its name
    # takes these from it too.
    Option("ALPNProtocols", "list", checks.servingALPN, text.words),
    _callback("ALPNCallback", checks.anything, _ON_SERVER),
    Option("requestCert", "boolean", checks.truth, text.boolean),
    Option("rejectUnauthorized", "boolean", checks.unlessFalse, text.boolean),
)

_STREAM: Final = OptionTable(
    "STREAM",
    Option("allowHalfOpen", "boolean", checks.truth, text.boolean),
    Option("highWaterMark", "bytes", checks.streamMark, text.integer),
    Option("noDelay", "boolean", checks.truth, text.boolean),
    Option("keepAlive", "boolean", checks.truth, text.boolean),
    Option("keepAliveInitialDelay", "milliseconds", checks.number, text.number),
    _object("blockList", _ON_BOTH, checks.blockList),
    _object("reactor", _ON_BOTH),
    _object("signal", _ON_BOTH),
)

NET_SERVER: Final = OptionTable(
    "NET_SERVER",
    _STREAM,
    Option("highWaterMark", "bytes", checks.listenerMark, text.integer),
    Option("pauseOnConnect", "boolean", checks.truth, text.boolean),
)

NET_CONNECT: Final = OptionTable(
    "NET_CONNECT",
    _STREAM,
    Option("host", "text", checks.stringOrNothing, text.word),
    Option("port", "port", checks.anything, text.port),
    Option("path", "text", checks.stringOrNothing, text.word),
    Option("family", "4, 6 or 0", checks.anything, text.integer),
    Option("hints", "bits", checks.numberOrZero, text.integer),
    Option("localAddress", "text", checks.localAddress, text.word),
    Option("localPort", "port", checks.numberOrZero, text.port),
    Option("autoSelectFamily", "boolean", checks.strictBoolean, text.boolean),
    Option("autoSelectFamilyAttemptTimeout", "milliseconds", checks.attemptTimeout, text.integer),
    Option("timeout", "milliseconds", checks.timeout, text.number),
    Option("fd", "number", checks.anything, text.integer),
    _callback("lookup", checks.anything, _ON_CLIENT),
    _object("onread", _ON_CLIENT, checks.ifGiven),
    _object("signal", _ON_CLIENT, checks.abortSignal),
)

LISTEN: Final = OptionTable(
    "LISTEN",
    Option("host", "text", checks.anything, text.word),
    Option("port", "port", checks.anything, text.port),
    Option("path", "text", checks.anything, text.word),
    Option("backlog", "number", checks.anything, text.integer),
    Option("exclusive", "boolean", checks.truth, text.boolean),
    Option("ipv6Only", "boolean", checks.truth, text.boolean),
    Option("reusePort", "boolean", checks.truth, text.boolean),
    Option("readableAll", "boolean", checks.truth, text.boolean),
    Option("writableAll", "boolean", checks.truth, text.boolean),
    Option("fd", "number", checks.anything, text.integer),
    _object("endpoint", "listen(...)"),
    _object("handle", "listen(...)"),
    _object("signal", "listen(...)"),
)

# What both sides of a connection have.
_TLS: Final = OptionTable(
    "TLS",
    CONTEXT,
    Option("NPNProtocols", "list", checks.alpn, text.words),
    _object("secureContext", _ON_BOTH, checks.secureContext),
)

_SERVING: Final = OptionTable(
    "SERVING",
    Option("handshakeTimeout", "milliseconds", checks.numberOrNothing, text.number),
    Option("pskIdentityHint", "text", checks.stringOrNothing, text.word),
    _callback("checkServerIdentity", checks.anything, _ON_CLIENT),
    _callback("SNICallback", checks.functionOrNothing, _ON_SERVER),
    _callback("pskCallback", checks.functionOrNothing, _ON_SERVER),
    FromFile("pskFile", "pskCallback", text.serverPsk),
    Option("sessionStore", "store", checks.anything, text.word),
    Option("ticketKeyRing", "ring", checks.anything, text.word),
    _object("ocspResponder", _ON_SERVER),
)

# What a server takes for not given when it is false in JavaScript's sense (0, an
# empty text ...), where createSecureContext() has an error.
_FALSE_IS_NOTHING: Final = (
    *("pfx", "key", "passphrase", "cert", "clientCertEngine", "ca", "minVersion", "maxVersion"),
    *("secureProtocol", "crl", "ciphers", "dhparam", "secureOptions", "sessionIdContext"),
    *("sessionTimeout", "ticketKeys"),
)

SERVER: Final = OptionTable(
    "SERVER",
    NET_SERVER,
    _TLS,
    *(
        CONTEXT[name]._replace(check=checks.ifTrue(CONTEXT[name].check))
        for name in _FALSE_IS_NOTHING
    ),
    _SERVING,
    Option("enableTrace", "boolean", checks.truth, text.boolean),
)

CONNECT: Final = OptionTable(
    "CONNECT",
    NET_CONNECT,
    _TLS,
    Option("ALPNProtocols", "list", checks.alpn, text.words),
    Option("servername", "text", checks.servername, text.word),
    Option("minDHSize", "bits", checks.numberAtLeast(1), text.integer),
    Option("requestOCSP", "boolean", checks.truth, text.boolean),
    Option("postHandshakeAuth", "boolean", checks.strictBoolean, text.boolean),
    Option("enableTrace", "boolean", checks.strictBoolean, text.boolean),
    _object("session", _ON_CLIENT, checks.sessionData),
    Option("sessionCache", "boolean", checks.sessionCache, text.boolean),
    _callback("checkServerIdentity", checks.function, _ON_CLIENT),
    _callback("pskCallback", checks.clientPskCallback, _ON_CLIENT),
    FromFile("pskFile", "pskCallback", text.clientPsk),
    _object("socket", _ON_CLIENT, checks.ifGiven),
)

SOCKET: Final = OptionTable(
    "SOCKET",
    NET_SERVER,
    _SERVING,
    CONNECT,
    _callback("checkServerIdentity", checks.anything, _ON_CLIENT),
    Option("isServer", "boolean", checks.truth, text.boolean),
    _object("server", "TLSSocket(...)"),
)

# Of requestPostHandshakeAuth().
POST_HANDSHAKE_AUTH: Final = OptionTable(
    "POST_HANDSHAKE_AUTH",
    Option("requestCert", "boolean", checks.strictBoolean, text.boolean),
    Option("rejectUnauthorized", "boolean", checks.strictBoolean, text.boolean),
)
