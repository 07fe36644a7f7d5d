"""The records in a SQLite file, read without SQLite: for files that SQLite refuses.

The format is that of https://www.sqlite.org/fileformat2.html. Nothing in the file is believed: numbers that
lead nowhere end a record, a chain or a list, and whether a record is what was written is for its seal to say.
"""

import struct
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

__all__ = ["Record", "records"]

Value = int | float | str | bytes | None

_PAGE = 4096
"""What SQLite makes unless told otherwise, for files whose header is lost."""
_LEAF = 0x0D
"""Type of the pages that hold a table's rows."""
_FIRST_PAGE_HEADER = 100
_FRAME = struct.Struct(">6I")
_LOG_HEADER = 32
_LONGEST = 1 << 28
"""Bytes of a record beyond which its length is damage."""
_INTEGER_BYTES = (0, 1, 2, 3, 4, 6, 8)
_BadRecord = (IndexError, ValueError, struct.error)


class Record(NamedTuple):
    """One row of some table."""

    rowid: int
    values: tuple[Value, ...]


def records(path: Path) -> Iterator[Record]:
    """Every row of every table that can be read, those of the log beside the file among them.

    Rows on pages that were given back are left out as far as the list of these pages is sound.
    """
    file = _File(path)
    for number in range(1, file.pages + 1):
        if number not in file.unused:
            yield from file.leaf(number)


class _File:
    """Pages by number, from the log where it has a newer one."""

    def __init__(self, path: Path):
        self._data = path.read_bytes()
        self._page, self._room = _sizes(self._data)
        log = path.with_name(f"{path.name}-wal")
        self._newer = _committed(log.read_bytes(), self._page) if log.exists() else {}
        self.pages = max([-(-len(self._data) // self._page), *self._newer])
        self.unused = self._freed()

    def page(self, number: int) -> bytes:
        newer = self._newer.get(number)
        return newer if newer is not None else self._data[(number - 1) * self._page : number * self._page]

    def _freed(self) -> set[int]:
        found: set[int] = set()
        header = self.page(1)[:_FIRST_PAGE_HEADER]
        trunk = int.from_bytes(header[32:36], "big") if len(header) == _FIRST_PAGE_HEADER else 0
        while 0 < trunk <= self.pages and trunk not in found:
            found.add(trunk)
            page = self.page(trunk)
            count = int.from_bytes(page[4:8], "big")
            leaves = islice(
                struct.iter_unpack(">I", page[8 : len(page) // 4 * 4]), min(count, self._room // 4)
            )
            found.update(number for (number,) in leaves)
            trunk = int.from_bytes(page[:4], "big")
        return found

    def leaf(self, number: int) -> Iterator[Record]:
        """The rows on a page, if it is one that holds rows."""
        page, start = self.page(number), _FIRST_PAGE_HEADER if number == 1 else 0
        if len(page) < start + 8 or page[start] != _LEAF:
            return
        count = int.from_bytes(page[start + 3 : start + 5], "big")
        for at in range(start + 8, min(start + 8 + 2 * count, len(page) - 1), 2):
            try:
                yield self._cell(page, int.from_bytes(page[at : at + 2], "big"))
            except _BadRecord:
                continue

    def _cell(self, page: bytes, at: int) -> Record:
        length, at = _varint(page, at)
        rowid, at = _varint(page, at)
        if length > _LONGEST:
            raise ValueError(length)
        local = self._local(length)
        body = page[at : at + local]
        if local < length:
            body += self._overflow(int.from_bytes(page[at + local : at + local + 4], "big"), length - local)
        if len(body) != length:
            raise ValueError("cut off")
        return Record(_signed(rowid), _decoded(body))

    def _local(self, length: int) -> int:
        """Bytes of a record that lie on its own page."""
        most = self._room - 35
        if length <= most:
            return length
        least = (self._room - 12) * 32 // 255 - 23
        local = least + (length - least) % (self._room - 4)
        return local if local <= most else least

    def _overflow(self, number: int, left: int) -> bytes:
        found = []
        while left > 0 and 0 < number <= self.pages:
            page = self.page(number)
            part = page[4 : min(self._room, 4 + left)]
            if not part:
                break
            found.append(part)
            left -= len(part)
            number = int.from_bytes(page[:4], "big")
        return b"".join(found)


def _sizes(data: bytes) -> tuple[int, int]:
    """Bytes of a page, and of them those that are used."""
    page = int.from_bytes(data[16:18], "big") if len(data) >= _FIRST_PAGE_HEADER else 0
    page = 65536 if page == 1 else page
    if page < 512 or page & (page - 1) or not data.startswith(b"SQLite format 3\0"):
        return _PAGE, _PAGE
    return page, page - data[20]


def _committed(log: bytes, page: int) -> Mapping[int, bytes]:
    """The newest page of each number in transactions of the log that are whole."""
    found: dict[int, bytes] = {}
    open_ones: dict[int, bytes] = {}
    salts = log[16:24]
    for at in range(_LOG_HEADER, len(log) - _FRAME.size - page + 1, _FRAME.size + page):
        number, committed = _FRAME.unpack_from(log, at)[:2]
        if log[at + 8 : at + 16] != salts:
            break
        open_ones[number] = log[at + _FRAME.size : at + _FRAME.size + page]
        if committed:
            found |= open_ones
            open_ones = {}
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(8):
        byte = data[at + place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + place + 1
    return value << 8 | data[at + 8], at + 9


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _decoded(body: bytes) -> tuple[Value, ...]:
    header, at = _varint(body, 0)
    kinds = []
    while at < header:
        kind, at = _varint(body, at)
        kinds.append(kind)
    values = []
    for kind in kinds:
        value, at = _value(kind, body, at)
        values.append(value)
    return tuple(values)


def _value(kind: int, body: bytes, at: int) -> tuple[Value, int]:
    # Cases: null; integers of 1 to 8 bytes; a float; 0 and 1 without bytes; blobs (even), texts (odd).
    if kind == 0:
        return None, at
    if kind <= 6:
        size = _INTEGER_BYTES[kind]
        return int.from_bytes(_part(body, at, size), "big", signed=True), at + size
    if kind == 7:
        return struct.unpack(">d", _part(body, at, 8))[0], at + 8
    if kind in (8, 9):
        return kind - 8, at
    if kind < 12:
        raise ValueError(kind)
    size = (kind - 12) // 2
    part = _part(body, at, size)
    return (part.decode() if kind % 2 else part), at + size


def _part(body: bytes, at: int, size: int) -> bytes:
    part = body[at : at + size]
    if len(part) != size:
        raise ValueError("cut off")
    return part
