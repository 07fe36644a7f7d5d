"""The contract of an embedder: text in, unit vector out."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from medha_core.concurrency.calling import on_event_loop
from medha_core.errors import (
    ArgumentTypeError,
    ArgumentValueError,
    DimensionMismatchError,
    EmbeddingError,
    MedhaError,
)

T = TypeVar("T")

_UNIT_TOLERANCE = 1e-4  # of a squared length: rounding stays below 1e-6, more says that nobody scaled it

# What a `dimension` property may raise as long as the embedder does not know its model.
_NOT_KNOWN_YET = (MedhaError, RuntimeError, ValueError, TypeError, AttributeError, LookupError)


class BaseEmbedder(ABC):
    """Turns texts into vectors of one dimension.

    Implement the two properties, `aembed` and `aembed_batch`. `aembed_batch`
    must accept keyword arguments it does not know: the cache passes
    `is_document=True` for texts that are stored, for models which embed
    questions and documents differently.
    """

    @property
    @abstractmethod
    def dimension(self) -> int:
        """Length of each vector, for example 384."""

    @property
    @abstractmethod
    def model_name(self) -> str:
        """Identifies the model; part of cache keys and snapshots."""

    @property
    def fingerprint(self) -> str:
        """Identifies the vector space: equal fingerprints give comparable vectors."""
        return f"{self.model_name}:{self.dimension}"

    def unread(self, text: str) -> Sequence[str]:
        """The parts of `text` that its vector says nothing of: words the model does not know, a cut end.

        Close vectors mean nothing for two texts that differ here, so one never answers the other.
        """
        return ()

    @abstractmethod
    async def aembed(self, text: str) -> list[float]:
        """Embed one non-empty text; `len(result) == dimension`. Raises `EmbeddingError`."""

    @abstractmethod
    async def aembed_batch(self, texts: list[str], **kwargs: Any) -> list[list[float]]:
        """Embed non-empty texts; `result[i]` belongs to `texts[i]`. Raises `EmbeddingError`."""

    def embed(self, text: str) -> list[float]:
        """`aembed` for synchronous callers, in any thread, inside a running loop too."""
        return self._run_sync(self.aembed(text))

    def embed_batch(self, texts: list[str], **kwargs: Any) -> list[list[float]]:
        """`aembed_batch` for synchronous callers, in any thread, inside a running loop too."""
        return self._run_sync(self.aembed_batch(texts, **kwargs))

    async def aembed_array(self, texts: Sequence[str], **kwargs: Any) -> np.ndarray:
        """`aembed_batch` as float32 (len(texts), dimension), without a list where the model can."""
        return as_array(await self.aembed_batch(list(texts), **kwargs))

    def embed_array(self, texts: Sequence[str], **kwargs: Any) -> np.ndarray:
        """`embed_batch` as float32 (len(texts), dimension), without a list where the model can."""
        return as_array(self.embed_batch(list(texts), **kwargs))

    @staticmethod
    def _run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
        if not on_event_loop():
            return asyncio.run(coroutine)
        with ThreadPoolExecutor(max_workers=1) as pool:
            return pool.submit(asyncio.run, coroutine).result()


class ArrayEmbedder(BaseEmbedder):
    """An embedder that works on many texts at once: implement the properties and `aembed_array`.

    `embed_array` too where synchronous callers need no event loop. The rest is made of the two.
    """

    @abstractmethod
    async def aembed_array(self, texts: Sequence[str], **kwargs: Any) -> np.ndarray:
        """Unit vectors, float32 (len(texts), dimension). Raises `EmbeddingError`."""

    def embed_array(self, texts: Sequence[str], **kwargs: Any) -> np.ndarray:
        """`aembed_array` for synchronous callers."""
        return self._run_sync(self.aembed_array(texts, **kwargs))

    def embed(self, text: str) -> list[float]:
        return self.embed_array([text])[0].tolist()

    def embed_batch(self, texts: list[str], **kwargs: Any) -> list[list[float]]:
        return self.embed_array(texts, **kwargs).tolist()

    async def aembed(self, text: str) -> list[float]:
        return (await self.aembed_array([text]))[0].tolist()

    async def aembed_batch(self, texts: list[str], **kwargs: Any) -> list[list[float]]:
        return (await self.aembed_array(texts, **kwargs)).tolist()


def as_array(vectors: object) -> np.ndarray:
    """Vectors of one length as float32 (rows, dimension). Raises `EmbeddingError`."""
    if isinstance(vectors, np.ndarray) and vectors.dtype == np.float32 and vectors.ndim == 2:
        return vectors
    try:
        if _are_float32(vectors):
            array = np.array(vectors)
        else:
            with np.errstate(over="ignore"):  # too large for float32 becomes infinite, which callers refuse
                array = np.asarray(vectors, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise EmbeddingError(
            f"an embedder returned what is no list of vectors of one length: {error}"
        ) from error
    if array.ndim != 2:
        raise EmbeddingError(
            f"an embedder returned an array of shape {array.shape}, expected (texts, dimension)"
        )
    return array


def _are_float32(vectors: object) -> bool:
    """Whether it is a list of arrays in which no number can become another one."""
    return isinstance(vectors, list) and all(
        isinstance(vector, np.ndarray) and vector.dtype == np.float32 for vector in vectors
    )


def unit_rows(vectors: np.ndarray, count: int, dimension: int | None) -> np.ndarray:
    """Unit vectors out of what an embedder returned: `count` of them.

    Raises `EmbeddingError`, and `DimensionMismatchError` unless `dimension` is theirs or None.
    """
    if len(vectors) != count:
        raise EmbeddingError(f"the embedder returned {len(vectors)} vectors for {count} texts")
    if dimension is not None and vectors.shape[1] != dimension:
        raise DimensionMismatchError(dimension, vectors.shape[1], "vector from the embedder")
    squares = np.vecdot(vectors, vectors).tolist()
    if all(abs(square - 1) < _UNIT_TOLERANCE for square in squares):
        return vectors
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(vectors, axis=1)
    bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if bad.size:
        raise EmbeddingError(f"the embedder's vector {bad[0]} is zero, infinite or not a number")
    return vectors / lengths[:, None]


def known_dimension(embedder: BaseEmbedder) -> int | None:
    """The embedder's dimension, None as long as it has not learnt it."""
    try:
        dimension = embedder.dimension
    except _NOT_KNOWN_YET:
        return None
    return dimension if isinstance(dimension, int) and dimension > 0 else None


def check_texts(texts: Sequence[str]) -> None:
    """Refuse what no tokenizer can read faithfully. Raises `ArgumentTypeError` or `ArgumentValueError`."""
    if isinstance(texts, (str, bytes)):
        raise ArgumentTypeError("texts", "a sequence of str", texts)
    for row, text in enumerate(texts):
        check_text(text, "text" if len(texts) == 1 else f"texts[{row}]")


def check_text(text: str, argument: str = "text") -> None:
    """One text: a `str` with something to see in it, without NUL and lone surrogates."""
    if not isinstance(text, str):
        raise ArgumentTypeError(argument, "str", text)
    if not text.strip():
        raise ArgumentValueError(argument, "a non-empty text", text)
    if "\0" in text:
        raise ArgumentValueError(argument, "a text without NUL characters", text)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ArgumentValueError(argument, "a text without lone surrogates", text) from error
