"""Vectors taken over from an older kind of cache, which kept a hash of each text and not the text."""

import hashlib
import json
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from medha_core.embeddings.registry import model_config
from medha_core.errors import ConfigurationError, EmbeddingError, StorageError
from medha_core.interfaces.embedder import ArrayEmbedder, BaseEmbedder, as_array, unit_rows
from medha_core.vectors.file import VectorFile

logger = logging.getLogger("medha_core")

ROLE = "migrated"
_SAME = 0.99
"""Cosine from which two vectors are of one space: half precision keeps 0.9999, another prefix does not."""
_CHUNK = 500


class MigratedEmbedder(ArrayEmbedder):
    """Answers for a text with the vector that was taken over, and for others asks `inner`.

    The first such text is computed too: where the two vectors differ, the old ones
    are of another space (the model was used with a prefix, say), and none is used.
    """

    def __init__(self, inner: BaseEmbedder, file: VectorFile, models: Sequence[str]):
        """`models` are the old cache's names for the model of `inner`."""
        self._inner, self._file, self._models = inner, file, tuple(models)
        self._trusted: bool | None = None

    @property
    def dimension(self) -> int:
        return self._inner.dimension

    @property
    def model_name(self) -> str:
        return self._inner.model_name

    @property
    def fingerprint(self) -> str:
        return self._inner.fingerprint

    async def aembed_array(self, texts: Sequence[str], **kwargs: Any) -> np.ndarray:
        """Vectors in the order of `texts`."""
        old = self._old(texts)
        if old and self._trusted is None:
            old = await self._judged(texts, old, kwargs)
        new = [row for row in range(len(texts)) if row not in old]
        vectors = np.empty((len(texts), self.dimension), np.float32)
        if new:
            vectors[new] = await self._inner.aembed_array([texts[row] for row in new], **kwargs)
        for row, vector in old.items():
            vectors[row] = vector
        return vectors

    def _old(self, texts: Sequence[str]) -> dict[int, np.ndarray]:
        """By row, the vectors taken over; none once they are not trusted."""
        if self._trusted is False:
            return {}
        rows = {old_key(text, model): row for row, text in enumerate(texts) for model in self._models}
        found = self._file.get(rows)
        return {
            rows[key]: stored.vector for key, stored in found.items() if len(stored.vector) == self.dimension
        }

    async def _judged(
        self, texts: Sequence[str], old: dict[int, np.ndarray], kwargs: dict[str, Any]
    ) -> dict[int, np.ndarray]:
        row, vector = next(iter(old.items()))
        computed = (await self._inner.aembed_array([texts[row]], **kwargs))[0]
        self._trusted = bool(computed @ vector >= _SAME * np.linalg.norm(computed))
        if self._trusted:
            return old
        logger.warning(
            "the vectors migrated into %s are not those of %s as it is used here: they are not used",
            self._file.path,
            self.model_name,
        )
        return {}


def old_names(file: VectorFile, model: str) -> list[str]:
    """The names under which vectors of the registry's `model` were migrated into `file`."""
    found = []
    for name in file.migrated_models():
        try:
            same = model_config(name).name == model
        except ConfigurationError:
            same = name == model
        if same:
            found.append(name)
    return found


def old_key(text: str, model: str) -> str:
    """The old cache's key of a text, already normalised: sha256 of a JSON object in the order of its keys."""
    return hashlib.sha256(json.dumps({"text": text, "model": model}, sort_keys=True).encode()).hexdigest()


def migrate(source: Path, target: VectorFile, on_progress: Callable[[int, int], None]) -> tuple[int, int]:
    """Take the vectors of an old cache over; how many were, and how many could not be read.

    Reads msgpack lists, and float16 or float32 blobs with their dimension. Raises
    `StorageError` if `source` is no such cache. The source stays as it is.
    """
    taken = refused = 0
    try:
        uri = f"{source.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as db:
            (total,) = db.execute("SELECT count(*) FROM embeddings").fetchone()
            for model, rows in _chunks(db):
                vectors = {}
                for key, blob, dimension, dtype in rows:
                    try:
                        vectors[key] = _decoded(blob, dimension, dtype)
                    except EmbeddingError:
                        refused += 1
                target.put(vectors, model=model, role=ROLE)
                taken += len(vectors)
                on_progress(taken + refused, total)
    except sqlite3.Error as error:
        raise StorageError(f"{source} is no embedding cache that can be migrated: {error}") from error
    return taken, refused


def _chunks(db: sqlite3.Connection) -> Iterator[tuple[str, list[Any]]]:
    columns = {row[1] for row in db.execute("PRAGMA table_info(embeddings)")}
    dimension = "dimensions" if "dimensions" in columns else "NULL"
    dtype = "dtype" if "dtype" in columns else "NULL"
    if "checksum" in columns:
        raise StorageError("this is an embedding cache of medha_core already: nothing is to be migrated")
    for (model,) in db.execute("SELECT DISTINCT model FROM embeddings").fetchall():
        rows = db.execute(
            f"SELECT cache_key, embedding, {dimension}, {dtype} FROM embeddings WHERE model = ?",  # noqa: S608 (names of ours)
            (model,),
        )
        while chunk := rows.fetchmany(_CHUNK):
            yield model, chunk


def _decoded(blob: Any, dimension: int | None, dtype: str | None) -> np.ndarray:
    """One vector of length 1, float32. Raises `EmbeddingError` for what is none."""
    kinds = {"float16": "<f2", "float32": "<f4"}
    if not isinstance(blob, bytes):
        raise EmbeddingError("no blob")
    if dtype in kinds:
        width = np.dtype(kinds[dtype]).itemsize
        if len(blob) % width:
            raise EmbeddingError("cut in the middle of a number")
        numbers: Any = np.frombuffer(blob, kinds[dtype])
    else:
        numbers = _unpacked(blob)
    vector: np.ndarray = unit_rows(as_array([numbers]), 1, dimension)[0]
    return vector


def _unpacked(blob: bytes) -> Any:
    try:
        import msgpack
    except ImportError as error:
        raise ConfigurationError(
            "migrating this cache needs msgpack: pip install 'medha-core[remote]'"
        ) from error
    try:
        return msgpack.unpackb(blob)
    except (ValueError, msgpack.UnpackException) as error:
        raise EmbeddingError(f"not msgpack: {error}") from error
