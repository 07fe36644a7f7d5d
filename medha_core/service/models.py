"""The models a service runs: named before they are loaded, loaded once, shared by everybody."""

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np

from medha_core.concurrency.inflight import done
from medha_core.embeddings.hashing import HashingEmbedder
from medha_core.embeddings.onnx import OnnxEmbedder
from medha_core.embeddings.registry import (
    EmbeddingModelConfig,
    EmbeddingProvider,
    known_models,
    make_embedder,
    model_config,
)
from medha_core.errors import (
    ArgumentTypeError,
    ConfigurationError,
    DimensionMismatchError,
    EmbeddingError,
    MedhaError,
    shown,
)
from medha_core.interfaces.embedder import BaseEmbedder, as_array, known_dimension, unit_rows

_PROBE = "How many orders were placed today?"
_OWN_BATCH = 100
_OWN_TOKENS = 8192

SHORTENS = frozenset({"text-embedding-3-small", "text-embedding-3-large", "gemini-embedding-001"})
"""Models trained so that the first numbers of a vector, scaled to length 1, are a vector too."""


class ServedModel(EmbeddingModelConfig):
    """What is known of a model; the provider of an embedder of your own is `own`."""

    provider: str  # type: ignore[assignment]


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to run."""

    config: ServedModel
    embedder: BaseEmbedder
    fingerprint: str
    dimension: int

    async def embed(self, texts: list[str], *, is_document: bool) -> np.ndarray:
        """Float32 (texts, dimension), computed off the event loop. Raises `EmbeddingError`."""
        try:
            vectors = as_array(await self._computed(texts, is_document))
            return unit_rows(vectors, len(texts), self.dimension)
        except DimensionMismatchError as error:
            raise EmbeddingError(f"the model {self.config.name}: {error}") from error
        except MedhaError:
            raise
        except Exception as error:  # an embedder may raise anything
            raise EmbeddingError(f"the model {self.config.name} raised {shown(error, 500)}") from error

    async def _computed(self, texts: list[str], is_document: bool) -> np.ndarray:
        if isinstance(self.embedder, HashingEmbedder):  # the one that computes where it is called
            return await asyncio.to_thread(self.embedder.embed_array, texts)
        return await self.embedder.aembed_array(texts, is_document=is_document)


class Models:
    """Loads each model when it is first asked for, in a thread, once for all who ask.

    Args:
        own: embedders of your own by the name they are asked for; they win over the table.
        options: what `make_embedder` passes on, by provider: API keys.
    """

    def __init__(
        self,
        own: Mapping[str, BaseEmbedder] | None = None,
        options: Mapping[str, Mapping[str, object]] | None = None,
    ):
        self._own = {name: _checked_own(name, embedder) for name, embedder in (own or {}).items()}
        self._options = {provider: dict(given) for provider, given in (options or {}).items()}
        self._lock = threading.Lock()  # guards the futures
        self._futures: dict[str, Future[LoadedModel]] = {}

    def __repr__(self) -> str:
        return f"<Models, {len(self.loaded())} loaded: {', '.join(self.loaded())}>"

    def configs(self) -> list[ServedModel]:
        """Every model that can be asked for, your own first."""
        own = [_own_config(name, embedder) for name, embedder in self._own.items()]
        return own + [_served(config) for config in known_models() if config.name not in self._own]

    def config(self, name: str) -> ServedModel:
        """The configuration of one; `ConfigurationError` lists the known ones for another name."""
        if not isinstance(name, str):
            raise ArgumentTypeError("model", "a model's name", name)
        if name in self._own:
            return _own_config(name, self._own[name])
        try:
            return _served(model_config(name))
        except ConfigurationError:
            known = ", ".join(config.name for config in self.configs())
            raise ConfigurationError(f"unknown model {name!r}: known are {known}") from None

    def loaded(self) -> list[str]:
        """The names of the models in memory."""
        with self._lock:
            ready = [name for name, future in self._futures.items() if future.done()]
        return [name for name in ready if self._futures[name].exception() is None]

    async def get(self, name: str) -> LoadedModel:
        """The model, loaded first if nobody asked for it before.

        A failure reaches everybody who waited for it, and the next one to ask tries again.
        """
        config = self.config(name)
        future = self._claimed(config)
        await done(future)
        return future.result()

    def _claimed(self, config: ServedModel) -> "Future[LoadedModel]":
        with self._lock:
            future = self._futures.get(config.name)
            if future is not None and not (future.done() and future.exception() is not None):
                return future
            # A thread of its own: whoever gives up waiting does not stop the load.
            pool = ThreadPoolExecutor(1, thread_name_prefix="medha-load")
            future = self._futures[config.name] = pool.submit(self._load, config)
            pool.shutdown(wait=False)
            return future

    def _load(self, config: ServedModel) -> LoadedModel:
        embedder = self._own.get(config.name)
        if embedder is None:
            embedder = make_embedder(config.name, **self._options.get(config.provider, {}))
        dimension = known_dimension(embedder) or len(embedder.embed(_PROBE))
        return LoadedModel(config, embedder, embedder.fingerprint, dimension)

    def close(self) -> None:
        """Close what was loaded here; embedders that were handed in stay open."""
        with self._lock:
            futures, self._futures = self._futures, {}
        for name, future in futures.items():
            close = None if name in self._own else getattr(_embedder(future), "close", None)
            if close is not None and not asyncio.iscoroutinefunction(close):
                close()


def _embedder(future: "Future[LoadedModel]") -> BaseEmbedder | None:
    return None if not future.done() or future.exception() else future.result().embedder


@cache
def _served(config: EmbeddingModelConfig) -> ServedModel:
    return ServedModel(**config.model_dump())


def _checked_own(name: str, embedder: object) -> BaseEmbedder:
    if not isinstance(embedder, BaseEmbedder):
        raise ArgumentTypeError(f"embedders[{name!r}]", "a BaseEmbedder", embedder)
    return embedder


def _own_config(name: str, embedder: BaseEmbedder) -> ServedModel:
    try:
        known = _served(model_config(name))
    except ConfigurationError:
        known = ServedModel(
            name=name,
            provider=_provider(embedder),
            dimension=0,
            max_batch_size=_OWN_BATCH,
            max_input_length=_OWN_TOKENS,
        )
    dimension = known_dimension(embedder)
    return known.model_copy(update={"name": name, "dimension": dimension or known.dimension})


def _provider(embedder: BaseEmbedder) -> str:
    kinds = {HashingEmbedder: EmbeddingProvider.HASHING, OnnxEmbedder: EmbeddingProvider.ONNX}
    return str(kinds.get(type(embedder), "own"))  # type: ignore[arg-type]
