"""A client that knows its server by a key (PSK), and not by a certificate."""

from __future__ import annotations

import sys

from twisted.internet import reactor

import txnodetls as tls

KEY = bytes.fromhex("00112233445566778899aabbccddeeff")


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8443
    identity = sys.argv[2] if len(sys.argv) > 2 else "me"
    options = {
        "host": "127.0.0.1",
        "port": port,
        "ciphers": "PSK+AESGCM",
        "maxVersion": "TLSv1.2",
        "pskCallback": lambda hint: {"identity": identity, "psk": KEY},
        # There is no certificate that could be checked: that has to be said.
        "checkServerIdentity": lambda host, certificate: None,
    }
    socket = tls.connect(options)
    socket.setEncoding("utf8")
    socket.on("secureConnect", lambda: print("authorized:", socket.authorized))
    socket.on("data", lambda text: print("received", text, end=""))
    socket.on("error", lambda error: print("failed:", error.code, error))
    socket.on("close", lambda hadError: reactor.stop())
    reactor.run()


main()
