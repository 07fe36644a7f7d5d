"""The native index under several threads at once."""

import os

import pytest

if os.environ.get("MEDHA_NO_EXTENSION") == "1":
    pytest.skip("the extension is switched off", allow_module_level=True)

import threading

import numpy as np

from medha_core import _core


def vectors(n: int, dimension: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dimension), np.float32)


def units(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_searches_go_on_while_others_write_join_and_compact():
    """Every search finds the entries that nobody touches, whatever the writers do meanwhile."""
    rows = vectors(1200, 32)
    index = _core.VectorIndex(32, capacity=1, graph_from=0)
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
            if start == first + 250:
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


def test_what_changes_while_it_joins_is_linked_by_its_new_vector():
    """Neighbours are looked for beside writers; a point linked by an old vector would not be found."""
    rows = vectors(20_000, 32)
    index = _core.VectorIndex(32, graph_from=0)
    index.add(np.arange(600), rows[:600])
    latest = np.arange(600)

    def update() -> None:
        for row in range(600, len(rows)):
            info = index.info()
            label = info["graph"] + info["tombstones"] + row % 3  # just about to join
            if label >= 600:
                return
            index.add(label, rows[row])
            latest[label] = row

    writer = threading.Thread(target=update)
    writer.start()
    while writer.is_alive():
        index.join(20)
    writer.join()
    index.join()
    assert index.info()["scan"] == 0
    assert [label for label in range(600) if index.search(rows[latest[label]], 1)[0][0] != label] == []


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
    writes = 0
    while (min(counts) < 50 or writes < 500) and writes < 1_000_000:
        index.add(writes % 500, rows[writes % 500])
        writes += 1
    done.set()
    for reader in readers:
        reader.join()
    assert min(counts) >= 50
