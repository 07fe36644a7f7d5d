"""A cache for answer-quality runs: `factory(scope)` gives search(question) and store(question, query).

The embedder is shared by all caches of a run, so each text is embedded once; `vector(text)` gives its
unit vectors to the scripts that need nothing else.
`MEDHA_*` variables change the settings, for example `MEDHA_GUARD=off`.
"""

from functools import cache
from typing import Any

import numpy as np

from medha_core import CallableEmbedder, Medha, OnnxEmbedder, Settings


@cache
def _embedder() -> CallableEmbedder:
    model = OnnxEmbedder()
    known: dict[str, np.ndarray] = {}

    def vectors(texts: list[str]) -> list[np.ndarray]:
        unknown = [text for text in texts if text not in known]
        known.update(zip(unknown, model.embed_array(unknown) if unknown else [], strict=True))
        return [known[text] for text in texts]

    return CallableEmbedder(vectors, model.dimension, model.model_name, batch=True)


def vector(text: str) -> np.ndarray:
    """The unit vector of a text, by the model the package runs on."""
    return _embedder().embed_array([text])[0]


class Cache:
    """One scope's cache, driven by synchronous calls."""

    def __init__(self, scope: str):
        self._medha = Medha(f"scope:{scope}", _embedder(), settings=Settings(_env_file=None))
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
