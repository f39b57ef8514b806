"""
One text, one meaning: the tables are walked, and each text form is read in each face.

The faces: the dictionary (a text made a value, and read as Python's calls read it), an endpoint
string, a switch of the daemon, a line of the daemon's file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.endpoints import quoteStringArgument, serverFromString

from tests.twisted_face.test_string_options import (
    ENGINES,
    NAMES_IN_TEXT,
    PLACES,
    SAMPLES,
    files,
)
from txnodetls.constants import SSL_OP_NO_RENEGOTIATION
from txnodetls.daemon.config import readConfig
from txnodetls.daemon.written import ConfigError
from txnodetls.options import (
    LISTEN,
    SERVER,
    OptionTable,
    OptionTextError,
    fromText,
    readOptions,
)
from txnodetls.options.reading import UnknownOptionWarning

__all__ = ["files"]

# The daemon says where it listens in words of its own, makes and shares what a text names, and
# leaves no stream to anybody.
NOT_OF_THE_DAEMON = {
    *("host", "exclusive", "sessionStore", "ticketKeyRing"),
    *("allowHalfOpen", "highWaterMark", "pauseOnConnect"),
}
# What the daemon takes an option with only, and nothing less.
COMPANIONS = {
    "allowPartialTrustChain": ("ca", "FILES/ca.pem"),
    "crl": ("ca", "FILES/ca.pem"),
    "pskIdentityHint": ("pskFile", "FILES/psk"),
    "readableAll": ("path", "FILES/socket"),
    "requestCert": ("ca", "FILES/ca.pem"),
    "writableAll": ("path", "FILES/socket"),
}
BY_TEXT = sorted(({*SERVER.textNames(), *LISTEN.textNames()} & {*SAMPLES}) - ENGINES - PLACES)


def tableOf(name: str) -> OptionTable:
    return LISTEN if name in LISTEN.textNames() else SERVER


def comparable(value: Any) -> Any:
    """A callback out of a file by what it answers, everything else as it is."""
    return value(None, "me") if callable(value) else value


def inDictionary(name: str, text: str) -> Any:
    table = tableOf(name)
    return readOptions(table, fromText(table, {name: text}))[NAMES_IN_TEXT.get(name, name)]


def inString(name: str, text: str, files: Path) -> Any:
    given = {"key": f"{files}/key.pem", "cert": f"{files}/cert.pem", name: text}
    written = ":".join(f"{each}={quoteStringArgument(value)}" for each, value in given.items())
    endpoint: Any = serverFromString(reactor, f"nodetls:port=0:{written}")
    read = endpoint._where if tableOf(name) is LISTEN else endpoint._options
    return read[NAMES_IN_TEXT.get(name, name)]


def ofDaemon(name: str, switches: dict[str, Any]) -> Any:
    (listener,) = readConfig(switches).listeners
    if tableOf(name) is LISTEN:
        return readOptions(LISTEN, listener.where)[name]
    value = readOptions(SERVER, listener.options)[NAMES_IN_TEXT.get(name, name)]
    if name == "secureOptions":
        # The daemon's own default is stricter than Node's.
        value &= ~SSL_OP_NO_RENEGOTIATION
    return value


@pytest.mark.parametrize("name", BY_TEXT)
def test_the_same_text_means_the_same_in_every_face(name: str, files: Path, tmp_path: Path) -> None:
    text = SAMPLES[name][0].replace("FILES", str(files)).replace("\\:", ":")
    if name == "secureOptions":
        text = "NO_TICKET,CIPHER_SERVER_PREFERENCE"
    expected = comparable(inDictionary(name, text))
    assert comparable(inString(name, text, files)) == expected
    if name in NOT_OF_THE_DAEMON:
        return
    credentials = {"key": f"{files}/key.pem", "cert": f"{files}/cert.pem"}
    companion, value = COMPANIONS.get(name, ("port", "0"))
    switches = {companion: value.replace("FILES", str(files)), **credentials, name: text}
    assert comparable(ofDaemon(name, switches)) == expected
    file = tmp_path / "nodetls.toml"
    lines = ["echo = true"] + [f"{each} = {json.dumps(value)}" for each, value in switches.items()]
    file.write_text("\n".join(lines).replace('port = "0"', "port = 0"))
    assert comparable(ofDaemon(name, {"config": str(file)})) == expected


@pytest.mark.parametrize("name", sorted(set(SERVER) - {*SERVER.textNames()}))
def test_what_has_no_text_form_says_so_in_every_face(name: str) -> None:
    refusal = SERVER[name].refusal
    assert "in Python" in refusal
    with pytest.raises(OptionTextError, match="no text form"):
        fromText(SERVER, {name: "x"})
    with pytest.raises(ValueError, match="no text form"):
        serverFromString(reactor, f"nodetls:0:{name}=x")


def test_an_unknown_name_is_told_with_the_nearest_one_in_every_face(tmp_path: Path) -> None:
    with pytest.warns(UnknownOptionWarning, match="'ciphres'.*'ciphers'"):
        readOptions(SERVER, {"ciphres": "x"})
    with pytest.raises(ValueError, match=r"ciphres.*ciphers"):
        serverFromString(reactor, "nodetls:0:ciphres=x")
    file = tmp_path / "nodetls.toml"
    file.write_text('ciphres = "x"\n')
    with pytest.raises(ConfigError, match=r"ciphres.*ciphers"):
        readConfig({"config": str(file)})
    with pytest.raises(ConfigError, match=r"ciphres.*ciphers"):
        readConfig({"ciphres": "x"})
