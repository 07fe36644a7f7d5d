"""The index files of a directory: written while it is in use and when it closes, mapped when it opens, and
caught up from the rows.

They are derived. What is missing, damaged or of another history is built again from the rows.
"""

import json
import logging
import math
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from medha_core.embedded.collection import NativeCollection
from medha_core.embedded.held_file import HeldFile
from medha_core.errors import SnapshotError, StorageError, shown
from medha_core.index_file import open_file, read_header, sync_folder
from medha_core.native import VectorIndex
from medha_core.rows import CollectionRow, Rows

__all__ = ["VERIFIED_BELOW", "WORTH_A_FILE", "Checkpoints", "MakeIndex", "OnEntries", "from_rows"]

logger = logging.getLogger("medha_core")

_KINDS = ("unscoped", "scoped")
_FIELDS = {"collection", "model", "label", "witness", "removal", "swept"}
WORTH_A_FILE = 4096
"""Fewer entries are read from the rows as fast as a file is written."""
VERIFIED_BELOW = 1 << 26
"""Smaller files are verified when they are opened, which takes milliseconds; others in the background."""


MakeIndex = Callable[[int], VectorIndex]
"""From a dimension to an empty index."""
OnEntries = Callable[[int], object]


class Checkpoints:
    """Saves and restores the indexes of collections."""

    def __init__(self, folder: Path):
        self.folder = folder

    def _path(self, collection_id: int, kind: str) -> Path:
        return self.folder / f"{collection_id}-{kind}.bin"

    def clean(self) -> None:
        """Remove what a process left that died while it wrote. Only for the directory's writer."""
        for leftover in [*self.folder.glob(".*"), *self.folder.glob("*.next")]:
            leftover.unlink(missing_ok=True)

    def save(self, collection: NativeCollection, rows: Rows) -> None:
        """Write the files if it is worth it and there is news. A failure is a warning: the rows are whole.

        The caller holds the store's lock for writing, and the collection is where the rows are.
        """
        if len(collection) < WORTH_A_FILE or not (collection.changes or collection.grown):
            return
        try:
            if collection.unverified:
                # Damage must not be given a new checksum.
                beside = from_rows(collection.row, collection.make_index, rows, self)
                self.write(beside, rows, beside.last_removal)
            else:
                self.write(collection, rows, rows.last_removal())
        except (StorageError, OSError) as error:
            logger.warning("collection %r: its index was not saved: %s", collection.row.name, error)
            return
        collection.changes, collection.grown = 0, False

    def write(self, collection: NativeCollection, rows: Rows, last_removal: int) -> list[Path]:
        """Write the files of a collection that nobody changes meanwhile; where they are."""
        note = json.dumps(_history(collection, rows, last_removal)).encode()
        self.folder.mkdir(exist_ok=True)
        paths = [self._path(collection.id, kind) for kind in _KINDS]
        # Whoever opens the two meanwhile should find both old or both new.
        for kind, path in zip(_KINDS, paths, strict=True):
            getattr(collection, kind).save(_next(path), note=note)
        for path in paths:
            _next(path).replace(path)
        sync_folder(self.folder)
        return paths

    def restore(self, collection: NativeCollection, rows: Rows, *, verify: bool = False) -> bool:
        """Map the files into the empty collection, which then stands where they do; False without.

        Without `verify`, large files are left to `verify_later`.
        """
        if not self.has_files(collection.id):
            return False
        try:
            self.map(collection, rows, verify_below=math.inf if verify else VERIFIED_BELOW)
        except SnapshotError as error:
            logger.warning("collection %r: its index is built anew: %s", collection.row.name, error)
            return False
        return True

    def has_files(self, collection_id: int) -> bool:
        """Whether both files of a collection are there."""
        return all(self._path(collection_id, kind).exists() for kind in _KINDS)

    def maker(self, collection_id: int) -> MakeIndex:
        """What makes empty indexes of the kind that the files hold. Raises `SnapshotError`."""
        with open_file(path := self._path(collection_id, _KINDS[0])) as file:
            header = read_header(file, path)
        return lambda dimension: VectorIndex(
            dimension,
            M=header.M,
            ef_construction=header.ef_construction,
            quantization=header.quantization,
            tier=header.tier,
            graph_from=header.graph_from,
        )

    def map(self, collection: NativeCollection, rows: Rows, *, verify_below: float) -> None:
        """`restore` that raises `SnapshotError`. Files of fewer bytes than `verify_below` are read whole."""
        with ExitStack() as opened:
            files = [opened.enter_context(HeldFile(self._path(collection.id, kind))) for kind in _KINDS]
            pairs = zip(_KINDS, files, strict=True)
            indexes = [_open(file, getattr(collection, kind), verify_below) for kind, file in pairs]
            history = _agreed(indexes)
            _check_history(history, collection, rows)
            opened.pop_all()
        collection.unscoped, collection.scoped = indexes
        collection.last_label, collection.last_removal = history["label"], history["removal"]
        collection.swept = float("-inf") if history["swept"] is None else history["swept"]
        collection.unverified = [file for file in files if file.size >= verify_below]
        for file in files:
            if file not in collection.unverified:
                file.close()

    def forget(self, collection_id: int) -> None:
        """Remove the files of a collection that is dropped."""
        for kind in _KINDS:
            self._path(collection_id, kind).unlink(missing_ok=True)


def _next(path: Path) -> Path:
    return path.with_name(f"{path.name}.next")


def _open(file: HeldFile, wanted: VectorIndex, verify_below: float) -> VectorIndex:
    found = VectorIndex.open(file.path, mode="c", verify=file.size < verify_below)
    if not file.is_in_place():
        raise SnapshotError(f"{file.path} was replaced while it was opened")
    for name in ("dimension", "quantization", "tier"):
        expected, seen = getattr(wanted, name), getattr(found, name)
        if seen != expected:
            raise SnapshotError(f"{file.path}: {name} must be {expected!r}, is {seen!r}")
    return found


def from_rows(
    row: CollectionRow,
    make_index: MakeIndex,
    rows: Rows,
    known: Checkpoints | None = None,
    on_entries: OnEntries | None = None,
) -> NativeCollection:
    """A collection beside the one in use, where `rows` are: from the files `known` has, if any, and the rows.

    `on_entries` is called with the number of entries that are in it.
    """
    collection = NativeCollection(row, make_index)
    if known is not None:
        known.restore(collection, rows, verify=True)
    collection.catch_up(rows, on_entries)
    return collection


def _history(collection: NativeCollection, rows: Rows, last_removal: int) -> dict[str, Any]:
    swept = None if collection.swept == float("-inf") else collection.swept
    return {
        "collection": collection.row.name,
        "model": collection.row.model,
        "label": collection.last_label,
        "witness": _witness(rows, collection.last_label),
        "removal": last_removal,
        "swept": swept,
    }


def _witness(rows: Rows, label: int) -> str | None:
    """The id of the row: another database has another one under this label, or none."""
    row = rows.by_labels([label]).get(label)
    return row.id if row else None


def _agreed(indexes: list[VectorIndex]) -> dict[str, Any]:
    one, other = (index.note for index in indexes)
    if one != other:
        raise SnapshotError(f"its two files are of different times: {one!r} and {other!r}")
    try:
        history = json.loads(one)
    except ValueError:
        history = {}
    if not isinstance(history, dict) or history.keys() != _FIELDS:
        raise SnapshotError(f"it does not say where in the rows' history it stands: {shown(one)}")
    return history


def _check_history(history: dict[str, Any], collection: NativeCollection, rows: Rows) -> None:
    for name, expected in (("collection", collection.row.name), ("model", collection.row.model)):
        if history[name] != expected:
            raise SnapshotError(f"{name} must be {expected!r}, is {history[name]!r}")
    last = rows.last_removal()
    if history["removal"] > last:
        raise SnapshotError(f"the file knows of removal {history['removal']}, the rows of {last}")
    label, witness = history["label"], _witness(rows, history["label"])
    if witness == history["witness"]:
        return
    removed = rows.removals(collection.id, history["removal"])
    if witness is not None or removed is None or label not in removed[0]:
        raise SnapshotError(f"entry {label} must be {history['witness']!r}, is {witness!r}")
