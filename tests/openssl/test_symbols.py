"""
Functions that cryptography hides are found, work, and are refused where anything is amiss.

The tests tamper with a copy of the binding's own file and have it looked at in place of the
real one.  They need a wheel of cryptography (an ELF file with OpenSSL inside); elsewhere
they are skipped, and the rest shows what is left there.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from OpenSSL._util import ffi as theirs
from OpenSSL._util import lib
from twisted.logger import LogEvent, globalLogPublisher

from tests.support import PROJECT, requireTool, runPython
from txnodetls.errors import NodeTypeError
from txnodetls.openssl import symbols
from txnodetls.openssl.elf import Reason, Refused

PROBE = "SSL_CTX_callback_ctrl"  # hidden everywhere, and the self-test does without it

_GENUINE = symbols._Lookup()
_FOUND_BY = _GENUINE.find(PROBE).source
wheel = pytest.mark.skipif(
    _FOUND_BY != "symtab", reason="cryptography is no ELF wheel with OpenSSL inside"
)
hidden = pytest.mark.skipif(_FOUND_BY is None, reason="this platform has no hidden functions")


@pytest.fixture(autouse=True)
def lookup(monkeypatch: pytest.MonkeyPatch) -> symbols._Lookup:
    """Each test looks up for itself, and the switch is at rest."""
    monkeypatch.delenv(symbols.SWITCH, raising=False)
    fresh = symbols._Lookup()
    monkeypatch.setattr(symbols, "_lookup", fresh)
    return fresh


class Copy:
    """A copy of the binding's file to tamper with; it is written where the look-up looks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = bytearray(Path(symbols.locate()).read_bytes())
        header = struct.unpack_from("=16sHHIQQQIHHHHHH", self.data)
        self.segmentsAt, self.sectionsAt = header[5], header[6]
        self.segments = [
            struct.unpack_from("=IIQQQQQQ", self.data, self.segmentsAt + 56 * index)
            for index in range(header[10])
        ]
        self.sections = [
            struct.unpack_from("=IIQQQQIIQQ", self.data, self.sectionsAt + 64 * index)
            for index in range(header[12])
        ]
        self.tableIndex = next(i for i, s in enumerate(self.sections) if s[1] == 2)
        self.tableAt, self.tableSize = self.sections[self.tableIndex][4:6]
        self.stringsAt = self.sections[self.sections[self.tableIndex][6]][4]

    def save(self) -> None:
        self.path.write_bytes(self.data)

    def put(self, at: int, form: str, value: int) -> None:
        struct.pack_into(f"={form}", self.data, at, value)

    def symbolAt(self, name: str) -> int:
        """Where the symbol's entry stands; its name may be the tail of another one."""
        names = memoryview(self.data)[self.tableAt : self.tableAt + self.tableSize].cast("I")
        entries = {start: index for index, start in enumerate(names[0::6].tolist())}
        text = name.encode() + b"\0"
        at = self.data.index(text, self.stringsAt)
        while at - self.stringsAt not in entries:
            at = self.data.index(text, at + 1)
        return int(self.tableAt + 24 * entries[at - self.stringsAt])

    def unname(self, name: str) -> None:
        """Take a symbol's name away."""
        self.put(self.symbolAt(name), "I", 0)

    def place(self, name: str) -> tuple[int, int]:
        """A symbol's address and size."""
        address, size = struct.unpack_from("=QQ", self.data, self.symbolAt(name) + 8)
        return address, size

    def move(self, name: str, by: int) -> None:
        self.put(self.symbolAt(name) + 8, "Q", self.place(name)[0] + by)

    def offsetOf(self, address: int) -> int:
        """Where in the file something that is loaded lies."""
        for kind, _, offset, start, _, size, _, _ in self.segments:
            if kind == 1 and start <= address < start + size:
                return int(address - start + offset)
        raise LookupError(address)

    def buildIdAt(self) -> int:
        """Where the note with the build-id stands."""
        for kind, _, offset, *_ in self.segments:
            if kind == 4 and self.data[offset + 8 : offset + 16] == b"\x03\0\0\0GNU\0":
                return int(offset)
        raise LookupError("build-id")


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Copy]:
    made = Copy(tmp_path / "_rust.abi3.so")
    monkeypatch.setattr(symbols, "locate", lambda: str(made.path))
    yield made
    made.path.unlink(missing_ok=True)


def refusalOf(name: str = PROBE) -> Reason:
    """
    Why a function cannot be had from the file: all faces of the module have to say so.
    """
    origin = symbols._lookup.find(name)
    assert origin.source is None
    assert not symbols.available(name)
    assert name in [other.name for other in symbols.explain() if other.source is None]
    with pytest.raises(NodeTypeError, match=f"ticketKeys .*{name}") as caught:
        symbols.require("ticketKeys", name)
    assert caught.value.code == "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM"
    answer = dict(origin.refusals)["symtab"]
    cause = caught.value.__cause__
    assert isinstance(cause, Refused)
    assert cause.reason is answer.reason
    return answer.reason


# -- found


@wheel
def test_anIdenticalCopyIsBelieved(copy: Copy) -> None:
    """What the tests below see is their tampering and not that it is a copy."""
    copy.save()
    for origin in symbols.explain():
        assert origin.source in ("lib", "symtab")
        assert origin.address == _GENUINE.find(origin.name).address


@hidden
def test_everyFunctionOfTheTableIsFound() -> None:
    assert {origin.name for origin in symbols.explain() if origin.source is not None} == set(
        symbols.FUNCTIONS
    )


def test_aFunctionThatCryptographyExposesIsTakenFromThere() -> None:
    for name in ("OpenSSL_version_num", "EVP_PKEY_free", "EVP_PKEY_get_id"):
        assert symbols._lookup.find(name).source == "lib"
    version = symbols.require("a test", "OpenSSL_version_num").OpenSSL_version_num()
    assert version == lib.OpenSSL_version_num()


def test_onlyFunctionsOfTheTableCanBeAskedFor() -> None:
    with pytest.raises(KeyError):
        symbols.available("SSL_nothing")
    with pytest.raises(KeyError):
        symbols.require("a test", "SSL_nothing")


def test_exposedButDeclaredOtherwiseIsNotTakenFromThere(monkeypatch: pytest.MonkeyPatch) -> None:
    function = symbols.Function("EVP_PKEY_free", "int (*)(EVP_PKEY *, int)", ("a test",))
    monkeypatch.setitem(symbols.FUNCTIONS, "EVP_PKEY_free", function)  # type: ignore[arg-type]
    origin = symbols._lookup.find("EVP_PKEY_free")
    assert origin.source != "lib"
    source, refused = origin.refusals[0]
    assert (source, refused.reason) == ("lib", Reason.DECLARED)
    assert "void(*)(EVP_PKEY *)" in refused.detail


def test_aConstantOfThatNameIsNotTakenForAFunction(monkeypatch: pytest.MonkeyPatch) -> None:
    function = symbols.Function("SSL_OP_ALL", "int (*)(void)", ())
    with pytest.raises(Refused) as caught:
        symbols._addressInLib(function)
    assert caught.value.reason is Reason.DECLARED


# -- tampered with


@wheel
@pytest.mark.parametrize("tool", ["strip", "objcopy"])
def test_aStrippedFileIsRefused(copy: Copy, tool: str) -> None:
    command = requireTool(tool)
    copy.save()
    subprocess.run([command, "--strip-all", str(copy.path)], check=True, timeout=30)
    assert refusalOf() is Reason.NO_SYMTAB


@wheel
def test_aFileWithoutSectionsIsRefused(copy: Copy) -> None:
    copy.put(40, "Q", 0)
    copy.put(60, "H", 0)
    copy.save()
    assert refusalOf() is Reason.NO_SYMTAB


@wheel
def test_aFileWithoutASymbolTableIsRefused(copy: Copy) -> None:
    copy.put(copy.sectionsAt + 64 * copy.tableIndex + 4, "I", 0)
    copy.save()
    assert refusalOf() is Reason.NO_SYMTAB


@wheel
@pytest.mark.parametrize(
    "length",
    [
        pytest.param(lambda copy: 0, id="empty"),
        pytest.param(lambda copy: 3, id="in the magic number"),
        pytest.param(lambda copy: 63, id="in the header"),
        pytest.param(lambda copy: copy.segmentsAt + 57, id="in the segments"),
        pytest.param(lambda copy: len(copy.data) // 2, id="in the code"),
        pytest.param(lambda copy: copy.tableAt + copy.tableSize // 2, id="in the symbols"),
        pytest.param(lambda copy: copy.stringsAt + 1000, id="in the strings"),
        pytest.param(
            lambda copy: copy.sectionsAt + 64 * len(copy.sections) - 1, id="in the sections"
        ),
    ],
)
def test_aTruncatedFileIsRefused(copy: Copy, length: Callable[[Copy], int]) -> None:
    del copy.data[length(copy) :]
    copy.save()
    assert refusalOf() is Reason.TRUNCATED


@wheel
def test_anotherBuildIsRefused(copy: Copy) -> None:
    copy.data[copy.buildIdAt() + 20] ^= 1
    copy.save()
    assert refusalOf() is Reason.BUILD_ID


@wheel
def test_aFileWithoutABuildIdIsRefused(copy: Copy) -> None:
    copy.put(copy.buildIdAt() + 8, "I", 1)
    copy.save()
    assert refusalOf() is Reason.NO_BUILD_ID


@wheel
def test_aFileForAnotherMachineIsRefused(copy: Copy) -> None:
    machine = struct.unpack_from("=H", copy.data, 18)[0]
    copy.put(18, "H", 62 if machine != 62 else 183)
    copy.save()
    assert refusalOf() is Reason.MACHINE


@wheel
def test_otherHeadersThanThoseInMemoryAreRefused(copy: Copy) -> None:
    copy.put(48, "I", 77)
    copy.save()
    assert refusalOf() is Reason.HEADERS


@wheel
def test_otherSegmentsThanThoseInMemoryAreRefused(copy: Copy) -> None:
    at = copy.segmentsAt + 56 * (len(copy.segments) - 1) + 24
    copy.put(at, "Q", struct.unpack_from("=Q", copy.data, at)[0] ^ 1)
    copy.save()
    assert refusalOf() is Reason.HEADERS


@wheel
def test_changedCodeIsRefusedForThatFunctionOnly(copy: Copy) -> None:
    address, size = copy.place(PROBE)
    copy.data[copy.offsetOf(address) + size - 1] ^= 0xFF
    copy.save()
    assert refusalOf() is Reason.CODE
    assert symbols.available("RAND_bytes")


@wheel
def test_changedCodeOfWhatTheSelfTestUsesIsRefusedForAll(copy: Copy) -> None:
    address, _ = copy.place("SSL_CTX_ctrl")
    copy.data[copy.offsetOf(address)] ^= 0xFF
    copy.save()
    assert refusalOf() is Reason.CODE
    assert refusalOf("RAND_bytes") is Reason.CODE
    assert symbols.available("EVP_PKEY_free")


@wheel
@pytest.mark.parametrize("by", [-1, 1, 2, 4, 8, 16])
def test_aMovedSymbolIsRefused(copy: Copy, by: int) -> None:
    copy.move(PROBE, by)
    copy.save()
    assert refusalOf() is Reason.NO_START


@wheel
@pytest.mark.parametrize("name", ["SSL_ctrl", "TLS_method", "OpenSSL_version_num"])
def test_aMovedSymbolOfTheSelfTestIsNotCalled(copy: Copy, name: str) -> None:
    """SSL_ctrl has 8 bytes and padding behind: moved by 8 it lies between functions."""
    copy.move(name, copy.place(name)[1])
    copy.save()
    assert refusalOf() is Reason.NO_START


@wheel
def test_aSymbolMovedOntoAnotherFunctionIsRefused(copy: Copy) -> None:
    address, size = copy.place("SSL_CTX_remove_session")
    entry = copy.symbolAt(PROBE)
    copy.put(entry + 8, "Q", address)
    copy.put(entry + 16, "Q", size)
    copy.save()
    assert refusalOf() is Reason.SHARED
    assert refusalOf("SSL_CTX_remove_session") is Reason.SHARED


@wheel
def test_aSymbolMovedOutOfTheCodeIsRefused(copy: Copy) -> None:
    notExecuted = next(s for s in copy.segments if s[0] == 1 and not s[1] & 1)
    copy.put(copy.symbolAt(PROBE) + 8, "Q", notExecuted[3] + 64)
    copy.save()
    assert refusalOf() is Reason.SEGMENT


@wheel
def test_aSymbolThatIsDataIsRefused(copy: Copy) -> None:
    copy.put(copy.symbolAt(PROBE) + 4, "B", 1)
    copy.save()
    assert refusalOf() is Reason.KIND


@wheel
def test_aSymbolWithoutItsNameIsMissing(copy: Copy) -> None:
    copy.unname(PROBE)
    copy.save()
    assert refusalOf() is Reason.MISSING


@wheel
def test_aNameWithTwoPlacesIsRefused(copy: Copy) -> None:
    name = struct.unpack_from("=I", copy.data, copy.symbolAt(PROBE))[0]
    copy.put(copy.symbolAt("SSL_CTX_sess_set_new_cb"), "I", name)
    copy.save()
    assert refusalOf() is Reason.AMBIGUOUS
    assert refusalOf("SSL_CTX_sess_set_new_cb") is Reason.MISSING


@wheel
def test_twoSymbolsSwappedAreFoundOutByTheSelfTest(copy: Copy) -> None:
    """Their names only: each is a function, whole, at a start. Only calling them tells."""
    one, other = copy.symbolAt("SSL_CTX_get_num_tickets"), copy.symbolAt("SSL_CTX_set_num_tickets")
    first, second = (struct.unpack_from("=I", copy.data, at)[0] for at in (one, other))
    copy.put(one, "I", second)
    copy.put(other, "I", first)
    copy.save()
    assert refusalOf() is Reason.SELF_TEST


@wheel
def test_aBiasThatIsNoWholePageIsRefused(copy: Copy) -> None:
    for name in symbols._ANCHORS:
        copy.move(f"_cffi_d_{name}", 8)
    copy.save()
    assert refusalOf() is Reason.BIAS


@wheel
@pytest.mark.parametrize("anchor", [symbols._ANCHORS[0], symbols._ANCHORS[-1]])
def test_oneAnchorThatDisagreesIsRefused(copy: Copy, anchor: str) -> None:
    copy.move(f"_cffi_d_{anchor}", os.sysconf("SC_PAGE_SIZE"))
    copy.save()
    assert refusalOf() is Reason.ANCHORS


@wheel
def test_anchorsThatAllLeadElsewhereAreRefused(copy: Copy) -> None:
    """The bias is a whole number of pages, and wrong by many: nothing is mapped there."""
    for name in symbols._ANCHORS:
        copy.move(f"_cffi_d_{name}", 1 << 44)
    copy.save()
    assert refusalOf() is Reason.MEMORY


@wheel
def test_tooFewAnchorsAreRefused(copy: Copy) -> None:
    for name in symbols._ANCHORS[3:]:
        copy.unname(f"_cffi_d_{name}")
    copy.save()
    assert refusalOf() is Reason.NO_ANCHORS


@wheel
def test_anotherWheelIsRefused(copy: Copy) -> None:
    """A library that was loaded is not the one of that name by now: here, cffi's own."""
    import _cffi_backend

    copy.path.write_bytes(Path(str(_cffi_backend.__file__)).read_bytes())
    assert refusalOf() in (Reason.NO_SYMTAB, Reason.NO_ANCHORS)


@pytest.mark.parametrize("content", [b"#!/bin/sh\n", b"\xcf\xfa\xed\xfe" + bytes(60), b"MZ\x90\0"])
def test_whatIsNoElfFileIsRefused(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "_rust.abi3.so"
    path.write_bytes(content)
    monkeypatch.setattr(symbols, "locate", lambda: str(path))
    assert refusalOf() is Reason.NOT_ELF


def test_aFileThatIsNotThereIsRefusedAndAskedForAgain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be opened may be one file too many, which passes."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(symbols, "locate", lambda: str(tmp_path / "nothing.so"))
        assert refusalOf() is Reason.NO_FILE
    assert symbols._lookup.find(PROBE).source == _FOUND_BY


def test_aBindingWithoutAFileIsRefused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symbols, "_rust", object())
    assert refusalOf() is Reason.NO_FILE


@wheel
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_lookingAtAFileNeverLoadsIt(copy: Copy) -> None:
    copy.save()
    assert symbols.available(PROBE)
    assert str(copy.path) not in Path("/proc/self/maps").read_text()


# -- another OpenSSL than the one in use


class Altered:
    """lib, but for a few members."""

    def __init__(self, **members: Any) -> None:
        self.__dict__.update(members)

    def __getattr__(self, name: str) -> Any:
        return getattr(lib, name)


@wheel
@pytest.mark.parametrize(
    ("member", "value", "reason"),
    [
        pytest.param("OpenSSL_version_num", lambda: 0x40000FF0, Reason.VERSION, id="version"),
        pytest.param("OpenSSL_version_num", lambda: 0x50000000, Reason.MAJOR, id="future major"),
        pytest.param("OpenSSL_version_num", lambda: 0x1010117F, Reason.MAJOR, id="past major"),
        pytest.param(
            "OpenSSL_version",
            lambda kind: theirs.cast("char *", lib.OpenSSL_version(kind) + 1),
            Reason.FOREIGN,
            id="text",
        ),
        pytest.param(
            "TLS_method", lambda: lib.TLS_client_method(), Reason.OTHER_IMAGE, id="libssl"
        ),
        pytest.param(
            "SSL_CTX_get_session_cache_mode", lambda context: 0, Reason.SELF_TEST, id="cache mode"
        ),
        pytest.param(
            "EVP_get_digestbyname", lambda name: theirs.NULL, Reason.SELF_TEST, id="digest"
        ),
        pytest.param("SSL_CTX_new", lambda method: theirs.NULL, Reason.SELF_TEST, id="no context"),
        pytest.param("SSL_new", lambda context: theirs.NULL, Reason.SELF_TEST, id="no connection"),
    ],
)
def test_anotherOpenSSLIsRefused(
    monkeypatch: pytest.MonkeyPatch, member: str, value: Any, reason: Reason
) -> None:
    monkeypatch.setattr(symbols, "lib", Altered(**{member: value}))
    assert refusalOf() is reason


@wheel
def test_anotherCopyOfLibcryptoIsRefused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same text at another address."""
    text = theirs.string(lib.OpenSSL_version(lib.OPENSSL_VERSION))
    twin = theirs.new("char[]", text)
    pointer = theirs.cast("char *", twin)
    monkeypatch.setattr(symbols, "lib", Altered(OpenSSL_version=lambda kind: pointer))
    assert refusalOf() is Reason.OTHER_IMAGE


@wheel
def test_aFunctionWhosePrototypeIsUnknownForThisMajorIsRefusedAlone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = symbols.FUNCTIONS[PROBE]
    old = symbols.Function(PROBE, known.prototype, known.features, majors=frozenset({1}))
    monkeypatch.setitem(symbols.FUNCTIONS, PROBE, old)  # type: ignore[arg-type]
    assert refusalOf() is Reason.MAJOR
    assert symbols.available("RAND_bytes")


# -- OpenSSL as a library of its own


class Exports:
    """What the dynamic linker would say where OpenSSL is a library of its own."""

    asked: list[str] = []

    def __init__(self, path: str) -> None:
        self.path = path

    def address(self, name: str) -> int:
        self.asked.append(name)
        return _GENUINE.find(name).address


class ExportsOfAnother(Exports):
    """One whose version call answers with another number."""

    callback = None

    def address(self, name: str) -> int:
        if name == "OpenSSL_version_num":
            own = symbols.ffi
            ExportsOfAnother.callback = own.callback("unsigned long(void)", lambda: 0x30000070)
            return int(own.cast("uintptr_t", ExportsOfAnother.callback))
        return super().address(name)


@hidden
def test_whatTheLinkerExportsIsTakenBeforeTheFile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symbols, "_Exported", Exports)
    monkeypatch.setattr(Exports, "asked", [])
    assert symbols._lookup.find(PROBE).source == "exported"
    # Proved before use: the version, the copy, and the self-test.
    assert Exports.asked[0] == "OpenSSL_version_num"
    assert {"TLS_method", "SSL_CTX_ctrl", "SSL_ctrl", "EVP_sha256"} < set(Exports.asked)
    assert Exports.asked[-1] == PROBE


@hidden
def test_anExportedOpenSSLOfAnotherVersionIsRefused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symbols, "_Exported", ExportsOfAnother)
    origin = symbols._lookup.find(PROBE)
    assert dict(origin.refusals)["exported"].reason is Reason.VERSION


# -- the switch


@pytest.mark.parametrize("value", ["off", "OFF", " off ", "0", "no", "false", "oof"])
def test_theSwitchForbidsIt(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(symbols.SWITCH, value)
    monkeypatch.setattr(symbols, "locate", lambda: pytest.fail("the file was looked for"))
    assert refusalOf() is Reason.OFF
    assert symbols.available("EVP_PKEY_free")


@hidden
@pytest.mark.parametrize("value", ["", "on", "On", "1"])
def test_theSwitchLeavesItOn(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(symbols.SWITCH, value)
    assert symbols.available(PROBE)


# -- what it costs, and who hears of it


def test_importingLooksNothingUp() -> None:
    code = (
        "import sys, txnodetls\n"
        "from txnodetls.openssl import symbols\n"
        "print([m for m in ('cffi', 'pycparser') if m in sys.modules])\n"
        "print(symbols._lookup._origins, symbols._lookup._sources)"
    )
    result = runPython(code)
    assert result.stdout.splitlines() == [b"[]", b"{} {}"], result.stderr


@pytest.fixture
def logged() -> Iterator[list[LogEvent]]:
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


def logLines(events: list[LogEvent]) -> list[LogEvent]:
    return [event for event in events if event.get("switch") == symbols.SWITCH]


@hidden
def test_theFirstUseIsLoggedOnce(logged: list[LogEvent]) -> None:
    symbols.explain()
    symbols.require("getEphemeralKeyInfo", "EVP_PKEY_free")
    assert logLines(logged) == []
    symbols.require("getSharedSigalgs", "SSL_get_shared_sigalgs")
    symbols.require("ticketKeys", "SSL_CTX_callback_ctrl", "RAND_bytes")
    (line,) = logLines(logged)
    assert line["log_level"].name == "info"
    assert (line["feature"], line["name"]) == ("getSharedSigalgs", "SSL_get_shared_sigalgs")


@hidden
def test_theSecondLookUpAsksNothingAnew(monkeypatch: pytest.MonkeyPatch) -> None:
    first = symbols.require("ticketKeys", PROBE)
    monkeypatch.setattr(symbols, "_addressInLib", lambda function: pytest.fail("asked again"))
    monkeypatch.setattr(symbols, "_Symtab", lambda path: pytest.fail("read again"))
    assert symbols.require("ticketKeys", PROBE).SSL_CTX_callback_ctrl is (
        first.SSL_CTX_callback_ctrl
    )


def test_explainTellsOfEveryFunction() -> None:
    origins = symbols.explain()
    assert [origin.name for origin in origins] == list(symbols.FUNCTIONS)
    for origin in origins:
        assert (origin.address != 0) == (origin.source is not None) == (origin.refusal is None)
        assert origin.features == symbols.FUNCTIONS[origin.name].features


def test_theDocumentNamesEveryFunctionAndEveryReason() -> None:
    text = (PROJECT / "docs" / "openssl.md").read_text()
    assert [name for name in symbols.FUNCTIONS if f"`{name}`" not in text] == []
    assert [reason.value for reason in Reason if reason.value not in text] == []
    assert symbols.SWITCH in text


def test_theModuleHasNoOtherLazyMembers() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        symbols.nothing  # type: ignore[attr-defined]


# -- they work: the prototypes, one by one


def test_pointersCrossAndComeBack() -> None:
    context = SSL.Context(SSL.TLS_METHOD)
    pointer = context._context
    own = symbols.toOwn(pointer, "SSL_CTX *")
    assert symbols.ffi.typeof(own).cname == "SSL_CTX *"
    assert symbols.toTheirs(own, "SSL_CTX *") == pointer
    assert symbols.toOwn(theirs.NULL, "SSL *") == symbols.ffi.NULL


class Pair:
    """A client and a server in memory, of TLS 1.2 unless told otherwise."""

    def __init__(self, version: int = SSL.TLS1_2_VERSION) -> None:
        self.kept: list[Any] = []
        self.server: Any = None
        self.client: Any = None
        self.serverContext = SSL.Context(SSL.TLS_METHOD)
        self.clientContext = SSL.Context(SSL.TLS_METHOD)
        leaf = trustme.CA(key_type=trustme.KeyType.ECDSA).issue_cert(
            "localhost", key_type=trustme.KeyType.ECDSA
        )
        chain = leaf.cert_chain_pems[0].bytes()
        key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self.serverContext.use_certificate(x509.load_pem_x509_certificate(chain))
        self.serverContext.use_privatekey(key)
        self.serverContext.set_session_id(b"test")
        for context in (self.serverContext, self.clientContext):
            context.set_min_proto_version(version)
            context.set_max_proto_version(version)

    def handshake(self, session: Any = None) -> None:
        # Freed without a shutdown, a connection spoils the session that it shares.
        self.kept.append((self.server, self.client))
        self.server = SSL.Connection(self.serverContext, None)
        self.client = SSL.Connection(self.clientContext, None)
        self.server.set_accept_state()
        self.client.set_connect_state()
        if session is not None:
            # pyOpenSSL wants the same Context; OpenSSL itself does not.
            lib.SSL_set_session(self.client._ssl, session._session)
        for _ in range(6):
            for end, other in ((self.client, self.server), (self.server, self.client)):
                try:
                    end.do_handshake()
                except SSL.WantReadError:
                    pass
                try:
                    other.bio_write(end.bio_read(65536))
                except SSL.WantReadError:
                    pass


@pytest.fixture
def pair() -> Pair:
    return Pair()


def resumed(pair: Pair) -> bool:
    return bool(lib.SSL_session_reused(pair.client._ssl) == 1)


@hidden
@pytest.mark.parametrize(
    ("curve", "kind", "bits", "name"),
    [(None, 1034, 253, b""), (ec.SECP256R1(), 408, 256, b"prime256v1")],
)
def test_theEphemeralKeyIsTold(pair: Pair, curve: Any, kind: int, bits: int, name: bytes) -> None:
    if curve is not None:  # OpenSSL's own choice is X25519
        pair.serverContext.set_tmp_ecdh(curve)
    pair.handshake()
    functions = symbols.require(
        "getEphemeralKeyInfo", "SSL_ctrl", *symbolsOf("getEphemeralKeyInfo")
    )
    own = symbols.ffi
    holder = own.new("EVP_PKEY **")
    ssl = symbols.toOwn(pair.client._ssl, "SSL *")
    assert functions.SSL_ctrl(ssl, symbols.SSL_CTRL_GET_PEER_TMP_KEY, 0, holder) == 1
    assert functions.EVP_PKEY_get_id(holder[0]) == kind
    assert functions.EVP_PKEY_get_base_id(holder[0]) == kind
    assert functions.EVP_PKEY_get_bits(holder[0]) == bits
    if name:
        buffer, length = own.new("char[]", 80), own.new("size_t *")
        assert functions.EVP_PKEY_get_group_name(holder[0], buffer, 80, length) == 1
        assert (own.string(buffer), length[0]) == (name, len(name))
    functions.EVP_PKEY_free(holder[0])


def symbolsOf(feature: str) -> list[str]:
    return [f.name for f in symbols.FUNCTIONS.values() if feature in f.features]


@hidden
def test_whatBothSidesCanSignWithIsTold(pair: Pair) -> None:
    pair.handshake()
    functions = symbols.require("getSharedSigalgs", "SSL_get_shared_sigalgs")
    own = symbols.ffi
    sign, digest, both = (own.new("int *") for _ in range(3))
    raw = own.new("unsigned char[2]")
    ssl = symbols.toOwn(pair.server._ssl, "SSL *")
    seen = set()
    count = functions.SSL_get_shared_sigalgs(ssl, 0, sign, digest, both, raw, raw + 1)
    for index in range(count):
        functions.SSL_get_shared_sigalgs(ssl, index, sign, digest, both, raw, raw + 1)
        # RFC 8446, 4.2.3: the code of the hash is the high byte.
        seen.add((theirs.string(lib.OBJ_nid2sn(digest[0])), bytes(own.buffer(raw))))
    assert (b"SHA256", b"\x03\x04") in seen


@hidden
def test_aCipherHasItsStandardName(pair: Pair) -> None:
    lib.SSL_CTX_set_cipher_list(pair.serverContext._context, b"ECDHE-ECDSA-AES128-GCM-SHA256")
    pair.handshake()
    functions = symbols.require("getCipher", "SSL_CIPHER_standard_name")
    cipher = symbols.toOwn(lib.SSL_get_current_cipher(pair.client._ssl), "SSL_CIPHER *")
    name = symbols.ffi.string(functions.SSL_CIPHER_standard_name(cipher))
    assert name == b"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"


# A context calls back as long as it lives: the last time when it is freed with sessions in its
# cache, which is when the garbage collector comes to it.  So these callbacks outlive all contexts.
FOREVER: list[Any] = []


@hidden
def test_aSessionIsPutIntoTheCacheAndTakenOut(pair: Pair) -> None:
    pair.serverContext.set_options(SSL.OP_NO_TICKET)
    functions = symbols.require(
        "resumeSession", *symbolsOf("resumeSession"), *symbolsOf("newSession")
    )
    own = symbols.ffi
    told: list[Any] = []

    @own.callback("int(SSL *, SSL_SESSION *)")
    def new(ssl: Any, session: Any) -> int:
        told.append(("new", session))
        return 0

    @own.callback("SSL_SESSION *(SSL *, const unsigned char *, int, int *)")
    def get(ssl: Any, data: Any, length: int, copy: Any) -> Any:
        told.append(("get", bytes(own.buffer(data, length))))
        return own.NULL

    @own.callback("void(SSL_CTX *, SSL_SESSION *)")
    def removed(context: Any, session: Any) -> None:
        told.append(("removed", session))

    FOREVER.extend((new, get, removed))
    native = symbols.toOwn(pair.serverContext._context, "SSL_CTX *")
    functions.SSL_CTX_sess_set_new_cb(native, new)
    functions.SSL_CTX_sess_set_get_cb(native, get)
    functions.SSL_CTX_sess_set_remove_cb(native, removed)
    pair.handshake()
    session = told[0][1]
    length = own.new("unsigned int *")
    where = functions.SSL_SESSION_get_id(session, length)
    identity = bytes(own.buffer(where, length[0]))
    assert len(identity) == 32
    assert told == [("new", session)]
    # It is in the cache by now; out of it, a client that offers it is asked about.
    assert functions.SSL_CTX_remove_session(native, session) == 1
    offered = pair.client.get_session()
    pair.handshake(offered)
    assert ("get", identity) in told
    assert not resumed(pair)
    # Put back in, it is resumed.
    stored = symbols.toOwn(lib.SSL_get_session(pair.server._ssl), "SSL_SESSION *")
    offered = pair.client.get_session()
    functions.SSL_CTX_remove_session(native, stored)
    assert functions.SSL_CTX_add_session(native, stored) == 1
    pair.handshake(offered)
    assert resumed(pair)
    assert [what for what, _ in told].count("removed") >= 2


def ticketOf(pair: Pair) -> bytes:
    """The ticket that the client has."""
    functions = symbols.require("getTLSTicket", "SSL_SESSION_get0_ticket")
    own = symbols.ffi
    data, length = own.new("unsigned char **"), own.new("size_t *")
    session = symbols.toOwn(lib.SSL_get_session(pair.client._ssl), "SSL_SESSION *")
    functions.SSL_SESSION_get0_ticket(session, data, length)
    return bytes(own.buffer(data[0], length[0])) if length[0] else b""


@hidden
def test_theTicketOfASessionIsTold(pair: Pair) -> None:
    pair.handshake()
    session = lib.SSL_get_session(pair.client._ssl)
    area = theirs.new("unsigned char[]", lib.i2d_SSL_SESSION(session, theirs.NULL))
    lib.i2d_SSL_SESSION(session, theirs.new("unsigned char **", area))
    ticket = ticketOf(pair)
    assert len(ticket) > 100
    assert ticket in bytes(theirs.buffer(area))


KEY_NAME, MAC_KEY, AES_KEY = b"n" * 16, b"m" * 16, b"a" * 16


class TicketKeys:
    """The callback that seals and opens tickets, in the new form and in the old one."""

    def __init__(self) -> None:
        self.functions = symbols.require("ticketKeys", *symbolsOf("ticketKeys"))
        self.own = symbols.ffi
        self.calls: list[int] = []
        self.keys = [self.own.new("unsigned char[]", key) for key in (MAC_KEY, AES_KEY)]

    def cipher(self, name: Any, iv: Any, context: Any, encrypting: int) -> bool:
        self.calls.append(encrypting)
        functions, own = self.functions, self.own
        if encrypting:
            own.buffer(name, 16)[:] = KEY_NAME
            assert functions.RAND_bytes(iv, 16) == 1
        else:
            assert bytes(own.buffer(name, 16)) == KEY_NAME
        start = functions.EVP_EncryptInit_ex if encrypting else functions.EVP_DecryptInit_ex
        return bool(start(context, functions.EVP_aes_128_cbc(), own.NULL, self.keys[1], iv) == 1)

    def newForm(self) -> Any:
        own, functions = self.own, self.functions
        digest, word = own.new("char[]", b"SHA256"), own.new("char[]", b"digest")

        @own.callback("ticket_key_evp_cb", onerror=self.failed)
        def callback(ssl: Any, name: Any, iv: Any, cipher: Any, mac: Any, encrypting: int) -> int:
            parameters = own.new("OSSL_PARAM[2]")
            parameters[0] = functions.OSSL_PARAM_construct_utf8_string(word, digest, 0)
            parameters[1] = functions.OSSL_PARAM_construct_end()
            done = functions.EVP_MAC_init(mac, self.keys[0], 16, parameters) == 1
            return int(done and self.cipher(name, iv, cipher, encrypting))

        return callback

    def oldForm(self) -> Any:
        own, functions = self.own, self.functions

        @own.callback("ticket_key_hmac_cb", onerror=self.failed)
        def callback(ssl: Any, name: Any, iv: Any, cipher: Any, mac: Any, encrypting: int) -> int:
            digest = functions.EVP_sha256()
            done = functions.HMAC_Init_ex(mac, self.keys[0], 16, digest, own.NULL) == 1
            return int(done and self.cipher(name, iv, cipher, encrypting))

        return callback

    def failed(self, *error: object) -> None:
        self.calls.append(-1)


@hidden
@pytest.mark.parametrize("form", ["new", "old"])
def test_ticketsAreSealedWithOurKeys(form: str) -> None:
    keys = TicketKeys()
    callback = keys.newForm() if form == "new" else keys.oldForm()
    FOREVER.append(callback)
    pairs = (Pair(), Pair())
    for pair in pairs:
        native = symbols.toOwn(pair.serverContext._context, "SSL_CTX *")
        if form == "new":
            assert keys.functions.SSL_CTX_set_tlsext_ticket_key_evp_cb(native, callback) == 1
        else:
            done = keys.functions.SSL_CTX_callback_ctrl(
                native,
                symbols.SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB,
                keys.own.cast("any_cb", callback),
            )
            assert done == 1
    pairs[0].handshake()
    session = pairs[0].client.get_session()
    # Another context, hence with other keys of OpenSSL's own: only ours open the ticket.
    pairs[1].handshake(session)
    assert resumed(pairs[1])
    assert set(keys.calls) == {0, 1}


@hidden
@pytest.mark.parametrize("count", [0, 1])
def test_theNumberOfTicketsCanBeSet(count: int) -> None:
    pair = Pair(SSL.TLS1_3_VERSION)
    functions = symbols.require("ticketKeys", "SSL_CTX_set_num_tickets", "SSL_CTX_get_num_tickets")
    native = symbols.toOwn(pair.serverContext._context, "SSL_CTX *")
    assert functions.SSL_CTX_set_num_tickets(native, count) == 1
    assert functions.SSL_CTX_get_num_tickets(native) == count
    pair.handshake()
    with pytest.raises(SSL.WantReadError):
        pair.client.recv(1)  # tickets come behind the handshake
    assert bool(ticketOf(pair)) == bool(count)


@hidden
def test_aProtocolIsAgreedOnTheOldWay(pair: Pair) -> None:
    """Next Protocol Negotiation: the server advertises, the client chooses."""
    functions = symbols.require("NPNProtocols", *symbolsOf("NPNProtocols"))
    own = symbols.ffi
    advertised = own.new("unsigned char[]", b"\x01a\x06http/1")
    chosen = own.new("unsigned char[]", b"http/1")
    seen: list[bytes] = []

    @own.callback("npn_advertised_cb")
    def advertise(ssl: Any, out: Any, length: Any, argument: Any) -> int:
        out[0], length[0] = advertised, 9
        return 0

    @own.callback("npn_select_cb")
    def select(ssl: Any, out: Any, length: Any, data: Any, size: int, argument: Any) -> int:
        seen.append(bytes(own.buffer(data, size)))
        out[0], length[0] = chosen, 6
        return 0

    FOREVER.extend((advertise, select, advertised, chosen))
    functions.SSL_CTX_set_next_protos_advertised_cb(
        symbols.toOwn(pair.serverContext._context, "SSL_CTX *"), advertise, own.NULL
    )
    functions.SSL_CTX_set_next_proto_select_cb(
        symbols.toOwn(pair.clientContext._context, "SSL_CTX *"), select, own.NULL
    )
    pair.handshake()
    data, length = own.new("unsigned char **"), own.new("unsigned int *")
    functions.SSL_get0_next_proto_negotiated(symbols.toOwn(pair.server._ssl, "SSL *"), data, length)
    assert seen == [b"\x01a\x06http/1"]
    assert bytes(own.buffer(data[0], length[0])) == b"http/1"
