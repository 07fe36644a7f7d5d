"""The first-level cache: the twin of ext/lru.pxi, on an `OrderedDict`."""

import time
from collections import OrderedDict
from collections.abc import Callable
from math import inf, isnan
from threading import RLock
from typing import Any, NamedTuple

from medha_core._twin.text import question_key
from medha_core.errors import ArgumentTypeError, ArgumentValueError

__all__ = ["LRUCache"]

_MAX_SIZE = 2**32 - 2


class _Record(NamedTuple):
    value: Any
    expires_at: float
    tag: int


class LRUCache:
    """At most `max_size` values by 16-byte key; the one used longest ago makes place.

    A record may expire (`expires_at <= clock()`), and carries a 64-bit tag by which it can be
    dropped. `generation` counts what was forgotten: a `put` with an older one is refused.
    `max_size` 0 turns the cache off. Safe to use from several threads.
    """

    def __init__(self, max_size: int, *, clock: Callable[[], float] = time.time):
        if not isinstance(max_size, int):
            raise ArgumentTypeError("max_size", "int", max_size)
        if not 0 <= max_size <= _MAX_SIZE:
            raise ArgumentValueError("max_size", f"an integer from 0 to {_MAX_SIZE}", max_size)
        self.max_size = max_size
        self.generation = self.hits = self.misses = self.evictions = 0
        self._clock = clock
        # Read and changed under the lock. Dropped records stay in a local of the method that took it,
        # so that their destructors, which may run anything, run after it.
        self._records: OrderedDict[bytes, _Record] = OrderedDict()
        self._by_tag: dict[int, dict[bytes, None]] = {}
        self._lock = RLock()

    def __len__(self) -> int:
        return len(self._records)

    def __repr__(self) -> str:
        return (
            f"LRUCache({len(self)} of {self.max_size}, generation {self.generation}, "
            f"{self.hits} hits, {self.misses} misses, {self.evictions} evictions)"
        )

    def get(self, key: bytes) -> Any:
        """The value under `key` (16 bytes), or None; counts as a use."""
        _check_key(key)
        record = self._records.get(key)
        now = self._clock() if record and record.expires_at != inf else -inf
        with self._lock:
            record = self._records.get(key)
            if record is None or record.expires_at <= now:
                if record:
                    self._drop(key)
                self.misses += 1
                return None
            self.hits += 1
            self._records.move_to_end(key)
            return record.value

    def lookup(self, scope: bytes, question: str) -> Any:
        """`get(question_key(scope, question))` in one step."""
        return self.get(question_key(scope, question))

    def put(
        self,
        key: bytes,
        value: Any,
        *,
        expires_at: float = inf,
        tag: int = 0,
        generation: int | None = None,
    ) -> bool:
        """Keep `value` under `key`; False when the cache is off or `generation` is not the current one.

        A key that is there gets the new value, expiry and tag, and evicts nothing. `expires_at` is in
        the clock's unit (seconds since the epoch).
        """
        _check_key(key)
        _check_tag(tag)
        if isnan(expires_at):
            raise ArgumentValueError("expires_at", "a time or infinity", expires_at)
        dropped = None
        with self._lock:
            if generation is not None and generation != self.generation:
                return False
            if self.max_size == 0:
                return False
            dropped = self._make_place(key)
            self._records[key] = _Record(value, expires_at, tag)
            self._by_tag.setdefault(tag, {})[key] = None
        del dropped
        return True

    def remove(self, key: bytes) -> bool:
        """Drop `key`; False when it is not there."""
        _check_key(key)
        with self._lock:
            dropped = self._drop(key) if key in self._records else None
        return dropped is not None

    def remove_tag(self, tag: int) -> int:
        """Drop every record with `tag`, start a new generation, and return how many were dropped."""
        _check_tag(tag)
        with self._lock:
            dropped = [self._drop(key) for key in list(self._by_tag.get(tag, ()))]
            self.generation += 1
        return len(dropped)

    def clear(self) -> None:
        """Drop everything and start a new generation."""
        with self._lock:
            dropped, self._records = self._records, OrderedDict()
            self._by_tag = {}
            self.generation += 1
        del dropped

    def advance(self) -> int:
        """Start a new generation, so that what was read before can no longer be put; its number."""
        with self._lock:
            self.generation += 1
            return self.generation

    def _make_place(self, key: bytes) -> _Record | None:
        if key in self._records:
            return self._drop(key)
        if len(self._records) < self.max_size:
            return None
        self.evictions += 1
        return self._drop(next(iter(self._records)))

    def _drop(self, key: bytes) -> _Record:
        record = self._records.pop(key)
        siblings = self._by_tag[record.tag]
        del siblings[key]
        if not siblings:
            del self._by_tag[record.tag]
        return record


def _check_key(key: bytes) -> None:
    if type(key) is not bytes:
        raise ArgumentTypeError("key", "bytes", key)
    if len(key) != 16:
        raise ArgumentValueError("key", "16 bytes", key)


def _check_tag(tag: int) -> None:
    if not isinstance(tag, int):
        raise ArgumentTypeError("tag", "int", tag)
    if not 0 <= tag < 2**64:
        raise ArgumentValueError("tag", "an integer from 0 to 2**64 - 1", tag)
