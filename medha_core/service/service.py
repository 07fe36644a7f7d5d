"""`EmbedderService`: one place for all embeddings of a program, with cache, costs and metrics."""

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np

from medha_core.embeddings.models import DEFAULT_MODEL
from medha_core.errors import ArgumentValueError
from medha_core.interfaces.embedder import BaseEmbedder, check_text, check_texts
from medha_core.service.arguments import batch_size_of, counted, filled, shortened, shown_dimension
from medha_core.service.cache import DEFAULT_TTL, ServiceCache
from medha_core.service.costs import cost_of
from medha_core.service.meter import Counts, Meter
from medha_core.service.models import Models, ServedModel
from medha_core.service.results import BatchEmbeddingResult, EmbeddingResult, Vectors
from medha_core.service.work import Charge, Job, Worker
from medha_core.vectors.cache import vector_keys


class EmbedderService:
    """Embeds texts and queries with any known model, each text once.

    Models load when they are first named, and are shared. Vectors are remembered
    by model, dimension and role (a query and a document of the same words never
    mix), in Redis where `redis_client` is given and in memory. Safe from several
    threads and event loops.

    Args:
        default_model: what is used where no model is named.
        openai_api_key: None reads `OPENAI_API_KEY` when an OpenAI model is first used.
        redis_client: a URL, or a client, `redis.asyncio` or synchronous.
        enable_caching: False computes every text anew.
        embedders: models of your own, by name.
        api_keys: keys of other providers, by provider: `{"cohere": ...}`.
        cache: one that several services share, and that stays open; `redis_client` must be None then.
        cache_entries: vectors kept in memory, beside Redis or alone.
        cache_ttl: seconds a vector is kept; None for as long as there is room.
        concurrency: batches of one request that are computed at once.
    """

    def __init__(
        self,
        default_model: str = DEFAULT_MODEL,
        openai_api_key: str | None = None,
        redis_client: Any = None,
        enable_caching: bool = True,
        *,
        embedders: Mapping[str, BaseEmbedder] | None = None,
        api_keys: Mapping[str, str] | None = None,
        cache: ServiceCache | None = None,
        cache_entries: int = 1000,
        cache_ttl: float | None = DEFAULT_TTL,
        concurrency: int = 4,
    ):
        if cache is not None and redis_client is not None:
            raise ArgumentValueError("redis_client", "None where a cache is given", redis_client)
        if concurrency < 1:
            raise ArgumentValueError("concurrency", "at least 1", concurrency)
        keys = dict(api_keys or {}) | ({"openai": openai_api_key} if openai_api_key else {})
        self._models = Models(embedders, {provider: {"api_key": key} for provider, key in keys.items()})
        self._default = self._models.config(default_model).name
        self._made_cache = cache is None and enable_caching
        if cache is None and enable_caching:
            cache = ServiceCache(redis_client, ttl=cache_ttl, max_entries=cache_entries)
        self._cache = cache if enable_caching else None
        self._worker = Worker(self._cache, concurrency)
        self._meter = Meter()

    def __repr__(self) -> str:
        cache = "no cache" if self._cache is None else repr(self._cache)
        return f"<EmbedderService, {self._default} by default, {self._models!r}, {cache}>"

    @property
    def default_model(self) -> str:
        return self._default

    @property
    def caching_enabled(self) -> bool:
        return self._cache is not None

    @property
    def redis_state(self) -> str:
        """`off` without Redis, else `up`, `away` or `unknown` (not used yet)."""
        return "off" if self._cache is None else self._cache.redis_state

    async def embed_text(
        self, text: str, model: str | None = None, use_cache: bool = True, *, dimensions: int | None = None
    ) -> EmbeddingResult:
        """The vector of a text that is stored or compared; an empty one raises `ValueError`."""
        check_text(text)
        return _single(await self.vectors([text], model, use_cache=use_cache, dimensions=dimensions))

    async def embed_query(
        self, query: str, model: str | None = None, use_cache: bool = True, *, dimensions: int | None = None
    ) -> EmbeddingResult:
        """The vector of what is asked; it differs from a text's for models which tell the two apart."""
        check_text(query, "query")
        found = await self.vectors(
            [query], model, use_cache=use_cache, dimensions=dimensions, is_document=False
        )
        return _single(found)

    async def embed_batch(
        self,
        texts: Sequence[str],
        model: str | None = None,
        batch_size: int | None = None,
        use_cache: bool = True,
        *,
        dimensions: int | None = None,
    ) -> BatchEmbeddingResult:
        """The vectors of many texts; only those that are not remembered are computed.

        Empty texts are left out (`result.indices` says which stayed); a batch with
        nothing else, or with no text at all, raises `ValueError`. `batch_size` is
        the number of texts computed in one call, at most what the model takes.
        """
        places = filled(texts)
        found = await self.vectors(
            [texts[place] for place in places],
            model,
            batch_size=batch_size,
            use_cache=use_cache,
            dimensions=dimensions,
        )
        return BatchEmbeddingResult(
            embeddings=found.array.tolist(),
            dimension=found.dimension,
            model=found.model,
            total_embeddings=len(places),
            cached_count=sum(found.cached),
            total_cost=found.cost,
            indices=places,
        )

    async def vectors(
        self,
        texts: Sequence[str],
        model: str | None = None,
        *,
        batch_size: int | None = None,
        use_cache: bool = True,
        dimensions: int | None = None,
        is_document: bool = True,
        scope: str = "",
        charge: Charge | None = None,
    ) -> Vectors:
        """What the other methods do, as arrays, one vector for each text; the texts must not be empty.

        Args:
            scope: texts are remembered for each scope apart, so that whether one is
                remembered tells nothing about what others have asked for.
            charge: `charge.take(n)` is called before n texts are computed.

        Raises `ConfigurationError` for an unknown model or a missing package or key,
        `EmbeddingError` when the model fails.
        """
        check_texts(texts)
        config = self._models.config(self._default if model is None else model)
        tokens = counted(texts, config, "text" if is_document else "query")
        size = batch_size_of(batch_size, config)
        loaded = await self._models.get(config.name)
        shown = shown_dimension(dimensions, loaded)
        role = ("document" if is_document else "query") + (scope and f"/{scope}")
        keys = vector_keys(texts, fingerprint=loaded.fingerprint, dimension=loaded.dimension, role=role)
        job = Job(loaded, dict(zip(keys, texts, strict=True)), is_document, size, charge)
        try:
            await self._worker.run(job, use_cache=use_cache)
        finally:  # what was computed has cost its price, whatever became of the rest
            cost = self._count(job, dict(zip(keys, tokens, strict=True)), sum(tokens))
        array = np.stack([job.vectors[key] for key in keys])
        return Vectors(
            array=shortened(array, shown),
            cached=[key not in job.computed for key in keys],
            model=config.name,
            fingerprint=loaded.fingerprint,
            tokens=round(sum(tokens)),
            cost=cost,
        )

    async def warm(self, texts: Iterable[str], model: str | None = None) -> BatchEmbeddingResult:
        """Compute and remember texts that will be asked for; needs caching."""
        if self._cache is None:
            raise ArgumentValueError("texts", "a service with enable_caching to warm", "caching off")
        return await self.embed_batch(list(texts), model)

    async def load(self, model: str | None = None) -> ServedModel:
        """Load a model ahead of its first use."""
        return (await self._models.get(self._default if model is None else model)).config

    def model(self, name: str | None = None) -> ServedModel:
        """What is known of a model without loading it."""
        return self._models.config(self._default if name is None else name)

    def get_available_models(self) -> list[dict[str, Any]]:
        """Each model as `EmbeddingModelConfig` has it, and whether it is `loaded`."""
        loaded = set(self._models.loaded())
        return [config.model_dump() | {"loaded": config.name in loaded} for config in self._models.configs()]

    def loaded_models(self) -> list[str]:
        """The names of the models in memory."""
        return self._models.loaded()

    def get_metrics(self) -> dict[str, Any]:
        """Counts, hit rate (0..1) and US dollars since the service was made or reset, in all and by model."""
        return self._meter.metrics() | {
            "models_loaded": len(self._models.loaded()),
            "texts_under_way": self._worker.under_way,
            "cache_entries": 0 if self._cache is None else len(self._cache),
            "redis": self.redis_state,
        }

    def reset_metrics(self) -> None:
        """Start counting anew; models stay loaded and vectors remembered."""
        self._meter.reset()

    async def close(self) -> None:
        """Release models and the cache that were opened here. Closing twice is harmless."""
        self._models.close()
        if self._cache is not None and self._made_cache:
            await self._cache.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.close()

    def _count(self, job: Job, tokens: Mapping[bytes, float], asked: float) -> float:
        price = job.model.config.cost_per_1k_tokens
        paid = sum(tokens[key] for key in job.computed)
        hits = sum(key not in job.computed for key in job.vectors)
        spared = cost_of(asked - paid, price) if len(job.vectors) == len(job.texts) else 0.0
        counts = Counts(
            computed=len(job.computed),
            hits=hits,
            misses=len(job.computed),
            tokens=paid,
            cost=cost_of(paid, price),
            saved=spared,
        )
        self._meter.add(job.model.config.name, counts)
        return counts.cost


def _single(found: Vectors) -> EmbeddingResult:
    return EmbeddingResult(
        embedding=found.array[0].tolist(),
        dimension=found.dimension,
        model=found.model,
        cached=found.cached[0],
        cost=found.cost,
    )
