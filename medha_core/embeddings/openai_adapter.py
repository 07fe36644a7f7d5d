"""Embeddings of OpenAI's API."""

import base64
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from medha_core.embeddings.http import HttpEmbedder, key_from

_BASE_URL = "https://api.openai.com/v1"
_DIMENSIONS = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}


class OpenAIAdapter(HttpEmbedder):
    """Embeds with OpenAI's models; questions and documents are embedded alike."""

    extra = "openai"
    provider = "openai"

    def __init__(
        self,
        model_name: str = "text-embedding-3-small",
        api_key: str | None = None,
        dimensions: int | None = None,
        *,
        base_url: str | None = None,
        **options: Any,
    ):
        """
        Args:
            model_name: for example `text-embedding-3-large`.
            api_key: None takes the environment variable `OPENAI_API_KEY`.
            dimensions: asks for shorter vectors than the model's own.
            base_url: None takes `OPENAI_BASE_URL`, or OpenAI's own address.
            options: of `HttpEmbedder`, such as `timeout` and `attempts`.

        Raises `ConfigurationError` without a key or without httpx.
        """
        self._dimensions = dimensions
        key = key_from(api_key, "OPENAI_API_KEY")
        super().__init__(
            model_name,
            base_url=base_url or os.environ.get("OPENAI_BASE_URL") or _BASE_URL,
            headers={"authorization": f"Bearer {key}"},
            **{"dimension": dimensions or _DIMENSIONS.get(model_name)} | options,
        )

    def _request(self, texts: Sequence[str], is_document: bool) -> tuple[str, Any]:
        shorter = {} if self._dimensions is None else {"dimensions": self._dimensions}
        body = {"model": self._model, "input": list(texts), "encoding_format": "base64"}
        return "/embeddings", body | shorter

    def _vectors(self, answer: Any) -> list[Any]:
        return indexed_vectors(answer["data"])


def indexed_vectors(items: Sequence[Any]) -> list[Any]:
    """The vectors of OpenAI's list of `{index, embedding}` in the order of their indexes, 0 to the last."""
    ordered = sorted(items, key=lambda item: item["index"])
    if [item["index"] for item in ordered] != list(range(len(ordered))):
        raise ValueError("the indexes are not 0 to the last")
    return [_numbers(item["embedding"]) for item in ordered]


def _numbers(vector: Any) -> Any:
    """A list of numbers as it is; base64 of little-endian float32 as an array."""
    return np.frombuffer(base64.b64decode(vector), "<f4") if isinstance(vector, str) else vector
