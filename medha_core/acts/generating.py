"""Generating: on a miss one caller makes the query, and all who ask meanwhile wait for it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from medha_core.acts.parts import Filters, Parts
from medha_core.acts.searching import Searching
from medha_core.acts.storing import Storing
from medha_core.concurrency.calling import called
from medha_core.concurrency.inflight import InFlight, done
from medha_core.errors import ArgumentTypeError
from medha_core.metadata import dumps_metadata, validate_metadata
from medha_core.native import question_key
from medha_core.pairs import UNSET, Pair, check_pair, check_question
from medha_core.types import CacheHit, MetadataValue, SearchStrategy
from medha_core.writer import OnConflict

Generated = str | Mapping[str, Any] | None
Generate = Callable[[str], Generated | Awaitable[Generated]]
Validate = Callable[[str, str], bool | Awaitable[bool]]


class _AbandonedError(Exception):
    """The caller who generated was cancelled; whoever waited takes over."""


class Generating:
    """Searches, and on a miss has the query made once."""

    def __init__(self, parts: Parts, searching: Searching, storing: Storing):
        self._parts = parts
        self._searching = searching
        self._storing = storing
        self._inflight: InFlight[str, CacheHit] = InFlight()
        self.waiting = 0
        """Callers that wait for another one's query now."""

    async def get_or_generate(
        self,
        question: str,
        generate: Generate,
        *,
        validate: Validate | None = None,
        ttl: int | None = UNSET,
        metadata: Mapping[str, MetadataValue] | None = None,
        filters: Filters = None,
        collection_name: str | None = None,
        include_scoped: bool = False,
        on_conflict: OnConflict | None = None,
    ) -> CacheHit:
        """The stored query for a question; on a miss, the one that `generate` makes, which is then stored.

        Args:
            generate: called as `generate(question)`, async or sync (then in a thread).
                It returns the query, or a mapping with `generated_query` and optionally
                `response_summary` and `template_id`, or None for no query: a miss.
            validate: called as `validate(question, query)`, async or sync. Unless it
                answers True, the query is returned and not stored.
            metadata: of the entry that is stored; None takes `filters`.
            filters: of the search; None takes `metadata`.

        A generated query has the strategy `GENERATED`, and an `entry_id` where it was
        stored. Of all who ask the same in this cache at the same time, one calls
        `generate`. What `generate` or `validate` raises reaches each of them and is not
        remembered: whoever asks next, calls again. If the one who calls is cancelled,
        another of them takes over. A failing embedder or store does not keep a query
        from being generated.
        """
        self._parts.check_started()
        check_question(question, self._parts.settings)
        if not callable(generate):
            raise ArgumentTypeError("generate", "a callable (question)", generate)
        stored = validate_metadata(filters if metadata is None else metadata)
        asked = metadata if filters is None else filters
        scope = self._parts.scope_of(collection_name, asked, include_scoped)
        key = f"{question_key(scope.key, question).hex()} {dumps_metadata(stored)}"
        options = {"filters": asked, "collection_name": collection_name, "include_scoped": include_scoped}

        async def make() -> CacheHit:
            return await self._make(question, generate, validate, stored, collection_name, ttl, on_conflict)

        while True:
            hit = await self._searching.search(question, **options)  # type: ignore[arg-type]
            if hit:
                return hit
            futures, mine = self._inflight.claim([key])
            if mine:
                break
            self.waiting += 1
            try:
                await done(futures[key])
            finally:
                self.waiting -= 1
            error = futures[key].exception()
            if error is None:
                return futures[key].result()
            if not isinstance(error, _AbandonedError):
                raise error
        try:
            if hit.strategy is SearchStrategy.NO_MATCH:
                # Somebody may have stored it between our look and our claim.
                hit = await self._searching.search(question, **options)  # type: ignore[arg-type]
            hit = hit or await make()
        except Exception as error:
            self._inflight.fail(mine, error)
            raise
        except BaseException:  # cancelled, or the program ends
            self._inflight.fail(mine, _AbandonedError())
            raise
        self._inflight.settle(key, hit)
        return hit

    async def _make(
        self,
        question: str,
        generate: Generate,
        validate: Validate | None,
        metadata: Mapping[str, MetadataValue],
        collection_name: str | None,
        ttl: int | None,
        on_conflict: OnConflict | None,
    ) -> CacheHit:
        made = await called(generate, question)
        if made is None:
            return CacheHit()
        if not isinstance(made, (str, Mapping)):
            raise ArgumentTypeError("what generate returned", "a query, a mapping or None", made)
        fields = {"generated_query": made} if isinstance(made, str) else dict(made)
        item = {**fields, "question": question, "metadata": metadata}
        pair = check_pair(item, self._parts.settings, "what generate returned")
        is_valid = validate is None or await called(validate, question, pair.query) is True
        stored = is_valid and await self._storing.store(
            question,
            pair.query,
            pair.summary,
            pair.template_id,
            ttl,
            metadata=metadata,
            collection_name=collection_name,
            on_conflict=on_conflict,
        )
        collection = self._parts.collection(collection_name)
        identity = self._parts.writer.id_of(collection, pair, on_conflict) if stored else None
        return _hit_of(pair, identity)


def _hit_of(pair: Pair, identity: str | None) -> CacheHit:
    return CacheHit(
        generated_query=pair.query,
        response_summary=pair.summary,
        confidence=1.0,
        strategy=SearchStrategy.GENERATED,
        template_used=pair.template_id,
        metadata=dict(pair.metadata),
        entry_id=identity,
    )
