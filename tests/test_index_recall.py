"""What the native index must not miss: everything above a score by scan, the nearest by graph."""

import os

import pytest

if os.environ.get("MEDHA_NO_EXTENSION") == "1":
    pytest.skip("the extension is switched off", allow_module_level=True)

import numpy as np

from medha_core import _core

QUANTIZATIONS = ("float32", "int8", "binary")


@pytest.fixture(params=_core.simd_variants())
def variant(request: pytest.FixtureRequest):
    before = _core.simd_variant()
    _core.set_simd_variant(request.param)
    yield request.param
    _core.set_simd_variant(before)


def vectors(n: int, dimension: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dimension), np.float32)


def clustered(n: int, dimension: int, *, clusters: int, spread: float, seed: int = 0) -> np.ndarray:
    """Unit vectors around random centres; `spread` is the length of the noise beside a centre of length 1."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((clusters, dimension))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    noise = random.standard_normal((n, dimension)) * spread / np.sqrt(dimension)
    return units(centres[random.integers(0, clusters, n)] + noise)


def units(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def labels_of(found: tuple[np.ndarray, np.ndarray]) -> list[int]:
    return found[0].tolist()


def anisotropic(n: int, dimension: int) -> np.ndarray:
    """Vectors that share most of their direction, as many text embeddings do."""
    random = np.random.default_rng(3)
    scales = np.exp(-np.arange(dimension) / 20)
    return units(random.standard_normal((n, dimension)) * scales + 2 * scales)


def sparse(n: int, dimension: int) -> np.ndarray:
    """One, two or three coordinates that are not zero."""
    random = np.random.default_rng(4)
    rows = np.zeros((n, dimension))
    for row in rows:
        row[random.integers(0, dimension, random.integers(1, 4))] = random.choice([-1, 1])
    return units(rows)


DATA = {
    "clustered": lambda: clustered(4000, 384, clusters=80, spread=0.6),
    "tight": lambda: clustered(4000, 384, clusters=10, spread=0.1),
    "anisotropic": lambda: anisotropic(4000, 384),
    "sparse": lambda: sparse(4000, 384),
    "one direction": lambda: units(1 + 1e-3 * vectors(4000, 384)),
    "short": lambda: clustered(4000, 16, clusters=200, spread=0.5),
    "long": lambda: clustered(1500, 1000, clusters=50, spread=0.5),
}


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("min_score", [0.5, 0.7, 0.85, 0.95])
def test_a_scan_finds_everything_above_its_score(data, min_score):
    rows = DATA[data]()
    index = _core.VectorIndex(rows.shape[1], tier="scan")
    index.add(np.arange(len(rows)), rows)
    for query in rows[:: len(rows) // 25]:
        scores = rows @ query
        labels, found = index.search(query, len(rows), min_score=min_score)
        missing = set(np.flatnonzero(scores >= min_score + 1e-6).tolist()) - set(labels.tolist())
        assert not missing
        assert (scores[labels.astype(int)] >= min_score - 1e-6).all()
        np.testing.assert_allclose(found, scores[labels.astype(int)], atol=1e-6)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("data", DATA)
def test_what_a_scan_finds_first_costs_it_nothing_better(data, k):
    """More entries than one step of a scan holds, many of them near, the best one last."""
    rows = np.tile(DATA[data](), (20_000 // len(DATA[data]()) + 1, 1))[:20_000]
    rows = units(rows + 0.3 * units(vectors(20_000, rows.shape[1])))
    queries = units(rows[::4000] + 0.1 * units(vectors(5, rows.shape[1], seed=1)))
    index = _core.VectorIndex(rows.shape[1], tier="scan")
    index.add(np.arange(20_000), rows[::-1])
    for query in queries:
        expected = np.sort(rows @ query)[::-1][:k]
        np.testing.assert_allclose(index.search(query, k, min_score=0.5)[1], expected, atol=1e-6)


@pytest.mark.parametrize("data", DATA)
def test_without_a_score_a_scan_is_exact(data, variant):
    rows = DATA[data]()
    index = _core.VectorIndex(rows.shape[1], tier="scan")
    index.add(np.arange(len(rows)), rows)
    for query in units(rows[::500] + 0.3 * units(vectors(len(rows[::500]), rows.shape[1]))):
        expected = np.sort(rows @ query)[::-1][:10]
        np.testing.assert_allclose(index.search(query, 10)[1], expected, atol=1e-6)


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_the_graph_recalls_the_nearest(variant, quantization):
    rows = clustered(3000, 96, clusters=300, spread=0.6)
    index = _core.VectorIndex(96, quantization=quantization, tier="graph")
    index.add(np.arange(3000), rows, threads=2)
    queries = units(rows[:200] + clustered(200, 96, clusters=200, spread=0, seed=5) * 0.3)
    nearest = (queries @ rows.T).argmax(axis=1)
    found = [labels_of(index.search(query, 1, ef=100))[0] for query in queries]
    assert np.mean(found == nearest) >= (0.9 if quantization == "binary" else 0.99)


@pytest.mark.parametrize("data", ["clustered", "tight"])
def test_a_joined_index_scans_where_little_is_near_and_walks_where_much_is(data, variant):
    rows = DATA[data]()
    index = _core.VectorIndex(rows.shape[1], graph_from=0)
    index.add(np.arange(len(rows)), rows)
    index.join(threads=2)
    queries = units(rows[:200] + 0.2 * units(vectors(200, rows.shape[1])))
    scores = queries @ rows.T
    found = [index.search(query, 5, min_score=0.8) for query in queries]
    for (labels, given), all_scores in zip(found, scores, strict=True):
        np.testing.assert_allclose(given, all_scores[labels.astype(int)], atol=1e-6)
    recalled = np.mean([labels_of(one)[0] for one in found] == scores.argmax(axis=1))
    assert recalled == 1.0 if data == "clustered" else recalled >= 0.95


@pytest.mark.parametrize("data", ["clustered", "tight", "anisotropic"])
@pytest.mark.parametrize("k", [1, 8, 5000])
def test_a_scan_of_what_a_graph_holds_loses_nothing(data, k):
    rows = DATA[data]()
    joined = _core.VectorIndex(384, graph_from=0)
    scanned = _core.VectorIndex(384, tier="scan")
    for index in (joined, scanned):
        index.add(np.arange(3000), rows[:3000])
        index.join(threads=2)
        index.remove(np.arange(0, 3000, 7))
        index.add(np.arange(3000, 4000), rows[3000:])
    for query in units(rows[::100] + 0.2 * units(vectors(40, 384))):
        # So broad a walk costs more than any scan.
        found = joined.search(query, k, ef=1_000_000, min_score=0.7)
        assert labels_of(found) == labels_of(scanned.search(query, k, min_score=0.7))


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_a_walk_in_a_dense_crowd_gives_as_many_as_are_wanted(quantization):
    """Codes hardly tell them apart: a walk places others before the nearest, and drops none for it."""
    rows = clustered(2000, 64, clusters=1, spread=0.07)
    index = _core.VectorIndex(64, graph_from=0, quantization=quantization)
    index.add(np.arange(2000), rows)
    index.join(threads=2)
    queries = rows + 0.02 * units(vectors(2000, 64, seed=1))
    assert {len(found[0]) for found in index.search_many(queries, 1, ef=20)} == {1}


def test_a_graph_after_updates_and_removals_still_recalls():
    rows = clustered(2000, 64, clusters=200, spread=0.6)
    index = _core.VectorIndex(64, tier="graph")
    index.add(np.arange(2000), -rows)
    index.add(np.arange(2000), rows)
    index.remove(np.arange(1000))
    assert index.info()["tombstones"] == 3000
    found = [labels_of(index.search(rows[i], 1))[0] for i in range(1000, 2000, 10)]
    assert np.mean(found == np.arange(1000, 2000, 10)) >= 0.97
