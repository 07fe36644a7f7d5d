"""Qdrant: in this process, in a directory, on a server or in the cloud."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import numpy as np

from medha_core.backends.driver import Driver, Nearest, Where
from medha_core.backends.foreign import ForeignBackend
from medha_core.backends.naming import digest, space_name
from medha_core.backends.record import Record, fields_of, numbers, record_from
from medha_core.errors import ConfigurationError
from medha_core.settings import Settings

try:
    import httpx
    from qdrant_client import QdrantClient, models
    from qdrant_client.http.exceptions import ResponseHandlingException
except ImportError as error:
    raise ConfigurationError(
        "backend_type 'qdrant' needs qdrant-client: pip install 'medha-core[qdrant]'"
    ) from error

__all__ = ["QdrantBackend"]

_LAST = (1 << 128) - 1


class QdrantDriver(Driver):
    """A Qdrant collection for each of ours, and one for the notes; points are keyed by UUID."""

    engine = "qdrant"
    lost = (ConnectionError, httpx.TransportError, ResponseHandlingException)
    name_limit = 120
    together = 100

    def __init__(self, settings: Settings):
        self._settings = settings
        self._client: Any = None
        self._notes = space_name(self.prefix, "\0notes")
        self._counting = threading.Lock()
        # The client's own local mode is not made for several threads.
        self.serial = self._is_local

    @property
    def _is_local(self) -> bool:
        return self._settings.qdrant_mode == "memory" and not self._settings.qdrant_url

    def describe(self) -> str:
        settings = self._settings
        if self._is_local:
            return settings.qdrant_path or "in memory"
        return settings.qdrant_url or f"{settings.qdrant_host}:{settings.qdrant_port}"

    def open(self) -> None:
        settings = self._settings
        key = settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None
        if self._is_local:
            place = {"path": settings.qdrant_path} if settings.qdrant_path else {"location": ":memory:"}
            self._client = QdrantClient(**place)
        elif settings.qdrant_url:
            self._client = QdrantClient(url=settings.qdrant_url, api_key=key, check_compatibility=False)
        elif settings.qdrant_mode == "cloud":
            raise ConfigurationError("qdrant_mode 'cloud' needs qdrant_url")
        else:
            self._client = QdrantClient(
                host=settings.qdrant_host,
                port=settings.qdrant_port,
                api_key=key,
                check_compatibility=False,
            )
        if not self._client.collection_exists(self._notes):
            self._create(self._notes, 1)

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    # notes

    def read_note(self, space: str, kind: str) -> str | None:
        found = self._client.retrieve(self._notes, [_note_id(space, kind)])
        return found[0].payload["body"] if found else None

    def write_note(self, space: str, kind: str, text: str) -> None:
        payload = {"space": space, "kind": kind, "body": text}
        point = models.PointStruct(id=_note_id(space, kind), vector=[1.0], payload=payload)
        self._client.upsert(self._notes, [point])

    def notes(self, kind: str) -> list[str]:
        notes, offset = [], None
        while True:
            page, offset = self._client.scroll(self._notes, _has("kind", kind), limit=1000, offset=offset)
            notes += [point.payload["body"] for point in page]
            if offset is None:
                return notes

    # spaces

    def create(self, space: str, dimension: int) -> None:
        if not self._client.collection_exists(space):
            self._create(space, dimension)
        if not self._is_local:  # which looks through all points anyway
            self._client.create_payload_index(space, "tags", models.PayloadSchemaType.KEYWORD)
            self._client.create_payload_index(space, "expires", models.PayloadSchemaType.FLOAT)

    def _create(self, name: str, dimension: int) -> None:
        settings = self._settings
        try:
            self._client.create_collection(
                name,
                vectors_config=models.VectorParams(
                    size=dimension, distance=models.Distance.COSINE, on_disk=settings.on_disk
                ),
                hnsw_config=models.HnswConfigDiff(m=settings.hnsw_m, ef_construct=settings.hnsw_ef_construct),
                quantization_config=self._quantization() if dimension > 1 else None,
            )
        except Exception:
            if not self._client.collection_exists(name):  # it does where another process was faster
                raise

    def _quantization(self) -> Any:
        settings = self._settings
        if not settings.enable_quantization:
            return None
        if settings.quantization_type == "binary":
            return models.BinaryQuantization(
                binary=models.BinaryQuantizationConfig(always_ram=settings.quantization_always_ram)
            )
        return models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(
                type=models.ScalarType.INT8, always_ram=settings.quantization_always_ram
            )
        )

    def drop(self, space: str) -> None:
        self._client.delete_collection(space)
        self._client.delete(self._notes, models.FilterSelector(filter=_has("space", space)))

    # records

    def write(self, space: str, records: Sequence[Record]) -> None:
        points = [
            models.PointStruct(
                id=_id(record.key),
                vector=numbers(record.vector),
                payload=fields_of(record),
            )
            for record in records
        ]
        self._client.upsert(space, points)

    def nearest(self, space: str, vectors: np.ndarray, limit: int, where: Where) -> list[Nearest]:
        condition, search = _filter(where), None if self._is_local else self._search(limit)
        asked = [
            models.QueryRequest(
                query=vector.tolist(), limit=limit, filter=condition, params=search, with_payload=True
            )
            for vector in vectors
        ]
        answers = self._client.query_batch_points(space, asked)
        return [[(_record(point), point.score) for point in found.points] for found in answers]

    def _search(self, limit: int) -> Any:
        settings = self._settings
        return models.SearchParams(
            hnsw_ef=max(128, limit),
            quantization=models.QuantizationSearchParams(
                ignore=settings.quantization_ignore,
                rescore=settings.quantization_rescore,
                oversampling=settings.quantization_oversampling,
            ),
        )

    def select(self, space: str, where: Where, limit: int, with_vectors: bool = False) -> list[Record]:
        start = int(where.after, 16) + 1 if where.after else 0
        if start > _LAST:
            return []
        found, _ = self._client.scroll(
            space,
            _filter(where),
            limit=limit,
            offset=str(UUID(int=start)) if start else None,
            with_vectors=with_vectors,
        )
        return [_record(point) for point in found]

    def count(self, space: str) -> int:
        return int(self._client.count(space).count)

    def delete(self, space: str, keys: Sequence[str]) -> None:
        self._client.delete(space, models.PointIdsList(points=[_id(key) for key in keys]))

    def add_feedback(self, space: str, key: str, correct: bool) -> int:
        """Read and written in turn: of two processes that count at once, one may be lost."""
        name = "correct" if correct else "incorrect"
        with self._counting:
            found = self._client.retrieve(space, [_id(key)], with_payload=[name])
            if not found:
                return 0
            value = int(found[0].payload[name]) + 1
            self._client.set_payload(space, {name: value}, points=[_id(key)])
            return value


def _id(key: str) -> str:
    return str(UUID(hex=key))


def _note_id(space: str, kind: str) -> str:
    return str(UUID(bytes=digest(space, kind)))


def _has(field: str, value: str) -> models.Filter:
    return models.Filter(must=[models.FieldCondition(key=field, match=models.MatchValue(value=value))])


def _filter(where: Where) -> models.Filter | None:
    must: list[Any] = [
        models.FieldCondition(key="tags", match=models.MatchValue(value=tag)) for tag in where.all_of
    ]
    if where.any_of:
        must.append(models.FieldCondition(key="tags", match=models.MatchAny(any=list(where.any_of))))
    if where.keys:
        must.append(models.HasIdCondition(has_id=[_id(key) for key in where.keys]))
    if where.alive_at is not None:
        must.append(models.FieldCondition(key="expires", range=models.Range(gt=where.alive_at)))
    if where.expired_at is not None:
        must.append(models.FieldCondition(key="expires", range=models.Range(lte=where.expired_at)))
    return models.Filter(must=must) if must else None


def _record(point: Any) -> Record:
    return record_from(UUID(str(point.id)).hex, point.payload, point.vector)


def _driver(settings: Settings) -> Driver:
    if settings.qdrant_mode != "edge":
        return QdrantDriver(settings)
    from medha_core.backends.qdrant_edge import QdrantEdgeDriver

    return QdrantEdgeDriver(settings)


class QdrantBackend(ForeignBackend):
    """Entries in Qdrant, by the settings `qdrant_*`, `hnsw_*`, `quantization_*` and `on_disk`.

    `qdrant_mode="memory"` keeps them in this process, in the directory `qdrant_path`
    where one is given, and compares them one by one; `"edge"` has Qdrant's own engine
    in this process, in the directory `qdrant_path`. Feedback that several processes
    count at once may lose a count.
    """

    def __init__(self, settings: Settings | None = None, *, clock: Callable[[], float] = time.time):
        super().__init__(_driver(settings or Settings()), clock=clock)
