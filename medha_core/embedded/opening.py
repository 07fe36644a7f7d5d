"""From a directory and a mode to open rows: locks, leftovers, and what a manifest promises."""

import shutil
import sqlite3
from pathlib import Path
from typing import NamedTuple

from medha_core.directory import ENTRIES, INDEX, MANIFEST, WriterLock, existing, previous_of
from medha_core.errors import ConfigurationError, StorageError, StorageInitializationError
from medha_core.manifest import check_sizes, read_manifest
from medha_core.rows import Rows
from medha_core.rows.database import Mode, RowsDamagedError, suspicion
from medha_core.rows.salvage import salvage


class Opened(NamedTuple):
    """Rows, and the lock of the one who may write them."""

    rows: Rows
    lock: WriterLock | None
    directory: Path | None
    """Where the rows lie: for a moment that can be beside the path that was asked for."""

    def close(self) -> None:
        self.rows.close()
        if self.lock is not None:
            self.lock.release()


def open_store(path: Path | None, mode: Mode, synchronous: str) -> Opened:
    """Open or, with mode "r+", create the store in a directory; None is a store in memory.

    Raises `SnapshotError` for a damaged snapshot, `DirectoryLockedError` for a second
    writer, `StorageInitializationError` for everything else that stands in the way.
    """
    if path is None:
        return Opened(Rows(None), None, None)
    try:
        return _open_for_writing(path, synchronous) if mode == "r+" else _open_for_reading(path, mode)
    except OSError as error:
        raise StorageInitializationError(
            f"path: cannot open the directory {path}: {error.strerror}"
        ) from error


def _open_for_reading(path: Path, mode: Mode) -> Opened:
    directory = existing(path)
    if not (directory / ENTRIES).is_file():
        raise StorageInitializationError(f"no cache in {path}: there is no file {ENTRIES}")
    _check_manifest(directory)
    return Opened(Rows(directory / ENTRIES, mode=mode), None, directory)


def _open_for_writing(path: Path, synchronous: str) -> Opened:
    if existing(path) != path:
        previous_of(path).rename(path)
    path.mkdir(parents=True, exist_ok=True)
    lock = WriterLock(path)
    lock.acquire()
    try:
        _check_manifest(path)
        # What is written from here on is not what the manifest describes.
        (path / MANIFEST).unlink(missing_ok=True)
        return Opened(_sound_rows(path, synchronous), lock, path)
    except BaseException:
        lock.release()
        raise


def _sound_rows(path: Path, synchronous: str) -> Rows:
    """The rows; where the file is damaged, what can be saved of it in a new one."""
    entries = path / ENTRIES
    try:
        rows = Rows(entries, synchronous=synchronous)
        if not suspicion(entries).exists():
            return rows
        try:
            sound = rows.database.problem() is None
        except StorageError:
            sound = False
        if sound:
            suspicion(entries).unlink()
            return rows
        rows.close()
    except RowsDamagedError:
        if not _saved(path):
            raise
    else:
        _saved(path)
    rows = Rows(entries, synchronous=synchronous)
    suspicion(entries).unlink(missing_ok=True)
    return rows


def _saved(path: Path) -> int:
    """Save the entries of a damaged file; their number. Its index is that of rows that may be gone."""
    try:
        saved = salvage(path / ENTRIES)
    except sqlite3.Error as error:
        raise StorageInitializationError(f"cannot save the entries of {path / ENTRIES}: {error}") from error
    if saved:
        shutil.rmtree(path / INDEX, ignore_errors=True)
    return saved


def _check_manifest(directory: Path) -> None:
    if (directory / MANIFEST).exists():
        check_sizes(directory, read_manifest(directory), derived=False)


def only_collection(directory: Path) -> str:
    """The name of the one collection in a directory. Raises `ConfigurationError` unless there is one."""
    opened = open_store(directory, "r", "NORMAL")
    try:
        names = [row.name for row in opened.rows.collections()]
    finally:
        opened.close()
    if len(names) != 1:
        raise ConfigurationError(
            f"collection_name: {directory} has {len(names)} collections, choose one of {names}"
        )
    return names[0]
