"""The routes `/embed/...`: texts, batches and queries, models, metrics, health."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from medha_core.interfaces.embedder import check_text
from medha_core.service.access import Access, Caller
from medha_core.service.arguments import filled
from medha_core.service.encode import encoded, json_rows
from medha_core.service.problems import StructuredRoute
from medha_core.service.results import Vectors
from medha_core.service.routers.common import ERRORS, json_answer, known_model, told_of_texts
from medha_core.service.schemas import (
    BatchAnswer,
    BatchRequest,
    EmbeddingAnswer,
    HealthAnswer,
    MetricsAnswer,
    ModelsAnswer,
    QueryRequest,
    ResetAnswer,
    TextRequest,
    WarmAnswer,
    WarmRequest,
)
from medha_core.service.service import EmbedderService


def embed_router(service: EmbedderService, access: Access | None = None) -> APIRouter:
    """`/embed/text`, `/batch`, `/query`, `/warm`, `/models`, `/metrics`, `/metrics/reset`, `/health`."""
    access = access or Access()
    router = APIRouter(prefix="/embed", tags=["embed"], route_class=StructuredRoute, responses=ERRORS)
    Known = Annotated[Caller, Depends(access.caller)]  # noqa: N806 (a type)

    async def vectors(caller: Caller, texts: list[str], model: str | None, **options: Any) -> Vectors:
        access.limits.check_batch(len(texts), "texts")
        known_model(service, model)
        with access.charge(caller) as charge:
            return await service.vectors(texts, model, scope=caller.scope, charge=charge, **options)

    async def single(found: Vectors) -> Response:
        (row,) = await encoded(json_rows, found.array)
        return json_answer(
            {
                "embedding": row,
                "dimension": found.dimension,
                "model": found.model,
                "cached": found.cached[0],
                "cost": found.cost,
            }
        )

    def summed(found: Vectors) -> dict[str, Any]:
        return {
            "model": found.model,
            "total_embeddings": len(found.cached),
            "cached_count": sum(found.cached),
            "total_cost": found.cost,
        }

    @router.post("/text", response_model=EmbeddingAnswer)
    async def embed_text(body: TextRequest, caller: Known) -> Response:
        """The vector of one text."""
        check_text(body.text)
        return await single(await vectors(caller, [body.text], body.model, use_cache=body.use_cache))

    @router.post("/query", response_model=EmbeddingAnswer)
    async def embed_query(body: QueryRequest, caller: Known) -> Response:
        """The vector of a question, for models that tell questions and documents apart."""
        check_text(body.query, "query")
        options = {"use_cache": body.use_cache, "is_document": False}
        return await single(await vectors(caller, [body.query], body.model, **options))

    @router.post("/batch", response_model=BatchAnswer)
    async def embed_batch(body: BatchRequest, caller: Known) -> Response:
        """The vectors of many texts; empty texts are left out."""
        access.limits.check_batch(len(body.texts), "texts")
        texts = [body.texts[place] for place in filled(body.texts)]
        options = {"use_cache": body.use_cache, "batch_size": body.batch_size}
        with told_of_texts():
            found = await vectors(caller, texts, body.model, **options)
        rows = await encoded(json_rows, found.array)
        return json_answer({"embeddings": rows, "dimension": found.dimension} | summed(found))

    @router.post("/warm", response_model=WarmAnswer)
    async def warm(body: WarmRequest, caller: Known) -> Response:
        """Compute and remember texts without sending their vectors."""
        access.limits.check_batch(len(body.texts), "texts")
        texts = [body.texts[place] for place in filled(body.texts)]
        with told_of_texts():
            return json_answer(summed(await vectors(caller, texts, body.model)))

    @router.get("/models")
    async def models(_caller: Known) -> ModelsAnswer:
        """Every model that can be named, with its price and limits."""
        return ModelsAnswer.model_validate(
            {"models": service.get_available_models(), "default": service.default_model}
        )

    @router.get("/metrics")
    async def metrics(caller: Known) -> MetricsAnswer:
        """Counts, hit rate and cost of the whole server."""
        caller.check_operator()
        return MetricsAnswer(metrics=service.get_metrics())

    @router.post("/metrics/reset")
    async def reset(caller: Known) -> ResetAnswer:
        """Start counting anew."""
        caller.check_operator()
        service.reset_metrics()
        return ResetAnswer(status="success", message="the metrics were reset")

    @router.get("/health")
    async def health() -> HealthAnswer:
        """Whether the service is there, and what it runs; needs no key."""
        return HealthAnswer(
            status="healthy",
            service="embedder",
            default_model=service.default_model,
            caching_enabled=service.caching_enabled,
            models_loaded=len(service.loaded_models()),
            redis=service.redis_state,
        )

    return router
