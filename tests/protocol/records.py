"""Records of TLS 1.3 made and read by hand, for peers that OpenSSL does not play."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

__all__ = ["ALERT", "DATA", "HANDSHAKE", "TrafficKeys", "messages", "trafficSecret"]

ALERT = 21
HANDSHAKE = 22
DATA = 23


def _expand(secret: bytes, label: bytes, length: int) -> bytes:
    """HKDF-Expand-Label of RFC 8446 section 7.1, without a context."""
    label = b"tls13 " + label
    info = length.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0"
    return HKDFExpand(SHA256(), length, info).derive(secret)


def trafficSecret(lines: bytes, label: bytes) -> bytes:
    """A secret out of a key log, e.g. CLIENT_TRAFFIC_SECRET_0."""
    (found,) = [line.split()[2] for line in lines.splitlines() if line.split()[0] == label]
    return bytes.fromhex(found.decode())


def messages(flight: bytes) -> list[bytes]:
    """The handshake messages in what a side sends, each with its header."""
    found = []
    while flight:
        length = 4 + int.from_bytes(flight[1:4], "big")
        found.append(flight[:length])
        flight = flight[length:]
    return found


class TrafficKeys:
    """One direction of a connection with TLS_AES_128_GCM_SHA256, from one secret on."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._cipher = AESGCM(_expand(secret, b"key", 16))
        self._iv = int.from_bytes(_expand(secret, b"iv", 12), "big")
        self._count = 0

    def _nonce(self) -> bytes:
        number, self._count = self._count, self._count + 1
        return (self._iv ^ number).to_bytes(12, "big")

    def seal(self, kind: int, content: bytes) -> bytes:
        """The next record."""
        header = b"\x17\x03\x03" + (len(content) + 17).to_bytes(2, "big")
        return header + self._cipher.encrypt(self._nonce(), content + bytes([kind]), header)

    def open(self, records: bytes) -> bytes:
        """What is in the next records, all together, whatever kind they are."""
        content = b""
        while records:
            end = 5 + int.from_bytes(records[3:5], "big")
            inner = self._cipher.decrypt(self._nonce(), records[5:end], records[:5])
            content += inner.rstrip(b"\0")[:-1]
            records = records[end:]
        return content

    def updated(self) -> TrafficKeys:
        """Those behind a KeyUpdate."""
        return TrafficKeys(_expand(self._secret, b"traffic upd", 32))
