"""A cache for answer-quality runs: `factory(scope)` gives search(question) and store(question, query).

The embedder is shared by all caches of a run, so each text is embedded once.
`MEDHA_*` variables change the settings, for example `MEDHA_GUARD=off`.
"""

from functools import cache
from typing import Any

from medha_core import Medha, OnnxEmbedder, Settings
from medha_core.embedding import EmbeddingStep


@cache
def _embedding() -> EmbeddingStep:
    return EmbeddingStep(OnnxEmbedder(), cache_size=100_000)


class Cache:
    """One scope's cache, driven by synchronous calls."""

    def __init__(self, scope: str):
        shared = _embedding()
        self._medha = Medha(f"scope:{scope}", shared.embedder, settings=Settings(_env_file=None))
        self._medha._embedding = self._medha._waterfall._embedding = self._medha._writer._embedding = shared
        self._medha.start_sync()

    def search(self, question: str) -> tuple[str | None, dict[str, Any]]:
        hit = self._medha.search_sync(question)
        seen = {"tier": hit.strategy.value, "score": hit.similarity, "stored": hit.entry_id}
        return (hit.generated_query if hit else None), seen

    def store(self, question: str, query: str) -> None:
        if not self._medha.store_sync(question, query):
            raise RuntimeError(f"not stored: {question!r}")

    def close(self) -> None:
        self._medha.close_sync()


factory = Cache
