"""
A library's own file, held against the copy of it that is running.

A wheel of cryptography holds the whole of OpenSSL, and exports none of it.
The functions are there all the same: the linker made them local, and the
file's symbol table (C{.symtab}), which the loader never reads, still tells
where they are.  Taking an address from there means believing a file, and a
file may be another one than the one that was loaded: upgraded while the
program runs, stripped, cut short, or tampered with.  A wrong address is a jump
to anywhere.  So nothing is believed that can be checked:

- The file is untrusted input.  Every offset, size, count and index is checked
  before it is used; what does not fit is a L{Refused} and nothing else.  It is
  read, not mapped: a mapping of a file that is then cut kills the process.
- Where the library lies in memory (the bias) is the address of a function that
  is known, less the place that the file gives for it.  It has to be a whole
  number of pages, and several other known functions have to give the same.
- The file's headers, and the build-id that the linker computed over all of it,
  have to be the very bytes that lie in memory.
- A symbol has to be one function, in a segment that is executed, at one
  address, with a size; no other function may be there too; and its code in
  memory has to be its code in the file.
- The symbol table itself is not loaded, so nothing in memory vouches for it.
  But the index for unwinding (C{.eh_frame_hdr}) is, and it lists where every
  function starts: the symbol has to start at one of these places, and to end
  before the next.
- Memory is read by having the kernel copy it into a pipe.  A wrong address is
  then an error to be handled, and not the end of the process.

What this cannot prove is that a function's arguments are what we think; that
rests on the tables and the self-test in C{symbols.py}.

Sources: System V ABI, generic, chapters 4 and 5; elf(5); the Linux Standard Base
on .eh_frame_hdr; the note type NT_GNU_BUILD_ID of binutils.
"""

from __future__ import annotations

import enum
import os
import struct
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import BinaryIO, Final, NamedTuple

__all__ = ["Elf", "Memory", "Reason", "Refused", "resolve"]


class Reason(enum.Enum):
    """Why a function cannot be had; the value says it in words."""

    OFF = "switched off"
    FOREIGN = "not OpenSSL itself but a relative of it"
    MAJOR = "prototypes are not known for this major version of OpenSSL"
    DECLARED = "declared otherwise by cryptography"
    NO_FILE = "the file of cryptography's binding cannot be opened"
    NOT_LOADED = "no library is loaded from that path"
    VERSION = "another version of OpenSSL than the one in use"
    OTHER_IMAGE = "another copy of OpenSSL than the one in use"
    SELF_TEST = "the self-test failed"
    NOT_ELF = "not an ELF file"
    FORMAT = "not an ELF file of the expected form"
    TRUNCATED = "the file is shorter than it says"
    NO_SYMTAB = "the file has no symbol table (stripped)"
    NO_ANCHORS = "too few known functions to measure by"
    BIAS = "the place in memory is not a whole number of pages"
    ANCHORS = "known functions disagree about the place in memory"
    MEMORY = "memory cannot be read there"
    MACHINE = "made for another machine than the one that runs"
    HEADERS = "headers in memory differ from the file's"
    NO_BUILD_ID = "the file has no build-id"
    BUILD_ID = "the build-id in memory differs from the file's"
    MISSING = "not there"
    KIND = "not a function"
    AMBIGUOUS = "several addresses"
    SHARED = "another function claims the same place"
    NO_START = "no function starts and ends there, says the index for unwinding in memory"
    NO_INDEX = "the file has no index for unwinding"
    SEGMENT = "not in a segment that is executed"
    CODE = "code in memory differs from the file's"


class Refused(Exception):
    """
    A function, or a whole source of functions, cannot be had.

    @ivar reason: a L{Reason}.
    @ivar detail: what was seen, or the empty string.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail


# The magic numbers of what else a library may be, to say so by name.
_OTHER_FORMATS: Final = {
    b"\xcf\xfa\xed\xfe": "Mach-O",
    b"\xca\xfe\xba\xbe": "Mach-O, several machines",
    b"MZ": "PE, Windows",
}
_HEADER_SIZE: Final = 64
_HEADER: Final = struct.Struct("=16sHHIQQQIHHHHHH")
_SEGMENT: Final = struct.Struct("=IIQQQQQQ")
_SECTION: Final = struct.Struct("=IIQQQQIIQQ")
_NOTE: Final = struct.Struct("=III")
_INDEX: Final = struct.Struct("=4siI")
# Version 1; the frames' place relative to here, in 4 bytes; the count in 4 bytes; a sorted
# table of pairs, 4 bytes each, relative to the index.  Every linker writes it so.
_INDEX_FORM: Final = b"\x01\x1b\x03\x3b"
_INDEX_ENTRY: Final = 8
_SYMBOL_SIZE: Final = 24
_MACHINE_AT: Final = slice(18, 20)

_CLASS_64: Final = 2
_DATA: Final = {1: "little", 2: "big"}
_TYPE_SHARED: Final = 3
_MANY_SEGMENTS: Final = 0xFFFF
_PT_LOAD: Final = 1
_PT_NOTE: Final = 4
_PT_GNU_EH_FRAME: Final = 0x6474E550
_EXECUTED: Final = 1
_SHT_SYMTAB: Final = 2
_SHT_STRTAB: Final = 3
_STT_FUNC: Final = 2
_SHN_UNDEFINED: Final = 0
_NT_GNU_BUILD_ID: Final = 3

# Far above what any build has (the wheels' tables are 1 and 2 MB), and low enough that a
# hostile file costs little.
_TABLE_LIMIT: Final = 64 * 1024 * 1024
_NOTES_LIMIT: Final = 64 * 1024
# Of a function's code, at least and at most this much is compared.
_CODE_LEAST: Final = 16
_CODE_MOST: Final = 4096
# So many known functions have to agree, at least.
_ANCHORS_LEAST: Final = 4
_ADDRESSES: Final = 1 << 64


class Segment(NamedTuple):
    """A program header: a part of the file, and where it lies in memory less the bias."""

    kind: int
    flags: int
    offset: int
    address: int
    fileSize: int
    align: int


class Symbol(NamedTuple):
    """A function of the file: its address less the bias, and its size in bytes."""

    address: int
    size: int


class Elf:
    """
    A shared library's file, 64 bits, of this machine's byte order.

    @ivar header: the file's first 64 bytes.
    @ivar programHeaders: the table of segments as it lies in the file.
    @ivar programHeadersAt: where in the file that is.

    @raise Refused: from every member, whatever is wrong with the file.
    """

    __slots__ = ("_sectionsAt", "_sectionsCount", "_size", "_stream", "header", "programHeaders",
                 "programHeadersAt", "segments")  # fmt: skip

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._size = stream.seek(0, os.SEEK_END)
        self._checkMagic()
        self.header = self._read(0, _HEADER_SIZE)
        (
            ident,
            kind,
            _machine,
            _version,
            _entry,
            self.programHeadersAt,
            self._sectionsAt,
            _flags,
            _headerSize,
            segmentSize,
            segmentCount,
            sectionSize,
            self._sectionsCount,
            _names,
        ) = _HEADER.unpack(self.header)
        if ident[4] != _CLASS_64:
            raise Refused(Reason.FORMAT, "not of 64 bits")
        if _DATA.get(ident[5]) != sys.byteorder:
            raise Refused(Reason.FORMAT, "of the other byte order")
        if kind != _TYPE_SHARED:
            raise Refused(Reason.FORMAT, f"not a shared library: type {kind}")
        if segmentSize != _SEGMENT.size or segmentCount in (0, _MANY_SEGMENTS):
            raise Refused(Reason.FORMAT, "no table of segments")
        if self._sectionsAt == 0 or self._sectionsCount == 0:
            raise Refused(Reason.NO_SYMTAB, "no table of sections")
        if sectionSize != _SECTION.size:
            raise Refused(Reason.FORMAT, f"sections of {sectionSize} bytes")
        self.programHeaders = self._read(self.programHeadersAt, segmentSize * segmentCount)
        self.segments = [
            Segment(kind, flags, offset, address, fileSize, align)
            for kind, flags, offset, address, _, fileSize, _, align in _SEGMENT.iter_unpack(
                self.programHeaders
            )
        ]

    def _checkMagic(self) -> None:
        magic = self._read(0, 4)
        if magic != b"\x7fELF":
            other = _OTHER_FORMATS.get(magic) or _OTHER_FORMATS.get(magic[:2], "")
            raise Refused(Reason.NOT_ELF, other)

    def _read(self, offset: int, size: int) -> bytes:
        """Exactly these bytes of the file."""
        if offset + size > self._size:
            raise Refused(Reason.TRUNCATED, f"{size} bytes at {offset} of {self._size}")
        self._stream.seek(offset)
        data = self._stream.read(size)
        if len(data) != size:
            raise Refused(Reason.TRUNCATED, f"{size} bytes at {offset}: cut while being read")
        return data

    def addressOf(self, offset: int, size: int) -> int:
        """Where these bytes of the file are loaded, less the bias."""
        for segment in self.segments:
            if segment.kind == _PT_LOAD and (
                segment.offset <= offset and offset + size <= segment.offset + segment.fileSize
            ):
                return segment.address + offset - segment.offset
        raise Refused(Reason.FORMAT, f"{size} bytes at {offset} are not loaded")

    def buildId(self) -> tuple[int, bytes]:
        """The note with the build-id, whole: its place in the file, and its bytes."""
        for segment in self.segments:
            if segment.kind == _PT_NOTE:
                if segment.fileSize > _NOTES_LIMIT:
                    raise Refused(Reason.FORMAT, "notes without measure")
                found = _findBuildId(
                    self._read(segment.offset, segment.fileSize), 8 if segment.align == 8 else 4
                )
                if found is not None:
                    at, note = found
                    return segment.offset + at, note
        raise Refused(Reason.NO_BUILD_ID)

    def code(self, symbol: Symbol) -> bytes:
        """The function's code: all of it up to 4 KiB, and 16 bytes at least."""
        for segment in self.segments:
            inside = symbol.address - segment.address
            if (
                segment.kind == _PT_LOAD
                and segment.flags & _EXECUTED
                and inside >= 0
                and inside + symbol.size <= segment.fileSize
            ):
                most = min(max(symbol.size, _CODE_LEAST), _CODE_MOST)
                return self._read(segment.offset + inside, min(most, segment.fileSize - inside))
        raise Refused(Reason.SEGMENT, f"{symbol.address:#x}")

    def index(self) -> Segment:
        """The segment with the index for unwinding."""
        for segment in self.segments:
            if segment.kind == _PT_GNU_EH_FRAME:
                if segment.fileSize > _TABLE_LIMIT:
                    raise Refused(Reason.FORMAT, "an index without measure")
                return segment
        raise Refused(Reason.NO_INDEX)

    def functions(self, names: Iterable[str]) -> dict[str, Symbol | Refused]:
        """For each name the one function of that name, or why there is none."""
        symbols, strings = self._tables()
        byOffset: dict[int, str] = {}
        wanted: dict[str, list[int]] = {name: [] for name in names}
        for name in wanted:
            # All occurrences: the linker lets a name be the tail of a longer one.
            text = name.encode("ascii") + b"\0"
            at = strings.find(text)
            while at >= 0:
                byOffset[at] = name
                at = strings.find(text, at + 1)
        words = memoryview(symbols)
        starts = words.cast("I")[0::6].tolist()
        kinds = [info & 15 for info in words[4::_SYMBOL_SIZE].tolist()]
        sections = words.cast("H")[3::12].tolist()
        addresses = words.cast("Q")[1::3].tolist()
        sizes = words.cast("Q")[2::3].tolist()
        for index, start in enumerate(starts):
            if start in byOffset and sections[index] != _SHN_UNDEFINED:
                wanted[byOffset[start]].append(index)
        claims = Counter(addresses[index] for index, kind in enumerate(kinds) if kind == _STT_FUNC)
        found: dict[str, Symbol | Refused] = {}
        for name, indices in wanted.items():
            try:
                found[name] = _theFunction(
                    [(kinds[i], Symbol(addresses[i], sizes[i])) for i in indices], claims
                )
            except Refused as refused:
                found[name] = refused
        return found

    def _tables(self) -> tuple[bytes, bytes]:
        """The symbol table, and the strings it points into."""
        headers = self._read(self._sectionsAt, _SECTION.size * self._sectionsCount)
        sections = list(_SECTION.iter_unpack(headers))
        tables = [section for section in sections if section[1] == _SHT_SYMTAB]
        if not tables:
            raise Refused(Reason.NO_SYMTAB)
        if len(tables) > 1:
            raise Refused(Reason.FORMAT, "several symbol tables")
        _, _, _, _, offset, size, link, _, _, entrySize = tables[0]
        if entrySize != _SYMBOL_SIZE or size % _SYMBOL_SIZE or size > _TABLE_LIMIT:
            raise Refused(Reason.FORMAT, f"a symbol table of {size} bytes by {entrySize}")
        if link >= len(sections) or sections[link][1] != _SHT_STRTAB:
            raise Refused(Reason.FORMAT, f"no strings in section {link}")
        stringsAt, stringsSize = sections[link][4:6]
        if stringsSize > _TABLE_LIMIT:
            raise Refused(Reason.FORMAT, f"strings of {stringsSize} bytes")
        return self._read(offset, size), self._read(stringsAt, stringsSize)


def _theFunction(candidates: list[tuple[int, Symbol]], claims: Mapping[int, int]) -> Symbol:
    if not candidates:
        raise Refused(Reason.MISSING)
    places = {symbol for _, symbol in candidates}
    if len(places) > 1:
        raise Refused(Reason.AMBIGUOUS, f"{len(places)} symbols")
    kind, symbol = candidates[0]
    if any(kind != _STT_FUNC for kind, _ in candidates):
        raise Refused(Reason.KIND, f"a symbol of type {kind}")
    if symbol.size == 0:
        raise Refused(Reason.KIND, "a symbol without a size")
    if claims[symbol.address] != len(candidates):
        raise Refused(Reason.SHARED, f"{symbol.address:#x}")
    return symbol


def _findBuildId(notes: bytes, align: int) -> tuple[int, bytes] | None:
    """The note of the build-id among these, and where it starts."""
    at = 0
    while at + _NOTE.size <= len(notes):
        nameSize, size, kind = _NOTE.unpack_from(notes, at)
        body = at + _NOTE.size + -(-nameSize // align) * align
        if body + size > len(notes):
            raise Refused(Reason.FORMAT, "a note that runs over")
        name = notes[at + _NOTE.size : at + _NOTE.size + nameSize]
        if kind == _NT_GNU_BUILD_ID and name == b"GNU\0" and size:
            return at, notes[at : body + size]
        at = body + -(-size // align) * align
    return None


class Memory:
    """
    This process's memory, read without the risk of a fault.

    The kernel copies the bytes into a pipe for us; for an address that is not
    mapped, or may not be read, it answers EFAULT.  POSIX only.
    """

    _CHUNK: Final = 4096  # what every pipe takes at once, without waiting

    def __init__(self) -> None:
        import ctypes

        self._lastError: Callable[[], int] = ctypes.get_errno
        self._write = ctypes.CDLL(None, use_errno=True).write
        self._write.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
        self._write.restype = ctypes.c_ssize_t
        self._out, self._in = os.pipe()

    def __enter__(self) -> Memory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._out)
        os.close(self._in)

    def read(self, address: int, size: int) -> bytes:
        """
        @raise Refused: C{MEMORY}, where any of it cannot be read.
        """
        parts = []
        while size:
            wanted = min(size, self._CHUNK)
            if not 0 < address < _ADDRESSES - wanted:
                raise Refused(Reason.MEMORY, f"{address:#x} is no address")
            count = self._write(self._in, address, wanted)
            if count <= 0:
                raise Refused(Reason.MEMORY, f"{address:#x}: {os.strerror(self._lastError())}")
            parts.append(os.read(self._out, count))
            address += count
            size -= count
        return b"".join(parts)


def resolve(
    elf: Elf,
    read: Callable[[int, int], bytes],
    anchors: Mapping[str, int],
    names: Iterable[str],
    pageSize: int,
) -> dict[str, int | Refused]:
    """
    The addresses in memory of a loaded library's functions.

    @param elf: the library's file.
    @param read: what reads memory: an address and a size to bytes.
    @param anchors: local symbols of the file whose address in memory is known.
    @param names: what is looked for.
    @return: for each name its address, or why it cannot be had.
    @raise Refused: the file is not to be believed at all.
    """
    names = list(names)
    found = elf.functions([*anchors, *names])
    bias = _measureBias(found, anchors, pageSize)
    _checkHeaders(elf, read, bias)
    _checkBuildId(elf, read, bias)
    starts = _readStarts(elf, read, bias)
    addresses: dict[str, int | Refused] = {}
    for name in names:
        symbol = found[name]
        try:
            if isinstance(symbol, Refused):
                raise symbol
            _checkCode(elf, read, bias, symbol)
            _checkStart(starts, symbol)
            addresses[name] = bias + symbol.address
        except Refused as refused:
            addresses[name] = refused
    return addresses


def _measureBias(
    found: Mapping[str, Symbol | Refused], anchors: Mapping[str, int], pageSize: int
) -> int:
    biases = []
    for name, address in anchors.items():
        symbol = found[name]
        if isinstance(symbol, Symbol):
            biases.append(address - symbol.address)
        elif symbol.reason is not Reason.MISSING:
            raise Refused(Reason.ANCHORS, f"{name}: {symbol}")
    if len(biases) < _ANCHORS_LEAST:
        raise Refused(Reason.NO_ANCHORS, f"{len(biases)} of {len(anchors)}")
    if biases[0] % pageSize:
        raise Refused(Reason.BIAS, f"{biases[0]:#x}")
    if len(set(biases)) > 1:
        raise Refused(Reason.ANCHORS, f"{len(set(biases))} places")
    return biases[0]


def _checkHeaders(elf: Elf, read: Callable[[int, int], bytes], bias: int) -> None:
    """The loader mapped the file's headers too; they are compared byte for byte."""
    loaded = read(bias + elf.addressOf(0, _HEADER_SIZE), _HEADER_SIZE)
    if loaded[_MACHINE_AT] != elf.header[_MACHINE_AT]:
        raise Refused(Reason.MACHINE)
    if loaded != elf.header:
        raise Refused(Reason.HEADERS, "of the file")
    size = len(elf.programHeaders)
    if read(bias + elf.addressOf(elf.programHeadersAt, size), size) != elf.programHeaders:
        raise Refused(Reason.HEADERS, "of the segments")


def _checkBuildId(elf: Elf, read: Callable[[int, int], bytes], bias: int) -> None:
    offset, note = elf.buildId()
    if read(bias + elf.addressOf(offset, len(note)), len(note)) != note:
        raise Refused(Reason.BUILD_ID)


def _readStarts(elf: Elf, read: Callable[[int, int], bytes], bias: int) -> list[int]:
    """Where functions start, less the bias, in order: the index for unwinding in memory."""
    segment = elf.index()
    index = read(bias + segment.address, segment.fileSize)
    if len(index) < _INDEX.size:
        raise Refused(Reason.FORMAT, "a short index for unwinding")
    form, _, count = _INDEX.unpack_from(index)
    table = memoryview(index)[_INDEX.size : _INDEX.size + _INDEX_ENTRY * count]
    if form != _INDEX_FORM or len(table) != _INDEX_ENTRY * count:
        raise Refused(Reason.FORMAT, f"an index for unwinding of another form: {form.hex()}")
    return sorted(segment.address + start for start in table.cast("i")[0::2].tolist())


def _checkCode(elf: Elf, read: Callable[[int, int], bytes], bias: int, symbol: Symbol) -> None:
    code = elf.code(symbol)
    if read(bias + symbol.address, len(code)) != code:
        raise Refused(Reason.CODE, f"{symbol.size} bytes at {symbol.address:#x}")


def _checkStart(starts: list[int], symbol: Symbol) -> None:
    first = bisect_left(starts, symbol.address)
    after = bisect_left(starts, symbol.address + symbol.size)
    if first == len(starts) or starts[first] != symbol.address or after != first + 1:
        raise Refused(Reason.NO_START, f"{symbol.size} bytes at {symbol.address:#x}")
