"""Embeddings of the package sentence-transformers, which runs on torch."""

from typing import Any

from medha_core.embeddings.local import LocalEmbedder
from medha_core.errors import ConfigurationError, EmbeddingError, shown

try:
    from sentence_transformers import SentenceTransformer
except ImportError as error:
    raise ConfigurationError(
        "SentenceTransformersAdapter needs sentence-transformers: "
        "pip install 'medha-core[sentence-transformers]'"
    ) from error

_NOMIC = ("search_query: ", "search_document: ")
_PREFIXES = {"nomic-ai/nomic-embed-text-v1.5": _NOMIC, "nomic-ai/nomic-embed-text-v2-moe": _NOMIC}


class SentenceTransformersAdapter(LocalEmbedder):
    """Embeds with any model of sentence-transformers, by its name on the hub or its folder.

    Questions and stored texts get the prefix that the model was trained with: the
    one given here, else the one known for it, else the prompt in the model's own files.
    """

    def __init__(
        self,
        model_name: str = "sentence-transformers/all-mpnet-base-v2",
        *,
        device: str | None = None,
        cache_dir: str | None = None,
        batch_size: int = 32,
        query_prefix: str | None = None,
        document_prefix: str | None = None,
        trust_remote_code: bool = False,
        **options: Any,
    ):
        """
        Args:
            model_name: on the hub, or a folder.
            device: such as `cpu` or `cuda`; None leaves it to the package.
            cache_dir: where models are kept.
            batch_size: texts that are computed together.
            trust_remote_code: runs Python that comes with the model; some models need it.
            options: of `SentenceTransformer`.

        Raises `ConfigurationError` if the package is not installed, `EmbeddingError`
        if the model cannot be loaded.
        """
        super().__init__()
        known = _PREFIXES.get(model_name, (None, None))
        self._prefixes = (
            known[0] if query_prefix is None else query_prefix,
            known[1] if document_prefix is None else document_prefix,
        )
        self._model_name, self._batch_size = model_name, batch_size
        try:
            self._model = SentenceTransformer(
                model_name,
                device=device,
                cache_folder=cache_dir,
                trust_remote_code=trust_remote_code,
                **options,
            )
            self._dimension = len(self._model.encode("How many orders?", show_progress_bar=False))
        except Exception as error:  # the package raises what its own dependencies raise
            raise EmbeddingError(
                f"sentence-transformers cannot load {model_name}: {shown(error, 500)}"
            ) from error

    @property
    def fingerprint(self) -> str:
        prefixes = "" if self._prefixes == (None, None) else f":{self._prefixes!r}"
        return f"sentence-transformers/{self._model_name}:{self._dimension}{prefixes}"

    def __repr__(self) -> str:
        return f"<SentenceTransformersAdapter {self._model_name!r}, {self._dimension} dimensions>"

    def _compute(self, texts: list[str], is_document: bool) -> Any:
        prefix = self._prefixes[is_document]
        options = {"batch_size": self._batch_size, "show_progress_bar": False, "convert_to_numpy": True}
        if prefix is not None:
            return self._model.encode(texts, prompt=prefix, **options)
        # Since version 5 the package knows the two roles itself.
        role = "encode_document" if is_document else "encode_query"
        return getattr(self._model, role, self._model.encode)(texts, **options)
