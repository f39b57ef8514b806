"""
Building a context out of options: every check that Node makes, in Node's order.

The order is not free: the ciphers come first, because the security level in
them decides which keys and certificates may be loaded; trust comes before
certificates, because a chain without its own certificates is completed from
it; certificates come before keys, because OpenSSL compares a key with the
certificate that is there.  What is in a PFX comes behind both, and takes the
place of a certificate and key of the same kind.

Sources: https://nodejs.org/api/tls.html#tlscreatesecurecontextoptions,
SSL_CTX_set_cipher_list(3), SSL_CTX_use_certificate(3)
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final

from twisted.logger import Logger

from txnodetls.constants import (
    SSL_OP_CIPHER_SERVER_PREFERENCE,
    TICKET_KEYS_SIZE,
    TLS1_2_VERSION,
    TLS1_3_VERSION,
    defaults,
)
from txnodetls.context.secure import SecureContext, secureOptionsMask
from txnodetls.errors import (
    Blame,
    NodeError,
    NodeTypeError,
    Phase,
    invalidArgType,
    invalidArgValue,
)
from txnodetls.javascript import isInteger, isNumber, isTrue, utf8
from txnodetls.openssl import contexts, sessions
from txnodetls.options import Options
from txnodetls.options.checks import callersLevel, int32AtLeast
from txnodetls.pki import credentials, dhgroups, pem, trust

__all__ = ["SecurityWarning", "buildContext"]

_log = Logger()

_BUFFER: Final = "an instance of Buffer, TypedArray, or DataView"
_STRING_OR_NOTHING: Final = "of type string or one of null or undefined"

# Node takes DH primes from this size on, and warns below the second.
_DH_MINIMUM: Final = 1024
_DH_ADVISED: Final = 2048

_COMPRESSIONS: Final = ("zlib", "brotli", "zstd")


class SecurityWarning(UserWarning):
    """What was asked for works, but is weak."""


def buildContext(
    options: Options,
    sessionIdContext: Callable[[SecureContext], bytes] | None,
    isServer: bool,
) -> SecureContext:
    """
    A new context.

    @param sessionIdContext: gives the session id context where the options have none.
    @param isServer: which side it is for.
    """
    mask = options.secureOptions
    if options.honorCipherOrder:
        mask = _orPreference(mask)
    made = SecureContext(options.secureProtocol, mask, options.minVersion, options.maxVersion)
    made.options = options
    _applyCiphers(made, options)
    trusted, named = _trustOf(options)
    _applyCertificates(made, options)
    _checkCompression(options)
    _applySigalgs(made, options)
    _applyEngineKey(options)
    _applyCurve(made, options, isServer)
    dhparam = _dhOf(options)
    revocations = credentials.revocationLists(options.crl, "options.crl")
    _applySessionIdContext(made, options)
    fromBundles = _applyBundles(made, options)
    _applyEngine(options)
    _applyTicketKeys(made, options)
    _applySessionTimeout(made, options)
    made._trust = trusted.extended(
        fromBundles, revocations, partial=bool(options.allowPartialTrustChain)
    )
    contexts.setStore(made.native, _storeOf(made._trust))
    for block in (*named, *fromBundles):
        contexts.addClientCA(made.native, block.der)
    _applyDH(made, dhparam)
    if sessionIdContext is not None and options.sessionIdContext is None:
        _bindSessions(made, sessionIdContext(made))
    if isServer:
        sessions.renewNoTickets(made.native)
    return made


def _orPreference(value: Any) -> int:
    """
    The mask with the server's preference in it.

    What is no whole number is lost here, in Node without a word.
    """
    if value is not None and (not isNumber(value) or not isInteger(value)):
        _warn("options.secureOptions is not an integer and is not used")
        value = 0
    return secureOptionsMask(value) | SSL_OP_CIPHER_SERVER_PREFERENCE


def _warn(text: str, category: type[Warning] = UserWarning) -> None:
    warnings.warn(text, category, stacklevel=callersLevel())


# -- ciphers


def _applyCiphers(made: SecureContext, options: Options) -> None:
    ciphers = options.ciphers
    if ciphers is not None and not isinstance(ciphers, str):
        raise invalidArgType("options.ciphers", "of type string", ciphers)
    members = [item for item in (ciphers or defaults.DEFAULT_CIPHERS).split(":") if item]
    suites = [item for item in members if item.startswith(("TLS_", "!TLS_"))]
    older = [item for item in members if not item.startswith(("TLS_", "!TLS_"))]
    if not members:
        raise invalidArgValue("options.ciphers", ciphers)
    if suites:
        contexts.setCipherSuites(made.native, ":".join(suites))
    contexts.setCipherList(made.native, ":".join(older))
    if not older and made._minimum < TLS1_3_VERSION and made._maximum > TLS1_2_VERSION:
        # Nothing is left to speak TLS 1.2 with.
        made._minimum = TLS1_3_VERSION
        contexts.setVersions(made.native, made._minimum, made._maximum)


# -- trust, certificates, keys


def _trustOf(options: Options) -> tuple[trust.Trust, list[pem.PEMBlock]]:
    """What C{ca} makes trusted, and which of it is named to clients: the default roots are not."""
    ca = options.ca
    texts = credentials.pemTexts(ca, "options.ca")
    if not texts and not isinstance(ca, (list, tuple)):
        return trust.defaultTrust(), []
    found = [block for text in texts for block in _acceptable(trust.readable(text))]
    if texts and not found:
        _warn("options.ca holds no certificate: nobody is trusted")
    return trust.Trust(found), found


def _acceptable(blocks: list[pem.PEMBlock]) -> Iterator[pem.PEMBlock]:
    """Those up to the first that OpenSSL does not take; there Node stops reading."""
    return itertools.takewhile(credentials.isCertificate, blocks)


def _storeOf(trusted: trust.Trust) -> contexts.CertificateStore:
    """OpenSSL's form of what is trusted, made once for each trust."""
    if isinstance(trusted.native, contexts.CertificateStore):
        return trusted.native
    store = contexts.CertificateStore()
    for block in trusted.certificates:
        if block.label == pem.TRUSTED_LABEL:
            store.addTrusted(block.pem)
            continue
        try:
            store.addCertificate(block.der)
        except NodeError:
            _log.warn(
                "a CA certificate is not trusted: OpenSSL cannot read it\n{pem}", pem=block.pem
            )
    for der in trusted.revocations:
        store.addRevocations(der)
    if trusted.partial:
        store.allowPartialChains()
    trusted.native = store
    return store


def _applyCertificates(made: SecureContext, options: Options) -> None:
    texts = credentials.pemTexts(options.cert, "options.cert")
    chains = [credentials.certificateChain(text) for text in texts]
    _useCertificates(made, chains, alone=len(chains) == 1 and options.pfx is None)
    for key in credentials.keyTexts(options.key, options.passphrase):
        contexts.usePrivateKey(made.native, key.pem, key.passphrase)


def _applyBundles(made: SecureContext, options: Options) -> list[pem.PEMBlock]:
    """Use what is in C{pfx}, behind C{cert} and C{key}; the CA certificates that were in it."""
    bundles = credentials.bundles(options.pfx, options.passphrase)
    alone = len(bundles) == 1 and not made.ownCertificates
    for bundle in bundles:
        # One after the other: a second key of the same kind takes the place of the first.
        _useCertificates(made, [(bundle.leaf, bundle.others)], alone)
        contexts.usePrivateKeyDER(made.native, bundle.key)
    return [pem.PEMBlock("CERTIFICATE", der) for b in bundles for der in b.others]


def _useCertificates(
    made: SecureContext, own: list[tuple[bytes, tuple[bytes, ...]]], alone: bool
) -> None:
    """Use certificates, each with a chain; C{alone}: it is the only one of this context."""
    for leaf, chain in own:
        if chain and not alone:
            contexts.useCertificateChain(made.native, leaf, chain)
            continue
        contexts.useCertificate(made.native, leaf)
        contexts.addChain(made.native, chain)
    made.ownCertificates += tuple(own)


# -- the key exchange


def _applySigalgs(made: SecureContext, options: Options) -> None:
    sigalgs = options.sigalgs
    if sigalgs is None:
        return
    if not isinstance(sigalgs, str):
        raise invalidArgType("options.sigalgs", "of type string", sigalgs)
    if not sigalgs:
        raise invalidArgValue("options.sigalgs", sigalgs)
    contexts.setSignatureAlgorithms(made.native, sigalgs)


def _applyCurve(made: SecureContext, options: Options, isServer: bool) -> None:
    """
    Set the groups, of which 'auto' are OpenSSL's.

    From OpenSSL 4.0 on these have the finite-field groups of RFC 7919 in TLS
    1.2 too, and a server to which a client names them uses them in place of its
    own DH parameters, or refuses.  Node's OpenSSL does neither; so a client
    here does not name them, and has no need to.
    """
    given = options.ecdhCurve
    curve = defaults.DEFAULT_ECDH_CURVE if given is None else given
    if not isinstance(curve, str):
        raise invalidArgType("options.ecdhCurve", "of type string", curve)
    if curve != "auto":
        contexts.setGroups(made.native, curve)
    elif not isServer and made._minimum < TLS1_3_VERSION:
        contexts.dropFiniteFieldGroups(made.native)


def _dhOf(options: Options) -> bytes | None:
    """The DH parameters (PEM) of the options, 'auto', or None."""
    given = options.dhparam
    if given is None:
        return None
    text = credentials.toBytes(given, "options.dhparam")
    if given == "auto":
        return text
    bits = credentials.dhPrimeBits(text)
    if bits is None or not contexts.areDHParameters(text):
        _warn("options.dhparam holds no DH parameters and is not used")
        return None
    if bits < _DH_MINIMUM:
        raise NodeTypeError(
            "DH parameter is less than 1024 bits",
            "ERR_INVALID_ARG_VALUE",
            blame=Blame.CONFIGURATION,
            phase=Phase.CONFIGURING,
        )
    if bits < _DH_ADVISED:
        _warn("DH parameter is less than 2048 bits", SecurityWarning)
    return text


def _applyDH(made: SecureContext, parameters: bytes | None) -> None:
    if parameters is None:
        return
    if parameters == b"auto":
        # As strong as the certificates are, the ones from a PFX among them.
        parameters = dhgroups.parametersFor(made.ownCertificates)
    contexts.setDHParameters(made.native, parameters)


# -- sessions


def _applySessionIdContext(made: SecureContext, options: Options) -> None:
    given = options.sessionIdContext
    if given is None:
        return
    if not isinstance(given, str):
        raise invalidArgType("options.sessionIdContext", "of type string", given)
    _bindSessions(made, utf8(given))


def _bindSessions(made: SecureContext, context: bytes) -> None:
    made.sessionIdContext = context
    if context:
        contexts.setSessionIdContext(made.native, context)


def _applyTicketKeys(made: SecureContext, options: Options) -> None:
    keys = options.ticketKeys
    if keys is None:
        return
    if not isinstance(keys, bytes):
        raise invalidArgType("options.ticketKeys", _BUFFER, keys)
    if len(keys) != TICKET_KEYS_SIZE:
        raise invalidArgValue("options.ticketKeys", len(keys), "must be exactly 48 bytes")
    made.ticketKeys = keys


def _applySessionTimeout(made: SecureContext, options: Options) -> None:
    seconds = int32AtLeast(0)("options.sessionTimeout", options.sessionTimeout)
    if seconds is not None:
        made.sessionTimeout = seconds
        contexts.setSessionTimeout(made.native, seconds)


# -- what this OpenSSL cannot do


def _applyEngineKey(options: Options) -> None:
    identifier, engine = options.privateKeyIdentifier, options.privateKeyEngine
    if identifier is None:
        return
    if engine is None:
        raise invalidArgValue("options.privateKeyEngine", engine)
    if isTrue(options.key):
        raise invalidArgValue("options.privateKeyIdentifier", identifier)
    if not isinstance(identifier, str):
        raise invalidArgType("options.privateKeyIdentifier", _STRING_OR_NOTHING, identifier)
    if not isinstance(engine, str):
        raise invalidArgType("options.privateKeyEngine", _STRING_OR_NOTHING, engine)
    raise _noEngines()


def _applyEngine(options: Options) -> None:
    engine = options.clientCertEngine
    if engine is None:
        return
    if not isinstance(engine, str):
        raise invalidArgType("options.clientCertEngine", _STRING_OR_NOTHING, engine)
    raise _noEngines()


def _noEngines() -> NodeError:
    return NodeError(
        "Custom engines not supported by this OpenSSL",
        "ERR_CRYPTO_CUSTOM_ENGINE_NOT_SUPPORTED",
        blame=Blame.CONFIGURATION,
        phase=Phase.CONFIGURING,
    )


def _checkCompression(options: Options) -> None:
    """
    Check C{certificateCompression}, and pass over it, as Node does on an OpenSSL without.
    """
    wanted = options.certificateCompression
    path = "options.certificateCompression"
    if wanted is None:
        return
    if not isinstance(wanted, tuple):
        raise invalidArgType(path, "an instance of Array", wanted)
    if len(wanted) > len(_COMPRESSIONS):
        raise invalidArgValue(path, list(wanted), "can specify at most 3 algorithms")
    for index, name in enumerate(wanted):
        if not isinstance(name, str) or name not in _COMPRESSIONS:
            raise invalidArgValue(f"{path}[{index}]", name, "must be 'zlib', 'brotli', or 'zstd'")
