"""What embedders share that run another package's model in this process."""

import asyncio
import threading
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from medha_core.errors import EmbeddingError, MedhaError, shown
from medha_core.interfaces.embedder import ArrayEmbedder, as_array, check_texts, unit_rows


class LocalEmbedder(ArrayEmbedder):
    """One computation at a time, in the calling thread or, when awaited, in another.

    Whatever the package raises becomes `EmbeddingError`. Vectors have length 1.
    A subclass sets `_model_name` and `_dimension` when it has loaded its model.
    """

    _model_name: str
    _dimension: int

    def __init__(self) -> None:
        self._computing = threading.Lock()  # these packages use all processors for one call by themselves

    @property
    def dimension(self) -> int:
        return self._dimension

    @property
    def model_name(self) -> str:
        return self._model_name

    @abstractmethod
    def _compute(self, texts: list[str], is_document: bool) -> Any:
        """Vectors of at least one text."""

    async def aembed_array(self, texts: Sequence[str], **kwargs: Any) -> np.ndarray:
        """`embed_array` in another thread."""
        check_texts(texts)
        return await asyncio.to_thread(self.embed_array, texts, **kwargs)

    def embed_array(self, texts: Sequence[str], *, is_document: bool = False, **kwargs: Any) -> np.ndarray:
        """Unit vectors, float32 (len(texts), dimension)."""
        check_texts(texts)
        if not texts:
            return np.empty((0, self.dimension), np.float32)
        try:
            with self._computing:
                found = self._compute(list(texts), is_document)
        except MedhaError:
            raise
        except Exception as error:  # the package raises what its own dependencies raise
            raise EmbeddingError(f"{self.model_name} failed: {shown(error, 500)}") from error
        return unit_rows(as_array(found), len(texts), self.dimension)
