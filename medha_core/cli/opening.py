"""From the options of a command to a cache: settings, embedder, Medha."""

from pathlib import Path
from typing import Any

from medha_core import (
    BaseEmbedder,
    Medha,
    OnnxEmbedder,
    Settings,
    StorageError,
)
from medha_core.cli.output import download
from medha_core.embeddings.models import DEFAULT_MODEL, KNOWN
from medha_core.embeddings.registry import embedder_of, is_named, make_embedder


def open_settings(path: Path | None) -> Settings:
    """Settings from the environment; `--path` wins over `MEDHA_PATH`."""
    given: dict[str, Any] = {} if path is None else {"path": path}
    return Settings(**given)


def open_kept_settings(path: Path | None, warm_from: Path | None) -> Settings:
    """`open_settings` for a command that only asks: a directory without a cache is an error."""
    settings = open_settings(path)
    if settings.path is None or settings.path.is_dir():
        return settings
    if settings.path.exists():
        raise StorageError(f"path: expected the directory of a cache, got the file {settings.path}")
    if warm_from is None:
        raise StorageError(f"no cache in {settings.path}: medha warm FILE --path {settings.path} makes one")
    return settings


def open_embedder(model: str | None, settings: Settings) -> BaseEmbedder:
    """The embedder that `--model` names (a model, `provider:model` or a directory), or the settings."""
    if model is None and settings.embedder_type != "onnx":
        return embedder_of(settings)
    if model is not None and model not in KNOWN and is_named(model):
        return make_embedder(model)
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
