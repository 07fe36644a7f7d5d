"""Uses of entries, gathered in memory and written in batches: a hit never waits for the disk."""

from collections import deque

from medha_core.concurrency import forking

_FOLD_AT = 1024
_ENOUGH = 10_000
"""Entries whose uses are kept before they should be written."""


class PendingUses:
    """Counts by collection and entry, the least recently used entry first.

    `add` is one append, so it costs a hit next to nothing; the counting is put off.
    """

    def __init__(self) -> None:
        self._recent: deque[tuple[str, str]] = deque()
        self._counts: dict[str, dict[str, int]] = {}
        self._lock = forking.lock()

    def add(self, collection: str, entry_id: str) -> bool:
        """Count one use; whether it is time to write them."""
        self._recent.append((collection, entry_id))
        if len(self._recent) < _FOLD_AT:
            return False
        self._fold()
        return sum(len(counts) for counts in self._counts.values()) >= _ENOUGH

    def _fold(self) -> None:
        with self._lock:
            for _ in range(len(self._recent)):
                collection, entry_id = self._recent.popleft()
                counts = self._counts.setdefault(collection, {})
                counts[entry_id] = counts.pop(entry_id, 0) + 1

    def collections(self) -> list[str]:
        """Those with uses that were not taken yet."""
        self._fold()
        return list(self._counts)

    def take(self, collection: str) -> dict[str, int]:
        """The uses of a collection, which are forgotten here."""
        self._fold()
        with self._lock:
            return self._counts.pop(collection, {})
