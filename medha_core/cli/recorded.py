"""Commands that embed nothing open a cache without its model."""

from pathlib import Path
from typing import Any

from medha_core import BaseEmbedder, EmbeddingError, Medha, Settings, StorageError
from medha_core.cli.opening import open_embedder, open_kept_settings
from medha_core.rows.database import Mode
from medha_core.snapshot import read_info


class RecordedEmbedder(BaseEmbedder):
    """Stands for the model that a collection was filled with; embeds nothing."""

    def __init__(self, fingerprint: str, dimension: int):
        self._fingerprint = fingerprint
        self._dimension = dimension

    @property
    def dimension(self) -> int:
        return self._dimension

    @property
    def model_name(self) -> str:
        return self._fingerprint

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    async def aembed(self, text: str) -> list[float]:
        raise EmbeddingError(f"this command does not load the model {self._fingerprint}")

    async def aembed_batch(self, texts: list[str], **kwargs: Any) -> list[list[float]]:
        raise EmbeddingError(f"this command does not load the model {self._fingerprint}")


def open_recorded(path: Path | None, collection: str | None, *, mode: Mode) -> Medha:
    """A cache that is kept somewhere, not started yet, for acts that need no vectors.

    The guard is off, for it would read every entry first.
    """
    settings = open_kept_settings(path, None)
    name = settings.collection if collection is None else collection
    unused = dict.fromkeys(["template_file", "embedding_cache_path", "allowed_file_dir"])
    quiet = settings.model_copy(update={"guard": "off", **unused})
    if settings.backend_type not in ("native", "memory"):
        return Medha(name, open_embedder(None, settings), settings=quiet)
    directory = kept_directory(settings)
    embedder = recorded_embedder(directory, name)
    return Medha.open(directory, embedder=embedder, mode=mode, collection_name=name, settings=quiet)


def kept_directory(settings: Settings) -> Path:
    """The directory of a cache that outlives its process. Raises `StorageError` if there is none."""
    if settings.path is None or settings.backend_type == "memory":
        raise StorageError(
            "a cache in memory ends with its process: --path DIRECTORY opens one that was kept"
        )
    return settings.path


def recorded_embedder(directory: Path, collection: str) -> RecordedEmbedder:
    """The model that a collection says it was filled with."""
    known = {one.name: one for one in read_info(directory).collections}
    if collection not in known:
        raise StorageError(f"no collection {collection!r} in {directory}: there are {sorted(known)}")
    return RecordedEmbedder(known[collection].model, known[collection].dimension)
