"""Weaviate: a collection for each of ours, searched over gRPC."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import numpy as np

from medha_core.backends.driver import Driver, Nearest, Where
from medha_core.backends.foreign import ForeignBackend
from medha_core.backends.naming import digest, space_name
from medha_core.backends.paging import order_of
from medha_core.backends.record import FIELDS, Record, fields_of, numbers, record_from
from medha_core.errors import ConfigurationError, StorageError
from medha_core.settings import Settings

try:
    import grpc
    import httpx
    import weaviate
    from weaviate.classes.config import Configure, DataType, Property, Tokenization, VectorDistances
    from weaviate.classes.data import DataObject
    from weaviate.classes.init import AdditionalConfig, Auth
    from weaviate.classes.query import Filter, MetadataQuery, Sort
    from weaviate.config import GrpcConfig
    from weaviate.exceptions import WeaviateConnectionError, WeaviateGRPCUnavailableError
except ImportError as error:
    raise ConfigurationError(
        "backend_type 'weaviate' needs weaviate-client: pip install 'medha-core[weaviate]'"
    ) from error

__all__ = ["WeaviateBackend"]

_WINDOW = 5000
"""Objects asked for at once; the server's own limit is 10,000."""
_SPARE = 8
"""Objects more than asked for: their numbers may be that of the key before, their keys smaller."""
_CONFIG = AdditionalConfig(
    # Else a new channel would share what an older one knows of the server.
    grpc_config=GrpcConfig(channel_options=[("grpc.use_local_subchannel_pool", 1)])
)
_SHOWN = ["key", *FIELDS]


class WeaviateDriver(Driver):
    """Objects with vectors of our own; texts are whole tokens, nothing is taken apart."""

    engine = "weaviate"
    lost = (
        ConnectionError,
        httpx.TransportError,
        WeaviateConnectionError,
        WeaviateGRPCUnavailableError,
    )
    name_limit = 200
    batch = 200

    def __init__(self, settings: Settings):
        self._settings = settings
        self._client: Any = None
        self._counting = threading.Lock()
        self.prefix = settings.weaviate_collection_prefix
        self._notes_name = space_name(self.prefix, "\0notes", limit=self.name_limit).capitalize()

    def space(self, collection: str) -> str:
        # Weaviate makes the first letter of a name a capital one.
        return super().space(collection).capitalize()

    def describe(self) -> str:
        settings = self._settings
        return settings.weaviate_cloud_url or f"{settings.weaviate_host}:{settings.weaviate_http_port}"

    # life

    def open(self) -> None:
        self._client = self._connected()
        self._create(self._notes_name, [_text("key"), _text("space"), _text("kind"), _unsearched("body")])

    def _connected(self) -> Any:
        settings = self._settings
        key = settings.weaviate_api_key.get_secret_value() if settings.weaviate_api_key else None
        credentials = Auth.api_key(key) if key else None
        if settings.weaviate_mode == "cloud":
            if not settings.weaviate_cloud_url:
                raise ConfigurationError("weaviate_mode 'cloud' needs weaviate_cloud_url")
            client = weaviate.connect_to_weaviate_cloud(
                settings.weaviate_cloud_url, auth_credentials=credentials, additional_config=_CONFIG
            )
        else:
            client = weaviate.connect_to_custom(
                http_host=settings.weaviate_host,
                http_port=settings.weaviate_http_port,
                http_secure=settings.weaviate_http_secure,
                grpc_host=settings.weaviate_host,
                grpc_port=settings.weaviate_grpc_port,
                grpc_secure=settings.weaviate_grpc_secure,
                auth_credentials=credentials,
                additional_config=_CONFIG,
            )
        stub = client._connection._grpc_stub
        for name in ("Search", "BatchObjects", "BatchDelete", "Aggregate"):
            setattr(stub, name, _at_once(getattr(stub, name)))
        return client

    def reconnect(self) -> None:
        """A channel waits, longer each time, before it tries a server again: a new one does not."""
        fresh = self._connected()
        old, self._client = self._client, fresh
        if old is not None:
            old.close()

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _create(self, name: str, properties: Sequence[Property]) -> None:
        if self._client.collections.exists(name):
            return
        settings = self._settings
        index = Configure.VectorIndex.hnsw(
            distance_metric=VectorDistances.COSINE,
            max_connections=settings.hnsw_m,
            ef_construction=settings.hnsw_ef_construct,
            quantizer=Configure.VectorIndex.Quantizer.none(),  # which newer servers have by default
        )
        try:
            self._client.collections.create(
                name,
                properties=list(properties),
                vector_config=Configure.Vectors.self_provided(vector_index_config=index),
            )
        except Exception:
            if not self._client.collections.exists(name):  # it does where another process was faster
                raise

    def _objects(self, name: str) -> Any:
        return self._client.collections.use(name)

    # notes

    def read_note(self, space: str, kind: str) -> str | None:
        wanted = Filter.by_property("key").equal(digest(space, kind).hex())
        found = self._objects(self._notes_name).query.fetch_objects(filters=wanted, limit=1).objects
        return str(found[0].properties["body"]) if found else None

    def write_note(self, space: str, kind: str, text: str) -> None:
        key = digest(space, kind)
        note = {"key": key.hex(), "space": space, "kind": kind, "body": text}
        self._insert(self._notes_name, [DataObject(uuid=UUID(bytes=key), properties=note, vector=[1.0])])

    def notes(self, kind: str) -> list[str]:
        wanted = Filter.by_property("kind").equal(kind)
        found = self._objects(self._notes_name).query.fetch_objects(filters=wanted, limit=_WINDOW)
        return [str(one.properties["body"]) for one in found.objects]

    # spaces

    def create(self, space: str, dimension: int) -> None:
        self._create(
            space,
            [
                _text("key"),
                _text("tags", DataType.TEXT_ARRAY),
                _number("order"),
                _number("expires"),
                _unsearched("body"),
                _number("correct"),
                _number("incorrect"),
            ],
        )

    def drop(self, space: str) -> None:
        self._client.collections.delete(space)
        self._objects(self._notes_name).data.delete_many(where=Filter.by_property("space").equal(space))

    # records

    def write(self, space: str, records: Sequence[Record]) -> None:
        objects = [
            DataObject(
                uuid=UUID(hex=record.key),
                vector=numbers(record.vector),
                properties={
                    "key": record.key,
                    **fields_of(record),
                    "order": float(order_of(record.key)),
                },
            )
            for record in records
        ]
        self._insert(space, objects)

    def _insert(self, name: str, objects: Sequence[Any]) -> None:
        done = self._objects(name).data.insert_many(list(objects))
        if done.has_errors:
            first = next(iter(done.errors.values()))
            raise StorageError(
                f"weaviate: {len(done.errors)} of {len(objects)} writes failed: {first.message}"
            )

    def nearest(self, space: str, vectors: np.ndarray, limit: int, where: Where) -> list[Nearest]:
        (vector,) = vectors
        found = self._objects(space).query.near_vector(
            near_vector=vector.tolist(),
            limit=min(limit, _WINDOW),
            filters=_filter(where),
            return_metadata=MetadataQuery(distance=True),
            return_properties=_SHOWN,
        )
        return [[(_record(one), 1.0 - one.metadata.distance) for one in found.objects]]

    def select(self, space: str, where: Where, limit: int, with_vectors: bool = False) -> list[Record]:
        records: list[Record] = []
        while len(records) < limit:
            size = min(limit - len(records), _WINDOW)
            found = self._objects(space).query.fetch_objects(
                filters=_filter(where),
                sort=Sort.by_property("key", ascending=True),
                limit=size + _SPARE,
                include_vector=with_vectors,
                return_properties=_SHOWN,
            )
            page = [_record(one) for one in found.objects]
            records += [record for record in page if record.key > where.after][:size]
            if len(page) < size + _SPARE:
                break
            where = where._replace(after=records[-1].key)
        return records[:limit]

    def count(self, space: str) -> int:
        return int(self._objects(space).aggregate.over_all(total_count=True).total_count)

    def delete(self, space: str, keys: Sequence[str]) -> None:
        if keys:
            self._objects(space).data.delete_many(where=Filter.by_property("key").contains_any(list(keys)))

    def add_feedback(self, space: str, key: str, correct: bool) -> int:
        """Read and written in turn: of two processes that count at once, one may be lost."""
        with self._counting:
            held = self.select(space, Where(keys=(key,)), 1, with_vectors=True)
            if not held:
                return 0
            name = "correct" if correct else "incorrect"
            record = held[0]._replace(**{name: getattr(held[0], name) + 1})
            self.write(space, [record])
            return int(getattr(record, name))


def _at_once(call: Callable[..., Any]) -> Callable[..., Any]:
    """A call that says at once that the server is away: Weaviate's client tries for a minute before."""

    def called(*arguments: Any, **named: Any) -> Any:
        try:
            return call(*arguments, **named)
        except grpc.RpcError as error:
            if isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.UNAVAILABLE:
                raise ConnectionError(error.details()) from error
            raise

    return called


def _text(name: str, kind: DataType = DataType.TEXT) -> Property:
    return Property(
        name=name,
        data_type=kind,
        tokenization=Tokenization.FIELD,
        index_filterable=True,
        index_searchable=False,
    )


def _unsearched(name: str) -> Property:
    return Property(name=name, data_type=DataType.TEXT, index_filterable=False, index_searchable=False)


def _number(name: str) -> Property:
    return Property(name=name, data_type=DataType.NUMBER, index_filterable=True)


def _filter(where: Where) -> Any:
    parts = []
    if where.all_of:
        parts.append(Filter.by_property("tags").contains_all(list(where.all_of)))
    if where.any_of:
        parts.append(Filter.by_property("tags").contains_any(list(where.any_of)))
    if where.keys:
        parts.append(Filter.by_property("key").contains_any(list(where.keys)))
    if where.after:
        parts.append(Filter.by_property("order").greater_or_equal(float(order_of(where.after))))
    if where.alive_at is not None:
        parts.append(Filter.by_property("expires").greater_than(float(where.alive_at)))
    if where.expired_at is not None:
        parts.append(Filter.by_property("expires").less_or_equal(float(where.expired_at)))
    return Filter.all_of(parts) if parts else None


def _record(one: Any) -> Record:
    return record_from(
        one.properties["key"], one.properties, one.vector.get("default") if one.vector else None
    )


class WeaviateBackend(ForeignBackend):
    """Entries in Weaviate, by the settings `weaviate_*`, `hnsw_m` and `hnsw_ef_construct`.

    Feedback that several processes count at once may lose a count.
    """

    def __init__(self, settings: Settings | None = None, *, clock: Callable[[], float] = time.time):
        super().__init__(WeaviateDriver(settings or Settings()), clock=clock)
