"""Chroma: in this process, in a directory, or on a server."""

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from medha_core.backends.driver import Driver, Nearest, Where
from medha_core.backends.foreign import ForeignBackend
from medha_core.backends.naming import digest, space_name
from medha_core.backends.paging import order_of, page_by_ranges
from medha_core.backends.record import FIELDS, Record, fields_of, record_from
from medha_core.errors import ConfigurationError
from medha_core.settings import Settings

try:
    import chromadb
    import httpx
    from chromadb.config import Settings as ChromaSettings
    from chromadb.errors import InternalError, NotFoundError
except ImportError as error:
    raise ConfigurationError(
        "backend_type 'chroma' needs chromadb: pip install 'medha-core[chroma]'"
    ) from error

__all__ = ["ChromaBackend"]

_TENANT = "default_tenant"
_KEYS_AT_ONCE = 200
_TIMEOUT = 30.0
"""Seconds a server may take."""


class ChromaDriver(Driver):
    """A Chroma collection for each of ours, and one for the notes.

    Chroma sorts nothing, so pages are made from ranges of a number that every record carries.
    """

    engine = "chroma"
    # A server says InternalError of a collection that it is just making, too.
    lost = (ConnectionError, httpx.TransportError, InternalError)
    name_limit = 120
    together = 100

    def __init__(self, settings: Settings):
        self._settings = settings
        self._client: Any = None
        self._own_database: str | None = None
        self._notes_name = space_name(self.prefix, "\0notes")
        self._held: dict[str, Any] = {}
        self._counting = threading.Lock()
        self.serial = settings.chroma_mode != "http"

    def describe(self) -> str:
        settings = self._settings
        places = {
            "ephemeral": "in memory",
            "persistent": settings.chroma_persist_path,
            "http": f"{settings.chroma_host}:{settings.chroma_port}",
        }
        return places[settings.chroma_mode]

    # life

    def open(self) -> None:
        settings, quiet = self._settings, {"anonymized_telemetry": False}
        if settings.chroma_mode == "persistent":
            self._client = chromadb.PersistentClient(
                settings.chroma_persist_path, settings=ChromaSettings(**quiet)
            )
        elif settings.chroma_mode == "http":
            token = settings.chroma_auth_token
            self._client = chromadb.HttpClient(
                host=settings.chroma_host,
                port=settings.chroma_port,
                ssl=settings.chroma_ssl,
                headers={"Authorization": f"Bearer {token.get_secret_value()}"} if token else None,
                settings=ChromaSettings(**quiet),
            )
            # Chroma itself would wait for ever.
            for session in _sessions(self._client):
                session.timeout = httpx.Timeout(_TIMEOUT)
        else:
            self._client = self._ephemeral(ChromaSettings(**quiet))
        self.batch = min(self.batch, self._client.get_max_batch_size())

    def _ephemeral(self, settings: Any) -> Any:
        """All ephemeral clients of a process share one store; a database keeps this one apart."""
        client = chromadb.EphemeralClient(settings=settings)
        self._own_database = f"medha_{uuid.uuid4().hex}"
        admin = chromadb.AdminClient.from_system(client._system)
        admin.create_database(self._own_database, _TENANT)
        client.set_database(self._own_database)
        return client

    def close(self) -> None:
        client, self._client, self._held = self._client, None, {}
        if client is None:
            return
        if self._own_database is not None:
            for collection in client.list_collections():
                client.delete_collection(collection.name)
            admin = chromadb.AdminClient.from_system(client._system)
            admin.delete_database(self._own_database, _TENANT)
            self._own_database = None
        client.close()
        if self._settings.chroma_mode == "http":
            for session in _sessions(client):  # which Chroma leaves open
                session.close()

    def _collection(self, name: str) -> Any:
        if name not in self._held:
            self._held[name] = self._client.get_collection(name, embedding_function=None)
        return self._held[name]

    # notes

    @property
    def _notes(self) -> Any:
        if self._notes_name not in self._held:
            self._held[self._notes_name] = self._client.get_or_create_collection(
                self._notes_name, embedding_function=None
            )
        return self._held[self._notes_name]

    def read_note(self, space: str, kind: str) -> str | None:
        found = self._notes.get(ids=[digest(space, kind).hex()], include=["metadatas"])
        return found["metadatas"][0]["body"] if found["ids"] else None

    def write_note(self, space: str, kind: str, text: str) -> None:
        note = {"space": space, "kind": kind, "body": text}
        self._notes.upsert(ids=[digest(space, kind).hex()], embeddings=[[1.0]], metadatas=[note])

    def notes(self, kind: str) -> list[str]:
        found = self._notes.get(where={"kind": kind}, include=["metadatas"])
        return [note["body"] for note in found["metadatas"]]

    # spaces

    def create(self, space: str, dimension: int) -> None:
        settings = self._settings
        self._held[space] = self._client.get_or_create_collection(
            space,
            embedding_function=None,
            configuration={
                "hnsw": {
                    "space": "cosine",
                    "max_neighbors": settings.hnsw_m,
                    "ef_construction": settings.hnsw_ef_construct,
                    "ef_search": 200,
                }
            },
        )

    def drop(self, space: str) -> None:
        self._held.pop(space, None)
        try:
            self._client.delete_collection(space)
        except NotFoundError:
            return
        self._notes.delete(where={"space": space})

    # records

    def write(self, space: str, records: Sequence[Record]) -> None:
        self._collection(space).upsert(
            ids=[record.key for record in records],
            embeddings=[record.vector for record in records],
            metadatas=[{**fields_of(record), "order": order_of(record.key)} for record in records],
        )

    def nearest(self, space: str, vectors: np.ndarray, limit: int, where: Where) -> list[Nearest]:
        found = self._collection(space).query(
            query_embeddings=list(vectors),
            n_results=limit,
            where=_where(where),
            include=["metadatas", "distances"],
        )
        answers = zip(found["ids"], found["metadatas"], found["distances"], strict=True)
        near = [_near(zip(*answer, strict=True)) for answer in answers]
        if all(len(one) == limit for one in near):
            return near
        # The graph may not lead to what a filter lets through; few are left over then, and all are compared.
        records = self._get(space, _where(where), True)
        compared = zip(near, vectors, strict=True)
        return [one if len(one) == limit else _compared(records, vector, limit) for one, vector in compared]

    def select(self, space: str, where: Where, limit: int, with_vectors: bool = False) -> list[Record]:
        if where.keys:
            return self._by_keys(space, where, limit, with_vectors)
        if where.any_of or where.all_of or where.expired_at is not None:
            # Few records are looked up so: they are sorted here.
            found = sorted(self._get(space, _where(where), with_vectors), key=_key)
            return [record for record in found if record.key > where.after][:limit]

        def between(low: int, high: int) -> list[Record]:
            bounds = {"$and": [{"order": {"$gte": low}}, {"order": {"$lt": high}}]}
            return self._get(space, bounds, with_vectors)

        return page_by_ranges(between, where.after, limit, self.count(space))

    def _by_keys(self, space: str, where: Where, limit: int, with_vectors: bool) -> list[Record]:
        keys = sorted(key for key in where.keys if key > where.after)
        found: list[Record] = []
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            records = self._get(space, None, with_vectors, ids=keys[start : start + _KEYS_AT_ONCE])
            found += [record for record in records if where.holds(record)]
        return sorted(found, key=_key)[:limit]

    def _get(
        self, space: str, condition: Any, with_vectors: bool, ids: list[str] | None = None
    ) -> list[Record]:
        include = ["metadatas", "embeddings"] if with_vectors else ["metadatas"]
        found = self._collection(space).get(ids=ids, where=condition, include=include)
        vectors = found["embeddings"] if with_vectors else [None] * len(found["ids"])
        rows = zip(found["ids"], found["metadatas"], vectors, strict=True)
        return [record_from(*row) for row in rows if _is_whole(row[1])]

    def count(self, space: str) -> int:
        return int(self._collection(space).count())

    def delete(self, space: str, keys: Sequence[str]) -> None:
        if keys:
            self._collection(space).delete(ids=list(keys))

    def add_feedback(self, space: str, key: str, correct: bool) -> int:
        """Read and written in turn: of two processes that count at once, one may be lost."""
        name = "correct" if correct else "incorrect"
        with self._counting:
            found = self._collection(space).get(ids=[key], include=["metadatas"])
            if not found["ids"]:
                return 0
            value = int(found["metadatas"][0][name]) + 1
            self._collection(space).update(ids=[key], metadatas=[{name: value}])
            return value


def _sessions(client: Any) -> list[Any]:
    """The HTTP clients of Chroma's own client, and of the one it keeps for administration."""
    return [one._server._session for one in (client, client._admin_client)]


def _key(record: Record) -> str:
    return record.key


def _is_whole(held: Any) -> bool:
    """Whether a row has all its fields: Chroma gives some or none of one just written or deleted."""
    return bool(held) and held.keys() >= set(FIELDS)


def _near(rows: Iterable[tuple[str, Any, float]]) -> Nearest:
    """One answer of a query."""
    return [(record_from(key, held), 1.0 - distance) for key, held, distance in rows if _is_whole(held)]


def _compared(records: Sequence[Record], vector: np.ndarray, limit: int) -> Nearest:
    """The records nearest to a vector, of all of them."""
    scored = [(record, float(record.vector @ vector)) for record in records if record.vector is not None]
    return sorted(scored, key=lambda pair: -pair[1])[:limit]


def _where(where: Where) -> Any:
    parts: list[Any] = [{"tags": {"$contains": tag}} for tag in where.all_of]
    if where.any_of:
        parts.append(_either([{"tags": {"$contains": tag}} for tag in where.any_of], "$or"))
    if where.alive_at is not None:
        parts.append({"expires": {"$gt": float(where.alive_at)}})
    if where.expired_at is not None:
        parts.append({"expires": {"$lte": float(where.expired_at)}})
    return _either(parts, "$and") if parts else None


def _either(parts: list[Any], operator: str) -> Any:
    """Chroma wants two conditions at least."""
    return parts[0] if len(parts) == 1 else {operator: parts}


class ChromaBackend(ForeignBackend):
    """Entries in Chroma, by the settings `chroma_*` and `hnsw_*`.

    `chroma_mode="ephemeral"` keeps them in this process until the store is closed.
    Feedback that several processes count at once may lose a count.
    """

    def __init__(self, settings: Settings | None = None, *, clock: Callable[[], float] = time.time):
        super().__init__(ChromaDriver(settings or Settings()), clock=clock)
