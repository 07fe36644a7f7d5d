"""Embeddings of Google's Gemini API."""

from collections.abc import Sequence
from typing import Any

from medha_core.embeddings.http import HttpEmbedder, key_from

_BASE_URL = "https://generativelanguage.googleapis.com/v1beta"
_DIMENSIONS = {"models/text-embedding-004": 768, "models/gemini-embedding-001": 3072}


class GeminiAdapter(HttpEmbedder):
    """Embeds with Gemini's models, which embed questions and stored texts differently."""

    extra = "gemini"
    provider = "gemini"

    def __init__(
        self,
        api_key: str | None = None,
        model: str = "models/text-embedding-004",
        task_type_query: str = "RETRIEVAL_QUERY",
        task_type_document: str = "RETRIEVAL_DOCUMENT",
        output_dimensionality: int | None = None,
        *,
        base_url: str = _BASE_URL,
        **options: Any,
    ):
        """
        Args:
            api_key: None takes the environment variable `GEMINI_API_KEY` or `GOOGLE_API_KEY`.
            model: with or without `models/` before it.
            task_type_query, task_type_document: Gemini's task types of questions and stored texts.
            output_dimensionality: asks for shorter vectors than the model's own.
            options: of `HttpEmbedder`, such as `timeout` and `attempts`.

        Raises `ConfigurationError` without a key or without httpx.
        """
        model = model if model.startswith("models/") else f"models/{model}"
        self._task_types = (task_type_query, task_type_document)
        self._shorter = (
            {} if output_dimensionality is None else {"outputDimensionality": output_dimensionality}
        )
        # In a header: an address with the key in it would be logged.
        key = key_from(api_key, "GEMINI_API_KEY", "GOOGLE_API_KEY")
        defaults = {"dimension": output_dimensionality or _DIMENSIONS.get(model), "max_batch": 100}
        super().__init__(model, base_url=base_url, headers={"x-goog-api-key": key}, **defaults | options)

    @property
    def fingerprint(self) -> str:
        return f"{super().fingerprint}:{'/'.join(self._task_types)}"

    def _request(self, texts: Sequence[str], is_document: bool) -> tuple[str, Any]:
        task = {"model": self._model, "taskType": self._task_types[is_document], **self._shorter}
        requests = [{**task, "content": {"parts": [{"text": text}]}} for text in texts]
        return f"/{self._model}:batchEmbedContents", {"requests": requests}

    def _vectors(self, answer: Any) -> list[Any]:
        return [item["values"] for item in answer["embeddings"]]
