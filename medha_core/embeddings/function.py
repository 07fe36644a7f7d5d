"""An embedder around a function the caller has."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from medha_core.concurrency.calling import is_async
from medha_core.errors import ArgumentTypeError, ArgumentValueError, EmbeddingError, shown
from medha_core.interfaces.embedder import ArrayEmbedder, check_texts


class CallableEmbedder(ArrayEmbedder):
    """Embeds with `function`, which takes one text and gives a vector, or with
    `batch=True` takes a list of texts and gives a list of vectors.

    The function may be asynchronous. A synchronous one runs in a thread when it
    is awaited, so it must be safe to call from several threads at once. Vectors
    are scaled to length 1. What the function raises, and vectors of the wrong
    count or dimension or with NaN, become `EmbeddingError`.
    """

    def __init__(self, function: Callable[..., Any], dimension: int, model_name: str, *, batch: bool = False):
        """
        Args:
            function: text to vector, or texts to vectors.
            dimension: length of each vector.
            model_name: identifies the vector space; give another one when the function changes.
            batch: whether `function` takes a list of texts.
        """
        if not callable(function):
            raise ArgumentTypeError("function", "a callable", function)
        if not isinstance(dimension, int) or isinstance(dimension, bool):
            raise ArgumentTypeError("dimension", "int", dimension)
        if dimension < 1:
            raise ArgumentValueError("dimension", "at least 1", dimension)
        if not isinstance(model_name, str) or not model_name.strip():
            raise ArgumentValueError("model_name", "a non-empty name", model_name)
        self._function = function
        self._dimension = dimension
        self._model_name = model_name
        self._batch = batch
        self._is_async = is_async(function)

    @property
    def dimension(self) -> int:
        return self._dimension

    @property
    def model_name(self) -> str:
        return self._model_name

    def __repr__(self) -> str:
        return f"<CallableEmbedder {self._model_name!r}, {self._dimension} dimensions>"

    async def aembed_array(self, texts: Sequence[str], **kwargs: Any) -> np.ndarray:
        """Unit vectors, float32 (len(texts), dimension)."""
        check_texts(texts)
        if not texts:
            return np.empty((0, self._dimension), np.float32)
        with self._telling():
            answers = await self._awaited(list(texts))
        return self._checked(answers, len(texts))

    def embed_array(self, texts: Sequence[str], **kwargs: Any) -> np.ndarray:
        """`aembed_array` for synchronous callers; a synchronous function is called directly."""
        if self._is_async:
            return self._run_sync(self.aembed_array(texts))
        check_texts(texts)
        if not texts:
            return np.empty((0, self._dimension), np.float32)
        with self._telling():
            answers = self._answers(list(texts))
        return self._checked(answers, len(texts))

    def _answers(self, texts: list[str]) -> Any:
        return self._function(texts) if self._batch else [self._function(text) for text in texts]

    async def _awaited(self, texts: list[str]) -> Any:
        if not self._is_async:
            return await asyncio.to_thread(self._answers, texts)
        if self._batch:
            return await self._function(texts)
        return await asyncio.gather(*(self._function(text) for text in texts))

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except EmbeddingError:
            raise
        except Exception as error:  # a caller's function may raise anything
            raise EmbeddingError(f"{self!r}: the function raised {shown(error, 500)}") from error

    def _checked(self, vectors: Any, count: int) -> np.ndarray:
        try:
            with np.errstate(over="ignore"):  # too large for float32 becomes infinite, which is refused below
                rows = [np.asarray(vector, np.float32) for vector in vectors]
        except (TypeError, ValueError) as error:
            raise EmbeddingError(f"{self!r}: the function returned no vectors of numbers: {error}") from error
        if len(rows) != count:
            raise EmbeddingError(f"{self!r}: expected {count} vectors, got {len(rows)}")
        return np.stack([self._unit(row, vector) for row, vector in enumerate(rows)])

    def _unit(self, row: int, vector: np.ndarray) -> np.ndarray:
        if vector.shape != (self._dimension,):
            raise EmbeddingError(
                f"{self!r}: vector {row}: expected shape ({self._dimension},), got {vector.shape}"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            length = np.linalg.norm(vector)
        if not np.isfinite(length) or length == 0:
            raise EmbeddingError(f"{self!r}: vector {row} is zero, infinite or not a number")
        return vector / length
