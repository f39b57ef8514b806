"""
Where OpenSSL 4 does otherwise than the 3.5 in Node 24: shown with pyOpenSSL alone.

None of this is ours to decide.  Each test makes the calls that matter, and none of txnodetls; where
an older OpenSSL is underneath, there is nothing to show.
"""

from __future__ import annotations

import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import SSL
from OpenSSL._util import ffi, lib

from tests.memory import COMPRESS_CERTIFICATE, crlOf, offered
from tests.support import Pki, requireTool, runTool
from txnodetls.pki.dhgroups import group

pytestmark = pytest.mark.skipif(
    not 4 << 28 <= SSL.OPENSSL_VERSION_NUMBER < 5 << 28, reason="this is not OpenSSL 4"
)

OPENSSL_4_0_1 = 0x40000010

# X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, X509_V_ERR_UNABLE_TO_GET_CRL.
SELF_SIGNED, NO_CRL = 18, 3
CRL_CHECK, CRL_CHECK_ALL = 4, 8
SUPPORTED_VERSIONS = 43


def context() -> Any:
    return SSL.Context(SSL.TLS_METHOD)


def shake(client: Any, server: Any) -> tuple[Any, Any]:
    """A handshake in memory, as far as it comes."""
    ends = SSL.Connection(client, None), SSL.Connection(server, None)
    ends[0].set_connect_state()
    ends[1].set_accept_state()
    for _ in range(4):
        for near, far in (ends, ends[::-1]):
            try:
                near.do_handshake()
            except SSL.WantReadError:
                pass
            try:
                far.bio_write(near.bio_read(1 << 16))
            except SSL.WantReadError:
                pass
    return ends


@pytest.mark.parametrize("name", [b"secp224r1", b"secp256k1"])
def test_old_curves_are_not_to_be_had_for_tls(name: bytes) -> None:
    assert lib.SSL_CTX_set1_curves_list(context()._context, name) != 1
    assert lib.SSL_CTX_set1_curves_list(context()._context, b"P-256") == 1
    lib.ERR_clear_error()


def test_who_names_finite_field_groups_in_tls_1_2_is_not_given_other_parameters() -> None:
    """RFC 7919, section 4, which OpenSSL 3.5 does not follow in TLS 1.2."""
    server = context()
    server.set_cipher_list(b"DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384")
    key, own = selfSigned()
    server.use_privatekey(key)
    server.use_certificate(own)
    server.set_max_proto_version(SSL.TLS1_2_VERSION)
    bio = lib.BIO_new_mem_buf(ffi.from_buffer(group(2048)), len(group(2048)))
    parameters = lib.PEM_read_bio_DHparams(bio, ffi.NULL, ffi.NULL, ffi.NULL)
    assert lib.SSL_CTX_set_tmp_dh(server._context, parameters) == 1
    assert lib.SSL_CTX_set1_curves_list(server._context, b"X25519:ffdhe2048") == 1

    def fits(groups: bytes) -> bool:
        client = context()
        assert lib.SSL_CTX_set1_curves_list(client._context, groups) == 1
        return shake(client, server)[0].get_cipher_name() is not None

    assert fits(b"X25519")
    with pytest.raises(SSL.Error, match="no shared cipher"):
        fits(b"X25519:ffdhe3072")


def test_a_certificate_signed_with_sha_1_is_taken_at_level_2(pki: Pki, tmp_path: Path) -> None:
    """OpenSSL 3.5, and 4.0.0, say CA_MD_TOO_WEAK, unless the certificate is its own issuer."""
    openssl = requireTool("openssl")
    key, signed = tmp_path / "key", tmp_path / "signed"
    (tmp_path / "ca").write_bytes(pki.ca + pki.authority.private_key_pem.bytes())
    request = runTool(
        [openssl, "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-subj", "/CN=x"]
    )
    run = runTool(
        [
            openssl,
            "x509",
            "-req",
            "-sha1",
            "-CA",
            tmp_path / "ca",
            "-CAcreateserial",
            "-out",
            signed,
        ],
        stdin=request.stdout,
    )
    assert run.returncode == 0, run.stderr
    made = context()
    made.set_cipher_list(b"DEFAULT:@SECLEVEL=2")
    if SSL.OPENSSL_VERSION_NUMBER < OPENSSL_4_0_1:
        with pytest.raises(SSL.Error, match="ca md too weak"):
            made.use_certificate_file(str(signed))
        return
    made.use_certificate_file(str(signed))
    made.use_privatekey_file(str(key))


def test_the_revocation_of_a_self_signed_certificate_is_not_asked_for(pki: Pki) -> None:
    server, client = context(), context()
    key, own = selfSigned()
    server.use_privatekey(key)
    server.use_certificate(own)
    client.get_cert_store().add_crl(x509.load_pem_x509_crl(crlOf(pki.authority)))
    client.get_cert_store().set_flags(CRL_CHECK | CRL_CHECK_ALL)
    errors: list[int] = []

    def verify(connection: Any, peer: Any, error: int, depth: int, ok: int) -> bool:
        errors.append(error)
        return True

    client.set_verify(SSL.VERIFY_PEER, verify)
    shake(client, server)
    assert SELF_SIGNED in errors
    assert NO_CRL not in errors


@cache
def selfSigned() -> tuple[Any, x509.Certificate]:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), 1, now - datetime.timedelta(1), now + datetime.timedelta(9)
    )
    return key, builder.sign(key, hashes.SHA256())


def test_certificates_cannot_be_compressed() -> None:
    """An OpenSSL that can offers it unless it is told not to; cryptography's is built without."""
    extensions = offered(context())
    assert SUPPORTED_VERSIONS in extensions
    assert COMPRESS_CERTIFICATE not in extensions
