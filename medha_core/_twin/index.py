"""The vector index by brute force in NumPy: the twin of `ext/index.pxi`, and its oracle."""

import math
import threading
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from medha_core import index_arguments as door
from medha_core import index_file
from medha_core._twin.index_sections import block_bytes, lay_out, read_sections
from medha_core.arrays import as_float_rows, bad_row
from medha_core.errors import LabelNotFoundError

__all__ = ["VectorIndex", "bit_radius", "set_simd_variant", "simd_variant", "simd_variants"]

Found = tuple[NDArray[np.uint64], NDArray[np.float32]]


class VectorIndex:
    """The same methods, arguments, errors and answers as the native `VectorIndex`.

    The vectors lie in one array in the order of their arrival; `join` only moves a mark, so that the
    tiers read as the native ones do. One lock is held for the length of each call.
    """

    def __init__(
        self,
        dimension: int,
        *,
        capacity: int = 1024,
        M: int = 16,  # noqa: N803 - hnswlib's name
        ef_construction: int = 100,
        quantization: str = "int8",
        tier: str = "auto",
        graph_from: int = 20_000,
    ):
        self.dimension = door.as_whole("dimension", dimension, 1, 65535)
        self._capacity = door.as_whole("capacity", capacity, 1)
        self._links = door.as_whole("M", M, 2, 1024)
        self._effort = door.as_whole("ef_construction", ef_construction, 1)
        self._graph_from = door.as_whole("graph_from", graph_from, 0)
        kind = door.check_choice("quantization", quantization, door.QUANTIZATIONS)
        where = door.check_choice("tier", tier, door.TIERS)
        self.quantization, self.tier = door.QUANTIZATIONS[kind], door.TIERS[where]
        self._scan: dict[int, NDArray[np.float32]] = {}
        self._graph: dict[int, NDArray[np.float32]] = {}
        self._tombstones = 0
        self.read_only, self.note = False, b""
        self._lock = threading.RLock()

    @classmethod
    def open(cls, path: str | Path, *, mode: str = "r", verify: bool = False) -> Self:
        """The index that was saved to `path`, read into memory; `mode="r"` refuses changes."""
        door.check_choice("mode", mode, door.MODES)
        with index_file.open_file(path) as file:
            header = index_file.read_header(file, path)
            if verify:
                index_file.verify(file, header, path)
            labels, vectors, buried = read_sections(file, header)
        opened = cls(
            header.dimension,
            capacity=max(header.entries, 1),
            M=header.M,
            ef_construction=header.ef_construction,
            quantization=header.quantization,
            tier=header.tier,
            graph_from=header.graph_from,
        )
        for slot in np.flatnonzero(~buried).tolist():
            entries = opened._graph if slot < header.joined else opened._scan
            entries[int(labels[slot])] = vectors[slot]
        opened._tombstones, opened.read_only, opened.note = header.tombstones, mode == "r", header.note
        return opened

    @staticmethod
    def verify(path: str | Path) -> None:
        """Compare every checksum of the file at `path`. Raises `SnapshotError` naming the damaged section."""
        with index_file.open_file(path) as file:
            index_file.verify(file, index_file.read_header(file, path), path)

    def save(self, path: str | Path, *, note: bytes = b"") -> None:
        """Write the index to a file of its own beside `path`, make it durable, and rename it to `path`."""
        index_file.check_note(note)
        index_file.write_whole(path, lambda file: self._write_to(file, note))

    def _write_to(self, file: int, note: bytes) -> index_file.Header:
        with self._lock:
            entries = self._graph | self._scan
        vectors = np.array([*entries.values()], np.float32).reshape(-1, self.dimension)
        sections = lay_out(np.array([*entries], np.uint64), vectors)
        return index_file.Header(
            self.dimension,
            self.quantization,
            self.tier,
            self._links,
            self._effort,
            block_bytes(self.dimension, self.quantization, self._links),
            self._graph_from,
            len(entries),
            0,
            0,
            0,
            -1,
            index_file.ROTATION_SEED,
            index_file.write_sections(file, sections),
            note,
        )

    @property
    def capacity(self) -> int:
        """Slots that exist; adding beyond them makes more."""
        return self._capacity

    def add(self, labels: Any, vectors: Any, *, threads: int = 1) -> None:
        """Write vectors (float32[d] or [n, d], any length but zero) under `labels` (an int or uint64[n])."""
        door.check_writable(self.read_only)
        keys = door.as_labels("labels", labels)
        rows = as_float_rows(vectors, self.dimension, "vectors")
        door.check_pairs(keys, rows)
        door.as_whole("threads", threads, 1, 1024)
        units = _unit("vectors", rows)
        with self._lock:
            for key, unit in zip(keys.tolist(), units, strict=True):
                self._bury(key)
                self._scan[key] = unit
            used = len(self) + self._tombstones
            if used > self._capacity:
                self._capacity = max(used, 2 * self._capacity)
            if self.tier == "graph":
                self.join()

    def remove(self, labels: Any) -> int:
        """Forget `labels` (an int or a sequence); unknown ones are ignored. Returns how many were removed."""
        door.check_writable(self.read_only)
        keys = door.as_labels("labels", labels).tolist()
        with self._lock:
            return sum(self._scan.pop(key, None) is not None or self._bury(key) for key in keys)

    def search(
        self, vector: Any, k: int, *, ef: int | None = None, min_score: float = -1.0, allowed: Any = None
    ) -> Found:
        """The `k` entries closest to `vector`: (labels uint64[m], scores float32[m]), m <= k, best first."""
        rows = as_float_rows(vector, self.dimension, "vector")
        door.check_one(rows)
        wanted, least, permitted = _search_arguments(k, ef, min_score, allowed)
        return self._nearest(_unit("vector", rows)[0], wanted, least, permitted)

    def search_many(
        self,
        vectors: Any,
        k: int,
        *,
        ef: int | None = None,
        min_score: float = -1.0,
        allowed: Any = None,
        threads: int = 1,
    ) -> list[Found]:
        """`search` for each row of `vectors` (float32[n, d]): a list of its results."""
        rows = as_float_rows(vectors, self.dimension, "vectors")
        wanted, least, permitted = _search_arguments(k, ef, min_score, allowed)
        door.as_whole("threads", threads, 1, 1024)
        return [self._nearest(unit, wanted, least, permitted) for unit in _unit("vectors", rows)]

    def get(self, label: int) -> NDArray[np.float32]:
        """The unit vector of `label`, float32[d]; `LabelNotFoundError` (a `KeyError`) if there is none."""
        key = door.as_whole("label", label, 0, 2**64 - 1)
        with self._lock:
            vector = self._scan.get(key, self._graph.get(key))
        if vector is None:
            raise LabelNotFoundError(label)
        return vector.copy()

    def __contains__(self, label: object) -> bool:
        with self._lock:
            return label in self._scan or label in self._graph

    def __len__(self) -> int:
        with self._lock:
            return len(self._scan) + len(self._graph)

    def labels(self) -> NDArray[np.uint64]:
        """Every label, uint64[n], rising."""
        with self._lock:
            return np.array(sorted([*self._scan, *self._graph]), np.uint64)

    def reserve(self, capacity: int) -> None:
        """Make room for `capacity` vectors ahead of time."""
        door.check_writable(self.read_only)
        self._capacity = max(self._capacity, door.as_whole("capacity", capacity, 1))

    def join(self, limit: int | None = None, *, threads: int = 1) -> int:
        """Put up to `limit` vectors (all unless given) that the graph lacks into it: how many."""
        door.check_writable(self.read_only)
        most = None if limit is None else door.as_whole("limit", limit, 0)
        door.as_whole("threads", threads, 1, 1024)
        with self._lock:
            moving = list(self._scan)[:most] if self.waiting() else []
            self._graph.update((key, self._scan.pop(key)) for key in moving)
            return len(moving)

    def waiting(self) -> int:
        """How many vectors `join()` would move now."""
        with self._lock:
            if self.tier == "scan" or (self.tier == "auto" and len(self) < self._graph_from):
                return 0
            return len(self._scan)

    def compact(self) -> None:
        """Drop the graph's tombstones."""
        door.check_writable(self.read_only)
        with self._lock:
            self._tombstones = 0

    def hold(self) -> None:
        """For the moment of a fork: wait until nobody is inside, and let nobody in until `let_go`."""
        self._lock.acquire()

    def let_go(self, in_child: bool) -> None:
        """The end of `hold`."""
        self._lock.release()

    def memory_usage(self) -> dict[str, int]:
        """Bytes by part: "rows", "graph", "labels", "total"."""
        rows = len(self) * self.dimension * 4
        return {"rows": rows, "graph": 0, "labels": 0, "total": rows}

    def info(self) -> dict[str, Any]:
        """Entries by tier, tombstones, capacity, the instruction set, and the sign bits a scan compares."""
        bits = 128 if self.dimension <= 128 else 256 if self.dimension <= 256 else 512
        with self._lock:
            return {
                "graph": len(self._graph),
                "scan": len(self._scan),
                "tombstones": self._tombstones,
                "capacity": self._capacity,
                "simd": "numpy",
                "bits": bits,
                "miss_probability": MISS_PROBABILITY,
                "radius": {t: bit_radius(t, bits, MISS_PROBABILITY / 2) for t in (0.7, 0.85, 0.95)},
            }

    def __repr__(self) -> str:
        info = self.info()
        return (
            f"<VectorIndex dimension={self.dimension} quantization={self.quantization} tier={self.tier} "
            f"entries={len(self)} graph={info['graph']} scan={info['scan']}>"
        )

    def _bury(self, key: int) -> bool:
        """Make a tombstone of what the graph holds under `key`; false if it holds nothing."""
        buried = self._graph.pop(key, None) is not None
        self._tombstones += buried
        return buried

    def _nearest(
        self, unit: NDArray[np.float32], k: int, least: float, allowed: NDArray[Any] | None
    ) -> Found:
        with self._lock:
            labels = np.array([*self._scan, *self._graph], np.uint64)
            rows = np.array([*self._scan.values(), *self._graph.values()], np.float32)
        # Row by row: the product of a matrix would give equal rows scores that differ in the last place.
        scores = np.vecdot(rows.reshape(-1, self.dimension), unit)
        chosen = np.flatnonzero((scores >= np.float32(least)) & _permitted(labels, allowed))
        best = chosen[np.lexsort((labels[chosen], -scores[chosen]))][:k]
        return labels[best], scores[best]


MISS_PROBABILITY = 1e-6


def _search_arguments(
    k: int, ef: int | None, min_score: float, allowed: Any
) -> tuple[int, float, NDArray[Any] | None]:
    wanted = door.as_whole("k", k, 1)
    if ef is not None:
        door.as_whole("ef", ef, 1)
    return wanted, door.as_score("min_score", min_score), door.as_allowed(allowed)


def _unit(argument: str, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if bad.size:
        raise bad_row(rows[bad[0]], int(bad[0]), argument)
    return (rows / lengths[:, None]).astype(np.float32)


def _permitted(labels: NDArray[np.uint64], allowed: NDArray[Any] | None) -> NDArray[np.bool_]:
    if allowed is None:
        return np.ones(len(labels), bool)
    if allowed.dtype == np.uint64:
        return np.isin(labels, allowed)
    known = labels < len(allowed)
    known[known] = allowed[labels[known].astype(np.intp)] != 0
    return known


@cache
def bit_radius(cosine: float, bits: int, miss_probability: float) -> int:
    """The smallest r that the weights of differing bits exceed with at most this probability.

    `bits` (a power of two) of two vectors of this cosine; `ext/index_bits.hpp` says what they weigh.
    """
    if cosine >= 1:
        return 0
    if cosine <= -1:
        return 3 * bits
    often = np.array(_weights_of_a_bit(cosine))
    for _ in range(bits.bit_length() - 1):
        often = np.convolve(often, often)
    tails = np.cumsum(often[::-1])[::-1]
    return int(np.flatnonzero(tails > miss_probability)[-1])


def _weights_of_a_bit(cosine: float) -> list[float]:
    """How often a bit of two vectors of this cosine differs and weighs 0 (or does not differ), 1, 2, 3."""
    slope = cosine / math.sqrt(1 - cosine * cosine)
    steps = 4000

    def density(g: float) -> float:
        return math.exp(-g * g / 2) / math.sqrt(2 * math.pi) * math.erfc(slope * g / math.sqrt(2))

    often = [0.0]
    for start, end in ((0.3, 0.9), (0.9, 1.5), (1.5, 9.0)):
        h = (end - start) / steps
        often.append(h * sum(density(start + (i + 0.5) * h) for i in range(steps)))
    return [1 - sum(often), *often[1:]]


def simd_variants() -> tuple[str, ...]:
    """The instruction sets this machine can run: for the twin, NumPy's own."""
    return ("numpy",)


def simd_variant() -> str:
    """The instruction set in use."""
    return "numpy"


def set_simd_variant(name: str) -> None:
    """Accepts only the one there is."""
    door.check_choice("name", name, simd_variants())
