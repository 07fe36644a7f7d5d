"""Embeddings of the package fastembed."""

import os
from typing import Any

import numpy as np

from medha_core.embeddings.local import LocalEmbedder
from medha_core.errors import ArgumentTypeError, ArgumentValueError, ConfigurationError, EmbeddingError, shown

try:
    import fastembed
    from fastembed.common.model_description import ModelSource, PoolingType
except ImportError as error:
    raise ConfigurationError(
        "FastEmbedAdapter needs fastembed: pip install 'medha-core[fastembed]'"
    ) from error

_PROBE = "How many orders were placed today?"


class FastEmbedAdapter(LocalEmbedder):
    """Embeds with a model of fastembed, which fetches it when it is not on this machine.

    A model that fastembed does not know is registered under its name: an ONNX
    export on the Hugging Face hub, or in the folder `model_dir`. Questions and
    stored texts are embedded as fastembed does for the model.
    """

    def __init__(
        self,
        model_name: str = "BAAI/bge-small-en-v1.5",
        max_length: int = 512,
        cache_dir: str | None = None,
        *,
        model_dir: str | os.PathLike[str] | None = None,
        model_file: str = "onnx/model.onnx",
        pooling: str = "mean",
        **options: Any,
    ):
        """
        Args:
            model_name: fastembed's name of the model, or the hub's.
            max_length: texts are cut after so many tokens, or earlier if the model says so.
            cache_dir: where fastembed keeps models.
            model_dir: a folder with the model's files; nothing is fetched.
            model_file, pooling: of a model that fastembed does not know; `mean`, `cls` or `disabled`.
            options: of `fastembed.TextEmbedding`, such as `threads`.

        Raises `ConfigurationError` if fastembed is not installed, `EmbeddingError`
        if the model cannot be loaded.
        """
        super().__init__()
        if not isinstance(max_length, int) or isinstance(max_length, bool):
            raise ArgumentTypeError("max_length", "int", max_length)
        if max_length < 1:
            raise ArgumentValueError("max_length", "at least 1", max_length)
        self._model_name = model_name
        _register(model_name, model_file, pooling)
        local = {} if model_dir is None else {"specific_model_path": str(model_dir)}
        try:
            self._model = fastembed.TextEmbedding(model_name, cache_dir, **local | options)
            _shorten(self._model.model.tokenizer, max_length)
            self._dimension = len(next(iter(self._model.query_embed([_PROBE]))))
        except Exception as error:  # the package raises what its own dependencies raise
            raise EmbeddingError(f"fastembed cannot load {model_name}: {shown(error, 500)}") from error

    @property
    def fingerprint(self) -> str:
        return f"fastembed/{self._model_name}:{self._dimension}"

    def __repr__(self) -> str:
        return f"<FastEmbedAdapter {self._model_name!r}, {self._dimension} dimensions>"

    def _compute(self, texts: list[str], is_document: bool) -> np.ndarray:
        embed = self._model.passage_embed if is_document else self._model.query_embed
        return np.stack(list(embed(texts)))


def _register(model_name: str, model_file: str, pooling: str) -> None:
    known = {model["model"].lower() for model in fastembed.TextEmbedding.list_supported_models()}
    if model_name.lower() in known:
        return
    kinds = [kind.value.lower() for kind in PoolingType]
    if pooling.lower() not in kinds:
        raise ArgumentValueError("pooling", f"one of {', '.join(kinds)}", pooling)
    fastembed.TextEmbedding.add_custom_model(
        model_name,
        pooling=next(kind for kind in PoolingType if kind.value.lower() == pooling.lower()),
        normalization=True,
        sources=ModelSource(hf=model_name),
        dim=1,  # nobody asks: the model itself is asked for one vector
        model_file=model_file,
    )


def _shorten(tokenizer: Any, max_length: int) -> None:
    truncation = tokenizer.truncation
    if truncation is not None and truncation["max_length"] > max_length:
        tokenizer.enable_truncation(max_length, direction=truncation.get("direction", "right"))
