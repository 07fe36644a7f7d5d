"""Vectors remembered by key: in memory, and behind it in a file."""

import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from medha_core.errors import ArgumentTypeError, ArgumentValueError
from medha_core.native import LRUCache
from medha_core.vectors.file import VectorFile

__all__ = ["VectorCache", "vector_keys"]

_KEY_VERSION = "medha-embedding-1"
_NO_LIMIT = 2**32 - 2
"""The most that the memory's least-recently-used list can count."""


class VectorCache:
    """Float32 vectors of one dimension, by their keys of `vector_keys`.

    Memory holds nothing before `learn` says the dimension, since `max_bytes` then
    tells how many fit. Safe from several threads.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | VectorFile | None,
        *,
        max_entries: int | None,
        max_bytes: int | None,
        ttl: float | None,
        memory_entries: int,
        clock: Callable[[], float],
    ):
        if ttl is not None and not ttl > 0:
            raise ArgumentValueError("ttl", "more than 0 seconds, or None", ttl)
        _check_count("max_entries", max_entries, optional=True)
        _check_count("max_bytes", max_bytes, optional=True)
        _check_count("memory_entries", memory_entries)
        self._max_entries, self._max_bytes, self._memory_entries = max_entries, max_bytes, memory_entries
        self._ttl, self._clock = ttl, clock
        self._dimension: int | None = None
        # none; one that is open already; one to be opened
        if path is None or isinstance(path, VectorFile):
            self.file = path
        else:
            self.file = VectorFile(path, max_entries=max_entries, max_bytes=max_bytes, clock=clock)
        self.begin()

    def begin(self) -> None:
        """Start with an empty memory, and locks that nobody holds."""
        self._memory = LRUCache(self._memory_size(), clock=self._clock)

    def learn(self, dimension: int) -> None:
        """Give memory its size."""
        self._dimension = dimension
        self.begin()

    def _memory_size(self) -> int:
        if self._dimension is None:
            return 0
        sizes = [self._memory_entries, _NO_LIMIT]
        if self._max_entries is not None:
            sizes.append(self._max_entries)
        if self._max_bytes is not None:
            sizes.append(self._max_bytes // (4 * self._dimension))
        return min(sizes)

    def __len__(self) -> int:
        """How many vectors are in memory."""
        return len(self._memory)

    @property
    def corrupt_rows(self) -> int:
        return 0 if self.file is None else self.file.corrupt_rows

    def remembered(self, keys: Iterable[bytes]) -> dict[bytes, np.ndarray]:
        """What is in memory: about a microsecond each."""
        found = {}
        for key in keys:
            vector = self._memory.get(key[:16])
            if vector is not None:
                found[key] = vector
        if found and self.file is not None:
            self.file.touch([key.hex() for key in found])
        return found

    def read(self, keys: Iterable[bytes]) -> dict[bytes, np.ndarray]:
        """What is in the file, which is then in memory too."""
        if self.file is None:
            return {}
        by_name = {key.hex(): key for key in keys}
        found = {}
        for name, (vector, expires_at) in self.file.get(by_name).items():
            key = by_name[name]
            found[key] = vector
            self._put(key, vector, expires_at)
        return found

    def keep(self, vectors: Mapping[bytes, np.ndarray]) -> None:
        """Into memory; the arrays become read-only."""
        expires_at = None if self._ttl is None else self._clock() + self._ttl
        for key, vector in vectors.items():
            vector.setflags(write=False)
            self._put(key, vector, expires_at)

    def write(self, vectors: Mapping[bytes, np.ndarray], *, model: str, role: str) -> None:
        """Into the file."""
        if self.file is not None:
            named = {key.hex(): vector for key, vector in vectors.items()}
            self.file.put(named, model=model, role=role, ttl=self._ttl)

    def drop(self, keys: Sequence[bytes]) -> None:
        """Forget these, in memory and in the file."""
        for key in keys:
            self._memory.remove(key[:16])
        if self.file is not None:
            self.file.drop([key.hex() for key in keys])

    def forget(self) -> None:
        """Empty the memory; the file stays."""
        self._memory.clear()

    def clear(self) -> None:
        """Forget everything, in the file too."""
        self.forget()
        if self.file is not None:
            self.file.clear()

    def info(self) -> dict[str, Any]:
        """What the file holds; only the memory's entries without a file."""
        return {"entries": len(self)} if self.file is None else self.file.info()

    def close(self) -> None:
        """Release the file."""
        if self.file is not None:
            self.file.close()

    def _put(self, key: bytes, vector: np.ndarray, expires_at: float | None) -> None:
        if expires_at is None:
            self._memory.put(key[:16], vector)
        else:
            self._memory.put(key[:16], vector, expires_at=expires_at)


def vector_keys(texts: Iterable[str], *, fingerprint: str, dimension: int, role: str) -> list[bytes]:
    """32-byte keys; texts, roles, dimensions and models that differ never give equal ones."""
    begun = _key_of_space(fingerprint, dimension, role)
    keys = []
    for text in texts:
        key = begun.copy()
        key.update(_framed(text))
        keys.append(key.digest())
    return keys


@functools.lru_cache(maxsize=64)
def _key_of_space(fingerprint: str, dimension: int, role: str) -> Any:
    """The sha256 of all parts of a key but the text."""
    return hashlib.sha256(b"".join(map(_framed, (_KEY_VERSION, fingerprint, str(dimension), role))))


def _framed(part: str) -> bytes:
    # Its length stands before each part, so that none runs into the next.
    encoded = part.encode()
    return len(encoded).to_bytes(8, "little") + encoded


def _check_count(argument: str, value: int | None, *, optional: bool = False) -> None:
    if value is None and optional:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise ArgumentTypeError(argument, "int or None" if optional else "int", value)
    if value < optional:
        raise ArgumentValueError(argument, "at least 1, or None" if optional else "at least 0", value)
