"""The engines that tests run against: how each is started, and how a test gets a store on it.

A harness makes stores that are empty at first. `real` says whether the engine itself runs
or a small server of ours that speaks its protocol.
"""

import uuid

import asyncpg
import pytest
from proxy import Proxy

from medha_core import Settings
from medha_core.backends.azure_search import AzureSearchBackend
from medha_core.backends.chroma import ChromaBackend
from medha_core.backends.elasticsearch import ElasticsearchBackend
from medha_core.backends.lancedb import LanceDBBackend
from medha_core.backends.pgvector import PgVectorBackend
from medha_core.backends.qdrant import QdrantBackend
from medha_core.backends.redis_vector import RedisVectorBackend
from medha_core.backends.vectorchord import VectorChordBackend, VectorChordDriver
from medha_core.backends.weaviate import WeaviateBackend


def settings(**given):
    return Settings(_env_file=None, **given)


class Harness:
    """One engine, for one test."""

    name = ""
    real = True
    shared = True
    """Whether two stores can be open on the same data."""
    rows = 10_000
    """What the test of many rows writes."""

    def __init__(self, server, folder):
        self.server, self.folder = server, folder
        self.id = f"t{uuid.uuid4().hex[:12]}"

    def make(self, **options):
        raise NotImplementedError

    async def break_connections(self):
        """Cut what the open stores are connected by."""
        pytest.skip(f"{self.name} runs in the process: there is no connection")

    async def clean(self):
        pass


class Pgvector(Harness):
    name = "pgvector"
    backend = PgVectorBackend

    def settings(self, **more):
        return settings(pg_dsn=self.server.url, pg_schema=self.id, pg_pool_min_size=1, **more)

    def make(self, **options):
        return self.backend(self.settings(), **options)

    async def break_connections(self):
        await self.admin(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )

    async def admin(self, statement):
        connection = await asyncpg.connect(self.server.url)
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()

    async def clean(self):
        await self.admin(f"DROP SCHEMA IF EXISTS {self.id} CASCADE")


class QdrantLocal(Harness):
    name = "qdrant"
    shared = False

    def make(self, **options):
        return QdrantBackend(settings(), **options)


class LanceDB(Harness):
    name = "lancedb"
    metric = "cosine"

    def make(self, **options):
        given = settings(lancedb_uri=str(self.folder / "lance"), lancedb_metric=self.metric)
        return LanceDBBackend(given, **options)


class Chroma(Harness):
    name = "chroma"

    def make(self, **options):
        given = settings(chroma_mode="persistent", chroma_persist_path=str(self.folder / "chroma"))
        return ChromaBackend(given, **options)


class Proxied(Harness):
    """An engine on a port: a relay before it lets tests cut connections."""

    def __init__(self, server, folder):
        super().__init__(server, folder)
        self.proxy = Proxy(server.port)

    async def break_connections(self):
        self.proxy.cut()

    async def clean(self):
        self.proxy.down()


class RedisVectorSets(Proxied):
    name = "redis"
    rows = 3000  # the double adds an element in linear time

    def make(self, **options):
        given = settings(redis_url=f"redis://127.0.0.1:{self.proxy.port}/0", redis_key_prefix=self.id)
        return RedisVectorBackend(given, **options)


class Elasticsearch(Proxied):
    name = "elasticsearch"
    real = False
    rows = 2000

    def make(self, **options):
        given = settings(es_hosts=[f"http://127.0.0.1:{self.proxy.port}"], es_index_prefix=self.id)
        return ElasticsearchBackend(given, **options)


class RediSearch(RedisVectorSets):
    name = "redisearch"
    real = False
    rows = 1000


class QdrantServer(Proxied):
    name = "qdrant-server"
    real = False
    rows = 1000

    def make(self, **options):
        given = settings(qdrant_mode="docker", qdrant_url=f"http://127.0.0.1:{self.proxy.port}")
        store = QdrantBackend(given, **options)
        store._driver.prefix = self.id  # all tests share the server
        store._driver._notes = store._driver.space("notes")
        return store


class ChromaHttp(Proxied):
    name = "chroma-http"
    rows = 3000

    def make(self, **options):
        given = settings(chroma_mode="http", chroma_host="127.0.0.1", chroma_port=self.proxy.port)
        store = ChromaBackend(given, **options)
        store._driver.prefix = self.id
        store._driver._notes_name = store._driver.space("notes")
        return store


class VectorChord(Pgvector):
    """The statements run in a real PostgreSQL; an index method of the name is made of pgvector's."""

    name = "vectorchord"
    real = False
    rows = 2000

    def make(self, **options):
        store = VectorChordBackend(self.settings(), **options)
        store._driver = StandInForVectorChord(self.settings())
        return store


class StandInForVectorChord(VectorChordDriver):
    extensions = ("vector",)

    async def _install(self, connection):
        await super()._install(connection)
        if await connection.fetchval("SELECT 1 FROM pg_am WHERE amname = 'vchordrq'") is None:
            await connection.execute(
                "CREATE ACCESS METHOD vchordrq TYPE INDEX HANDLER hnswhandler; "
                "CREATE OPERATOR CLASS vector_cosine_ops FOR TYPE vector USING vchordrq AS "
                "OPERATOR 1 <=> (vector, vector) FOR ORDER BY float_ops, "
                "FUNCTION 1 vector_negative_inner_product(vector, vector), FUNCTION 2 vector_norm(vector)"
            )

    def index(self, *arguments):
        # Only the options are VectorChord's own; another test reads them.
        head, _, tail = super().index(*arguments).partition("WITH (options")
        return f"{head} {tail[tail.index(') WHERE') + 1 :]}"


class Azure(Proxied):
    name = "azure-search"
    real = False
    rows = 1000

    def make(self, **options):
        given = settings(
            azure_search_endpoint=f"http://127.0.0.1:{self.proxy.port}",
            azure_search_api_key="secret",
            azure_search_index_name=self.id,
        )
        return AzureSearchBackend(given, **options)


class Weaviate(Proxied):
    name = "weaviate"
    real = False
    rows = 1000

    def __init__(self, server, folder):
        super().__init__(server, folder)
        self.grpc_proxy = Proxy(server.grpc_port)

    def make(self, **options):
        given = settings(
            weaviate_host="127.0.0.1",
            weaviate_http_port=self.proxy.port,
            weaviate_grpc_port=self.grpc_proxy.port,
            weaviate_collection_prefix=self.id,
        )
        return WeaviateBackend(given, **options)

    async def break_connections(self):
        self.proxy.cut()
        self.grpc_proxy.cut()

    async def clean(self):
        await super().clean()
        self.grpc_proxy.down()


ENGINES = (
    (Weaviate, "stand_in_weaviate"),
    (Azure, "stand_in_azure"),
    (RediSearch, "stand_in_redisearch"),
    (QdrantServer, "stand_in_qdrant"),
    (ChromaHttp, "chroma_server"),
    (VectorChord, "postgres"),
    (Elasticsearch, "stand_in_elasticsearch"),
    (RedisVectorSets, "vector_redis"),
    (Pgvector, "postgres"),
    (QdrantLocal, None),
    (LanceDB, None),
    (Chroma, None),
)
HARNESSES = {one.name: (one, server) for one, server in ENGINES}
