"""L1 records of queries with exchanged values: what made them possible may be forgotten before they are."""

from medha_core.concurrency import forking

_KEPT = 10_000


class Exchanged:
    """Keys of such records. L1 knows which entry a record is of, but not which others taught its values."""

    def __init__(self, limit: int = _KEPT):
        self._limit = limit
        self._keys: set[str] = set()
        self._lost = False
        self._lock = forking.lock()
        """Held while the set is changed or taken."""

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: str) -> None:
        """Note a record before it is put into L1."""
        with self._lock:
            if len(self._keys) < self._limit:
                self._keys.add(key)
            else:
                self._lost = True

    def take(self) -> set[str] | None:
        """All keys, which are noted no longer; None when there were too many to note."""
        with self._lock:
            keys, self._keys = self._keys, set()
            lost, self._lost = self._lost, False
        return None if lost else keys
