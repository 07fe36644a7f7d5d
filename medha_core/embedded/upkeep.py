"""What is done for the indexes of a directory while it is in use, in the background.

Large index files are verified after they were opened, changes are put into the files before too many
would have to be replayed after a kill, and graphs with many tombstones are built anew. Searches go on
meanwhile, and so do writes but for the moment in which an index takes the place of another.
"""

import logging
import threading
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from medha_core.concurrency.keeper import Keeper
from medha_core.directory import ENTRIES
from medha_core.embedded.checkpoint import WORTH_A_FILE, Checkpoints, from_rows
from medha_core.embedded.collection import NativeCollection
from medha_core.errors import SnapshotError
from medha_core.rows import Rows

__all__ = ["Limits", "Upkeep"]

logger = logging.getLogger("medha_core")

_LEAST_SHARE = 10
"""Files are written again for changes of at least one entry in so many: writing costs what they hold."""
_LOGGED_PAGES = 8000
"""Pages (32 MB) of the log of writes after which it is folded into the rows' file. A load in batches writes
the pages of its indexes again and again; folding seldom, it writes each once."""
_PAGES_A_WRITE = 8
"""Those of the indexes and the counts, at least; and about one for each entry."""


class Limits(NamedTuple):
    """When something is to be done."""

    changes: int
    """Entries added and removed since the files were written."""
    tombstones: float
    """Share of the graph."""


class Upkeep:
    """Looks after the collections of one open store."""

    def __init__(
        self,
        directory: Path,
        checkpoints: Checkpoints,
        rows: Rows,
        writing: threading.RLock,
        limits: Limits,
        keeper: Keeper,
    ):
        self._directory, self._checkpoints, self._rows = directory, checkpoints, rows
        self._writing, self._limits = writing, limits
        self.keeper = keeper
        self._logged = 0
        """Pages, about, since the log was folded."""

    def opened(self, collection: NativeCollection) -> None:
        """Have the files verified that were too large to be verified when they were opened."""
        if collection.unverified:
            self.keeper.do(("verify", collection.id), lambda: self._verify(collection))

    def changed(self, collection: NativeCollection, entries: int) -> None:
        """Look whether there is something to do after a write of so many entries. The caller holds the lock
        for writing.
        """
        self._logged += _PAGES_A_WRITE + entries
        if self._logged >= _LOGGED_PAGES:
            self._logged = 0
            self.keeper.do("fold", self._fold)
        held = len(collection)
        due = max(self._limits.changes, held // _LEAST_SHARE)
        if collection.changes - collection.put_off >= due and held >= WORTH_A_FILE:
            self.keeper.do(("checkpoint", collection.id), lambda: self._checkpoint(collection))
        if collection.removed > self._limits.tombstones * held:
            collection.removed = 0
            if collection.tombstones() > self._limits.tombstones * held:
                self.keeper.do(("compact", collection.id), lambda: self._compact(collection))

    def _fold(self) -> None:
        """Fold the log beside the writes, then what they have added, and the little that is left while
        nobody writes: only a log that is folded to its end begins anew, in pages that the system has at hand.
        """
        self._rows.database.fold()
        self._rows.database.fold()
        with self._writing:
            self._rows.database.fold()

    def _verify(self, collection: NativeCollection) -> None:
        try:
            for file in collection.unverified:
                file.verify(self.keeper.go_on)
        except SnapshotError as error:
            logger.warning("collection %r: its index is built anew: %s", collection.row.name, error)
            row, make_index = collection.row, collection.make_index
            self._replace(collection, from_rows(row, make_index, self._rows, None, self.keeper.go_on))
        with self._writing:
            collection.release()

    def _checkpoint(self, collection: NativeCollection) -> None:
        """Write files that hold everything committed by now; after a failure, as many changes later."""
        collection.put_off = collection.changes
        self._write(collection, self._checkpoints)
        collection.put_off = 0

    def _compact(self, collection: NativeCollection) -> None:
        """Build the index anew, without tombstones, and put it in the place of the one in use."""
        tombstones = collection.tombstones()
        self._replace(collection, self._write(collection, None))
        logger.info("collection %r: %d tombstones dropped", collection.row.name, tombstones)

    def _write(self, collection: NativeCollection, known: Checkpoints | None) -> NativeCollection:
        """Write files beside the collection in use, from a connection of its own; what is in them."""
        row, before = collection.row, collection.changes
        with closing(Rows(self._directory / ENTRIES, mode="r")) as rows:
            made = from_rows(row, collection.make_index, rows, known, self.keeper.go_on)
            self._checkpoints.write(made, rows, made.last_removal)
        with self._writing:
            collection.changes -= before
            if row.id not in {one.id for one in self._rows.collections()}:  # dropped meanwhile
                self._checkpoints.forget(row.id)
        return made

    def _replace(self, collection: NativeCollection, made: NativeCollection) -> None:
        with self._writing:
            made.catch_up(self._rows)
            made.sweep(self._rows, collection.swept)  # what is hidden stays so
            collection.adopt(made)
