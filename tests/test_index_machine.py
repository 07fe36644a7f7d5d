"""Any order of calls on the vector index, native and twin, against a dict and a brute-force search."""

import os
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from medha_core import native
from medha_core._twin import index as twin

# Saving waits for the disk, which would be most of the time here.
IN_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
QUANTIZATIONS = ("float32", "int8", "binary")


def units(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class IndexMachine(RuleBasedStateMachine):
    """The index against a dict of unit vectors and a brute-force search."""

    make = native.VectorIndex

    @initialize(
        tier=st.sampled_from(["scan", "graph", "auto", "auto"]),
        quantization=st.sampled_from(QUANTIZATIONS),
        capacity=st.integers(1, 40),
    )
    def start(self, tier, quantization, capacity):
        self.index = self.make(6, tier=tier, quantization=quantization, capacity=capacity, M=4, graph_from=5)
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

    @rule(verify=st.booleans())
    def save_and_open(self, verify):
        queries = self.random.standard_normal((3, 6)).astype(np.float32)
        before = [self.index.search(query, 5) for query in queries]
        with TemporaryDirectory(dir=IN_MEMORY) as folder:
            self.index.save(f"{folder}/index.bin")
            self.index = self.make.open(f"{folder}/index.bin", mode="c", verify=verify)
        for query, (labels, scores) in zip(queries, before, strict=True):
            found = self.index.search(query, 5)
            assert found[0].tolist() == labels.tolist()
            assert found[1].tolist() == scores.tolist()

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
    max_examples=400, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
IndexMachine.TestCase.settings = SOME
TwinMachine.TestCase.settings = settings(SOME, max_examples=100)
TestIndexMachine = IndexMachine.TestCase
TestTwinMachine = TwinMachine.TestCase
