"""
Functions of OpenSSL that cryptography's library does not expose.

Nearly all of Node's tls can be had from what cryptography exposes (C{lib}).
What cannot is looked up here, and only when a feature first asks: a plain
server never does, and importing this module does nothing.

A function is looked for in this order, and the first answer counts:

1. C{lib}: C{lib} itself, should cryptography expose it one day, if it declares
   it as we do.
2. C{exported}: the dynamic linker's answer for the binding and what it is
   linked to: where cryptography was built against the system's OpenSSL.
3. C{symtab}: the symbol table of the wheel's own file, as C{elf.py} has it.

Nothing of 2 and 3 is called before all of this holds: it is OpenSSL itself and
no relative; its major version is one for which the prototypes below were
checked; its version is C{lib}'s; it is the very copy that C{lib} uses (static
data of libcrypto and of libssl lie at the same addresses); and a self-test on
a scratch C{SSL_CTX} gives what it must, seen from both sides.  What fails is
refused with its own L{Reason}, the feature that asked fails with
C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM}, and everything else works.

The environment variable C{TXNODETLS_OPENSSL_SYMBOLS=off} switches 2 and 3 off.
It is read at the first need.  Only C{on}, C{1} and nothing leave them on: a
switch for safety must not fail open for a slip of the pen.

The functions are called through an L{ffi} of our own, whose pointers are not
those of cryptography's; L{toOwn} and L{toTheirs} take them across.  Like all
of OpenSSL here, this is for the reactor's thread.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from cryptography.hazmat.bindings import _rust
from OpenSSL._util import ffi as _theirs
from OpenSSL._util import lib
from twisted.logger import Logger

from txnodetls.errors import featureUnavailable
from txnodetls.openssl.elf import Elf, Memory, Reason, Refused, resolve

__all__ = [
    "FUNCTIONS",
    "SWITCH",
    "Function",
    "Functions",
    "Origin",
    "Reason",
    "available",
    "explain",
    "ffi",
    "locate",
    "require",
    "toOwn",
    "toTheirs",
]

SWITCH: Final = "TXNODETLS_OPENSSL_SYMBOLS"

# Numbers for SSL_CTX_ctrl, SSL_ctrl and SSL_CTX_callback_ctrl: ssl.h has macros for them.
SSL_CTRL_SET_SESS_CACHE_SIZE: Final = 42
SSL_CTRL_GET_SESS_CACHE_SIZE: Final = 43
SSL_CTRL_SET_SESS_CACHE_MODE: Final = 44
SSL_CTRL_SET_MAX_SEND_FRAGMENT: Final = 52
SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB: Final = 72
SSL_CTRL_GET_PEER_TMP_KEY: Final = 109
SSL_CTRL_SET_DH_AUTO: Final = 118


class Function(NamedTuple):
    """
    A function of OpenSSL that some feature wants.

    @ivar prototype: its C type, as a pointer.
    @ivar features: Node's names of what needs it; empty: only the self-test.
    @ivar majors: the major versions for which the prototype was checked.
    @ivar alias: the name under which C{lib} may have it.
    """

    name: str
    prototype: str
    features: tuple[str, ...]
    majors: frozenset[int] = frozenset({3, 4})
    alias: str | None = None


_TYPES: Final = """
typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_method_st SSL_METHOD;
typedef struct ssl_session_st SSL_SESSION;
typedef struct ssl_cipher_st SSL_CIPHER;
typedef struct evp_cipher_st EVP_CIPHER;
typedef struct evp_cipher_ctx_st EVP_CIPHER_CTX;
typedef struct evp_md_st EVP_MD;
typedef struct evp_mac_ctx_st EVP_MAC_CTX;
typedef struct evp_pkey_st EVP_PKEY;
typedef struct hmac_ctx_st HMAC_CTX;
typedef struct engine_st ENGINE;
typedef struct ossl_param_st {
    const char *key;
    unsigned int data_type;
    void *data;
    size_t data_size;
    size_t return_size;
} OSSL_PARAM;

/* Names of our own for the types of callbacks, which ssl.h has inline or under these names. */
typedef void (*any_cb)(void);
typedef int (*new_session_cb)(SSL *, SSL_SESSION *);
typedef SSL_SESSION *(*get_session_cb)(SSL *, const unsigned char *, int, int *);
typedef void (*remove_session_cb)(SSL_CTX *, SSL_SESSION *);
typedef int (*ticket_key_evp_cb)(SSL *, unsigned char *, unsigned char *, EVP_CIPHER_CTX *,
                                 EVP_MAC_CTX *, int);
typedef int (*ticket_key_hmac_cb)(SSL *, unsigned char *, unsigned char *, EVP_CIPHER_CTX *,
                                  HMAC_CTX *, int);
typedef int (*npn_advertised_cb)(SSL *, const unsigned char **, unsigned int *, void *);
typedef int (*npn_select_cb)(SSL *, unsigned char **, unsigned char *, const unsigned char *,
                             unsigned int, void *);
"""

_CIPHER_INIT: Final = (
    "int (*)(EVP_CIPHER_CTX *, const EVP_CIPHER *, ENGINE *,"
    " const unsigned char *, const unsigned char *)"
)
_TICKETS: Final = ("ticketKeys",)
_STORE: Final = ("resumeSession",)
_KEY_INFO: Final = ("getEphemeralKeyInfo",)
_NPN: Final = ("NPNProtocols",)

FUNCTIONS: Final[Mapping[str, Function]] = {
    function.name: function
    for function in (
        # One door to dozens of settings; macOS keeps these names, and few others.
        Function("SSL_CTX_ctrl", "long (*)(SSL_CTX *, int, long, void *)", ("dhparam",)),
        Function(
            "SSL_ctrl",
            "long (*)(SSL *, int, long, void *)",
            ("getEphemeralKeyInfo", "setMaxSendFragment"),
        ),
        Function("SSL_CTX_callback_ctrl", "long (*)(SSL_CTX *, int, any_cb)", _TICKETS),
        # Sessions
        Function("SSL_CTX_add_session", "int (*)(SSL_CTX *, SSL_SESSION *)", _STORE),
        Function("SSL_CTX_remove_session", "int (*)(SSL_CTX *, SSL_SESSION *)", _STORE),
        Function("SSL_CTX_sess_set_new_cb", "void (*)(SSL_CTX *, new_session_cb)", ("newSession",)),
        Function("SSL_CTX_sess_set_get_cb", "void (*)(SSL_CTX *, get_session_cb)", _STORE),
        Function("SSL_CTX_sess_set_remove_cb", "void (*)(SSL_CTX *, remove_session_cb)", _STORE),
        Function(
            "SSL_SESSION_get_id",
            "const unsigned char *(*)(const SSL_SESSION *, unsigned int *)",
            ("newSession",),
        ),
        Function(
            "SSL_SESSION_get0_ticket",
            "void (*)(const SSL_SESSION *, const unsigned char **, size_t *)",
            ("getTLSTicket",),
        ),
        # Tickets
        Function("SSL_CTX_set_num_tickets", "int (*)(SSL_CTX *, size_t)", _TICKETS),
        Function("SSL_CTX_get_num_tickets", "size_t (*)(const SSL_CTX *)", ()),
        Function(
            "SSL_CTX_set_tlsext_ticket_key_evp_cb",
            "int (*)(SSL_CTX *, ticket_key_evp_cb)",
            _TICKETS,
        ),
        Function("EVP_EncryptInit_ex", _CIPHER_INIT, _TICKETS),
        Function("EVP_DecryptInit_ex", _CIPHER_INIT, _TICKETS),
        Function("EVP_aes_128_cbc", "const EVP_CIPHER *(*)(void)", _TICKETS),
        Function("EVP_sha256", "const EVP_MD *(*)(void)", _TICKETS),
        Function(
            "EVP_MAC_init",
            "int (*)(EVP_MAC_CTX *, const unsigned char *, size_t, const OSSL_PARAM *)",
            _TICKETS,
        ),
        Function(
            "OSSL_PARAM_construct_utf8_string",
            "OSSL_PARAM (*)(const char *, char *, size_t)",
            _TICKETS,
        ),
        Function("OSSL_PARAM_construct_end", "OSSL_PARAM (*)(void)", _TICKETS),
        Function(
            "HMAC_Init_ex",
            "int (*)(HMAC_CTX *, const void *, int, const EVP_MD *, ENGINE *)",
            _TICKETS,
        ),
        Function("RAND_bytes", "int (*)(unsigned char *, int)", _TICKETS),
        # What a handshake agreed on
        Function("EVP_PKEY_get_base_id", "int (*)(const EVP_PKEY *)", _KEY_INFO),
        Function("EVP_PKEY_get_id", "int (*)(const EVP_PKEY *)", _KEY_INFO, alias="EVP_PKEY_id"),
        Function(
            "EVP_PKEY_get_bits", "int (*)(const EVP_PKEY *)", _KEY_INFO, alias="EVP_PKEY_bits"
        ),
        Function(
            "EVP_PKEY_get_group_name",
            "int (*)(const EVP_PKEY *, char *, size_t, size_t *)",
            _KEY_INFO,
        ),
        Function("EVP_PKEY_free", "void (*)(EVP_PKEY *)", _KEY_INFO),
        Function(
            "SSL_get_shared_sigalgs",
            "int (*)(SSL *, int, int *, int *, int *, unsigned char *, unsigned char *)",
            ("getSharedSigalgs",),
        ),
        Function("SSL_CIPHER_standard_name", "const char *(*)(const SSL_CIPHER *)", ("getCipher",)),
        # Next Protocol Negotiation, which TLS 1.2 had before ALPN
        Function(
            "SSL_CTX_set_next_protos_advertised_cb",
            "void (*)(SSL_CTX *, npn_advertised_cb, void *)",
            _NPN,
        ),
        Function(
            "SSL_CTX_set_next_proto_select_cb", "void (*)(SSL_CTX *, npn_select_cb, void *)", _NPN
        ),
        Function(
            "SSL_get0_next_proto_negotiated",
            "void (*)(const SSL *, const unsigned char **, unsigned int *)",
            _NPN,
        ),
        # What goes over the wire, of a connection that exists already
        Function("SSL_set_msg_callback", "void (*)(SSL *, any_cb)", ("enableTrace",)),
        # Who this is
        Function("OpenSSL_version_num", "unsigned long (*)(void)", ()),
        Function("OpenSSL_version", "const char *(*)(int)", ()),
        Function("TLS_method", "const SSL_METHOD *(*)(void)", ()),
    )
}

if TYPE_CHECKING:
    ffi: Any
else:

    def __getattr__(name: str) -> Any:
        """C{ffi} is made at its first use: parsing C takes 30 ms, and most never need it."""
        if name == "ffi":
            return _own()
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@functools.cache
def _own() -> Any:
    import cffi

    own = cffi.FFI()
    own.cdef(_TYPES)
    return own


def toOwn(pointer: Any, ctype: str) -> Any:
    """
    A pointer of cryptography's C{ffi} as one of ours.

    It keeps nothing alive: hold on to the original while it is used.
    """
    return _own().cast(ctype, int(_theirs.cast("uintptr_t", pointer)))


def toTheirs(pointer: Any, ctype: str) -> Any:
    """A pointer of our L{ffi} as one of cryptography's; it keeps nothing alive."""
    return _theirs.cast(ctype, int(_own().cast("uintptr_t", pointer)))


class Functions:
    """Functions of OpenSSL, as attributes of their own names, ready to be called."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        self.__dict__.update(functions)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Callable[..., Any]: ...


_BARE: Final = (Reason.MISSING, Reason.NOT_LOADED)


class Origin(NamedTuple):
    """
    Where a function came from, or why it cannot be had.

    @ivar source: C{lib}, C{exported}, C{symtab}; None: it cannot be had.
    @ivar address: where it lies in memory, or 0.
    @ivar refusals: each source that was asked in vain, and its answer.
    @ivar features: Node's names of what needs it.
    """

    name: str
    source: str | None
    address: int
    refusals: tuple[tuple[str, Refused], ...]
    features: tuple[str, ...]

    @property
    def refusal(self) -> Refused | None:
        """The answer that tells most, where it cannot be had: the first but a bare "no"."""
        if self.source is not None:
            return None
        answers = [refused for _, refused in self.refusals]
        return next((r for r in answers if r.reason not in _BARE), answers[-1])


def available(name: str) -> bool:
    """
    Whether a function can be had; this looks it up.

    @raise KeyError: it is not in L{FUNCTIONS}.
    """
    return _lookup.find(name).source is not None


def require(feature: str, *names: str) -> Functions:
    """
    The functions that a feature needs.  The first call takes some 100 ms, later ones next
    to nothing.

    @param feature: Node's name of what was asked for.
    @raise NodeTypeError: C{ERR_FEATURE_UNAVAILABLE_ON_PLATFORM}, naming the function; the
        reason is its C{__cause__}.
    @raise KeyError: a name is not in L{FUNCTIONS}.
    """
    return _lookup.require(feature, names)


def explain() -> list[Origin]:
    """Look up every function, and say of each where it came from, or why it did not."""
    return [_lookup.find(name) for name in FUNCTIONS]


def locate() -> str:
    """The file of cryptography's binding, which holds C{lib}."""
    path: str | None = getattr(_rust, "__file__", None)
    if path is None:
        raise Refused(Reason.NO_FILE, "it has no file")
    return path


class _Source(Protocol):
    """What functions are taken from besides C{lib}."""

    def address(self, name: str) -> int:
        """@raise Refused: it cannot be had from here."""


class _Lookup:
    """What was found so far; one for the process, and one for each test."""

    _log = Logger()

    def __init__(self) -> None:
        self._origins: dict[str, Origin] = {}
        self._callables: dict[str, Callable[..., Any]] = {}
        self._sources: dict[str, _Source | Refused] = {}
        self._announced = False

    def require(self, feature: str, names: Iterable[str]) -> Functions:
        functions = {}
        for name in names:
            origin = self.find(name)
            if origin.source is None:
                raise featureUnavailable(feature, name) from origin.refusal
            if origin.source != "lib":
                self._announce(feature, origin)
            if name not in self._callables:
                prototype = FUNCTIONS[name].prototype
                self._callables[name] = _own().cast(prototype, origin.address)
            functions[name] = self._callables[name]
        return Functions(functions)

    def _announce(self, feature: str, origin: Origin) -> None:
        if not self._announced:
            self._announced = True
            self._log.info(
                "{feature} uses functions of OpenSSL that cryptography does not expose: "
                "{name} and others, source: {source}; {switch}=off forbids it",
                feature=feature,
                name=origin.name,
                source=origin.source,
                switch=SWITCH,
            )

    def find(self, name: str) -> Origin:
        origin = self._origins.get(name)
        if origin is None:
            origin = self._search(FUNCTIONS[name])
            if origin.source is not None or not any(
                _mayPass(answer) for _, answer in origin.refusals
            ):
                self._origins[name] = origin
        return origin

    def _search(self, function: Function) -> Origin:
        refusals = []
        for source, ask in (
            ("lib", _addressInLib),
            ("exported", self._askExported),
            ("symtab", self._askSymtab),
        ):
            try:
                address = ask(function)
            except Refused as refused:
                refusals.append((source, refused))
            else:
                return Origin(function.name, source, address, tuple(refusals), function.features)
        return Origin(function.name, None, 0, tuple(refusals), function.features)

    def _askExported(self, function: Function) -> int:
        return self._ask("exported", _Exported, function)

    def _askSymtab(self, function: Function) -> int:
        return self._ask("symtab", _Symtab, function)

    def _ask(self, key: str, make: Callable[[str], _Source], function: Function) -> int:
        source = self._sources.get(key)
        if source is None:
            try:
                _checkPermitted()
                source = make(locate())
                _prove(source)
            except Refused as refused:
                source = refused
            if not _mayPass(source):
                self._sources[key] = source
        if isinstance(source, Refused):
            raise Refused(source.reason, source.detail)
        if lib.OpenSSL_version_num() >> 28 not in function.majors:
            raise Refused(Reason.MAJOR)
        return source.address(function.name)


_lookup = _Lookup()


def _mayPass(answer: object) -> bool:
    """Whether to ask again next time: a file that cannot be opened may be one too many."""
    return isinstance(answer, Refused) and answer.reason is Reason.NO_FILE


def _checkPermitted() -> None:
    """Whether anything besides C{lib} may be asked at all."""
    switch = os.environ.get(SWITCH, "")
    if switch.strip().lower() not in ("", "on", "1"):
        raise Refused(Reason.OFF, f"{SWITCH}={switch}")
    text = _theirs.string(lib.OpenSSL_version(lib.OPENSSL_VERSION)).decode("ascii", "replace")
    if not text.startswith("OpenSSL "):
        raise Refused(Reason.FOREIGN, text)
    known = {major for function in FUNCTIONS.values() for major in function.majors}
    if lib.OpenSSL_version_num() >> 28 not in known:
        raise Refused(Reason.MAJOR, text)


def _originalLib() -> Any:
    """cffi's own library object: C{lib} is a module into which its members were copied."""
    return getattr(lib, "_original_lib", lib)


def _addressInLib(function: Function) -> int:
    name = next((n for n in (function.name, function.alias) if n and hasattr(lib, n)), None)
    if name is None:
        raise Refused(Reason.MISSING)
    try:
        pointer = _theirs.addressof(_originalLib(), name)
    except (AttributeError, TypeError) as error:
        raise Refused(Reason.DECLARED, str(error)) from error
    declared, expected = _theirs.typeof(pointer).cname, _own().typeof(function.prototype).cname
    if declared != expected:
        raise Refused(Reason.DECLARED, declared)
    return int(_theirs.cast("uintptr_t", pointer))


class _Exported:
    """The dynamic linker's answers."""

    def __init__(self, path: str) -> None:
        import ctypes

        # Nothing is loaded that is not loaded already: the file may have been replaced since,
        # and loading a half-written one kills the process.
        mode = getattr(os, "RTLD_NOLOAD", 0)
        try:
            self._library = ctypes.CDLL(path, mode=mode)
        except OSError as error:
            raise Refused(Reason.NOT_LOADED, str(error)) from error

    def address(self, name: str) -> int:
        import ctypes

        try:
            function = getattr(self._library, name)
        except AttributeError:
            raise Refused(Reason.MISSING, f"{name} is not exported") from None
        return ctypes.cast(function, ctypes.c_void_p).value or 0


# cffi makes one local function `_cffi_d_X` for each X of lib, and tells us where it is.
# These lie far apart, and every version of cryptography has them.
_ANCHORS: Final = (
    "SSL_new",
    "SSL_free",
    "SSL_read",
    "SSL_write",
    "SSL_do_handshake",
    "SSL_CTX_new",
    "BIO_new",
    "X509_free",
    "EVP_PKEY_free",
    "ERR_get_error",
)


class _Symtab:
    """The symbol table of the wheel's own file."""

    def __init__(self, path: str) -> None:
        original = _originalLib()
        anchors = {
            f"_cffi_d_{name}": int(_theirs.cast("uintptr_t", _theirs.addressof(original, name)))
            for name in _ANCHORS
            if hasattr(lib, name)
        }
        try:
            with open(path, "rb") as stream:
                elf = Elf(stream)
                with Memory() as memory:
                    self._addresses = resolve(
                        elf, memory.read, anchors, list(FUNCTIONS), os.sysconf("SC_PAGE_SIZE")
                    )
        except OSError as error:
            raise Refused(Reason.NO_FILE, str(error)) from error

    def address(self, name: str) -> int:
        address = self._addresses[name]
        if isinstance(address, Refused):
            raise Refused(address.reason, address.detail)
        return address


def _prove(source: _Source) -> None:
    """
    Whether a source's functions are those of the OpenSSL that C{lib} uses, and work.

    @raise Refused: no.
    """
    own = _own()

    def function(name: str) -> Any:
        return own.cast(FUNCTIONS[name].prototype, source.address(name))

    number = function("OpenSSL_version_num")()
    if number != lib.OpenSSL_version_num():
        raise Refused(Reason.VERSION, f"{number:#x} and {lib.OpenSSL_version_num():#x}")
    text = lib.OPENSSL_VERSION
    for name, theirs, ours in (
        ("libcrypto", lib.OpenSSL_version(text), function("OpenSSL_version")(text)),
        ("libssl", lib.TLS_method(), function("TLS_method")()),
    ):
        if _theirs.cast("uintptr_t", theirs) != int(own.cast("uintptr_t", ours)):
            raise Refused(Reason.OTHER_IMAGE, name)
    _selfTest(function)


def _selfTest(function: Callable[[str], Any]) -> None:
    """Settings made on one side have to be seen on the other, and wrong ones refused."""
    context = lib.SSL_CTX_new(lib.TLS_method())
    if context == _theirs.NULL:
        lib.ERR_clear_error()
        raise Refused(Reason.SELF_TEST, "no SSL_CTX could be made")
    try:
        _testContext(function, context)
        ssl = lib.SSL_new(context)
        if ssl == _theirs.NULL:
            lib.ERR_clear_error()
            raise Refused(Reason.SELF_TEST, "no SSL could be made")
        try:
            _testConnection(function, ssl)
        finally:
            lib.SSL_free(ssl)
    finally:
        lib.SSL_CTX_free(context)
    digest = lib.EVP_get_digestbyname(b"sha256")
    _expect("EVP_sha256", toTheirs(function("EVP_sha256")(), "EVP_MD *") == digest)


def _testContext(function: Callable[[str], Any], context: Any) -> None:
    ours, null = toOwn(context, "SSL_CTX *"), _own().NULL
    control = function("SSL_CTX_ctrl")
    control(ours, SSL_CTRL_SET_SESS_CACHE_SIZE, 4711, null)
    size = control(ours, SSL_CTRL_GET_SESS_CACHE_SIZE, 0, null)
    _expect("SSL_CTX_ctrl: cache size", size == 4711)
    mode = lib.SSL_SESS_CACHE_CLIENT | lib.SSL_SESS_CACHE_NO_INTERNAL
    control(ours, SSL_CTRL_SET_SESS_CACHE_MODE, mode, null)
    _expect("SSL_CTX_ctrl: cache mode", lib.SSL_CTX_get_session_cache_mode(context) == mode)
    set_, get = function("SSL_CTX_set_num_tickets"), function("SSL_CTX_get_num_tickets")
    _expect("SSL_CTX_set_num_tickets", set_(ours, 5) == 1 and get(ours) == 5)


def _testConnection(function: Callable[[str], Any], ssl: Any) -> None:
    ours, null = toOwn(ssl, "SSL *"), _own().NULL
    control = function("SSL_ctrl")
    for size, answer in ((511, 0), (512, 1), (16384, 1), (16385, 0)):
        result = control(ours, SSL_CTRL_SET_MAX_SEND_FRAGMENT, size, null)
        _expect(f"SSL_ctrl: fragments of {size}", result == answer)


def _expect(what: str, holds: bool) -> None:
    if not holds:
        raise Refused(Reason.SELF_TEST, what)
