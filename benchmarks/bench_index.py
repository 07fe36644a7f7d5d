"""Time and recall of the vector index, hits and misses, beside hnswlib where it is installed.

    pytest benchmarks/bench_index.py --benchmark-columns=median,iqr,rounds --benchmark-group-by=group

Synthetic clusters of 384 dimensions, ten vectors each, drawn from fixed seeds: a hit is a noisy copy of an
entry (cosine about 0.96), a miss a random direction. `recall` is the share of hits whose first result is
the true nearest entry. One query per call, one thread. At the end, how time grows: the exponent between
the smallest and the largest size.
"""

import itertools
import math
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from medha_core._core import VectorIndex

DIMENSION = 384
SIZES = (1_000, 10_000, 100_000)
MIN_SCORE = 0.8
QUERIES = 500


class Data(NamedTuple):
    rows: np.ndarray
    hits: np.ndarray
    misses: np.ndarray
    nearest: np.ndarray


def units(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@cache
def data(size: int) -> Data:
    random = np.random.default_rng(size)

    def noise(n: int, length: float) -> np.ndarray:
        return random.standard_normal((n, DIMENSION), np.float32) * np.float32(length / DIMENSION**0.5)

    centres = units(noise(size // 10, 1))
    rows = units(centres[random.integers(0, len(centres), size)] + noise(size, 0.35))
    hits = units(rows[random.integers(0, size, QUERIES)] + noise(QUERIES, 0.3))
    parts = np.array_split(hits, max(1, size // 10_000))
    nearest = np.concatenate([(rows @ part.T).argmax(axis=0) for part in parts])
    return Data(rows, hits, noise(QUERIES, 1), nearest)


@cache
def scan_index(size: int) -> VectorIndex:
    index = VectorIndex(DIMENSION, capacity=size, tier="scan")
    index.add(np.arange(size), data(size).rows)
    return index


@cache
def graph_index(size: int, quantization: str) -> VectorIndex:
    index = VectorIndex(DIMENSION, capacity=size, tier="graph", quantization=quantization)
    index.add(np.arange(size), data(size).rows)
    return index


@cache
def peer_index(size: int):
    hnswlib = pytest.importorskip("hnswlib")
    index = hnswlib.Index("ip", DIMENSION)
    index.init_index(size, M=16, ef_construction=100)
    index.set_num_threads(1)
    index.add_items(data(size).rows, np.arange(size), num_threads=1)
    return index


def search_function(engine: str, size: int, ef: int):
    """A function from one query to the label of the best entry, or None."""
    if engine == "hnswlib":
        peer = peer_index(size)
        peer.set_ef(ef)
        return lambda query: peer.knn_query(query, 1)[0][0][0]
    index = scan_index(size) if engine == "scan" else graph_index(size, engine)

    def search(query: np.ndarray) -> int | None:
        labels, _ = index.search(query, 1, ef=ef, min_score=MIN_SCORE)
        return labels[0] if len(labels) else None

    return search


MEDIANS: dict[tuple[str, str], dict[int, float]] = {}


@pytest.fixture(scope="module", autouse=True)
def growth() -> Iterator[None]:
    """Prints how each median grew with the number of entries."""
    yield
    for (engine, kind), medians in MEDIANS.items():
        small, large = min(medians), max(medians)
        if small < large:
            exponent = math.log(medians[large] / medians[small]) / math.log(large / small)
            print(f"\n{engine} {kind}: time grows as entries ** {exponent:.2f}", end="")


@pytest.mark.parametrize("kind", ["hit", "miss"])
@pytest.mark.parametrize("engine", ["scan", "int8", "float32", "binary", "hnswlib"])
@pytest.mark.parametrize("size", SIZES)
def test_search(benchmark, size: int, engine: str, kind: str) -> None:
    search = search_function(engine, size, ef=64)
    known = data(size)
    benchmark.group = f"{size} entries, {kind}"
    queries = itertools.cycle(known.hits if kind == "hit" else known.misses)
    search(next(queries))  # builds what is built once
    benchmark(lambda: search(next(queries)))
    found = [search(query) for query in known.hits]
    benchmark.extra_info["recall"] = float(
        np.mean([a == b for a, b in zip(found, known.nearest, strict=True)])
    )
    if benchmark.stats:
        MEDIANS.setdefault((engine, kind), {})[size] = benchmark.stats["median"]
        print(f" {engine} {kind} {size}: recall {benchmark.extra_info['recall']:.3f}", end="")


def test_overhead_of_a_call(benchmark) -> None:
    index = VectorIndex(DIMENSION)
    index.add(np.arange(10), data(1_000).rows[:10])
    query = data(1_000).hits[0]
    benchmark(lambda: index.search(query, 1, min_score=MIN_SCORE))


@pytest.mark.parametrize("size", [10_000])
def test_insert_into_the_scan(benchmark, size: int) -> None:
    labels = np.arange(size)
    benchmark.extra_info["vectors"] = size
    benchmark.pedantic(
        lambda index: index.add(labels, data(size).rows),
        setup=lambda: ((VectorIndex(DIMENSION, capacity=size, tier="scan"),), {}),
        rounds=5,
    )


@pytest.mark.parametrize("engine", ["int8", "float32", "binary", "hnswlib"])
@pytest.mark.parametrize("size", [10_000])
def test_build_of_the_graph(benchmark, size: int, engine: str) -> None:
    benchmark.group = f"graph of {size}"
    build = peer_index.__wrapped__ if engine == "hnswlib" else graph_index.__wrapped__
    benchmark.pedantic(build, args=(size,) if engine == "hnswlib" else (size, engine), rounds=2)
