"""Snapshots: a directory that holds everything, is whole or not there, and can be checked.

Written beside its place under another name, forced to disk, and renamed. Two
renames take the place of a snapshot that was there, which waits as
`NAME.previous` between them; `directory.existing` finds it should the process
die just then.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from medha_core.directory import ENTRIES, INDEX, LOCK, MANIFEST, WriterLock, existing, previous_of
from medha_core.embedded.checkpoint import Checkpoints, MakeIndex, from_rows
from medha_core.errors import SnapshotError, StorageError
from medha_core.manifest import (
    Manifest,
    Progress,
    check_sizes,
    describe,
    read_manifest,
    write_manifest,
)
from medha_core.rows import CollectionRow, Rows


class IndexSource(NamedTuple):
    """Where the index of a snapshot comes from."""

    maker: Callable[[int], MakeIndex]
    """By number of the collection."""
    known: Checkpoints | None = None
    """Files to start from, so that what they hold is not read from the rows again."""


def write_snapshot(
    rows: Rows, directory: Path, source: IndexSource, on_progress: Progress | None = None
) -> Path:
    """Write all collections to `directory`, replacing the snapshot that is there when all is on disk.

    The rows are those of one moment, and the index is that of these rows: nothing is replayed when
    the snapshot is opened. `on_progress(done, total)` counts pages, then entries. Raises
    `SnapshotError`; then what was there is still there, and nothing else.
    """
    directory = directory.absolute()
    _check_place(rows, directory)
    return replace_directory(directory, lambda folder: _fill(rows, folder, source, on_progress))


def compact_snapshot(directory: Path, on_progress: Progress | None = None) -> Manifest:
    """Write a snapshot anew, without unused pages and tombstones, in its own place; what it holds now."""
    with closing(Rows(directory / ENTRIES, mode="r")) as rows:
        source = IndexSource(Checkpoints(directory / INDEX).maker)
        replace_directory(
            directory.absolute(), lambda folder: _fill(rows, folder, source, on_progress, compact=True)
        )
    return read_manifest(directory)


def replace_directory(directory: Path, fill: Callable[[Path], None]) -> Path:
    """Have a folder filled, forced to disk, and put in the place of `directory`; there it is whole.

    Raises `SnapshotError`; then what was there is still there, and nothing else.
    """
    unfinished = directory.with_name(f"{directory.name}.partial")
    try:
        lock = _begin(unfinished)
        try:
            fill(unfinished)
            (unfinished / LOCK).unlink()
            _put_in_place(unfinished, directory)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        finally:
            lock.abandon()
    except SnapshotError:
        raise
    except OSError as error:
        raise SnapshotError(f"cannot write {directory}: {error.strerror or error}") from error
    except StorageError as error:
        raise SnapshotError(f"cannot write {directory}: {error}") from error
    return directory


def _check_place(rows: Rows, directory: Path) -> None:
    """Refuse to replace anything that is not a snapshot."""
    path = rows.database.path
    if path is not None and directory == path.parent.absolute():
        raise SnapshotError(f"{directory} is the directory of the cache itself: choose another")
    replaceable = not directory.exists() or (directory / MANIFEST).exists()
    if not replaceable and (not directory.is_dir() or any(directory.iterdir())):
        raise SnapshotError(f"{directory} exists and is not a snapshot: choose another name")


def _begin(folder: Path) -> WriterLock:
    """An empty folder to work in, cleared of what a killed process left."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = WriterLock(folder)
    lock.acquire()
    for leftover in folder.iterdir():
        if leftover.is_dir():
            shutil.rmtree(leftover)
        elif leftover.name != LOCK:
            leftover.unlink()
    return lock


def _fill(
    rows: Rows, folder: Path, source: IndexSource, on_progress: Progress | None, *, compact: bool = False
) -> None:
    entries = folder / ENTRIES
    rows.database.copy_to(entries, on_progress, compact=compact)
    force(entries)
    with closing(Rows(entries, mode="r")) as copied:
        held = copied.collections()
        files = [entries, *_write_indexes(held, copied, Checkpoints(folder / INDEX), source, on_progress)]
    collections = tuple(row.info() for row in held)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    described = tuple(describe(folder, file) for file in files)
    write_manifest(folder, Manifest(created, _library(), collections, described))
    force(folder)


def _write_indexes(
    held: Sequence[CollectionRow],
    rows: Rows,
    files: Checkpoints,
    source: IndexSource,
    on_progress: Progress | None,
) -> list[Path]:
    total, before, written = sum(row.entries for row in held), 0, list[Path]()
    for row in held:
        tell = None if on_progress is None else partial(_tell, on_progress, before, total)
        made = from_rows(row, source.maker(row.id), rows, source.known, tell)
        written += files.write(made, rows, made.last_removal)
        before += row.entries
        if on_progress is not None and total:
            on_progress(before, total)
    return written


def _tell(on_progress: Progress, before: int, total: int, entries: int) -> None:
    on_progress(min(before + entries, total), total)


def _put_in_place(finished: Path, directory: Path) -> None:
    previous = previous_of(directory)
    if directory.exists():
        if previous.exists():
            shutil.rmtree(previous)
        directory.rename(previous)
    finished.rename(directory)
    force(directory.parent)
    shutil.rmtree(previous, ignore_errors=True)


def force(path: Path) -> None:
    """Wait until a file, or what a folder lists, is on disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders, and keeps their entries in its journal
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _library() -> str:
    try:
        return f"medha-core {version('medha-core')}"
    except PackageNotFoundError:
        return "medha-core"


def read_info(directory: Path) -> Manifest:
    """What a snapshot holds, from its manifest, or what a directory in daily use holds, from its rows."""
    directory = existing(directory)
    if (directory / MANIFEST).exists():
        manifest = read_manifest(directory)
        check_sizes(directory, manifest)
        return manifest
    if not (directory / ENTRIES).is_file():
        raise SnapshotError(
            f"{directory} holds no snapshot and no cache: there is no {MANIFEST} and no {ENTRIES}"
        )
    rows = Rows(directory / ENTRIES, mode="r")
    try:
        collections = tuple(row.info() for row in rows.collections())
    finally:
        rows.close()
    return Manifest("", "", collections, ())
