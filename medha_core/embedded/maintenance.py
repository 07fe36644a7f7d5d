"""What is done to a directory as a whole while no cache writes in it: loading a snapshot, compacting."""

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from medha_core.directory import ENTRIES, INDEX, MANIFEST, WriterLock, existing
from medha_core.embedded.checkpoint import WORTH_A_FILE, Checkpoints, MakeIndex, from_rows
from medha_core.embedded.opening import open_store
from medha_core.errors import SnapshotError
from medha_core.manifest import Manifest, Progress, check_checksums, read_manifest
from medha_core.rows import Rows
from medha_core.snapshot import compact_snapshot, force, read_info, replace_directory

__all__ = ["Compacted", "compact", "load"]


def load(
    snapshot: Path, directory: Path, *, replace: bool = False, on_progress: Progress | None = None
) -> Manifest:
    """Make a directory for daily use out of a snapshot, whose checksums are compared first.

    Args:
        replace: put it in the place of a cache that is in `directory` and that nobody writes.
        on_progress: `(done, total)` in bytes, of checking, then of copying.

    Raises `SnapshotError` where the snapshot is damaged or the place is taken, `DirectoryLockedError`
    while another cache writes there.
    """
    source, directory = existing(snapshot.absolute()), directory.absolute()
    manifest = read_manifest(source)
    check_checksums(source, manifest, on_progress)
    if source == directory:
        raise SnapshotError(f"{directory} is the snapshot itself: choose another name")
    with _room(directory, replace):
        replace_directory(directory, lambda folder: _copy(source, manifest, folder, on_progress))
    return manifest


@contextmanager
def _room(directory: Path, replace: bool) -> Iterator[None]:
    """Holds the lock of a cache that is to be replaced, and lets nothing else be replaced."""
    taken = directory.exists() and (not directory.is_dir() or any(directory.iterdir()))
    if not taken:
        yield
        return
    if not (directory / ENTRIES).is_file():
        raise SnapshotError(f"{directory} exists and is not a cache: choose another name")
    if not replace:
        raise SnapshotError(
            f"{directory} holds a cache: choose another name, or have it replaced (--replace)"
        )
    lock = WriterLock(directory)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _copy(source: Path, manifest: Manifest, folder: Path, on_progress: Progress | None) -> None:
    total, done = sum(file.bytes for file in manifest.files), 0
    for file in manifest.files:
        target = folder / file.name
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(source / file.name, target)
        force(target)
        force(target.parent)
        done += file.bytes
        if on_progress is not None:
            on_progress(done, total)


class Compacted(NamedTuple):
    """What `compact` came to, in bytes of the whole directory."""

    before: int
    after: int
    info: Manifest


def compact(directory: Path, on_progress: Progress | None = None) -> Compacted:
    """Drop tombstones and unused pages, and write rows and index anew.

    A snapshot stays one and is replaced as a whole; a directory in daily use must have no writer, while
    readers may go on. `on_progress(done, total)` counts pages, then entries. Raises `SnapshotError`,
    `DirectoryLockedError`.
    """
    directory = existing(directory.absolute())
    read_info(directory)
    before = _bytes(directory)
    if (directory / MANIFEST).exists():
        compact_snapshot(directory, on_progress)
    else:
        with closing(open_store(directory, "r+", "NORMAL")) as opened:
            opened.rows.database.compact(on_progress)
            _write_indexes(opened.rows, Checkpoints(directory / INDEX), on_progress)
    return Compacted(before, _bytes(directory), read_info(directory))


def _write_indexes(rows: Rows, files: Checkpoints, on_progress: Progress | None) -> None:
    """Anew, for the collections that have files; the others are read from the rows at each opening."""
    files.clean()
    held = [row for row in rows.collections() if files.has_files(row.id)]
    total, done = sum(row.entries for row in held), 0
    for row in held:
        make: MakeIndex = files.maker(row.id)
        made = from_rows(row, make, rows)
        if len(made) >= WORTH_A_FILE:
            files.write(made, rows, made.last_removal)
        else:
            files.forget(row.id)
        done += row.entries
        if on_progress is not None:
            on_progress(done, total)


def _bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
