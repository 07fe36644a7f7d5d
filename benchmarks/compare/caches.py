"""Whole caches behind one interface, with the embedding given: what the cache itself costs."""

import os
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.compare.data import words

__all__ = ["CACHES", "OURS", "Cache", "Vectors"]

_POLITE = ("please", "thanks", "please, thank you")
"""What a question says beyond the stored one that changes nothing."""


class Vectors:
    """The vectors of the questions of a run, looked up instead of computed."""

    def __init__(self, rows: np.ndarray, hits: np.ndarray, nearest: np.ndarray, misses: np.ndarray):
        self.stored = [words(i) for i in range(len(rows))]
        self.hits = [f"the {self.stored[label]} {_POLITE[i % 3]}" for i, label in enumerate(nearest)]
        self.misses = [words(i, "stock") for i in range(len(misses))]
        self.nearest = nearest
        self.known = dict(zip(self.stored, rows, strict=True))
        self.known.update(zip(self.hits, hits, strict=True))
        self.known.update(zip(self.misses, misses, strict=True))


class Cache:
    """A cache that holds `vectors.stored`, each with the query `SELECT <its number>`."""

    most = 100_000
    exact_only = False
    """Whether it only answers what was stored word for word."""

    def __init__(self, vectors: Vectors):
        self.vectors = vectors

    async def fill(self) -> None:
        """Store every question."""
        for number, question in enumerate(self.vectors.stored):
            await self.store(question, f"SELECT {number}")

    async def store(self, question: str, query: str) -> None:
        raise NotImplementedError

    async def ask(self, question: str) -> str | None:
        """The query that answers, or None."""
        raise NotImplementedError

    async def close(self) -> None:
        """Release what is held."""


def given(base: type, vectors: Vectors, as_list: bool) -> Any:
    """An embedder of the class `base` that looks vectors up."""

    class Given(base):  # type: ignore[misc, valid-type]
        dimension = 384
        model_name = "given"

        async def aembed(self, text: str, **_: Any) -> Any:
            vector = vectors.known.get(text)
            return vector.tolist() if as_list else vector

        async def aembed_batch(self, texts: list[str], **_: Any) -> Any:
            return [await self.aembed(text) for text in texts]

    return Given()


class Ours(Cache):
    most = 1_000_000

    async def fill(self) -> None:
        from medha_core import BaseEmbedder, Medha, Settings

        settings = Settings(_env_file=None)
        self.cache = Medha("c", given(BaseEmbedder, self.vectors, False), settings=settings)
        await self.cache.start()
        pairs = [
            {"question": question, "generated_query": f"SELECT {number}"}
            for number, question in enumerate(self.vectors.stored)
        ]
        await self.cache.store_many(pairs, batch_size=5_000)

    async def store(self, question: str, query: str) -> None:
        await self.cache.store(question, query)

    async def ask(self, question: str) -> str | None:
        hit = await self.cache.search(question)
        return hit.generated_query if hit else None

    async def close(self) -> None:
        await self.cache.close()


class MedhaMemory(Cache):
    """Medha 0.6 with its in-memory store. Its embedder is asked for normalised text."""

    most = 10_000

    async def fill(self) -> None:
        import medha
        from medha.interfaces import BaseEmbedder
        from medha.utils.normalization import normalize_question

        self.vectors.known.update(
            {normalize_question(text): vector for text, vector in list(self.vectors.known.items())}
        )
        settings = medha.Settings(backend_type="memory", stats_persist_interval=10**9, _env_file=None)
        self.cache = medha.Medha("c", given(BaseEmbedder, self.vectors, True), settings=settings)
        await self.cache.start()
        await self.cache.store_many(
            [
                {"question": question, "generated_query": f"SELECT {number}"}
                for number, question in enumerate(self.vectors.stored)
            ]
        )

    async def store(self, question: str, query: str) -> None:
        await self.cache.store(question, query)

    async def ask(self, question: str) -> str | None:
        hit = await self.cache.search(question)
        return hit.generated_query or None

    async def close(self) -> None:
        await self.cache.close()


class GptCache(Cache):
    """GPTCache with SQLite and faiss. It installs what it lacks by itself, which a benchmark must not."""

    most = 10_000

    async def fill(self) -> None:
        os.environ["PIP_NO_INDEX"] = "1"
        import faiss  # noqa: F401 - or GPTCache would try to install it
        from gptcache import Cache as Gpt
        from gptcache.manager import CacheBase, VectorBase, get_data_manager
        from gptcache.similarity_evaluation.distance import SearchDistanceEvaluation

        self.folder = tempfile.mkdtemp(prefix="compare-")
        self.cache = Gpt()
        manager = get_data_manager(
            CacheBase("sqlite", sql_url=f"sqlite:///{self.folder}/rows.db"),
            VectorBase("faiss", dimension=384, index_path=f"{self.folder}/index"),
        )
        self.cache.init(
            pre_embedding_func=lambda data, **_: data["prompt"],
            embedding_func=lambda text, **_: self.vectors.known.get(text),
            data_manager=manager,
            similarity_evaluation=SearchDistanceEvaluation(),
        )
        await super().fill()

    async def store(self, question: str, query: str) -> None:
        from gptcache.adapter.api import put

        put(question, query, cache_obj=self.cache)

    async def ask(self, question: str) -> str | None:
        from gptcache.adapter.api import get

        return get(question, cache_obj=self.cache)

    async def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


class LangChainMemory(Cache):
    exact_only = True

    async def fill(self) -> None:
        from langchain_core.caches import InMemoryCache
        from langchain_core.outputs import Generation

        self.cache, self.generation = InMemoryCache(), Generation
        await super().fill()

    async def store(self, question: str, query: str) -> None:
        self.cache.update(question, "model", [self.generation(text=query)])

    async def ask(self, question: str) -> str | None:
        found = self.cache.lookup(question, "model")
        return found[0].text if found else None


OURS = Ours
CACHES: dict[str, Callable[[Vectors], Cache]] = {
    "medha-archai 0.6 (memory)": MedhaMemory,
    "gptcache (sqlite, faiss)": GptCache,
    "langchain-core (InMemoryCache)": LangChainMemory,
}
