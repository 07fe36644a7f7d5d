"""The index file: what its header says, and whether it can be believed.

One file holds one vector index, little-endian throughout:

| bytes | what |
|---|---|
| 0 to 8 | magic |
| 8 to 16 | format version; flags, which must be zero |
| 16 to 112 | parameters and counts, in the order of `Header` |
| 112 to 400 | for each `Section`: offset, length, XXH3-128 of its bytes (low half first) |
| 400 to 4080 | uint32 length of the note, the note: bytes that mean something to whoever saved it |
| 4080 to 4096 | XXH3-128 of the bytes before |
| from 16384 | the sections, each from a multiple of 16384 on |

The sections are the index's own memory, so that a file can be mapped and searched as it lies there.
"""

import enum
import os
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import xxhash

from medha_core.errors import ArgumentTypeError, ArgumentValueError, SnapshotError
from medha_core.index_arguments import QUANTIZATIONS, TIERS

__all__ = [
    "FIRST_SECTION",
    "ROTATION_SEED",
    "VERSION",
    "Header",
    "Section",
    "Stretch",
    "check_note",
    "open_file",
    "read_header",
    "sync_folder",
    "verify",
    "write_sections",
    "write_whole",
]

MAGIC = b"\x89MEDHA\r\n"
"""A byte beyond ASCII and both line ends: whoever copies the file as text changes it here."""
VERSION = 1
ALIGNMENT = FIRST_SECTION = 16384
ROTATION_SEED = 0x6D65646861
HEADER_BYTES = 4096
_MOST_SLOTS = 2**31 - 1
_HIGHEST_LEVEL = 63
_FIXED = struct.Struct("<8s10I3QIi2Q16x")
_STRETCH = struct.Struct("<4Q")
_DIGEST = struct.Struct("<2Q")


class Section(enum.IntEnum):
    """What a file holds, slot by slot unless said otherwise; `ext/` keeps the same numbers."""

    LABELS = 0
    """uint64."""
    VECTORS = 1
    """float32 of unit length, padded with zeros to a multiple of 16."""
    SIGN_BITS = 2
    """128, 256 or 512 bits of the rotated vector."""
    LOW_PREFIXES = 3
    """Bits 0 to 127 of eight slots side by side: their low words, then their high words."""
    HIGH_PREFIXES = 4
    """Bits 128 to 255 in the same form; empty where there are 128 bits only."""
    BLOCKS = 5
    """Of joined slots: codes, then uint32 number of links (bit 16: tombstone), then slots linked to."""
    UPPER_STARTS = 6
    """uint32[joined + 1]: which lists of UPPER_LINKS belong to a slot, one for each level above 0."""
    UPPER_LINKS = 7
    """Lists of uint32 number of links, then M slots linked to."""
    LABEL_TABLE = 8
    """Open addressing over a power of two of cells: uint64 label, uint32 slot + 1 (0: empty), uint32 0."""


_NOTE = struct.Struct("<I")
_NOTE_AT = _FIXED.size + len(Section) * _STRETCH.size
MOST_NOTE = HEADER_BYTES - _NOTE_AT - _NOTE.size - 16
"""Bytes that a note may have."""


@dataclass(frozen=True)
class Stretch:
    """Where a section lies, in bytes, and its checksum."""

    offset: int
    length: int
    checksum: int


@dataclass(frozen=True)
class Header:
    """The parameters of an index, its counts, and where its sections lie."""

    dimension: int
    quantization: str
    tier: str
    M: int
    ef_construction: int
    block_bytes: int
    """Of a joined slot."""
    graph_from: int
    entries: int
    """Slots, tombstones included."""
    joined: int
    tombstones: int
    entry_point: int
    top_level: int
    seed: int
    """Of the rotation that sign bits are taken from."""
    sections: tuple[Stretch, ...]
    note: bytes = b""

    def pack(self) -> bytes:
        fixed = _FIXED.pack(
            MAGIC,
            VERSION,
            0,
            self.dimension,
            QUANTIZATIONS.index(self.quantization),
            TIERS.index(self.tier),
            self.M,
            self.ef_construction,
            self.block_bytes,
            len(self.sections),
            0,
            self.entries,
            self.joined,
            self.tombstones,
            self.entry_point,
            self.top_level,
            self.seed,
            self.graph_from,
        )
        body = fixed + b"".join(
            _STRETCH.pack(s.offset, s.length, *_halves(s.checksum)) for s in self.sections
        )
        body += _NOTE.pack(len(self.note)) + self.note
        body = body.ljust(HEADER_BYTES - _DIGEST.size, b"\0")
        return body + _digest(body)


def _halves(checksum: int) -> tuple[int, int]:
    return checksum & (2**64 - 1), checksum >> 64


def _digest(data: bytes) -> bytes:
    return _DIGEST.pack(*_halves(xxhash.xxh3_128_intdigest(data)))


def read_header(file: int, path: str | Path) -> Header:
    """The header of the open file, every number checked. Raises `SnapshotError` naming what disagrees."""
    size = os.fstat(file).st_size
    os.lseek(file, 0, os.SEEK_SET)
    data = _read(file, HEADER_BYTES)
    check = _Checks(path)
    check.that(data[:8] == MAGIC[: len(data[:8])] and size > 0, "not an index file: it starts with", data[:8])
    check.that(size >= HEADER_BYTES, f"cut off: a header has {HEADER_BYTES} bytes, the file", size)
    version, flags = struct.unpack_from("<2I", data, 8)
    check.that(
        version <= VERSION,
        f"of a newer medha_core: this one reads formats up to {VERSION}, not",
        version,
    )
    check.that(version == VERSION, "no such format: versions start at 1, this says", version)
    check.that(data[-_DIGEST.size :] == _digest(data[: -_DIGEST.size]), "damaged header: checksum", "differs")
    check.equal("flags", flags, 0)
    header = _unpack(data, check)
    _check_counts(header, check)
    _check_sections(header, size, check)
    return header


def _read(file: int, most: int) -> bytes:
    data = b""
    while len(data) < most and (part := os.read(file, most - len(data))):
        data += part
    return data


class _Checks:
    """One sentence for each number that cannot be."""

    def __init__(self, path: str | Path):
        self._path = path

    def that(self, holds: bool, what: str, seen: object) -> None:
        if not holds:
            raise SnapshotError(f"{os.fspath(self._path)}: {what} {seen!r}")

    def equal(self, what: str, seen: int, expected: int) -> None:
        self.that(seen == expected, f"{what} must be {expected}, is", seen)

    def within(self, what: str, seen: int, least: int, most: int) -> None:
        self.that(least <= seen <= most, f"{what} must lie from {least} to {most}, is", seen)


def _unpack(data: bytes, check: _Checks) -> Header:
    fields = _FIXED.unpack_from(data)[3:]
    dimension, quantization, tier, links, effort, block, sections, zero, *rest = fields
    check.within("quantization", quantization, 0, len(QUANTIZATIONS) - 1)
    check.within("tier", tier, 0, len(TIERS) - 1)
    check.equal("number of sections", sections, len(Section))
    check.equal("reserved field", zero, 0)
    entries, joined, tombstones, entry_point, top_level, seed, graph_from = rest
    return Header(
        dimension,
        QUANTIZATIONS[quantization],
        TIERS[tier],
        links,
        effort,
        block,
        graph_from,
        entries,
        joined,
        tombstones,
        entry_point,
        top_level,
        seed,
        tuple(_stretches(data)),
        _note(data, check),
    )


def _note(data: bytes, check: _Checks) -> bytes:
    (length,) = _NOTE.unpack_from(data, _NOTE_AT)
    check.within("length of the note", length, 0, MOST_NOTE)
    start = _NOTE_AT + _NOTE.size
    return data[start : start + length]


def _stretches(data: bytes) -> list[Stretch]:
    found = []
    for section in Section:
        offset, length, low, high = _STRETCH.unpack_from(data, _FIXED.size + section * _STRETCH.size)
        found.append(Stretch(offset, length, low | high << 64))
    return found


def _check_counts(header: Header, check: _Checks) -> None:
    check.within("dimension", header.dimension, 1, 65535)
    check.within("M", header.M, 2, 1024)
    check.within("ef_construction", header.ef_construction, 1, 2**31 - 1)
    check.within("graph_from", header.graph_from, 0, 2**31 - 1)
    check.equal("seed of the rotation", header.seed, ROTATION_SEED)
    check.within("number of entries", header.entries, 0, _MOST_SLOTS)
    check.within("number of entries in the graph", header.joined, 0, header.entries)
    check.within("number of tombstones", header.tombstones, 0, header.joined)
    if header.joined:
        check.within("entry point", header.entry_point, 0, header.joined - 1)
        check.within("top level", header.top_level, 0, _HIGHEST_LEVEL)


def _check_sections(header: Header, size: int, check: _Checks) -> None:
    least = FIRST_SECTION
    for section, stretch in zip(Section, header.sections, strict=True):
        name = f"section {section.name.lower()}"
        check.that(
            stretch.offset % ALIGNMENT == 0,
            f"{name}: offset must be a multiple of {ALIGNMENT}, is",
            stretch.offset,
        )
        check.within(f"{name}: offset", stretch.offset, least, sys.maxsize)
        least = stretch.offset + stretch.length
        check.that(least <= size, f"cut off or damaged: {name} ends at byte {least}, the file at", size)
        check.equal(f"{name}: length", stretch.length, _length(section, header))


def _length(section: Section, header: Header) -> int:
    """What the counts say about a section's length, in bytes."""
    bits = 128 if header.dimension <= 128 else 256 if header.dimension <= 256 else 512
    said = header.sections[section].length
    match section:
        case Section.LABELS:
            return 8 * header.entries
        case Section.VECTORS:
            return 4 * header.entries * (-(-header.dimension // 16) * 16)
        case Section.SIGN_BITS:
            return header.entries * bits // 8
        case Section.LOW_PREFIXES:
            return -(-header.entries // 8) * 128
        case Section.HIGH_PREFIXES:
            return -(-header.entries // 8) * 128 if bits > 128 else 0
        case Section.BLOCKS:
            return header.joined * header.block_bytes
        case Section.UPPER_STARTS:
            return 4 * (header.joined + 1)
        case Section.UPPER_LINKS:
            list_bytes = 4 * (header.M + 1)
            return said // list_bytes * list_bytes
        case Section.LABEL_TABLE:
            cells = 64
            while 2 * cells < 3 * (header.entries - header.tombstones) or cells < said // 16:
                cells *= 2
            return 16 * cells


_AT_ONCE = 1 << 24


def verify(
    file: int, header: Header, path: str | Path, on_bytes: Callable[[int], object] = lambda _: None
) -> None:
    """Compare every section with its checksum. Raises `SnapshotError` naming the first that differs.

    `on_bytes` is called after each few megabytes with their number. The file is read, not mapped, so
    that this process does not come to hold its pages.
    """
    for section, stretch in zip(Section, header.sections, strict=True):
        seen, left = xxhash.xxh3_128(), stretch.length
        os.lseek(file, stretch.offset, os.SEEK_SET)
        while left > 0 and (part := os.read(file, min(left, _AT_ONCE))):
            seen.update(part)
            left -= len(part)
            on_bytes(len(part))
        if seen.intdigest() != stretch.checksum:
            raise SnapshotError(
                f"{os.fspath(path)}: damaged: section {section.name.lower()} has checksum "
                f"{seen.hexdigest()}, written was {stretch.checksum:032x}"
            )


def check_note(note: object) -> None:
    """Bytes that fit beside the header of a file."""
    if not isinstance(note, bytes):
        raise ArgumentTypeError("note", "bytes", note)
    if len(note) > MOST_NOTE:
        raise ArgumentValueError("note", f"at most {MOST_NOTE} bytes", len(note))


def write_sections(file: int, sections: Sequence[bytes]) -> tuple[Stretch, ...]:
    """Lay `sections` (in the order of `Section`) into the open file; where they lie, for its header."""
    at, laid = FIRST_SECTION, []
    for data in sections:
        os.lseek(file, at, os.SEEK_SET)
        for start in range(0, len(data), _AT_ONCE):
            _write(file, data[start : start + _AT_ONCE])
        laid.append(Stretch(at, len(data), xxhash.xxh3_128_intdigest(data)))
        at = -(-(at + len(data)) // ALIGNMENT) * ALIGNMENT
    return tuple(laid)


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def write_whole(path: str | Path, write: Callable[[int], Header]) -> None:
    """Let `write` fill a file beside `path` and put it there once it is whole and on the disk.

    `write` gets the descriptor, lays the sections, and returns the header. Whoever has the old file open or
    mapped keeps it as it was. Raises `SnapshotError` when the system refuses; what was there stays.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}")
    try:
        try:
            _fill(temporary, write)
            os.replace(temporary, path)
            sync_folder(path.parent)
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()
    except OSError as error:
        raise SnapshotError(f"{path}: cannot be written: {error.strerror}") from error


def _fill(path: Path, write: Callable[[int], Header]) -> None:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    file = os.open(path, flags, 0o666)
    try:
        header = write(file)
        end = max(s.offset + s.length for s in header.sections)
        os.ftruncate(file, -(-end // ALIGNMENT) * ALIGNMENT)
        os.lseek(file, 0, os.SEEK_SET)
        _write(file, header.pack())
        os.fsync(file)
    finally:
        os.close(file)


def sync_folder(folder: Path) -> None:
    """Wait until what a folder lists is on disk."""
    if os.name == "nt":
        return  # Windows cannot open a folder; its rename is in the journal
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def open_file(path: str | Path) -> Iterator[int]:
    """A descriptor for reading; a mapping of it lives on. What the system refuses becomes `SnapshotError`."""
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
        try:
            yield file
        finally:
            os.close(file)
    except OSError as error:
        raise SnapshotError(f"{os.fspath(path)}: cannot be read: {error.strerror}") from error
