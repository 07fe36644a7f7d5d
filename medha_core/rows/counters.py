"""What a writer counts: labels, entries, uses."""

from sqlite3 import Connection

from medha_core.rows import changes

__all__ = ["Counters"]

_AHEAD = 1024
"""Labels that are reserved at once: noting each would write one more page for every entry."""


class Counters:
    """The counts of one writer, kept in memory between its transactions, for nobody else writes.

    Whoever takes a transaction back says so with `forget`. The caller holds the connection.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Read everything anew when it is wanted next."""
        self._counts: dict[int, tuple[int, int]] = {}
        self._next = self._end = 0

    def counts(self, db: Connection, collection: int) -> tuple[int, int]:
        """Number of entries, and of uses so far."""
        known = self._counts.get(collection)
        return changes.counts(db, collection) if known is None else known

    def set_counts(self, db: Connection, collection: int, entries: int, uses: int) -> None:
        """Put down what `counts` gives next."""
        changes.set_counts(db, collection, entries, uses)
        self._counts[collection] = entries, uses

    def labels(self, db: Connection, number: int) -> range:
        """So many labels, above all that were ever given."""
        if self._next + number > self._end:
            self._next = changes.last_label(db) + 1
            self._end = self._next + number + _AHEAD
            changes.set_last_label(db, self._end - 1)
        first = self._next
        self._next += number
        return range(first, self._next)
