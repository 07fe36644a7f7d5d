"""The index files of a directory: written when it closes, mapped when it opens, caught up from the rows.

They are derived. What is missing, damaged or of another history is built again from the rows.
"""

import json
import logging
from pathlib import Path
from typing import Any

from medha_core.errors import SnapshotError, StorageError, shown
from medha_core.native import VectorIndex
from medha_core.native_collection import NativeCollection
from medha_core.rows import Rows

__all__ = ["Checkpoints"]

logger = logging.getLogger("medha_core")

_KINDS = ("unscoped", "scoped")
_FIELDS = {"collection", "model", "label", "witness", "removal", "swept"}
_WORTH_A_FILE = 4096
"""Fewer entries are read from the rows as fast as a file is written."""
_VERIFIED_BELOW = 1 << 26
"""Smaller files are verified when they are opened, which takes milliseconds."""


class Checkpoints:
    """Saves and restores the indexes of collections. Use under the store's lock for writing."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._saved: dict[int, int] = {}
        """By collection, the version that its files hold."""

    def _path(self, collection_id: int, kind: str) -> Path:
        return self._folder / f"{collection_id}-{kind}.bin"

    def save(self, collection: NativeCollection, rows: Rows) -> None:
        """Write the files if it is worth it and there is news. A failure is a warning: the rows are whole."""
        if len(collection) < _WORTH_A_FILE or self._saved.get(collection.id) == collection.version:
            return
        try:
            note = json.dumps(_history(collection, rows)).encode()
            self._folder.mkdir(exist_ok=True)
            for kind in _KINDS:
                getattr(collection, kind).save(self._path(collection.id, kind), note=note)
        except (StorageError, OSError) as error:
            logger.warning("collection %r: its index was not saved: %s", collection.row.name, error)
            return
        self._saved[collection.id] = collection.version

    def restore(self, collection: NativeCollection, rows: Rows) -> bool:
        """Map the files into the empty collection, which then stands where they do; False without."""
        if not all(self._path(collection.id, kind).exists() for kind in _KINDS):
            return False
        try:
            indexes = [self._open(collection, kind) for kind in _KINDS]
            history = _agreed(indexes)
            _check_history(history, collection, rows)
        except SnapshotError as error:
            logger.warning("collection %r: its index is built anew: %s", collection.row.name, error)
            return False
        collection.unscoped, collection.scoped = indexes
        collection.last_label, collection.last_removal = history["label"], history["removal"]
        collection.swept = float("-inf") if history["swept"] is None else history["swept"]
        self._saved[collection.id] = collection.version
        return True

    def _open(self, collection: NativeCollection, kind: str) -> VectorIndex:
        path, wanted = self._path(collection.id, kind), getattr(collection, kind)
        found = VectorIndex.open(path, mode="c", verify=path.stat().st_size < _VERIFIED_BELOW)
        for name in ("dimension", "quantization", "tier"):
            expected, seen = getattr(wanted, name), getattr(found, name)
            if seen != expected:
                raise SnapshotError(f"{path}: {name} must be {expected!r}, is {seen!r}")
        return found

    def forget(self, collection_id: int) -> None:
        """Remove the files of a collection that is dropped."""
        for kind in _KINDS:
            self._path(collection_id, kind).unlink(missing_ok=True)


def _history(collection: NativeCollection, rows: Rows) -> dict[str, Any]:
    swept = None if collection.swept == float("-inf") else collection.swept
    return {
        "collection": collection.row.name,
        "model": collection.row.model,
        "label": collection.last_label,
        "witness": _witness(rows, collection.last_label),
        "removal": rows.last_removal(),
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
