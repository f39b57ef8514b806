"""Asks for a staple, and looks at what it says; without a good one it goes no further."""

from __future__ import annotations

import sys
from pathlib import Path

from cryptography.x509 import ocsp
from twisted.internet import reactor

import txnodetls as tls


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8443
    socket = tls.connect(
        port,
        "127.0.0.1",
        servername="localhost",
        ca=Path("client.pem").read_bytes(),
        requestOCSP=True,
    )

    def stapled(response: bytes | None) -> None:
        # This comes before 'secureConnect'. A program would check the signature as well.
        status = None if response is None else ocsp.load_der_ocsp_response(response)
        print("staple:", "none" if status is None else status.certificate_status.name)
        if status is None or status.certificate_status is not ocsp.OCSPCertStatus.GOOD:
            socket.destroy()

    socket.setEncoding("utf8")
    socket.on("OCSPResponse", stapled)
    socket.on("data", lambda text: print("received", text, end=""))
    socket.on("error", lambda error: print("failed:", error.code, error))
    socket.on("close", lambda hadError: reactor.stop())
    reactor.run()


main()
