"""Embeddings of another medha_core's `POST /embed`."""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medha_core.embeddings.http import HttpEmbedder, encode_json
from medha_core.errors import DimensionMismatchError, EmbeddingError

if TYPE_CHECKING:
    import httpx

_MSGPACK = "application/msgpack"
_UNSUPPORTED = 415


class RemoteEmbedder(HttpEmbedder):
    """Embeds by asking a service that answers `POST /embed`, such as `medha serve`.

    Speaks msgpack where the package is installed and the service does too, else
    JSON. Nothing is sent twice: a chain goes on to its next member instead. The
    model that answers is checked, and so are the number of vectors, their
    dimension and that they are finite.
    """

    extra = "remote"
    provider = "remote"

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        dimension: int | None = None,
        api_key: str | None = None,
        timeout: float = 5.0,
        max_batch: int = 128,
        normalized: bool = False,
        **options: Any,
    ):
        """
        Args:
            url: of the service; `/embed` is added unless it ends so.
            model: the model asked for, None for the service's default.
            dimension: of the vectors; None: learnt from the first answer.
            api_key: sent as `Authorization: Bearer`, where one is asked for.
            timeout: seconds that connecting, sending and answering may each take.
            max_batch: texts in one request.
            normalized: what the service is told of the texts; it embeds them as they are.
        """
        self._asked, self._normalized = model, normalized
        self._counting = threading.Lock()
        self._cache_hits = 0
        self._msgpack = _import_msgpack()
        super().__init__(
            model or "default",
            base_url=url.rstrip("/").removesuffix("/embed") if isinstance(url, str) else url,
            headers={} if api_key is None else {"authorization": f"Bearer {api_key}"},
            dimension=dimension,
            timeout=timeout,
            max_batch=max_batch,
            **{"attempts": 1} | options,
        )

    @property
    def cache_hits(self) -> int:
        """How many texts the service had in its own cache."""
        return self._cache_hits

    def _request(self, texts: Sequence[str], is_document: bool) -> tuple[str, Any]:
        body: dict[str, Any] = {
            "texts": list(texts),
            "normalized": self._normalized,
            "role": "document" if is_document else "query",
        }
        return "/embed", body if self._asked is None else body | {"model": self._asked}

    def _answer(self, path: str, body: Any) -> Any:
        try:
            return super()._answer(path, body)
        except _JsonOnlyError:
            self._msgpack = None
            return super()._answer(path, body)

    def _checked(self, answer: Any, count: int) -> np.ndarray:
        vectors = super()._checked(answer, count)
        # From now on another model is another space, even where the service chose this one.
        self._asked = self._model = answer["model"]
        with self._counting:
            self._cache_hits += sum(hit is True for hit in answer["cache_hits"])
        return vectors

    def _vectors(self, answer: Any) -> Any:
        vectors, model, dimensions = answer["embeddings"], answer["model"], answer["dimensions"]
        if len(answer["cache_hits"]) != len(vectors):
            raise ValueError("cache_hits and embeddings differ in number")
        if not isinstance(model, str) or model != (self._asked or model):
            raise EmbeddingError(f"{self!r}: the service answered with the model {model!r}")
        for vector in vectors:
            if len(vector) != dimensions:
                raise DimensionMismatchError(dimensions, len(vector), f"{self!r}: the answer's vectors")
        return vectors

    def _encode(self, body: Any) -> tuple[bytes, str]:
        if self._msgpack is None:
            return encode_json(body), "application/json"
        return self._msgpack.packb(body), _MSGPACK

    def _decode(self, response: "httpx.Response") -> Any:
        if response.headers.get("content-type", "").startswith(_MSGPACK):
            unpack = (self._msgpack or _import_msgpack()).unpackb
            return unpack(response.content)
        return response.json()

    def _refusal(self, response: "httpx.Response") -> str:
        if response.status_code == _UNSUPPORTED and self._msgpack is not None:
            raise _JsonOnlyError(f"{self!r}: the service reads no msgpack")
        return super()._refusal(response)


class _JsonOnlyError(EmbeddingError):
    """The service refused msgpack."""


def _import_msgpack() -> Any:
    try:
        import msgpack
    except ImportError:
        return None
    return msgpack
