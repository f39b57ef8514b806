"""
The settings: every switch of C{twistd nodetls}, and every key of its file.

Most of them are options of Node's, out of the tables in L{txnodetls.options}: they keep
their names, their text forms and their meanings, and are only explained here.  The others are
the daemon's own, and are written as one more table of the same kind.

    scope       where it can be written
    PROCESS     as a switch, and at the top of the file
    LISTENER    also in a listener; at the top it holds for all that do not say otherwise
    ROUTE       also in a route, for what is served there

This file says what there is.  What it amounts to is read in L{txnodetls.daemon.config}; how
it is shown, in L{txnodetls.daemon.manual}.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Final

from txnodetls.options import CONNECT, LISTEN, SERVER, Option, OptionTable, checks, text

__all__ = [
    "DEFAULTS",
    "FLAGS",
    "GROUPS",
    "NODE_SWITCHES",
    "OWN",
    "ROUTE_ONLY",
    "SETTINGS",
    "SWITCH_ONLY",
    "Mode",
    "Scope",
    "Setting",
]

PORT: Final = 8443
INTERFACE: Final = "127.0.0.1"
HANDSHAKE_TIMEOUT: Final = 10_000


class Mode(enum.Enum):
    """What is done with a connection; the values are the settings that say so."""

    ECHO = "echo"
    TERMINATE = "proxy"
    ORIGINATE = "originate"
    STATIC = "static"


ANY: Final = frozenset(Mode)
TLS: Final = ANY - {Mode.ORIGINATE}
"""Where clients speak TLS."""


class Scope(enum.IntEnum):
    """Where a setting can be written; what a later one may, an earlier one may not."""

    PROCESS = 0
    LISTENER = 1
    ROUTE = 2


@dataclass(frozen=True, slots=True)
class Setting:
    """
    One setting.

    @ivar name: its name, as a switch without the dashes.
    @ivar kind: what it takes, in a word; empty for a switch that takes nothing.
    @ivar group: under which heading the manual has it.
    @ivar default: what holds without it, in words for the manual; empty: nothing.
    @ivar modes: where it means something.
    """

    name: str
    kind: str
    scope: Scope
    group: str
    help: str
    default: str = ""
    modes: frozenset[Mode] = ANY


_SERVE: Final = "What is served"
_LISTENING: Final = "Where to listen"
_CERTIFICATES: Final = "Certificates"
_CLIENTS: Final = "Who may come in"
_PROTOCOL: Final = "Versions, ciphers, protocols"
_SESSIONS: Final = "Sessions"
_BACKEND: Final = "To the backend"
_LIMITS: Final = "Times and limits"
_RUNNING: Final = "Running"
_WATCHING: Final = "Seeing what happens"

GROUPS: Final = (
    _SERVE,
    _LISTENING,
    _CERTIFICATES,
    _CLIENTS,
    _PROTOCOL,
    _SESSIONS,
    _BACKEND,
    _LIMITS,
    _RUNNING,
    _WATCHING,
)
"""The headings, in the order of the manual."""


def milliseconds(written: str) -> float:
    """A time that is not negative."""
    value = text.number(written)
    if not 0 <= value < float("inf"):
        raise ValueError(f"{written!r} is not a time in milliseconds")
    return value


def seconds(written: str) -> float:
    """A time that is not negative."""
    value = text.number(written)
    if not 0 <= value < float("inf"):
        raise ValueError(f"{written!r} is not a time in seconds")
    return value


def count(written: str) -> int:
    """A whole number that is not negative."""
    value = text.integer(written)
    if value < 0:
        raise ValueError(f"{written!r} is negative")
    return value


def patience(written: str) -> float:
    """A time of a second or more, in milliseconds, or 0: less is taken by those who are busy."""
    value = milliseconds(written)
    if 0 < value < 1000:
        raise ValueError(f"{written!r} is less than a second; 0 is for ever")
    return value


def oneOf(*choices: str) -> text.Parser:
    """One of some words."""

    def parse(written: str) -> str:
        if written not in choices:
            raise ValueError(f"{written!r} is none of {', '.join(choices)}")
        return written

    return parse


_OWN: list[tuple[Setting, text.Parser]] = []

DEFAULTS: Final[dict[str, Any]] = {}
"""What the daemon's own settings are where nobody says."""


def _own(
    name: str,
    kind: str,
    scope: Scope,
    group: str,
    parse: text.Parser,
    help: str,
    default: str = "",
    value: Any = None,
    modes: frozenset[Mode] = ANY,
) -> None:
    _OWN.append((Setting(name, kind, scope, group, help, default, modes), parse))
    if value is not None:
        DEFAULTS[name] = value


_own(
    "config",
    "FILE",
    Scope.PROCESS,
    _RUNNING,
    text.word,
    "Read settings from this TOML file: [[listener]] tables, with [[listener.route]] tables in "
    "them. Switches override what it says.",
)
_own(
    "name",
    "NAME",
    Scope.ROUTE,
    _LISTENING,
    text.word,
    "What this listener or route is called in logs and metrics. Sessions are bound to it.",
    "nodetls; in a file listener1, route1 and so on",
)
_own(
    "interface",
    "ADDRESS",
    Scope.LISTENER,
    _LISTENING,
    text.word,
    "IP address to listen on; 0.0.0.0 or :: for all of this machine's.",
    INTERFACE,
)
_own(
    "echo",
    "yes|no",
    Scope.ROUTE,
    _SERVE,
    text.boolean,
    "Send back what comes. In a file this has to be said.",
    "yes, if nothing else is served",
)
_own(
    "proxy",
    "ENDPOINT",
    Scope.ROUTE,
    _SERVE,
    text.word,
    "Pass what comes on to a backend: any client endpoint, such as tcp:127.0.0.1:8080, "
    "unix:/run/app.sock or nodetls:host:443.",
)
_own(
    "servernames",
    "NAME,...",
    Scope.ROUTE,
    _SERVE,
    text.words,
    "Of a route: who asks for one of these names (SNI) is served by it. *.example.com stands "
    "for one label.",
)
_own(
    "protocols",
    "NAME,...",
    Scope.ROUTE,
    _SERVE,
    text.words,
    "Of a route: with whom one of these was agreed on (ALPN) is served by it.",
)
_own(
    "certDir",
    "DIRECTORY",
    Scope.LISTENER,
    _CERTIFICATES,
    text.word,
    "Directory of certificates and keys: NAME.pem with both, NAME.crt and NAME.key, "
    "NAME/fullchain.pem and NAME/privkey.pem, NAME/tls.crt and NAME/tls.key. A client gets the "
    "one for the name it asks for; otherwise cert, or what is called default, or the first.",
    modes=TLS,
)
_own(
    "strictSNI",
    "yes|no",
    Scope.LISTENER,
    _CERTIFICATES,
    text.boolean,
    "Refuse clients who ask for no name, or for one that no certificate in certDir and no route "
    "is for.",
    "no",
    False,
    modes=TLS,
)
_own(
    "certWarning",
    "DAYS",
    Scope.PROCESS,
    _CERTIFICATES,
    seconds,
    "Warn, once a day, of certificates that expire within so many days.",
    "14",
    14,
)
_own(
    "clientSubject",
    "RULE,...",
    Scope.ROUTE,
    _CLIENTS,
    text.words,
    "Let in only clients with such a subject in their verified certificate: CN=a; with a plus "
    "sign, CN=a+O=b, it must have both.",
    modes=TLS,
)
_own(
    "clientSAN",
    "RULE,...",
    Scope.ROUTE,
    _CLIENTS,
    text.words,
    "Let in only clients with such a name in it: DNS:*.example.com, URI:spiffe://example/*, "
    "email:a@example.com, IP:192.0.2.1. With clientSubject, one of either is enough.",
    modes=TLS,
)
_own(
    "acceptProxyFrom",
    "NETWORK,...",
    Scope.LISTENER,
    _LISTENING,
    text.words,
    "Expect a PROXY header, of version 1 or 2, in front of each connection, and take it from "
    "these networks only: 10.0.0.0/8, 192.0.2.7. Connections from elsewhere are refused.",
    modes=TLS,
)
_own(
    "sendProxy",
    "v1|v2",
    Scope.ROUTE,
    _BACKEND,
    oneOf("v1", "v2"),
    "Begin the connection to the backend with a PROXY header; v2 tells what TLS came to, too.",
    modes=frozenset({Mode.TERMINATE}),
)
_own(
    "originate",
    "HOST:PORT",
    Scope.LISTENER,
    _SERVE,
    text.word,
    "Take plain connections and pass them on by TLS, to this server; instead of HOST:PORT any "
    "client endpoint will do. Options such as ca and cert are then those of a client.",
)
_own(
    "static",
    "DIRECTORY",
    Scope.ROUTE,
    _SERVE,
    text.word,
    "Serve the files of this directory by HTTP. Directories are not listed, names that begin "
    "with a dot are not there.",
)
_own(
    "backendTimeout",
    "MS",
    Scope.ROUTE,
    _LIMITS,
    milliseconds,
    "How long the connection to the backend may take; 0: as long as it likes.",
    "10000",
    10_000,
    modes=frozenset({Mode.TERMINATE, Mode.ORIGINATE}),
)
_own(
    "idleTimeout",
    "MS",
    Scope.LISTENER,
    _LIMITS,
    milliseconds,
    "How long a connection may be silent in both directions; 0: for ever.",
    "3600000",
    3_600_000,
)
_own(
    "closeTimeout",
    "MS",
    Scope.LISTENER,
    _LIMITS,
    milliseconds,
    "The same, once one side has ended the connection or it is being closed.",
    "60000",
    60_000,
)
_own(
    "maxConnections",
    "NUMBER",
    Scope.LISTENER,
    _LIMITS,
    count,
    "How many connections there may be; further ones are closed at once. 0: any number.",
    "0",
    0,
)
_own(
    "maxConnectionsPerAddress",
    "NUMBER",
    Scope.LISTENER,
    _LIMITS,
    count,
    "How many of them may be from one address. 0: any number.",
    "0",
    0,
)
_own(
    "drainTimeout",
    "MS",
    Scope.PROCESS,
    _LIMITS,
    milliseconds,
    "On SIGTERM or SIGINT: how long open connections may go on. A second signal ends them at once.",
    "10000",
    10_000,
)
_own(
    "watch",
    "S",
    Scope.PROCESS,
    _RUNNING,
    seconds,
    "How often to look if key, certificate and other files have changed, which are then read "
    "again as on SIGHUP. 0: never. The TOML file itself is read again on SIGHUP only.",
    "2",
    2,
)
_own(
    "test-config",
    "",
    Scope.PROCESS,
    _RUNNING,
    text.boolean,
    "Check everything, listen to nothing, and say by the exit status whether it is good.",
)
_own(
    "workers",
    "NUMBER",
    Scope.PROCESS,
    _RUNNING,
    count,
    "Serve with so many processes, on ports that are bound once, and one more that looks after "
    "them. 0: with one process and nobody to look after it.",
    "0",
    0,
)
_own(
    "workerTimeout",
    "MS",
    Scope.PROCESS,
    _RUNNING,
    patience,
    "How long a worker may say nothing, though it is asked once a second, until it is killed and "
    "replaced. Its connections end with it. 0: for ever.",
    "60000",
    60_000,
)
_own(
    "connectionLog",
    "text|json|none",
    Scope.PROCESS,
    _WATCHING,
    oneOf("text", "json", "none"),
    "How to log each connection when it ends.",
    "text",
    "text",
)
_own(
    "session-store",
    "STORE",
    Scope.LISTENER,
    _SESSIONS,
    text.word,
    "Keep sessions here, sealed, in place of tickets: memory, redis://HOST:PORT/DB, "
    "rediss://..., memcached://HOST:PORT. At the end of the latter, ?keyFile=PATH names the key "
    "that seals them.",
    "with the clients, in tickets",
    modes=TLS,
)
_own(
    "ticket-keys",
    "RING",
    Scope.LISTENER,
    _SESSIONS,
    text.word,
    "Make ticket keys, and change and share them: memory, file:PATH, redis://HOST:PORT/DB?"
    "keyFile=PATH, rediss://... Each makes tickets for an hour, or ?interval=SECONDS.",
    "this process's own, changed every hour",
    modes=TLS,
)
NODE_SWITCHES: Final = (
    "tls-v1.0",
    "tls-v1.1",
    "tls-min-v1.0",
    "tls-min-v1.1",
    "tls-min-v1.2",
    "tls-min-v1.3",
    "tls-max-v1.2",
    "tls-max-v1.3",
)
"""Node's own switches for versions: the lowest minimum and the highest maximum win."""

for _name in NODE_SWITCHES:
    _end = "highest" if "max" in _name else "lowest"
    _own(
        _name,
        "",
        Scope.PROCESS,
        _PROTOCOL,
        text.boolean,
        f"Node's: the {_end} version is TLS {_name[-3:]}, where no listener says otherwise.",
    )
for _name in ("tls-cipher-list", "tls-default-ciphers"):
    _own(
        _name,
        "LIST",
        Scope.PROCESS,
        _PROTOCOL,
        text.word,
        "Node's: the ciphers, where no listener has ciphers of its own.",
    )
_own(
    "systemd",
    "NAME",
    Scope.LISTENER,
    _LISTENING,
    text.word,
    "Take the socket of this FileDescriptorName, or number, that systemd has opened, in place "
    "of a port.",
)
_own(
    "metrics",
    "ADDRESS:PORT",
    Scope.PROCESS,
    _WATCHING,
    text.word,
    "Serve /metrics (for Prometheus) and /health by HTTP at this address, which has to be a "
    "loopback one.",
)
_own(
    "staples",
    "fetch|FILE,...",
    Scope.LISTENER,
    _CERTIFICATES,
    text.words,
    "Show clients that the certificates are not revoked (OCSP stapling): fetch asks the "
    "authority that a certificate names; or files that another program keeps up to date.",
    modes=TLS,
)
_own(
    "staplesPrivate",
    "yes|no",
    Scope.LISTENER,
    _CERTIFICATES,
    text.boolean,
    "Fetch staples also from responders with a private address.",
    "no",
    False,
    modes=TLS,
)
_own(
    "tls-keylog",
    "FILE",
    Scope.PROCESS,
    _WATCHING,
    text.word,
    "Node's: append the secrets of all connections to this file, for Wireshark: of clients, and "
    "of servers with originate. Who can read it can read everything. Only at the start; a reload "
    "changes nothing about it.",
)
_own(
    "trace-tls",
    "",
    Scope.PROCESS,
    _WATCHING,
    text.boolean,
    "Node's: show every handshake on stderr, message by message.",
)

OWN: Final = OptionTable(
    "OWN",
    *(Option(setting.name, setting.kind, checks.anything, parse) for setting, parse in _OWN),
)
"""The daemon's own settings, as a table like Node's."""

# Options that the daemon decides itself.
_DECIDED: Final = frozenset(
    {"allowHalfOpen", "pauseOnConnect", "highWaterMark", "exclusive", "host", "fd", "timeout"}
    # They are said as session-store and ticket-keys.
    | {"sessionStore", "ticketKeyRing"}
)
# What is said to a context, and means something to a server's only.
_SERVERS: Final = frozenset(
    {
        "requestCert",
        "dhparam",
        "honorCipherOrder",
        "sessionIdContext",
        "ticketKeys",
        "ticketKeysFile",
    }
)
# What a context that is chosen by its name brings along; everything else is the listener's.
_BY_NAME: Final = frozenset(
    {
        "key",
        "cert",
        "pfx",
        "passphrase",
        "passphraseFile",
        "ca",
        "crl",
        "allowPartialTrustChain",
        "ciphers",
        "sigalgs",
        "dhparam",
        "requestCert",
        "rejectUnauthorized",
        "ALPNProtocols",
    }
)

# Node's options: name, what it takes, heading, help, default.
_NODE: Final[tuple[tuple[str, str, str, str, str], ...]] = (
    ("port", "PORT", _LISTENING, "Port to listen on; 0: a free one, which the log names.", "8443"),
    ("path", "PATH", _LISTENING, "UNIX socket to listen on, in place of a port.", ""),
    ("readableAll", "yes|no", _LISTENING, "Everyone may read the UNIX socket.", "no"),
    ("writableAll", "yes|no", _LISTENING, "Everyone may write to the UNIX socket.", "no"),
    ("backlog", "NUMBER", _LISTENING, "Connections that may wait to be accepted.", "511"),
    ("ipv6Only", "yes|no", _LISTENING, "On ::, take no connections of IPv4.", "no"),
    ("reusePort", "yes|no", _LISTENING, "Let other processes listen on the same port.", "no"),
    ("noDelay", "yes|no", _LISTENING, "Switch Nagle's algorithm off.", "no"),
    ("keepAlive", "yes|no", _LISTENING, "Have TCP look now and then if clients are there.", "no"),
    ("keepAliveInitialDelay", "MS", _LISTENING, "Silence before TCP looks first.", "the kernel's"),
    ("key", "FILE,...", _CERTIFICATES, "PEM file of the private key.", "a throwaway"),
    ("cert", "FILE,...", _CERTIFICATES, "PEM file of the certificate and its chain.", ""),
    ("pfx", "FILE,...", _CERTIFICATES, "PKCS#12 file with both.", ""),
    (
        "passphrase",
        "TEXT",
        _CERTIFICATES,
        "Of the key. Who can list processes sees it: passphraseFile is better.",
        "",
    ),
    ("passphraseFile", "FILE", _CERTIFICATES, "File whose first line is the passphrase.", ""),
    (
        "ca",
        "FILE,...",
        _CLIENTS,
        (
            "PEM file of who may vouch for clients (with originate: for the server). Clients are "
            "then asked for a certificate, and refused without a good one."
        ),
        "",
    ),
    ("crl", "FILE,...", _CLIENTS, "PEM file of certificates that were revoked.", ""),
    ("allowPartialTrustChain", "yes|no", _CLIENTS, "An intermediate in ca is trusted.", "no"),
    ("requestCert", "yes|no", _CLIENTS, "Ask clients for a certificate.", "yes, with ca"),
    (
        "rejectUnauthorized",
        "yes|no",
        _CLIENTS,
        "Refuse clients without a verified certificate; no: ask, but serve anyone.",
        "yes",
    ),
    ("pskFile", "FILE", _CLIENTS, "Lines identity:hexadecimal-key, of pre-shared keys.", ""),
    ("pskIdentityHint", "TEXT", _CLIENTS, "Helps clients to choose their key (TLS 1.2).", ""),
    ("minVersion", "VERSION", _PROTOCOL, "The lowest version: TLSv1.2, TLSv1.3.", "TLSv1.2"),
    ("maxVersion", "VERSION", _PROTOCOL, "The highest version.", "TLSv1.3"),
    ("secureProtocol", "NAME", _PROTOCOL, "An OpenSSL method, in place of the two above.", ""),
    ("ciphers", "LIST", _PROTOCOL, "Ciphers as OpenSSL writes them.", "Node's"),
    ("honorCipherOrder", "yes|no", _PROTOCOL, "This side's order of ciphers counts.", "yes"),
    ("ecdhCurve", "LIST", _PROTOCOL, "Groups by colons.", "auto"),
    ("sigalgs", "LIST", _PROTOCOL, "Signature algorithms by colons.", ""),
    ("dhparam", "FILE|auto", _PROTOCOL, "DH parameters, in PEM.", ""),
    ("secureOptions", "NAME,...", _PROTOCOL, "SSL_OP_* by name, or a number.", "NO_RENEGOTIATION"),
    ("ALPNProtocols", "NAME,...", _PROTOCOL, "Protocols, the preferred one first.", ""),
    ("NPNProtocols", "NAME,...", _PROTOCOL, "The same for NPN, which came before ALPN.", ""),
    ("certificateCompression", "NAME,...", _PROTOCOL, "Passed over: this OpenSSL has none.", ""),
    ("sessionTimeout", "S", _SESSIONS, "Seconds for which a session can be resumed.", "300"),
    ("sessionIdContext", "TEXT", _SESSIONS, "What sessions are bound to.", "name, ca and crl"),
    (
        "ticketKeysFile",
        "FILE",
        _SESSIONS,
        "48 bytes that session tickets are made with. Better is ticket-keys, which changes them.",
        "",
    ),
    ("ticketKeys", "FILE", _SESSIONS, "The same as ticketKeysFile.", ""),
    ("servername", "NAME", _BACKEND, "With originate: the server's name.", "its host"),
    ("minDHSize", "BITS", _BACKEND, "With originate: the least that a DHE key may have.", "1024"),
    ("requestOCSP", "yes|no", _BACKEND, "With originate: ask the server for a staple.", "no"),
    ("postHandshakeAuth", "yes|no", _BACKEND, "With originate: show cert also later.", "no"),
    ("sessionCache", "yes|no", _BACKEND, "With originate: resume the server's sessions.", "no"),
    ("localAddress", "ADDRESS", _BACKEND, "With originate: address to connect from.", ""),
    ("localPort", "PORT", _BACKEND, "With originate: port to connect from.", ""),
    ("family", "4|6|0", _BACKEND, "With originate: of IPv4 and IPv6, take only this.", "0"),
    ("hints", "BITS", _BACKEND, "With originate: for getaddrinfo.", ""),
    ("autoSelectFamily", "yes|no", _BACKEND, "With originate: try IPv6 and IPv4.", "yes"),
    ("autoSelectFamilyAttemptTimeout", "MS", _BACKEND, "With originate: for each try.", "250"),
    ("handshakeTimeout", "MS", _LIMITS, "How long a handshake may take.", str(HANDSHAKE_TIMEOUT)),
    ("enableTrace", "yes|no", _WATCHING, "Show this listener's handshakes on stderr.", "no"),
    ("clientCertEngine", "NAME", _CERTIFICATES, "Refused: this OpenSSL has no engines.", ""),
    ("privateKeyEngine", "NAME", _CERTIFICATES, "Refused: this OpenSSL has no engines.", ""),
    ("privateKeyIdentifier", "NAME", _CERTIFICATES, "Refused: this OpenSSL has no engines.", ""),
)


def _ofNodes() -> dict[str, Setting]:
    """All of Node's options with a text form; what has no explanation yet is there, too."""
    explained = {row[0]: row for row in _NODE}
    found: dict[str, Setting] = {}
    names = dict.fromkeys(explained)
    for table in (LISTEN, SERVER, CONNECT):
        names |= dict.fromkeys(table.textNames())
    for name in names:
        if name in _DECIDED:
            continue
        option: Any = LISTEN.get(name) or SERVER.get(name) or CONNECT.get(name)
        kind = option.kind.upper() if option is not None else "FILE"
        row = explained.get(name, (name, kind, _PROTOCOL, "As Node's.", ""))
        scope = Scope.ROUTE if name in _BY_NAME else Scope.LISTENER
        found[name] = Setting(name, row[1], scope, row[2], row[3], row[4], _modesOf(name))
    return found


def _modesOf(name: str) -> frozenset[Mode]:
    """Where an option of Node's means something."""
    listening = LISTEN.textNames()
    if (name in listening and name not in CONNECT.textNames()) or name in ("port", "path"):
        return ANY
    if name not in SERVER.textNames():
        return frozenset({Mode.ORIGINATE})
    return ANY if name in CONNECT.textNames() and name not in _SERVERS else TLS


SETTINGS: Final[dict[str, Setting]] = {setting.name: setting for setting, _ in _OWN} | _ofNodes()
"""All settings by their names."""

FLAGS: Final = frozenset(setting.name for setting in SETTINGS.values() if not setting.kind)
"""Switches that take no value."""

ROUTE_ONLY: Final = frozenset({"servernames", "protocols"})
"""Settings that are of routes only."""

SWITCH_ONLY: Final = frozenset({"config", "test-config", "tls-keylog"})
"""Settings that make no sense in the file."""
