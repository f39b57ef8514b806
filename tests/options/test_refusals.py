"""
Wrong values of every option, at every call that takes options: refused as Node refuses them.

Node itself is asked, in one process: for each option of each table, for each of VALUES, what the
call throws.  Name, code and the text up to "Received" are to be the same here; what differs on
purpose stands in DIFFERENT, with the reason.
"""

from __future__ import annotations

import fnmatch
import json
import math
from collections.abc import Callable
from typing import Any

import pytest

import txnodetls as tls
from tests.support import PROJECT, Pki, lockedKey, makePki, nodeBinary, runTool
from txnodetls.options import CONNECT, CONTEXT, SERVER, SOCKET, OptionTable

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

Refusal = tuple[str, str | None, str] | None

# As refusals.js reads them.
VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "false": False,
    "0": 0,
    "1": 1,
    "-1": -1,
    "1.5": 1.5,
    "nan": {"$": "nan"},
    "infinity": {"$": "infinity"},
    "2**31": 2**31,
    "empty text": "",
    "text": "x",
    "bytes": {"$hex": "0102"},
    "empty bytes": {"$hex": ""},
    "empty list": [],
    "list of text": ["x"],
    "list of null": [None],
    "list of number": [1],
    "empty object": {},
    "object": {"a": 1},
    "function": {"$": "function"},
}

CALLS: dict[str, tuple[OptionTable, Callable[[dict[str, Any]], Any]]] = {
    "createSecureContext": (CONTEXT, lambda options: tls.createSecureContext(options)),
    "createServer": (SERVER, lambda options: tls.createServer(options)),
    "connect": (CONNECT, lambda options: tls.connect({"host": "localhost", "port": 9, **options})),
    "TLSSocket": (SOCKET, lambda options: tls.TLSSocket(tls.net.Socket(), options)),
    "TLSSocket of a server": (
        SOCKET,
        lambda options: tls.TLSSocket(tls.net.Socket(), {"isServer": True, **options}),
    ),
}

# Options that Node has not, or no longer.
OURS = {
    *("NPNProtocols", "ocspResponder", "reactor", "secureContext", "server", "sessionStore"),
    *("postHandshakeAuth", "sessionCache", "ticketKeyRing"),
}

NOT_OF_TLSSOCKET = (
    "host path port localAddress localPort autoSelectFamily autoSelectFamilyAttemptTimeout timeout "
    "blockList minDHSize servername lookup family hints checkServerIdentity fd"
)

# Call, options and values (patterns, several in one text) that do not do as in Node, and why.
DIFFERENT: list[tuple[str, str, str, str]] = [
    ("*", "ecdhCurve keepAliveInitialDelay", "null", "None is absent; Node tells null from it"),
    ("*", "minDHSize", "null", "None is absent; Node tells null from it"),
    ("*", "sigalgs", "text", "Node passes on an empty error of OpenSSL's"),
    (
        "*",
        "clientCertEngine",
        "*text",
        "there are no engines in OpenSSL 4: ERR_CRYPTO_CUSTOM_ENGINE_NOT_SUPPORTED",
    ),
    ("*", "pfx", "list?of?null", "where JavaScript itself fails"),
    ("*", "ALPNProtocols", "*", "what is not ALPN's is refused at once, by its own name"),
    ("*", "blockList", "*", "refused at once; Node asks it when it connects, or never"),
    (
        "*",
        "localAddress",
        "list* object bytes empty?bytes function",
        "the value is shown otherwise",
    ),
    ("*", "localPort", "*", "no port is refused, as elsewhere"),
    ("*", "onread", "*", "refused at once; Node passes over what it cannot use"),
    ("*", "session", "text", "a session is bytes"),
    ("connect", "hints", "infinity", "refused; Node's arithmetic makes 0 of it"),
    ("connect", "socket", "*", "where JavaScript itself fails"),
    ("TLSSocket*", NOT_OF_TLSSOCKET, "*", "checked as at connect(), which hands them on"),
    ("TLSSocket*", "socket", "*", "checked as at connect(), which hands them on"),
    (
        "TLSSocket*",
        "handshakeTimeout pskIdentityHint SNICallback pskCallback ALPNCallback",
        "*",
        "checked as at createServer(), on either side",
    ),
    ("TLSSocket of a server", "session", "*", "a client's option, checked on either side"),
    ("TLSSocket*", "requestCert", "*", "see the deliberate differences"),
]


def reason(call: str, option: str, value: str) -> str | None:
    """Why this one may differ, or None if it may not."""
    for calls, options, values, why in DIFFERENT:
        if (
            fnmatch.fnmatchcase(call, calls)
            and option in options.split()
            and any(fnmatch.fnmatchcase(value, pattern) for pattern in values.split())
        ):
            return why
    return None


def revive(value: Any) -> Any:
    """What refusals.js makes of it, in Python."""
    if isinstance(value, list):
        return [revive(each) for each in value]
    if not isinstance(value, dict):
        return value
    if "$" in value:
        special = {"nan": math.nan, "infinity": math.inf, "function": lambda *_: None}
        return special[value["$"]]
    if "$hex" in value:
        return bytes.fromhex(value["$hex"])
    return {name: revive(each) for name, each in value.items()}


def refusalOf(call: str, options: dict[str, Any]) -> Refusal:
    """Name, code and text of what a call throws; None if it throws nothing."""
    try:
        made = CALLS[call][1](revive(options))
    except tls.NodeError as error:
        return error.name, error.code, shape(error.message)
    if isinstance(made, tls.TLSSocket):
        made.on("error", lambda error: None)
        made.destroy()
    return None


def shape(message: str) -> str:
    """A text without what describes a value."""
    return message.split(" Received")[0].split(".Received")[0].rstrip(".")


def askNode(cases: list[tuple[str, dict[str, Any]]]) -> list[Refusal]:
    run = runTool(
        [nodeBinary(), str(PROJECT / "tests" / "options" / "refusals.js")],
        stdin=json.dumps(cases).encode(),
    )
    assert run.returncode == 0, run.stderr.decode()
    return [
        None if each is None else (each["name"], each["code"], shape(each["message"]))
        for each in json.loads(run.stdout)
    ]


def differences(cases: dict[str, tuple[str, dict[str, Any]]]) -> dict[str, tuple[Refusal, Refusal]]:
    """What Node and we say where it is not the same."""
    asked = askNode(list(cases.values()))
    found = {}
    for name, (call, options), nodes in zip(cases, cases.values(), asked, strict=True):
        ours = refusalOf(call, options)
        if ours != nodes:
            found[name] = nodes, ours
    return found


@pytest.mark.parametrize("call", CALLS)
def test_every_option_refuses_what_node_refuses_in_the_same_words(call: str) -> None:
    cases = {
        f"{option}: {value}": (call, {option: VALUES[value]})
        for option in CALLS[call][0]
        if option not in OURS
        for value in VALUES
    }
    found = differences(cases)
    unexpected = {
        name: said for name, said in found.items() if reason(call, *name.split(": ")) is None
    }
    assert unexpected == {}


@pytest.fixture(scope="module")
def texts(pki: Pki) -> dict[str, str]:
    other = makePki()
    return {
        "key": pki.server.key.decode(),
        "cert": pki.server.cert.decode(),
        "ca": pki.ca.decode(),
        "locked": lockedKey(pki.server.key).decode(),
        "other key": other.server.key.decode(),
    }


def combinations(texts: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Options that are wrong only together, or only with real keys and certificates."""
    key, cert, locked = texts["key"], texts["cert"], texts["locked"]
    found: dict[str, dict[str, Any]] = {}
    for name, value in VALUES.items():
        found |= {
            f"passphrase {name}": {"key": locked, "cert": cert, "passphrase": value},
            f"passphrase of a plain key {name}": {"key": key, "cert": cert, "passphrase": value},
            f"passphrase in a list {name}": {
                "key": [{"pem": locked, "passphrase": value}],
                "cert": cert,
            },
            f"pem in a list {name}": {"key": [{"pem": value}], "cert": cert},
            f"key in a list {name}": {"key": [key, value], "cert": cert},
            f"cert in a list {name}": {"key": key, "cert": [cert, value]},
            f"ca in a list {name}": {"ca": [texts["ca"], value]},
            f"buf in a list {name}": {"pfx": [{"buf": value}], "passphrase": "x"},
            f"engine {name}": {"privateKeyIdentifier": "x", "privateKeyEngine": value},
            f"identifier {name}": {"privateKeyIdentifier": value, "privateKeyEngine": "x"},
            f"minVersion and protocol {name}": {
                "secureProtocol": "TLS_method",
                "minVersion": value,
            },
            f"protocol and maxVersion {name}": {
                "secureProtocol": value,
                "maxVersion": "TLSv1.2",
            },
            f"options and order {name}": {"honorCipherOrder": True, "secureOptions": value},
        }
    return found | {
        "an object for a key": {"key": {"pem": key}, "cert": cert},
        "key without certificate": {"key": key},
        "certificate without key": {"cert": cert},
        "another's key": {"key": texts["other key"], "cert": cert},
        "the wrong passphrase": {"key": locked, "cert": cert, "passphrase": "simsim"},
        "no passphrase": {"key": locked, "cert": cert},
        "a key for an identifier": {
            "key": key,
            "cert": cert,
            "privateKeyIdentifier": "x",
            "privateKeyEngine": "y",
        },
        "certificate for a key": {"key": cert, "cert": cert},
        "key for a certificate": {"key": key, "cert": key},
        "certificate for a CRL": {"crl": cert},
        "certificate for DH": {"dhparam": cert},
        "too long for a session": {"sessionIdContext": "x" * 33},
        "47 bytes of ticket keys": {"ticketKeys": {"$hex": "00" * 47}},
        "a version of TLS without v": {"minVersion": "TLS1.2"},
        "an old version": {"minVersion": "SSLv3"},
        "a colon for ciphers": {"ciphers": ":"},
        "no such cipher": {"ciphers": "AES128-NOPE"},
        "no such suite": {"ciphers": "TLS_NOPE"},
        "digits for a curve": {"ecdhCurve": "415"},
        "no such curve behind one": {"ecdhCurve": "P-256:nope"},
        "two wrong ones, ciphers first": {"ciphers": 1, "sessionTimeout": "x"},
        "two wrong ones, version first": {"minVersion": 1, "ciphers": 1},
        "two wrong ones, curve first": {"ecdhCurve": 1, "pfx": "x"},
        "two wrong ones, PFX first": {"pfx": "x", "ticketKeys": 1},
        "two wrong ones, CRL first": {"crl": 1, "sessionIdContext": 1},
        "two wrong ones, DH first": {"dhparam": 1, "crl": 1},
        "two wrong ones, key first": {"key": "x", "sigalgs": 1},
    }


# Combinations that differ, and why.
NO_ENGINES = "there are no engines in OpenSSL 4: ERR_CRYPTO_CUSTOM_ENGINE_NOT_SUPPORTED"
TOGETHER = {
    "engine text": NO_ENGINES,
    "engine empty text": NO_ENGINES,
    "identifier text": NO_ENGINES,
    "identifier empty text": NO_ENGINES,
    "too long for a session": "Node's text tells where in OpenSSL's source it was",
}


@pytest.mark.parametrize("call", ["createSecureContext", "createServer", "connect"])
def test_what_is_wrong_together_is_refused_as_in_node(call: str, texts: dict[str, str]) -> None:
    cases = {name: (call, options) for name, options in combinations(texts).items()}
    found = differences(cases)
    assert {name: said for name, said in found.items() if name not in TOGETHER} == {}
