"""Embeddings of Mistral's API."""

from collections.abc import Sequence
from typing import Any

from medha_core.embeddings.http import HttpEmbedder, key_from
from medha_core.embeddings.openai_adapter import indexed_vectors
from medha_core.settings import Settings

_BASE_URL = "https://api.mistral.ai/v1"
_DIMENSIONS = {"mistral-embed": 1024}


class MistralAdapter(HttpEmbedder):
    """Embeds with Mistral's models; questions and documents are embedded alike."""

    extra = "mistral"
    provider = "mistral"

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        model: str | None = None,
        api_key: str | None = None,
        base_url: str = _BASE_URL,
        **options: Any,
    ):
        """
        Args:
            settings: where the other arguments come from when they are None:
                `mistral_model`, `mistral_api_key`, `mistral_batch_size`.
            api_key: without it and without the setting, the environment variable `MISTRAL_API_KEY`.
            options: of `HttpEmbedder`, such as `timeout` and `attempts`.

        Raises `ConfigurationError` without a key or without httpx.
        """
        settings = settings or Settings()
        model = model or settings.mistral_model
        key = key_from(api_key or settings.mistral_api_key, "MISTRAL_API_KEY")
        defaults = {"dimension": _DIMENSIONS.get(model), "max_batch": settings.mistral_batch_size}
        super().__init__(
            model, base_url=base_url, headers={"authorization": f"Bearer {key}"}, **defaults | options
        )

    def _request(self, texts: Sequence[str], is_document: bool) -> tuple[str, Any]:
        return "/embeddings", {"model": self._model, "input": list(texts)}

    def _vectors(self, answer: Any) -> list[Any]:
        return indexed_vectors(answer["data"])
