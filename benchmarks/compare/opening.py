"""From a file to the first answer in a fresh process: ours, hnswlib, usearch's view, faiss's mapped file."""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.compare.data import DIMENSION

__all__ = ["OPENERS", "open_row"]

PROCESSES = 5

SAVE = {
    "ours": """
from medha_core.native import VectorIndex
index = VectorIndex(rows.shape[1], capacity=len(rows), tier="graph", ef_construction=20)
index.add(np.arange(len(rows)), rows, threads=2)
index.save(path)
""",
    "hnswlib": """
import hnswlib
index = hnswlib.Index("ip", rows.shape[1])
index.init_index(len(rows), M=16, ef_construction=20)
index.add_items(rows, np.arange(len(rows)), num_threads=2)
index.save_index(path)
""",
    "usearch": """
from usearch.index import Index
index = Index(ndim=rows.shape[1], metric="cos", dtype="i8", connectivity=16, expansion_add=20)
index.add(np.arange(len(rows)), rows, threads=2)
index.save(path)
""",
    "faiss-cpu": """
import faiss
faiss.omp_set_num_threads(2)
index = faiss.IndexHNSWFlat(rows.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
index.hnsw.efConstruction = 20
index.add(rows)
faiss.write_index(index, path)
""",
}
OPEN = {
    "ours": """
from medha_core.native import VectorIndex
started = time.perf_counter()
found = VectorIndex.open(path).search(query, 1)[0][0]
""",
    "hnswlib": """
import hnswlib
index = hnswlib.Index("ip", len(query))
started = time.perf_counter()
index.load_index(path)
found = index.knn_query(query, 1)[0][0][0]
""",
    "usearch": """
from usearch.index import Index
started = time.perf_counter()
found = Index.restore(path, view=True).search(query, 1).keys[0]
""",
    "faiss-cpu": """
import faiss
started = time.perf_counter()
found = faiss.read_index(path, faiss.IO_FLAG_MMAP_IFC).search(query[None], 1)[1][0][0]
""",
}
OPENERS = [name for name in OPEN if name != "ours"]
START = """
import json, sys, time
import numpy as np
path, rows = sys.argv[1], np.load(sys.argv[2], mmap_mode="r")
"""
REPORT = """
seconds = time.perf_counter() - started
memory = {line.split()[0]: int(line.split()[1]) for line in open("/proc/self/smaps_rollup").readlines()[1:]}
print(json.dumps({"ms": 1e3 * seconds, "resident_mb": memory["Rss:"] / 1024, "found": int(found)}))
"""


def random_rows(size: int) -> np.ndarray:
    """Clusters of ten: how long a file takes to open does not depend on what is in it."""
    random = np.random.default_rng(size)
    centres = random.standard_normal((max(size // 10, 1), DIMENSION), np.float32)
    rows = centres[random.integers(0, len(centres), size)]
    rows += 0.35 * random.standard_normal(rows.shape, np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def run(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", START + code, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ImportError((done.stderr.strip().splitlines() or ["no output"])[-1])
    return done.stdout


def open_row(peer: str, size: int) -> dict[str, dict[str, float]]:
    """Medians of five fresh processes each, taken in turn; the files are in the page cache."""
    with tempfile.TemporaryDirectory(prefix="compare-") as name:
        folder = Path(name)
        np.save(folder / "rows.npy", random_rows(size))
        sides = {"ours": "ours", "peer": peer}
        for side, engine in sides.items():
            run(SAVE[engine], str(folder / side), str(folder / "rows.npy"))
        reports: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
        for _ in range(PROCESSES):
            for side, engine in sides.items():
                code = "query = np.array(rows[len(rows) // 2])\n" + OPEN[engine] + REPORT
                reports[side].append(json.loads(run(code, str(folder / side), str(folder / "rows.npy"))))
        return {
            side: {
                "ms": statistics.median(report["ms"] for report in found),
                "resident_mb": statistics.median(report["resident_mb"] for report in found),
                "file_mb": (folder / side).stat().st_size / 2**20,
            }
            for side, found in reports.items()
        }
