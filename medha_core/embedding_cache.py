"""Embeddings with a cache on disk, for programs that want nothing else: `embed` and `EmbeddingCache`."""

import asyncio
import atexit
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from medha_core.concurrency import forking
from medha_core.embedding import CachedEmbedder
from medha_core.errors import ArgumentTypeError, ArgumentValueError, ConfigurationError
from medha_core.interfaces.embedder import BaseEmbedder, check_text, known_dimension
from medha_core.tokens import check_length
from medha_core.vectors.file import VectorFile

__all__ = ["EmbeddingCache", "embed"]

DEFAULT_MODEL = "all-MiniLM-L6-v2"
_DEFAULT_DIR = "~/.cache/embedding-cache"
_PROVIDERS = ("local", "remote")


class EmbeddingCache:
    """Vectors of texts, computed once and kept in `{cache_dir}/cache.db`.

    Texts are stripped and put in lower case first, so that these differences give
    the same vector. What is not in the cache is computed by the first of
    `fallback_providers` that can: `local` is the model in this process, `remote`
    a service at `remote_url` that answers `POST /embed` (`medha serve`). The model
    is loaded with the first text. Safe to share between threads and event loops;
    several processes may use one directory.
    """

    def __init__(
        self,
        model: str | BaseEmbedder = DEFAULT_MODEL,
        cache_dir: str | os.PathLike[str] | None = None,
        remote_url: str | None = None,
        fallback_providers: Sequence[str] | None = None,
        timeout: float = 5.0,
        *,
        api_key: str | None = None,
        max_entries: int | None = 1_000_000,
        max_bytes: int | None = 2**30,
        ttl: float | None = None,
    ):
        """
        Args:
            model: one of the registry's models, or an embedder, which is closed with this object.
            cache_dir: `~` is expanded; None takes the environment variable
                `EMBEDDING_CACHE_DIR`, or `~/.cache/embedding-cache`.
            remote_url: None takes `EMBEDDING_CACHE_URL`; without either, or with "", nothing is asked for.
            fallback_providers: "local" and "remote" in the order in which they are asked; None: both.
            timeout: seconds that the service has.
            api_key: for the service; None takes `EMBEDDING_CACHE_API_KEY`.
            max_entries, max_bytes, ttl: limits of the cache, see `CachedEmbedder`.

        Raises `ConfigurationError` listing the known models for another model, and
        when no provider is left.
        """
        self._local = _local(model)
        self._timeout = _checked_timeout(timeout)
        self._api_key = api_key or os.environ.get("EMBEDDING_CACHE_API_KEY") or None
        self._chain = self._chained(_checked_providers(fallback_providers), _url(remote_url))
        self._is_loaded = False
        file = VectorFile(_path(cache_dir), max_entries=max_entries, max_bytes=max_bytes)
        self._cached = CachedEmbedder(
            self._with_migrated(file), file, max_entries=max_entries, max_bytes=max_bytes, ttl=ttl
        )

    def _chained(self, providers: Sequence[str], url: str | None) -> BaseEmbedder:
        # Imported here: adapters stand behind their extras.
        from medha_core.embeddings import FallbackEmbedder, RemoteEmbedder

        self._remote: RemoteEmbedder | None = None
        if url and "remote" in providers:
            self._remote = RemoteEmbedder(
                url,
                model=self.model,
                dimension=known_dimension(self._local),
                api_key=self._api_key,
                timeout=self._timeout,
                normalized=True,
            )
        members = {"local": self._local, "remote": self._remote}
        asked = [member for name in providers if (member := members[name]) is not None]
        if not asked:
            raise ConfigurationError(
                "fallback_providers: 'remote' needs remote_url or the variable EMBEDDING_CACHE_URL"
            )
        return FallbackEmbedder(asked)

    def _with_migrated(self, file: VectorFile) -> BaseEmbedder:
        """The chain, behind the vectors that were taken over from an older cache."""
        from medha_core.embeddings.migrated import MigratedEmbedder, old_names

        names = old_names(file, self.model)
        return MigratedEmbedder(self._chain, file, names) if names else self._chain

    def __repr__(self) -> str:
        return f"<EmbeddingCache {self.model!r}, {self._cached!r}>"

    @property
    def model(self) -> str:
        """The model's name."""
        return self._local.model_name

    @property
    def stats(self) -> dict[str, int]:
        """Texts since this object was made: `hits` and `misses` of the local cache, and `remote_hits`,
        misses that the service had in its own cache.
        """
        counts = self._cached.stats
        remote_hits = 0 if self._remote is None else self._remote.cache_hits
        return {"hits": counts["hits"], "misses": counts["misses"], "remote_hits": remote_hits}

    @overload
    def embed(self, text: str, *, is_document: bool = False) -> list[float]: ...
    @overload
    def embed(self, text: Sequence[str], *, is_document: bool = False) -> list[list[float]]: ...
    def embed(self, text: Any, *, is_document: bool = False) -> Any:
        """The vector of a text, or the vectors of a list of texts, in their order.

        Raises `ValueError` for an empty text or None and for one of more than about
        8,000 tokens, `TypeError` for what is no text, and `ProvidersFailedError`, a
        `RuntimeError`, when no provider can compute.
        """
        texts = _normalized(text)
        return _shaped(text, self._cached.embed_array(texts, is_document=is_document))

    @overload
    async def aembed(self, text: str, *, is_document: bool = False) -> list[float]: ...
    @overload
    async def aembed(self, text: Sequence[str], *, is_document: bool = False) -> list[list[float]]: ...
    async def aembed(self, text: Any, *, is_document: bool = False) -> Any:
        """`embed` without blocking the event loop."""
        texts = _normalized(text)
        if not self._is_loaded:
            # The key needs the fingerprint, which loads the model where there is no other provider.
            await asyncio.to_thread(lambda: self._chain.fingerprint)
            self._is_loaded = True
        return _shaped(text, await self._cached.aembed_array(texts, is_document=is_document))

    def info(self) -> dict[str, Any]:
        """What the file holds: path, entries, bytes, models."""
        return self._cached.info()

    def clear(self) -> None:
        """Forget every vector of every model in the file."""
        self._cached.clear()

    def close(self) -> None:
        """Release the file, the model and the connections. Closing twice is harmless."""
        self._cached.close()
        self._chain.close()

    def __enter__(self) -> "EmbeddingCache":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_shared: EmbeddingCache | None = None
_making = forking.lock()


@overload
def embed(text: str) -> list[float]: ...
@overload
def embed(text: Sequence[str]) -> list[list[float]]: ...
def embed(text: Any) -> Any:
    """The vector of a text, or the vectors of a list of texts, from one `EmbeddingCache` of this process.

    The environment is read at the first call. See `EmbeddingCache` for the settings and the errors.
    """
    global _shared
    with _making:
        if _shared is None:
            _shared = EmbeddingCache()
            atexit.register(_shared.close)
    return _shared.embed(text)


def default_path() -> Path:
    """The file that is used where no folder is named: in `EMBEDDING_CACHE_DIR`, or in the user's cache.

    A `~` in it is expanded where the file is opened.
    """
    return Path(os.environ.get("EMBEDDING_CACHE_DIR") or _DEFAULT_DIR) / "cache.db"


def _path(cache_dir: str | os.PathLike[str] | None) -> Path:
    if cache_dir is None:
        return default_path()
    if not isinstance(cache_dir, (str, os.PathLike)):
        raise ArgumentTypeError("cache_dir", "a path or None", cache_dir)
    return Path(cache_dir) / "cache.db"


def _url(remote_url: str | None) -> str | None:
    given: object = os.environ.get("EMBEDDING_CACHE_URL") if remote_url is None else remote_url
    named = "remote_url" if remote_url is not None else "EMBEDDING_CACHE_URL"
    if given is None or given == "":
        return None
    if not isinstance(given, str):
        raise ArgumentTypeError(named, "str or None", given)
    if not given.startswith(("http://", "https://")):
        raise ArgumentValueError(named, "an http:// or https:// address", given)
    return given


def _checked_timeout(timeout: float) -> float:
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise ArgumentTypeError("timeout", "a number of seconds", timeout)
    if not timeout > 0:
        raise ArgumentValueError("timeout", "more than 0 seconds", timeout)
    return timeout


def _local(model: str | BaseEmbedder) -> BaseEmbedder:
    """The embedder that was given, or one that is made with the first text."""
    if isinstance(model, BaseEmbedder):
        return model
    from medha_core.embeddings.lazy import LazyEmbedder
    from medha_core.embeddings.registry import make_embedder, model_config

    config = model_config(model)
    return LazyEmbedder(lambda: make_embedder(config.name), config.name, config.dimension)


def _checked_providers(providers: Sequence[str] | None) -> Sequence[str]:
    if providers is None:
        return _PROVIDERS
    is_list = isinstance(providers, (list, tuple))
    if not is_list or not providers or not all(name in _PROVIDERS for name in providers):
        raise ArgumentValueError("fallback_providers", "a list of 'local' and 'remote'", providers)
    return tuple(dict.fromkeys(providers))


def _normalized(text: Any) -> list[str]:
    """The texts to embed, checked."""
    if isinstance(text, str):
        return [_normal(text, "text")]
    if text is None:
        raise ArgumentValueError("text", "a text or a list of texts", text)
    if not isinstance(text, (list, tuple)):
        raise ArgumentTypeError("text", "str or a list of str", text)
    return [_normal(one, f"text[{row}]") for row, one in enumerate(text)]


def _normal(text: Any, argument: str) -> str:
    if text is None:
        raise ArgumentValueError(argument, "a non-empty text", text)
    check_text(text, argument)
    check_length(text, argument)
    return text.strip().lower()


def _shaped(asked: Any, vectors: np.ndarray) -> Any:
    return vectors[0].tolist() if isinstance(asked, str) else vectors.tolist()
