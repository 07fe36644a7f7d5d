"""Snapshots: a directory that holds everything, is whole or not there, and can be checked.

Written beside its place under another name, forced to disk, and renamed. Two
renames take the place of a snapshot that was there, which waits as
`NAME.previous` between them; `directory.existing` finds it should the process
die just then.
"""

import os
import shutil
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from medha_core.directory import ENTRIES, LOCK, MANIFEST, WriterLock, existing, previous_of
from medha_core.errors import MedhaError, SnapshotError, StorageError
from medha_core.manifest import (
    CollectionInfo,
    Manifest,
    Progress,
    check_checksums,
    check_sizes,
    describe,
    read_manifest,
    write_manifest,
)
from medha_core.rows import Rows


def write_snapshot(rows: Rows, directory: Path, on_progress: Progress | None = None) -> Path:
    """Write all collections to `directory`, replacing the snapshot that is there when all is on disk.

    Raises `SnapshotError`; then what was there is still there, and nothing else.
    """
    directory = directory.absolute()
    _check_place(rows, directory)
    partial = directory.with_name(f"{directory.name}.partial")
    try:
        lock = _begin(partial)
        try:
            _fill(rows, partial, on_progress)
            (partial / LOCK).unlink()
            _put_in_place(partial, directory)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        finally:
            lock.abandon()
    except SnapshotError:
        raise
    except OSError as error:
        raise SnapshotError(f"cannot write the snapshot {directory}: {error.strerror or error}") from error
    except StorageError as error:
        raise SnapshotError(f"cannot write the snapshot {directory}: {error}") from error
    return directory


def _check_place(rows: Rows, directory: Path) -> None:
    """Refuse to replace anything that is not a snapshot."""
    path = rows.database.path
    if path is not None and directory == path.parent.absolute():
        raise SnapshotError(f"{directory} is the directory of the cache itself: choose another")
    replaceable = not directory.exists() or (directory / MANIFEST).exists()
    if not replaceable and (not directory.is_dir() or any(directory.iterdir())):
        raise SnapshotError(f"{directory} exists and is not a snapshot: choose another name")


def _begin(partial: Path) -> WriterLock:
    """An empty folder to work in, cleared of what a killed process left."""
    partial.mkdir(parents=True, exist_ok=True)
    lock = WriterLock(partial)
    lock.acquire()
    for leftover in partial.iterdir():
        if leftover.name != LOCK:
            leftover.unlink()
    return lock


def _fill(rows: Rows, partial: Path, on_progress: Progress | None) -> None:
    entries = partial / ENTRIES
    rows.database.copy_to(entries, on_progress)
    _force(entries)
    copied = Rows(entries, mode="r")
    collections = tuple(
        CollectionInfo(row.name, row.model, row.dimension, row.entries) for row in copied.collections()
    )
    copied.close()
    created = datetime.now(UTC).isoformat(timespec="seconds")
    write_manifest(partial, Manifest(created, _library(), collections, (describe(entries),)))
    _force(partial)


def _put_in_place(partial: Path, directory: Path) -> None:
    previous = previous_of(directory)
    if directory.exists():
        if previous.exists():
            shutil.rmtree(previous)
        directory.rename(previous)
    partial.rename(directory)
    _force(directory.parent)
    shutil.rmtree(previous, ignore_errors=True)


def _force(path: Path) -> None:
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
        raise SnapshotError(f"{directory} holds no snapshot: there is no {MANIFEST} and no {ENTRIES}")
    rows = Rows(directory / ENTRIES, mode="r")
    try:
        collections = tuple(
            CollectionInfo(row.name, row.model, row.dimension, row.entries) for row in rows.collections()
        )
    finally:
        rows.close()
    return Manifest("", "", collections, ())


def verify(directory: Path, on_progress: Progress | None = None) -> Manifest:
    """Check every file and every entry; what is there. Raises `SnapshotError` for the first fault."""
    directory = existing(directory)
    info = read_info(directory)
    check_checksums(directory, info, on_progress)
    try:
        rows = Rows(directory / ENTRIES, mode="r")
        try:
            _check_rows(rows, directory / ENTRIES, info, on_progress)
        finally:
            rows.close()
    except SnapshotError:
        raise
    except MedhaError as error:
        raise SnapshotError(f"{directory} is damaged: {error}") from error
    return info


def _check_rows(rows: Rows, path: Path, info: Manifest, on_progress: Progress | None) -> None:
    problem = rows.database.problem()
    if problem is not None:
        raise SnapshotError(f"{path} is damaged: {problem}")
    counted, damaged = rows.check(info.entries, on_progress)
    if damaged:
        raise SnapshotError(
            f"{path}: {len(damaged)} of {sum(counted.values())} entries are damaged: {damaged[:10]}"
        )
    held = {row.id: row for row in rows.collections()}
    for number in held | counted:
        promised = held[number].entries if number in held else 0
        if counted.get(number, 0) != promised:
            name = held[number].name if number in held else f"number {number}"
            raise SnapshotError(
                f"{path}: collection {name!r} has {counted.get(number, 0)} entries of {promised}"
            )
    seen = [(row.name, row.model, row.dimension, row.entries) for row in held.values()]
    if seen != [(one.name, one.model, one.dimension, one.entries) for one in info.collections]:
        raise SnapshotError(f"{path}: collections {seen}, and the manifest lists {list(info.collections)}")
