"""Azure AI Search: an index a collection, with vector search over float32."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from medha_core.backends.driver import Driver, Nearest, Where
from medha_core.backends.foreign import ForeignBackend
from medha_core.backends.naming import digest, space_name
from medha_core.backends.record import FIELDS, Record, fields_of, numbers, packed, record_from, unpacked
from medha_core.errors import ConfigurationError
from medha_core.settings import Settings

try:
    from azure.core.credentials import AzureKeyCredential
    from azure.core.exceptions import ResourceNotFoundError, ServiceRequestError, ServiceResponseError
    from azure.search.documents import SearchClient
    from azure.search.documents.indexes import SearchIndexClient
    from azure.search.documents.indexes.models import (
        HnswAlgorithmConfiguration,
        HnswParameters,
        SearchField,
        SearchIndex,
        VectorSearch,
        VectorSearchProfile,
    )
    from azure.search.documents.models import VectorizedQuery
except ImportError as error:
    raise ConfigurationError(
        "backend_type 'azure-search' needs azure-search-documents: pip install 'medha-core[azure-search]'"
    ) from error

__all__ = ["AzureSearchBackend"]

_TOP = 1000
"""Documents that the service takes or gives at once."""
_SHOWN = ["key", *FIELDS]


class AzureSearchDriver(Driver):
    """Documents by key. The service makes what was written searchable a moment later."""

    engine = "azure-search"
    lost = (ConnectionError, ServiceRequestError, ServiceResponseError)
    separator = "-"
    name_limit = 120
    batch = 500

    def __init__(self, settings: Settings):
        self._settings = settings
        self.prefix = settings.azure_search_index_name
        self._notes_index = space_name(self.prefix, "\0notes", separator="-", limit=self.name_limit)
        self._indexes: Any = None
        self._clients: dict[str, Any] = {}
        self._counting = threading.Lock()

    def describe(self) -> str:
        return self._settings.azure_search_endpoint

    # life

    def open(self) -> None:
        if not self._settings.azure_search_endpoint or self._settings.azure_search_api_key is None:
            raise ConfigurationError("azure-search needs azure_search_endpoint and azure_search_api_key")
        self._indexes = SearchIndexClient(**self._access())
        fields = [
            _field("key", "Edm.String", key=True),
            _field("space", "Edm.String", filterable=True),
            _field("kind", "Edm.String", filterable=True),
            _field("body", "Edm.String"),
        ]
        self._create(SearchIndex(name=self._notes_index, fields=fields))

    def _access(self) -> dict[str, Any]:
        key = self._settings.azure_search_api_key
        return {
            "endpoint": self._settings.azure_search_endpoint,
            "credential": AzureKeyCredential(key.get_secret_value() if key else ""),
            "api_version": self._settings.azure_search_api_version,
            # By itself the client would try for minutes.
            "retry_total": 2,
            "connection_timeout": 10,
            "read_timeout": 30,
        }

    def close(self) -> None:
        clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()
        if self._indexes is not None:
            self._indexes.close()
            self._indexes = None

    def _documents(self, index: str) -> Any:
        if index not in self._clients:
            self._clients[index] = SearchClient(index_name=index, **self._access())
        return self._clients[index]

    def _create(self, index: SearchIndex) -> None:
        try:
            self._indexes.get_index(index.name)
        except ResourceNotFoundError:
            self._indexes.create_or_update_index(index)

    # notes

    def read_note(self, space: str, kind: str) -> str | None:
        try:
            found = self._documents(self._notes_index).get_document(digest(space, kind).hex())
        except ResourceNotFoundError:
            return None
        return str(found["body"])

    def write_note(self, space: str, kind: str, text: str) -> None:
        note = {"key": digest(space, kind).hex(), "space": space, "kind": kind, "body": text}
        self._documents(self._notes_index).upload_documents([note])

    def notes(self, kind: str) -> list[str]:
        found = self._documents(self._notes_index).search(search_text="*", filter=f"kind eq '{kind}'")
        return [note["body"] for note in found]

    # spaces

    def create(self, space: str, dimension: int) -> None:
        settings = self._settings
        fields = [
            _field("key", "Edm.String", key=True, filterable=True, sortable=True),
            _field("tags", "Collection(Edm.String)", filterable=True),
            _field("expires", "Edm.Double", filterable=True),
            _field("body", "Edm.String"),
            _field("correct", "Edm.Int32"),
            _field("incorrect", "Edm.Int32"),
            # The vector once more, as it is read back bit for bit.
            _field("raw", "Edm.String"),
            SearchField(
                name="vector",
                type="Collection(Edm.Single)",
                searchable=True,
                vector_search_dimensions=dimension,
                vector_search_profile_name="cosine",
            ),
        ]
        parameters = HnswParameters(
            m=min(10, max(4, settings.hnsw_m)),
            ef_construction=min(1000, max(100, settings.hnsw_ef_construct)),
            ef_search=500,
            metric="cosine",
        )
        vectors = VectorSearch(
            algorithms=[HnswAlgorithmConfiguration(name="hnsw", parameters=parameters)],
            profiles=[VectorSearchProfile(name="cosine", algorithm_configuration_name="hnsw")],
        )
        self._create(SearchIndex(name=space, fields=fields, vector_search=vectors))

    def drop(self, space: str) -> None:
        client = self._clients.pop(space, None)
        if client is not None:
            client.close()
        self._indexes.delete_index(space)
        keys = [{"key": digest(space, kind).hex()} for kind in ("collection", "stats")]
        self._documents(self._notes_index).delete_documents(keys)

    # records

    def write(self, space: str, records: Sequence[Record]) -> None:
        documents = [
            {
                "key": record.key,
                **fields_of(record),
                "raw": packed(record.vector),
                "vector": numbers(record.vector),
            }
            for record in records
        ]
        self._documents(space).upload_documents(documents)

    def nearest(self, space: str, vectors: np.ndarray, limit: int, where: Where) -> list[Nearest]:
        (vector,) = vectors
        k = min(limit, _TOP)
        query = VectorizedQuery(
            vector=vector.tolist(),
            k_nearest_neighbors=max(k, self._settings.azure_search_top_k_candidates),
            fields="vector",
        )
        found = self._documents(space).search(
            search_text=None,
            vector_queries=[query],
            vector_filter_mode="preFilter",
            filter=_filter(where),
            top=k,
            select=_SHOWN,
        )
        # Its score is 1 / (1 + distance), and the distance 1 - cosine.
        return [[(_record(held), 2.0 - 1.0 / held["@search.score"]) for held in found]]

    def select(self, space: str, where: Where, limit: int, with_vectors: bool = False) -> list[Record]:
        records: list[Record] = []
        while len(records) < limit:
            size = min(limit - len(records), _TOP)
            found = self._documents(space).search(
                search_text="*",
                filter=_filter(where),
                order_by=["key asc"],
                top=size,
                select=[*_SHOWN, "raw"] if with_vectors else _SHOWN,
            )
            page = [_record(held) for held in found]
            records += page
            if len(page) < size:
                break
            where = where._replace(after=page[-1].key)
        return records

    def count(self, space: str) -> int:
        return int(self._documents(space).get_document_count())

    def delete(self, space: str, keys: Sequence[str]) -> None:
        if keys:
            self._documents(space).delete_documents([{"key": key} for key in keys])

    def add_feedback(self, space: str, key: str, correct: bool) -> int:
        """Read and written in turn: of two processes that count at once, one may be lost."""
        name, documents = "correct" if correct else "incorrect", self._documents(space)
        with self._counting:
            try:
                value = int(documents.get_document(key, selected_fields=[name])[name]) + 1
            except ResourceNotFoundError:
                return 0
            documents.merge_documents([{"key": key, name: value}])
            return value


def _field(name: str, kind: str, **given: bool) -> SearchField:
    return SearchField(
        name=name, type=kind, **{"searchable": False, "facetable": False, "sortable": False, **given}
    )


def _filter(where: Where) -> str | None:
    """OData; tags and keys are letters and digits, so there is nothing to quote."""
    parts = [f"tags/any(tag: tag eq '{tag}')" for tag in where.all_of]
    if where.any_of:
        parts.append(f"tags/any(tag: search.in(tag, '{','.join(where.any_of)}', ','))")
    if where.keys:
        parts.append(f"search.in(key, '{','.join(where.keys)}', ',')")
    if where.after:
        parts.append(f"key gt '{where.after}'")
    if where.alive_at is not None:
        parts.append(f"expires gt {float(where.alive_at)!r}")
    if where.expired_at is not None:
        parts.append(f"expires le {float(where.expired_at)!r}")
    return " and ".join(parts) or None


def _record(held: Mapping[str, Any]) -> Record:
    return record_from(held["key"], held, unpacked(held.get("raw")))


class AzureSearchBackend(ForeignBackend):
    """Entries in Azure AI Search, by the settings `azure_search_*` and `hnsw_*`.

    The service indexes in the background: what was stored is found after a moment.
    Feedback that several processes count at once may lose a count.
    """

    def __init__(self, settings: Settings | None = None, *, clock: Callable[[], float] = time.time):
        super().__init__(AzureSearchDriver(settings or Settings()), clock=clock)
