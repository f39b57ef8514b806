"""
The options: which there are, what they take, and where they can be written down.

There is one table per set of options.  It serves the Python calls
(L{readOptions}), and it serves text (L{fromText}): endpoint strings, the
switches of the daemon and its TOML file, so that a name means the same
everywhere.  Options are read once, before any I/O, into an L{Options}, which
does not change afterwards.
"""

from __future__ import annotations

from txnodetls.alpn import convertALPNProtocols, encodeALPN
from txnodetls.options.model import FromFile, Option, Options, OptionTable
from txnodetls.options.reading import UnknownOptionWarning, fromText, readOptions
from txnodetls.options.tables import (
    CONNECT,
    CONTEXT,
    LISTEN,
    NET_CONNECT,
    NET_SERVER,
    POST_HANDSHAKE_AUTH,
    SERVER,
    SOCKET,
)
from txnodetls.options.text import OptionTextError

__all__ = [
    "CONNECT",
    "CONTEXT",
    "LISTEN",
    "NET_CONNECT",
    "NET_SERVER",
    "POST_HANDSHAKE_AUTH",
    "SERVER",
    "SOCKET",
    "FromFile",
    "Option",
    "OptionTable",
    "OptionTextError",
    "Options",
    "UnknownOptionWarning",
    "convertALPNProtocols",
    "encodeALPN",
    "fromText",
    "readOptions",
]
