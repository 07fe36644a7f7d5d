"""`medha search QUESTION`: the query on standard output, how it was found on standard error."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from medha_core import ArgumentValueError, CacheHit, Medha, SearchStrategy
from medha_core.cli.opening import open_cache, open_kept_settings
from medha_core.cli.output import ERROR, MISS, OK, emit, emit_json, note
from medha_core.cli.warm import load
from medha_core.types import MetadataValue


def command(
    question: str,
    collection: str | None,
    path: Path | None,
    model: str | None,
    *,
    warm_from: Path | None,
    explain: bool,
    filters: Sequence[str],
    as_json: bool,
) -> int:
    wanted = parse_filters(filters)
    settings = open_kept_settings(path, warm_from)
    cache = open_cache(settings, collection, model, read_only=warm_from is None)
    hit, milliseconds, entries = asyncio.run(
        search(cache, question, warm_from, explain=explain, filters=wanted)
    )
    if as_json:
        emit_json(_as_json(question, hit, milliseconds))
    else:
        _show(hit, milliseconds)
    if not entries:
        note("the cache is empty: --path DIRECTORY opens one that was kept, --warm FILE loads a file")
    return _exit_code(hit)


async def search(
    cache: Medha,
    question: str,
    warm_from: Path | None,
    *,
    explain: bool,
    fresh: bool = False,
    filters: Mapping[str, MetadataValue] | None = None,
) -> tuple[CacheHit, float, int]:
    """The hit, its milliseconds, and the number of entries; `fresh` empties the first-level cache before."""
    async with cache:
        if warm_from is not None:
            await load(cache, warm_from)
        if fresh:
            await cache.clear_caches()
        begin = perf_counter()
        hit = await cache.search(question, explain=explain, filters=filters)
        milliseconds = (perf_counter() - begin) * 1000
        return hit, milliseconds, (await cache.stats()).backend_count


def parse_filters(given: Sequence[str]) -> dict[str, MetadataValue] | None:
    """`KEY=VALUE` options as filters: numbers, true and false are such, quoted ones are text."""
    filters: dict[str, MetadataValue] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ArgumentValueError("--filter", "KEY=VALUE", text)
        filters[key] = _value(value)
    return filters or None


def _value(text: str) -> MetadataValue:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, (str, int, float, bool)) else text


def _exit_code(hit: CacheHit) -> int:
    if hit.strategy is SearchStrategy.ERROR:
        return ERROR
    return OK if hit else MISS


def _show(hit: CacheHit, milliseconds: float) -> None:
    if hit:
        emit(hit.generated_query)
    if hit.explanation is not None:
        emit(str(hit.explanation))
    note(_sentence(hit, milliseconds))


def _sentence(hit: CacheHit, milliseconds: float) -> str:
    if hit.strategy is SearchStrategy.ERROR:
        return hit.error or "the search failed"
    if not hit:
        return f"no stored question matches ({milliseconds:.1f} ms)"
    return f"{hit.strategy.value}, confidence {hit.confidence:.2f}, {milliseconds:.1f} ms"


def _as_json(question: str, hit: CacheHit, milliseconds: float) -> dict[str, Any]:
    fields = hit.model_dump(mode="json", exclude={"explanation"})
    explanation = {} if hit.explanation is None else {"explanation": hit.explanation.as_dict()}
    return {
        "question": question,
        "hit": bool(hit),
        "milliseconds": round(milliseconds, 3),
        **fields,
        **explanation,
    }
