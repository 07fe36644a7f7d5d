"""Stores by their addresses, as the command line takes them."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

from medha_core.embedded.backend import NativeBackend
from medha_core.engines import make_backend
from medha_core.errors import ConfigurationError, StorageError
from medha_core.interfaces import VectorStorageBackend
from medha_core.rows.database import Mode
from medha_core.settings import Settings

__all__ = ["ADDRESSES", "backend_at"]

ADDRESSES = """DIRECTORY, native:///DIRECTORY; postgresql://..., vectorchord+postgresql://...; \
qdrant://HOST:PORT, qdrant+https://HOST, qdrant:///DIRECTORY, qdrant+edge:///DIRECTORY; chroma://HOST:PORT, \
chroma+https://HOST, chroma:///DIRECTORY; lancedb:///DIRECTORY; redis://HOST:PORT/DB, rediss://...; \
elasticsearch://HOST:PORT, elasticsearch+https://...; weaviate://HOST:PORT; azure-search://NAME.search.windows.net"""
"""The forms an address may have; what it cannot say (keys, prefixes, schemas) comes from the settings."""


_DIRECTORIES = ("qdrant_path", "chroma_persist_path", "lancedb_uri")
"""Settings that may name a directory."""


def backend_at(url: str, settings: Settings, *, mode: Mode = "r+") -> VectorStorageBackend:
    """The store at an address, not opened yet.

    With `mode="r"` a directory must be there, so that none is made by asking; what
    else the mode says is for the embedded store.
    """
    scheme, found, rest = url.partition("://")
    if not found:
        return NativeBackend(url, mode=mode, settings=settings)
    if scheme in ("native", "file"):
        return NativeBackend(rest, mode=mode, settings=settings)
    engine, _, inner = scheme.partition("+")
    reader = _READERS.get(engine)
    if reader is None:
        raise ConfigurationError(f"address {scheme}://...: expected one of {ADDRESSES}")
    given = reader(urlsplit(f"{inner or engine}://{rest}"), inner)
    if mode == "r":
        _check_there(given)
    return make_backend(settings.model_copy(update=given))


def _check_there(given: Mapping[str, object]) -> None:
    for place in (str(given[name]) for name in _DIRECTORIES if given.get(name)):
        if "://" not in place and not Path(place).is_dir():
            raise StorageError(f"no store in {place}: there is no such directory")


def _postgres(at: SplitResult, _inner: str) -> dict[str, object]:
    return {"backend_type": "pgvector", "pg_dsn": SecretStr(at.geturl())}


def _vectorchord(at: SplitResult, inner: str) -> dict[str, object]:
    if inner not in ("postgres", "postgresql"):
        raise ConfigurationError("address: expected vectorchord+postgresql://...")
    return {"backend_type": "vectorchord", "pg_dsn": SecretStr(at.geturl())}


def _qdrant(at: SplitResult, inner: str) -> dict[str, object]:
    if not at.netloc:
        mode = "edge" if inner == "edge" else "memory"
        return {"backend_type": "qdrant", "qdrant_mode": mode, "qdrant_path": at.path, "qdrant_url": None}
    return {"backend_type": "qdrant", "qdrant_mode": "docker", "qdrant_url": _http(at, inner, 6333)}


def _chroma(at: SplitResult, inner: str) -> dict[str, object]:
    if not at.netloc:
        return {"backend_type": "chroma", "chroma_mode": "persistent", "chroma_persist_path": at.path}
    ssl = inner == "https"
    place = {"chroma_host": at.hostname, "chroma_port": at.port or (443 if ssl else 8000), "chroma_ssl": ssl}
    return {"backend_type": "chroma", "chroma_mode": "http", **place}


def _lancedb(at: SplitResult, inner: str) -> dict[str, object]:
    return {"backend_type": "lancedb", "lancedb_uri": at.geturl() if inner else f"{at.netloc}{at.path}"}


def _redis(at: SplitResult, _inner: str) -> dict[str, object]:
    return {"backend_type": "redis", "redis_mode": "standalone", "redis_url": at.geturl()}


def _elasticsearch(at: SplitResult, inner: str) -> dict[str, object]:
    return {"backend_type": "elasticsearch", "es_hosts": [_http(at, inner, 9200)]}


def _weaviate(at: SplitResult, inner: str) -> dict[str, object]:
    secure = inner == "https"
    place = {"weaviate_host": at.hostname, "weaviate_http_port": at.port or (443 if secure else 8080)}
    return {
        "backend_type": "weaviate",
        "weaviate_mode": "local",
        "weaviate_http_secure": secure,
        "weaviate_grpc_secure": secure,
        **place,
    }


def _azure(at: SplitResult, _inner: str) -> dict[str, object]:
    return {"backend_type": "azure-search", "azure_search_endpoint": f"https://{at.netloc}"}


def _http(at: SplitResult, inner: str, port: int) -> str:
    secure = inner == "https"
    netloc = at.netloc if at.port or secure else f"{at.netloc}:{port}"
    return f"{'https' if secure else 'http'}://{netloc}"


_READERS = {
    "postgres": _postgres,
    "postgresql": _postgres,
    "vectorchord": _vectorchord,
    "qdrant": _qdrant,
    "chroma": _chroma,
    "lancedb": _lancedb,
    "redis": _redis,
    "rediss": _redis,
    "elasticsearch": _elasticsearch,
    "weaviate": _weaviate,
    "azure-search": _azure,
}
