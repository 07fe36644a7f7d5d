"""The routes `/cache/...`: a semantic cache for programs that cannot hold one themselves."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from medha_core.errors import MedhaError
from medha_core.medha import Medha
from medha_core.service.access import Access, Caller
from medha_core.service.cache_schemas import (
    FeedbackAnswer,
    FeedbackRequest,
    HitAnswer,
    HitsAnswer,
    InvalidateAnswer,
    InvalidateRequest,
    SearchBatchRequest,
    SearchRequest,
    StatsAnswer,
    StoreAnswer,
    StoreRequest,
)
from medha_core.service.problems import ProblemError, StructuredRoute
from medha_core.service.routers.common import ERRORS
from medha_core.service.tally import Tally
from medha_core.types import CacheHit, SearchStrategy

_NAMES = ("question", "query_hash", "template_id", "table", "filters")


def cache_router(cache: Medha, access: Access | None = None) -> APIRouter:
    """`/cache/search`, `/search_batch`, `/store`, `/invalidate`, `/feedback`, `/stats`."""
    access = access or Access()
    router = APIRouter(prefix="/cache", tags=["cache"], route_class=StructuredRoute, responses=ERRORS)
    Known = Annotated[Caller, Depends(access.caller)]  # noqa: N806 (a type)
    tally = Tally()

    async def searched(
        caller: Caller, questions: list[str], body: SearchRequest | SearchBatchRequest
    ) -> list[CacheHit]:
        collection = caller.collection(body.collection, cache.collection_name)
        plain = not (body.filters or body.include_scoped or body.explain)
        hits = [_ready(cache, question, collection) if plain else None for question in questions]
        left = [question for question, hit in zip(questions, hits, strict=True) if hit is None]
        if left and not await cache.has_collection(collection):
            found = iter([CacheHit()] * len(left))
            hits = [next(found) if hit is None else hit for hit in hits]
        elif left:
            found = iter(await asked(caller, left, collection, body))
            hits = [next(found) if hit is None else hit for hit in hits]
        tally.add(collection, hits)
        return hits

    async def asked(
        caller: Caller, questions: list[str], collection: str, body: SearchRequest | SearchBatchRequest
    ) -> list[CacheHit]:
        """Charged for at first; what is answered, or fails, is given back: a miss is what costs."""
        with access.charge(caller) as charge:
            charge.take(len(questions))
            hits = await cache.search_batch(
                questions,
                collection,
                filters=body.filters,
                include_scoped=body.include_scoped,
                explain=body.explain,
            )
            charge.give_back(sum(hit.strategy is not SearchStrategy.NO_MATCH for hit in hits))
        return hits

    @router.post("/search")
    async def search(body: SearchRequest, caller: Known) -> HitAnswer:
        """The query stored for a question, or a miss."""
        return _told((await searched(caller, [body.question], body))[0])

    @router.post("/search_batch")
    async def search_batch(body: SearchBatchRequest, caller: Known) -> HitsAnswer:
        """The same for many questions, in their order."""
        access.limits.check_batch(len(body.questions), "questions")
        return HitsAnswer(hits=[_told(hit) for hit in await searched(caller, body.questions, body)])

    @router.post("/store")
    async def store(body: StoreRequest, caller: Known) -> StoreAnswer:
        """Keep a query for a question; `stored` says whether it is durable."""
        collection = caller.collection(body.collection, cache.collection_name)
        given = body.model_dump(exclude={"collection", "ttl"})
        ttl = {"ttl": body.ttl} if "ttl" in body.model_fields_set else {}
        with access.charge(caller) as charge:
            charge.take(1)
            stored = await cache.store(**given, **ttl, collection_name=collection)
            charge.give_back(int(not stored))
        return StoreAnswer(stored=stored)

    @router.post("/invalidate")
    async def invalidate(body: InvalidateRequest, caller: Known) -> InvalidateAnswer:
        """Forget the entries of a question, of a query, of a template, or all of a collection."""
        collection = caller.collection(body.collection, cache.collection_name)
        there = await cache.has_collection(collection)
        return InvalidateAnswer(invalidated=await _forget(cache, collection, body) if there else 0)

    @router.post("/feedback")
    async def feedback(body: FeedbackRequest, caller: Known) -> FeedbackAnswer:
        """Say whether an answer was right."""
        collection = caller.collection(body.collection, cache.collection_name)
        if not await cache.has_collection(collection):
            return FeedbackAnswer(counted=False)
        counted = await cache.feedback(
            body.question, body.correct, entry_id=body.entry_id, collection_name=collection
        )
        return FeedbackAnswer(counted=counted)

    @router.get("/stats")
    async def stats(caller: Known, collection: str | None = None) -> StatsAnswer:
        """Counts of a collection; what the whole cache counts only for keys bound to none."""
        name = caller.collection(collection, cache.collection_name)
        there = await cache.has_collection(name)
        whole = await cache.stats(name if there else None)
        return StatsAnswer(
            collection=name,
            entries=whole.backend_count if there else 0,
            **tally.counts(name),
            server=whole.model_dump(mode="json") if caller.collections is None else None,
        )

    return router


async def _forget(cache: Medha, collection: str, body: InvalidateRequest) -> int:
    """The number of entries that are gone."""
    given = [name for name in _NAMES if getattr(body, name) is not None]
    if len(given) + body.all != 1:
        raise ProblemError(
            422, f"exactly one of {', '.join(_NAMES)} and all=true", given[0] if given else "question"
        )
    if body.all:
        return await cache.invalidate_collection(collection)
    if body.question is not None:
        return int(await cache.invalidate(body.question, collection_name=collection))
    if body.query_hash is not None:
        return await cache.invalidate_by_query_hash(body.query_hash, collection_name=collection)
    if body.template_id is not None:
        return await cache.invalidate_by_template(body.template_id, collection_name=collection)
    if body.table is not None:
        return await cache.invalidate_by_table(body.table, collection_name=collection)
    return await cache.invalidate_where(body.filters, collection_name=collection)


def _ready(cache: Medha, question: str, collection: str) -> CacheHit | None:
    """What the first-level cache answers, for which no model runs."""
    try:
        return cache.peek(question, collection_name=collection)
    except MedhaError:  # the full path says what is wrong with a question
        return None


def _told(hit: CacheHit) -> HitAnswer:
    fields: dict[str, Any] = hit.model_dump(exclude={"explanation"})
    if hit.explanation is not None:
        fields["explanation"] = hit.explanation.as_dict()
    return HitAnswer(hit=bool(hit), **fields)
