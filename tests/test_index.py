"""The vector index, native and twin: what it finds, forgets, refuses, and how it grows."""

import threading
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from medha_core import _core
from medha_core._twin import index as twin
from medha_core.errors import (
    ArgumentTypeError,
    ArgumentValueError,
    DimensionMismatchError,
    LabelNotFoundError,
    MedhaError,
)

DIMENSION = 24
MODULES = {"native": _core, "twin": twin}
QUANTIZATIONS = ("float32", "int8", "binary")


@pytest.fixture(params=MODULES)
def make(request: pytest.FixtureRequest) -> Callable[..., twin.VectorIndex]:
    return MODULES[request.param].VectorIndex


@pytest.fixture(params=_core.simd_variants())
def variant(request: pytest.FixtureRequest):
    before = _core.simd_variant()
    _core.set_simd_variant(request.param)
    yield request.param
    _core.set_simd_variant(before)


def vectors(n: int, dimension: int = DIMENSION, seed: int = 0) -> np.ndarray:
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
    if make is _core.VectorIndex or tier == "scan":
        index.add(np.arange(3000), rows)
    else:
        index.add(np.arange(3000), rows, threads=1)
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


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_the_graph_recalls_the_nearest(variant, quantization):
    rows = clustered(3000, 96, clusters=300, spread=0.6)
    index = _core.VectorIndex(96, quantization=quantization, tier="graph")
    index.add(np.arange(3000), rows, threads=2)
    queries = units(rows[:200] + clustered(200, 96, clusters=200, spread=0, seed=5) * 0.3)
    nearest = (queries @ rows.T).argmax(axis=1)
    found = [labels_of(index.search(query, 1, ef=100))[0] for query in queries]
    assert np.mean(found == nearest) >= (0.9 if quantization == "binary" else 0.99)


def test_a_graph_after_updates_and_removals_still_recalls():
    rows = clustered(2000, 64, clusters=200, spread=0.6)
    index = _core.VectorIndex(64, tier="graph")
    index.add(np.arange(2000), -rows)
    index.add(np.arange(2000), rows)
    index.remove(np.arange(1000))
    assert index.info()["tombstones"] == 3000
    found = [labels_of(index.search(rows[i], 1))[0] for i in range(1000, 2000, 10)]
    assert np.mean(found == np.arange(1000, 2000, 10)) >= 0.97


# The scan finds everything above its score


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


@pytest.mark.parametrize("data", DATA)
def test_without_a_score_a_scan_is_exact(data, variant):
    rows = DATA[data]()
    index = _core.VectorIndex(rows.shape[1], tier="scan")
    index.add(np.arange(len(rows)), rows)
    for query in units(rows[::500] + 0.3 * units(vectors(len(rows[::500]), rows.shape[1]))):
        expected = np.sort(rows @ query)[::-1][:10]
        np.testing.assert_allclose(index.search(query, 10)[1], expected, atol=1e-6)


# Bad input


@pytest.mark.parametrize("bad", [0, -1, 65536])
def test_dimension_out_of_range(make, bad):
    with pytest.raises(ArgumentValueError, match="dimension"):
        make(bad)


@pytest.mark.parametrize(
    "arguments",
    [{"quantization": "int4"}, {"tier": "disk"}, {"M": 1}, {"capacity": 0}, {"ef_construction": 0}],
)
def test_unknown_settings(make, arguments):
    with pytest.raises(ArgumentValueError, match=next(iter(arguments))):
        make(4, **arguments)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf, -np.inf])
def test_vectors_without_direction_are_refused_with_their_row(make, bad):
    index = make(4)
    rows = np.ones((3, 4), np.float32)
    rows[2] = bad
    with pytest.raises(ArgumentValueError, match=r"vectors\[2\]"):
        index.add([1, 2, 3], rows)
    assert len(index) == 0
    with pytest.raises(ArgumentValueError, match="vector"):
        index.search(rows[2], 1)
    with pytest.raises(ArgumentValueError, match=r"vectors\[2\]"):
        index.search_many(rows, 1)


def test_numbers_at_the_ends_of_float32_are_kept(make):
    index = make(16)
    index.add([1, 2], np.float32([[1e38] * 16, [1e-38] * 15 + [-1e-38]]))
    assert labels_of(index.search(np.full(16, 1e-40, np.float32), 1)) == [1]
    assert index.search(np.full(16, 3e38, np.float32), 1)[1][0] == pytest.approx(1, abs=1e-6)


def test_wrong_lengths_are_refused(make):
    index = make(4)
    for call in (
        lambda: index.add(1, np.ones(3)),
        lambda: index.add([1], np.ones((1, 5))),
        lambda: index.search(np.ones(5, np.float32), 1),
        lambda: index.search_many(np.ones((2, 3)), 1),
    ):
        with pytest.raises(DimensionMismatchError, match="expected dimension 4"):
            call()
    with pytest.raises(ArgumentValueError, match="labels"):
        index.add([1, 2], np.ones((1, 4)))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"k": 0}, "k"),
        ({"k": -1}, "k"),
        ({"k": 1, "ef": 0}, "ef"),
        ({"k": 1, "min_score": float("nan")}, "min_score"),
        ({"k": 1, "min_score": float("inf")}, "min_score"),
        ({"k": 1, "allowed": [-1]}, "allowed"),
        ({"k": 1, "allowed": np.ones((2, 2), bool)}, "allowed"),
    ],
)
def test_search_arguments_out_of_range(make, arguments, name):
    with pytest.raises(ArgumentValueError, match=name):
        make(4).search(np.ones(4, np.float32), **arguments)


@pytest.mark.parametrize(
    "call",
    [
        lambda index: index.search(np.ones(4, np.float32), "1"),
        lambda index: index.search(np.ones(4, np.float32), 1.5),
        lambda index: index.search(np.ones(4, np.float32), 1, min_score="high"),
        lambda index: index.search("abcd", 1),
        lambda index: index.search(None, 1),
        lambda index: index.add("a", np.ones(4)),
        lambda index: index.add(1.5, np.ones(4)),
        lambda index: index.get("a"),
    ],
)
def test_arguments_of_the_wrong_type(make, call):
    with pytest.raises(ArgumentTypeError):
        call(make(4))


@pytest.mark.parametrize("label", [-1, 2**64])
def test_labels_out_of_range(make, label):
    for call in (lambda i: i.add(label, np.ones(4)), lambda i: i.remove(label), lambda i: i.get(label)):
        with pytest.raises(ArgumentValueError):
            call(make(4))


def test_a_label_that_is_not_there(make):
    index = make(4)
    with pytest.raises(KeyError):
        index.get(3)
    with pytest.raises(MedhaError, match=r"^label 3 is not in the index$"):
        index.get(3)


def test_repr_and_info_show_live_state(make):
    index = make(4, tier="graph")
    index.add([1, 2], np.eye(4)[:2])
    assert repr(index) == ("<VectorIndex dimension=4 quantization=int8 tier=graph entries=2 graph=2 scan=0>")
    assert index.memory_usage()["total"] > 0


# Threads


def test_searches_go_on_while_others_write_join_and_compact():
    """Every search finds the entries that nobody touches, whatever the writers do meanwhile."""
    rows = vectors(1200, 32)
    index = _core.VectorIndex(32, capacity=1, tier="graph")
    index.add(np.arange(200), rows[:200])
    failures: list[object] = []
    writing = threading.Event()

    def search(seed: int) -> None:
        random = np.random.default_rng(seed)
        while not writing.is_set():
            label = int(random.integers(0, 200))
            found, scores = index.search(rows[label], 3, min_score=0.9)
            if label not in found or not (scores >= 0.9).all():
                failures.append((label, found, scores))
            if not np.allclose(index.get(label), units(rows)[label], atol=1e-6):
                failures.append(label)

    def write(first: int) -> None:
        for start in range(first, first + 500, 25):
            index.add(np.arange(start, start + 25), rows[start : start + 25])
            index.remove(np.arange(start, start + 10))
            index.join(5)
        index.compact()

    readers = [threading.Thread(target=search, args=(seed,)) for seed in range(3)]
    writers = [threading.Thread(target=write, args=(first,)) for first in (200, 700)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    writing.set()
    for thread in readers:
        thread.join()
    assert not failures
    assert len(index) == 200 + 2 * 20 * 15


def test_neither_readers_nor_writers_starve():
    rows = vectors(500, 32)
    index = _core.VectorIndex(32)
    index.add(np.arange(500), rows)
    done = threading.Event()
    counts = [0, 0, 0]

    def read(which: int) -> None:
        while not done.is_set():
            index.search(rows[which], 1)
            counts[which] += 1

    readers = [threading.Thread(target=read, args=(which,)) for which in range(3)]
    for reader in readers:
        reader.start()
    for label in range(2000):
        index.add(label % 500, rows[label % 500])
    writes_end = list(counts)
    done.set()
    for reader in readers:
        reader.join()
    assert all(writes_end)


# Any order of calls against a dict


class IndexMachine(RuleBasedStateMachine):
    """The index against a dict of unit vectors and a brute-force search."""

    make = _core.VectorIndex

    @initialize(
        tier=st.sampled_from(["scan", "graph", "auto"]),
        quantization=st.sampled_from(QUANTIZATIONS),
        capacity=st.integers(1, 40),
    )
    def start(self, tier, quantization, capacity):
        self.index = self.make(6, tier=tier, quantization=quantization, capacity=capacity, M=4)
        self.model: dict[int, np.ndarray] = {}
        self.random = np.random.default_rng(0)

    @rule(labels=st.lists(st.integers(0, 40), min_size=1, max_size=30))
    def add(self, labels):
        rows = self.random.standard_normal((len(labels), 6)).astype(np.float32)
        self.index.add(labels, rows)
        self.model.update(zip(labels, units(rows), strict=True))

    @rule(labels=st.lists(st.integers(0, 45), max_size=10))
    def remove(self, labels):
        known = set(labels) & set(self.model)
        assert self.index.remove(labels) == len(known)
        for label in known:
            del self.model[label]

    @rule(limit=st.none() | st.integers(0, 10))
    def join(self, limit):
        self.index.join(limit)

    @rule()
    def compact(self):
        self.index.compact()
        assert self.index.info()["tombstones"] == 0

    @rule(capacity=st.integers(1, 200))
    def reserve(self, capacity):
        self.index.reserve(capacity)
        assert self.index.capacity >= capacity

    @rule(
        k=st.integers(1, 50),
        min_score=st.sampled_from([-1.0, 0.0, 0.5, 0.9]),
        allowed=st.none()
        | st.lists(st.integers(0, 45)).map(lambda labels: np.array(labels, np.uint64))
        | st.lists(st.booleans(), max_size=45).map(lambda flags: np.array(flags, bool)),
    )
    def search(self, k, min_score, allowed):
        query = units(self.random.standard_normal((1, 6)))[0]
        labels, scores = self.index.search(query, k, ef=100, min_score=min_score, allowed=allowed)
        expected = self.expected(query, min_score, allowed)
        assert abs(len(labels) - min(k, len(expected))) <= sum(abs(s - min_score) < 1e-6 for s in expected)
        np.testing.assert_allclose(scores, expected[: len(scores)], atol=1e-6)
        for label, score in zip(labels.tolist(), scores, strict=True):
            assert abs(self.model[label] @ query - score) < 1e-6

    def expected(self, query, min_score, allowed):
        def permitted(label):
            if allowed is None:
                return True
            return label < len(allowed) and allowed[label] if allowed.dtype == bool else label in allowed

        scores = [vector @ query for label, vector in self.model.items() if permitted(label)]
        return sorted((score for score in scores if score >= min_score), reverse=True)

    @precondition(lambda self: self.model)
    @rule()
    def get(self):
        label = next(iter(self.model))
        np.testing.assert_allclose(self.index.get(label), self.model[label], atol=1e-6)

    @invariant()
    def same_labels(self):
        assert self.index.labels().tolist() == sorted(self.model)
        assert len(self.index) == len(self.model)
        info = self.index.info()
        assert info["graph"] + info["scan"] == len(self.model)


class TwinMachine(IndexMachine):
    make = twin.VectorIndex


SOME = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
IndexMachine.TestCase.settings = SOME
TwinMachine.TestCase.settings = settings(SOME, max_examples=20)
TestIndexMachine = IndexMachine.TestCase
TestTwinMachine = TwinMachine.TestCase
