"""How `index-1.bin.gz` and `index-1.npz` were made, by the version that wrote format 1."""

import gzip
from pathlib import Path

import numpy as np

from medha_core.native import VectorIndex

random = np.random.default_rng(1)
index = VectorIndex(40, quantization="int8", graph_from=0, M=5)
index.add(np.arange(300) * 7, random.standard_normal((300, 40), np.float32))
index.join(200)
index.remove(np.arange(0, 1400, 49))
index.remove(np.arange(1400, 2100, 49))
queries = random.standard_normal((20, 40), np.float32)
found = [index.search(query, 5, ef=300) for query in queries]
folder = Path(__file__).parent
index.save(folder / "index-1.bin")
raw = folder / "index-1.bin"
(folder / "index-1.bin.gz").write_bytes(gzip.compress(raw.read_bytes(), mtime=0))
raw.unlink()
np.savez_compressed(
    folder / "index-1.npz",
    queries=queries,
    labels=np.array([labels for labels, _ in found]),
    scores=np.array([scores for _, scores in found]),
)
print(len(index), index.info())
