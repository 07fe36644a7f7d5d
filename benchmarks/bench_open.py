"""Opening an index and answering the first question in a fresh process, beside hnswlib where it is installed.

    pytest benchmarks/bench_open.py -s
    MEDHA_BENCH_SIZES=100000,1000000 MEDHA_BENCH_FOLDER=/var/tmp/indexes pytest benchmarks/bench_open.py -s

Files of MEDHA_BENCH_FOLDER are kept and used again. Both graphs have 16 links per point and are built with
little effort (ef_construction 20): how long a file takes to open does not depend on how good its links are
(and whether the answer is the best one is no question here: bench_index.py measures recall).
The question is a noisy copy of an entry. Time runs from before opening to after the first answer, imports
done and the file in the page cache; of five processes the median is given. "resident" is the whole process
then, imports and pages of the file among it, "own" what is not pages of a file, "added" the memory that a
second process takes beside the first while both are open, imports again among it.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medha_core.native import VectorIndex

DIMENSION = 384
SIZES = [int(size) for size in os.environ.get("MEDHA_BENCH_SIZES", "100000").split(",")]
PROCESSES = 5

OPEN = {
    "medha_core": """
from medha_core.native import VectorIndex
started = time.perf_counter()
index = VectorIndex.open(path)
found = index.search(query, 1)[0]
""",
    "hnswlib": """
import hnswlib
index = hnswlib.Index("ip", len(query))
started = time.perf_counter()
index.load_index(path)
index.set_num_threads(1)
index.set_ef(64)
found = index.knn_query(query, 1)[0][0]
""",
}
BEFORE = """
import json, sys, time
import numpy
path, query = sys.argv[1], numpy.load(sys.argv[2])
"""
AFTER = """
seconds = time.perf_counter() - started
fields = {}
for line in open("/proc/self/smaps_rollup").readlines()[1:]:
    name, value = line.split()[:2]
    fields[name.rstrip(":")] = int(value) / 1024
private = fields["Private_Clean"] + fields["Private_Dirty"]
report = {"ms": seconds * 1e3, "resident": fields["Rss"], "own": fields["Anonymous"], "added": private}
print(json.dumps(report | {"label": int(found[0])}))
sys.stdout.flush()
sys.stdin.read()
"""


def rows(size: int) -> np.ndarray:
    """Clusters of ten, as in bench_index.py."""
    random = np.random.default_rng(size)
    centres = random.standard_normal((size // 10, DIMENSION), np.float32)
    found = centres[random.integers(0, len(centres), size)]
    found += 0.35 * random.standard_normal((size, DIMENSION), np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


def build(engine: str, size: int, path: Path) -> None:
    if engine == "medha_core":
        index = VectorIndex(DIMENSION, capacity=size, tier="graph", ef_construction=20)
        index.add(np.arange(size), rows(size), threads=2)
        index.save(path)
        return
    hnswlib = pytest.importorskip("hnswlib")
    peer = hnswlib.Index("ip", DIMENSION)
    peer.init_index(size, M=16, ef_construction=20)
    peer.add_items(rows(size), np.arange(size), num_threads=2)
    peer.save_index(str(path))


class Process:
    """A fresh process that opens the file, answers, reports, and keeps the index until it is closed."""

    def __init__(self, engine: str, path: Path, question: Path, *options: str):
        command = [sys.executable, "-c", BEFORE + OPEN[engine] + AFTER, str(path), str(question), *options]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> dict[str, float]:
        return json.loads(self._process.stdout.readline())

    def __exit__(self, *error: object) -> None:
        self._process.communicate("")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kept = os.environ.get("MEDHA_BENCH_FOLDER")
    return Path(kept) if kept else tmp_path_factory.mktemp("indexes")


def question(folder: Path, size: int) -> Path:
    path = folder / f"question-{size}.npy"
    if not path.exists():
        query = rows(size)[size // 2]
        query += np.random.default_rng(1).standard_normal(DIMENSION, np.float32) * np.float32(
            0.3 / DIMENSION**0.5
        )
        np.save(path, query / np.linalg.norm(query))
    return path


MEDIANS: dict[tuple[str, int], float] = {}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
@pytest.mark.parametrize("engine", OPEN)
@pytest.mark.parametrize("size", SIZES)
def test_open_and_answer(folder: Path, size: int, engine: str) -> None:
    path = folder / f"{engine}-{size}.bin"
    if not path.exists():
        build(engine, size, path)
    asked, reports = question(folder, size), []
    for _ in range(PROCESSES):
        with Process(engine, path, asked) as report:
            reports.append(report)
    with Process(engine, path, asked), Process(engine, path, asked) as second:
        added = second["added"]
    milliseconds = MEDIANS[engine, size] = statistics.median(report["ms"] for report in reports)
    resident, own = (max(report[name] for report in reports) for name in ("resident", "own"))
    megabytes = path.stat().st_size / 2**20
    print(
        f"\n{engine:10} {size:8}: open and answer {milliseconds:8.1f} ms, resident {resident:5.0f} MB, "
        f"own {own:5.0f}, added by a second process {added:5.0f}, file {megabytes:5.0f}"
    )
    if ("hnswlib", size) in MEDIANS:
        print(f"ratio {MEDIANS['hnswlib', size] / MEDIANS['medha_core', size]:.1f}")
