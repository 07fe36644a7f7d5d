"""An index file that is held open, so that what is verified is what was mapped."""

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from medha_core.errors import SnapshotError
from medha_core.index_file import read_header, verify

__all__ = ["HeldFile"]


class HeldFile:
    """A descriptor of the file at `path`. Raises `SnapshotError` for what the system refuses."""

    def __init__(self, path: Path):
        self.path, self._file = path, -1
        try:
            self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            raise SnapshotError(f"{path}: cannot be read: {error.strerror}") from error
        self._status = os.fstat(self._file)

    @property
    def size(self) -> int:
        return self._status.st_size

    def is_in_place(self) -> bool:
        """Whether the path still leads to this file: it is replaced by renaming only."""
        try:
            return os.path.samestat(self._status, os.stat(self.path))
        except OSError:
            return False

    def verify(self, on_bytes: Callable[[int], object]) -> None:
        """Compare every checksum. Raises `SnapshotError`, and what `on_bytes` raises every few megabytes."""
        try:
            verify(self._file, read_header(self._file, self.path), self.path, on_bytes)
        except OSError as error:
            raise SnapshotError(f"{self.path}: cannot be read: {error.strerror}") from error

    def close(self) -> None:
        """Closing twice is harmless."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __del__(self) -> None:
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
