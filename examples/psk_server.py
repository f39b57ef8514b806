"""A server without a certificate: both sides know a key (PSK)."""

from __future__ import annotations

import sys

from twisted.internet import reactor

import txnodetls as tls

# A real program would keep them where nobody else reads.
KEYS = {"me": bytes.fromhex("00112233445566778899aabbccddeeff")}


def keyOf(socket: tls.TLSSocket, identity: str) -> bytes | None:
    print("asked for the key of", identity, flush=True)
    return KEYS.get(identity)


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8443
    options = {"pskCallback": keyOf, "ciphers": "PSK+AESGCM", "maxVersion": "TLSv1.2"}
    server = tls.createServer(options, lambda socket: socket.end("hello\n"))
    server.on("tlsClientError", lambda error, socket: print("refused:", error.code, flush=True))
    server.listen(port, "127.0.0.1", lambda: print("port", server.address()["port"], flush=True))
    reactor.run()


main()
