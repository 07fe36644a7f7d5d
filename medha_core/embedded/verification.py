"""Whether a snapshot, or a directory that nobody writes, is what was written: files, rows, and index."""

import math
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from medha_core.directory import ENTRIES, INDEX, existing
from medha_core.embedded.checkpoint import Checkpoints
from medha_core.embedded.collection import NativeCollection
from medha_core.errors import LabelNotFoundError, MedhaError, SnapshotError
from medha_core.manifest import Manifest, Progress, check_checksums
from medha_core.rows import CollectionRow, Rows
from medha_core.rows.lookups import Vectors
from medha_core.snapshot import read_info

__all__ = ["verify"]

_ROUNDING = 1e-5
"""A vector is made a unit vector again when it enters the index."""


def verify(directory: Path, on_progress: Progress | None = None) -> Manifest:
    """Check every file, every entry, and that rows and index agree; what is there.

    `on_progress(done, total)` counts bytes of files, then entries, then entries of the index. Raises
    `SnapshotError` for the first fault.
    """
    directory = existing(directory)
    info = read_info(directory)
    check_checksums(directory, info, on_progress)
    try:
        with closing(Rows(directory / ENTRIES, mode="r")) as rows:
            _check_rows(rows, directory / ENTRIES, info, on_progress)
            _check_indexes(rows, Checkpoints(directory / INDEX), on_progress, of_one_moment=bool(info.files))
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
    held = {row.id: row for row in rows.collections(hidden=True)}
    for number in held | counted:
        promised = held[number].entries if number in held else 0
        if counted.get(number, 0) != promised:
            name = held[number].name if number in held else f"number {number}"
            raise SnapshotError(
                f"{path}: collection {name!r} has {counted.get(number, 0)} entries of {promised}"
            )
    seen = [row.info() for row in rows.collections()]
    if seen != list(info.collections):
        raise SnapshotError(f"{path}: collections {seen}, and the manifest lists {list(info.collections)}")


def _check_indexes(
    rows: Rows, files: Checkpoints, on_progress: Progress | None, *, of_one_moment: bool
) -> None:
    """The files of every collection that has some; in a directory in daily use they may lie behind."""
    held = [row for row in rows.collections() if files.has_files(row.id)]
    total, done = sum(row.entries for row in held), 0
    for row in held:
        for compared in _compared(row, rows, files, of_one_moment=of_one_moment):
            done += compared
            if on_progress is not None:
                on_progress(min(done, total), total)


def _compared(row: CollectionRow, rows: Rows, files: Checkpoints, *, of_one_moment: bool) -> Iterator[int]:
    collection = NativeCollection(row, files.maker(row.id))
    files.map(collection, rows, verify_below=math.inf)
    hidden = set(rows.expiring(row.id, -math.inf, collection.swept)[0])
    replayed = collection.catch_up(rows)
    where = f"{files.folder}: the index of collection {row.name!r}"
    if replayed and of_one_moment:
        raise SnapshotError(f"{where} lies {replayed} changes behind its rows")
    last, found = 0, 0
    while True:
        page, last = rows.vectors(row.id, row.dimension, after=last)
        if not last:
            break
        absent = _absent(collection, page, where)
        if absent - hidden:
            raise SnapshotError(f"{where} lacks the entries {sorted(absent - hidden)[:10]}")
        found += len(page.labels) - len(absent)
        yield len(page.labels)
    if found != len(collection):
        raise SnapshotError(f"{where} holds {len(collection)} entries, {found} of them are in the rows")


def _absent(collection: NativeCollection, page: Vectors, where: str) -> set[int]:
    """The labels of a page that the index does not hold. Raises `SnapshotError` where vectors differ."""
    absent = set()
    for label, vector, scoped in zip(page.labels.tolist(), page.vectors, page.scoped, strict=True):
        index = collection.scoped if scoped else collection.unscoped
        try:
            held = index.get(label)
        except LabelNotFoundError:
            absent.add(label)
            continue
        if not np.allclose(held, vector, rtol=0, atol=_ROUNDING):
            raise SnapshotError(f"{where} has another vector than the rows for entry {label}")
    return absent
