"""
The reader of a library's file believes nothing: what it gives is right, or it refuses.

The libraries here are built by the tests, a few kilobytes each, with a "memory" that is a
bytes object; `test_symbols.py` does the same to the real one.
"""

from __future__ import annotations

import io
import mmap
import os
import struct
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from txnodetls.openssl.elf import Elf, Memory, Reason, Refused, Symbol, resolve

ADDRESS = 0x20000
BIAS = 0x7F00_0000_0000
PAGE = 4096
CODE_AT = 0x400
LOADED = 0x1000
FUNCTION_SIZE = 48

ANCHORS = tuple(f"_cffi_d_{name}" for name in ("one", "two", "three", "four", "five"))
WANTED = ("SSL_alpha", "EVP_beta", "RAND_gamma")
ALL = (*ANCHORS, *WANTED)

HEADER = struct.Struct("=16sHHIQQQIHHHHHH")
SEGMENT = struct.Struct("=IIQQQQQQ")
SECTION = struct.Struct("=IIQQQQIIQQ")
SYMBOL = struct.Struct("=IBBHQQ")
PT_LOAD, PT_NOTE, PT_EH_FRAME = 1, 4, 0x6474E550
FUNC, OBJECT = 2, 1


def place(name: str) -> int:
    """Where in the file a function lies."""
    return CODE_AT + 64 * ALL.index(name)


TRUTH = {name: BIAS + ADDRESS + place(name) for name in ALL}


class Library:
    """A small shared library, whose parts a test can change before or after it is built."""

    def __init__(self) -> None:
        self.noteKind = 3
        self.indexForm = b"\x01\x1b\x03\x3b"
        self.symbols = [(name, FUNC, 1, ADDRESS + place(name), FUNCTION_SIZE) for name in ALL]

    def change(
        self,
        name: str,
        kind: int = FUNC,
        section: int = 1,
        address: int | None = None,
        size: int = FUNCTION_SIZE,
    ) -> None:
        index = ALL.index(name)
        if address is None:
            address = ADDRESS + place(name)
        self.symbols[index] = (name, kind, section, address, size)

    def build(self) -> bytearray:
        data = bytearray(LOADED)
        note = struct.pack("=III4s20s", 4, 20, self.noteKind, b"GNU\0", b"b" * 20)
        index = struct.pack("=4siI", self.indexForm, 0, len(ALL))
        data[232 : 232 + len(note)] = note
        for name in ALL:
            at = place(name)
            data[at : at + FUNCTION_SIZE] = name.encode().ljust(FUNCTION_SIZE, b"\x90")
            index += struct.pack("=ii", at - 272, 0)
        data[272 : 272 + len(index)] = index
        segments = [
            SEGMENT.pack(PT_LOAD, 5, 0, ADDRESS, ADDRESS, LOADED, LOADED, PAGE),
            SEGMENT.pack(PT_NOTE, 4, 232, ADDRESS + 232, 0, len(note), len(note), 4),
            SEGMENT.pack(PT_EH_FRAME, 4, 272, ADDRESS + 272, 0, len(index), len(index), 4),
        ]
        data[64:232] = b"".join(segments)

        strings = b"\0"
        table = bytes(SYMBOL.size)
        for name, kind, section, address, size in self.symbols:
            table += SYMBOL.pack(len(strings), kind, 0, section, address, size)
            strings += name.encode() + b"\0"
        tableAt, stringsAt = len(data), len(data) + len(table)
        data += table + strings
        sectionsAt = len(data)
        sections = (
            bytes(SECTION.size)
            + SECTION.pack(0, 2, 0, 0, tableAt, len(table), 2, 0, 8, 24)
            + SECTION.pack(0, 3, 0, 0, stringsAt, len(strings), 0, 0, 1, 0)
        )
        data += sections
        order = 1 if sys.byteorder == "little" else 2
        ident = b"\x7fELF" + bytes([2, order, 1]) + bytes(9)
        data[:64] = HEADER.pack(
            ident, 3, 62, 1, 0, 64, sectionsAt, 0, 64, SEGMENT.size, 3, SECTION.size, 3, 0
        )
        return data


INTACT = bytes(Library().build())
SECTIONS_AT = len(INTACT) - 3 * SECTION.size
TABLE_AT = LOADED


def memoryOf(image: bytes) -> Callable[[int, int], bytes]:
    """What reads this library as it was loaded."""

    def read(address: int, size: int) -> bytes:
        at = address - BIAS - ADDRESS
        if not 0 <= at <= at + size <= LOADED:
            raise Refused(Reason.MEMORY)
        return bytes(image[at : at + size])

    return read


def resolved(file: bytes, image: bytes = INTACT, bias: int = 0) -> dict[str, int | Refused]:
    anchors = {name: TRUTH[name] + bias for name in ANCHORS}
    return resolve(Elf(io.BytesIO(file)), memoryOf(image), anchors, WANTED, PAGE)


def refusal(file: bytes, image: bytes = INTACT, bias: int = 0) -> Reason:
    """Why the whole file is refused."""
    with pytest.raises(Refused) as caught:
        resolved(file, image, bias)
    return caught.value.reason


def refusalOf(name: str, library: Library) -> Reason:
    """Why one function is refused, where the others are found as ever."""
    file = bytes(library.build())
    found = resolved(file, file)
    answer = found.pop(name)
    assert isinstance(answer, Refused)
    assert found == {other: TRUTH[other] for other in found}
    return answer.reason


def patched(at: int, data: bytes, file: bytes = INTACT) -> bytes:
    return file[:at] + data + file[at + len(data) :]


def test_functionsOfAnIntactLibraryAreFound() -> None:
    assert resolved(INTACT) == {name: TRUTH[name] for name in WANTED}


def test_aNameMayBeTheTailOfALongerOne() -> None:
    """Linkers let strings share their ends, and both names are found."""
    library = Library()
    library.symbols.append(("placeholder", FUNC, 1, ADDRESS + 0xE00, FUNCTION_SIZE))
    file = library.build()
    longer = TABLE_AT + SYMBOL.size * (ALL.index("SSL_alpha") + 1)
    shorter = TABLE_AT + SYMBOL.size * len(library.symbols)
    start = struct.unpack_from("=I", file, longer)[0]
    struct.pack_into("=I", file, shorter, start + len("SSL_"))
    found = Elf(io.BytesIO(file)).functions(["alpha", "SSL_alpha"])
    assert found == {
        "alpha": Symbol(ADDRESS + 0xE00, FUNCTION_SIZE),
        "SSL_alpha": Symbol(ADDRESS + place("SSL_alpha"), FUNCTION_SIZE),
    }


@pytest.mark.parametrize("length", [*range(0, 600, 7), *range(600, len(INTACT), 53)])
def test_aFileCutAnywhereIsRefused(length: int) -> None:
    assert refusal(INTACT[:length]) is Reason.TRUNCATED


@pytest.mark.parametrize(
    ("start", "named"),
    [
        (b"\xcf\xfa\xed\xfe", "Mach-O"),
        (b"\xca\xfe\xba\xbe", "Mach-O"),
        (b"MZ\x90\0", "Windows"),
        (b"#!/b", "^not an ELF file$"),
    ],
)
def test_anotherFormatIsNamed(start: bytes, named: str) -> None:
    with pytest.raises(Refused, match=named) as caught:
        Elf(io.BytesIO(start + bytes(100)))
    assert caught.value.reason is Reason.NOT_ELF


@pytest.mark.parametrize(
    ("at", "data", "reason"),
    [
        pytest.param(4, b"\x01", Reason.FORMAT, id="32 bits"),
        pytest.param(5, b"\x02" if INTACT[5] == 1 else b"\x01", Reason.FORMAT, id="byte order"),
        pytest.param(5, b"\x07", Reason.FORMAT, id="no byte order"),
        pytest.param(16, struct.pack("=H", 2), Reason.FORMAT, id="a program"),
        pytest.param(18, struct.pack("=H", 183), Reason.MACHINE, id="another machine"),
        pytest.param(48, struct.pack("=I", 5), Reason.HEADERS, id="flags"),
        pytest.param(54, struct.pack("=H", 55), Reason.FORMAT, id="size of segments"),
        pytest.param(56, struct.pack("=H", 0), Reason.FORMAT, id="no segments"),
        pytest.param(56, struct.pack("=H", 0xFFFF), Reason.FORMAT, id="too many segments"),
        pytest.param(32, struct.pack("=Q", 1 << 63), Reason.TRUNCATED, id="segments far off"),
        pytest.param(40, struct.pack("=Q", 0), Reason.NO_SYMTAB, id="no sections"),
        pytest.param(60, struct.pack("=H", 0), Reason.NO_SYMTAB, id="zero sections"),
        pytest.param(58, struct.pack("=H", 40), Reason.FORMAT, id="size of sections"),
        pytest.param(40, struct.pack("=Q", (1 << 64) - 1), Reason.TRUNCATED, id="sections far"),
        pytest.param(64 + 40, struct.pack("=Q", 1), Reason.HEADERS, id="a segment's size"),
        pytest.param(64, struct.pack("=I", 9), Reason.FORMAT, id="nothing loaded"),
        pytest.param(64 + 56 + 32, struct.pack("=Q", 1 << 40), Reason.FORMAT, id="big notes"),
        pytest.param(64 + 112 + 32, struct.pack("=Q", 1 << 40), Reason.FORMAT, id="big index"),
        pytest.param(64 + 112, struct.pack("=I", 9), Reason.NO_INDEX, id="no index"),
        pytest.param(248, b"X", Reason.BUILD_ID, id="build-id"),
        pytest.param(232, struct.pack("=I", 1 << 31), Reason.FORMAT, id="note's name runs over"),
        pytest.param(236, struct.pack("=I", 1 << 31), Reason.FORMAT, id="note runs over"),
        pytest.param(240, struct.pack("=I", 1), Reason.NO_BUILD_ID, id="another note"),
    ],
)
def test_aHeaderThatLiesIsRefused(at: int, data: bytes, reason: Reason) -> None:
    file = patched(at, data)
    # What is wrong with the file alone shows when memory says the same; the rest is between
    # the two.
    between = (Reason.MACHINE, Reason.HEADERS, Reason.BUILD_ID)
    assert refusal(file, INTACT if reason in between else file) is reason


@pytest.mark.parametrize(
    ("section", "field", "data", "reason"),
    [
        pytest.param(1, 4, struct.pack("=I", 7), Reason.NO_SYMTAB, id="stripped"),
        pytest.param(1, 24, struct.pack("=Q", 1 << 63), Reason.TRUNCATED, id="far off"),
        pytest.param(1, 32, struct.pack("=Q", 24 * 9000), Reason.TRUNCATED, id="too long"),
        pytest.param(1, 32, struct.pack("=Q", 100), Reason.FORMAT, id="no whole entries"),
        pytest.param(1, 32, struct.pack("=Q", 24 << 40), Reason.FORMAT, id="without measure"),
        pytest.param(1, 32, struct.pack("=Q", 0), Reason.NO_ANCHORS, id="empty"),
        pytest.param(1, 56, struct.pack("=Q", 16), Reason.FORMAT, id="size of entries"),
        pytest.param(1, 56, struct.pack("=Q", 0), Reason.FORMAT, id="entries without size"),
        pytest.param(1, 40, struct.pack("=I", 3), Reason.FORMAT, id="strings out of range"),
        pytest.param(1, 40, struct.pack("=I", 0), Reason.FORMAT, id="strings that are none"),
        pytest.param(2, 32, struct.pack("=Q", 1 << 40), Reason.FORMAT, id="strings' size"),
        pytest.param(2, 32, struct.pack("=Q", 1 << 20), Reason.TRUNCATED, id="strings too long"),
        pytest.param(2, 32, struct.pack("=Q", 0), Reason.NO_ANCHORS, id="no strings"),
    ],
)
def test_aSectionThatLiesIsRefused(section: int, field: int, data: bytes, reason: Reason) -> None:
    assert refusal(patched(SECTIONS_AT + section * SECTION.size + field, data)) is reason


def test_aSecondSymbolTableIsRefused() -> None:
    """Even one that says the same."""
    table = INTACT[SECTIONS_AT + SECTION.size : SECTIONS_AT + 2 * SECTION.size]
    assert refusal(patched(SECTIONS_AT, table)) is Reason.FORMAT


def test_anIndexForUnwindingOfAnotherFormIsRefused() -> None:
    library = Library()
    library.indexForm = b"\x01\x1b\x03\x1b"
    file = bytes(library.build())
    assert refusal(file, file) is Reason.FORMAT


def test_anIndexForUnwindingThatCountsTooManyIsRefused() -> None:
    file = patched(272 + 8, struct.pack("=I", 1 << 31))
    assert refusal(file, file) is Reason.FORMAT


def test_aBiasThatIsNoWholePageIsRefused() -> None:
    assert refusal(INTACT, bias=8) is Reason.BIAS


def test_aBiasThatLeadsNowhereIsRefused() -> None:
    assert refusal(INTACT, bias=PAGE << 20) is Reason.MEMORY


@pytest.mark.parametrize("moved", ANCHORS)
def test_anAnchorThatDisagreesIsRefused(moved: str) -> None:
    library = Library()
    library.change(moved, address=ADDRESS + place(moved) + PAGE)
    file = bytes(library.build())
    assert refusal(file, file) is Reason.ANCHORS


def test_fourAnchorsAreNeeded() -> None:
    library = Library()
    library.change(ANCHORS[0], section=0)
    file = bytes(library.build())
    assert resolved(file, file) == {name: TRUTH[name] for name in WANTED}
    library.change(ANCHORS[1], section=0)
    file = bytes(library.build())
    assert refusal(file, file) is Reason.NO_ANCHORS


@pytest.mark.parametrize(
    "change", [{"kind": OBJECT}, {"size": 0}, {"address": ADDRESS + place(WANTED[0])}]
)
def test_anAnchorThatIsNoFunctionOfItsOwnIsRefused(change: dict[str, int]) -> None:
    library = Library()
    library.change(ANCHORS[-1], **change)
    file = bytes(library.build())
    assert refusal(file, file) is Reason.ANCHORS


@pytest.mark.parametrize("name", WANTED)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"kind": OBJECT}, Reason.KIND, id="data"),
        pytest.param({"kind": 10}, Reason.KIND, id="chosen at load time"),
        pytest.param({"size": 0}, Reason.KIND, id="no size"),
        pytest.param({"section": 0}, Reason.MISSING, id="undefined"),
        pytest.param({"address": ADDRESS + LOADED}, Reason.SEGMENT, id="beyond"),
        pytest.param({"address": ADDRESS - 64}, Reason.SEGMENT, id="before"),
        pytest.param({"address": (1 << 64) - 1}, Reason.SEGMENT, id="far beyond"),
        pytest.param({"size": LOADED}, Reason.SEGMENT, id="running out"),
        pytest.param({"size": 65}, Reason.NO_START, id="running into the next"),
        pytest.param({"address": ADDRESS + 0xF00}, Reason.NO_START, id="where no function is"),
    ],
)
def test_aSymbolThatLiesIsRefusedAlone(name: str, change: dict[str, int], reason: Reason) -> None:
    if change == {"size": 65} and name == ALL[-1]:
        change = {"size": LOADED - place(name) + 1}
        reason = Reason.SEGMENT
    library = Library()
    library.change(name, **change)
    assert refusalOf(name, library) is reason


@pytest.mark.parametrize("by", [1, 8, 16, FUNCTION_SIZE, -4])
def test_aSymbolMovedByAFewBytesIsRefused(by: int) -> None:
    library = Library()
    library.change("EVP_beta", address=ADDRESS + place("EVP_beta") + by, size=8)
    assert refusalOf("EVP_beta", library) is Reason.NO_START


def test_aSymbolMovedOntoAnotherFunctionIsRefusedAndSoIsTheOther() -> None:
    library = Library()
    library.change("EVP_beta", address=ADDRESS + place("SSL_alpha"))
    file = bytes(library.build())
    found = resolved(file, file)
    for name in ("EVP_beta", "SSL_alpha"):
        answer = found[name]
        assert isinstance(answer, Refused)
        assert answer.reason is Reason.SHARED
    assert found["RAND_gamma"] == TRUTH["RAND_gamma"]


def test_twoFunctionsOfOneNameAreRefused() -> None:
    library = Library()
    library.symbols.append(("EVP_beta", FUNC, 1, ADDRESS + 0xE00, FUNCTION_SIZE))
    assert refusalOf("EVP_beta", library) is Reason.AMBIGUOUS


def test_aNameThatIsNotThereIsMissing() -> None:
    library = Library()
    library.symbols = [symbol for symbol in library.symbols if symbol[0] != "EVP_beta"]
    assert refusalOf("EVP_beta", library) is Reason.MISSING


@pytest.mark.parametrize("at", [0, 15, FUNCTION_SIZE - 1])
def test_codeThatDiffersIsRefused(at: int) -> None:
    file = patched(place("EVP_beta") + at, b"\xcc")
    found = resolved(file)
    answer = found["EVP_beta"]
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.CODE
    assert found["SSL_alpha"] == TRUTH["SSL_alpha"]


# -- mutations

_NASTY = st.sampled_from(
    [0, 1, 2, 7, 24, 56, 63, 64, 0xFFFF, 1 << 31, (1 << 32) - 1, 1 << 63, (1 << 64) - 1]
) | st.integers(0, len(INTACT) + 64)
_WORDS = st.tuples(st.sampled_from("BHIQ"), st.integers(0, len(INTACT) - 8), _NASTY)


def mutated(file: bytes, words: list[tuple[str, int, int]]) -> bytes:
    changed = bytearray(file)
    for size, at, value in words:
        struct.pack_into(f"={size}", changed, at, value % (1 << 8 * struct.calcsize(size)))
    return bytes(changed)


def inTable(at: int) -> bool:
    """Whether a word here touches the symbols themselves."""
    return TABLE_AT - 8 < at < TABLE_AT + SYMBOL.size * (len(ALL) + 1)


@settings(max_examples=400, deadline=None)
@given(st.lists(_WORDS.filter(lambda word: not inTable(word[1])), min_size=1, max_size=4))
def test_aMutatedFileGivesTheTruthOrARefusal(words: list[tuple[str, int, int]]) -> None:
    try:
        found = resolved(mutated(INTACT, words))
    except Refused:
        return
    for name, answer in found.items():
        assert isinstance(answer, Refused) or answer == TRUTH[name]


@settings(max_examples=400, deadline=None)
@given(
    st.lists(_WORDS, max_size=6),
    st.lists(_WORDS.filter(lambda word: word[1] < LOADED - 8), max_size=2),
)
def test_whateverIsMutatedAnAddressIsWhereAFunctionStarts(
    inFile: list[tuple[str, int, int]], inBoth: list[tuple[str, int, int]]
) -> None:
    image = mutated(INTACT, inBoth)
    try:
        found = resolved(mutated(image, inFile), image)
    except Refused:
        return
    count = struct.unpack_from("=I", image, 280)[0]
    starts = {
        BIAS + ADDRESS + 272 + struct.unpack_from("=i", image, 284 + 8 * index)[0]
        for index in range(min(count, 64))
    }
    for answer in found.values():
        assert isinstance(answer, Refused) or answer in starts


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_noiseIsRefused(noise: bytes, asElf: bool) -> None:
    with pytest.raises(Refused):
        resolved(INTACT[:7] + noise if asElf else noise)


# -- memory

posix = pytest.mark.skipif(os.name != "posix", reason="there is no pipe to read through")


@posix
def test_memoryIsReadAsItIs() -> None:
    from cffi import FFI

    ffi = FFI()
    area = os.urandom(20_000)
    held = ffi.from_buffer(area)
    with Memory() as memory:
        address = int(ffi.cast("uintptr_t", held))
        assert memory.read(address, len(area)) == area
        assert memory.read(address + 5, 0) == b""
        # No address has more bits than there are, whatever ctypes makes of it.
        with pytest.raises(Refused) as caught:
            memory.read(address + (1 << 64), 16)
    assert caught.value.reason is Reason.MEMORY


@posix
@pytest.mark.parametrize("address", [0, -1, 8, 1 << 63, (1 << 64) - 4, 1 << 70])
def test_aWrongAddressIsRefusedAndNotAFault(address: int) -> None:
    with Memory() as memory, pytest.raises(Refused) as caught:
        memory.read(address, 16)
    assert caught.value.reason is Reason.MEMORY


@posix
def test_readingOnIntoMemoryThatMayNotBeReadIsRefused() -> None:
    """The first page can be read, the second is the kernel's to refuse."""
    import ctypes

    size = mmap.PAGESIZE
    with mmap.mmap(-1, 2 * size) as area:
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        view = ctypes.c_char.from_buffer(area)
        start = ctypes.addressof(view)
        try:
            assert protect(start + size, size, 0) == 0
            with Memory() as memory:
                assert memory.read(start + size - 16, 16) == bytes(16)
                with pytest.raises(Refused) as caught:
                    memory.read(start + size - 16, 17)
        finally:
            protect(start + size, size, 3)
            del view
    assert caught.value.reason is Reason.MEMORY
