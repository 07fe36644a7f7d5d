"""Embeddings of any server that speaks OpenAI's protocol: Ollama, vLLM, llama.cpp, LM Studio and others."""

from collections.abc import Sequence
from typing import Any

from medha_core.embeddings.http import HttpEmbedder, key_from
from medha_core.embeddings.openai_adapter import indexed_vectors
from medha_core.settings import Settings


class OpenAICompatibleAdapter(HttpEmbedder):
    """Embeds with a server of OpenAI's protocol; the dimension is learnt from its first answer.

    `query_prefix` and `document_prefix` stand before questions and before stored
    texts, for models that were trained so (`search_query: ` and `search_document: `
    for nomic-embed-text); they are part of the fingerprint.
    """

    extra = "openai-compatible"
    provider = "openai-compatible"

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        base_url: str | None = None,
        model: str | None = None,
        api_key: str | None = None,
        query_prefix: str = "",
        document_prefix: str = "",
        **options: Any,
    ):
        """
        Args:
            settings: where the other arguments come from when they are None:
                `oai_compat_base_url`, `oai_compat_model`, `oai_compat_api_key`.
            base_url: up to and with `/v1`.
            model: the server's name for the model.
            api_key: for servers that ask for one.
            options: of `HttpEmbedder`, such as `timeout` and `dimension`.
        """
        settings = settings or Settings()
        given = api_key or settings.oai_compat_api_key
        headers = {"authorization": f"Bearer {key_from(given)}"} if given else {}
        self._prefixes = (query_prefix, document_prefix)
        super().__init__(
            model or settings.oai_compat_model,
            base_url=base_url or settings.oai_compat_base_url,
            headers=headers,
            **{"max_batch": 20} | options,
        )

    @property
    def fingerprint(self) -> str:
        plain = self._prefixes == ("", "")
        return super().fingerprint if plain else f"{super().fingerprint}:{self._prefixes!r}"

    def _request(self, texts: Sequence[str], is_document: bool) -> tuple[str, Any]:
        prefix = self._prefixes[is_document]
        return "/embeddings", {"model": self._model, "input": [prefix + text for text in texts]}

    def _vectors(self, answer: Any) -> list[Any]:
        return indexed_vectors(answer["data"])
