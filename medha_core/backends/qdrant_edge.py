"""Qdrant's own engine inside this process: a shard a collection, in a directory."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from medha_core.backends.driver import Driver, Nearest, Where
from medha_core.backends.record import Record, fields_of, numbers, record_from
from medha_core.directory import WriterLock
from medha_core.errors import ConfigurationError, StorageError, StorageInitializationError
from medha_core.settings import Settings

try:
    import qdrant_edge as edge
except ImportError as error:
    raise ConfigurationError(
        "qdrant_mode 'edge' needs qdrant-edge-py: pip install 'medha-core[qdrant-edge]'"
    ) from error

__all__ = ["QdrantEdgeDriver"]

_LAST = (1 << 128) - 1
_TEND_EVERY = 10_000
"""Records written after which segments are put together and indexed; before, they are compared one by one."""
_FULL_SCAN = 10_000
"""Kilobytes of vectors up to which a filter's matches are compared one by one."""


class QdrantEdgeDriver(Driver):
    """Shards, and beside each a file for each of its notes. One store at a time has a directory open."""

    engine = "qdrant"
    serial = True  # one call at a time changes a shard
    together = 100
    name_limit = 120

    def __init__(self, settings: Settings):
        self._settings = settings
        self._shards: dict[str, Any] = {}
        self._written: dict[str, int] = {}
        self._lock: WriterLock | None = None

    def describe(self) -> str:
        return f"{self._settings.qdrant_path} by qdrant-edge"

    # life

    @property
    def _folder(self) -> Path:
        if not self._settings.qdrant_path:
            raise ConfigurationError("qdrant_mode 'edge' needs qdrant_path, a directory")
        return Path(self._settings.qdrant_path)

    def open(self) -> None:
        folder = self._folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageInitializationError(f"qdrant: cannot make {folder}: {error.strerror}") from error
        lock = WriterLock(folder)
        lock.acquire()
        self._lock = lock

    def close(self) -> None:
        while self._shards:
            self._shards.popitem()[1].close()
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    def _shard(self, space: str) -> Any:
        if space not in self._shards:
            path = self._folder / space
            if not path.is_dir():
                raise StorageError(f"qdrant: there is no shard {path}")
            self._shards[space] = edge.EdgeShard.load(str(path))
        return self._shards[space]

    # notes

    def _note(self, space: str, kind: str) -> Path:
        return self._folder / f"{space}.{kind}.json"

    def read_note(self, space: str, kind: str) -> str | None:
        path = self._note(space, kind)
        return path.read_text("utf-8") if path.exists() else None

    def write_note(self, space: str, kind: str, text: str) -> None:
        path = self._note(space, kind)
        fresh = path.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)

    def notes(self, kind: str) -> list[str]:
        return [path.read_text("utf-8") for path in self._folder.glob(f"*.{kind}.json")]

    # spaces

    def create(self, space: str, dimension: int) -> None:
        path, settings = self._folder / space, self._settings
        if path.is_dir():
            return
        path.mkdir()
        shard = edge.EdgeShard.create(
            str(path),
            edge.EdgeConfig(
                vectors=edge.EdgeVectorParams(
                    size=dimension, distance=edge.Distance.Cosine, on_disk=settings.on_disk
                ),
                hnsw_config=edge.HnswIndexConfig(settings.hnsw_m, settings.hnsw_ef_construct, _FULL_SCAN),
                quantization_config=self._quantization(),
            ),
        )
        shard.update(edge.UpdateOperation.create_field_index("tags", edge.PayloadSchemaType.Keyword))
        shard.update(edge.UpdateOperation.create_field_index("expires", edge.PayloadSchemaType.Float))
        self._shards[space] = shard

    def _quantization(self) -> Any:
        settings = self._settings
        if not settings.enable_quantization:
            return None
        if settings.quantization_type == "binary":
            return edge.BinaryQuantizationConfig(always_ram=settings.quantization_always_ram)
        return edge.ScalarQuantizationConfig(
            edge.ScalarType.Int8, always_ram=settings.quantization_always_ram
        )

    def drop(self, space: str) -> None:
        for path in self._folder.glob(f"{space}.*.json"):
            path.unlink()
        shard = self._shards.pop(space, None)
        if shard is not None:
            shard.close()
        shutil.rmtree(self._folder / space, ignore_errors=True)

    # records

    def write(self, space: str, records: Sequence[Record]) -> None:
        points = [
            edge.Point(
                UUID(hex=record.key),
                numbers(record.vector),
                fields_of(record),
            )
            for record in records
        ]
        shard = self._shard(space)
        shard.update(edge.UpdateOperation.upsert_points(points))
        self._written[space] = self._written.get(space, 0) + len(records)
        if self._written[space] >= _TEND_EVERY:
            self._written[space] = 0
            shard.optimize()

    def nearest(self, space: str, vectors: np.ndarray, limit: int, where: Where) -> list[Nearest]:
        settings, condition = self._settings, _filter(where)
        search = edge.SearchParams(
            hnsw_ef=max(128, limit),
            quantization=edge.QuantizationSearchParams(
                ignore=settings.quantization_ignore,
                rescore=settings.quantization_rescore,
                oversampling=settings.quantization_oversampling,
            ),
        )
        asked = [
            edge.QueryRequest(
                limit=limit,
                query=edge.Query.Nearest(vector.tolist()),
                filter=condition,
                params=search,
                with_payload=True,
            )
            for vector in vectors
        ]
        answers = self._shard(space).query_batch(edge.QueryBatchRequest(asked))
        return [[(_record(point), point.score) for point in found] for found in answers]

    def select(self, space: str, where: Where, limit: int, with_vectors: bool = False) -> list[Record]:
        start = int(where.after, 16) + 1 if where.after else 0
        if start > _LAST:
            return []
        found, _ = self._shard(space).scroll(
            edge.ScrollRequest(
                offset=UUID(int=start) if start else None,
                limit=limit,
                filter=_filter(where),
                with_payload=True,
                with_vector=with_vectors,
            )
        )
        return [_record(point) for point in found]

    def count(self, space: str) -> int:
        return int(self._shard(space).count(edge.CountRequest(exact=True)))

    def delete(self, space: str, keys: Sequence[str]) -> None:
        self._shard(space).update(edge.UpdateOperation.delete_points([UUID(hex=key) for key in keys]))

    def add_feedback(self, space: str, key: str, correct: bool) -> int:
        name, shard, point = "correct" if correct else "incorrect", self._shard(space), UUID(hex=key)
        found = shard.retrieve([point], True, False)
        if not found:
            return 0
        value = int(found[0].payload[name]) + 1
        shard.update(edge.UpdateOperation.set_payload([point], {name: value}))
        return value


def _filter(where: Where) -> Any:
    must: list[Any] = [edge.FieldCondition("tags", match=edge.MatchValue(tag)) for tag in where.all_of]
    if where.any_of:
        must.append(edge.FieldCondition("tags", match=edge.MatchAny(list(where.any_of))))
    if where.keys:
        must.append(edge.HasIdCondition({UUID(hex=key) for key in where.keys}))
    if where.alive_at is not None:
        must.append(edge.FieldCondition("expires", range=edge.RangeFloat(gt=where.alive_at)))
    if where.expired_at is not None:
        must.append(edge.FieldCondition("expires", range=edge.RangeFloat(lte=where.expired_at)))
    return edge.Filter(must=must) if must else None


def _record(point: Any) -> Record:
    return record_from(point.id.hex, point.payload, point.vector)
