"""One collection's vectors, and how they follow the rows."""

from collections.abc import Callable, Sequence

import numpy as np

from medha_core.embedded.held_file import HeldFile
from medha_core.embedded.spelling import Spellings
from medha_core.errors import ArgumentValueError, StorageError
from medha_core.native import VectorIndex
from medha_core.rows import CollectionRow, Rows


class NativeCollection:
    """One collection's vectors: entries without metadata apart from those with (scoped) metadata.

    A search without filters must not see scoped entries, and no entry without
    metadata can satisfy a filter; so each kind of search has its own index.

    `last_label` and `last_removal` say how far in the rows' history the two
    indexes are. New ones start at zero and `catch_up` reads everything; ones
    that come from a file start where the file stands.
    """

    def __init__(self, row: CollectionRow, make_index: Callable[[int], VectorIndex]):
        self.row = row
        self.id, self.dimension = row.id, row.dimension
        self.make_index = make_index
        self.version = 0
        """Changes with every write; what was derived from rows is valid for one version."""
        self.allowed: dict[str, tuple[int, np.ndarray]] = {}
        self.spelled: tuple[int, list[int], Spellings] | None = None
        """Version, labels and normalised questions, once somebody had no vector to search with."""
        self.changes = 0
        """Entries added and removed that the index files do not know of."""
        self.put_off = 0
        """Of these, those at which writing the files failed."""
        self.grown = False
        """Whether a graph has grown since the files were written."""
        self.removed = 0
        """Entries removed since somebody looked for tombstones."""
        self.replayed = 0
        """Of these, what was read from the rows when the files were opened."""
        self.unverified: list[HeldFile] = []
        """Files that the indexes lie in, as long as their checksums were not compared."""
        self._empty()

    def adopt(self, other: "NativeCollection") -> None:
        """Take the indexes of another that is where this one is. The caller holds the lock for writing."""
        self.unscoped, self.scoped = other.unscoped, other.scoped
        self.last_label, self.last_removal = other.last_label, other.last_removal
        self.swept, self.next_expiry = other.swept, other.next_expiry
        self.version += 1
        self.release()

    def release(self) -> None:
        """Let go of the files that were held to be verified."""
        held, self.unverified = self.unverified, []
        for file in held:
            file.close()

    def tombstones(self) -> int:
        """Entries that were removed from a graph and still take room in it."""
        return sum(int(index.info()["tombstones"]) for index in (self.unscoped, self.scoped))

    def _empty(self) -> None:
        self.unscoped = self.make_index(self.dimension)
        self.scoped = self.make_index(self.dimension)
        self.last_label, self.last_removal = 0, -1
        self.swept = self.next_expiry = float("-inf")

    @property
    def indexes(self) -> tuple[VectorIndex, VectorIndex]:
        return self.unscoped, self.scoped

    def __len__(self) -> int:
        return len(self.unscoped) + len(self.scoped)

    def add(self, labels: np.ndarray, vectors: np.ndarray, scoped: np.ndarray) -> None:
        """Make entries searchable. The caller holds the lock for writing."""
        with_metadata = int(np.count_nonzero(scoped))
        # None; all of one kind, as in most calls; some of each.
        if not len(labels):
            return
        if with_metadata in (0, len(labels)):
            (self.scoped if with_metadata else self.unscoped).add(labels, vectors)
        else:
            self.scoped.add(labels[scoped], vectors[scoped])
            self.unscoped.add(labels[~scoped], vectors[~scoped])
        self.version += 1
        self.changes += len(labels)

    def remove(self, labels: Sequence[int]) -> None:
        """Make entries unfindable. The caller holds the lock for writing."""
        if labels:
            array = np.array(labels, dtype=np.uint64)
            self.unscoped.remove(array)
            self.scoped.remove(array)
            self.version += 1
            self.changes += len(labels)
            self.removed += len(labels)

    def holds(self, label: int) -> bool:
        return label in self.unscoped or label in self.scoped

    def sweep(self, rows: Rows, now: float) -> None:
        """Hide what has expired since the last sweep; show it again if the clock was put back."""
        if now < self.swept:
            back, self.next_expiry = rows.expiring(self.id, now, self.swept)
            self.add(*rows.vectors_of(self.id, self.dimension, back))
        gone, self.next_expiry = rows.expiring(self.id, self.swept, now)
        self.remove(gone)
        self.swept = now

    def catch_up(self, rows: Rows, on_entries: Callable[[int], object] | None = None) -> int:
        """Read what the rows have and the indexes do not; the number of entries added and removed.

        `on_entries` is called with the number of entries there are by now.

        Removals are read before and after the new rows: an entry that was replaced
        in between is gone when its successor is there.
        """
        if self.last_removal < 0:
            self.last_removal = rows.last_removal()
        changed = self._remove_what_is_gone(rows)
        changed += self._add_what_is_new(rows, on_entries)
        changed += self._remove_what_is_gone(rows)
        if changed:  # what is new may have expired by the last sweep
            swept, self.swept = self.swept, float("-inf")
            self.sweep(rows, swept)
        return changed

    def _remove_what_is_gone(self, rows: Rows) -> int:
        found = rows.removals(self.id, self.last_removal)
        if found is None:
            self._empty()
            self.last_removal = rows.last_removal()
            return 1
        labels, self.last_removal = found
        self.remove(labels)
        return len(labels)

    def _add_what_is_new(self, rows: Rows, on_entries: Callable[[int], object] | None) -> int:
        added = 0
        while True:
            page, last = rows.vectors(self.id, self.dimension, after=self.last_label)
            if not last:
                return added
            try:
                self.add(*page)
            except ArgumentValueError as error:
                raise StorageError(f"a vector of {rows.database.name} is damaged: {error}") from error
            self.last_label = last
            added += len(page.labels)
            if on_entries is not None:
                on_entries(len(self))
