"""Vector engines behind one interface. Each is imported when it is made: a missing one is an ImportError."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

__all__ = ["ENGINES", "Engine", "Ours"]

EFS = (16, 32, 64, 128, 256, 512)


class Engine:
    """One engine with `rows` in it. `search` gives the best label and its cosine, or None."""

    most = 100_000
    """Entries it can be filled with in the time of a run."""
    ef: int | None = None
    """Breadth of a graph search, where the engine has one."""

    def __init__(self, rows: np.ndarray, min_score: float):
        self.min_score = min_score
        self.build(rows)

    def build(self, rows: np.ndarray) -> None:
        raise NotImplementedError

    def best(self, query: np.ndarray) -> tuple[int, float] | None:
        raise NotImplementedError

    def search(self, query: np.ndarray) -> int | None:
        """The label of the best entry above the threshold, as a cache needs it."""
        found = self.best(query)
        return found[0] if found is not None and found[1] >= self.min_score else None

    def set_ef(self, ef: int) -> None:
        self.ef = ef

    def close(self) -> None:
        """Release what is held."""


class Ours(Engine):
    """This library's index, as a store uses it: the graph joined where there is one."""

    most = 10_000_000

    def build(self, rows: np.ndarray) -> None:
        from medha_core.native import VectorIndex

        self._index = VectorIndex(rows.shape[1], capacity=len(rows))
        self._index.add(np.arange(len(rows)), rows, threads=2)
        self._index.join(threads=2)

    def search(self, query: np.ndarray) -> int | None:
        labels, _ = self._index.search(query, 1, min_score=self.min_score)
        return int(labels[0]) if len(labels) else None


class Numpy(Engine):
    most = 1_000_000

    def build(self, rows: np.ndarray) -> None:
        self._rows = rows

    def best(self, query: np.ndarray) -> tuple[int, float]:
        scores = self._rows @ query
        label = int(scores.argmax())
        return label, float(scores[label])


class Hnswlib(Engine):
    most = 1_000_000
    ef = EFS[0]

    def build(self, rows: np.ndarray) -> None:
        import hnswlib

        self._index = hnswlib.Index("ip", rows.shape[1])
        self._index.init_index(len(rows), M=16, ef_construction=200 if len(rows) <= 100_000 else 100)
        self._index.add_items(rows, np.arange(len(rows)), num_threads=2)
        self._index.set_num_threads(1)

    def set_ef(self, ef: int) -> None:
        self.ef = ef
        self._index.set_ef(ef)

    def best(self, query: np.ndarray) -> tuple[int, float]:
        labels, distances = self._index.knn_query(query, 1, num_threads=1)
        return int(labels[0, 0]), 1 - float(distances[0, 0])


class Faiss(Engine):
    def _add(self, index: object, rows: np.ndarray, faiss: object) -> None:
        faiss.omp_set_num_threads(2)
        index.add(rows)
        faiss.omp_set_num_threads(1)
        self._index = index

    def best(self, query: np.ndarray) -> tuple[int, float]:
        scores, labels = self._index.search(query[None], 1)
        return int(labels[0, 0]), float(scores[0, 0])


class FaissFlat(Faiss):
    most = 1_000_000

    def build(self, rows: np.ndarray) -> None:
        import faiss

        self._add(faiss.IndexFlatIP(rows.shape[1]), rows, faiss)


class FaissHnsw(Faiss):
    ef = EFS[0]

    def build(self, rows: np.ndarray) -> None:
        import faiss

        index = faiss.IndexHNSWSQ(
            rows.shape[1], faiss.ScalarQuantizer.QT_fp16, 16, faiss.METRIC_INNER_PRODUCT
        )
        index.hnsw.efConstruction = 100
        index.train(rows[:10_000])
        self._add(index, rows, faiss)

    def set_ef(self, ef: int) -> None:
        self.ef = ef
        self._index.hnsw.efSearch = ef


class Usearch(Engine):
    ef = EFS[0]

    def build(self, rows: np.ndarray) -> None:
        from usearch.index import Index

        self._index = Index(ndim=rows.shape[1], metric="cos", dtype="i8", connectivity=16)
        self._index.add(np.arange(len(rows)), rows, threads=2)

    def set_ef(self, ef: int) -> None:
        self.ef = ef
        self._index.expansion_search = ef

    def best(self, query: np.ndarray) -> tuple[int, float] | None:
        found = self._index.search(query, 1, threads=1)
        return (int(found.keys[0]), 1 - float(found.distances[0])) if len(found) else None


class Folder(Engine):
    """An engine that wants a folder."""

    def build(self, rows: np.ndarray) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="compare-"))
        self.fill(rows)

    def fill(self, rows: np.ndarray) -> None:
        raise NotImplementedError

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


class QdrantEdge(Folder):
    def fill(self, rows: np.ndarray) -> None:
        import qdrant_edge as edge

        config = edge.EdgeConfig(
            vectors=edge.EdgeVectorParams(size=rows.shape[1], distance=edge.Distance.Cosine)
        )
        self._edge, self._shard = edge, edge.EdgeShard.create(str(self.folder), config)
        for start in range(0, len(rows), 1_000):
            part = rows[start : start + 1_000]
            points = [edge.Point(start + i, row.tolist(), {}) for i, row in enumerate(part)]
            self._shard.update(edge.UpdateOperation.upsert_points(points))
        self._shard.optimize()

    def best(self, query: np.ndarray) -> tuple[int, float] | None:
        found = self._shard.query(
            self._edge.QueryRequest(query=self._edge.Query.Nearest(query.tolist()), limit=1)
        )
        return (int(found[0].id), float(found[0].score)) if found else None


class QdrantLocal(Engine):
    most = 10_000

    def build(self, rows: np.ndarray) -> None:
        from qdrant_client import QdrantClient, models

        self._client = QdrantClient(":memory:")
        self._client.create_collection(
            "c", models.VectorParams(size=rows.shape[1], distance=models.Distance.COSINE)
        )
        for start in range(0, len(rows), 1_000):
            part = rows[start : start + 1_000]
            self._client.upsert(
                "c",
                models.Batch(ids=list(range(start, start + len(part))), vectors=part.tolist()),
            )

    def best(self, query: np.ndarray) -> tuple[int, float] | None:
        points = self._client.query_points("c", query=query.tolist(), limit=1).points
        return (int(points[0].id), float(points[0].score)) if points else None

    def close(self) -> None:
        self._client.close()


class Chroma(Engine):
    def build(self, rows: np.ndarray) -> None:
        import chromadb

        client = chromadb.EphemeralClient(chromadb.Settings(anonymized_telemetry=False))
        self._collection = client.get_or_create_collection(
            f"rows{len(rows)}", embedding_function=None, metadata={"hnsw:space": "cosine"}
        )
        for start in range(0, len(rows), 5_000):
            part = rows[start : start + 5_000]
            self._collection.add(ids=[str(start + i) for i in range(len(part))], embeddings=part)

    def best(self, query: np.ndarray) -> tuple[int, float] | None:
        found = self._collection.query(query_embeddings=[query], n_results=1, include=["distances"])
        ids = found["ids"][0]
        return (int(ids[0]), 1 - found["distances"][0][0]) if ids else None


class Lance(Folder):
    def fill(self, rows: np.ndarray) -> None:
        import lancedb
        import pyarrow

        vectors = pyarrow.FixedSizeListArray.from_arrays(rows.ravel(), rows.shape[1])
        table = pyarrow.table({"id": np.arange(len(rows)), "vector": vectors})
        self._table = lancedb.connect(str(self.folder)).create_table("rows", table)

    def best(self, query: np.ndarray) -> tuple[int, float] | None:
        found = self._table.search(query).distance_type("cosine").limit(1).to_list()
        return (found[0]["id"], 1 - found[0]["_distance"]) if found else None


ENGINES: dict[str, Callable[[np.ndarray, float], Engine]] = {
    "numpy": Numpy,
    "hnswlib": Hnswlib,
    "faiss-cpu (flat)": FaissFlat,
    "faiss-cpu (hnsw fp16)": FaissHnsw,
    "usearch (i8)": Usearch,
    "qdrant-edge-py": QdrantEdge,
    "qdrant-client (local)": QdrantLocal,
    "chromadb": Chroma,
    "lancedb": Lance,
}
