"""A number in a directory that moves when its writer has changed or forgotten entries.

The writer maps the file and counts up, readers map it and compare: looking costs a memory read, so
it can be done before each answer that is given from memory.
"""

import mmap
import os
import struct
from contextlib import suppress
from pathlib import Path

__all__ = ["Generation"]

_NAME = "generation"
_NUMBER = struct.Struct("@Q")
"""In the byte order of the machine: only processes that run on it share the file, and it is never sent."""


class Generation:
    """The number of a directory, 0 for as long as nobody has written one.

    A failure to map it is no error: readers look into the rows twice a second anyway.
    """

    def __init__(self, directory: Path, *, write: bool):
        self._path, self._write = directory / _NAME, write
        self._map: mmap.mmap | None = None
        self.open()

    def open(self) -> None:
        """Map the file if it is there by now; the writer makes it."""
        if self._map is None:
            with suppress(OSError, ValueError):
                self._map = _mapped(self._path, self._write)

    def read(self) -> int:
        """About a tenth of a microsecond."""
        found = self._map
        return _NUMBER.unpack_from(found)[0] if found is not None else 0

    def advance(self) -> None:
        """Tell readers that entries were replaced, forgotten or judged. For the writer, after the commit."""
        if self._map is not None and self._write:
            _NUMBER.pack_into(self._map, 0, (self.read() + 1) % 2**64)

    def close(self) -> None:
        """The mapping goes with the object, so that whoever reads meanwhile has it to the end."""
        self._map = None


def _mapped(path: Path, write: bool) -> mmap.mmap:
    flags = os.O_RDWR | os.O_CREAT if write else os.O_RDONLY
    file = os.open(path, flags | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0), 0o666)
    try:
        if write and os.fstat(file).st_size != _NUMBER.size:
            os.ftruncate(file, _NUMBER.size)
        return mmap.mmap(file, _NUMBER.size, access=mmap.ACCESS_WRITE if write else mmap.ACCESS_READ)
    finally:
        os.close(file)
