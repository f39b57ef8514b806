"""Writes a key log, with which Wireshark can read what was recorded of the connection."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor

import txnodetls as tls
from txnodetls.keylog import KeyLogFile


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8443
    ca = Path("client.pem").read_bytes()
    socket = tls.connect(port, "127.0.0.1", servername="localhost", ca=ca)
    # Who can read this file can read the connection.
    log = KeyLogFile("keys.log")
    socket.on("keylog", log)
    socket.setEncoding("utf8")
    socket.on("secureConnect", lambda: socket.end("hello\n"))
    socket.on("data", lambda text: print("received", text, end=""))
    socket.on("error", lambda error: print("failed:", error.code, error))
    socket.on("close", lambda hadError: log.close())
    socket.on("close", lambda hadError: reactor.stop())
    reactor.run()


main()
