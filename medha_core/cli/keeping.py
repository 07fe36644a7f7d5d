"""`medha stats` and `health`: how a cache fares, without changing it."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import typer

from medha_core import Medha, MedhaError, PersistedStats, Settings
from medha_core.cli.opening import open_embedder, open_kept_settings, open_settings
from medha_core.cli.options import AsJson, Collection, Kept, Model
from medha_core.cli.output import MISS, OK, emit, emit_json, note
from medha_core.cli.recorded import kept_directory, open_recorded, recorded_embedder
from medha_core.embeddings import models
from medha_core.files import read_text
from medha_core.templates import read_templates

app = typer.Typer()

_UNCOUNTED = (
    "requests are counted by caches that are open for writing; "
    "`medha search` reads a directory and leaves no count"
)


# stats


@app.command("stats")
def stats_command(collection: Collection = None, path: Kept = None, json: AsJson = False) -> None:
    """Say how many entries a cache has, and what was asked of it by all processes."""
    settings = open_kept_settings(path, None)
    cache = open_recorded(path, collection, mode="r")
    report = asyncio.run(_stats(cache, settings))
    if json:
        emit_json(report)
        return
    width = max(map(len, report)) + 2
    for name, value in report.items():
        emit(f"{name:<{width}}{_shown(name, value)}")
    if not report["total_requests"] and settings.backend_type == "native":
        note(_UNCOUNTED)


async def _stats(cache: Medha, settings: Settings) -> dict[str, Any]:
    async with cache:
        kept = await cache.persisted_stats()
        entries = (await cache.stats()).backend_count
    return {
        "collection": cache.collection_name,
        "backend_type": settings.backend_type,
        "entries": entries,
        "templates": _templates(settings),
        **_counted(kept),
        **_errors(kept, settings),
    }


def _counted(kept: PersistedStats) -> dict[str, Any]:
    if kept.updated_at is None:
        return {"total_requests": None, "hit_rate": None, "hits_by_strategy": None}
    return {
        "total_requests": kept.total_requests,
        "hit_rate": round(kept.hit_rate, 4),
        "hits_by_strategy": kept.hits_by_strategy,
    }


def _errors(kept: PersistedStats, settings: Settings) -> dict[str, Any]:
    """The error rate that feedback has shown, beside the one promised; nothing without either."""
    seen, promised = kept.error_rate_seen, settings.max_error_rate
    if seen is None and promised is None:
        return {}
    return {
        "judged_answers": kept.feedback_correct + kept.feedback_incorrect,
        "error_rate_seen": None if seen is None else round(seen, 4),
        "error_rate_promised": promised,
    }


def _templates(settings: Settings) -> int:
    """How many query templates the settings name."""
    if settings.template_file is None:
        return 0
    return len(read_templates(read_text(settings.template_file, settings), settings.template_file))


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "none" if name == "error_rate_promised" else "none yet"
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in sorted(value.items())) or "none"
    return str(value)


# health


@app.command("health")
def health_command(
    collection: Collection = None, path: Kept = None, model: Model = None, json: AsJson = False
) -> None:
    """Look whether the store answers and the embedder embeds; exit code 1 when one does not."""
    settings = open_settings(path)
    name = settings.collection if collection is None else collection
    report = {
        "collection": name,
        "backend": _checked(lambda: _backend_health(settings, name)),
        "embedder": _checked(lambda: _embedder_health(settings, name, model)),
    }
    if json:
        emit_json(report)
    else:
        for part in ("backend", "embedder"):
            emit(f"{part:<10}{report[part]['status']:<9}{report[part]['detail']}")
    raise typer.Exit(MISS if "ERROR" in (report["backend"]["status"], report["embedder"]["status"]) else OK)


def _checked(check: Callable[[], tuple[str, str]]) -> dict[str, str]:
    try:
        status, detail = check()
    except (MedhaError, OSError) as error:
        status, detail = "ERROR", str(error)
    return {"status": status, "detail": detail}


def _backend_health(settings: Settings, name: str) -> tuple[str, str]:
    if settings.backend_type == "memory" or (settings.backend_type == "native" and settings.path is None):
        return "SKIPPED", "in memory: nothing is kept"
    cache = open_recorded(settings.path, name, mode="r")

    async def count() -> int:
        async with cache:
            return (await cache.stats()).backend_count

    return "OK", f"{settings.backend_type}, {asyncio.run(count())} entries"


def _embedder_health(settings: Settings, name: str, model: str | None) -> tuple[str, str]:
    chosen = model or settings.embedder_type
    if chosen == "_noop":
        return "SKIPPED", "no embedder is chosen: MEDHA_EMBEDDER_TYPE"
    if chosen in ("onnx", models.DEFAULT_MODEL) and not models.model_path(models.DEFAULT_MODEL).is_dir():
        return "ERROR", f"the model {models.DEFAULT_MODEL} is not here: medha models pull"
    embedder = open_embedder(model, settings)
    vector = embedder.embed("health")
    with contextlib.suppress(MedhaError):  # what is wrong with the store is said there
        stored = recorded_embedder(kept_directory(settings), name)
        if stored.fingerprint != embedder.fingerprint:
            return "ERROR", f"embeds as {embedder.fingerprint}, the collection holds {stored.fingerprint}"
    return "OK", f"{embedder.model_name}, {len(vector)} dimensions"
