"""Handshakes in memory between two OpenSSL contexts, and certificates of every kind for them."""

from __future__ import annotations

import datetime
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from OpenSSL import SSL
from OpenSSL._util import lib

from tests.support import Credentials, requireTool

__all__ = [
    "COMPRESS_CERTIFICATE",
    "Shaken",
    "crlOf",
    "derOf",
    "handshake",
    "issued",
    "offered",
    "trustedPEM",
]

# The extension's number (RFC 8879).
COMPRESS_CERTIFICATE = 27


@dataclass(frozen=True, slots=True)
class Shaken:
    """What a handshake came to: the error of the side that failed first, and the connections."""

    error: SSL.Error | None
    server: SSL.Connection
    client: SSL.Connection

    @property
    def clientVerdict(self) -> int:
        """OpenSSL's result of the client's verification of the server."""
        return int(lib.SSL_get_verify_result(self.client._ssl))

    @property
    def serverVerdict(self) -> int:
        """OpenSSL's result of the server's verification of the client."""
        return int(lib.SSL_get_verify_result(self.server._ssl))

    @property
    def resumed(self) -> bool:
        """Whether the client's session was taken up again."""
        return bool(lib.SSL_session_reused(self.client._ssl))

    @property
    def sent(self) -> list[bytes]:
        """The certificates that the server sent, DER."""
        chain = self.client.get_peer_cert_chain(as_cryptography=True) or []
        return [c.public_bytes(serialization.Encoding.DER) for c in chain]


def handshake(
    server: SSL.Context, client: SSL.Context, *, ask: bool = False, session: Any = None
) -> Shaken:
    """A handshake; ask: whether the server asks for a certificate (any will do)."""
    left, right = SSL.Connection(server, None), SSL.Connection(client, None)
    if ask:
        left.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    left.set_accept_state()
    right.set_connect_state()
    right.set_tlsext_host_name(b"localhost")
    if session is not None:
        right.set_session(session)
    error = None
    for _ in range(10):
        for side, other in ((right, left), (left, right)):
            try:
                side.do_handshake()
            except SSL.WantReadError:
                pass
            except SSL.Error as failed:
                error = error or failed
            _pass(side, other)
    # Tickets come behind the handshake.
    for side in (right, left):
        try:
            side.recv(1)
        except SSL.Error:
            pass
    return Shaken(error, left, right)


def _pass(side: SSL.Connection, other: SSL.Connection) -> None:
    try:
        other.bio_write(side.bio_read(65536))
    except SSL.WantReadError:
        pass


def issued(authority: trustme.CA, *names: str, **options: Any) -> Credentials:
    """Credentials of an authority, with the chain up to it."""
    leaf = authority.issue_cert(*names or ("localhost",), **options)
    chain = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
    return Credentials(chain, leaf.private_key_pem.bytes())


def derOf(pem: bytes) -> bytes:
    """The DER of the first certificate of a PEM text."""
    return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)


def crlOf(authority: trustme.CA, revoked: Iterable[bytes] = ()) -> bytes:
    """A revocation list (PEM) of an authority that names these certificates (PEM)."""
    now = datetime.datetime.now(datetime.UTC)
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    key = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(now - datetime.timedelta(days=1))
        .next_update(now + datetime.timedelta(days=1))
    )
    for pem in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(x509.load_pem_x509_certificate(pem).serial_number)
            .revocation_date(now - datetime.timedelta(hours=1))
            .build()
        )
    crl = builder.sign(key, hashes.SHA256())  # type: ignore[arg-type]
    return crl.public_bytes(serialization.Encoding.PEM)


def trustedPEM(pem: bytes, directory: Path, *settings: str) -> bytes:
    """A certificate as TRUSTED CERTIFICATE, with openssl x509's settings of trust."""
    path = directory / "plain.pem"
    path.write_bytes(pem)
    done = subprocess.run(
        [requireTool("openssl"), "x509", "-in", str(path), "-trustout", *settings],
        capture_output=True,
        check=True,
        timeout=50,
    )
    return done.stdout


def offered(context: SSL.Context) -> set[int]:
    """The numbers of the extensions in the ClientHello of a client with this context."""
    client = SSL.Connection(context, None)
    client.set_connect_state()
    try:
        client.do_handshake()
    except SSL.WantReadError:
        pass
    # Behind the heads of record and message: version, random, session id, ciphers, compression.
    hello = client.bio_read(1 << 16)[5 + 4 :]
    at = 2 + 32
    for size in (1, 2, 1):
        at += size + int.from_bytes(hello[at : at + size], "big")
    at += 2
    found = set()
    while at < len(hello):
        found.add(int.from_bytes(hello[at : at + 2], "big"))
        at += 4 + int.from_bytes(hello[at + 2 : at + 4], "big")
    return found
