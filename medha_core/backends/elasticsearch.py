"""Elasticsearch: an index a collection, with kNN search over dense vectors."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from medha_core.backends.driver import Driver, Nearest, Where
from medha_core.backends.foreign import ForeignBackend
from medha_core.backends.naming import digest, space_name
from medha_core.backends.record import FIELDS, Record, fields_of, numbers, packed, record_from, unpacked
from medha_core.errors import ConfigurationError, StorageError
from medha_core.settings import Settings

try:
    import elasticsearch
except ImportError as error:
    raise ConfigurationError(
        "backend_type 'elasticsearch' needs elasticsearch: pip install 'medha-core[elasticsearch]'"
    ) from error

__all__ = ["ElasticsearchBackend"]

_WINDOW = 10_000
"""Results that Elasticsearch gives at most, and candidates it looks at."""


class ElasticsearchDriver(Driver):
    """Documents by key. What is written is searchable when the call returns."""

    engine = "elasticsearch"
    lost = (ConnectionError, elasticsearch.ConnectionError)
    name_limit = 200
    together = 100

    def __init__(self, settings: Settings):
        self._settings = settings
        self._client: Any = None
        self.prefix = settings.es_index_prefix
        self._notes_index = space_name(self.prefix, "\0notes", limit=self.name_limit)

    def describe(self) -> str:
        return ", ".join(self._settings.es_hosts)

    # life

    def open(self) -> None:
        settings = self._settings
        credentials: dict[str, Any] = {}
        if settings.es_api_key is not None:
            credentials["api_key"] = settings.es_api_key.get_secret_value()
        elif settings.es_username is not None:
            password = settings.es_password.get_secret_value() if settings.es_password else ""
            credentials["basic_auth"] = (settings.es_username, password)
        self._client = elasticsearch.Elasticsearch(
            settings.es_hosts, request_timeout=settings.es_timeout, **credentials
        )
        keyword = {"type": "keyword"}
        body = {"type": "keyword", "index": False, "doc_values": False}
        self._create(self._notes_index, {"space": keyword, "kind": keyword, "body": body})

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _create(self, index: str, properties: Mapping[str, Any]) -> None:
        if self._client.indices.exists(index=index):
            return
        try:
            self._client.indices.create(index=index, mappings={"dynamic": False, "properties": properties})
        except elasticsearch.BadRequestError as error:
            if error.error != "resource_already_exists_exception":  # by another process, just now
                raise

    # notes

    def read_note(self, space: str, kind: str) -> str | None:
        try:
            found = self._client.get(index=self._notes_index, id=digest(space, kind).hex())
        except elasticsearch.NotFoundError:
            return None
        return str(found["_source"]["body"])

    def write_note(self, space: str, kind: str, text: str) -> None:
        note = {"space": space, "kind": kind, "body": text}
        self._client.index(index=self._notes_index, id=digest(space, kind).hex(), document=note, refresh=True)

    def notes(self, kind: str) -> list[str]:
        found = self._client.search(index=self._notes_index, query={"term": {"kind": kind}}, size=_WINDOW)
        return [hit["_source"]["body"] for hit in found["hits"]["hits"]]

    # spaces

    def create(self, space: str, dimension: int) -> None:
        settings = self._settings
        self._create(
            space,
            {
                "key": {"type": "keyword"},
                "tags": {"type": "keyword"},
                "expires": {"type": "double"},
                "body": {"type": "keyword", "index": False, "doc_values": False},
                "correct": {"type": "integer", "index": False},
                "incorrect": {"type": "integer", "index": False},
                # The vector once more, as it is read back: newer servers leave vectors out of documents.
                "raw": {"type": "binary"},
                "vector": {
                    "type": "dense_vector",
                    "dims": dimension,
                    "index": True,
                    "similarity": "cosine",
                    "index_options": {
                        "type": "hnsw",
                        "m": settings.hnsw_m,
                        "ef_construction": settings.hnsw_ef_construct,
                    },
                },
            },
        )

    def drop(self, space: str) -> None:
        self._client.indices.delete(index=space, ignore_unavailable=True)
        actions = [{"delete": {"_id": digest(space, kind).hex()}} for kind in ("collection", "stats")]
        self._client.bulk(index=self._notes_index, operations=actions, refresh=True)

    # records

    def write(self, space: str, records: Sequence[Record]) -> None:
        operations: list[Any] = []
        for record in records:
            operations.append({"index": {"_id": record.key}})
            operations.append(
                {
                    "key": record.key,
                    **fields_of(record),
                    "raw": packed(record.vector),
                    "vector": numbers(record.vector),
                }
            )
        self._bulk(space, operations)

    def _bulk(self, space: str, operations: list[Any]) -> None:
        answer = self._client.bulk(index=space, operations=operations, refresh=True)
        if answer["errors"]:
            results = [result for item in answer["items"] for result in item.values()]
            failed = [result["error"] for result in results if "error" in result]
            if failed:
                raise StorageError(
                    f"elasticsearch: {len(failed)} of {len(results)} writes failed: {failed[0]}"
                )

    def nearest(self, space: str, vectors: np.ndarray, limit: int, where: Where) -> list[Nearest]:
        k = min(limit, _WINDOW)
        knn = {
            "field": "vector",
            "k": k,
            "num_candidates": min(_WINDOW, max(self._settings.es_num_candidates, 2 * k)),
            "filter": _filter(where),
        }
        asked: list[Any] = []
        for vector in vectors:
            asked.append({})  # the index is in the address
            asked.append(
                {"knn": {**knn, "query_vector": vector.tolist()}, "size": k, "_source": ["key", *FIELDS]}
            )
        return [_near(one) for one in self._client.msearch(index=space, searches=asked)["responses"]]

    def select(self, space: str, where: Where, limit: int, with_vectors: bool = False) -> list[Record]:
        records: list[Record] = []
        while len(records) < limit:
            size = min(limit - len(records), _WINDOW)
            found = self._client.search(
                index=space,
                query={"bool": {"filter": _filter(where)}},
                sort=[{"key": "asc"}],
                size=size,
                source=["key", *FIELDS, *(["raw"] if with_vectors else [])],
            )
            page = [_record(hit["_source"]) for hit in found["hits"]["hits"]]
            records += page
            if len(page) < size:
                break
            where = where._replace(after=page[-1].key)
        return records

    def count(self, space: str) -> int:
        return int(self._client.count(index=space)["count"])

    def delete(self, space: str, keys: Sequence[str]) -> None:
        if keys:
            self._bulk(space, [{"delete": {"_id": key}} for key in keys])

    def add_feedback(self, space: str, key: str, correct: bool) -> int:
        name = "correct" if correct else "incorrect"
        try:
            answer = self._client.update(
                index=space,
                id=key,
                script={"source": f"ctx._source.{name} += 1", "lang": "painless"},
                source=[name],
                retry_on_conflict=10,
                refresh=True,
            )
        except elasticsearch.NotFoundError:
            return 0
        return int(answer["get"]["_source"][name])


def _near(answer: Mapping[str, Any]) -> Nearest:
    """One answer of several; its score is (1 + cosine) / 2."""
    if "error" in answer:
        raise StorageError(f"elasticsearch: a search failed: {answer['error']}")
    return [(_record(hit["_source"]), 2.0 * hit["_score"] - 1.0) for hit in answer["hits"]["hits"]]


def _filter(where: Where) -> list[Any]:
    parts: list[Any] = [{"term": {"tags": tag}} for tag in where.all_of]
    if where.any_of:
        parts.append({"terms": {"tags": list(where.any_of)}})
    if where.keys:
        parts.append({"terms": {"key": list(where.keys)}})
    if where.after:
        parts.append({"range": {"key": {"gt": where.after}}})
    if where.alive_at is not None:
        parts.append({"range": {"expires": {"gt": where.alive_at}}})
    if where.expired_at is not None:
        parts.append({"range": {"expires": {"lte": where.expired_at}}})
    return parts


def _record(held: Mapping[str, Any]) -> Record:
    return record_from(held["key"], held, unpacked(held.get("raw")))


class ElasticsearchBackend(ForeignBackend):
    """Entries in Elasticsearch 8.14 or later, by the settings `es_*` and `hnsw_*`."""

    def __init__(self, settings: Settings | None = None, *, clock: Callable[[], float] = time.time):
        super().__init__(ElasticsearchDriver(settings or Settings()), clock=clock)
