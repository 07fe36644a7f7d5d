"""An embedder that is not made before it is needed."""

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import numpy as np

from medha_core.concurrency import forking
from medha_core.errors import EmbeddingError, MedhaError
from medha_core.interfaces.embedder import ArrayEmbedder, BaseEmbedder


class LazyEmbedder(ArrayEmbedder):
    """An embedder that is made when it is first used, so that one that cannot be made fails like a call.

    `model_name` and `dimension` are known before; the fingerprint is not, and makes it.
    """

    def __init__(
        self, make: Callable[[], BaseEmbedder], model_name: str, dimension: int, *, retry_after: float = 30.0
    ):
        """After a failure `make` rests for `retry_after` seconds: looking for a model may take long."""
        self._make, self._model_name, self._dimension = make, model_name, dimension
        self._retry_after = retry_after
        self._lock = forking.lock()
        self._made: BaseEmbedder | None = None
        self._failure: tuple[float, MedhaError] | None = None

    @property
    def dimension(self) -> int:
        return self._dimension

    @property
    def model_name(self) -> str:
        return self._model_name

    @property
    def fingerprint(self) -> str:
        return self.made().fingerprint

    def unread(self, text: str) -> Sequence[str]:
        return self.made().unread(text)

    def __repr__(self) -> str:
        return f"<LazyEmbedder {self._model_name!r}, {self._made or 'not made yet'}>"

    def made(self) -> BaseEmbedder:
        """The embedder itself. Raises what prevents making it."""
        with self._lock:
            if self._made is None:
                self._refuse_again()
                try:
                    self._made = self._make()
                except MedhaError as error:
                    self._failure = monotonic(), error
                    raise
            return self._made

    def _refuse_again(self) -> None:
        if self._failure is not None and monotonic() < self._failure[0] + self._retry_after:
            raise EmbeddingError(str(self._failure[1])) from self._failure[1]

    async def aembed_array(self, texts: Sequence[str], **kwargs: Any) -> np.ndarray:
        return await (await asyncio.to_thread(self.made)).aembed_array(texts, **kwargs)

    def embed_array(self, texts: Sequence[str], **kwargs: Any) -> np.ndarray:
        return self.made().embed_array(texts, **kwargs)

    def close(self) -> None:
        """Close the embedder if it was made."""
        close_embedder(self._made)


def close_embedder(embedder: object) -> None:
    """Close an embedder if it is one that can be closed."""
    close = getattr(embedder, "close", None)
    if close is not None:
        close()
