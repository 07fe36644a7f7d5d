"""The vector index, native and twin: what it finds and forgets, filters, tiers, and how it grows."""

import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from medha_core.errors import LabelNotFoundError

DIMENSION = 24


@pytest.fixture
def make(core: ModuleType) -> Callable[..., Any]:
    return core.VectorIndex


def vectors(n: int, dimension: int = DIMENSION, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dimension), np.float32)


def units(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def labels_of(found: tuple[np.ndarray, np.ndarray]) -> list[int]:
    return found[0].tolist()


# What is found


def test_finds_the_nearest_first_with_exact_scores(make):
    rows = vectors(50)
    index = make(DIMENSION)
    index.add(np.arange(50), rows)
    labels, scores = index.search(rows[7], 5)
    expected = units(rows) @ units(rows)[7]
    assert labels[0] == 7
    assert labels.dtype == np.uint64
    assert scores.dtype == np.float32
    assert labels.tolist() == np.argsort(-expected)[:5].tolist()
    np.testing.assert_allclose(scores, np.sort(expected)[::-1][:5], atol=1e-6)


def test_length_of_a_vector_does_not_matter(make):
    index = make(2)
    index.add(1, [3.0, 4.0])
    assert index.search(np.array([30.0, 40.0], np.float32), 1)[1][0] == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(index.get(1), [0.6, 0.8], atol=1e-6)


@pytest.mark.parametrize("dimension", [1, 7, 64, 1000])
@pytest.mark.parametrize("n", [5, 63, 500])
def test_equal_vectors_have_equal_scores_wherever_they_stand(make, dimension, n):
    random = np.random.default_rng(n)
    rows = vectors(max(2, n // 10), dimension)
    which, labels = random.integers(0, len(rows), n), random.permutation(n)
    index = make(dimension)
    index.add(labels, rows[which])
    row_of = dict(zip(labels.tolist(), which.tolist(), strict=True))
    for query in vectors(10, dimension, seed=1):
        found, scores = index.search(query, n)
        for row in range(len(rows)):
            equal = [row_of[label] == row for label in found.tolist()]
            assert len(set(scores[equal].tolist())) <= 1
            assert found[equal].tolist() == sorted(found[equal].tolist())


def test_equal_scores_stand_in_the_order_of_their_labels(make):
    index = make(3)
    index.add([9, 2, 5, 1], np.tile(np.float32([1, 0, 0]), (4, 1)))
    assert labels_of(index.search([1, 0, 0], 3)) == [1, 2, 5]


def test_only_what_reaches_the_score_is_given(make):
    index = make(2)
    index.add([1, 2, 3], [[1, 0], [0.9, 0.5], [0, 1]])
    assert labels_of(index.search([1, 0], 3, min_score=0.8)) == [1, 2]
    assert labels_of(index.search([-1, 0], 3, min_score=0.1)) == []


def test_a_threshold_of_one_finds_the_same_vector(make):
    rows = vectors(200, 384)
    index = make(384)
    index.add(np.arange(200), rows)
    assert labels_of(index.search(rows[3] * 1000, 1, min_score=0.99999)) == [3]


def test_more_than_there_are_gives_all(make):
    index = make(DIMENSION)
    index.add(np.arange(3), vectors(3))
    assert len(index.search(vectors(1)[0], 100)[0]) == 3
    assert len(index.search(vectors(1)[0], 2**31 - 1)[0]) == 3


def test_an_empty_index_finds_nothing(make):
    assert labels_of(make(DIMENSION).search(vectors(1)[0], 3)) == []
    assert labels_of(make(DIMENSION, tier="graph").search(vectors(1)[0], 3)) == []


def test_many_searches_equal_single_ones(make):
    rows = vectors(300)
    index = make(DIMENSION)
    index.add(np.arange(300), rows)
    together = index.search_many(rows[:40], 4, min_score=0.1, threads=2)
    for row, found in zip(rows, together, strict=False):
        assert labels_of(found) == labels_of(index.search(row, 4, min_score=0.1))
    assert index.search_many(np.empty((0, DIMENSION), np.float32), 1) == []


def test_labels_use_all_64_bits(make):
    index = make(DIMENSION)
    index.add([0, 2**64 - 1, 2**63], vectors(3))
    assert index.labels().tolist() == [0, 2**63, 2**64 - 1]
    assert labels_of(index.search(vectors(3)[1], 1)) == [2**64 - 1]
    assert 2**64 - 1 in index
    assert 2**64 not in index
    assert -1 not in index


# Writing


def test_the_same_label_is_updated(make):
    for tier in ("scan", "graph"):
        index = make(2, tier=tier)
        index.add([1, 2], [[1, 0], [0, 1]])
        index.add(1, [0, -1])
        assert len(index) == 2
        assert labels_of(index.search([0, -1], 1)) == [1]
        assert labels_of(index.search([1, 0], 2, min_score=0.5)) == []


def test_the_last_of_equal_labels_wins(make):
    index = make(2)
    index.add([5, 5, 5], [[1, 0], [0, 1], [-1, 0]])
    assert len(index) == 1
    assert index.get(5).tolist() == [-1, 0]


def test_removing_forgets(make):
    for tier in ("scan", "graph"):
        rows = vectors(30)
        index = make(DIMENSION, tier=tier)
        index.add(np.arange(30), rows)
        assert index.remove([3, 4, 99]) == 2
        assert index.remove(3) == 0
        assert 3 not in index
        assert len(index) == 28
        assert 3 not in labels_of(index.search(rows[3], 28))
        assert 3 not in index.labels()
        with pytest.raises(LabelNotFoundError):
            index.get(3)


def test_a_vector_read_back_is_a_copy(make):
    index = make(2)
    index.add(1, [0, 1])
    index.get(1)[:] = 7
    assert index.get(1).tolist() == [0, 1]


def test_input_of_any_layout_is_read(make):
    rows = vectors(20)
    index = make(DIMENSION)
    index.add(range(20), np.asfortranarray(rows.astype(np.float64)))
    twice = np.repeat(rows, 2, axis=1)
    assert labels_of(index.search(twice[4, ::2], 1)) == [4]
    assert labels_of(index.search(rows[4].tolist(), 1)) == [4]
    rows.flags.writeable = False
    assert labels_of(index.search(rows[4], 1)) == [4]


def test_grows_beyond_its_capacity(make):
    index = make(DIMENSION, capacity=1)
    rows = vectors(500)
    for label, row in enumerate(rows):
        index.add(label, row)
    assert index.capacity >= 500
    assert all(labels_of(index.search(rows[i], 1)) == [i] for i in range(0, 500, 50))
    index.reserve(5000)
    assert index.capacity == 5000
    assert labels_of(index.search(rows[0], 1)) == [0]


def test_several_threads_write_the_same(make):
    rows = vectors(2000)
    index = make(DIMENSION)
    index.add(np.arange(2000) % 1500, rows, threads=2)
    np.testing.assert_allclose(index.get(10), units(rows)[1510], atol=1e-6)
    assert len(index) == 1500


# Filters


@pytest.mark.parametrize("tier", ["scan", "graph"])
@pytest.mark.parametrize("share", [0.001, 0.02, 0.5, 1.0])
def test_filters_are_decided_inside_the_search(make, tier, share):
    rows = vectors(3000, 8)
    index = make(8, tier=tier)
    index.add(np.arange(3000), rows)
    flags = np.random.default_rng(1).random(2900) < share
    flags[17] = True
    allowed = np.flatnonzero(flags)
    scores = units(rows)[allowed] @ units(rows)[42]
    expected = allowed[np.lexsort((allowed, -scores))][:5].tolist()
    assert labels_of(index.search(rows[42], 5, allowed=flags)) == expected
    assert labels_of(index.search(rows[42], 5, allowed=allowed.astype(np.uint64))) == expected


def test_a_filter_may_name_unknown_and_repeated_labels(make):
    index = make(2)
    index.add([1, 2], [[1, 0], [0, 1]])
    assert labels_of(index.search([1, 1], 5, allowed=[2, 2, 7])) == [2]
    assert labels_of(index.search([1, 1], 5, allowed=[])) == []
    assert labels_of(index.search([1, 1], 5, allowed=np.zeros(0, bool))) == []
    assert labels_of(index.search([1, 1], 5, allowed=np.zeros(10, bool))) == []


def test_ten_of_many_are_found_whatever_the_tier(make):
    rows = vectors(4000, 16)
    for tier in ("scan", "graph"):
        index = make(16, tier=tier)
        index.add(np.arange(4000), rows)
        ten = np.arange(0, 4000, 400, dtype=np.uint64)
        assert sorted(labels_of(index.search(-rows[11], 10, allowed=ten))) == ten.tolist()


# Tiers


def test_auto_joins_nothing_while_small(make):
    index = make(DIMENSION)
    index.add(np.arange(100), vectors(100))
    assert index.join() == 0
    assert index.info()["scan"] == 100


def test_auto_joins_on_request_from_the_given_size_on(make):
    rows = vectors(100)
    index = make(DIMENSION, graph_from=98)
    index.add(np.arange(97), rows[:97])
    assert (index.join(), index.waiting()) == (0, 0)
    index.add(np.arange(97, 100), rows[97:])
    assert index.waiting() == 100
    assert (index.join(30), index.waiting()) == (30, 70)
    assert (index.info()["graph"], index.info()["scan"]) == (30, 70)
    for label in (0, 29, 30, 99):
        assert labels_of(index.search(rows[label], 1, min_score=0.9)) == [label]
    assert sorted(labels_of(index.search(rows[0], 200))) == list(range(100))
    index.remove([0, 30])
    assert (index.info()["graph"], index.info()["scan"], index.info()["tombstones"]) == (29, 69, 1)
    assert index.join() == 69
    assert len(index.search(rows[0], 100)[0]) == 98


def test_graph_joins_at_once_and_limits_are_kept(make):
    index = make(DIMENSION, tier="graph")
    index.add(np.arange(100), vectors(100))
    assert index.info()["graph"] == 100
    assert make(DIMENSION, tier="scan").join() == 0
    assert index.join(5) == 0


def test_compact_drops_tombstones_and_nothing_else(make):
    rows = vectors(400)
    index = make(DIMENSION, tier="graph")
    index.add(np.arange(400), rows)
    index.remove(np.arange(0, 400, 2))
    assert index.info()["tombstones"] == 200
    index.compact()
    info = index.info()
    assert (info["tombstones"], info["graph"], info["scan"]) == (0, 200, 0)
    for label in range(1, 400, 40):
        assert labels_of(index.search(rows[label], 1)) == [label]
    assert len(index.search(rows[0], 400)[0]) == 200


def test_every_entry_of_a_graph_is_given_when_all_are_asked_for(make):
    index = make(4, tier="graph", M=2, ef_construction=4)
    index.add(np.arange(300), np.tile(np.float32([1, 2, 3, 4]), (300, 1)))
    index.remove(np.arange(0, 300, 3))
    assert len(index.search([1, 2, 3, 4], 300)[0]) == 200


# Where it could crash


def test_an_index_cannot_be_made_without_its_arguments():
    core = pytest.importorskip("medha_core._core", exc_type=ImportError)
    with pytest.raises(TypeError):
        core.VectorIndex.__new__(core.VectorIndex)


FEW_THREADS = """
import resource
import numpy as np
from medha_core._core import VectorIndex

index = VectorIndex(8)
rows = np.random.default_rng(0).normal(size=(3000, 8))
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
index.add(np.arange(3000), rows, threads=1024)
print(len(index))
"""


def test_a_system_that_gives_no_more_threads_is_enough():
    pytest.importorskip("resource")
    pytest.importorskip("medha_core._core", exc_type=ImportError)
    done = subprocess.run([sys.executable, "-c", FEW_THREADS], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "3000\n"), done.stderr
