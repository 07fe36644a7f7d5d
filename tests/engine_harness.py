"""The engines that tests run against: how each is started, and how a test gets a store on it.

A harness makes stores that are empty at first. `server_is` says whether the engine itself runs
or a small server that speaks its protocol.
"""

import functools
import time
import uuid
from typing import ClassVar

import pytest
from proxy import Proxy

from medha_core import ConfigurationError, Settings
from medha_core.engines import make_backend


def store_on(engine, clock=time.time, **given):
    """A store on an engine, by its settings."""
    made = make_backend(Settings(_env_file=None, backend_type=engine, **given))
    made._clock = clock
    return made


def client_of(kind):
    """Whether an engine's client is installed, and what is missing."""
    try:
        store_on(kind.engine or kind.name, **kind.chosen)
    except ConfigurationError as error:
        return False, str(error)
    return True, ""


class Harness:
    """One engine, for one test."""

    name = ""
    engine = ""
    """Its `backend_type`, where that is not its name."""
    chosen: ClassVar = {}
    """Settings beside it that choose the engine."""
    server_is = "real"
    """The engine itself, a "double" by others, or "ours"."""
    shared = True
    """Whether two stores can be open on the same data."""

    @property
    def kind(self):
        """Its `backend_type`."""
        return self.engine or self.name

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


class Proxied(Harness):
    """An engine behind a relay, which cuts connections and counts round trips."""

    together = True
    """Whether it takes several searches in one request."""

    @property
    def address(self):
        return self.server.port

    def __init__(self, server, folder):
        super().__init__(server, folder)
        self.proxy = Proxy(self.address)

    @property
    def proxies(self):
        return [self.proxy]

    async def break_connections(self):
        for proxy in self.proxies:
            proxy.cut()

    async def clean(self):
        for proxy in self.proxies:
            proxy.down()


class Pgvector(Proxied):
    name = "pgvector"

    @property
    def address(self):
        return str(self.server.folder / ".s.PGSQL.5432")

    def make(self, **options):
        dsn = f"postgresql://postgres@127.0.0.1:{self.proxy.port}/postgres"
        return store_on(self.name, pg_dsn=dsn, pg_schema=self.id, pg_pool_min_size=1, **options)

    async def break_connections(self):
        await self.admin(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )

    async def admin(self, statement):
        import asyncpg

        connection = await asyncpg.connect(self.server.url)
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()

    async def clean(self):
        await self.admin(f"DROP SCHEMA IF EXISTS {self.id} CASCADE")
        await super().clean()


class QdrantLocal(Harness):
    name = "qdrant"
    shared = False

    def make(self, **options):
        return store_on("qdrant", **options)


class QdrantEdge(Harness):
    name = "qdrant-edge"
    engine = "qdrant"
    chosen: ClassVar = {"qdrant_mode": "edge"}
    shared = False

    def make(self, **options):
        path = str(self.folder / "qdrant")
        return store_on(self.engine, qdrant_path=path, **self.chosen, **options)


class LanceDB(Harness):
    name = "lancedb"
    metric = "cosine"

    def make(self, **options):
        uri = str(self.folder / "lance")
        return store_on("lancedb", lancedb_uri=uri, lancedb_metric=self.metric, **options)


class Chroma(Harness):
    name = "chroma"

    def make(self, **options):
        path = str(self.folder / "chroma")
        return store_on("chroma", chroma_mode="persistent", chroma_persist_path=path, **options)


class RedisVectorSets(Proxied):
    name = "redis"
    server_is = "double"

    def make(self, **options):
        url = f"redis://127.0.0.1:{self.proxy.port}/0"
        # A busy machine is no failure.
        patient = {"redis_socket_timeout": 60.0, "redis_socket_connect_timeout": 60.0}
        return store_on("redis", redis_url=url, redis_key_prefix=self.id, **patient, **options)


class Elasticsearch(Proxied):
    name = "elasticsearch"
    server_is = "ours"

    def make(self, **options):
        hosts = [f"http://127.0.0.1:{self.proxy.port}"]
        return store_on("elasticsearch", es_hosts=hosts, es_index_prefix=self.id, **options)


class RediSearch(RedisVectorSets):
    name = "redisearch"
    engine = "redis"
    server_is = "ours"


class QdrantServer(Proxied):
    name = "qdrant-server"
    engine = "qdrant"
    server_is = "ours"

    def make(self, **options):
        url = f"http://127.0.0.1:{self.proxy.port}"
        store = store_on("qdrant", qdrant_mode="docker", qdrant_url=url, **options)
        store._driver.prefix = self.id  # all tests share the server
        store._driver._notes = store._driver.space("notes")
        return store


class ChromaHttp(Proxied):
    name = "chroma-http"
    engine = "chroma"

    def make(self, **options):
        at = {"chroma_host": "127.0.0.1", "chroma_port": self.proxy.port}
        store = store_on("chroma", chroma_mode="http", **at, **options)
        store._driver.prefix = self.id
        store._driver._notes_name = store._driver.space("notes")
        return store


class VectorChord(Pgvector):
    """The statements run in a real PostgreSQL; an index method of the name is made of pgvector's."""

    name = "vectorchord"
    server_is = "ours"

    def make(self, **options):
        store = super().make(**options)
        store._driver.__class__ = _standing_in(type(store._driver))
        return store


@functools.cache
def _standing_in(driver):
    """A driver of VectorChord for a server that lacks it."""

    class StandIn(driver):
        extensions = ("vector",)

        async def _install(self, connection):
            await super()._install(connection)
            if await connection.fetchval("SELECT 1 FROM pg_am WHERE amname = 'vchordrq'") is None:
                await connection.execute(
                    "CREATE ACCESS METHOD vchordrq TYPE INDEX HANDLER hnswhandler; "
                    "CREATE OPERATOR CLASS vector_cosine_ops FOR TYPE vector USING vchordrq AS "
                    "OPERATOR 1 <=> (vector, vector) FOR ORDER BY float_ops, "
                    "FUNCTION 1 vector_negative_inner_product(vector, vector), "
                    "FUNCTION 2 vector_norm(vector)"
                )

        def index(self, *arguments):
            # Only the options are VectorChord's own; another test reads them.
            head, _, tail = super().index(*arguments).partition("WITH (options")
            return f"{head} {tail[tail.index(') WHERE') + 1 :]}"

    return StandIn


class Azure(Proxied):
    name = "azure-search"
    server_is = "ours"
    together = False

    def make(self, **options):
        return store_on(
            "azure-search",
            azure_search_endpoint=f"http://127.0.0.1:{self.proxy.port}",
            azure_search_api_key="secret",
            azure_search_index_name=self.id,
            **options,
        )


class Weaviate(Proxied):
    name = "weaviate"
    server_is = "ours"
    together = False

    def __init__(self, server, folder):
        super().__init__(server, folder)
        self.grpc_proxy = Proxy(server.grpc_port)

    def make(self, **options):
        return store_on(
            "weaviate",
            weaviate_host="127.0.0.1",
            weaviate_http_port=self.proxy.port,
            weaviate_grpc_port=self.grpc_proxy.port,
            weaviate_collection_prefix=self.id,
            **options,
        )

    @property
    def proxies(self):
        return [self.proxy, self.grpc_proxy]


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
    (QdrantEdge, None),
    (LanceDB, None),
    (Chroma, None),
)
HARNESSES = {one.name: (one, server) for one, server in ENGINES}
