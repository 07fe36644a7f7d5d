"""Embeddings of Cohere's API, version 2."""

from collections.abc import Sequence
from typing import Any

from medha_core.embeddings.http import HttpEmbedder, key_from
from medha_core.errors import ArgumentValueError

_BASE_URL = "https://api.cohere.com/v2"
_DIMENSIONS = {
    "embed-multilingual-v3.0": 1024,
    "embed-english-v3.0": 1024,
    "embed-multilingual-light-v3.0": 384,
    "embed-english-light-v3.0": 384,
}


class CohereAdapter(HttpEmbedder):
    """Embeds with Cohere's models, which embed questions and stored texts differently."""

    extra = "cohere"
    provider = "cohere"

    def __init__(
        self,
        api_key: str | None = None,
        model: str = "embed-multilingual-v3.0",
        input_type_query: str = "search_query",
        input_type_document: str = "search_document",
        embedding_types: Sequence[str] = ("float",),
        *,
        base_url: str = _BASE_URL,
        **options: Any,
    ):
        """
        Args:
            api_key: None takes the environment variable `CO_API_KEY` or `COHERE_API_KEY`.
            input_type_query, input_type_document: Cohere's input types of questions and stored texts.
            embedding_types: `float` or `int8`; the first is used.
            options: of `HttpEmbedder`, such as `timeout` and `attempts`.

        Raises `ConfigurationError` without a key or without httpx.
        """
        if not embedding_types or embedding_types[0] not in ("float", "int8"):
            raise ArgumentValueError("embedding_types", "'float' or 'int8' first", embedding_types)
        self._input_types = (input_type_query, input_type_document)
        self._kind = embedding_types[0]
        key = key_from(api_key, "CO_API_KEY", "COHERE_API_KEY")
        defaults = {"dimension": _DIMENSIONS.get(model), "max_batch": 96}
        super().__init__(
            model, base_url=base_url, headers={"authorization": f"Bearer {key}"}, **defaults | options
        )

    @property
    def fingerprint(self) -> str:
        return f"{super().fingerprint}:{self._kind}:{'/'.join(self._input_types)}"

    def _request(self, texts: Sequence[str], is_document: bool) -> tuple[str, Any]:
        body = {
            "model": self._model,
            "texts": list(texts),
            "input_type": self._input_types[is_document],
            "embedding_types": [self._kind],
            "truncate": "NONE",
        }
        return "/embed", body

    def _vectors(self, answer: Any) -> list[Any]:
        vectors: list[Any] = answer["embeddings"][self._kind]
        return vectors
