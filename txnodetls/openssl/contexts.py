"""
Building an C{SSL_CTX}: what goes beyond pyOpenSSL's public methods.

pyOpenSSL's C{Context} stays the owner of the C{SSL_CTX}.  Its setters are
passed over where they lose the numbers of errors, or where they have no
counterpart; the C{SSL_CTX_*} calls are made on what it owns.

What OpenSSL does with a context, and what this file does about it:

- The security level (C{@SECLEVEL=n} in the cipher list) decides which keys and
  certificates are accepted, at the moment they are loaded: ciphers come first.
- Loading a certificate over a key of another one drops the key; loading a key
  checks it against the certificate of its kind: certificates before keys.
- A chain added with C{SSL_CTX_add_extra_chain_cert} belongs to the whole
  context.  With certificates of several kinds each needs its own chain, and
  the one function within reach that does this reads a file.
- The verify callback always says yes, so that the handshake goes on to the
  end and the application gives the verdict; C{SSL_get_verify_result} keeps
  the last error.  pyOpenSSL's own helper would reset it.  There is one
  callback for the whole process, which no connection keeps anything alive by.
- A certificate store can be shared by any number of contexts, and must not be
  changed once it is.

Sources: the OpenSSL manual pages of the functions called.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from ssl import DER_cert_to_PEM_cert
from typing import Any, Final

from OpenSSL import SSL
from OpenSSL._util import ffi, lib

from txnodetls.constants import (
    SSL_OP_ALLOW_CLIENT_RENEGOTIATION,
    SSL_OP_NO_RX_CERTIFICATE_COMPRESSION,
    SSL_OP_NO_TX_CERTIFICATE_COMPRESSION,
    SSL_OP_NO_SSLv3,
)
from txnodetls.errors import Blame, NodeError, NodeTypeError, Phase
from txnodetls.javascript import utf8
from txnodetls.openssl.failures import drainErrors, opensslError

__all__ = [
    "areDHParameters",
    "VERIFY_CALLBACK",
    "CertificateStore",
    "addChain",
    "addClientCA",
    "cipherNames",
    "dropFiniteFieldGroups",
    "isCertificate",
    "requireAuxiliary",
    "requireCertificate",
    "newContext",
    "refuseNames",
    "setCipherList",
    "setCipherSuites",
    "setDHParameters",
    "setGroups",
    "setOptions",
    "setSessionIdContext",
    "setSessionTimeout",
    "setSignatureAlgorithms",
    "setStore",
    "setVersions",
    "useCertificate",
    "useCertificateChain",
    "usePrivateKey",
    "usePrivateKeyDER",
]

# Reasons of the SSL library (include/openssl/sslerr.h).
_NO_CIPHER_MATCH: Final = 185

_METHODS: Final = {
    "": SSL.TLS_METHOD,
    "client": SSL.TLS_CLIENT_METHOD,
    "server": SSL.TLS_SERVER_METHOD,
}


@ffi.callback("int (*)(int, X509_STORE_CTX *)", error=0)
def _accept(_ok: int, _store: Any) -> int:
    return 1


#: For C{SSL_CTX_set_verify} and C{SSL_set_verify}: accept, and leave the verdict to the result.
VERIFY_CALLBACK: Final = _accept


def configurationError(fallback: str) -> NodeError:
    """What the error queue says about a call that configures."""
    return opensslError(None, fallback, blame=Blame.CONFIGURATION, phase=Phase.CONFIGURING)


def operationFailed(message: str) -> NodeError:
    """C{ERR_CRYPTO_OPERATION_FAILED}, as Node throws it without a look at the queue."""
    lib.ERR_clear_error()
    return NodeError(
        message,
        "ERR_CRYPTO_OPERATION_FAILED",
        blame=Blame.CONFIGURATION,
        phase=Phase.CONFIGURING,
    )


_OPTIONS: Final = (
    SSL_OP_NO_SSLv3
    | SSL_OP_ALLOW_CLIENT_RENEGOTIATION
    | SSL_OP_NO_RX_CERTIFICATE_COMPRESSION
    | SSL_OP_NO_TX_CERTIFICATE_COMPRESSION
)


def newContext(side: str = "") -> SSL.Context:
    """
    An empty context as Node starts from: nothing trusted, tickets on, no session cache of its own.

    @param side: C{"client"} or C{"server"} for one that can be only that, else empty.
    """
    native = SSL.Context(_METHODS[side])
    ctx = native._context
    lib.SSL_CTX_clear_mode(ctx, lib.SSL_MODE_ENABLE_PARTIAL_WRITE)
    lib.SSL_CTX_set_mode(
        ctx, lib.SSL_MODE_RELEASE_BUFFERS | lib.SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
    )
    lib.SSL_CTX_set_options(ctx, _OPTIONS)
    # Nothing is stored inside OpenSSL, but it does look up: that is how a
    # session which the application found is handed in.
    lib.SSL_CTX_set_session_cache_mode(
        ctx,
        lib.SSL_SESS_CACHE_SERVER
        | lib.SSL_SESS_CACHE_NO_INTERNAL_STORE
        | lib.SSL_SESS_CACHE_NO_AUTO_CLEAR,
    )
    lib.SSL_CTX_set_verify(ctx, SSL.VERIFY_NONE, VERIFY_CALLBACK)
    return native


def refuseNames(native: SSL.Context) -> None:
    """
    Refuse every ClientHello that is served by this context, with unrecognized_name (112).

    So it is one for those whom no other context is chosen for.  OpenSSL asks before anything
    else is decided, whether a name was sent or not, and also where a session is resumed.
    """
    lib.SSL_CTX_set_tlsext_servername_callback(native._context, _refuseName)


@ffi.callback("int (*)(SSL *, int *, void *)", error=lib.SSL_TLSEXT_ERR_ALERT_FATAL)
def _refuseName(_ssl: Any, _alert: Any, _arg: Any) -> int:
    # The alert is this one unless another is set.
    return int(lib.SSL_TLSEXT_ERR_ALERT_FATAL)


def setVersions(native: SSL.Context, minimum: int, maximum: int) -> None:
    """Set the lowest and the highest protocol version; 0 is OpenSSL's own limit."""
    _check(lib.SSL_CTX_set_min_proto_version(native._context, minimum), "setting minVersion failed")
    _check(lib.SSL_CTX_set_max_proto_version(native._context, maximum), "setting maxVersion failed")


def setOptions(native: SSL.Context, mask: int) -> None:
    """Add C{SSL_OP_*} bits."""
    lib.SSL_CTX_set_options(native._context, mask & 0xFFFFFFFFFFFFFFFF)


def setCipherSuites(native: SSL.Context, suites: str) -> None:
    """Set the TLS 1.3 suites; an empty text switches TLS 1.3 off in effect."""
    _check(lib.SSL_CTX_set_ciphersuites(native._context, utf8(suites)), "Failed to set ciphers")


def setCipherList(native: SSL.Context, ciphers: str) -> None:
    """
    Set the ciphers of TLS 1.2 and before.

    An empty text takes them all away, which is no error; a text that names
    only unknown ones is.
    """
    lib.ERR_clear_error()
    if lib.SSL_CTX_set_cipher_list(native._context, utf8(ciphers)) == 1:
        return
    entries = drainErrors()
    if not ciphers and entries and entries[0].reason == _NO_CIPHER_MATCH:
        return
    raise opensslError(
        entries, "Failed to set ciphers", blame=Blame.CONFIGURATION, phase=Phase.CONFIGURING
    )


def setGroups(native: SSL.Context, groups: str) -> None:
    """Set the groups for the key exchange: a colon-separated list."""
    if lib.SSL_CTX_set1_curves_list(native._context, utf8(groups)) != 1:
        raise operationFailed("Failed to set ECDH curve")


def dropFiniteFieldGroups(native: SSL.Context) -> None:
    """
    Take the finite-field groups of RFC 7919 from the default ones.

    An OpenSSL before 3.5 has no way of writing this, and no need for it.
    """
    if lib.SSL_CTX_set1_curves_list(native._context, b"DEFAULT:-ffdhe2048:-ffdhe3072") != 1:
        lib.ERR_clear_error()


def setSignatureAlgorithms(native: SSL.Context, algorithms: str) -> None:
    """Set the signature algorithms: a colon-separated list."""
    _check(
        lib.SSL_CTX_set1_sigalgs_list(native._context, utf8(algorithms)),
        "Failed to set signature algorithms",
    )


def areDHParameters(pem: bytes) -> bool:
    """Whether OpenSSL takes this text for DH parameters."""
    bio, _keep = _memory(pem)
    parameters = lib.PEM_read_bio_DHparams(bio, ffi.NULL, ffi.NULL, ffi.NULL)
    lib.ERR_clear_error()
    if parameters == ffi.NULL:
        return False
    lib.DH_free(parameters)
    return True


def setDHParameters(native: SSL.Context, pem: bytes) -> None:
    """Use the parameters of a PEM text for DHE in TLS 1.2 and before."""
    bio, _keep = _memory(pem)
    lib.ERR_clear_error()
    parameters = lib.PEM_read_bio_DHparams(bio, ffi.NULL, ffi.NULL, ffi.NULL)
    if parameters == ffi.NULL:
        raise configurationError("Failed to parse DH parameters")
    try:
        if lib.SSL_CTX_set_tmp_dh(native._context, parameters) != 1:
            raise operationFailed("Error setting temp DH parameter")
    finally:
        lib.DH_free(parameters)


def setSessionIdContext(native: SSL.Context, context: bytes) -> None:
    """Set what sessions are bound to: at most 32 bytes."""
    lib.ERR_clear_error()
    if lib.SSL_CTX_set_session_id_context(native._context, context, len(context)) != 1:
        # Node has a TypeError with OpenSSL's text and no code here.
        entries = drainErrors()
        raise NodeTypeError(
            entries[0].line if entries else "Failed to set sessionIdContext",
            blame=Blame.CONFIGURATION,
            phase=Phase.CONFIGURING,
        )


def setSessionTimeout(native: SSL.Context, seconds: int) -> None:
    """Set how long sessions and tickets may be resumed."""
    lib.SSL_CTX_set_timeout(native._context, seconds)


def useCertificate(native: SSL.Context, leaf: bytes) -> None:
    """Use a certificate (DER) of our own."""
    x509 = _certificate(leaf)
    _check(lib.SSL_CTX_use_certificate(native._context, x509), "SSL_CTX_use_certificate failed")


def addChain(native: SSL.Context, chain: Iterable[bytes]) -> None:
    """Send these certificates (DER) behind the only certificate of this context."""
    for der in chain:
        x509 = _certificate(der)
        _requireKey(x509)
        _check(
            lib.SSL_CTX_add_extra_chain_cert(native._context, x509),
            "SSL_CTX_add_extra_chain_cert failed",
        )
        # The context owns one reference from here on, and x509's own is given
        # back by its destructor.
        lib.X509_up_ref(x509)


def useCertificateChain(native: SSL.Context, leaf: bytes, chain: Iterable[bytes]) -> None:
    """Use a certificate (DER) with a chain that belongs to it alone."""
    with tempfile.TemporaryDirectory(prefix="txnodetls-") as directory:
        path = os.path.join(directory, "chain.pem")
        with open(path, "wb") as file:
            for der in (leaf, *chain):
                file.write(DER_cert_to_PEM_cert(der).encode("ascii"))
        lib.ERR_clear_error()
        done = lib.SSL_CTX_use_certificate_chain_file(native._context, os.fsencode(path))
    if done != 1:
        raise configurationError("SSL_CTX_use_certificate_chain failed")


def usePrivateKey(native: SSL.Context, pem: bytes, passphrase: bytes | None) -> None:
    """
    Use the private key of a PEM text, in any of the forms that OpenSSL reads.

    @raise NodeError: C{ERR_OSSL_BAD_DECRYPT}: the passphrase is wrong or missing;
        C{ERR_OSSL_UNSUPPORTED}: no private key; C{ERR_OSSL_X509_KEY_VALUES_MISMATCH}: it is
        not the key of the certificate of its kind.
    """
    bio, _keep = _memory(pem)
    handle = ffi.new_handle(passphrase)
    lib.ERR_clear_error()
    key = lib.PEM_read_bio_PrivateKey(bio, ffi.NULL, _readPassphrase, handle)
    _useKey(native, key, "PEM_read_bio_PrivateKey")


def usePrivateKeyDER(native: SSL.Context, der: bytes) -> None:
    """Use a private key (PKCS#8, DER)."""
    bio, _keep = _memory(der)
    lib.ERR_clear_error()
    _useKey(native, lib.d2i_PrivateKey_bio(bio, ffi.NULL), "d2i_PrivateKey_bio")


def addClientCA(native: SSL.Context, der: bytes) -> None:
    """Name this certificate's subject to clients as one whose certificates are wanted."""
    _check(
        lib.SSL_CTX_add_client_CA(native._context, _certificate(der)),
        "SSL_CTX_add_client_CA failed",
    )


def cipherNames() -> list[str]:
    """OpenSSL's names of the ciphers that it has for use, PSK and TLS 1.3 among them."""
    native = newContext()
    names = set(SSL.Connection(native, None).get_cipher_list())
    for suite in _TLS13_SUITES:
        try:
            setCipherSuites(native, suite)
        except NodeError:
            # This build has it not (as under FIPS).
            continue
        names.add(suite)
    return sorted(names)


_TLS13_SUITES: Final = (
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
    "TLS_AES_128_CCM_SHA256",
)


class CertificateStore:
    """
    What a context trusts: an C{X509_STORE}, filled once and then shared.

    @param flags: C{X509_V_FLAG_*}.
    """

    __slots__ = ("_pointer",)

    def __init__(self, flags: int = 0) -> None:
        pointer = lib.X509_STORE_new()
        self._pointer = ffi.gc(pointer, lib.X509_STORE_free)
        if flags:
            lib.X509_STORE_set_flags(pointer, flags)

    def addCertificate(self, der: bytes) -> None:
        """Trust a certificate."""
        _check(
            lib.X509_STORE_add_cert(self._pointer, _certificate(der)), "X509_STORE_add_cert failed"
        )

    def addTrusted(self, pem: bytes) -> None:
        """Trust a C{TRUSTED CERTIFICATE} for what the data behind it says, and nothing else."""
        with tempfile.TemporaryDirectory(prefix="txnodetls-") as directory:
            path = os.path.join(directory, "trusted.pem")
            with open(path, "wb") as file:
                file.write(pem)
            lib.ERR_clear_error()
            done = lib.X509_STORE_load_locations(self._pointer, os.fsencode(path), ffi.NULL)
        if done != 1:
            raise configurationError("X509_STORE_load_locations failed")

    def addRevocations(self, der: bytes) -> None:
        """Take a list of revoked certificates into account; from then on each issuer needs one."""
        bio, _keep = _memory(der)
        lib.ERR_clear_error()
        crl = lib.d2i_X509_CRL_bio(bio, ffi.NULL)
        if crl == ffi.NULL:
            raise operationFailed("Failed to parse CRL")
        crl = ffi.gc(crl, lib.X509_CRL_free)
        _check(lib.X509_STORE_add_crl(self._pointer, crl), "X509_STORE_add_crl failed")
        lib.X509_STORE_set_flags(
            self._pointer, lib.X509_V_FLAG_CRL_CHECK | lib.X509_V_FLAG_CRL_CHECK_ALL
        )

    def allowPartialChains(self) -> None:
        """Let any certificate in here be the end of a chain, not only self-signed ones."""
        lib.X509_STORE_set_flags(self._pointer, lib.X509_V_FLAG_PARTIAL_CHAIN)


def setStore(native: SSL.Context, store: CertificateStore) -> None:
    """Let a context trust what this store trusts.  The store may be shared."""
    # The context takes over one reference.
    lib.X509_STORE_up_ref(store._pointer)
    lib.SSL_CTX_set_cert_store(native._context, store._pointer)


def requireCertificate(der: bytes) -> None:
    """
    Raise OpenSSL's error unless it takes these bytes for a certificate.

    @raise NodeError: C{ERR_OSSL_ASN1_...}, and whatever else OpenSSL says.
    """
    _certificate(der)


def requireAuxiliary(pem: bytes) -> None:
    """
    Raise OpenSSL's error unless it takes this C{TRUSTED CERTIFICATE} with what is behind it.

    @raise NodeError: as L{requireCertificate}.
    """
    CertificateStore().addTrusted(pem)


def isCertificate(der: bytes) -> bool:
    """Whether OpenSSL takes these bytes for a certificate."""
    try:
        _certificate(der)
    except NodeError:
        return False
    return True


def _check(done: int, fallback: str) -> None:
    """Raise what the queue says unless a call returned 1."""
    if done != 1:
        raise configurationError(fallback)
    lib.ERR_clear_error()


def _certificate(der: bytes) -> Any:
    bio, _keep = _memory(der)
    lib.ERR_clear_error()
    x509 = lib.d2i_X509_bio(bio, ffi.NULL)
    if x509 == ffi.NULL:
        # What is wrong is told in other words where it is read out of PEM, as Node does.
        lib.ERR_clear_error()
        bio, _keep = _memory(DER_cert_to_PEM_cert(der).encode("ascii"))
        x509 = lib.PEM_read_bio_X509(bio, ffi.NULL, ffi.NULL, ffi.NULL)
    if x509 == ffi.NULL:
        raise configurationError("SSL_CTX_use_certificate_chain")
    return ffi.gc(x509, lib.X509_free)


def _requireKey(x509: Any) -> None:
    """Raise OpenSSL's error unless it can read the public key of a certificate."""
    key = lib.X509_get_pubkey(x509)
    if key == ffi.NULL:
        raise configurationError("X509_get_pubkey failed")
    lib.EVP_PKEY_free(key)


def _memory(data: bytes) -> tuple[Any, Any]:
    """A BIO to read data from, and the buffer that has to live as long."""
    buffer = ffi.from_buffer(data)
    bio = lib.BIO_new_mem_buf(buffer, len(data))
    return ffi.gc(bio, lib.BIO_free), buffer


def _useKey(native: SSL.Context, key: Any, reader: str) -> None:
    if key == ffi.NULL:
        raise configurationError(f"{reader} failed")
    key = ffi.gc(key, lib.EVP_PKEY_free)
    _check(lib.SSL_CTX_use_PrivateKey(native._context, key), "SSL_CTX_use_PrivateKey failed")


@ffi.callback("pem_password_cb", error=-1)
def _readPassphrase(buffer: Any, size: int, _writing: int, handle: Any) -> int:
    passphrase = ffi.from_handle(handle)
    if passphrase is None:
        return 0
    if len(passphrase) > size:
        return -1
    ffi.memmove(buffer, passphrase, len(passphrase))
    return len(passphrase)
