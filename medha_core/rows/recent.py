"""Rows that were read a short while ago, in memory."""

from collections.abc import Iterable, Sequence

from medha_core.rows.row import Row

__all__ = ["RecentRows"]

_KEPT = 65_536


class RecentRows:
    """Rows by label and by id, up to a number at which all go.

    A row under a label never changes but for its counters; whoever changes those, or
    removes a row, says so with `forget`. Under an id another row may stand by now: ask whether
    the label of what is found here is still alive.
    """

    def __init__(self, limit: int = _KEPT):
        self._limit = limit
        self._by_label: dict[int, Row] = {}
        self._by_id: dict[tuple[int, str], Row] = {}

    def __len__(self) -> int:
        return len(self._by_label)

    def of(self, labels: Iterable[int]) -> list[Row | None]:
        """The rows of these labels in their order, None for one that is not here."""
        held = self._by_label.get
        return [held(label) for label in labels]

    def of_ids(self, collection: int, ids: Sequence[str]) -> dict[str, Row]:
        """Those of these ids of a collection that are here."""
        held = self._by_id
        return {entry_id: row for entry_id in ids if (row := held.get((collection, entry_id))) is not None}

    def keep(self, rows: Iterable[Row]) -> None:
        """Take rows that were just read."""
        by_label, by_id = self._by_label, self._by_id
        for row in rows:
            by_label[row.label] = by_id[row.collection, row.id] = row
        if len(by_label) > self._limit:
            self.clear()

    def forget(self, labels: Iterable[int]) -> None:
        """Let go of rows that are gone, or whose counters have changed."""
        for label in labels:
            row = self._by_label.pop(label, None)
            if row is not None:
                self._by_id.pop((row.collection, row.id), None)

    def clear(self) -> None:
        """Let go of all rows."""
        self._by_label, self._by_id = {}, {}
