"""What this machine allows: how fast memory is read in a row, and how fast distances to random rows are."""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from medha_core.native import VectorIndex, simd_variant

__all__ = ["Limits", "describe"]

PREFIX_BYTES = 16
"""Of each vector a scan reads at least this much."""
DIMENSION = 384


def best_seconds(work: Callable[[], object], turns: int = 15) -> float:
    found = []
    for _ in range(turns):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return min(found)


class Limits:
    """Measured once a run, on the core the rows run on."""

    def __init__(self) -> None:
        self._bandwidth: dict[int, float] = {}
        rows = np.random.default_rng(1).standard_normal((100_000, DIMENSION), np.float32)
        index = VectorIndex(DIMENSION, capacity=len(rows), tier="scan")
        index.add(np.arange(len(rows)), rows)
        labels = np.sort(np.random.default_rng(2).choice(len(rows), 1_000, replace=False)).astype(np.uint64)
        self.distance_ns = 1e9 * best_seconds(lambda: index.search(rows[0], 1, allowed=labels)) / len(labels)
        """Nanoseconds of an exact float32 distance to a row that is in no cache."""

    def bandwidth(self, size: int) -> float:
        """Bytes per second with which `size` bytes are read over and over, by a dot product of the BLAS."""
        if size not in self._bandwidth:
            words = np.ones(max(size // 4, 64), np.float32)
            self._bandwidth[size] = words.nbytes / best_seconds(lambda: np.dot(words, words), 50)
        return self._bandwidth[size]

    def scan_us(self, entries: int) -> float:
        """Microseconds below which no scan of so many entries can be: reading the prefixes, one distance."""
        return 1e6 * entries * PREFIX_BYTES / self.bandwidth(entries * PREFIX_BYTES) + self.distance_ns / 1e3


def describe() -> str:
    """The machine in a line."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}"
    return f"{model}, {cores} cores, {simd_variant()}, {versions}"
