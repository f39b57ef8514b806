"""What is wrong with the outside of a PFX, in the words that Node passes on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from tests.support import Pki, nodeBinary, runTool
from txnodetls.pki.pfxshape import fault


@pytest.fixture(scope="module")
def pfx(pki: Pki) -> bytes:
    key: Any = serialization.load_pem_private_key(pki.server.key, None)
    certificate = x509.load_pem_x509_certificate(pki.server.cert)
    lock = serialization.BestAvailableEncryption(b"sesame")
    return pkcs12.serialize_key_and_certificates(b"x", key, certificate, None, lock)


def test_a_pfx_has_none(pfx: bytes) -> None:
    assert fault(pfx) is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not enough data"),
        (b"0", "not enough data"),
        (b"0\x80", "not enough data"),
        (b"0\xff", "too long"),
        (b"AAAAAAAA", "not enough data"),
        (b"-----BEGIN CERTIFICATE-----" * 4, "wrong tag"),
        (b"0\x00", "field missing"),
        (b"0\x01\x00", "header too long"),
        (b"0\x02\x05\x00", "wrong tag"),
        (b"0\x84\x80\x00\x00\x00", "too long"),
        (b"0\x02\x22\x00", "type not primitive"),
        (b"0\x02\x02\x00", "illegal zero content"),
        (b"0\x04\x02\x02\x00\x01", "illegal padding"),
        (b"0\x04\x00\x00\x00\x00", "unexpected eoc"),
        (b"0\x05\x02\x01\x03\x10\x00", "sequence not constructed"),
        (b"0\x08\x02\x01\x030\x03\x06\x01\x80", "invalid object encoding"),
        (b"0\x03\x02\x01\x03", "field missing"),
    ],
)
def test_what_is_none_is_told_by_what_is_wrong_first(data: bytes, reason: str) -> None:
    assert fault(data) == reason


def test_it_is_what_node_says(pfx: bytes, pki: Pki) -> None:
    damaged = [pfx[:length] for length in (1, 5, 30, len(pfx) - 1)]
    # (At 6 is the version; what is behind 28 is behind the outside.)
    for at in [*range(6), *range(7, 22)]:
        data = bytearray(pfx)
        data[at] ^= 0x55
        damaged.append(bytes(data))
    der = x509.load_pem_x509_certificate(pki.server.cert).public_bytes(serialization.Encoding.DER)
    damaged += [der, pki.server.cert, pki.server.key]
    # What is behind the contents: the digest, and how it is made.
    tail = len(pfx) - 60
    for at in range(tail - 20, len(pfx)):
        damaged += [pfx[:at] + b"\x01" + pfx[at + 1 :], pfx[:at] + pfx[at + 2 :], pfx[:at]]
    script = """
        const say = (pfx) => {
          try { require('tls').createSecureContext({ pfx, passphrase: 'sesame' }); return null; }
          catch (error) { return error.message; }
        };
        const given = JSON.parse(require('fs').readFileSync(0));
        console.log(JSON.stringify(given.map((hex) => say(Buffer.from(hex, 'hex')))));
    """
    run = runTool(
        [nodeBinary(), "-e", script], stdin=json.dumps([d.hex() for d in damaged]).encode()
    )
    assert run.returncode == 0, run.stderr
    said = [None if each == "mac verify failure" else each for each in json.loads(run.stdout)]
    assert [fault(data) for data in damaged] == said
