"""From the options of a command to a cache: settings, embedder, Medha."""

from pathlib import Path
from typing import Any

from medha_core import (
    BaseEmbedder,
    ConfigurationError,
    HashingEmbedder,
    Medha,
    OnnxEmbedder,
    Settings,
    StorageError,
)
from medha_core.cli.output import download
from medha_core.embeddings.models import DEFAULT_MODEL


def open_settings(path: Path | None) -> Settings:
    """Settings from the environment; `--path` wins over `MEDHA_PATH`."""
    given: dict[str, Any] = {} if path is None else {"path": path}
    return Settings(**given)


def open_kept_settings(path: Path | None, warm_from: Path | None) -> Settings:
    """`open_settings` for a command that only asks: a directory without a cache is an error."""
    settings = open_settings(path)
    if settings.path is not None and warm_from is None and not settings.path.is_dir():
        raise StorageError(f"no cache in {settings.path}: medha warm FILE --path {settings.path} makes one")
    return settings


def open_embedder(model: str | None, settings: Settings) -> BaseEmbedder:
    """The embedder `--model` names: `hashing`, a model's name, or a model's directory."""
    chosen = model or settings.embedder_type
    if chosen == "hashing":
        return HashingEmbedder()
    if model is None and chosen != "onnx":
        raise ConfigurationError(
            f"embedder_type: the command line builds 'onnx' and 'hashing', got {chosen!r}"
        )
    with download("fetching the model") as on_progress:
        return OnnxEmbedder(model or DEFAULT_MODEL, progress=on_progress)


def open_cache(
    settings: Settings, collection: str | None, model: str | None, *, read_only: bool = False
) -> Medha:
    """A cache that is not started yet. With `read_only` a kept one is opened beside whoever writes it."""
    name = settings.collection if collection is None else collection
    embedder = open_embedder(model, settings)
    if read_only and settings.path is not None and settings.backend_type == "native":
        return Medha.open(settings.path, embedder=embedder, collection_name=name, settings=settings)
    return Medha(name, embedder, settings=settings)
